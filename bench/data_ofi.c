/* ofi against raw libfabric on the same provider: messages by send, memory by get and put.
 *
 * Both spin on two cores. A message has come when it lies in a buffer of the receiver's own; a get
 * when its bytes are here, a put when they are there; sends complete when their buffer may be used
 * again. Both sides move the same number of buffers of the same length over and over. */
#include <stdio.h>

#include "data.h"
#include "data_ends.h"
#include "data_table.h"
#include "transport/ofi/ofi.h"

enum { MS = 60, SLICES = 3 };
enum subject { WEFT, RAW, LANE, SUBJECTS };
enum measure { PASS, PASS_64K, ASLEEP, RATE, GET_64K, GET_1M, PUT_64K, PUT_1M, MEASURES };

static const struct data_subject subjects[SUBJECTS] = {
    [WEFT] = {.id = "ofi_net",
              .name = "weft",
              .config = "ofi:net endpoints, 127.0.0.1, two processes, a core each",
              .kind = &data_weft,
              .transport = &weft__tp_ofi,
              .provider = "net"},
    [RAW] = {.id = "raw_libfabric",
             .name = "libfabric",
             .config = "net, FI_EP_RDM, 127.0.0.1, two processes, a core each",
             .kind = &data_raw_libfabric,
             .provider = "net"},
    [LANE] = {.id = "ofi_net_lane",
              .name = "weft",
              .config = "ofi:net lanes, two processes, a core each",
              .kind = &data_lane,
              .scheme = "ofi:net"},
};

static const struct data_measure measures[MEASURES] = {
    [PASS] =
        {"latency.8B", "half a round trip of 8 B", "us", 0, {DATA_PASS, false, 8, 8, 50, 1, 1}},
    [PASS_64K] = {"latency.64KiB",
                  "half a round trip of 64 KiB",
                  "us",
                  0,
                  {DATA_PASS, false, 65536, 8, 20, 1, 1}},
    [ASLEEP] = {"asleep.8B",
                "half a round trip of 8 B, asleep",
                "us",
                0,
                {DATA_PASS, true, 8, 8, 20, 1, 1}},
    [RATE] = {"rate.8B",
              "messages of 8 B, 64 in flight",
              "M/s",
              1e-6,
              {DATA_RATE, false, 8, 64, 1024, 1, 1}},
    [GET_64K] = {"get.64KiB",
                 "gets of 64 KiB, 16 at a time",
                 "GB/s",
                 0,
                 {DATA_GET, false, 65536, 16, 32, 1, 1}},
    [GET_1M] = {"get.1MiB",
                "gets of 1 MiB, 4 at a time",
                "GB/s",
                0,
                {DATA_GET, false, 1u << 20, 4, 8, 1, 1}},
    [PUT_64K] = {"put.64KiB",
                 "puts of 64 KiB, 16 at a time",
                 "GB/s",
                 0,
                 {DATA_PUT, false, 65536, 16, 32, 1, 1}},
    [PUT_1M] = {"put.1MiB",
                "puts of 1 MiB, 4 at a time",
                "GB/s",
                0,
                {DATA_PUT, false, 1u << 20, 4, 8, 1, 1}},
};

static struct bench_series series[SUBJECTS][MEASURES];
static const struct data_table table = {.part = "ofi",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = measures,
                                        .measures_n = MEASURES,
                                        .slices = SLICES,
                                        .series = &series[0][0]};

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
