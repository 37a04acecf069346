/* Two threads at their best, as ends: a cache line that both write in turn, and memcpy.
 *
 * The word lies alone on its line, two lines apart from everything else, as prefetchers fetch
 * pairs. Each thread spins on a plain load and answers with a plain store, which is as little as a
 * message between threads can cost. A get is memcpy from the other thread's memory into this one's.
 * Both threads are placed like the ends of inproc, and copy the same buffers over and over. */
#include "raw_memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data_ends.h"
#include "weft/error.h"

struct line {
    _Alignas(128) _Atomic uint64_t word;
    _Alignas(128) char end;
};

struct end {
    struct line *line; /* side 0's */
    struct line own;
    uint64_t trips; /* so far: the word is twice that */
    unsigned char *bytes, *theirs;
};

struct greeting {
    struct line *line;
    unsigned char *bytes;
};

double raw_copy(void *to, const void *from, size_t len_bytes, unsigned n)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < n; i++) {
        uint64_t start_ns = weft__now_ns();
        memcpy(to, from, len_bytes);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    return (double)len_bytes / bench_typical(&samples);
}

static void *open_end(const struct data_subject *subject, unsigned side, int fd,
                      unsigned char *bytes)
{
    struct end *end = aligned_alloc(128, sizeof(*end));
    (void)subject;
    if (!end)
        bench_die("memory", WEFT_ENOMEM);
    memset(end, 0, sizeof(*end));
    end->bytes = bytes;
    struct greeting greeting = {&end->own, end->bytes};
    bench_send(fd, &greeting, sizeof(greeting));
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("greet the other side", WEFT_EPEERDEAD);
    end->line = side == 0 ? &end->own : greeting.line;
    end->theirs = greeting.bytes;
    return end;
}

static void close_end(void *ctx)
{
    struct end *end = ctx;
    free(end);
}

static bool can(const struct data_subject *subject, const struct data_task *task)
{
    (void)subject;
    return (task->what == DATA_PASS && !task->asleep && task->bytes == sizeof(uint64_t)) ||
           task->what == DATA_GET;
}

static double ask(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    struct bench_samples samples = {0};
    if (task->what == DATA_GET)
        return raw_copy(end->bytes, end->theirs, task->bytes, task->bursts * task->n);
    for (unsigned i = 0; i < task->n; i += task->batch) {
        uint64_t start_ns = weft__now_ns();
        for (unsigned k = 0; k < task->batch; k++) {
            uint64_t word = 2 * end->trips++;
            atomic_store_explicit(&end->line->word, word + 1, memory_order_release);
            while (atomic_load_explicit(&end->line->word, memory_order_acquire) != word + 2) {
            }
        }
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / 2e3 / task->batch);
    }
    return bench_typical(&samples);
}

static void answer(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    for (unsigned i = 0; task->what == DATA_PASS && i < task->n; i++) {
        uint64_t word = 2 * end->trips++;
        while (atomic_load_explicit(&end->line->word, memory_order_acquire) != word + 1) {
        }
        atomic_store_explicit(&end->line->word, word + 2, memory_order_release);
    }
}

const struct data_kind data_raw_memory = {
    .open = open_end, .close = close_end, .can = can, .ask = ask, .answer = answer};
