/* The owner thread's loop: tasks of many threads in order, timers in time order, descriptors, an
 * end that leaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "host/loop.h"
#include "weft/error.h"

enum { THREADS = 4, TASKS = 500 };

struct counted {
    struct weft_task task;
    struct weft_loop *loop;
    unsigned thread, number;
    unsigned *next; /* per thread: the number that must come */
    unsigned *left;
};

static void count(struct weft_task *task)
{
    struct counted *counted = (struct counted *)task;
    assert_int_equal(counted->number, counted->next[counted->thread]);
    counted->next[counted->thread]++;
    if (--*counted->left == 0)
        weft__loop_stop(counted->loop);
    free(counted);
}

struct poster {
    struct weft_loop *loop;
    unsigned thread;
    unsigned *next, *left;
};

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (unsigned i = 0; i < TASKS; i++) {
        struct counted *counted = malloc(sizeof(*counted));
        *counted = (struct counted){.task = {.run = count},
                                    .loop = poster->loop,
                                    .thread = poster->thread,
                                    .number = i,
                                    .next = poster->next,
                                    .left = poster->left};
        while (weft__loop_post(poster->loop, &counted->task) == WEFT_EAGAIN)
            ;
    }
    return NULL;
}

static void tasks_of_a_thread_run_in_order(void **state)
{
    (void)state;
    struct weft_loop *loop;
    unsigned next[THREADS] = {0}, left = THREADS * TASKS;
    pthread_t threads[THREADS];
    struct poster posters[THREADS];
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){.loop = loop, .thread = i, .next = next, .left = &left};
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    weft__loop_run(loop);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(left, 0);
    weft__loop_close(loop);
}

struct alarm {
    struct weft_timer timer;
    struct weft_loop *loop;
    unsigned number;
    unsigned *fired;
};

static void ring(struct weft_timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;
    assert_true(weft__now_ns() >= timer->at_ns);
    assert_int_equal(alarm->number, *alarm->fired);
    if (++*alarm->fired == 3)
        weft__loop_stop(alarm->loop);
}

static void timers_fire_in_time_order_and_never_early(void **state)
{
    (void)state;
    struct weft_loop *loop;
    unsigned fired = 0;
    uint64_t now = weft__now_ns();
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    struct alarm alarms[3] = {0},
                 off = {.timer = {.fire = ring}, .loop = loop, .number = 99, .fired = &fired};
    for (unsigned i = 3; i-- > 0;) {
        alarms[i] =
            (struct alarm){.timer = {.fire = ring}, .loop = loop, .number = i, .fired = &fired};
        weft__loop_timer(loop, &alarms[i].timer, now + (i + 1) * WEFT_NS_PER_MS);
    }
    weft__loop_timer(loop, &off.timer, now);
    weft__loop_timer_off(loop, &off.timer);
    weft__loop_timer(loop, &alarms[0].timer, now + WEFT_NS_PER_MS / 2); /* moved */
    weft__loop_run(loop);
    assert_int_equal(fired, 3);
    weft__loop_close(loop);
}

struct endless {
    struct weft_task task;
    struct weft_loop *loop;
    uint64_t runs;
};

static void run_again(struct weft_task *task)
{
    struct endless *endless = weft__loop_owner(task, struct endless, task);
    endless->runs++;
    assert_int_equal(weft__loop_post(endless->loop, task), WEFT_OK);
}

struct stopper {
    struct weft_timer timer;
    struct weft_loop *loop;
};

static void stop_now(struct weft_timer *timer)
{
    weft__loop_stop(weft__loop_owner(timer, struct stopper, timer)->loop);
}

static void a_flood_of_tasks_does_not_keep_timers_from_firing(void **state)
{
    (void)state;
    struct weft_loop *loop;
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    struct endless endless = {.task = {.run = run_again}, .loop = loop};
    struct stopper stopper = {.timer = {.fire = stop_now}, .loop = loop};
    assert_int_equal(weft__loop_post(loop, &endless.task), WEFT_OK);
    weft__loop_timer(loop, &stopper.timer, weft__now_ns());
    weft__loop_run(loop);
    assert_true(endless.runs > 0);
    assert_false(weft__loop_busy(loop));
    weft__loop_close(loop);
}

struct reader {
    struct weft_watch watch;
    struct weft_loop *loop;
    char got;
};

static void readable(struct weft_watch *watch, uint32_t events)
{
    struct reader *reader = (struct reader *)watch;
    assert_true((events & EPOLLIN) != 0);
    assert_int_equal(read(watch->fd, &reader->got, 1), 1);
    weft__loop_unwatch(reader->loop, watch);
    weft__loop_stop(reader->loop);
}

static void a_readable_descriptor_calls_back(void **state)
{
    (void)state;
    struct weft_loop *loop;
    int pipes[2];
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    assert_int_equal(pipe(pipes), 0);
    struct reader reader = {.watch = {.ready = readable, .fd = pipes[0]}, .loop = loop};
    assert_int_equal(weft__loop_watch(loop, &reader.watch, EPOLLIN), WEFT_OK);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    weft__loop_run(loop);
    assert_int_equal(reader.got, 'x');
    close(pipes[0]);
    close(pipes[1]);
    weft__loop_close(loop);
}

static void queued_tasks_can_be_drained_after_the_end(void **state)
{
    (void)state;
    struct weft_loop *loop;
    unsigned next[1] = {0}, left = 1;
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    struct counted *counted = malloc(sizeof(*counted));
    *counted = (struct counted){.task = {.run = count}, .loop = loop, .next = next, .left = &left};
    assert_int_equal(weft__loop_post(loop, &counted->task), WEFT_OK);
    weft__loop_drain(loop);
    assert_int_equal(left, 0);
    weft__loop_close(loop);
}

static void nothing(struct weft_task *task)
{
    (void)task;
}

static void a_full_loop_refuses_and_says_that_it_is_busy(void **state)
{
    (void)state;
    struct weft_loop *loop;
    struct weft_task task = {.run = nothing};
    int err = WEFT_OK;
    unsigned n = 0;
    assert_int_equal(weft__loop_open(&loop), WEFT_OK);
    assert_false(weft__loop_busy(loop));
    while ((err = weft__loop_post(loop, &task)) == WEFT_OK && n < 1000000)
        n++;
    assert_int_equal(err, WEFT_EAGAIN);
    assert_true(weft__loop_busy(loop));
    weft__loop_drain(loop);
    assert_false(weft__loop_busy(loop));
    weft__loop_close(loop);
    weft__loop_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_a_thread_run_in_order),
        cmocka_unit_test(timers_fire_in_time_order_and_never_early),
        cmocka_unit_test(a_flood_of_tasks_does_not_keep_timers_from_firing),
        cmocka_unit_test(a_readable_descriptor_calls_back),
        cmocka_unit_test(queued_tasks_can_be_drained_after_the_end),
        cmocka_unit_test(a_full_loop_refuses_and_says_that_it_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
