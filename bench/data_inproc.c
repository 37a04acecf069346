/* inproc between two threads on two cores, beside the least that the machine needs: a cache line
 * from core to core, and memcpy.
 *
 * A message has come when it lies in a buffer of the receiver's own; sends complete when their
 * buffer may be used again. A get of 1 MiB follows another, from the other thread's memory into
 * this one's, as memcpy does it with buffers of the same kind. */
#include "data.h"
#include "data_ends.h"
#include "data_table.h"
#include "transport/inproc/inproc.h"

enum { MS = 60, SLICES = 3 };
enum subject { WEFT, RAW, LANE, SUBJECTS };
enum measure { PASS, ASLEEP, RATE, ASLEEP_RATE, GET_64K, GET_1M, MEASURES };

static const struct data_subject subjects[SUBJECTS] = {
    [WEFT] = {.id = "inproc",
              .name = "weft",
              .config = "inproc endpoints, two threads, a core each",
              .kind = &data_weft,
              .threads = true,
              .transport = &weft__tp_inproc},
    [RAW] = {.id = "raw_memory",
             .name = "memory",
             .config = "a word on a line of its own; memcpy; two threads, a core each",
             .kind = &data_raw_memory,
             .threads = true},
    [LANE] = {.id = "inproc_lane",
              .name = "weft",
              .config = "inproc lanes, two threads, a core each",
              .kind = &data_lane,
              .threads = true,
              .scheme = "inproc"},
};

static const struct data_measure measures[MEASURES] = {
    [PASS] = {.id = "latency.8B",
              .what = "half a round trip of 8 B",
              .unit = "us",
              .task = {.what = DATA_PASS, .bytes = 8, .n = 1280, .batch = 64}},
    [ASLEEP] = {.id = "asleep.8B",
                .what = "half a round trip of 8 B, asleep",
                .unit = "us",
                .task = {.what = DATA_PASS, .asleep = true, .bytes = 8, .n = 20}},
    [RATE] = {.id = "rate.8B",
              .what = "messages of 8 B, 64 in flight",
              .unit = "M/s",
              .scale = 1e-6,
              .task = {.what = DATA_RATE, .bytes = 8, .window = 64, .n = 1024}},
    [ASLEEP_RATE] =
        {.id = "asleep_rate.8B",
         .what = "messages of 8 B, 64 in flight, asleep",
         .unit = "M/s",
         .scale = 1e-6,
         .task = {.what = DATA_RATE, .asleep = true, .bytes = 8, .window = 64, .n = 1024}},
    [GET_64K] = {.id = "get.64KiB",
                 .what = "copies of 64 KiB",
                 .unit = "GB/s",
                 .task = {.what = DATA_GET, .bytes = 65536, .window = 1, .n = 16}},
    [GET_1M] = {.id = "get.1MiB",
                .what = "copies of 1 MiB",
                .unit = "GB/s",
                .task = {.what = DATA_GET, .bytes = 1u << 20, .window = 1, .n = 4}},
};

static struct bench_series series[SUBJECTS][MEASURES];
static const struct data_table table = {.prefix = "data.inproc",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = measures,
                                        .measures_n = MEASURES,
                                        .slices = SLICES,
                                        .series = &series[0][0]};

int data_inproc(const struct bench *bench)
{
    data_table_run(bench, &table, MS);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.inproc_latency",
                                        .wanted = 1.5,
                                        .reason = "8 B against a cache line one way, both spin"},
                    &series[WEFT][PASS], &series[RAW][PASS]);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.inproc_1m",
                                        .wanted = 0.9,
                                        .at_least = true,
                                        .reason = "a get of 1 MiB against memcpy"},
                    &series[WEFT][GET_1M], &series[RAW][GET_1M]);
    data_table_print(bench, &table);
    return 0;
}
