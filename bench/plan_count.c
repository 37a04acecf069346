/* What counting the traffic of ranks costs a message.
 *
 * Two runtimes in this process, one that counts and one that does not, run the same program on the
 * same code: a rank that sends messages of 8 bytes to itself, by the way that costs least, so the
 * share of counting is the largest that there is. They take turns burst by burst, and the thread's
 * own time is taken. Which pages of memory a runtime gets is worth up to 13 % of its rate, so a
 * round has new runtimes several times, at either place, and takes the mean. The counts are asked
 * for between the bursts, more often than an app process does. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "bursts.h"
#include "exec/exec.h"
#include "plan.h"
#include "program.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"

enum { PAIRS = 8, TURNS = 40, QUICK_TURNS = 3, SIDES = 2, STRIDE = 64 << 20, PATIENCE_S = 20 };
enum { COUNTED, UNCOUNTED };

struct side {
    struct weft_exec *exec;
    struct bursts bursts;
};

static void open_side(struct side *side, unsigned place, bool uncounted)
{
    static const struct weft_transport *const transports[] = {&weft__tp_inproc};
    static const char *const names[] = {"count-a", "count-b"};
    static const int32_t rank = 0;
    char path[4096], address[32];
    snprintf(address, sizeof(address), "%llx", (unsigned long long)(uintptr_t)&side->bursts);
    char name[] = "bursts", *argv[] = {name, address, NULL};
    struct weft_exec_desc desc = {
        .app = 1 + place,
        .size = 1,
        .base = WEFT_EXEC_BASE_DEFAULT + place * (uint64_t)STRIDE,
        .stride = STRIDE,
        .host = "here",
        .program = bench_path("lib/bench/bursts.so", path),
        .argv = argv,
        .lane = {.transports = transports,
                 .transports_n = 1,
                 .scheme = "inproc",
                 .progress = "thread",
                 .bind = names[place],
                 .token = 1},
        .uncounted = uncounted,
    };
    memset(side, 0, sizeof(*side));
    bench_check("a runtime", weft__exec_open(&desc, &side->exec));
    bench_check("a rank", weft__exec_add_ranks(side->exec, &rank, 1, 1));
    bench_check("its start", weft__exec_start(side->exec, &rank, 1));
}

static void close_side(struct side *side)
{
    atomic_store(&side->bursts.wanted, BURSTS_END);
    bench_check("the end of a runtime", weft__exec_close(side->exec, PATIENCE_S * 1000));
}

/* Nanoseconds per message. */
static double turn(struct side *side)
{
    const struct timespec nap = {.tv_nsec = 20000};
    struct weft_exec_traffic news;
    uint64_t until = weft__now_ns() + PATIENCE_S * WEFT_NS_PER_S;
    uint32_t wanted = atomic_load(&side->bursts.done) + 1;
    atomic_store(&side->bursts.wanted, wanted);
    while (atomic_load(&side->bursts.done) != wanted) {
        if (weft__now_ns() > until)
            bench_die("the rank does not answer", WEFT_ETIMEDOUT);
        nanosleep(&nap, NULL);
    }
    (void)weft__exec_traffic(side->exec, 0, &news);
    return (double)atomic_load(&side->bursts.took_ns) / (BURSTS_WINDOW * BURSTS_EACH);
}

/* Nanoseconds per message of each side, counted being at this place. */
static void measure(unsigned place, unsigned turns, double ns_out[SIDES])
{
    static struct bench_samples samples[SIDES];
    static struct side sides[SIDES];
    for (unsigned i = 0; i < SIDES; i++) {
        samples[i].n = 0;
        open_side(&sides[i], (i + place) % SIDES, i == UNCOUNTED);
        (void)turn(&sides[i]); /* touches its memory */
    }
    for (unsigned i = 0; i < turns; i++)
        for (unsigned k = 0; k < SIDES; k++) {
            unsigned side = (i + k) % SIDES;
            bench_sample(&samples[side], turn(&sides[side]));
        }
    for (unsigned i = 0; i < SIDES; i++) {
        ns_out[i] = bench_typical(&samples[i]);
        close_side(&sides[i]);
    }
}

int plan_count(const struct bench *bench)
{
    static struct bench_series series[SIDES];
    static const char *const names[] = {"counted", "uncounted"};
    for (int i = 0; i < SIDES; i++) {
        snprintf(series[i].id, sizeof(series[i].id), "plan.rate.%s", names[i]);
        snprintf(series[i].what, sizeof(series[i].what), "messages of 8 B of a rank to itself, %s",
                 names[i]);
        snprintf(series[i].subject, sizeof(series[i].subject), "weft");
        snprintf(series[i].unit, sizeof(series[i].unit), "M/s");
        snprintf(series[i].config, sizeof(series[i].config),
                 "one thread, its own time, %d in flight", BURSTS_WINDOW);
    }
    for (unsigned round = 0; round < bench->rounds; round++) {
        double ns[SIDES], sum[SIDES] = {0};
        for (unsigned i = 0; i < PAIRS; i++) {
            measure((round + i) % SIDES, bench->quick ? QUICK_TURNS : TURNS, ns);
            for (unsigned side = 0; side < SIDES; side++)
                sum[side] += log(ns[side]);
        }
        for (unsigned i = 0; i < SIDES; i++)
            bench_add(&series[i], 1e3 / exp(sum[i] / PAIRS));
    }
    double ratio = bench_ratio(&series[UNCOUNTED], &series[COUNTED]);
    struct bench_goal goal = {.id = "plan.count_overhead",
                              .measured = 100 * (ratio - 1),
                              .wanted = 1,
                              .unit = "%",
                              .from = {series[COUNTED].id, series[UNCOUNTED].id},
                              .reason = "of the rate; the counts are asked for as well"};
    if (bench->quick)
        goal = (struct bench_goal){.id = goal.id,
                                   .wanted = goal.wanted,
                                   .unit = goal.unit,
                                   .unknown = true,
                                   .reason = "not measured with --quick"};
    bench_print_goal(bench, &goal);
    for (int i = 0; i < SIDES; i++)
        bench_print(bench, &series[i]);
    return 0;
}
