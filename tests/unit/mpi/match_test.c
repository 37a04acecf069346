/* The matching engine against a model that walks plain arrays: in every state, of every depth, the
 * oldest match is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/heap.h"
#include "mpi/match.h"

enum { HEAP = 16 << 20, CONTEXTS = 2, ITEMS = 1500 };

struct item {
    int32_t source, tag;
    uint32_t context;
    void *real;
    bool gone;
};

struct bench {
    struct weft_cell cell;
    struct weft_mpi mpi;
    struct weft_mpi_comm comms[CONTEXTS];
    struct item posted[ITEMS], kept[ITEMS];
    unsigned posted_n, kept_n;
    uint64_t random;
};

static unsigned roll(struct bench *bench, unsigned n)
{
    uint64_t z = (bench->random += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (unsigned)((z ^ (z >> 31)) % n);
}

static struct bench *bench_new(uint64_t seed)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    void *memory = malloc(HEAP);
    assert_non_null(bench);
    assert_non_null(memory);
    bench->random = seed;
    bench->cell.heap = weft__heap_init(memory, HEAP);
    bench->cell.base = memory;
    bench->mpi.cell = &bench->cell;
    for (uint32_t i = 0; i < CONTEXTS; i++) {
        bench->comms[i].context = (uint64_t)2 * i;
        weft__mpi_list_init(&bench->comms[i].queues[0].posted);
        weft__mpi_list_init(&bench->comms[i].queues[0].unexpected);
    }
    return bench;
}

static void bench_free(struct bench *bench)
{
    weft__mpi_match_fini(&bench->mpi);
    assert_int_equal(weft__heap_verify(bench->cell.heap), 0);
    assert_int_equal(weft__heap_used(bench->cell.heap), 0);
    free(bench->cell.base);
    free(bench);
}

static bool takes(int32_t source, int32_t tag, const struct item *item)
{
    return (source == MPI_ANY_SOURCE || source == item->source) &&
           (tag == MPI_ANY_TAG || tag == item->tag);
}

static struct weft_mpi_queue *queue_of(struct bench *bench, uint32_t context)
{
    return weft__mpi_match_queue(&bench->comms[context], false);
}

/* A receive: it gets the oldest message that it takes, or waits. */
static void receive(struct bench *bench, uint32_t context, int32_t source, int32_t tag)
{
    struct item *want = NULL;
    for (unsigned i = 0; i < bench->kept_n && !want; i++)
        if (!bench->kept[i].gone && bench->kept[i].context == context &&
            takes(source, tag, &bench->kept[i]))
            want = &bench->kept[i];
    struct weft_mpi_queue *queue = queue_of(bench, context);
    struct weft_mpi_message *found = weft__mpi_match_unexpected(&bench->mpi, queue, source, tag);
    assert_ptr_equal(found, want ? want->real : NULL);
    if (found && want) {
        weft__mpi_match_take(&bench->mpi, queue, found);
        weft__mpi_match_drop(&bench->mpi, found);
        want->gone = true;
        return;
    }
    struct weft_mpi_request *request = weft__heap_calloc(bench->cell.heap, 1, sizeof(*request));
    assert_non_null(request);
    request->comm = &bench->comms[context];
    request->peer = source;
    request->tag = tag;
    weft__mpi_match_post(&bench->mpi, request);
    bench->posted[bench->posted_n++] = (struct item){source, tag, context, request, false};
}

/* A message: the oldest receive that takes it gets it, or it is kept. */
static void arrive(struct bench *bench, uint32_t context, int32_t source, int32_t tag)
{
    const struct weft_mpi_header header = {
        .kind = WEFT_MPI_EAGER, .context = (uint64_t)2 * context, .source = source, .tag = tag};
    struct item item = {source, tag, context, NULL, false}, *want = NULL;
    for (unsigned i = 0; i < bench->posted_n && !want; i++)
        if (!bench->posted[i].gone && bench->posted[i].context == context &&
            takes(bench->posted[i].source, bench->posted[i].tag, &item))
            want = &bench->posted[i];
    struct weft_mpi_queue *queue = queue_of(bench, context);
    struct weft_mpi_request *found = weft__mpi_match_posted(&bench->mpi, queue, source, tag);
    assert_ptr_equal(found, want ? want->real : NULL);
    if (found && want) {
        weft__heap_free(bench->cell.heap, found);
        want->gone = true;
        return;
    }
    item.real = weft__mpi_match_keep(&bench->mpi, queue, &header, NULL);
    bench->kept[bench->kept_n++] = item;
}

/* A receive that nobody wants any more. */
static void cancel(struct bench *bench)
{
    struct item *item = &bench->posted[roll(bench, bench->posted_n)];
    if (item->gone)
        return;
    weft__mpi_match_withdraw(&bench->mpi, item->real);
    weft__heap_free(bench->cell.heap, item->real);
    item->gone = true;
}

static void forget(struct item *items, unsigned *n)
{
    unsigned left = 0;
    for (unsigned i = 0; i < *n; i++)
        if (!items[i].gone)
            items[left++] = items[i];
    *n = left;
}

/* More receives than messages, then the other way round, again and again, so that both queues are
 * at times empty and at times deep. */
static void play(struct bench *bench, unsigned steps, unsigned keys, unsigned wild_percent)
{
    bool filling = true;
    for (unsigned i = 0; i < steps; i++) {
        uint32_t context = roll(bench, CONTEXTS);
        int32_t source = (int32_t)roll(bench, keys), tag = (int32_t)roll(bench, keys);
        if (roll(bench, 400) == 0)
            filling = !filling;
        if (bench->kept_n == ITEMS) {
            receive(bench, bench->kept[0].context, MPI_ANY_SOURCE, MPI_ANY_TAG);
        } else if (bench->posted_n == ITEMS || (bench->posted_n > 0 && roll(bench, 20) == 0)) {
            cancel(bench);
        } else if (roll(bench, 10) < (filling ? 8 : 2)) {
            bool wild = roll(bench, 100) < wild_percent;
            unsigned which = roll(bench, 3);
            receive(bench, context, wild && which != 1 ? MPI_ANY_SOURCE : source,
                    wild && which != 0 ? MPI_ANY_TAG : tag);
        } else {
            arrive(bench, context, source, tag);
        }
        forget(bench->posted, &bench->posted_n);
        forget(bench->kept, &bench->kept_n);
    }
}

static void drain(struct bench *bench)
{
    for (uint32_t context = 0; context < CONTEXTS; context++)
        while (queue_of(bench, context)->unexpected_n > 0)
            receive(bench, context, MPI_ANY_SOURCE, MPI_ANY_TAG);
    for (unsigned i = 0; i < bench->posted_n; i++)
        if (!bench->posted[i].gone) {
            weft__mpi_match_withdraw(&bench->mpi, bench->posted[i].real);
            weft__heap_free(bench->cell.heap, bench->posted[i].real);
        }
}

static void the_oldest_match_is_found_in_queues_of_every_depth(void **state)
{
    static const unsigned keys[] = {1, 3, 40, 1000};
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct bench *bench = bench_new(seed);
        play(bench, 8000, keys[seed % 4], (unsigned)(seed / 4 % 3 * 40));
        drain(bench);
        bench_free(bench);
    }
}

/* Without memory for tables the lists are walked. */
static void a_full_heap_changes_no_match(void **state)
{
    (void)state;
    struct bench *bench = bench_new(7);
    for (int32_t i = 0; i < 200; i++)
        receive(bench, 0, i, i);
    void *rest[64];
    unsigned n = 0;
    for (size_t len = HEAP; len >= 64 && n < 64;) {
        void *block = weft__heap_alloc(bench->cell.heap, len);
        if (block)
            rest[n++] = block;
        else
            len /= 2;
    }
    for (int32_t i = 199; i >= 0; i--)
        arrive(bench, 0, i, i);
    while (n > 0)
        weft__heap_free(bench->cell.heap, rest[--n]);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_match_is_found_in_queues_of_every_depth),
        cmocka_unit_test(a_full_heap_changes_no_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
