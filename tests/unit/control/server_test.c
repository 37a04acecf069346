#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/wake.h"
#include "rig.h"
#include "weft/error.h"
#include "wire/message.h"

#define CLIENTS 10
#define REQUESTS 1000
#define DEFERRED 64

static struct rig rig;

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(rig.server, 0, &now);
    return now;
}

static void start(void **state, unsigned workers)
{
    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = workers});
}

static void a_request_gets_its_answer(void **state)
{
    char text[RIG_TEXT];

    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "Response from server", text), WEFT_OK);
    assert_string_equal(text, "Response from server");
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "inline", text), WEFT_OK);
    assert_string_equal(text, "inline");
    assert_true(stats().answered == 2);
    rig_close(&rig);
}

static void a_push_reaches_its_handler_once(void **state)
{
    start(state, 2);
    assert_int_equal(weft__client_push(rig.client, rig.async_url, RIG_COUNT, NULL), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.counted) == 1));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    assert_int_equal(atomic_load(&rig.counted), 1);
    assert_true(stats().pushes == 1);
    rig_close(&rig);
}

static void a_handler_may_serve_both_ports(void **state)
{
    const struct weft_client_call call = {
        .url = rig.url, .code = RIG_BOTH, .timeout_ms = RIG_TIMEOUT_MS};

    start(state, 2);
    assert_int_equal(weft__client_push(rig.client, rig.async_url, RIG_BOTH, NULL), WEFT_OK);
    assert_int_equal(weft__client_wait(rig.client, &call, NULL), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.counted) == 2));
    rig_close(&rig);
}

static void *ask_many(void *arg)
{
    const struct weft_client_desc desc = {.scheme = rig.scheme};
    uintptr_t number = (uintptr_t)arg, wrong = 0;
    struct weft_client *client = rig.client;

    if (number < 100 && weft__client_open(&desc, &client) != WEFT_OK)
        return (void *)(uintptr_t)REQUESTS;
    for (int i = 0; i < REQUESTS; i++) {
        char text[RIG_TEXT], got[RIG_TEXT] = "";

        snprintf(text, sizeof(text), "Message %d from client %d", i, (int)number);
        wrong += rig_ask(&rig, client, RIG_ECHO, text, got) != WEFT_OK || strcmp(text, got) != 0;
    }
    if (number < 100)
        weft__client_close(client);
    return (void *)wrong;
}

static void ask_from_threads(uintptr_t first_number)
{
    pthread_t threads[CLIENTS];

    for (uintptr_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, (void *)(first_number + i)),
                         0);
    for (int i = 0; i < CLIENTS; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void ten_clients_get_their_own_answers(void **state)
{
    start(state, 2);
    ask_from_threads(0);
    assert_true(stats().answered == CLIENTS * REQUESTS);
    rig_close(&rig);
}

static void ten_threads_share_a_client(void **state)
{
    start(state, 2);
    ask_from_threads(100);
    assert_true(stats().answered == CLIENTS * REQUESTS);
    rig_close(&rig);
}

static void two_handlers_may_wait_for_each_other(void **state)
{
    struct rig_ask a, b;

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 2, .meet = 2});
    assert_int_equal(rig_start(&rig, RIG_MEET, "Background thread A", RIG_TIMEOUT_MS, &a), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_MEET, "Background thread B", RIG_TIMEOUT_MS, &b), WEFT_OK);
    assert_int_equal(rig_await(&a), WEFT_OK);
    assert_int_equal(rig_await(&b), WEFT_OK);
    assert_string_equal(a.text, "Background thread A");
    assert_string_equal(b.text, "Background thread B");
    rig_close(&rig);
}

static void workers_start_on_first_use_and_as_many_as_set(void **state)
{
    struct rig_ask asks[5];

    for (unsigned workers = 1; workers <= 3; workers++) {
        start(state, workers);
        assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "x", NULL), WEFT_OK);
        assert_int_equal(rig_threads("weft worker", false), 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
        assert_true(RIG_UNTIL(atomic_load(&rig.inside) == workers));
        assert_int_equal(rig_threads("weft worker", false), workers);
        rig_release(&rig);
        for (int i = 0; i < 5; i++)
            assert_int_equal(rig_await(&asks[i]), WEFT_OK);
        assert_int_equal(atomic_load(&rig.most_inside), workers);
        rig_close(&rig);
        assert_int_equal(rig_threads("weft worker", false), 0);
    }
}

/* One worker is busy: what comes after must be taken by the other, however often it comes. */
static void no_request_waits_behind_a_busy_worker(void **state)
{
    struct rig_ask busy;

    start(state, 2);
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &busy), WEFT_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    assert_int_equal(atomic_load(&busy.over), 0);
    rig_release(&rig);
    assert_int_equal(rig_await(&busy), WEFT_OK);
    rig_close(&rig);
}

static void an_idle_server_sleeps_and_serves_again(void **state)
{
    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    assert_true(
        RIG_UNTIL(rig_threads("weft fan-in", true) == 1 && rig_threads("weft client", true) == 1));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "y", NULL), WEFT_OK);
    rig_close(&rig);
}

static void *answer_deferred(void *arg)
{
    (void)arg;
    rig_answer_deferred(&rig);
    return NULL;
}

static void deferred_calls_are_answered_by_another_thread(void **state)
{
    struct rig_ask asks[DEFERRED];
    char text[RIG_TEXT];
    pthread_t thread;

    start(state, 1);
    for (int i = 0; i < DEFERRED; i++) {
        snprintf(text, sizeof(text), "caller %d", i);
        assert_int_equal(rig_start(&rig, RIG_DEFER, text, RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    }
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == DEFERRED));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "the worker is free", NULL), WEFT_OK);
    assert_int_equal(pthread_create(&thread, NULL, answer_deferred, NULL), 0);
    for (int i = 0; i < DEFERRED; i++) {
        snprintf(text, sizeof(text), "caller %d", i);
        assert_int_equal(rig_await(&asks[i]), WEFT_OK);
        assert_string_equal(asks[i].text, text);
    }
    pthread_join(thread, NULL);
    rig_close(&rig);
}

static void a_handlers_failure_comes_with_its_words(void **state)
{
    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_FAIL, "x", NULL), WEFT_EBUSY);
    assert_string_equal(weft_fail_text(WEFT_EBUSY), "not today");
    assert_true(stats().failed == 1);
    rig_close(&rig);
}

static void an_unknown_code_is_refused_by_name(void **state)
{
    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_UNKNOWN, "x", NULL), WEFT_EUNKNOWNCALL);
    assert_non_null(strstr(weft_fail_text(WEFT_EUNKNOWNCALL), "service test has no call 999"));
    assert_true(stats().refused_unknown == 1);
    rig_close(&rig);
}

static void a_call_on_the_wrong_port_is_refused(void **state)
{
    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_COUNT, "x", NULL), WEFT_EUNKNOWNCALL);
    assert_int_equal(weft__client_push(rig.client, rig.async_url, RIG_ECHO, NULL), WEFT_OK);
    assert_true(RIG_UNTIL(stats().refused_unknown == 2));
    assert_int_equal(atomic_load(&rig.counted), 0);
    rig_close(&rig);
}

static void a_full_queue_says_try_again(void **state)
{
    struct rig_ask inside, waiting[2], over;

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 1, .queue_max = 2});
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_start(&rig, RIG_ECHO, "x", RIG_TIMEOUT_MS, &waiting[i]), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_ECHO, "x", RIG_TIMEOUT_MS, &over), WEFT_OK);
    assert_int_equal(rig_await(&over), WEFT_EAGAIN);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "inline goes by", NULL), WEFT_OK);
    assert_true(stats().refused_full == 1);
    rig_release(&rig);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_int_equal(rig_await(&waiting[0]), WEFT_OK);
    assert_int_equal(rig_await(&waiting[1]), WEFT_OK);
    rig_close(&rig);
}

static void a_request_past_its_deadline_is_not_started(void **state)
{
    struct rig_ask inside, late;
    uint64_t arrived_ns;

    start(state, 1);
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    assert_int_equal(rig_start(&rig, RIG_BOTH, "x", 20, &late), WEFT_OK);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "it has arrived", NULL), WEFT_OK);
    arrived_ns = weft__now_ns();
    assert_int_equal(rig_await(&late), WEFT_ETIMEDOUT);
    assert_true(RIG_UNTIL(weft__now_ns() > arrived_ns + 20 * WEFT_NS_PER_MS));
    rig_release(&rig);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_true(RIG_UNTIL(stats().refused_late + stats().cancelled == 1));
    assert_int_equal(atomic_load(&rig.counted), 0);
    rig_close(&rig);
}

static void an_answer_too_big_becomes_an_error(void **state)
{
    start(state, 2);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_BIG, "x", NULL), WEFT_EMSGSIZE);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    rig_close(&rig);
}

static void a_used_port_is_named(void **state)
{
    struct rig second;
    uint16_t port;
    char name[16];

    start(state, 2);
    port = weft__server_sync_port(rig.server, 0);
    snprintf(name, sizeof(name), "%u", port);
    memset(&second, 0, sizeof(second));
    assert_int_equal(rig_serve(&second, &(struct rig_desc){.scheme = *state, .port = port}),
                     WEFT_EADDRINUSE);
    assert_non_null(strstr(weft_fail_text(WEFT_EADDRINUSE), name));
    rig_close(&rig);
}

static void refuse_handlers(const struct weft_handler_desc *handlers, size_t n)
{
    const struct weft_service_desc service = {
        .name = "wrong", .handlers = handlers, .handlers_n = n};
    const struct weft_server_desc desc = {
        .scheme = "inproc", .bind = "wrong", .services = &service, .services_n = 1};
    struct weft_server *server = NULL;

    assert_int_equal(weft__server_start(&desc, &server), WEFT_EINVAL);
    assert_null(server);
}

static void never_run(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)call;
    (void)request;
}

static void a_wrong_table_of_handlers_is_refused(void **state)
{
    const struct weft_handler_desc no_port = {1, WEFT_HANDLER_INLINE, "a", NULL, never_run};
    const struct weft_handler_desc no_function = {1, WEFT_HANDLER_SYNC, "a", NULL, NULL};
    const struct weft_handler_desc twice[] = {{1, WEFT_HANDLER_SYNC, "a", NULL, never_run},
                                              {1, WEFT_HANDLER_ASYNC, "b", NULL, never_run}};

    (void)state;
    refuse_handlers(&no_port, 1);
    refuse_handlers(&no_function, 1);
    refuse_handlers(twice, 2);
    refuse_handlers(twice, 0);
}

static void an_unknown_scheme_is_refused(void **state)
{
    struct rig other;

    (void)state;
    memset(&other, 0, sizeof(other));
    assert_int_equal(rig_serve(&other, &(struct rig_desc){.scheme = "pigeon"}), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "pigeon"));
}

#define WITH(scheme, test)                                                                         \
    {                                                                                              \
        scheme ": " #test, test, NULL, NULL, (void *)(uintptr_t)scheme                             \
    }
#define OVER_BOTH(test) WITH("zmq", test), WITH("inproc", test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_BOTH(a_request_gets_its_answer),
        OVER_BOTH(a_push_reaches_its_handler_once),
        OVER_BOTH(a_handler_may_serve_both_ports),
        OVER_BOTH(ten_clients_get_their_own_answers),
        OVER_BOTH(ten_threads_share_a_client),
        OVER_BOTH(two_handlers_may_wait_for_each_other),
        OVER_BOTH(workers_start_on_first_use_and_as_many_as_set),
        OVER_BOTH(no_request_waits_behind_a_busy_worker),
        OVER_BOTH(an_idle_server_sleeps_and_serves_again),
        OVER_BOTH(deferred_calls_are_answered_by_another_thread),
        OVER_BOTH(a_handlers_failure_comes_with_its_words),
        OVER_BOTH(an_unknown_code_is_refused_by_name),
        OVER_BOTH(a_call_on_the_wrong_port_is_refused),
        OVER_BOTH(a_full_queue_says_try_again),
        OVER_BOTH(a_request_past_its_deadline_is_not_started),
        OVER_BOTH(an_answer_too_big_becomes_an_error),
        OVER_BOTH(a_used_port_is_named),
        cmocka_unit_test(a_wrong_table_of_handlers_is_refused),
        cmocka_unit_test(an_unknown_scheme_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
