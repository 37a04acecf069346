#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"
#include "wire/message.h"

#define CYCLES 1000
/* What the sanitizers themselves keep of memory that was freed; they look for leaks on their own.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GROWTH_MAX_BYTES SIZE_MAX
#else
#define GROWTH_MAX_BYTES ((size_t)8 << 20)
#endif

static struct rig rig;

static void *stop_patiently(void *server)
{
    weft__server_stop(server, RIG_TIMEOUT_MS);
    return NULL;
}

static void stopping_nothing_is_fine(void **state)
{
    (void)state;
    weft__server_stop(NULL, 0);
    weft__client_close(NULL);
}

static void stop_refuses_new_work_and_lets_handlers_finish(void **state)
{
    struct rig_ask inside;
    pthread_t stopper;

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 1});
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "in hand", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, rig.server), 0);
    assert_true(
        RIG_UNTIL(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "new", NULL) == WEFT_ESHUTDOWN));
    assert_int_equal(atomic_load(&inside.over), 0);
    rig_release(&rig);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_string_equal(inside.text, "in hand");
    pthread_join(stopper, NULL);
    rig.server = NULL;
    rig_close(&rig);
}

static void stop_fails_what_waits_for_a_worker(void **state)
{
    struct rig_ask inside, waiting;
    pthread_t stopper;

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 1});
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    assert_int_equal(rig_start(&rig, RIG_ECHO, "x", RIG_TIMEOUT_MS, &waiting), WEFT_OK);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "behind it", NULL), WEFT_OK);
    assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, rig.server), 0);
    assert_int_equal(rig_await(&waiting), WEFT_ESHUTDOWN);
    rig_release(&rig);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    pthread_join(stopper, NULL);
    rig.server = NULL;
    rig_close(&rig);
}

/* Each run has its own rig: nobody joins the thread that is left, so nobody may use its rig again.
 */
static void stop_returns_although_a_handler_does_not(void **state)
{
    static struct rig rigs[2];
    struct rig *stuck = &rigs[strcmp(*state, "inproc") == 0];
    struct rig_ask inside;

    rig_open(stuck, &(struct rig_desc){.scheme = *state, .workers = 2});
    assert_int_equal(rig_start(stuck, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&stuck->inside) == 1));
    weft__server_stop(stuck->server, 20);
    stuck->server = NULL;
    assert_int_equal(atomic_load(&stuck->inside), 1);
    assert_int_equal(rig_await(&inside), WEFT_ESHUTDOWN);
    rig_close(stuck); /* lets the handler go on: it answers a server that is gone */
    assert_true(RIG_UNTIL(rig_threads("weft worker", false) == 0));
}

/* The fan-in thread is the one that is left here, with a worker that it alone may end. */
static void stop_returns_although_an_inline_handler_does_not(void **state)
{
    static struct rig rigs[2];
    struct rig *stuck = &rigs[strcmp(*state, "inproc") == 0];
    struct rig_ask inside;

    rig_open(stuck, &(struct rig_desc){.scheme = *state, .workers = 1});
    assert_int_equal(rig_ask(stuck, stuck->client, RIG_ECHO, "starts the worker", NULL), WEFT_OK);
    assert_int_equal(rig_start(stuck, RIG_BLOCK_INLINE, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&stuck->inside) == 1));
    weft__server_stop(stuck->server, 20);
    stuck->server = NULL;
    assert_int_equal(atomic_load(&inside.over), 0);
    rig_release(stuck);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_true(RIG_UNTIL(rig_threads("weft fan-in", false) == 0 &&
                          rig_threads("weft worker", false) == 0));
    rig_close(stuck);
}

static void a_deferred_call_outlives_its_server(void **state)
{
    struct rig_ask ask[2];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    assert_int_equal(rig_start(&rig, RIG_DEFER, "a", RIG_TIMEOUT_MS, &ask[0]), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_DEFER, "b", RIG_TIMEOUT_MS, &ask[1]), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 2));
    weft__server_stop(rig.server, 0);
    rig.server = NULL;
    assert_int_equal(rig_await(&ask[0]), WEFT_ESHUTDOWN);
    assert_int_equal(rig_await(&ask[1]), WEFT_ESHUTDOWN);
    assert_int_equal(weft__call_code(rig.deferred[0]), RIG_DEFER);
    assert_true(weft__call_deadline_ns(rig.deferred[0]) != WEFT_NEVER);
    weft__call_reply(rig.deferred[0], NULL);
    weft__call_fail(rig.deferred[1], WEFT_EBUSY, "nobody hears this");
    rig_close(&rig);
}

static void *answer_all(void *arg)
{
    (void)arg;
    rig_answer_deferred(&rig);
    return NULL;
}

/* Either the answer or the shutdown reaches the caller, and each call is freed once. */
static void answers_may_meet_stop(void **state)
{
    struct rig_ask asks[16];

    for (int round = 0; round < 20; round++) {
        pthread_t thread;

        rig_open(&rig, &(struct rig_desc){.scheme = *state});
        for (int i = 0; i < 16; i++)
            assert_int_equal(rig_start(&rig, RIG_DEFER, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
        assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 16));
        assert_int_equal(pthread_create(&thread, NULL, answer_all, NULL), 0);
        weft__server_stop(rig.server, 0);
        rig.server = NULL;
        for (int i = 0; i < 16; i++) {
            int rc = rig_await(&asks[i]);

            assert_true(rc == WEFT_OK || rc == WEFT_ESHUTDOWN);
        }
        pthread_join(thread, NULL);
        rig_close(&rig);
    }
}

static void many_starts_on_one_port_leave_nothing_behind(void **state)
{
    struct rig_desc desc = {.scheme = *state};
    unsigned fds, threads;
    size_t resident_bytes = 0, now_bytes;

    rig_open(&rig, &desc);
    desc.port = weft__server_sync_port(rig.server, 0);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    weft__server_stop(rig.server, RIG_TIMEOUT_MS);
    weft__client_close(rig.client);
    fds = rig_fds();
    threads = rig_threads("weft", false);
    for (int i = 0; i < CYCLES; i++) {
        char text[RIG_TEXT];

        if (i == CYCLES / 10)
            resident_bytes = rig_resident_bytes();
        rig_open(&rig, &desc);
        assert_int_equal(weft__server_sync_port(rig.server, 0), desc.port);
        snprintf(text, sizeof(text), "cycle %d", i);
        assert_int_equal(rig_ask(&rig, rig.client, i % 2 ? RIG_ECHO : RIG_ECHO_INLINE, text, text),
                         WEFT_OK);
        if (i % 2)
            weft__server_stop(rig.server, RIG_TIMEOUT_MS);
        weft__client_close(rig.client);
        if (i % 2 == 0)
            weft__server_stop(rig.server, RIG_TIMEOUT_MS);
    }
    assert_int_equal(rig_fds(), fds);
    assert_int_equal(rig_threads("weft", false), threads);
    now_bytes = rig_resident_bytes();
    assert_true(now_bytes < resident_bytes || now_bytes - resident_bytes < GROWTH_MAX_BYTES);
}

/* The server goes and comes back under a client that stays. */
static void a_client_outlives_many_servers(void **state)
{
    struct rig_desc desc = {.scheme = *state};

    rig_open(&rig, &desc);
    desc.port = weft__server_sync_port(rig.server, 0);
    for (int i = 0; i < 20; i++) {
        assert_true(RIG_UNTIL(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL) == WEFT_OK));
        weft__server_stop(rig.server, RIG_TIMEOUT_MS);
        assert_int_equal(rig_serve(&rig, &desc), WEFT_OK);
    }
    rig_close(&rig);
}

#define WITH(scheme, test)                                                                         \
    {                                                                                              \
        scheme ": " #test, test, NULL, NULL, (void *)(uintptr_t)scheme                             \
    }
#define OVER_BOTH(test) WITH("zmq", test), WITH("inproc", test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_nothing_is_fine),
        OVER_BOTH(stop_refuses_new_work_and_lets_handlers_finish),
        OVER_BOTH(stop_fails_what_waits_for_a_worker),
        OVER_BOTH(stop_returns_although_a_handler_does_not),
        OVER_BOTH(stop_returns_although_an_inline_handler_does_not),
        OVER_BOTH(a_deferred_call_outlives_its_server),
        OVER_BOTH(answers_may_meet_stop),
        OVER_BOTH(many_starts_on_one_port_leave_nothing_behind),
        OVER_BOTH(a_client_outlives_many_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
