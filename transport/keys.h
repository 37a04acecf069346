/* Registered ranges and their keys, for transports that check remote accesses themselves. Keys are
 * 64 random bits. Not locked: the owner says who may call. */
#ifndef WEFT_TRANSPORT_KEYS_H
#define WEFT_TRANSPORT_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "transport/spi.h"

#define WEFT_KEYS_BUCKETS 64

struct weft_range {
    struct weft_range *next; /* in its bucket */
    uint64_t key;
    unsigned char *addr;
    size_t len_bytes;
    uint32_t access; /* enum weft_tp_access */
};

struct weft_keys {
    struct weft_range *buckets[WEFT_KEYS_BUCKETS];
};

/* What a peer asks for; offset counts from the start of the range. */
struct weft_keys_ask {
    uint64_t key;
    uint64_t offset;
    uint64_t len_bytes;
    uint32_t access;
};

/* Draws range->key (addr, len_bytes and access are set) and enters the range, which stays the
 * caller's memory. Errors: WEFT_EIO no random bytes; WEFT_EINVAL the range wraps around or grants
 * nothing known. */
int weft__keys_add(struct weft_keys *keys, struct weft_range *range);
/* The same under the key that is in range->key already.  Errors: WEFT_EBUSY the key is 0 or another
 * range's; WEFT_EINVAL as above. */
int weft__keys_add_as(struct weft_keys *keys, struct weft_range *range);
void weft__keys_remove(struct weft_keys *keys, struct weft_range *range);
/* The range that grants all of ask.  Errors: WEFT_EACCES, without saying which part was wrong. */
int weft__keys_lookup(const struct weft_keys *keys, const struct weft_keys_ask *ask,
                      struct weft_range **range_out);
/* Any range that is still entered; NULL: none. For closing. */
struct weft_range *weft__keys_any(const struct weft_keys *keys);

#endif
