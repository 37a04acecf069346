/* Views by copy on write, which the kernel does: a first write to a page copies it.
 *
 * Resetting drops the copies (MADV_DONTNEED), which costs the pages written and is faster than
 * copying the bytes back; the mapping stays, so a tracker's registration and the address do too. A
 * region's file cannot shrink, so no view can meet a missing end.
 * Rejected: mapping anew to reset. It walks the same pages, and in between the range is nobody's.
 */
#include "snapshot/view.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "transport/regcache.h"
#include "weft/error.h"

static int map(struct weft_view *view_out, const struct weft_region *region, void *at,
               size_t len_bytes, int fixed)
{
    if (len_bytes == 0 || len_bytes % WEFT_REGION_PAGE || (uintptr_t)at % WEFT_REGION_PAGE)
        return weft_fail(WEFT_EINVAL,
                         "a view is whole pages, at a page's address: not 0x%zx bytes at %p",
                         len_bytes, at);
    if (len_bytes > region->len_bytes)
        return weft_fail(WEFT_ERANGE, "a view of 0x%zx bytes is longer than the region of 0x%zx",
                         len_bytes, region->len_bytes);
    void *base = mmap(at, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | fixed,
                      region->fd, 0);
    if (base == MAP_FAILED && errno == EEXIST)
        return weft_fail(WEFT_EEXIST,
                         "cannot map a view of 0x%zx bytes at %p: something else is mapped there",
                         len_bytes, at);
    if (base == MAP_FAILED)
        return weft_fail(-errno, "cannot map a view of 0x%zx bytes at %p: %s", len_bytes, at,
                         strerror(errno));
    weft__regcache_forget(base, len_bytes); /* where it lies over something */
    *view_out = (struct weft_view){.base = base, .len_bytes = len_bytes};
    return 0;
}

int weft__view_init(struct weft_view *view_out, const struct weft_region *region, void *at,
                    size_t len_bytes)
{
    return map(view_out, region, at, len_bytes, at ? MAP_FIXED_NOREPLACE : 0);
}

int weft__view_over(struct weft_view *view_out, const struct weft_region *region, void *over,
                    size_t len_bytes)
{
    if (!over)
        return weft_fail(WEFT_EINVAL, "a view over nothing");
    return map(view_out, region, over, len_bytes, MAP_FIXED);
}

void weft__view_fini(struct weft_view *view)
{
    if (view->base) {
        weft__regcache_forget(view->base, view->len_bytes);
        munmap(view->base, view->len_bytes);
    }
    *view = (struct weft_view){0};
}

int weft__view_reset(const struct weft_view *view)
{
    if (madvise(view->base, view->len_bytes, MADV_DONTNEED))
        return weft_fail(WEFT_EIO, "cannot drop what was written into the view at %p: %s",
                         view->base, strerror(errno));
    weft__regcache_forget(view->base, view->len_bytes);
    return 0;
}
