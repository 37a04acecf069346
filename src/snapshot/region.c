/* Regions on memfds.
 *
 * The file has its full length from the start and is sealed against any other, so no access can
 * meet a missing end (SIGBUS). memfds are not counted against overcommit until touched, so a
 * reservation of 1 TiB is free. Touched pages are the file's data ranges: no bookkeeping of our
 * own, and nothing that a landing by the network could slip past. The address is asked for with
 * MAP_FIXED_NOREPLACE: a range that is taken is an error that names its holder, never replaced.
 * Rejected: anonymous memory (its touched pages need pagemap, and bytes land only by faulting each
 * page in, at two thirds of the speed of writing them into the file).
 */
#include "snapshot/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snapshot/track.h"
#include "transport/regcache.h"
#include "weft/error.h"

/* Describes the first mapping that overlaps [at, at + len). */
static void holder_of(uintptr_t at, size_t len_bytes, char *text, size_t room)
{
    unsigned long low, high;
    char line[512];
    snprintf(text, room, "taken");
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return;
    while (fgets(line, sizeof(line), maps)) {
        int name = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &low, &high, &name) != 2 || name == 0)
            continue;
        if (high <= at || low >= at + len_bytes)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, room, "0x%lx-0x%lx is held by %s", low, high,
                 line[name] ? line + name : "anonymous memory");
        break;
    }
    fclose(maps);
}

static int fail_map(const char *name, void *at, size_t len_bytes, int errno_seen)
{
    char holder[400];
    if (errno_seen == EEXIST) {
        holder_of((uintptr_t)at, len_bytes, holder, sizeof(holder));
        return weft_fail(WEFT_EEXIST,
                         "cannot reserve 0x%zx bytes at %p for %s: %s; choose another base address",
                         len_bytes, at, name, holder);
    }
    return weft_fail(-errno_seen,
                     "cannot reserve 0x%zx bytes at %p for %s: %s; choose less memory per rank or "
                     "raise the limit "
                     "(ulimit -v)",
                     len_bytes, at, name, strerror(errno_seen));
}

static int map(struct weft_region *region, const char *name, void *at)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
    void *base = mmap(at, region->len_bytes, PROT_READ | PROT_WRITE, flags, region->fd, 0);
    if (base == MAP_FAILED)
        return fail_map(name, at, region->len_bytes, errno);
    if (at && base != at) { /* a kernel that takes the address as a wish */
        munmap(base, region->len_bytes);
        return fail_map(name, at, region->len_bytes, EEXIST);
    }
    region->base = base;
    weft__regcache_cover(base, region->len_bytes);
    return 0;
}

int weft__region_init(struct weft_region *region_out, const char *name, void *at, size_t len_bytes)
{
    struct weft_region region = {.len_bytes = len_bytes, .fd = -1};
    if (len_bytes == 0 || len_bytes % WEFT_REGION_PAGE || len_bytes > WEFT_REGION_MAX_BYTES ||
        (uintptr_t)at % WEFT_REGION_PAGE)
        return weft_fail(
            WEFT_EINVAL,
            "a region is whole pages, at most 1 TiB, at a page's address: not 0x%zx bytes at %p",
            len_bytes, at);
    region.fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (region.fd < 0)
        return weft_fail(-errno, "cannot make the memory file of %s: %s", name, strerror(errno));
    int err = 0;
    if (ftruncate(region.fd, (off_t)len_bytes) ||
        fcntl(region.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        err = weft_fail(-errno,
                        "cannot size the memory file of %s to 0x%zx bytes: %s (see ulimit -f)",
                        name, len_bytes, strerror(errno));
    if (!err)
        err = map(&region, name, at);
    if (err) {
        close(region.fd);
        return err;
    }
    *region_out = region;
    return 0;
}

void weft__region_fini(struct weft_region *region)
{
    if (!region->base)
        return;
    weft__regcache_uncover(region->base, region->len_bytes);
    munmap(region->base, region->len_bytes);
    close(region->fd);
    *region = (struct weft_region){.fd = -1};
}

int weft__region_touched(const struct weft_region *region, struct weft_extents *extents_out)
{
    off_t end = 0;
    weft__extents_clear(extents_out);
    for (;;) {
        off_t start = lseek(region->fd, end, SEEK_DATA);
        if (start < 0 && errno == ENXIO)
            return 0; /* nothing but a hole up to the end */
        end = start < 0 ? -1 : lseek(region->fd, start, SEEK_HOLE);
        if (end < 0)
            return weft_fail(WEFT_EIO, "cannot find the touched pages of the region at %p: %s",
                             region->base, strerror(errno));
        if (end == start) /* it has been given back just now */
            continue;
        int err = weft__extents_add(extents_out, (uint64_t)start, (uint64_t)(end - start));
        if (err)
            return err;
    }
}

static int write_all(const struct weft_region *region, uint64_t offset, const void *data,
                     size_t len_bytes)
{
    while (len_bytes) {
        ssize_t n = pwrite(region->fd, data, len_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return weft_fail(n < 0 ? -errno : WEFT_EIO,
                             "cannot write into the region at %p, offset 0x%llx: %s", region->base,
                             (unsigned long long)offset,
                             n < 0 ? strerror(errno) : "nothing was taken");
        data = (const char *)data + n;
        offset += (uint64_t)n;
        len_bytes -= (size_t)n;
    }
    return 0;
}

int weft__region_write(const struct weft_region *region, uint64_t offset, const void *data,
                       size_t len_bytes)
{
    if (offset > region->len_bytes || len_bytes > region->len_bytes - offset)
        return weft_fail(WEFT_ERANGE,
                         "a write of 0x%zx bytes at offset 0x%llx leaves the region of 0x%zx bytes",
                         len_bytes, (unsigned long long)offset, region->len_bytes);
    const char *at = (const char *)region->base + offset;
    weft__region_will_write(at, len_bytes);
    int err = write_all(region, offset, data, len_bytes);
    weft__region_written(at, len_bytes);
    return err;
}

static int check_pages(const struct weft_region *region, uint64_t offset, uint64_t len_bytes)
{
    if (offset <= region->len_bytes && len_bytes <= region->len_bytes - offset)
        return 0;
    return weft_fail(WEFT_ERANGE, "0x%llx bytes at offset 0x%llx leave the region of 0x%zx bytes",
                     (unsigned long long)len_bytes, (unsigned long long)offset, region->len_bytes);
}

int weft__region_reserve(const struct weft_region *region, uint64_t offset, uint64_t len_bytes)
{
    int err = check_pages(region, offset, len_bytes);
    if (err)
        return err;
    weft__region_will_write((const char *)region->base + offset, len_bytes); /* zeros, in a hole */
    weft__region_written((const char *)region->base + offset, len_bytes);
    while (len_bytes > 0 && fallocate(region->fd, 0, (off_t)offset, (off_t)len_bytes) != 0)
        if (errno != EINTR)
            return weft_fail(-errno,
                             "no memory for 0x%llx bytes at offset 0x%llx of the region at %p: %s",
                             (unsigned long long)len_bytes, (unsigned long long)offset,
                             region->base, strerror(errno));
    return 0;
}

static int punch(const struct weft_region *region, uint64_t offset, uint64_t len_bytes)
{
    while (fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)len_bytes) != 0)
        if (errno != EINTR)
            return weft_fail(-errno,
                             "cannot give back 0x%llx bytes at offset 0x%llx of the region at %p: "
                             "%s",
                             (unsigned long long)len_bytes, (unsigned long long)offset,
                             region->base, strerror(errno));
    return 0;
}

/* The kernel keeps the protection of pages that are punched: trackers would take one that is read
 * afterwards, as zeros, for what it was before. */
int weft__region_punch(const struct weft_region *region, uint64_t offset, uint64_t len_bytes)
{
    const char *at = (const char *)region->base + offset;
    int err = check_pages(region, offset, len_bytes);
    if (err || len_bytes == 0)
        return err;
    weft__region_will_write(at, len_bytes);
    err = punch(region, offset, len_bytes);
    weft__region_written(at, len_bytes);
    if (!err)
        weft__regcache_forget(at, len_bytes);
    return err;
}
