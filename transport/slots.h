/* Numbered objects: a 32-bit id stands for a pointer, and an id that was taken out is never given
 * again, so that a late use of it finds nothing. For the peers and operations of one endpoint; one
 * thread at a time. */
#ifndef WEFT_TRANSPORT_SLOTS_H
#define WEFT_TRANSPORT_SLOTS_H

#include <stdint.h>

struct weft_slot {
    void *item;
    uint32_t next; /* free list: index + 1 */
    uint16_t turn; /* upper half of the id; a slot whose turns are used up is retired */
};

struct weft_slots {
    struct weft_slot *slots;
    uint32_t capacity; /* slots that exist */
    uint32_t used;     /* slots ever used */
    uint32_t free;     /* index + 1 */
    uint32_t live;
    uint32_t max; /* of live */
};

/* max: 1 to 32768 objects at a time. */
void weft__slots_init(struct weft_slots *slots, uint32_t max);
void weft__slots_fini(struct weft_slots *slots); /* fine on a zeroed one */
/* Errors: WEFT_ENOSPC max reached, or all ids used up; WEFT_ENOMEM. ids are never 0. */
int weft__slots_put(struct weft_slots *slots, void *item, uint32_t *id_out);
void *weft__slots_find(const struct weft_slots *slots, uint32_t id); /* NULL: no such id */
void *weft__slots_take(struct weft_slots *slots, uint32_t id);       /* find and remove */
/* Walks all objects: start with *cursor = 0; NULL: the end. Removing what was returned is fine. */
void *weft__slots_next(const struct weft_slots *slots, uint32_t *cursor, uint32_t *id_out);

#endif
