/* The machine of whole hosts, with a network that delivers at once, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"
#include "group/coord.h"
#include "weft/error.h"

#define MS WEFT_NS_PER_MS

enum {
    HOSTS = 3,
    ANSWERS = 64,
    FRAMES = 256,
    DEAD_MS = 3000,
    IDLE_MS = 10000,
    OPEN = 1,
    MAIL_MAX = 64 << 10
};

struct answer {
    bool there;
    int err;
    char text[256];
    size_t messages_n;
};

struct frame {
    unsigned to;
    struct weft_coord_frame frame;
};

struct scene {
    struct weft_coord *coords[HOSTS];
    struct weft_coord_peer peers[HOSTS];
    struct answer answers[ANSWERS];
    struct frame frames[FRAMES];
    size_t frames_n;
    uint64_t now_ns;
    bool hold; /* the network */
    uint64_t token;
};

static struct scene scene;

static void answered(void *ctx, uint64_t token, const struct weft_coord_answer *answer)
{
    (void)ctx;
    struct answer *to = &scene.answers[token % ANSWERS];
    assert_false(to->there); /* exactly once */
    *to = (struct answer){.there = true, .err = answer->err, .messages_n = answer->messages_n};
    snprintf(to->text, sizeof(to->text), "%s", answer->text != NULL ? answer->text : "");
}

static void sent(void *ctx, const struct weft_coord_peer *to, const struct weft_coord_frame *frame)
{
    (void)ctx;
    assert_true(scene.frames_n < FRAMES);
    struct frame *copy = &scene.frames[scene.frames_n++];
    copy->to = (unsigned)(to->name[0] - 'a');
    copy->frame = *frame;
    copy->frame.items = weft__must_copy(frame->items, frame->items_n * sizeof(*frame->items));
    for (size_t i = 0; i < frame->items_n; i++) {
        if (frame->items[i].roster != NULL)
            frame->items[i].roster->refs++;
        if (frame->items[i].bytes != NULL)
            copy->frame.items[i].bytes =
                weft__must_copy(frame->items[i].bytes, frame->items[i].len_bytes);
    }
}

static void drop(struct frame *frame)
{
    for (size_t i = 0; i < frame->frame.items_n; i++)
        weft__coord_item_fini(&frame->frame.items[i]);
    free(frame->frame.items);
}

static void deliver(void)
{
    for (size_t i = 0; i < scene.frames_n; i++) {
        struct frame frame = scene.frames[i];
        if (scene.coords[frame.to] != NULL)
            weft__coord_take(scene.coords[frame.to], &frame.frame, scene.now_ns);
        drop(&frame);
    }
    scene.frames_n = 0;
}

static void lose(void)
{
    for (size_t i = 0; i < scene.frames_n; i++)
        drop(&scene.frames[i]);
    scene.frames_n = 0;
}

static void tell_hosts(void)
{
    struct weft_coord_peer list[HOSTS];
    size_t n = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        if (scene.coords[i] != NULL)
            list[n++] = scene.peers[i];
    }
    for (unsigned i = 0; i < HOSTS; i++) {
        if (scene.coords[i] != NULL)
            weft__coord_hosts(scene.coords[i], list, n, scene.now_ns);
    }
    deliver();
}

/* Lets time pass, in steps, with signs of life of these sessions. */
static void pass(uint64_t ms, unsigned sessions)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        scene.now_ns += 100 * MS;
        for (unsigned h = 0; h < HOSTS; h++) {
            if (scene.coords[h] == NULL)
                continue;
            for (unsigned s = 0; s < HOSTS; s++) {
                if ((sessions >> s & 1) != 0 && s == h)
                    weft__coord_beat(scene.coords[h], 100 + s, scene.now_ns);
            }
            if (weft__coord_deadline(scene.coords[h]) <= scene.now_ns)
                weft__coord_tick(scene.coords[h], scene.now_ns);
        }
        if (!scene.hold)
            deliver();
    }
}

static int open_scene(void **state)
{
    (void)state;
    scene = (struct scene){.now_ns = 1000 * MS};
    for (unsigned i = 0; i < HOSTS; i++) {
        struct weft_coord_peer *peer = &scene.peers[i];
        peer->name[0] = (char)('a' + i);
        peer->incarnation = 50 + i;
        snprintf(peer->url, sizeof(peer->url), "sim://%u", i);
        scene.coords[i] = weft__coord_new(&(struct weft_coord_desc){.self = *peer,
                                                                    .dead_ns = DEAD_MS * MS,
                                                                    .idle_ns = IDLE_MS * MS,
                                                                    .resend_ns = 1000 * MS,
                                                                    .ack_ns = 400 * MS,
                                                                    .answer = answered,
                                                                    .send = sent});
    }
    tell_hosts();
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HOSTS; i++)
        weft__coord_free(scene.coords[i]);
    lose();
    return 0;
}

/* Asks for member m, who is on host m, by session 100 + m; returns the answer to come. */
static struct answer *ask(uint32_t member, struct weft_coord_call call)
{
    call.token = ++scene.token;
    call.session = 100 + member;
    call.group = call.group != 0 ? call.group : OPEN;
    call.member = member;
    if (call.deadline_ns == 0)
        call.deadline_ns = WEFT_NEVER - 1;
    scene.answers[call.token % ANSWERS] = (struct answer){0};
    weft__coord_call(scene.coords[member], &call, scene.now_ns);
    if (!scene.hold)
        deliver();
    return &scene.answers[call.token % ANSWERS];
}

static struct answer *create(void)
{
    static const char *const names[] = {"a", "b", "c"};
    static const uint32_t host_of[] = {0, 1, 2};
    return ask(0, (struct weft_coord_call){.op = WEFT_COORD_CREATE,
                                           .hosts = names,
                                           .hosts_n = 3,
                                           .host_of = host_of,
                                           .members = 3,
                                           .deadline_ns = scene.now_ns + 5000 * MS});
}

static struct answer *op(uint32_t member, enum weft_coord_op what, uint64_t number)
{
    return ask(member, (struct weft_coord_call){.op = what, .number = number});
}

static void check(const struct answer *answer, int err)
{
    assert_true(answer->there);
    assert_int_equal(answer->err, err);
}

static void open_all(void)
{
    check(create(), WEFT_OK);
    for (uint32_t i = 0; i < HOSTS; i++)
        check(op(i, WEFT_COORD_OPEN, 0), WEFT_OK);
}

/* ---- making groups ---- */

static void nobody_is_in_a_group_before_all_hosts_know_it(void **state)
{
    (void)state;
    scene.hold = true;
    struct answer *made = create(), *mine = op(0, WEFT_COORD_OPEN, 0);
    struct answer *other = op(1, WEFT_COORD_OPEN, 0);
    assert_false(made->there || mine->there || other->there);
    deliver();
    deliver();
    deliver();
    deliver();
    check(made, WEFT_OK);
    check(mine, WEFT_OK);
    check(other, WEFT_OK);
}

static void a_group_whose_host_does_not_answer_is_not_made(void **state)
{
    (void)state;
    scene.hold = true;
    struct answer *made = create();
    lose();
    for (unsigned i = 0; i < 60; i++) {
        pass(100, 7);
        lose();
    }
    check(made, WEFT_ETIMEDOUT);
    assert_non_null(strstr(made->text, "host b"));
}

static void a_group_whose_host_dies_meanwhile_is_not_made(void **state)
{
    (void)state;
    scene.hold = true;
    struct answer *made = create();
    lose();
    weft__coord_free(scene.coords[2]);
    scene.coords[2] = NULL;
    tell_hosts();
    check(made, WEFT_EPEERDEAD);
    assert_non_null(strstr(made->text, "host c"));
}

static void to_create_again_is_to_ask_again(void **state)
{
    (void)state;
    check(create(), WEFT_OK);
    check(create(), WEFT_OK);
    struct weft_coord_call call = {.op = WEFT_COORD_CREATE, .members = 2};
    check(ask(0, call), WEFT_EEXIST);
    assert_non_null(weft__coord_roster_of(scene.coords[2], 1));
}

static void a_doubled_create_is_answered_twice(void **state)
{
    (void)state;
    scene.hold = true;
    struct answer *one = create(), *two = create();
    assert_false(one->there || two->there);
    scene.hold = false;
    deliver();
    pass(500, 7);
    check(one, WEFT_OK);
    check(two, WEFT_OK);
}

/* ---- calls that come again ---- */

static void a_call_that_comes_again_is_answered_again(void **state)
{
    (void)state;
    open_all();
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
    check(op(1, WEFT_COORD_UNLOCK, 1), WEFT_OK);
    check(op(1, WEFT_COORD_UNLOCK, 1), WEFT_OK); /* the same one */
    check(op(1, WEFT_COORD_UNLOCK, 2), WEFT_EPERM);
    check(op(1, WEFT_COORD_UNLOCK, 2), WEFT_EPERM);
    struct answer *first = op(2, WEFT_COORD_BARRIER, 1), *again = op(2, WEFT_COORD_BARRIER, 1);
    assert_false(first->there || again->there);
    (void)op(0, WEFT_COORD_BARRIER, 1);
    check(op(1, WEFT_COORD_BARRIER, 1), WEFT_OK);
    check(first, WEFT_OK);
    check(again, WEFT_OK);
    check(op(1, WEFT_COORD_BARRIER, 1), WEFT_OK);
    check(op(1, WEFT_COORD_BARRIER, 3), WEFT_EINVAL);
}

static void a_message_sent_again_is_one_message(void **state)
{
    const struct weft_coord_call message = {.op = WEFT_COORD_SEND,
                                            .peer = 2,
                                            .number = 1,
                                            .bytes = (const uint8_t *)"m",
                                            .len_bytes = 1};
    (void)state;
    open_all();
    check(ask(1, message), WEFT_OK);
    check(ask(1, message), WEFT_OK);
    struct weft_coord_call receive = {.op = WEFT_COORD_RECV, .peer = 1, .number = 1};
    struct answer *got = ask(2, receive);
    check(got, WEFT_OK);
    assert_int_equal(got->messages_n, 1);
    check(ask(2, receive), WEFT_OK); /* the answer was lost */
    receive.number = 2;
    receive.deadline_ns = 1;
    check(ask(2, receive), WEFT_ETIMEDOUT);
}

static struct answer *send(uint32_t from, uint32_t to, uint64_t number)
{
    static const uint8_t bytes[1024];
    return ask(from, (struct weft_coord_call){.op = WEFT_COORD_SEND,
                                              .peer = to,
                                              .number = number,
                                              .bytes = bytes,
                                              .len_bytes = sizeof(bytes)});
}

static size_t mail(uint32_t host)
{
    struct weft_coord_stats stats;
    weft__coord_stats(scene.coords[host], &stats);
    return stats.mail_bytes;
}

static void messages_that_wait_are_counted(void **state)
{
    (void)state;
    open_all();
    for (uint64_t i = 1; i <= 3; i++)
        check(send(0, 1, i), WEFT_OK);
    check(send(2, 1, 1), WEFT_OK);
    assert_in_range(mail(1), 4 * 1024, 4 * 1200);
    check(ask(1, (struct weft_coord_call){.op = WEFT_COORD_RECV, .peer = 0, .number = 3}), WEFT_OK);
    assert_in_range(mail(1), 2 * 1024, 2 * 1200);
    check(op(1, WEFT_COORD_LEAVE, 0), WEFT_OK);
    assert_int_equal(mail(1), 0);
}

static void a_lock_whose_grant_was_never_seen_is_given_back(void **state)
{
    (void)state;
    open_all();
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
    check(op(1, WEFT_COORD_LOCK, 2), WEFT_OK); /* it knows nothing of the first */
    struct answer *waits = op(2, WEFT_COORD_LOCK, 1);
    check(op(1, WEFT_COORD_UNLOCK, 1), WEFT_OK);
    check(waits, WEFT_OK);
}

static void an_unlock_may_come_after_the_lock_that_follows_it(void **state)
{
    (void)state;
    open_all();
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
    struct weft_coord_call next = {.op = WEFT_COORD_LOCK, .number = 2, .settled = 1, .released = 1};
    check(ask(1, next), WEFT_OK);
    check(op(1, WEFT_COORD_UNLOCK, 1), WEFT_OK); /* pushed before, and late */
    struct weft_coord_call try = {.op = WEFT_COORD_LOCK, .number = 1, .flags = WEFT_COORD_TRY};
    check(ask(0, try), WEFT_EBUSY);
}

/* ---- deadlines, cancel ---- */

static void a_wait_ends_by_its_deadline(void **state)
{
    (void)state;
    open_all();
    check(op(0, WEFT_COORD_LOCK, 1), WEFT_OK);
    struct answer *lock =
        ask(1, (struct weft_coord_call){
                   .op = WEFT_COORD_LOCK, .number = 1, .deadline_ns = scene.now_ns + 50 * MS});
    struct answer *behind = op(2, WEFT_COORD_LOCK, 1);
    pass(100, 7);
    check(lock, WEFT_ETIMEDOUT);
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_ETIMEDOUT); /* the same ask */
    assert_false(behind->there);
    check(op(0, WEFT_COORD_UNLOCK, 1), WEFT_OK);
    check(behind, WEFT_OK);
}

static void cancel_ends_all_waits_of_a_member(void **state)
{
    (void)state;
    open_all();
    check(op(0, WEFT_COORD_LOCK, 1), WEFT_OK);
    struct answer *lock = op(1, WEFT_COORD_LOCK, 1), *barrier = op(1, WEFT_COORD_BARRIER, 1);
    struct answer *other = op(2, WEFT_COORD_BARRIER, 1);
    check(op(1, WEFT_COORD_CANCEL, 0), WEFT_OK);
    check(lock, WEFT_ECANCELED);
    check(barrier, WEFT_ECANCELED);
    assert_false(other->there);
    check(op(0, WEFT_COORD_UNLOCK, 1), WEFT_OK);
    check(op(2, WEFT_COORD_LOCK, 1), WEFT_OK);
    check(op(0, WEFT_COORD_BARRIER, 1), WEFT_OK); /* member 1 has come all the same */
    check(other, WEFT_OK);
}

static uint32_t groups_on(unsigned host)
{
    struct weft_coord_stats stats;
    weft__coord_stats(scene.coords[host], &stats);
    return stats.groups;
}

/* ---- deaths ---- */

static void a_member_that_falls_silent_is_dead(void **state)
{
    (void)state;
    open_all();
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
    struct answer *barrier = op(0, WEFT_COORD_BARRIER, 1), *lock = op(2, WEFT_COORD_LOCK, 1);
    struct answer *itself = op(1, WEFT_COORD_BARRIER, 1);
    pass(DEAD_MS + 1000, 5);
    check(barrier, WEFT_EPEERDEAD);
    assert_non_null(strstr(barrier->text, "member 1"));
    check(lock, WEFT_EOWNERDEAD);
    assert_non_null(strstr(lock->text, "member 1"));
    check(itself, WEFT_ESTALE);
    check(op(1, WEFT_COORD_UNLOCK, 1), WEFT_ESTALE);
    check(op(2, WEFT_COORD_BARRIER, 1), WEFT_EPEERDEAD);
}

static void who_dies_while_it_waits_for_a_group_is_no_member(void **state)
{
    (void)state;
    struct answer *waits = op(1, WEFT_COORD_OPEN, 0);
    pass(DEAD_MS + 1000, 5);
    check(waits, WEFT_ESTALE);
    check(create(), WEFT_OK);
    pass(DEAD_MS + 2 * IDLE_MS, 0);
    for (unsigned i = 0; i < HOSTS; i++)
        assert_int_equal(groups_on(i), 0);
}

static void a_pause_of_the_host_itself_kills_nobody(void **state)
{
    (void)state;
    open_all();
    for (unsigned i = 0; i < 3; i++) {
        scene.now_ns += 20 * DEAD_MS * MS; /* nobody was let run */
        for (unsigned h = 0; h < HOSTS; h++)
            weft__coord_tick(scene.coords[h], scene.now_ns);
        deliver();
    }
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
}

static void a_host_is_dead_when_the_list_has_it_no_more(void **state)
{
    (void)state;
    open_all();
    struct answer *barrier = op(1, WEFT_COORD_BARRIER, 1);
    struct answer *receives =
        ask(0, (struct weft_coord_call){.op = WEFT_COORD_RECV, .peer = 2, .number = 1});
    struct answer *others =
        ask(0, (struct weft_coord_call){.op = WEFT_COORD_RECV, .peer = 1, .number = 1});
    weft__coord_free(scene.coords[2]);
    scene.coords[2] = NULL;
    tell_hosts();
    check(barrier, WEFT_EPEERDEAD);
    assert_non_null(strstr(barrier->text, "host c"));
    check(receives, WEFT_EPEERDEAD);
    assert_false(others->there);
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_OK);
}

static void a_home_that_is_dead_ends_the_group(void **state)
{
    (void)state;
    open_all();
    struct answer *lock = op(1, WEFT_COORD_BARRIER, 1);
    weft__coord_free(scene.coords[0]);
    scene.coords[0] = NULL;
    tell_hosts();
    check(lock, WEFT_EPEERDEAD);
    assert_non_null(strstr(lock->text, "home"));
    check(op(2, WEFT_COORD_LOCK, 1), WEFT_EPEERDEAD);
    check(op(2, WEFT_COORD_LEAVE, 0), WEFT_OK);
    check(op(2, WEFT_COORD_LOCK, 2), WEFT_ENOENT); /* the last one here has left */
}

static void a_host_that_was_declared_dead_has_no_groups(void **state)
{
    (void)state;
    open_all();
    struct weft_coord_peer reborn = scene.peers[1];
    struct answer *waits = op(1, WEFT_COORD_BARRIER, 1);
    reborn.incarnation++;
    weft__coord_self(scene.coords[1], &reborn, scene.now_ns);
    check(waits, WEFT_EHOSTDEAD);
    check(op(1, WEFT_COORD_LOCK, 1), WEFT_EHOSTDEAD);
}

static void who_makes_a_group_on_a_host_that_is_declared_dead_is_told(void **state)
{
    (void)state;
    struct weft_coord_peer reborn = scene.peers[0];
    scene.hold = true;
    struct answer *made = create();
    assert_false(made->there);
    reborn.incarnation++;
    weft__coord_self(scene.coords[0], &reborn, scene.now_ns);
    check(made, WEFT_EHOSTDEAD);
}

/* ---- ends ---- */

static void a_group_ends_with_its_last_member(void **state)
{
    (void)state;
    open_all();
    for (uint32_t i = 0; i < HOSTS; i++)
        check(op(i, WEFT_COORD_LEAVE, 0), WEFT_OK);
    for (unsigned i = 0; i < HOSTS; i++)
        assert_int_equal(groups_on(i), 0);
}

static void an_idle_group_of_a_dead_creator_is_collected(void **state)
{
    (void)state;
    check(create(), WEFT_OK);
    check(op(1, WEFT_COORD_OPEN, 0), WEFT_OK);
    pass(DEAD_MS + 2 * IDLE_MS, 2);
    assert_int_equal(groups_on(0), 1); /* it has a member */
    pass(DEAD_MS + 1000, 0);
    assert_int_equal(groups_on(0), 1);
    pass(IDLE_MS + 1000, 0);
    for (unsigned i = 0; i < HOSTS; i++)
        assert_int_equal(groups_on(i), 0);
}

static void who_waits_when_the_host_ends_is_told(void **state)
{
    (void)state;
    open_all();
    struct answer *waits = op(1, WEFT_COORD_BARRIER, 1);
    weft__coord_free(scene.coords[1]);
    scene.coords[1] = NULL;
    check(waits, WEFT_ESHUTDOWN);
}

/* ---- what must not be believed ---- */

static void items_that_do_not_fit_are_dropped(void **state)
{
    struct weft_coord_item items[WEFT_COORD_KINDS * 2];
    struct weft_coord_stats before, after;
    (void)state;
    open_all();
    weft__coord_stats(scene.coords[0], &before);
    for (unsigned i = 0; i < WEFT_COORD_KINDS * 2; i++)
        items[i] = (struct weft_coord_item){.kind = (uint8_t)(i % WEFT_COORD_KINDS),
                                            .group = i < WEFT_COORD_KINDS ? OPEN : 77,
                                            .member = 9999,
                                            .peer = 9999,
                                            .number = UINT64_MAX};
    items[WEFT_COORD_READY].kind = 0; /* these are without a member */
    items[WEFT_COORD_ARRIVE].kind = 0;
    items[WEFT_COORD_NOTIFIES].kind = 0;
    items[WEFT_COORD_ENDS].kind = 0;
    struct weft_coord_frame frame = {.from = scene.peers[1],
                                     .to_incarnation = 50,
                                     .first = 3, /* READY and OPENED came before */
                                     .items = items,
                                     .items_n = WEFT_COORD_KINDS * 2};
    weft__coord_take(scene.coords[0], &frame, scene.now_ns);
    weft__coord_stats(scene.coords[0], &after);
    assert_int_equal(after.dropped - before.dropped, WEFT_COORD_KINDS * 2);
    frame.to_incarnation = 49; /* an earlier life */
    weft__coord_take(scene.coords[0], &frame, scene.now_ns);
    weft__coord_stats(scene.coords[0], &before);
    assert_int_equal(before.dropped - after.dropped, 1);
    scene.hold = true;
    check(op(0, WEFT_COORD_LOCK, 1), WEFT_OK);
    lose();
}

static void a_process_may_not_speak_for_another_ones_member(void **state)
{
    (void)state;
    open_all();
    struct weft_coord_call call = {.op = WEFT_COORD_LOCK,
                                   .token = 60,
                                   .session = 999,
                                   .group = OPEN,
                                   .member = 1,
                                   .number = 1,
                                   .deadline_ns = WEFT_NEVER - 1};
    scene.answers[60] = (struct answer){0};
    weft__coord_call(scene.coords[1], &call, scene.now_ns);
    check(&scene.answers[60], WEFT_EPERM);
    scene.answers[60] = (struct answer){0};
    call.op = WEFT_COORD_OPEN;
    weft__coord_call(scene.coords[1], &call, scene.now_ns);
    check(&scene.answers[60], WEFT_EBUSY);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(nobody_is_in_a_group_before_all_hosts_know_it),
        CASE(a_group_whose_host_does_not_answer_is_not_made),
        CASE(a_group_whose_host_dies_meanwhile_is_not_made),
        CASE(to_create_again_is_to_ask_again),
        CASE(a_doubled_create_is_answered_twice),
        CASE(a_call_that_comes_again_is_answered_again),
        CASE(a_message_sent_again_is_one_message),
        CASE(messages_that_wait_are_counted),
        CASE(a_lock_whose_grant_was_never_seen_is_given_back),
        CASE(an_unlock_may_come_after_the_lock_that_follows_it),
        CASE(a_wait_ends_by_its_deadline),
        CASE(cancel_ends_all_waits_of_a_member),
        CASE(a_member_that_falls_silent_is_dead),
        CASE(who_dies_while_it_waits_for_a_group_is_no_member),
        CASE(a_pause_of_the_host_itself_kills_nobody),
        CASE(a_host_is_dead_when_the_list_has_it_no_more),
        CASE(a_home_that_is_dead_ends_the_group),
        CASE(a_host_that_was_declared_dead_has_no_groups),
        CASE(who_makes_a_group_on_a_host_that_is_declared_dead_is_told),
        CASE(a_group_ends_with_its_last_member),
        CASE(an_idle_group_of_a_dead_creator_is_collected),
        CASE(who_waits_when_the_host_ends_is_told),
        CASE(items_that_do_not_fit_are_dropped),
        CASE(a_process_may_not_speak_for_another_ones_member),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
