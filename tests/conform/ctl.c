/* Questions about control: requests, replies, pushes, ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "weft/error.h"

#define PIPELINE 1000

struct pair {
    struct side server, client;
    struct weft_tp_peer sync, async;
    struct weft_tp_from held[PIPELINE];
    uint32_t numbers[PIPELINE];
    unsigned held_n;
    bool seen[PIPELINE];
    unsigned last_port;
    bool from_was_null;
    size_t last_len;
    unsigned char last[256];
};

static uint16_t must_listen(struct side *side, enum weft_tp_port_mode mode)
{
    uint16_t port = 0;
    int err = side->tp->ctl->listen(side->ep, mode, 0, &port);
    if (err)
        fail_msg("listen: %s", weft_fail_text(err));
    assert_int_not_equal(port, 0);
    return port;
}

static struct weft_tp_peer must_connect(struct side *side, uint16_t port,
                                        enum weft_tp_port_mode mode)
{
    char url[128];
    struct weft_tp_peer peer;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(url, sizeof(url), conform_subject->url_format, conform_subject->bind, (unsigned)port);
#pragma GCC diagnostic pop
    int err = side->tp->ctl->connect(side->ep, url, mode, &peer);
    if (err)
        fail_msg("connect: %s", weft_fail_text(err));
    return peer;
}

static void keep(struct side *side, unsigned port_index, const struct weft_tp_from *from,
                 const unsigned char *data, size_t len_bytes)
{
    struct pair *pair = side->user;
    pair->last_port = port_index;
    pair->from_was_null = !from;
    pair->last_len = len_bytes;
    memcpy(pair->last, data, len_bytes < sizeof(pair->last) ? len_bytes : sizeof(pair->last));
    if (from && pair->held_n < PIPELINE) {
        if (len_bytes == sizeof(uint32_t))
            memcpy(&pair->numbers[pair->held_n], data, sizeof(uint32_t));
        pair->held[pair->held_n++] = *from;
    }
}

static void note_reply(struct side *side, struct weft_tp_peer peer, const unsigned char *data,
                       size_t len_bytes)
{
    struct pair *pair = side->user;
    uint32_t number;
    assert_int_equal(peer.id, pair->sync.id);
    if (len_bytes != sizeof(number))
        return;
    memcpy(&number, data, sizeof(number));
    assert_true(number < PIPELINE);
    assert_false(pair->seen[number]);
    pair->seen[number] = true;
}

static void pair_open(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    pair->server.user = pair->client.user = pair;
    pair->server.on_request = keep;
    pair->client.on_reply = note_reply;
    side_open(&pair->server, WEFT_TP_CTL);
    side_open(&pair->client, WEFT_TP_CTL);
    uint16_t sync = must_listen(&pair->server, WEFT_TP_SYNC);
    uint16_t async = must_listen(&pair->server, WEFT_TP_ASYNC);
    assert_int_not_equal(sync, async);
    pair->sync = must_connect(&pair->client, sync, WEFT_TP_SYNC);
    pair->async = must_connect(&pair->client, async, WEFT_TP_ASYNC);
}

static void pair_close(struct pair *pair)
{
    side_close(&pair->client);
    side_close(&pair->server);
}

static int request(struct pair *pair, const void *data, size_t len_bytes)
{
    return pair->client.tp->ctl->request(pair->client.ep, pair->sync, data, len_bytes);
}

static int reply(struct pair *pair, unsigned i, const void *data, size_t len_bytes)
{
    return pair->server.tp->ctl->reply(pair->server.ep, &pair->held[i], data, len_bytes);
}

static void a_request_is_answered(void **state)
{
    (void)state;
    static struct pair pair;
    uint32_t number = 7;
    pair_open(&pair);
    assert_int_equal(request(&pair, &number, sizeof(number)), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    assert_int_equal(pair.last_port, 0);
    assert_false(pair.from_was_null);
    assert_int_equal(pair.numbers[0], 7);
    assert_int_equal(reply(&pair, 0, &number, sizeof(number)), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.client.replies, 1);
    assert_true(pair.seen[7]);
    pair_close(&pair);
}

static void a_thousand_requests_in_a_row_are_all_answered_in_any_order(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    for (uint32_t i = 0; i < PIPELINE; i++) {
        int err;
        while ((err = request(&pair, &i, sizeof(i))) == WEFT_EAGAIN)
            sides_run(&pair.client, &pair.server);
        assert_int_equal(err, WEFT_OK);
    }
    sides_until(&pair.client, &pair.server, &pair.server.requests, PIPELINE);
    for (unsigned i = PIPELINE; i-- > 0;) {
        assert_int_equal(pair.numbers[i], i);
        int err;
        while ((err = reply(&pair, i, &pair.numbers[i], sizeof(uint32_t))) == WEFT_EAGAIN)
            sides_run(&pair.client, &pair.server);
        assert_int_equal(err, WEFT_OK);
    }
    sides_until(&pair.client, &pair.server, &pair.client.replies, PIPELINE);
    pair_close(&pair);
}

static void a_push_arrives_at_its_port_and_cannot_be_answered(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    assert_int_equal(pair.client.tp->ctl->push(pair.client.ep, pair.async, "push", 4), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    assert_int_equal(pair.last_port, 1);
    assert_true(pair.from_was_null);
    assert_memory_equal(pair.last, "push", 4);
    pair_close(&pair);
}

static void two_sync_ports_are_told_apart(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    uint16_t port = must_listen(&pair.server, WEFT_TP_SYNC);
    struct weft_tp_peer first = pair.sync;
    struct weft_tp_peer second = must_connect(&pair.client, port, WEFT_TP_SYNC);
    pair.sync = second;
    assert_int_equal(request(&pair, "two", 3), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    assert_int_equal(pair.last_port, 2);
    assert_int_equal(reply(&pair, 0, "abc", 3), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.client.replies, 1);
    pair.sync = first;
    assert_int_equal(request(&pair, "one", 3), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 2);
    assert_int_equal(pair.last_port, 0);
    assert_int_equal(reply(&pair, 1, "abc", 3), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.client.replies, 2);
    pair_close(&pair);
}

static void empty_and_meaningless_requests_arrive_as_they_are(void **state)
{
    (void)state;
    static struct pair pair;
    unsigned char garbage[200];
    pair_open(&pair);
    assert_int_equal(request(&pair, "", 0), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    assert_int_equal(pair.last_len, 0);
    for (unsigned i = 0; i < sizeof(garbage); i++)
        garbage[i] = (unsigned char)(i * 151 + 13);
    assert_int_equal(request(&pair, garbage, sizeof(garbage)), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 2);
    assert_int_equal(pair.last_len, sizeof(garbage));
    assert_memory_equal(pair.last, garbage, sizeof(garbage));
    assert_int_equal(reply(&pair, 0, "", 0), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.client.replies, 1);
    pair.last_len = 77;
    assert_int_equal(pair.client.tp->ctl->push(pair.client.ep, pair.async, "", 0), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 3);
    assert_int_equal(pair.last_len, 0);
    pair_close(&pair);
}

static void a_request_of_the_largest_size_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    size_t max = pair.client.limits.msg_max_bytes;
    unsigned char *data = calloc(1, max + 1);
    assert_non_null(data);
    assert_int_equal(request(&pair, data, max + 1), WEFT_EMSGSIZE);
    assert_int_equal(request(&pair, data, max), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    assert_int_equal(pair.last_len, max);
    assert_int_equal(reply(&pair, 0, data, max + 1), WEFT_EMSGSIZE);
    assert_int_equal(reply(&pair, 0, data, max), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.client.replies, 1);
    free(data);
    pair_close(&pair);
}

static void a_reply_to_a_client_that_has_gone_is_no_error(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    assert_int_equal(request(&pair, "x", 1), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    side_close(&pair.client);
    assert_int_equal(reply(&pair, 0, "y", 1), WEFT_OK);
    side_settle(&pair.server);
    assert_int_equal(reply(&pair, 0, "y", 1), WEFT_OK);
    struct weft_tp_from nonsense = pair.held[0];
    nonsense.port_index = 999;
    assert_int_equal(pair.server.tp->ctl->reply(pair.server.ep, &nonsense, "y", 1), WEFT_EINVAL);
    pair_close(&pair);
}

static void a_client_learns_that_its_server_has_gone(void **state)
{
    (void)state;
    static struct pair pair;
    pair_open(&pair);
    assert_int_equal(request(&pair, "x", 1), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    side_close(&pair.server);
    sides_until(&pair.client, NULL, &pair.client.lost, 1);
    pair.client.tp->core->peer_drop(pair.client.ep, pair.sync);
    assert_int_equal(request(&pair, "x", 1), WEFT_EINVAL);
    pair_close(&pair);
}

static void a_server_that_comes_back_on_its_port_can_be_reached_again(void **state)
{
    (void)state;
    static struct pair pair;
    memset(&pair, 0, sizeof(pair));
    pair.server.user = pair.client.user = &pair;
    pair.server.on_request = keep;
    side_open(&pair.server, WEFT_TP_CTL);
    side_open(&pair.client, WEFT_TP_CTL);
    uint16_t port = must_listen(&pair.server, WEFT_TP_SYNC), again;
    pair.sync = must_connect(&pair.client, port, WEFT_TP_SYNC);
    assert_int_equal(request(&pair, "x", 1), WEFT_OK);
    sides_until(&pair.client, &pair.server, &pair.server.requests, 1);
    for (uint64_t i = 1; i <= 5; i++) {
        side_close(&pair.server);
        sides_until(&pair.client, NULL, &pair.client.lost, i);
        side_open(&pair.server, WEFT_TP_CTL);
        int err = pair.server.tp->ctl->listen(pair.server.ep, WEFT_TP_SYNC, port, &again);
        if (err)
            fail_msg("listen: %s", weft_fail_text(err));
        assert_int_equal(again, port);
        pair.client.tp->core->peer_drop(pair.client.ep, pair.sync);
        pair.sync = must_connect(&pair.client, port, WEFT_TP_SYNC);
        assert_int_equal(request(&pair, "x", 1), WEFT_OK);
        sides_until(&pair.client, &pair.server, &pair.server.requests, i + 1);
    }
    pair_close(&pair);
}

static void a_port_in_use_is_refused_by_its_number(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    char number[8];
    uint16_t other = 0;
    side_open(&a, WEFT_TP_CTL);
    side_open(&b, WEFT_TP_CTL);
    uint16_t port = must_listen(&a, WEFT_TP_SYNC);
    assert_int_equal(b.tp->ctl->listen(b.ep, WEFT_TP_SYNC, port, &other), WEFT_EADDRINUSE);
    snprintf(number, sizeof(number), "%u", (unsigned)port);
    assert_non_null(strstr(weft_fail_text(WEFT_EADDRINUSE), number));
    assert_int_equal(other, 0);
    must_listen(&b, WEFT_TP_SYNC);
    side_close(&a);
    assert_int_equal(b.tp->ctl->listen(b.ep, WEFT_TP_ASYNC, port, &other), WEFT_OK);
    side_close(&b);
}

static void an_address_of_another_machine_is_refused_by_name(void **state)
{
    (void)state;
    struct side a = {0};
    uint16_t port;
    if (!conform_subject->bind_foreign) {
        print_message("skipped: %s has no foreign addresses\n", conform_subject->name);
        skip();
    }
    int err = side_try_open(&a, WEFT_TP_CTL, conform_subject->bind_foreign, 0);
    if (err == WEFT_OK)
        err = a.tp->ctl->listen(a.ep, WEFT_TP_SYNC, 0, &port);
    assert_int_equal(err, WEFT_EADDRNOTAVAIL);
    assert_non_null(strstr(weft_fail_text(err), conform_subject->bind_foreign));
    side_close(&a);
}

static void an_impossible_url_is_refused(void **state)
{
    (void)state;
    struct side a = {0};
    struct weft_tp_peer peer;
    side_open(&a, WEFT_TP_CTL);
    const char *bad[] = {"", ":", "x", "x:", "x:0", "x:65536", "x:y", "tcp://", "tcp://127.0.0.1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(a.tp->ctl->connect(a.ep, bad[i], WEFT_TP_SYNC, &peer), WEFT_EINVAL);
    side_close(&a);
}

int conform_ctl(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(a_thousand_requests_in_a_row_are_all_answered_in_any_order),
        cmocka_unit_test(a_push_arrives_at_its_port_and_cannot_be_answered),
        cmocka_unit_test(two_sync_ports_are_told_apart),
        cmocka_unit_test(empty_and_meaningless_requests_arrive_as_they_are),
        cmocka_unit_test(a_request_of_the_largest_size_passes_and_one_byte_more_does_not),
        cmocka_unit_test(a_reply_to_a_client_that_has_gone_is_no_error),
        cmocka_unit_test(a_client_learns_that_its_server_has_gone),
        cmocka_unit_test(a_server_that_comes_back_on_its_port_can_be_reached_again),
        cmocka_unit_test(a_port_in_use_is_refused_by_its_number),
        cmocka_unit_test(an_address_of_another_machine_is_refused_by_name),
        cmocka_unit_test(an_impossible_url_is_refused),
    };
    return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
