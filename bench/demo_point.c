/* What does weft_migration_point() cost when nothing is pending?
 *
 * Measured inside a rank that weft run has started: ten million calls in a loop, and the same loop
 * with nothing in it. The goal takes the call with its loop; nothing is subtracted. */
#include <stdio.h>
#include <string.h>

#include "demo.h"
#include "hosts.h"
#include "program.h"
#include "weft/error.h"

#define WANTED_NS 5.0

static void label(struct bench_series *series, const char *id, const char *what, const char *calls)
{
    snprintf(series->id, sizeof(series->id), "demo.point.%s", id);
    snprintf(series->what, sizeof(series->what), "%s", what);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ns");
    snprintf(series->config, sizeof(series->config), "one rank under weft run, %s turns a round",
             calls);
}

int demo_point(const struct bench *bench)
{
    static struct bench_series call, loop;
    const char *calls = bench->quick ? "100000" : "10000000";
    char program[4096], rounds[16], line[256];
    struct bench_hosts hosts;
    struct bench_app app;
    double call_ns, loop_ns;
    label(&call, "call", "migration point and its loop", calls);
    label(&loop, "loop", "the loop alone", calls);
    snprintf(rounds, sizeof(rounds), "%u", bench->rounds);
    bench_hosts_start(&hosts, "1");
    bench_app_start(
        &hosts, &app,
        (const char *[]){bench_path("lib/bench/point.so", program), rounds, calls, NULL});
    while (bench_line(app.out, line, sizeof(line)))
        if (sscanf(line, "point %lf %lf", &call_ns, &loop_ns) == 2) {
            bench_add(&call, call_ns);
            bench_add(&loop, loop_ns);
        }
    bench_app_end(&app);
    bench_hosts_stop(&hosts);
    if (call.n != bench->rounds)
        bench_die("the measuring rank", WEFT_EAPP);
    bench_print(bench, &call);
    bench_print(bench, &loop);
    bench_print_goal(bench, &(struct bench_goal){.id = "demo.migration_point_ns",
                                                 .measured = bench_median(&call),
                                                 .wanted = WANTED_NS,
                                                 .unit = "ns",
                                                 .from = {call.id, loop.id},
                                                 .reason = "the loop is not subtracted"});
    return 0;
}
