/* Reads and writes by threads with pread and pwrite, for where io_uring is not permitted.
 *
 * Two lists under one lock: what is to be done, first come first served, and what is over. As many
 * threads as requests may be in flight, but few: a disk that needs more is not found where io_uring
 * is not.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "snapshot/file_io.h"
#include "weft/error.h"

enum { THREADS_MAX = 8 };

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t todo_more, done_more;
    struct weft_file_op *todo, **todo_end, *done;
    bool closed;
    unsigned threads_n;
    pthread_t threads[THREADS_MAX];
};

static int64_t run(const struct weft_file_op *op)
{
    ssize_t n;
    do
        n = op->write ? pwrite(op->fd, op->bytes, op->len_bytes, (off_t)op->offset)
                      : pread(op->fd, op->bytes, op->len_bytes, (off_t)op->offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void *work(void *arg)
{
    struct queue *queue = arg;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct weft_file_op *op = queue->todo;
        if (op == NULL && queue->closed)
            break;
        if (op == NULL) {
            pthread_cond_wait(&queue->todo_more, &queue->lock);
            continue;
        }
        queue->todo = op->link;
        if (queue->todo == NULL)
            queue->todo_end = &queue->todo;
        pthread_mutex_unlock(&queue->lock);
        op->result = run(op);
        pthread_mutex_lock(&queue->lock);
        op->link = queue->done;
        queue->done = op;
        pthread_cond_signal(&queue->done_more);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

static int threads_supported(void)
{
    return WEFT_OK;
}

static void threads_close(void *arg)
{
    struct queue *queue = arg;
    pthread_mutex_lock(&queue->lock);
    weft__check(queue->todo == NULL);
    queue->closed = true;
    pthread_cond_broadcast(&queue->todo_more);
    pthread_mutex_unlock(&queue->lock);
    for (unsigned i = 0; i < queue->threads_n; i++)
        pthread_join(queue->threads[i], NULL);
    pthread_cond_destroy(&queue->todo_more);
    pthread_cond_destroy(&queue->done_more);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static int threads_open(uint32_t depth, void **queue_out)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to read and write files");
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->todo_more, NULL);
    pthread_cond_init(&queue->done_more, NULL);
    queue->todo_end = &queue->todo;
    while (queue->threads_n < depth && queue->threads_n < THREADS_MAX) {
        int err = pthread_create(&queue->threads[queue->threads_n], NULL, work, queue);
        if (err != 0 && queue->threads_n == 0) {
            threads_close(queue);
            return weft_fail(-err, "cannot start a thread to read and write files: %s",
                             strerror(err));
        }
        if (err != 0)
            break;
        queue->threads_n++;
    }
    *queue_out = queue;
    return WEFT_OK;
}

static void threads_start(void *arg, struct weft_file_op *op)
{
    struct queue *queue = arg;
    op->link = NULL;
    pthread_mutex_lock(&queue->lock);
    *queue->todo_end = op;
    queue->todo_end = &op->link;
    pthread_cond_signal(&queue->todo_more);
    pthread_mutex_unlock(&queue->lock);
}

static struct weft_file_op *threads_next(void *arg)
{
    struct queue *queue = arg;
    pthread_mutex_lock(&queue->lock);
    while (queue->done == NULL)
        pthread_cond_wait(&queue->done_more, &queue->lock);
    struct weft_file_op *op = queue->done;
    queue->done = op->link;
    pthread_mutex_unlock(&queue->lock);
    return op;
}

const struct weft_file_io weft__file_io_threads = {.name = "threads",
                                                   .supported = threads_supported,
                                                   .open = threads_open,
                                                   .start = threads_start,
                                                   .next = threads_next,
                                                   .close = threads_close};
