/* A list under a mutex. Measured against a ring with a futex per worker, it is as fast with the two
 * workers that a service has (the sockets are the limit), and it alone keeps the promise that no
 * call waits while a worker sleeps: with a ring per worker the choice is made when the call
 * arrives, not when a worker becomes free.
 *
 * Invariant: a sleeper is counted from before it sleeps until after it woke, so `length > sleepers`
 * says that no worker is on its way to the newest call; only then is another worker worth starting.
 */
#include "control/queue.h"

#include "control/call.h"
#include "weft/error.h"

void weft__queue_init(struct weft_queue *queue, size_t length_max) WEFT_LOCK_UNCHECKED
{
    weft__lock_init(&queue->lock);
    pthread_cond_init(&queue->filled, NULL);
    queue->head = NULL;
    queue->tail = &queue->head;
    queue->length = 0;
    queue->sleepers = 0;
    queue->closed = false;
    queue->length_max = length_max;
}

void weft__queue_fini(struct weft_queue *queue)
{
    pthread_cond_destroy(&queue->filled);
    weft__lock_fini(&queue->lock);
}

int weft__queue_push(struct weft_queue *queue, struct weft_call *call, bool *short_out)
{
    int rc = WEFT_EAGAIN;

    weft__lock_take(&queue->lock);
    if (queue->length < queue->length_max && !queue->closed) {
        call->next = NULL;
        *queue->tail = call;
        queue->tail = &call->next;
        queue->length++;
        *short_out = queue->length > queue->sleepers;
        if (queue->sleepers > 0)
            pthread_cond_signal(&queue->filled);
        rc = WEFT_OK;
    }
    weft__lock_drop(&queue->lock);
    return rc;
}

struct weft_call *weft__queue_pop(struct weft_queue *queue)
{
    struct weft_call *call;

    weft__lock_take(&queue->lock);
    while (queue->head == NULL && !queue->closed) {
        queue->sleepers++;
        weft__lock_sleep(&queue->lock, &queue->filled);
        queue->sleepers--;
    }
    call = queue->head;
    if (call != NULL) {
        queue->head = call->next;
        if (queue->head == NULL)
            queue->tail = &queue->head;
        queue->length--;
    }
    weft__lock_drop(&queue->lock);
    return call;
}

bool weft__queue_remove(struct weft_queue *queue, struct weft_call *call)
{
    struct weft_call **at = &queue->head;
    bool found;

    weft__lock_take(&queue->lock);
    while (*at != NULL && *at != call)
        at = &(*at)->next;
    found = *at != NULL;
    if (found) {
        *at = call->next;
        if (queue->tail == &call->next)
            queue->tail = at;
        queue->length--;
    }
    weft__lock_drop(&queue->lock);
    return found;
}

struct weft_call *weft__queue_remove_late(struct weft_queue *queue, uint64_t now_ns)
{
    struct weft_call **at = &queue->head, *late = NULL, **late_tail = &late;

    weft__lock_take(&queue->lock);
    while (*at != NULL) {
        struct weft_call *call = *at;

        if (call->deadline_ns > now_ns) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        *late_tail = call;
        late_tail = &call->next;
        queue->length--;
    }
    *late_tail = NULL;
    queue->tail = at;
    weft__lock_drop(&queue->lock);
    return late;
}

size_t weft__queue_length(struct weft_queue *queue)
{
    size_t length;

    weft__lock_take(&queue->lock);
    length = queue->length;
    weft__lock_drop(&queue->lock);
    return length;
}

struct weft_call *weft__queue_close(struct weft_queue *queue)
{
    struct weft_call *left;

    weft__lock_take(&queue->lock);
    left = queue->head;
    queue->head = NULL;
    queue->tail = &queue->head;
    queue->length = 0;
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    weft__lock_drop(&queue->lock);
    return left;
}
