/* Chunks on their way between a file and memory, in buffers that are aligned for direct I/O.
 *
 * The data of a file is one stream: the extents one behind the other, cut into chunks. A chunk that
 * is on its way remembers where in the extents it begins, so that chunks can come back in any
 * order.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"
#include "snapshot/files_own.h"
#include "weft/error.h"

int weft__file_slots_init(struct weft_file_slots *slots, uint32_t n, uint32_t chunk_bytes)
{
    slots->memory_bytes = (uint64_t)n * chunk_bytes;
    void *memory =
        mmap(NULL, slots->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    slots->memory = memory == MAP_FAILED ? NULL : memory;
    slots->all = calloc(n, sizeof(*slots->all));
    if (slots->memory == NULL || slots->all == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for %u buffers of %u bytes", n, chunk_bytes);
    for (uint32_t i = 0; i < n; i++) {
        struct weft_file_slot *slot = &slots->all[i];
        slot->bytes = slots->memory + (size_t)i * chunk_bytes;
        slot->next_free = slots->free;
        slots->free = slot;
    }
    return WEFT_OK;
}

void weft__file_slots_fini(struct weft_file_slots *slots)
{
    if (slots->memory != NULL)
        (void)munmap(slots->memory, slots->memory_bytes);
    free(slots->all);
    *slots = (struct weft_file_slots){0};
}

int weft__file_slot_parts(const struct weft_file_slot *slot, const struct weft_extents *extents,
                          weft_file_part *part, void *ctx)
{
    size_t extent = slot->extent;
    uint64_t at = slot->at;
    for (uint32_t done = 0; done < slot->len_bytes;) {
        weft__check(extent < extents->n);
        const struct weft_extent *from = &extents->at[extent];
        uint64_t len = from->len_bytes - at, left = slot->len_bytes - done;
        if (len > left)
            len = left;
        int err = part(ctx, from->offset + at, slot->bytes + done, len);
        if (err != WEFT_OK)
            return err;
        done += (uint32_t)len;
        weft__file_advance(extents, &extent, &at, len);
    }
    return WEFT_OK;
}

void weft__file_advance(const struct weft_extents *extents, size_t *extent, uint64_t *at,
                        uint64_t len_bytes)
{
    while (len_bytes > 0) {
        uint64_t left = extents->at[*extent].len_bytes - *at;
        if (len_bytes < left) {
            *at += len_bytes;
            return;
        }
        len_bytes -= left;
        ++*extent;
        *at = 0;
    }
}

bool weft__file_op_rest(struct weft_file_op *op)
{
    if (op->result == -EINTR)
        return true;
    if (op->result <= 0 || (uint64_t)op->result >= op->len_bytes)
        return false;
    op->bytes = (uint8_t *)op->bytes + op->result;
    op->offset += (uint64_t)op->result;
    op->len_bytes -= (uint32_t)op->result;
    return true;
}
