/* Real programs on three hosts in network namespaces, and a random fault every second.
 *
 * chaos_fault.c makes faults and ends them, chaos_app.c starts apps and judges their ends,
 * chaos_end.c looks for what is left, chaos_work.c computes what the programs have to print. All
 * that is random comes from the seed. Thread: the test's, everywhere. */
#ifndef WEFT_TESTS_FAULT_CHAOS_H
#define WEFT_TESTS_FAULT_CHAOS_H

#include "cluster.h"

enum {
    CHAOS_HOSTS = 3,
    CHAOS_SLOTS = 6, /* of each */
    CHAOS_APPS = 5,  /* at once */
    CHAOS_HARMS = 512,
    CHAOS_ACTIVE = 24,
    CHAOS_COMMANDS = 64,
    CHAOS_ENDS = 24,
    CHAOS_RANKS_MIN = 2, /* of an app */
    CHAOS_RANKS_MAX = 5,
    CHAOS_TEXT = 640,     /* what an app says at its end */
    CHAOS_DEAD_MS = 4000, /* WEFT_DEAD_MS */
    /* A host that is stopped or cut off for less is never taken for dead: TCP, which waits twice as
     * long each time, is heard again after at most twice the time. */
    CHAOS_HARMLESS_MS = 1300,
    CHAOS_BLAME_MS = 25000 /* a fault may end an app so much later, on a loaded machine */
};

/* ---- chaos_work.c ---- */

/* Shared objects with migration points, and ordinary programs in cells. */
enum chaos_work {
    CHAOS_HEAT,
    CHAOS_SWAP,
    CHAOS_STRAY,
    CHAOS_HEAT_CELL,
    CHAOS_PARTICLES_CELL,
    CHAOS_WORKS
};

/* What the program says at its end when all is well; text_out: CHAOS_TEXT bytes. */
void chaos_expected_swap(uint64_t seed, uint64_t steps, int size, char *text_out);
void chaos_expected_stray(uint64_t seed, uint64_t steps, int size, char *text_out);

/* ---- all ---- */

enum chaos_kind {
    CHAOS_KILL_HOST,
    CHAOS_KILL_PROCESS,
    CHAOS_STOP_HOST,
    CHAOS_STOP_PROCESS,
    CHAOS_CUT_ONE_WAY,
    CHAOS_CUT_BOTH_WAYS,
    CHAOS_SLOW,
    CHAOS_DRAIN,
    CHAOS_MIGRATE,
    CHAOS_KINDS
};

/* A fault that goes on until until_ms; then chaos_fault.c ends it. */
struct chaos_active {
    enum chaos_kind kind;
    unsigned host;
    uint64_t pid;        /* CHAOS_STOP_PROCESS */
    struct child *drain; /* CHAOS_DRAIN: the command */
    uint64_t until_ms;
    unsigned number; /* of the fault: names its rules */
    unsigned harm;   /* place in harms */
};

/* From when to when a host was not itself. */
struct chaos_harm {
    unsigned hosts; /* bits */
    uint64_t from_ms, to_ms;
    bool open;   /* it still is */
    bool deadly; /* however short */
};

struct chaos_app {
    enum chaos_work work;
    struct cluster_host *home;
    struct child *run; /* NULL: no app in this place */
    char json[192], id_file[192], expected[CHAOS_TEXT];
    uint64_t began_ms;
    struct child_patience patience;
    unsigned number, ranks;
};

/* A weft migrate or weft drain that has to end. */
struct chaos_command {
    struct child *child;
    struct child_patience patience;
};

struct chaos_count {
    unsigned started, refused, identical;
    unsigned by_work[CHAOS_WORKS], well_by_work[CHAOS_WORKS];
    unsigned faults[CHAOS_KINDS];
    unsigned moved, aborted, moves_asked;
    unsigned stalls; /* of the machine: we did not run for a second */
    unsigned kills_blamed;
    struct {
        char text[96];
        unsigned n;
    } ends[CHAOS_ENDS], reasons[CHAOS_ENDS]; /* of apps; of moves that were given up */
};

struct chaos {
    struct cluster *cluster;
    uint64_t seed, dice;
    uint64_t began_ms, seen_ms, start_ms;
    struct chaos_app apps[CHAOS_APPS];
    uint64_t particle_steps;                             /* of each run of particles, */
    char particles_say[CHAOS_RANKS_MAX + 1][CHAOS_TEXT]; /* and what it says, by ranks */
    struct chaos_active active[CHAOS_ACTIVE];
    unsigned active_n;
    struct chaos_harm harms[CHAOS_HARMS];
    unsigned harms_n;
    struct chaos_command commands[CHAOS_COMMANDS];
    unsigned faults_n, apps_n;
    bool draining[CHAOS_HOSTS];
    struct child *cancels[CHAOS_HOSTS]; /* weft drain --cancel under way; NULL: none */
    uint64_t restart_ms[CHAOS_HOSTS];   /* 0: not down */
    uint64_t process_kills_ms[CHAOS_HOSTS][CHAOS_HARMS]; /* 0: blamed for an end already */
    unsigned process_kills_n[CHAOS_HOSTS];
    unsigned fds[CHAOS_HOSTS]; /* before */
    struct chaos_count count;
};

/* ---- chaos_test.c ---- */

uint64_t chaos_dice(struct chaos *chaos, uint64_t below);
/* An event for the one who reads a failure, and for CHAOS_VERBOSE=1. */
void chaos_note(struct chaos *chaos, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the last events and where the logs are, and fails. */
_Noreturn void chaos_fail(struct chaos *chaos, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Counts a text among others. */
#define chaos_tally(list, text_)                                                                   \
    do {                                                                                           \
        unsigned at_ = 0;                                                                          \
        while (at_ < CHAOS_ENDS - 1 && (list)[at_].n > 0 && strcmp((list)[at_].text, text_) != 0)  \
            at_++;                                                                                 \
        if ((list)[at_].n++ == 0)                                                                  \
            snprintf((list)[at_].text, sizeof((list)[at_].text), "%s", text_);                     \
    } while (0)

/* ---- chaos_fault.c ---- */

const char *chaos_kind_name(enum chaos_kind kind);
/* One more fault at a random host. */
void chaos_strike(struct chaos *chaos);
/* A rank of a random app is asked to move to a random host. */
void chaos_migrate(struct chaos *chaos);
/* Ends what is due, starts hosts that are down again; all: whether due or not. */
void chaos_mend(struct chaos *chaos, bool all);
/* Whether nothing is amiss any more. */
bool chaos_is_mended(struct chaos *chaos);
/* A host that is there, reached, and takes apps. */
bool chaos_host_well(const struct chaos *chaos, unsigned host);
/* Whether one of these hosts (bits) was harmed so that this can be the end, now, of an app. */
bool chaos_blame(const struct chaos *chaos, unsigned hosts);
/* Of a killed process on the host, if there was one that is not blamed yet. */
bool chaos_blame_process(struct chaos *chaos, unsigned host);
/* All hosts, for so long. */
void chaos_stalled(struct chaos *chaos, uint64_t from_ms, uint64_t to_ms);
/* Commands under way: looks for those that have ended. */
void chaos_commands(struct chaos *chaos);
void chaos_command(struct chaos *chaos, struct child *child);

/* ---- chaos_app.c ---- */

/* Before the first fault: runs what is compared later with a run that nothing has struck. */
void chaos_apps_measure(struct chaos *chaos);
void chaos_apps_start(struct chaos *chaos);
const char *chaos_work_name(enum chaos_work work);
/* Judges those that have ended; returns how many still run. */
unsigned chaos_apps_look(struct chaos *chaos);

/* ---- chaos_end.c ---- */

/* Before the first fault. */
void chaos_measure(struct chaos *chaos);
/* All is as it was: slots, processes, file descriptors. */
void chaos_check_left(struct chaos *chaos);

#endif
