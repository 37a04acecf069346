/* The queue of calls of one rank: order, bound, deadlines, cancelling, hints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "exec/callbox.h"
#include "weft/error.h"

#define MAX 4

static struct weft_exec_call calls[MAX + 1];

static void fill(struct weft__callbox *box, uint32_t n)
{
    *box = (struct weft__callbox){0};
    for (uint32_t i = 0; i < n; i++) {
        calls[i] = (struct weft_exec_call){.code = i, .deadline_ns = WEFT_NEVER, .key = &calls[i]};
        assert_int_equal(weft__callbox_put(box, &calls[i], MAX), WEFT_OK);
    }
}

static void calls_are_taken_in_the_order_of_arrival(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_ptr_equal(weft__callbox_take(&box, 1), &calls[i]);
    assert_null(weft__callbox_take(&box, 1));
    assert_int_equal(box.taken_n, 3);
    assert_int_equal(box.waiting_n, 0);
}

static void a_full_queue_refuses_with_a_hint(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 1);
    weft__callbox_answered(&box, weft__callbox_take(&box, 0), 20 * WEFT_NS_PER_MS);
    fill(&box, 0);
    box.each_ns = 20 * WEFT_NS_PER_MS;
    for (uint32_t i = 0; i < MAX; i++)
        assert_int_equal(weft__callbox_put(&box, &calls[i], MAX), WEFT_OK);
    assert_int_equal(weft__callbox_put(&box, &calls[MAX], MAX), WEFT_EAGAIN);
    assert_int_equal(weft_fail_retry_ms(), 40); /* half of four calls of 20 ms */
    assert_int_equal(box.waiting_n, MAX);
}

static void bodies_that_wait_are_bounded_in_bytes(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 1);
    calls[1].len_bytes = WEFT__CALLS_BYTES_MAX - 1;
    calls[2].len_bytes = 2;
    assert_int_equal(weft__callbox_put(&box, &calls[1], MAX), WEFT_OK);
    assert_int_equal(weft__callbox_put(&box, &calls[2], MAX), WEFT_EAGAIN);
    (void)weft__callbox_take(&box, 1);
    assert_ptr_equal(weft__callbox_take(&box, 1), &calls[1]);
    assert_int_equal(weft__callbox_put(&box, &calls[2], MAX), WEFT_OK);
    assert_int_equal(box.waiting_bytes, 2);
    calls[1].len_bytes = calls[2].len_bytes = 0;
}

static void a_hint_is_never_absurd(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, MAX);
    assert_int_equal(weft__callbox_put(&box, &calls[MAX], MAX), WEFT_EAGAIN);
    assert_int_equal(weft_fail_retry_ms(), 1);
    box.each_ns = UINT64_C(3600) * WEFT_NS_PER_S;
    assert_int_equal(weft__callbox_put(&box, &calls[MAX], MAX), WEFT_EAGAIN);
    assert_int_equal(weft_fail_retry_ms(), 1000);
}

static void late_calls_leave_from_the_middle(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 3);
    calls[1].deadline_ns = 10;
    assert_null(weft__callbox_late(&box, 9));
    assert_ptr_equal(weft__callbox_late(&box, 10), &calls[1]);
    assert_null(calls[1].next);
    assert_ptr_equal(weft__callbox_take(&box, 10), &calls[0]);
    assert_ptr_equal(weft__callbox_take(&box, 10), &calls[2]);
}

static void a_cancelled_call_leaves_if_it_waits_and_is_marked_if_it_does_not(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 3);
    struct weft_exec_call *taken = weft__callbox_take(&box, 1);
    assert_ptr_equal(weft__callbox_cancel(&box, &calls[1]), &calls[1]);
    assert_int_equal(box.waiting_n, 1);
    assert_null(weft__callbox_cancel(&box, taken->key));
    assert_true(taken->cancelled);
    assert_null(weft__callbox_cancel(&box, &box));
}

static void taken_calls_are_found_by_their_number_until_they_are_answered(void **state)
{
    struct weft__callbox box;
    (void)state;
    fill(&box, 2);
    struct weft_exec_call *first = weft__callbox_take(&box, 1),
                          *second = weft__callbox_take(&box, 1);
    assert_true(first->id != second->id);
    assert_ptr_equal(weft__callbox_find(&box, second->id), second);
    weft__callbox_answered(&box, first, 2);
    assert_null(weft__callbox_find(&box, first->id));
    assert_ptr_equal(weft__callbox_find(&box, second->id), second);
    assert_int_equal(box.taken_n, 1);
}

static void an_emptied_box_gives_everything_away(void **state)
{
    struct weft__callbox box;
    uint32_t n = 0;
    (void)state;
    fill(&box, MAX);
    (void)weft__callbox_take(&box, 1);
    for (const struct weft_exec_call *at = weft__callbox_empty(&box); at; at = at->next)
        n++;
    assert_int_equal(n, MAX - 1);
    assert_ptr_equal(weft__callbox_empty_taken(&box), &calls[0]);
    assert_int_equal(box.waiting_n + box.taken_n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_taken_in_the_order_of_arrival),
        cmocka_unit_test(a_full_queue_refuses_with_a_hint),
        cmocka_unit_test(bodies_that_wait_are_bounded_in_bytes),
        cmocka_unit_test(a_hint_is_never_absurd),
        cmocka_unit_test(late_calls_leave_from_the_middle),
        cmocka_unit_test(a_cancelled_call_leaves_if_it_waits_and_is_marked_if_it_does_not),
        cmocka_unit_test(taken_calls_are_found_by_their_number_until_they_are_answered),
        cmocka_unit_test(an_emptied_box_gives_everything_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
