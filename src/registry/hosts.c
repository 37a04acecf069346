/* The host list: an array of entries sorted by name, searched by bisection.
 *
 * Invariant: names are unique; an incarnation that was declared dead never comes back to life, it
 * can only be replaced by another one under its name. That is what others rely on when they end the
 * dead host's leases. The list's revision starts at epoch * 2^32, so that a watcher of an earlier
 * epoch is always behind. Dead entries stay, so that every watcher sees the death, and make room
 * for new hosts when the list is full, the one that has been dead for longest first. A change of
 * `used` is no new revision: it comes with every lease, and every host watches the list. Rejected:
 * a hash table (the list is always answered as a whole and in order), deaths by a timer per host
 * (one scan of the largest list takes a millisecond).
 */
#include "registry/hosts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

/* Keeps the encoded list, with its numbers, inside a frame. */
#define TEXT_BYTES_MAX (3u << 20)

enum { SELF_FACTOR = 10 };

void weft__hosts_init(struct weft_hosts *hosts, uint64_t epoch)
{
    *hosts = (struct weft_hosts){.revision = epoch << 32};
}

void weft__hosts_fini(struct weft_hosts *hosts)
{
    for (size_t i = 0; i < hosts->n; i++)
        free(hosts->sorted[i]);
    free(hosts->sorted);
    *hosts = (struct weft_hosts){0};
}

/* The index of name, or where it belongs. */
static size_t place_of(const struct weft_hosts *hosts, const char *name, bool *found_out)
{
    size_t low = 0, high = hosts->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(hosts->sorted[mid]->host.name, name);
        if (order == 0) {
            *found_out = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found_out = false;
    return low;
}

/* 0 of an entry that is not filled in yet. The tenant may change: there is room for any. */
static size_t text_bytes(const struct weft_registry_host *host)
{
    size_t len = strlen(host->name) + strlen(host->address) + strlen(host->control);
    return len > 0 ? len + sizeof(host->tenant) : 0;
}

static void remove_at(struct weft_hosts *hosts, size_t at)
{
    struct weft_hosts_entry *entry = hosts->sorted[at];
    if (entry->host.alive)
        hosts->alive--;
    hosts->text_bytes -= text_bytes(&entry->host);
    free(entry);
    hosts->n--;
    memmove(&hosts->sorted[at], &hosts->sorted[at + 1], (hosts->n - at) * sizeof(*hosts->sorted));
}

/* Removes the host that has been dead for longest; false: all are alive. */
static bool make_room(struct weft_hosts *hosts)
{
    size_t oldest = hosts->n;
    for (size_t i = 0; i < hosts->n; i++) {
        if (hosts->sorted[i]->host.alive)
            continue;
        if (oldest == hosts->n || hosts->sorted[i]->beat_ns < hosts->sorted[oldest]->beat_ns)
            oldest = i;
    }
    if (oldest == hosts->n)
        return false;
    remove_at(hosts, oldest);
    return true;
}

static int check(const struct weft_registry_host *host)
{
    if (host->name[0] == '\0')
        return weft_fail(WEFT_EINVAL, "a host that joins must have a name");
    if (host->incarnation == 0)
        return weft_fail(WEFT_EINVAL,
                         "host %s joins with incarnation 0; it must be unique to this start of it",
                         host->name);
    return 0;
}

/* Whether a host of this name may join as incarnation. */
static int admit(const struct weft_hosts_entry *entry, uint64_t incarnation)
{
    const struct weft_registry_host *host = &entry->host;
    if (host->incarnation == incarnation && !host->alive)
        return weft_fail(WEFT_ESTALE, "host %s was declared dead; it must start anew to join again",
                         host->name);
    if (host->incarnation != incarnation && host->alive)
        return weft_fail(WEFT_EEXIST,
                         "a live host named %s (process %llu at %s) is in the list; choose another "
                         "name, or wait until "
                         "it is declared dead",
                         host->name, (unsigned long long)host->pid, host->address);
    return 0;
}

static void put(struct weft_hosts *hosts, struct weft_hosts_entry *entry,
                const struct weft_registry_host *host, uint64_t now_ns)
{
    if (!entry->host.alive)
        hosts->alive++;
    hosts->text_bytes += text_bytes(host) - text_bytes(&entry->host);
    entry->host = *host;
    entry->host.alive = true;
    entry->beat_ns = now_ns;
    hosts->revision++;
}

/* Room for one more entry, within the limits. */
static int reserve(struct weft_hosts *hosts, const struct weft_registry_host *host)
{
    while (hosts->n >= WEFT_REGISTRY_HOSTS_MAX ||
           hosts->text_bytes + text_bytes(host) > TEXT_BYTES_MAX)
        if (!make_room(hosts))
            return weft_fail(WEFT_ENOSPC, "host %s cannot join: the list is full with %zu hosts",
                             host->name, hosts->n);
    if (hosts->n < hosts->capacity)
        return 0;
    size_t capacity = hosts->capacity ? 2 * hosts->capacity : 16;
    struct weft_hosts_entry **sorted = realloc(hosts->sorted, capacity * sizeof(*sorted));
    if (!sorted)
        return weft_fail(WEFT_ENOMEM, "host %s cannot join: out of memory", host->name);
    hosts->sorted = sorted;
    hosts->capacity = capacity;
    return 0;
}

int weft__hosts_join(struct weft_hosts *hosts, const struct weft_registry_host *host,
                     uint64_t now_ns)
{
    int err = check(host);
    if (err)
        return err;
    bool found;
    size_t at = place_of(hosts, host->name, &found);
    if (found) {
        struct weft_hosts_entry *entry = hosts->sorted[at];
        err = admit(entry, host->incarnation);
        if (!err &&
            hosts->text_bytes - text_bytes(&entry->host) + text_bytes(host) > TEXT_BYTES_MAX)
            err = weft_fail(WEFT_ENOSPC, "host %s cannot join: the list is full with %zu hosts",
                            host->name, hosts->n);
        if (!err)
            put(hosts, entry, host, now_ns);
        return err;
    }
    err = reserve(hosts, host);
    if (err)
        return err;
    struct weft_hosts_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return weft_fail(WEFT_ENOMEM, "host %s cannot join: out of memory", host->name);
    at = place_of(hosts, host->name, &found); /* making room may have moved it */
    memmove(&hosts->sorted[at + 1], &hosts->sorted[at], (hosts->n - at) * sizeof(*hosts->sorted));
    hosts->sorted[at] = entry;
    hosts->n++;
    put(hosts, entry, host, now_ns);
    return 0;
}

int weft__hosts_leave(struct weft_hosts *hosts, const char *name, uint64_t incarnation)
{
    bool found;
    size_t at = place_of(hosts, name, &found);
    if (!found)
        return 0;
    if (hosts->sorted[at]->host.incarnation != incarnation)
        return weft_fail(WEFT_ESTALE, "another incarnation of host %s is in the list now", name);
    remove_at(hosts, at);
    hosts->revision++;
    return 0;
}

int weft__hosts_beat(struct weft_hosts *hosts, const struct weft_registry_host *host,
                     uint64_t now_ns)
{
    bool found;
    size_t at = place_of(hosts, host->name, &found);
    if (!found)
        return weft_fail(WEFT_ESTALE, "host %s is not in the list; join first", host->name);
    struct weft_hosts_entry *entry = hosts->sorted[at];
    if (entry->host.incarnation != host->incarnation)
        return weft_fail(WEFT_ESTALE, "another incarnation of host %s is in the list now",
                         host->name);
    if (!entry->host.alive)
        return weft_fail(WEFT_ESTALE, "host %s was declared dead; it must start anew to join again",
                         host->name);
    if (entry->beat_ns < now_ns)
        entry->beat_ns = now_ns;
    entry->host.used = host->used;
    memcpy(entry->host.tenant, host->tenant, sizeof(host->tenant));
    entry->host.occupied = host->occupied;
    entry->host.shared = host->shared;
    entry->host.apart = host->apart;
    if (entry->host.slots != host->slots || entry->host.leaving != host->leaving) {
        entry->host.slots = host->slots;
        entry->host.leaving = host->leaving;
        hosts->revision++;
    }
    return 0;
}

size_t weft__hosts_expire(struct weft_hosts *hosts, uint64_t now_ns, uint64_t dead_ns)
{
    assert(now_ns >= hosts->expired_ns);
    uint64_t gap_ns = hosts->expired_ns ? now_ns - hosts->expired_ns : 0;
    uint64_t given_ns = gap_ns > dead_ns / 4 ? gap_ns : 0;
    size_t dead = 0;
    hosts->expired_ns = now_ns;
    for (size_t i = 0; i < hosts->n; i++) {
        struct weft_hosts_entry *entry = hosts->sorted[i];
        if (!entry->host.alive)
            continue;
        entry->beat_ns += given_ns;
        if (entry->beat_ns > now_ns)
            entry->beat_ns = now_ns;
        bool self = strcmp(entry->host.name, hosts->self) == 0;
        if (now_ns - entry->beat_ns < (self ? SELF_FACTOR * dead_ns : dead_ns))
            continue;
        entry->host.alive = false;
        entry->beat_ns = now_ns;
        dead++;
    }
    hosts->alive -= dead;
    hosts->revision += dead;
    return dead;
}

const struct weft_registry_host *weft__hosts_find(const struct weft_hosts *hosts, const char *name)
{
    bool found;
    size_t at = place_of(hosts, name, &found);
    return found ? &hosts->sorted[at]->host : NULL;
}

size_t weft__hosts_others(const struct weft_hosts *hosts)
{
    const struct weft_registry_host *self = weft__hosts_find(hosts, hosts->self);
    return hosts->alive - (self != NULL && self->alive ? 1 : 0);
}
