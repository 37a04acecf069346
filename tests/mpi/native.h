/* A runtime for tests: the ranks of a world as threads of this process, their regions at the same
 * addresses as in a real one, packets delivered straight into mailboxes, bytes pulled by memcpy.
 * With a seed, packets of different pairs overtake each other, gets finish late and credit runs
 * out; per pair the order holds. Regions can be moved while ranks run. */
#ifndef WEFT_TESTS_MPI_NATIVE_H
#define WEFT_TESTS_MPI_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "weft/cell.h"

typedef int native_main(void *argument);

struct native_options {
    int ranks;
    uint64_t packet_max;  /* 0: 4096 */
    size_t mailbox_bytes; /* power of two; 0: 64 KiB */
    size_t region_bytes;  /* 0: 16 MiB */
    uint64_t seed;        /* 0: everything is delivered at once, in order */
    uint32_t share;       /* see weft_cell; 0: no two ranks share a core */
    bool moving;          /* migration points move the rank: new pages, new thread */
};

struct native_result {
    bool aborted; /* a rank ended the app */
    int code;     /* of the abort, else the largest exit code */
    char reason[512];
    size_t heap_used; /* by all ranks at their ends */
    uint64_t moves;
};

/* Runs main(argument) in each rank; returns when all have ended. */
void native_run(const struct native_options *options, native_main *main_fn, void *argument,
                struct native_result *result_out);

/* In a rank: copies its region to fresh pages at the same address, and all that the runtime refills
 * changes. */
void native_move_region(void);
/* In a rank: a word of the region that points to something mapped outside of it; NULL: none. */
const void *native_foreign_pointer(void);
/* Whether it finds what points into this program; under valgrind it lies where numbers do. */
bool native_finds_pointers(void);
/* In a rank: 64 random bits from the seed and the rank. */
uint64_t native_random(void);
/* In a rank: bytes in live blocks of its heap. */
size_t native_heap_used(void);

/* A check that may fail in any thread: says where and ends the process. */
#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            const struct weft_cell *failed_ = weft_cell_self();                                    \
            fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__,                            \
                    failed_ ? failed_->rank : -1, #condition);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
