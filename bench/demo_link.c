/* How fast is a lane over each transport, beside plain TCP? For information: scripts/bench data has
 * the goals, and the endpoints below the lanes.
 *
 * Latency of 8 bytes, spinning and asleep, and gets of one length one after the other into memory
 * that is there already; for TCP a request of one byte, answered with so many. */
#include "data_ends.h"
#include "data_table.h"
#include "demo.h"

enum { MS = 60, SUBJECTS = 6, MEASURES = 6 };

static const struct data_subject subjects[SUBJECTS] = {
    {.id = "ofi:net",
     .name = "weft",
     .config = "lanes of two processes, a core each",
     .kind = &data_lane,
     .scheme = "ofi:net"},
    {.id = "ofi:tcp;ofi_rxm",
     .name = "weft",
     .config = "lanes of two processes, a core each",
     .kind = &data_lane,
     .scheme = "ofi:tcp;ofi_rxm"},
    {.id = "tcp",
     .name = "weft",
     .config = "lanes of two processes, a core each",
     .kind = &data_lane,
     .scheme = "tcp"},
    {.id = "zmq",
     .name = "weft",
     .config = "lanes of two processes, a core each, which libzmq's I/O threads share",
     .kind = &data_lane,
     .scheme = "zmq"},
    {.id = "inproc",
     .name = "weft",
     .config = "lanes of two threads, a core each",
     .kind = &data_lane,
     .threads = true,
     .scheme = "inproc"},
    {.id = "raw_socket",
     .name = "socket",
     .config = "one connection, TCP_NODELAY, two processes, a core each",
     .kind = &data_raw_socket},
};

static const struct data_measure measures[MEASURES] = {
    {.id = "latency.spinning",
     .what = "half a round trip of 8 B, spinning",
     .unit = "us",
     .task = {.what = DATA_PASS, .bytes = 8, .n = 50}},
    {.id = "latency.asleep",
     .what = "half a round trip of 8 B, asleep",
     .unit = "us",
     .task = {.what = DATA_PASS, .asleep = true, .bytes = 8, .n = 20}},
    {.id = "rate",
     .what = "messages of 8 B, 64 in flight",
     .unit = "M/s",
     .scale = 1e-6,
     .task = {.what = DATA_RATE, .bytes = 8, .window = 64, .n = 1024}},
    {.id = "get.64KiB",
     .what = "gets of 64 KiB",
     .unit = "GB/s",
     .task = {.what = DATA_GET, .asleep = true, .bytes = 65536, .window = 1, .n = 16}},
    {.id = "get.1MiB",
     .what = "gets of 1 MiB",
     .unit = "GB/s",
     .task = {.what = DATA_GET, .asleep = true, .bytes = 1u << 20, .window = 1, .n = 4}},
    {.id = "get.4MiB",
     .what = "gets of 4 MiB",
     .unit = "GB/s",
     .task = {.what = DATA_GET, .asleep = true, .bytes = 4u << 20, .window = 1, .n = 1}},
};

static struct bench_series series[SUBJECTS][MEASURES];

int demo_link(const struct bench *bench)
{
    const struct data_table table = {.prefix = "demo.link",
                                     .subjects = subjects,
                                     .subjects_n = SUBJECTS,
                                     .measures = measures,
                                     .measures_n = MEASURES,
                                     .slices = 1,
                                     .series = &series[0][0]};
    data_table_run(bench, &table, MS);
    data_table_print(bench, &table);
    return 0;
}
