/* What the files of the service share. Who owns what:
 *
 * The host list, the watches and the queue of changes are under the lock, which is held for memory
 * work only. The keys are read by everybody under the lock and changed by the registry's thread
 * alone, under the lock; so the thread itself may read them without it. The journal is the
 * thread's. */
#ifndef WEFT_REGISTRY_PARTS_H
#define WEFT_REGISTRY_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/server.h"
#include "registry/hosts.h"
#include "registry/journal.h"
#include "registry/values.h"
#include "wire/registry.pb-c.h"

/* A call that is answered later. */
struct weft__waiting {
    struct weft__waiting *next;
    struct weft_call *call;
    const Weft__Registry__CasRequest *cas; /* a change; the call's, valid until it is answered */
    uint64_t after, due_ns;                /* a watch */
};

struct weft__waiting_list {
    struct weft__waiting *first, **end;
    size_t n;
};

struct weft_registry {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stop;                         /* lock */
    struct weft_hosts hosts;           /* lock */
    struct weft_values keys;           /* lock to change; see above */
    struct weft__waiting_list watches; /* lock */
    struct weft__waiting_list changes; /* lock */
    struct weft_journal journal;       /* the thread's */
    uint64_t mend_ns;                  /* the thread's: when to try to mend it next */
    bool failing;                      /* the thread's: the newest write has failed */
    uint64_t epoch, log;               /* fixed */
    uint32_t beat_ms, dead_ms;
};

void weft__waiting_init(struct weft__waiting_list *list);
void weft__waiting_push(struct weft__waiting_list *list, struct weft__waiting *item);
/* Takes out the item that link points at. */
struct weft__waiting *weft__waiting_take(struct weft__waiting_list *list,
                                         struct weft__waiting **link);
/* Leaves the call to the thread, in one of its lists; a list that is full refuses it. gone (NULL:
 * none) runs, with the registry, when the caller does not want it any more. */
void weft__waiting_defer(struct weft_registry *registry, struct weft__waiting_list *list,
                         struct weft__waiting item, weft_call_cancelled *gone);
/* Answers with an error and frees. */
void weft__waiting_fail(struct weft__waiting *item, int err, const char *text);

/* Handlers. */
void weft__registry_on_join(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_leave(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_watch(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_get(void *ctx, struct weft_call *call, const ProtobufCMessage *message);
void weft__registry_on_cas(void *ctx, struct weft_call *call, const ProtobufCMessage *message);

/* Answers the watches that have become due, and lowers *next_ns to when the next one will.
 * Thread: the registry's, with the lock held; it is let go of while answers are made.
 * Returns whether there were any. */
bool weft__registry_answer_watches(struct weft_registry *registry, uint64_t now_ns,
                                   uint64_t *next_ns);
/* Brings the changes that wait to disk, makes them and answers.
 * Thread: the registry's, with the lock held; it is let go of meanwhile. Returns whether there were
 * any. */
bool weft__registry_run_changes(struct weft_registry *registry);

#endif
