/* Calls that wait for the registry's thread: bounded lists, under the registry's lock. */
#include <stdlib.h>

#include "registry/parts.h"
#include "weft/error.h"

#define WAITING_MAX 4096

void weft__waiting_init(struct weft__waiting_list *list)
{
    *list = (struct weft__waiting_list){.end = &list->first};
}

void weft__waiting_push(struct weft__waiting_list *list, struct weft__waiting *item)
{
    item->next = NULL;
    *list->end = item;
    list->end = &item->next;
    list->n++;
}

struct weft__waiting *weft__waiting_take(struct weft__waiting_list *list,
                                         struct weft__waiting **link)
{
    struct weft__waiting *item = *link;
    *link = item->next;
    if (list->end == &item->next)
        list->end = link;
    list->n--;
    item->next = NULL;
    return item;
}

void weft__waiting_defer(struct weft_registry *registry, struct weft__waiting_list *list,
                         struct weft__waiting item, weft_call_cancelled *gone)
{
    struct weft__waiting *copy = malloc(sizeof(*copy));
    bool full = true;
    if (copy) {
        *copy = item;
        pthread_mutex_lock(&registry->lock);
        full = list->n >= WAITING_MAX;
        if (!full) {
            weft__waiting_push(list, copy);
            if (gone) /* under the lock: nobody answers the call before it is set */
                weft__call_on_cancel(item.call, gone, registry);
            pthread_cond_signal(&registry->wake);
        }
        pthread_mutex_unlock(&registry->lock);
    }
    if (full) {
        weft__call_fail(item.call, WEFT_EAGAIN, "too many calls wait in the registry, try again");
        free(copy);
    }
}

void weft__waiting_fail(struct weft__waiting *item, int err, const char *text)
{
    weft__call_fail(item->call, err, text);
    free(item);
}
