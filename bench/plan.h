/* The parts of scripts/bench plan, and the clusters that they plan for. */
#ifndef WEFT_BENCH_PLAN_H
#define WEFT_BENCH_PLAN_H

#include "bench.h"
#include "plan/detect.h"

int plan_detection(const struct bench *bench);
int plan_events(const struct bench *bench);
int plan_gain(const struct bench *bench);
int plan_optimality(const struct bench *bench);
int plan_traffic(const struct bench *bench);
int plan_count(const struct bench *bench);
int plan_sim(const struct bench *bench);

/* A cluster, and apps that run on it. */
struct plan_cluster {
    struct weft_plan_host *hosts;
    size_t hosts_n;
    uint32_t *host_of; /* of each app's ranks, one app behind the other */
    size_t apps_n;
    uint32_t ranks; /* of each app */
};

struct plan_cluster_desc {
    size_t hosts, apps;
    uint32_t slots, ranks;
    unsigned seed;
};

/* Each app is started on a random host and on those behind it that have free slots, as far as they
 * are needed; then a quarter of all apps end, so that the others could be placed better. */
void plan_cluster_make(struct plan_cluster *cluster, const struct plan_cluster_desc *desc);
void plan_cluster_free(struct plan_cluster *cluster);

/* The reference system's way to find moves: two cursors over the ranks, from both ends. Takes
 * `used` of the hosts along; returns the number of moves that it wrote. */
size_t plan_scan(struct weft_plan_host *hosts, const uint32_t *host_of, size_t ranks,
                 struct weft_plan_move *moves_out);

#endif
