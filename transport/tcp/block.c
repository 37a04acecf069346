/* Buffers for messages that do not arrive in one piece: a few are kept, because the next message
 * is mostly as big as the last one.
 */
#include <stdlib.h>

#include "transport/tcp/endpoint.h"

#define SMALLEST ((size_t)4096)

struct weft_tcp_block *weft__tcp_block_take(struct weft_tcp_ep *ep, size_t len)
{
    size_t capacity = SMALLEST;
    for (unsigned i = ep->blocks_n; i-- > 0;) {
        struct weft_tcp_block *block = ep->blocks[i];
        if (block->capacity < len)
            continue;
        ep->blocks[i] = ep->blocks[--ep->blocks_n];
        return block;
    }
    while (capacity < len)
        capacity *= 2;
    struct weft_tcp_block *block = malloc(sizeof(*block) + capacity);
    if (block)
        block->capacity = capacity;
    return block;
}

/* The kept ones are the largest that there were, up to WEFT_TCP_BLOCK_MAX. */
void weft__tcp_block_give(struct weft_tcp_ep *ep, struct weft_tcp_block *block)
{
    if (block->capacity > WEFT_TCP_BLOCK_MAX) {
        free(block);
        return;
    }
    if (ep->blocks_n < WEFT_TCP_BLOCKS) {
        ep->blocks[ep->blocks_n++] = block;
        return;
    }
    unsigned least = 0;
    for (unsigned i = 1; i < ep->blocks_n; i++)
        if (ep->blocks[i]->capacity < ep->blocks[least]->capacity)
            least = i;
    if (ep->blocks[least]->capacity < block->capacity) {
        struct weft_tcp_block *smaller = ep->blocks[least];
        ep->blocks[least] = block;
        block = smaller;
    }
    free(block);
}

void weft__tcp_blocks_free(struct weft_tcp_ep *ep)
{
    while (ep->blocks_n)
        free(ep->blocks[--ep->blocks_n]);
}
