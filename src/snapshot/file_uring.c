/* Reads and writes by io_uring: one ring per save or load, entered by its thread alone.
 *
 * Each request is submitted when it is started: they are large, so a system call for each is
 * nothing beside them. A submission that the kernel does not take becomes the result of its
 * request, so that whoever waits for it hears of it like of any other failure. Rejected: registered
 * buffers (no faster on files, and they count against RLIMIT_MEMLOCK); one ring for all (a lock
 * around it, and a slow disk would hold up a fast one).
 */
#include <liburing.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "snapshot/file_io.h"
#include "weft/error.h"

struct queue {
    struct io_uring ring;
    struct weft_file_op *failed; /* the kernel did not take them */
};

static int not_permitted(int errno_seen)
{
    return weft_fail(WEFT_ENOTSUP,
                     "io_uring cannot be used here: %s (see kernel.io_uring_disabled, and the "
                     "container's seccomp profile)",
                     strerror(errno_seen));
}

static int uring_supported(void)
{
    struct io_uring ring;
    int err = io_uring_queue_init(2, &ring, 0);
    if (err != 0)
        return not_permitted(-err);
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    bool able = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_READ) &&
                io_uring_opcode_supported(probe, IORING_OP_WRITE);
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return able ? WEFT_OK : not_permitted(EOPNOTSUPP);
}

/* A ring may lie where another thread's was a moment ago, and the library maps and unmaps by plain
 * system calls: the lock says so to those who look for races. */
static pthread_mutex_t mapping = PTHREAD_MUTEX_INITIALIZER;

static int uring_open(uint32_t depth, void **queue_out)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to read and write files");
    pthread_mutex_lock(&mapping);
    int err = io_uring_queue_init(depth, &queue->ring, 0);
    pthread_mutex_unlock(&mapping);
    if (err != 0) {
        free(queue);
        return weft_fail(err, "cannot make an io_uring of %u entries: %s", depth, strerror(-err));
    }
    *queue_out = queue;
    return WEFT_OK;
}

/* Takes the newest request back out of the ring: nobody but us has seen it. */
static void fail_start(struct queue *queue, struct weft_file_op *op, int err)
{
    queue->ring.sq.sqe_tail--;
    op->result = err;
    op->link = queue->failed;
    queue->failed = op;
}

static void uring_start(void *arg, struct weft_file_op *op)
{
    struct queue *queue = arg;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    int n;
    weft__check(sqe != NULL); /* there are as many as may be in flight */
    if (op->write)
        io_uring_prep_write(sqe, op->fd, op->bytes, op->len_bytes, op->offset);
    else
        io_uring_prep_read(sqe, op->fd, op->bytes, op->len_bytes, op->offset);
    io_uring_sqe_set_data(sqe, op);
    do
        n = io_uring_submit(&queue->ring);
    while (n == -EINTR);
    if (n < 0)
        fail_start(queue, op, n);
}

static struct weft_file_op *uring_next(void *arg)
{
    struct queue *queue = arg;
    struct weft_file_op *op = queue->failed;
    struct io_uring_cqe *cqe;
    int err;
    if (op != NULL) {
        queue->failed = op->link;
        return op;
    }
    do
        err = io_uring_wait_cqe(&queue->ring, &cqe);
    while (err == -EINTR);
    weft__check(err == 0); /* the kernel waits for requests it has, or says EINTR */
    op = io_uring_cqe_get_data(cqe);
    op->result = cqe->res;
    io_uring_cqe_seen(&queue->ring, cqe);
    return op;
}

static void uring_close(void *arg)
{
    struct queue *queue = arg;
    pthread_mutex_lock(&mapping);
    io_uring_queue_exit(&queue->ring);
    pthread_mutex_unlock(&mapping);
    free(queue);
}

const struct weft_file_io weft__file_io_uring = {.name = "io_uring",
                                                 .supported = uring_supported,
                                                 .open = uring_open,
                                                 .start = uring_start,
                                                 .next = uring_next,
                                                 .close = uring_close};
