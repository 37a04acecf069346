/* What hosts say over the control port, as plain data. */
#ifndef WEFT_TESTS_CLUSTER_ASK_H
#define WEFT_TESTS_CLUSTER_ASK_H

#include "cluster.h"

struct ask_rank {
    char host[16];
    char state[16];
    uint64_t pid;
    uint32_t incarnation;
};

struct ask_move {
    int32_t rank;
    char from[16], to[16], outcome[16], cause[64], reason[128], transport[64];
    uint64_t bytes, touched, copied, forwarded, from_pid, to_pid; /* copied: before it stopped */
    double detected_ms, committed_ms, done_ms, pause_ms;
};

struct ask_app {
    char state[16];
    char reason[256];
    int code;
    unsigned ranks_n;
    struct ask_rank ranks[CLUSTER_RANKS_MAX];
    unsigned moves_n;
    struct ask_move last; /* the newest move */
    unsigned moved;       /* moves that took place */
    uint64_t forwarded;   /* over all moves */
    unsigned pending;
};

/* false: no answer, or the app is not known there. */
bool ask_app(struct cluster *cluster, const struct cluster_app *app, struct ask_app *out);
/* Whether the app is in this state at its home. */
bool ask_state_is(struct cluster *cluster, const struct cluster_app *app, const char *state);
bool ask_rank_is(struct cluster *cluster, const struct cluster_app *app, unsigned rank,
                 const char *host);
/* Process id of the rank now; 0: unknown. */
uint64_t ask_pid(struct cluster *cluster, const struct cluster_app *app, unsigned rank);
/* Used slots as the host itself tells; -1: no answer. */
int ask_used(struct cluster *cluster, const struct cluster_host *host);
/* Only slots: a process without ranks may be there. */
int ask_leased(struct cluster *cluster, const struct cluster_host *host);
/* No slot in use on any live host. */
bool ask_all_free(struct cluster *cluster);
/* Whether the registry counts n hosts as alive. */
bool ask_alive(struct cluster *cluster, unsigned n);
/* Moves the rank; an enum weft_err of the request itself. move_out may be NULL. */
int ask_migrate(struct cluster *cluster, const struct cluster_app *app, int rank, const char *to,
                struct ask_move *move_out);
int ask_kill(struct cluster *cluster, const struct cluster_app *app);
/* Whether the host answers a ping. */
bool ask_ping(struct cluster *cluster, const struct cluster_host *host);

#endif
