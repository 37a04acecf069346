/* Time and chance. A binary heap by (time, order of creation), so that equal times have one order;
 * a splitmix64 generator. Here a message meets its cut, its delay, its double and its end, except
 * in runs whose messages travel over endpoints: there only cuts are made here. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t sim_draw(uint64_t *random)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t sim_random(struct sim *sim)
{
    return sim_draw(&sim->random);
}

uint32_t sim_below(struct sim *sim, uint32_t n)
{
    return (uint32_t)((sim_random(sim) >> 32) * n >> 32);
}

bool sim_chance(struct sim *sim, uint32_t of_1000)
{
    return of_1000 > 0 && sim_below(sim, 1000) < of_1000;
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    return low + sim_random(sim) % (high - low + 1);
}

bool sim_calm(const struct sim *sim)
{
    return sim->now_ns >= sim->calm_ns;
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(sim->failure, sizeof(sim->failure), fmt, args);
    va_end(args);
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    if (!sim->trace)
        return;
    va_list args;
    va_start(args, fmt);
    printf("%9.3f ms  ", (double)sim->now_ns / 1e6);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

void sim_queue_reset(struct sim *sim)
{
    sim->heap_n = sim->order = 0;
    sim->free_events_n = SIM_EVENTS_MAX;
    for (uint32_t i = 0; i < SIM_EVENTS_MAX; i++)
        sim->free_events[i] = SIM_EVENTS_MAX - 1 - i;
    sim->free_packets_n = SIM_PACKETS_MAX;
    for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++)
        sim->free_packets[i] = (uint16_t)(SIM_PACKETS_MAX - 1 - i);
}

static bool sooner(const struct sim_heap_item *a, const struct sim_heap_item *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push(struct sim *sim, struct sim_heap_item item)
{
    uint32_t i = sim->heap_n++;
    while (i > 0 && sooner(&item, &sim->heap[(i - 1) / 2])) {
        sim->heap[i] = sim->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim->heap[i] = item;
}

static struct sim_heap_item pop(struct sim *sim)
{
    struct sim_heap_item first = sim->heap[0], last = sim->heap[--sim->heap_n];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < sim->heap_n) {
        if (child + 1 < sim->heap_n && sooner(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!sooner(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return first;
}

struct sim_event *sim_at(struct sim *sim, uint64_t at_ns, enum sim_kind kind, uint32_t to)
{
    if (sim->free_events_n == 0) {
        fprintf(stderr, "seed %llu: more than %d events under way\n", (unsigned long long)sim->seed,
                SIM_EVENTS_MAX);
        abort();
    }
    uint32_t id = sim->free_events[--sim->free_events_n];
    struct sim_event *event = &sim->events[id];
    event->kind = (uint8_t)kind;
    event->to = to;
    event->role = 0;
    event->err = 0;
    event->from = 0;
    event->epoch = 0;
    push(sim, (struct sim_heap_item){at_ns, sim->order++, id});
    return event;
}

uint64_t sim_next_ns(const struct sim *sim)
{
    return sim->heap_n > 0 ? sim->heap[0].at_ns : WEFT_NEVER;
}

uint32_t sim_next(struct sim *sim)
{
    struct sim_heap_item item = pop(sim);
    sim->now_ns = item.at_ns;
    return item.event;
}

void sim_done(struct sim *sim, uint32_t event)
{
    sim->free_events[sim->free_events_n++] = event;
}

void sim_again(struct sim *sim, uint32_t event, uint64_t at_ns)
{
    push(sim, (struct sim_heap_item){at_ns, sim->order++, event});
}

static bool cut(struct sim *sim, uint32_t a, uint32_t b)
{
    const struct sim_weather *w = &sim->weather;
    for (unsigned i = 0; i < w->cuts_n; i++) {
        const struct sim_cut *c = &w->cuts[i];
        bool there = a == c->a && b == c->b, back = a == c->b && b == c->a && !c->one_way;
        if (sim->now_ns < c->from_ns || sim->now_ns >= c->until_ns || (!there && !back))
            continue;
        sim_saw(sim, c->one_way ? SIM_SAW_CUT_ONE_WAY : SIM_SAW_CUT);
        return true;
    }
    return false;
}

static uint64_t delay(struct sim *sim)
{
    const struct sim_weather *w = &sim->weather;
    if (!sim_calm(sim) && sim_chance(sim, w->very_slow)) {
        sim_saw(sim, SIM_SAW_LATE);
        return sim_between(sim, 50 * MS, 900 * MS);
    }
    if (!sim_calm(sim) && sim_chance(sim, w->slow)) {
        sim_saw(sim, SIM_SAW_LATE);
        return sim_between(sim, MS, 50 * MS);
    }
    return sim_between(sim, 50 * US, 500 * US);
}

static void travel(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event)
{
    bool rough = a != b && !sim_calm(sim);
    if (rough && sim_chance(sim, sim->weather.loss)) {
        sim_saw(sim, SIM_SAW_LOST);
        return;
    }
    unsigned copies = rough && sim_chance(sim, sim->weather.doubles) ? 2 : 1;
    sim->stats.seen[SIM_SAW_DOUBLED] += copies - 1;
    for (unsigned i = 0; i < copies; i++) {
        uint64_t at_ns = sim->now_ns + (a == b ? 20 * US : delay(sim));
        struct sim_event *copy = sim_at(sim, at_ns, (enum sim_kind)event->kind, event->to);
        *copy = *event;
    }
}

void sim_send(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event)
{
    struct sim_event arrived;
    sim->stats.messages++;
    if (a != b && cut(sim, a, b))
        return;
    if (sim->framed && a != b) {
        sim_wire_send(sim, a, b, event);
        return;
    }
    sim_wire_pass(sim, event, &arrived);
    travel(sim, a, b, &arrived);
}
