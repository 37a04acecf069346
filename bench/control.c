/* What the control plane costs: scripts/bench control.
 *
 * Parts, and within a part weft and its peer, take turns round by round, so that a slow minute hits
 * all; medians are printed, and goals are medians of the ratios of single rounds. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "control.h"

enum { ROUNDS = 7 };

struct part {
    const char *name;
    int (*run)(const struct bench *bench);
    const char *what;
};

static const struct part parts[] = {
    {"rate", control_rate, "requests per second, latency, processor time and system calls"},
    {"slow", control_slow, "latency when one handler in a hundred takes 5 ms"},
    {"start", control_start_stop, "start and stop of a host"},
    {"group", control_barrier, "messages of a barrier of 64 members over 3 hosts"},
    {"state", control_state, "64 MiB from another host, against a raw get"},
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
    fprintf(out, "Usage: bench-control [--json] [--rounds N] [--quick] [PART]...\n"
                 "  --json      one JSON object per line\n"
                 "  --rounds N  rounds of each part (default 7)\n"
                 "  --quick     tiny parameters: whether it works, not how fast it is\n"
                 "parts (default: all):\n");
    for (size_t i = 0; i < PARTS; i++)
        fprintf(out, "  %-6s  %s\n", parts[i].name, parts[i].what);
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
        fprintf(stderr, "bench-control: %s did not complete\n", part->name);
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
