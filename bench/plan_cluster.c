/* Clusters to plan for, and the reference system's scan. */
#include <stdlib.h>

#include "plan.h"
#include "weft/error.h"

static void *must_have(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL)
        bench_die("a cluster", WEFT_ENOMEM);
    return memory;
}

static void start_app(struct plan_cluster *cluster, uint32_t *host_of, size_t from)
{
    size_t host = from;
    for (uint32_t rank = 0; rank < cluster->ranks; rank++) {
        while (weft__plan_host_free(&cluster->hosts[host]) == 0)
            host = (host + 1) % cluster->hosts_n;
        host_of[rank] = (uint32_t)host;
        cluster->hosts[host].used++;
    }
}

void plan_cluster_make(struct plan_cluster *cluster, const struct plan_cluster_desc *desc)
{
    unsigned seed = desc->seed;
    size_t started = desc->apps + desc->apps / 3;
    if (started * desc->ranks > desc->hosts * desc->slots)
        bench_die("more ranks than slots", WEFT_EINVAL);
    *cluster = (struct plan_cluster){.hosts_n = desc->hosts, .ranks = desc->ranks};
    cluster->hosts = must_have(desc->hosts, sizeof(*cluster->hosts));
    cluster->host_of = must_have(started * desc->ranks, sizeof(*cluster->host_of));
    for (size_t i = 0; i < desc->hosts; i++)
        cluster->hosts[i].slots = desc->slots;
    for (size_t app = 0; app < started; app++)
        start_app(cluster, cluster->host_of + app * desc->ranks,
                  (size_t)rand_r(&seed) % desc->hosts);
    /* Who ends is drawn by moving the last app into its place. */
    for (cluster->apps_n = started; cluster->apps_n > desc->apps; cluster->apps_n--) {
        uint32_t *ends = cluster->host_of + (size_t)rand_r(&seed) % cluster->apps_n * desc->ranks;
        const uint32_t *last = cluster->host_of + (cluster->apps_n - 1) * desc->ranks;
        for (uint32_t rank = 0; rank < desc->ranks; rank++) {
            cluster->hosts[ends[rank]].used--;
            ends[rank] = last[rank];
        }
    }
}

void plan_cluster_free(struct plan_cluster *cluster)
{
    free(cluster->hosts);
    free(cluster->host_of);
}

size_t plan_scan(struct weft_plan_host *hosts, const uint32_t *host_of, size_t ranks,
                 struct weft_plan_move *moves_out)
{
    size_t left = 0, right = ranks - 1, n = 0;
    while (left < right) {
        struct weft_plan_host *to = &hosts[host_of[left]];
        if (host_of[left] == host_of[right]) {
            right--;
        } else if (weft__plan_host_free(to) == 0) {
            left++;
        } else {
            moves_out[n++] = (struct weft_plan_move){
                .rank = (uint32_t)right, .from = host_of[right], .to = host_of[left]};
            to->used++;
            right--;
        }
    }
    return n;
}
