/* Calls of MPI between ranks of one host, of a crowded host, and of two hosts. */
#include <stdio.h>

#include "data.h"
#include "hosts.h"
#include "mpi.h"

enum { COLLECTIVES = 7 }; /* of near_tasks, from COLLECTIVE on */
enum { PASS, BAND, RATE, COLLECTIVE };

static const struct mpi_task near_tasks[] = {
    [PASS] = {"pass:8", "us", false}, [BAND] = {"band:1048576", "MB/s", true},
    [RATE] = {"rate:8", "1/s", true}, [COLLECTIVE] = {"barrier:0", "us", false},
    {"bcast:8", "us", false},         {"bcast:65536", "us", false},
    {"bcast:4194304", "us", false},   {"allreduce:8", "us", false},
    {"allreduce:65536", "us", false}, {"allreduce:4194304", "us", false},
};

static const struct mpi_task crowd_tasks[] = {
    {"barrier:0", "us", false},
    {"allreduce:8", "us", false},
    {"allreduce:65536", "us", false},
    {"allreduce:4194304", "us", false},
};

static const struct mpi_task pack_tasks[] = {
    {"pack_doubles:65536", "GB/s", true}, {"pack_blocks:65536", "GB/s", true},
    {"pack_structs:65536", "GB/s", true}, {"pack_indexed:400000", "GB/s", true},
    {"pack_face:65536", "GB/s", true},    {"pack_nest:49152", "GB/s", true},
};
enum { PACKS = sizeof(pack_tasks) / sizeof(pack_tasks[0]) };

static const struct mpi_task apart_tasks[] = {
    {"pass:8", "us", false},
    {"band:1048576", "MB/s", true},
};

#define TASKS(list) .tasks = (list), .tasks_n = sizeof(list) / sizeof((list)[0])

/* The collective of two ranks that is slowest beside the best peer. */
static void print_slowest(const struct bench *bench, const struct mpi_field *field)
{
    struct bench_goal goal = {.id = "mpi.coll2",
                              .wanted = 1.1,
                              .unit = "ratio",
                              .unknown = true,
                              .reason = "no collective has figures of weft and of a peer"};
    for (unsigned task = COLLECTIVE; task < COLLECTIVE + COLLECTIVES; task++) {
        const struct bench_series *weft = &field->series[task][MPI_WEFT],
                                  *peer = mpi_best(field, task);
        double ratio = bench_ratio(weft, peer);
        if (weft->n == 0 || peer->n == 0 || (!goal.unknown && ratio <= goal.measured))
            continue;
        goal.unknown = false;
        goal.measured = ratio;
        goal.from[0] = weft->id;
        goal.from[1] = peer->id;
        goal.reason = "the slowest of barrier, bcast and allreduce beside the best peer";
    }
    bench_print_goal(bench, &goal);
}

int mpi_near(const struct bench *bench)
{
    static struct bench_series series[COLLECTIVE + COLLECTIVES][MPI_LIBRARIES],
        alone[1][MPI_LIBRARIES];
    struct mpi_field field = {
        .part = "near", TASKS(near_tasks), .ranks = 2, .place = MPI_NEAR, .series = series};
    struct mpi_field one = {.part = "one_cpu",
                            .tasks = near_tasks,
                            .tasks_n = 1,
                            .ranks = 2,
                            .place = MPI_ONE_CPU,
                            .series = alone};
    one.without[MPI_OPENMPI] = one.without[MPI_MPICH] = true;
    mpi_run(bench, &field);
    mpi_run(bench, &one);
    const struct bench_series *same = &alone[0][MPI_WEFT];
    struct bench_series sorted = *same;
    bench_print_goal(bench, &(struct bench_goal){.id = "mpi.p2p_same_worker",
                                                 .measured = bench_median(&sorted),
                                                 .wanted = 0.15,
                                                 .unit = "us",
                                                 .unknown = same->n == 0,
                                                 .from = {same->id},
                                                 .reason = "8 B one way, both ranks on one core"});
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "mpi.p2p_two_workers",
                                        .wanted = 1.0,
                                        .reason = "8 B one way, beside the best peer"},
                    &series[PASS][MPI_WEFT], mpi_best(&field, PASS));
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "mpi.bw_1m",
                                        .wanted = 1.2,
                                        .at_least = true,
                                        .reason = "1 MiB, 64 under way, beside the best peer"},
                    &series[BAND][MPI_WEFT], mpi_best(&field, BAND));
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "mpi.rate",
                                        .wanted = 1.0,
                                        .at_least = true,
                                        .reason = "8 B, 64 under way, beside the best peer"},
                    &series[RATE][MPI_WEFT], mpi_best(&field, RATE));
    print_slowest(bench, &field);
    mpi_print(bench, &field);
    mpi_print(bench, &one);
    return 0;
}

/* How many times as fast as Open MPI. */
static void print_faster(const struct bench *bench, const char *id, double wanted,
                         struct bench_series series[MPI_LIBRARIES])
{
    data_ratio_goal(bench,
                    (struct bench_goal){.id = id,
                                        .wanted = wanted,
                                        .at_least = true,
                                        .reason = "times as fast as Open MPI, which yields"},
                    &series[MPI_OPENMPI], &series[MPI_WEFT]);
}

int mpi_crowd(const struct bench *bench)
{
    static struct bench_series eight[4][MPI_LIBRARIES], many[1][MPI_LIBRARIES];
    struct mpi_field field = {.part = "crowd8",
                              TASKS(crowd_tasks),
                              .ranks = bench->quick ? 4 : 8,
                              .place = MPI_CROWDED,
                              .series = eight};
    struct mpi_field more = {.part = "crowd64",
                             .tasks = crowd_tasks,
                             .tasks_n = 1,
                             .ranks = bench->quick ? 6 : 64,
                             .place = MPI_CROWDED,
                             .series = many};
    /* MPICH polls without yielding: 8 ranks on 2 cores take tens of milliseconds for a barrier. */
    field.without[MPI_MPICH] = more.without[MPI_MPICH] = true;
    mpi_run(bench, &field);
    mpi_run(bench, &more);
    print_faster(bench, "mpi.barrier8", 8, eight[0]);
    print_faster(bench, "mpi.allreduce8_8b", 8, eight[1]);
    print_faster(bench, "mpi.allreduce8_64k", 3, eight[2]);
    print_faster(bench, "mpi.allreduce8_4m", 1.2, eight[3]);
    print_faster(bench, "mpi.barrier64", 4, many[0]);
    mpi_print(bench, &field);
    mpi_print(bench, &more);
    return 0;
}

int mpi_pack(const struct bench *bench)
{
    static struct bench_series series[PACKS][MPI_LIBRARIES];
    struct mpi_field field = {
        .part = "pack", TASKS(pack_tasks), .ranks = 1, .place = MPI_NEAR, .series = series};
    mpi_run(bench, &field);
    mpi_print(bench, &field);
    return 0;
}

int mpi_apart(const struct bench *bench)
{
    static struct bench_series series[2][MPI_LIBRARIES];
    char net[16], at[24];
    struct bench_hosts hosts;
    bench_hosts_net(net);
    snprintf(at, sizeof(at), "%s.1", net);
    bench_hosts_start_on(
        &hosts, net,
        (const struct bench_host_desc[]){{.slots = "1", .core = 1}, {.slots = "1", .core = 2}}, 2);
    struct mpi_field field = {.part = "apart",
                              TASKS(apart_tasks),
                              .ranks = 2,
                              .place = MPI_APART,
                              .at = at,
                              .series = series};
    mpi_run(bench, &field);
    bench_hosts_stop(&hosts);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "mpi.tcp_latency",
                                        .wanted = 1.0,
                                        .reason = "8 B one way over TCP, beside the best peer"},
                    &series[0][MPI_WEFT], mpi_best(&field, 0));
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "mpi.tcp_bw",
                                        .wanted = 0.95,
                                        .at_least = true,
                                        .reason = "1 MiB over TCP, 64 under way, beside the best "
                                                  "peer"},
                    &series[1][MPI_WEFT], mpi_best(&field, 1));
    mpi_print(bench, &field);
    return 0;
}
