/* sim_state: runs the simulation of the state service.
 *
 *   sim_state --runs N [--seed S]   N runs with the seeds S, S+1, ...; the first that breaks a rule
 *                                   is named
 *   sim_state --one SEED [--trace]  one run, told step by step
 *   ... --mutant NAME               with a rule broken on purpose: succeeds when it is noticed
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "state.h"

static const char *const mutants[MUTANTS] = {
    [MUTANT_NONE] = "none",
    [MUTANT_NO_LEASE] = "no-lease",
    [MUTANT_NO_EPOCH] = "no-epoch",
    [MUTANT_NO_SESSIONS] = "no-sessions",
    [MUTANT_NO_COPY] = "no-copy",
    [MUTANT_BLIND_REGISTRY] = "blind-registry",
    [MUTANT_HASTY_TAKEOVER] = "hasty-takeover",
    [MUTANT_NO_CONDITION] = "no-condition",
    [MUTANT_CLAIM_FORGOTTEN] = "claim-forgotten",
    [MUTANT_NOT_CONFIRMED] = "not-confirmed",
    [MUTANT_NOT_HEALED] = "not-healed",
    [MUTANT_PIN_IGNORED] = "pin-ignored",
};

struct options {
    uint64_t runs, seed;
    bool one;
};

static bool run_one(struct sim *sim, uint64_t seed)
{
    sim_run(sim, seed);
    if (sim->failed)
        printf("seed %llu, at %.3f ms: %s\n", (unsigned long long)seed, (double)sim->now_ns / 1e6,
               sim->failure);
    return !sim->failed;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool run_many(struct sim *sim, const struct options *options)
{
    double start = seconds();
    uint64_t i;
    bool good = true;
    for (i = 0; i < options->runs && good; i++)
        good = run_one(sim, options->seed + i);
    const struct weft_fault_counts *faults = &sim->net.counts;
    uint64_t lost = faults->dropped + sim->net.unreachable;
    printf(
        "%llu runs, %llu values created, %llu changes, %llu reads, %llu takeovers, %llu changes "
        "of unknown end, %llu lost sessions, %llu crashes; %llu gets, %llu failed; %llu messages: "
        "%llu lost, %llu doubled, %llu overtaken, %llu connections cut; %.0f runs/s\n",
        (unsigned long long)i, (unsigned long long)sim->creates, (unsigned long long)sim->changes,
        (unsigned long long)sim->reads, (unsigned long long)sim->takeovers,
        (unsigned long long)sim->unknown, (unsigned long long)sim->sessions_lost,
        (unsigned long long)sim->crashes, (unsigned long long)sim->gets,
        (unsigned long long)sim->gets_failed, (unsigned long long)sim->net.sent,
        (unsigned long long)lost, (unsigned long long)faults->doubled,
        (unsigned long long)faults->overtaken, (unsigned long long)faults->cut,
        (double)i / (seconds() - start));
    return good;
}

static enum mutant mutant_named(const char *name)
{
    for (int i = 0; i < MUTANTS; i++)
        if (strcmp(mutants[i], name) == 0)
            return (enum mutant)i;
    fprintf(stderr, "sim_state: no mutant is called '%s'; there are:", name);
    for (int i = 1; i < MUTANTS; i++)
        fprintf(stderr, " %s", mutants[i]);
    fputc('\n', stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct options *options, struct sim *sim)
{
    static const struct option names[] = {
        {"runs", required_argument, NULL, 'r'},   {"seed", required_argument, NULL, 's'},
        {"one", required_argument, NULL, 'o'},    {"trace", no_argument, NULL, 't'},
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
        sim->trace = sim->trace || option == 't';
    }
}

int main(int argc, char **argv)
{
    static struct sim sim;
    struct options options = {.runs = 1000, .seed = 1};
    parse(argc, argv, &options, &sim);
    bool good = options.one ? run_one(&sim, options.seed) : run_many(&sim, &options);
    for (uint32_t i = 0; i < HOSTS; i++)
        host_crash(&sim, i);
    net_fini(&sim.net);
    if (sim.mutant != MUTANT_NONE) {
        printf("mutant %s: %s\n", mutants[sim.mutant], good ? "not noticed" : "noticed");
        return good ? 1 : 0;
    }
    return good ? 0 : 1;
}
