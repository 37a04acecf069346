/* What others see when a main dies, starts anew, leaves, or loses its lease; and many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rig.h"
#include "weft/state.h"

static const struct weft_state_name name_of_test = {"bob", "x"};

static int open_slow(void **state)
{
    rig_timeout_ms = 60000;
    return rig_open(state);
}

/* Others give up soon. */
static int open_quick(void **state)
{
    rig_timeout_ms = 1500;
    return rig_open(state);
}

static int open_small(void **state)
{
    rig_memory = 3 << 20;
    int err = open_slow(state);
    rig_memory = 0;
    return err;
}

static void a_main_that_started_anew_refuses_what_is_stale(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b, *fresh;
    char byte;
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 4, &a), WEFT_OK);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 0, &b), WEFT_OK);
    rig_host_kill(&rig->hosts[0]);
    rig_host_forget(rig, &rig->hosts[0]);
    rig_host_start(rig, &rig->hosts[0]);
    assert_int_equal(weft_value_write(b, 0, "b", 1), WEFT_OK);
    assert_int_equal(weft_value_push(b), WEFT_EHOSTDEAD);
    assert_non_null(strstr(weft_fail_text(WEFT_EHOSTDEAD), "host a"));
    assert_non_null(strstr(weft_fail_text(WEFT_EHOSTDEAD), "lost"));
    assert_int_equal(weft_value_read(a, 0, &byte, 1), WEFT_EHOSTDEAD);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 4, &fresh), WEFT_EHOSTDEAD);
    /* The way on: delete it, create it anew, with another main if you like. */
    assert_int_equal(weft_state_delete(rig->b, &name_of_test), WEFT_OK);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 4, &fresh), WEFT_OK);
    assert_int_equal(weft_value_push(b), WEFT_ESTALE);
    assert_int_equal(weft_value_read(fresh, 0, &byte, 1), WEFT_OK);
    assert_int_equal(byte, 0);
    weft_value_close(fresh);
    weft_value_close(a);
    weft_value_close(b);
}

static void a_main_that_is_silent_is_named_at_the_deadline(void **state)
{
    struct rig *rig = *state;
    struct weft_value *b;
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 4, &b), WEFT_OK);
    weft_value_close(b);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 0, &b), WEFT_OK);
    rig_host_kill(&rig->hosts[0]); /* and the registry does not know yet */
    assert_int_equal(weft_value_write(b, 0, "b", 1), WEFT_OK);
    int err = weft_value_push(b);
    assert_true(err == WEFT_EPEERDEAD || err == WEFT_ETIMEDOUT);
    assert_non_null(strstr(weft_fail_text(err), "host a"));
    assert_non_null(strstr(weft_fail_text(err), "weft_state_delete"));
    assert_true(weft_value_is_dirty(b));
    weft_value_close(b);
}

static void a_main_that_another_start_of_the_registry_must_confirm_goes_on(void **state)
{
    struct rig *rig = *state;
    struct rig_host *host = &rig->hosts[0];
    struct weft_value *a;
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 4, &a), WEFT_OK);
    weft__state_server_alive(host->state, host->incarnation, weft__now_ns(),
                             &(struct weft_registry_reply){.epoch = 1000});
    assert_int_equal(weft_value_write(a, 0, "a", 1), WEFT_OK);
    weft__state_server_alive(host->state, host->incarnation, weft__now_ns(),
                             &(struct weft_registry_reply){.epoch = 1}); /* as it really is */
    assert_int_equal(weft_value_push(a), WEFT_OK);
    weft_value_close(a);
}

static void a_new_incarnation_has_no_values(void **state)
{
    struct rig *rig = *state;
    struct rig_host *host = &rig->hosts[0];
    struct weft_state_server_stats stats;
    struct weft_value *a;
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 4, &a), WEFT_OK);
    weft__state_server_stats(host->state, &stats);
    assert_int_equal(stats.values, 1);
    weft__state_server_alive(host->state, host->incarnation + 1, weft__now_ns(),
                             &(struct weft_registry_reply){.epoch = 1});
    weft__state_server_stats(host->state, &stats);
    assert_int_equal(stats.values, 0);
    assert_int_equal(stats.bytes, 0);
    weft_value_close(a);
}

static void memory_that_is_used_up_is_an_error_that_names_the_setting(void **state)
{
    struct rig *rig = *state;
    struct weft_value *value, *other;
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 2 << 20, &value), WEFT_OK);
    assert_int_equal(
        weft_value_open(rig->a, &(struct weft_state_name){"bob", "y"}, 2 << 20, &other),
        WEFT_ENOSPC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOSPC), "WEFT_STATE_MEMORY"));
    /* The name is free all the same, here and elsewhere. */
    assert_int_equal(
        weft_value_open(rig->b, &(struct weft_state_name){"bob", "y"}, 2 << 20, &other), WEFT_OK);
    weft_value_close(other);
    weft_value_close(value);
}

/* ---- many at once ---- */

#define THREADS 4
#define ROUNDS 25
#define WORDS ((size_t)(3 << 20) / 8) /* more than one message */

struct worker {
    struct rig *rig;
    pthread_t thread;
    unsigned number;
    int err;
};

static int increment(struct weft_value *value)
{
    for (;;) {
        uint64_t count;
        weft_value_discard(value);
        int err = weft_value_pull(value);
        uint64_t version = weft_value_version(value);
        if (err == WEFT_OK)
            err = weft_value_read(value, 0, &count, sizeof(count));
        count++;
        if (err == WEFT_OK)
            err = weft_value_write(value, 0, &count, sizeof(count));
        if (err == WEFT_OK)
            err = weft_value_push_if(value, version);
        if (err != WEFT_ESTALE)
            return err;
    }
}

static void *increments(void *arg)
{
    struct worker *worker = arg;
    struct weft_state *process = rig_process(worker->rig, &worker->rig->hosts[worker->number % 2]);
    struct weft_value *value;
    worker->err = weft_value_open(process, &name_of_test, 8, &value);
    for (int i = 0; i < ROUNDS && worker->err == WEFT_OK; i++) {
        worker->err = increment(value);
        if (worker->err == WEFT_OK)
            worker->err = weft_value_append(value, &i, sizeof(i), NULL);
    }
    if (worker->err == WEFT_OK)
        weft_value_close(value);
    weft_state_close(process);
    return NULL;
}

static void run_workers(struct rig *rig, void *(*run)(void *arg))
{
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.rig = rig, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].err, WEFT_OK);
}

static void nothing(void *ctx, uint64_t index, const void *item, size_t len_bytes)
{
    (void)ctx;
    (void)index;
    (void)item;
    (void)len_bytes;
}

static void conditional_increments_of_many_add_up(void **state)
{
    struct rig *rig = *state;
    struct weft_value *value;
    uint64_t count, items;
    run_workers(rig, increments);
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 0, &value), WEFT_OK);
    assert_int_equal(weft_value_read(value, 0, &count, sizeof(count)), WEFT_OK);
    assert_int_equal(count, THREADS * ROUNDS);
    struct weft_value_items all = {.n = 1, .each = nothing};
    assert_int_equal(weft_value_items(value, &all, &items), WEFT_OK);
    assert_int_equal(items, THREADS * ROUNDS);
    weft_value_close(value);
}

static int push_same(struct weft_value *value, uint64_t number)
{
    uint64_t *words;
    int err = weft_value_map(value, 0, WORDS * 8, (void **)&words);
    if (err != WEFT_OK)
        return err;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = number;
    err = weft_value_dirty(value, 0, WORDS * 8);
    return err == WEFT_OK ? weft_value_push(value) : err;
}

static int pull_same(struct weft_value *value)
{
    uint64_t *words;
    int err = weft_value_pull(value);
    if (err == WEFT_OK)
        err = weft_value_map(value, 0, WORDS * 8, (void **)&words);
    for (size_t i = 1; i < WORDS && err == WEFT_OK; i++)
        if (words[i] != words[0])
            err = WEFT_ECHECKSUM; /* of two pushes */
    return err;
}

static void *large_ones(void *arg)
{
    struct worker *worker = arg;
    struct weft_state *process = rig_process(worker->rig, &worker->rig->hosts[worker->number % 2]);
    struct weft_value *value;
    worker->err = weft_value_open(process, &name_of_test, WORDS * 8, &value);
    for (uint64_t i = 0; i < 6 && worker->err == WEFT_OK; i++)
        worker->err =
            worker->number < 2 ? push_same(value, i * 2 + worker->number) : pull_same(value);
    if (worker->err == WEFT_OK)
        weft_value_close(value);
    weft_state_close(process);
    return NULL;
}

static void a_large_read_is_of_one_push_however_many_push(void **state)
{
    run_workers(*state, large_ones);
}

#define CASE(name, open) cmocka_unit_test_setup_teardown(name, open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_main_that_started_anew_refuses_what_is_stale, open_slow),
        CASE(a_main_that_is_silent_is_named_at_the_deadline, open_quick),
        CASE(a_main_that_another_start_of_the_registry_must_confirm_goes_on, open_slow),
        CASE(a_new_incarnation_has_no_values, open_slow),
        CASE(memory_that_is_used_up_is_an_error_that_names_the_setting, open_small),
        CASE(conditional_increments_of_many_add_up, open_slow),
        CASE(a_large_read_is_of_one_push_however_many_push, open_slow),
    };
    if (argc > 1)
        rig_scheme = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
