/* A process's control client: one connection per remote port, shared by all threads, requests
 * pipelined and matched by correlation id. A request that times out leaves the connection usable.
 * One thread inside drives all connections. */
#ifndef WEFT_CONTROL_CLIENT_H
#define WEFT_CONTROL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "weft/client.h"

struct weft_tp_security;

struct weft_client_desc {
    const char *scheme;    /* NULL: "zmq" */
    size_t pending_max;    /* requests under way; 0: 4096; beyond: WEFT_EAGAIN */
    uint32_t push_idle_ms; /* after how long without pushes a connection to an async port is closed,
                              once another one is made: nobody tells of a port that is dead. 0: 1
                              minute */
    const struct weft_tp_security *security; /* NULL: as the settings say (control/security.h) */
};

int weft__client_open(const struct weft_client_desc *desc, struct weft_client **client_out);
/* Fails everything under way with WEFT_ESHUTDOWN (done runs), joins the thread, frees. NULL is
 * fine. */
void weft__client_close(struct weft_client *client);

/* Runs exactly once on the client's thread; must not block; may start further calls. reply: decoded
 * by reply_type, valid during the call only, NULL on error or where reply_type is NULL; text: what
 * the server says of err (or our own words), valid during the call. */
typedef void weft_client_done(void *ctx, int err, const char *text, const ProtobufCMessage *reply);
/* The same for calls whose reply is bytes. In both weft_fail_retry_ms() is the server's hint when
 * err is WEFT_EAGAIN. */
typedef weft_client_answer weft_client_done_bytes;

struct weft_client_call {
    const char *url; /* "tcp://127.0.0.2:8100": a sync port */
    uint16_t code;
    const ProtobufCMessage *request; /* NULL: empty body; packed before the call returns */
    const ProtobufCMessageDescriptor *reply_type; /* NULL: the reply's body is ignored */
    uint32_t timeout_ms;                          /* > 0 */
    weft_client_done *done;
    void *ctx;
    uint32_t flags;   /* enum weft_client_flag */
    uint32_t lost_ms; /* IDEMPOTENT: not sent again once the server could not be reached for as
                         long; 0: until its deadline */
    const void *body; /* instead of request: these bytes, copied */
    size_t body_len;
    weft_client_done_bytes *done_bytes; /* instead of done and reply_type */
    /* NULL, or where the ticket goes, before done can run; 0 where the call was not started. */
    struct weft_client_ticket *ticket_out;
};

/* Starts a request.  Thread: any (also inside done).  Blocks: no.  Errors: WEFT_EAGAIN;
 * WEFT_EMSGSIZE; WEFT_EINVAL url. */
int weft__client_start(struct weft_client *client, const struct weft_client_call *call);
/* The same, waiting: done and ctx are ignored.  Thread: any but the client's own.  Blocks: until
 * the reply or timeout_ms. Owns: *reply_out (may be NULL) is the caller's, weft__message_free. The
 * error's text: weft_fail_text(), the hint of WEFT_EAGAIN: weft_fail_retry_ms(). */
int weft__client_wait(struct weft_client *client, const struct weft_client_call *call,
                      ProtobufCMessage **reply_out);
/* The same for bytes. Owns: *body_out is the caller's, free(). */
int weft__client_wait_bytes(struct weft_client *client, const struct weft_client_call *call,
                            void **body_out, size_t *len_bytes_out);
/* Gives the call up: done runs with WEFT_ECANCELED, or with a reply that was faster, or has run;
 * and the server is told, which may have begun it or not. A call that times out is given up in the
 * same way. Fine on a ticket whose call is over.  Thread: any.  Blocks: no. */
void weft__client_cancel(struct weft_client *client, struct weft_client_ticket ticket);
/* Sends to an async port; no answer, no order against requests.  Errors: WEFT_EAGAIN;
 * WEFT_EMSGSIZE; WEFT_EINVAL. */
int weft__client_push(struct weft_client *client, const char *url, uint16_t code,
                      const ProtobufCMessage *request);
int weft__client_push_bytes(struct weft_client *client, const char *url, uint16_t code,
                            const void *body, size_t len_bytes);
/* Forgets the connections to url; what is under way there fails with WEFT_EPEERDEAD.  Thread: any.
 * Blocks: no. */
void weft__client_forget(struct weft_client *client, const char *url);

struct weft_client_stats {
    uint64_t sent, answered; /* requests, and those of them that got a reply, be it an error */
    uint64_t timed_out,
        lost; /* requests that ended without one: by their deadline, with their peer */
    uint64_t cancelled;
    uint64_t resent;    /* idempotent requests sent again */
    uint64_t late;      /* replies to a request that had ended */
    uint64_t malformed; /* replies that were refused */
    uint64_t pushes, pushes_dropped;
};

void weft__client_stats(const struct weft_client *client, struct weft_client_stats *stats_out);

#endif
