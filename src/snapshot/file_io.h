/* Reads and writes in flight: by io_uring, or by threads where that is not permitted. */
#ifndef WEFT_SNAPSHOT_FILE_IO_H
#define WEFT_SNAPSHOT_FILE_IO_H

#include <stdbool.h>
#include <stdint.h>

/* In the caller's memory until it comes back from next(). */
struct weft_file_op {
    int fd;
    bool write;
    uint32_t len_bytes;
    uint64_t offset;
    void *bytes;
    int64_t result; /* bytes, maybe fewer than asked for, or -errno */
    struct weft_file_op *link;
};

/* All functions but supported(): one thread at a time per queue.  */
struct weft_file_io {
    const char *name;
    /* Whether this process may use it: tried, not looked up.  Errors: WEFT_ENOTSUP, with the
     * reason. */
    int (*supported)(void);
    /* depth: how many may be in flight.  Errors: WEFT_ENOMEM, or what the kernel says. */
    int (*open)(uint32_t depth, void **queue_out);
    /* Never more than depth.  Blocks: no. */
    void (*start)(void *queue, struct weft_file_op *op);
    /* One that is over, in any order; at least one is in flight.  Blocks: until the disk has done
     * it. */
    struct weft_file_op *(*next)(void *queue);
    /* Nothing is in flight. */
    void (*close)(void *queue);
};

extern const struct weft_file_io
    weft__file_io_uring; /* never supported where it was built without */
extern const struct weft_file_io weft__file_io_threads;

#endif
