/* The tracker that notes nothing: every page that was ever touched counts as written, each time.
 *
 * It is the answer where the kernel offers no tracker and the program owns SIGSEGV, and it costs
 * nothing until it is asked. What was touched is known without reading it: of a shared mapping its
 * file's data ranges; otherwise the page tables, by PAGEMAP_SCAN, which passes over what is not
 * there, or on kernels before 6.7 by /proc/self/pagemap, which has eight bytes for each page (1 GiB
 * of untouched memory: about 10 ms). Pages of a private mapping that still are the file's do not
 * count.
 */
#include "snapshot/track_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "snapshot/kernel.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define BATCH 512
/* Bits of an entry of /proc/self/pagemap. */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_FILE (UINT64_C(1) << 61)

static int fail_read(const struct weft_track *track)
{
    return weft_fail(WEFT_EIO, "cannot find the touched pages of the range at %p: %s",
                     (void *)track->base, strerror(errno));
}

static int add_data(struct weft_track *track, uint64_t offset, uint64_t len)
{
    size_t first = offset / WEFT_REGION_PAGE;
    size_t end = (offset + len + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE;
    weft__pages_set(&track->dirty, first, end - first);
    return 0;
}

static int gather_entries(struct weft_track *track, int pagemap)
{
    uint64_t entries[BATCH];
    for (size_t at = 0; at < track->pages_n;) {
        size_t n = track->pages_n - at < BATCH ? track->pages_n - at : BATCH;
        off_t where = (off_t)(((uintptr_t)track->base / WEFT_REGION_PAGE + at) * sizeof(uint64_t));
        ssize_t got = pread(pagemap, entries, n * sizeof(uint64_t), where);
        if (got < (ssize_t)sizeof(uint64_t))
            return fail_read(track);
        n = (size_t)got / sizeof(uint64_t);
        for (size_t i = 0; i < n; i++)
            if (entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED) && !(entries[i] & ENTRY_FILE))
                weft__pages_set(&track->dirty, at + i, 1);
        at += n;
    }
    return 0;
}

static int gather_scan(struct weft_track *track, int pagemap)
{
    struct page_region found[BATCH];
    struct pm_scan_arg arg = {.size = sizeof(arg),
                              .start = (uintptr_t)track->base,
                              .end = (uintptr_t)track->base + track->len_bytes,
                              .vec = (uintptr_t)found,
                              .vec_len = BATCH,
                              .category_inverted = PAGE_IS_FILE,
                              .category_mask = PAGE_IS_FILE,
                              .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                              .return_mask = PAGE_IS_PRESENT};
    while (arg.start < arg.end) {
        int n = ioctl(pagemap, PAGEMAP_SCAN, &arg);
        if (n < 0)
            return -errno;
        for (int i = 0; i < n; i++)
            add_data(track, found[i].start - (uintptr_t)track->base, found[i].end - found[i].start);
        arg.start = arg.walk_end;
    }
    return 0;
}

static int gather(struct weft_track *track)
{
    if (track->memory == WEFT_TRACK_SHARED)
        return weft__track_file_data(track, add_data);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return fail_read(track);
    int err = gather_scan(track, pagemap);
    if (err == -ENOTTY || err == -EINVAL)
        err = gather_entries(track, pagemap);
    else if (err)
        err = fail_read(track);
    close(pagemap);
    return err;
}

static int start(struct weft_track *track)
{
    (void)track;
    return 0;
}

static void stop(struct weft_track *track)
{
    (void)track;
}

const struct weft_track_ops weft__track_none = {
    .name = "none", .start = start, .stop = stop, .gather = gather};
