/* A server in your own program: services that answer calls of bytes.
 *
 * A service has a sync port (requests, each with an answer), an async port (pushes, without), a
 * table of handlers and some workers. One thread takes everything in; handlers run on the service's
 * workers, or on that thread where they are marked WEFT_HANDLER_INLINE and never block. A message
 * never waits behind a busy worker while another is idle.
 *
 * A handler owns its call until it answers it, exactly once: now, or later from any thread. A
 * handler that has to wait for something, for other callers above all, does not block its worker:
 * it keeps the call, returns, and whoever makes the thing happen answers. So one worker is enough
 * for any number of callers that wait for each other.
 *
 * Any ZeroMQ client that speaks ZMTP 3 (libzmq 4) can call: one message part of 48 bytes of header
 * and the body, from REQ or DEALER to the sync port, from PUSH to the async port. weft/client.h is
 * the client for C.
 */
#ifndef WEFT_SERVICE_H
#define WEFT_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weft_server;

/* One request or push in hand. */
struct weft_call;

/* body is the call's: valid until it is answered. */
typedef void weft_service_run(void *ctx, struct weft_call *call, const void *body,
                              size_t body_bytes);

enum weft_handler_flag {
    WEFT_HANDLER_INLINE = 1, /* runs on the thread that takes everything in: must not block */
    WEFT_HANDLER_SYNC = 2,   /* may be requested */
    WEFT_HANDLER_ASYNC = 4   /* may be pushed */
};

struct weft_service_handler {
    uint16_t code;  /* what the frame says */
    uint16_t flags; /* enum weft_handler_flag: SYNC, ASYNC or both */
    const char *name;
    weft_service_run *run;
};

/* The table is copied; names and ctx must outlive the server. A port is opened where a handler
 * takes its kind of calls. What exceeds queue_max or client_calls_max gets WEFT_EAGAIN with a hint
 * when to try again. */
struct weft_service_options {
    const char *name;
    const struct weft_service_handler *handlers;
    size_t handlers_n;
    void *ctx;          /* given to each handler */
    uint16_t sync_port; /* 0: any of the server's range */
    uint16_t async_port;
    unsigned workers;        /* threads, started when there is work for them; 0: 2 */
    size_t queue_max;        /* calls that wait for a worker; 0: 2048; one client may not fill the
                                last quarter */
    size_t body_max;         /* 0: 1 MiB; at most 8 MiB */
    size_t client_calls_max; /* calls of one client under way; 0: 1024 */
};

struct weft_server_options {
    const char *bind;               /* numeric address of the interface; NULL: 127.0.0.1 */
    uint16_t port_first, port_last; /* 0: ports chosen by the system */
    const struct weft_service_options *services;
    size_t services_n;
};

/* Clients are served when this returns.
 * Thread: any.   Blocks: no.
 * Errors: WEFT_EADDRINUSE, naming the port; WEFT_EADDRNOTAVAIL; WEFT_EINVAL; WEFT_ENOMEM;
 *         WEFT_EACCES keys that WEFT_SECURITY=curve needs; WEFT_EPERM an address that other
 * machines reach, without WEFT_SECURITY. */
WEFT_API int weft_server_start(const struct weft_server_options *options,
                               struct weft_server **server_out);

/* Refuses new calls and those that wait for a worker (WEFT_ESHUTDOWN), lets handlers finish for at
 * most timeout_ms, fails what was deferred (WEFT_ESHUTDOWN), and frees the server. Calls that
 * somebody still holds must be answered some time all the same, which frees them. A handler that
 * does not return in time is logged and its thread left to end alone; ctx must stay valid until it
 * returns. NULL is fine.
 * Thread: any but a handler's.   Blocks: timeout_ms, and up to 2 s more where a thread is stuck. */
WEFT_API void weft_server_stop(struct weft_server *server, uint32_t timeout_ms);

/* The ports of service number `service`; 0: it has no such port.   Thread: any. */
WEFT_API uint16_t weft_server_sync_port(const struct weft_server *server, size_t service);
WEFT_API uint16_t weft_server_async_port(const struct weft_server *server, size_t service);

/* How long something took, in microseconds; bucket bounds: at most 1/8 too high. */
struct weft_service_times {
    uint64_t n;
    uint64_t p50_us, p99_us, p999_us, max_us;
};

struct weft_service_stats {
    uint64_t accepted, pushes; /* by a handler's code and port, whatever came of them afterwards */
    uint64_t answered, failed; /* by their owner; failed: and by stop */
    uint64_t deferred;         /* answered after their handler had returned, or still open */
    uint64_t cancelled;        /* by their client */
    uint64_t repeated;         /* came again: not run a second time */
    uint64_t dropped;          /* answers that their client did not take in time */
    uint64_t refused_malformed, refused_unknown, refused_full, refused_late, refused_client_full;
    uint64_t queue_depth, open;                /* now: waiting for a worker; not answered yet */
    unsigned workers;                          /* running */
    struct weft_service_times queued, handled; /* between arrival and handler; in the handler */
};

/* What service number `service` has done since the start.   Thread: any. */
WEFT_API void weft_server_stats(const struct weft_server *server, size_t service,
                                struct weft_service_stats *stats_out);

/* Answer a call and free it; bytes and text are copied. A push is only freed. err: negative, an
 * enum weft_err or -errno; text NULL: weft_fail_text(err).
 * Thread: any.   Blocks: no. */
WEFT_API void weft_call_reply(struct weft_call *call, const void *body, size_t body_bytes);
WEFT_API void weft_call_fail(struct weft_call *call, int err, const char *text);
/* With WEFT_EAGAIN and a hint when to try again. */
WEFT_API void weft_call_fail_again(struct weft_call *call, uint32_t retry_ms, const char *text);

/* What came.   Thread: the call's owner. */
WEFT_API uint16_t weft_call_code(const struct weft_call *call);
WEFT_API const void *weft_call_body(const struct weft_call *call, size_t *body_bytes_out);
/* A random number that the client has chosen for itself; 0: it has none. */
WEFT_API uint64_t weft_call_client(const struct weft_call *call);
/* Milliseconds that the client will still wait; UINT32_MAX: it has set no limit. */
WEFT_API uint32_t weft_call_left_ms(const struct weft_call *call);

/* The client has cancelled the call, or its time has passed for it, or its connection is gone. Runs
 * on the thread that takes everything in, at most once, only while the call is open; it may answer
 * the call (the answer is dropped) or leave that to the call's owner, whom it may race: the owner's
 * lock decides. The call's memory is valid during the callback whoever answers. */
typedef void weft_call_cancelled(void *ctx, struct weft_call *call);

/* Sets what runs then. If the call was cancelled already, it runs soon all the same.
 * Thread: the handler's, before it answers or hands the call on. */
WEFT_API void weft_call_on_cancel(struct weft_call *call, weft_call_cancelled *cancelled,
                                  void *ctx);

#ifdef __cplusplus
}
#endif

#endif
