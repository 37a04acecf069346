/* How fast is a value of 64 MiB pulled from another host, beside one raw get of as many bytes over
 * the same kind of lane into an equally fresh buffer?
 *
 * The value's main is one weftd, the puller asks another. Each pull has a new replica, whose pages
 * are not there yet; raw gets land in a new memfd. The value's bytes are all set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control.h"
#include "hosts.h"
#include "region_pair.h"
#include "weft/error.h"
#include "weft/state.h"

#define VALUE_BYTES ((size_t)64 << 20)
#define WANTED_RATIO 0.8

enum { WAIT_MS = 20000, PORT = 8100 };

static const struct weft_state_name value_name = {.user = "bench", .key = "bulk"};

static struct weft_state *state_at(const struct bench_hosts *hosts, unsigned host)
{
    char address[32];
    struct weft_state *state;
    snprintf(address, sizeof(address), "%s.%u:%d", hosts->net, host + 1, PORT);
    const struct weft_state_options options = {.host = address, .timeout_ms = WAIT_MS};
    bench_check("reach a host's state", weft_state_open(&options, &state));
    return state;
}

static void make_value(const struct bench_hosts *hosts)
{
    struct weft_state *state = state_at(hosts, 1);
    struct weft_value *value;
    uint8_t *bytes = malloc(VALUE_BYTES);
    if (!bytes)
        bench_die("a value", WEFT_ENOMEM);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 12));
    bench_check("make a value", weft_value_open(state, &value_name, VALUE_BYTES, &value));
    bench_check("fill it", weft_value_write(value, 0, bytes, VALUE_BYTES));
    bench_check("push it", weft_value_push(value));
    weft_value_close(value);
    weft_state_close(state);
    free(bytes);
}

static uint64_t pull(struct weft_state *state)
{
    struct weft_value *value;
    uint8_t last;
    bench_check("open a value", weft_value_open(state, &value_name, 0, &value));
    uint64_t start_ns = weft__now_ns();
    bench_check("pull a value", weft_value_pull(value));
    uint64_t took_ns = weft__now_ns() - start_ns;
    size_t at = VALUE_BYTES - 1;
    bench_check("read a value", weft_value_read(value, at, &last, 1));
    if (last != (uint8_t)(at * 31 + (at >> 12)))
        bench_die("a pulled value", WEFT_EPROTO);
    weft_value_close(value);
    return took_ns;
}

static void label(struct bench_series *series, const char *what, const char *transport)
{
    snprintf(series->id, sizeof(series->id), "control.state_pull.%s", what);
    snprintf(series->what, sizeof(series->what), "64 MiB from another process, %s", what);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "GB/s");
    snprintf(series->config, sizeof(series->config),
             "%s on loopback; fresh buffers: raw a memfd, pulled a replica", transport);
}

int control_state(const struct bench *bench)
{
    static struct bench_series raw, pulled, ratio;
    struct region_options options = region_options(VALUE_BYTES);
    struct bench_hosts hosts;
    struct region_pair *pair = region_pair_open(&options);
    bench_hosts_start(&hosts, "2");
    make_value(&hosts);
    struct weft_state *state = state_at(&hosts, 0);
    label(&raw, "raw", region_pair_transport(pair));
    label(&pulled, "pulled", region_pair_transport(pair));
    region_pair_raw(pair); /* both connect */
    pull(state);
    for (unsigned round = 0; round < bench->rounds; round++) {
        uint64_t raw_ns = region_pair_raw(pair), pull_ns = pull(state);
        bench_add(&raw, (double)VALUE_BYTES / (double)raw_ns);
        bench_add(&pulled, (double)VALUE_BYTES / (double)pull_ns);
        bench_add(&ratio, (double)raw_ns / (double)pull_ns);
    }
    struct weft_state_stats stats;
    weft_state_stats(state, &stats);
    weft_state_close(state);
    bench_hosts_stop(&hosts);
    region_pair_close(pair);
    struct bench_goal goal = {.id = "control.state_pull_64m",
                              .measured = bench_median(&ratio),
                              .wanted = WANTED_RATIO,
                              .at_least = true,
                              .unit = "ratio",
                              .from = {pulled.id, raw.id},
                              .reason = stats.bulk_pulls ? "median of the ratios of each round"
                                                         : "no rma: by messages"};
    bench_print_goal(bench, &goal);
    bench_print(bench, &raw);
    bench_print(bench, &pulled);
    return 0;
}
