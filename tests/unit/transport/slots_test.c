#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transport/slots.h"
#include "weft/error.h"

static int things[8];

static void an_id_finds_its_object(void **state)
{
    (void)state;
    struct weft_slots slots;
    uint32_t ids[8];
    weft__slots_init(&slots, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(weft__slots_put(&slots, &things[i], &ids[i]), WEFT_OK);
        assert_int_not_equal(ids[i], 0);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_ptr_equal(weft__slots_find(&slots, ids[i]), &things[i]);
    weft__slots_fini(&slots);
}

static void an_unknown_id_finds_nothing(void **state)
{
    (void)state;
    struct weft_slots slots;
    uint32_t id;
    weft__slots_init(&slots, 8);
    assert_null(weft__slots_find(&slots, 0));
    assert_null(weft__slots_find(&slots, UINT32_MAX));
    assert_int_equal(weft__slots_put(&slots, things, &id), WEFT_OK);
    assert_null(weft__slots_find(&slots, 0));
    assert_null(weft__slots_find(&slots, id + 1));
    assert_null(weft__slots_find(&slots, id + 65536));
    assert_null(weft__slots_take(&slots, id + 65536));
    weft__slots_fini(&slots);
}

static void the_limit_is_kept(void **state)
{
    (void)state;
    struct weft_slots slots;
    uint32_t id, more = 77;
    weft__slots_init(&slots, 2);
    assert_int_equal(weft__slots_put(&slots, things, &id), WEFT_OK);
    assert_int_equal(weft__slots_put(&slots, things, &id), WEFT_OK);
    assert_int_equal(weft__slots_put(&slots, things, &more), WEFT_ENOSPC);
    assert_int_equal(more, 77);
    assert_ptr_equal(weft__slots_take(&slots, id), things);
    assert_int_equal(weft__slots_put(&slots, things, &id), WEFT_OK);
    weft__slots_fini(&slots);
}

static void no_id_is_given_twice(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct weft_slots slots;
    unsigned char *seen = calloc(1, UINT32_MAX / 8 + 1u); /* one bit per id; touched where used */
    assert_non_null(seen);
    weft__slots_init(&slots, 4);
    for (unsigned i = 0; i < N; i++) {
        uint32_t id;
        assert_int_equal(weft__slots_put(&slots, things, &id), WEFT_OK);
        assert_false(seen[id / 8] & 1u << id % 8);
        seen[id / 8] = (unsigned char)(seen[id / 8] | 1u << id % 8);
        assert_ptr_equal(weft__slots_take(&slots, id), things);
        assert_null(weft__slots_take(&slots, id));
    }
    weft__slots_fini(&slots);
    free(seen);
}

static void a_walk_meets_every_object_and_survives_removal(void **state)
{
    (void)state;
    struct weft_slots slots;
    uint32_t id, cursor = 0, met = 0;
    weft__slots_init(&slots, 64);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(weft__slots_put(&slots, &things[i % 8], &id), WEFT_OK);
    while (weft__slots_next(&slots, &cursor, &id)) {
        if (met++ % 2)
            assert_non_null(weft__slots_take(&slots, id));
    }
    assert_int_equal(met, 40);
    for (cursor = 0, met = 0; weft__slots_next(&slots, &cursor, &id); met++) {
    }
    assert_int_equal(met, 20);
    weft__slots_fini(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_finds_its_object),
        cmocka_unit_test(an_unknown_id_finds_nothing),
        cmocka_unit_test(the_limit_is_kept),
        cmocka_unit_test(no_id_is_given_twice),
        cmocka_unit_test(a_walk_meets_every_object_and_survives_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
