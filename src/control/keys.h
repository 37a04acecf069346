/* A folder of keys, as `weft keygen` makes it and CURVE uses it. Keys are written as Z85 text of 40
 * characters; "#" begins a comment.
 *
 *   secret    the secret key. Mode exactly 0600, a regular file, the user's own
 *   public    the public key that goes with it, for others to add to their `allowed`
 *   allowed   public keys of the clients that may talk to hosts which use this folder, one per
 *             line; without this file: the folder's own key only
 *   hosts     may be missing; lines "ADDRESS KEY": hosts whose public key is not the folder's own
 *
 * The trust model: one key pair per user (or job), which all hosts and clients of his share.
 * Whoever has the secret key is him: may run programs on his hosts, and may pass for one of them.
 * The folder and its files must not be writable by anybody else.
 *
 * Thread: any.  Blocks: on files only. */
#ifndef WEFT_CONTROL_KEYS_H
#define WEFT_CONTROL_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "transport/spi.h"

#define WEFT_KEY_TEXT_LEN 40

struct weft_key {
    uint8_t bytes[WEFT_TP_KEY_BYTES];
};

void weft__key_print(const struct weft_key *key, char text_out[WEFT_KEY_TEXT_LEN + 1]);
/* Errors: WEFT_EINVAL not 40 characters of Z85. The text is never repeated in an error: it may be a
 * secret. */
int weft__key_parse(const char *text, size_t len_bytes, struct weft_key *key_out);

/* Makes a key pair in folder (made with mode 0700 where it is missing). force: in place of one that
 * is there; the other keys in `allowed` stay.  Errors: WEFT_EEXIST; WEFT_EACCES others may write
 * there; the system's. */
int weft__keys_generate(const char *folder, bool force);
/* Errors: WEFT_EACCES, naming the file and the command that puts it right: no key there, wrong mode
 * or owner, no regular file, no key in it. */
int weft__keys_read(const char *folder, struct weft_key *public_out, struct weft_key *secret_out);

/* A file of keys and what it looked like when it was read. fini of a zeroed one is fine. */
struct weft_key_line {
    struct weft_key key;
    char address[46]; /* of `hosts`; "" in `allowed` */
};
struct weft_key_file {
    struct weft_key_line *lines;
    size_t n;
    size_t skipped; /* lines that make no sense */
    bool found;
    struct timespec changed;
    uint64_t size, inode;
};
/* Reads folder/name again if it has changed since (or was never read).  Returns WEFT_OK and found
 * false where there is none.  Errors: WEFT_EACCES others may write it, or it cannot be read: the
 * list is empty then. */
int weft__key_file_refresh(struct weft_key_file *file, const char *folder, const char *name);
void weft__key_file_fini(struct weft_key_file *file);

/* What a text says, pure: lines "KEY" or "ADDRESS KEY".  Errors: WEFT_ENOMEM. */
int weft__key_lines_parse(const char *text, bool addresses, struct weft_key_file *file_out);

#endif
