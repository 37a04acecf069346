/* The simulated groups: hosts with the real machine (src/group/coord.h), members that follow one
 * script, hosts and members that die. What they tell each other are the frames of wire/group.proto,
 * over real endpoints that lose, delay, double and reorder them (net.h). Everything follows from
 * one seed. Inside tests/sim only. */
#ifndef WEFT_SIM_GROUP_H
#define WEFT_SIM_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "group/coord.h"
#include "net.h"
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
#define GSIM_LONG_MS 60000            /* a wait that must not end by its deadline */
#define GSIM_CREATOR GSIM_MEMBERS_MAX /* as a client's index */

/* The ends of the network: hosts; by which a host sends to another one; members, the creator. */
enum {
    GSIM_END_HOST = 0,
    GSIM_END_LINK = GSIM_END_HOST + GSIM_HOSTS_MAX,
    GSIM_END_CLIENT = GSIM_END_LINK + GSIM_HOSTS_MAX * GSIM_HOSTS_MAX
};

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

/* A call that a host has not answered yet; its address is the token. */
struct gsim_asked {
    struct gsim_asked *next;
    struct net_question question;
    uint64_t deadline_ns; /* the host must have answered by then */
};

/* The newest frame of another host: to know one that comes twice. */
struct gsim_last {
    uint64_t first, items_n;
};

struct gsim_host {
    struct gsim *sim;
    uint32_t index;
    bool up, dying, outcast; /* outcast: declared dead, and does not know it yet */
    struct weft_coord_peer self;
    struct weft_coord *coord;
    struct net_end *end;
    struct gsim_asked *asked;
    struct gsim_last last[GSIM_HOSTS_MAX];
    uint64_t tick_at;
};

/* A process that asks its host, and asks again until it is answered: a member, or the creator. */
struct gsim_client {
    struct gsim *sim;
    uint32_t index;
    struct net_end *end;
    bool asks;
    uint64_t serial; /* the correlation of the call under way, or of the last one */
    uint32_t tries;
};

struct gsim_member {
    uint32_t host;
    bool alive, done, opened;
    uint64_t session;
    uint32_t phase, step; /* where it is in the script, and in the phase */
    /* the call under way, or the last one */
    bool wait_long;
    uint32_t wait_ms;
    struct weft_coord_call call;
    uint8_t value[8]; /* what it sends */
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
    GSIM_TICK,
    GSIM_BEAT,
    GSIM_STEP,
    GSIM_CREATE,
    GSIM_AGAIN,   /* a call was not answered for a while */
    GSIM_WEATHER, /* it changes */
    GSIM_CRASH,
    GSIM_KILL,
    GSIM_NOTICE,
    GSIM_RESTART,
    GSIM_FALSE_DEATH, /* a host that lives is declared dead, */
    GSIM_LEARN        /* and hears of it */
};

struct gsim_event {
    uint64_t at_ns, order;
    uint8_t kind;
    uint32_t to;
    uint64_t serial;
};

/* How a link is while the weather is rough. */
struct gsim_link {
    char spec[80];
    uint64_t seed; /* of its next life */
};

/* What a member hears; the messages that it receives are numbers. */
struct gsim_answer {
    int err;
    const uint64_t *values;
    size_t values_n;
};

struct gsim {
    struct net net;
    uint64_t seed, random, now_ns, calm_ns, order;
    enum gsim_mutant mutant;
    bool trace;
    uint32_t hosts_n, members_n, phases_n;
    struct gsim_host hosts[GSIM_HOSTS_MAX];
    struct gsim_member members[GSIM_MEMBERS_MAX];
    struct gsim_client clients[GSIM_MEMBERS_MAX + 1]; /* the creator's is the last */
    struct gsim_phase phases[GSIM_PHASES_MAX];
    uint64_t creator, lives; /* its session; incarnations given out */
    bool created, creator_alive, mutated;
    /* weather */
    struct gsim_link links[GSIM_HOSTS_MAX][GSIM_HOSTS_MAX];
    char host_spec[80], client_spec[80]; /* while it is rough */
    uint32_t loss, hurry;                /* of members; calls that do not wait long, out of 1000 */
    uint32_t cut_a, cut_b;
    uint64_t cut_ns, mended_ns;
    /* truth */
    bool home_died, any_death, creator_dies, crashed[GSIM_HOSTS_MAX], orphaned;
    uint32_t killed_n;
    bool barrier_ok[GSIM_BARRIERS_MAX], barrier_broken[GSIM_BARRIERS_MAX];
    uint64_t runs_ops, runs_again, runs_deaths, runs_errors;

    struct gsim_event *heap;
    size_t heap_n, heap_max;
    bool failed;
    char failure[256];
};

/* ---- group_queue.c: time and chance ---- */
uint64_t gsim_random(struct gsim *sim);
uint32_t gsim_below(struct gsim *sim, uint32_t n);
bool gsim_chance(struct gsim *sim, uint32_t of_1000);
uint64_t gsim_between(struct gsim *sim, uint64_t low, uint64_t high);
void gsim_at(struct gsim *sim, uint64_t at_ns, struct gsim_event event);
/* Lets messages travel until the next event. false: nothing happens any more, or it has failed. */
bool gsim_next(struct gsim *sim, struct gsim_event *event_out);
void gsim_fail(struct gsim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void gsim_trace(const struct gsim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* ---- group_net.c: the weather, and what is sent ---- */
void gsim_weather_make(struct gsim *sim);
void gsim_weather_change(struct gsim *sim); /* to what it is now */
void gsim_host_connect(struct gsim *sim, uint32_t index);
void gsim_host_disconnect(struct gsim *sim, uint32_t index);
/* By which a host sends to another one. */
struct net_end *gsim_link(struct gsim *sim, uint32_t from, uint32_t to);
/* Of a member, or of the creator. */
void gsim_client_open(struct gsim *sim, uint32_t index);
void gsim_client_close(struct gsim *sim, uint32_t index);
/* The next call: the member's, or the creation of the group. It is sent until it is answered. */
void gsim_ask(struct gsim *sim, uint32_t index);
void gsim_ask_again(struct gsim *sim, uint32_t index, uint64_t serial);
void gsim_beat(struct gsim *sim, uint32_t index);

/* ---- group_host.c: hosts ---- */
void gsim_host_start(struct gsim *sim, uint32_t index);
void gsim_host_stop(struct gsim *sim, uint32_t index);
void gsim_host_hears(struct gsim *sim, uint32_t index); /* the list of hosts as it is now */
/* After each thing that a host was told. */
void gsim_host_told(struct gsim_host *host);
void gsim_host_takes(void *ctx, const struct net_question *question,
                     const struct weft_frame *frame);

/* ---- group_member.c: what members do, and what they must see ---- */
void gsim_member_step(struct gsim *sim, uint32_t index);
void gsim_member_answer(struct gsim *sim, uint32_t index, const struct gsim_answer *answer);
void gsim_member_dies(struct gsim *sim, uint32_t index);

/* ---- group_main.c ---- */
void gsim_created(struct gsim *sim, int err);

#endif
