/* What the files of the service share.
 *
 * Locks, in this order: share_lock (whether a body is registered on the lane), then lock
 * (everything else). Neither is held while a call is answered, a lane is called with lock held, or
 * anything waits. Bodies that nobody holds are freed without locks (weft__state_let_go). */
#ifndef WEFT_STATE_PARTS_H
#define WEFT_STATE_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/server.h"
#include "link/lane.h"
#include "state/claim.h"
#include "state/main.h"
#include "state/server.h"
#include "wire/state.pb-c.h"

/* Work for the service's thread: at once, or at a time. */
struct weft__state_job {
    struct weft__state_job *next;
    uint64_t at_ns;                                          /* 0: at once */
    void (*run)(struct weft__state_job *job, bool stopping); /* frees it; without locks */
};

struct weft_state_server {
    struct weft_state_server_desc desc;
    char host[WEFT_REGISTRY_NAME_MAX];
    char url[WEFT_STATE_URL_MAX], async_url[WEFT_STATE_URL_MAX];
    pthread_t thread;
    pthread_mutex_t share_lock, lock;
    pthread_cond_t wake;
    /* under lock */
    struct weft_state_main main;
    uint64_t incarnation;
    uint32_t dead_ms; /* the registry's */
    uint64_t nonces;
    bool left; /* the thread ends or has ended */
    struct weft__state_job *jobs;
    struct weft__state_fetching *fetches; /* gets under way */
    uint64_t bulk_pulls, bulk_pushes;
    unsigned healing, confirming;
};

void weft__state_lock(struct weft_state_server *server);
/* Unlocks, and frees what was let go of meanwhile. */
void weft__state_unlock(struct weft_state_server *server);
/* Hands a job to the thread; where that has ended, runs it here.  Thread: any, without locks. */
void weft__state_post(struct weft_state_server *server, struct weft__state_job *job);
/* Answers with the error and its text. */
void weft__state_fail(struct weft_call *call, int err);

/* server_share.c: bodies that peers read by rma. */
struct weft__state_shared {
    struct weft_body_share share; /* first */
    struct weft_lane *lane;
    struct weft_lane_region *region;
    struct weft_lane_key key;
};
/* Registers a body that the caller holds and has pinned; false: no rma, or the pin has ended. */
bool weft__state_share(struct weft_state_server *server, struct weft_body *body,
                       struct weft__state_shared *shared_out);
void weft__state_unshare(struct weft_body_share *shares); /* a list; without locks */
/* Fetches the bytes of a push by rma, then makes it and answers; takes body over. */
void weft__state_fetch(struct weft_state_server *server, struct weft_call *call,
                       const Weft__State__PushRequest *request, struct weft_body *body);
/* Ends the gets that are under way. */
void weft__state_fetches_end(struct weft_state_server *server);

/* server_push.c */
/* Makes a change that was begun, ends it and answers. data: the bytes, or body, which is taken
 * over.
 */
void weft__state_push(struct weft_state_server *server, struct weft_call *call,
                      const Weft__State__PushRequest *request, struct weft_body *body);
/* Ends a change that was begun without making it. */
void weft__state_push_failed(struct weft_state_server *server, struct weft_call *call,
                             const Weft__State__PushRequest *request, int err);
void weft__state_on_push(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_stage(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_resize(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_append(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_clear(void *ctx, struct weft_call *call, const ProtobufCMessage *message);

/* server_read.c */
void weft__state_on_open(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_pull(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_part(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_unpin(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_items(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message);

/* server_ask.c */
/* Asks the registry for the claims of values that have to be confirmed. */
void weft__state_confirm(struct weft_state_server *server);
/* Somebody takes this host for the main of a value that it does not keep. Where the registry does
 * so too (a claim that came there late, when the value had been deleted), the claim is released. */
void weft__state_heal(struct weft_state_server *server, const char *user, const char *key);
void weft__state_on_resolve(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_drop(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_hosts(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__state_on_delete(void *ctx, struct weft_call *call, const ProtobufCMessage *message);

#endif
