#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)

static void *map_range(size_t len_bytes)
{
    void *base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(base, MAP_FAILED);
    madvise(base, len_bytes, MADV_NOHUGEPAGE);
    return base;
}

static size_t touched_pages(void *base, size_t len_bytes)
{
    static unsigned char present[64 * 1024];
    assert_true(len_bytes / PAGE <= sizeof(present));
    assert_int_equal(mincore(base, len_bytes, present), 0);
    size_t n = 0;
    for (size_t i = 0; i < len_bytes / PAGE; i++)
        n += present[i] & 1u;
    return n;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Fresh heap of a mapped range for one case. */
struct fixture {
    void *base;
    size_t len_bytes;
    struct weft_heap *heap;
};

static struct fixture setup(size_t len_bytes)
{
    struct fixture fixture = {.base = map_range(len_bytes), .len_bytes = len_bytes};
    fixture.heap = weft__heap_init(fixture.base, len_bytes);
    return fixture;
}

static void teardown(struct fixture *fixture)
{
    assert_int_equal(weft__heap_verify(fixture->heap), 0);
    munmap(fixture->base, fixture->len_bytes);
}

static void init_touches_one_page(void **state)
{
    (void)state;
    struct fixture f = setup(256 * MIB);
    assert_int_equal(touched_pages(f.base, f.len_bytes), 1);
    assert_int_equal(weft__heap_used(f.heap), 0);
    teardown(&f);
}

static void a_large_block_touches_its_head_only(void **state)
{
    (void)state;
    struct fixture f = setup(256 * MIB);
    void *a = weft__heap_alloc(f.heap, 100 * MIB), *b = weft__heap_alloc(f.heap, 100 * MIB);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(touched_pages(f.base, f.len_bytes) <= 3);
    teardown(&f);
}

static void calloc_of_fresh_memory_touches_nothing_but_heads(void **state)
{
    (void)state;
    struct fixture f = setup(256 * MIB);
    weft__heap_assume_zero(f.heap);
    unsigned char *block = weft__heap_calloc(f.heap, 100, MIB);
    assert_non_null(block);
    assert_true(touched_pages(f.base, f.len_bytes) <= 2);
    for (size_t i = 0; i < 100 * MIB; i += PAGE / 2)
        assert_int_equal(block[i], 0);
    teardown(&f);
}

static void calloc_of_used_memory_is_zero(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    weft__heap_assume_zero(f.heap);
    unsigned char *dirty = weft__heap_alloc(f.heap, 5000);
    memset(dirty, 0xff, 5000);
    weft__heap_free(f.heap, dirty);
    /* Partly used before, partly fresh. */
    unsigned char *block = weft__heap_calloc(f.heap, 3, 3000);
    assert_ptr_equal(block, dirty);
    for (size_t i = 0; i < 9000; i++)
        assert_int_equal(block[i], 0);
    teardown(&f);
}

static void calloc_without_the_promise_clears_everything(void **state)
{
    (void)state;
    void *base = map_range(MIB);
    memset(base, 0xff, MIB);
    struct weft_heap *heap = weft__heap_init(base, MIB);
    unsigned char *block = weft__heap_calloc(heap, 1, 9000);
    for (size_t i = 0; i < 9000; i++)
        assert_int_equal(block[i], 0);
    munmap(base, MIB);
}

static void the_promise_of_zeroes_comes_too_late_after_an_alloc(void **state)
{
    (void)state;
    void *base = map_range(MIB);
    memset(base, 0xff, MIB);
    struct weft_heap *heap = weft__heap_init(base, MIB);
    assert_non_null(weft__heap_alloc(heap, 10));
    weft__heap_assume_zero(heap);
    unsigned char *block = weft__heap_calloc(heap, 1, 9000);
    assert_int_equal(block[8999], 0);
    munmap(base, MIB);
}

static void blocks_are_aligned_and_hold_what_was_asked_for(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    for (size_t len = 0; len < 300; len++) {
        void *block = weft__heap_alloc(f.heap, len);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        assert_true(weft__heap_len(block) >= len);
        memset(block, 0xaa, weft__heap_len(block));
    }
    teardown(&f);
}

static void empty_blocks_differ(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    void *a = weft__heap_alloc(f.heap, 0), *b = weft__heap_alloc(f.heap, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    teardown(&f);
}

static void a_full_heap_says_so_and_goes_on(void **state)
{
    (void)state;
    struct fixture f = setup(64 * 1024);
    assert_null(weft__heap_alloc(f.heap, 64 * 1024));
    assert_null(weft__heap_alloc(f.heap, SIZE_MAX));
    assert_null(weft__heap_alloc(f.heap, SIZE_MAX - 64));
    assert_null(weft__heap_calloc(f.heap, SIZE_MAX / 2, 3));
    assert_null(weft__heap_calloc(f.heap, 64, 1024));
    assert_null(weft__heap_alloc_aligned(f.heap, 4096, 62 * 1024));
    assert_null(weft__heap_alloc_aligned(f.heap, 4096, SIZE_MAX));
    assert_null(weft__heap_alloc_aligned(f.heap, (size_t)1 << 47, 1));
    assert_int_equal(weft__heap_used(f.heap), 0);
    unsigned n = 0;
    void *last = NULL;
    for (void *block; (block = weft__heap_alloc(f.heap, 1000)); n++)
        last = block;
    assert_true(n >= 58);
    weft__heap_free(f.heap, last);
    assert_ptr_equal(weft__heap_alloc(f.heap, 1000), last);
    teardown(&f);
}

static void the_whole_range_can_be_one_block(void **state)
{
    (void)state;
    struct fixture f = setup(64 * 1024);
    unsigned char *block = weft__heap_alloc(f.heap, 60 * 1024);
    assert_non_null(block);
    memset(block, 1, weft__heap_len(block));
    weft__heap_free(f.heap, block);
    assert_int_equal(weft__heap_used(f.heap), 0);
    assert_true(weft__heap_end(f.heap) < 4096);
    assert_true(weft__heap_high(f.heap) >= 60 * 1024);
    teardown(&f);
}

static void an_unaligned_range_is_served_too(void **state)
{
    (void)state;
    unsigned char *base = map_range(MIB);
    struct weft_heap *heap = weft__heap_init(base + 5, MIB - 9);
    unsigned char *block;
    while ((block = weft__heap_alloc(heap, 10000))) {
        assert_int_equal((uintptr_t)block % 16, 0);
        assert_true(block >= base + 5 && block + 10000 <= base + MIB - 4);
    }
    assert_int_equal(weft__heap_verify(heap), 0);
    munmap(base, MIB);
}

static void neighbours_merge_in_every_order(void **state)
{
    (void)state;
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct fixture f = setup(MIB);
    for (unsigned i = 0; i < 6; i++) {
        void *blocks[3];
        for (unsigned j = 0; j < 3; j++)
            blocks[j] = weft__heap_alloc(f.heap, 1000);
        void *guard = weft__heap_alloc(f.heap, 16);
        for (unsigned j = 0; j < 3; j++) {
            weft__heap_free(f.heap, blocks[orders[i][j]]);
            assert_int_equal(weft__heap_verify(f.heap), 0);
        }
        void *whole = weft__heap_alloc(f.heap, 3000);
        assert_ptr_equal(whole, blocks[0]);
        weft__heap_free(f.heap, whole);
        weft__heap_free(f.heap, guard);
        assert_int_equal(weft__heap_used(f.heap), 0);
    }
    teardown(&f);
}

static void free_blocks_are_used_before_fresh_memory(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    void *blocks[20];
    for (unsigned i = 0; i < 20; i++)
        blocks[i] = weft__heap_alloc(f.heap, 500);
    size_t high = weft__heap_high(f.heap);
    for (unsigned i = 0; i < 20; i += 2)
        weft__heap_free(f.heap, blocks[i]);
    for (unsigned i = 0; i < 10; i++)
        assert_non_null(weft__heap_alloc(f.heap, 500));
    assert_int_equal(weft__heap_high(f.heap), high);
    teardown(&f);
}

static void free_of_null_does_nothing(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    weft__heap_free(f.heap, NULL);
    teardown(&f);
}

static void aligned_blocks_are_aligned_and_freed_whole(void **state)
{
    (void)state;
    struct fixture f = setup(16 * MIB);
    void *blocks[60];
    unsigned n = 0;
    for (size_t align = 1; align <= MIB; align *= 2) {
        for (size_t len = 1; len < 10000; len = len * 100 + 7) {
            void *block = weft__heap_alloc_aligned(f.heap, align, len);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % align, 0);
            memset(block, 0xbb, len);
            assert_int_equal(weft__heap_verify(f.heap), 0);
            blocks[n++] = block;
        }
    }
    while (n > 0) {
        weft__heap_free(f.heap, blocks[--n]);
        assert_int_equal(weft__heap_verify(f.heap), 0);
    }
    assert_int_equal(weft__heap_used(f.heap), 0);
    assert_true(weft__heap_end(f.heap) < 4096);
    teardown(&f);
}

static void realloc_stays_in_place_where_it_can(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    unsigned char *a = weft__heap_realloc(f.heap, NULL, 100); /* NULL: alloc */
    memset(a, 7, 100);
    assert_ptr_equal(weft__heap_realloc(f.heap, a, 5000), a); /* the top is behind it */
    void *b = weft__heap_alloc(f.heap, 5000);
    void *guard = weft__heap_alloc(f.heap, 16);
    weft__heap_free(f.heap, b);
    assert_ptr_equal(weft__heap_realloc(f.heap, a, 9000), a); /* a free block is behind it */
    assert_ptr_equal(weft__heap_realloc(f.heap, a, 200), a);  /* shrinks */
    assert_int_equal(weft__heap_verify(f.heap), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(a[i], 7);
    size_t used = weft__heap_used(f.heap);
    assert_true(used < 300);
    weft__heap_free(f.heap, guard);
    teardown(&f);
}

static void realloc_moves_the_bytes_when_it_must(void **state)
{
    (void)state;
    struct fixture f = setup(MIB);
    unsigned char *a = weft__heap_alloc(f.heap, 1000);
    void *guard = weft__heap_alloc(f.heap, 16);
    for (unsigned i = 0; i < 1000; i++)
        a[i] = (unsigned char)i;
    unsigned char *moved = weft__heap_realloc(f.heap, a, 2000);
    assert_ptr_not_equal(moved, a);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(moved[i], (unsigned char)i);
    assert_ptr_equal(weft__heap_alloc(f.heap, 1000), a); /* the old place is free */
    weft__heap_free(f.heap, guard);
    teardown(&f);
}

static void a_failed_realloc_leaves_the_block_alone(void **state)
{
    (void)state;
    struct fixture f = setup(64 * 1024);
    unsigned char *a = weft__heap_alloc(f.heap, 1000);
    memset(a, 9, 1000);
    assert_null(weft__heap_realloc(f.heap, a, 64 * 1024));
    assert_null(weft__heap_realloc(f.heap, a, SIZE_MAX));
    void *guard = weft__heap_alloc(f.heap, 16);
    assert_null(weft__heap_realloc(f.heap, a, 62 * 1024));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(a[i], 9);
    weft__heap_free(f.heap, guard);
    weft__heap_free(f.heap, a);
    assert_int_equal(weft__heap_used(f.heap), 0);
    teardown(&f);
}

/* ---- against a model ---- */

#define LIVE_MAX 600u
#define OPERATIONS 100000u

struct live {
    unsigned char *block;
    uint32_t len;
    unsigned char fill;
};

/* The live blocks as the test believes them to be; plain data, so that it can lie in a heap itself.
 */
struct model {
    uint64_t random;
    unsigned n;
    size_t live_bytes, live_bytes_max;
    struct live live[LIVE_MAX];
};

static size_t random_len(uint64_t *random)
{
    uint64_t x = next_random(random);
    switch (x % 16) {
    case 0:
        return (x >> 8) % 20000;
    case 1:
    case 2:
        return (x >> 8) % 3000;
    default:
        return (x >> 8) % 200;
    }
}

static bool holds_its_fill(const struct live *live, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (live->block[i] != live->fill)
            return false;
    }
    return true;
}

static void model_fill(struct model *model, struct live *live, unsigned char *block, size_t len)
{
    live->block = block;
    live->len = (uint32_t)len;
    live->fill = (unsigned char)next_random(&model->random);
    memset(block, live->fill, len);
    model->live_bytes += len;
    if (model->live_bytes > model->live_bytes_max)
        model->live_bytes_max = model->live_bytes;
}

static bool model_add(struct model *model, struct weft_heap *heap)
{
    size_t len = random_len(&model->random);
    uint64_t kind = next_random(&model->random) % 8;
    unsigned char *block;
    if (kind == 0) {
        size_t align = (size_t)1 << next_random(&model->random) % 13;
        block = weft__heap_alloc_aligned(heap, align, len);
        if ((uintptr_t)block % align != 0)
            return false;
    } else if (kind == 1) {
        block = weft__heap_calloc(heap, 1, len);
        struct live zeroes = {block, 0, 0};
        if (block && !holds_its_fill(&zeroes, len))
            return false;
    } else {
        block = weft__heap_alloc(heap, len);
    }
    if (!block)
        return false;
    model_fill(model, &model->live[model->n++], block, len);
    return true;
}

static bool model_remove(struct model *model, struct weft_heap *heap)
{
    unsigned i = (unsigned)(next_random(&model->random) % model->n);
    struct live *live = &model->live[i];
    if (!holds_its_fill(live, live->len))
        return false;
    weft__heap_free(heap, live->block);
    model->live_bytes -= live->len;
    *live = model->live[--model->n];
    return true;
}

static bool model_resize(struct model *model, struct weft_heap *heap)
{
    struct live *live = &model->live[next_random(&model->random) % model->n];
    size_t len = random_len(&model->random);
    unsigned char *block = weft__heap_realloc(heap, live->block, len);
    if (!block)
        return false;
    struct live kept = {block, 0, live->fill};
    if (!holds_its_fill(&kept, len < live->len ? len : live->len))
        return false;
    model->live_bytes -= live->len;
    model_fill(model, live, block, len);
    return true;
}

/* The model's size swings between nearly nothing and LIVE_MAX. False: the heap did something wrong.
 */
static bool model_step(struct model *model, struct weft_heap *heap)
{
    uint64_t x = next_random(&model->random);
    if (model->n > 0 && x % 5 == 0)
        return model_resize(model, heap);
    if (model->n == 0 || (model->n < LIVE_MAX && (x >> 8) % LIVE_MAX >= model->n))
        return model_add(model, heap);
    return model_remove(model, heap);
}

static void random_use_agrees_with_a_model(void **state)
{
    (void)state;
    struct fixture f = setup(64 * MIB);
    weft__heap_assume_zero(f.heap);
    struct model *model = test_calloc(1, sizeof(*model));
    for (unsigned i = 0; i < OPERATIONS; i++) {
        assert_true(model_step(model, f.heap));
        if (i % 1000 == 0)
            assert_int_equal(weft__heap_verify(f.heap), 0);
    }
    assert_true(weft__heap_used(f.heap) >= model->live_bytes);
    /* What was touched follows use: heads, gaps and alignment cost less than half of it again. */
    assert_true(weft__heap_high(f.heap) < model->live_bytes_max + model->live_bytes_max / 2);
    while (model->n > 0)
        assert_true(model_remove(model, f.heap));
    assert_int_equal(weft__heap_used(f.heap), 0);
    assert_true(weft__heap_end(f.heap) < 4096);
    test_free(model);
    teardown(&f);
}

static void the_same_calls_give_the_same_addresses(void **state)
{
    (void)state;
    struct fixture a = setup(16 * MIB), b = setup(16 * MIB);
    uint64_t random = 1;
    void *of_a[100] = {NULL}, *of_b[100] = {NULL};
    for (unsigned i = 0; i < 5000; i++) {
        unsigned at = (unsigned)(next_random(&random) % 100);
        size_t len = random_len(&random);
        of_a[at] = weft__heap_realloc(a.heap, of_a[at], len);
        of_b[at] = weft__heap_realloc(b.heap, of_b[at], len);
        assert_int_equal((char *)of_a[at] - (char *)a.base, (char *)of_b[at] - (char *)b.base);
    }
    teardown(&a);
    teardown(&b);
}

/* ---- another process ---- */

static bool transfer(int fd, bool is_write, unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = is_write ? write(fd, bytes, len) : read(fd, bytes, len);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* In the other process: takes the range's bytes and goes on where the first process stopped. */
static int go_on(int fd, unsigned char *base)
{
    size_t end;
    if (!transfer(fd, false, (unsigned char *)&end, sizeof(end)) || !transfer(fd, false, base, end))
        return 1;
    struct weft_heap *heap = (struct weft_heap *)(void *)base;
    struct model *model;
    if (!transfer(fd, false, (unsigned char *)&model, sizeof(model)))
        return 2;
    if (weft__heap_verify(heap) != 0)
        return 3;
    for (unsigned i = 0; i < 5000; i++) {
        if (!model_step(model, heap))
            return 4;
    }
    while (model->n > 0) {
        if (!model_remove(model, heap))
            return 5;
    }
    weft__heap_free(heap, model);
    return weft__heap_used(heap) == 0 && weft__heap_verify(heap) == 0 ? 0 : 6;
}

static void a_copied_heap_goes_on_in_another_process(void **state)
{
    (void)state;
    unsigned char *base = map_range(16 * MIB);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork(); /* before the heap exists: the child's range is all zero */
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[1]);
        _exit(go_on(ends[0], base));
    }
    close(ends[0]);
    struct weft_heap *heap = weft__heap_init(base, 16 * MIB);
    weft__heap_assume_zero(heap);
    struct model *model = weft__heap_calloc(heap, 1, sizeof(*model));
    for (unsigned i = 0; i < 5000; i++)
        assert_true(model_step(model, heap));
    size_t end = weft__heap_high(heap);
    assert_true(transfer(ends[1], true, (unsigned char *)&end, sizeof(end)));
    assert_true(transfer(ends[1], true, base, end));
    assert_true(transfer(ends[1], true, (unsigned char *)&model, sizeof(model)));
    close(ends[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    munmap(base, 16 * MIB);
}

/* ---- misuse ---- */

typedef void misuse(struct weft_heap *heap);

/* Whether the misuse ends its process. */
static bool is_trapped(misuse *run)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDERR_FILENO);
        void *base = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        run(weft__heap_init(base, MIB));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void free_twice(struct weft_heap *heap)
{
    void *a = weft__heap_alloc(heap, 100);
    weft__heap_alloc(heap, 100);
    weft__heap_free(heap, a);
    weft__heap_free(heap, a);
}

static void free_the_last_twice(struct weft_heap *heap)
{
    weft__heap_alloc(heap, 100);
    void *a = weft__heap_alloc(heap, 100);
    weft__heap_free(heap, a);
    weft__heap_free(heap, a);
}

static void free_inside_a_block(struct weft_heap *heap)
{
    unsigned char *a = weft__heap_calloc(heap, 1, 100);
    weft__heap_free(heap, a + 32);
}

static void free_elsewhere(struct weft_heap *heap)
{
    static _Alignas(16) unsigned char elsewhere[64];
    weft__heap_free(heap, elsewhere + 16);
}

static void write_past_the_end(struct weft_heap *heap)
{
    unsigned char *a = weft__heap_alloc(heap, 24);
    void *b = weft__heap_alloc(heap, 24);
    memset(a, 0xff, 40);
    weft__heap_free(heap, b);
}

static void write_after_free(struct weft_heap *heap)
{
    void **a = weft__heap_alloc(heap, 24);
    weft__heap_alloc(heap, 24);
    weft__heap_free(heap, a);
    a[1] = &heap; /* the link back in the free list */
    weft__heap_alloc(heap, 24);
}

static void make_it_too_small(struct weft_heap *heap)
{
    weft__heap_init(heap, 65535);
}

static void align_by_three(struct weft_heap *heap)
{
    weft__heap_alloc_aligned(heap, 3, 10);
}

static void misuse_ends_the_process(void **state)
{
    (void)state;
    assert_true(is_trapped(free_twice));
    assert_true(is_trapped(free_the_last_twice));
    assert_true(is_trapped(free_inside_a_block));
    assert_true(is_trapped(free_elsewhere));
    assert_true(is_trapped(write_past_the_end));
    assert_true(is_trapped(write_after_free));
    assert_true(is_trapped(make_it_too_small));
    assert_true(is_trapped(align_by_three));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_touches_one_page),
        cmocka_unit_test(a_large_block_touches_its_head_only),
        cmocka_unit_test(calloc_of_fresh_memory_touches_nothing_but_heads),
        cmocka_unit_test(calloc_of_used_memory_is_zero),
        cmocka_unit_test(calloc_without_the_promise_clears_everything),
        cmocka_unit_test(the_promise_of_zeroes_comes_too_late_after_an_alloc),
        cmocka_unit_test(blocks_are_aligned_and_hold_what_was_asked_for),
        cmocka_unit_test(empty_blocks_differ),
        cmocka_unit_test(a_full_heap_says_so_and_goes_on),
        cmocka_unit_test(the_whole_range_can_be_one_block),
        cmocka_unit_test(an_unaligned_range_is_served_too),
        cmocka_unit_test(neighbours_merge_in_every_order),
        cmocka_unit_test(free_blocks_are_used_before_fresh_memory),
        cmocka_unit_test(free_of_null_does_nothing),
        cmocka_unit_test(aligned_blocks_are_aligned_and_freed_whole),
        cmocka_unit_test(realloc_stays_in_place_where_it_can),
        cmocka_unit_test(realloc_moves_the_bytes_when_it_must),
        cmocka_unit_test(a_failed_realloc_leaves_the_block_alone),
        cmocka_unit_test(random_use_agrees_with_a_model),
        cmocka_unit_test(the_same_calls_give_the_same_addresses),
        cmocka_unit_test(a_copied_heap_goes_on_in_another_process),
        cmocka_unit_test(misuse_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
