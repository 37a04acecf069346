/* The simulated cluster of the state service: hosts, a registry, clients that change one value each
 * in their own way. What they tell each other are the frames of wire/state.proto and
 * wire/registry.proto, over real endpoints that lose, delay, double and reorder them (net.h).
 * Everything follows from one seed. The code under test is the real one: mains and their values,
 * claims, attempts (src/state); what stands in for threads and clocks is here. Inside tests/sim
 * only. */
#ifndef WEFT_SIM_STATE_H
#define WEFT_SIM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net.h"
#include "registry/client.h"
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
    QUESTIONS_MAX = 512,
    BEATS_MAX = 64,
    WORDS = 3 /* of the value: a counter, and one number twice */
};

#define MS UINT64_C(1000000)
#define DEAD_NS (80 * MS)
#define BEAT_NS (20 * MS)
#define CALM_NS (500 * MS)
#define LATE_NS (320 * MS) /* so long in the calm old messages may still come */
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
    /* at a host, its own */
    EV_REGISTRY_TIMEOUT,
    EV_ASKING_WAKE,
    EV_CONFIRM,
    EV_BEAT_TICK,
    /* the weather */
    EV_CRASH,
    EV_RESTART,
    EV_STOP,
    EV_WEATHER,
    EV_REGISTRY_TICK,
    EV_REGISTRY_STOP,
    EV_REGISTRY_RESTART
};

/* The ends of the network: hosts, their connections to the registry, their lanes, the registry,
 * clients and their lanes. */
enum {
    END_HOST = 0,
    END_LINK = END_HOST + HOSTS,
    END_LANE = END_LINK + HOSTS,
    END_REGISTRY = END_LANE + HOSTS,
    END_CLIENT = END_REGISTRY + 1,
    END_CLIENT_LANE = END_CLIENT + CLIENTS_MAX
};

enum change_kind { CHANGE_INCREMENT, CHANGE_PAIR, CHANGE_APPEND, CHANGE_PAIR_SLOW };

/* What the registry holds under the value's key. */
struct entry {
    uint64_t revision; /* 0: nothing */
    uint8_t bytes[WEFT_CLAIM_BYTES_MAX];
    size_t len;
};

/* What a message says, between the one who takes it and its bytes; or what happens by itself. */
struct event {
    uint8_t kind, want, change;
    bool held;
    uint32_t to;
    uint32_t from;     /* of a host's: the question that it is; NOBODY: the host itself */
    uint32_t instance; /* of the host, for its own timers */
    uint32_t call;     /* of the client */
    uint32_t asking, step;
    uint32_t main, result, uid, pin_ms;
    int err;
    uint64_t epoch, session, op, version, pin, expected;
    uint64_t words[WORDS];
    char lane[NET_URL_MAX]; /* where the bytes of a change are; "": in words */
    struct weft_tp_key key;
};
#define NOBODY UINT32_MAX

struct item {
    uint64_t at_ns;
    uint32_t order, event;
};

struct asking {
    bool used;
    uint32_t host, instance, question, step;
    enum weft_claim_do doing;
    uint64_t incarnation, registry_epoch;
    enum weft_claim_want want;
    struct weft_claiming claiming;
    struct weft_registry_cas cas; /* as it was last sent */
    uint8_t own_bytes[WEFT_CLAIM_BYTES_MAX];
    size_t own_len;
    bool deletes; /* RELEASE on behalf of a delete */
    bool heals, confirms;
};

/* A beat or join that is under way. */
struct beat {
    uint64_t number, sent_ns, incarnation;
};

/* A client's request that a host has not answered yet. */
struct question {
    bool used;
    uint32_t host;
    struct net_question is;
};

struct host {
    bool up;
    uint32_t instance;
    uint64_t incarnation, nonces, beat_sent_ns;
    struct net_end *end, *link, *lane; /* link: to the registry */
    struct sim *sim;
    struct beat beats[BEATS_MAX];
    uint64_t beats_n;
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
    struct sim *sim;
    struct net_end *end, *lane;
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
    uint64_t bulk[2];                  /* what a host gets, while it is shared */
    struct net_share share;
    uint32_t unknown[8]; /* changes of this session that were given up */
    uint32_t unknown_n;
};

enum fate { FATE_OPEN, FATE_MADE, FATE_REFUSED, FATE_CLOSED };

struct uid {
    uint8_t applied;
    uint8_t fate;
};

/* A push whose bytes a host is getting. */
struct fetch {
    bool used;
    struct host *host;
    struct event change;
    struct weft_body *body;
    struct net_get get;
};

/* While it is rough. */
struct weather {
    char client[80], server[80], lane[80]; /* specs */
};

struct sim {
    struct net net;
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
    struct question questions[QUESTIONS_MAX];
    /* the registry */
    struct entry key;
    uint64_t revisions, registry_epoch;
    struct member members[HOSTS];
    /* the truth: what mains did */
    struct uid uids[UIDS_MAX];
    uint32_t uids_n;
    uint64_t history_epoch;
    uint64_t history[HISTORY][WORDS]; /* of that epoch, by version */
    uint64_t acked_epoch, acked_version;
    uint64_t changes, reads, takeovers, crashes, unknown, sessions_lost, creates, gets, gets_failed;
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
/* Lets messages travel until the next event. false: nothing happens any more, or it has failed. */
bool sim_next(struct sim *sim, struct event *event_out);
void sim_fail(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *fmt, ...) WEFT_PRINTF(2, 3);

/* state_net.c: ends, and the weather at each */
#define REGISTRY_URL "r:1"
void weather_make(struct sim *sim);
void weather_change(struct sim *sim); /* to what it is now */
const char *host_name(uint32_t number);
const char *host_url(uint32_t number);
void host_connect(struct sim *sim, uint32_t number);
void host_disconnect(struct sim *sim, uint32_t number);
void client_connect(struct sim *sim, uint32_t number);
void registry_connect(struct sim *sim);
void registry_disconnect(struct sim *sim);

/* state_wire.c: what clients and hosts say, as messages */
/* Sends a request of a client's to host request->to. */
void wire_ask(struct sim *sim, uint32_t client, const struct event *request);
/* Answers a question, once. */
void wire_answer(struct sim *sim, uint32_t question, const struct event *reply);
void host_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame);
void client_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame);

/* state_host.c */
void host_start(struct sim *sim, uint32_t number);
void host_crash(struct sim *sim, uint32_t number);
void host_stop(struct sim *sim, uint32_t number);
/* A client's request, or something of its own. */
void host_on(struct sim *sim, struct event *event);

/* state_ask.c: a host and the registry */
void host_resolves(struct sim *sim, const struct event *request, bool deletes);
void host_heals(struct sim *sim, uint32_t number);
void host_confirms(struct sim *sim, uint32_t number);
void host_beats(struct sim *sim, const struct event *event);
/* A time-out, or the end of a pause. */
void host_asking_woken(struct sim *sim, const struct event *event);
void host_hears(void *ctx, const struct net_question *question, const struct weft_frame *frame);
void host_notes(struct sim *sim, const struct weft_kept *kept); /* a version, for the truth */
void host_free_dead(struct host *host);

/* state_registry.c */
void registry_on(struct sim *sim, const struct event *event);
void registry_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame);

/* state_clients.c */
void client_start(struct sim *sim, uint32_t number);
void client_on(struct sim *sim, struct event *event);

/* state_world.c */
void sim_run(struct sim *sim, uint64_t seed);

#endif
