/* A request or push in hand, from its arrival until the fan-in thread has sent the answer. */
#ifndef WEFT_CONTROL_CALL_H
#define WEFT_CONTROL_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/server.h"
#include "transport/spi.h"
#include "wire/frame.h"

struct weft_dedupe_entry;
struct weft_party;
struct weft_service;

/* Who finishes it: the owner by answering, or the server by giving up on it at stop; the first one
 * wins. */
enum weft_call_state { WEFT_CALL_OPEN, WEFT_CALL_ANSWERED, WEFT_CALL_GIVEN_UP };

/* Bits of `cancel`: the client has cancelled it, or its connection has gone; on_cancel is set.
 * Whoever adds the bit that makes a pair sees to it that the callback runs. LATE: refused for its
 * deadline; a call counts as late or as cancelled, by who came first. */
enum weft_call_cancel {
    WEFT_CALL_CANCELLED = 1,
    WEFT_CALL_LEFT = 2,
    WEFT_CALL_LISTENS = 4,
    WEFT_CALL_LATE = 8
};

struct weft_call {
    struct weft_server *server; /* holds a reference */
    struct weft_service *service;
    const struct weft_handler_desc *handler;
    struct weft_call *next;        /* of the service's queue, or of its party's unsent answers */
    LIST_ENTRY(weft_call) in_open; /* of the server's open calls: the fan-in thread's */
    struct weft_party *connection; /* whose calls it is among; NULL: none */
    LIST_ENTRY(weft_call) in_party;
    struct weft_party *number;       /* the same by the client's number */
    struct weft_dedupe_entry *entry; /* NULL: it may run again */
    uint64_t correlation;            /* as it came first: what the answer is packed with */
    uint64_t asked;                  /* as it came last: what the answer is sent with */
    uint64_t arrived_ns;
    uint64_t deadline_ns;
    ProtobufCMessage *request;
    uint8_t *answer; /* a whole frame, NULL for a push */
    size_t answer_len;
    _Atomic int state;
    _Atomic int cancel;
    weft_call_cancelled *on_cancel; /* valid with WEFT_CALL_LISTENS */
    void *on_cancel_ctx;
    bool on_cancel_ran; /* the fan-in thread's */
    bool greedy; /* its client has many calls under way: it leaves a part of the queue to others */
    bool push;
    uint64_t client; /* of the frame; 0: none */
    struct weft_tp_from from;
    size_t body_len;
    uint8_t *body; /* until it is decoded; of a BYTES handler until it is answered */
};

/* A request or push as it came. */
struct weft_arrival {
    const struct weft_handler_desc *handler;
    const struct weft_tp_from *from; /* NULL: a push */
    const struct weft_frame *frame;
    uint64_t at_ns;
};

/* Takes a reference to the server.  Errors: WEFT_ENOMEM. */
int weft__call_new(struct weft_service *service, const struct weft_arrival *arrival,
                   struct weft_call **call_out);
void weft__call_free(struct weft_call *call);
/* Keeps a copy of the body for a later thread.  Errors: WEFT_EAGAIN the service holds too many
 * bytes; WEFT_ENOMEM. */
int weft__call_keep_body(struct weft_call *call, const struct weft_frame *frame);
/* Decodes and runs the handler, or refuses a call that is late or malformed.  Thread: a worker, or
 * the fan-in thread. */
void weft__call_run(struct weft_call *call, const void *body, size_t body_len);
/* Refuses a call whose deadline has passed. */
void weft__call_refuse_late(struct weft_call *call);

/* What is said of a call that failed. */
struct weft_call_error {
    int err;
    uint32_t retry_ms; /* of WEFT_EAGAIN: when to try again; 0: no idea */
    const char *text;
};

/* A frame that says error in answer to correlation; NULL: out of memory. */
uint8_t *weft__call_error_frame(uint16_t code, uint64_t correlation,
                                const struct weft_call_error *error, size_t *len_out);

#endif
