/* Freezing an app out of its hosts into a store, and thawing it, as pure state machines: events in,
 * actions out; time is an argument.
 *
 * Two roles. HOME coordinates, in the app's home weftd, one machine per app. A MEMBER machine lives
 * in each process of the app. The order of a freeze that succeeds:
 *
 *   HOME                         each process                           the registry, the store
 *   CLAIM ------------------------------------------------------------> (HOME, e-1) -> (HOME, e)
 *   STOP ----------------------> its ranks stop, each at a migration
 *                                point, until all of the app stand
 *   <----------------- standing
 *   SAVE ----------------------> their memory -------------------------> one file each, durable
 *   <--------------------- done
 *   WRITE ------------------------------------------------------------> the manifest, durable
 *   CAS --------------------------------------------------------------> (HOME, e) -> (store, e+1)
 *   END ------------------------> is ended, its slots are given back
 *
 * and of a thaw: PLACE (slots are leased, processes started), LOAD (each process fetches its
 * ranks), CLEAR (keys of the app's earlier life in the registry), CAS (store, e) -> (HOME, e+1),
 * RESUME.
 *
 * The claim makes the registry know the app, so that what a home that dies leaves in the store is
 * known as waste; without the registry no rank is stopped.
 *
 * The registry's compare-and-set decides, and nothing else. While it says HOME, the ranks are the
 * processes' and what is in the store is waste; while it says store, no rank runs and all of its
 * state is in the store. Who runs the app names itself in the value, so of two who thaw it one
 * wins. Processes never go on by themselves: only HOME says so, and a home that dies ends them.
 * Orders carry a number that grows; whatever is lost, doubled or late does no harm.
 */
#ifndef WEFT_PLAN_FREEZE_H
#define WEFT_PLAN_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/move.h"

#define WEFT_FREEZE_TEXT_MAX 320
#define WEFT_FREEZE_STORE 0 /* in the place of a home: the app is frozen */

/* Times of a freeze or thaw. */
struct weft_freeze_params {
    uint64_t retry_first_ns; /* HOME repeats an order or a question after this, doubled each ... */
    uint64_t retry_max_ns;   /* ... time up to this */
    uint64_t round_first_ns; /* the same for a new round of stopping (20 ms) */
    uint64_t round_max_ns;   /* (500 ms) */
    uint64_t stop_ns;        /* for all ranks to stand (20 s) */
    uint64_t save_ns;        /* until all is stored; also to load, and to go on (600 s) */
    uint64_t write_ns;       /* for the manifest, and for clearing keys (60 s) */
    uint64_t resolve_ns;     /* to learn what the registry has decided (10 s) */
    uint64_t answer_ns;      /* for processes to resume or end (20 s) */
};
extern const struct weft_freeze_params weft__freeze_defaults;

/* X(name): what HOME orders a process to do; END goes to its host */
#define WEFT_FREEZE_ORDERS(X) X(NOTHING) X(STOP) X(SAVE) X(GO_ON) X(LOAD) X(RESUME) X(END)
enum weft_freeze_order {
#define X(name) WEFT_FREEZE_##name,
    WEFT_FREEZE_ORDERS(X)
#undef X
};

/* ---- HOME ---- */

/* X(name): where a freeze or thaw is */
#define WEFT_FREEZE_STATES(X)                                                                      \
    X(RUNNING)                                                                                     \
    X(CLAIMING)                                                                                    \
    X(STOPPING)                                                                                    \
    X(SAVING)                                                                                      \
    X(WRITING)                                                                                     \
    X(COMMITTING)                                                                                  \
    X(GOING_ON) /* given up: the ranks go on where they were */                                    \
    X(ENDING)   /* committed: the processes end */                                                 \
    X(FROZEN)                                                                                      \
    X(RECALLING) /* what does the registry say? */                                                 \
    X(RETURNING) /* a thaw that was committed and not begun goes back into the store */            \
    X(PLACING)                                                                                     \
    X(LOADING)                                                                                     \
    X(CLEARING)                                                                                    \
    X(TAKING) /* the thaw is being committed */                                                    \
    X(RESUMING)                                                                                    \
    X(DISCARDING) /* given up: what was placed ends */                                             \
    X(GONE)       /* the app ends, or is somebody else's */
enum weft_freeze_state {
#define X(name) WEFT_FREEZE_IS_##name,
    WEFT_FREEZE_STATES(X)
#undef X
};

/* X(name): what happened */
#define WEFT_FREEZE_EVENTS(X)                                                                      \
    X(FREEZE)  /* RUNNING: begin, with the parties that were given */                              \
    X(THAW)    /* FROZEN: begin */                                                                 \
    X(CANCEL)  /* err, text: give up, if that is still possible */                                 \
    X(ANSWER)  /* party, order, number, err, text */                                               \
    X(DEAD)    /* party; err: ranks were lost with it, unless they are in the store */             \
    X(WRITTEN) /* err, text: answer to WRITE */                                                    \
    X(PLACED)  /* err, text: answer to PLACE; the parties have been given */                       \
    X(CLEARED) /* err, text: answer to CLEAR */                                                    \
    X(OWNER)   /* answer to CAS or READ_OWNER. err 0: owner stands now; else nothing is known */   \
    X(TICK)
enum weft_freeze_event_kind {
#define X(name) WEFT_FREEZE_ON_##name,
    WEFT_FREEZE_EVENTS(X)
#undef X
};

struct weft_freeze_event {
    enum weft_freeze_event_kind kind;
    int err;
    const char *text;
    size_t party; /* its index */
    enum weft_freeze_order order;
    uint64_t number;
    uint32_t round;               /* answers to STOP: of which round, */
    bool waits;                   /* whether ranks do not stand yet (text: which), */
    uint64_t lowest;              /* and the fewest points that one has come to that stands */
    struct weft_move_owner owner; /* host: a home, or WEFT_FREEZE_STORE; incarnation: the epoch */
};

/* X(name): what the I/O layer is to do */
#define WEFT_FREEZE_ACTIONS(X)                                                                     \
    X(ORDER) /* order, number, to party; answer ANSWER. END: err 0 when it has ended for sure */   \
    X(WRITE) /* the manifest of epoch owner.incarnation; answer WRITTEN when it is durable */      \
    X(CAS)   /* the app's key: expect -> want; answer OWNER */                                     \
    X(READ_OWNER)                                                                                  \
    X(PLACE) /* lease slots, start processes; answer PLACED, parties: what runs even so */         \
    X(CLEAR)                                                                                       \
    X(ERASE)  /* what the store has of the app: it is waste now; no answer */                      \
    X(STAYED) /* the app runs on where it was; err, text: why */                                   \
    X(FROZEN) /* it is in the store alone */                                                       \
    X(KEPT)   /* it stays in the store; err, text: why it was not thawed */                        \
    X(THAWED) /* it runs */                                                                        \
    X(LOST)   /* it cannot go on; err, text */                                                     \
    X(TAKEN)  /* somebody else has thawed it; what is left here of it is to be forgotten */
enum weft_freeze_action_kind {
#define X(name) WEFT_FREEZE_DO_##name,
    WEFT_FREEZE_ACTIONS(X)
#undef X
};

struct weft_freeze_action {
    enum weft_freeze_action_kind kind;
    size_t party;
    enum weft_freeze_order order;
    uint64_t number;
    uint32_t round; /* STOP: those that stand with at most so many points go on to their next */
    uint64_t below;
    int err;
    char text[WEFT_FREEZE_TEXT_MAX];
    struct weft_move_owner expect, want; /* CAS; WRITE: want is what will stand */
};

/* A process of the app. */
struct weft_freeze_party {
    bool answered; /* the order of the present state */
    bool stored;   /* all of its ranks are in the store */
    bool dead;
    bool lost; /* with ranks that were nowhere else */
};

struct weft_freeze {
    const struct weft_freeze_params *params;
    enum weft_freeze_state state;
    uint64_t self;                     /* this home, in the registry; never WEFT_FREEZE_STORE */
    struct weft_move_owner owner;      /* of the app, as the registry last said */
    uint64_t number;                   /* of the freeze or thaw; grows */
    uint32_t round;                    /* of stopping */
    uint64_t below, lowest;            /* of this round; as told in it */
    struct weft_freeze_party *parties; /* the caller's, set before FREEZE and PLACED */
    size_t parties_n;
    bool polled; /* processes have been asked how far they are in this round */
    bool asked;  /* a question to the registry is under way */
    bool placed; /* processes of a thaw may run */
    bool taken;  /* by somebody else */
    int err;     /* why it is given up */
    char text[WEFT_FREEZE_TEXT_MAX];
    uint64_t until_ns, retry_ns, backoff_ns;
};

/* params NULL: defaults; must outlive the machine. owner: as it stands; with host == self the app
 * runs, else it is frozen. */
void weft__freeze_init(struct weft_freeze *m, const struct weft_freeze_params *params,
                       uint64_t self, struct weft_move_owner owner);
/* The most actions that a step gives. */
static inline size_t weft__freeze_actions_max(const struct weft_freeze *m)
{
    return m->parties_n + 4;
}
size_t weft__freeze_step(struct weft_freeze *m, const struct weft_freeze_event *event,
                         uint64_t now_ns, struct weft_freeze_action *actions_out, size_t max);
/* When the next TICK is wanted; WEFT_NEVER: none. */
uint64_t weft__freeze_deadline(const struct weft_freeze *m);
/* Whether a freeze or a thaw is under way. */
bool weft__freeze_busy(const struct weft_freeze *m);

/* ---- MEMBER ---- */

enum weft_freeze_member_state {
    WEFT_MEMBER_EMPTY,    /* started for a thaw: nothing here yet */
    WEFT_MEMBER_HERE,     /* the ranks run */
    WEFT_MEMBER_STOPPING, /* they are asked to stop */
    WEFT_MEMBER_STANDING, /* all of them stand */
    WEFT_MEMBER_SAVING,
    WEFT_MEMBER_STOPPED, /* and stored, or (err) not */
    WEFT_MEMBER_LOADING,
    WEFT_MEMBER_LOADED /* or (err) not */
};

/* X(name): what happened to a process */
#define WEFT_FREEZE_MEMBER_EVENTS(X)                                                               \
    X(ORDER)   /* order, number */                                                                 \
    X(STOPPED) /* answer to STOP and RELEASE: all stand, or (err, text) those that can */          \
    X(SAVED)   /* answer to SAVE: err, text */                                                     \
    X(LOADED)  /* answer to LOAD: err, text */
enum weft_freeze_member_event_kind {
#define X(name) WEFT_FREEZE_MEMBER_ON_##name,
    WEFT_FREEZE_MEMBER_EVENTS(X)
#undef X
};

struct weft_freeze_member_event {
    enum weft_freeze_member_event_kind kind;
    enum weft_freeze_order order;
    uint64_t number;
    uint32_t round;
    uint64_t below;
    int err;
    const char *text;
};

/* X(name): what a process is to do */
#define WEFT_FREEZE_MEMBER_ACTIONS(X)                                                              \
    X(ANSWER)   /* order, number, round, err, text: to HOME */                                     \
    X(REPORT)   /* an answer to STOP: who does not stand, the fewest points of those that do */    \
    X(STOP)     /* ask the ranks to stop; answer STOPPED once, when each stands or cannot */       \
    X(RELEASE)  /* those that stand with at most `below` points go on and stop at their next;      \
                   answer STOPPED once more */                                                     \
    X(WITHDRAW) /* ask those that do not stand yet no more; STOPPED still comes */                 \
    X(SAVE)     /* answer SAVED */                                                                 \
    X(UNSAVE)   /* save no more; SAVED still comes, soon */                                        \
    X(GO_ON)    /* the ranks that stand go on */                                                   \
    X(LOAD)     /* answer LOADED */                                                                \
    X(RESUME)   /* the ranks run */
enum weft_freeze_member_action_kind {
#define X(name) WEFT_FREEZE_MEMBER_DO_##name,
    WEFT_FREEZE_MEMBER_ACTIONS(X)
#undef X
};

struct weft_freeze_member_action {
    enum weft_freeze_member_action_kind kind;
    enum weft_freeze_order order;
    uint64_t number;
    uint32_t round;
    uint64_t below;
    int err;
    char text[WEFT_FREEZE_TEXT_MAX];
};
#define WEFT_FREEZE_MEMBER_ACTIONS_MAX 3

struct weft_freeze_member {
    enum weft_freeze_member_state state;
    uint64_t number;   /* of the newest order */
    uint32_t round;    /* of stopping */
    bool go_on_wanted; /* STOPPING, SAVING: HOME has given it up */
    int err;
    char text[WEFT_FREEZE_TEXT_MAX];
};

/* empty: it was started for a thaw. */
void weft__freeze_member_init(struct weft_freeze_member *m, bool empty);
size_t weft__freeze_member_step(struct weft_freeze_member *m,
                                const struct weft_freeze_member_event *event,
                                struct weft_freeze_member_action *actions_out, size_t max);

const char *weft__freeze_state_name(enum weft_freeze_state state);
const char *weft__freeze_order_name(enum weft_freeze_order order);
const char *weft__freeze_action_name(enum weft_freeze_action_kind kind);
const char *weft__freeze_event_name(enum weft_freeze_event_kind kind);

#endif
