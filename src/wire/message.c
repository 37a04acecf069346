/* protobuf-c behind an allocator with a budget.
 *
 * protobuf-c checks lengths and wire types well, but it believes the sender about amounts: two
 * bytes on the wire can become a scan entry of 40 bytes or an empty sub-message of 100, and a
 * singular sub-message that comes again and again is merged each time, which copies its repeated
 * fields and takes quadratic time. So each decode has two limits: on the bytes alive at once (what
 * the caller will hold), and on all bytes ever asked for (what the processor will work through). An
 * honest message stays far below both.
 *
 * Blocks come from malloc, so that a finished message needs no allocator of its own to be freed,
 * and malloc_usable_size() tells the budget what a freed block was worth. A size header per block
 * was rejected: it would have to be on every free path.
 */
#include "wire/message.h"

#include <malloc.h>
#include <stdlib.h>

#include "weft/error.h"
#include "wire/frame.h"

#define BUDGET_BASE ((size_t)64 << 10)
#define ALIVE_PER_BYTE 16
#define EVER_PER_BYTE 128
#define BLOCK_COST 16 /* what the heap itself needs for a block */

struct budget {
    size_t alive_left;
    size_t ever_left;
    int exceeded;
};

static void *budget_alloc(void *ctx, size_t size)
{
    struct budget *budget = ctx;
    void *block;
    size_t cost;

    if (size > budget->alive_left || size > budget->ever_left) {
        budget->exceeded = 1;
        return NULL;
    }
    block = malloc(size);
    if (block == NULL) {
        budget->exceeded = 1;
        return NULL;
    }
    cost = malloc_usable_size(block) + BLOCK_COST;
    if (cost > budget->alive_left || cost > budget->ever_left) {
        free(block);
        budget->exceeded = 1;
        return NULL;
    }
    budget->alive_left -= cost;
    budget->ever_left -= cost;
    return block;
}

static void budget_free(void *ctx, void *block)
{
    struct budget *budget = ctx;

    if (block != NULL)
        budget->alive_left += malloc_usable_size(block) + BLOCK_COST;
    free(block);
}

int weft__message_decode(const ProtobufCMessageDescriptor *type, const void *body, size_t len_bytes,
                         ProtobufCMessage **message_out)
{
    struct budget budget;
    ProtobufCAllocator allocator = {
        .alloc = budget_alloc, .free = budget_free, .allocator_data = &budget};
    ProtobufCMessage *message;

    if (len_bytes > WEFT_FRAME_BODY_MAX)
        return weft_fail(WEFT_EMSGSIZE, "a %s of %zu bytes is over the limit of %u", type->name,
                         len_bytes, WEFT_FRAME_BODY_MAX);
    budget.alive_left = ALIVE_PER_BYTE * len_bytes + BUDGET_BASE;
    budget.ever_left = EVER_PER_BYTE * len_bytes + BUDGET_BASE;
    budget.exceeded = 0;
    message = protobuf_c_message_unpack(type, &allocator, len_bytes, body);
    if (message == NULL && budget.exceeded)
        return weft_fail(WEFT_ENOMEM, "a %s of %zu bytes needs too much memory to decode",
                         type->name, len_bytes);
    if (message == NULL)
        return weft_fail(WEFT_EPROTO, "%zu bytes are not a %s", len_bytes, type->name);
    *message_out = message;
    return WEFT_OK;
}

void weft__message_free(ProtobufCMessage *message)
{
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, NULL);
}

/* A buffer of `before` bytes and the packed message behind them. */
static int pack(size_t before, const ProtobufCMessage *message, uint8_t **data_out,
                size_t *body_len_out)
{
    size_t len_bytes = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    uint8_t *data;

    if (len_bytes > WEFT_FRAME_BODY_MAX)
        return weft_fail(WEFT_EMSGSIZE, "a %s of %zu bytes is over the limit of %u",
                         message->descriptor->name, len_bytes, WEFT_FRAME_BODY_MAX);
    data = malloc(before + len_bytes + 1);
    if (data == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a message of %zu bytes", len_bytes);
    if (message != NULL)
        protobuf_c_message_pack(message, data + before);
    *data_out = data;
    *body_len_out = len_bytes;
    return WEFT_OK;
}

int weft__message_encode(const ProtobufCMessage *message, uint8_t **body_out, size_t *len_out)
{
    return pack(0, message, body_out, len_out);
}

ProtobufCMessage *weft__message_clone(const ProtobufCMessage *message)
{
    uint8_t *body;
    size_t len_bytes;
    ProtobufCMessage *copy = NULL;

    if (weft__message_encode(message, &body, &len_bytes) != WEFT_OK)
        return NULL;
    (void)weft__message_decode(message->descriptor, body, len_bytes, &copy);
    free(body);
    return copy;
}

int weft__message_frame(struct weft_frame *frame, const ProtobufCMessage *message,
                        uint8_t **data_out, size_t *len_out)
{
    size_t body_len = 0;
    int rc = pack(WEFT_FRAME_HEADER_BYTES, message, data_out, &body_len);

    if (rc != WEFT_OK)
        return rc;
    frame->body_len = (uint32_t)body_len;
    weft__frame_encode_header(frame, *data_out);
    *len_out = WEFT_FRAME_HEADER_BYTES + body_len;
    return WEFT_OK;
}
