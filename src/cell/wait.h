/* Waiting in a system call without holding the worker: the program's registers are put aside in its
 * range, and it runs the code of wait.S instead, which waits by a call of the runtime. When that
 * returns the system call is looked at again, on whatever host the rank is then.
 *
 * So a rank that sleeps, or waits for input, is moved like one that waits for a message. */
#ifndef WEFT_CELL_WAIT_H
#define WEFT_CELL_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/context.h"
#include "cell/trap.h"
#include "weft/cell.h"

#define WEFT__WAIT_WAKE 0x77656601 /* numbers of calls that only wait.S makes */
#define WEFT__WAIT_BACK 0x77656602

extern const unsigned char weft__wait_code[], weft__wait_code_back[], weft__wait_code_end[];

/* Of the rank; lies in its range. */
struct weft__wait {
    uint64_t active;      /* 1: a call waits */
    int64_t number;       /* of the call; -1: it is done, and the rank only passes by */
    uint64_t args[6];     /* its own */
    uint64_t deadline_ns; /* the call's, on the rank's clock; kept from its first look on */
    uint64_t done_bytes;  /* of a write that goes on */
    uint64_t back;        /* where the call of the runtime would have returned to; 0: none */
    struct weft__context context;
};

/* Puts the program aside: it goes on at `code`, until the time. */
void weft__wait_begin(struct weft__wait *wait, struct weft__trap_call *call, uint64_t code,
                      struct weft_cell *cell);
/* Until when, from now on, or until the bell is not what has been seen. */
void weft__wait_until(struct weft__trap_call *call, uint64_t until_ns, uint32_t seen);
/* Its registers are as they were when the call was made. */
void weft__wait_end(struct weft__wait *wait, struct weft__trap_call *call);
/* Makes a program that stands in a call of the runtime return over wait.S; sp: as it has been saved
 * by gate.S. */
void weft__wait_return_over(struct weft__wait *wait, uint64_t sp, uint64_t code);
/* And there it goes on as if nothing had been. */
void weft__wait_back(struct weft__wait *wait, struct weft__trap_call *call);

#endif
