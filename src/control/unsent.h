/* Answers on their way out: sent at once where the transport has room, else kept in their order,
 * for each connection by itself. The fan-in thread's alone. */
#ifndef WEFT_CONTROL_UNSENT_H
#define WEFT_CONTROL_UNSENT_H

#include <stdbool.h>
#include <stdint.h>

struct weft_call;
struct weft_server;

/* Sends the answer of a call that has joined its party. false: it is kept, and
 * weft__fanin_finish(call) runs when it has gone or never will. */
bool weft__unsent_send(struct weft_server *server, struct weft_call *call);
/* Takes back an answer that is kept; false: it is not. */
bool weft__unsent_withdraw(struct weft_call *call);
/* When to offer kept answers again; WEFT_NEVER: there are none. */
uint64_t weft__unsent_due_ns(const struct weft_server *server);
void weft__unsent_retry(struct weft_server *server);
/* Finishes all calls whose answers are kept. */
void weft__unsent_clear(struct weft_server *server);

#endif
