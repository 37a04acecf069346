/* The queue between the ranks that print and the client that reads: order, numbers, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/output.h"
#include "weft/error.h"

static char filler[WEFT_OUTPUT_PIECE + 1];

static int add(struct weft_output *output, const char *out, const char *err)
{
    return weft__output_add(output, &(struct iovec){(void *)(uintptr_t)out, strlen(out)},
                            &(struct iovec){(void *)(uintptr_t)err, strlen(err)});
}

static int add_filler(struct weft_output *output, size_t len)
{
    return weft__output_add(output, &(struct iovec){filler, len}, &(struct iovec){NULL, 0});
}

static void fill(struct weft_output *output)
{
    while (!weft__output_full(output))
        assert_int_equal(add_filler(output, WEFT_OUTPUT_PIECE), WEFT_OK);
}

static void the_streams_stay_apart_and_in_order(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    struct weft_output_batch batch;
    assert_int_equal(add(output, "one ", "uno "), WEFT_OK);
    assert_int_equal(add(output, "two ", ""), WEFT_OK);
    assert_int_equal(add(output, "", "tre "), WEFT_OK);
    weft__output_fetch(output, &batch);
    assert_int_equal(batch.out_len, 8);
    assert_memory_equal(batch.out, "one two ", 8);
    assert_int_equal(batch.err_len, 8);
    assert_memory_equal(batch.err, "uno tre ", 8);
    assert_int_equal(batch.next, 3);
    assert_true(batch.last);
    free(batch.out);
    weft__output_free(output);
}

static void what_is_not_said_to_be_taken_comes_again(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    struct weft_output_batch batch;
    assert_int_equal(add(output, "a", ""), WEFT_OK);
    assert_int_equal(add(output, "b", ""), WEFT_OK);
    for (int i = 0; i < 2; i++) {
        weft__output_fetch(output, &batch);
        assert_memory_equal(batch.out, "ab", 2);
        free(batch.out);
    }
    assert_int_equal(weft__output_taken(output, 1), WEFT_OK);
    weft__output_fetch(output, &batch);
    assert_int_equal(batch.out_len, 1);
    assert_memory_equal(batch.out, "b", 1);
    free(batch.out);
    assert_int_equal(weft__output_taken(output, 2), WEFT_OK);
    assert_int_equal(weft__output_taken(output, 0), WEFT_OK); /* old news */
    assert_true(weft__output_empty(output));
    weft__output_free(output);
}

static void a_number_that_never_was_is_refused(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    assert_int_equal(weft__output_taken(output, 0), WEFT_OK);
    assert_int_equal(add(output, "kept", ""), WEFT_OK);
    assert_int_equal(weft__output_taken(output, 2), WEFT_ERANGE);
    assert_int_equal(weft__output_taken(output, UINT64_MAX), WEFT_ERANGE);
    assert_false(weft__output_empty(output));
    weft__output_free(output);
}

static void a_batch_is_bounded_and_says_that_more_comes(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    struct weft_output_batch batch;
    uint64_t next = 0;
    size_t total = 0;
    fill(output);
    do {
        weft__output_fetch(output, &batch);
        assert_true(batch.out_len > 0 && batch.out_len <= WEFT_OUTPUT_BATCH);
        assert_true(batch.next > next);
        total += batch.out_len;
        next = batch.next;
        free(batch.out);
        assert_int_equal(weft__output_taken(output, next), WEFT_OK);
    } while (!batch.last);
    assert_true(total > WEFT_OUTPUT_FULL);
    assert_true(weft__output_empty(output));
    weft__output_free(output);
}

static void a_full_queue_drops_its_oldest_pieces_and_counts_them(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    struct weft_output_batch batch;
    assert_int_equal(add(output, "oldest", ""), WEFT_OK);
    fill(output);
    assert_false(weft__output_has_room(output));
    assert_int_equal(weft__output_dropped(output), 0);
    weft__output_make_room(output);
    assert_false(weft__output_full(output));
    assert_true(weft__output_dropped(output) >= 6);
    weft__output_fetch(output, &batch);
    assert_int_equal(batch.out[0], 0); /* "oldest" is gone */
    free(batch.out);
    weft__output_free(output);
}

static void a_piece_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct weft_output *output = weft__output_new();
    assert_int_equal(add_filler(output, WEFT_OUTPUT_PIECE + 1), WEFT_EMSGSIZE);
    assert_true(weft__output_empty(output));
    assert_int_equal(add_filler(output, WEFT_OUTPUT_PIECE), WEFT_OK);
    assert_int_equal(add_filler(output, 0), WEFT_OK);
    weft__output_free(output);
    weft__output_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_streams_stay_apart_and_in_order),
        cmocka_unit_test(what_is_not_said_to_be_taken_comes_again),
        cmocka_unit_test(a_number_that_never_was_is_refused),
        cmocka_unit_test(a_batch_is_bounded_and_says_that_more_comes),
        cmocka_unit_test(a_full_queue_drops_its_oldest_pieces_and_counts_them),
        cmocka_unit_test(a_piece_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
