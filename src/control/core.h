/* What the server's files share: the server, its services and their workers. */
#ifndef WEFT_CONTROL_CORE_H
#define WEFT_CONTROL_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/counter.h"
#include "base/ring.h"
#include "control/call.h"
#include "control/lock.h"
#include "control/party.h"
#include "control/pump.h"
#include "control/queue.h"
#include "control/server.h"
#include "control/thread.h"
#include "control/times.h"

/* Calls between arrival and answer, of all services; the ring of answers has as many places, so it
 * is never full. */
#define WEFT_CALLS_MAX 8192

struct weft_worker {
    struct weft_thread thread;
    struct weft_service *service;
    _Atomic(const char *) running; /* name of the handler that it is in */
};

struct weft_service {
    struct weft_server *server;
    const char *name;
    void *ctx;
    struct weft_handler_desc *handlers;
    size_t handlers_n;
    size_t body_max;
    size_t client_calls_max;
    uint16_t sync_port;
    uint16_t async_port;
    struct weft_queue queue;
    struct weft_worker *workers; /* room for workers_max; the first workers_n run. The fan-in
                                    thread's until it has refused */
    uint64_t swept_ns;           /* when late calls were last taken out of the queue */
    unsigned workers_max;
    _Atomic unsigned workers_n;
    _Atomic size_t body_bytes;
    _Atomic uint64_t open; /* calls that are not answered; the fan-in thread's, read by others */
    struct weft_counter accepted, answered, failed, deferred, cancelled, pushes;
    struct weft_counter malformed, unknown, full, late, client_full, dropped, repeated;
    struct weft_times queued, handled;
};

/* In this order. `stop` sets REFUSING and FINISHING (or LEFT, when it cannot wait), the fan-in
 * thread sets REFUSED. */
enum weft_server_phase {
    WEFT_SERVER_SERVING,
    WEFT_SERVER_REFUSING,
    WEFT_SERVER_REFUSED,
    WEFT_SERVER_FINISHING,
    WEFT_SERVER_LEFT
};

struct weft_server_port {
    struct weft_service *service;
    enum weft_tp_port_mode mode;
};

struct weft_server {
    _Atomic uint32_t refs; /* the handle, each thread, each call */
    _Atomic uint32_t phase;
    _Atomic uint32_t
        closed; /* the endpoint is gone: whoever adds an answer drains the ring himself */
    _Atomic uint32_t cancel_due; /* some cancelled call has a callback that has not run */
    struct weft_pump pump;
    struct weft_mpsc answers;
    struct weft_lock drain_lock; /* consumers of `answers` after closed */
    struct weft_thread fanin;
    struct weft_service *services;
    size_t services_n;
    struct weft_server_port *ports; /* by the transport's port index */
    size_t ports_n;
    /* The fan-in thread's own. */
    uint64_t turn_ns; /* when the turn's first request was taken; 0: none yet */
    LIST_HEAD(, weft_call) open;
    size_t open_n;
    struct weft_parties parties;
    struct weft_dedupe *dedupe; /* NULL: no request had a client number yet */
    uint32_t phase_seen;        /* what it has acted on */
    bool refusing;
    bool calling_back; /* in an on_cancel: no call may be freed under it */
};

void weft__server_get(struct weft_server *server);
void weft__server_put(struct weft_server *server);

/* Checks desc and copies what is needed of it.  Errors: WEFT_EINVAL; WEFT_ENOMEM. */
int weft__service_init(struct weft_service *service, struct weft_server *server,
                       const struct weft_service_desc *desc);
void weft__service_fini(struct weft_service *service);
/* Whether a handler takes calls of this mode. */
bool weft__service_takes(const struct weft_service *service, enum weft_tp_port_mode mode);
/* NULL: none by that code and port. */
const struct weft_handler_desc *weft__service_find(const struct weft_service *service,
                                                   uint16_t code, enum weft_tp_port_mode mode);
/* Gives the call to a worker, starting one where all are busy.  Thread: fan-in.  Errors:
 * WEFT_EAGAIN. */
int weft__service_feed(struct weft_service *service, struct weft_call *call);
/* After how many milliseconds a call might find room: what waits, at the mean time of a handler. */
uint32_t weft__service_retry_ms(struct weft_service *service);
/* Joins the workers that end by deadline_ns and leaves the others.  The queue is closed already. */
void weft__service_join(struct weft_service *service, uint64_t deadline_ns);

void *weft__fanin_run(void *server);
void weft__fanin_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes);
void weft__fanin_client_gone(void *ctx, const struct weft_tp_from *from);
/* Sends call->answer (or nothing, for a push) and frees the call.  Thread: any. */
void weft__fanin_answer(struct weft_server *server, struct weft_call *call);
/* Sends or keeps the answer of a call that has one. The call may be gone.  Thread: fan-in. */
void weft__fanin_send(struct weft_server *server, struct weft_call *call);
/* Frees a call that is over.  Thread: fan-in. */
void weft__fanin_finish(struct weft_server *server, struct weft_call *call);
/* Has the fan-in thread run the callbacks of cancelled calls.  Thread: any. */
void weft__fanin_cancel_due(struct weft_server *server);

#endif
