/* What lies under a tracked range, as /proc/self/maps tells.
 *
 * A range is refused rather than tracked by halves: where a page may not be written, or belongs to
 * another kind of memory, some tracker would answer for it wrongly or give it rights that it must
 * not have. Rejected: asking the caller for the kind of memory. A wrong answer there is found only
 * when changes are missing.
 */
#include "snapshot/track_ops.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "snapshot/region.h"
#include "weft/error.h"

struct line {
    uintptr_t low, high;
    char rights[5];
    uint64_t offset;
    unsigned major, minor;
    unsigned long inode;
};

static bool parse(const char *text, struct line *line)
{
    unsigned long low, high, offset;
    if (sscanf(text, "%lx-%lx %4s %lx %x:%x %lu", &low, &high, line->rights, &offset, &line->major,
               &line->minor, &line->inode) != 7)
        return false;
    line->low = low;
    line->high = high;
    line->offset = offset;
    return true;
}

static enum weft_track_memory kind_of(const struct line *line)
{
    if (line->rights[3] == 's')
        return WEFT_TRACK_SHARED;
    return line->inode ? WEFT_TRACK_PRIVATE_FILE : WEFT_TRACK_ANONYMOUS;
}

static bool same_file(int fd, const struct line *line)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_ino == line->inode && major(st.st_dev) == line->major &&
           minor(st.st_dev) == line->minor;
}

/* Checks the mapping that holds address `at`, the first one to be checked yet. */
static int take(struct weft_track *track, const struct line *line, uintptr_t at)
{
    const bool first = at == (uintptr_t)track->base;
    if (line->low > at)
        return weft_fail(WEFT_EINVAL, "cannot track the range at %p: nothing is mapped at 0x%lx",
                         (void *)track->base, (unsigned long)at);
    if (line->rights[0] != 'r' || line->rights[1] != 'w')
        return weft_fail(WEFT_EINVAL,
                         "cannot track the range at %p: 0x%lx-0x%lx in it is %s, not readable and "
                         "writable",
                         (void *)track->base, (unsigned long)line->low, (unsigned long)line->high,
                         line->rights);
    uint64_t offset = line->offset + (at - line->low);
    if (first) {
        track->memory = kind_of(line);
        track->file_offset = offset;
    }
    bool fits = kind_of(line) == track->memory;
    if (fits && track->memory == WEFT_TRACK_SHARED)
        fits = offset == track->file_offset + (at - (uintptr_t)track->base);
    if (!fits)
        return weft_fail(WEFT_EINVAL,
                         "cannot track the range at %p: from 0x%lx on it is memory of another kind "
                         "or file; track the parts",
                         (void *)track->base, (unsigned long)at);
    if (track->memory == WEFT_TRACK_SHARED && !same_file(track->fd, line))
        return weft_fail(WEFT_EINVAL,
                         "cannot track the range at %p: it is a shared mapping, and file "
                         "descriptor %d is not its file",
                         (void *)track->base, track->fd);
    return 0;
}

int weft__track_mapping(struct weft_track *track)
{
    uintptr_t at = (uintptr_t)track->base, end = at + track->len_bytes;
    char text[512];
    int err = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return weft_fail(WEFT_EIO, "cannot read /proc/self/maps: %s", strerror(errno));
    while (!err && at < end && fgets(text, sizeof(text), maps)) {
        struct line line;
        if (!parse(text, &line) || line.high <= at)
            continue;
        err = take(track, &line, at);
        at = line.high;
    }
    fclose(maps);
    if (!err && at < end)
        err = weft_fail(WEFT_EINVAL, "cannot track the range at %p: nothing is mapped at 0x%lx",
                        (void *)track->base, (unsigned long)at);
    return err;
}

int weft__track_file_data(struct weft_track *track,
                          int (*each)(struct weft_track *track, uint64_t offset, uint64_t len))
{
    const off_t begin = (off_t)track->file_offset, limit = begin + (off_t)track->len_bytes;
    off_t at = begin;
    while (at < limit) {
        off_t start = lseek(track->fd, at, SEEK_DATA);
        if ((start < 0 && errno == ENXIO) || start >= limit)
            return 0;
        off_t stop = start < 0 ? -1 : lseek(track->fd, start, SEEK_HOLE);
        if (stop < 0)
            return weft_fail(WEFT_EIO, "cannot find the touched pages of the range at %p: %s",
                             (void *)track->base, strerror(errno));
        if (stop > limit)
            stop = limit;
        int err = each(track, (uint64_t)(start - begin), (uint64_t)(stop - start));
        if (err)
            return err;
        at = stop;
    }
    return 0;
}

/* Adds what a mapping has of the region, if it can be tracked. The file tells of some mappings at a
 * time: one that grows meanwhile may reach back into those before. */
static int take_part(const struct weft_region *region, const struct line *line,
                     struct weft_extents *parts)
{
    const uintptr_t base = (uintptr_t)region->base, end = base + region->len_bytes;
    const struct weft_extent *last = parts->n ? &parts->at[parts->n - 1] : NULL;
    const uintptr_t behind = last ? base + last->offset + last->len_bytes : base;
    const uintptr_t low = line->low > behind ? line->low : behind;
    const uintptr_t high = line->high < end ? line->high : end;
    if (low >= high)
        return 0;
    const bool fits = line->rights[0] == 'r' && line->rights[1] == 'w' && line->rights[3] == 's' &&
                      line->offset + (low - line->low) == low - base && same_file(region->fd, line);
    return fits ? weft__extents_add(parts, low - base, high - low) : 0;
}

int weft__track_parts(const struct weft_region *region, struct weft_extents *parts_out)
{
    const uintptr_t base = (uintptr_t)region->base, end = base + region->len_bytes;
    char text[512];
    int err = 0;
    weft__extents_clear(parts_out);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return weft_fail(WEFT_EIO, "cannot read /proc/self/maps: %s", strerror(errno));
    while (!err && fgets(text, sizeof(text), maps)) {
        struct line line;
        if (parse(text, &line) && line.high > base && line.low < end)
            err = take_part(region, &line, parts_out);
    }
    fclose(maps);
    return err;
}
