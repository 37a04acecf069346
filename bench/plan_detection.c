/* How long a check takes: of all apps, the roster made anew, and after one slot has changed.
 *
 * Hosts have 10 slots and apps 6 ranks; there are as many apps as hosts. A check of all apps takes
 * the slots of the plans that it finds, as one round of one planner does. After a change: the
 * roster is told, and the app whose host it is gets checked. The reference's scan is given the
 * same apps and looks at each app's own hosts only: it is what a check costs that never looks
 * anywhere else. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "plan.h"
#include "weft/error.h"

enum { SLOTS = 10, RANKS = 6, CHANGES = 2000, SIZES = 5 };

static const size_t sizes[SIZES] = {10, 100, 1000, 10000, 100000};
enum { TEN_THOUSAND = 3, HUNDRED_THOUSAND = 4, QUICK_SIZES = 3 };

static struct bench_series all[SIZES], one[SIZES], scan[SIZES];
static uint64_t moves[SIZES];

static void name_series(struct bench_series *series, const char *what, const char *subject,
                        size_t n)
{
    snprintf(series->id, sizeof(series->id), "plan.%s.%zu.%s", what, n, subject);
    snprintf(series->subject, sizeof(series->subject), "%s", subject);
    snprintf(series->config, sizeof(series->config), "%d slots a host, %d ranks an app, one thread",
             SLOTS, RANKS);
}

static void name_all(void)
{
    for (size_t i = 0; i < SIZES; i++) {
        name_series(&all[i], "detect", "weft", sizes[i]);
        name_series(&one[i], "change", "weft", sizes[i]);
        name_series(&scan[i], "detect", "two-cursors", sizes[i]);
        snprintf(all[i].what, sizeof(all[i].what), "check of %zu apps on as many hosts", sizes[i]);
        snprintf(one[i].what, sizeof(one[i].what), "one slot changes, of %zu hosts", sizes[i]);
        snprintf(scan[i].what, sizeof(scan[i].what), "%s", all[i].what);
        snprintf(all[i].unit, sizeof(all[i].unit), "ms");
        snprintf(scan[i].unit, sizeof(scan[i].unit), "ms");
        snprintf(one[i].unit, sizeof(one[i].unit), "us");
    }
}

static uint64_t check(const struct plan_cluster *cluster, struct weft_roster *roster, size_t app,
                      bool take)
{
    struct weft_plan_move found[RANKS];
    struct weft_plan plan = {.moves = found};
    const struct weft_detect ask = {
        .roster = roster, .host_of = cluster->host_of + app * RANKS, .ranks = RANKS};
    bench_check("a check", weft__detect(&ask, &plan));
    if (take)
        weft__detect_take(roster, &plan);
    return plan.moves_n;
}

static void measure_all(struct plan_cluster *cluster, size_t size)
{
    struct weft_roster roster;
    uint64_t started = weft__now_ns(), n = 0;
    bench_check("a roster", weft__roster_init(&roster, cluster->hosts, cluster->hosts_n));
    for (size_t app = 0; app < cluster->apps_n; app++)
        n += check(cluster, &roster, app, true);
    bench_add(&all[size], (double)(weft__now_ns() - started) / 1e6);
    moves[size] = n;
    weft__roster_fini(&roster);
}

static void measure_one(struct plan_cluster *cluster, size_t size)
{
    static struct bench_samples samples;
    struct weft_roster roster;
    unsigned seed = 5;
    samples.n = 0;
    bench_check("a roster", weft__roster_init(&roster, cluster->hosts, cluster->hosts_n));
    for (unsigned i = 0; i < CHANGES; i++) {
        size_t app = (size_t)rand_r(&seed) % cluster->apps_n;
        size_t host = cluster->host_of[app * RANKS];
        uint32_t used = cluster->hosts[host].used;
        uint64_t started = weft__now_ns();
        weft__roster_used(&roster, host, used - 1);
        (void)check(cluster, &roster, app, false);
        bench_sample(&samples, (double)(weft__now_ns() - started) / 1e3);
        weft__roster_used(&roster, host, used);
    }
    bench_add(&one[size], bench_typical(&samples));
    weft__roster_fini(&roster);
}

static void measure_scan(struct plan_cluster *cluster, size_t size)
{
    struct weft_plan_move found[RANKS];
    uint64_t started = weft__now_ns();
    for (size_t app = 0; app < cluster->apps_n; app++)
        (void)plan_scan(cluster->hosts, cluster->host_of + app * RANKS, RANKS, found);
    bench_add(&scan[size], (double)(weft__now_ns() - started) / 1e6);
}

/* Each measurement has a cluster of its own: plans use slots up. */
static void measure(size_t size, unsigned seed, void (*one_of)(struct plan_cluster *, size_t))
{
    struct plan_cluster cluster;
    plan_cluster_make(&cluster, &(struct plan_cluster_desc){.hosts = sizes[size],
                                                            .apps = sizes[size],
                                                            .slots = SLOTS,
                                                            .ranks = RANKS,
                                                            .seed = seed});
    one_of(&cluster, size);
    plan_cluster_free(&cluster);
}

static void print_goal(const struct bench *bench, struct bench_goal goal)
{
    if (bench->quick)
        goal = (struct bench_goal){.id = goal.id,
                                   .wanted = goal.wanted,
                                   .unit = goal.unit,
                                   .unknown = true,
                                   .reason = "not measured with --quick"};
    bench_print_goal(bench, &goal);
}

/* Before the series are printed, which sorts their values. */
static void print_goals(const struct bench *bench)
{
    char found[64];
    snprintf(found, sizeof(found), "it finds %llu moves", (unsigned long long)moves[TEN_THOUSAND]);
    double growth = bench_ratio(&all[HUNDRED_THOUSAND], &all[TEN_THOUSAND]);
    print_goal(bench, (struct bench_goal){.id = "plan.growth",
                                          .measured = growth,
                                          .wanted = 15,
                                          .unit = "ratio",
                                          .from = {all[HUNDRED_THOUSAND].id, all[TEN_THOUSAND].id},
                                          .reason = "ten times as many hosts, and apps"});
    print_goal(bench, (struct bench_goal){.id = "plan.detect_10k",
                                          .measured = bench_median(&all[TEN_THOUSAND]),
                                          .wanted = 50,
                                          .unit = "ms",
                                          .from = {all[TEN_THOUSAND].id},
                                          .reason = found});
    print_goal(bench,
               (struct bench_goal){.id = "plan.detect_incremental",
                                   .measured = bench_median(&one[TEN_THOUSAND]) / 1e3,
                                   .wanted = 0.1,
                                   .unit = "ms",
                                   .from = {one[TEN_THOUSAND].id},
                                   .reason = "10,000 hosts; the app on the host that changed"});
}

int plan_detection(const struct bench *bench)
{
    size_t sizes_n = bench->quick ? QUICK_SIZES : SIZES;
    name_all();
    for (unsigned round = 0; round < bench->rounds; round++)
        for (size_t size = 0; size < sizes_n; size++) {
            measure(size, round, measure_all);
            measure(size, round, measure_scan);
            measure(size, round, measure_one);
        }
    print_goals(bench);
    for (size_t size = 0; size < sizes_n; size++) {
        bench_print(bench, &all[size]);
        bench_print(bench, &scan[size]);
        bench_print(bench, &one[size]);
    }
    return 0;
}
