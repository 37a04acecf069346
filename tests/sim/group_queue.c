/* Time and chance: the queue of what happens, and the messages that travel in between. */
#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"
#include "group.h"

#define TURNS_MAX 100000 /* between two events */

uint64_t gsim_random(struct gsim *sim)
{
    uint64_t x = sim->random += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint32_t gsim_below(struct gsim *sim, uint32_t n)
{
    return (uint32_t)(gsim_random(sim) % n);
}

bool gsim_chance(struct gsim *sim, uint32_t of_1000)
{
    return gsim_below(sim, 1000) < of_1000;
}

uint64_t gsim_between(struct gsim *sim, uint64_t low, uint64_t high)
{
    return low + gsim_random(sim) % (high - low + 1);
}

/* ---- the queue ---- */

static bool before(const struct gsim_event *a, const struct gsim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void gsim_at(struct gsim *sim, uint64_t at_ns, struct gsim_event event)
{
    if (sim->heap_n == sim->heap_max) {
        sim->heap_max = sim->heap_max > 0 ? 2 * sim->heap_max : 256;
        sim->heap = weft__must_grow(sim->heap, sim->heap_max, sizeof(*sim->heap));
    }
    event.at_ns = at_ns;
    event.order = ++sim->order;
    size_t i = sim->heap_n++;
    for (; i > 0 && before(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
}

static struct gsim_event take_first(struct gsim *sim)
{
    struct gsim_event first = sim->heap[0], last = sim->heap[--sim->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < sim->heap_n && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (child >= sim->heap_n || before(&last, &sim->heap[child]))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return first;
}

/* What messages bring about comes before the events of the same time. */
bool gsim_next(struct gsim *sim, struct gsim_event *event_out)
{
    for (uint32_t turns = 0; turns < TURNS_MAX && !sim->failed; turns++) {
        net_settle(&sim->net);
        if (sim->net.failure[0] != '\0')
            gsim_fail(sim, "%s", sim->net.failure);
        uint64_t due_ns = net_due_ns(&sim->net);
        if (sim->failed || (sim->heap_n == 0 && due_ns == WEFT_NEVER))
            return false;
        if (sim->heap_n > 0 && sim->heap[0].at_ns < due_ns) {
            *event_out = take_first(sim);
            sim->now_ns = event_out->at_ns;
            return true;
        }
        sim->now_ns = due_ns;
    }
    gsim_fail(sim, "messages go to and fro for ever");
    return false;
}

void gsim_fail(struct gsim *sim, const char *fmt, ...)
{
    va_list args;
    if (sim->failed)
        return;
    sim->failed = true;
    va_start(args, fmt);
    vsnprintf(sim->failure, sizeof(sim->failure), fmt, args);
    va_end(args);
}

void gsim_trace(const struct gsim *sim, const char *fmt, ...)
{
    va_list args;
    if (!sim->trace)
        return;
    printf("%10.3f ms  ", (double)sim->now_ns / 1e6);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}
