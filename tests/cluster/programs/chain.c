/* chain BOARD STEPS MIB NAP_US [KIB]: a computation in which every step of every rank depends on
 * all earlier steps of all ranks. STEPS 0: until the board says stop. KIB: each rank exchanges so
 * much with the rank half a world away, at every step. Rank 0 prints the number of steps and a
 * digest; each rank checks that its memory is what it wrote, and that its nonce is the one it drew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <mpi.h>

#include "rank_board.h"
#include "weft/memory.h"

struct chain {
    char board[BOARD_PATH];
    int rank, size;
    unsigned nap_us;
    uint64_t wanted, steps, value;
    uint64_t nonce, entered;
    uint64_t *bulk, *out, *in; /* out and in: for the other one of the pair */
    size_t pair_n;
    size_t bulk_n;
    uint64_t expected; /* all of bulk, by exclusive or */
    char nonce_text[20];
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static void touch(struct chain *chain)
{
    if (chain->bulk_n == 0)
        return;
    uint64_t *word = &chain->bulk[chain->steps * 521u % chain->bulk_n];
    chain->expected ^= *word;
    *word = mix(*word, chain->value);
    chain->expected ^= *word;
}

/* The pair's values become part of each other's. */
static void exchange(struct chain *chain)
{
    int other = (chain->rank + chain->size / 2) % chain->size;
    for (size_t i = 0; i < chain->pair_n; i++)
        chain->out[i] = chain->value + i;
    MPI_Sendrecv(chain->out, (int)chain->pair_n, MPI_UINT64_T, other, 2, chain->in,
                 (int)chain->pair_n, MPI_UINT64_T, other, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    chain->value = mix(chain->value, chain->in[chain->steps % chain->pair_n]);
}

/* True: all agree to go on. */
static int step(struct chain *chain, const struct board *board)
{
    uint64_t from = 0, vote = 0, votes = 0;
    int right = (chain->rank + 1) % chain->size,
        left = (chain->rank + chain->size - 1) % chain->size;
    MPI_Sendrecv(&chain->value, 1, MPI_UINT64_T, right, 1, &from, 1, MPI_UINT64_T, left, 1,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    chain->value = mix(chain->value + chain->steps, from);
    touch(chain);
    if (chain->pair_n > 0)
        exchange(chain);
    chain->steps++;
    if (chain->rank == 0)
        vote = chain->wanted != 0 ? chain->steps >= chain->wanted : atomic_load(&board->stop);
    MPI_Allreduce(&vote, &votes, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return votes == 0;
}

static int finish(struct chain *chain, struct board *board)
{
    uint64_t sum = 0, all = 0;
    char nonce[20];
    for (size_t i = 0; i < chain->bulk_n; i++)
        all ^= chain->bulk[i];
    snprintf(nonce, sizeof(nonce), "%016llx", (unsigned long long)chain->nonce);
    int same = all == chain->expected && strcmp(nonce, chain->nonce_text) == 0;
    MPI_Allreduce(&chain->value, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (chain->rank == 0)
        printf("chain steps %llu digest %016llx\n", (unsigned long long)chain->steps,
               (unsigned long long)sum);
    printf("chain rank %d steps %llu entered %llu memory %s\n", chain->rank,
           (unsigned long long)chain->steps, (unsigned long long)chain->entered,
           same ? "good" : "bad");
    fflush(stdout);
    atomic_store(&board->ranks[chain->rank].done, 1);
    board_leave(board);
    MPI_Finalize();
    return same ? 0 : 1;
}

static int go_on(void *argument)
{
    struct chain *chain = argument;
    struct board *board = board_enter(chain->board, chain->rank);
    uint64_t last_ns = 0;
    chain->entered++;
    while (step(chain, board)) {
        board_step(board, chain->rank, &last_ns);
        board_point(board, chain->rank, go_on, chain);
        if (chain->nap_us > 0)
            (void)usleep(chain->nap_us);
    }
    return finish(chain, board);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct chain *chain = weft_alloc(sizeof(*chain));
    if (argc < 5 || argc > 6 || chain == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Comm_rank(MPI_COMM_WORLD, &chain->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &chain->size);
    snprintf(chain->board, sizeof(chain->board), "%s", argv[1]);
    chain->wanted = strtoull(argv[2], NULL, 10);
    chain->bulk_n = ((size_t)strtoull(argv[3], NULL, 10) << 20) / sizeof(uint64_t);
    chain->nap_us = (unsigned)strtoul(argv[4], NULL, 10);
    chain->value = (uint64_t)chain->rank + 1;
    if (chain->bulk_n > 0 && (chain->bulk = weft_alloc(chain->bulk_n * 8)) == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    for (size_t i = 0; i < chain->bulk_n; i++)
        chain->expected ^= chain->bulk[i] = i * 0x9e3779b97f4a7c15u + (uint64_t)chain->rank;
    chain->pair_n = argc > 5 ? (size_t)strtoull(argv[5], NULL, 10) << 7 : 0;
    chain->out = weft_alloc(chain->pair_n * 8 + 8);
    chain->in = weft_alloc(chain->pair_n * 8 + 8);
    if (chain->out == NULL || chain->in == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    if (getrandom(&chain->nonce, sizeof(chain->nonce), 0) != (ssize_t)sizeof(chain->nonce))
        MPI_Abort(MPI_COMM_WORLD, 2);
    snprintf(chain->nonce_text, sizeof(chain->nonce_text), "%016llx",
             (unsigned long long)chain->nonce);
    return go_on(chain);
}
