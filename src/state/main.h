/* The values of which this host is the main, and what may be done to them: a pure table, without
 * I/O, lock, clock or thread; the owner passes the time in and sends the answers.
 *
 * Three things make an answer right: the lease (the registry cannot have declared this host dead
 * yet), the epoch (the claim that the caller means is the one that this table holds), and the
 * session (a change that comes again is not made again).
 *
 * Errors of every function that takes a place: WEFT_ESTALE this host does not keep the value in
 * that epoch; WEFT_EREGISTRY it cannot know, because its lease has run out; WEFT_EAGAIN the value
 * is being created or deleted. Texts by weft_fail(). */
#ifndef WEFT_STATE_MAIN_H
#define WEFT_STATE_MAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "state/body.h"
#include "state/ranges.h"
#include "state/state.h"

#define WEFT_STATE_NAME_MAX (WEFT_STATE_USER_MAX + WEFT_STATE_KEY_MAX + 1) /* "user\0key" */

struct weft_state_limits {
    uint64_t memory_max; /* bytes of bodies, items and bytes on their way */
    uint32_t keys_max;
    uint32_t sessions_max; /* of one value, <= WEFT_STATE_SESSIONS_MAX */
    uint32_t pins_max;
};

/* A change's end; what is answered when it comes again. */
struct weft_outcome {
    int err;         /* WEFT_OK, or why it was refused for good */
    uint32_t result; /* enum weft_state_result */
    uint64_t version, items, size;
};

struct weft_session {
    uint64_t id;              /* 0: unused */
    uint64_t op;              /* of the newest change, */
    bool open;                /* which is under way, */
    struct weft_outcome last; /* or ended so */
    uint64_t used;            /* order of use */
    /* bytes that come in pieces, of change stage_op */
    struct weft_body *stage;
    uint64_t stage_op, stage_until_ns;
};

struct weft_pin {
    struct weft_pin *next;
    uint64_t id, until_ns;
    struct weft_body *body;
};

struct weft_item {
    uint32_t len;
    unsigned char bytes[];
};

enum weft_kept_state { WEFT_KEPT_CLAIMING, WEFT_KEPT_ACTIVE, WEFT_KEPT_DELETING };

struct weft_kept {
    UT_hash_handle hh;
    char name[WEFT_STATE_NAME_MAX + 1];
    unsigned name_len;
    enum weft_kept_state state;
    uint64_t epoch;
    uint64_t sure_epoch; /* of the registry that has last confirmed the claim; 0: to be asked */
    bool asked;          /* it is being asked */
    struct weft_body *body;
    uint64_t version;
    struct weft_item **items;
    size_t items_n, items_room;
    uint64_t items_bytes;
    struct weft_session *sessions;
    uint32_t sessions_n;
    uint64_t sessions_given;
    struct weft_pin *pins;
};

struct weft_state_main {
    struct weft_state_limits limits;
    uint64_t lease_until_ns;
    uint64_t registry_epoch;  /* of the registry that has given the lease */
    struct weft_kept *values; /* hash by name */
    uint64_t used_bytes;
    uint64_t uses, pins_given;
    uint32_t pins_n, stages_n;
    uint64_t copies, refused_stale, refused_lease, refused_memory;
    struct weft_body *dead; /* nobody holds them: to be freed by the owner (weft__main_bury) */
    struct weft_body_share *ended; /* peers must not read by them any more (weft__main_ended) */
};

/* A value as a caller means it. */
struct weft_state_place {
    const char *user, *key;
    uint64_t epoch;
};

/* A change as its writer counts it. session 0: nobody counts. */
struct weft_state_writer {
    uint64_t session, op;
};

void weft__main_init(struct weft_state_main *main, const struct weft_state_limits *limits);
/* Drops all values; the bodies are dead then. */
void weft__main_clear(struct weft_state_main *main);
/* Take the list of shares that have to end, and that of dead bodies, which may be freed behind
 * them.
 */
struct weft_body_share *weft__main_ended(struct weft_state_main *main);
struct weft_body *weft__main_bury(struct weft_state_main *main);

/* Makes room for a value whose claim is under way.  Errors: WEFT_EEXIST there is one, active;
 * WEFT_EAGAIN there is one on its way; WEFT_ENOSPC; WEFT_ENOMEM. */
int weft__main_claim(struct weft_state_main *main, const char *user, const char *key,
                     uint64_t size);
/* The claim was won with this epoch, at a registry of that one, or lost (epoch 0): the value
 * serves, or is gone. */
void weft__main_claimed(struct weft_state_main *main, const char *user, const char *key,
                        uint64_t epoch, uint64_t registry_epoch);
/* The registry has started anew: it has forgotten whom it declared dead, and a host that was may
 * have its lease again. Values answer again when their claims were confirmed. */
void weft__main_registry(struct weft_state_main *main, uint64_t registry_epoch);
/* A value whose claim has to be asked for now; NULL: none. */
struct weft_kept *weft__main_unsure(struct weft_state_main *main);
/* The answer: standing is the epoch that stands (0: none) at a registry of that epoch; a value
 * whose claim does not stand is gone. */
void weft__main_confirmed(struct weft_state_main *main, struct weft_kept *kept, uint64_t standing,
                          uint64_t registry_epoch);
/* NULL: no such value, in any state. */
struct weft_kept *weft__main_kept(struct weft_state_main *main, const char *user, const char *key);
/* The value that is meant, if it may be touched now. */
int weft__main_find(struct weft_state_main *main, uint64_t now_ns,
                    const struct weft_state_place *place, struct weft_kept **kept_out);
/* Nobody touches it any more; its claim is being given up. */
void weft__main_delete_begin(struct weft_kept *kept);
void weft__main_delete(struct weft_state_main *main, struct weft_kept *kept);

/* A new session: its changes have the ops 1, 2, ... */
uint64_t weft__kept_session(struct weft_state_main *main, struct weft_kept *kept);

/* Whether a change is to be made (true), or outcome_out answers it. Where it returns true,
 * weft__change_end follows.  Errors: WEFT_EAGAIN it is being made. */
int weft__change_begin(struct weft_state_main *main, struct weft_kept *kept,
                       struct weft_state_writer writer, struct weft_outcome *outcome_out,
                       bool *make_out);
/* An outcome with WEFT_EAGAIN or WEFT_EREGISTRY: the change counts as not begun. */
void weft__change_end(struct weft_kept *kept, struct weft_state_writer writer,
                      const struct weft_outcome *outcome);

struct weft_state_push {
    uint64_t expected; /* 0: any */
    const struct weft_range64 *ranges;
    size_t ranges_n;
    struct weft_body *body; /* the bytes, one range after the other, in place of data; taken over */
    const void *data;
    uint64_t data_len; /* of either */
};
/* What a change does, between begin and end; the error goes into the outcome. */
struct weft_outcome weft__kept_push(struct weft_state_main *main, struct weft_kept *kept,
                                    const struct weft_state_push *push);
struct weft_outcome weft__kept_resize(struct weft_state_main *main, struct weft_kept *kept,
                                      uint64_t size);
struct weft_outcome weft__kept_append(struct weft_state_main *main, struct weft_kept *kept,
                                      const void *item, uint64_t len);
struct weft_outcome weft__kept_clear(struct weft_state_main *main, struct weft_kept *kept);
/* Ranges inside the value, none empty, and as many bytes as there are.  Errors: WEFT_EINVAL;
 * WEFT_ERANGE. */
int weft__ranges_check(const struct weft_kept *kept, const struct weft_range64 *ranges,
                       size_t ranges_n, uint64_t *bytes_out);

/* Counts bytes that the caller allocates; they are taken off main->used_bytes by hand.  Errors:
 * WEFT_ENOSPC. */
int weft__main_count(struct weft_state_main *main, uint64_t len);
/* Memory for bytes on their way; counted.  Errors: WEFT_ENOSPC; WEFT_ENOMEM. */
int weft__main_body(struct weft_state_main *main, uint64_t len, struct weft_body **body_out);
void weft__main_hold(struct weft_body *body);
void weft__main_put(struct weft_state_main *main, struct weft_body *body);

struct weft_state_piece {
    uint64_t total, offset, len;
    const void *data;
    uint64_t until_ns; /* it is forgotten then */
};
/* Keeps a piece of the bytes of a change that comes; the same piece may come again. */
int weft__kept_stage(struct weft_state_main *main, struct weft_kept *kept,
                     struct weft_state_writer writer, const struct weft_state_piece *piece);
/* Hands over the bytes that came in pieces; NULL: none for this change. */
struct weft_body *weft__kept_staged(struct weft_state_main *main, struct weft_kept *kept,
                                    struct weft_state_writer writer);

/* Holds the version as it is now for a reader.  Errors: WEFT_EAGAIN too many. */
int weft__kept_pin(struct weft_state_main *main, struct weft_kept *kept, uint64_t until_ns,
                   struct weft_pin **pin_out);
struct weft_pin *weft__kept_pinned(const struct weft_kept *kept,
                                   uint64_t id); /* NULL: it has ended */
/* Without the session's stage, if it has one. */
void weft__session_unstage(struct weft_state_main *main, struct weft_session *session);
bool weft__kept_unpin(struct weft_state_main *main, struct weft_kept *kept, uint64_t id);
/* Ends pins and stages whose time is over. next_ns: lowered to when to look again. */
void weft__main_expire(struct weft_state_main *main, uint64_t now_ns, uint64_t *next_ns);

#endif
