#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "group/coord_link.h"

#define MS WEFT_NS_PER_MS

static const struct weft_coord_peer peer = {.name = "b", .url = "sim://b", .incarnation = 7};
static const struct weft_coord_pace pace = {.resend_ns = 1000 * MS, .ack_ns = 400 * MS};

struct pair {
    struct weft_coord_link a, b;
};

static int open_pair(void **state)
{
    static struct pair pair;
    weft__coord_link_init(&pair.a, &peer);
    weft__coord_link_init(&pair.b, &peer);
    *state = &pair;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *pair = *state;
    weft__coord_link_fini(&pair->a);
    weft__coord_link_fini(&pair->b);
    return 0;
}

static void push(struct weft_coord_link *link, uint64_t number)
{
    weft__coord_link_push(link,
                          (struct weft_coord_item){.kind = WEFT_COORD_ARRIVE, .number = number});
}

static void an_answer_that_goes_back_carries_the_acknowledgement(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame;
    push(&pair->a, 1);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &frame));
    assert_int_equal(frame.first, 1);
    assert_int_equal(frame.items_n, 1);
    assert_int_equal(weft__coord_link_take(&pair->b, &frame, &pace, 1), 0);
    assert_false(weft__coord_link_next(&pair->b, &pace, 1, &frame)); /* not alone, not yet */
    push(&pair->b, 1);
    assert_true(weft__coord_link_next(&pair->b, &pace, 2, &frame));
    assert_int_equal(frame.ack, 1);
    (void)weft__coord_link_take(&pair->a, &frame, &pace, 3);
    assert_int_equal(pair->a.items_n, 0);
    assert_false(weft__coord_link_next(&pair->a, &pace, 300 * MS, &frame));
    assert_false(weft__coord_link_next(&pair->b, &pace, 300 * MS, &frame));
    assert_int_equal(pair->a.traffic.frames + pair->b.traffic.frames, 2);
    assert_int_equal(pair->a.traffic.acks + pair->b.traffic.acks, 0);
}

static void an_acknowledgement_goes_alone_when_nothing_goes_back(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame;
    push(&pair->a, 1);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &frame));
    (void)weft__coord_link_take(&pair->b, &frame, &pace, 0);
    assert_int_equal(weft__coord_link_deadline(&pair->b), 400 * MS);
    assert_true(weft__coord_link_next(&pair->b, &pace, 400 * MS, &frame));
    assert_int_equal(frame.items_n, 0);
    assert_int_equal(frame.ack, 1);
    (void)weft__coord_link_take(&pair->a, &frame, &pace, 400 * MS);
    assert_int_equal(weft__coord_link_deadline(&pair->a), WEFT_NEVER);
    assert_int_equal(weft__coord_link_deadline(&pair->b), WEFT_NEVER);
}

static void what_is_lost_is_sent_again_less_and_less_often(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame;
    uint64_t now = 0, waited = 0;
    push(&pair->a, 1);
    assert_true(weft__coord_link_next(&pair->a, &pace, now, &frame));
    for (unsigned i = 0; i < 6; i++) {
        uint64_t next = weft__coord_link_deadline(&pair->a);
        assert_true(next - now >= waited && next - now <= 8000 * MS);
        waited = next - now;
        now = next;
        assert_true(weft__coord_link_next(&pair->a, &pace, now, &frame));
        assert_int_equal(frame.first, 1);
    }
    assert_int_equal(waited, 8000 * MS);
    assert_int_equal(pair->a.traffic.resent, 6);
    assert_int_equal(weft__coord_link_take(&pair->b, &frame, &pace, now), 0);
}

static void a_doubled_frame_brings_nothing_new(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame, more;
    push(&pair->a, 1);
    push(&pair->a, 2);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &frame));
    assert_int_equal(weft__coord_link_take(&pair->b, &frame, &pace, 0), 0);
    assert_int_equal(weft__coord_link_take(&pair->b, &frame, &pace, 0), frame.items_n);
    struct weft_coord_item items[3] = {{0}};
    more = (struct weft_coord_frame){.first = 2, .items = items, .items_n = 3};
    assert_int_equal(weft__coord_link_take(&pair->b, &more, &pace, 0), 1); /* 3 and 4 are new */
    assert_int_equal(pair->b.received, 4);
}

static void a_gap_is_told_at_once_and_filled_from_there(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame first, second, frame;
    push(&pair->a, 1);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &first)); /* lost */
    push(&pair->a, 2);
    assert_true(weft__coord_link_next(&pair->a, &pace, 50 * MS, &second));
    assert_int_equal(weft__coord_link_take(&pair->b, &second, &pace, 50 * MS), second.items_n);
    assert_true(weft__coord_link_next(&pair->b, &pace, 50 * MS, &frame));
    assert_true(frame.gap);
    (void)weft__coord_link_take(&pair->a, &frame, &pace, 51 * MS);
    assert_true(weft__coord_link_next(&pair->a, &pace, 51 * MS, &frame));
    assert_int_equal(frame.first, 1);
    assert_int_equal(frame.items_n, 2);
    assert_int_equal(weft__coord_link_take(&pair->b, &frame, &pace, 51 * MS), 0);
    assert_int_equal(pair->b.received, 2);
}

static void a_frame_has_a_limit_and_the_window_too(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame;
    size_t sent = 0;
    for (uint64_t i = 1; i <= 3000; i++)
        push(&pair->a, i);
    while (weft__coord_link_next(&pair->a, &pace, 0, &frame)) {
        assert_true(frame.items_n <= 256);
        sent += frame.items_n;
    }
    assert_int_equal(sent, 1024);
    frame = (struct weft_coord_frame){.ack = 1024};
    (void)weft__coord_link_take(&pair->a, &frame, &pace, 0);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &frame));
    assert_int_equal(frame.first, 1025);
    assert_int_equal(frame.items[0].number, 1025);
}

static void large_groups_do_not_share_a_frame(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame;
    struct weft_coord_roster *roster = weft__coord_roster_new(1, 4096, 100);
    size_t sent = 0;
    for (unsigned i = 0; i < 256; i++, roster->refs++)
        weft__coord_link_push(
            &pair->a,
            (struct weft_coord_item){.kind = WEFT_COORD_GROUP, .group = i + 1, .roster = roster});
    while (weft__coord_link_next(&pair->a, &pace, 0, &frame)) {
        assert_true(frame.items_n <= 32); /* 10 KiB each, at least */
        sent += frame.items_n;
    }
    assert_int_equal(sent, 256);
    weft__coord_roster_put(roster);
}

static void an_acknowledgement_of_what_was_never_sent_is_ignored(void **state)
{
    struct pair *pair = *state;
    struct weft_coord_frame frame = {.ack = 99};
    push(&pair->a, 1);
    (void)weft__coord_link_take(&pair->a, &frame, &pace, 0);
    assert_int_equal(pair->a.items_n, 1);
    assert_true(weft__coord_link_next(&pair->a, &pace, 0, &frame));
    assert_int_equal(frame.first, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_answer_that_goes_back_carries_the_acknowledgement),
        CASE(an_acknowledgement_goes_alone_when_nothing_goes_back),
        CASE(what_is_lost_is_sent_again_less_and_less_often),
        CASE(a_doubled_frame_brings_nothing_new),
        CASE(a_gap_is_told_at_once_and_filled_from_there),
        CASE(a_frame_has_a_limit_and_the_window_too),
        CASE(large_groups_do_not_share_a_frame),
        CASE(an_acknowledgement_of_what_was_never_sent_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
