/* The client against a server that the test plays itself, a plain ROUTER socket: what frames say of
 * their sender, what is cancelled, what is sent again and what is not. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "rig.h"
#include "tests/loopback.h"
#include "weft/error.h"
#include "wire/frame.h"

#define CODE 7
#define BODY_MAX 64

static void *zmq;
static struct weft_client *client;

/* The server that the test plays. */
static struct stage {
    void *sock;
    char url[64];
    uint8_t id[64]; /* of the client whose frame came last */
    size_t id_len;
} stage;

static void stage_open(const char *url)
{
    int linger_ms = 0, timeout_ms = 3 * RIG_TIMEOUT_MS;
    uint64_t limit_ns = weft__now_ns() + 60 * WEFT_NS_PER_S;
    size_t len = sizeof(stage.url);

    stage.sock = zmq_socket(zmq, ZMQ_ROUTER);
    zmq_setsockopt(stage.sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(stage.sock, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    while (zmq_bind(stage.sock, url) != 0) /* the one before closes in its own time */
        assert_true(weft__now_ns() < limit_ns);
    assert_int_equal(zmq_getsockopt(stage.sock, ZMQ_LAST_ENDPOINT, stage.url, &len), 0);
}

static void stage_close(void)
{
    zmq_close(stage.sock);
    stage.sock = NULL;
}

static void stage_open_new(void)
{
    char own[OWN_LOOPBACK_MAX], url[64];

    own_loopback(own);
    snprintf(url, sizeof(url), "tcp://%s:*", own);
    stage_open(url);
}

/* The server dies and comes back on its port. */
static void stage_restart(void)
{
    char url[sizeof(stage.url)];

    memcpy(url, stage.url, sizeof(url));
    stage_close();
    stage_open(url);
}

struct heard {
    struct weft_frame frame;
    char body[BODY_MAX]; /* with a NUL behind it */
};

static void hear(struct heard *heard_out)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + BODY_MAX];
    int len = zmq_recv(stage.sock, stage.id, sizeof(stage.id), 0);

    assert_in_range(len, 1, (int)sizeof(stage.id));
    stage.id_len = (size_t)len;
    len = zmq_recv(stage.sock, data, sizeof(data), 0);
    assert_int_equal(weft__frame_decode(data, (size_t)len, BODY_MAX - 1, &heard_out->frame),
                     WEFT_OK);
    memcpy(heard_out->body, heard_out->frame.body, heard_out->frame.body_len);
    heard_out->body[heard_out->frame.body_len] = '\0';
    heard_out->frame.body = NULL;
}

static void say(const struct weft_frame *reply, const char *body)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + BODY_MAX];
    struct weft_frame frame = *reply;

    frame.body_len = (uint32_t)strlen(body);
    weft__frame_encode_header(&frame, data);
    memcpy(data + WEFT_FRAME_HEADER_BYTES, body, frame.body_len);
    zmq_send(stage.sock, stage.id, stage.id_len, ZMQ_SNDMORE);
    assert_int_equal(zmq_send(stage.sock, data, WEFT_FRAME_HEADER_BYTES + frame.body_len, 0),
                     WEFT_FRAME_HEADER_BYTES + frame.body_len);
}

static void answer(const struct heard *heard, const char *body)
{
    const struct weft_frame reply = {.call = heard->frame.call,
                                     .flags = WEFT_FRAME_REPLY,
                                     .correlation = heard->frame.correlation};
    say(&reply, body);
}

static void answer_error(const struct heard *heard, int err, uint32_t retry_ms)
{
    const struct weft_frame reply = {.call = heard->frame.call,
                                     .flags = WEFT_FRAME_REPLY | WEFT_FRAME_ERROR,
                                     .error = err,
                                     .deadline_ms = retry_ms,
                                     .correlation = heard->frame.correlation};
    say(&reply, "said the server");
}

struct asked {
    _Atomic int over;
    int err;
    uint32_t retry_ms;
    char text[512]; /* of the reply, or of the error */
};

static void over(void *ctx, int err, const char *text, const void *body, size_t len_bytes)
{
    struct asked *asked = ctx;

    asked->err = err;
    asked->retry_ms = weft_fail_retry_ms();
    if (err == WEFT_OK)
        snprintf(asked->text, sizeof(asked->text), "%.*s", (int)len_bytes, (const char *)body);
    else
        snprintf(asked->text, sizeof(asked->text), "%s", text);
    atomic_fetch_add(&asked->over, 1);
}

static void ask_for(const char *body, uint32_t flags, uint32_t timeout_ms, struct asked *asked)
{
    const struct weft_client_call call = {.url = stage.url,
                                          .code = CODE,
                                          .flags = flags,
                                          .body = body,
                                          .body_len = strlen(body),
                                          .timeout_ms = timeout_ms,
                                          .done_bytes = over,
                                          .ctx = asked};

    atomic_store(&asked->over, 0);
    assert_int_equal(weft__client_start(client, &call), WEFT_OK);
}

static void ask(const char *body, struct asked *asked)
{
    ask_for(body, 0, RIG_TIMEOUT_MS, asked);
}

static int await(struct asked *asked)
{
    assert_true(RIG_UNTIL(atomic_load(&asked->over) == 1));
    return asked->err;
}

/* One request and its answer, after which the client knows that the connection works. */
static void warm_up(void)
{
    struct heard heard;
    struct asked asked;

    ask("hello", &asked);
    hear(&heard);
    answer(&heard, "hello");
    assert_int_equal(await(&asked), WEFT_OK);
}

static struct weft_client_stats stats(void)
{
    struct weft_client_stats now;

    weft__client_stats(client, &now);
    return now;
}

static int setup(void **state)
{
    const struct weft_client_desc desc = {.scheme = NULL};

    (void)state;
    zmq = zmq_ctx_new();
    stage_open_new();
    return weft__client_open(&desc, &client);
}

static int teardown(void **state)
{
    (void)state;
    weft__client_close(client);
    stage_close();
    zmq_ctx_term(zmq);
    return 0;
}

static void every_request_says_who_sends_it_and_which_it_is(void **state)
{
    struct asked asked[3];
    struct heard heard[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        ask("x", &asked[i]);
    for (int i = 0; i < 3; i++) {
        hear(&heard[i]);
        assert_true(heard[i].frame.client != 0);
        assert_true(heard[i].frame.client == heard[0].frame.client);
        assert_true(heard[i].frame.sequence == (uint64_t)i + 1);
        assert_int_equal(heard[i].frame.flags, 0);
        assert_string_equal(heard[i].body, "x");
        answer(&heard[i], "y");
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(await(&asked[i]), WEFT_OK);
}

static void a_time_out_is_told_to_the_server(void **state)
{
    struct heard request, cancel;
    struct asked asked;

    (void)state;
    ask_for("x", 0, 100, &asked); /* the first one on its connection */
    hear(&request);
    assert_int_equal(await(&asked), WEFT_ETIMEDOUT);
    assert_non_null(strstr(asked.text, "may or may not have run"));
    hear(&cancel);
    assert_int_equal(cancel.frame.flags, WEFT_FRAME_CANCEL);
    assert_true(cancel.frame.correlation == request.frame.correlation);
    assert_true(cancel.frame.client == request.frame.client);
    assert_true(cancel.frame.sequence == request.frame.sequence);
    assert_string_equal(cancel.body, "");
}

/* The next calls of a client whose call has timed out get their own answers, whatever else comes.
 */
static void late_and_doubled_answers_in_any_order_reach_nobody_else(void **state)
{
    struct heard late, cancel, first, second;
    struct asked timed_out, one, two;

    (void)state;
    warm_up();
    ask_for("late", 0, 30, &timed_out);
    hear(&late);
    assert_int_equal(await(&timed_out), WEFT_ETIMEDOUT);
    hear(&cancel);
    ask("one", &one);
    ask("two", &two);
    hear(&first);
    hear(&second);
    answer(&late, "late");
    answer(&second, "TWO");
    answer(&second, "TWO AGAIN");
    answer(&late, "late again");
    answer(&first, "ONE");
    answer(&first, "ONE AGAIN");
    assert_int_equal(await(&one), WEFT_OK);
    assert_int_equal(await(&two), WEFT_OK);
    warm_up();
    assert_string_equal(one.text, "ONE");
    assert_string_equal(two.text, "TWO");
    assert_int_equal(atomic_load(&timed_out.over), 1);
    assert_true(stats().late == 4);
    assert_true(stats().malformed == 0);
}

static void what_may_run_twice_outlives_its_connection(void **state)
{
    struct heard before, after;
    struct asked asked;

    (void)state;
    ask_for("x", WEFT_CLIENT_IDEMPOTENT, RIG_TIMEOUT_MS, &asked);
    hear(&before);
    assert_int_equal(before.frame.flags, WEFT_FRAME_IDEMPOTENT);
    for (int i = 0; i < 3; i++) {
        stage_restart();
        hear(&after);
        assert_int_equal(after.frame.flags, WEFT_FRAME_IDEMPOTENT);
        assert_true(after.frame.sequence == before.frame.sequence);
        assert_true(after.frame.deadline_ms <= before.frame.deadline_ms);
        assert_string_equal(after.body, "x");
    }
    answer(&after, "at last");
    assert_int_equal(await(&asked), WEFT_OK);
    assert_string_equal(asked.text, "at last");
    assert_true(stats().resent >= 3);
}

static void what_must_not_run_twice_ends_with_its_connection(void **state)
{
    struct heard heard;
    struct asked asked;

    (void)state;
    ask("once", &asked);
    hear(&heard);
    stage_restart();
    assert_int_equal(await(&asked), WEFT_EPEERDEAD);
    assert_non_null(strstr(asked.text, "may or may not have run"));
    ask("another", &asked);
    hear(&heard);
    assert_string_equal(heard.body, "another");
    answer(&heard, "x");
    assert_int_equal(await(&asked), WEFT_OK);
    assert_true(stats().resent == 0);
}

static void what_may_run_twice_ends_by_its_deadline_all_the_same(void **state)
{
    struct heard heard;
    struct asked asked;

    (void)state;
    ask_for("x", WEFT_CLIENT_IDEMPOTENT, 300, &asked);
    hear(&heard);
    stage_close();
    assert_int_equal(await(&asked) == WEFT_EPEERDEAD || asked.err == WEFT_ETIMEDOUT, 1);
    assert_non_null(strstr(asked.text, stage.url));
    stage_open_new();
}

static void give_up_after(uint32_t lost_ms)
{
    const uint32_t day_ms = 86400000;
    struct heard heard;
    struct asked asked;
    struct weft_client_call call = {.url = stage.url,
                                    .code = CODE,
                                    .flags = WEFT_CLIENT_IDEMPOTENT,
                                    .lost_ms = lost_ms,
                                    .timeout_ms = day_ms,
                                    .done_bytes = over,
                                    .ctx = &asked};

    atomic_store(&asked.over, 0);
    assert_int_equal(weft__client_start(client, &call), WEFT_OK);
    hear(&heard);
    stage_close();
    assert_int_equal(await(&asked), WEFT_EPEERDEAD);
    assert_non_null(strstr(asked.text, stage.url));
    assert_true(stats().resent > 0);
    stage_open_new();
}

static void what_may_run_twice_may_give_up_a_lost_server_earlier(void **state)
{
    (void)state;
    give_up_after(300);
}

static void a_lost_server_is_given_up_though_the_pauses_are_longer(void **state)
{
    (void)state;
    give_up_after(18); /* the shortest pause is 20 ms */
}

/* A door at which nobody ever speaks: who has come is let go after a while, until it is shut. */
struct door {
    int fd;
    unsigned wait_ms;
};

static void *stand_at(void *arg)
{
    const struct door *door = arg;
    int fd;

    while ((fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct pollfd shut = {.fd = door->fd, .events = POLLRDHUP};

        (void)poll(&shut, 1, (int)door->wait_ms);
        close(fd);
    }
    return NULL;
}

static void door_open(struct door *door, char url[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    char own[OWN_LOOPBACK_MAX];

    own_loopback(own);
    assert_int_equal(inet_pton(AF_INET, own, &at.sin_addr), 1);
    door->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(door->fd >= 0);
    assert_int_equal(bind(door->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(door->fd, 8), 0);
    assert_int_equal(getsockname(door->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(url, 64, "tcp://%s:%u", own, ntohs(at.sin_port));
}

static void a_server_that_is_only_waited_for_counts_as_lost(void **state)
{
    enum { LOST_MS = 100 };
    const uint32_t day_ms = 86400000;
    struct door door = {.wait_ms = 3 * LOST_MS};
    struct asked asked;
    pthread_t thread;
    char url[64];

    (void)state;
    door_open(&door, url);
    assert_int_equal(pthread_create(&thread, NULL, stand_at, &door), 0);
    struct weft_client_call call = {.url = url,
                                    .code = CODE,
                                    .flags = WEFT_CLIENT_IDEMPOTENT,
                                    .lost_ms = LOST_MS,
                                    .timeout_ms = day_ms,
                                    .done_bytes = over,
                                    .ctx = &asked};
    atomic_store(&asked.over, 0);
    assert_int_equal(weft__client_start(client, &call), WEFT_OK);
    assert_int_equal(await(&asked), WEFT_EPEERDEAD);
    (void)shutdown(door.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(door.fd);
}

static void a_full_server_is_asked_again_after_the_pause_that_it_names(void **state)
{
    struct heard first, second;
    struct asked asked;

    (void)state;
    ask_for("x", WEFT_CLIENT_IDEMPOTENT, RIG_TIMEOUT_MS, &asked);
    hear(&first);
    answer_error(&first, WEFT_EAGAIN, 50);
    hear(&second);
    assert_true(second.frame.deadline_ms + 50 <= first.frame.deadline_ms);
    assert_true(second.frame.sequence == first.frame.sequence);
    answer_error(&second, WEFT_EAGAIN, 0); /* no idea when */
    hear(&second);
    answer_error(&second, WEFT_ESHUTDOWN, 0);
    hear(&second);
    answer(&second, "room");
    assert_int_equal(await(&asked), WEFT_OK);
    assert_string_equal(asked.text, "room");
}

static void a_pause_beyond_the_deadline_is_told_to_the_caller(void **state)
{
    struct heard heard;
    struct asked asked;

    (void)state;
    ask_for("x", WEFT_CLIENT_IDEMPOTENT, RIG_TIMEOUT_MS, &asked);
    hear(&heard);
    answer_error(&heard, WEFT_EAGAIN, 10 * RIG_TIMEOUT_MS);
    assert_int_equal(await(&asked), WEFT_EAGAIN);
    assert_int_equal(asked.retry_ms, 10 * RIG_TIMEOUT_MS);
    assert_string_equal(asked.text, "said the server");
}

static void *wait_for_answer(void *arg)
{
    const struct weft_client_call call = {
        .url = stage.url, .code = CODE, .timeout_ms = RIG_TIMEOUT_MS};
    void *body;
    size_t len_bytes;
    int rc = weft__client_wait_bytes(client, &call, &body, &len_bytes);

    assert_int_equal(rc, WEFT_EAGAIN);
    assert_string_equal(weft_fail_text(rc), "said the server");
    *(uint32_t *)arg = weft_fail_retry_ms();
    return NULL;
}

static void a_plain_request_is_told_when_to_try_again(void **state)
{
    uint32_t retry_ms = 0;
    struct heard heard;
    struct asked asked;
    pthread_t thread;

    (void)state;
    ask("x", &asked);
    hear(&heard);
    answer_error(&heard, WEFT_EAGAIN, 123);
    assert_int_equal(await(&asked), WEFT_EAGAIN);
    assert_int_equal(asked.retry_ms, 123);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_answer, &retry_ms), 0);
    hear(&heard);
    answer_error(&heard, WEFT_EAGAIN, 77);
    pthread_join(thread, NULL);
    assert_int_equal(retry_ms, 77);
    assert_true(stats().resent == 0);
}

static void what_is_set_back_may_be_cancelled_and_forgotten(void **state)
{
    struct weft_client_ticket ticket;
    struct asked asked;
    struct heard heard;
    struct weft_client_call call = {.url = stage.url,
                                    .code = CODE,
                                    .flags = WEFT_CLIENT_IDEMPOTENT,
                                    .timeout_ms = RIG_TIMEOUT_MS,
                                    .done_bytes = over,
                                    .ctx = &asked,
                                    .ticket_out = &ticket};

    (void)state;
    for (int i = 0; i < 2; i++) {
        atomic_store(&asked.over, 0);
        assert_int_equal(weft__client_start(client, &call), WEFT_OK);
        hear(&heard);
        answer_error(&heard, WEFT_EAGAIN, RIG_TIMEOUT_MS / 2);
        assert_true(RIG_UNTIL(stats().resent == (uint64_t)i + 1));
        if (i == 0)
            weft__client_cancel(client, ticket);
        else
            weft__client_forget(client, stage.url);
        assert_int_equal(await(&asked), i == 0 ? WEFT_ECANCELED : WEFT_EPEERDEAD);
    }
    assert_true(stats().cancelled == 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_request_says_who_sends_it_and_which_it_is),
        CASE(a_time_out_is_told_to_the_server),
        CASE(late_and_doubled_answers_in_any_order_reach_nobody_else),
        CASE(what_may_run_twice_outlives_its_connection),
        CASE(what_must_not_run_twice_ends_with_its_connection),
        CASE(what_may_run_twice_ends_by_its_deadline_all_the_same),
        CASE(what_may_run_twice_may_give_up_a_lost_server_earlier),
        CASE(a_lost_server_is_given_up_though_the_pauses_are_longer),
        CASE(a_server_that_is_only_waited_for_counts_as_lost),
        CASE(a_full_server_is_asked_again_after_the_pause_that_it_names),
        CASE(a_pause_beyond_the_deadline_is_told_to_the_caller),
        CASE(a_plain_request_is_told_when_to_try_again),
        CASE(what_is_set_back_may_be_cancelled_and_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
