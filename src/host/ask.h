/* Requests from the owner thread whose answers come back on the owner thread, and requests of
 * others brought to it. */
#ifndef WEFT_HOST_ASK_H
#define WEFT_HOST_ASK_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct weft_client;
struct weft_loop;
struct weft_call;

struct weft_asker {
    struct weft_loop *loop;
    struct weft_client
        *client; /* NULL: closed already; questions are answered with WEFT_ESHUTDOWN */
};

/* On the owner thread, exactly once for each weft__ask. reply is valid during the call only. */
typedef void weft_answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply);

struct weft_question {
    const char *url;
    uint16_t code;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *reply_type; /* NULL: nobody looks at the reply */
    uint32_t timeout_ms;
    uint32_t lost_ms; /* > 0: it may run more than once: it is sent again where the connection
                         breaks, until the server has been out of reach for as long */
    weft_answered *answered; /* NULL: nobody waits for the answer */
    void *ctx;
};

/* Asks. When the question cannot even be sent, answered runs later with that error.  Thread: owner.
 * Blocks: no. */
void weft__ask(struct weft_asker *asker, const struct weft_question *question);

/* A request of a handler table, run on the owner thread. It owns the call. */
typedef void weft_owner_handler(void *ctx, struct weft_call *call, const ProtobufCMessage *request);
/* Posts a request to the owner thread; answers WEFT_EAGAIN when that is too busy.  Thread: any. */
void weft__ask_post(struct weft_loop *loop, weft_owner_handler *run, void *ctx,
                    struct weft_call *call, const ProtobufCMessage *request);

#endif
