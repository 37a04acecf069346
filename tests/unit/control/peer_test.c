/* The client against servers that lie, mumble or die: plain ROUTER sockets, driven by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "rig.h"
#include "tests/loopback.h"
#include "text.pb-c.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

#define CODE RIG_ECHO

static void *zmq;
static struct weft_client *client;

struct liar {
    void *sock;
    char url[64];
    uint8_t id[64]; /* of the client, after hear() */
    size_t id_len;
};

static void liar_open(struct liar *liar, const char *url)
{
    int linger_ms = 0, timeout_ms = RIG_TIMEOUT_MS;
    uint64_t limit_ns = weft__now_ns() + 60 * WEFT_NS_PER_S;
    size_t len = sizeof(liar->url);

    liar->sock = zmq_socket(zmq, ZMQ_ROUTER);
    zmq_setsockopt(liar->sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(liar->sock, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    while (zmq_bind(liar->sock, url) != 0) /* the one before closes in its own time */
        assert_true(weft__now_ns() < limit_ns);
    assert_int_equal(zmq_getsockopt(liar->sock, ZMQ_LAST_ENDPOINT, liar->url, &len), 0);
}

/* Takes one request, decoded into frame_out (without its body). */
static void hear(struct liar *liar, struct weft_frame *frame_out)
{
    uint8_t data[1024];
    int len = zmq_recv(liar->sock, liar->id, sizeof(liar->id), 0);

    assert_in_range(len, 1, (int)sizeof(liar->id));
    liar->id_len = (size_t)len;
    len = zmq_recv(liar->sock, data, sizeof(data), 0);
    assert_in_range(len, WEFT_FRAME_HEADER_BYTES, (int)sizeof(data));
    assert_int_equal(weft__frame_decode(data, (size_t)len, sizeof(data), frame_out), WEFT_OK);
    assert_true(frame_out->deadline_ms > 0 && frame_out->deadline_ms <= RIG_TIMEOUT_MS);
    frame_out->body = NULL;
}

static void say(struct liar *liar, const void *data, size_t len_bytes)
{
    assert_int_equal(zmq_send(liar->sock, liar->id, liar->id_len, ZMQ_SNDMORE), liar->id_len);
    assert_int_equal(zmq_send(liar->sock, data, len_bytes, 0), len_bytes);
}

static void say_frame(struct liar *liar, struct weft_frame frame, const char *body)
{
    uint8_t data[1024];

    frame.body_len = (uint32_t)strlen(body);
    weft__frame_encode_header(&frame, data);
    memcpy(data + WEFT_FRAME_HEADER_BYTES, body, frame.body_len);
    say(liar, data, WEFT_FRAME_HEADER_BYTES + frame.body_len);
}

static struct weft_frame reply_to(const struct weft_frame *request)
{
    return (struct weft_frame){
        .call = request->call, .flags = WEFT_FRAME_REPLY, .correlation = request->correlation};
}

static void ask_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct rig_ask *ask = ctx;

    (void)reply;
    ask->err = err;
    snprintf(ask->text, sizeof(ask->text), "%s", text);
    atomic_fetch_add(&ask->over, 1);
}

static void ask(const char *url, uint32_t timeout_ms, struct rig_ask *ask_out)
{
    const struct weft_client_call call = {.url = url,
                                          .code = CODE,
                                          .reply_type = &weft__test__text__descriptor,
                                          .timeout_ms = timeout_ms,
                                          .done = ask_over,
                                          .ctx = ask_out};

    atomic_store(&ask_out->over, 0);
    assert_int_equal(weft__client_start(client, &call), WEFT_OK);
}

static int await(struct rig_ask *asked)
{
    assert_true(RIG_UNTIL(atomic_load(&asked->over) == 1));
    return asked->err;
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
    struct liar *liar = calloc(1, sizeof(*liar));
    char own[OWN_LOOPBACK_MAX], url[64];

    zmq = zmq_ctx_new();
    own_loopback(own);
    snprintf(url, sizeof(url), "tcp://%s:*", own);
    liar_open(liar, url);
    *state = liar;
    return weft__client_open(&desc, &client);
}

static int teardown(void **state)
{
    struct liar *liar = *state;

    weft__client_close(client);
    if (liar->sock != NULL)
        zmq_close(liar->sock);
    zmq_ctx_term(zmq);
    free(liar);
    return 0;
}

/* Sends a request, has the liar answer it with frame and body, and returns how it ended. */
static int answered_with(struct liar *liar, void (*spoil)(struct weft_frame *), const char *body,
                         struct rig_ask *asked)
{
    struct weft_frame request, reply;

    ask(liar->url, RIG_TIMEOUT_MS, asked);
    hear(liar, &request);
    assert_int_equal(request.call, CODE);
    reply = reply_to(&request);
    if (spoil != NULL)
        spoil(&reply);
    say_frame(liar, reply, body);
    return await(asked);
}

static void other_code(struct weft_frame *frame)
{
    frame->call++;
}

static void no_reply_flag(struct weft_frame *frame)
{
    frame->flags = 0;
}

static void error_without_code(struct weft_frame *frame)
{
    frame->flags |= WEFT_FRAME_ERROR;
    frame->error = 5;
}

static void busy_error(struct weft_frame *frame)
{
    frame->flags |= WEFT_FRAME_ERROR;
    frame->error = WEFT_EBUSY;
}

static void wrong_replies_end_the_request_with_their_error(void **state)
{
    struct rig_ask asked;

    assert_int_equal(answered_with(*state, NULL, "", &asked), WEFT_OK);
    assert_int_equal(answered_with(*state, other_code, "", &asked), WEFT_EPROTO);
    assert_int_equal(answered_with(*state, no_reply_flag, "", &asked), WEFT_EPROTO);
    assert_int_equal(answered_with(*state, error_without_code, "odd", &asked), WEFT_EPROTO);
    assert_int_equal(answered_with(*state, NULL, "\x0a\x7f", &asked), WEFT_EPROTO);
    assert_int_equal(answered_with(*state, NULL, "\x0a\x01x", &asked), WEFT_OK);
    assert_true(stats().malformed == 3);
}

static void an_errors_text_is_made_printable(void **state)
{
    struct rig_ask asked;

    assert_int_equal(answered_with(*state, busy_error, "in \x1b[31mred\n", &asked), WEFT_EBUSY);
    assert_string_equal(asked.text, "in ?[31mred?");
}

static void another_version_is_named(void **state)
{
    struct liar *liar = *state;
    uint8_t data[WEFT_FRAME_HEADER_BYTES];
    struct weft_frame request, reply;
    struct rig_ask asked;

    ask(liar->url, RIG_TIMEOUT_MS, &asked);
    hear(liar, &request);
    reply = reply_to(&request);
    weft__frame_encode_header(&reply, data);
    data[4] = 3;
    say(liar, data, sizeof(data));
    assert_int_equal(await(&asked), WEFT_EVERSION);
}

static void noise_does_not_disturb_the_request(void **state)
{
    struct liar *liar = *state;
    struct weft_frame request, other;
    struct rig_ask asked;

    ask(liar->url, RIG_TIMEOUT_MS, &asked);
    hear(liar, &request);
    say(liar, "", 0);
    say(liar, "noise", 5);
    other = reply_to(&request);
    other.correlation += (uint64_t)1 << 32;
    say_frame(liar, other, "");
    other.correlation = UINT64_MAX;
    say_frame(liar, other, "");
    say_frame(liar, reply_to(&request), "");
    assert_int_equal(await(&asked), WEFT_OK);
    say_frame(liar, reply_to(&request), ""); /* twice */
    assert_true(RIG_UNTIL(stats().late == 3));
    assert_true(stats().malformed == 2);
}

static void nobody_answers_for_another(void **state)
{
    struct liar *honest = *state, other = {.sock = NULL};
    struct weft_frame request, ignored;
    struct rig_ask asked, aside;

    liar_open(&other, "tcp://127.0.0.1:*");
    ask(honest->url, RIG_TIMEOUT_MS, &asked);
    ask(other.url, RIG_TIMEOUT_MS, &aside);
    hear(honest, &request);
    hear(&other, &ignored);
    say_frame(&other, reply_to(&request), "");
    say_frame(&other, reply_to(&ignored), "");
    assert_int_equal(await(&aside), WEFT_OK);
    assert_int_equal(atomic_load(&asked.over), 0);
    assert_true(stats().malformed == 1);
    say_frame(honest, reply_to(&request), "");
    assert_int_equal(await(&asked), WEFT_OK);
    zmq_close(other.sock);
}

static void a_peer_that_dies_fails_its_requests(void **state)
{
    struct liar *liar = *state;
    struct weft_frame request;
    struct rig_ask asked[3];

    for (int i = 0; i < 3; i++)
        ask(liar->url, RIG_TIMEOUT_MS, &asked[i]);
    hear(liar, &request);
    zmq_close(liar->sock);
    liar->sock = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(await(&asked[i]), WEFT_EPEERDEAD);
        assert_non_null(strstr(asked[i].text, liar->url));
    }
    assert_true(stats().lost == 3);
}

static void a_peer_that_comes_back_is_served_anew(void **state)
{
    struct liar *liar = *state;
    struct rig_ask asked;

    assert_int_equal(answered_with(liar, NULL, "", &asked), WEFT_OK);
    for (int i = 0; i < 5; i++) {
        char url[64];

        snprintf(url, sizeof(url), "%s", liar->url);
        ask(liar->url, RIG_TIMEOUT_MS, &asked);
        zmq_close(liar->sock);
        assert_int_equal(await(&asked), WEFT_EPEERDEAD);
        liar_open(liar, url);
        assert_int_equal(answered_with(liar, NULL, "", &asked), WEFT_OK);
    }
}

static void a_time_out_leaves_the_connection_to_others(void **state)
{
    struct liar *liar = *state;
    struct weft_frame request;
    struct rig_ask slow, quick;

    ask(liar->url, RIG_TIMEOUT_MS, &slow);
    ask(liar->url, 30, &quick);
    hear(liar, &request);
    assert_int_equal(await(&quick), WEFT_ETIMEDOUT);
    assert_int_equal(atomic_load(&slow.over), 0);
    say_frame(liar, reply_to(&request), "");
    assert_int_equal(await(&slow), WEFT_OK);
    assert_true(stats().timed_out == 1);
}

/* A whole reply with some bytes changed, or its end cut off. */
static size_t mangle(uint8_t *data, size_t len_bytes, uint32_t *random)
{
    unsigned changes = *random >> 29;

    for (unsigned i = 0; i < changes; i++) {
        *random = *random * 1664525u + 1013904223u;
        data[(*random >> 8) % len_bytes] ^= (uint8_t)(1u << (*random >> 24 & 7));
    }
    *random = *random * 1664525u + 1013904223u;
    return *random >> 30 == 0 ? (*random >> 8) % (len_bytes + 1) : len_bytes;
}

static void mangled_replies_end_their_request_once_or_not_at_all(void **state)
{
    static const uint8_t body[] = {0x0a, 3, 'a', 'b', 'c'};
    struct liar *liar = *state;
    uint32_t random = 1;

    for (int i = 0; i < 2000; i++) {
        uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
        struct weft_frame request, reply;
        struct rig_ask asked;

        ask(liar->url, RIG_TIMEOUT_MS, &asked);
        hear(liar, &request);
        reply = reply_to(&request);
        reply.body_len = sizeof(body);
        weft__frame_encode_header(&reply, data);
        memcpy(data + WEFT_FRAME_HEADER_BYTES, body, sizeof(body));
        say(liar, data, mangle(data, sizeof(data), &random));
        say_frame(liar, reply_to(&request), "");
        (void)await(&asked);
        assert_int_equal(atomic_load(&asked.over), 1);
    }
    assert_true(stats().malformed > 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(wrong_replies_end_the_request_with_their_error),
        CASE(an_errors_text_is_made_printable),
        CASE(another_version_is_named),
        CASE(noise_does_not_disturb_the_request),
        CASE(nobody_answers_for_another),
        CASE(a_peer_that_dies_fails_its_requests),
        CASE(a_peer_that_comes_back_is_served_anew),
        CASE(a_time_out_leaves_the_connection_to_others),
        CASE(mangled_replies_end_their_request_once_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
