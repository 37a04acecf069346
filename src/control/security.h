/* How this process proves who it is and whom it lets in.
 *
 * WEFT_SECURITY=curve: all control ports and zmq lanes use CURVE (encryption, both sides prove
 * their key) with the keys of the folder WEFT_KEYS (keys.h), and only clients on its list `allowed`
 * come in. A change of `allowed` or `hosts` counts from the next connection on; connections that
 * are there stay. WEFT_SECURITY=none: everybody who reaches a port may use it. */
#ifndef WEFT_CONTROL_SECURITY_H
#define WEFT_CONTROL_SECURITY_H

#include <stdbool.h>
#include <stddef.h>

#include "control/keys.h"
#include "transport/spi.h"

struct weft_security;

/* Of one folder.  Errors: as weft__keys_read. */
int weft__security_open(const char *folder, struct weft_security **security_out);
/* Nothing may use it any more. NULL is fine. The keys in memory are wiped. */
void weft__security_close(struct weft_security *security);
const struct weft_tp_security *weft__security_tp(const struct weft_security *security);

/* Stands for "none" where NULL means "as the settings say". */
extern const struct weft_tp_security weft__security_none;

/* What the settings say, read at the first call that succeeds; *security_out is NULL for none, else
 * valid until weft__security_forget().  Thread: any.  Errors: WEFT_EACCES. */
int weft__security_get(const struct weft_tp_security **security_out);
/* Reads the settings where nobody has: for the calls of other programs, which know of no settings.
 * Thread: any, before the first other thread that uses settings.  Errors: as weft__config_load().
 */
int weft__security_prepare(void);
/* Whether a server may bind there: an address that other machines reach needs keys, or
 * WEFT_SECURITY=none said explicitly.  Errors: WEFT_EPERM. */
int weft__security_check_bind(const char *address, const struct weft_tp_security *security);
/* Of a numeric address; anything else is none. */
bool weft__security_is_loopback(const char *address);
/* What a description's field asks for: as weft__security_get() for NULL. */
int weft__security_resolve(const struct weft_tp_security *wanted,
                           const struct weft_tp_security **security_out);
/* Reads everything again at the next get. Only where nothing uses it any more. */
void weft__security_forget(void);

struct weft_security_facts {
    bool curve;
    char key[WEFT_KEY_TEXT_LEN + 1]; /* the public one; "" without curve */
    size_t allowed;                  /* clients on the list, as of now */
    const char *folder;              /* "" without curve */
};
/* Of what weft__security_get() gave.  Thread: any. */
void weft__security_facts(struct weft_security_facts *facts_out);
/* The folder that WEFT_KEYS names, or its default.  Errors: WEFT_EINVAL no absolute path;
 * WEFT_ENOENT no home folder. */
int weft__security_folder(char *path_out, size_t len_bytes);

#endif
