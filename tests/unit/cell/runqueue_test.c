#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "cell/park.h"
#include "cell/runqueue.h"
#include "weft/error.h"

enum { TASKS = 24, WORKERS = 3, RINGERS = 2, RINGS = 20000 };

static void *item_of(uintptr_t number)
{
    return (void *)number;
}

static void items_come_out_in_order(void **state)
{
    (void)state;
    struct weft__runqueue queue;
    assert_int_equal(weft__runqueue_init(&queue, 5), WEFT_OK);
    assert_true(weft__runqueue_is_empty(&queue));
    for (uintptr_t round = 0; round < 1000; round++) {
        weft__runqueue_push(&queue, item_of(1));
        weft__runqueue_push(&queue, item_of(2));
        assert_int_equal(weft__runqueue_len(&queue), 2);
        weft__runqueue_send(&queue, item_of(3));
        weft__runqueue_send(&queue, item_of(4));
        assert_false(weft__runqueue_is_empty(&queue));
        for (uintptr_t i = 1; i <= 4; i++)
            assert_ptr_equal(weft__runqueue_pop(&queue), item_of(i));
        assert_null(weft__runqueue_pop(&queue));
        assert_true(weft__runqueue_is_empty(&queue));
    }
    weft__runqueue_fini(&queue);
}

static void what_the_owner_has_not_begun_can_be_stolen(void **state)
{
    (void)state;
    struct weft__runqueue queue;
    assert_int_equal(weft__runqueue_init(&queue, 4), WEFT_OK);
    assert_null(weft__runqueue_steal(&queue));
    weft__runqueue_push(&queue, item_of(1));
    weft__runqueue_send(&queue, item_of(2));
    assert_ptr_equal(weft__runqueue_steal(&queue), item_of(1));
    assert_ptr_equal(weft__runqueue_steal(&queue), item_of(2));
    assert_null(weft__runqueue_steal(&queue));
    assert_null(weft__runqueue_pop(&queue));
    weft__runqueue_fini(&queue);
}

/* ---- tasks that are rung, run by workers that steal ---- */

struct task {
    _Atomic uint32_t turn;
    _Atomic uint32_t bell;
    _Atomic uint32_t owner; /* its worker's number */
    uint32_t seen;          /* whose task it is */
    uint64_t runs;          /* likewise: two workers at a time would race here */
};

static struct weft__runqueue queues[WORKERS];
static struct task tasks[TASKS];
static atomic_bool stop;

static _Thread_local int me = -1;

static void enqueue(struct task *task)
{
    int owner = (int)atomic_load(&task->owner);
    if (owner == me)
        weft__runqueue_push(&queues[owner], task);
    else
        weft__runqueue_send(&queues[owner], task);
}

static void ring(struct task *task)
{
    atomic_fetch_add(&task->bell, 1);
    if (weft__park_wake(&task->turn, WEFT__TURN_READY))
        enqueue(task);
}

/* Runs it, and rings another one now and then, as ranks do. */
static void run(struct task *task)
{
    atomic_store(&task->turn, WEFT__TURN_RUNNING);
    atomic_store(&task->owner, (uint32_t)me);
    for (;;) {
        task->seen = atomic_load(&task->bell);
        task->runs++;
        if (task->seen % 16 == 3) {
            atomic_store(&task->turn, WEFT__TURN_READY);
            atomic_fetch_add(&task->bell, 1);
            enqueue(task); /* yields */
            return;
        }
        weft__park_begin(&task->turn);
        uint32_t seen = task->seen;
        if (atomic_load(&task->bell) != seen)
            weft__park_stay(&task->turn);
        else if (weft__park_end(&task->turn))
            return;
    }
}

static void *work(void *arg)
{
    me = (int)(intptr_t)arg;
    while (!atomic_load(&stop)) {
        struct task *task = weft__runqueue_pop(&queues[me]);
        for (int i = 1; !task && i < WORKERS; i++)
            task = weft__runqueue_steal(&queues[(me + i) % WORKERS]);
        if (task)
            run(task);
        else
            sched_yield();
    }
    return NULL;
}

static void *ring_many(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < RINGS; i++)
        ring(&tasks[(i * 7 + number) % TASKS]);
    return NULL;
}

static bool all_have_seen(void)
{
    for (unsigned i = 0; i < TASKS; i++)
        if (atomic_load(&tasks[i].turn) != WEFT__TURN_ASLEEP)
            return false;
    return true;
}

static void no_ring_is_lost_and_no_task_runs_twice_at_a_time(void **state)
{
    (void)state;
    pthread_t workers[WORKERS], ringers[RINGERS];
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(weft__runqueue_init(&queues[i], TASKS), WEFT_OK);
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i].owner = i % WORKERS;
    for (uintptr_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, work, item_of(i)), 0);
    for (uintptr_t i = 0; i < RINGERS; i++)
        assert_int_equal(pthread_create(&ringers[i], NULL, ring_many, item_of(i)), 0);
    for (unsigned i = 0; i < RINGERS; i++)
        pthread_join(ringers[i], NULL);
    while (!all_have_seen())
        sched_yield();
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    for (unsigned i = 0; i < TASKS; i++) {
        assert_int_equal(tasks[i].seen, atomic_load(&tasks[i].bell));
        assert_true(tasks[i].runs > 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        weft__runqueue_fini(&queues[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order),
        cmocka_unit_test(what_the_owner_has_not_begun_can_be_stolen),
        cmocka_unit_test(no_ring_is_lost_and_no_task_runs_twice_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
