/* Slots and a binary heap over them.
 *
 * A correlation id is the slot's number and how often the slot was used, so a reply finds its
 * request without hashing, and the late reply to a request that has ended finds nothing, even when
 * the slot is in use again. Tickets are made by the threads that start requests, which know no
 * slot: they are consecutive numbers, so their low bits spread them evenly over the chains. A timer
 * wheel was rejected: there are at most a few thousand entries, each added and removed once, and
 * the heap gives the exact next deadline to sleep to.
 */
#include "control/flight.h"

#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

void weft__flight_free(struct weft_flight *flight)
{
    free(flight->why);
    free(flight->frame);
    free(flight);
}

int weft__flights_init(struct weft_flights *flights, size_t capacity)
{
    size_t chains = 1;

    while (chains < capacity)
        chains *= 2;
    flights->slots = calloc(capacity, sizeof(*flights->slots));
    flights->heap = calloc(capacity, sizeof(struct weft_flight *));
    flights->tickets = calloc(chains, sizeof(struct weft_flight *));
    flights->ticket_mask = chains - 1;
    if (flights->slots == NULL || flights->heap == NULL || flights->tickets == NULL) {
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
    free(flights->tickets);
    flights->slots = NULL;
    flights->heap = NULL;
    flights->tickets = NULL;
}

static void place(struct weft_flights *flights, size_t at, struct weft_flight *flight)
{
    flights->heap[at] = flight;
    flight->heap_at = at;
}

static void sift_up(struct weft_flights *flights, struct weft_flight *flight)
{
    size_t at = flight->heap_at;

    while (at > 0 && flights->heap[(at - 1) / 2]->wake_ns > flight->wake_ns) {
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
            flights->heap[child + 1]->wake_ns < flights->heap[child]->wake_ns)
            child++;
        if (child >= flights->n || flights->heap[child]->wake_ns >= flight->wake_ns)
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
    flight->wake_ns = flight->deadline_ns;
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

void weft__flights_wake(struct weft_flights *flights, struct weft_flight *flight, uint64_t wake_ns)
{
    flight->wake_ns = wake_ns;
    sift_up(flights, flight);
    sift_down(flights, flight);
}

void weft__flights_add_ticket(struct weft_flights *flights, struct weft_flight *flight)
{
    struct weft_flight **chain = &flights->tickets[flight->ticket & flights->ticket_mask];

    if (flight->ticket == 0)
        return;
    flight->ticket_next = *chain;
    *chain = flight;
}

void weft__flights_remove_ticket(struct weft_flights *flights, struct weft_flight *flight)
{
    struct weft_flight **at = &flights->tickets[flight->ticket & flights->ticket_mask];

    if (flight->ticket == 0)
        return;
    while (*at != flight)
        at = &(*at)->ticket_next;
    *at = flight->ticket_next;
}

struct weft_flight *weft__flights_find_ticket(const struct weft_flights *flights, uint64_t ticket)
{
    struct weft_flight *flight = flights->tickets[ticket & flights->ticket_mask];

    while (flight != NULL && flight->ticket != ticket)
        flight = flight->ticket_next;
    return flight;
}
