/* A server with a service of small handlers, and a client of it. */
#ifndef TESTS_UNIT_CONTROL_RIG_H
#define TESTS_UNIT_CONTROL_RIG_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "control/client.h"
#include "control/server.h"

#define RIG_TEXT 64
#define RIG_DEFERRED 128
#define RIG_TIMEOUT_MS 20000

enum rig_code {
    RIG_ECHO = 1, /* SYNC */
    RIG_ECHO_INLINE,
    RIG_COUNT,        /* ASYNC */
    RIG_MEET,         /* waits until rig->meet handlers are inside */
    RIG_BLOCK,        /* waits for rig_release */
    RIG_DEFER,        /* is answered by rig_answer_deferred */
    RIG_FAIL,         /* WEFT_EBUSY "not today" */
    RIG_TEXTS,        /* takes a Texts, answers how many */
    RIG_BIG,          /* answers with more than a frame may hold */
    RIG_BLOCK_INLINE, /* the same on the fan-in thread, which is what no handler may do */
    RIG_BOTH,         /* SYNC and ASYNC, counts */
    RIG_UNKNOWN = 999
};

struct rig {
    const char *scheme;
    struct weft_server *server;
    struct weft_client *client;
    char url[64]; /* of the sync port */
    char async_url[64];
    unsigned meet;
    _Atomic uint32_t inside; /* handlers that wait now, or met */
    _Atomic uint32_t most_inside;
    _Atomic uint32_t released;
    _Atomic uint32_t counted;
    _Atomic uint32_t deferred_n;
    struct weft_call *deferred[RIG_DEFERRED];
    char deferred_text[RIG_DEFERRED][RIG_TEXT];
};

struct rig_desc {
    const char *scheme;
    unsigned workers;
    size_t queue_max;
    size_t body_max;
    uint16_t port;
    unsigned meet;
};

void rig_open(struct rig *rig, const struct rig_desc *desc);
void rig_close(struct rig *rig);
/* The server alone; returns what weft__server_start returns. */
int rig_serve(struct rig *rig, const struct rig_desc *desc);
void rig_release(struct rig *rig);
/* Answers the deferred calls that have come so far, the newest first. */
void rig_answer_deferred(struct rig *rig);
/* One request with a text; the answer's text in text_out (may be NULL). */
int rig_ask(struct rig *rig, struct weft_client *client, uint16_t code, const char *text,
            char text_out[RIG_TEXT]);

/* A request that was started and may be awaited. */
struct rig_ask {
    _Atomic uint32_t over;
    int err;
    char text[512];
};
/* What a request that is awaited runs at its end; ctx: a struct rig_ask. */
void rig_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply);
int rig_start(struct rig *rig, uint16_t code, const char *text, uint32_t timeout_ms,
              struct rig_ask *ask);
int rig_await(struct rig_ask *ask);

/* How many threads of this process have that name; sleeping_only: and sleep in the kernel. */
unsigned rig_threads(const char *name, bool sleeping_only);
unsigned rig_fds(void);
size_t rig_resident_bytes(void);

/* Waits for something that must come to be; false: it did not, in a time that only a hang reaches.
 */
#define RIG_UNTIL(condition)                                                                       \
    __extension__({                                                                                \
        uint64_t rig_limit = weft__now_ns() + 60 * WEFT_NS_PER_S;                                  \
        while (!(condition) && weft__now_ns() < rig_limit)                                         \
            sched_yield();                                                                         \
        (condition);                                                                               \
    })

#endif
