/* The stage of most faults: a head without slots, a home, two more hosts; and an app of two ranks
 * that talk in every step: rank 0 on home, rank 1 on a. b is free. */
#ifndef WEFT_TESTS_FAULT_SCENE_H
#define WEFT_TESTS_FAULT_SCENE_H

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { SCENE_RANKS = 2, SCENE_MOVER = 1, SCENE_FATAL_MS = 10000 };

struct scene {
    struct cluster *cluster;
    struct cluster_host *head, *home, *a, *b;
    struct stage stage;
    struct cluster_app app;
};

void scene_open(struct scene *scene, struct cluster *cluster);
/* With a third rank, on a as well. */
void scene_open_with_third(struct scene *scene, struct cluster *cluster);
/* The app goes on, ends well, and all slots are free. */
void scene_ends_well(struct scene *scene);
/* The app ends within 10 s of now with this code and these words, and all slots are free. */
void scene_ends(struct scene *scene, int code, const char *words);

/* The mover has been asked and does not enter its migration point yet. Returns weft migrate. */
struct child *scene_asked(struct scene *scene);
/* The mover stands at its migration point, and the destination's process, stopped, cannot pull. */
struct child *scene_stands(struct scene *scene, uint64_t *dest_out);
/* weft migrate says that the rank did not move; the app goes on on a, without a loss. */
void scene_stayed(struct scene *scene, struct child *move);
void scene_moved(struct scene *scene, struct child *move);
/* The app's process on a host. */
uint64_t scene_process(struct scene *scene, const struct cluster_host *host);

#endif
