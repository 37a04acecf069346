/* A bounded cache of memory registrations, for transports whose network card pins the pages that it
 * reaches. Registering such memory costs as much as moving it, so a registration is kept for the
 * next operation on the same bytes.
 *
 * A kept registration is good only as long as its addresses mean the same pages. So it is kept for
 * covered ranges alone: whoever maps memory says weft__regcache_cover() of it, and tells of every
 * change to the mapping. Memory that nobody vouches for is registered for one use.
 */
#ifndef WEFT_TRANSPORT_REGCACHE_H
#define WEFT_TRANSPORT_REGCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft_regcache;

struct weft_registration {
    void *handle; /* what make() has returned */
    struct weft_registration *before, *after;
    uintptr_t addr;
    size_t len_bytes;
    uint32_t access;
    bool exact, once;
    unsigned uses;
    bool stale; /* found by nobody any more; ends with its last use */
};

struct weft_regcache_desc {
    /* Registers.  Errors: any; WEFT_ENOMEM and WEFT_EAGAIN: it is tried again when the
     * registrations that nobody uses have ended. */
    int (*make)(void *ctx, void *addr, size_t len_bytes, uint32_t access, void **handle_out);
    void (*end)(void *ctx, void *handle);
    void *ctx;
    size_t bytes_max;     /* registered at a time, those in use included; 0: none is kept */
    unsigned entries_max; /* the same, in number */
};

struct weft_regcache_want {
    void *addr;
    size_t len_bytes;
    uint32_t access; /* the transport's own bits; one that grants more serves as well */
    bool exact;      /* of this range and access only: a key to it leaves the process */
    bool once;       /* ends with its last use, unless another one has wanted it kept */
};

struct weft_regcache_stats {
    uint64_t hits, misses;   /* misses: registered */
    uint64_t waits;          /* for another thread that was registering the same */
    uint64_t evicted;        /* ended for the bounds' sake */
    uint64_t forgotten;      /* ended because their memory has gone */
    uint64_t entries, bytes; /* now */
};

/* Thread: where it says "the owner", every thread for which make() and end() may run at a time; the
 * uses are their own.  Errors: WEFT_ENOMEM. */
int weft__regcache_open(const struct weft_regcache_desc *desc, struct weft_regcache **cache_out);
/* Ends every registration, those in use too.  NULL is fine.  Thread: the owner. */
void weft__regcache_close(struct weft_regcache *cache);
/* A registration that covers the range, kept or made now; one use of it is the caller's.  Thread:
 * the owner.  Blocks: while another thread makes one that serves.  Errors: WEFT_ENOMEM; those of
 * make(). */
int weft__regcache_get(struct weft_regcache *cache, const struct weft_regcache_want *want,
                       struct weft_registration **out);
/* Ends one use.  Thread: the owner. */
void weft__regcache_put(struct weft_regcache *cache, struct weft_registration *registration);
/* Ends those whose memory has gone and that nobody uses.  Costs a load where there are none.
 * Thread: the owner. */
void weft__regcache_sweep(struct weft_regcache *cache);
/* Thread: any. */
void weft__regcache_stats(struct weft_regcache *cache, struct weft_regcache_stats *stats_out);

/* From now on registrations of this range may be kept, in every cache of the process.  Where there
 * is no memory to note it, none is.  Thread: any. */
void weft__regcache_cover(const void *addr, size_t len_bytes);
/* The reverse, before the range is unmapped: what lies in it is forgotten. For a part of a covered
 * range, or one that never was, it is weft__regcache_forget().  Thread: any. */
void weft__regcache_uncover(const void *addr, size_t len_bytes);
/* The addresses mean other pages now, or none: after munmap, mremap, mmap over it, MADV_DONTNEED or
 * a shrinking break, and before anybody uses the range again. No operation that begins later uses
 * an old registration of it. Those under way keep theirs until they end.  Thread: any. */
void weft__regcache_forget(const void *addr, size_t len_bytes);

#endif
