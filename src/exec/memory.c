/* Whether memory that a rank names can be read: asked of the kernel, which answers where a look of
 * our own would be a signal.
 *
 * A program may pass any address. Were one that is not mapped exposed or pulled into, each try to
 * move its bytes would fail for a reason that looks like a broken connection, and be tried again.
 * So the ends are looked at when it is named (a wild address, or a count that is too large, is
 * found there), and all of it when a transfer has failed. Of 1 MiB the ends take 0.9 us, all of it
 * 43 us; where the executor keeps books of the program's memory it is asked first, and takes 20 ns.
 */
#include <errno.h>
#include <sys/mman.h>

#include "exec/impl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#define PAGE ((uintptr_t)WEFT_REGION_PAGE)

/* Pages from one that holds the first byte to one that holds the last. */
static int populate(uintptr_t first, uintptr_t last)
{
    void *from = (void *)(first & ~(PAGE - 1)); /* NOLINT: whatever the program says */
    size_t len = (last & ~(PAGE - 1)) - (first & ~(PAGE - 1)) + PAGE;
    return madvise(from, len, MADV_POPULATE_READ) == 0 ? 0 : errno;
}

/* A kernel that does not know the question can say at least whether all is mapped. EINVAL is its
 * answer, and that of one which knows it and finds that reading is not permitted. */
static bool pages_are_there(uintptr_t first, uintptr_t last)
{
    char here = 0;
    int err = populate(first, last);
    if (err != EINVAL)
        return err != ENOMEM && err != EFAULT;
    if (populate((uintptr_t)&here, (uintptr_t)&here) == 0)
        return false;
    void *from = (void *)(first & ~(PAGE - 1)); /* NOLINT: whatever the program says */
    return msync(from, last - (first & ~(PAGE - 1)) + 1, MS_ASYNC) == 0;
}

bool weft__memory_is_there(const void *addr, size_t len_bytes, bool whole)
{
    uintptr_t first = (uintptr_t)addr, last = first + len_bytes - 1;
    if (len_bytes == 0)
        return true;
    if (last < first)
        return false;
    if (whole)
        return pages_are_there(first, last);
    return pages_are_there(first, first) && pages_are_there(last, last);
}

bool weft__memory_is_of(const struct weft__rank *rank, const void *addr, size_t len_bytes)
{
    const struct weft__executor *executor = rank->exec->executor;
    return (executor->holds && executor->holds(rank, addr, len_bytes)) ||
           weft__memory_is_there(addr, len_bytes, false);
}
