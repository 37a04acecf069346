/* Deadlines, earliest first: a heap of objects that lie in their owners. No clock, no lock. */
#ifndef WEFT_CELL_TIMERS_H
#define WEFT_CELL_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct weft__timer {
    uint64_t deadline_ns;
    size_t at; /* place in the heap, from 1 on; 0: in none */
};

struct weft__timers {
    struct weft__timer **heap; /* from 1 on */
    size_t n, room;
};

/* room: how many there can be at a time.  Errors: WEFT_ENOMEM.  fini of a zeroed one is fine. */
int weft__timers_init(struct weft__timers *timers, size_t room);
void weft__timers_fini(struct weft__timers *timers);
/* deadline_ns is set; in no heap yet. */
void weft__timers_add(struct weft__timers *timers, struct weft__timer *timer);
/* Fine where it is in none. */
void weft__timers_remove(struct weft__timers *timers, struct weft__timer *timer);
/* UINT64_MAX: there is none. */
uint64_t weft__timers_first(const struct weft__timers *timers);
/* Takes out one whose time has come; NULL: none. */
struct weft__timer *weft__timers_expired(struct weft__timers *timers, uint64_t now_ns);

#endif
