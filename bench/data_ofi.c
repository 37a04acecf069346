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

static struct bench_series series[SUBJECTS][DATA_FIGURES];
static const struct data_table table = {.prefix = "data.ofi",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = data_figures,
                                        .measures_n = DATA_FIGURES,
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
    double small = bench_ratio(&series[WEFT][FIGURE_GET_64K], &series[RAW][FIGURE_GET_64K]);
    double big = bench_ratio(&series[WEFT][FIGURE_GET_1M], &series[RAW][FIGURE_GET_1M]);
    enum data_figure low = small < big ? FIGURE_GET_64K : FIGURE_GET_1M;
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
                    &series[WEFT][FIGURE_PASS], &series[RAW][FIGURE_PASS]);
    bandwidth_goal(bench);
    data_table_print(bench, &table);
    return 0;
}
