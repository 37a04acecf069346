/* Boxes and letters.
 *
 * What goes from sender to box goes by bounded rings of cells and an eventfd. The owner looks at
 * the next cell of each ring and nowhere else, and writes nothing that a sender looks at for each
 * message: the count of what it has taken is read by senders once in a while, when the room that
 * they know of is used up. So a short message costs the two transfers of one cache line that the
 * bare machine needs. The first peers of a box have rings of their own, where a cell needs no
 * claim: a locked instruction before the cell is written costs a third of the whole way, because
 * nothing behind it runs ahead. Measured for 8 bytes, as multiples of a line's way: 1.1 to 1.35 in
 * a ring of one's own, 1.5 in the one that all others share, 1.9 with a ring of pointers, whose
 * slots the owner gives back one by one, and a letter for each message.
 *
 * A sender that finds its ring full leaves a waiter and looks once more; the owner takes letters
 * and then looks for waiters. Both pass the box's gate in between, an atomic that each of them adds
 * to: whoever passes second sees what the other did before, so either the sender finds the room or
 * the owner finds the waiter. (A fence would do; ThreadSanitizer does not follow fences.)
 */
#include "transport/inproc/box.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

static void box_free(struct weft_inproc_box *box)
{
    void *item;
    struct weft_inproc_cell *cell;
    for (unsigned ring = 0; ring < WEFT_INPROC_RINGS; ring++) {
        while ((cell = weft__inproc_box_peek(box, ring))) {
            if (cell->len_bytes == WEFT_INPROC_IN_LETTER)
                free(cell->letter);
            box->rings[ring].next_cell++;
        }
        free(box->rings[ring].memory);
    }
    while (box->waiters.slots && (item = weft__mpsc_pop(&box->waiters)))
        weft__inproc_waiter_put(item);
    weft__mpsc_fini(&box->waiters);
    weft__wakefd_close(&box->wake);
    free(box);
}

/* Zeroed by the kernel: cells that are never used cost no memory. */
static int cells_new(struct weft_inproc_box *box, unsigned number)
{
    struct weft_inproc_ring *ring = &box->rings[number];
    ring->memory = calloc(WEFT_INPROC_LETTERS + 1, WEFT_INPROC_CELL_BYTES);
    if (!ring->memory)
        return weft_fail(WEFT_ENOMEM, "no memory for the messages of an inproc endpoint");
    uintptr_t at = (uintptr_t)ring->memory + WEFT_INPROC_CELL_BYTES - 1;
    at -= at % WEFT_INPROC_CELL_BYTES;
    atomic_init(&ring->limit, WEFT_INPROC_LETTERS);
    atomic_store_explicit(&box->cells[number], (struct weft_inproc_cell *)at, memory_order_release);
    return WEFT_OK;
}

int weft__inproc_box_new(struct weft_inproc_box **box_out)
{
    struct weft_inproc_box *box = aligned_alloc(64, (sizeof(*box) + 63) / 64 * 64);
    if (!box)
        return weft_fail(WEFT_ENOMEM, "no memory for an inproc endpoint");
    memset(box, 0, sizeof(*box));
    atomic_init(&box->refs, 1);
    int err = cells_new(box, 0);
    if (!err)
        err = weft__mpsc_init(&box->waiters, WEFT_INPROC_WAITERS);
    if (!err)
        err = weft__wakefd_open(&box->wake);
    if (err)
        box_free(box);
    else
        *box_out = box;
    return err;
}

struct weft_inproc_box *weft__inproc_box_get(struct weft_inproc_box *box)
{
    atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return box;
}

void weft__inproc_box_put(struct weft_inproc_box *box)
{
    if (box && atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) == 1)
        box_free(box);
}

static size_t gather(unsigned char *at, const struct iovec *iov, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(at + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    return len;
}

struct weft_inproc_letter *weft__inproc_letter_new(enum weft_inproc_kind kind,
                                                   const struct iovec *iov, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += iov[i].iov_len;
    struct weft_inproc_letter *letter = malloc(sizeof(*letter) + len);
    if (!letter)
        return NULL;
    *letter = (struct weft_inproc_letter){.kind = kind, .len_bytes = len};
    gather(letter->data, iov, n);
    return letter;
}

unsigned weft__inproc_box_borrow(struct weft_inproc_box *box)
{
    for (unsigned ring = 1; ring < WEFT_INPROC_RINGS; ring++) {
        if (atomic_exchange_explicit(&box->lent[ring], true, memory_order_acquire))
            continue;
        if (box->rings[ring].memory || cells_new(box, ring) == WEFT_OK)
            return ring;
        weft__inproc_box_give_back(box, ring);
    }
    return 0;
}

void weft__inproc_box_give_back(struct weft_inproc_box *box, unsigned ring)
{
    atomic_store_explicit(&box->lent[ring], false, memory_order_release);
}

/* The number of a free cell, for the caller to fill; false: there is none. */
static bool claim(struct weft_inproc_ring *ring, bool alone, uint64_t *number_out)
{
    uint64_t number = atomic_load_explicit(&ring->head, memory_order_relaxed);
    bool mine;
    do {
        if (number >= atomic_load_explicit(&ring->limit, memory_order_acquire)) {
            uint64_t limit =
                atomic_load_explicit(&ring->tail, memory_order_acquire) + WEFT_INPROC_LETTERS;
            if (number >= limit)
                return false;
            atomic_store_explicit(&ring->limit, limit, memory_order_release);
        }
        mine = alone;
        if (alone)
            atomic_store_explicit(&ring->head, number + 1, memory_order_relaxed);
        else
            mine = atomic_compare_exchange_weak_explicit(
                &ring->head, &number, number + 1, memory_order_relaxed, memory_order_relaxed);
    } while (!mine);
    *number_out = number;
    return true;
}

/* A cell for the caller; NULL: there is none. */
static struct weft_inproc_cell *cell_claim(struct weft_inproc_box *box, unsigned ring,
                                           uint64_t *number_out)
{
    if (!claim(&box->rings[ring], ring != 0, number_out))
        return NULL;
    struct weft_inproc_cell *cells = atomic_load_explicit(&box->cells[ring], memory_order_relaxed);
    return &cells[*number_out % WEFT_INPROC_LETTERS];
}

/* Nothing that the owner looks at is written but the cell, unless the owner sleeps. Both pass the
 * door, as with the gate: the sender after the cell was filled, when it is on its way already. */
static void fill(struct weft_inproc_box *box, unsigned ring, struct weft_inproc_cell *cell,
                 uint64_t number)
{
    atomic_store_explicit(&cell->turn, number + 1, memory_order_release);
    atomic_fetch_add_explicit(&box->rings[ring].door, 1, memory_order_acq_rel);
    if (!atomic_load_explicit(&box->wake.pending, memory_order_relaxed))
        weft__wakefd_set(&box->wake);
}

bool weft__inproc_box_arm(struct weft_inproc_box *box)
{
    weft__wakefd_drain(&box->wake);
    for (unsigned ring = 0; ring < WEFT_INPROC_RINGS; ring++) {
        atomic_fetch_add_explicit(&box->rings[ring].door, 1, memory_order_acq_rel);
        if (weft__inproc_box_peek(box, ring))
            return false;
    }
    return true;
}

bool weft__inproc_box_push(struct weft_inproc_box *box, unsigned ring,
                           struct weft_inproc_letter *letter)
{
    uint64_t number;
    struct weft_inproc_cell *cell = cell_claim(box, ring, &number);
    if (!cell)
        return false;
    cell->len_bytes = WEFT_INPROC_IN_LETTER;
    cell->letter = letter;
    fill(box, ring, cell, number);
    return true;
}

bool weft__inproc_box_write(struct weft_inproc_box *box, unsigned ring, const struct iovec *iov,
                            unsigned n)
{
    uint64_t number;
    struct weft_inproc_cell *cell = cell_claim(box, ring, &number);
    if (!cell)
        return false;
    cell->len_bytes = (uint32_t)gather(cell->data, iov, n);
    fill(box, ring, cell, number);
    return true;
}

struct weft_inproc_waiter *weft__inproc_waiter_new(struct weft_inproc_box *sender)
{
    struct weft_inproc_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter) {
        atomic_init(&waiter->refs, 1);
        waiter->box = weft__inproc_box_get(sender);
    }
    return waiter;
}

void weft__inproc_waiter_put(struct weft_inproc_waiter *waiter)
{
    if (!waiter || atomic_fetch_sub_explicit(&waiter->refs, 1, memory_order_acq_rel) != 1)
        return;
    weft__inproc_box_put(waiter->box);
    free(waiter);
}

bool weft__inproc_box_wait(struct weft_inproc_box *box, struct weft_inproc_waiter *waiter)
{
    bool entered = true;
    if (!atomic_exchange_explicit(&waiter->queued, true, memory_order_acq_rel)) {
        atomic_fetch_add_explicit(&waiter->refs, 1, memory_order_relaxed);
        entered = weft__mpsc_push(&box->waiters, waiter);
        if (!entered) {
            atomic_store_explicit(&waiter->queued, false, memory_order_release);
            weft__inproc_waiter_put(waiter);
        }
    }
    atomic_fetch_add_explicit(&box->gate, 1, memory_order_acq_rel);
    return entered;
}

void weft__inproc_box_room(struct weft_inproc_box *box, unsigned ring)
{
    struct weft_inproc_waiter *waiter;
    box->rings[ring].taken = 0;
    atomic_store_explicit(&box->rings[ring].tail, box->rings[ring].next_cell, memory_order_release);
    atomic_fetch_add_explicit(&box->gate, 1, memory_order_acq_rel);
    while ((waiter = weft__mpsc_pop(&box->waiters))) {
        atomic_store_explicit(&waiter->queued, false, memory_order_release);
        weft__wakefd_set(&waiter->box->wake);
        weft__inproc_waiter_put(waiter);
    }
}
