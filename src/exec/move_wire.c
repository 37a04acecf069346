/* The descriptor of a move, little endian: a fixed part, then the lane address, then the image,
 * then the pages that exist (move_pages.c). The image has its own version and checksum. */
#include <stdlib.h>
#include <string.h>

#include "exec/move.h"
#include "group/bytes.h"
#include "weft/error.h"

#define MAGIC 0x564f4d57u /* "WMOV" */
#define VERSION 2
#define FIXED_BYTES 184u

int weft__move_encode(const struct weft__move *move, uint8_t **bytes_out, size_t *len_out)
{
    size_t lane_len = strnlen(move->lane, sizeof(move->lane) - 1);
    size_t len = FIXED_BYTES + lane_len + move->image_len + move->touched_len;
    uint8_t *bytes = calloc(1, len);
    if (!bytes)
        return weft_fail(WEFT_ENOMEM, "no memory to describe the move of rank %d", (int)move->rank);
    weft__put_u32(bytes, MAGIC);
    weft__put_u16(bytes + 4, VERSION);
    weft__put_u16(bytes + 6, (uint16_t)lane_len);
    weft__put_u64(bytes + 8, move->app);
    weft__put_u32(bytes + 16, (uint32_t)move->rank);
    weft__put_u32(bytes + 20, (uint32_t)move->size);
    weft__put_u64(bytes + 24, move->base);
    weft__put_u64(bytes + 32, move->stride);
    weft__put_u32(bytes + 40, move->incarnation);
    weft__put_u32(bytes + 44, move->executor);
    weft__put_u32(bytes + 48, move->build_id_len);
    weft__put_u32(bytes + 52, move->finished);
    memcpy(bytes + 56, move->build_id, WEFT_BUILD_ID_MAX);
    weft__put_u64(bytes + 120, move->entry_offset);
    weft__put_u64(bytes + 128, move->argument);
    weft__put_u64(bytes + 136, move->clock_ns);
    weft__put_u64(bytes + 144, move->wall_ms);
    weft__put_u64(bytes + 152, move->image_len);
    weft__put_u32(bytes + 160, (uint32_t)move->code);
    weft__put_u32(bytes + 164, move->running);
    weft__put_u32(bytes + 168, move->round);
    weft__put_u64(bytes + 176, move->touched_len);
    memcpy(bytes + FIXED_BYTES, move->lane, lane_len);
    if (move->image_len)
        memcpy(bytes + FIXED_BYTES + lane_len, move->image, move->image_len);
    if (move->touched_len)
        memcpy(bytes + FIXED_BYTES + lane_len + move->image_len, move->touched, move->touched_len);
    *bytes_out = bytes;
    *len_out = len;
    return WEFT_OK;
}

static int check_lengths(const uint8_t *bytes, size_t len)
{
    if (len < FIXED_BYTES || weft__take_u32(bytes) != MAGIC)
        return weft_fail(WEFT_EPROTO, "%zu bytes are no descriptor of a move", len);
    if (weft__take_u16(bytes + 4) != VERSION)
        return weft_fail(WEFT_EVERSION, "descriptor of a move of version %u, not %d",
                         weft__take_u16(bytes + 4), VERSION);
    size_t lane_len = weft__take_u16(bytes + 6);
    uint64_t image_len = weft__take_u64(bytes + 152), touched_len = weft__take_u64(bytes + 176);
    if (lane_len >= WEFT_LANE_ADDRESS_MAX || lane_len > len - FIXED_BYTES ||
        image_len > len - FIXED_BYTES - lane_len ||
        touched_len != len - FIXED_BYTES - lane_len - image_len ||
        weft__take_u32(bytes + 48) > WEFT_BUILD_ID_MAX)
        return weft_fail(WEFT_EPROTO, "the descriptor of a move is malformed");
    return WEFT_OK;
}

int weft__move_decode(const void *data, size_t len_bytes, struct weft__move *move_out)
{
    const uint8_t *bytes = data;
    int err = check_lengths(bytes, len_bytes);
    if (err)
        return err;
    size_t lane_len = weft__take_u16(bytes + 6);
    *move_out = (struct weft__move){
        .app = weft__take_u64(bytes + 8),
        .rank = (int32_t)weft__take_u32(bytes + 16),
        .size = (int32_t)weft__take_u32(bytes + 20),
        .base = weft__take_u64(bytes + 24),
        .stride = weft__take_u64(bytes + 32),
        .incarnation = weft__take_u32(bytes + 40),
        .executor = weft__take_u32(bytes + 44),
        .build_id_len = weft__take_u32(bytes + 48),
        .finished = weft__take_u32(bytes + 52),
        .entry_offset = weft__take_u64(bytes + 120),
        .argument = weft__take_u64(bytes + 128),
        .clock_ns = weft__take_u64(bytes + 136),
        .wall_ms = weft__take_u64(bytes + 144),
        .image_len = weft__take_u64(bytes + 152),
        .code = (int32_t)weft__take_u32(bytes + 160),
        .running = weft__take_u32(bytes + 164),
        .round = weft__take_u32(bytes + 168),
        .touched_len = weft__take_u64(bytes + 176),
        .image = bytes + FIXED_BYTES + lane_len,
    };
    move_out->touched = move_out->image + move_out->image_len;
    memcpy(move_out->build_id, bytes + 56, WEFT_BUILD_ID_MAX);
    memcpy(move_out->lane, bytes + FIXED_BYTES, lane_len);
    return WEFT_OK;
}
