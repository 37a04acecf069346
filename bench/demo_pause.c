/* How long does a rank stand still while it moves, against the size of its region?
 *
 * Three weftd, one app of one rank per size; each is moved from host to host with weft migrate, and
 * the pause is the one that weft reports: from the moment the rank stands to the moment it runs
 * again. The first lap over the hosts is not counted: it starts the app's processes there. */
#include <stdio.h>

#include "demo.h"
#include "hosts.h"
#include "mover.h"
#include "program.h"

static const unsigned mebibytes[] = {1, 16, 64, 256};
enum { SIZES = sizeof(mebibytes) / sizeof(mebibytes[0]), QUICK_SIZES = 2 };
#define WANTED_MS 20.0

static void label(struct bench_series *series, const char *kind, unsigned mib, const char *what)
{
    snprintf(series->id, sizeof(series->id), "demo.%s.%uMiB", kind, mib);
    snprintf(series->what, sizeof(series->what), what, mib);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ms");
}

static void start(const struct bench_hosts *hosts, struct bench_mover *mover, unsigned mib)
{
    char program[4096];
    bench_mover_start(hosts, mover, bench_path("lib/bench/stand.so", program), mib, false);
    label(&mover->pause, "pause", mib, "rank of %u MiB stands still");
    label(&mover->whole, "move", mib, "move of %u MiB, asked to committed");
}

int demo_pause(const struct bench *bench)
{
    static struct bench_mover movers[SIZES];
    size_t sizes = bench->quick ? QUICK_SIZES : SIZES;
    struct bench_hosts hosts;
    bench_hosts_start(&hosts, "4");
    for (size_t i = 0; i < sizes; i++)
        start(&hosts, &movers[i], mebibytes[i]);
    unsigned warm_up = bench->quick ? 0 : BENCH_HOSTS;
    for (unsigned round = 0; round < warm_up + bench->rounds; round++)
        for (size_t i = 0; i < sizes; i++)
            bench_mover_move(&hosts, &movers[i], round >= warm_up);
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
