/* The test's side of a program's board, and what most tests do with a running app. */
#ifndef WEFT_TESTS_CLUSTER_STAGE_H
#define WEFT_TESTS_CLUSTER_STAGE_H

#include "ask.h"
#include "cluster.h"
#include "programs/board.h"

struct stage {
    char path[192];
    struct board *board;
};

void stage_open(struct stage *stage, struct cluster *cluster);
void stage_close(struct stage *stage);
/* Waits until the ranks of a world of n have each made `more` steps from now. */
void stage_runs(struct cluster *cluster, const struct stage *stage, unsigned n, uint64_t more);
/* Ends the app by its board; it must end well, with good memory in every rank. */
void stage_finish(struct cluster *cluster, const struct stage *stage, struct cluster_app *app);
/* The words behind `chain steps`: steps and digest, in a static text; "" if there are none. */
const char *stage_digest(const struct child *run);
/* Waits until all hosts say that no slot is in use. */
void stage_all_free(struct cluster *cluster);
/* Moves a rank by hand; it must arrive. */
void stage_move(struct cluster *cluster, struct cluster_app *app, int rank, const char *to);

/* A move that waits before the rank's migration point, and one that waits behind it: the rank
 * stands, the destination's process is stopped and cannot pull. Started with weft migrate. */
struct child *stage_hold_move(struct cluster *cluster, const struct stage *stage,
                              const struct cluster_app *app, int rank, const char *to);
/* The app's process on a host, where one of its ranks is, was, or prepares to be; 0: none. */
uint64_t stage_process_on(struct cluster *cluster, const struct cluster_host *host);
/* 0: there is no such process. */
uint64_t stage_parent_of(uint64_t pid);
/* Sends a signal to a process that carries our mark. */
void stage_signal(struct cluster *cluster, uint64_t pid, int number);

#endif
