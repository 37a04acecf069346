/* What the world of freeze.c is made of. */
#ifndef WEFT_TESTS_SIM_FREEZE_WORLD_H
#define WEFT_TESTS_SIM_FREEZE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/freeze.h"

enum {
    HOMES = 2,
    HOSTS = 3,
    PROCESSES_MAX = 256,
    MESSAGES_MAX = 4096,
    ACTIONS_MAX = PROCESSES_MAX + 4,
    STEPS_MAX = 4000
};

struct process {
    bool alive;
    unsigned home, host;
    struct weft_freeze_member member;
    bool running;      /* its rank computes */
    unsigned share;    /* which of the app's ranks it has */
    uint64_t counter;  /* work of its rank */
    unsigned standing; /* ticks until it stands; 0: it does, or is not asked to */
    bool stop_wanted, save_wanted, load_wanted;
};

enum what { EVENT, MEMBER_ORDER, MEMBER_EVENT, REGISTRY_READ, REGISTRY_CAS, END_PROCESS };

/* Anything that happens later. */
struct message {
    uint64_t at;
    enum what what;
    unsigned home; /* incarnation of it, so that answers to a dead one are dropped */
    uint64_t life;
    unsigned process;
    struct weft_freeze_event event;
    struct weft_freeze_member_event member;
    struct weft_move_owner expect, want;
};

struct home {
    bool alive;
    bool knows; /* has a record of the app */
    uint64_t life;
    struct weft_freeze machine;
    struct weft_freeze_party parties[HOSTS];
    unsigned numbers[HOSTS]; /* of the parties' processes */
    bool writes;             /* the manifest is being written */
    bool ended;              /* the app has ended here */
};

/* What the store has: one file per share, by number of the freeze, and a manifest. */
struct file {
    bool there;
    uint64_t number;
    uint64_t counter;
};

#endif
