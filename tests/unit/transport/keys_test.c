#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/keys.h"
#include "weft/error.h"

static unsigned char bytes[1000];

static int ask(const struct weft_keys *keys, uint64_t key, uint64_t offset, uint64_t len,
               uint32_t access)
{
    struct weft_range *range = NULL;
    struct weft_keys_ask what = {.key = key, .offset = offset, .len_bytes = len, .access = access};
    int err = weft__keys_lookup(keys, &what, &range);
    assert_true((err == WEFT_OK) == (range != NULL));
    return err;
}

static void a_key_grants_its_range_and_no_byte_more(void **state)
{
    (void)state;
    struct weft_keys keys = {0};
    struct weft_range range = {
        .addr = bytes, .len_bytes = 1000, .access = WEFT_TP_READ | WEFT_TP_WRITE};
    assert_int_equal(weft__keys_add(&keys, &range), WEFT_OK);
    assert_int_equal(ask(&keys, range.key, 0, 1000, WEFT_TP_READ), WEFT_OK);
    assert_int_equal(ask(&keys, range.key, 0, 0, WEFT_TP_READ), WEFT_OK);
    assert_int_equal(ask(&keys, range.key, 1000, 0, WEFT_TP_WRITE), WEFT_OK);
    assert_int_equal(ask(&keys, range.key, 999, 1, WEFT_TP_WRITE), WEFT_OK);
    assert_int_equal(ask(&keys, range.key, 0, 1001, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, range.key, 1, 1000, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, range.key, 1001, 0, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, range.key, UINT64_MAX, 1, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, range.key, 1, UINT64_MAX, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, range.key + 1, 0, 1, WEFT_TP_READ), WEFT_EACCES);
}

static void rights_are_checked_one_by_one(void **state)
{
    (void)state;
    struct weft_keys keys = {0};
    struct weft_range readable = {.addr = bytes, .len_bytes = 10, .access = WEFT_TP_READ};
    struct weft_range writable = {.addr = bytes, .len_bytes = 10, .access = WEFT_TP_WRITE};
    assert_int_equal(weft__keys_add(&keys, &readable), WEFT_OK);
    assert_int_equal(weft__keys_add(&keys, &writable), WEFT_OK);
    assert_int_equal(ask(&keys, readable.key, 0, 1, WEFT_TP_WRITE), WEFT_EACCES);
    assert_int_equal(ask(&keys, writable.key, 0, 1, WEFT_TP_READ), WEFT_EACCES);
    assert_int_equal(ask(&keys, readable.key, 0, 1, WEFT_TP_READ | WEFT_TP_WRITE), WEFT_EACCES);
}

static void an_impossible_range_is_refused(void **state)
{
    (void)state;
    struct weft_keys keys = {0};
    struct weft_range wraps = {.addr = bytes, .len_bytes = SIZE_MAX, .access = WEFT_TP_READ};
    struct weft_range useless = {.addr = bytes, .len_bytes = 1, .access = 0};
    struct weft_range strange = {.addr = bytes, .len_bytes = 1, .access = 8};
    assert_int_equal(weft__keys_add(&keys, &wraps), WEFT_EINVAL);
    assert_int_equal(weft__keys_add(&keys, &useless), WEFT_EINVAL);
    assert_int_equal(weft__keys_add(&keys, &strange), WEFT_EINVAL);
    assert_null(weft__keys_any(&keys));
}

static void many_ranges_have_different_keys_and_end_one_by_one(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct weft_range ranges[N];
    struct weft_keys keys = {0};
    for (unsigned i = 0; i < N; i++) {
        ranges[i] = (struct weft_range){.addr = bytes, .len_bytes = 1 + i, .access = WEFT_TP_READ};
        assert_int_equal(weft__keys_add(&keys, &ranges[i]), WEFT_OK);
        for (unsigned j = 0; j < i; j++)
            assert_true(ranges[j].key != ranges[i].key);
    }
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(ask(&keys, ranges[i].key, i, 1, WEFT_TP_READ), WEFT_OK);
        weft__keys_remove(&keys, &ranges[i]);
        weft__keys_remove(&keys, &ranges[i]); /* twice is fine */
        assert_int_equal(ask(&keys, ranges[i].key, i, 1, WEFT_TP_READ), WEFT_EACCES);
    }
    assert_null(weft__keys_any(&keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_grants_its_range_and_no_byte_more),
        cmocka_unit_test(rights_are_checked_one_by_one),
        cmocka_unit_test(an_impossible_range_is_refused),
        cmocka_unit_test(many_ranges_have_different_keys_and_end_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
