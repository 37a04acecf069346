/* A binary heap, each timer knowing its place, so that one can be taken out of the middle: most
 * waits end before their time. */
#include "cell/timers.h"

#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

int weft__timers_init(struct weft__timers *timers, size_t room)
{
    *timers = (struct weft__timers){.room = room};
    timers->heap = (struct weft__timer **)calloc(room + 1, sizeof(struct weft__timer *));
    return timers->heap ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for %zu timers", room);
}

void weft__timers_fini(struct weft__timers *timers)
{
    free((void *)timers->heap);
    timers->heap = NULL;
}

static void put(struct weft__timers *timers, size_t at, struct weft__timer *timer)
{
    timers->heap[at] = timer;
    timer->at = at;
}

static void rise(struct weft__timers *timers, size_t at, struct weft__timer *timer)
{
    for (; at > 1 && timers->heap[at / 2]->deadline_ns > timer->deadline_ns; at /= 2)
        put(timers, at, timers->heap[at / 2]);
    put(timers, at, timer);
}

static void sink(struct weft__timers *timers, size_t at, struct weft__timer *timer)
{
    for (;;) {
        size_t next = 2 * at;
        if (next < timers->n &&
            timers->heap[next + 1]->deadline_ns < timers->heap[next]->deadline_ns)
            next++;
        if (next > timers->n || timers->heap[next]->deadline_ns >= timer->deadline_ns)
            break;
        put(timers, at, timers->heap[next]);
        at = next;
    }
    put(timers, at, timer);
}

void weft__timers_add(struct weft__timers *timers, struct weft__timer *timer)
{
    weft__check(timers->n < timers->room && timer->at == 0);
    rise(timers, ++timers->n, timer);
}

void weft__timers_remove(struct weft__timers *timers, struct weft__timer *timer)
{
    size_t at = timer->at;
    if (at == 0)
        return;
    timer->at = 0;
    struct weft__timer *last = timers->heap[timers->n--];
    if (last == timer)
        return;
    if (at > 1 && timers->heap[at / 2]->deadline_ns > last->deadline_ns)
        rise(timers, at, last);
    else
        sink(timers, at, last);
}

uint64_t weft__timers_first(const struct weft__timers *timers)
{
    return timers->n ? timers->heap[1]->deadline_ns : UINT64_MAX;
}

struct weft__timer *weft__timers_expired(struct weft__timers *timers, uint64_t now_ns)
{
    if (timers->n == 0 || timers->heap[1]->deadline_ns > now_ns)
        return NULL;
    struct weft__timer *timer = timers->heap[1];
    weft__timers_remove(timers, timer);
    return timer;
}
