#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "cell/arena.h"
#include "weft/error.h"

#define PAGE ((uint64_t)WEFT__ARENA_PAGE)
#define BASE (UINT64_C(0x200000000000))
enum { PAGES = 64, EXTENTS = 256, RW = PROT_READ | PROT_WRITE };

/* What is on a page, by a second, simple way of keeping it. */
struct page {
    uint32_t prot, source;
    uint64_t offset;
    bool mapped;
};

struct fixture {
    struct weft__arena arena;
    struct weft__arena_extent extents[EXTENTS];
    struct page pages[PAGES];
};

static void setup(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    weft__arena_init(&fixture->arena, BASE, BASE + PAGES * PAGE, fixture->extents, EXTENTS);
}

static uint64_t map_anywhere(struct fixture *fixture, uint64_t pages)
{
    uint64_t address = 0;
    const struct weft__arena_map what = {.len_bytes = pages * PAGE, .prot = RW};
    assert_int_equal(weft__arena_map(&fixture->arena, &what, &address), WEFT_OK);
    return address;
}

static void maps_are_apart_and_gaps_are_used_again(void **state)
{
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    uint64_t one = map_anywhere(&fixture, 3), two = map_anywhere(&fixture, 2);
    assert_int_equal(one, BASE);
    assert_int_equal(two, BASE + 3 * PAGE);
    assert_int_equal(fixture.arena.n, 1); /* alike and side by side */
    assert_int_equal(weft__arena_unmap(&fixture.arena, one, 2 * PAGE), WEFT_OK);
    assert_int_equal(map_anywhere(&fixture, 3), BASE + 5 * PAGE);
    assert_int_equal(map_anywhere(&fixture, 2), BASE);
}

static void a_wish_is_granted_only_where_nothing_is(void **state)
{
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    struct weft__arena_map what = {.address = BASE + 9 * PAGE, .len_bytes = 1, .prot = RW};
    uint64_t address;
    assert_int_equal(weft__arena_map(&fixture.arena, &what, &address), WEFT_OK);
    assert_int_equal(address, what.address);
    assert_int_equal(weft__arena_map(&fixture.arena, &what, &address), WEFT_OK);
    assert_int_equal(address, BASE);
    what.address = 0x1000; /* outside: a wish like any other */
    assert_int_equal(weft__arena_map(&fixture.arena, &what, &address), WEFT_OK);
    assert_int_equal(address, BASE + PAGE);
}

static void what_cannot_be_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    struct weft__arena *arena = &fixture.arena;
    uint64_t address = 7;
    struct weft__arena_map what = {.address = BASE + 1, .len_bytes = PAGE, .fixed = true};
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_EINVAL);
    what.address = BASE;
    what.len_bytes = 0;
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_EINVAL);
    what.len_bytes = UINT64_MAX;
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_ENOMEM);
    what.address = BASE - PAGE;
    what.len_bytes = PAGE;
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_ENOMEM);
    what.address = BASE + (PAGES - 1) * PAGE;
    what.len_bytes = PAGE + 1;
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_ENOMEM);
    what.fixed = false;
    what.len_bytes = PAGES * PAGE + 1;
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_ENOMEM);
    assert_int_equal(weft__arena_protect(arena, BASE, PAGE, RW), WEFT_ENOMEM);
    assert_int_equal(weft__arena_unmap(arena, BASE + 8, PAGE), WEFT_EINVAL);
    assert_int_equal(weft__arena_unmap(arena, 0, PAGE), WEFT_ENOMEM);
    assert_int_equal(arena->n, 0);
    assert_int_equal(address, 7);
    map_anywhere(&fixture, 4);
    what = (struct weft__arena_map){
        .address = BASE + 3 * PAGE, .len_bytes = 2 * PAGE, .fixed = true, .careful = true};
    assert_int_equal(weft__arena_map(arena, &what, &address), WEFT_EEXIST);
    assert_int_equal(arena->n, 1);
}

static void a_full_table_refuses_and_goes_on(void **state)
{
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    fixture.arena.max = 6;
    uint64_t address;
    map_anywhere(&fixture, PAGES);
    assert_int_equal(weft__arena_unmap(&fixture.arena, BASE + 2 * PAGE, PAGE), WEFT_OK);
    assert_int_equal(weft__arena_unmap(&fixture.arena, BASE + 4 * PAGE, PAGE), WEFT_OK);
    assert_int_equal(weft__arena_unmap(&fixture.arena, BASE + 6 * PAGE, PAGE), WEFT_OK);
    assert_int_equal(fixture.arena.n, 4);
    assert_int_equal(weft__arena_unmap(&fixture.arena, BASE + 8 * PAGE, PAGE), WEFT_ENOMEM);
    assert_int_equal(
        weft__arena_map(&fixture.arena, &(struct weft__arena_map){.len_bytes = 1}, &address),
        WEFT_ENOMEM);
    assert_true(weft__arena_is_sound(&fixture.arena));
}

static void a_table_that_makes_no_sense_is_found(void **state)
{
    (void)state;
    struct fixture fixture;
    setup(&fixture);
    map_anywhere(&fixture, 2);
    const struct weft__arena_extent good = fixture.extents[0];
    assert_true(weft__arena_is_sound(&fixture.arena));
    fixture.extents[0].begin -= PAGE;
    assert_false(weft__arena_is_sound(&fixture.arena));
    fixture.extents[0] = good;
    fixture.extents[0].end = BASE + (PAGES + 1) * PAGE;
    assert_false(weft__arena_is_sound(&fixture.arena));
    fixture.extents[0].end = good.begin;
    assert_false(weft__arena_is_sound(&fixture.arena));
    fixture.extents[0] = good;
    fixture.extents[1] = good;
    fixture.arena.n = 2;
    assert_false(weft__arena_is_sound(&fixture.arena));
    fixture.arena.n = EXTENTS + 1;
    assert_false(weft__arena_is_sound(&fixture.arena));
}

static uint32_t draw(uint64_t *random, uint32_t n)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*random >> 33) % n);
}

static void compare(const struct fixture *fixture)
{
    assert_true(weft__arena_is_sound(&fixture->arena));
    for (uint64_t i = 0; i < PAGES; i++) {
        uint64_t address = BASE + i * PAGE;
        const struct weft__arena_extent *extent = weft__arena_find(&fixture->arena, address);
        const struct page *page = &fixture->pages[i];
        assert_int_equal(extent && extent->begin <= address, page->mapped);
        if (!page->mapped)
            continue;
        assert_int_equal(extent->prot, page->prot);
        assert_int_equal(extent->source, page->source);
        if (page->source)
            assert_int_equal(extent->offset + (address - extent->begin), page->offset);
    }
}

static void map_both(struct fixture *fixture, uint64_t *random, uint64_t at, uint64_t n)
{
    struct weft__arena_map what = {.address = draw(random, 2) ? BASE + at * PAGE : 0,
                                   .len_bytes = n * PAGE - draw(random, 2),
                                   .prot = draw(random, 2) ? PROT_READ : RW,
                                   .source = draw(random, 3),
                                   .offset = draw(random, 4) * PAGE};
    what.fixed = what.address && draw(random, 2);
    what.careful = draw(random, 2);
    uint64_t address = 0;
    if (weft__arena_map(&fixture->arena, &what, &address) != WEFT_OK)
        return;
    uint64_t first = (address - BASE) / PAGE;
    for (uint64_t i = 0; i < n; i++) {
        struct page *page = &fixture->pages[first + i];
        assert_true((what.fixed && !what.careful) || !page->mapped);
        *page = (struct page){what.prot, what.source, what.offset + i * PAGE, true};
    }
}

static void protect_both(struct fixture *fixture, uint64_t *random, uint64_t at, uint64_t n)
{
    uint32_t prot = draw(random, 2) ? PROT_READ : RW;
    bool whole = true;
    for (uint64_t i = at; i < at + n; i++)
        whole = whole && fixture->pages[i].mapped;
    int err = weft__arena_protect(&fixture->arena, BASE + at * PAGE, n * PAGE, prot);
    assert_int_equal(err, whole ? WEFT_OK : WEFT_ENOMEM);
    for (uint64_t i = at; whole && i < at + n; i++)
        fixture->pages[i].prot = prot;
}

static void many_changes_leave_what_a_list_of_pages_says(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t random = 1;
    for (unsigned run = 0; run < 200; run++) {
        setup(&fixture);
        for (unsigned step = 0; step < 200; step++) {
            uint64_t at = draw(&random, PAGES), n = 1 + draw(&random, 8);
            if (at + n > PAGES)
                n = PAGES - at;
            switch (draw(&random, 4)) {
            case 0:
                assert_int_equal(weft__arena_unmap(&fixture.arena, BASE + at * PAGE, n * PAGE),
                                 WEFT_OK);
                memset(&fixture.pages[at], 0, n * sizeof(struct page));
                break;
            case 1:
                protect_both(&fixture, &random, at, n);
                break;
            default:
                map_both(&fixture, &random, at, n);
                break;
            }
            compare(&fixture);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_apart_and_gaps_are_used_again),
        cmocka_unit_test(a_wish_is_granted_only_where_nothing_is),
        cmocka_unit_test(what_cannot_be_is_refused_and_changes_nothing),
        cmocka_unit_test(a_full_table_refuses_and_goes_on),
        cmocka_unit_test(a_table_that_makes_no_sense_is_found),
        cmocka_unit_test(many_changes_leave_what_a_list_of_pages_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
