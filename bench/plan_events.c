/* What recording an event costs whoever records it: an event with three texts, of which the two
 * clocks are a part that is measured beside it; and one packet of an app that is run with --trace
 * is about one clock. The thread's own time is taken. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/events.h"
#include "plan.h"

enum { KEPT = 16384, EACH = 1000, TURNS = 300, QUICK_TURNS = 3 };

static uint64_t own_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * WEFT_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void note(struct weft_events *events)
{
    for (int32_t i = 0; i < EACH; i++)
        weft__events_note(events, &(struct weft_event_note){.kind = WEFT_EVENT_MOVE_ASKED,
                                                            .app = 7,
                                                            .rank = i,
                                                            .n = {(uint64_t)i},
                                                            .text = {"a", "b", "asked by hand"}});
}

static void ask_clocks(struct weft_events *events)
{
    (void)events;
    for (unsigned i = 0; i < EACH; i++) {
        (void)weft__wall_ns();
        (void)weft__now_ns();
    }
}

static void measure(struct weft_events *events, void (*run)(struct weft_events *events),
                    unsigned turns, struct bench_series *series)
{
    static struct bench_samples samples;
    samples.n = 0;
    for (unsigned i = 0; i < turns; i++) {
        uint64_t from = own_ns();
        run(events);
        bench_sample(&samples, (double)(own_ns() - from) / EACH);
    }
    bench_add(series, bench_typical(&samples));
}

int plan_events(const struct bench *bench)
{
    static struct bench_series series[] = {
        {.id = "plan.event_note", .what = "recording an event with three texts"},
        {.id = "plan.event_clocks", .what = "its two clocks alone"},
    };
    struct weft_events events;
    unsigned turns = bench->quick ? QUICK_TURNS : TURNS;
    bench_check("a ring of events", weft__events_init(&events, KEPT));
    for (int i = 0; i < 2; i++) {
        snprintf(series[i].subject, sizeof(series[i].subject), "weft");
        snprintf(series[i].unit, sizeof(series[i].unit), "ns");
        snprintf(series[i].config, sizeof(series[i].config), "one thread, its own time");
    }
    for (unsigned round = 0; round < bench->rounds; round++) {
        measure(&events, note, turns, &series[0]);
        measure(&events, ask_clocks, turns, &series[1]);
    }
    bench_print(bench, &series[0]);
    bench_print(bench, &series[1]);
    weft__events_fini(&events);
    return 0;
}
