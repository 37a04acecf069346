/* Subjects by measures. All pairs are open during all rounds; one is measured at a time, and what
 * is compared is measured one right after the other. */
#include "data_table.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

const struct data_measure data_figures[DATA_FIGURES] = {
    [FIGURE_PASS] = {.id = "latency.8B",
                     .what = "half a round trip of 8 B",
                     .unit = "us",
                     .task = {.what = DATA_PASS, .bytes = 8, .n = 50}},
    [FIGURE_PASS_64K] = {.id = "latency.64KiB",
                         .what = "half a round trip of 64 KiB",
                         .unit = "us",
                         .task = {.what = DATA_PASS, .bytes = 65536, .n = 20}},
    [FIGURE_ASLEEP] = {.id = "asleep.8B",
                       .what = "half a round trip of 8 B, asleep",
                       .unit = "us",
                       .task = {.what = DATA_PASS, .asleep = true, .bytes = 8, .n = 20}},
    [FIGURE_RATE] = {.id = "rate.8B",
                     .what = "messages of 8 B, 64 in flight",
                     .unit = "M/s",
                     .scale = 1e-6,
                     .task = {.what = DATA_RATE, .bytes = 8, .window = 64, .n = 1024}},
    [FIGURE_ASLEEP_RATE] =
        {.id = "asleep_rate.8B",
         .what = "messages of 8 B, 64 in flight, asleep",
         .unit = "M/s",
         .scale = 1e-6,
         .task = {.what = DATA_RATE, .asleep = true, .bytes = 8, .window = 64, .n = 1024}},
    [FIGURE_GET_64K] = {.id = "get.64KiB",
                        .what = "gets of 64 KiB, 16 at a time",
                        .unit = "GB/s",
                        .task = {.what = DATA_GET, .bytes = 65536, .window = 16, .n = 32}},
    [FIGURE_GET_1M] = {.id = "get.1MiB",
                       .what = "gets of 1 MiB, 4 at a time",
                       .unit = "GB/s",
                       .task = {.what = DATA_GET, .bytes = 1u << 20, .window = 4, .n = 8}},
    [FIGURE_PUT_64K] = {.id = "put.64KiB",
                        .what = "puts of 64 KiB, 16 at a time",
                        .unit = "GB/s",
                        .task = {.what = DATA_PUT, .bytes = 65536, .window = 16, .n = 32}},
    [FIGURE_PUT_1M] = {.id = "put.1MiB",
                       .what = "puts of 1 MiB, 4 at a time",
                       .unit = "GB/s",
                       .task = {.what = DATA_PUT, .bytes = 1u << 20, .window = 4, .n = 8}},
};

struct bench_series *data_table_at(const struct data_table *table, size_t subject, size_t measure)
{
    return &table->series[subject * table->measures_n + measure];
}

static void label_all(const struct data_table *table)
{
    char id[96], what[128];
    for (size_t s = 0; s < table->subjects_n; s++)
        for (size_t m = 0; m < table->measures_n; m++) {
            const struct data_subject *subject = &table->subjects[s];
            const struct data_measure *measure = &table->measures[m];
            snprintf(id, sizeof(id), "%s.%s.%s", table->prefix, measure->id, subject->id);
            snprintf(what, sizeof(what), "%s, %s", subject->id, measure->what);
            data_label(data_table_at(table, s, m), &(struct data_label){.id = id,
                                                                        .what = what,
                                                                        .subject = subject->name,
                                                                        .unit = measure->unit,
                                                                        .config = subject->config});
        }
}

static void measure(const struct data_table *table, size_t s, size_t m, struct data_pair *pair,
                    unsigned ms)
{
    double scale = table->measures[m].scale,
           value = data_pair_measure(pair, &table->measures[m].task, ms);
    if (!isnan(value))
        bench_add(data_table_at(table, s, m), scale > 0 ? value * scale : value);
}

void data_table_run(const struct bench *bench, const struct data_table *table, unsigned ms)
{
    struct data_pair *pairs[DATA_SUBJECTS_MAX];
    size_t n = table->subjects_n;
    bool first = !bench->quick && data_go_first();
    label_all(table);
    for (size_t s = 0; s < n; s++)
        pairs[s] = data_pair_open(&table->subjects[s]);
    unsigned slices = bench->quick ? 1 : table->slices;
    for (unsigned i = 0; i < bench->rounds * table->measures_n * slices; i++) {
        size_t m = i / slices % table->measures_n;
        uint64_t start_ns = weft__now_ns();
        for (size_t turn = 0; turn < n; turn++) {
            size_t s = (i + turn) % n;
            measure(table, s, m, pairs[s], bench->quick ? 1 : ms / slices);
        }
        if (first)
            usleep((useconds_t)((weft__now_ns() - start_ns) / WEFT_NS_PER_US / 2));
    }
    for (size_t s = 0; s < n; s++)
        data_pair_close(pairs[s]);
}

void data_table_print(const struct bench *bench, const struct data_table *table)
{
    for (size_t m = 0; m < table->measures_n; m++)
        for (size_t s = 0; s < table->subjects_n; s++)
            bench_print(bench, data_table_at(table, s, m));
}
