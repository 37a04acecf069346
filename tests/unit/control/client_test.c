#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"
#include "text.pb-c.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

static struct rig rig;

static struct weft_client_stats stats(void)
{
    struct weft_client_stats now;

    weft__client_stats(rig.client, &now);
    return now;
}

/* A port of the loopback interface that nobody listens on. */
static uint16_t unused_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

static void a_time_out_leaves_the_client_usable(void **state)
{
    struct rig_ask late;

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 1});
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "before", NULL), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", 10, &late), WEFT_OK);
    assert_int_equal(rig_await(&late), WEFT_ETIMEDOUT);
    assert_non_null(strstr(late.text, "within 10 ms"));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "after", NULL), WEFT_OK);
    rig_release(&rig);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "after", NULL), WEFT_OK);
    assert_true(stats().timed_out == 1);
    rig_close(&rig);
}

static struct weft_service_stats served(void)
{
    struct weft_service_stats now;

    weft__server_stats(rig.server, 0, &now);
    return now;
}

static void a_cancelled_request_ends_at_once_and_the_server_hears_of_it(void **state)
{
    struct weft_client_ticket ticket = {.id = 0};
    struct rig_ask asked;
    struct weft_client_call call = {.code = RIG_DEFER,
                                    .url = rig.url,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = rig_over,
                                    .ctx = &asked,
                                    .ticket_out = &ticket};

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    atomic_store(&asked.over, 0);
    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    assert_true(ticket.id != 0);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 1));
    weft__client_cancel(rig.client, ticket);
    assert_int_equal(rig_await(&asked), WEFT_ECANCELED);
    assert_non_null(strstr(asked.text, "may or may not have run"));
    assert_true(RIG_UNTIL(served().cancelled == 1));
    weft__client_cancel(rig.client, ticket); /* over already */
    weft__client_cancel(rig.client, (struct weft_client_ticket){.id = 77});
    weft__client_cancel(rig.client, (struct weft_client_ticket){.id = 0});
    rig_answer_deferred(&rig);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    assert_true(stats().cancelled == 1);
    assert_true(stats().late == 0);
    rig_close(&rig);
}

#define RACERS 4
#define RACES 400

struct race {
    struct rig_ask asked[RACES];
    uint32_t random;
};

static void race_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct rig_ask *asked = ctx;

    (void)text;
    assert_true(err == WEFT_OK || err == WEFT_ECANCELED);
    assert_true((err == WEFT_OK) == (reply != NULL));
    atomic_fetch_add(&asked->over, 1);
}

static void *race_run(void *arg)
{
    struct race *race = arg;
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    struct weft_client_ticket tickets[8] = {{0}};

    request.text = (char *)(uintptr_t) "race";
    for (unsigned i = 0; i < RACES; i++) {
        const struct weft_client_call call = {.url = rig.url,
                                              .code = i % 2 ? RIG_ECHO : RIG_ECHO_INLINE,
                                              .request = &request.base,
                                              .reply_type = &weft__test__text__descriptor,
                                              .timeout_ms = 3 * RIG_TIMEOUT_MS,
                                              .done = race_over,
                                              .ctx = &race->asked[i],
                                              .ticket_out = &tickets[i % 8]};

        while (weft__client_start(rig.client, &call) == WEFT_EAGAIN)
            sched_yield();
        race->random = race->random * 1664525u + 1013904223u;
        if (race->random >> 31 != 0)
            weft__client_cancel(rig.client, tickets[(race->random >> 8) % 8]);
    }
    return NULL;
}

static void cancels_race_with_answers_and_every_call_ends_once(void **state)
{
    static struct race races[RACERS];
    pthread_t threads[RACERS];

    memset(races, 0, sizeof(races));
    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 2, .queue_max = 4096});
    for (unsigned i = 0; i < RACERS; i++) {
        races[i].random = i;
        assert_int_equal(pthread_create(&threads[i], NULL, race_run, &races[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < RACERS * RACES; i++)
        assert_true(RIG_UNTIL(atomic_load(&races[i / RACES].asked[i % RACES].over) != 0));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    for (unsigned i = 0; i < RACERS * RACES; i++)
        assert_int_equal(atomic_load(&races[i / RACES].asked[i % RACES].over), 1);
    rig_close(&rig);
}

struct pair {
    struct weft_client_ticket ticket;
    struct rig_ask asked[2];
};

/* The first of a pair starts the second one and takes it back. */
static void start_and_cancel(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct pair *pair = ctx;
    struct weft_client_call call = {.code = RIG_DEFER,
                                    .url = rig.url,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = rig_over,
                                    .ctx = &pair->asked[1],
                                    .ticket_out = &pair->ticket};

    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    weft__client_cancel(rig.client, pair->ticket);
    rig_over(&pair->asked[0], err, text, reply);
}

static void done_may_cancel_what_it_has_started(void **state)
{
    struct pair pair;
    struct weft_client_call call = {.code = RIG_FAIL,
                                    .url = rig.url,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = start_and_cancel,
                                    .ctx = &pair};

    memset(&pair, 0, sizeof(pair));
    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    assert_int_equal(rig_await(&pair.asked[1]), WEFT_ECANCELED);
    assert_non_null(strstr(pair.asked[1].text, "was not sent"));
    assert_true(stats().cancelled == 1);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    assert_int_equal(atomic_load(&rig.deferred_n), 0);
    rig_close(&rig);
}

static void start_another(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct pair *pair = ctx;
    struct weft_client_call call = {.code = RIG_FAIL,
                                    .url = rig.url,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = rig_over,
                                    .ctx = &pair->asked[1]};

    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    rig_over(&pair->asked[0], err, text, reply);
}

/* Nothing else happens that would wake the client's thread. */
static void what_done_starts_after_a_time_out_is_sent_at_once(void **state)
{
    struct pair pair;
    struct weft_client_call call = {
        .code = RIG_DEFER, .url = rig.url, .timeout_ms = 10, .done = start_another, .ctx = &pair};

    memset(&pair, 0, sizeof(pair));
    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    assert_int_equal(rig_await(&pair.asked[0]), WEFT_ETIMEDOUT);
    assert_int_equal(rig_await(&pair.asked[1]), WEFT_EBUSY);
    rig_answer_deferred(&rig);
    rig_close(&rig);
}

/* A request that may run twice; with a text. */
static void start_idempotent(uint16_t code, struct rig_ask *asked)
{
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    const struct weft_client_call call = {.url = rig.url,
                                          .code = code,
                                          .flags = WEFT_CLIENT_IDEMPOTENT,
                                          .request = &request.base,
                                          .reply_type = &weft__test__text__descriptor,
                                          .timeout_ms = 3 * RIG_TIMEOUT_MS,
                                          .done = rig_over,
                                          .ctx = asked};

    request.text = (char *)(uintptr_t) "again";
    atomic_store(&asked->over, 0);
    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
}

static void what_may_run_twice_waits_for_room(void **state)
{
    struct rig_ask inside, waiting, asked[8];

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .workers = 1, .queue_max = 1});
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    assert_int_equal(rig_start(&rig, RIG_ECHO, "x", RIG_TIMEOUT_MS, &waiting), WEFT_OK);
    for (int i = 0; i < 8; i++)
        start_idempotent(RIG_ECHO, &asked[i]);
    assert_true(RIG_UNTIL(stats().resent >= 8));
    rig_release(&rig);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(rig_await(&asked[i]), WEFT_OK);
        assert_string_equal(asked[i].text, "again");
    }
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_int_equal(rig_await(&waiting), WEFT_OK);
    rig_close(&rig);
}

static void what_may_run_twice_outlives_a_restart_of_its_server(void **state)
{
    struct rig_ask asked;
    uint16_t port;

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    port = weft__server_sync_port(rig.server, 0);
    start_idempotent(RIG_DEFER, &asked);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 1));
    weft__server_stop(rig.server, 0);
    assert_true(RIG_UNTIL(stats().resent >= 1));
    assert_int_equal(atomic_load(&asked.over), 0);
    assert_int_equal(rig_serve(&rig, &(struct rig_desc){.scheme = *state, .port = port}), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 2));
    rig_answer_deferred(&rig);
    assert_int_equal(rig_await(&asked), WEFT_OK);
    assert_string_equal(asked.text, "again");
    rig_close(&rig);
}

static void a_host_that_is_not_there_ends_the_request(void **state)
{
    char url[64];
    struct weft_client_call call = {.url = url, .code = 1, .timeout_ms = 300};
    int rc;

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    snprintf(url, sizeof(url), strcmp(*state, "zmq") == 0 ? "tcp://127.0.0.1:%u" : "nobody:%u",
             unused_port());
    rc = weft__client_wait(rig.client, &call, NULL);
    assert_true(rc == WEFT_EPEERDEAD || rc == WEFT_ETIMEDOUT);
    assert_non_null(strstr(weft_fail_text(rc), url));
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    rig_close(&rig);
}

/* A listener that never answers, not even the handshake. */
static void a_silent_port_ends_the_request_by_its_deadline(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char url[64];
    struct weft_client_call call = {.url = url, .code = 1, .timeout_ms = 50};

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", ntohs(addr.sin_port));
    for (int i = 0; i < 3; i++)
        assert_int_equal(weft__client_wait(rig.client, &call, NULL), WEFT_ETIMEDOUT);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    close(fd);
    rig_close(&rig);
}

static void a_server_that_stops_ends_its_requests(void **state)
{
    struct rig_ask asks[4];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_start(&rig, RIG_DEFER, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 4));
    weft__server_stop(rig.server, 0);
    rig.server = NULL;
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_await(&asks[i]), WEFT_ESHUTDOWN);
    rig_answer_deferred(&rig);
    rig_close(&rig);
}

static void forgetting_a_url_ends_what_is_under_way_there(void **state)
{
    struct rig_ask asks[4];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_start(&rig, RIG_DEFER, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 4));
    weft__client_forget(rig.client, rig.url);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_await(&asks[i]), WEFT_EPEERDEAD);
    assert_true(stats().lost == 4);
    rig_answer_deferred(&rig);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "anew", NULL), WEFT_OK);
    rig_close(&rig);
}

static void forgetting_an_unknown_url_is_fine(void **state)
{
    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    weft__client_forget(rig.client, "tcp://127.0.0.1:1");
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL), WEFT_OK);
    rig_close(&rig);
}

static void too_many_requests_are_told_to_try_again(void **state)
{
    const struct weft_client_desc desc = {.scheme = *state, .pending_max = 2};
    struct rig_ask asks[3];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    weft__client_close(rig.client);
    assert_int_equal(weft__client_open(&desc, &rig.client), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_DEFER, "a", RIG_TIMEOUT_MS, &asks[0]), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_DEFER, "b", RIG_TIMEOUT_MS, &asks[1]), WEFT_OK);
    assert_int_equal(rig_start(&rig, RIG_DEFER, "c", RIG_TIMEOUT_MS, &asks[2]), WEFT_EAGAIN);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 2));
    rig_answer_deferred(&rig);
    assert_int_equal(rig_await(&asks[0]), WEFT_OK);
    assert_int_equal(rig_await(&asks[1]), WEFT_OK);
    assert_true(RIG_UNTIL(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL) == WEFT_OK));
    rig_close(&rig);
}

static void close_ends_what_is_under_way(void **state)
{
    struct rig_ask asks[4];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_start(&rig, RIG_DEFER, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 4));
    weft__client_close(rig.client);
    rig.client = NULL;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(atomic_load(&asks[i].over), 1);
        assert_int_equal(asks[i].err, WEFT_ESHUTDOWN);
    }
    rig_answer_deferred(&rig);
    rig_close(&rig);
}

static void *wait_for_deferred(void *arg)
{
    return (void *)(intptr_t)rig_ask(&rig, arg, RIG_DEFER, "x", NULL);
}

static void close_ends_a_thread_that_waits(void **state)
{
    pthread_t thread;
    void *rc;

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    assert_int_equal(pthread_create(&thread, NULL, wait_for_deferred, rig.client), 0);
    assert_true(RIG_UNTIL(atomic_load(&rig.deferred_n) == 1));
    weft__client_close(rig.client);
    rig.client = NULL;
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, WEFT_ESHUTDOWN);
    rig_answer_deferred(&rig);
    rig_close(&rig);
}

struct chain {
    _Atomic uint32_t left;
    _Atomic int err;
    _Atomic int waits_refused;
};

static void next_link(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct chain *chain = ctx;
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    struct weft_client_call call = {.url = rig.url,
                                    .code = RIG_ECHO,
                                    .request = &request.base,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = next_link,
                                    .ctx = chain};

    (void)text;
    assert_null(reply);
    if (err == WEFT_OK && atomic_load(&chain->left) > 1)
        err = weft__client_start(rig.client, &call);
    if (err != WEFT_OK)
        atomic_store(&chain->err, err);
    if (weft__client_wait(rig.client, &call, NULL) == WEFT_EINVAL)
        atomic_fetch_add(&chain->waits_refused, 1);
    atomic_fetch_sub(&chain->left, 1);
}

static void done_may_start_the_next_request_but_not_wait(void **state)
{
    struct chain chain = {.left = 100};
    struct weft_client_call call = {.url = rig.url,
                                    .code = RIG_FAIL,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = next_link,
                                    .ctx = &chain};

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    call.code = RIG_ECHO;
    assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&chain.left) == 0));
    assert_int_equal(atomic_load(&chain.err), WEFT_OK);
    assert_int_equal(atomic_load(&chain.waits_refused), 100);
    rig_close(&rig);
}

static void forget_when_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    (void)err;
    (void)text;
    (void)reply;
    weft__client_forget(rig.client, rig.url);
    atomic_fetch_add((_Atomic uint32_t *)ctx, 1);
}

static void done_may_forget_its_own_url(void **state)
{
    _Atomic uint32_t over = 0;
    struct weft_client_call call = {.url = rig.url,
                                    .code = RIG_FAIL,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done = forget_when_over,
                                    .ctx = &over};

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (uint32_t i = 1; i <= 20; i++) {
        assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
        assert_int_equal(weft__client_start(rig.client, &call), WEFT_OK);
        assert_true(RIG_UNTIL(atomic_load(&over) == 2 * i));
    }
    assert_true(RIG_UNTIL(rig_ask(&rig, rig.client, RIG_ECHO, "x", NULL) == WEFT_OK));
    rig_close(&rig);
}

static void a_wrong_url_is_refused_at_once(void **state)
{
    static const char *const wrong[] = {"",
                                        "tcp://127.0.0.1",
                                        "tcp://127.0.0.1:",
                                        "tcp://127.0.0.1:0",
                                        "tcp://127.0.0.1:65536",
                                        "tcp://127.0.0.1:80x",
                                        ":80"};
    struct weft_client_call call = {.code = 1, .timeout_ms = 100};

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        call.url = wrong[i];
        assert_int_equal(weft__client_wait(rig.client, &call, NULL), WEFT_EINVAL);
        assert_int_equal(weft__client_push(rig.client, wrong[i], 1, NULL), WEFT_EINVAL);
    }
    call.url = rig.url;
    call.timeout_ms = 0;
    assert_int_equal(weft__client_wait(rig.client, &call, NULL), WEFT_EINVAL);
    rig_close(&rig);
}

static void a_request_too_big_is_refused_at_once(void **state)
{
    static char text[WEFT_FRAME_BODY_MAX + 1];

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .body_max = WEFT_FRAME_BODY_MAX});
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, text, NULL), WEFT_EMSGSIZE);
    text[WEFT_FRAME_BODY_MAX - 100] = '\0';
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, text, NULL), WEFT_OK);
    rig_close(&rig);
}

static void a_request_over_the_services_limit_is_answered_with_an_error(void **state)
{
    static char text[8192];

    rig_open(&rig, &(struct rig_desc){.scheme = *state, .body_max = 4096});
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, text, NULL), WEFT_EMSGSIZE);
    assert_non_null(strstr(weft_fail_text(WEFT_EMSGSIZE), "4096"));
    text[4000] = '\0';
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, text, NULL), WEFT_OK);
    rig_close(&rig);
}

static void many_requests_are_pipelined(void **state)
{
    static struct rig_ask asks[1000];

    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (int i = 0; i < 1000; i++) {
        char text[RIG_TEXT];

        snprintf(text, sizeof(text), "request %d", i);
        assert_int_equal(
            rig_start(&rig, i % 2 ? RIG_ECHO : RIG_ECHO_INLINE, text, RIG_TIMEOUT_MS, &asks[i]),
            WEFT_OK);
    }
    for (int i = 0; i < 1000; i++) {
        char text[RIG_TEXT];

        snprintf(text, sizeof(text), "request %d", i);
        assert_int_equal(rig_await(&asks[i]), WEFT_OK);
        assert_string_equal(asks[i].text, text);
    }
    assert_true(stats().answered == 1000);
    rig_close(&rig);
}

static void pushes_in_a_row_all_arrive(void **state)
{
    rig_open(&rig, &(struct rig_desc){.scheme = *state});
    for (int i = 0; i < 1000; i++) {
        while (weft__client_push(rig.client, rig.async_url, RIG_COUNT, NULL) == WEFT_EAGAIN)
            sched_yield();
    }
    assert_true(RIG_UNTIL(atomic_load(&rig.counted) == 1000));
    assert_true(RIG_UNTIL(stats().pushes == 1000));
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
        OVER_BOTH(a_time_out_leaves_the_client_usable),
        OVER_BOTH(a_cancelled_request_ends_at_once_and_the_server_hears_of_it),
        OVER_BOTH(cancels_race_with_answers_and_every_call_ends_once),
        OVER_BOTH(done_may_cancel_what_it_has_started),
        OVER_BOTH(what_done_starts_after_a_time_out_is_sent_at_once),
        OVER_BOTH(what_may_run_twice_waits_for_room),
        OVER_BOTH(what_may_run_twice_outlives_a_restart_of_its_server),
        OVER_BOTH(a_host_that_is_not_there_ends_the_request),
        WITH("zmq", a_silent_port_ends_the_request_by_its_deadline),
        OVER_BOTH(a_server_that_stops_ends_its_requests),
        OVER_BOTH(forgetting_a_url_ends_what_is_under_way_there),
        OVER_BOTH(forgetting_an_unknown_url_is_fine),
        OVER_BOTH(too_many_requests_are_told_to_try_again),
        OVER_BOTH(close_ends_what_is_under_way),
        OVER_BOTH(close_ends_a_thread_that_waits),
        OVER_BOTH(done_may_start_the_next_request_but_not_wait),
        OVER_BOTH(done_may_forget_its_own_url),
        OVER_BOTH(a_wrong_url_is_refused_at_once),
        OVER_BOTH(a_request_too_big_is_refused_at_once),
        OVER_BOTH(a_request_over_the_services_limit_is_answered_with_an_error),
        OVER_BOTH(many_requests_are_pipelined),
        OVER_BOTH(pushes_in_a_row_all_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
