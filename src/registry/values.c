/* Keyed values: a chained hash table that doubles.
 *
 * Invariant: revisions are one counter over all keys and never come back, also not after an erase,
 * so that a compare-and-set cannot mistake a key that was removed and made anew for the one that it
 * has seen. Checking and applying are apart: between the two the owner brings the change to disk.
 * Rejected: a counter per key (an erased key would have to be remembered for ever).
 */
#include "registry/values.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "registry/registry.h"
#include "weft/error.h"

#define BUCKETS_FIRST 64u

void weft__values_fini(struct weft_values *keys)
{
    for (size_t i = 0; i < keys->buckets_n; i++) {
        struct weft_values_entry *entry = keys->buckets[i];
        while (entry) {
            struct weft_values_entry *next = entry->next;
            free(entry->value);
            free(entry);
            entry = next;
        }
    }
    free(keys->buckets);
    *keys = (struct weft_values){0};
}

/* The link that points, or would point, at key. */
static struct weft_values_entry **link_of(const struct weft_values *keys, struct weft_bytes key,
                                          uint64_t hash)
{
    struct weft_values_entry **link = &keys->buckets[hash & (keys->buckets_n - 1)];
    while (*link) {
        const struct weft_values_entry *entry = *link;
        if (entry->hash == hash && entry->key_len == key.len &&
            !memcmp(entry->key, key.at, key.len))
            break;
        link = &(*link)->next;
    }
    return link;
}

const struct weft_values_entry *weft__values_find(const struct weft_values *keys,
                                                  struct weft_bytes key)
{
    if (keys->buckets_n == 0)
        return NULL;
    return *link_of(keys, key, XXH3_64bits(key.at, key.len));
}

int weft__values_check(const struct weft_values *keys, const struct weft_values_change *change,
                       uint64_t expected, bool *wins_out)
{
    if (change->key.len == 0 || change->key.len > WEFT_REGISTRY_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "a key has 1 to %d bytes, this one has %zu",
                         WEFT_REGISTRY_KEY_MAX, change->key.len);
    if (!change->erase && change->value.len > WEFT_REGISTRY_VALUE_MAX)
        return weft_fail(WEFT_EMSGSIZE, "a value has at most %d bytes, this one has %zu",
                         WEFT_REGISTRY_VALUE_MAX, change->value.len);
    const struct weft_values_entry *entry = weft__values_find(keys, change->key);
    bool wins = (entry ? entry->revision : 0) == expected;
    if (wins && !entry && !change->erase && keys->n >= WEFT_REGISTRY_KEYS_MAX)
        return weft_fail(WEFT_ENOSPC, "the registry holds %d keys already; erase some",
                         WEFT_REGISTRY_KEYS_MAX);
    *wins_out = wins;
    return 0;
}

static int grow(struct weft_values *keys)
{
    size_t n = keys->buckets_n ? 2 * keys->buckets_n : BUCKETS_FIRST;
    struct weft_values_entry **buckets = calloc(n, sizeof(struct weft_values_entry *));
    if (!buckets)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu keys", n);
    for (size_t i = 0; i < keys->buckets_n; i++) {
        struct weft_values_entry *entry = keys->buckets[i];
        while (entry) {
            struct weft_values_entry *next = entry->next;
            entry->next = buckets[entry->hash & (n - 1)];
            buckets[entry->hash & (n - 1)] = entry;
            entry = next;
        }
    }
    free(keys->buckets);
    keys->buckets = buckets;
    keys->buckets_n = n;
    return 0;
}

static void erase(struct weft_values *keys, struct weft_values_entry **link)
{
    struct weft_values_entry *entry = *link;
    *link = entry->next;
    keys->n--;
    keys->live_bytes -= (uint64_t)entry->key_len + entry->value_len;
    free(entry->value);
    free(entry);
}

static struct weft_values_entry *entry_new(struct weft_bytes key, uint64_t hash)
{
    struct weft_values_entry *entry = malloc(sizeof(*entry) + key.len);
    if (!entry)
        return NULL;
    *entry = (struct weft_values_entry){.hash = hash, .key_len = (uint16_t)key.len};
    memcpy(entry->key, key.at, key.len);
    return entry;
}

static int set(struct weft_values *keys, const struct weft_values_change *change,
               struct weft_values_entry **link, uint64_t hash)
{
    struct weft_values_entry *entry = *link;
    uint8_t *value = NULL;
    if (change->value.len) {
        value = malloc(change->value.len);
        if (!value)
            return weft_fail(WEFT_ENOMEM, "no memory for a value of %zu bytes", change->value.len);
        memcpy(value, change->value.at, change->value.len);
    }
    if (!entry) {
        entry = entry_new(change->key, hash);
        if (!entry) {
            free(value);
            return weft_fail(WEFT_ENOMEM, "no memory for a key");
        }
        *link = entry;
        keys->n++;
        keys->live_bytes += entry->key_len;
    }
    keys->live_bytes += change->value.len;
    keys->live_bytes -= entry->value_len;
    free(entry->value);
    entry->value = value;
    entry->value_len = (uint16_t)change->value.len;
    entry->revision = change->revision;
    return 0;
}

int weft__values_apply(struct weft_values *keys, const struct weft_values_change *change)
{
    uint64_t hash = XXH3_64bits(change->key.at, change->key.len);
    int err = 0;
    if (keys->n >= keys->buckets_n)
        err = grow(keys);
    if (err)
        return err;
    struct weft_values_entry **link = link_of(keys, change->key, hash);
    if (!change->erase)
        err = set(keys, change, link, hash);
    else if (*link)
        erase(keys, link);
    if (!err && keys->revision < change->revision)
        keys->revision = change->revision;
    return err;
}
