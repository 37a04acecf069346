/* Tracking by page protection: the first write to a page is a SIGSEGV, whose handler notes the page
 * and makes it writable. For kernels before 6.7.
 *
 * A page is writable exactly when it is in the set `open`, which the spin lock covers together with
 * the protection, so that a page that is written while the range is armed again is in this list or
 * the next. Signals are blocked while the lock is held, in the handler as in gather: a handler that
 * writes to the range cannot interrupt the holder. Faults that are not ours go to the handler that
 * was there before; one that finds its page writable by now (the tracker was stopped, another
 * thread was faster) just returns to the instruction.
 *
 * Each scattered page splits a mapping in two more. The kernel bounds them (vm.max_map_count), and
 * whatever else the process maps would fail too: beyond half of the bound whole blocks of 2 MiB are
 * opened, and where the kernel refuses even that, the whole range. What was opened counts as
 * written; weft__track_counts() and a warning say so.
 *
 * Figures, as in track_pagemap.c: 8.6 us for the first write to a page, 3.3 us to collect it and
 * protect it again; in order 11 and 0.1 us; a collect that finds nothing 0.02 ms.
 *
 * The kernel does not fault for system calls: recv() into a protected page is EFAULT. A landing
 * that is announced opens its pages, and they stay open until it is over.
 */
#include "snapshot/track_ops.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/log.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define SLOTS 1024
#define BLOCK_PAGES 512
#define MAPPINGS_DEFAULT 65530
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct segv {
    char *base;
    size_t pages_n;
    unsigned slot;
    bool warned;
    struct weft_extents extents; /* of gather */
    atomic_flag lock;            /* covers what follows */
    struct weft_pages open;
    long splits; /* between pages that are open and pages that are not */
    atomic_ullong faults, coarse_pages;
};

/* Where the handler looks; empty: base is 0. */
static struct slot {
    atomic_uintptr_t base, end;
    _Atomic(struct segv *) segv;
    atomic_uint users; /* handlers in it */
} slots[SLOTS];
static atomic_uint slots_high;
static atomic_long splits_total;
static long splits_max;

static struct {
    pthread_mutex_t lock;
    unsigned users;
    bool installed;
    struct sigaction before;
} handler = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock(struct segv *segv)
{
    for (unsigned spins = 0; atomic_flag_test_and_set(&segv->lock); spins++)
        if (spins % 64 == 63)
            sched_yield();
}

static void unlock(struct segv *segv)
{
    atomic_flag_clear(&segv->lock);
}

static long splits_of(const struct segv *segv, size_t first, size_t n)
{
    long splits = 0;
    for (size_t page = first ? first : 1; page <= first + n && page < segv->pages_n; page++)
        splits += weft__pages_has(&segv->open, page - 1) != weft__pages_has(&segv->open, page);
    return splits;
}

static void add_splits(struct segv *segv, long more)
{
    segv->splits += more;
    atomic_fetch_add(&splits_total, more);
}

/* Makes pages writable and notes it; the lock is held. */
static bool open_pages(struct segv *segv, size_t first, size_t n)
{
    long before = splits_of(segv, first, n);
    if (mprotect(segv->base + first * WEFT_REGION_PAGE, n * WEFT_REGION_PAGE,
                 PROT_READ | PROT_WRITE))
        return false;
    weft__pages_set(&segv->open, first, n);
    add_splits(segv, splits_of(segv, first, n) - before);
    return true;
}

/* Opens a page that was written, with its neighbours where it must be; the lock is held. */
static bool open_page(struct segv *segv, size_t page)
{
    if (weft__pages_has(&segv->open, page))
        return true;
    size_t first = page, n = 1;
    if (atomic_load(&splits_total) >= splits_max) {
        first = page / BLOCK_PAGES * BLOCK_PAGES;
        n = segv->pages_n - first < BLOCK_PAGES ? segv->pages_n - first : BLOCK_PAGES;
    }
    atomic_fetch_add(&segv->faults, 1);
    if (!open_pages(segv, first, n)) {
        first = 0;
        n = segv->pages_n;
        if (!open_pages(segv, first, n))
            return false;
    }
    atomic_fetch_add(&segv->coarse_pages, n - 1);
    return true;
}

/* Whether it was a write to a tracked page, which is writable now. */
static bool take_fault(uintptr_t at)
{
    unsigned high = atomic_load(&slots_high);
    for (unsigned i = 0; i < high; i++) {
        struct slot *slot = &slots[i];
        if (at < atomic_load(&slot->base) || at >= atomic_load(&slot->end))
            continue;
        bool taken = false;
        atomic_fetch_add(&slot->users, 1);
        struct segv *segv = atomic_load(&slot->segv);
        if (segv && at >= (uintptr_t)segv->base &&
            (at - (uintptr_t)segv->base) / WEFT_REGION_PAGE < segv->pages_n) {
            lock(segv);
            taken = open_page(segv, (at - (uintptr_t)segv->base) / WEFT_REGION_PAGE);
            unlock(segv);
        }
        atomic_fetch_sub(&slot->users, 1);
        return taken;
    }
    return false;
}

#define PAGE_FAULT_WRITE 2 /* bit of the x86 error code */

static bool is_write(const siginfo_t *info, const ucontext_t *context)
{
#if defined(__x86_64__)
    (void)info;
    return context->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE;
#elif defined(__aarch64__)
    return info->si_addr != (void *)context->uc_mcontext.pc; /* no fetch; and reads are allowed */
#else
#error "track_segv.c knows x86-64 and aarch64"
#endif
}

/* Whether the page can be written by now. */
static bool is_writable(uintptr_t at)
{
    return madvise((void *)(at - at % WEFT_REGION_PAGE), WEFT_REGION_PAGE, MADV_POPULATE_WRITE) ==
           0;
}

static void pass_on(int number, siginfo_t *info, ucontext_t *context)
{
    const struct sigaction *before = &handler.before;
    const bool sent = info->si_code <= 0; /* by kill(), not by an instruction */
    if (!(before->sa_flags & SA_SIGINFO) &&
        (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)) {
        const struct sigaction ending = {.sa_handler = SIG_DFL};
        if (sent && before->sa_handler == SIG_IGN)
            return;
        sigaction(number, &ending, NULL); /* the instruction repeats, and ends the process */
        if (sent)
            raise(number);
        return;
    }
    sigset_t mask = before->sa_mask;
    sigorset(&mask, &mask, &context->uc_sigmask);
    if (!(before->sa_flags & SA_NODEFER))
        sigaddset(&mask, number);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else
        before->sa_handler(number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const int errno_before = errno;
    const uintptr_t at = (uintptr_t)info->si_addr;
    bool ours = info->si_code == SEGV_ACCERR && is_write(info, context) &&
                (take_fault(at) || is_writable(at));
    errno = errno_before;
    if (!ours)
        pass_on(number, info, context);
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_fault;
}

static void read_bound(void)
{
    long mappings = MAPPINGS_DEFAULT;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file) {
        if (fscanf(file, "%ld", &mappings) != 1 || mappings < 16)
            mappings = MAPPINGS_DEFAULT;
        fclose(file);
    }
    splits_max = mappings / 2;
}

static int handler_get(void)
{
    struct sigaction now, own = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int err = 0;
    sigfillset(&own.sa_mask);
    pthread_mutex_lock(&handler.lock);
    sigaction(SIGSEGV, NULL, &now);
    if (handler.installed && !is_ours(&now)) {
        err =
            weft_fail(WEFT_EBUSY, "segv: another part of the program has taken over SIGSEGV since "
                                  "tracking began; it must do so before");
    } else if (!handler.installed) {
        read_bound();
        handler.before = now;
        handler.installed = sigaction(SIGSEGV, &own, NULL) == 0;
        if (!handler.installed)
            err = weft_fail(WEFT_ENOTSUP, "segv: cannot handle SIGSEGV: %s", strerror(errno));
    }
    handler.users += err == 0;
    pthread_mutex_unlock(&handler.lock);
    return err;
}

static void handler_put(void)
{
    struct sigaction now;
    pthread_mutex_lock(&handler.lock);
    if (--handler.users == 0 && sigaction(SIGSEGV, NULL, &now) == 0 && is_ours(&now)) {
        sigaction(SIGSEGV, &handler.before, NULL);
        handler.installed = false;
    } /* else somebody may pass his faults on to it */
    pthread_mutex_unlock(&handler.lock);
}

/* Thread: under handler.lock. */
static bool publish(struct segv *segv)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[i];
        if (atomic_load(&slot->segv))
            continue;
        segv->slot = i;
        atomic_store(&slot->segv, segv);
        atomic_store(&slot->end, (uintptr_t)segv->base + segv->pages_n * WEFT_REGION_PAGE);
        atomic_store(&slot->base, (uintptr_t)segv->base);
        if (i >= atomic_load(&slots_high))
            atomic_store(&slots_high, i + 1);
        return true;
    }
    return false;
}

static void withdraw(struct segv *segv)
{
    struct slot *slot = &slots[segv->slot];
    atomic_store(&slot->base, 0);
    atomic_store(&slot->end, 0);
    atomic_store(&slot->segv, NULL);
    while (atomic_load(&slot->users)) /* a handler takes microseconds */
        sched_yield();
}

static void segv_free(struct segv *segv)
{
    atomic_fetch_sub(&splits_total, segv->splits);
    weft__pages_fini(&segv->open);
    weft__extents_fini(&segv->extents);
    free(segv);
}

static int segv_new(const struct weft_track *track, struct segv **segv_out)
{
    struct segv *segv = calloc(1, sizeof(*segv));
    if (!segv)
        return weft_fail(WEFT_ENOMEM, "no memory for a tracker");
    segv->base = track->base;
    segv->pages_n = track->pages_n;
    atomic_flag_clear(&segv->lock);
    int err = weft__pages_init(&segv->open, track->pages_n);
    if (err) {
        free(segv);
        return err;
    }
    *segv_out = segv;
    return 0;
}

static int arm(struct segv *segv)
{
    pthread_mutex_lock(&handler.lock);
    bool published = publish(segv);
    pthread_mutex_unlock(&handler.lock);
    if (!published)
        return weft_fail(WEFT_EAGAIN, "segv: %d ranges are tracked already", SLOTS);
    if (mprotect(segv->base, segv->pages_n * WEFT_REGION_PAGE, PROT_READ)) {
        int err = weft_fail(-errno, "segv: cannot protect the range at %p: %s", (void *)segv->base,
                            strerror(errno));
        withdraw(segv);
        return err;
    }
    return 0;
}

static int start(struct weft_track *track)
{
    struct segv *segv;
    int err = segv_new(track, &segv);
    if (err)
        return err;
    err = handler_get();
    if (!err) {
        err = arm(segv);
        if (err)
            handler_put();
    }
    if (err)
        segv_free(segv);
    else
        track->own = segv;
    return err;
}

static void stop(struct weft_track *track)
{
    struct segv *segv = track->own;
    mprotect(segv->base, segv->pages_n * WEFT_REGION_PAGE, PROT_READ | PROT_WRITE);
    withdraw(segv);
    segv_free(segv);
    handler_put();
}

/* The landing that covers a page, else NULL, and before which page the next one begins. */
static const struct weft_landing *landing_at(const struct weft_track *track, size_t page,
                                             size_t *next_out)
{
    for (size_t i = 0; i < track->landings_n; i++) {
        const struct weft_landing *landing = &track->landings[i];
        if (landing->first_page <= page && page < landing->first_page + landing->pages)
            return landing;
        if (landing->first_page > page && landing->first_page < *next_out)
            *next_out = landing->first_page;
    }
    return NULL;
}

/* Protects [page, end) but for what lands just now, which stays open. */
static void close_pages(struct weft_track *track, size_t page, size_t end)
{
    struct segv *segv = track->own;
    while (page < end) {
        size_t next = end;
        const struct weft_landing *landing = landing_at(track, page, &next);
        if (landing && landing->first_page + landing->pages < end)
            next = landing->first_page + landing->pages;
        if (landing || mprotect(segv->base + page * WEFT_REGION_PAGE,
                                (next - page) * WEFT_REGION_PAGE, PROT_READ))
            weft__pages_set(&segv->open, page, next - page);
        page = next;
    }
}

static long count_splits(const struct segv *segv)
{
    long splits = 0;
    for (size_t i = 0; i < segv->extents.n; i++) {
        const struct weft_extent *run = &segv->extents.at[i];
        splits +=
            splits_of(segv, run->offset / WEFT_REGION_PAGE, run->len_bytes / WEFT_REGION_PAGE);
    }
    return splits;
}

static int gather(struct weft_track *track)
{
    struct segv *segv = track->own;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lock(segv);
    int err = weft__pages_take(&segv->open, &segv->extents);
    for (size_t i = 0; !err && i < segv->extents.n; i++) {
        size_t first = segv->extents.at[i].offset / WEFT_REGION_PAGE;
        size_t n = segv->extents.at[i].len_bytes / WEFT_REGION_PAGE;
        weft__pages_set(&track->dirty, first, n);
        close_pages(track, first, first + n);
    }
    if (!err)
        add_splits(segv, count_splits(segv) - segv->splits);
    unlock(segv);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    track->counts.faults = atomic_load(&segv->faults);
    track->counts.coarse_pages = atomic_load(&segv->coarse_pages);
    if (track->counts.coarse_pages && !segv->warned) {
        segv->warned = true;
        weft__warn("the range at %p has more scattered writes than the kernel maps apart "
                   "(vm.max_map_count): blocks of 2 MiB count as written; raise it or use "
                   "pagemap_scan (Linux 6.7)",
                   (void *)track->base);
    }
    return err;
}

static void admit(struct weft_track *track, const struct weft_landing *landing)
{
    struct segv *segv = track->own;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lock(segv);
    if (!open_pages(segv, landing->first_page, landing->pages))
        open_pages(segv, 0, segv->pages_n);
    unlock(segv);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

const struct weft_track_ops weft__track_segv = {
    .name = "segv", .start = start, .stop = stop, .gather = gather, .admit = admit};
