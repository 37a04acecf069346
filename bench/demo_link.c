/* How fast is a lane over each transport, beside blocking TCP?
 *
 *   latency    half a round trip of an 8-byte message; spinning: both sides drive their lanes;
 *              sleeping: both sleep, progress threads wake up for every message. TCP blocks in
 * recv. bandwidth  one get after the other, of one length, into memory that is there already; both
 *              sides sleep. TCP: 8 bytes ask for so many, received in order. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "demo.h"
#include "lane_side.h"

static const char *const schemes[] = {"ofi:net", "ofi:tcp;ofi_rxm", "zmq", "inproc"};
#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

static const size_t lengths[] = {(size_t)64 << 10, (size_t)1 << 20, (size_t)16 << 20};
static const char *const length_names[] = {"64 KiB", "1 MiB", "16 MiB"};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))
_Static_assert(LENGTHS == sizeof(length_names) / sizeof(length_names[0]), "a name per length");

enum { MESSAGE_BYTES = 8 };

struct results {
    struct bench_series spinning[SCHEMES], sleeping[SCHEMES], bandwidth[SCHEMES][LENGTHS];
    struct bench_series tcp_latency, tcp_bandwidth[LENGTHS];
};

/* What is timed, over and over until the time is up. */
struct deed {
    void (*run)(const struct deed *deed);
    struct bench_side *side;
    struct bench_tcp *tcp;
    size_t len_bytes;
};

static void echo(const struct deed *deed)
{
    bench_side_echo(deed->side, deed->len_bytes);
}

static void get(const struct deed *deed)
{
    bench_side_get(deed->side, deed->len_bytes);
}

static void ask(const struct deed *deed)
{
    bench_tcp_ask(deed->tcp, deed->len_bytes);
}

/* Nanoseconds of one run. */
static double timed(const struct bench *bench, const struct deed *deed)
{
    uint64_t budget_ns = (bench->quick ? 1 : 60) * WEFT_NS_PER_MS, n = 0;
    for (unsigned i = 0; i < (bench->quick ? 1 : 3); i++)
        deed->run(deed);
    uint64_t start_ns = weft__now_ns(), took_ns;
    do {
        deed->run(deed);
        n++;
        took_ns = weft__now_ns() - start_ns;
    } while (took_ns < budget_ns);
    return (double)took_ns / (double)n;
}

static void measure_side(const struct bench *bench, struct bench_side *side,
                         struct results *results, size_t scheme)
{
    struct deed deed = {.run = echo, .side = side, .len_bytes = MESSAGE_BYTES};
    bench_side_spin(side, true);
    bench_add(&results->spinning[scheme], timed(bench, &deed) / 2e3);
    bench_side_spin(side, false);
    bench_add(&results->sleeping[scheme], timed(bench, &deed) / 2e3);
    deed.run = get;
    for (size_t i = 0; i < LENGTHS; i++) {
        deed.len_bytes = lengths[i];
        bench_add(&results->bandwidth[scheme][i], (double)lengths[i] / timed(bench, &deed));
    }
}

static void measure_tcp(const struct bench *bench, struct bench_tcp *tcp, struct results *results)
{
    struct deed deed = {.run = ask, .tcp = tcp, .len_bytes = MESSAGE_BYTES};
    bench_add(&results->tcp_latency, timed(bench, &deed) / 2e3);
    for (size_t i = 0; i < LENGTHS; i++) {
        deed.len_bytes = lengths[i];
        bench_add(&results->tcp_bandwidth[i], (double)lengths[i] / timed(bench, &deed));
    }
}

static void label(struct bench_series *series, const char *id, const char *what, const char *unit)
{
    snprintf(series->id, sizeof(series->id), "demo.%s", id);
    snprintf(series->what, sizeof(series->what), "%s", what);
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
}

static void describe(struct bench_series *series, const char *subject, const char *config)
{
    snprintf(series->subject, sizeof(series->subject), "%s", subject);
    snprintf(series->config, sizeof(series->config), "%s", config);
}

static void label_side(struct results *results, size_t scheme)
{
    const char *name = schemes[scheme];
    char id[64], what[80], config[120];
    snprintf(config, sizeof(config), "lane over %s, %s", name,
             strcmp(name, "inproc") == 0 ? "two lanes in one process"
                                         : "two processes on 127.0.0.1");
    snprintf(id, sizeof(id), "latency.spinning.%s", name);
    snprintf(what, sizeof(what), "8 B half round trip, %s, spinning", name);
    label(&results->spinning[scheme], id, what, "us");
    describe(&results->spinning[scheme], "weft", config);
    snprintf(id, sizeof(id), "latency.sleeping.%s", name);
    snprintf(what, sizeof(what), "8 B half round trip, %s, sleeping", name);
    label(&results->sleeping[scheme], id, what, "us");
    describe(&results->sleeping[scheme], "weft", config);
    for (size_t i = 0; i < LENGTHS; i++) {
        snprintf(id, sizeof(id), "bandwidth.%zuKiB.%s", lengths[i] >> 10, name);
        snprintf(what, sizeof(what), "gets of %s, %s", length_names[i], name);
        label(&results->bandwidth[scheme][i], id, what, "GB/s");
        describe(&results->bandwidth[scheme][i], "weft", config);
    }
}

static void label_tcp(struct results *results)
{
    const char *config = "blocking sockets, TCP_NODELAY, two processes on 127.0.0.1";
    label(&results->tcp_latency, "latency.tcp", "8 B half round trip, plain TCP", "us");
    describe(&results->tcp_latency, "tcp", config);
    for (size_t i = 0; i < LENGTHS; i++) {
        char id[64], what[80];
        snprintf(id, sizeof(id), "bandwidth.%zuKiB.tcp", lengths[i] >> 10);
        snprintf(what, sizeof(what), "%s asked for, plain TCP", length_names[i]);
        label(&results->tcp_bandwidth[i], id, what, "GB/s");
        describe(&results->tcp_bandwidth[i], "tcp", config);
    }
}

static void print(const struct bench *bench, struct results *results)
{
    bench_print(bench, &results->tcp_latency);
    for (size_t i = 0; i < SCHEMES; i++) {
        bench_print(bench, &results->spinning[i]);
        bench_print(bench, &results->sleeping[i]);
    }
    for (size_t k = 0; k < LENGTHS; k++) {
        bench_print(bench, &results->tcp_bandwidth[k]);
        for (size_t i = 0; i < SCHEMES; i++)
            bench_print(bench, &results->bandwidth[i][k]);
    }
}

int demo_link(const struct bench *bench)
{
    static struct results results;
    struct bench_side *sides[SCHEMES];
    struct bench_tcp *tcp = bench_tcp_open();
    label_tcp(&results);
    for (size_t i = 0; i < SCHEMES; i++) {
        sides[i] = bench_side_open(schemes[i]);
        label_side(&results, i);
    }
    for (unsigned round = 0; round < bench->rounds; round++) {
        measure_tcp(bench, tcp, &results);
        for (size_t i = 0; i < SCHEMES; i++)
            if (bench_side_exists(sides[i]))
                measure_side(bench, sides[i], &results, i);
    }
    for (size_t i = 0; i < SCHEMES; i++)
        bench_side_close(sides[i]);
    bench_tcp_close(tcp);
    print(bench, &results);
    return 0;
}
