/* The bytes of one version of a value: one piece of memory with counted owners. Who reads one holds
 * it; it is changed in place only while nobody but its value holds it, else a copy is changed. */
#ifndef WEFT_STATE_BODY_H
#define WEFT_STATE_BODY_H

#include <stdint.h>

/* How peers read a body by rma; the server's. It exists only while the body is pinned, so that what
 * peers may read is never written. */
struct weft_body_share {
    struct weft_body_share *next; /* in a list of those that have to end */
};

/* Thread: whoever has the lock of the main that it belongs to. Its bytes may be read by every
 * holder without the lock. */
struct weft_body {
    unsigned char *bytes;
    uint64_t len;
    uint32_t refs;
    uint32_t pins; /* of the refs */
    struct weft_body_share *share;
    struct weft_body *next; /* in a list of bodies that nobody holds */
};

/* Zeroed bytes, one owner.  Errors: WEFT_ENOMEM. */
int weft__body_new(uint64_t len, struct weft_body **body_out);
void weft__body_free(struct weft_body *body); /* without share */

#endif
