/* One mutex for all caches of the process and for the covered ranges: whoever unmaps memory has to
 * reach every cache, and what is done under it is a walk over a few dozen entries. make() and end()
 * run outside of it, because pinning takes as long as it takes; an entry that is being made is in
 * the list already, so that its memory can go meanwhile, and so that another thread which wants the
 * same waits for it instead of pinning the pages a second time under a second key.
 *
 * forget() runs on any thread and so ends nothing itself: a transport's registrations belong to the
 * thread that drives it. It marks, and the owner ends what is marked with its next call.
 *
 * Invariant: an entry is in its cache's list from before make() until before end(); one with uses
 * is never ended but by close(). Newest first, so that the last without uses is the one to evict,
 * and a hit is near the front. A tree was rejected: ranges overlap, the bound is in the hundreds,
 * and pinning one page costs more than the walk.
 */
#include "transport/regcache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

struct weft_regcache {
    struct weft_regcache_desc desc;
    struct weft_regcache *next;
    struct weft_registration *first, *last;
    struct weft_regcache_stats stats;
    atomic_bool marked; /* some are stale and unused */
};

struct cover {
    uintptr_t addr;
    size_t len_bytes;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t made; /* one more has been made, or could not be */
    struct weft_regcache *caches;
    struct cover *covers;
    size_t covers_n, covers_room;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .made = PTHREAD_COND_INITIALIZER};

/* ---- ranges ---- */

static bool holds(uintptr_t addr, size_t len_bytes, uintptr_t part, size_t part_bytes)
{
    return part >= addr && part_bytes <= len_bytes && part - addr <= len_bytes - part_bytes;
}

static bool meets(uintptr_t addr, size_t len_bytes, uintptr_t other, size_t other_bytes)
{
    return addr < other ? other - addr < len_bytes : addr - other < other_bytes;
}

static bool is_covered(const struct weft_registration *one)
{
    for (size_t i = 0; i < all.covers_n; i++)
        if (holds(all.covers[i].addr, all.covers[i].len_bytes, one->addr, one->len_bytes))
            return true;
    return false;
}

/* ---- the list; the caller holds the lock ---- */

static void add_first(struct weft_regcache *cache, struct weft_registration *one)
{
    one->before = NULL;
    one->after = cache->first;
    if (cache->first)
        cache->first->before = one;
    else
        cache->last = one;
    cache->first = one;
}

static void take_out(struct weft_regcache *cache, struct weft_registration *one)
{
    if (one->before)
        one->before->after = one->after;
    else
        cache->first = one->after;
    if (one->after)
        one->after->before = one->before;
    else
        cache->last = one->before;
}

/* Takes one out for good and puts it before the list of those to end. */
static void retire(struct weft_regcache *cache, struct weft_registration *one,
                   struct weft_registration **ending)
{
    take_out(cache, one);
    cache->stats.entries--;
    cache->stats.bytes -= one->len_bytes;
    one->after = *ending;
    *ending = one;
}

/* It does, or will when it has been made. */
static bool serves(const struct weft_registration *one, const struct weft_regcache_want *want)
{
    uintptr_t addr = (uintptr_t)want->addr;
    if (one->stale || one->exact != want->exact)
        return false;
    if (want->exact)
        return one->addr == addr && one->len_bytes == want->len_bytes &&
               one->access == want->access;
    return (one->access & want->access) == want->access &&
           holds(one->addr, one->len_bytes, addr, want->len_bytes);
}

/* Retires what nobody uses, oldest first, until so many more bytes in so many entries would fit. */
static void make_room(struct weft_regcache *cache, size_t len_bytes, unsigned entries,
                      struct weft_registration **ending)
{
    struct weft_registration *before;
    for (struct weft_registration *one = cache->last; one; one = before) {
        before = one->before;
        bool fits = cache->stats.entries + entries <= cache->desc.entries_max &&
                    len_bytes <= cache->desc.bytes_max &&
                    cache->stats.bytes <= cache->desc.bytes_max - len_bytes;
        if (fits)
            return;
        if (one->uses)
            continue;
        cache->stats.evicted++;
        retire(cache, one, ending);
    }
}

/* ---- without the lock ---- */

static void end_all(struct weft_regcache *cache, struct weft_registration *ending)
{
    while (ending) {
        struct weft_registration *next = ending->after;
        if (ending->handle)
            cache->desc.end(cache->desc.ctx, ending->handle);
        free(ending);
        ending = next;
    }
}

int weft__regcache_open(const struct weft_regcache_desc *desc, struct weft_regcache **cache_out)
{
    struct weft_regcache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return weft_fail(WEFT_ENOMEM, "no memory for a cache of registrations");
    cache->desc = *desc;
    pthread_mutex_lock(&all.lock);
    cache->next = all.caches;
    all.caches = cache;
    pthread_mutex_unlock(&all.lock);
    *cache_out = cache;
    return WEFT_OK;
}

void weft__regcache_close(struct weft_regcache *cache)
{
    if (!cache)
        return;
    pthread_mutex_lock(&all.lock);
    struct weft_regcache **at = &all.caches;
    while (*at != cache)
        at = &(*at)->next;
    *at = cache->next;
    pthread_mutex_unlock(&all.lock);
    end_all(cache, cache->first);
    free(cache);
}

static struct weft_registration *search(struct weft_regcache *cache,
                                        const struct weft_regcache_want *want, bool made)
{
    struct weft_registration *one = cache->first;
    while (one && !(serves(one, want) && made == (one->handle != NULL)))
        one = one->after;
    return one;
}

/* The caller holds the lock, which is free while another thread is waited for that makes one: that
 * may fail, and what is made may have gone again. */
static struct weft_registration *find(struct weft_regcache *cache,
                                      const struct weft_regcache_want *want)
{
    struct weft_registration *one;
    while (!(one = search(cache, want, true)) && search(cache, want, false)) {
        cache->stats.waits++;
        pthread_cond_wait(&all.made, &all.lock);
    }
    if (!one)
        return NULL;
    one->uses++;
    one->once = one->once && want->once;
    cache->stats.hits++;
    take_out(cache, one);
    add_first(cache, one);
    return one;
}

static void drop(struct weft_regcache *cache, struct weft_registration *one)
{
    struct weft_registration *ending = NULL;
    pthread_mutex_lock(&all.lock);
    retire(cache, one, &ending);
    pthread_cond_broadcast(&all.made);
    pthread_mutex_unlock(&all.lock);
    end_all(cache, ending);
}

/* Registers; once more when that failed and something could be let go for it. */
static int make(struct weft_regcache *cache, const struct weft_regcache_want *want,
                struct weft_registration *one)
{
    void *handle = NULL;
    const struct weft_regcache_desc *desc = &cache->desc;
    int err = desc->make(desc->ctx, want->addr, want->len_bytes, want->access, &handle);
    if (err == WEFT_ENOMEM || err == WEFT_EAGAIN) {
        struct weft_registration *ending = NULL;
        pthread_mutex_lock(&all.lock);
        make_room(cache, SIZE_MAX, 1, &ending);
        pthread_mutex_unlock(&all.lock);
        bool any = ending != NULL;
        end_all(cache, ending);
        if (any)
            err = desc->make(desc->ctx, want->addr, want->len_bytes, want->access, &handle);
    }
    if (err != WEFT_OK)
        return err;
    pthread_mutex_lock(&all.lock);
    one->handle = handle;
    pthread_cond_broadcast(&all.made);
    pthread_mutex_unlock(&all.lock);
    return WEFT_OK;
}

int weft__regcache_get(struct weft_regcache *cache, const struct weft_regcache_want *want,
                       struct weft_registration **out)
{
    weft__regcache_sweep(cache);
    struct weft_registration *ending = NULL;
    struct weft_registration *fresh = NULL;
    pthread_mutex_lock(&all.lock);
    struct weft_registration *one = find(cache, want);
    if (!one && (fresh = calloc(1, sizeof(*fresh)))) {
        *fresh = (struct weft_registration){.addr = (uintptr_t)want->addr,
                                            .len_bytes = want->len_bytes,
                                            .access = want->access,
                                            .exact = want->exact,
                                            .once = want->once,
                                            .uses = 1};
        make_room(cache, want->len_bytes, 1, &ending);
        add_first(cache, fresh);
        cache->stats.misses++;
        cache->stats.entries++;
        cache->stats.bytes += want->len_bytes;
        one = fresh;
    }
    pthread_mutex_unlock(&all.lock);
    end_all(cache, ending);
    if (!one)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    int err = fresh ? make(cache, want, fresh) : WEFT_OK;
    if (err == WEFT_OK)
        *out = one;
    else
        drop(cache, fresh);
    return err;
}

void weft__regcache_put(struct weft_regcache *cache, struct weft_registration *registration)
{
    struct weft_registration *ending = NULL;
    pthread_mutex_lock(&all.lock);
    weft__check(registration->uses > 0);
    registration->uses--;
    if (registration->uses == 0 &&
        (registration->stale || registration->once || !is_covered(registration)))
        retire(cache, registration, &ending);
    make_room(cache, 0, 0, &ending);
    pthread_mutex_unlock(&all.lock);
    end_all(cache, ending);
}

void weft__regcache_sweep(struct weft_regcache *cache)
{
    if (!atomic_load_explicit(&cache->marked, memory_order_acquire))
        return;
    struct weft_registration *ending = NULL, *after;
    pthread_mutex_lock(&all.lock);
    atomic_store_explicit(&cache->marked, false, memory_order_relaxed);
    for (struct weft_registration *one = cache->first; one; one = after) {
        after = one->after;
        if (one->stale && !one->uses)
            retire(cache, one, &ending);
    }
    pthread_mutex_unlock(&all.lock);
    end_all(cache, ending);
}

void weft__regcache_stats(struct weft_regcache *cache, struct weft_regcache_stats *stats_out)
{
    pthread_mutex_lock(&all.lock);
    *stats_out = cache->stats;
    pthread_mutex_unlock(&all.lock);
}

/* ---- the process's memory ---- */

void weft__regcache_cover(const void *addr, size_t len_bytes)
{
    pthread_mutex_lock(&all.lock);
    if (all.covers_n == all.covers_room) {
        size_t room = all.covers_room ? 2 * all.covers_room : 16;
        struct cover *covers = realloc(all.covers, room * sizeof(*covers));
        if (covers) {
            all.covers = covers;
            all.covers_room = room;
        }
    }
    if (all.covers_n < all.covers_room)
        all.covers[all.covers_n++] = (struct cover){(uintptr_t)addr, len_bytes};
    pthread_mutex_unlock(&all.lock);
}

static void forget(struct weft_regcache *cache, uintptr_t addr, size_t len_bytes)
{
    for (struct weft_registration *one = cache->first; one; one = one->after) {
        if (one->stale || !meets(one->addr, one->len_bytes, addr, len_bytes))
            continue;
        one->stale = true;
        cache->stats.forgotten++;
        if (!one->uses)
            atomic_store_explicit(&cache->marked, true, memory_order_release);
    }
}

static void forget_everywhere(const void *addr, size_t len_bytes)
{
    for (struct weft_regcache *cache = all.caches; cache; cache = cache->next)
        forget(cache, (uintptr_t)addr, len_bytes);
}

void weft__regcache_uncover(const void *addr, size_t len_bytes)
{
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < all.covers_n; i++) {
        if (all.covers[i].addr != (uintptr_t)addr || all.covers[i].len_bytes != len_bytes)
            continue;
        all.covers[i] = all.covers[--all.covers_n];
        break;
    }
    forget_everywhere(addr, len_bytes);
    if (!all.covers_n) {
        free(all.covers);
        all.covers = NULL;
        all.covers_room = 0;
    }
    pthread_mutex_unlock(&all.lock);
}

void weft__regcache_forget(const void *addr, size_t len_bytes)
{
    pthread_mutex_lock(&all.lock);
    forget_everywhere(addr, len_bytes);
    pthread_mutex_unlock(&all.lock);
}
