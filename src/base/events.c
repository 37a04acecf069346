/* A ring that is written over.
 *
 * Each slot carries a turn: 2 x sequence - 1 while the event is being written, 2 x sequence when it
 * is whole. A writer takes the next sequence by one addition, and the slot by a compare-and-swap
 * from an even turn that is older; where that fails another writer has stood still for a whole
 * round of the ring, and the event is skipped and counted rather than mixed with the other one. A
 * reader copies a slot and looks at the turn before and after: it has changed, so the event is
 * gone. The content is copied in relaxed 8-byte steps, so that both sides may do that at once. A
 * lock was rejected: a writer would wait for a reader that was just put to sleep.
 *
 * Measured (scripts/bench plan): 0.1 us to record, half of it for the two clocks.
 */
#include "base/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "weft/error.h"

enum { WORDS = (sizeof(struct weft_event) - sizeof(uint64_t)) / sizeof(uint64_t) };
_Static_assert(WORDS * sizeof(uint64_t) + sizeof(uint64_t) == sizeof(struct weft_event), "padding");

struct weft_event_slot {
    _Atomic uint64_t turn;
    _Atomic uint64_t words[WORDS]; /* of the event, behind its sequence */
};

int weft__events_init(struct weft_events *events, size_t capacity)
{
    if (capacity < 2 || (capacity & (capacity - 1)) != 0)
        return weft_fail(WEFT_EINVAL,
                         "a ring of %zu events: the capacity must be a power of two, 2 or more",
                         capacity);
    memset(events, 0, sizeof(*events));
    events->slots = calloc(capacity, sizeof(*events->slots));
    if (events->slots == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a ring of %zu events", capacity);
    events->mask = capacity - 1;
    return WEFT_OK;
}

void weft__events_fini(struct weft_events *events)
{
    free(events->slots);
    events->slots = NULL;
}

void weft__events_add(struct weft_events *events, const struct weft_event *event)
{
    uint64_t words[WORDS];
    if (events->slots == NULL || event->kind >= WEFT_EVENT_KINDS)
        return;
    uint64_t sequence = 1 + atomic_fetch_add_explicit(&events->head, 1, memory_order_relaxed);
    struct weft_event_slot *slot = &events->slots[sequence & events->mask];
    uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_relaxed);
    atomic_fetch_add_explicit(&events->kinds[event->kind], 1, memory_order_relaxed);
    if ((turn & 1) != 0 || turn > 2 * sequence ||
        !atomic_compare_exchange_strong_explicit(&slot->turn, &turn, 2 * sequence - 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&events->skipped, 1, memory_order_relaxed);
        return;
    }
    memcpy(words, &event->time_ns, sizeof(words));
    for (size_t i = 0; i < WORDS;
         i++) /* release: whoever sees a word sees the odd turn before it */
        atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
    atomic_store_explicit(&slot->turn, 2 * sequence, memory_order_release);
}

void weft__events_note(struct weft_events *events, const struct weft_event_note *note)
{
    uint64_t now_ns = weft__now_ns(), at_ns = note->mono_ns != 0 ? note->mono_ns : now_ns;
    struct weft_event event = {.time_ns = weft__wall_ns() - (now_ns - at_ns),
                               .mono_ns = at_ns,
                               .app = note->app,
                               .kind = note->kind,
                               .rank = note->rank};
    memcpy(event.n, note->n, sizeof(event.n));
    size_t used = 0;
    for (size_t i = 0; i < WEFT_EVENT_TEXTS_MAX; i++) {
        const char *text = note->text[i] != NULL ? note->text[i] : "";
        size_t room = sizeof(event.text) - used - (WEFT_EVENT_TEXTS_MAX - i); /* an end for each */
        size_t len = strnlen(text, room);
        memcpy(event.text + used, text, len);
        used += len + 1;
    }
    weft__events_add(events, &event);
}

static _Atomic(struct weft_events *) own;
static _Atomic uint64_t own_app;

void weft__events_own(struct weft_events *events, uint64_t app)
{
    atomic_store(&own_app, app);
    atomic_store(&own, events);
}

void weft__events_here(const struct weft_event_note *note)
{
    struct weft_events *events = atomic_load(&own);
    struct weft_event_note ours = *note;
    if (events == NULL)
        return;
    ours.app = atomic_load(&own_app);
    weft__events_note(events, &ours);
}

/* Whether the event of this sequence was there, and whole. */
static int read_slot(const struct weft_event_slot *slot, uint64_t sequence,
                     struct weft_event *event_out)
{
    uint64_t words[WORDS];
    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != 2 * sequence)
        return 0;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
    if (atomic_load_explicit(&slot->turn, memory_order_relaxed) != 2 * sequence)
        return 0;
    event_out->sequence = sequence;
    memcpy(&event_out->time_ns, words, sizeof(words));
    return 1;
}

size_t weft__events_read(const struct weft_events *events, uint64_t *next_io,
                         struct weft_event *events_out, size_t max, uint64_t *lost_io)
{
    size_t n = 0;
    uint64_t head = atomic_load_explicit(&events->head, memory_order_acquire);
    uint64_t kept = events->slots != NULL ? events->mask + 1 : 0;
    uint64_t oldest = head > kept ? head - kept + 1 : 1, next = *next_io;
    if (next == 0)
        next = oldest;
    if (next < oldest) {
        *lost_io += oldest - next;
        next = oldest;
    }
    while (next <= head && n < max && kept > 0) {
        if (read_slot(&events->slots[next & events->mask], next, &events_out[n]))
            n++;
        else if (head - next >= kept / 2) /* overtaken, or skipped */
            ++*lost_io;
        else
            break; /* it is just being written */
        next++;
    }
    *next_io = next;
    return n;
}

uint64_t weft__events_count(const struct weft_events *events, enum weft_event_kind kind)
{
    return atomic_load_explicit(&events->kinds[kind], memory_order_relaxed);
}
