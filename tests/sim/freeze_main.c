/* sim_freeze [--runs N] [--seed FIRST] [--mutant NAME]: a single run prints what the homes do. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "freeze.h"

int main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"mutant", required_argument, NULL, 'm'},
                                            {0}};
    uint64_t runs = 1000, first = 1;
    struct freeze_how how = {.mutant = ""};
    struct freeze_counts counts = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'r')
            runs = strtoull(optarg, NULL, 10);
        else if (option == 's')
            first = strtoull(optarg, NULL, 10);
        else if (option == 'm')
            how.mutant = optarg;
        else
            return 2;
    }
    how.talks = runs == 1;
    for (uint64_t seed = first; seed < first + runs; seed++) {
        const char *broken = freeze_run(seed, &how, &counts);
        if (broken == NULL)
            continue;
        printf("seed %" PRIu64 ": %s\n", seed, broken);
        return how.mutant[0] == '\0'; /* a mutant is to be noticed */
    }
    printf("%" PRIu64 " runs: %" PRIu64 " freezes and %" PRIu64 " thaws done, %" PRIu64
           " and %" PRIu64 " given up; %" PRIu64 " apps lost, %" PRIu64 " thawed by another home\n",
           runs, counts.frozen, counts.thawed, counts.stayed, counts.kept, counts.lost,
           counts.taken);
    return how.mutant[0] != '\0';
}
