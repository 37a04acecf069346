/* The newest events of a process, in a ring of fixed size: the oldest ones make room.
 *
 * Any thread records and any thread reads, without locks: recording never waits, allocates or calls
 * the kernel (about 0.1 us, of which the two clocks are half). A reader keeps the number of the
 * next event that it wants, and learns how many it has missed. */
#ifndef WEFT_BASE_EVENTS_H
#define WEFT_BASE_EVENTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/event.h"

#define WEFT_EVENT_NO_RANK (-1)

struct weft_event {
    uint64_t sequence; /* in its ring, from 1 */
    uint64_t time_ns, mono_ns;
    uint64_t app; /* 0: none */
    uint32_t kind;
    int32_t rank;
    uint64_t n[WEFT_EVENT_NUMBERS_MAX];
    char text[WEFT_EVENT_TEXT_MAX]; /* texts, one behind the other, each with its '\0' */
};

/* What somebody wants to record; fields that the kind does not have are not looked at. */
struct weft_event_note {
    enum weft_event_kind kind;
    uint64_t app;
    int32_t rank;
    uint64_t mono_ns; /* when it happened; 0: now */
    uint64_t n[WEFT_EVENT_NUMBERS_MAX];
    const char *text[WEFT_EVENT_TEXTS_MAX]; /* NULL: empty */
};

struct weft_event_slot;

struct weft_events {
    struct weft_event_slot *slots; /* NULL: nothing is kept */
    size_t mask;
    _Atomic uint64_t head;    /* events that were ever recorded */
    _Atomic uint64_t skipped; /* that another one was just written over */
    _Atomic uint64_t kinds[WEFT_EVENT_KINDS];
};

/* capacity: a power of two; 256 bytes each.  Errors: WEFT_EINVAL, WEFT_ENOMEM. fini of a zeroed
 * ring is fine. */
int weft__events_init(struct weft_events *events, size_t capacity);
void weft__events_fini(struct weft_events *events);

/* Records what has just happened.  Thread: any.  Blocks: no. */
void weft__events_note(struct weft_events *events, const struct weft_event_note *note);
/* Records an event with its times as they are, such as another process has told. Thread: any. */
void weft__events_add(struct weft_events *events, const struct weft_event *event);

/* Copies up to max events from *next_io on (0: from the oldest one), and moves that on; *lost_io
 * grows by those that are not there any more. Returns how many; 0: no newer ones yet. Thread: any.
 */
size_t weft__events_read(const struct weft_events *events, uint64_t *next_io,
                         struct weft_event *events_out, size_t max, uint64_t *lost_io);
/* The ring of this process, for what happens in layers that know of no host and no app; NULL: none
 * (any more). app: whose process it is. Thread: one, before and after all others note. */
void weft__events_own(struct weft_events *events, uint64_t app);
/* Records in that ring, with its app.  Thread: any.  Blocks: no. */
void weft__events_here(const struct weft_event_note *note);
/* How many events of a kind were ever recorded. */
uint64_t weft__events_count(const struct weft_events *events, enum weft_event_kind kind);

#endif
