/* Signals of a program in a cell: its own affair, and none of the host's.
 *
 * Nobody else sends it any: signals are those that it raises itself, faults of its own code, and
 * its timer. They are delivered where the program is known to stand: at system calls, and its timer
 * at calls of the runtime, too; a program that only computes is not interrupted. A handler runs on
 * the program's stack, with a frame as the kernel makes it, and returns by the same call. */
#ifndef WEFT_CELL_SIGNALS_H
#define WEFT_CELL_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "cell/space.h"
#include "cell/trap.h"

#define WEFT__SIGNALS 65
#define WEFT__SIGNALS_SET_BYTES 8u /* of the kernel's sets */

/* As the kernel's struct. */
struct weft__signal_action {
    uint64_t handler, flags, restorer, mask;
};

/* Of the rank; lies in its range. All zeros at the beginning. */
struct weft__signals {
    struct weft__signal_action actions[WEFT__SIGNALS];
    int32_t codes[WEFT__SIGNALS]; /* si_code of those that are pending */
    uint64_t mask;                /* of blocked ones */
    uint64_t pending;
    uint64_t before; /* the mask that sigsuspend() and its like put back, if it is to be */
    uint64_t puts_back;
    uint64_t alt_begin, alt_len; /* sigaltstack(); 0: none */
    uint64_t alarm_ns, every_ns; /* the timer, on the rank's clock; 0: none */
};

/* What became of the program. */
enum weft__signal_end { WEFT__SIGNAL_GOES_ON, WEFT__SIGNAL_HANDLED, WEFT__SIGNAL_ENDS };

static inline uint64_t weft__signal_bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* One more is pending, unless the program ignores it. */
void weft__signals_raise(struct weft__signals *signals, int number, int code);
/* Raises what the timer is due for. */
void weft__signals_tick(struct weft__signals *signals, uint64_t now_ns);
/* The next one that would be delivered now; 0: none. */
int weft__signals_next(const struct weft__signals *signals);
/* Whether interrupted calls are to be made again after it. */
bool weft__signals_restarts(const struct weft__signals *signals, int number);
/* Delivers all that can be. *number_out: of the last one. */
enum weft__signal_end weft__signals_deliver(struct weft__signals *signals,
                                            const struct weft__space_host *space,
                                            ucontext_t *context, int *number_out);
/* A fault of the program's own code: whether a handler of its own takes it. */
bool weft__signals_fault(struct weft__signals *signals, const struct weft__space_host *space,
                         struct weft__trap_fault *fault);
/* rt_sigreturn(): what the handler's frame keeps.  Errors: -EFAULT: there is none. */
int weft__signals_return(struct weft__signals *signals, const struct weft__space_host *space,
                         ucontext_t *context);

/* Calls, with arguments and results as the kernel's. */
int64_t weft__signals_action(struct weft__signals *signals, const struct weft__space_host *space,
                             const uint64_t args[6]);
int64_t weft__signals_mask(struct weft__signals *signals, const struct weft__space_host *space,
                           const uint64_t args[6]);
int64_t weft__signals_stack(struct weft__signals *signals, const struct weft__space_host *space,
                            const uint64_t args[6], uint64_t sp);

#endif
