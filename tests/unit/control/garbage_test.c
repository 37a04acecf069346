/* What strangers can send, by plain ZeroMQ sockets and plain TCP. Nothing may end the process or
 * the service. */
#include <arpa/inet.h>
#include <errno.h>
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
#include "text.pb-c.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

#define HEADER WEFT_FRAME_HEADER_BYTES
#define MIB ((size_t)1 << 20)

static struct rig rig;

struct raw {
    void *ctx;
    void *sock;
};

static struct raw raw_open(int type, const char *url)
{
    struct raw raw = {.ctx = zmq_ctx_new()};
    int linger_ms = 0, timeout_ms = RIG_TIMEOUT_MS;

    raw.sock = zmq_socket(raw.ctx, type);
    zmq_setsockopt(raw.sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(raw.sock, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    assert_int_equal(zmq_connect(raw.sock, url), 0);
    return raw;
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->sock);
    zmq_ctx_term(raw->ctx);
}

static void raw_send(struct raw *raw, const void *data, size_t len_bytes)
{
    assert_int_equal(zmq_send(raw->sock, data, len_bytes, 0), len_bytes);
}

/* The error code of the next answer; its correlation must be the wanted one. */
static int raw_answer(struct raw *raw, uint64_t correlation)
{
    uint8_t data[1024];
    struct weft_frame frame;
    int len = zmq_recv(raw->sock, data, sizeof(data), 0);

    assert_in_range(len, HEADER, (int)sizeof(data));
    assert_int_equal(weft__frame_decode(data, (size_t)len, sizeof(data), &frame), WEFT_OK);
    assert_true((frame.flags & WEFT_FRAME_REPLY) != 0);
    assert_true(((frame.flags & WEFT_FRAME_ERROR) != 0) == (frame.error != 0));
    assert_true(frame.error == 0 || frame.body_len > 0);
    assert_true(frame.correlation == correlation);
    return frame.error;
}

/* A frame with the text as its message; returns its length. */
static size_t make(uint8_t *data_out, uint16_t code, uint64_t correlation, const char *text)
{
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    struct weft_frame frame = {.call = code, .correlation = correlation};
    uint8_t *data;
    size_t len_bytes;

    request.text = (char *)(uintptr_t)text;
    assert_int_equal(weft__message_frame(&frame, &request.base, &data, &len_bytes), WEFT_OK);
    memcpy(data_out, data, len_bytes);
    free(data);
    return len_bytes;
}

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(rig.server, 0, &now);
    return now;
}

static void serves_the_next_client(void)
{
    char text[RIG_TEXT];

    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "still here", text), WEFT_OK);
    assert_string_equal(text, "still here");
}

static void start(size_t body_max)
{
    rig_open(&rig, &(struct rig_desc){.body_max = body_max});
}

static void a_plain_req_client_is_served(void **state)
{
    uint8_t data[256];
    struct raw raw;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_REQ, rig.url);
    for (uint64_t i = 0; i < 10; i++) {
        raw_send(&raw, data, make(data, i % 2 ? RIG_ECHO : RIG_ECHO_INLINE, i, "plain"));
        assert_int_equal(raw_answer(&raw, i), 0);
    }
    raw_send(&raw, "x", 1);
    assert_int_equal(raw_answer(&raw, 0), WEFT_EPROTO);
    raw_send(&raw, data, make(data, RIG_ECHO, 77, "plain"));
    assert_int_equal(raw_answer(&raw, 77), 0);
    raw_close(&raw);
    rig_close(&rig);
}

static void a_plain_dealer_and_a_plain_push_are_served(void **state)
{
    uint8_t data[256];
    struct raw raw;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    for (uint64_t i = 1; i <= 10; i++)
        raw_send(&raw, data, make(data, RIG_ECHO_INLINE, i, "plain"));
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(raw_answer(&raw, i), 0);
    raw_close(&raw);
    raw = raw_open(ZMQ_PUSH, rig.async_url);
    raw_send(&raw, data, make(data, RIG_COUNT, 0, "plain"));
    assert_true(RIG_UNTIL(atomic_load(&rig.counted) == 1));
    raw_close(&raw);
    rig_close(&rig);
}

/* One way to spoil a good frame of len_bytes; returns the new length. */
typedef size_t spoil(uint8_t *data, size_t len_bytes);

static size_t cut_all(uint8_t *data, size_t len_bytes)
{
    (void)data;
    (void)len_bytes;
    return 0;
}

static size_t cut_header(uint8_t *data, size_t len_bytes)
{
    (void)data;
    (void)len_bytes;
    return HEADER - 1;
}

static size_t cut_body(uint8_t *data, size_t len_bytes)
{
    (void)data;
    return len_bytes - 1;
}

static size_t add_byte(uint8_t *data, size_t len_bytes)
{
    data[len_bytes] = 0;
    return len_bytes + 1;
}

static size_t other_magic(uint8_t *data, size_t len_bytes)
{
    data[0] = 'w';
    return len_bytes;
}

static size_t other_version(uint8_t *data, size_t len_bytes)
{
    data[4] = 9;
    return len_bytes;
}

static size_t reply_flag(uint8_t *data, size_t len_bytes)
{
    data[8] = WEFT_FRAME_REPLY;
    return len_bytes;
}

static size_t unknown_flag(uint8_t *data, size_t len_bytes)
{
    data[9] = 0xff;
    return len_bytes;
}

static size_t huge_length(uint8_t *data, size_t len_bytes)
{
    memset(data + 28, 0xff, 4);
    return len_bytes;
}

static size_t unknown_code(uint8_t *data, size_t len_bytes)
{
    data[6] = data[7] = 0xff;
    return len_bytes;
}

static size_t async_code(uint8_t *data, size_t len_bytes)
{
    data[6] = RIG_COUNT;
    return len_bytes;
}

static size_t broken_body(uint8_t *data, size_t len_bytes)
{
    data[HEADER + 1] = 0x7f; /* the text's length */
    return len_bytes;
}

static size_t group_body(uint8_t *data, size_t len_bytes)
{
    memset(data + HEADER, (15 << 3) | 3, len_bytes - HEADER);
    return len_bytes;
}

static size_t noise_all_over(uint8_t *data, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++)
        data[i] = (uint8_t)(i * 37 + 11);
    return len_bytes;
}

struct bad_frame {
    spoil *run;
    int err;
    bool known; /* whether the answer has the correlation id */
};

static const struct bad_frame bad_frames[] = {
    {cut_all, WEFT_EPROTO, false},         {cut_header, WEFT_EPROTO, false},
    {cut_body, WEFT_EPROTO, true},         {add_byte, WEFT_EPROTO, true},
    {other_magic, WEFT_EPROTO, false},     {other_version, WEFT_EVERSION, true},
    {reply_flag, WEFT_EPROTO, true},       {unknown_flag, WEFT_EPROTO, true},
    {huge_length, WEFT_EPROTO, true},      {unknown_code, WEFT_EUNKNOWNCALL, true},
    {async_code, WEFT_EUNKNOWNCALL, true}, {broken_body, WEFT_EPROTO, true},
    {group_body, WEFT_EPROTO, true},       {noise_all_over, WEFT_EPROTO, false},
};
#define BAD_FRAMES (sizeof(bad_frames) / sizeof(bad_frames[0]))

static void every_bad_request_is_answered_with_its_error(void **state)
{
    (void)state;
    start(0);
    for (size_t i = 0; i < BAD_FRAMES; i++) {
        uint8_t data[256];
        struct raw raw = raw_open(i % 2 ? ZMQ_REQ : ZMQ_DEALER, rig.url);
        size_t len_bytes = bad_frames[i].run(data, make(data, RIG_ECHO, 4711, "some text"));

        raw_send(&raw, data, len_bytes);
        assert_int_equal(raw_answer(&raw, bad_frames[i].known ? 4711 : 0), bad_frames[i].err);
        raw_close(&raw);
        serves_the_next_client();
    }
    assert_true(stats().refused_malformed == BAD_FRAMES - 2);
    assert_true(stats().refused_unknown == 2);
    rig_close(&rig);
}

/* A server answers, or counts, whatever a client writes into the fields of its frames. */
static void every_set_of_flags_and_numbers_is_survived(void **state)
{
    static const uint64_t numbers[] = {0, 1, 7, UINT64_MAX};
    uint8_t data[256];
    struct raw raw;
    size_t sent = 0, answered = 0;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    for (uint16_t flags = 0; flags < 32; flags++) {
        for (size_t i = 0; i < 16; i++) {
            size_t len = make(data, RIG_ECHO_INLINE, 5, "flags");
            struct weft_frame frame = {.call = RIG_ECHO_INLINE,
                                       .flags = flags,
                                       .error = i % 3 ? 0 : INT32_MIN,
                                       .correlation = 5,
                                       .deadline_ms = i % 2 ? 0 : 1,
                                       .body_len = (uint32_t)(len - HEADER),
                                       .client = numbers[i % 4],
                                       .sequence = numbers[i / 4]};
            weft__frame_encode_header(&frame, data);
            raw_send(&raw, data, len);
            sent++;
        }
    }
    raw_send(&raw, data, make(data, RIG_ECHO_INLINE, 77, "the last"));
    for (;;) {
        struct weft_frame frame;
        int len = zmq_recv(raw.sock, data, sizeof(data), 0);

        assert_in_range(len, HEADER, (int)sizeof(data));
        assert_int_equal(weft__frame_decode(data, (size_t)len, sizeof(data), &frame), WEFT_OK);
        assert_true((frame.flags & WEFT_FRAME_REPLY) != 0);
        if (frame.correlation == 77)
            break;
        answered++;
    }
    assert_true(answered > 0 && answered <= sent);
    assert_true(stats().refused_malformed > 0);
    serves_the_next_client();
    raw_close(&raw);
    rig_close(&rig);
}

static void every_bad_push_is_counted(void **state)
{
    struct weft_service_stats now;
    struct raw raw;
    size_t n = 0;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_PUSH, rig.async_url);
    for (size_t i = 0; i < BAD_FRAMES; i++) {
        uint8_t data[256];
        size_t len_bytes = bad_frames[i].run(data, make(data, RIG_COUNT, 4711, "some text"));

        if (bad_frames[i].run == async_code)
            continue;
        raw_send(&raw, data, len_bytes);
        n++;
    }
    assert_true(RIG_UNTIL((now = stats(), now.refused_malformed + now.refused_unknown == n)));
    assert_int_equal(atomic_load(&rig.counted), 0);
    raw_close(&raw);
    serves_the_next_client();
    rig_close(&rig);
}

static void a_body_over_the_limit_is_answered(void **state)
{
    uint8_t data[1024];
    char text[512];
    struct raw raw;

    (void)state;
    start(256);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    raw = raw_open(ZMQ_DEALER, rig.url);
    raw_send(&raw, data, make(data, RIG_ECHO, 5, text));
    assert_int_equal(raw_answer(&raw, 5), WEFT_EMSGSIZE);
    raw_send(&raw, data, make(data, RIG_ECHO, 6, "short"));
    assert_int_equal(raw_answer(&raw, 6), 0);
    raw_close(&raw);
    rig_close(&rig);
}

/* Beyond what any frame may have: the transport cuts the connection before the bytes are here. */
static void a_message_beyond_every_limit_costs_only_its_sender(void **state)
{
    uint8_t *data = calloc(1, 16 * MIB);
    struct raw raw;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    raw_send(&raw, data, 16 * MIB);
    for (int i = 0; i < 20; i++)
        serves_the_next_client();
    raw_close(&raw);
    free(data);
    rig_close(&rig);
}

static void messages_of_many_parts_are_answered_and_counted(void **state)
{
    struct raw raw;
    size_t n = 0;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    for (int parts = 2; parts < 40; parts++) {
        for (int i = 1; i < parts; i++)
            assert_int_equal(zmq_send(raw.sock, "part", 4, ZMQ_SNDMORE), 4);
        assert_int_equal(zmq_send(raw.sock, "last", 4, 0), 4);
        assert_int_equal(raw_answer(&raw, 0), WEFT_EPROTO);
        n++;
    }
    raw_close(&raw);
    assert_true(stats().refused_malformed == n);
    raw = raw_open(ZMQ_PUSH, rig.async_url);
    assert_int_equal(zmq_send(raw.sock, "part", 4, ZMQ_SNDMORE), 4);
    assert_int_equal(zmq_send(raw.sock, "last", 4, 0), 4);
    assert_true(RIG_UNTIL(stats().refused_malformed == n + 1));
    for (int i = 0; i < 5; i++)
        serves_the_next_client();
    raw_close(&raw);
    rig_close(&rig);
}

/* unit, again and again, as the body of a call. */
static int ask_repeated(struct raw *raw, const uint8_t *unit, size_t unit_bytes)
{
    uint8_t *data = malloc(HEADER + MIB);
    size_t n = MIB / unit_bytes;
    struct weft_frame frame = {
        .call = RIG_TEXTS, .correlation = 1, .body_len = (uint32_t)(n * unit_bytes)};
    int err;

    weft__frame_encode_header(&frame, data);
    for (size_t i = 0; i < n; i++)
        memcpy(data + HEADER + i * unit_bytes, unit, unit_bytes);
    raw_send(raw, data, HEADER + n * unit_bytes);
    err = raw_answer(raw, 1);
    free(data);
    return err;
}

static void protobuf_bombs_are_refused_by_their_budget(void **state)
{
    static const uint8_t tiny[] = {(1 << 3) | 2, 0};
    static const uint8_t tiny_with_text[] = {(1 << 3) | 2, 2, (1 << 3) | 2, 0};
    static const uint8_t group[] = {(3 << 3) | 3};
    static const uint8_t unknown[] = {(9 << 3) | 2, 0};
    struct raw raw;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    assert_int_equal(ask_repeated(&raw, tiny, sizeof(tiny)), WEFT_ENOMEM);
    assert_int_equal(ask_repeated(&raw, tiny_with_text, sizeof(tiny_with_text)), WEFT_ENOMEM);
    assert_int_equal(ask_repeated(&raw, group, sizeof(group)), WEFT_EPROTO);
    assert_int_equal(ask_repeated(&raw, unknown, sizeof(unknown)), WEFT_ENOMEM);
    serves_the_next_client();
    raw_close(&raw);
    rig_close(&rig);
}

static void write_tcp(uint16_t port, const void *data, size_t len_bytes)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    char own[OWN_LOOPBACK_MAX];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    own_loopback(own);
    assert_int_equal(inet_pton(AF_INET, own, &addr.sin_addr), 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_true(send(fd, data, len_bytes, MSG_NOSIGNAL) >= 0 || errno == EPIPE ||
                errno == ECONNRESET);
    close(fd);
}

static void bytes_that_are_no_zeromq_are_survived(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: weft\r\n\r\n";
    static const uint8_t greeting[] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                       1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    uint8_t noise[4096];

    (void)state;
    start(0);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(i * 131 + 7);
    for (int i = 0; i < 20; i++) {
        uint16_t port =
            i % 2 ? weft__server_sync_port(rig.server, 0) : weft__server_async_port(rig.server, 0);

        write_tcp(port, http, sizeof(http) - 1);
        write_tcp(port, greeting, sizeof(greeting));
        write_tcp(port, noise, sizeof(noise));
        write_tcp(port, noise, 0);
        serves_the_next_client();
    }
    rig_close(&rig);
}

/* Random damage to good frames, by the hundred, on one connection. */
static void random_damage_is_survived(void **state)
{
    uint64_t random = 88172645463325252u;
    struct raw raw;

    (void)state;
    start(0);
    raw = raw_open(ZMQ_DEALER, rig.url);
    for (int i = 0; i < 2000; i++) {
        uint8_t data[256];
        size_t len_bytes = make(data, RIG_ECHO, 1, "a text of some length");

        for (int j = 0; j < 3; j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            data[random % len_bytes] = (uint8_t)(random >> 32);
        }
        data[6] = (uint8_t)(random % 2 ? RIG_ECHO : RIG_TEXTS); /* but no code that waits */
        data[7] = 0;
        data[8] &= (uint8_t)~WEFT_FRAME_CANCEL; /* which has no answer */
        raw_send(&raw, data, len_bytes);
        assert_true(zmq_recv(raw.sock, data, sizeof(data), 0) >= HEADER);
    }
    raw_close(&raw);
    serves_the_next_client();
    rig_close(&rig);
}

/* A client that asks and never reads must not make the server wait or grow without limit. */
static void a_client_that_never_reads_hurts_nobody(void **state)
{
    static char text[60000];
    uint8_t *data = malloc(HEADER + 100000);
    int timeout_ms = 0;
    struct raw raw;
    size_t len_bytes;

    (void)state;
    start(0);
    memset(text, 'x', sizeof(text) - 1);
    len_bytes = make(data, RIG_ECHO_INLINE, 1, text);
    raw = raw_open(ZMQ_DEALER, rig.url);
    zmq_setsockopt(raw.sock, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    for (int i = 0; i < 2000; i++)
        zmq_send(raw.sock, data, len_bytes, ZMQ_DONTWAIT);
    serves_the_next_client();
    raw_close(&raw);
    serves_the_next_client();
    free(data);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_req_client_is_served),
        cmocka_unit_test(a_plain_dealer_and_a_plain_push_are_served),
        cmocka_unit_test(every_bad_request_is_answered_with_its_error),
        cmocka_unit_test(every_set_of_flags_and_numbers_is_survived),
        cmocka_unit_test(every_bad_push_is_counted),
        cmocka_unit_test(a_body_over_the_limit_is_answered),
        cmocka_unit_test(a_message_beyond_every_limit_costs_only_its_sender),
        cmocka_unit_test(messages_of_many_parts_are_answered_and_counted),
        cmocka_unit_test(protobuf_bombs_are_refused_by_their_budget),
        cmocka_unit_test(bytes_that_are_no_zeromq_are_survived),
        cmocka_unit_test(random_damage_is_survived),
        cmocka_unit_test(a_client_that_never_reads_hurts_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
