/* Regions: addresses, holes, and lists of ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "snapshot/region.h"
#include "transport/regcache.h"
#include "weft/error.h"

#define PAGE WEFT_REGION_PAGE
#define MIB ((size_t)1 << 20)
#ifdef WEFT_TSAN
#define FIXED ((void *)0x550000000000)
#else
#define FIXED ((void *)0x200000000000)
#endif

static void a_region_lies_where_it_was_asked_for(void **state)
{
    struct weft_region region;
    (void)state;
    assert_int_equal(weft__region_init(&region, "rank 0", FIXED, GIB), 0);
    assert_ptr_equal(region.base, FIXED);
    assert_int_equal(region.len_bytes, GIB);
    memset(region.base, 1, 10);
    memset((char *)region.base + GIB - 10, 1, 10);
    weft__region_fini(&region);
    weft__region_fini(&region);
    assert_int_equal(weft__region_init(&region, "rank 0", FIXED, GIB), 0); /* it is free again */
    weft__region_fini(&region);
}

static void an_address_that_is_taken_is_an_error_that_names_the_holder(void **state)
{
    struct weft_region region, second = {0};
    (void)state;
    assert_int_equal(weft__region_init(&region, "rank 7 of app 3", FIXED, 16 * MIB), 0);
    assert_int_equal(weft__region_init(&second, "rank 8", (char *)FIXED + 8 * MIB, 16 * MIB),
                     WEFT_EEXIST);
    assert_null(second.base);
    assert_non_null(strstr(weft_fail_text(WEFT_EEXIST), "rank 7 of app 3"));
    assert_non_null(strstr(weft_fail_text(WEFT_EEXIST), "choose another base"));
    *(char *)region.base = 1; /* still there */
    weft__region_fini(&region);
}

static void bad_sizes_and_addresses_are_refused(void **state)
{
    struct weft_region region;
    (void)state;
    assert_int_equal(weft__region_init(&region, "r", NULL, 0), WEFT_EINVAL);
    assert_int_equal(weft__region_init(&region, "r", NULL, 5000), WEFT_EINVAL);
    assert_int_equal(weft__region_init(&region, "r", NULL, WEFT_REGION_MAX_BYTES + PAGE),
                     WEFT_EINVAL);
    assert_int_equal(weft__region_init(&region, "r", (char *)FIXED + 1, PAGE), WEFT_EINVAL);
}

static void a_region_can_neither_shrink_nor_grow(void **state)
{
    struct weft_region region;
    (void)state;
    assert_int_equal(weft__region_init(&region, "r", NULL, 16 * PAGE), 0);
    assert_int_equal(ftruncate(region.fd, PAGE), -1);
    assert_int_equal(ftruncate(region.fd, 32 * PAGE), -1);
    weft__region_fini(&region);
}

static void touched_pages_are_found_in_a_huge_region_and_nothing_else(void **state)
{
    struct weft_region region;
    struct weft_extents extents = {0};
    (void)state;
#ifdef WEFT_TSAN
    size_t len = 16 * GIB; /* a shadow of more takes long to make */
#else
    size_t len = WEFT_REGION_MAX_BYTES;
#endif
    assert_int_equal(weft__region_init(&region, "r", NULL, len), 0);
    assert_int_equal(weft__region_touched(&region, &extents), 0);
    assert_int_equal(extents.n, 0);
    char *base = region.base;
    base[0] = 1;
    base[PAGE] = 1;
    base[5 * GIB + 17] = 1;
    base[len - 1] = 1;
    assert_int_equal(weft__region_touched(&region, &extents), 0);
    assert_int_equal(extents.n, 3);
    assert_int_equal(extents.total_bytes, 4 * PAGE);
    assert_int_equal(extents.at[0].offset, 0);
    assert_int_equal(extents.at[0].len_bytes, 2 * PAGE);
    assert_int_equal(extents.at[1].offset, 5 * GIB);
    assert_int_equal(extents.at[1].len_bytes, PAGE);
    assert_int_equal(extents.at[2].offset, len - PAGE);
    weft__extents_fini(&extents);
    weft__region_fini(&region);
}

static void bytes_written_are_seen_in_the_mapping_and_stay_inside(void **state)
{
    struct weft_region region;
    struct weft_extents extents = {0};
    unsigned char page[PAGE];
    (void)state;
    memset(page, 0x5a, sizeof(page));
    assert_int_equal(weft__region_init(&region, "r", NULL, 64 * PAGE), 0);
    assert_int_equal(weft__region_write(&region, 3 * PAGE, page, sizeof(page)), 0);
    assert_int_equal(weft__region_write(&region, 63 * PAGE, page, sizeof(page)), 0);
    assert_int_equal(weft__region_write(&region, 63 * PAGE + 1, page, sizeof(page)), WEFT_ERANGE);
    assert_int_equal(weft__region_write(&region, UINT64_MAX, page, sizeof(page)), WEFT_ERANGE);
    assert_memory_equal((char *)region.base + 3 * PAGE, page, PAGE);
    assert_int_equal(weft__region_touched(&region, &extents), 0);
    assert_int_equal(extents.total_bytes, 2 * PAGE);
    weft__extents_fini(&extents);
    weft__region_fini(&region);
}

static void what_is_reserved_takes_memory_and_keeps_its_bytes(void **state)
{
    struct weft_region region;
    struct stat status;
    (void)state;
    assert_int_equal(weft__region_init(&region, "r", NULL, (size_t)1 << 30), 0);
    ((char *)region.base)[WEFT_REGION_PAGE] = 'x';
    assert_int_equal(weft__region_reserve(&region, WEFT_REGION_PAGE - 1, 2), 0);
    assert_int_equal(weft__region_reserve(&region, 0, 0), 0);
    assert_int_equal(fstat(region.fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, 2 * WEFT_REGION_PAGE);
    assert_int_equal(((char *)region.base)[WEFT_REGION_PAGE], 'x');
    assert_int_equal(weft__region_reserve(&region, region.len_bytes, 1), WEFT_ERANGE);
    assert_int_equal(weft__region_reserve(&region, 1, region.len_bytes), WEFT_ERANGE);
    weft__region_fini(&region);
}

static int card_make(void *ctx, void *addr, size_t len_bytes, uint32_t access, void **handle_out)
{
    unsigned *made = ctx;
    (void)addr;
    (void)len_bytes;
    (void)access;
    ++*made;
    *handle_out = made;
    return WEFT_OK;
}

static void card_end(void *ctx, void *handle)
{
    (void)ctx;
    (void)handle;
}

static void register_once(struct weft_regcache *cache, void *at)
{
    struct weft_registration *one;
    const struct weft_regcache_want want = {.addr = at, .len_bytes = PAGE, .access = 1};
    assert_int_equal(weft__regcache_get(cache, &want, &one), WEFT_OK);
    weft__regcache_put(cache, one);
}

static void a_page_that_was_given_back_is_zeros_and_is_registered_anew(void **state)
{
    struct weft_region region;
    struct weft_regcache *cache;
    unsigned made = 0;
    const struct weft_regcache_desc desc = {
        .make = card_make, .end = card_end, .ctx = &made, .bytes_max = MIB, .entries_max = 8};
    (void)state;
    assert_int_equal(weft__region_init(&region, "holes", NULL, 4 * PAGE), 0);
    assert_int_equal(weft__regcache_open(&desc, &cache), WEFT_OK);
    unsigned char *at = region.base;
    memset(at, 7, 4 * PAGE);
    for (unsigned i = 0; i < 3; i++) {
        register_once(cache, at);
        register_once(cache, at + PAGE);
    }
    assert_int_equal(made, 2);
    assert_int_equal(weft__region_punch(&region, PAGE, 2 * PAGE), 0);
    assert_int_equal(at[PAGE - 1], 7);
    assert_int_equal(at[PAGE], 0);
    assert_int_equal(at[3 * PAGE - 1], 0);
    assert_int_equal(at[3 * PAGE], 7);
    register_once(cache, at);
    assert_int_equal(made, 2);
    register_once(cache, at + PAGE);
    assert_int_equal(made, 3);
    assert_int_equal(weft__region_punch(&region, 3 * PAGE, 2 * PAGE), WEFT_ERANGE);
    assert_int_equal(weft__region_punch(&region, 0, 0), 0);
    weft__regcache_close(cache);
    weft__region_fini(&region);
}

static void ranges_that_touch_become_one(void **state)
{
    struct weft_extents list = {0};
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(weft__extents_add(&list, i * 3, i % 2 ? 3 : 2), 0);
    assert_int_equal(list.n, 501);
    assert_int_equal(list.total_bytes, 2500);
    weft__extents_clear(&list);
    assert_int_equal(list.n, 0);
    assert_int_equal(list.total_bytes, 0);
    weft__extents_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_lies_where_it_was_asked_for),
        cmocka_unit_test(an_address_that_is_taken_is_an_error_that_names_the_holder),
        cmocka_unit_test(bad_sizes_and_addresses_are_refused),
        cmocka_unit_test(a_region_can_neither_shrink_nor_grow),
        cmocka_unit_test(touched_pages_are_found_in_a_huge_region_and_nothing_else),
        cmocka_unit_test(bytes_written_are_seen_in_the_mapping_and_stay_inside),
        cmocka_unit_test(what_is_reserved_takes_memory_and_keeps_its_bytes),
        cmocka_unit_test(a_page_that_was_given_back_is_zeros_and_is_registered_anew),
        cmocka_unit_test(ranges_that_touch_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
