/* Time, chance and the network. */
#include <stdarg.h>
#include <stdio.h>

#include "state.h"

uint64_t sim_random(struct sim *sim)
{
    uint64_t x = (sim->random += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t sim_below(struct sim *sim, uint32_t n)
{
    return (uint32_t)(sim_random(sim) % n);
}

bool sim_chance(struct sim *sim, uint32_t of_1000)
{
    return sim_below(sim, 1000) < of_1000;
}

bool sim_calm(const struct sim *sim)
{
    return sim->now_ns >= CALM_NS;
}

void sim_queue_reset(struct sim *sim)
{
    sim->heap_n = sim->order = 0;
    sim->free_n = EVENTS_MAX;
    for (uint32_t i = 0; i < EVENTS_MAX; i++)
        sim->free_events[i] = EVENTS_MAX - 1 - i;
}

static bool before(const struct item *a, const struct item *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t at_ns, const struct event *event)
{
    if (sim->free_n == 0) {
        sim_fail(sim, "the simulation has too many events");
        return;
    }
    uint32_t slot = sim->free_events[--sim->free_n], at = sim->heap_n++;
    sim->events[slot] = *event;
    struct item item = {at_ns, sim->order++, slot};
    while (at > 0 && before(&item, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = item;
}

bool sim_next(struct sim *sim, struct event *event_out)
{
    if (sim->heap_n == 0)
        return false;
    struct item top = sim->heap[0], last = sim->heap[--sim->heap_n];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < sim->heap_n) {
        if (child + 1 < sim->heap_n && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    sim->now_ns = top.at_ns;
    *event_out = sim->events[top.event];
    sim->free_events[sim->free_n++] = top.event;
    return true;
}

/* Whether a host is cut off from the registry. */
static bool is_cut(const struct sim *sim, uint32_t a, uint32_t b)
{
    uint32_t host = a < b ? a : b, other = a < b ? b : a;
    return other == HOSTS && sim->now_ns >= sim->hosts[host].cut_ns &&
           sim->now_ns < sim->hosts[host].mended_ns;
}

void sim_send(struct sim *sim, uint32_t a, uint32_t b, const struct event *event)
{
    const struct weather *w = &sim->weather;
    uint64_t delay = MS / 10 + sim_random(sim) % (MS / 2);
    bool calm = sim_calm(sim);
    if (!calm && (sim_chance(sim, w->loss) || is_cut(sim, a, b))) {
        sim->faults++;
        return;
    }
    if (!calm && sim_chance(sim, w->slow))
        delay += sim_random(sim) % (30 * MS);
    if (!calm && sim_chance(sim, w->very_slow))
        delay += sim_random(sim) % (300 * MS);
    sim_at(sim, sim->now_ns + delay, event);
    if (!calm && sim_chance(sim, w->doubles)) {
        sim->faults++;
        sim_at(sim, sim->now_ns + delay + sim_random(sim) % (100 * MS), event);
    }
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    va_list args;
    if (sim->failed)
        return;
    sim->failed = true;
    va_start(args, fmt);
    vsnprintf(sim->failure, sizeof(sim->failure), fmt, args);
    va_end(args);
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    va_list args;
    if (!sim->trace)
        return;
    printf("%9.3f ", (double)sim->now_ns / 1e6);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}
