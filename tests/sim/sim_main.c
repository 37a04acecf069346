/* sim_move: runs the simulation of moves.
 *
 *   sim_move --runs N [--seed S]   N runs with the seeds S, S+1, ...; the first that breaks a rule
 *                                  is named. From 100,000 runs on everything that sim_stats.h
 *                                  lists must have happened.
 *   sim_move --one SEED [--trace]  one run, told step by step
 *   sim_move --kept                the seeds that once found a defect (sim_seeds.h)
 *   ... --uncopied                 no rank is copied before it is frozen
 *   ... --mutant NAME              with a rule broken on purpose: succeeds when the simulation
 *                                  notices
 */
#include "sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim_seeds.h"

enum { RUNS_FOR_ALL = 100000 };

static const char *const mutants[SIM_MUTANTS_N] = {[SIM_MUTANT_NONE] = "none",
#define X(NAME, name, what) [SIM_MUTANT_##NAME] = name,
                                                   SIM_MUTANTS(X)
#undef X
};

struct options {
    uint64_t runs, seed;
    bool one, kept;
};

static bool run_one(struct sim *sim, uint64_t seed)
{
    sim_run(sim, seed);
    if (sim->failed)
        printf("seed %llu, at %.3f ms: %s\n", (unsigned long long)seed, (double)sim->now_ns / 1e6,
               sim->failure);
    return !sim->failed;
}

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool run_many(struct sim *sim, const struct options *options)
{
    double start = processor_seconds();
    bool good = true;
    for (uint64_t i = 0; i < options->runs && good; i++)
        good = run_one(sim, options->seed + i);
    if (sim->mutant != SIM_MUTANT_NONE)
        return good;
    sim_stats_print(&sim->stats, processor_seconds() - start);
    return good && (options->runs < RUNS_FOR_ALL || sim_stats_complete(&sim->stats));
}

static bool run_kept(struct sim *sim)
{
    bool good = true;
    for (size_t i = 0; i < sizeof(sim_seeds) / sizeof(sim_seeds[0]); i++) {
        printf("%llu: %s\n", (unsigned long long)sim_seeds[i].seed, sim_seeds[i].story);
        sim->uncopied = sim_seeds[i].uncopied;
        good = run_one(sim, sim_seeds[i].seed) && good;
    }
    return good;
}

static enum sim_mutant mutant_named(const char *name)
{
    for (int i = 0; i < SIM_MUTANTS_N; i++) {
        if (strcmp(mutants[i], name) == 0)
            return (enum sim_mutant)i;
    }
    fprintf(stderr, "sim_move: no mutant is called '%s'; there are:", name);
    for (int i = 1; i < SIM_MUTANTS_N; i++)
        fprintf(stderr, " %s", mutants[i]);
    fputc('\n', stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct options *options, struct sim *sim)
{
    static const struct option names[] = {
        {"runs", required_argument, NULL, 'r'},   {"seed", required_argument, NULL, 's'},
        {"one", required_argument, NULL, 'o'},    {"trace", no_argument, NULL, 't'},
        {"kept", no_argument, NULL, 'k'},         {"uncopied", no_argument, NULL, 'u'},
        {"mutant", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'r')
            options->runs = strtoull(optarg, NULL, 10);
        else if (option == 's' || option == 'o')
            options->seed = strtoull(optarg, NULL, 10);
        else if (option == 'm')
            sim->mutant = mutant_named(optarg);
        else if (option == '?')
            exit(2);
        options->one = options->one || option == 'o';
        options->kept = options->kept || option == 'k';
        sim->trace = sim->trace || option == 't';
        sim->uncopied = sim->uncopied || option == 'u';
    }
}

int main(int argc, char **argv)
{
    static struct sim sim;
    struct options options = {.runs = 1000, .seed = 1};
    sim_init(&sim);
    parse(argc, argv, &options, &sim);
    bool good;
    if (options.kept)
        good = run_kept(&sim);
    else if (options.one)
        good = run_one(&sim, options.seed);
    else
        good = run_many(&sim, &options);
    sim_fini(&sim);
    if (sim.mutant != SIM_MUTANT_NONE) {
        printf("mutant %s: %s\n", mutants[sim.mutant], good ? "not noticed" : "noticed");
        return good ? 1 : 0;
    }
    return good ? 0 : 1;
}
