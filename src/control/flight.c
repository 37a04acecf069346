/* Slots and a binary heap over them.
 *
 * A correlation id is the slot's number and how often the slot was used, so a reply finds its
 * request without hashing, and the late reply to a request that has ended finds nothing, even when
 * the slot is in use again. A timer wheel was rejected: there are at most a few thousand entries,
 * each added and removed once, and the heap gives the exact next deadline to sleep to.
 */
#include "control/flight.h"

#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

int weft__flights_init(struct weft_flights *flights, size_t capacity)
{
    flights->slots = calloc(capacity, sizeof(*flights->slots));
    flights->heap = calloc(capacity, sizeof(struct weft_flight *));
    if (flights->slots == NULL || flights->heap == NULL) {
        weft__flights_fini(flights);
        return weft_fail(WEFT_ENOMEM, "no memory for %zu requests under way", capacity);
    }
    flights->capacity = capacity;
    flights->n = 0;
    for (size_t i = 0; i < capacity; i++)
        flights->slots[i].next_free = i + 1 < capacity ? (uint32_t)(i + 2) : 0;
    flights->free = 1;
    return WEFT_OK;
}

void weft__flights_fini(struct weft_flights *flights)
{
    free(flights->slots);
    free(flights->heap);
    flights->slots = NULL;
    flights->heap = NULL;
}

static void place(struct weft_flights *flights, size_t at, struct weft_flight *flight)
{
    flights->heap[at] = flight;
    flight->heap_at = at;
}

static void sift_up(struct weft_flights *flights, struct weft_flight *flight)
{
    size_t at = flight->heap_at;

    while (at > 0 && flights->heap[(at - 1) / 2]->deadline_ns > flight->deadline_ns) {
        place(flights, at, flights->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(flights, at, flight);
}

static void sift_down(struct weft_flights *flights, struct weft_flight *flight)
{
    size_t at = flight->heap_at;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < flights->n &&
            flights->heap[child + 1]->deadline_ns < flights->heap[child]->deadline_ns)
            child++;
        if (child >= flights->n || flights->heap[child]->deadline_ns >= flight->deadline_ns)
            break;
        place(flights, at, flights->heap[child]);
        at = child;
    }
    place(flights, at, flight);
}

bool weft__flights_add(struct weft_flights *flights, struct weft_flight *flight)
{
    struct weft_flight_slot *slot;
    uint32_t index;

    if (flights->free == 0)
        return false;
    index = flights->free - 1;
    slot = &flights->slots[index];
    flights->free = slot->next_free;
    slot->flight = flight;
    slot->turn++;
    if (slot->turn == 0)
        slot->turn = 1; /* 0 is no correlation */
    flight->correlation = ((uint64_t)slot->turn << 32) | index;
    place(flights, flights->n++, flight);
    sift_up(flights, flight);
    return true;
}

void weft__flights_remove(struct weft_flights *flights, struct weft_flight *flight)
{
    uint32_t index = (uint32_t)flight->correlation;
    struct weft_flight *last = flights->heap[--flights->n];

    weft__check(flights->slots[index].flight == flight);
    if (last != flight) {
        place(flights, flight->heap_at, last);
        sift_up(flights, last);
        sift_down(flights, last);
    }
    flights->slots[index].flight = NULL;
    flights->slots[index].next_free = flights->free;
    flights->free = index + 1;
    flight->correlation = 0;
}

struct weft_flight *weft__flights_find(const struct weft_flights *flights, uint64_t correlation)
{
    uint32_t index = (uint32_t)correlation;
    struct weft_flight *flight = index < flights->capacity ? flights->slots[index].flight : NULL;

    return flight != NULL && flight->correlation == correlation ? flight : NULL;
}

struct weft_flight *weft__flights_earliest(const struct weft_flights *flights)
{
    return flights->n == 0 ? NULL : flights->heap[0];
}
