/* Requests with a client number, each of which runs at most once. The fan-in thread's alone. */
#ifndef WEFT_CONTROL_REPEAT_H
#define WEFT_CONTROL_REPEAT_H

#include <stdbool.h>

#include "control/call.h"

struct weft_server;

/* Whether the call is to be run. Else it came before, and: it runs, or its answer has been sent
 * again (*rc_out WEFT_OK); or it is refused (*rc_out: WEFT_ESTALE, WEFT_EPROTO, WEFT_ENOMEM). */
bool weft__repeat_begin(struct weft_server *server, struct weft_call *call,
                        const struct weft_frame *frame, int *rc_out);
/* The call was not run: it may come again. */
void weft__repeat_undo(struct weft_server *server, struct weft_call *call);
/* The call is over; takes its answer over where it may be asked for again. */
void weft__repeat_end(struct weft_server *server, struct weft_call *call);

#endif
