/* What this host's store has of frozen apps: manifests written and read, waste removed. */
#ifndef WEFT_HOST_WEFTD_STORE_H
#define WEFT_HOST_WEFTD_STORE_H

#include <stdint.h>

#include "host/weftd.h"

#define WEFT_STORE_KEY_MAX 200

enum weft_store_what {
    WEFT_STORE_WRITE, /* bytes under the key, durably */
    WEFT_STORE_READ,
    WEFT_STORE_LIST, /* the keys of files that begin with it, each with its '\0' */
    WEFT_STORE_ERASE /* all whose key begins with it, files and memory */
};

struct weft_store_job;
/* On the owner thread, once for each job; not any more when the host closes. bytes: of READ and
 * LIST, valid during the call. */
typedef void weft_store_done(struct weft_host *host, uint64_t app, int err, const char *text,
                             const ProtobufCBinaryData *bytes);

struct weft_store_desc {
    enum weft_store_what what;
    uint64_t app;
    char key[WEFT_STORE_KEY_MAX];
    uint8_t *bytes; /* WRITE; the job frees them */
    size_t len_bytes;
    weft_store_done *done; /* NULL: nobody waits */
};

/* Jobs are done one after the other, in order. */
void weft__weftd_store_do(struct weft_host *host, const struct weft_store_desc *desc);
/* Ends the thread.  Blocks: until the job that is under way has come to its end. */
void weft__weftd_store_stop(struct weft_host *host);

#endif
