/* The registry is the one thing that all inproc endpoints share, and its mutex is the only lock of
 * this transport. It stands for what the kernel's port table and a network card's key table do for
 * the others: it is taken to open, close, connect, answer, register, and to check the key of each
 * slice of a copy; never while bytes are copied, and never to send.
 *
 * A copy pins its range under the lock and copies without it. Who unregisters takes the range out
 * first, so no new pin comes, and then waits for the pins to go: at most the time of one slice.
 */
#include "transport/inproc/registry.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

struct entry { /* an open port */
    struct entry *next;
    struct weft_inproc_box *box;
    uint16_t port;
    unsigned index;
    enum weft_tp_port_mode mode;
    char name[WEFT_INPROC_NAME_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct weft_inproc_box *boxes;
static struct entry *entries;
static uint64_t serials;
static _Atomic uint64_t leaves;

void weft__inproc_enter(struct weft_inproc_box *box)
{
    pthread_mutex_lock(&lock);
    box->serial = ++serials;
    box->next = boxes;
    boxes = box;
    pthread_mutex_unlock(&lock);
}

static void drop_ports(const struct weft_inproc_box *box)
{
    struct entry **at = &entries;
    while (*at) {
        struct entry *entry = *at;
        if (entry->box != box) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        free(entry);
    }
}

static void wait_unpinned(const struct weft_tp_region *region)
{
    while (atomic_load_explicit(&region->pins, memory_order_acquire) > 0)
        sched_yield();
}

static void drop_ranges(struct weft_inproc_box *box)
{
    struct weft_range *range;
    for (;;) {
        pthread_mutex_lock(&lock);
        range = weft__keys_any(&box->keys);
        if (range)
            weft__keys_remove(&box->keys, range);
        pthread_mutex_unlock(&lock);
        if (!range)
            return;
        struct weft_tp_region *region = (struct weft_tp_region *)(void *)range;
        wait_unpinned(region);
        free(region);
    }
}

void weft__inproc_leave(struct weft_inproc_box *box)
{
    pthread_mutex_lock(&lock);
    struct weft_inproc_box **at = &boxes;
    while (*at != box)
        at = &(*at)->next;
    *at = box->next;
    drop_ports(box);
    atomic_store_explicit(&box->closed, true, memory_order_release);
    atomic_fetch_add_explicit(&leaves, 1, memory_order_acq_rel);
    for (struct weft_inproc_box *other = boxes; other; other = other->next)
        weft__wakefd_set(&other->wake);
    pthread_mutex_unlock(&lock);
    drop_ranges(box);
}

uint64_t weft__inproc_leaves(void)
{
    return atomic_load_explicit(&leaves, memory_order_acquire);
}

struct weft_inproc_box *weft__inproc_find(uint64_t serial)
{
    pthread_mutex_lock(&lock);
    struct weft_inproc_box *box = boxes;
    while (box && box->serial != serial)
        box = box->next;
    if (box)
        weft__inproc_box_get(box);
    pthread_mutex_unlock(&lock);
    return box;
}

static struct entry *entry_find(const char *name, uint16_t port)
{
    struct entry *entry = entries;
    while (entry && (entry->port != port || strcmp(entry->name, name) != 0))
        entry = entry->next;
    return entry;
}

int weft__inproc_port_add(struct weft_inproc_box *box, const struct weft_inproc_port *port,
                          uint16_t *port_out)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return weft_fail(WEFT_ENOMEM, "no memory for a port");
    entry->box = box;
    entry->mode = port->mode;
    entry->index = port->index;
    strncpy(entry->name, port->name, sizeof(entry->name) - 1);
    pthread_mutex_lock(&lock);
    uint32_t at = port->first;
    while (at <= port->last && entry_find(port->name, (uint16_t)at))
        at++;
    if (at <= port->last) {
        entry->port = (uint16_t)at;
        entry->next = entries;
        entries = entry;
    }
    pthread_mutex_unlock(&lock);
    if (at <= port->last) {
        *port_out = (uint16_t)at;
        return WEFT_OK;
    }
    free(entry);
    if (port->first == port->last)
        return weft_fail(WEFT_EADDRINUSE, "port %u of %s is in use", port->first, port->name);
    return weft_fail(WEFT_EADDRINUSE, "every port of %u-%u of %s is in use", port->first,
                     port->last, port->name);
}

struct weft_inproc_box *weft__inproc_port_find(const struct weft_inproc_port *port,
                                               unsigned *index_out)
{
    struct weft_inproc_box *box = NULL;
    pthread_mutex_lock(&lock);
    const struct entry *entry = entry_find(port->name, port->first);
    if (entry && entry->mode == port->mode) {
        box = weft__inproc_box_get(entry->box);
        *index_out = entry->index;
    }
    pthread_mutex_unlock(&lock);
    return box;
}

int weft__inproc_range_add(struct weft_tp_region *region)
{
    pthread_mutex_lock(&lock);
    int err = weft__keys_add(&region->box->keys, &region->range);
    pthread_mutex_unlock(&lock);
    return err;
}

void weft__inproc_range_remove(struct weft_tp_region *region)
{
    pthread_mutex_lock(&lock);
    weft__keys_remove(&region->box->keys, &region->range);
    pthread_mutex_unlock(&lock);
    wait_unpinned(region);
}

int weft__inproc_pin(struct weft_inproc_box *box, const struct weft_keys_ask *ask,
                     struct weft_tp_region **region_out)
{
    struct weft_range *range;
    pthread_mutex_lock(&lock);
    int err = atomic_load_explicit(&box->closed, memory_order_relaxed)
                  ? WEFT_EPEERDEAD
                  : weft__keys_lookup(&box->keys, ask, &range);
    if (!err) {
        *region_out = (struct weft_tp_region *)(void *)range;
        atomic_fetch_add_explicit(&(*region_out)->pins, 1, memory_order_acquire);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void weft__inproc_unpin(struct weft_tp_region *region)
{
    atomic_fetch_sub_explicit(&region->pins, 1, memory_order_release);
}
