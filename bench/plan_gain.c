/* What a move is worth to a program that talks a lot: an all-to-all kernel of eight ranks, started
 * on two hosts that a link of 1 Gbit/s joins, four ranks on each, and moved together at a part of
 * its run. Beside it the same program that is never moved, and never split; and one that nobody but
 * the detector moves.
 *
 * Both ends of the run are measured by rank 0 on one clock: the hosts are namespaces of one
 * machine. A run is made of steps, so "at 20 %" is after a fifth of the steps. The best that can be
 * had then is 1 / (0.2 + 0.8 * together / split): the first part at the pace of the split run, the
 * rest at that of the unsplit one, of the same round. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts.h"
#include "net.h"
#include "plan.h"
#include "plot.h"
#include "program.h"
#include "weft/error.h"

enum { STEPS = 2000, QUICK_STEPS = 200, ROUNDS_MAX = 5, RANKS = 8, MOVED = RANKS / 2 };
enum { PATH = 4096 };
#define BLOCK "16384"
#define RATE "1gbit"
#define WHERE "8 ranks, 16 KiB blocks, " RATE " by tbf"

/* Published: the artifacts of Granny (NSDI 2025), which continues the reference system: seconds of
 * its all-to-all kernel, 8 ranks on 2 virtual machines of 8 cores (Azure D8 v5). */
#define PUBLISHED "Granny, NSDI 2025, published runs of its all-to-all kernel on 2 Azure D8 v5"

enum row { TOGETHER, AT_20, AT_40, AT_60, AT_80, DETECTED, SPLIT, ROWS };

struct plan_row {
    const char *id, *what;
    double part;      /* of the steps, made before the bench has the ranks moved; 0: it does not */
    double published; /* gain over never moved; 0: none */
    const char *options[4];
};

static const struct plan_row rows[ROWS] = {
    [TOGETHER] = {"never_split", "never split", 0, 38.57 / 5.04, {NULL}},
    [AT_20] = {"at_20", "moved at 20 %", 0.2, 38.57 / 11.90, {"--hint", "UNDERFULL"}},
    [AT_40] = {"at_40", "moved at 40 %", 0.4, 38.57 / 18.00, {"--hint", "UNDERFULL"}},
    [AT_60] = {"at_60", "moved at 60 %", 0.6, 38.57 / 25.85, {"--hint", "UNDERFULL"}},
    [AT_80] = {"at_80", "moved at 80 %", 0.8, 38.57 / 32.97, {"--hint", "UNDERFULL"}},
    [DETECTED] =
        {"detected", "moved by the detector", 0, 0, {"--hint", "UNDERFULL", "--migrate=1"}},
    [SPLIT] = {"never_moved", "never moved", 0, 1, {"--hint", "UNDERFULL"}},
};

struct results {
    struct bench_series seconds[ROWS], gain[ROWS], ideal[ROWS];
    struct bench_series detected_at; /* part of the steps, in percent, when the first rank moved */
};

/* One run of the program, as its output tells it. */
struct outcome {
    double seconds;
    unsigned moved;
    long first; /* step at which the first rank that was moved went on */
};

static void read_run(const struct bench_hosts *hosts, struct bench_app *app, struct outcome *out)
{
    char line[256];
    *out = (struct outcome){.first = STEPS};
    while (bench_line(app->out, line, sizeof(line))) {
        long step;
        if (strncmp(line, "at ", 3) == 0) {
            FILE *file = fopen(app->id_file, "re");
            bool known = file && fscanf(file, "%23s", app->id) == 1;
            if (file)
                fclose(file);
            if (known)
                (void)bench_command(hosts, "migrate", (const char *[]){app->id, NULL});
        } else if (sscanf(line, "moved %*d %ld", &step) == 1) {
            out->moved++;
            out->first = step < out->first ? step : out->first;
        } else {
            (void)sscanf(line, "alltoall %lf", &out->seconds);
        }
    }
}

static void run(const struct bench *bench, const struct bench_hosts *hosts, enum row row,
                struct results *results)
{
    const struct plan_row *desc = &rows[row];
    char program[PATH], steps[16], mark[16];
    const char *argv[16] = {"-n", "8"};
    struct bench_app app;
    struct outcome outcome;
    size_t n = 2;
    long all = bench->quick ? QUICK_STEPS : STEPS;
    for (size_t i = 0; i < 4 && desc->options[i]; i++)
        argv[n++] = desc->options[i];
    snprintf(steps, sizeof(steps), "%ld", all);
    snprintf(mark, sizeof(mark), "%ld", desc->part > 0 ? (long)((double)all * desc->part) : -1);
    argv[n++] = bench_path("lib/bench/alltoall.so", program);
    argv[n++] = steps;
    argv[n++] = BLOCK;
    argv[n++] = mark;
    bench_app_start(hosts, &app, argv);
    read_run(hosts, &app, &outcome);
    bench_app_end(&app);
    unsigned wanted = row == TOGETHER || row == SPLIT ? 0 : MOVED;
    if (outcome.seconds <= 0 || (outcome.moved != wanted && !bench->quick)) {
        fprintf(stderr, "bench-plan: %s: %u ranks were moved, not %u\n", desc->what, outcome.moved,
                wanted);
        exit(1);
    }
    bench_add(&results->seconds[row], outcome.seconds);
    if (row == DETECTED && outcome.moved > 0)
        bench_add(&results->detected_at, 100.0 * (double)outcome.first / (double)all);
}

/* The gains of a round, which is complete. */
static void compare(struct results *results)
{
    unsigned last = results->seconds[SPLIT].n - 1;
    double split = results->seconds[SPLIT].values[last];
    double together = results->seconds[TOGETHER].values[last];
    for (enum row row = 0; row < ROWS; row++) {
        double part = rows[row].part;
        bench_add(&results->gain[row], split / results->seconds[row].values[last]);
        if (part > 0 || row == TOGETHER)
            bench_add(&results->ideal[row], 1 / (part + (1 - part) * together / split));
    }
}

/* ---- what comes out ---- */

static void label(struct bench_series *series, const char *id, const char *what, const char *unit)
{
    snprintf(series->id, sizeof(series->id), "plan.gain.%s", id);
    snprintf(series->what, sizeof(series->what), "all-to-all %s", what);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config), WHERE);
}

static void label_all(struct results *results)
{
    char id[64], what[64];
    for (enum row row = 0; row < ROWS; row++) {
        snprintf(id, sizeof(id), "seconds.%s", rows[row].id);
        label(&results->seconds[row], id, rows[row].what, "s");
        label(&results->gain[row], rows[row].id, rows[row].what, "x");
        snprintf(id, sizeof(id), "ideal.%s", rows[row].id);
        snprintf(what, sizeof(what), "%s, at best", rows[row].what);
        label(&results->ideal[row], id, what, "x");
    }
    label(&results->detected_at, "detected_at", "moved by the detector, step of the first move",
          "%");
}

static void print_published(const struct bench *bench)
{
    char id[64];
    for (enum row row = 0; row < ROWS; row++) {
        struct bench_series series = {0};
        snprintf(id, sizeof(id), "published.%s", rows[row].id);
        label(&series, id, rows[row].what, "x");
        snprintf(series.subject, sizeof(series.subject), "granny");
        snprintf(series.config, sizeof(series.config), PUBLISHED);
        if (rows[row].published > 0)
            bench_add(&series, rows[row].published);
        bench_print(bench, &series);
    }
}

static void print_table(struct results *results)
{
    printf("gain over never moved    weft   at best  published (%s)\n", PUBLISHED);
    for (enum row row = 0; row < ROWS; row++) {
        printf("  %-21s %5.2f", rows[row].what, bench_median(&results->gain[row]));
        if (results->ideal[row].n > 0)
            printf("   %5.2f", bench_median(&results->ideal[row]));
        else
            printf("       -");
        if (rows[row].published > 0)
            printf("     %5.2f\n", rows[row].published);
        else
            printf("         -\n");
    }
}

static void draw(struct results *results)
{
    static const char *const names[ROWS] = {"never split", "at 20 %",  "at 40 %", "at 60 %",
                                            "at 80 %",     "detector", "never"};
    double weft[ROWS], low[ROWS], high[ROWS], best[ROWS], published[ROWS];
    char path[PATH];
    for (enum row row = 0; row < ROWS; row++) {
        struct bench_series *gain = &results->gain[row];
        weft[row] = bench_median(gain); /* sorts */
        low[row] = gain->values[0];
        high[row] = gain->values[gain->n - 1];
        best[row] = results->ideal[row].n > 0 ? bench_median(&results->ideal[row]) : NAN;
        published[row] = rows[row].published > 0 ? rows[row].published : NAN;
    }
    const struct plot_series series[] = {
        {"weft (median; lowest to highest)", "#2166ac", weft, low, high},
        {"at best, from the same runs", "#92c5de", best, NULL, NULL},
        {"published: Granny, NSDI 2025", "#f4a582", published, NULL, NULL}};
    const struct plot plot = {
        .title = "All-to-all that starts split over two hosts and is moved together",
        .subtitle = "8 ranks, 16 KiB blocks, hosts joined by 1 Gbit/s",
        .x_label = "ranks moved together after this part of the run",
        .y_label = "times faster than never moved",
        .categories = names,
        .categories_n = ROWS,
        .series = series,
        .series_n = 3};
    if (!plot_bars(bench_path("plan-gain.svg", path), &plot))
        fprintf(stderr, "bench-plan: cannot write %s\n", path);
    else
        fprintf(stderr, "bench-plan: plot in %s\n", path);
}

static void print_goal(const struct bench *bench, struct results *results, const char *why_not)
{
    double best = results ? bench_median(&results->ideal[AT_20]) : 0;
    char reason[96] = "";
    if (results)
        snprintf(reason, sizeof(reason), "at best %.3g; never split %.3g", best,
                 bench_median(&results->gain[TOGETHER]));
    bench_print_goal(
        bench, &(struct bench_goal){.id = "plan.gain_20",
                                    .measured = results ? bench_median(&results->gain[AT_20]) : 0,
                                    .wanted = 0.9 * best,
                                    .at_least = true,
                                    .unknown = !results,
                                    .unit = "x",
                                    .from = {results ? results->gain[AT_20].id : NULL,
                                             results ? results->ideal[AT_20].id : NULL},
                                    .reason = results ? reason : why_not});
}

static void print(const struct bench *bench, struct results *results)
{
    draw(results);
    print_goal(bench, results, NULL);
    for (enum row row = 0; row < ROWS; row++) {
        bench_print(bench, &results->seconds[row]);
        bench_print(bench, &results->gain[row]);
        bench_print(bench, &results->ideal[row]);
    }
    bench_print(bench, &results->detected_at);
    print_published(bench);
    if (!bench->json)
        print_table(results);
}

int plan_gain(const struct bench *bench)
{
    static struct results results;
    struct bench_net net;
    struct bench_hosts hosts;
    const char *why_not = "";
    if (!bench_net_open(&net, RATE, &why_not)) {
        print_goal(bench, NULL, why_not);
        print_published(bench);
        return 0;
    }
    setenv("WEFT_SECURITY", "none", 1); /* nobody else is on this net */
    label_all(&results);
    bench_hosts_start_on(
        &hosts, BENCH_NET,
        (const struct bench_host_desc[]){{.slots = "8"}, {.slots = "4", .space = net.other}}, 2);
    for (unsigned round = 0; round < bench->rounds && round < ROUNDS_MAX; round++) {
        for (enum row row = 0; row < ROWS; row++)
            run(bench, &hosts, row, &results);
        compare(&results);
    }
    bench_hosts_stop(&hosts);
    bench_net_close(&net);
    print(bench, &results);
    return 0;
}
