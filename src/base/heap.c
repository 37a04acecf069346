/* The heap of a rank's region: segregated free lists with boundary tags.
 *
 * The range is cut into blocks: an 8-byte head (size and two flags), then the payload. A free block
 * carries list links after its head and its size again in its last 8 bytes, so that the block
 * behind it can merge with it. Free neighbours are always merged. Above the last block lies the
 * top, memory that is not cut yet: it has no head, so nothing of it is touched before it is needed,
 * and a free block below it becomes part of it. Lists are by size: 8 classes per power of two,
 * found by two bitmaps in constant time.
 *
 * Low addresses are preferred, so that the touched part of a region stays small: the top is used
 * only when no list has a fit (the request's own class is searched a little as well), and a list
 * keeps its lowest block in front as far as that costs nothing. A best-fit tree was rejected: it
 * fits a little tighter and touches more pages to do so. Slabs by page were rejected too: they
 * spread small blocks over the range.
 *
 * Everything the heap knows lies in the range, as addresses inside the range.
 *
 * Source: boundary tags: D. Knuth, The Art of Computer Programming 1, section 2.5; two-level lists:
 * M. Masmano et al., TLSF: a new dynamic memory allocator for real-time systems, 2004.
 */
#include "base/heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/memcheck.h"

#define ALIGNMENT ((size_t)16)
#define HEAD_BYTES sizeof(size_t)
#define BLOCK_MIN ((size_t)32) /* head, two links, size again */
#define LEN_MIN ((size_t)64 * 1024)
#define LEN_MAX ((size_t)1 << 46)

#define IN_USE ((size_t)1)
#define PREV_FREE ((size_t)2)
#define FLAGS (ALIGNMENT - 1)

#define CLASSES 8u           /* per power of two */
#define CLASSES_SHIFT 3      /* log2 of it */
#define LINEAR ((size_t)128) /* below: one class per 16 bytes */
#define LINEAR_SHIFT 7
#define ROWS 41u      /* 2^7 .. 2^46 and the linear row */
#define SEARCH_MAX 16 /* blocks looked at in the request's own class */

#define MAGIC 0x7061656874666577ull /* "wefthepa", backwards in memory */

struct block {
    size_t head;               /* size with head, a multiple of 16, and flags */
    struct block *next, *prev; /* in a list, while free */
};

struct weft_heap {
    uint64_t magic;
    uintptr_t limit; /* end of what can be handed out */
    uintptr_t first; /* first block */
    uintptr_t top;   /* end of the last block */
    uintptr_t high;  /* highest end of a block ever */
    size_t used;
    bool zeroed;   /* bytes above high are zero */
    uint64_t rows; /* bit r: some list of row r is not empty */
    uint8_t classes[ROWS];
    struct block *lists[ROWS][CLASSES];
};

_Static_assert(sizeof(struct weft_heap) <= 4096 - 64, "the heap's state fits the first page");

static size_t size_of(const struct block *block)
{
    return block->head & ~FLAGS;
}

static struct block *block_at(uintptr_t address)
{
    return (struct block *)address;
}

static struct block *behind(const struct block *block)
{
    return block_at((uintptr_t)block + size_of(block));
}

static bool is_last(const struct weft_heap *heap, const struct block *block)
{
    return (uintptr_t)block + size_of(block) == heap->top;
}

static size_t *foot_of(const struct block *block)
{
    return (size_t *)((uintptr_t)block + size_of(block) - sizeof(size_t));
}

static void *payload_of(struct block *block)
{
    return (unsigned char *)block + HEAD_BYTES;
}

struct place {
    unsigned row, class;
};

static struct place place_of(size_t size)
{
    if (size < LINEAR)
        return (struct place){0, (unsigned)(size / ALIGNMENT)};
    unsigned log = 63u - (unsigned)__builtin_clzll(size);
    unsigned class = (unsigned)(size >> (log - CLASSES_SHIFT)) & (CLASSES - 1);
    return (struct place){log - LINEAR_SHIFT + 1, class};
}

static void list_insert(struct weft_heap *heap, struct block *block)
{
    struct place at = place_of(size_of(block));
    struct block **list = &heap->lists[at.row][at.class];
    struct block *head = *list;
    heap->rows |= UINT64_C(1) << at.row;
    heap->classes[at.row] |= (uint8_t)(1u << at.class);
    if (!head || block < head) {
        block->prev = NULL;
        block->next = head;
        *list = block;
    } else {
        block->prev = head;
        block->next = head->next;
        head->next = block;
    }
    if (block->next)
        block->next->prev = block;
}

static void list_remove(struct weft_heap *heap, struct block *block)
{
    struct place at = place_of(size_of(block));
    struct block **list = &heap->lists[at.row][at.class];
    /* Links that do not agree are a write past the end of a block or after its free. */
    weft__check(block->prev ? block->prev->next == block : *list == block);
    weft__check(!block->next || block->next->prev == block);
    if (block->next)
        block->next->prev = block->prev;
    if (block->prev)
        block->prev->next = block->next;
    else
        *list = block->next;
    if (*list)
        return;
    heap->classes[at.row] &= (uint8_t) ~(1u << at.class);
    if (!heap->classes[at.row])
        heap->rows &= ~(UINT64_C(1) << at.row);
}

/* A free block of at least size bytes, still in its list; NULL: none. */
static struct block *list_find(const struct weft_heap *heap, size_t size)
{
    struct place at = place_of(size);
    struct block *block = heap->lists[at.row][at.class];
    for (int i = 0; block && i < SEARCH_MAX; i++, block = block->next) {
        if (size_of(block) >= size)
            return block;
    }
    unsigned larger = heap->classes[at.row] & (0xfeu << at.class);
    if (!larger) {
        uint64_t rows = heap->rows & (~UINT64_C(1) << at.row);
        if (!rows)
            return NULL;
        at.row = (unsigned)__builtin_ctzll(rows);
        larger = heap->classes[at.row];
    }
    return heap->lists[at.row][__builtin_ctz(larger)];
}

/* Makes [block, block + size) free: merges it with free neighbours and with the top. The block's
 * flags say whether the one before it is free; the block is in no list. */
static void release(struct weft_heap *heap, struct block *block, size_t size)
{
    if (block->head & PREV_FREE) {
        struct block *before =
            block_at((uintptr_t)block - *(size_t *)((uintptr_t)block - sizeof(size_t)));
        weft__check((uintptr_t)before >= heap->first && behind(before) == block);
        list_remove(heap, before);
        size += size_of(before);
        block = before;
    }
    if ((uintptr_t)block + size == heap->top) {
        heap->top = (uintptr_t)block;
        return;
    }
    struct block *after = block_at((uintptr_t)block + size);
    if (!(after->head & IN_USE)) {
        list_remove(heap, after);
        size += size_of(after);
        after = block_at((uintptr_t)block + size);
    }
    block->head = size;
    *foot_of(block) = size;
    after->head |= PREV_FREE;
    list_insert(heap, block);
}

/* Cuts what a live block has beyond size off its end. */
static void trim(struct weft_heap *heap, struct block *block, size_t size)
{
    size_t spare = size_of(block) - size;
    if (spare < BLOCK_MIN)
        return;
    block->head -= spare;
    heap->used -= spare;
    struct block *rest = behind(block);
    if ((uintptr_t)rest + spare == heap->top) {
        heap->top = (uintptr_t)rest; /* touches nothing: the rest may be fresh memory */
        return;
    }
    rest->head = spare | IN_USE;
    release(heap, rest, spare);
}

/* Takes size bytes from the top; NULL: not so much left. */
static struct block *take_top(struct weft_heap *heap, size_t size)
{
    if (size > heap->limit - heap->top)
        return NULL;
    struct block *block = block_at(heap->top);
    heap->top += size;
    block->head = size | IN_USE; /* the block before the top is never free */
    heap->used += size;
    return block;
}

static struct block *take(struct weft_heap *heap, size_t size)
{
    struct block *block = list_find(heap, size);
    if (!block)
        return take_top(heap, size);
    list_remove(heap, block);
    block->head |= IN_USE;
    behind(block)->head &= ~PREV_FREE; /* there is one: the last block is never free */
    heap->used += size_of(block);
    return block;
}

static void *hand_out(struct weft_heap *heap, struct block *block, size_t size)
{
    trim(heap, block, size);
    if ((uintptr_t)behind(block) > heap->high)
        heap->high = (uintptr_t)behind(block);
    return payload_of(block);
}

/* The block that a request needs; 0: more than any heap has. */
static size_t block_size(size_t len_bytes)
{
    if (len_bytes > LEN_MAX)
        return 0;
    size_t size = (len_bytes + HEAD_BYTES + FLAGS) & ~FLAGS;
    return size < BLOCK_MIN ? BLOCK_MIN : size;
}

static struct block *live_block(const struct weft_heap *heap, void *ptr)
{
    struct block *block = block_at((uintptr_t)ptr - HEAD_BYTES);
    weft__check(heap->magic == MAGIC && ((uintptr_t)ptr & FLAGS) == 0);
    weft__check((uintptr_t)block >= heap->first && (uintptr_t)block < heap->top);
    weft__check((block->head & IN_USE) && size_of(block) >= BLOCK_MIN);
    weft__check(size_of(block) <= heap->top - (uintptr_t)block);
    return block;
}

struct weft_heap *weft__heap_init(void *base, size_t len_bytes)
{
    weft__check(len_bytes >= LEN_MIN && len_bytes <= LEN_MAX);
    uintptr_t start = ((uintptr_t)base + FLAGS) & ~FLAGS;
    struct weft_heap *heap = (struct weft_heap *)start;
    memset(heap, 0, sizeof(*heap));
    heap->magic = MAGIC;
    /* Blocks lie 8 bytes off, so that payloads are aligned. */
    heap->first = ((start + sizeof(*heap) + FLAGS) & ~FLAGS) + HEAD_BYTES;
    heap->limit = (((uintptr_t)base + len_bytes - HEAD_BYTES) & ~FLAGS) + HEAD_BYTES;
    heap->top = heap->first;
    heap->high = heap->first;
    return heap;
}

void weft__heap_assume_zero(struct weft_heap *heap)
{
    heap->zeroed = heap->high == heap->first;
}

void *weft__heap_alloc(struct weft_heap *heap, size_t len_bytes)
{
    size_t size = block_size(len_bytes);
    struct block *block = size ? take(heap, size) : NULL;
    if (!block)
        return NULL;
    void *ptr = hand_out(heap, block, size);
    weft__memcheck_undefined(ptr, weft__heap_len(ptr));
    return ptr;
}

void *weft__heap_calloc(struct weft_heap *heap, size_t n, size_t len_bytes)
{
    size_t total;
    if (__builtin_mul_overflow(n, len_bytes, &total))
        return NULL;
    uintptr_t fresh = heap->zeroed ? heap->high : UINTPTR_MAX;
    unsigned char *ptr = weft__heap_alloc(heap, total);
    if (!ptr)
        return NULL;
    weft__memcheck_defined(ptr, total);
    if ((uintptr_t)ptr < fresh)
        memset(ptr, 0, fresh - (uintptr_t)ptr < total ? fresh - (uintptr_t)ptr : total);
    return ptr;
}

void *weft__heap_alloc_aligned(struct weft_heap *heap, size_t align, size_t len_bytes)
{
    weft__check(align != 0 && (align & (align - 1)) == 0);
    if (align <= ALIGNMENT)
        return weft__heap_alloc(heap, len_bytes);
    size_t size = block_size(len_bytes);
    if (!size || align > LEN_MAX)
        return NULL;
    /* Room for the worst gap in front, which must be able to be a block itself. */
    struct block *block = take(heap, size + align + BLOCK_MIN);
    if (!block)
        return NULL;
    uintptr_t payload = (uintptr_t)payload_of(block);
    uintptr_t aligned = (payload + align - 1) & ~(uintptr_t)(align - 1);
    if (aligned != payload && aligned - payload < BLOCK_MIN)
        aligned += align;
    size_t gap = aligned - payload;
    if (gap) {
        struct block *whole = block;
        block = block_at((uintptr_t)whole + gap);
        block->head = (size_of(whole) - gap) | IN_USE;
        heap->used -= gap;
        whole->head = gap | IN_USE | (whole->head & PREV_FREE);
        release(heap, whole, gap);
    }
    void *ptr = hand_out(heap, block, size);
    weft__memcheck_undefined(ptr, weft__heap_len(ptr));
    return ptr;
}

/* Makes a live block at least size bytes by taking what is free behind it. */
static bool grow_in_place(struct weft_heap *heap, struct block *block, size_t size)
{
    size_t have = size_of(block), more;
    if (is_last(heap, block)) {
        more = size - have;
        if (more > heap->limit - heap->top)
            return false;
        heap->top += more;
    } else {
        struct block *after = behind(block);
        if (after->head & IN_USE || have + size_of(after) < size)
            return false;
        list_remove(heap, after);
        more = size_of(after);
        behind(after)->head &= ~PREV_FREE;
    }
    block->head += more;
    heap->used += more;
    return true;
}

void *weft__heap_realloc(struct weft_heap *heap, void *ptr, size_t len_bytes)
{
    if (!ptr)
        return weft__heap_alloc(heap, len_bytes);
    struct block *block = live_block(heap, ptr);
    size_t size = block_size(len_bytes);
    if (!size)
        return NULL;
    size_t have = weft__heap_len(ptr);
    if (size <= size_of(block) || grow_in_place(heap, block, size)) {
        (void)hand_out(heap, block, size);
        if (weft__heap_len(ptr) > have)
            weft__memcheck_undefined((unsigned char *)ptr + have, weft__heap_len(ptr) - have);
        return ptr;
    }
    void *moved = weft__heap_alloc(heap, len_bytes);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, size_of(block) - HEAD_BYTES);
    weft__heap_free(heap, ptr);
    return moved;
}

void weft__heap_free(struct weft_heap *heap, void *ptr)
{
    if (!ptr)
        return;
    struct block *block = live_block(heap, ptr);
    size_t size = size_of(block);
    weft__memcheck_undefined(ptr, size - HEAD_BYTES);
    heap->used -= size;
    block->head &=
        ~IN_USE; /* a second free sees it, also where the block became part of the top's memory */
    release(heap, block, size);
}

size_t weft__heap_len(const void *ptr)
{
    return size_of(block_at((uintptr_t)ptr - HEAD_BYTES)) - HEAD_BYTES;
}

size_t weft__heap_used(const struct weft_heap *heap)
{
    return heap->used;
}

size_t weft__heap_high(const struct weft_heap *heap)
{
    return heap->high - (uintptr_t)heap;
}

size_t weft__heap_end(const struct weft_heap *heap)
{
    return heap->top - (uintptr_t)heap;
}

/* Whether each listed block is free and in the list of its size; counts them. */
static bool lists_are_sound(const struct weft_heap *heap, size_t *listed_out)
{
    size_t listed = 0;
    for (unsigned row = 0; row < ROWS; row++) {
        if (((heap->rows >> row) & 1) != (heap->classes[row] != 0))
            return false;
        for (unsigned class = 0; class < CLASSES; class ++) {
            const struct block *block = heap->lists[row][class];
            if (((heap->classes[row] >> class) & 1u) != (block != NULL))
                return false;
            for (const struct block *prev = NULL; block;
                 prev = block, block = block->next, listed++) {
                struct place at = place_of(size_of(block));
                if (block->prev != prev || block->head & IN_USE || at.row != row ||
                    at.class != class)
                    return false;
            }
        }
    }
    *listed_out = listed;
    return true;
}

int weft__heap_verify(const struct weft_heap *heap)
{
    size_t listed, free_blocks = 0, used = 0;
    if (heap->magic != MAGIC || heap->top > heap->high || heap->high > heap->limit)
        return 1;
    if (!lists_are_sound(heap, &listed))
        return 2;
    bool prev_free = false;
    for (uintptr_t at = heap->first; at != heap->top;) {
        const struct block *block = block_at(at);
        size_t size = size_of(block);
        if (size < BLOCK_MIN || size > heap->top - at)
            return 3;
        if (!!(block->head & PREV_FREE) != prev_free)
            return 4;
        bool is_free = !(block->head & IN_USE);
        if (is_free && (prev_free || *foot_of(block) != size))
            return 5;
        if (is_free)
            free_blocks++;
        else
            used += size;
        prev_free = is_free;
        at += size;
    }
    if (prev_free || free_blocks != listed)
        return 6;
    return used == heap->used ? 0 : 7;
}
