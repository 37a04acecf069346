/* The ranks' side of the board. The mapping does not move with a rank: it is made anew at each
 * entry. */
#ifndef WEFT_TESTS_CLUSTER_RANK_BOARD_H
#define WEFT_TESTS_CLUSTER_RANK_BOARD_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <mpi.h>

#include "board.h"
#include "weft/cell.h"
#include "weft/migrate.h"

static inline uint64_t board_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ends the app when the file cannot be mapped. */
static inline struct board *board_enter(const char *path, int rank)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED
                      : mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED) {
        fprintf(stderr, "cannot map the board %s\n", path);
        MPI_Abort(MPI_COMM_WORLD, 9);
    }
    struct board *board = at;
    struct board_rank *mine = &board->ranks[rank];
    atomic_store(&mine->pid, (uint64_t)getpid());
    atomic_store(&mine->wanted, 0);
    atomic_fetch_add(&mine->entered, 1);
    return board;
}

static inline void board_leave(struct board *board)
{
    (void)munmap(board, sizeof(*board));
}

/* Counts a step; *last_ns: when the last one was, 0: never. */
static inline void board_step(struct board *board, int rank, uint64_t *last_ns)
{
    struct board_rank *mine = &board->ranks[rank];
    uint64_t now = board_now_ns();
    unsigned phase = atomic_load(&board->phase) % BOARD_PHASES;
    uint64_t passed = *last_ns != 0 ? now - *last_ns : 0;
    if (passed > atomic_load(&mine->longest_ns[phase]))
        atomic_store(&mine->longest_ns[phase], passed);
    *last_ns = now;
    atomic_fetch_add(&mine->steps, 1);
}

/* The migration point, unless the test holds it. */
static inline void board_point(struct board *board, int rank, weft_entry *entry, void *argument)
{
    struct board_rank *mine = &board->ranks[rank];
    struct weft_cell *cell = weft_cell_self();
    uint32_t wanted = atomic_load(&cell->move_pending) != 0;
    if (atomic_load(&mine->wanted) != wanted)
        atomic_store(&mine->wanted, wanted);
    if (wanted != 0 && atomic_load(&board->hold) != 0)
        return;
    if (weft_migration_point(entry, argument) != 0)
        atomic_fetch_add(&mine->stayed, 1);
}

#endif
