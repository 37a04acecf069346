/* Several processes of one app, driven by a test as their coordinator would. */
#ifndef TESTS_EXEC_CLUSTER_H
#define TESTS_EXEC_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define CLUSTER_MAX 4

struct line {
    struct line *next;
    char text[];
};

struct helper {
    pid_t pid;
    FILE *to;
    FILE *from;
    struct line *events, **events_end;
    char *reply;
    size_t reply_room;
    char lane[600];
    bool gone;
};

struct cluster {
    int n;
    int32_t size;
    struct helper helpers[CLUSTER_MAX];
    int place[64]; /* of each rank */
    uint32_t incarnation[64];
};

/* Starts n processes and opens an app in each; placement[rank] is a process. Returns false where
 * the transport is not to be had here. Everything else that fails ends the test. */
struct cluster_desc {
    int n;
    int32_t size;
    const int *placement;
    const char *scheme;
    const char *program; /* path and arguments, with spaces */
};
bool cluster_open(struct cluster *cluster, const struct cluster_desc *desc);
void cluster_start(struct cluster *cluster);
void cluster_close(struct cluster *cluster);
void cluster_kill(struct cluster *cluster, int process); /* with SIGKILL, and waits for it */

/* The answer to a command, "ok ..." or "err ...". */
const char *helper_ask(struct helper *helper, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void helper_do(struct helper *helper, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* must be ok */
/* Waits for an event that begins so, takes it out of the queue. The caller frees it. */
char *helper_event(struct helper *helper, const char *begin);

/* The whole of a move, as its coordinator does it. Routes go to the others last. Returns the
 * packets forwarded if told to wait for the flush, else 0. */
uint64_t cluster_move(struct cluster *cluster, int32_t rank, int to, bool wait_for_flush);
/* Its parts. freeze: the descriptor in hex; the caller frees it. */
char *cluster_freeze(struct cluster *cluster, int32_t rank);
void cluster_pull(struct cluster *cluster, int32_t rank, int to, const char *descriptor);
void cluster_commit(struct cluster *cluster, int32_t rank, int to);
void cluster_tell(struct cluster *cluster, int32_t rank, int except1, int except2);
int cluster_exit_code(struct cluster *cluster, int32_t rank);
uint64_t cluster_stat(struct cluster *cluster, const char *name); /* summed over all processes */

#endif
