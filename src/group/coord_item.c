/* The memory of what hosts tell each other.
 *
 * A roster is made once, by the home or by the decoder of a frame, and then only read: the home,
 * the agent and the items on their way share it by reference. Whoever holds an item holds its bytes
 * and its reference.
 */
#include <stdlib.h>

#include "base/must.h"
#include "group/coord.h"

struct weft_coord_roster *weft__coord_roster_new(uint64_t id, uint32_t n, uint32_t hosts_n)
{
    struct weft_coord_roster *roster = calloc(1, sizeof(*roster));
    if (roster == NULL)
        return NULL;
    *roster = (struct weft_coord_roster){.refs = 1,
                                         .id = id,
                                         .n = n,
                                         .hosts_n = hosts_n,
                                         .hosts = calloc(hosts_n + 1, sizeof(*roster->hosts)),
                                         .host_of = calloc(n + 1, sizeof(*roster->host_of))};
    if (roster->hosts == NULL || roster->host_of == NULL) {
        weft__coord_roster_put(roster);
        return NULL;
    }
    return roster;
}

void weft__coord_roster_put(struct weft_coord_roster *roster)
{
    if (roster == NULL || --roster->refs > 0)
        return;
    free(roster->hosts);
    free(roster->host_of);
    free(roster);
}

void weft__coord_item_fini(struct weft_coord_item *item)
{
    weft__coord_roster_put(item->roster);
    free(item->bytes);
    *item = (struct weft_coord_item){0};
}
