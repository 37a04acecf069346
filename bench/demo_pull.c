/* How fast is a region pulled, beside one raw get into an equally fresh memfd?
 *
 * The region is dense. "pulled" counts what a move pays (image built and summed, sent, decoded,
 * pulled, checked, written), "mapped" also the faults that put every page into the receiver's page
 * tables, which raw has paid on the way. The goal takes mapped: the least favourable reading. */
#include <stdio.h>

#include "demo.h"
#include "region_pair.h"

static const unsigned mebibytes[] = {1, 16, 256};
enum { SIZES = sizeof(mebibytes) / sizeof(mebibytes[0]), QUICK_SIZES = 2 };
#define WANTED_RATIO 0.6

struct results {
    struct bench_series raw, pulled, mapped, ratio;
};

static void label(struct bench_series *series, const char *kind, unsigned mib,
                  const char *transport)
{
    snprintf(series->id, sizeof(series->id), "demo.pull.%s.%uMiB", kind, mib);
    snprintf(series->what, sizeof(series->what), "region of %u MiB, %s", mib, kind);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "GB/s");
    snprintf(series->config, sizeof(series->config),
             "%s, dense, fresh memfd, two processes on 127.0.0.1", transport);
}

static void measure_round(struct region_pair *pair, unsigned mib, struct results *results)
{
    double bytes = (double)((size_t)mib << 20);
    unsigned repeats = mib >= 64 ? 1 : 16 / mib + 1; /* short ones several times: one is noise */
    double raw_ns = 0, pulled_ns = 0, mapped_ns = 0;
    for (unsigned i = 0; i < repeats; i++) {
        raw_ns += (double)region_pair_raw(pair);
        struct region_times times = region_pair_pull(pair, 0);
        pulled_ns += (double)times.pull_ns;
        mapped_ns += (double)times.mapped_ns;
    }
    bench_add(&results->raw, bytes * repeats / raw_ns);
    bench_add(&results->pulled, bytes * repeats / pulled_ns);
    bench_add(&results->mapped, bytes * repeats / mapped_ns);
    bench_add(&results->ratio, raw_ns / mapped_ns);
}

static void print_goal(const struct bench *bench, struct results *results, unsigned mib)
{
    struct bench_goal goal = {.id = "demo.pull_ratio",
                              .measured = bench_median(&results->ratio),
                              .wanted = WANTED_RATIO,
                              .at_least = true,
                              .unit = "ratio",
                              .from = {results->mapped.id, results->raw.id},
                              .reason = "median of the ratios of each round"};
    if (mib != mebibytes[SIZES - 1]) {
        goal.unknown = true;
        goal.reason = "--quick pulls no region of 256 MiB";
    }
    bench_print_goal(bench, &goal);
}

int demo_pull(const struct bench *bench)
{
    static struct results results[SIZES];
    struct region_pair *pairs[SIZES];
    size_t sizes = bench->quick ? QUICK_SIZES : SIZES;
    for (size_t i = 0; i < sizes; i++) {
        struct region_options options = region_options((size_t)mebibytes[i] << 20);
        pairs[i] = region_pair_open(&options);
        const char *transport = region_pair_transport(pairs[i]);
        label(&results[i].raw, "raw get", mebibytes[i], transport);
        label(&results[i].pulled, "pulled", mebibytes[i], transport);
        label(&results[i].mapped, "mapped", mebibytes[i], transport);
        snprintf(results[i].raw.id, sizeof(results[i].raw.id), "demo.pull.raw.%uMiB", mebibytes[i]);
        region_pair_raw(pairs[i]); /* connects */
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        for (size_t i = 0; i < sizes; i++)
            measure_round(pairs[i], mebibytes[i], &results[i]);
    for (size_t i = 0; i < sizes; i++) {
        region_pair_close(pairs[i]);
        bench_print(bench, &results[i].raw);
        bench_print(bench, &results[i].pulled);
        bench_print(bench, &results[i].mapped);
    }
    print_goal(bench, &results[sizes - 1], mebibytes[sizes - 1]);
    return 0;
}
