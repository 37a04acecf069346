/* Questions about edges: the largest and the empty, what is cancelled while it is under way, keys
 * that are somebody else's, and very many peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "tests/conform/far.h"
#include "weft/error.h"

#define RMA (WEFT_TP_MSG | WEFT_TP_RMA)
#define RACES 200u
#define CALM 50u /* rounds in which nothing more may happen */
#define LARGEST ((size_t)64 << 20)
#define PEERS 1000u

static void calm(struct side *a, struct side *b)
{
    for (unsigned i = 0; i < CALM; i++)
        sides_run(a, b);
}

/* ---- cancelling ---- */

/* Submits, moves a little, cancels: how far the operation has come by then differs. */
static int race(struct side *a, struct side *b, struct probe *probe, unsigned moves)
{
    for (unsigned i = 0; i < moves && !probe->done; i++)
        (void)(i % 2 ? b : a)->tp->core->progress((i % 2 ? b : a)->ep);
    if (probe->done)
        return WEFT_EBUSY;
    int err = a->tp->core->cancel(a->ep, &probe->op);
    assert_true(err == WEFT_OK || err == WEFT_EBUSY);
    return err;
}

static void a_send_that_is_cancelled_ends_once_and_does_not_arrive(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct probe probe;
    unsigned arrive = 0;
    sides_open(&a, &b, WEFT_TP_MSG);
    for (unsigned i = 0; i < RACES; i++) {
        probe_init(&probe, NULL);
        probe_send_all(&a, &b, &probe, "race", 4);
        int err = race(&a, &b, &probe, i % 7);
        sides_until(&a, &b, &probe.done, 1);
        assert_int_equal(probe.err, err == WEFT_OK ? WEFT_ECANCELED : WEFT_OK);
        arrive += err != WEFT_OK;
    }
    sides_until(&a, &b, &b.messages, arrive);
    calm(&a, &b);
    assert_int_equal(b.messages, arrive);
    side_close(&a);
    side_close(&b);
}

struct shared {
    struct side a, b;
    unsigned char *far, *near;
    struct weft_tp_region *region;
    struct weft_tp_rma_desc desc; /* all of it */
};

static void shared_open(struct shared *s, size_t len_bytes)
{
    memset(s, 0, sizeof(*s));
    sides_open(&s->a, &s->b, RMA);
    s->far = malloc(len_bytes + 1);
    s->near = malloc(len_bytes + 1);
    assert_true(s->far && s->near);
    for (size_t i = 0; i <= len_bytes; i++)
        s->far[i] = (unsigned char)(i * 11 + (i >> 8));
    memset(s->near, 0, len_bytes + 1);
    int err =
        s->b.tp->rma->reg(s->b.ep, s->far, len_bytes, WEFT_TP_READ | WEFT_TP_WRITE, &s->region);
    if (err)
        fail_msg("reg: %s", weft_fail_text(err));
    s->b.tp->rma->key(s->region, &s->desc.remote_key);
    s->desc.local = s->near;
    s->desc.len_bytes = len_bytes;
}

static void shared_close(struct shared *s)
{
    side_close(&s->a);
    s->b.tp->rma->unreg(s->b.ep, s->region);
    side_close(&s->b);
    free(s->far);
    free(s->near);
}

static void a_get_that_is_cancelled_ends_once_and_writes_nothing_later(void **state)
{
    (void)state;
    enum { LEN = 200000 };
    struct shared s;
    struct probe probe;
    shared_open(&s, LEN);
    for (unsigned i = 0; i < RACES / 4; i++) {
        memset(s.near, 0, LEN);
        probe_init(&probe, NULL);
        assert_int_equal(probe_rma_start(&s.a, &s.b, &probe, &s.desc, false), WEFT_OK);
        int err = race(&s.a, &s.b, &probe, i % 9);
        sides_until(&s.a, &s.b, &probe.done, 1);
        assert_int_equal(probe.err, err == WEFT_OK ? WEFT_ECANCELED : WEFT_OK);
        if (err != WEFT_OK) {
            assert_memory_equal(s.near, s.far, LEN);
            continue;
        }
        memset(s.near, 0x5a, LEN);
        calm(&s.a, &s.b);
        for (size_t at = 0; at < LEN; at++)
            assert_int_equal(s.near[at], 0x5a);
    }
    shared_close(&s);
}

/* ---- the largest ---- */

static void the_largest_get_and_put_pass_and_one_byte_more_does_not(void **state)
{
    (void)state;
    struct shared s;
    struct probe probe;
    struct side limits = {0};
    side_open(&limits, RMA);
    size_t max = limits.limits.rma_max_bytes;
    side_close(&limits);
    if (max > LARGEST) {
        print_message("skipped: no limit that memory would not be\n");
        skip();
    }
    shared_open(&s, max + 1);
    probe_init(&probe, NULL);
    assert_int_equal(probe_get(&s.a, &probe, &s.desc), WEFT_EMSGSIZE);
    assert_int_equal(probe_put(&s.a, &probe, &s.desc), WEFT_EMSGSIZE);
    s.desc.len_bytes = max;
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK);
    assert_memory_equal(s.near, s.far, max);
    memset(s.near, 0x77, max);
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, true), WEFT_OK);
    assert_memory_equal(s.near, s.far, max);
    assert_int_equal(probe.done, 0);
    shared_close(&s);
}

static void gets_beyond_the_limit_are_refused_for_now_and_none_is_lost(void **state)
{
    (void)state;
    struct shared s;
    uint64_t done = 0;
    uint32_t n = 0;
    shared_open(&s, 4096);
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK); /* connected */
    uint32_t max = s.a.limits.sends_max;
    struct probe *probes = calloc(max + 1u, sizeof(*probes));
    assert_non_null(probes);
    int err = WEFT_OK;
    while (n <= max) { /* nobody makes progress */
        probe_init(&probes[n], &done);
        err = probe_get(&s.a, &probes[n], &s.desc);
        if (err != WEFT_OK)
            break;
        n++;
    }
    assert_int_equal(err, WEFT_EAGAIN);
    assert_true(n > 0);
    assert_int_equal(done, 0);
    sides_until(&s.a, &s.b, &done, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(probes[i].err, WEFT_OK);
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK);
    shared_close(&s);
    free(probes);
}

static void keep_first(struct side *side, const unsigned char *data, size_t len_bytes)
{
    bool *cut = side->user;
    if (len_bytes != 60000 && len_bytes != 10)
        *cut = true;
    for (size_t i = 0; i < len_bytes; i++)
        *cut = *cut || data[i] != 'm';
}

/* The receiver said what its largest message is; the sender may send larger ones. */
static void a_message_that_is_too_large_for_its_receiver_is_never_cut(void **state)
{
    (void)state;
    bool cut = false;
    struct side a = {.msg_max_bytes = 64u << 10};
    struct side b = {.msg_max_bytes = 4096, .on_message = keep_first, .user = &cut};
    struct probe probe;
    char *large = malloc(60000);
    assert_non_null(large);
    memset(large, 'm', 60000);
    sides_open(&a, &b, WEFT_TP_MSG);
    probe_init(&probe, NULL);
    int err = probe_send(&a, &probe, large, 60000);
    assert_true(err == WEFT_OK || err == WEFT_EMSGSIZE);
    if (err == WEFT_OK)
        sides_until(&a, &b, &probe.done, 1);
    calm(&a, &b);
    assert_false(cut);
    uint64_t before = b.messages;
    if (a.lost || (err == WEFT_OK && probe.err != WEFT_OK)) {
        a.tp->core->peer_drop(a.ep, a.peer);
        a.peer = side_add(&a, &b);
    }
    probe_init(&probe, NULL);
    probe_send_all(&a, &b, &probe, large, 10);
    sides_until(&a, &b, &b.messages, before + 1);
    sides_until(&a, &b, &probe.done, 1);
    assert_false(cut);
    side_close(&a);
    side_close(&b);
    free(large);
}

/* ---- the empty ---- */

static void nothing_can_be_moved_anywhere_inside_and_at_the_end(void **state)
{
    (void)state;
    struct shared s;
    shared_open(&s, 1000);
    const uint64_t at[] = {0, 500, 1000};
    s.desc.len_bytes = 0;
    for (unsigned i = 0; i < 6; i++) {
        s.desc.remote_offset = at[i / 2];
        s.desc.local = i % 3 ? s.near : NULL;
        assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, i % 2), WEFT_OK);
    }
    s.desc.remote_offset = 0;
    s.desc.len_bytes = 1000;
    s.desc.local = s.near;
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK); /* and it goes on */
    assert_memory_equal(s.near, s.far, 1000);
    shared_close(&s);
}

static void an_empty_range_is_refused_or_gives_nothing(void **state)
{
    (void)state;
    struct shared s;
    struct weft_tp_region *empty = NULL;
    shared_open(&s, 1000);
    struct weft_tp_rma_desc desc = {.local = s.near};
    int err = s.b.tp->rma->reg(s.b.ep, s.far, 0, WEFT_TP_READ, &empty);
    if (err == WEFT_OK) {
        s.b.tp->rma->key(empty, &desc.remote_key);
        assert_int_equal(desc.remote_key.len_bytes, 0);
        assert_int_equal(probe_rma(&s.a, &s.b, &desc, false), WEFT_OK);
        s.b.tp->rma->unreg(s.b.ep, empty);
    } else {
        assert_int_equal(err, WEFT_EINVAL);
        assert_null(empty);
    }
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK);
    shared_close(&s);
}

/* ---- keys ---- */

static void a_key_of_another_endpoint_is_refused(void **state)
{
    (void)state;
    struct shared s;
    struct side c = {0};
    struct weft_tp_region *region;
    static unsigned char secret[1000];
    struct weft_tp_rma_desc desc = {.len_bytes = sizeof(secret)};
    shared_open(&s, sizeof(secret));
    memset(s.far, 1, sizeof(secret));
    memset(secret, 's', sizeof(secret));
    side_open(&c, RMA);
    assert_int_equal(c.tp->rma->reg(c.ep, secret, sizeof(secret), WEFT_TP_READ, &region), WEFT_OK);
    c.tp->rma->key(region, &desc.remote_key);
    desc.local = s.near;
    int err = probe_rma(&s.a, &s.b, &desc, false); /* asked of b */
    if (err != WEFT_EACCES && weft_error_damage(err) != WEFT_DAMAGE_PEER)
        fail_msg("%s instead of WEFT_EACCES or a lost peer", weft_error_name(err));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_not_equal(s.near[i], 's');
    c.tp->rma->unreg(c.ep, region);
    side_close(&c);
    shared_close(&s);
}

/* ---- death ---- */

static void a_process_that_is_killed_ends_what_is_under_way_to_it(void **state)
{
    (void)state;
    enum { LEN = 4 << 20 };
    struct shared s;
    struct probe get, send;
    if (!conform_subject->far) {
        print_message("skipped: both sides are in this process\n");
        skip();
    }
    shared_open(&s, LEN);
    assert_int_equal(probe_rma(&s.a, &s.b, &s.desc, false), WEFT_OK);
    probe_init(&get, NULL);
    probe_init(&send, NULL);
    assert_int_equal(probe_rma_start(&s.a, &s.b, &get, &s.desc, false), WEFT_OK);
    probe_send_all(&s.a, &s.b, &send, "late", 4);
    far_kill(&s.b);
    sides_until(&s.a, NULL, &get.done, 1);
    sides_until(&s.a, NULL, &send.done, 1);
    if (get.err != WEFT_OK) /* it may have been there already */
        assert_int_equal(weft_error_damage(get.err), WEFT_DAMAGE_PEER);
    else
        assert_memory_equal(s.near, s.far, LEN);
    if (send.err != WEFT_OK)
        assert_int_equal(weft_error_damage(send.err), WEFT_DAMAGE_PEER);
    s.a.tp->core->peer_drop(s.a.ep, s.a.peer);
    side_close(&s.a);
    free(s.far);
    free(s.near);
}

/* ---- very many ---- */

struct crowd {
    struct side hub;
    struct side *each;
    struct probe *out, *back;
};

static void answer(struct side *side, const unsigned char *data, size_t len_bytes)
{
    struct probe *probe = side->user;
    (void)data;
    (void)len_bytes;
    probe_init(probe, NULL);
    assert_int_equal(probe_send(side, probe, "here", 4), WEFT_OK);
}

static void a_thousand_peers_are_told_and_answer(void **state)
{
    (void)state;
    struct crowd crowd = {0};
    if (!conform_subject->crowded) {
        print_message("skipped: a thousand endpoints need too many descriptors\n");
        skip();
    }
    crowd.each = calloc(PEERS, sizeof(*crowd.each));
    crowd.out = calloc(PEERS, sizeof(*crowd.out));
    crowd.back = calloc(PEERS, sizeof(*crowd.back));
    assert_true(crowd.each && crowd.out && crowd.back);
    side_open(&crowd.hub, WEFT_TP_MSG);
    assert_true(crowd.hub.limits.peers_max >= PEERS);
    uint64_t done = 0;
    for (unsigned i = 0; i < PEERS; i++) {
        struct side *side = &crowd.each[i];
        side->on_message = answer;
        side->user = &crowd.back[i];
        side_open(side, WEFT_TP_MSG);
        side->peer = side_add(side, &crowd.hub);
        crowd.hub.peer = side_add(&crowd.hub, side);
        probe_init(&crowd.out[i], &done);
        probe_send_all(&crowd.hub, side, &crowd.out[i], &i, sizeof(i));
    }
    for (unsigned i = 0; i < PEERS; i++)
        sides_until(&crowd.hub, &crowd.each[i], &crowd.each[i].messages, 1);
    sides_until(&crowd.hub, NULL, &done, PEERS);
    for (unsigned i = 0; i < PEERS; i++) /* a hub that is full takes the rest when it has moved */
        sides_until(&crowd.hub, &crowd.each[i], &crowd.back[i].done, 1);
    sides_until(&crowd.hub, NULL, &crowd.hub.messages, PEERS);
    for (unsigned i = 0; i < PEERS; i++)
        side_close(&crowd.each[i]);
    side_close(&crowd.hub);
    free(crowd.each);
    free(crowd.out);
    free(crowd.back);
}

int conform_edges(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_send_that_is_cancelled_ends_once_and_does_not_arrive),
        cmocka_unit_test(a_get_that_is_cancelled_ends_once_and_writes_nothing_later),
        cmocka_unit_test(the_largest_get_and_put_pass_and_one_byte_more_does_not),
        cmocka_unit_test(gets_beyond_the_limit_are_refused_for_now_and_none_is_lost),
        cmocka_unit_test(a_message_that_is_too_large_for_its_receiver_is_never_cut),
        cmocka_unit_test(nothing_can_be_moved_anywhere_inside_and_at_the_end),
        cmocka_unit_test(an_empty_range_is_refused_or_gives_nothing),
        cmocka_unit_test(a_key_of_another_endpoint_is_refused),
        cmocka_unit_test(a_process_that_is_killed_ends_what_is_under_way_to_it),
        cmocka_unit_test(a_thousand_peers_are_told_and_answer),
    };
    return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
