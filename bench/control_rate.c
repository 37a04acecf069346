/* Requests per second, latency, processor time per request and system calls per request of weft's
 * control server and of the reference topology, with the same clients and the same handler.
 *
 * Each server has a process of its own. Every round measures all cases, weft and the reference in
 * turn, and the other way round in the next one. The cases that goals are made of are measured in
 * many short slices instead, all servers in turn, so that whatever else the machine does meets all
 * of them. System calls are counted in runs of their own, whose times are not used. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control.h"
#include "control_server.h"
#include "echo_server.h"
#include "load.h"

enum {
    RUN_MS = 100,
    SLICE_MS = 40,
    SLICES = 6, /* per round */
    COUNT_MS = 40,
    QUICK_MS = 4,
    WARM_MS = 8
};

static const unsigned workers[] = {1, 2, 4, 8, BENCH_ECHO_INLINE};
static const unsigned clients[] = {8, 64};
static const size_t bytes[] = {64, 4096};
enum { WORKERS = 5, CLIENTS = 2, BYTES = 2, INLINE = WORKERS - 1, SUBJECTS = 2 };
enum { WEFT, REFERENCE };

struct figures {
    struct bench_series rate, p50, p99, cpu, calls;
};

static struct control_server servers[WORKERS][SUBJECTS];
static struct figures figures[WORKERS][CLIENTS][BYTES][SUBJECTS];

static void name_series(struct bench_series *series, const char *what, const char *unit,
                        const size_t at[4])
{
    static const char *const subjects[] = {"weft", "reference"};
    char feed[24];
    snprintf(feed, sizeof(feed), at[0] == INLINE ? "inline" : "w%u", workers[at[0]]);
    snprintf(series->id, sizeof(series->id), "control.%s.%s.c%u.%zuB.%s", what, feed,
             clients[at[1]], bytes[at[2]], subjects[at[3]]);
    snprintf(series->what, sizeof(series->what), "%s, %s, %u clients, %zu B", what, feed,
             clients[at[1]], bytes[at[2]]);
    snprintf(series->subject, sizeof(series->subject), "%s", subjects[at[3]]);
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config), "%s",
             at[3] == WEFT ? "control server over zmq; REQ clients on plain sockets, one thread"
                           : "ROUTER, zmq_proxy_steerable, DEALER, REP workers over inproc; the "
                             "same clients");
}

static void name_all(void)
{
    for (size_t n = 0; n < WORKERS * CLIENTS * BYTES * SUBJECTS; n++) {
        const size_t at[] = {n / (CLIENTS * BYTES * SUBJECTS), n / (BYTES * SUBJECTS) % CLIENTS,
                             n / SUBJECTS % BYTES, n % SUBJECTS};
        struct figures *f = &figures[at[0]][at[1]][at[2]][at[3]];
        name_series(&f->rate, "rate", "k/s", at);
        name_series(&f->p50, "p50", "us", at);
        name_series(&f->p99, "p99", "us", at);
        name_series(&f->cpu, "cpu_per_request", "us", at);
        name_series(&f->calls, "syscalls_per_request", "calls", at);
    }
}

static bool there(size_t w, size_t subject)
{
    return subject == WEFT || w != INLINE;
}

static uint64_t budget_ns(const struct bench *bench, unsigned ms)
{
    return (bench->quick ? QUICK_MS : ms) * WEFT_NS_PER_MS;
}

/* One run of one case against one server; count: of system calls instead. */
static void measure(const struct bench *bench, const size_t at[4], unsigned ms, bool count)
{
    const struct control_server *server = &servers[at[0]][at[3]];
    struct figures *f = &figures[at[0]][at[1]][at[2]][at[3]];
    struct load_desc desc = {.port = server->port, .clients = clients[at[1]]};
    struct load_result result;
    uint8_t *request;
    uint64_t calls;
    bench_echo_frame(bytes[at[2]], 0, &request, &desc.request_len);
    desc.request = request;
    struct load *load = load_open(&desc);
    load_run(load, budget_ns(bench, WARM_MS), &result);
    if (count)
        control_server_count(server);
    uint64_t cpu_ns = control_server_cpu_ns(server);
    load_run(load, budget_ns(bench, ms), &result);
    cpu_ns = control_server_cpu_ns(server) - cpu_ns;
    if (count && control_server_counted(server, &calls))
        bench_add(&f->calls, (double)calls / (double)result.answered);
    if (!count) {
        bench_add(&f->rate, result.per_s / 1e3);
        bench_add(&f->p50, result.p50_us);
        bench_add(&f->p99, result.p99_us);
        bench_add(&f->cpu, (double)cpu_ns / 1e3 / (double)result.answered);
    }
    load_close(load);
    free(request);
}

/* Weft and the reference, the other way round in every other turn. */
static void measure_both(const struct bench *bench, size_t at[4], unsigned turn, unsigned ms)
{
    for (size_t i = 0; i < SUBJECTS; i++) {
        at[3] = (turn + i) % SUBJECTS;
        if (there(at[0], at[3]))
            measure(bench, at, ms, false);
    }
}

static void measure_goals(const struct bench *bench, unsigned round)
{
    size_t at[4] = {0};
    for (unsigned slice = 0; slice < (bench->quick ? 1 : SLICES); slice++)
        for (at[0] = 0; at[0] < WORKERS; at[0]++)
            measure_both(bench, at, round * SLICES + slice, SLICE_MS);
    for (at[0] = 0; at[0] < WORKERS; at[0]++)
        for (at[3] = 0; at[3] < SUBJECTS; at[3]++)
            if (there(at[0], at[3]))
                measure(bench, at, COUNT_MS, true);
}

static void measure_round(const struct bench *bench, unsigned round)
{
    measure_goals(bench, round);
    for (size_t n = WORKERS; n < WORKERS * CLIENTS * BYTES; n++) {
        size_t at[] = {n % WORKERS, n / WORKERS % CLIENTS, n / WORKERS / CLIENTS, 0};
        measure_both(bench, at, round, RUN_MS);
    }
}

/* goal says what is wanted. */
static void ratio_goal(const struct bench *bench, struct bench_goal goal,
                       const struct bench_series *weft, const struct bench_series *reference)
{
    goal.measured = bench_ratio(weft, reference);
    goal.unit = "ratio";
    goal.from[0] = weft->id;
    goal.from[1] = reference->id;
    goal.reason = "median of the ratios of neighbouring runs; 8 clients, 64 B";
    bench_print_goal(bench, &goal);
}

static void calls_goal(const struct bench *bench, struct bench_series *calls)
{
    struct bench_goal goal = {.id = "control.syscalls_per_request",
                              .measured = bench_median(calls),
                              .wanted = 15,
                              .unit = "calls",
                              .from = {calls->id},
                              .reason = "4 workers, 8 clients, 64 B"};
    if (calls->n == 0) {
        goal.unknown = true;
        goal.from[0] = figures[2][0][0][WEFT].rate.id;
        goal.reason = "this system lets nobody but root count system calls by its tracepoint";
    }
    bench_print_goal(bench, &goal);
}

/* Before the series are printed, which sorts their values. */
static void print_goals(const struct bench *bench)
{
    struct figures *two = figures[1][0][0], *four = figures[2][0][0], *eight = figures[3][0][0];
    ratio_goal(bench, (struct bench_goal){"control.rate_w4", .wanted = 1.15, .at_least = true},
               &four[WEFT].rate, &four[REFERENCE].rate);
    ratio_goal(bench, (struct bench_goal){"control.rate_w8", .wanted = 1.3, .at_least = true},
               &eight[WEFT].rate, &eight[REFERENCE].rate);
    ratio_goal(bench, (struct bench_goal){"control.rate_inline", .wanted = 1.3, .at_least = true},
               &figures[INLINE][0][0][WEFT].rate, &two[REFERENCE].rate);
    ratio_goal(bench, (struct bench_goal){"control.cpu_per_request", .wanted = 0.8},
               &four[WEFT].cpu, &four[REFERENCE].cpu);
    calls_goal(bench, &four[WEFT].calls);
}

static void print_all(const struct bench *bench)
{
    struct figures *f = &figures[0][0][0][0];
    for (size_t n = 0; n < WORKERS * CLIENTS * BYTES * SUBJECTS; n++) {
        bench_print(bench, &f[n].rate);
        bench_print(bench, &f[n].p50);
        bench_print(bench, &f[n].p99);
        bench_print(bench, &f[n].cpu);
        bench_print(bench, &f[n].calls);
    }
}

static void start_stop_all(void (*act)(struct control_server *server))
{
    for (size_t n = 0; n < WORKERS * SUBJECTS; n++)
        if (there(n / SUBJECTS, n % SUBJECTS))
            act(&servers[n / SUBJECTS][n % SUBJECTS]);
}

int control_rate(const struct bench *bench)
{
    for (size_t n = 0; n < WORKERS * SUBJECTS; n++)
        servers[n / SUBJECTS][n % SUBJECTS] = (struct control_server){
            .reference = n % SUBJECTS == REFERENCE, .workers = workers[n / SUBJECTS]};
    name_all();
    start_stop_all(control_server_start);
    for (unsigned round = 0; round < bench->rounds; round++)
        measure_round(bench, round);
    start_stop_all(control_server_stop);
    print_goals(bench);
    print_all(bench);
    return 0;
}
