/* The simulated groups: hosts with the real machine (src/group/coord.h), members that follow one
 * script, a network that loses, delays, doubles and reorders frames, hosts and members that die.
 * Everything follows from one seed. Inside tests/sim only. */
#ifndef WEFT_SIM_GROUP_H
#define WEFT_SIM_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "group/coord.h"
#include "weft/api.h"

#define MS WEFT_NS_PER_MS
#define US 1000ull

enum {
    GSIM_HOSTS_MAX = 4,
    GSIM_MEMBERS_MAX = 6,
    GSIM_PHASES_MAX = 6,
    GSIM_BARRIERS_MAX = 64,
    GSIM_VALUES_MAX = 64
};
#define GSIM_LONG (60000 * MS) /* a wait that must not end by its deadline */

/* Rules broken on purpose: each must be noticed. */
enum gsim_mutant {
    GSIM_MUTANT_NONE,
    GSIM_MUTANT_DOUBLES, /* a doubled frame counts as a new one */
    GSIM_MUTANT_HOLES,   /* an item falls out of a frame */
    GSIM_MUTANT_EARLY,   /* a barrier is released before all have come */
    GSIM_MUTANT_DEAF,    /* nobody is told of a host's death */
    GSIM_MUTANT_THIEF,   /* somebody is told that the lock is his */
    GSIM_MUTANTS
};

enum gsim_phase_kind { GSIM_BARRIER, GSIM_LOCK, GSIM_RECURSIVE, GSIM_TRY, GSIM_NOTIFY, GSIM_RING };

struct gsim_phase {
    enum gsim_phase_kind kind;
    uint32_t n;     /* rounds, or messages */
    uint32_t shift; /* RING: to whom */
};

struct gsim_host {
    struct gsim *sim;
    uint32_t index;
    bool up, dying, outcast; /* outcast: declared dead, and does not know it yet */
    struct weft_coord_peer self;
    struct weft_coord *coord;
    uint64_t tick_at;
    unsigned calls_depth;
};

struct gsim_member {
    uint32_t host;
    bool alive, done, opened;
    uint64_t session;
    uint32_t phase, step; /* where it is in the script, and in the phase */
    /* the call under way */
    bool calling, wait_long;
    uint64_t serial;
    uint8_t copies;
    struct weft_coord_call call;
    uint8_t value[8]; /* what it sends */
    uint64_t deadline;
    /* numbers, as the library counts them */
    uint64_t lock_number, lock_settled, unlock_number, barriers, notifies;
    uint64_t sent[GSIM_MEMBERS_MAX], got[GSIM_MEMBERS_MAX]; /* messages */
    uint64_t box[GSIM_MEMBERS_MAX];                         /* number of the next to ask for */
    uint64_t want[GSIM_MEMBERS_MAX];                        /* messages to receive so far */
    uint64_t arrived;                                       /* its newest barrier */
    uint32_t ring_sent;
    bool full;
    bool inside;
    uint32_t depth;
};

enum gsim_kind {
    GSIM_FRAME,
    GSIM_CALL,
    GSIM_ANSWER,
    GSIM_TICK,
    GSIM_BEAT,
    GSIM_STEP,
    GSIM_CREATE,
    GSIM_CRASH,
    GSIM_KILL,
    GSIM_NOTICE,
    GSIM_RESTART,
    GSIM_FALSE_DEATH, /* a host that lives is declared dead, */
    GSIM_LEARN        /* and hears of it */
};

struct gsim_event {
    uint64_t at_ns, order;
    uint8_t kind, copy;
    uint32_t to;
    uint64_t serial, token;
    int err;
    struct weft_coord_frame *frame;
    struct weft_coord_call *call;
    uint64_t *values;
    size_t values_n;
};

struct gsim {
    uint64_t seed, random, now_ns, calm_ns, order;
    enum gsim_mutant mutant;
    bool trace;
    uint32_t hosts_n, members_n, phases_n;
    struct gsim_host hosts[GSIM_HOSTS_MAX];
    struct gsim_member members[GSIM_MEMBERS_MAX];
    struct gsim_phase phases[GSIM_PHASES_MAX];
    uint64_t creator, lives; /* sessions, incarnations given out */
    bool created, creator_alive, mutated;
    /* weather: chances out of 1000 */
    uint32_t loss, doubles, slow, very_slow, repeats, hurry;
    uint32_t cut_a, cut_b;
    uint64_t cut_ns, mended_ns;
    /* truth */
    bool home_died, any_death, creator_dies, crashed[GSIM_HOSTS_MAX], orphaned;
    uint32_t killed_n;
    bool barrier_ok[GSIM_BARRIERS_MAX], barrier_broken[GSIM_BARRIERS_MAX];
    uint64_t runs_ops, runs_frames, runs_faults, runs_deaths, runs_errors;

    struct gsim_event *heap;
    size_t heap_n, heap_max;
    bool failed;
    char failure[256];
};

/* ---- group_net.c: time, chance, the network, the hosts ---- */
uint64_t gsim_random(struct gsim *sim);
uint32_t gsim_below(struct gsim *sim, uint32_t n);
bool gsim_chance(struct gsim *sim, uint32_t of_1000);
uint64_t gsim_between(struct gsim *sim, uint64_t low, uint64_t high);
void gsim_at(struct gsim *sim, uint64_t at_ns, struct gsim_event event);
bool gsim_next(struct gsim *sim, struct gsim_event *event_out);
void gsim_event_fini(struct gsim_event *event);
void gsim_fail(struct gsim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void gsim_trace(const struct gsim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void gsim_host_start(struct gsim *sim, uint32_t index);
void gsim_host_stop(struct gsim *sim, uint32_t index);
void gsim_host_hears(struct gsim *sim, uint32_t index); /* the list of hosts as it is now */
/* After each thing that a host was told. */
void gsim_host_told(struct gsim_host *host);
void gsim_on_frame(struct gsim *sim, struct gsim_event *event);

/* ---- group_member.c: what members do, and what they must see ---- */
void gsim_member_step(struct gsim *sim, uint32_t index);
void gsim_member_answer(struct gsim *sim, const struct gsim_event *event);
void gsim_member_dies(struct gsim *sim, uint32_t index);

#endif
