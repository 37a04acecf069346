/* Time, chance and the network between hosts. Frames are copied as the wire would. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group.h"
#include "weft/error.h"

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

bool gsim_next(struct gsim *sim, struct gsim_event *event_out)
{
    if (sim->heap_n == 0)
        return false;
    *event_out = sim->heap[0];
    struct gsim_event last = sim->heap[--sim->heap_n];
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
    sim->now_ns = event_out->at_ns;
    return true;
}

void gsim_event_fini(struct gsim_event *event)
{
    for (size_t i = 0; event->frame != NULL && i < event->frame->items_n; i++)
        weft__coord_item_fini(&event->frame->items[i]);
    if (event->frame != NULL)
        free(event->frame->items);
    free(event->frame);
    free(event->call);
    free(event->values);
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

/* ---- frames ---- */

static struct weft_coord_frame *copy_frame(const struct weft_coord_frame *frame)
{
    struct weft_coord_frame *copy = weft__must_copy(frame, sizeof(*frame));
    copy->items = weft__must_copy(frame->items, frame->items_n * sizeof(*frame->items));
    for (size_t i = 0; i < copy->items_n; i++) {
        struct weft_coord_item *item = &copy->items[i];
        if (item->roster != NULL)
            item->roster->refs++;
        if (item->bytes != NULL)
            item->bytes = weft__must_copy(item->bytes, item->len_bytes);
    }
    return copy;
}

/* Nobody misses it: the numbers of those behind it close up. */
static void drop_item(struct weft_coord_frame *frame, size_t i)
{
    weft__coord_item_fini(&frame->items[i]);
    memmove(&frame->items[i], &frame->items[i + 1], (--frame->items_n - i) * sizeof(*frame->items));
}

/* Breaks a rule, once. */
static void mutate(struct gsim *sim, struct weft_coord_frame *frame, bool doubled)
{
    if (sim->mutated || frame->items_n == 0)
        return;
    if (sim->mutant == GSIM_MUTANT_DOUBLES && doubled) {
        frame->first += frame->items_n;
        sim->mutated = true;
    }
    for (size_t i = 0; i < frame->items_n && !sim->mutated; i++) {
        struct weft_coord_item *item = &frame->items[i];
        if (sim->mutant == GSIM_MUTANT_HOLES && item->kind == WEFT_COORD_MESSAGE &&
            i + 1 < frame->items_n) {
            drop_item(frame, i);
            sim->mutated = true;
        } else if (sim->mutant == GSIM_MUTANT_EARLY && item->kind == WEFT_COORD_RELEASE) {
            item->number++;
            sim->mutated = true;
        } else if (sim->mutant == GSIM_MUTANT_THIEF && item->kind == WEFT_COORD_GRANT &&
                   item->err == WEFT_EBUSY) {
            item->err = WEFT_OK;
            sim->mutated = true;
        }
    }
}

static bool cut(const struct gsim *sim, uint32_t a, uint32_t b)
{
    bool pair = (a == sim->cut_a && b == sim->cut_b) || (a == sim->cut_b && b == sim->cut_a);
    return pair && sim->now_ns >= sim->cut_ns && sim->now_ns < sim->mended_ns;
}

static void send_copy(struct gsim *sim, uint32_t from, uint32_t to,
                      const struct weft_coord_frame *frame, bool doubled)
{
    bool rough = sim->now_ns < sim->calm_ns;
    uint64_t takes = gsim_between(sim, 30 * US, 300 * US);
    if (cut(sim, from, to) || (rough && gsim_chance(sim, sim->loss))) {
        sim->runs_faults++;
        return;
    }
    if (rough && gsim_chance(sim, sim->slow))
        takes += gsim_between(sim, 1 * MS, 30 * MS);
    if (rough && gsim_chance(sim, sim->very_slow))
        takes += gsim_between(sim, 100 * MS, 4000 * MS);
    struct gsim_event event = {.kind = GSIM_FRAME, .to = to, .frame = copy_frame(frame)};
    mutate(sim, event.frame, doubled);
    gsim_at(sim, sim->now_ns + takes, event);
}

static void host_sends(void *ctx, const struct weft_coord_peer *to,
                       const struct weft_coord_frame *frame)
{
    struct gsim_host *host = ctx;
    struct gsim *sim = host->sim;
    uint32_t index = 0;
    if (host->dying)
        return;
    while (strcmp(sim->hosts[index].self.name, to->name) != 0)
        index++;
    sim->runs_frames++;
    send_copy(sim, host->index, index, frame, false);
    if (sim->now_ns < sim->calm_ns && gsim_chance(sim, sim->doubles)) {
        sim->runs_faults++;
        send_copy(sim, host->index, index, frame, true);
    }
}

void gsim_on_frame(struct gsim *sim, struct gsim_event *event)
{
    struct gsim_host *host = &sim->hosts[event->to];
    if (!host->up)
        return;
    weft__coord_take(host->coord, event->frame, sim->now_ns);
    gsim_host_told(host);
}

/* ---- hosts ---- */

static void host_answers(void *ctx, uint64_t token, const struct weft_coord_answer *answer)
{
    struct gsim_host *host = ctx;
    struct gsim *sim = host->sim;
    struct gsim_event event = {.kind = GSIM_ANSWER, .token = token, .err = answer->err};
    if (host->dying)
        return;
    if (answer->messages_n > 0) {
        event.values = weft__must_alloc(answer->messages_n, sizeof(*event.values));
        event.values_n = answer->messages_n;
        for (size_t i = 0; i < answer->messages_n; i++)
            memcpy(&event.values[i], answer->messages[i].bytes, sizeof(*event.values));
    }
    gsim_at(sim, sim->now_ns + gsim_between(sim, 5 * US, 50 * US), event);
}

void gsim_host_told(struct gsim_host *host)
{
    uint64_t due = weft__coord_deadline(host->coord);
    if (due == WEFT_NEVER || (host->tick_at <= due && host->tick_at > host->sim->now_ns))
        return;
    host->tick_at = due > host->sim->now_ns ? due : host->sim->now_ns + 1;
    gsim_at(host->sim, host->tick_at, (struct gsim_event){.kind = GSIM_TICK, .to = host->index});
}

void gsim_host_start(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    *host = (struct gsim_host){.sim = sim, .index = index, .up = true};
    snprintf(host->self.name, sizeof(host->self.name), "%c", 'a' + (char)index);
    snprintf(host->self.url, sizeof(host->self.url), "sim://%u", index);
    host->self.incarnation = ++sim->lives;
    struct weft_coord_desc desc = {.self = host->self,
                                   .dead_ns = 3000 * MS,
                                   .idle_ns = 10000 * MS,
                                   .resend_ns = 1000 * MS,
                                   .ack_ns = 400 * MS,
                                   .ctx = host,
                                   .answer = host_answers,
                                   .send = host_sends};
    host->coord = weft__coord_new(&desc);
}

void gsim_host_stop(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    host->dying = true;
    weft__coord_free(host->coord);
    host->coord = NULL;
    host->up = false;
}

void gsim_host_hears(struct gsim *sim, uint32_t index)
{
    struct weft_coord_peer list[GSIM_HOSTS_MAX];
    size_t n = 0;
    if (!sim->hosts[index].up)
        return;
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        bool listed = sim->hosts[i].up && !sim->hosts[i].outcast;
        if (listed || sim->mutant == GSIM_MUTANT_DEAF)
            list[n++] = sim->hosts[i].self;
    }
    weft__coord_hosts(sim->hosts[index].coord, list, n, sim->now_ns);
    gsim_host_told(&sim->hosts[index]);
}
