/* Boxes and letters.
 *
 * Letters go from sender to box by a bounded MPSC ring and an eventfd. A sender that finds the ring
 * full leaves a waiter and looks once more; the owner takes letters and then looks for waiters.
 * Both pass the box's gate in between, an atomic that each of them adds to: whoever passes second
 * sees what the other did before, so either the sender finds the room or the owner finds the
 * waiter. (A fence would do; ThreadSanitizer does not follow fences.)
 */
#include "transport/inproc/box.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

static void box_free(struct weft_inproc_box *box)
{
    void *item;
    while (box->letters.slots && (item = weft__mpsc_pop(&box->letters)))
        free(item);
    while (box->waiters.slots && (item = weft__mpsc_pop(&box->waiters)))
        weft__inproc_waiter_put(item);
    weft__mpsc_fini(&box->letters);
    weft__mpsc_fini(&box->waiters);
    weft__wakefd_close(&box->wake);
    free(box);
}

int weft__inproc_box_new(struct weft_inproc_box **box_out)
{
    struct weft_inproc_box *box = aligned_alloc(64, (sizeof(*box) + 63) / 64 * 64);
    if (!box)
        return weft_fail(WEFT_ENOMEM, "no memory for an inproc endpoint");
    memset(box, 0, sizeof(*box));
    atomic_init(&box->refs, 1);
    int err = weft__mpsc_init(&box->letters, WEFT_INPROC_LETTERS);
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
    unsigned char *at = letter->data;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return letter;
}

bool weft__inproc_box_push(struct weft_inproc_box *box, struct weft_inproc_letter *letter)
{
    if (!weft__mpsc_push(&box->letters, letter))
        return false;
    weft__wakefd_set(&box->wake);
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

void weft__inproc_box_room(struct weft_inproc_box *box)
{
    struct weft_inproc_waiter *waiter;
    atomic_fetch_add_explicit(&box->gate, 1, memory_order_acq_rel);
    while ((waiter = weft__mpsc_pop(&box->waiters))) {
        atomic_store_explicit(&waiter->queued, false, memory_order_release);
        weft__wakefd_set(&waiter->box->wake);
        weft__inproc_waiter_put(waiter);
    }
}
