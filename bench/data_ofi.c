/* ofi against raw libfabric on the same provider: messages by send, memory by get and put.
 *
 * Both spin on two cores. A message has come when it lies in a buffer of the receiver's own; a get
 * when its bytes are here, a put when they are there; sends complete when their buffer may be used
 * again. Both sides move the same number of buffers of the same length over and over.
 *
 * The provider is net, or that of WEFT_DATA=ofi:PROVIDER; BENCH_ADDRESS is where they listen. */
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "data.h"
#include "data_ends.h"
#include "data_table.h"
#include "transport/ofi/ofi.h"

enum { MS = 60, SLICES = 3 };
enum subject { WEFT, RAW, LANE, SUBJECTS };
enum measure {
    PASS,
    PASS_64K,
    ASLEEP,
    RATE,
    ASLEEP_RATE,
    GET_64K,
    GET_1M,
    PUT_64K,
    PUT_1M,
    MEASURES
};

static char provider[32] = "net", scheme[40], configs[SUBJECTS][96];

static struct data_subject subjects[SUBJECTS] = {
    [WEFT] = {.id = "ofi",
              .name = "weft",
              .config = configs[WEFT],
              .kind = &data_weft,
              .transport = &weft__tp_ofi,
              .provider = provider},
    [RAW] = {.id = "raw_libfabric",
             .name = "libfabric",
             .config = configs[RAW],
             .kind = &data_raw_libfabric,
             .provider = provider},
    [LANE] = {.id = "ofi_lane",
              .name = "weft",
              .config = configs[LANE],
              .kind = &data_lane,
              .scheme = scheme},
};

static const struct data_measure measures[MEASURES] = {
    [PASS] = {.id = "latency.8B",
              .what = "half a round trip of 8 B",
              .unit = "us",
              .task = {.what = DATA_PASS, .bytes = 8, .n = 50}},
    [PASS_64K] = {.id = "latency.64KiB",
                  .what = "half a round trip of 64 KiB",
                  .unit = "us",
                  .task = {.what = DATA_PASS, .bytes = 65536, .n = 20}},
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
                 .what = "gets of 64 KiB, 16 at a time",
                 .unit = "GB/s",
                 .task = {.what = DATA_GET, .bytes = 65536, .window = 16, .n = 32}},
    [GET_1M] = {.id = "get.1MiB",
                .what = "gets of 1 MiB, 4 at a time",
                .unit = "GB/s",
                .task = {.what = DATA_GET, .bytes = 1u << 20, .window = 4, .n = 8}},
    [PUT_64K] = {.id = "put.64KiB",
                 .what = "puts of 64 KiB, 16 at a time",
                 .unit = "GB/s",
                 .task = {.what = DATA_PUT, .bytes = 65536, .window = 16, .n = 32}},
    [PUT_1M] = {.id = "put.1MiB",
                .what = "puts of 1 MiB, 4 at a time",
                .unit = "GB/s",
                .task = {.what = DATA_PUT, .bytes = 1u << 20, .window = 4, .n = 8}},
};

static struct bench_series series[SUBJECTS][MEASURES];
static const struct data_table table = {.prefix = "data.ofi",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = measures,
                                        .measures_n = MEASURES,
                                        .slices = SLICES,
                                        .series = &series[0][0]};

static void choose_provider(void)
{
    static const char *const what[SUBJECTS] = {"endpoints", "FI_EP_RDM", "lanes"};
    const char *data = weft__config_text("WEFT_DATA");
    if (strncmp(data, "ofi:", 4) == 0)
        snprintf(provider, sizeof(provider), "%s", data + 4);
    snprintf(scheme, sizeof(scheme), "ofi:%s", provider);
    for (size_t i = 0; i < SUBJECTS; i++)
        snprintf(configs[i], sizeof(configs[i]), "%s, %s, %.32s, two processes, a core each",
                 provider, what[i], data_address(0));
}

/* The lower of the two ratios. */
static void bandwidth_goal(const struct bench *bench)
{
    double small = bench_ratio(&series[WEFT][GET_64K], &series[RAW][GET_64K]);
    double big = bench_ratio(&series[WEFT][GET_1M], &series[RAW][GET_1M]);
    enum measure low = small < big ? GET_64K : GET_1M;
    char reason[160];
    snprintf(reason, sizeof(reason), "the lower of 64 KiB (%.3f) and 1 MiB (%.3f), gets", small,
             big);
    data_ratio_goal(
        bench,
        (struct bench_goal){
            .id = "data.ofi_bandwidth", .wanted = 0.95, .at_least = true, .reason = reason},
        &series[WEFT][low], &series[RAW][low]);
}

int data_ofi(const struct bench *bench)
{
    choose_provider();
    data_table_run(bench, &table, MS);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.ofi_latency",
                                        .wanted = 1.10,
                                        .reason = "half a round trip of 8 B, both sides spin"},
                    &series[WEFT][PASS], &series[RAW][PASS]);
    bandwidth_goal(bench);
    data_table_print(bench, &table);
    return 0;
}
