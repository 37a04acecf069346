/* A process's control server: services with a sync port (request/reply), an async port (push), a
 * handler table and workers.
 *
 * One fan-in thread serves all ports. A handler marked INLINE runs on it (must not block); the
 * others run on the service's workers, fed so that no message waits behind a busy worker while
 * another is idle; workers start on first use. A handler answers with weft__call_reply /
 * weft__call_fail, now or later, from any thread, exactly once: that is how it defers. Bad frames,
 * unknown codes, bodies that do not decode and full queues are answered with an error (sync) or
 * counted (async).
 *
 * One client cannot keep the others out: its calls under way are counted, the answers that it does
 * not read are kept within 4 MiB here and about as much in the transport, then dropped, and what it
 * asks meanwhile is refused. Nor can one service: of the 8192 calls that may be under way at a
 * server it leaves a quarter to the others. Requests with a client's number run at most once
 * (wire/frame.h).
 */
#ifndef WEFT_CONTROL_SERVER_H
#define WEFT_CONTROL_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "weft/service.h"

struct weft_tp_security;

/* request: decoded by desc->request_type; NULL where the type is NULL. It is the call's and goes
 * with it: it may be gone as soon as the call is answered, also inside the handler. */
typedef void weft_handler(void *ctx, struct weft_call *call, const ProtobufCMessage *request);

/* The same for a handler that takes bytes: the body, which is the call's. */
typedef weft_service_run weft_bytes_handler;

/* Beside enum weft_handler_flag. BYTES: the body is kept as it came, for weft__call_body(); no
 * request_type. RUN_BYTES, with BYTES: run is a weft_bytes_handler,
 * converted by weft__bytes_handler(). */
#define WEFT_HANDLER_BYTES 8
#define WEFT_HANDLER_RUN_BYTES 16

struct weft_handler_desc {
    uint16_t code;
    uint16_t flags; /* INLINE, BYTES; SYNC and/or ASYNC: which ports it may come by */
    const char *name;
    const ProtobufCMessageDescriptor *request_type; /* NULL: the body is ignored */
    weft_handler *run;
};

static inline weft_handler *weft__bytes_handler(weft_bytes_handler *run)
{
    return (weft_handler *)(void (*)(void))run;
}

/* The table is copied; names, types and ctx must outlive the server. A port is opened where a
 * handler takes its kind of calls, or where it is given; the other one's number is 0. */
struct weft_service_desc {
    const char *name;
    const struct weft_handler_desc *handlers;
    size_t handlers_n;
    void *ctx;
    uint16_t sync_port; /* 0: any of the server's range */
    uint16_t async_port;
    unsigned workers;        /* 0: 2 */
    size_t queue_max;        /* requests waiting for a worker; 0: 2048; beyond: WEFT_EAGAIN */
    size_t body_max;         /* 0: 1 MiB */
    size_t client_calls_max; /* calls of one client under way here; 0: 1024; beyond: WEFT_EAGAIN */
};

struct weft_server_desc {
    const char *scheme;             /* NULL: "zmq"; "inproc" in tests */
    const char *bind;               /* address of the interface */
    uint16_t port_first, port_last; /* 0: ports chosen by the system */
    const struct weft_service_desc *services;
    size_t services_n;
    const struct weft_tp_security *security; /* NULL: as the settings say (control/security.h) */
};

/* A client can be served when this returns.  Errors: WEFT_EADDRINUSE, naming the port;
 * WEFT_EADDRNOTAVAIL; WEFT_EINVAL. */
int weft__server_start(const struct weft_server_desc *desc, struct weft_server **server_out);
/* Refuses new work and what waits for a worker (WEFT_ESHUTDOWN), lets handlers finish for at most
 * timeout_ms, fails what was deferred with WEFT_ESHUTDOWN, joins, frees. Calls still held by their
 * owner must still be answered some time, which frees them: the answer is dropped.  NULL is fine.
 * A handler that does not return in time is logged by name, its caller gets WEFT_ESHUTDOWN, and its
 * thread is detached with a reference to the server's memory, never to ctx: that must stay valid
 * until the handler returns. (An inline one takes the endpoint with it: its ports stay in use.)
 * Thread: any but a handler's.  Blocks: timeout_ms, and up to 2 s more where a thread is stuck. */
void weft__server_stop(struct weft_server *server, uint32_t timeout_ms);
/* Who came to the server's ports; all 0 on a transport that does not tell. */
struct weft_server_access {
    uint64_t connections;       /* now */
    uint32_t connections_max;   /* of one port */
    uint64_t refused;           /* connections beyond it, or for want of file descriptors */
    uint64_t denied;            /* clients with a key that is not on the list */
    uint64_t handshakes_failed; /* connections that ended before they were one: no key, a wrong one,
                                   strangers, refused ones */
};

/* Thread: any, while the server serves. */
void weft__server_access(const struct weft_server *server, struct weft_server_access *access_out);
uint16_t weft__server_sync_port(const struct weft_server *server, size_t service);
uint16_t weft__server_async_port(const struct weft_server *server, size_t service);
void weft__server_stats(const struct weft_server *server, size_t service,
                        struct weft_service_stats *stats_out);

uint16_t weft__call_code(const struct weft_call *call);
/* Monotonic time at which the client stops waiting; WEFT_NEVER: none. */
uint64_t weft__call_deadline_ns(const struct weft_call *call);
/* Answers and frees the call. reply NULL: an empty body. For a push both only free it.  Thread:
 * any.  Blocks: no. */
void weft__call_reply(struct weft_call *call, const ProtobufCMessage *reply);
/* text NULL: weft_fail_text(err). */
void weft__call_fail(struct weft_call *call, int err, const char *text);
/* The same with WEFT_EAGAIN and a hint when to try again. */
void weft__call_fail_again(struct weft_call *call, uint32_t retry_ms, const char *text);
/* Answers with these bytes, copied. */
void weft__call_reply_bytes(struct weft_call *call, const void *body, size_t len_bytes);
/* The body of a call of a WEFT_HANDLER_BYTES handler; valid until the call is answered. */
const void *weft__call_body(const struct weft_call *call, size_t *len_bytes_out);
/* The client's number in the frame; 0: it has none. */
uint64_t weft__call_client(const struct weft_call *call);

/* Sets what runs, on the fan-in thread, when the client gives the call up.  Thread: the handler's,
 * before it answers or hands the call on.  If the call was cancelled already, the callback runs
 * soon all the same. */
void weft__call_on_cancel(struct weft_call *call, weft_call_cancelled *cancelled, void *ctx);

#endif
