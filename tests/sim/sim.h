/* The simulated cluster: hosts with slot tables, a registry with a log, a network that loses,
 * delays, doubles and reorders, and up to three apps with homes of their own, which compete for the
 * hosts' slots and whose ranks send each other numbered messages, and write their memory, while
 * they are moved.
 *
 * Everything follows from one seed. The code under test is the real one: move machines, leases,
 * decisions and detection (src/plan), channels, holds, routes and packets (src/group), the keys of
 * ranks and the bytes of move messages (src/host/keys.c, move_wire.c), the registry's table
 * (src/registry/values.c), and what carries the bytes in every third run (transport/fault over
 * transport/inproc). What stands in for the rest is here. Inside tests/sim only. */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "group/channel.h"
#include "group/hold.h"
#include "group/packet.h"
#include "group/route.h"
#include "group/world.h"
#include "host/keys.h"
#include "net.h"
#include "plan/lease.h"
#include "plan/move.h"
#include "registry/values.h"
#include "sim_stats.h"
#include "weft/api.h"

#define SIM_HOSTS_MAX 5
#define SIM_APPS_MAX 3
#define SIM_RANKS_MAX 4
#define SIM_MOVES_MAX 2 /* of one app at a time, of different ranks */
#define SIM_PROCS_MAX 48
#define SIM_EVENTS_MAX 8192
#define SIM_PACKETS_MAX 2048
#define SIM_PENDING_MAX 128
#define SIM_LOG_MAX 256
#define SIM_CUTS_MAX 3
#define SIM_PAGES 12 /* of a rank */
/* Who has a number: the home of app A has A + 1, processes of all apps the ones from here on. */
#define SIM_PROC_FIRST (SIM_APPS_MAX + 1)
#define SIM_REGISTRY 63                  /* its number */
#define SIM_PLACE_REGISTRY SIM_HOSTS_MAX /* and its place in the network */

#define MS WEFT_NS_PER_MS
#define US 1000ull
#define SIM_STOP_MAX (900 * MS) /* a party that stops goes on by then */

/* Rules broken on purpose: each must be noticed.  X(NAME, name, what is broken) */
#define SIM_MUTANTS(X)                                                                             \
    X(THAW_ON_TIMER, "thaw-on-timer", "the source thaws without the registry's word")              \
    X(RESUME_EARLY, "resume-early", "the destination resumes before the compare-and-set")          \
    X(COMMIT_UNASKED, "commit-unasked", "the destination resumes and never asks the registry")     \
    X(ABORT_AFTER_COMMIT, "abort-after-commit", "the source thaws although it hears of a commit")  \
    X(LEASE_NOT_HELD, "lease-not-held", "the destination commits on a reservation")                \
    X(LEASE_TWICE, "lease-twice", "a slot that is leased is leased again")                         \
    X(LEASE_LEAKS, "lease-leaks", "a slot that is given back stays taken")                         \
    X(BLIND_REGISTRY, "blind-registry", "compare-and-set does not compare")                        \
    X(ANSWER_UNSYNCED, "answer-unsynced", "the registry answers before a change is on disk")       \
    X(LOG_NOT_READ, "log-not-read", "the registry starts empty")                                   \
    X(NUMBER_REUSED, "number-reused", "a host that came back takes the process number of before")  \
    X(WINDOW_LEFT, "window-left", "packets that wait for an acknowledgement stay behind")          \
    X(DOUBLES_ACCEPTED, "doubles-accepted", "receivers take a packet that they had")               \
    X(HELD_ACCEPTED, "held-accepted", "what a frozen rank is sent counts as accepted")             \
    X(FREEZE_LEAKS, "freeze-leaks", "the rank goes on while it is said to be frozen")              \
    X(OLDER_ROUTE_WINS, "older-route-wins", "a route replaces the known one unseen")               \
    X(MARKER_IGNORED, "marker-ignored", "flush markers are not counted")                           \
    X(FLUSH_EARLY, "flush-early", "the source stops forwarding before the markers are in")         \
    X(PLAN_KEPT, "plan-kept", "home keeps a move that has ended")                                  \
    X(DEATH_FORGOTTEN, "death-forgotten", "home is not told of deaths")                            \
    X(FENCE_FORGOTTEN, "fence-forgotten", "a host that was taken for dead goes on")                \
    X(DISCARD_UNDER_PULL, "discard-under-pull", "a cancelled pull is not waited for")              \
    X(ROUND_FORGOTTEN, "round-forgotten", "a round that was not fetched counts as fetched")        \
    X(STALE_ROUND_KEPT, "stale-round-kept", "a round fetched for an older move counts for this")   \
    X(COPY_NOT_ANEW, "copy-not-anew", "a move goes on with what was copied for the one before")    \
    X(COPIED_OF_OTHER, "copied-of-other", "a round made for an older move is given for this")      \
    X(TRACKER_LATE, "tracker-late", "pages are read before the tracker is asked")                  \
    X(HOLES_NOT_MADE, "holes-not-made", "pages that went away stay at the destination")            \
    X(COPY_LEFT_ON, "copy-left-on", "copying that is to end goes on")                              \
    X(STOPS_TO_COPY, "stops-to-copy", "the rank stands while a round is made")

enum sim_mutant {
    SIM_MUTANT_NONE,
#define X(NAME, name, what) SIM_MUTANT_##NAME,
    SIM_MUTANTS(X)
#undef X
        SIM_MUTANTS_N
};

enum sim_kind {
    SIM_MOVE_MESSAGE, /* to a process, an agent or a home */
    SIM_PACKET,       /* of a lane: DATA, ACK, ROUTE or MARKER */
    SIM_ROUTE_ASK,    /* a process asks its home */
    SIM_GET,          /* at the registry */
    SIM_CAS,
    SIM_ANSWER, /* the registry's */
    SIM_NO_ANSWER,
    SIM_SYNCED, /* the registry's log is on disk */
    SIM_TICK_HOME,
    SIM_TICK_SOURCE,
    SIM_TICK_DEST,
    SIM_POINT,
    SIM_RANGE,
    SIM_PULL_END,
    SIM_COPIED, /* a round of copying is made */
    SIM_FETCH_END,
    SIM_HOLD, /* at the weftd */
    SIM_HELD,
    SIM_NUDGE,
    SIM_RANK_SENDS,
    SIM_RANK_READS,
    SIM_CHANNEL_TICK,
    SIM_LAUNCH,
    SIM_LEASES_TICK,
    SIM_FOREIGN_TAKES,
    SIM_FOREIGN_LEAVES,
    SIM_PLAN, /* a home looks for a move */
    SIM_CANCEL,
    SIM_CRASH,
    SIM_PROCESS_CRASH,
    SIM_RESTART,
    SIM_DEATH_NOTICE,
    SIM_FALSE_DEATH,
    SIM_FENCE,
    SIM_KILL,
    SIM_REGISTRY_CRASH,
    SIM_REGISTRY_RESTART,
    SIM_CALM
};

/* SCRIBE: a home that has the owner of a rank written down before the rank is frozen. */
enum sim_role { SIM_ROLE_HOME, SIM_ROLE_SOURCE, SIM_ROLE_DEST, SIM_ROLE_SCRIBE };

/* What travels on a lane. */
struct sim_packet {
    struct weft_packet_header header;
    uint32_t number;               /* DATA: the payload */
    struct weft_world_entry entry; /* ROUTE: the payload */
};

/* What the registry is asked and answers. */
struct sim_question {
    char key[WEFT_KEY_MAX];
    uint64_t correlation;
    uint64_t revision; /* CAS: that is expected; answer: that stands */
    uint8_t value[16];
    uint8_t value_len;
    bool won;
};

/* Pages of a rank that ran, as they were when they were read; it is what a fetch asks for too. */
struct sim_round {
    uint64_t move_id;
    uint32_t round;
    uint32_t pages; /* a bit each, here and below */
    uint32_t version[SIM_PAGES];
    bool last; /* of a pass */
};

struct sim_event {
    uint8_t kind;
    uint8_t role;
    uint8_t rank, peer;
    uint32_t to; /* a number or a host, by kind */
    uint32_t from;
    int err;
    uint64_t epoch; /* of a freeze, a move, a lease, a start of the registry: by kind */
    union {
        struct weft_move_message message;
        struct sim_packet packet;
        struct sim_question registry;
        struct sim_round round;
    };
};

struct sim_heap_item {
    uint64_t at_ns;
    uint32_t order, event;
};

/* One rank's memory in one process. */
struct sim_copy {
    bool exists, running, garbage;
    uint32_t incarnation;
    uint64_t epoch; /* of the freeze */
    uint32_t quota; /* messages that it has yet to send */
    uint32_t sent[SIM_RANKS_MAX], got[SIM_RANKS_MAX];
    struct weft_channel channel[SIM_RANKS_MAX];
    uint32_t version[SIM_PAGES]; /* 0: there is no such page */
    /* when it was frozen: the round that the destination has, 0: none; what exists, what it lacks
     */
    uint32_t round, touched, rest;
};

/* Copying a rank that runs, at the source. */
struct sim_copying {
    bool on;
    bool busy; /* a round is being made */
    uint32_t round;
    uint64_t serial;                   /* of the newest round, of all that were ever made */
    uint32_t written, copied, outside; /* outside: of what is tracked */
    uint32_t at;                       /* this pass has come so far */
    struct sim_round made;             /* can be fetched; round 0: none can */
};

struct sim_process {
    uint32_t app;            /* index */
    uint32_t host, instance; /* of the host */
    bool launched, alive;
    bool buried; /* home has been told of its death */
    uint64_t asleep_ns;
    struct weft_world_entry world[SIM_RANKS_MAX];
    struct sim_copy copy[SIM_RANKS_MAX];
    struct sim_copy arriving[SIM_RANKS_MAX];
    bool reserved[SIM_RANKS_MAX], pulling[SIM_RANKS_MAX], forwards[SIM_RANKS_MAX],
        asked[SIM_RANKS_MAX], pull_cancelled[SIM_RANKS_MAX];
    uint32_t forward_incarnation[SIM_RANKS_MAX];
    uint32_t markers[SIM_RANKS_MAX][SIM_PROCS_MAX]; /* incarnation that each process knows of */
    uint64_t lease[SIM_RANKS_MAX];                  /* of the slot that the rank has */
    uint64_t tick_at[SIM_RANKS_MAX][SIM_RANKS_MAX];
    struct weft_move_source source[SIM_RANKS_MAX];
    struct weft_move_dest dest[SIM_RANKS_MAX];
    uint64_t source_tick[SIM_RANKS_MAX], dest_tick[SIM_RANKS_MAX];
    struct weft_hold hold[SIM_RANKS_MAX];
    struct sim_copying copying[SIM_RANKS_MAX];
    uint32_t asked_round[SIM_RANKS_MAX];      /* with the ask for a migration point */
    uint32_t range[SIM_RANKS_MAX][SIM_PAGES]; /* that a rank may come into; nobody clears it */
    uint32_t fetched[SIM_RANKS_MAX];          /* rounds that are in it */
};

struct sim_host {
    bool up;
    bool shunned;            /* taken for dead: no home plans with it before it has joined anew */
    bool gone[SIM_APPS_MAX]; /* it has heard that the app is over */
    uint32_t instance;
    uint32_t slots;
    uint64_t asleep_ns; /* its weftd: agent, and home of apps */
    uint64_t leases_tick;
    struct weft_leases leases;
    struct net_end *end;
};

/* A move as its home sees it. */
struct sim_moving {
    bool on;
    bool registry_asked, registry_answers; /* before the rank is frozen */
    struct weft_move_message freeze;       /* that waits for the answer */
    struct weft_move_home machine;
    uint64_t started_ns, tick_ns;
};

struct sim_app {
    uint32_t home; /* host */
    uint32_t ranks_n;
    bool over, may_end;
    uint32_t moves_wanted;
    uint64_t move_id;
    struct sim_moving moves[SIM_MOVES_MAX];
    struct weft_world_entry routes[SIM_RANKS_MAX], first[SIM_RANKS_MAX];
    uint32_t before[SIM_RANKS_MAX], moved[SIM_RANKS_MAX]; /* host before, moves */
    /* truth, and the count of what happened */
    struct weft_move_owner owner[SIM_RANKS_MAX];
    uint32_t sent[SIM_RANKS_MAX][SIM_RANKS_MAX], got[SIM_RANKS_MAX][SIM_RANKS_MAX];
    uint32_t version[SIM_RANKS_MAX][SIM_PAGES], writes;
};

struct sim_registry {
    bool up, syncing;
    bool told_won; /* the answer that is being looked at says so */
    uint64_t epoch, asleep_ns, sync_at_ns;
    struct weft_values keys;
    struct sim_question log[SIM_LOG_MAX];
    uint64_t doomed_ns; /* it dies in the midst of the next change, for so long; 0: it does not */
    uint32_t asker;     /* of the change that is on its way to disk */
    uint32_t log_n, synced_n;
    struct net_end *end;
};

/* A call to the registry that is not answered yet. */
struct sim_pending {
    uint64_t correlation; /* 0: free */
    uint32_t asker;
    weft_registry_done *done;
    void *ctx;
};

struct sim_cut {
    uint64_t from_ns, until_ns;
    uint32_t a, b;
    bool one_way; /* a to b only */
};

/* What this run's world is like; chances are out of 1000. */
struct sim_weather {
    uint32_t loss, doubles, slow, very_slow;
    uint32_t registry_loss;
    uint32_t reluctance; /* of ranks to reach a migration point */
    uint64_t registry_down_ns, registry_up_ns;
    struct sim_cut cuts[SIM_CUTS_MAX];
    unsigned cuts_n, faults;
};

struct sim_block {
    _Alignas(16) unsigned char bytes[48];
};

struct sim {
    uint64_t seed, random;
    uint64_t pages_random; /* of all that has to do with pages */
    bool uncopied;         /* no rank is copied before it is frozen, in all runs */
    enum sim_mutant mutant;
    bool trace;
    bool framed; /* frames travel over endpoints in this run */
    uint64_t now_ns, calm_ns;
    uint64_t disturbed_ns,
        undisturbed_ns; /* from the first outage, cut or stop to the last one's end */
    struct weft_move_params params;
    struct sim_weather weather;
    struct weft_channel_limits limits;
    uint32_t held_max;
    uint32_t hosts_n, apps_n, procs_n; /* procs_n: numbers given out, and SIM_PROC_FIRST */
    struct sim_host hosts[SIM_HOSTS_MAX];
    struct sim_app apps[SIM_APPS_MAX];
    struct sim_process procs[SIM_PROCS_MAX];
    struct sim_registry registry;
    struct sim_pending pending[SIM_PENDING_MAX];
    uint64_t correlation;
    uint32_t strike_step, steps;
    uint64_t next_lease, freezes, rounds;
    struct net net;
    struct sim_stats stats;

    /* the queue */
    struct sim_heap_item heap[SIM_EVENTS_MAX];
    uint32_t heap_n, order;
    struct sim_event events[SIM_EVENTS_MAX];
    uint32_t free_events[SIM_EVENTS_MAX];
    uint32_t free_events_n;

    /* packets in windows: a header and a number each */
    struct sim_block packets[SIM_PACKETS_MAX];
    uint16_t free_packets[SIM_PACKETS_MAX];
    uint32_t free_packets_n;

    bool failed;
    char failure[256];
};

static inline void sim_saw(struct sim *sim, enum sim_seen what)
{
    sim->stats.seen[what]++;
}

/* ---- sim_queue.c: time, chance, the network ---- */
uint64_t sim_draw(uint64_t *random);
uint64_t sim_random(struct sim *sim);
uint32_t sim_below(struct sim *sim, uint32_t n);
bool sim_chance(struct sim *sim, uint32_t of_1000);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
void sim_queue_reset(struct sim *sim);
/* Adds an event; the caller fills it in. Its fields are not cleared except role, err, from and
 * epoch. */
struct sim_event *sim_at(struct sim *sim, uint64_t at_ns, enum sim_kind kind, uint32_t to);
/* When the next event is; WEFT_NEVER: there is none. */
uint64_t sim_next_ns(const struct sim *sim);
/* Takes the next event. Give it back with sim_done, or with sim_again. */
uint32_t sim_next(struct sim *sim);
void sim_done(struct sim *sim, uint32_t event);
void sim_again(struct sim *sim, uint32_t event, uint64_t at_ns);
/* Sends a filled-in event between places (hosts, or the registry's): it may arrive late, twice or
 * never. The event is copied. */
void sim_send(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event);
bool sim_calm(const struct sim *sim);
void sim_fail(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* ---- sim_wire.c: messages as bytes ---- */
/* The event as another process gets it: through the bytes that it travels as. */
void sim_wire_pass(struct sim *sim, const struct sim_event *event, struct sim_event *event_out);
void sim_wire_open(struct sim *sim, uint32_t place);
void sim_wire_close(struct sim *sim, uint32_t place);
void sim_wire_weather(struct sim *sim);
void sim_wire_send(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event);

/* ---- sim_move.c: the I/O around the machines ---- */
void sim_step_home(struct sim *sim, uint32_t app, struct sim_moving *moving,
                   const struct weft_move_event *event);
void sim_step_source(struct sim *sim, uint32_t number, uint32_t rank,
                     const struct weft_move_event *event);
void sim_step_dest(struct sim *sim, uint32_t number, uint32_t rank,
                   const struct weft_move_event *event);
/* The registry's answer to what home had it write down. */
void sim_written_down(struct sim *sim, uint32_t app, struct sim_moving *moving,
                      const struct weft_move_event *word);
void sim_on_message(struct sim *sim, struct sim_event *event);
void sim_on_move_event(struct sim *sim, struct sim_event *event);
void sim_on_marker(struct sim *sim, uint32_t number, const struct weft_packet_header *header);
void sim_markers_check(struct sim *sim, uint32_t number, uint32_t rank);
/* Where a number lives. */
uint32_t sim_host_of(const struct sim *sim, uint64_t number);
uint32_t sim_app_of(const struct sim *sim, uint64_t number);

/* ---- sim_pages.c: the memory of ranks, copied while they run and when they stand ---- */
/* Whether ranks of this run are copied before they are frozen, and in how many passes. */
void sim_pages_draw(struct sim *sim);
void sim_pages_init(struct sim *sim, uint32_t app, uint32_t rank, struct sim_copy *copy);
/* What frozen is of the rank, which stands from now on. */
void sim_pages_freeze(struct sim *sim, uint32_t number, uint32_t rank);
void sim_pages_reserve(struct sim *sim, uint32_t number, uint32_t rank);
/* What lands in the range by a pull. Returns why it fails, or err. */
int sim_pages_pull(struct sim *sim, uint32_t number, uint32_t rank, const struct sim_copy *from,
                   int err);
/* The rank goes on with these pages. */
void sim_pages_arrive(struct sim *sim, uint32_t number, uint32_t rank);
void sim_pages_copy(struct sim *sim, uint32_t number, const struct weft_move_message *move);
void sim_pages_end_copy(struct sim *sim, uint32_t number, uint32_t rank);
void sim_pages_fetch(struct sim *sim, uint32_t number, const struct weft_move_message *move);
void sim_on_copied(struct sim *sim, struct sim_event *event);
void sim_on_fetch_end(struct sim *sim, struct sim_event *event);

/* ---- sim_home.c: plans, and who takes slots ---- */
void sim_plan(struct sim *sim, uint32_t app);
void sim_cancel(struct sim *sim, const struct sim_event *event);
struct sim_moving *sim_moving_of(struct sim *sim, uint32_t app, uint64_t move_id);
void sim_leases_schedule(struct sim *sim, uint32_t host);
void sim_on_slots(struct sim *sim, struct sim_event *event);

/* ---- sim_registry.c ---- */
void sim_registry_reset(struct sim *sim);
void sim_registry_ask(struct sim *sim, const struct weft_move_action *action, enum sim_role role,
                      uint32_t from);
void sim_on_registry(struct sim *sim, struct sim_event *event);
void sim_on_answer(struct sim *sim, struct sim_event *event);
bool sim_registry_away(const struct sim *sim);

/* ---- sim_traffic.c: ranks and their packets ---- */
void sim_copy_init(struct sim *sim, uint32_t app, struct sim_copy *copy);
void sim_copy_free(struct sim *sim, struct sim_copy *copy);
/* Copies the memory: sent, got, channels and their windows. */
void sim_copy_pull(struct sim *sim, struct sim_copy *to, const struct sim_copy *from);
void sim_rank_goes_on(struct sim *sim, uint32_t number, uint32_t rank, bool arrived);
void sim_hold_release(struct sim *sim, uint32_t number, uint32_t rank);
void sim_on_traffic(struct sim *sim, struct sim_event *event);
bool sim_learn(struct sim *sim, uint32_t number, uint32_t rank, struct weft_world_entry entry);
void sim_tell_route(struct sim *sim, uint32_t from, uint32_t to, uint32_t rank, uint8_t flags);

/* ---- sim_fault.c ---- */
/* The registry crashes, and is back after a time. */
void sim_registry_dies(struct sim *sim, uint64_t at_ns, uint64_t away_ns);
void sim_weather_make(struct sim *sim);
void sim_on_fault(struct sim *sim, struct sim_event *event);
void sim_on_death_notice(struct sim *sim, struct sim_event *event);
void sim_end_app(struct sim *sim, uint32_t app, const char *why);
void sim_count_step(struct sim *sim);
void sim_process_clear(struct sim *sim, uint32_t number);

/* ---- sim_check.c: what must always hold ---- */
void sim_check(struct sim *sim);
void sim_check_end(struct sim *sim);

/* ---- sim_world.c: set-up and the run ---- */
extern const struct weft_move_params sim_hasty; /* short of time: an app may be ended for that */
void sim_init(struct sim *sim);
void sim_run(struct sim *sim, uint64_t seed);
uint32_t sim_process_new(struct sim *sim, uint32_t app, uint32_t host);
void sim_launch(struct sim *sim, uint32_t number);
void sim_fini(struct sim *sim);

#endif
