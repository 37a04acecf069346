/* Latency when one request in a hundred takes its handler 5 ms.
 *
 * A topology that deals round robin puts requests behind the slow one while other workers are idle.
 * Requests are due at the same fixed rate for both servers, which both can bear (the figures
 * without a rate say what they can do), and what is measured is the time from then to the answer.
 * The goal takes the 99th percentile of the requests that are not slow themselves: of all requests,
 * with one slow one in exactly a hundred, it is the very slowest of the others, which says more of
 * the machine than of the server. It is printed all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control.h"
#include "control_server.h"
#include "echo_server.h"
#include "load.h"

enum {
    WORKERS = 4,
    CLIENTS = 64,
    PER_S = 4000,
    RUN_MS = 500,
    QUICK_MS = 30,
    RARE_EVERY = 100,
    RARE_US = 5000
};
enum { WEFT, REFERENCE, SUBJECTS };

struct figures {
    struct bench_series p50, p99, all, rate; /* all: p99; rate: unlimited */
};

static void label(struct bench_series *series, const char *what, const char *unit, size_t subject)
{
    bool rate = strcmp(what, "rate") == 0;
    static const char *const subjects[] = {"weft", "reference"};
    snprintf(series->id, sizeof(series->id), "control.slow.%s.%s", what, subjects[subject]);
    snprintf(series->what, sizeof(series->what), "%s, one handler in 100 takes 5 ms", what);
    snprintf(series->subject, sizeof(series->subject), "%s", subjects[subject]);
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config), "%d workers, %d clients, 64 B, %s", WORKERS,
             CLIENTS, rate ? "as fast as answers come" : "4000 requests per second");
}

static void run(const struct bench *bench, const struct load_desc *desc,
                struct load_result *result_out)
{
    struct load *load = load_open(desc);
    load_run(load, QUICK_MS * WEFT_NS_PER_MS, result_out);
    load_run(load, (bench->quick ? QUICK_MS : RUN_MS) * WEFT_NS_PER_MS, result_out);
    load_close(load);
}

static void measure(const struct bench *bench, const struct control_server *server,
                    struct figures *figures)
{
    struct load_desc desc = {.port = server->port, .clients = CLIENTS, .rare_every = RARE_EVERY};
    struct load_result result;
    uint8_t *request, *rare;
    bench_echo_frame(64, 0, &request, &desc.request_len);
    bench_echo_frame(64, RARE_US, &rare, &desc.rare_len);
    desc.request = request;
    desc.rare = rare;
    run(bench, &desc, &result);
    bench_add(&figures->rate, result.per_s / 1e3);
    desc.per_s = PER_S;
    run(bench, &desc, &result);
    bench_add(&figures->p50, result.p50_us);
    bench_add(&figures->p99, result.p99_us);
    bench_add(&figures->all, result.p99_all_us);
    free(request);
    free(rare);
}

static double ratio(const struct figures figures[SUBJECTS])
{
    struct bench_series ratios = {0};
    for (unsigned i = 0; i < figures[WEFT].p99.n; i++)
        bench_add(&ratios, figures[WEFT].p99.values[i] / figures[REFERENCE].p99.values[i]);
    return bench_median(&ratios);
}

int control_slow(const struct bench *bench)
{
    static struct figures figures[SUBJECTS];
    struct control_server servers[SUBJECTS] = {{.workers = WORKERS},
                                               {.workers = WORKERS, .reference = true}};
    for (size_t i = 0; i < SUBJECTS; i++) {
        label(&figures[i].p50, "p50", "us", i);
        label(&figures[i].p99, "p99", "us", i);
        label(&figures[i].all, "p99_of_all", "us", i);
        label(&figures[i].rate, "rate", "k/s", i);
        control_server_start(&servers[i]);
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        for (size_t turn = 0; turn < SUBJECTS; turn++) {
            size_t i = (turn + round) % SUBJECTS;
            measure(bench, &servers[i], &figures[i]);
        }
    struct bench_goal goal = {
        .id = "control.p99_slow_handler",
        .measured = ratio(figures),
        .wanted = 0.5,
        .unit = "ratio",
        .from = {figures[WEFT].p99.id, figures[REFERENCE].p99.id},
        .reason = "median of the ratios of each round; of the requests that are not slow "
                  "themselves, both at 4000 per second"};
    bench_print_goal(bench, &goal);
    for (size_t i = 0; i < SUBJECTS; i++) {
        control_server_stop(&servers[i]);
        bench_print(bench, &figures[i].p50);
        bench_print(bench, &figures[i].p99);
        bench_print(bench, &figures[i].all);
        bench_print(bench, &figures[i].rate);
    }
    return 0;
}
