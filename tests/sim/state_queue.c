/* Time and chance: the queue of what happens, and the messages that travel in between. */
#include <stdarg.h>
#include <stdio.h>

#include "state.h"

#define TURNS_MAX 100000 /* between two events */

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

static void take_first(struct sim *sim, struct event *event_out)
{
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
}

/* What messages bring about comes before the events of the same time. */
bool sim_next(struct sim *sim, struct event *event_out)
{
    for (uint32_t turns = 0; turns < TURNS_MAX && !sim->failed; turns++) {
        net_settle(&sim->net);
        if (sim->net.failure[0] != '\0')
            sim_fail(sim, "%s", sim->net.failure);
        uint64_t due_ns = net_due_ns(&sim->net);
        if (sim->failed || (sim->heap_n == 0 && due_ns == WEFT_NEVER))
            return false;
        if (sim->heap_n > 0 && sim->heap[0].at_ns < due_ns) {
            take_first(sim, event_out);
            return true;
        }
        sim->now_ns = due_ns;
    }
    sim_fail(sim, "messages go to and fro for ever");
    return false;
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
