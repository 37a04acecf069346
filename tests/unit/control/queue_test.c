#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/call.h"
#include "control/queue.h"
#include "weft/error.h"

static void calls_come_out_in_order(void **state)
{
    struct weft_queue queue;
    struct weft_call calls[3] = {0};
    bool more;

    (void)state;
    weft__queue_init(&queue, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(weft__queue_push(&queue, &calls[i], &more), WEFT_OK);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(weft__queue_pop(&queue), &calls[i]);
    weft__queue_fini(&queue);
}

static void a_full_queue_refuses_the_next_call(void **state)
{
    struct weft_queue queue;
    struct weft_call calls[3] = {0};
    bool more;

    (void)state;
    weft__queue_init(&queue, 2);
    assert_int_equal(weft__queue_push(&queue, &calls[0], &more), WEFT_OK);
    assert_int_equal(weft__queue_push(&queue, &calls[1], &more), WEFT_OK);
    assert_int_equal(weft__queue_push(&queue, &calls[2], &more), WEFT_EAGAIN);
    assert_ptr_equal(weft__queue_pop(&queue), &calls[0]);
    assert_int_equal(weft__queue_push(&queue, &calls[2], &more), WEFT_OK);
    weft__queue_fini(&queue);
}

static void a_call_without_a_sleeping_worker_asks_for_more(void **state)
{
    struct weft_queue queue;
    struct weft_call call = {0};
    bool more = false;

    (void)state;
    weft__queue_init(&queue, 2);
    assert_int_equal(weft__queue_push(&queue, &call, &more), WEFT_OK);
    assert_true(more);
    weft__queue_fini(&queue);
}

/* Takes the n-th out and returns what is left, as digits. */
static int left_without(int n)
{
    struct weft_queue queue;
    struct weft_call calls[3] = {0}, *call;
    int left = 0;
    bool more;

    weft__queue_init(&queue, 3);
    for (int i = 0; i < 3; i++)
        weft__queue_push(&queue, &calls[i], &more);
    assert_true(weft__queue_remove(&queue, &calls[n]));
    assert_false(weft__queue_remove(&queue, &calls[n]));
    assert_int_equal(weft__queue_length(&queue), 2);
    assert_int_equal(weft__queue_push(&queue, &calls[n], &more), WEFT_OK);
    assert_true(weft__queue_remove(&queue, &calls[n]));
    for (call = weft__queue_close(&queue); call != NULL; call = call->next)
        left = left * 10 + (int)(call - calls);
    weft__queue_fini(&queue);
    return left;
}

static void any_call_can_be_taken_out(void **state)
{
    (void)state;
    assert_int_equal(left_without(0), 12);
    assert_int_equal(left_without(1), 2);
    assert_int_equal(left_without(2), 1);
}

static void late_calls_are_taken_out_in_order(void **state)
{
    struct weft_queue queue;
    struct weft_call calls[5] = {{.deadline_ns = 10},
                                 {.deadline_ns = 30},
                                 {.deadline_ns = 20},
                                 {.deadline_ns = 40},
                                 {.deadline_ns = 15}};
    struct weft_call *late;
    bool more;

    (void)state;
    weft__queue_init(&queue, 5);
    for (int i = 0; i < 5; i++)
        weft__queue_push(&queue, &calls[i], &more);
    assert_null(weft__queue_remove_late(&queue, 9));
    late = weft__queue_remove_late(&queue, 20);
    assert_ptr_equal(late, &calls[0]);
    assert_ptr_equal(late->next, &calls[2]);
    assert_ptr_equal(late->next->next, &calls[4]);
    assert_null(calls[4].next);
    assert_int_equal(weft__queue_length(&queue), 2);
    weft__queue_push(&queue, &calls[0], &more);
    assert_ptr_equal(weft__queue_pop(&queue), &calls[1]);
    assert_ptr_equal(weft__queue_pop(&queue), &calls[3]);
    assert_ptr_equal(weft__queue_pop(&queue), &calls[0]);
    weft__queue_fini(&queue);
}

static void *pop_one(void *queue)
{
    return weft__queue_pop(queue);
}

static void close_hands_back_what_waited_and_ends_pops(void **state)
{
    struct weft_queue queue;
    struct weft_call calls[2] = {0};
    bool more;

    (void)state;
    weft__queue_init(&queue, 2);
    weft__queue_push(&queue, &calls[0], &more);
    weft__queue_push(&queue, &calls[1], &more);
    assert_ptr_equal(weft__queue_close(&queue), &calls[0]);
    assert_ptr_equal(calls[0].next, &calls[1]);
    assert_null(calls[1].next);
    assert_null(weft__queue_pop(&queue));
    assert_int_equal(weft__queue_push(&queue, &calls[0], &more), WEFT_EAGAIN);
    weft__queue_fini(&queue);
}

static void close_wakes_sleepers(void **state)
{
    struct weft_queue queue;
    pthread_t thread;
    void *got = &queue;

    (void)state;
    weft__queue_init(&queue, 2);
    assert_int_equal(pthread_create(&thread, NULL, pop_one, &queue), 0);
    assert_null(weft__queue_close(&queue));
    pthread_join(thread, &got);
    assert_null(got);
    weft__queue_fini(&queue);
}

enum { BURST = 3 };

struct meeting {
    struct weft_queue queue;
    pthread_barrier_t all_here;
};

/* A handler that waits until every call of the burst is in one. */
static void *meet(void *arg)
{
    struct meeting *meeting = arg;

    while (weft__queue_pop(&meeting->queue) != NULL)
        pthread_barrier_wait(&meeting->all_here);
    return NULL;
}

static void each_call_of_a_burst_reaches_a_worker_of_its_own(void **state)
{
    static struct meeting meeting;
    struct weft_call calls[BURST] = {0};
    pthread_t threads[BURST];
    bool more;

    (void)state;
    weft__queue_init(&meeting.queue, BURST);
    pthread_barrier_init(&meeting.all_here, NULL, BURST + 1);
    for (int i = 0; i < BURST; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet, &meeting), 0);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < BURST; i++)
            assert_int_equal(weft__queue_push(&meeting.queue, &calls[i], &more), WEFT_OK);
        weft__queue_wake(&meeting.queue);
        pthread_barrier_wait(&meeting.all_here);
    }
    assert_null(weft__queue_close(&meeting.queue));
    for (int i = 0; i < BURST; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&meeting.all_here);
    weft__queue_fini(&meeting.queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_out_in_order),
        cmocka_unit_test(a_full_queue_refuses_the_next_call),
        cmocka_unit_test(a_call_without_a_sleeping_worker_asks_for_more),
        cmocka_unit_test(any_call_can_be_taken_out),
        cmocka_unit_test(late_calls_are_taken_out_in_order),
        cmocka_unit_test(close_hands_back_what_waited_and_ends_pops),
        cmocka_unit_test(close_wakes_sleepers),
        cmocka_unit_test(each_call_of_a_burst_reaches_a_worker_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
