/* alone BOARD MIB NAP_US [EARLY]: ranks that never talk to each other; each counts steps until the
 * board says stop, rank EARLY only until its phase is not 0: then they do without MPI, whose end
 * all ranks wait for. MIB of its region are touched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

#include "rank_board.h"
#include "weft/cell.h"
#include "weft/memory.h"

struct alone {
    char board[BOARD_PATH];
    int rank, early;
    unsigned nap_us;
    size_t len;
    unsigned char *bulk;
    uint64_t steps;
    uint64_t last_ns; /* hosts of a test share one clock: a move counts as a long step */
};

static int is_over(const struct alone *alone, struct board *board)
{
    return atomic_load(&board->stop) != 0 ||
           (alone->early == alone->rank && atomic_load(&board->phase) != 0);
}

static int go_on(void *argument)
{
    struct alone *alone = argument;
    struct board *board = board_enter(alone->board, alone->rank);
    while (!is_over(alone, board)) {
        board_point(board, alone->rank, go_on, alone);
        board_step(board, alone->rank, &alone->last_ns);
        alone->steps++;
        (void)usleep(alone->nap_us);
    }
    size_t wrong = 0;
    for (size_t i = 0; i < alone->len; i += 512)
        wrong += alone->bulk[i] != (unsigned char)(i / 512 + (size_t)alone->rank);
    printf("alone %d steps %llu wrong %zu\n", alone->rank, (unsigned long long)alone->steps, wrong);
    fflush(stdout);
    atomic_store(&board->ranks[alone->rank].done, 1);
    board_leave(board);
    if (alone->early < 0)
        MPI_Finalize();
    return wrong != 0;
}

int main(int argc, char **argv)
{
    struct alone *alone = weft_alloc(sizeof(*alone));
    if (argc < 4 || alone == NULL)
        return 2;
    alone->early = argc > 4 ? (int)strtol(argv[4], NULL, 10) : -1;
    if (alone->early < 0)
        MPI_Init(&argc, &argv);
    alone->rank = weft_cell_self()->rank;
    snprintf(alone->board, sizeof(alone->board), "%s", argv[1]);
    alone->len = (size_t)strtoull(argv[2], NULL, 10) << 20;
    alone->nap_us = (unsigned)strtoul(argv[3], NULL, 10);
    if (alone->len > 0 && (alone->bulk = weft_alloc(alone->len)) == NULL)
        return 2;
    for (size_t i = 0; i < alone->len; i += 512)
        alone->bulk[i] = (unsigned char)(i / 512 + (size_t)alone->rank);
    return go_on(alone);
}
