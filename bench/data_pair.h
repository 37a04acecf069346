/* Two ends that pass messages and memory between them, and what is timed of them.
 *
 * A kind of ends (weft's endpoints, lanes, raw libfabric, raw sockets) implements the same tasks.
 * Side 0 asks and has the clock, side 1 answers; each is a process on a core of its own, or a
 * thread. Between tasks both block on a socket pair, so that pairs that are not being measured cost
 * nothing, and the measured path has no extra message. */
#ifndef WEFT_BENCH_DATA_PAIR_H
#define WEFT_BENCH_DATA_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"

enum data_what {
    DATA_PASS, /* n times: a message there, and one back. Microseconds of half of that, typically */
    DATA_RATE, /* bursts of n messages, at most window incomplete at a time (complete: the buffer
                  is reusable), each burst answered by one message when all have come. Messages
                  per second of the typical burst */
    DATA_GET,  /* bursts of n gets, window at a time, into the same window buffers over and over;
                  complete: the bytes are here. GB/s of the typical burst */
    DATA_PUT,  /* the same with puts; complete: the bytes are there */
};

struct data_task {
    enum data_what what;
    bool asleep;     /* both sides sleep in the kernel while they wait; else they spin */
    size_t bytes;    /* at most DATA_BYTES_MAX; messages: at most DATA_MESSAGE_MAX */
    unsigned window; /* at most DATA_WINDOW_MAX; times bytes: at most DATA_BYTES_MAX */
    unsigned n;
    unsigned bursts; /* RATE, GET, PUT */
    unsigned batch;  /* PASS: the clock is read once for so many; n is a multiple */
};

#define DATA_BYTES_MAX ((size_t)4 << 20)
#define DATA_MESSAGE_MAX ((size_t)64 << 10)
#define DATA_WINDOW_MAX 64u
#define DATA_STALL_NS (20 * WEFT_NS_PER_S) /* an end that hears nothing for so long gives up */

struct data_subject;

struct data_kind {
    /* Instead of all others: a peer that is a program and does both sides itself. NAN: it is not
     * here, or cannot do that. */
    double (*alone)(const struct data_subject *subject, const struct data_task *task, unsigned ms);
    /* One end, connected with the other: they exchange what they need through fd, with
     * bench_send and bench_receive. bytes: DATA_BYTES_MAX of the pair's, from and into which gets
     * and puts go, the same place at both ends; there until after close. NULL: there is no such
     * thing here; the end has said why. */
    void *(*open)(const struct data_subject *subject, unsigned side, int fd, unsigned char *bytes);
    void (*close)(void *end);
    bool (*can)(const struct data_subject *subject, const struct data_task *task); /* NULL: all */
    void (*turn)(void *end); /* lets it move what it has not moved yet; NULL: there is no such */
    double (*ask)(void *end, const struct data_task *task);
    void (*answer)(void *end, const struct data_task *task);
};

struct data_subject {
    const char *id;     /* "ofi_net", "raw_libfabric": the last part of its series' ids */
    const char *name;   /* weft, or the peer */
    const char *config; /* where and how it runs */
    const struct data_kind *kind;
    bool threads; /* the ends are threads of one process */
    /* for weft's */
    const struct weft_transport *transport;
    const char *provider;
    const char *scheme; /* of lanes */
    /* for programs */
    const char *program, *test;
};

/* How many times side 1 answers in a task (GET, PUT: it hears one message, and says nothing), and
 * how many messages it hears before each. */
static inline unsigned data_answers(const struct data_task *task)
{
    return task->what == DATA_PASS ? task->n : task->what == DATA_RATE ? task->bursts : 1;
}

static inline unsigned data_messages(const struct data_task *task)
{
    return task->what == DATA_RATE ? task->n : 1;
}

/* The result of any but PASS, of which one burst took so long. */
static inline double data_result(const struct data_task *task, double burst_ns)
{
    return (task->what == DATA_RATE ? 1e9 : (double)task->bytes) * task->n / burst_ns;
}

/* Touched, on pages of its own: none is made while the clock runs. */
unsigned char *data_memory(size_t len_bytes);

/* Where a side listens: BENCH_ADDRESS=SIDE0[,SIDE1] of the environment, or the loopback address. */
const char *data_address(unsigned side);

struct data_pair;

/* Forks: open all pairs before any of them is used. */
struct data_pair *data_pair_open(const struct data_subject *subject);
void data_pair_close(struct data_pair *pair);
/* Connects at the first use. false: there is no such thing here. */
bool data_pair_exists(struct data_pair *pair);
/* A warm-up, which also tells how many fit into the time, and then the task. NAN: the pair cannot
 * do that. task: n is its granularity, bursts is found, a window or batch of 0 is a usual one. */
double data_pair_measure(struct data_pair *pair, const struct data_task *task, unsigned ms);

#endif
