#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "group/coord_mail.h"

static bool put(struct weft_coord_box *box, uint8_t value, size_t len)
{
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    bytes[0] = value;
    return weft__coord_box_put(box, bytes, len);
}

static void a_message_is_kept_until_a_later_one_is_asked_for(void **state)
{
    struct weft_coord_box box;
    struct weft_coord_bytes out[8];
    (void)state;
    weft__coord_box_init(&box, 3);
    for (uint8_t i = 1; i <= 5; i++)
        assert_true(put(&box, i, 1));
    for (unsigned again = 0; again < 2; again++) { /* the answer was lost */
        weft__coord_box_received(&box, 1);
        assert_int_equal(weft__coord_box_look(&box, out, 2, 100), 2);
        assert_int_equal(out[0].bytes[0], 1);
    }
    weft__coord_box_received(&box, 3);
    assert_int_equal(weft__coord_box_look(&box, out, 8, 100), 3);
    assert_int_equal(out[0].bytes[0], 3);
    assert_int_equal(box.first, 3);
    weft__coord_box_fini(&box);
}

static void a_box_has_room_for_256_messages(void **state)
{
    struct weft_coord_box box;
    (void)state;
    weft__coord_box_init(&box, 0);
    for (unsigned i = 0; i < WEFT_COORD_BOX_MESSAGES; i++)
        assert_true(put(&box, (uint8_t)i, 1));
    assert_false(put(&box, 0, 1));
    weft__coord_box_received(&box, 2);
    assert_true(put(&box, 9, 1));
    weft__coord_box_fini(&box);
}

static void a_batch_has_a_limit_in_bytes_but_never_stays_empty(void **state)
{
    struct weft_coord_box box;
    struct weft_coord_bytes out[8];
    (void)state;
    weft__coord_box_init(&box, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_true(put(&box, 0, 1000));
    assert_int_equal(weft__coord_box_look(&box, out, 8, 1500), 2);
    assert_int_equal(weft__coord_box_look(&box, out, 8, 1), 1);
    weft__coord_box_fini(&box);
}

/* Whatever the sizes: a sender without room hears of room once its messages are received. */
static void a_sender_that_is_out_of_room_is_told_when_there_is_some(void **state)
{
    static const size_t sizes[] = {1, 4096, 1, 200 << 10, 1 << 20, 1, 1, 700 << 10};
    struct weft_coord_box box;
    struct weft_coord_credit credit = {0};
    (void)state;
    weft__coord_box_init(&box, 0);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; weft__coord_credit_room(&credit); i++) {
            size_t len = sizes[(round + i) % (1 + round % 8)];
            assert_true(put(&box, 0, len));
            credit.sent++;
            credit.sent_size += len;
        }
        weft__coord_box_received(&box, credit.sent + 1);
        assert_true(weft__coord_box_tell(&box));
        credit.consumed = box.told;
        credit.consumed_size = box.told_size;
        assert_true(weft__coord_credit_room(&credit));
    }
    weft__coord_box_fini(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_kept_until_a_later_one_is_asked_for),
        cmocka_unit_test(a_box_has_room_for_256_messages),
        cmocka_unit_test(a_batch_has_a_limit_in_bytes_but_never_stays_empty),
        cmocka_unit_test(a_sender_that_is_out_of_room_is_told_when_there_is_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
