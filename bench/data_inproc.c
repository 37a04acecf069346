/* inproc between two threads on two cores, beside the least that the machine needs: a cache line
 * from core to core, and memcpy.
 *
 * A message has come when it lies in a buffer of the receiver's own; sends complete when their
 * buffer may be used again. A get of 1 MiB follows another, from the other thread's memory into
 * this one's, as memcpy does it with buffers of the same kind. */
#include <string.h>

#include "data.h"
#include "data_ends.h"
#include "data_table.h"
#include "transport/inproc/inproc.h"

enum { MS = 60, SLICES = 3, FIGURES = FIGURE_PUT_64K /* no puts: they are copies, too */ };
enum subject { WEFT, RAW, LANE, SUBJECTS };

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

static struct data_measure figures[FIGURES];
static struct bench_series series[SUBJECTS][FIGURES];
static const struct data_table table = {.prefix = "data.inproc",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = figures,
                                        .measures_n = FIGURES,
                                        .slices = SLICES,
                                        .series = &series[0][0]};

/* Reading the clock would cost more than a trip, and a copy has nothing to wait for. */
static void choose_figures(void)
{
    memcpy(figures, data_figures, sizeof(figures));
    figures[FIGURE_PASS].task.n = 1280;
    figures[FIGURE_PASS].task.batch = 64;
    for (enum data_figure get = FIGURE_GET_64K; get <= FIGURE_GET_1M; get++) {
        figures[get].what = get == FIGURE_GET_64K ? "copies of 64 KiB" : "copies of 1 MiB";
        figures[get].task.window = 1;
        figures[get].task.n = get == FIGURE_GET_64K ? 16 : 4;
    }
}

int data_inproc(const struct bench *bench)
{
    choose_figures();
    data_table_run(bench, &table, MS);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.inproc_latency",
                                        .wanted = 1.5,
                                        .reason = "8 B against a cache line one way, both spin"},
                    &series[WEFT][FIGURE_PASS], &series[RAW][FIGURE_PASS]);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.inproc_1m",
                                        .wanted = 0.9,
                                        .at_least = true,
                                        .reason = "a get of 1 MiB against memcpy"},
                    &series[WEFT][FIGURE_GET_1M], &series[RAW][FIGURE_GET_1M]);
    data_table_print(bench, &table);
    return 0;
}
