/* An all-to-all kernel whose ranks can be moved: in each step every rank gives each other one a
 * block. Rank 0 prints "at STEP" when it comes to step MARK, and at the end, when all ranks have
 * made all steps, "alltoall SECONDS"; a rank that was moved prints "moved RANK STEP": the step at
 * which it went on. Each block is made of words that are looked at by whoever gets it.
 *
 * Usage: alltoall STEPS BLOCK_BYTES [MARK] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mpi.h>

#include "weft/memory.h"
#include "weft/migrate.h"

struct run {
    int rank, size;
    long steps, mark, made;
    size_t block_bytes;
    uint64_t *out, *in; /* a block for, and of, each rank */
    double start_s;
    long moved_at; /* -1: never */
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The words of a block of this step: each block differs from all others. */
static uint64_t first_word(const struct run *run, int from, int to)
{
    return ((uint64_t)run->made << 16 | (uint64_t)(from << 8 | to)) * 0x9e3779b97f4a7c15u;
}

static void make(const struct run *run, uint64_t *block, int to)
{
    uint64_t word = first_word(run, run->rank, to);
    for (size_t i = 0; i < run->block_bytes / sizeof(word); i++)
        block[i] = word += i;
}

static void look(const struct run *run, const uint64_t *block, int from)
{
    uint64_t word = first_word(run, from, run->rank), wrong = 0;
    for (size_t i = 0; i < run->block_bytes / sizeof(word); i++)
        wrong |= block[i] ^ (word += i);
    if (wrong) {
        fprintf(stderr, "rank %d: step %ld: not the block of rank %d\n", run->rank, run->made,
                from);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static void step(struct run *run)
{
    size_t words = run->block_bytes / sizeof(uint64_t);
    if (run->rank == 0 && run->made == run->mark) {
        printf("at %ld\n", run->made);
        fflush(stdout);
    }
    for (int to = 0; to < run->size; to++)
        make(run, run->out + (size_t)to * words, to);
    MPI_Alltoall(run->out, (int)words, MPI_UINT64_T, run->in, (int)words, MPI_UINT64_T,
                 MPI_COMM_WORLD);
    for (int from = 0; from < run->size; from++)
        look(run, run->in + (size_t)from * words, from);
    run->made++;
}

static int go_on(void *argument);

static int finish(struct run *run)
{
    while (run->made < run->steps) {
        weft_migration_point(go_on, run);
        step(run);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (run->rank == 0)
        printf("alltoall %.6f\n", now_s() - run->start_s);
    if (run->moved_at >= 0)
        printf("moved %d %ld\n", run->rank, run->moved_at);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}

static int go_on(void *argument)
{
    struct run *run = argument;
    run->moved_at = run->made;
    return finish(run);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct run *run = weft_alloc(sizeof(*run));
    if (!run) {
        MPI_Abort(MPI_COMM_WORLD, 1);
        return 1;
    }
    *run = (struct run){.mark = argc > 3 ? atol(argv[3]) : -1, .moved_at = -1};
    MPI_Comm_rank(MPI_COMM_WORLD, &run->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &run->size);
    run->steps = argc > 2 ? atol(argv[1]) : 0;
    run->block_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (run->steps < 1 || run->block_bytes < sizeof(uint64_t) || run->block_bytes > 1u << 30) {
        fprintf(stderr, "usage: alltoall STEPS BLOCK_BYTES [MARK]\n");
        MPI_Finalize();
        return 2;
    }
    run->out = weft_alloc((size_t)run->size * run->block_bytes);
    run->in = weft_alloc((size_t)run->size * run->block_bytes);
    if (!run->out || !run->in)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Barrier(MPI_COMM_WORLD);
    run->start_s = now_s();
    return finish(run);
}
