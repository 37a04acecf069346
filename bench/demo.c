/* What the main job costs, question by question: scripts/bench demo.
 *
 * Each part runs in a process of its own, so that no part meets the threads and endpoints of
 * another, and one that fails does not silence the rest. Within a part the cases and their peers
 * take turns, round by round, so that a slow minute hits them all; what is printed are medians. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "demo.h"

enum { ROUNDS = 5 };

struct part {
    const char *name;
    int (*run)(const struct bench *bench);
    const char *what;
};

static const struct part parts[] = {
    {"link", demo_link, "latency and bandwidth of lanes, and of plain TCP"},
    {"fanin", demo_fanin, "requests per second at a control server, and at ZeroMQ's proxy"},
    {"pull", demo_pull, "a region pulled, against one raw get"},
    {"point", demo_point, "a migration point when nothing is pending"},
    {"pause", demo_pause, "how long a moved rank stands still, by its size"},
    {"mpi", demo_mpi, "messages and steps of MPI programs; CPU time burnt while idle"},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

struct turn {
    const struct bench *bench;
    const struct part *part;
};

static int run_part(void *ctx, int fd)
{
    const struct turn *turn = ctx;
    (void)fd;
    return turn->part->run(turn->bench);
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: bench-demo [--json] [--rounds N] [--quick] [PART]...\n"
                 "  --json      one JSON object per line\n"
                 "  --rounds N  rounds of each part (default 5)\n"
                 "  --quick     tiny parameters: whether it works, not how fast it is\n"
                 "parts (default: all):\n");
    for (size_t i = 0; i < PARTS; i++)
        fprintf(out, "  %-8s  %s\n", parts[i].name, parts[i].what);
}

static const struct part *find(const char *name)
{
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    return NULL;
}

static int run(const struct bench *bench, const struct part *part)
{
    struct turn turn = {bench, part};
    int fd;
    if (!bench->json)
        printf("%s: %s\n", part->name, part->what);
    pid_t pid = bench_fork(run_part, &turn, &fd);
    int code = bench_join(pid, fd);
    if (code)
        fprintf(stderr, "bench-demo: %s did not complete\n", part->name);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct bench bench = {.rounds = ROUNDS};
    int option, failed = 0;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (option == 'j')
            bench.json = true;
        else if (option == 'r')
            bench.rounds = bench_number(optarg, BENCH_ROUNDS_MAX);
        else if (option == 'q')
            bench.quick = true;
        else
            return usage(option == 'h' ? stdout : stderr), option == 'h' ? 0 : 2;
    }
    for (int i = optind; i < argc; i++)
        if (!find(argv[i]))
            return usage(stderr), 2;
    bench_check("read the settings", weft__config_load());
    for (size_t i = 0; optind == argc && i < PARTS; i++)
        failed |= run(&bench, &parts[i]);
    for (int i = optind; i < argc; i++)
        failed |= run(&bench, find(argv[i]));
    return failed != 0;
}
