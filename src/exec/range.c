/* Ranges: the layout of a rank's memory, and the check of one that has come from elsewhere.
 *
 * All parts have their largest size from the start; what is not touched is a hole of the region's
 * file and costs nothing. The window packets have a heap of their own, because the runtime's
 * threads free them while the rank's own heap belongs to its thread alone.
 *
 * Ranges lie at multiples of a power of two. Where many ranks share a core, what is at the same
 * place in each would compete for the same few entries of the processor's address translation; so
 * the parts begin at another page in each of 64 ranks.
 */
#include "exec/range.h"

#include <string.h>

#include "snapshot/region.h"
#include "weft/error.h"

#define MAGIC 0x65676e6172666577ull
#define VERSION 5
#define PAGE 4096ull
#define WINDOWS_MAX (8ull << 20)
#define WINDOWS_MIN (256ull << 10)
#define HEAP_MIN (256ull << 10)
#define COLOURS 64u

struct layout {
    uint64_t state, exposures, windows, windows_bytes, mailbox, heap, heap_bytes;
};

static uint64_t pages(uint64_t len_bytes)
{
    return (len_bytes + PAGE - 1) & ~(PAGE - 1);
}

static int lay_out(const struct weft__range_desc *desc, struct layout *layout_out)
{
    struct layout at = {.state = pages(sizeof(struct weft_cell)) +
                                 (uint64_t)desc->rank % COLOURS * PAGE};
    at.exposures = at.state + pages(sizeof(struct weft__range) +
                                    (uint64_t)desc->size * sizeof(struct weft_channel));
    at.windows = at.exposures + pages(WEFT__EXPOSURES_MAX * sizeof(struct weft__exposure));
    at.windows_bytes = pages(desc->len_bytes / 8);
    if (at.windows_bytes > WINDOWS_MAX)
        at.windows_bytes = WINDOWS_MAX;
    if (at.windows_bytes < WINDOWS_MIN)
        at.windows_bytes = WINDOWS_MIN;
    at.mailbox = at.windows + at.windows_bytes;
    at.heap = at.mailbox + desc->mailbox_bytes;
    if (at.heap + HEAP_MIN > desc->len_bytes)
        return weft_fail(WEFT_EINVAL,
                         "%llu bytes per rank are too few for a world of %d; raise --rank-memory",
                         (unsigned long long)desc->len_bytes, (int)desc->size);
    at.heap_bytes = desc->len_bytes - at.heap;
    if (desc->heap_share && at.heap_bytes / 4 > HEAP_MIN)
        at.heap_bytes =
            pages(desc->heap_share < at.heap_bytes / 4 ? desc->heap_share : at.heap_bytes / 4);
    *layout_out = at;
    return WEFT_OK;
}

static void init_state(struct weft__range *range, unsigned char *base, const struct layout *at,
                       const struct weft__range_desc *desc)
{
    range->magic = MAGIC;
    range->version = VERSION;
    range->size = desc->size;
    range->windows = weft__heap_init(base + at->windows, at->windows_bytes);
    range->windows_bytes = at->windows_bytes;
    range->program_offset = at->heap + at->heap_bytes;
    range->exposures = (void *)(base + at->exposures);
    for (int32_t i = 0; i < desc->size; i++)
        weft__channel_init(&range->channels[i]);
}

int weft__range_init(const struct weft__range_desc *desc)
{
    struct layout at = {0};
    int err = lay_out(desc, &at);
    if (err)
        return err;
    unsigned char *base = desc->base;
    struct weft__range *range = (void *)(base + at.state);
    init_state(range, base, &at, desc);
    struct weft_cell *cell = desc->base;
    cell->magic = WEFT_CELL_MAGIC;
    cell->version = WEFT_CELL_VERSION;
    cell->app = desc->app;
    cell->rank = desc->rank;
    cell->size = desc->size;
    cell->base = desc->base;
    cell->len_bytes = desc->len_bytes;
    cell->heap = weft__heap_init(base + at.heap, at.heap_bytes);
    cell->runtime = range;
    cell->mailbox.mask = desc->mailbox_bytes - 1;
    cell->mailbox.bytes = base + at.mailbox;
    return WEFT_OK;
}

static int wrong(const char *field)
{
    return weft_fail(WEFT_EPROTO, "the range that has arrived is not this rank's: its %s is wrong",
                     field);
}

int weft__range_check(const struct weft__range_desc *desc)
{
    struct layout at = {0};
    int err = lay_out(desc, &at);
    if (err)
        return err;
    unsigned char *base = desc->base;
    const struct weft_cell *cell = desc->base;
    const struct weft__range *range = (const void *)(base + at.state);
    if (cell->magic != WEFT_CELL_MAGIC || cell->version != WEFT_CELL_VERSION)
        return wrong("cell header");
    if (cell->app != desc->app || cell->rank != desc->rank || cell->size != desc->size)
        return wrong("app, rank or size");
    if (cell->base != desc->base || cell->len_bytes != desc->len_bytes)
        return wrong("address");
    if (cell->mailbox.mask != desc->mailbox_bytes - 1 || cell->mailbox.bytes != base + at.mailbox)
        return wrong("mailbox");
    if (cell->runtime != range || cell->heap != (struct weft_heap *)(void *)(base + at.heap))
        return wrong("layout");
    if (range->program_offset != at.heap + at.heap_bytes)
        return wrong("program memory");
    if (range->magic != MAGIC || range->version != VERSION || range->size != desc->size ||
        range->windows != (struct weft_heap *)(void *)(base + at.windows) ||
        range->exposures != (struct weft__exposure *)(void *)(base + at.exposures))
        return wrong("runtime state");
    return WEFT_OK;
}

/* Punches [from, to) of the mailbox, positions in its ring, whole pages only. */
static void punch(const struct weft_cell *cell, const struct weft_region *region, uint64_t from,
                  uint64_t to)
{
    uint64_t begin = pages(from), end = to & ~(PAGE - 1);
    if (begin >= end)
        return;
    uint64_t mailbox = (uint64_t)(cell->mailbox.bytes - (unsigned char *)cell->base);
    (void)weft__region_punch(region, mailbox + begin, end - begin); /* else they are moved */
}

void weft__range_trim(struct weft_cell *cell, const struct weft_region *region)
{
    struct weft_mailbox *box = &cell->mailbox;
    uint64_t capacity = box->mask + 1;
    uint64_t head = atomic_load_explicit(&box->writer.head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&box->tail, memory_order_acquire);
    if (head == tail) {
        punch(cell, region, 0, capacity);
        return;
    }
    uint64_t write = head & box->mask, read = tail & box->mask;
    if (read < write) {
        punch(cell, region, 0, read);
        punch(cell, region, write, capacity);
    } else {
        punch(cell, region, write, read);
    }
}
