/* Tracking by the kernel: userfaultfd's asynchronous write protection and PAGEMAP_SCAN (6.7).
 *
 * A page that is write-protected loses the protection on its first write, inside the fault, with
 * nobody to be woken; PAGEMAP_SCAN returns the pages without it and puts it back in the same step.
 * System calls that write into the range (recv, read, process_vm_writev) fault like the program.
 * Untouched pages are not protected one by one, which would cost page tables for all of the range:
 * a page that is present and was never protected has been touched since. What separates writing
 * from reading there is the kind of memory: a read of anonymous memory maps the zero page, a read
 * of a private mapping the file's page, and both are told apart. A shared mapping has no such mark,
 * so its file's data is protected at the start and only a read of a hole, which fills it, counts.
 *
 * Rejected: UFFDIO_WRITEPROTECT over everything (64 GiB: 128 MiB of page tables, 60 ms a scan);
 * synchronous write protection (a thread to wake per page: 5 to 23 us); soft-dirty bits (kernels
 * are built without them, and the request still succeeds).
 *
 * One descriptor of each kind serves all ranges of the process.
 *
 * Figures (1 GiB shared, all of it touched, 1 % of the pages written at random, best of 5 on a
 * loaded machine with two processors): 0.9 us more for the first write to a page, 0.4 us to collect
 * it; a collect that finds nothing 0.7 ms, everything 15 ms; 64 GiB with some pages touched 0.02
 * ms. A private mapping costs 1.5 us to collect a page, because of its second scan.
 */
#include "snapshot/track_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "snapshot/kernel.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define BATCH 512
#define NEAR_BYTES (16 * WEFT_REGION_PAGE) /* apart, and still scanned in one go */

static struct {
    pthread_mutex_t lock;
    unsigned users;
    pid_t process; /* whose they are: a child has its own */
    int uffd, pagemap;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER, .uffd = -1, .pagemap = -1};

static int open_uffd(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd < 0)
        return weft_fail(errno == EMFILE ? WEFT_EMFILE : WEFT_ENOTSUP,
                         "pagemap_scan: no userfaultfd: %s", strerror(errno));
    struct uffdio_api api = {.api = UFFD_API,
                             .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED |
                                         UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
    if (ioctl(fd, UFFDIO_API, &api)) {
        close(fd);
        return weft_fail(WEFT_ENOTSUP, "pagemap_scan: this kernel has no asynchronous write "
                                       "protection; Linux 6.7 has");
    }
    return fd;
}

static int open_both(void)
{
    int uffd = open_uffd();
    if (uffd < 0)
        return uffd;
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0) {
        int err = weft_fail(errno == EMFILE ? WEFT_EMFILE : WEFT_ENOTSUP,
                            "pagemap_scan: cannot open /proc/self/pagemap: %s", strerror(errno));
        close(uffd);
        return err;
    }
    kernel.uffd = uffd;
    kernel.pagemap = pagemap;
    kernel.process = getpid();
    return 0;
}

static void close_both(void)
{
    close(kernel.uffd);
    close(kernel.pagemap);
    kernel.uffd = kernel.pagemap = -1;
}

static int kernel_get(void)
{
    int err = 0;
    pthread_mutex_lock(&kernel.lock);
    if (kernel.users && kernel.process != getpid()) {
        close_both();
        kernel.users = 0;
    }
    if (kernel.users == 0)
        err = open_both();
    if (!err)
        kernel.users++;
    pthread_mutex_unlock(&kernel.lock);
    return err;
}

static void kernel_put(void)
{
    pthread_mutex_lock(&kernel.lock);
    if (--kernel.users == 0)
        close_both();
    pthread_mutex_unlock(&kernel.lock);
}

static int fail_scan(const struct weft_track *track)
{
    return weft_fail(errno == ENOTTY || errno == EINVAL || errno == EPERM ? WEFT_ENOTSUP : WEFT_EIO,
                     "pagemap_scan: cannot scan the range at %p: %s", (void *)track->base,
                     strerror(errno));
}

struct range {
    uint64_t start, end; /* addresses */
};

/* A scan for pages that are there and not protected. */
static struct pm_scan_arg arg_for(const struct range *range, struct page_region *found)
{
    return (struct pm_scan_arg){.size = sizeof(struct pm_scan_arg),
                                .start = range->start,
                                .end = range->end,
                                .vec = (uintptr_t)found,
                                .vec_len = BATCH,
                                .category_mask = PAGE_IS_WRITTEN,
                                .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                                .return_mask = PAGE_IS_WRITTEN};
}

/* Protects the range and notes what was not, but for pages of the category `but`: those keep, or
 * with `all` get, protection without having been written. */
static int take(struct weft_track *track, const struct range *range, uint64_t but, bool all)
{
    struct page_region found[BATCH];
    struct pm_scan_arg arg = arg_for(range, found);
    arg.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
    arg.return_mask |= but;
    if (!all) {
        arg.category_inverted = but;
        arg.category_mask |= but;
    }
    while (arg.start < arg.end) {
        int n = ioctl(kernel.pagemap, PAGEMAP_SCAN, &arg);
        if (n < 0)
            return fail_scan(track);
        for (int i = 0; i < n; i++)
            if (!all || !(found[i].categories & but))
                weft__pages_set(&track->dirty,
                                (found[i].start - (uintptr_t)track->base) / WEFT_REGION_PAGE,
                                (found[i].end - found[i].start) / WEFT_REGION_PAGE);
        arg.start = arg.walk_end;
    }
    return 0;
}

/* Of a private mapping of a file. Whether a page is still the file's costs the kernel a cache miss,
 * so it is asked only about pages without protection; those that are get it, to be asked about no
 * more. */
static int take_private(struct weft_track *track, const struct range *range)
{
    struct page_region found[BATCH];
    struct pm_scan_arg arg = arg_for(range, found);
    int err = 0;
    while (!err && arg.start < arg.end) {
        int n = ioctl(kernel.pagemap, PAGEMAP_SCAN, &arg);
        if (n < 0)
            return fail_scan(track);
        for (int i = 0; !err && i < n; i++) {
            struct range near = {.start = found[i].start, .end = found[i].end};
            while (i + 1 < n && found[i + 1].start - near.end <= NEAR_BYTES)
                near.end = found[++i].end;
            err = take(track, &near, PAGE_IS_FILE, true);
        }
        arg.start = arg.walk_end;
    }
    return err;
}

static struct range range_of(const struct weft_track *track)
{
    return (struct range){.start = (uintptr_t)track->base,
                          .end = (uintptr_t)track->base + track->len_bytes};
}

static int protect_data(struct weft_track *track, uint64_t offset, uint64_t len)
{
    struct uffdio_writeprotect protect = {
        .range = {.start = (uintptr_t)track->base + offset,
                  .len = (len + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE},
        .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    while (ioctl(kernel.uffd, UFFDIO_WRITEPROTECT, &protect))
        if (errno != EAGAIN)
            return weft_fail(errno == ENOMEM ? WEFT_ENOMEM : WEFT_ENOTSUP,
                             "pagemap_scan: cannot protect the range at %p: %s",
                             (void *)track->base, strerror(errno));
    return 0;
}

static void unregister(const struct weft_track *track)
{
    struct uffdio_range range = {.start = (uintptr_t)track->base, .len = track->len_bytes};
    ioctl(kernel.uffd, UFFDIO_UNREGISTER, &range);
}

static int arm(struct weft_track *track)
{
    struct uffdio_register range = {
        .range = {.start = (uintptr_t)track->base, .len = track->len_bytes},
        .mode = UFFDIO_REGISTER_MODE_WP};
    struct weft_extents before = {0};
    if (ioctl(kernel.uffd, UFFDIO_REGISTER, &range))
        return weft_fail(errno == EBUSY ? WEFT_EBUSY : WEFT_ENOTSUP,
                         "pagemap_scan: userfaultfd does not take the range at %p: %s",
                         (void *)track->base, strerror(errno));
    const struct range whole = range_of(track);
    int err = take(track, &whole, 0, true);
    if (!err && track->memory == WEFT_TRACK_SHARED)
        err = weft__track_file_data(track, protect_data);
    if (!err)
        err = weft__pages_take(&track->dirty, &before); /* what was written before does not count */
    weft__extents_fini(&before);
    if (err)
        unregister(track);
    return err;
}

static int start(struct weft_track *track)
{
    int err = kernel_get();
    if (err)
        return err;
    err = arm(track);
    if (err)
        kernel_put();
    return err;
}

static void stop(struct weft_track *track)
{
    unregister(track);
    kernel_put();
}

static int gather(struct weft_track *track)
{
    const struct range whole = range_of(track);
    if (track->memory == WEFT_TRACK_PRIVATE_FILE)
        return take_private(track, &whole);
    return take(track, &whole, track->memory == WEFT_TRACK_ANONYMOUS ? PAGE_IS_PFNZERO : 0, false);
}

const struct weft_track_ops weft__track_pagemap = {
    .name = "pagemap_scan", .start = start, .stop = stop, .gather = gather};
