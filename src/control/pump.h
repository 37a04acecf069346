/* One control endpoint and the wake-up beside it, driven by one thread. */
#ifndef WEFT_CONTROL_PUMP_H
#define WEFT_CONTROL_PUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wake.h"
#include "transport/spi.h"

/* Whether something is in the queues behind the wake-up. */
typedef bool weft_pump_more(void *ctx);

struct weft_pump {
    const struct weft_transport *transport;
    struct weft_tp_ep *ep;
    struct weft_wakefd wake;
    weft_pump_more *more; /* set it before the first turn, or leave it NULL: then each wake-up costs
                             a system call, also while the thread is awake */
    void *more_ctx;
};

/* Opens an endpoint of scheme (NULL: "zmq"; "fault(SPEC)+zmq": transport/fault) with the ctl
 * family.  Errors: WEFT_EINVAL no such scheme; those of the transport. */
int weft__pump_open(struct weft_pump *pump, const char *scheme, const struct weft_tp_open *desc);
/* Closes the endpoint; the wake-up stays usable until fini. Fine on a zeroed or closed one. */
void weft__pump_close(struct weft_pump *pump);
void weft__pump_fini(struct weft_pump *pump);
/* Moves what can be moved; where there is nothing, sleeps until the endpoint has work, the wake-up
 * is set or deadline_ns (WEFT_NEVER: no limit). Look at the queues behind the wake-up after each
 * turn.  Thread: owner. */
void weft__pump_turn(struct weft_pump *pump, uint64_t deadline_ns);

#endif
