/* Keyed values with revisions as a pure value: no I/O, no lock, no clock. */
#ifndef WEFT_REGISTRY_VALUES_H
#define WEFT_REGISTRY_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft_values_entry {
    struct weft_values_entry *next; /* in its bucket */
    uint64_t hash;
    uint64_t revision;
    uint16_t key_len;
    uint16_t value_len;
    uint8_t *value; /* NULL where value_len is 0 */
    uint8_t key[];
};

struct weft_values {
    struct weft_values_entry **buckets; /* a power of two of them */
    size_t buckets_n;
    size_t n;
    uint64_t revision;   /* the highest ever given */
    uint64_t live_bytes; /* keys and values */
};

/* Bytes in the caller's memory. */
struct weft_bytes {
    const void *at;
    size_t len;
};

struct weft_values_change {
    struct weft_bytes key;
    struct weft_bytes value;
    bool erase;
    uint64_t revision; /* that the change makes; above every earlier one */
};

/* A zeroed table is an empty one. */
void weft__values_fini(struct weft_values *keys);
/* NULL: no such key. */
const struct weft_values_entry *weft__values_find(const struct weft_values *keys,
                                                  struct weft_bytes key);
/* Whether a compare-and-set that expects `expected` wins now.
 * Errors: WEFT_EINVAL key empty or too long; WEFT_EMSGSIZE value too long; WEFT_ENOSPC too many
 * keys. */
int weft__values_check(const struct weft_values *keys, const struct weft_values_change *change,
                       uint64_t expected, bool *wins_out);
/* Makes the change, whatever stands. To erase what is not there is fine.  Errors: WEFT_ENOMEM:
 * nothing was changed. */
int weft__values_apply(struct weft_values *keys, const struct weft_values_change *change);

#endif
