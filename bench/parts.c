/* The command line of a benchmark program, and its parts one after the other.
 *
 * A part is a child process that this one waits for. */
#include "parts.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"

struct turn {
    const struct bench *bench;
    const struct bench_part *part;
};

static int run_part(void *ctx, int fd)
{
    const struct turn *turn = ctx;
    (void)fd;
    return turn->part->run(turn->bench);
}

static void usage(const struct bench_program *program, FILE *out)
{
    fprintf(out,
            "Usage: %s [--json] [--rounds N] [--quick] [--only] [PART]...\n"
            "  --json      one JSON object per line\n"
            "  --rounds N  rounds of each part (default %u)\n"
            "  --quick     tiny parameters: whether it works, not how fast it is\n"
            "  --only      only the parts that are named, of which there must be one\n"
            "parts (default: all):\n",
            program->name, program->rounds);
    for (size_t i = 0; i < program->parts_n; i++)
        fprintf(out, "  %-8s  %s\n", program->parts[i].name, program->parts[i].what);
}

static const struct bench_part *find(const struct bench_program *program, const char *name)
{
    for (size_t i = 0; i < program->parts_n; i++)
        if (strcmp(program->parts[i].name, name) == 0)
            return &program->parts[i];
    return NULL;
}

static int run(const struct bench_program *program, const struct bench *bench,
               const struct bench_part *part)
{
    struct turn turn = {bench, part};
    int fd;
    if (!bench->json)
        printf("%s: %s\n", part->name, part->what);
    pid_t pid = bench_fork(run_part, &turn, &fd);
    int code = bench_join(pid, fd);
    if (code)
        fprintf(stderr, "%s: %s did not complete\n", program->name, part->name);
    return code;
}

int bench_main(const struct bench_program *program, int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'},  {"rounds", required_argument, NULL, 'r'},
        {"quick", no_argument, NULL, 'q'}, {"only", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},  {NULL, 0, NULL, 0}};
    struct bench bench = {.rounds = program->rounds};
    int option, failed = 0;
    bool only = false;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (option == 'j')
            bench.json = true;
        else if (option == 'r')
            bench.rounds = bench_number(optarg, BENCH_ROUNDS_MAX);
        else if (option == 'q')
            bench.quick = true;
        else if (option == 'o')
            only = true;
        else
            return usage(program, option == 'h' ? stdout : stderr), option == 'h' ? 0 : 2;
    }
    if (only && optind == argc)
        return usage(program, stderr), 2;
    for (int i = optind; i < argc; i++)
        if (!find(program, argv[i]))
            return usage(program, stderr), 2;
    bench_check("read the settings", weft__config_load());
    for (size_t i = 0; optind == argc && i < program->parts_n; i++)
        failed |= run(program, &bench, &program->parts[i]);
    for (int i = optind; i < argc; i++)
        failed |= run(program, &bench, find(program, argv[i]));
    return failed != 0;
}
