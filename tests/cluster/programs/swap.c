/* swap STEPS SEED NAP_US: MPI_Alltoall in every step, with blocks of any length, each word of which
 * depends on all that was received before. Rank 0 prints a digest over all ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mpi.h>

#include "weft/memory.h"
#include "weft/migrate.h"
#include "work.h"

struct swap {
    int rank, size;
    unsigned nap_us;
    uint64_t steps, wanted, seed, value;
    uint64_t *out, *in;
};

static void step(struct swap *swap)
{
    int words = work_block_words(swap->seed, swap->steps);
    for (int to = 0; to < swap->size; to++)
        for (int i = 0; i < words; i++)
            swap->out[to * words + i] = work_block_word(swap->value, to, i);
    MPI_Alltoall(swap->out, words, MPI_UINT64_T, swap->in, words, MPI_UINT64_T, MPI_COMM_WORLD);
    for (int i = 0; i < swap->size * words; i++)
        swap->value = work_mix(swap->value, swap->in[i]);
    swap->steps++;
}

static int finish(struct swap *swap)
{
    uint64_t sum = 0;
    MPI_Reduce(&swap->value, &sum, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    if (swap->rank == 0)
        printf("digest %016llx\n", (unsigned long long)sum);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}

static int go_on(void *argument)
{
    struct swap *swap = argument;
    while (swap->steps < swap->wanted) {
        step(swap);
        weft_migration_point(go_on, swap);
        if (swap->nap_us > 0)
            (void)usleep(swap->nap_us);
    }
    return finish(swap);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct swap *swap = weft_alloc(sizeof(*swap));
    if (argc != 4 || swap == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    *swap = (struct swap){.wanted = strtoull(argv[1], NULL, 10),
                          .seed = strtoull(argv[2], NULL, 10),
                          .nap_us = (unsigned)strtoul(argv[3], NULL, 10)};
    MPI_Comm_rank(MPI_COMM_WORLD, &swap->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &swap->size);
    swap->value = work_begin(swap->seed, swap->rank);
    size_t bytes = (size_t)swap->size * WORK_WORDS_MAX * sizeof(uint64_t);
    swap->out = weft_alloc(bytes);
    swap->in = weft_alloc(bytes);
    if (swap->out == NULL || swap->in == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    return go_on(swap);
}
