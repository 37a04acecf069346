/* The simulated cluster: hosts with slot tables, a registry, a network that loses, delays, doubles
 * and reorders, and one app whose ranks send each other numbered messages while they are moved.
 * Everything follows from one seed. The code under test is the real one: move machines, leases,
 * decisions and detection (src/plan), channels and the routing rule (src/group); what stands in for
 * I/O is here. Inside tests/sim only. */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "group/channel.h"
#include "group/route.h"
#include "group/world.h"
#include "plan/lease.h"
#include "plan/move.h"
#include "weft/api.h"

#define SIM_HOSTS_MAX 5
#define SIM_RANKS_MAX 4
#define SIM_PROCS_MAX 32
#define SIM_EVENTS_MAX 8192
#define SIM_PACKETS_MAX 2048
#define SIM_HELD_MAX 16
#define SIM_APP 1
#define SIM_HOME 1 /* the number of home's weftd; processes of the app have the numbers from 2 */

#define MS WEFT_NS_PER_MS
#define US 1000ull

/* Rules broken on purpose: each must be noticed. */
enum sim_mutant {
    SIM_MUTANT_NONE,
    SIM_MUTANT_THAW_ON_TIMER,  /* source thaws without the registry's word */
    SIM_MUTANT_RESUME_EARLY,   /* destination resumes before the compare-and-set */
    SIM_MUTANT_LEASE_NOT_HELD, /* destination commits on a reservation */
    SIM_MUTANT_BLIND_REGISTRY, /* compare-and-set does not compare */
    SIM_MUTANT_NUMBER_REUSED,  /* a host that came back empty takes the process number of before */
    SIM_MUTANT_WINDOW_LEFT, /* packets that wait for an acknowledgement do not move with the rank */
    SIM_MUTANT_DOUBLE_BOOKING,   /* slots are granted without being counted */
    SIM_MUTANT_DOUBLES_ACCEPTED, /* receivers take a packet that they had */
    SIM_MUTANT_FREEZE_LEAKS,     /* the rank goes on while it is said to be frozen */
    SIM_MUTANTS
};

enum sim_kind {
    SIM_MOVE_MESSAGE, /* to a process, an agent or home */
    SIM_PACKET,       /* between ranks */
    SIM_ACK,
    SIM_ROUTE_INFO, /* a route from another process */
    SIM_ROUTE_ASK,  /* a process asks home */
    SIM_MARKER,
    SIM_CAS, /* at the registry */
    SIM_READ,
    SIM_OWNER, /* the registry's answer, or its absence */
    SIM_TICK_HOME,
    SIM_TICK_SOURCE,
    SIM_TICK_DEST,
    SIM_POINT,
    SIM_RANGE,
    SIM_PULL_START,
    SIM_PULL_END,
    SIM_HELD,
    SIM_RANK_SENDS,
    SIM_CHANNEL_TICK,
    SIM_LAUNCH,
    SIM_LEASES_TICK,
    SIM_FOREIGN_TAKES,
    SIM_FOREIGN_LEAVES,
    SIM_PLAN, /* home looks for a move */
    SIM_CANCEL,
    SIM_CRASH,
    SIM_PROCESS_CRASH,
    SIM_RESTART,
    SIM_DEATH_NOTICE,
    SIM_FALSE_DEATH,
    SIM_FENCE,
    SIM_KILL
};

enum sim_role { SIM_ROLE_HOME, SIM_ROLE_SOURCE, SIM_ROLE_DEST };

struct sim_packet {
    uint32_t source, source_incarnation, dest, dest_incarnation, process, number, flags;
    uint8_t hops;
    uint64_t sequence, ack;
};

struct sim_event {
    uint8_t kind;
    uint8_t role;
    uint8_t rank, peer;
    uint32_t to; /* process number or host, by kind */
    uint32_t from;
    int err;
    uint64_t epoch;
    union {
        struct weft_move_message message;
        struct sim_packet packet;
        struct {
            struct weft_move_owner expect, want, owner;
        } registry;
        struct weft_world_entry entry;
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
};

struct sim_process {
    uint32_t host, instance; /* of the host */
    bool launched, alive;
    bool buried; /* home has been told of its death */
    struct weft_world_entry world[SIM_RANKS_MAX];
    struct sim_copy copy[SIM_RANKS_MAX];
    struct sim_copy arriving[SIM_RANKS_MAX];
    bool reserved[SIM_RANKS_MAX], pulling[SIM_RANKS_MAX], forwards[SIM_RANKS_MAX],
        asked[SIM_RANKS_MAX];
    bool pull_cancelled[SIM_RANKS_MAX];
    uint64_t markers[SIM_RANKS_MAX]; /* one bit per process number */
    uint64_t lease[SIM_RANKS_MAX];   /* of the slot that the rank has */
    uint64_t tick_at[SIM_RANKS_MAX][SIM_RANKS_MAX];
    struct weft_move_source source[SIM_RANKS_MAX];
    struct weft_move_dest dest[SIM_RANKS_MAX];
    uint64_t source_tick[SIM_RANKS_MAX], dest_tick[SIM_RANKS_MAX];
    struct sim_packet held[SIM_HELD_MAX];
    bool held_ack[SIM_HELD_MAX];
    unsigned held_n;
};

struct sim_host {
    bool up;
    uint32_t instance;
    uint32_t slots;
    uint64_t leases_tick;
    struct weft_leases leases;
};

/* What this run's world is like; chances are out of 1000. */
struct sim_weather {
    uint32_t loss, doubles, slow, very_slow;
    uint32_t registry_loss;
    uint32_t reluctance; /* of ranks to reach a migration point */
    uint64_t registry_down_ns, registry_up_ns;
    uint64_t cut_ns, mended_ns; /* between hosts cut_a and cut_b */
    uint32_t cut_a, cut_b;
    unsigned crashes; /* hosts or processes that die */
    bool false_death;
};

struct sim_block {
    _Alignas(16) unsigned char bytes[48];
};

struct sim {
    uint64_t seed, random;
    enum sim_mutant mutant;
    bool trace;
    uint64_t now_ns, calm_ns;
    struct weft_move_params params;
    struct sim_weather weather;
    struct weft_channel_limits limits;
    uint32_t hosts_n, ranks_n, procs_n; /* procs_n: numbers given out */
    struct sim_host hosts[SIM_HOSTS_MAX];
    struct sim_process procs[SIM_PROCS_MAX];

    /* home */
    struct weft_world_entry routes[SIM_RANKS_MAX];
    struct weft_move_home move;
    bool moving, planning;
    uint64_t move_id, move_started_ns, home_tick;
    uint32_t moves_wanted, crash_step, steps;
    bool app_over, may_end_app;

    /* truth, and the count of what happened */
    struct weft_move_owner owner[SIM_RANKS_MAX];
    uint32_t sent[SIM_RANKS_MAX][SIM_RANKS_MAX], got[SIM_RANKS_MAX][SIM_RANKS_MAX];
    uint64_t next_lease, freezes;
    uint64_t moved, stayed, lost, delivered, forwarded, faults;

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

/* ---- sim_queue.c: time, chance, the network ---- */
uint64_t sim_random(struct sim *sim);
uint32_t sim_below(struct sim *sim, uint32_t n);
bool sim_chance(struct sim *sim, uint32_t of_1000);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
void sim_queue_reset(struct sim *sim);
/* Adds an event; the caller fills it in. Its fields are not cleared except role, err, from and
 * epoch. */
struct sim_event *sim_at(struct sim *sim, uint64_t at_ns, enum sim_kind kind, uint32_t to);
/* Takes the next event; false: nothing left. Give it back with sim_done. */
bool sim_next(struct sim *sim, uint32_t *event_out);
void sim_done(struct sim *sim, uint32_t event);
/* Sends a filled-in event from host a to host b: it may arrive late, twice or never. The event is
 * copied. */
void sim_send(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event);
bool sim_calm(const struct sim *sim);
void sim_fail(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* ---- sim_move.c: the I/O around the machines ---- */
void sim_step_home(struct sim *sim, const struct weft_move_event *event);
void sim_step_source(struct sim *sim, uint32_t number, uint32_t rank,
                     const struct weft_move_event *event);
void sim_step_dest(struct sim *sim, uint32_t number, uint32_t rank,
                   const struct weft_move_event *event);
void sim_on_message(struct sim *sim, struct sim_event *event);
void sim_on_move_event(struct sim *sim, struct sim_event *event);
void sim_on_marker(struct sim *sim, uint32_t number, uint32_t rank, uint32_t from);
void sim_markers_check(struct sim *sim, uint32_t number, uint32_t rank);
void sim_start_move(struct sim *sim);
void sim_leases_schedule(struct sim *sim, uint32_t host);
uint32_t sim_home_host(const struct sim *sim, uint64_t number);

/* ---- sim_registry.c ---- */
void sim_registry_ask(struct sim *sim, const struct weft_move_action *action, enum sim_role role,
                      uint32_t from);
void sim_on_registry(struct sim *sim, struct sim_event *event);

/* ---- sim_traffic.c: ranks and their packets ---- */
void sim_copy_init(struct sim *sim, struct sim_copy *copy);
void sim_copy_free(struct sim *sim, struct sim_copy *copy);
/* Copies the memory: sent, got, channels and their windows. */
void sim_copy_pull(struct sim *sim, struct sim_copy *to, const struct sim_copy *from);
void sim_rank_goes_on(struct sim *sim, uint32_t number, uint32_t rank, bool arrived);
void sim_hold_release(struct sim *sim, uint32_t number, uint32_t rank);
void sim_on_traffic(struct sim *sim, struct sim_event *event);
bool sim_learn(struct sim *sim, uint32_t number, uint32_t rank, struct weft_world_entry entry);
void sim_pump_all(struct sim *sim, uint32_t number);

/* ---- sim_world.c: set-up, faults, what must always hold ---- */
void sim_run(struct sim *sim, uint64_t seed);
void sim_launch(struct sim *sim, uint32_t number);
void sim_end_app(struct sim *sim, const char *why);
void sim_check(struct sim *sim);
void sim_count_step(struct sim *sim);
void sim_fini(struct sim *sim);

#endif
