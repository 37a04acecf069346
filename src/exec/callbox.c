/* Two doubly linked lists through the calls themselves: a call that is cancelled or late leaves
 * from the middle, and nothing is allocated. Taken calls are few, and found by walking. */
#include "exec/callbox.h"

#include <stdbool.h>
#include <stddef.h>

#include <utlist.h>

#include "weft/error.h"

#define HINT_MAX_MS 1000u
#define EACH_SHARE 8 /* the newest call's share in the average: one eighth */

static uint32_t hint_ms(const struct weft__callbox *box)
{
    uint64_t ms = box->each_ns * box->waiting_n / 2 / 1000000u; /* half of them gone */
    if (ms > HINT_MAX_MS)
        return HINT_MAX_MS;
    return ms > 0 ? (uint32_t)ms : 1;
}

int weft__callbox_put(struct weft__callbox *box, struct weft_exec_call *call, uint32_t max)
{
    bool fits =
        box->waiting_n == 0 || (call->len_bytes <= WEFT__CALLS_BYTES_MAX &&
                                box->waiting_bytes <= WEFT__CALLS_BYTES_MAX - call->len_bytes);
    if (box->waiting_n >= max || !fits) {
        int err = weft_fail(WEFT_EAGAIN, "%u calls of %llu bytes wait for it already",
                            box->waiting_n, (unsigned long long)box->waiting_bytes);
        weft_fail_set_retry_ms(hint_ms(box));
        return err;
    }
    call->id = ++box->ids;
    call->cancelled = false;
    DL_APPEND(box->waiting, call);
    box->waiting_n++;
    box->waiting_bytes += call->len_bytes;
    return WEFT_OK;
}

static void unlink_waiting(struct weft__callbox *box, struct weft_exec_call *call)
{
    DL_DELETE(box->waiting, call);
    box->waiting_n--;
    box->waiting_bytes -= call->len_bytes;
}

struct weft_exec_call *weft__callbox_late(struct weft__callbox *box, uint64_t now_ns)
{
    struct weft_exec_call *late = NULL, *call, *next;
    DL_FOREACH_SAFE(box->waiting, call, next)
    {
        if (call->deadline_ns > now_ns)
            continue;
        unlink_waiting(box, call);
        LL_PREPEND(late, call);
    }
    return late;
}

struct weft_exec_call *weft__callbox_take(struct weft__callbox *box, uint64_t now_ns)
{
    struct weft_exec_call *call = box->waiting;
    if (call == NULL)
        return NULL;
    unlink_waiting(box, call);
    call->taken_ns = now_ns;
    DL_APPEND(box->taken, call);
    box->taken_n++;
    return call;
}

struct weft_exec_call *weft__callbox_find(const struct weft__callbox *box, uint64_t id)
{
    struct weft_exec_call *call;
    DL_FOREACH(box->taken, call)
    if (call->id == id)
        return call;
    return NULL;
}

void weft__callbox_answered(struct weft__callbox *box, struct weft_exec_call *call, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - call->taken_ns;
    DL_DELETE(box->taken, call);
    box->taken_n--;
    if (box->each_ns == 0)
        box->each_ns = took_ns;
    box->each_ns = box->each_ns - box->each_ns / EACH_SHARE + took_ns / EACH_SHARE;
}

struct weft_exec_call *weft__callbox_cancel(struct weft__callbox *box, const void *key)
{
    struct weft_exec_call *call;
    DL_FOREACH(box->taken, call)
    if (call->key == key)
        call->cancelled = true;
    DL_FOREACH(box->waiting, call)
    if (call->key == key) {
        unlink_waiting(box, call);
        call->next = NULL;
        return call;
    }
    return NULL;
}

struct weft_exec_call *weft__callbox_empty(struct weft__callbox *box)
{
    struct weft_exec_call *all = box->waiting;
    box->waiting = NULL;
    box->waiting_n = 0;
    box->waiting_bytes = 0;
    return all;
}

struct weft_exec_call *weft__callbox_empty_taken(struct weft__callbox *box)
{
    struct weft_exec_call *all = box->taken;
    box->taken = NULL;
    box->taken_n = 0;
    return all;
}
