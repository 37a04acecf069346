/* The window between the client that has the input and the rank that reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/input.h"
#include "weft/error.h"

static uint8_t pattern[3 * WEFT_INPUT_WINDOW];

static int fill_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 24);
    return 0;
}

static uint64_t add(struct weft_input *input, uint64_t offset, size_t len, bool at_end)
{
    assert_int_equal(weft__input_add(input, offset, pattern + offset, len, at_end), WEFT_OK);
    return weft__input_next(input);
}

static void each_byte_comes_once_though_all_is_said_twice(void **state)
{
    (void)state;
    struct weft_input *input = weft__input_new();
    uint64_t read = 0, sent = 0;
    unsigned seed = 1;
    while (read < sizeof(pattern)) {
        size_t len = (size_t)rand_r(&seed) % WEFT_INPUT_PIECE;
        uint64_t from = sent > 1000 ? sent - 1000 : 0; /* some of it again */
        if (len > sizeof(pattern) - from)
            len = sizeof(pattern) - from;
        if (!weft__input_is_whole(input))
            sent = add(input, from, len, from + len == sizeof(pattern));
        for (int again = 0; again < 2; again++) {
            assert_int_equal(weft__input_taken(input, read), WEFT_OK);
            struct weft_input_view view = weft__input_view(input);
            assert_memory_equal(view.bytes, pattern + read, view.len);
            assert_int_equal(view.at_end,
                             read + view.len == sizeof(pattern) && weft__input_is_whole(input));
            if (again == 1)
                read += view.len > 0 ? (uint64_t)rand_r(&seed) % (view.len + 1) : 0;
        }
    }
    assert_true(weft__input_is_whole(input));
    weft__input_free(input);
}

static void the_window_is_bounded(void **state)
{
    (void)state;
    struct weft_input *input = weft__input_new();
    uint64_t sent = 0;
    for (int i = 0; i < 100; i++)
        sent = add(input, sent, WEFT_INPUT_PIECE - 1, false);
    assert_int_equal(sent, WEFT_INPUT_WINDOW);
    assert_false(weft__input_has_room(input));
    assert_false(weft__input_is_whole(input));
    assert_int_equal(weft__input_taken(input, 10), WEFT_OK);
    assert_true(weft__input_has_room(input));
    assert_int_equal(add(input, sent, 100, true), WEFT_INPUT_WINDOW + 10);
    assert_int_equal(weft__input_view(input).len, WEFT_INPUT_PIECE);
    weft__input_free(input);
}

static void the_end_is_told_with_the_last_byte_and_ever_after(void **state)
{
    (void)state;
    struct weft_input *input = weft__input_new();
    assert_false(weft__input_view(input).at_end);
    assert_int_equal(add(input, 0, 10, false), 10);
    assert_false(weft__input_view(input).at_end);
    assert_int_equal(add(input, 10, 0, true), 10);
    assert_true(weft__input_view(input).at_end);
    assert_int_equal(weft__input_taken(input, 10), WEFT_OK);
    assert_int_equal(weft__input_view(input).len, 0);
    assert_true(weft__input_view(input).at_end);
    assert_int_equal(add(input, 10, 5, false), 10); /* nothing comes after the end */
    weft__input_free(input);
}

static void what_is_not_there_cannot_be_taken_nor_skipped(void **state)
{
    (void)state;
    struct weft_input *input = weft__input_new();
    assert_int_equal(weft__input_add(input, 1, pattern, 1, false), WEFT_ERANGE);
    assert_int_equal(weft__input_next(input), 0);
    assert_int_equal(weft__input_taken(input, 1), WEFT_ERANGE);
    assert_int_equal(add(input, 0, 5, false), 5);
    assert_int_equal(weft__input_taken(input, 3), WEFT_OK);
    assert_int_equal(weft__input_taken(input, 2), WEFT_ERANGE);
    assert_int_equal(weft__input_taken(input, 6), WEFT_ERANGE);
    assert_int_equal(weft__input_view(input).len, 2);
    weft__input_free(input);
    weft__input_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_comes_once_though_all_is_said_twice),
        cmocka_unit_test(the_window_is_bounded),
        cmocka_unit_test(the_end_is_told_with_the_last_byte_and_ever_after),
        cmocka_unit_test(what_is_not_there_cannot_be_taken_nor_skipped),
    };
    return cmocka_run_group_tests(tests, fill_pattern, NULL);
}
