/* A cache line that two threads write in turn, and memcpy.
 *
 * The word lies alone on its line (two lines apart from everything else: the prefetcher fetches
 * pairs). Each thread spins on a plain load and answers with a plain store, which is as little as a
 * message between threads can cost. The clock is read once per BATCH round trips, as it takes as
 * long as a fifth of one; a batch that was interrupted does not move the median. */
#include "raw_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "data.h"
#include "weft/error.h"

enum { BATCH = 64, BATCHES = 501, QUICK_BATCHES = 5, COPIES = 201 };

static struct {
    _Alignas(128) _Atomic uint32_t word;
    _Alignas(128) char end;
} line;

/* Round trip i takes the word from 2 i to 2 i + 2. */
static void ask(uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        atomic_store_explicit(&line.word, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&line.word, memory_order_acquire) != 2 * i + 2) {
        }
    }
}

static void *answer(void *ctx)
{
    const uint32_t *n = ctx;
    data_pin(1);
    for (uint32_t i = 0; i < *n; i++) {
        while (atomic_load_explicit(&line.word, memory_order_acquire) != 2 * i + 1) {
        }
        atomic_store_explicit(&line.word, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

double raw_line_ns(const struct bench *bench)
{
    struct bench_samples samples = {0};
    uint32_t batches = bench->quick ? QUICK_BATCHES : BATCHES, n = (batches + 1) * BATCH;
    pthread_t thread;
    data_pin(0);
    atomic_store(&line.word, 0);
    int err = pthread_create(&thread, NULL, answer, &n);
    if (err)
        bench_die("start a thread", -err);
    ask(0, BATCH); /* the other one has started */
    for (uint32_t i = 1; i <= batches; i++) {
        uint64_t start_ns = weft__now_ns();
        ask(i * BATCH, BATCH);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / (2 * BATCH));
    }
    pthread_join(thread, NULL);
    return bench_typical(&samples);
}

double raw_copy(const struct bench *bench, void *to, const void *from, size_t len_bytes)
{
    struct bench_samples samples = {0};
    memcpy(to, from, len_bytes);
    for (unsigned i = 0; i < (bench->quick ? 1 : COPIES); i++) {
        uint64_t start_ns = weft__now_ns();
        memcpy(to, from, len_bytes);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    return (double)len_bytes / bench_typical(&samples);
}
