/* What the shim makes of messages that are none of its own, and of targets that change their mind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/inproc/inproc.h"
#include "transport/shim/shim.h"
#include "transport/shim/wire.h"
#include "weft/error.h"

struct end {
    struct weft_tp_ep *ep;
    unsigned messages;
    unsigned lost;
};

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)data;
    (void)len_bytes;
    ((struct end *)ctx)->messages++;
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    (void)peer;
    ((struct end *)ctx)->lost++;
}

static const struct weft_tp_handlers handlers = {.message = take_message, .peer_lost = take_lost};

static void end_open(struct end *end, bool shim)
{
    struct weft_tp_open desc = {
        .bind = "here", .families = WEFT_TP_MSG, .handlers = &handlers, .ctx = end};
    memset(end, 0, sizeof(*end));
    int err = shim ? weft__shim_open(&weft__tp_inproc, &desc, &end->ep)
                   : weft__tp_inproc.core->open(&desc, &end->ep);
    assert_int_equal(err, WEFT_OK);
}

static void end_close(struct end *end)
{
    end->ep->transport->core->close(end->ep);
}

static struct weft_tp_peer add(struct end *end, struct end *other)
{
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    assert_int_equal(other->ep->transport->core->address(other->ep, &addr), WEFT_OK);
    assert_int_equal(end->ep->transport->core->peer_add(end->ep, &addr, &peer), WEFT_OK);
    return peer;
}

static void run(struct end *end)
{
    assert_true(end->ep->transport->core->progress(end->ep) >= 0);
}

struct outcome {
    bool done;
    int err;
};

static void note(struct weft_tp_op *op, int err)
{
    struct outcome *outcome = op->user;
    assert_false(outcome->done);
    outcome->done = true;
    outcome->err = err;
}

static void send_raw(struct end *from, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    struct outcome outcome = {false, 0};
    struct weft_tp_op op = {.done = note, .user = &outcome};
    struct iovec iov = {(void *)(uintptr_t)data, len_bytes};
    assert_int_equal(from->ep->transport->msg->send(from->ep, peer, &iov, 1, &op), WEFT_OK);
    while (!outcome.done)
        run(from);
    assert_int_equal(outcome.err, WEFT_OK);
}

static void the_shim_is_a_whole_transport_without_ctl(void **state)
{
    (void)state;
    struct end a;
    struct weft_tp_ep *ep;
    struct weft_tp_open desc = {.bind = "here", .families = WEFT_TP_CTL};
    end_open(&a, true);
    assert_int_equal(weft__transport_check(a.ep->transport), WEFT_OK);
    assert_non_null(a.ep->transport->rma);
    assert_null(a.ep->transport->ctl);
    assert_string_equal(a.ep->transport->scheme, "inproc");
    assert_int_equal(a.ep->transport->core->open(&desc, &ep), WEFT_ENOTSUP);
    assert_int_equal(weft__shim_open(&weft__tp_inproc, &desc, &ep), WEFT_ENOTSUP);
    end_close(&a);
}

static void messages_that_are_not_a_shims_are_dropped(void **state)
{
    (void)state;
    struct end a, raw;
    unsigned char noise[400];
    end_open(&a, true);
    end_open(&raw, false);
    struct weft_tp_peer peer = add(&raw, &a);
    memset(noise, 0x5a, sizeof(noise));
    for (size_t len = 0; len <= sizeof(noise); len += 7)
        send_raw(&raw, peer, noise, len);
    for (uint32_t type = 0; type < 10; type++) {
        struct weft_shim_head head = {
            .magic = WEFT_SHIM_MAGIC, .type = (uint16_t)type, .addr_len = 0xffff};
        memcpy(noise, &head, sizeof(head));
        for (size_t len = 1; len <= sizeof(noise); len += type == WEFT_SHIM_MESSAGE ? 1000 : 9)
            send_raw(&raw, peer, noise, len);
        run(&a);
    }
    while (a.ep->transport->core->progress(a.ep) > 0) {
    }
    assert_int_equal(a.messages, 0);
    end_close(&raw);
    end_close(&a);
}

/* A get by hand, so that each field can be wrong. */
static void odd_requests_get_an_error_or_nothing(void **state)
{
    (void)state;
    static unsigned char memory[5000], before[5000];
    struct end a, raw;
    struct weft_tp_region *region;
    struct weft_tp_key key;
    struct weft_tp_addr from;
    end_open(&a, true);
    end_open(&raw, false);
    struct weft_tp_peer peer = add(&raw, &a);
    assert_int_equal(raw.ep->transport->core->address(raw.ep, &from), WEFT_OK);
    assert_int_equal(a.ep->transport->rma->reg(a.ep, memory, sizeof(memory),
                                               WEFT_TP_READ | WEFT_TP_WRITE, &region),
                     0);
    a.ep->transport->rma->key(region, &key);
    struct weft_shim_head good = {.magic = WEFT_SHIM_MAGIC,
                                  .type = WEFT_SHIM_PUT,
                                  .addr_len = from.len,
                                  .key = key.key,
                                  .len = 100,
                                  .piece = 100};
    struct weft_shim_head bad[] = {good, good, good, good, good, good};
    bad[0].at = 1; /* the piece leaves the operation */
    bad[1].at = UINT64_MAX;
    bad[2].piece = 101;   /* not the bytes that came */
    bad[3].offset = 4901; /* the operation leaves the range */
    bad[4].len = UINT64_MAX;
    bad[5].key++;
    memcpy(before, memory, sizeof(memory));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned char packet[sizeof(good) + WEFT_TP_ADDR_MAX + 100];
        memset(packet, 0xee, sizeof(packet));
        memcpy(packet, &bad[i], sizeof(bad[i]));
        memcpy(packet + sizeof(good), from.bytes, from.len);
        send_raw(&raw, peer, packet, sizeof(good) + from.len + 100);
        run(&a);
        run(&a);
        run(&raw);
        assert_int_equal(raw.messages, i + 1); /* the refusal */
        assert_memory_equal(memory, before, sizeof(memory));
    }
    end_close(&raw);
    end_close(&a);
}

static void answers_to_nobody_are_dropped(void **state)
{
    (void)state;
    struct end a, raw;
    unsigned char packet[sizeof(struct weft_shim_head) + 64] = {0};
    end_open(&a, true);
    end_open(&raw, false);
    struct weft_tp_peer peer = add(&raw, &a);
    for (uint32_t i = 0; i < 100; i++) {
        struct weft_shim_head head = {.magic = WEFT_SHIM_MAGIC,
                                      .type = i % 2 ? WEFT_SHIM_DATA : WEFT_SHIM_ACK,
                                      .id = i * 65536u,
                                      .piece = 64};
        memcpy(packet, &head, sizeof(head));
        send_raw(&raw, peer, packet, sizeof(packet));
        run(&a);
    }
    assert_int_equal(a.messages, 0);
    end_close(&raw);
    end_close(&a);
}

/* The target answers piece by piece; the range ends in between. */
static void a_range_that_ends_during_a_get_ends_the_get(void **state)
{
    (void)state;
    enum { LEN = 32 << 20 };
    struct end a, b;
    struct weft_tp_region *region;
    struct outcome outcome = {false, 0};
    struct weft_tp_op op = {.done = note, .user = &outcome};
    struct weft_tp_rma_desc desc = {.len_bytes = LEN};
    unsigned char *memory = malloc(LEN);
    desc.local = malloc(LEN);
    assert_true(memory && desc.local);
    memset(memory, 1, LEN);
    end_open(&a, true);
    end_open(&b, true);
    struct weft_tp_peer peer = add(&a, &b);
    assert_int_equal(b.ep->transport->rma->reg(b.ep, memory, LEN, WEFT_TP_READ, &region), WEFT_OK);
    b.ep->transport->rma->key(region, &desc.remote_key);
    assert_int_equal(a.ep->transport->rma->get(a.ep, peer, &desc, &op), WEFT_OK);
    for (unsigned i = 0; i < 3; i++) {
        run(&b);
        run(&a);
    }
    assert_false(outcome.done);
    b.ep->transport->rma->unreg(b.ep, region);
    free(memory);
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (!outcome.done) {
        run(&b);
        run(&a);
        assert_true(weft__now_ns() < give_up);
    }
    assert_int_equal(outcome.err, WEFT_EACCES);
    end_close(&a);
    end_close(&b);
    free(desc.local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shim_is_a_whole_transport_without_ctl),
        cmocka_unit_test(messages_that_are_not_a_shims_are_dropped),
        cmocka_unit_test(odd_requests_get_an_error_or_nothing),
        cmocka_unit_test(answers_to_nobody_are_dropped),
        cmocka_unit_test(a_range_that_ends_during_a_get_ends_the_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
