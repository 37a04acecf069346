/* The move of one rank to another host, as pure state machines: events in, actions out; time is an
 * argument.
 *
 * Three roles. HOME coordinates, in the app's home weftd, one machine per move. SOURCE and DEST
 * live in the app's processes, one of each per rank and process, kept until the app ends. The order
 * of a move that succeeds:
 *
 *   HOME                        weftd of DEST        DEST process                 SOURCE process
 *   LEASE ---------------------> reserve
 *   <------------------ LEASED
 *   PREPARE -----------------------------------------> reserve the range
 *   <------------------------------------- PREPARED
 *   COPY (1) --------------------------------------------------------------------> describes what
 *                                                                                  it has, running
 *   <-------------------------------------------------- COPIED (1) (+ descriptor)
 *   FETCH (1) (+ descriptor) ------------------------> pull
 *   <---------------------------------- FETCHED (1)
 *   COPY (2), what was written meanwhile, and so on until little is left
 *   FREEZE ----------------------------------------------------------------------> asks the rank to
 * a migration point
 *   <--------------------------------------------------------- FROZEN (+ descriptor)
 *   PULL (+ descriptor) -----------------------------> pull, hold the lease,
 *                                                      registry (S,i) -> (D,i+1), resume
 *   <------------------------------------ COMMITTED
 *   MOVED -----------------------------------------------------------------------> forwards
 * packets, gives its slot back ROUTE to every process of the app; each sends a flush marker down
 * its old channel
 *   <---------------------------------------------------------- FLUSHED (all markers are in)
 *
 * The registry's compare-and-set decides, and nothing else: commit is (S,i) -> (D,i+1) by DEST,
 * abort is (S,i) -> (S,i+1) by SOURCE. SOURCE never thaws without the registry's word. Only HOME
 * retransmits; the others answer a repeated message with what stands. Whatever is lost, doubled or
 * late does no harm: messages carry the move id, and move ids of an app grow.
 */
#ifndef WEFT_PLAN_MOVE_H
#define WEFT_PLAN_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copying before the freeze is optional: whatever fails in it leads to FREEZE (0), after which all
 * is pulled; one that hears nothing until its deadline ends the move. FREEZE (n) says that DEST has
 * the rounds up to n. SOURCE ends it by a deadline of its own, so HOME may give up in the midst of
 * it as before. */

#define WEFT_MOVE_TEXT_MAX 96
#define WEFT_MOVE_ACTIONS_MAX 8 /* no step gives more */

/* X(name, receiver) */
#define WEFT_MOVE_MESSAGES(X)                                                                      \
    X(LEASE, AGENT)   /* reserve one slot: lease, within_ms */                                     \
    X(LEASED, HOME)   /* err */                                                                    \
    X(RELEASE, AGENT) /* give the lease back; sent once, the reservation ends by itself too */     \
    X(PREPARE,                                                                                     \
      DEST) /* lease, within_ms: until PULL; the I/O layer starts the process if there is none */  \
    X(PREPARED, HOME)                                                                              \
    X(FREEZE,                                                                                      \
      SOURCE) /* within_ms: to reach a migration point; then_ms: from frozen to the verdict */     \
    X(FROZEN, HOME)  /* the I/O layer adds the descriptor of the frozen state */                   \
    X(REFUSED, HOME) /* err, text: the rank was not frozen and goes on */                          \
    X(PULL, DEST)    /* the I/O layer adds the descriptor; within_ms */                            \
    X(COMMITTED, HOME)                                                                             \
    X(FAILED, HOME) /* err, text: DEST will never commit this move */                              \
    X(MOVED, SOURCE)                                                                               \
    X(ROUTE, ALL) /* rank is at `dest` with incarnation + 1 */                                     \
    X(FLUSHED, HOME)                                                                               \
    X(ABORT, SOURCE)                                                                               \
    X(ABORTED, HOME) /* the rank goes on at SOURCE; owner: as it stands now */                     \
    X(GONE, HOME) /* SOURCE cannot go on with the rank; owner: as the registry says, 0 unknown */  \
    X(DISCARD, DEST)                                                                               \
    X(COPY, SOURCE)  /* round, within_ms: until the next COPY or FREEZE */                         \
    X(COPIED, HOME)  /* round, bytes, last; err: no more copying; I/O adds the descriptor;         \
                        EPINNED: the rank cannot move at all */                                    \
    X(FETCH, DEST)   /* round, within_ms: until the next FETCH or PULL; likewise */                \
    X(FETCHED, HOME) /* round; err: DEST has none of the rounds */

enum weft_move_kind {
    WEFT_MOVE_NOTHING,
#define X(name, receiver) WEFT_MOVE_##name,
    WEFT_MOVE_MESSAGES(X)
#undef X
        WEFT_MOVE_KINDS_END
};

/* AGENT: the weftd of the destination host (its slot table). ALL: every process of the app. */
enum weft_move_role {
    WEFT_ROLE_HOME,
    WEFT_ROLE_SOURCE,
    WEFT_ROLE_DEST,
    WEFT_ROLE_AGENT,
    WEFT_ROLE_ALL
};

/* What the registry holds for a rank: who runs it. host: a number that the app's home gives to each
 * process of the app and never uses again, so that a host that comes back empty is another one. 0:
 * unknown. */
struct weft_move_owner {
    uint64_t host;
    uint64_t incarnation;
};

/* The same fields in every message: they name the move. */
struct weft_move_message {
    enum weft_move_kind kind;
    int32_t err;
    uint32_t rank;
    uint32_t within_ms;
    uint32_t then_ms;
    uint64_t app;
    uint64_t move_id;
    uint64_t incarnation; /* of the rank before the move */
    uint64_t home, source, dest;
    uint64_t lease;
    struct weft_move_owner owner;
    uint32_t round; /* of copying: COPY, COPIED, FETCH, FETCHED; FREEZE: the newest that DEST has */
    bool last;      /* COPIED: it ends a pass over the rank's memory */
    uint64_t bytes; /* COPIED: that the round describes */
    char text[WEFT_MOVE_TEXT_MAX];
};

/* X(name): what happened */
#define WEFT_MOVE_EVENTS(X)                                                                        \
    X(START)     /* HOME: begin */                                                                 \
    X(MESSAGE)   /* message */                                                                     \
    X(TICK)      /* the machine's deadline has come (early or doubled ones are fine) */            \
    X(CANCEL)    /* HOME: somebody wants the move stopped; text */                                 \
    X(HOST_DEAD) /* host: of its process; from the registry */                                     \
    X(OWNER) /* answer to CAS or READ_OWNER, to the machine that asked. err 0: owner stands in the \
                registry now; else nothing is known */                                             \
    X(POINT) /* SOURCE: the rank is parked at a migration point, no get of it is outstanding;      \
                move_id. However late: nobody else lets it go on */                                \
    X(PINNED)     /* SOURCE: the rank cannot move: err, text */                                    \
    X(RANK_ENDED) /* SOURCE: the rank has returned; it stays here for good */                      \
    X(MARKERS)    /* SOURCE: flush markers or death notices of all processes are in */             \
    X(COPIED)     /* SOURCE: answer to COPY: err, bytes, last */                                   \
    X(RANGE)      /* DEST: answer to RESERVE_RANGE: err */                                         \
    X(FETCHED)    /* DEST: answer to START_FETCH: err; nothing of it is under way any more;        \
                     ENOEXEC: the rank can never come, text */                                     \
    X(PULLED)     /* DEST: the pull ended, nothing of it is under way any more: err */             \
    X(HELD)       /* DEST: answer to HOLD_LEASE: err */

enum weft_move_event_kind {
#define X(name) WEFT_MOVE_ON_##name,
    WEFT_MOVE_EVENTS(X)
#undef X
};

struct weft_move_event {
    enum weft_move_event_kind kind;
    int err;
    uint64_t host;
    uint64_t move_id; /* of the question that it answers; 0: the machine's newest move */
    uint64_t bytes;
    bool last;
    struct weft_move_owner owner;
    const struct weft_move_message *message;
    const char *text;
};

/* X(name): what the I/O layer is to do */
#define WEFT_MOVE_ACTIONS(X)                                                                       \
    X(SEND) /* message, to weft__move_receiver(message.kind) */                                    \
    X(CAS)  /* registry, rank's key: expect -> want; answer OWNER (err != 0: outcome unknown) */   \
    X(READ_OWNER) /* registry, rank's key; answer OWNER */                                         \
    X(COPY)       /* SOURCE: describe message.round of the running rank; answer COPIED */          \
    X(END_COPY)   /* SOURCE: no more rounds */                                                     \
    X(ASK_POINT)  /* SOURCE: raise the rank's flag, message.round as in FREEZE; answer POINT,      \
                     PINNED or RANK_ENDED */                                                       \
    X(WITHDRAW)   /* SOURCE: lower the flag */                                                     \
    X(THAW)       /* SOURCE: the parked rank goes on here, with message.owner.incarnation */       \
    X(FORWARD) /* SOURCE: the rank is at message.owner; forward its packets, free its memory once  \
                  markers are in */                                                                \
    X(RESERVE_RANGE) /* DEST: map the rank's range; answer RANGE */                                \
    X(START_FETCH)   /* DEST: message.round; answer FETCHED */                                     \
    X(START_PULL)    /* DEST: answer PULLED */                                                     \
    X(CANCEL_PULL)   /* DEST: answer PULLED or FETCHED, as soon as nothing is under way */         \
    X(HOLD_LEASE)    /* DEST: with this host's weftd; answer HELD */                               \
    X(COMMIT_LEASE)  /* DEST: with this host's weftd, repeated by the I/O layer until answered; no \
                        event */                                                                   \
    X(RELEASE_LEASE) /* SOURCE, DEST: the same; SOURCE: the slot that the rank had */              \
    X(RESUME)        /* DEST: the rank runs here, with message.owner.incarnation */                \
    X(DISCARD_RANGE) /* DEST: unmap it */                                                          \
    X(END_APP)       /* the rank is lost or cannot be resolved: message.text says why */           \
    X(ENDED)         /* HOME: outcome and reason are final; the pending migration is removed */

enum weft_move_action_kind {
#define X(name) WEFT_MOVE_DO_##name,
    WEFT_MOVE_ACTIONS(X)
#undef X
};

struct weft_move_action {
    enum weft_move_action_kind kind;
    struct weft_move_message message;    /* SEND: what; the others: which move, owner and text */
    struct weft_move_owner expect, want; /* CAS */
};

/* Times of a move. */
struct weft_move_params {
    uint64_t retry_first_ns; /* HOME repeats a message after this (50 ms), doubled each time ... */
    uint64_t retry_max_ns;   /* ... up to this (1 s); the same for the registry */
    uint64_t lease_ns;       /* to get a lease (2 s) */
    uint64_t prepare_ns;     /* to start the process and reserve the range (5 s) */
    uint32_t copy_passes;    /* over the rank's memory, at most, before it is frozen; 0: none */
    uint64_t copy_ns;        /* for all of them (60 s); after half of it no other round begins */
    uint64_t copy_enough;    /* bytes: a pass that has found no more is the last (1 MiB) */
    uint64_t freeze_ns;      /* to reach a migration point (2 s) */
    uint64_t pull_ns;        /* from frozen to the commit (30 s) */
    uint64_t resolve_ns;     /* to learn from SOURCE or the registry what stands, before the app is
                                ended (10 s) */
    uint64_t flush_ns; /* for the markers; then the source keeps its forwarding entry until the app
                          ends (10 s) */
};
extern const struct weft_move_params weft__move_defaults;

enum weft_move_outcome {
    WEFT_MOVE_PENDING,
    WEFT_MOVE_OUTCOME_MOVED,
    WEFT_MOVE_OUTCOME_STAYED, /* the rank goes on where it was */
    WEFT_MOVE_OUTCOME_LOST    /* the app ends */
};

/* ---- HOME ---- */
enum weft_move_home_state {
    WEFT_HOME_IDLE,
    WEFT_HOME_LEASING,
    WEFT_HOME_PREPARING,
    WEFT_HOME_COPYING,
    WEFT_HOME_FREEZING,
    WEFT_HOME_PULLING,
    WEFT_HOME_ABORTING,  /* SOURCE is asked what stands */
    WEFT_HOME_RESOLVING, /* the registry is asked what stands */
    WEFT_HOME_FLUSHING,
    WEFT_HOME_ENDED
};

struct weft_move_home {
    const struct weft_move_params *params;
    struct weft_move_message id; /* template of all messages */
    enum weft_move_home_state state;
    enum weft_move_outcome outcome; /* valid when ENDED, and MOVED from FLUSHING on */
    int err;                        /* why it did not move */
    char reason[WEFT_MOVE_TEXT_MAX];
    struct weft_move_owner owner; /* where the rank is, when the outcome is MOVED or STAYED */
    bool source_dead, source_gone, dest_dead, dest_failed, pull_asked;
    /* copying */
    uint32_t round;     /* under way */
    uint32_t passes;    /* that have ended */
    uint32_t has_round; /* the newest that DEST has; 0: none */
    bool fetching;      /* DEST is asked, not SOURCE */
    bool pass_ends;     /* with this round */
    uint64_t pass_bytes, last_pass_bytes, copied_bytes;
    uint64_t until_ns; /* deadline of the state */
    uint64_t retry_ns; /* next repetition */
    uint64_t backoff_ns;
};

/* Which rank moves from where to where. */
struct weft_move_desc {
    const struct weft_move_params *params; /* NULL: defaults; must outlive the machine */
    uint64_t app;
    uint64_t move_id; /* grows within the app */
    uint32_t rank;
    uint64_t incarnation; /* now */
    uint64_t home, source, dest;
    uint64_t lease; /* id of the lease to take at dest */
};

void weft__move_home_init(struct weft_move_home *m, const struct weft_move_desc *desc);
size_t weft__move_home_step(struct weft_move_home *m, const struct weft_move_event *event,
                            uint64_t now_ns, struct weft_move_action *actions_out, size_t max);
/* When the next TICK is wanted; WEFT_NEVER: none. */
uint64_t weft__move_home_deadline(const struct weft_move_home *m);

/* ---- SOURCE ---- */
enum weft_move_source_state {
    WEFT_SOURCE_ABSENT, /* the rank is not here */
    WEFT_SOURCE_HERE,   /* it runs here */
    WEFT_SOURCE_WAITING,
    WEFT_SOURCE_FROZEN,
    WEFT_SOURCE_ABORTING,   /* asks the registry whether it may thaw */
    WEFT_SOURCE_FORWARDING, /* it is elsewhere */
    WEFT_SOURCE_FLUSHED     /* nothing more to forward */
};

struct weft_move_source {
    const struct weft_move_params *params;
    struct weft_move_message
        id; /* of the newest move; id.incarnation: the rank's, while it is here */
    enum weft_move_source_state state;
    uint64_t refused_id;  /* the newest move refused without a look at the rank */
    uint64_t incarnation; /* of the rank while it is here */
    struct weft_move_message
        verdict; /* answer to repetitions of the newest move; kind NOTHING: none yet */
    bool cas_under_way, rank_ended;
    /* Copying goes on beside the states HERE: it is not the newest move yet. */
    bool copying;
    struct weft_move_message copy;   /* the newest COPY; move_id 0: there was none */
    struct weft_move_message copied; /* answer to repetitions of it; kind NOTHING: none yet */
    uint64_t copy_until_ns;
    uint64_t then_ns;
    uint64_t until_ns, retry_ns, backoff_ns;
};

/* A process's machine for a rank that is not here. */
void weft__move_source_init(struct weft_move_source *m, const struct weft_move_params *params);
/* The rank runs here now: at its start, and after DEST's RESUME. */
void weft__move_source_place(struct weft_move_source *m, uint64_t incarnation);
size_t weft__move_source_step(struct weft_move_source *m, const struct weft_move_event *event,
                              uint64_t now_ns, struct weft_move_action *actions_out, size_t max);
uint64_t weft__move_source_deadline(const struct weft_move_source *m);

/* ---- DEST ---- */
enum weft_move_dest_state {
    WEFT_DEST_IDLE,
    WEFT_DEST_RESERVING,
    WEFT_DEST_PREPARED,
    WEFT_DEST_FETCHING,
    WEFT_DEST_PULLING,
    WEFT_DEST_CANCELLING, /* waits for what is under way: the range, the pull or the lease */
    WEFT_DEST_HOLDING,
    WEFT_DEST_COMMITTING,
    WEFT_DEST_RUNNING, /* committed */
    WEFT_DEST_FAILED
};

struct weft_move_dest {
    const struct weft_move_params *params;
    struct weft_move_message id;
    enum weft_move_dest_state state;
    uint64_t refused_id; /* the newest move refused because of an older one */
    uint32_t round;      /* FETCHING: under way; else the newest that is here, 0: none */
    int err;
    char reason[WEFT_MOVE_TEXT_MAX];
    bool cas_under_way;
    uint64_t until_ns, retry_ns, backoff_ns;
};

void weft__move_dest_init(struct weft_move_dest *m, const struct weft_move_params *params);
size_t weft__move_dest_step(struct weft_move_dest *m, const struct weft_move_event *event,
                            uint64_t now_ns, struct weft_move_action *actions_out, size_t max);
uint64_t weft__move_dest_deadline(const struct weft_move_dest *m);

/* ---- all ---- */
/* The answer of a process that has no machine for the message (it was started anew). False: no
 * answer. */
bool weft__move_answer_unknown(const struct weft_move_message *message,
                               struct weft_move_message *answer_out);
enum weft_move_role weft__move_receiver(enum weft_move_kind kind);
/* The host number of the receiver of this message; 0: all processes. */
uint64_t weft__move_receiver_host(const struct weft_move_message *message);

const char *weft__move_kind_name(enum weft_move_kind kind);
const char *weft__move_event_name(enum weft_move_event_kind kind);
const char *weft__move_action_name(enum weft_move_action_kind kind);
const char *weft__move_outcome_name(enum weft_move_outcome outcome);
const char *weft__move_home_name(enum weft_move_home_state state);
const char *weft__move_source_name(enum weft_move_source_state state);
const char *weft__move_dest_name(enum weft_move_dest_state state);

#endif
