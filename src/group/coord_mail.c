/* The receiver keeps a message until it is asked for a later one, so that an answer that is lost,
 * or comes too late, costs no message. The sender counts what it has sent against what the receiver
 * has said to have consumed; it is told of every QUARTER of the box, so that one who is out of
 * credit always hears again, and pays one item for many messages. A box that is not bounded moves
 * the memory of a slow receiver into the host; one that blocks its host's workers stops everybody.
 */
#include "group/coord_mail.h"

#include <stdlib.h>

#include "base/must.h"

enum { QUARTER_MESSAGES = WEFT_COORD_BOX_MESSAGES / 4, QUARTER_BYTES = WEFT_COORD_BOX_BYTES / 4 };

void weft__coord_box_init(struct weft_coord_box *box, uint32_t from)
{
    *box = (struct weft_coord_box){.from = from, .first = 1};
}

static struct weft_coord_bytes *message(const struct weft_coord_box *box, uint64_t number)
{
    return &box->messages[number % box->max];
}

static void drop_first(struct weft_coord_box *box)
{
    struct weft_coord_bytes *first = message(box, box->first);
    box->size += first->len_bytes;
    box->held -= first->len_bytes + WEFT_COORD_MESSAGE_COST;
    free((void *)(uintptr_t)first->bytes);
    *first = (struct weft_coord_bytes){0};
    box->first++;
    box->n--;
}

void weft__coord_box_fini(struct weft_coord_box *box)
{
    while (box->n > 0)
        drop_first(box);
    free(box->messages);
    box->messages = NULL;
    box->max = 0;
}

static void grow(struct weft_coord_box *box)
{
    struct weft_coord_box larger = *box;
    larger.max = box->max > 0 ? 2 * box->max : 8;
    larger.messages = weft__must_alloc(larger.max, sizeof(*larger.messages));
    for (uint64_t i = box->first; i < box->first + box->n; i++)
        *message(&larger, i) = *message(box, i);
    free(box->messages);
    *box = larger;
}

bool weft__coord_box_put(struct weft_coord_box *box, uint8_t *bytes, size_t len_bytes)
{
    if (box->n == WEFT_COORD_BOX_MESSAGES) {
        free(bytes);
        return false;
    }
    if (box->n == box->max)
        grow(box);
    *message(box, box->first + box->n) =
        (struct weft_coord_bytes){.bytes = bytes, .len_bytes = len_bytes};
    box->n++;
    box->held += len_bytes + WEFT_COORD_MESSAGE_COST;
    return true;
}

void weft__coord_box_received(struct weft_coord_box *box, uint64_t number)
{
    while (box->n > 0 && box->first < number)
        drop_first(box);
}

size_t weft__coord_box_look(const struct weft_coord_box *box, struct weft_coord_bytes *out,
                            size_t max, size_t max_bytes)
{
    size_t n = 0, bytes = 0;
    while (n < box->n && n < max && bytes < max_bytes) {
        out[n] = *message(box, box->first + n);
        bytes += out[n++].len_bytes;
    }
    return n;
}

bool weft__coord_box_tell(struct weft_coord_box *box)
{
    if (box->first - 1 - box->told < QUARTER_MESSAGES && box->size - box->told_size < QUARTER_BYTES)
        return false;
    box->told = box->first - 1;
    box->told_size = box->size;
    return true;
}

bool weft__coord_credit_room(const struct weft_coord_credit *credit)
{
    return credit->sent - credit->consumed < WEFT_COORD_BOX_MESSAGES &&
           credit->sent_size - credit->consumed_size < WEFT_COORD_BOX_BYTES;
}
