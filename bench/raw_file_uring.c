/* Past the page cache by io_uring, DEPTH pieces in flight: written straight from the mapping, read
 * into buffers and from there into the region's file. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "base/clock.h"
#include "bench.h"
#include "raw_file.h"

#define PIECE ((size_t)1 << 20)

enum { DEPTH = 8 };

struct moving {
    const struct weft_region *region;
    struct io_uring ring;
    bool writes;
    int fd;
    char *buffers;         /* of reads */
    size_t offsets[DEPTH]; /* of what is in flight, by buffer */
    size_t asked;
};

static void ask(struct moving *moving, size_t slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&moving->ring);
    moving->offsets[slot] = moving->asked;
    if (moving->writes)
        io_uring_prep_write(sqe, moving->fd, (char *)moving->region->base + moving->asked, PIECE,
                            moving->asked);
    else
        io_uring_prep_read(sqe, moving->fd, moving->buffers + slot * PIECE, PIECE, moving->asked);
    io_uring_sqe_set_data64(sqe, slot);
    moving->asked += PIECE;
    if (io_uring_submit(&moving->ring) != 1)
        bench_die("io_uring", -EIO);
}

static size_t next(struct moving *moving)
{
    struct io_uring_cqe *cqe;
    if (io_uring_wait_cqe(&moving->ring, &cqe) != 0 || cqe->res != (int)PIECE)
        bench_die("io_uring", -EIO);
    size_t slot = io_uring_cqe_get_data64(cqe);
    io_uring_cqe_seen(&moving->ring, cqe);
    return slot;
}

static void move(struct moving *moving)
{
    const size_t len = moving->region->len_bytes;
    for (size_t slot = 0; slot < DEPTH && moving->asked < len; slot++)
        ask(moving, slot);
    for (size_t done = 0; done < len; done += PIECE) {
        size_t slot = next(moving);
        if (!moving->writes && pwrite(moving->region->fd, moving->buffers + slot * PIECE, PIECE,
                                      (off_t)moving->offsets[slot]) != (ssize_t)PIECE)
            bench_die("write into a region", -errno);
        if (moving->asked < len)
            ask(moving, slot);
    }
}

static bool is_permitted(void)
{
    struct io_uring ring;
    if (io_uring_queue_init(2, &ring, 0) != 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

/* 0: the file system or the kernel does not allow it. */
static uint64_t run(struct moving *moving, const char *path)
{
    if (!is_permitted())
        return 0;
    uint64_t start_ns = weft__now_ns();
    moving->fd = open(
        path, O_DIRECT | O_CLOEXEC | (moving->writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY),
        0600);
    if (moving->fd < 0 && errno == EINVAL)
        return 0;
    if (moving->fd < 0 ||
        (moving->writes && fallocate(moving->fd, 0, 0, (off_t)moving->region->len_bytes) != 0))
        bench_die("open a file", -errno);
    if (io_uring_queue_init(DEPTH, &moving->ring, 0) != 0)
        bench_die("io_uring", -EIO);
    move(moving);
    if (moving->writes && fsync(moving->fd) != 0)
        bench_die("sync a file", -errno);
    io_uring_queue_exit(&moving->ring);
    close(moving->fd);
    return weft__now_ns() - start_ns;
}

static uint64_t save(const char *path, const struct weft_region *region)
{
    struct moving moving = {.region = region, .writes = true};
    return run(&moving, path);
}

static uint64_t load(const char *path, const struct weft_region *region)
{
    struct moving moving = {.region = region};
    moving.buffers =
        mmap(NULL, DEPTH * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (moving.buffers == MAP_FAILED)
        bench_die("memory", -ENOMEM);
    uint64_t took_ns = run(&moving, path);
    munmap(moving.buffers, DEPTH * PIECE);
    return took_ns;
}

const struct raw_file_way raw_file_uring = {
    .name = "io_uring, O_DIRECT", .save = save, .load = load};
