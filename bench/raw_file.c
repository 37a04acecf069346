/* Through the page cache: pwrite from the mapping and fsync; pread into one buffer, and from there
 * into the region's file, which takes whole pages faster than its mapping faults them in. */
#include "raw_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench.h"

#define PIECE ((size_t)1 << 20)

static uint64_t save(const char *path, const struct weft_region *region)
{
    uint64_t start_ns = weft__now_ns();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fallocate(fd, 0, 0, (off_t)region->len_bytes) != 0)
        bench_die("make a file", -errno);
    for (size_t at = 0; at < region->len_bytes; at += PIECE)
        if (pwrite(fd, (const char *)region->base + at, PIECE, (off_t)at) != (ssize_t)PIECE)
            bench_die("write a file", -errno);
    if (fsync(fd) != 0)
        bench_die("sync a file", -errno);
    close(fd);
    return weft__now_ns() - start_ns;
}

static uint64_t load(const char *path, const struct weft_region *region)
{
    uint64_t start_ns = weft__now_ns();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buffer = aligned_alloc(WEFT_REGION_PAGE, PIECE);
    if (fd < 0 || !buffer)
        bench_die("open a file", -errno);
    for (size_t at = 0; at < region->len_bytes; at += PIECE)
        if (pread(fd, buffer, PIECE, (off_t)at) != (ssize_t)PIECE ||
            pwrite(region->fd, buffer, PIECE, (off_t)at) != (ssize_t)PIECE)
            bench_die("read a file", -errno);
    free(buffer);
    close(fd);
    return weft__now_ns() - start_ns;
}

const struct raw_file_way raw_file_buffered = {.name = "buffered", .save = save, .load = load};
