/* What the files of the client share. A replica's fields are under its lock; a state's under its
 * own, which is taken with a replica's held, never the other way round. */
#ifndef WEFT_STATE_REPLICA_H
#define WEFT_STATE_REPLICA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "base/counter.h"
#include "link/lane.h"
#include "state/client.h"
#include "state/main.h"
#include "wire/state.pb-c.h"

struct weft_state {
    struct weft_state_desc desc;
    char url[WEFT_STATE_URL_MAX];
    _Atomic uint64_t no_lane_until_ns;
    pthread_mutex_t lock;
    struct weft_value *values; /* hash by name */
    struct weft_counter pulls, pushes, asyncs, appends, bytes_pulled, bytes_pushed, bulk_pulls,
        bulk_pushes, tried_again, resolved;
};

/* Where a value is. */
struct weft_whereabouts {
    uint64_t epoch;
    char host[64], url[WEFT_STATE_URL_MAX], async_url[WEFT_STATE_URL_MAX];
};

struct weft_value {
    UT_hash_handle hh;
    struct weft_state *state;
    unsigned refs; /* state->lock */
    bool listed;   /* state->lock: in the hash */
    char name[WEFT_STATE_NAME_MAX + 1];
    unsigned name_len;
    const char *user, *key; /* in name */

    pthread_mutex_t lock;
    struct weft_whereabouts at;
    uint64_t session, op; /* op: of the newest change */
    unsigned char *bytes;
    uint64_t size;
    uint64_t version; /* of all clean bytes that are here; 0: several */
    struct weft_ranges present, dirty;
};

/* A call to the main of a value. */
struct weft_state_asked {
    const char *user, *key;
    const struct weft_whereabouts *at;
    uint16_t code;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *reply_type;
    uint64_t deadline_ns;
    uint32_t tries; /* out */
};

/* client.c */
uint64_t weft__state_deadline(const struct weft_state *state);
/* Asks the host that this process talks to, until the deadline. */
int weft__state_ask_host(struct weft_state *state, struct weft_state_asked *asked,
                         ProtobufCMessage **reply_out);
/* Asks the main, until its answer is certain or the deadline. */
int weft__state_ask_main(struct weft_state *state, struct weft_state_asked *asked,
                         ProtobufCMessage **reply_out);
int weft__state_find(struct weft_state *state, const struct weft_state_name *name, bool check,
                     uint64_t deadline_ns, struct weft_whereabouts *at_out);
int weft__state_create(struct weft_state *state, const struct weft_state_name *name, uint64_t size,
                       uint64_t deadline_ns, struct weft_whereabouts *at_out);
/* NULL: no rma. */
struct weft_lane *weft__state_lane(struct weft_state *state);

/* replica.c: with the replica's lock. */
int weft__value_check(const struct weft_value *value, uint64_t offset, uint64_t len);
/* The local memory gets this size; what is beyond it is forgotten. */
int weft__value_fit(struct weft_value *value, uint64_t size);
/* A new session at the main; size_out, version_out: as they are there. */
int weft__value_session(struct weft_value *value, uint64_t deadline_ns, uint64_t *size_out,
                        uint64_t *version_out);

/* fetch.c: brings ranges here; with the replica's lock.  Errors: WEFT_ERANGE also where the main's
 * value has become shorter. */
int weft__value_fetch(struct weft_value *value, const struct weft_ranges *ranges,
                      uint64_t deadline_ns, uint64_t *size_out);

#endif
