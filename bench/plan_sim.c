/* How fast moves are simulated: the simulation of tests/sim with all its faults and checks, from
 * seeds that its tests do not use.
 *
 * What is measured is the processor time of the one thread that it is: how many seeds a night of
 * one core covers, whatever else the machine does. */
#include <stdio.h>
#include <time.h>

#include "plan.h"
#include "sim.h"
#include "weft/error.h"

enum { RUNS = 4000, QUICK_RUNS = 40 };
#define FIRST_SEED 900000001ull

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t moves(const struct sim *sim)
{
    return sim->stats.moved + sim->stats.stayed + sim->stats.lost;
}

/* Moves per second, over these seeds. */
static double rate(struct sim *sim, uint64_t seed, unsigned runs)
{
    uint64_t before = moves(sim);
    double start = processor_seconds();
    for (unsigned i = 0; i < runs; i++) {
        sim_run(sim, seed + i);
        if (sim->failed)
            bench_die(sim->failure, WEFT_EPROTO);
    }
    return (double)(moves(sim) - before) / (processor_seconds() - start);
}

int plan_sim(const struct bench *bench)
{
    static struct sim sim;
    static struct bench_series series = {.id = "plan.simulated_moves",
                                         .what = "simulated moves, all faults and checks",
                                         .subject = "weft",
                                         .unit = "1/s"};
    unsigned runs = bench->quick ? QUICK_RUNS : RUNS;
    snprintf(series.config, sizeof(series.config),
             "%u runs a round, every third over endpoints; per second of processor time", runs);
    sim_init(&sim);
    for (unsigned round = 0; round < bench->rounds; round++)
        bench_add(&series, rate(&sim, FIRST_SEED + (uint64_t)round * runs, runs));
    sim_fini(&sim);
    bench_print_goal(bench, &(struct bench_goal){.id = "plan.sim_rate",
                                                 .measured = bench_median(&series),
                                                 .wanted = 20000,
                                                 .at_least = true,
                                                 .unit = "1/s",
                                                 .from = {series.id},
                                                 .reason = ""});
    bench_print(bench, &series);
    return 0;
}
