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
enum measure { PASS, ASLEEP, RATE, GET_64K, GET_1M, MEASURES };

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
    [PASS] =
        {"latency.8B", "half a round trip of 8 B", "us", 0, {DATA_PASS, false, 8, 8, 1280, 1, 64}},
    [ASLEEP] = {"asleep.8B",
                "half a round trip of 8 B, asleep",
                "us",
                0,
                {DATA_PASS, true, 8, 8, 50, 1, 1}},
    [RATE] = {"rate.8B",
              "messages of 8 B, 64 in flight",
              "M/s",
              1e-6,
              {DATA_RATE, false, 8, 64, 1024, 1, 1}},
    [GET_64K] = {"get.64KiB", "copies of 64 KiB", "GB/s", 0, {DATA_GET, false, 65536, 1, 16, 1, 1}},
    [GET_1M] = {"get.1MiB", "copies of 1 MiB", "GB/s", 0, {DATA_GET, false, 1u << 20, 1, 4, 1, 1}},
};

static struct bench_series series[SUBJECTS][MEASURES];
static const struct data_table table = {.part = "inproc",
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
