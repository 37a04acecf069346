/* The simulated cluster of the state service: hosts, a registry, a network that loses, delays,
 * doubles and reorders, clients that change one value each in their own way. Everything follows
 * from one seed. The code under test is the real one: mains and their values, claims, attempts
 * (src/state); what stands in for I/O is here. Inside tests/sim only. */
#ifndef WEFT_SIM_STATE_H
#define WEFT_SIM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/attempt.h"
#include "state/claim.h"
#include "state/main.h"
#include "weft/api.h"

enum {
    HOSTS = 3,
    CLIENTS_MAX = 4,
    EVENTS_MAX = 4096,
    ASKINGS_MAX = 256,
    UIDS_MAX = 512,
    HISTORY = 256,
    FETCHES_MAX = 32,
    WORDS = 3 /* of the value: a counter, and one number twice */
};

#define MS UINT64_C(1000000)
#define DEAD_NS (80 * MS)
#define BEAT_NS (20 * MS)
#define CALM_NS (500 * MS)
#define END_NS (1500 * MS)

/* Rules broken on purpose: each must be noticed. */
enum mutant {
    MUTANT_NONE,
    MUTANT_NO_LEASE,        /* a main answers however long it has not heard from the registry */
    MUTANT_NO_EPOCH,        /* a main answers for any epoch */
    MUTANT_NO_SESSIONS,     /* a change that comes again is made again */
    MUTANT_NO_COPY,         /* a change is made on bytes that somebody reads */
    MUTANT_BLIND_REGISTRY,  /* compare-and-set does not compare */
    MUTANT_HASTY_TAKEOVER,  /* a main that is not listed counts as dead at once */
    MUTANT_NO_CONDITION,    /* an expected version is not compared */
    MUTANT_CLAIM_FORGOTTEN, /* an unknown claim counts as lost */
    MUTANT_NOT_CONFIRMED,   /* a registry that has started anew is trusted */
    MUTANT_NOT_HEALED,      /* a claim that nobody knows of stays */
    MUTANT_PIN_IGNORED,     /* a reader does not ask whether its pin was held */
    MUTANTS
};

enum kind {
    /* at a host, from a client */
    EV_RESOLVE,
    EV_OPEN,
    EV_PULL,
    EV_PIN,
    EV_PART,
    EV_UNPIN,
    EV_CHANGE,
    EV_DELETE,
    /* at a client */
    EV_ANSWER,
    EV_CLIENT_TIMEOUT,
    EV_CLIENT_WAKE,
    /* at the registry */
    EV_GET,
    EV_CAS,
    EV_LIST,
    EV_BEAT,
    EV_JOIN,
    /* at a host */
    EV_REGISTRY_ANSWER,
    EV_REGISTRY_TIMEOUT,
    EV_ASKING_WAKE,
    EV_CONFIRM,
    EV_BEAT_ANSWER,
    EV_BEAT_TICK,
    EV_FETCHED,
    EV_EXPIRE,
    /* the weather */
    EV_CRASH,
    EV_RESTART,
    EV_REGISTRY_TICK,
    EV_REGISTRY_RESTART
};

enum change_kind { CHANGE_INCREMENT, CHANGE_PAIR, CHANGE_APPEND, CHANGE_PAIR_SLOW };

struct claim {
    uint64_t revision; /* 0: none */
    uint32_t host;
    uint64_t incarnation, nonce;
};

struct event {
    uint8_t kind, want, change;
    bool settled, erase, held;
    uint32_t to, from; /* hosts, clients; the registry is HOSTS */
    uint32_t instance; /* of the host, for its own timers */
    uint32_t call;     /* of the client */
    uint32_t asking, step;
    uint32_t result, uid, life;
    int err;
    uint64_t epoch, session, op, version, pin, incarnation, sent_ns, expected, registry_epoch;
    struct claim claim, own;
    uint64_t words[WORDS];
};

struct item {
    uint64_t at_ns;
    uint32_t order, event;
};

struct asking {
    bool used;
    uint32_t host, instance, client, call, step, claiming_for;
    uint64_t incarnation, nonce, registry_epoch;
    enum weft_claim_want want;
    struct weft_claiming claiming;
    bool deletes; /* RELEASE on behalf of a delete */
    bool heals, confirms;
};

struct host {
    bool up;
    uint32_t instance;
    uint64_t incarnation, nonces, beat_sent_ns;
    uint64_t cut_ns, mended_ns; /* from the registry */
    uint64_t stopped_ns, continued_ns;
    struct weft_state_main main;
};

struct member {
    bool listed, alive;
    uint64_t incarnation, heard_ns;
};

enum phase {
    PHASE_FIND,
    PHASE_CREATE,
    PHASE_OPEN,
    PHASE_IDLE,
    PHASE_PULL, /* a read, or the first half of an increment */
    PHASE_CHANGE,
    PHASE_PIN,
    PHASE_PART,
    PHASE_UNPIN,
    PHASE_DELETE_FIND,
    PHASE_DELETE,
    PHASE_DROP,
    PHASE_OVER
};

struct client {
    enum phase phase;
    uint32_t call; /* number of the newest message; answers to others are late */
    uint32_t ops_left, final_tries;
    bool increments, calm_done;
    struct weft_attempt attempt;
    struct weft_attempt_step step;
    uint64_t deadline_ns;
    uint64_t epoch, session, op;
    uint32_t main;        /* host */
    struct event request; /* of the attempt */
    uint64_t words[WORDS], version, pin;
    uint32_t part, uid;
    uint64_t seen_epoch, seen_version; /* acknowledged to anybody when the read began */
    uint32_t unknown[8];               /* changes of this session that were given up */
    uint32_t unknown_n;
};

enum fate { FATE_OPEN, FATE_MADE, FATE_REFUSED, FATE_CLOSED };

struct uid {
    uint8_t applied;
    uint8_t fate;
};

struct fetch {
    bool used;
    uint32_t host, instance;
    struct event change;
};

struct weather {
    uint32_t loss, doubles, slow, very_slow;
    uint64_t registry_down_ns, registry_up_ns;
    bool registry_loses_list;
};

struct sim {
    uint64_t seed, random, now_ns;
    enum mutant mutant;
    bool trace, failed;
    char failure[256];
    struct weather weather;
    uint32_t clients_n;
    struct host hosts[HOSTS];
    struct client clients[CLIENTS_MAX];
    struct asking askings[ASKINGS_MAX];
    struct fetch fetches[FETCHES_MAX];
    /* the registry */
    struct claim key;
    uint64_t revisions, registry_epoch;
    struct member members[HOSTS];
    /* the truth: what mains did */
    struct uid uids[UIDS_MAX];
    uint32_t uids_n;
    uint64_t history_epoch;
    uint64_t history[HISTORY][WORDS]; /* of that epoch, by version */
    uint64_t acked_epoch, acked_version;
    uint64_t changes, reads, takeovers, faults, unknown, sessions_lost, creates;
    /* the queue */
    struct item heap[EVENTS_MAX];
    uint32_t heap_n, order;
    struct event events[EVENTS_MAX];
    uint32_t free_events[EVENTS_MAX];
    uint32_t free_n;
};

/* state_queue.c */
uint64_t sim_random(struct sim *sim);
uint32_t sim_below(struct sim *sim, uint32_t n);
bool sim_chance(struct sim *sim, uint32_t of_1000);
bool sim_calm(const struct sim *sim);
void sim_queue_reset(struct sim *sim);
void sim_at(struct sim *sim, uint64_t at_ns, const struct event *event);
bool sim_next(struct sim *sim, struct event *event_out);
/* Over the network: it may arrive late, twice or never. Places: hosts, HOSTS: the registry, above:
 * clients. */
void sim_send(struct sim *sim, uint32_t a, uint32_t b, const struct event *event);
void sim_fail(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* state_host.c */
void host_start(struct sim *sim, uint32_t number);
void host_crash(struct sim *sim, uint32_t number);
void host_on(struct sim *sim, struct event *event);
bool host_is_here(struct sim *sim, struct event *event);

/* state_registry.c */
void registry_on(struct sim *sim, struct event *event);

/* state_clients.c */
void client_start(struct sim *sim, uint32_t number);
void client_on(struct sim *sim, struct event *event);

/* state_world.c */
void sim_run(struct sim *sim, uint64_t seed);

#endif
