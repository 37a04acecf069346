/* Packets that wait, outside the rank's range.
 *
 * DATA is kept per source and sorted by sequence, because it is taken in that order; the lists are
 * as short as the senders' windows. Every packet is one malloc'd block with its payload. Rejected:
 * keeping them in the range, which would move packets that nobody has accepted.
 */
#include "group/hold.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

int weft__hold_init(struct weft_hold *hold, int32_t size, uint32_t packets_max, size_t bytes_max)
{
    struct weft_held **lists = calloc((size_t)size, sizeof(*lists));
    if (!lists)
        return weft_fail(WEFT_ENOMEM, "no memory to hold packets of %d ranks", (int)size);
    *hold = (struct weft_hold){
        .size = size, .by_source = lists, .packets_max = packets_max, .bytes_max = bytes_max};
    return WEFT_OK;
}

static void free_list(struct weft_held *held)
{
    while (held) {
        struct weft_held *next = held->next;
        free(held);
        held = next;
    }
}

void weft__hold_fini(struct weft_hold *hold)
{
    if (!hold->by_source)
        return;
    for (int32_t i = 0; i < hold->size; i++)
        free_list(hold->by_source[i]);
    free_list(hold->others);
    free(hold->by_source);
    *hold = (struct weft_hold){0};
}

/* Where the packet belongs: the link to the first one that is not older; NULL: it is there already.
 */
static struct weft_held **place(struct weft_hold *hold, const struct weft_packet_header *header)
{
    struct weft_held **at;
    if (header->type != WEFT_PACKET_DATA) {
        for (at = &hold->others; *at; at = &(*at)->next)
            ;
        return at;
    }
    for (at = &hold->by_source[header->source]; *at; at = &(*at)->next) {
        if ((*at)->header.sequence == header->sequence)
            return NULL;
        if ((*at)->header.sequence > header->sequence)
            break;
    }
    return at;
}

static void link_in(struct weft_hold *hold, struct weft_held **at, struct weft_held *held)
{
    held->next = *at;
    *at = held;
    hold->packets++;
    hold->bytes += held->header.payload_len;
}

int weft__hold_put(struct weft_hold *hold, const struct weft_packet_header *header,
                   const void *payload)
{
    if (hold->packets >= hold->packets_max || hold->bytes + header->payload_len > hold->bytes_max)
        return WEFT_EAGAIN;
    struct weft_held **at = place(hold, header);
    if (!at)
        return WEFT_EEXIST;
    struct weft_held *held = malloc(sizeof(*held) + header->payload_len);
    if (!held)
        return WEFT_ENOMEM;
    held->header = *header;
    if (header->payload_len)
        memcpy(held->payload, payload, header->payload_len);
    link_in(hold, at, held);
    return WEFT_OK;
}

static struct weft_held *unlink_first(struct weft_hold *hold, struct weft_held **at)
{
    struct weft_held *held = *at;
    *at = held->next;
    held->next = NULL;
    hold->packets--;
    hold->bytes -= held->header.payload_len;
    return held;
}

struct weft_held *weft__hold_take(struct weft_hold *hold, int32_t source, uint64_t sequence)
{
    struct weft_held **at = &hold->by_source[source];
    while (*at && (*at)->header.sequence < sequence)
        free(unlink_first(hold, at));
    return *at && (*at)->header.sequence == sequence ? unlink_first(hold, at) : NULL;
}

const struct weft_held *weft__hold_peek(const struct weft_hold *hold, int32_t source,
                                        uint64_t sequence)
{
    const struct weft_held *held = hold->by_source[source];
    while (held && held->header.sequence < sequence)
        held = held->next;
    return held && held->header.sequence == sequence ? held : NULL;
}

struct weft_held *weft__hold_pop(struct weft_hold *hold)
{
    if (!hold->packets)
        return NULL;
    if (hold->others)
        return weft__hold_pop_other(hold);
    for (int32_t i = 0; i < hold->size; i++) {
        int32_t source = (hold->scan + i) % hold->size;
        if (hold->by_source[source]) {
            hold->scan = source;
            return unlink_first(hold, &hold->by_source[source]);
        }
    }
    return NULL;
}

struct weft_held *weft__hold_pop_other(struct weft_hold *hold)
{
    return hold->others ? unlink_first(hold, &hold->others) : NULL;
}

void weft__hold_return(struct weft_hold *hold, struct weft_held *held)
{
    struct weft_held **at = place(hold, &held->header);
    if (at)
        link_in(hold, at, held);
    else
        free(held);
}
