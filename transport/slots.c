/* A table of slots with a free list. An id is (turn << 16 | index); taking an object out raises its
 * slot's turn, and a slot whose 65,535 turns are used up is retired. So ids are unique for the
 * table's life, which a plain index is not, and the table stays as small as the largest number of
 * live objects, which a counter with a hash would also give, at the price of a hash on every send.
 */
#include "transport/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

#define INDEX_MAX 65536u

void weft__slots_init(struct weft_slots *slots, uint32_t max)
{
    assert(max > 0 && max <= INDEX_MAX / 2);
    memset(slots, 0, sizeof(*slots));
    slots->max = max;
}

void weft__slots_fini(struct weft_slots *slots)
{
    free(slots->slots);
    memset(slots, 0, sizeof(*slots));
}

static int grow(struct weft_slots *slots)
{
    uint32_t capacity = slots->capacity ? slots->capacity * 2 : 16;
    if (slots->capacity == INDEX_MAX)
        return weft_fail(WEFT_ENOSPC, "all ids of this endpoint are used up; reopen it");
    struct weft_slot *more = realloc(slots->slots, capacity * sizeof(*more));
    if (!more)
        return weft_fail(WEFT_ENOMEM, "no memory for %u ids", capacity);
    memset(more + slots->capacity, 0, (capacity - slots->capacity) * sizeof(*more));
    slots->slots = more;
    slots->capacity = capacity;
    return WEFT_OK;
}

int weft__slots_put(struct weft_slots *slots, void *item, uint32_t *id_out)
{
    assert(item);
    if (slots->live == slots->max)
        return weft_fail(WEFT_ENOSPC, "the limit of %u is reached", slots->max);
    uint32_t index;
    if (slots->free) {
        index = slots->free - 1;
        slots->free = slots->slots[index].next;
    } else {
        if (slots->used == slots->capacity) {
            int err = grow(slots);
            if (err)
                return err;
        }
        index = slots->used++;
        slots->slots[index].turn = 1;
    }
    slots->slots[index].item = item;
    slots->live++;
    *id_out = (uint32_t)slots->slots[index].turn << 16 | index;
    return WEFT_OK;
}

static struct weft_slot *slot_of(const struct weft_slots *slots, uint32_t id)
{
    uint32_t index = id & (INDEX_MAX - 1);
    if (index >= slots->used)
        return NULL;
    struct weft_slot *slot = &slots->slots[index];
    return slot->item && slot->turn == id >> 16 ? slot : NULL;
}

void *weft__slots_find(const struct weft_slots *slots, uint32_t id)
{
    const struct weft_slot *slot = slot_of(slots, id);
    return slot ? slot->item : NULL;
}

void *weft__slots_take(struct weft_slots *slots, uint32_t id)
{
    struct weft_slot *slot = slot_of(slots, id);
    if (!slot)
        return NULL;
    void *item = slot->item;
    slot->item = NULL;
    slots->live--;
    if (slot->turn < UINT16_MAX) {
        slot->turn++;
        slot->next = slots->free;
        slots->free = (uint32_t)(slot - slots->slots) + 1;
    }
    return item;
}

void *weft__slots_next(const struct weft_slots *slots, uint32_t *cursor, uint32_t *id_out)
{
    while (*cursor < slots->used) {
        const struct weft_slot *slot = &slots->slots[*cursor];
        (*cursor)++;
        if (slot->item) {
            *id_out = (uint32_t)slot->turn << 16 | (*cursor - 1);
            return slot->item;
        }
    }
    return NULL;
}
