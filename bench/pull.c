/* How fast does a region move, by how its touched pages lie? Two processes on this machine; the
 * settings of the image and of the pull can be varied. scripts/bench demo asks the same of dense
 * regions of several sizes. The cases take turns within each round. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "bench.h"
#include "region_pair.h"

struct results {
    struct bench_series raw, pull[REGION_PATTERNS], mapped[REGION_PATTERNS], build[REGION_PATTERNS];
};

static void label(struct bench_series *series, const char *kind, const char *pattern,
                  const char *config)
{
    snprintf(series->id, sizeof(series->id), "pull.%s.%.4s", kind, pattern);
    snprintf(series->what, sizeof(series->what), "%s, %s", kind, pattern);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), strcmp(kind, "build") == 0 ? "ms" : "GB/s");
    snprintf(series->config, sizeof(series->config), "%s", config);
}

static void label_all(struct results *results, const char *config)
{
    label(&results->raw, "raw", region_patterns[0].name, config);
    for (size_t i = 0; i < REGION_PATTERNS; i++) {
        label(&results->pull[i], "pull", region_patterns[i].name, config);
        label(&results->mapped[i], "mapped", region_patterns[i].name, config);
        label(&results->build[i], "build", region_patterns[i].name, config);
    }
}

static void measure_round(struct region_pair *pair, size_t region_bytes, struct results *results)
{
    bench_add(&results->raw, (double)region_bytes / (double)region_pair_raw(pair));
    for (uint32_t i = 0; i < REGION_PATTERNS; i++) {
        struct region_times times = region_pair_pull(pair, i);
        bench_add(&results->pull[i], (double)times.total_bytes / (double)times.pull_ns);
        bench_add(&results->mapped[i], (double)times.total_bytes / (double)times.mapped_ns);
        bench_add(&results->build[i], (double)times.build_ns / 1e6);
    }
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: bench-pull [--json] [--scheme NAME] [--mib N] [--rounds N] [--chunk-kib "
                 "N] [--window N]\n"
                 "                  [--pack-below-kib N]\n"
                 "Measures how fast a region moves between two processes, against one raw get.\n");
}

/* -1: go on, else the exit code. */
static int parse(int argc, char **argv, struct bench *bench, struct region_options *options)
{
    static const struct option longs[] = {
        {"json", 0, NULL, 'j'},           {"scheme", 1, NULL, 's'}, {"mib", 1, NULL, 'm'},
        {"rounds", 1, NULL, 'r'},         {"window", 1, NULL, 'w'}, {"chunk-kib", 1, NULL, 'c'},
        {"pack-below-kib", 1, NULL, 'p'}, {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'j')
            bench->json = true;
        else if (option == 's')
            options->scheme = optarg;
        else if (option == 'm')
            options->region_bytes = (size_t)bench_number(optarg, 65536) << 20;
        else if (option == 'r')
            bench->rounds = bench_number(optarg, BENCH_ROUNDS_MAX);
        else if (option == 'w')
            options->window = bench_number(optarg, 64);
        else if (option == 'c')
            options->chunk_bytes = bench_number(optarg, 65536) << 10;
        else if (option == 'p')
            options->pack_below_bytes = bench_number(optarg, 65536) << 10;
        else
            return usage(option == 'h' ? stdout : stderr), option == 'h' ? 0 : 2;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct results results;
    struct region_options options = region_options((size_t)256 << 20);
    struct bench bench = {.rounds = 5};
    char config[160];
    options.patterns_n = REGION_PATTERNS;
    int code = parse(argc, argv, &bench, &options);
    if (code >= 0)
        return code;
    bench_check("read the settings", weft__config_load());
    struct region_pair *pair = region_pair_open(&options);
    snprintf(config, sizeof(config),
             "%s, region %zu MiB, chunk %u KiB, window %u, packed below %u KiB",
             region_pair_transport(pair), options.region_bytes >> 20, options.chunk_bytes >> 10,
             options.window, options.pack_below_bytes >> 10);
    label_all(&results, config);
    region_pair_raw(pair); /* connects */
    for (unsigned round = 0; round < bench.rounds; round++)
        measure_round(pair, options.region_bytes, &results);
    region_pair_close(pair);
    bench_print(&bench, &results.raw);
    for (size_t i = 0; i < REGION_PATTERNS; i++) {
        bench_print(&bench, &results.pull[i]);
        bench_print(&bench, &results.mapped[i]);
        bench_print(&bench, &results.build[i]);
    }
    return 0;
}
