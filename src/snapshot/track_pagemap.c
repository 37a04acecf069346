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
 */
#include "snapshot/track_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "snapshot/kernel.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define BATCH 512

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

/* What tells that a page without protection was not written. */
static uint64_t unwritten(const struct weft_track *track)
{
    switch (track->memory) {
    case WEFT_TRACK_ANONYMOUS:
        return PAGE_IS_PFNZERO;
    case WEFT_TRACK_PRIVATE_FILE:
        return PAGE_IS_FILE;
    default:
        return 0;
    }
}

static int fail_scan(const struct weft_track *track)
{
    return weft_fail(errno == ENOTTY || errno == EINVAL || errno == EPERM ? WEFT_ENOTSUP : WEFT_EIO,
                     "pagemap_scan: cannot scan the range at %p: %s", (void *)track->base,
                     strerror(errno));
}

/* Scans and protects; `but` are categories of pages to leave out. */
static int scan(struct weft_track *track, uint64_t but)
{
    struct page_region found[BATCH];
    const uint64_t base = (uintptr_t)track->base;
    struct pm_scan_arg arg = {.size = sizeof(arg),
                              .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
                              .start = base,
                              .end = base + track->len_bytes,
                              .vec = (uintptr_t)found,
                              .vec_len = BATCH,
                              .category_inverted = but,
                              .category_mask = PAGE_IS_WRITTEN | but,
                              .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                              .return_mask = PAGE_IS_WRITTEN};
    while (arg.start < arg.end) {
        int n = ioctl(kernel.pagemap, PAGEMAP_SCAN, &arg);
        if (n < 0)
            return fail_scan(track);
        for (int i = 0; i < n; i++)
            weft__pages_set(&track->dirty, (found[i].start - base) / WEFT_REGION_PAGE,
                            (found[i].end - found[i].start) / WEFT_REGION_PAGE);
        arg.start = arg.walk_end;
    }
    return 0;
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
    int err = scan(track, 0);
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
    return scan(track, unwritten(track));
}

const struct weft_track_ops weft__track_pagemap = {
    .name = "pagemap_scan", .start = start, .stop = stop, .gather = gather};
