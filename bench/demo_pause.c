/* How long does a rank stand still while it moves, against the size of its region?
 *
 * Three weftd, one app of one rank per size; each is moved from host to host with weft migrate, and
 * the pause is the one that weft reports: from the moment the rank stands to the moment it runs
 * again. The first lap over the hosts is not counted: it starts the app's processes there. */
#include <stdio.h>
#include <string.h>

#include "demo.h"
#include "hosts.h"
#include "program.h"
#include "weft/error.h"

static const unsigned mebibytes[] = {1, 16, 64, 256};
enum { SIZES = sizeof(mebibytes) / sizeof(mebibytes[0]), QUICK_SIZES = 2 };
#define WANTED_MS 20.0

struct mover {
    struct bench_app app;
    struct bench_series pause, whole;
    unsigned at; /* host */
};

static void label(struct bench_series *series, const char *kind, unsigned mib, const char *what)
{
    snprintf(series->id, sizeof(series->id), "demo.%s.%uMiB", kind, mib);
    snprintf(series->what, sizeof(series->what), what, mib);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ms");
}

static void start(const struct bench_hosts *hosts, struct mover *mover, unsigned mib)
{
    char program[4096], size[16];
    snprintf(size, sizeof(size), "%u", mib);
    bench_app_start(hosts, &mover->app,
                    (const char *[]){bench_path("lib/bench/stand.so", program), size, NULL});
    bench_app_await(&mover->app, "ready");
    label(&mover->pause, "pause", mib, "rank of %u MiB stands still");
    label(&mover->whole, "move", mib, "move of %u MiB, asked to committed");
}

static void move(const struct bench_hosts *hosts, struct mover *mover, bool counts)
{
    unsigned to = (mover->at + 1) % BENCH_HOSTS;
    json_t *moves = bench_weft(hosts, "migrate",
                               (const char *[]){mover->app.id, "0", bench_host_names[to], NULL});
    json_t *done = json_array_get(moves, 0);
    const char *outcome = json_string_value(json_object_get(done, "outcome"));
    if (!outcome || strcmp(outcome, "moved") != 0) {
        const char *reason = json_string_value(json_object_get(done, "reason"));
        fprintf(stderr, "bench-demo: the rank did not move to %s: %s\n", bench_host_names[to],
                reason ? reason : "no reason given");
        bench_die("move a rank", WEFT_EAPP);
    }
    mover->at = to;
    double pause = json_number_value(json_object_get(done, "pause_ms"));
    double committed = json_number_value(json_object_get(done, "committed_ms"));
    if (counts) {
        bench_add(&mover->pause, pause);
        bench_add(&mover->whole,
                  committed - json_number_value(json_object_get(done, "detected_ms")));
    }
    const char *transport = json_string_value(json_object_get(done, "transport"));
    snprintf(mover->pause.config, sizeof(mover->pause.config),
             "three weftd on loopback, weft migrate, %lld bytes pulled by %s",
             (long long)json_integer_value(json_object_get(done, "bytes")),
             transport ? transport : "?");
    snprintf(mover->whole.config, sizeof(mover->whole.config), "%s", mover->pause.config);
    json_decref(moves);
}

int demo_pause(const struct bench *bench)
{
    static struct mover movers[SIZES];
    size_t sizes = bench->quick ? QUICK_SIZES : SIZES;
    struct bench_hosts hosts;
    bench_hosts_start(&hosts, "4");
    for (size_t i = 0; i < sizes; i++)
        start(&hosts, &movers[i], mebibytes[i]);
    unsigned warm_up = bench->quick ? 0 : BENCH_HOSTS;
    for (unsigned round = 0; round < warm_up + bench->rounds; round++)
        for (size_t i = 0; i < sizes; i++)
            move(&hosts, &movers[i], round >= warm_up);
    for (size_t i = 0; i < sizes; i++)
        bench_app_kill(&hosts, &movers[i].app);
    bench_hosts_stop(&hosts);
    for (size_t i = 0; i < sizes; i++) {
        bench_print(bench, &movers[i].pause);
        bench_print(bench, &movers[i].whole);
    }
    bench_print_goal(bench, &(struct bench_goal){.id = "demo.pause_floor_ms",
                                                 .measured = bench_median(&movers[0].pause),
                                                 .wanted = WANTED_MS,
                                                 .unit = "ms",
                                                 .from = {movers[0].pause.id},
                                                 .reason = "region of 1 MiB"});
    return 0;
}
