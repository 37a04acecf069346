/* Two lanes of one process. */
#include "pair.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"

const struct weft_transport *const pair_transports[] = {
    &weft__tp_inproc,
    &weft__tp_zmq,
    &weft__tp_ofi,
    &weft__tp_tcp,
};
const size_t pair_transports_n = sizeof(pair_transports) / sizeof(pair_transports[0]);
const char *pair_scheme = "ofi:net";

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    if (end->message)
        end->message(end, data, len_bytes);
    atomic_fetch_add(&end->heard, 1);
}

static void lost(void *ctx, struct weft_lane_peer peer, int err)
{
    struct end *end = ctx;
    (void)peer;
    (void)err;
    atomic_fetch_add(&end->lost, 1);
}

struct weft_lane_desc end_desc(struct end *end, const char *name, const char *progress)
{
    bool inproc = strcmp(pair_scheme, "inproc") == 0;
    return (struct weft_lane_desc){
        .transports = pair_transports,
        .transports_n = pair_transports_n,
        .scheme = pair_scheme,
        .progress = progress,
        .bind = inproc ? name : "127.0.0.1",
        .token = PAIR_TOKEN,
        .msg_max_bytes = PAIR_MESSAGE_MAX,
        .message = heard,
        .peer_lost = lost,
        .ctx = end,
    };
}

void end_open(struct end *end, const char *name, const char *progress)
{
    struct weft_lane_desc desc = end_desc(end, name, progress);
    int err = weft__lane_open(&desc, &end->lane);
    if (err != WEFT_OK)
        print_message("%s: %s\n", pair_scheme, weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
}

void pair_open(struct end *a, struct end *b, const char *progress)
{
    end_open(a, "a", progress);
    end_open(b, "b", progress);
    assert_int_equal(weft__lane_peer(a->lane, weft__lane_address(b->lane), &a->other), WEFT_OK);
    assert_int_equal(weft__lane_peer(b->lane, weft__lane_address(a->lane), &b->other), WEFT_OK);
}

void pair_close(struct end *a, struct end *b)
{
    weft__lane_close(a->lane);
    weft__lane_close(b->lane);
}

void end_send(struct end *end, const void *data, size_t len_bytes)
{
    struct iovec part = {(void *)(uintptr_t)data, len_bytes};
    int err;
    while ((err = weft__lane_send(end->lane, end->other, &part, 1)) == WEFT_EAGAIN) {
        weft__lane_drive(end->lane);
        sched_yield();
    }
    assert_int_equal(err, WEFT_OK);
}

void pair_move(struct end *a, struct end *b)
{
    weft__lane_drive(a->lane);
    if (b)
        weft__lane_drive(b->lane);
    sched_yield();
}

static void pulled(struct weft_lane_get *get, int err)
{
    struct pull *pull = get->user;
    pull->err = err;
    atomic_fetch_add(&pull->ended, 1);
}

void pull_start(struct end *end, struct pull *pull, const struct weft_lane_key *key, void *into,
                size_t len_bytes)
{
    *pull = (struct pull){.get = {.peer = end->other,
                                  .key = *key,
                                  .into = into,
                                  .len_bytes = len_bytes,
                                  .done = pulled,
                                  .user = pull}};
    assert_int_equal(weft__lane_get(end->lane, &pull->get), WEFT_OK);
}

void fill_pattern(unsigned char *bytes, size_t len_bytes, unsigned seed)
{
    for (size_t i = 0; i < len_bytes; i++)
        bytes[i] = (unsigned char)((i ^ (i >> 9)) * 13 + seed);
}

bool same_pattern(const unsigned char *bytes, size_t len_bytes, unsigned seed)
{
    for (size_t i = 0; i < len_bytes; i++)
        if (bytes[i] != (unsigned char)((i ^ (i >> 9)) * 13 + seed))
            return false;
    return true;
}
