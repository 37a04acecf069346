/* A file that the ranks of a program and the test both map: progress, and a hook into moves.
 *
 * A rank that has been asked to move says so and goes on while `hold` is set: so a test can arrange
 * things between two steps of the protocol (stop or kill a process) before it lets the rank enter
 * its migration point.
 */
#ifndef WEFT_TESTS_CLUSTER_BOARD_H
#define WEFT_TESTS_CLUSTER_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

enum { BOARD_RANKS = 16, BOARD_PHASES = 4, BOARD_PATH = 256 };

struct board_rank {
    _Atomic uint64_t steps;                    /* grows */
    _Atomic uint64_t entered;                  /* times that it began, or went on after a move */
    _Atomic uint64_t stayed;                   /* moves that were given up */
    _Atomic uint64_t pid;                      /* of the process it is in */
    _Atomic uint64_t longest_ns[BOARD_PHASES]; /* longest time between two steps */
    _Atomic uint32_t wanted;                   /* a move of it is pending */
    _Atomic uint32_t done;                     /* its program has come to its end */
    _Atomic uint64_t received;
};

/* The test writes the first three. */
struct board {
    _Atomic uint32_t phase;
    _Atomic uint32_t stop;
    _Atomic uint32_t hold;
    struct board_rank ranks[BOARD_RANKS];
};

#endif
