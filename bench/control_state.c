/* How fast is a large value pulled, beside one raw get into an equally fresh buffer?
 *
 * The value is kept by a weftd; a new replica pulls it whole, into memory that was never touched.
 * The raw get goes between two lanes of the same kind, from another process, into the same kind of
 * memory, in turns with the pulls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control.h"
#include "host/transports.h"
#include "hosts.h"
#include "link/lane.h"
#include "weft/error.h"
#include "weft/state.h"

#define VALUE_BYTES ((size_t)64 << 20)
#define TOKEN 0x57a7eu
#define STALL_NS (20 * WEFT_NS_PER_S)
#define WANTED 0.8

enum { WAIT_MS = 60000 };

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key key;
};

struct raw {
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct weft_lane_key key;
};

struct waiting {
    struct weft_lane_get get;
    _Atomic uint32_t over;
    int err;
};

static void ignore(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static struct weft_lane *lane_open(void)
{
    struct weft_lane *lane;
    const struct weft_lane_desc desc = {.transports = weft__transports,
                                        .transports_n = weft__transports_n,
                                        .progress = "thread",
                                        .bind = "127.0.0.1",
                                        .token = TOKEN,
                                        .msg_max_bytes = 64,
                                        .message = ignore};
    bench_check("open a lane", weft__lane_open(&desc, &lane));
    return lane;
}

static void *fresh_bytes(void)
{
    void *bytes =
        mmap(NULL, VALUE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        bench_die("map 64 MiB", WEFT_ENOMEM);
    return bytes;
}

/* The other process: holds memory until its parent closes the socket. */
static int holder(void *ctx, int fd)
{
    struct greeting greeting = {.address = ""};
    struct weft_lane_region *region;
    void *bytes = fresh_bytes();
    char byte;
    (void)ctx;
    memset(bytes, 1, VALUE_BYTES);
    struct weft_lane *lane = lane_open();
    bench_check("register", weft__lane_register(lane, bytes, VALUE_BYTES, WEFT_TP_READ, &region,
                                                &greeting.key));
    snprintf(greeting.address, sizeof(greeting.address), "%s", weft__lane_address(lane));
    bench_send(fd, &greeting, sizeof(greeting));
    (void)bench_receive(fd, &byte, 1);
    weft__lane_close(lane);
    return 0;
}

static void got(struct weft_lane_get *get, int err)
{
    struct waiting *waiting = get->user;
    waiting->err = err;
    atomic_store(&waiting->over, 1);
    weft__futex_wake(&waiting->over);
}

static uint64_t raw_ns(const struct raw *raw)
{
    void *into = fresh_bytes();
    struct waiting waiting = {.get = {.peer = raw->peer,
                                      .key = raw->key,
                                      .into = into,
                                      .len_bytes = VALUE_BYTES,
                                      .done = got,
                                      .user = &waiting}};
    uint64_t start_ns = weft__now_ns();
    bench_check("get", weft__lane_get(raw->lane, &waiting.get));
    while (!atomic_load(&waiting.over))
        if (weft__futex_wait(&waiting.over, 0, start_ns + STALL_NS) == WEFT_ETIMEDOUT)
            bench_die("get", WEFT_ETIMEDOUT);
    uint64_t took_ns = weft__now_ns() - start_ns;
    bench_check("get", waiting.err);
    munmap(into, VALUE_BYTES);
    return took_ns;
}

static const struct weft_state_name name = {"bench", "value"};

static uint64_t pull_ns(struct weft_state *state)
{
    struct weft_value *value;
    bench_check("open the value", weft_value_open(state, &name, 0, &value));
    uint64_t start_ns = weft__now_ns();
    bench_check("pull the value", weft_value_pull(value));
    uint64_t took_ns = weft__now_ns() - start_ns;
    uint8_t last;
    bench_check("read the value", weft_value_read(value, VALUE_BYTES - 1, &last, 1));
    if (last != 1)
        bench_die("a pulled value", WEFT_EPROTO);
    weft_value_close(value); /* the next one has fresh memory */
    return took_ns;
}

static void fill(struct weft_state *state)
{
    struct weft_value *value;
    void *bytes;
    bench_check("create the value", weft_value_open(state, &name, VALUE_BYTES, &value));
    bench_check("map the value", weft_value_map(value, 0, VALUE_BYTES, &bytes));
    memset(bytes, 1, VALUE_BYTES);
    bench_check("change the value", weft_value_dirty(value, 0, VALUE_BYTES));
    bench_check("push the value", weft_value_push(value));
    weft_value_close(value);
}

static void label(struct bench_series *series, const char *kind, const char *transport)
{
    snprintf(series->id, sizeof(series->id), "control.state_pull.%s", kind);
    snprintf(series->what, sizeof(series->what), "64 MiB from another process, %s", kind);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "GB/s");
    snprintf(series->config, sizeof(series->config),
             "%s on loopback; fresh private memory for both", transport);
}

static void measure(const struct bench *bench, struct weft_state *state, const struct raw *raw)
{
    static struct bench_series pulled, get, ratio;
    struct weft_state_stats stats;
    struct weft_lane_stats lane;
    weft__lane_stats(raw->lane, &lane);
    label(&pulled, "pulled", lane.transport);
    label(&get, "raw", lane.transport);
    fill(state);
    (void)pull_ns(state); /* connects */
    (void)raw_ns(raw);
    for (unsigned i = 0; i < bench->rounds; i++) {
        double raw_took = (double)raw_ns(raw), took = (double)pull_ns(state);
        bench_add(&get, (double)VALUE_BYTES / raw_took);
        bench_add(&pulled, (double)VALUE_BYTES / took);
        bench_add(&ratio, raw_took / took);
    }
    weft_state_stats(state, &stats);
    struct bench_goal goal = {.id = "control.state_pull_64m",
                              .measured = bench_median(&ratio),
                              .wanted = WANTED,
                              .at_least = true,
                              .unit = "ratio",
                              .from = {pulled.id, get.id},
                              .reason = stats.bulk_pulls > bench->rounds
                                            ? "median of the ratios of each round"
                                            : "the value did not come by rma"};
    bench_print_goal(bench, &goal);
    bench_print(bench, &pulled);
    bench_print(bench, &get);
}

int control_state(const struct bench *bench)
{
    static struct bench_hosts hosts;
    struct weft_state *state;
    struct greeting greeting;
    struct raw raw;
    char address[32];
    int fd;
    pid_t child = bench_fork(holder, NULL, &fd);
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("start a process that holds memory", WEFT_EPEERDEAD);
    bench_hosts_start(&hosts, "1");
    raw.lane = lane_open();
    raw.key = greeting.key;
    bench_check("know the process", weft__lane_peer(raw.lane, greeting.address, &raw.peer));
    snprintf(address, sizeof(address), "%s.2", hosts.net);
    struct weft_state_options options = {.host = address, .timeout_ms = WAIT_MS};
    bench_check("connect to a host", weft_state_open(&options, &state));
    measure(bench, state, &raw);
    bench_check("delete the value", weft_state_delete(state, &name));
    weft_state_close(state);
    weft__lane_close(raw.lane);
    bench_hosts_stop(&hosts);
    return bench_join(child, fd);
}
