/* A small hash of ranges by key. The key is random, so its low bits are the hash. A peer that asks
 * for something it may not have learns only that: a wrong key, a wrong range and a missing right
 * give the same answer.
 */
#include "transport/keys.h"

#include <sys/random.h>

#include "weft/error.h"

static struct weft_range **bucket_of(struct weft_keys *keys, uint64_t key)
{
    return &keys->buckets[key % WEFT_KEYS_BUCKETS];
}

static struct weft_range *lookup(const struct weft_keys *keys, uint64_t key)
{
    struct weft_range *range = keys->buckets[key % WEFT_KEYS_BUCKETS];
    while (range && range->key != key)
        range = range->next;
    return range;
}

static int check(struct weft_range *range)
{
    if ((uintptr_t)range->addr + range->len_bytes < (uintptr_t)range->addr)
        return weft_fail(WEFT_EINVAL, "a range of %zu bytes at %p wraps around", range->len_bytes,
                         (void *)range->addr);
    range->access &= ~(uint32_t)WEFT_TP_KEEP;
    if (!range->access || range->access & ~(uint32_t)(WEFT_TP_READ | WEFT_TP_WRITE))
        return weft_fail(WEFT_EINVAL, "access 0x%x: say READ, WRITE or both", range->access);
    return WEFT_OK;
}

static void enter(struct weft_keys *keys, struct weft_range *range)
{
    struct weft_range **bucket = bucket_of(keys, range->key);
    range->next = *bucket;
    *bucket = range;
}

int weft__keys_add(struct weft_keys *keys, struct weft_range *range)
{
    int err = check(range);
    if (err)
        return err;
    do {
        if (getrandom(&range->key, sizeof(range->key), 0) != (ssize_t)sizeof(range->key))
            return weft_fail(WEFT_EIO, "no random bytes for a key from getrandom");
    } while (range->key == 0 || lookup(keys, range->key));
    enter(keys, range);
    return WEFT_OK;
}

int weft__keys_add_as(struct weft_keys *keys, struct weft_range *range)
{
    int err = check(range);
    if (err)
        return err;
    if (!range->key || lookup(keys, range->key))
        return weft_fail(WEFT_EBUSY, "the key is that of another range");
    enter(keys, range);
    return WEFT_OK;
}

void weft__keys_remove(struct weft_keys *keys, struct weft_range *range)
{
    struct weft_range **at = bucket_of(keys, range->key);
    while (*at && *at != range)
        at = &(*at)->next;
    if (*at)
        *at = range->next;
}

int weft__keys_lookup(const struct weft_keys *keys, const struct weft_keys_ask *ask,
                      struct weft_range **range_out)
{
    struct weft_range *range = lookup(keys, ask->key);
    if (!range || (range->access & ask->access) != ask->access || ask->offset > range->len_bytes ||
        ask->len_bytes > range->len_bytes - ask->offset)
        return weft_fail(WEFT_EACCES, "the key does not grant %llu bytes at offset %llu",
                         (unsigned long long)ask->len_bytes, (unsigned long long)ask->offset);
    *range_out = range;
    return WEFT_OK;
}

struct weft_range *weft__keys_any(const struct weft_keys *keys)
{
    for (unsigned i = 0; i < WEFT_KEYS_BUCKETS; i++) {
        if (keys->buckets[i])
            return keys->buckets[i];
    }
    return NULL;
}
