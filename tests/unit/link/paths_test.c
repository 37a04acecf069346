/* Lanes with several paths: what breaks fails, and what comes next takes another way. One side's
 * first path is made to break by the decorator; the paths of a lane are named in a list. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "link/address.h"
#include "link/paths.h"
#include "pair.h"
#include "weft/error.h"

/* All letters of the first path go well up to that one, and none after it. */
#define BREAKS "fault(seed=3,cut=100%,way=out,after=40)+"
#define BYTES 300000u

/* a has the paths of the first list, b those of the second. */
static void open_with(struct end *a, const char *list_a, struct end *b, const char *list_b)
{
    pair_scheme = list_a;
    end_open(a, "a", "worker");
    pair_scheme = list_b;
    end_open(b, "b", "worker");
    assert_int_equal(weft__lane_peer(a->lane, weft__lane_address(b->lane), &a->other), WEFT_OK);
    assert_int_equal(weft__lane_peer(b->lane, weft__lane_address(a->lane), &b->other), WEFT_OK);
}

static void until_heard(struct end *a, struct end *b, struct end *who, unsigned n)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (atomic_load(&who->heard) < n) {
        pair_move(a, b);
        assert_true(weft__now_ns() < give_up);
    }
}

/* Sends until so many have come: some are lost with their path. */
static void send_until_heard(struct end *from, struct end *to, unsigned n)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (atomic_load(&to->heard) < n) {
        end_send(from, "letter", 6);
        for (unsigned i = 0; i < 20; i++)
            pair_move(from, to);
        assert_true(weft__now_ns() < give_up);
    }
}

static int pull(struct end *a, struct end *b, const struct weft_lane_key *key, void *into,
                size_t len_bytes)
{
    struct pull one;
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    pull_start(a, &one, key, into, len_bytes);
    while (!atomic_load(&one.ended)) {
        pair_move(a, b);
        assert_true(weft__now_ns() < give_up);
    }
    return one.err;
}

static void messages_go_on_over_the_next_path(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_with(&a, BREAKS "tcp,tcp", &b, "tcp,tcp");
    send_until_heard(&a, &b, 40);
    assert_int_equal(atomic_load(&a.lost), 0);
    send_until_heard(&a, &b, 200);
    assert_int_equal(atomic_load(&a.lost), 1); /* of the second path nothing breaks */
    end_send(&b, "back", 4);
    until_heard(&a, &b, &a, 1);
    pair_close(&a, &b);
}

static void gets_under_way_fail_with_damage_to_the_peer_and_the_next_ones_work(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    static unsigned char from[BYTES], into[BYTES];
    struct weft_lane_region *region;
    struct weft_lane_key key;
    open_with(&a, BREAKS "tcp,tcp", &b, "tcp,tcp");
    fill_pattern(from, BYTES, 5);
    assert_int_equal(weft__lane_register(b.lane, from, BYTES, WEFT_TP_READ, &region, &key),
                     WEFT_OK);
    assert_int_equal(pull(&a, &b, &key, into, BYTES), WEFT_OK);
    unsigned failed = 0;
    for (unsigned i = 0; i < 60; i++) {
        memset(into, 0, BYTES);
        int err = pull(&a, &b, &key, into, BYTES);
        failed += err != WEFT_OK;
        if (err == WEFT_OK)
            assert_true(same_pattern(into, BYTES, 5));
        else
            assert_int_equal(weft_error_damage(err), WEFT_DAMAGE_PEER);
    }
    assert_int_equal(failed, 1);
    weft__lane_unregister(b.lane, region);
    assert_int_equal(pull(&a, &b, &key, into, BYTES), WEFT_EACCES); /* on the second path too */
    pair_close(&a, &b);
}

/* Doubts a's peer, whom nobody drives, until that counts. */
static void doubt_until_lost(struct end *a)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    unsigned lost = atomic_load(&a->lost);
    while (atomic_load(&a->lost) == lost) {
        weft__lane_doubt(a->lane, a->other);
        pair_move(a, NULL);
        assert_true(weft__now_ns() < give_up);
    }
}

/* Moves a's peer to the second path. */
static void take_second_path(struct end *a, struct end *b)
{
    send_until_heard(a, b, atomic_load(&b->heard) + 1);
    doubt_until_lost(a);
}

static void a_peer_that_answers_keeps_its_path(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    struct weft_lane_stats stats;
    open_with(&a, "tcp,zmq", &b, "tcp,zmq");
    send_until_heard(&a, &b, 1);
    uint64_t until_ns = weft__now_ns() + 7 * WEFT_NS_PER_S; /* trust and answer take five */
    while (weft__now_ns() < until_ns) {
        weft__lane_doubt(a.lane, a.other);
        pair_move(&a, &b);
    }
    assert_int_equal(atomic_load(&a.lost), 0);
    weft__lane_stats(b.lane, &stats);
    assert_int_equal(stats.messages_refused, 0);
    pair_close(&a, &b);
}

/* As much as the lane takes, so that there is no room for a question. */
static void send_until_full(struct end *end)
{
    static unsigned char bytes[PAIR_MESSAGE_MAX];
    struct iovec part = {bytes, sizeof(bytes)};
    while (weft__lane_send(end->lane, end->other, &part, 1) == WEFT_OK)
        continue;
}

static void a_peer_that_takes_messages_slowly_keeps_its_path(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_with(&a, "tcp,zmq", &b, "tcp,zmq");
    send_until_heard(&a, &b, 1);
    uint64_t until_ns = weft__now_ns() + 7 * WEFT_NS_PER_S;
    while (weft__now_ns() < until_ns) {
        send_until_full(&a);
        weft__lane_doubt(a.lane, a.other);
        pair_move(&a, &b);
    }
    assert_int_equal(atomic_load(&a.lost), 0);
    pair_close(&a, &b);
}

static void a_peer_that_is_doubted_is_reached_by_the_next_path(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_with(&a, "tcp,zmq", &b, "tcp,zmq");
    take_second_path(&a, &b);
    send_until_heard(&a, &b, 50);
    assert_int_equal(atomic_load(&a.lost), 1);
    doubt_until_lost(&a); /* and round to the first one */
    send_until_heard(&a, &b, 100);
    pair_close(&a, &b);
}

static void forged_keys_and_stale_ones_are_refused_on_every_path(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    static unsigned char from[BYTES], into[BYTES];
    struct weft_lane_region *region, *again;
    struct weft_lane_key key, other;
    open_with(&a, "ofi:net,tcp", &b, "ofi:net,tcp");
    fill_pattern(from, BYTES, 9);
    assert_int_equal(weft__lane_register(b.lane, from, BYTES, WEFT_TP_READ, &region, &key),
                     WEFT_OK);
    take_second_path(&a, &b);
    assert_int_equal(pull(&a, &b, &key, into, BYTES), WEFT_OK);
    assert_true(same_pattern(into, BYTES, 9));
    struct weft_lane_key forged = key;
    forged.tp.key ^= 1;
    assert_int_equal(pull(&a, &b, &forged, into, BYTES), WEFT_EACCES);
    forged = key;
    forged.tp.base ^= 8;
    assert_int_equal(pull(&a, &b, &forged, into, BYTES), WEFT_EACCES);
    assert_int_equal(weft__lane_register(b.lane, from, 100, WEFT_TP_READ, &again, &other), WEFT_OK);
    weft__lane_unregister(b.lane, region);
    assert_int_equal(pull(&a, &b, &key, into, BYTES), WEFT_EACCES);
    assert_int_equal(pull(&a, &b, &other, into, 100), WEFT_OK);
    weft__lane_unregister(b.lane, again);
    assert_int_equal(atomic_load(&a.lost), 1); /* who asked wrongly is still connected */
    pair_close(&a, &b);
}

/* Its owner does not ask for them any more. */
static void ranges_that_are_registered_still_end_with_the_lane(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    static unsigned char from[BYTES];
    struct weft_lane_region *regions[3];
    struct weft_lane_key key;
    open_with(&a, "ofi:net,tcp", &b, "ofi:net,tcp");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weft__lane_register(b.lane, from, BYTES, WEFT_TP_READ, &regions[i], &key),
                         WEFT_OK);
    weft__lane_unregister(b.lane, regions[1]);
    pair_close(&a, &b); /* LeakSanitizer looks at the end */
}

static void lanes_that_share_one_of_their_paths_use_that(void **state)
{
    (void)state;
    static const char *const lists[][2] = {{"ofi:no-such-provider,tcp+shim", "ofi:net,tcp"},
                                           {"tcp,zmq", "tcp"},
                                           {"tcp,zmq", "zmq"},
                                           {"zmq", "tcp,zmq"},
                                           {"ofi:net,zmq,tcp", "tcp,zmq"}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct end a = {0}, b = {0};
        open_with(&a, lists[i][0], &b, lists[i][1]);
        send_until_heard(&a, &b, 10);
        send_until_heard(&b, &a, 10);
        pair_close(&a, &b);
    }
}

static void lanes_without_a_path_in_common_say_what_each_speaks(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    struct weft_lane_peer peer;
    pair_scheme = "tcp";
    end_open(&a, "a", "worker");
    pair_scheme = "zmq";
    end_open(&b, "b", "worker");
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(b.lane), &peer), WEFT_ENOTSUP);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOTSUP), "zmq+shim"));
    assert_non_null(strstr(weft_fail_text(WEFT_ENOTSUP), "tcp"));
    pair_close(&a, &b);
}

/* Drives a alone. */
static void until(struct end *a, const atomic_uint *count, unsigned n)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (atomic_load(count) < n) {
        pair_move(a, NULL);
        assert_true(weft__now_ns() < give_up);
    }
}

static void a_lane_sleeps_on_all_its_paths(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_scheme = BREAKS "tcp,tcp";
    end_open(&a, "a", "worker");
    pair_scheme = "tcp,tcp";
    end_open(&b, "b", "thread");
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(b.lane), &a.other), WEFT_OK);
    for (unsigned i = 0; atomic_load(&a.lost) == 0; i++) {
        end_send(&a, "wake", 4);
        pair_move(&a, NULL);
        assert_true(i < 1000);
    }
    for (unsigned i = 0; i < 20;
         i++) { /* nobody drives b but its thread, which sleeps in between */
        unsigned heard = atomic_load(&b.heard);
        end_send(&a, "wake", 4);
        until(&a, &b.heard, heard + 1);
    }
    pair_close(&a, &b);
}

static void a_list_is_reported_name_by_name(void **state)
{
    (void)state;
    struct end a = {0};
    struct weft_lane_stats stats;
    pair_scheme = "fault(seed=1,delay=5ms)+tcp,zmq";
    end_open(&a, "a", "worker");
    weft__lane_stats(a.lane, &stats);
    assert_string_equal(stats.transport, "fault+tcp, zmq+shim");
    assert_non_null(strstr(weft__lane_report(a.lane), "tcp: chosen by name\n"));
    assert_non_null(
        strstr(weft__lane_report(a.lane), "zmq: chosen, for when the first one breaks\n"));
    weft__lane_close(a.lane);
    pair_scheme = "tcp,pigeon";
    struct weft_lane_desc desc = end_desc(&a, "a", "worker");
    assert_int_equal(weft__lane_open(&desc, &a.lane), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "pigeon"));
    pair_scheme = "tcp,";
    desc = end_desc(&a, "a", "worker");
    assert_int_equal(weft__lane_open(&desc, &a.lane), WEFT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_on_over_the_next_path),
        cmocka_unit_test(gets_under_way_fail_with_damage_to_the_peer_and_the_next_ones_work),
        cmocka_unit_test(a_peer_that_answers_keeps_its_path),
        cmocka_unit_test(a_peer_that_takes_messages_slowly_keeps_its_path),
        cmocka_unit_test(a_peer_that_is_doubted_is_reached_by_the_next_path),
        cmocka_unit_test(forged_keys_and_stale_ones_are_refused_on_every_path),
        cmocka_unit_test(ranges_that_are_registered_still_end_with_the_lane),
        cmocka_unit_test(lanes_that_share_one_of_their_paths_use_that),
        cmocka_unit_test(lanes_without_a_path_in_common_say_what_each_speaks),
        cmocka_unit_test(a_lane_sleeps_on_all_its_paths),
        cmocka_unit_test(a_list_is_reported_name_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
