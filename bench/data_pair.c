/* A pair of ends: its second process or thread, and the tasks that both sides hear of.
 *
 * How long a task takes is found by running it shortly (which warms it up), so that every subject
 * gets the same time and not the same number of messages; the two sides always do the same
 * number. */
#include "data_pair.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "data.h"
#include "weft/error.h"

enum { WARM_UP = 2, BURSTS_MAX = 200, WINDOW = 8 };

struct data_pair {
    const struct data_subject *subject;
    void *end;
    unsigned char *bytes; /* this side's */
    int fd;
    bool tried;
    pid_t pid;        /* of the other side's process */
    pthread_t thread; /* or thread */
    int thread_fd;
};

const char *data_address(unsigned side)
{
    static char first[48];
    const char *all = getenv("BENCH_ADDRESS"), *comma = all ? strchr(all, ',') : NULL;
    if (!all)
        return "127.0.0.1";
    if (!comma || side == 1)
        return comma ? comma + 1 : all;
    snprintf(first, sizeof(first), "%.*s", (int)(comma - all), all);
    return first;
}

unsigned char *data_memory(size_t len_bytes)
{
    unsigned char *bytes = aligned_alloc(4096, len_bytes);
    if (!bytes)
        bench_die("memory", WEFT_ENOMEM);
    memset(bytes, 1, len_bytes);
    return bytes;
}

/* What an end has sent may still be with it when its part of a task is over. */
static void turn_until_heard(const struct data_subject *subject, void *end, int fd)
{
    bool heard;
    ssize_t n;
    do {
        if (subject->kind->turn)
            subject->kind->turn(end);
    } while ((n = recv(fd, &heard, sizeof(heard), MSG_DONTWAIT)) < 0 &&
             (errno == EAGAIN || errno == EINTR));
    if (n <= 0)
        bench_die(subject->id, WEFT_EPEERDEAD);
}

/* Gets and puts are checked, outside of what is timed: who gets starts with zeros and must see the
 * other side's bytes in the end. */
enum { THEIRS = 0x5a };

static bool receives(const struct data_task *task, unsigned side)
{
    return (task->what == DATA_GET && side == 0) || (task->what == DATA_PUT && side == 1);
}

static void prepare(unsigned char *bytes, const struct data_task *task, unsigned side)
{
    if (task->what == DATA_GET || task->what == DATA_PUT)
        memset(bytes, receives(task, side) ? 0 : THEIRS, task->window * task->bytes);
}

static void verify(const struct data_subject *subject, const unsigned char *bytes,
                   const struct data_task *task, unsigned side)
{
    if (!receives(task, side))
        return;
    size_t len = task->window * task->bytes;
    if (bytes[0] != THEIRS || memcmp(bytes, bytes + 1, len - 1) != 0) {
        fprintf(stderr, "bench-data: %s: bytes are missing\n", subject->id);
        exit(1);
    }
}

/* ---- the other side ---- */

static int answer_main(void *ctx, int fd)
{
    const struct data_subject *subject = ctx;
    struct data_task task;
    bool there;
    data_pin(1);
    if (!bench_receive(fd, &there, sizeof(there)))
        return 0; /* never used */
    unsigned char *bytes = data_memory(DATA_BYTES_MAX);
    void *end = subject->kind->open(subject, 1, fd, bytes);
    there = end != NULL;
    bench_send(fd, &there, sizeof(there));
    while (end && bench_receive(fd, &task, sizeof(task))) {
        prepare(bytes, &task, 1);
        bench_send(fd, &there, sizeof(there));
        subject->kind->answer(end, &task);
        turn_until_heard(subject, end, fd);
        verify(subject, bytes, &task, 1);
        bench_send(fd, &there, sizeof(there));
    }
    if (end)
        subject->kind->close(end);
    free(bytes);
    return 0;
}

static void *answer_thread(void *ctx)
{
    struct data_pair *pair = ctx;
    answer_main((void *)(uintptr_t)pair->subject, pair->thread_fd);
    close(pair->thread_fd);
    return NULL;
}

/* ---- this side ---- */

struct data_pair *data_pair_open(const struct data_subject *subject)
{
    struct data_pair *pair = calloc(1, sizeof(*pair));
    int fds[2];
    if (!pair)
        bench_die("memory", WEFT_ENOMEM);
    pair->subject = subject;
    if (subject->kind->alone)
        return pair;
    if (!subject->threads) {
        pair->pid = bench_fork(answer_main, (void *)(uintptr_t)subject, &pair->fd);
        return pair;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        bench_die("socketpair", -errno);
    pair->fd = fds[0];
    pair->thread_fd = fds[1];
    return pair;
}

bool data_pair_exists(struct data_pair *pair)
{
    bool there = true;
    if (pair->tried)
        return pair->end != NULL;
    pair->tried = true;
    data_pin(0);
    if (pair->subject->threads && pthread_create(&pair->thread, NULL, answer_thread, pair) != 0)
        bench_die("start a thread", WEFT_EAGAIN);
    bench_send(pair->fd, &there, sizeof(there));
    pair->bytes = data_memory(DATA_BYTES_MAX);
    pair->end = pair->subject->kind->open(pair->subject, 0, pair->fd, pair->bytes);
    if (pair->end && (!bench_receive(pair->fd, &there, sizeof(there)) || !there))
        bench_die(pair->subject->id, WEFT_EPEERDEAD);
    return pair->end != NULL;
}

void data_pair_close(struct data_pair *pair)
{
    if (pair->end)
        pair->subject->kind->close(pair->end);
    if (pair->subject->kind->alone) {
        free(pair);
        return;
    }
    if (!pair->subject->threads) {
        if (bench_join(pair->pid, pair->fd))
            bench_die("end the other side", WEFT_EPEERDEAD);
    } else {
        shutdown(pair->fd, SHUT_RDWR); /* other pairs' processes have a copy of it */
        close(pair->fd);
        if (pair->tried)
            pthread_join(pair->thread, NULL);
        else
            close(pair->thread_fd);
    }
    free(pair->bytes);
    free(pair);
}

static double run(struct data_pair *pair, const struct data_task *task)
{
    bool heard;
    prepare(pair->bytes, task, 0);
    bench_send(pair->fd, task, sizeof(*task));
    if (!bench_receive(pair->fd, &heard, sizeof(heard)))
        bench_die(pair->subject->id, WEFT_EPEERDEAD);
    double result = pair->subject->kind->ask(pair->end, task);
    bench_send(pair->fd, &heard, sizeof(heard));
    turn_until_heard(pair->subject, pair->end, pair->fd);
    verify(pair->subject, pair->bytes, task, 0);
    return result;
}

double data_pair_measure(struct data_pair *pair, const struct data_task *task, unsigned ms)
{
    struct data_task some = *task;
    some.window = task->window ? task->window : WINDOW;
    some.batch = task->batch ? task->batch : 1;
    if (pair->subject->kind->alone)
        return pair->subject->kind->alone(pair->subject, &some, ms);
    const struct data_kind *kind = pair->subject->kind;
    if (!data_pair_exists(pair) || (kind->can && !kind->can(pair->subject, &some)))
        return NAN;
    some.bursts = WARM_UP;
    uint64_t start_ns = weft__now_ns();
    run(pair, &some);
    double took_ms = (double)(weft__now_ns() - start_ns) / 1e6, fit = ms / took_ms;
    if (task->what == DATA_PASS)
        some.n = task->n * (unsigned)fmin(fmax(fit, 1), BENCH_SAMPLES_MAX);
    else
        some.bursts = (unsigned)fmin(fmax(fit * WARM_UP, 1), BURSTS_MAX);
    return run(pair, &some);
}
