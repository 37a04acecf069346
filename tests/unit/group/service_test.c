/* Members of groups over three hosts with one worker each: what they are promised, and what they
 * are refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "group/group.h"
#include "rig.h"
#include "weft/error.h"
#include "wire/group.pb-c.h"
#include "wire/message.h"

/* ---- where members are ---- */

static void check_known(struct rig *rig, unsigned host, const char *hosts)
{
    Weft__Group__Call request = WEFT__GROUP__CALL__INIT;
    ProtobufCMessage *reply = NULL;
    request.group = rig->id;
    struct weft_client_call call = {.url = rig->hosts[host].url,
                                    .code = WEFT_GROUP_KNOWN,
                                    .request = &request.base,
                                    .reply_type = &weft__group__known__descriptor,
                                    .timeout_ms = RIG_SOON_MS};
    assert_int_equal(weft__client_wait(rig->hosts[host].client, &call, &reply), WEFT_OK);
    const Weft__Group__Roster *roster = ((const Weft__Group__Known *)reply)->roster;
    assert_int_equal(roster->n_host_of, strlen(hosts));
    for (size_t i = 0; i < roster->n_host_of; i++)
        assert_int_equal(roster->hosts[roster->host_of[i]]->name[0], hosts[i]);
    weft__message_free(reply);
}

static void six_members_on_three_hosts_are_known_on_each_when_create_returns(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "bacbbc");
    for (unsigned i = 0; i < RIG_HOSTS; i++)
        check_known(rig, i, "bacbbc");
    assert_int_equal(weft_group_size(rig->members[2]), 6);
    assert_int_equal(weft_group_member(rig->members[2]), 2);
    assert_true(weft_group_id(rig->members[2]) == rig->id);
    assert_string_equal(weft_group_host_of(rig->members[2], 5), "c");
    assert_null(weft_group_host_of(rig->members[2], 6));
    rig_leave(rig);
}

static void a_member_is_opened_on_its_host_once(void **state)
{
    struct rig *rig = *state;
    struct weft_group *group;
    rig_group(rig, "ab");
    assert_int_equal(weft_group_open(rig->hosts[2].groups, rig->id, 0, 0, &group),
                     WEFT_ETIMEDOUT); /* that host is not in the group, and waits for it */
    assert_int_equal(weft_group_open(rig->hosts[1].groups, rig->id, 0, 0, &group), WEFT_EINVAL);
    assert_int_equal(weft_group_open(rig->hosts[1].groups, rig->id, 7, 0, &group), WEFT_EINVAL);
    assert_int_equal(weft_group_open(rig->hosts[1].groups, rig->id, 1, 0, &group), WEFT_EBUSY);
    weft_group_leave(rig->members[1]);
    assert_int_equal(weft_group_open(rig->hosts[1].groups, rig->id, 1, 0, &group), WEFT_ESTALE);
    rig->members[1] = NULL;
    rig_leave(rig);
}

static void a_host_that_is_not_there_is_named(void **state)
{
    struct rig *rig = *state;
    const char *names[] = {"a", "nowhere"};
    struct weft_group_desc desc = {.members = 2, .hosts = names, .timeout_ms = RIG_SOON_MS};
    uint64_t id;
    int err = weft_group_create(rig->hosts[0].groups, &desc, &id);
    assert_int_equal(err, WEFT_EHOSTUNREACH);
    assert_non_null(strstr(weft_fail_text(err), "nowhere"));
}

/* ---- messages ---- */

enum { MESSAGES = 1000 };

static int exchange(struct rig *rig, struct weft_group *group)
{
    uint32_t other = 1 - weft_group_member(group);
    int err = WEFT_OK;
    (void)rig;
    for (unsigned sent = 0, got = 0; (sent < MESSAGES || got < MESSAGES) && err == WEFT_OK;) {
        uint8_t value[3] = {(uint8_t)sent, (uint8_t)(sent >> 8), 7}, *data;
        size_t len;
        if (sent < MESSAGES)
            err = weft_group_send(group, other, value, sizeof(value),
                                  got < MESSAGES ? 0 : RIG_SOON_MS);
        if (err == WEFT_OK && sent < MESSAGES) {
            sent++;
            continue;
        }
        if (err != WEFT_OK && err != WEFT_EAGAIN)
            return err;
        /* The other one may wait as well, having found no room just before this asked for more. */
        err =
            weft_group_recv(group, other, sent < MESSAGES ? 5 : RIG_SOON_MS, (void **)&data, &len);
        if (err == WEFT_ETIMEDOUT && sent < MESSAGES) {
            err = WEFT_OK;
            continue;
        }
        if (err != WEFT_OK)
            return err;
        if (len != 3 || data[0] != (uint8_t)got || data[1] != (uint8_t)(got >> 8))
            err = weft_fail(WEFT_EINVAL, "message %u came as %u", got, data[0] | data[1] << 8);
        free(data);
        got++;
    }
    return err;
}

static void a_thousand_messages_each_way_arrive_in_order_between_hosts(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "bc");
    rig_all(rig, exchange);
    rig_leave(rig);
}

static void a_thousand_messages_each_way_arrive_in_order_on_one_host(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "aa");
    rig_all(rig, exchange);
    rig_leave(rig);
}

static void a_receiver_that_does_not_receive_stops_its_sender_alone(void **state)
{
    struct rig *rig = *state;
    int err = WEFT_OK;
    unsigned sent = 0;
    rig_group(rig, "abc");
    for (; err == WEFT_OK; sent++)
        err = weft_group_send(rig->members[0], 1, "x", 1, 0);
    assert_int_equal(err, WEFT_EAGAIN);
    assert_true(weft_fail_retry_ms() > 0);
    assert_int_equal(sent - 1, 256);
    assert_int_equal(weft_group_send(rig->members[0], 2, "y", 1, RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_send(rig->members[0], 1, "x", 1, 30), WEFT_EAGAIN);
    for (unsigned i = 0; i < 256; i++) {
        void *data;
        size_t len;
        assert_int_equal(weft_group_recv(rig->members[1], 0, RIG_SOON_MS, &data, &len), WEFT_OK);
        free(data);
    }
    void *data;
    size_t len;
    assert_int_equal(weft_group_recv(rig->members[1], 0, 0, &data, &len), WEFT_ETIMEDOUT);
    assert_int_equal(weft_group_send(rig->members[0], 1, "z", 1, RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_recv(rig->members[1], 0, RIG_SOON_MS, &data, &len), WEFT_OK);
    assert_int_equal(*(char *)data, 'z');
    free(data);
    rig_leave(rig);
}

static void messages_have_limits_and_receivers(void **state)
{
    struct rig *rig = *state;
    size_t len = WEFT_GROUP_MESSAGE_MAX;
    char *large = calloc(1, len + 1);
    void *data;
    assert_non_null(large);
    rig_group(rig, "ab");
    assert_int_equal(weft_group_send(rig->members[0], 1, large, len + 1, 0), WEFT_EMSGSIZE);
    assert_int_equal(weft_group_send(rig->members[0], 2, large, 1, 0), WEFT_EINVAL);
    large[len - 1] = 5;
    assert_int_equal(weft_group_send(rig->members[0], 1, large, len, RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_send(rig->members[0], 1, NULL, 0, 0), WEFT_EAGAIN);
    assert_int_equal(weft_group_recv(rig->members[1], 0, RIG_SOON_MS, &data, &len), WEFT_OK);
    assert_int_equal(len, WEFT_GROUP_MESSAGE_MAX);
    assert_memory_equal(data, large, len);
    free(data);
    free(large);
    rig_leave(rig);
}

struct early {
    struct rig *rig;
    uint64_t id;
    int err;
    atomic_int made; /* set before the group is made */
    int seen;
};

static void *send_early(void *arg)
{
    struct early *early = arg;
    struct weft_group *group;
    early->err = weft_group_open(early->rig->hosts[1].groups, early->id, 1, RIG_SOON_MS, &group);
    if (early->err != WEFT_OK)
        return NULL;
    early->seen = atomic_load(&early->made);
    early->err = weft_group_send(group, 0, "early", 5, RIG_SOON_MS);
    weft_group_leave(group);
    return NULL;
}

static void who_sends_before_the_group_is_made_waits_for_it(void **state)
{
    struct rig *rig = *state;
    struct early early = {.rig = rig, .id = 0x5eed};
    const char *names[] = {"a", "b"};
    struct weft_group_desc desc = {
        .id = early.id, .members = 2, .hosts = names, .timeout_ms = RIG_SOON_MS};
    struct weft_group *group;
    uint64_t id;
    pthread_t thread;
    void *data;
    size_t len;
    assert_int_equal(pthread_create(&thread, NULL, send_early, &early), 0);
    assert_int_equal(weft_group_open(rig->hosts[0].groups, early.id, 0, 50, &group),
                     WEFT_ETIMEDOUT);
    atomic_store(&early.made, 1);
    assert_int_equal(weft_group_create(rig->hosts[0].groups, &desc, &id), WEFT_OK);
    assert_int_equal(weft_group_open(rig->hosts[0].groups, id, 0, RIG_SOON_MS, &group), WEFT_OK);
    assert_int_equal(weft_group_recv(group, 1, RIG_SOON_MS, &data, &len), WEFT_OK);
    assert_int_equal(len, 5);
    free(data);
    pthread_join(thread, NULL);
    assert_int_equal(early.err, WEFT_OK);
    assert_int_equal(early.seen, 1);
    assert_int_equal(weft_group_recv(group, 1, RIG_SOON_MS, &data, &len), WEFT_EPEERDEAD);
    weft_group_leave(group);
}

/* ---- lock ---- */

enum { DEEP = 1000, SECTIONS = 50 };

static void a_lock_taken_a_thousand_times_is_free_after_as_many_unlocks(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "ab");
    for (unsigned i = 0; i < DEEP; i++)
        assert_int_equal(weft_group_lock_recursive(rig->members[1], RIG_SOON_MS), WEFT_OK);
    for (unsigned i = 0; i < DEEP; i++) {
        if (i % 100 == 0)
            assert_int_equal(weft_group_trylock(rig->members[0]), WEFT_EBUSY);
        assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_OK);
    }
    assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_EPERM);
    assert_int_equal(weft_group_lock(rig->members[0], RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_unlock(rig->members[0]), WEFT_OK);
    rig_leave(rig);
}

static atomic_uint owner, violations;

static int sections(struct weft_group *group, bool recursive)
{
    unsigned self = weft_group_member(group) + 1;
    int err = WEFT_OK;
    for (unsigned i = 0; i < SECTIONS && err == WEFT_OK; i++) {
        unsigned nobody = 0;
        err = recursive ? weft_group_lock_recursive(group, RIG_SOON_MS)
                        : weft_group_lock(group, RIG_SOON_MS);
        if (err == WEFT_OK && recursive)
            err = weft_group_lock_recursive(group, RIG_SOON_MS);
        if (err != WEFT_OK)
            return err;
        if (!atomic_compare_exchange_strong(&owner, &nobody, self))
            atomic_fetch_add(&violations, 1);
        unsigned expected = self;
        if (!atomic_compare_exchange_strong(&owner, &expected, 0))
            atomic_fetch_add(&violations, 1);
        err = i % 2 == 0 ? weft_group_unlock(group) : weft_group_unlock_async(group);
        if (err == WEFT_OK && recursive)
            err = weft_group_unlock(group);
    }
    return err;
}

static int plain_sections(struct rig *rig, struct weft_group *group)
{
    (void)rig;
    return sections(group, false);
}

static int recursive_sections(struct rig *rig, struct weft_group *group)
{
    (void)rig;
    return sections(group, true);
}

static void check_sections(struct rig *rig, const char *hosts,
                           int (*run)(struct rig *rig, struct weft_group *group))
{
    atomic_store(&owner, 0);
    atomic_store(&violations, 0);
    rig_group(rig, hosts);
    rig_all(rig, run);
    assert_int_equal(atomic_load(&violations), 0);
    rig_leave(rig);
}

static void one_member_at_a_time_is_in_a_critical_section(void **state)
{
    check_sections(*state, "aaaa", plain_sections);
    check_sections(*state, "abcb", plain_sections);
}

static void one_member_at_a_time_is_in_a_recursive_critical_section(void **state)
{
    check_sections(*state, "bcab", recursive_sections);
}

static void try_locks_of_two_groups_do_not_meet(void **state)
{
    struct rig *rig = *state;
    struct weft_group *other;
    struct weft_group_desc desc = {.members = 1, .timeout_ms = RIG_SOON_MS};
    uint64_t id;
    rig_group(rig, "ab");
    assert_int_equal(weft_group_create(rig->hosts[0].groups, &desc, &id), WEFT_OK);
    assert_int_equal(weft_group_open(rig->hosts[0].groups, id, 0, RIG_SOON_MS, &other), WEFT_OK);
    assert_int_equal(weft_group_trylock(rig->members[0]), WEFT_OK);
    assert_int_equal(weft_group_trylock(other), WEFT_OK);
    assert_int_equal(weft_group_trylock(rig->members[1]), WEFT_EBUSY);
    assert_int_equal(weft_group_trylock(rig->members[0]), WEFT_EBUSY); /* not recursive */
    assert_int_equal(weft_group_unlock(rig->members[0]), WEFT_OK);
    assert_int_equal(weft_group_trylock(rig->members[1]), WEFT_OK);
    assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_OK);
    assert_int_equal(weft_group_unlock(other), WEFT_OK);
    weft_group_leave(other);
    rig_leave(rig);
}

static void who_does_not_hold_the_lock_may_not_unlock_it(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "ab");
    assert_int_equal(weft_group_unlock(rig->members[0]), WEFT_EPERM); /* nobody does */
    assert_int_equal(weft_group_lock(rig->members[0], RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_EPERM);
    assert_int_equal(weft_group_trylock(rig->members[1]), WEFT_EBUSY); /* it is still locked */
    assert_int_equal(weft_group_lock(rig->members[1], 50), WEFT_ETIMEDOUT);
    assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_EPERM);
    assert_int_equal(weft_group_unlock(rig->members[0]), WEFT_OK);
    assert_int_equal(weft_group_lock(rig->members[1], RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_unlock(rig->members[1]), WEFT_OK);
    rig_leave(rig);
}

static void who_leaves_with_the_lock_hands_it_on_with_a_word(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "abc");
    assert_int_equal(weft_group_lock(rig->members[1], RIG_SOON_MS), WEFT_OK);
    weft_group_leave(rig->members[1]);
    rig->members[1] = NULL;
    int err = weft_group_lock(rig->members[2], RIG_SOON_MS);
    assert_int_equal(err, WEFT_EOWNERDEAD);
    assert_non_null(strstr(weft_fail_text(err), "member 1"));
    assert_int_equal(weft_group_unlock(rig->members[2]), WEFT_OK);
    assert_int_equal(weft_group_lock(rig->members[0], RIG_SOON_MS), WEFT_OK); /* told once */
    rig_leave(rig);
}

/* ---- barrier and notify ---- */

enum { LONG_ROUNDS = 1000 };

static atomic_uint sums[LONG_ROUNDS];
static unsigned rounds;

static int barriers(struct rig *rig, struct weft_group *group)
{
    int err = WEFT_OK;
    for (unsigned r = 0; r < rounds && err == WEFT_OK; r++) {
        if (weft_group_member(group) != 0)
            atomic_fetch_add(&sums[r], r + 1);
        err = weft_group_barrier(group, RIG_SOON_MS);
        if (err == WEFT_OK && atomic_load(&sums[r]) != (r + 1) * (rig->n - 1))
            err = weft_fail(WEFT_EINVAL, "round %u: the sum is %u", r, atomic_load(&sums[r]));
    }
    return err;
}

static void check_barriers(struct rig *rig, const char *hosts, unsigned n)
{
    for (unsigned r = 0; r < LONG_ROUNDS; r++)
        atomic_store(&sums[r], 0);
    rounds = n;
    rig_group(rig, hosts);
    rig_all(rig, barriers);
    rig_leave(rig);
}

static void a_barrier_is_passed_when_all_have_come(void **state)
{
    check_barriers(*state, "abcab", 1);
    check_barriers(*state, "abcab", LONG_ROUNDS / 4);
    check_barriers(*state, "bbbbb", LONG_ROUNDS);
}

static atomic_uint told;

static int notify(struct rig *rig, struct weft_group *group)
{
    int err = WEFT_OK;
    (void)rig;
    for (unsigned r = 0; r < 3 && err == WEFT_OK; r++) {
        if (weft_group_member(group) != 0)
            atomic_fetch_add(&told, 1);
        err = weft_group_notify(group, RIG_SOON_MS);
        if (err == WEFT_OK && weft_group_member(group) == 0 && atomic_load(&told) < 3 * (r + 1))
            err = weft_fail(WEFT_EINVAL, "notified after %u of 3", atomic_load(&told));
    }
    return err;
}

static void member_0_is_notified_when_all_others_have_done_so(void **state)
{
    struct rig *rig = *state;
    atomic_store(&told, 0);
    rig_group(rig, "bcca");
    assert_int_equal(weft_group_notify(rig->members[0], 0), WEFT_ETIMEDOUT);
    rig_all(rig, notify);
    rig_leave(rig);
}

static void a_barrier_that_was_given_up_goes_on(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "ab");
    assert_int_equal(weft_group_barrier(rig->members[0], 20), WEFT_ETIMEDOUT);
    assert_int_equal(weft_group_barrier(rig->members[1], RIG_SOON_MS), WEFT_OK); /* both came */
    assert_int_equal(weft_group_barrier(rig->members[0], RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_barrier(rig->members[1], 0), WEFT_ETIMEDOUT); /* the second one */
    rig_leave(rig);
}

static void who_waits_for_a_member_that_leaves_is_told_its_name(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "abc");
    weft_group_leave(rig->members[1]);
    rig->members[1] = NULL;
    int err = weft_group_barrier(rig->members[2], RIG_SOON_MS);
    assert_int_equal(err, WEFT_EPEERDEAD);
    assert_non_null(strstr(weft_fail_text(err), "member 1"));
    err = weft_group_notify(rig->members[0], RIG_SOON_MS);
    assert_int_equal(err, WEFT_EPEERDEAD);
    assert_non_null(strstr(weft_fail_text(err), "host b"));
    err = weft_group_send(rig->members[0], 1, "x", 1, 0);
    assert_int_equal(err, WEFT_EPEERDEAD);
    rig_leave(rig);
}

static void who_waits_for_a_host_that_dies_is_told_its_name(void **state)
{
    struct rig *rig = *state;
    void *data;
    size_t len;
    rig_group(rig, "abc");
    rig_hosts(rig, 3);
    int err = weft_group_recv(rig->members[1], 2, RIG_SOON_MS, &data, &len);
    assert_int_equal(err, WEFT_EPEERDEAD);
    assert_non_null(strstr(weft_fail_text(err), "host c"));
    err = weft_group_barrier(rig->members[0], RIG_SOON_MS);
    assert_int_equal(err, WEFT_EPEERDEAD);
    assert_non_null(strstr(weft_fail_text(err), "host c"));
    rig_leave(rig);
}

/* ---- ends ---- */

struct blocked {
    struct weft_group *group;
    uint32_t timeout_ms;
    int err;
};

static void *block(void *arg)
{
    struct blocked *blocked = arg;
    blocked->err = weft_group_barrier(blocked->group, blocked->timeout_ms);
    return NULL;
}

static uint32_t waiters(struct rig *rig, unsigned host)
{
    ProtobufCMessage *reply = NULL;
    struct weft_client_call call = {.url = rig->hosts[host].url,
                                    .code = WEFT_GROUP_STATS,
                                    .reply_type = &weft__group__stats__descriptor,
                                    .timeout_ms = RIG_SOON_MS};
    assert_int_equal(weft__client_wait(rig->hosts[host].client, &call, &reply), WEFT_OK);
    uint32_t n = ((const Weft__Group__Stats *)reply)->waiters;
    weft__message_free(reply);
    return n;
}

static void cancel_ends_the_waits_of_one_member(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "ab");
    struct blocked blocked = {.group = rig->members[1], .timeout_ms = RIG_SOON_MS};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, block, &blocked), 0);
    while (waiters(rig, 1) == 0)
        continue;
    assert_int_equal(weft_group_cancel(rig->members[1]), WEFT_OK);
    pthread_join(thread, NULL);
    assert_int_equal(blocked.err, WEFT_ECANCELED);
    assert_int_equal(weft_group_barrier(rig->members[0], RIG_SOON_MS), WEFT_OK);
    assert_int_equal(weft_group_barrier(rig->members[1], RIG_SOON_MS), WEFT_OK);
    rig_leave(rig);
}

static void who_waits_in_a_group_that_is_deleted_is_told(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "abc");
    struct blocked blocked = {.group = rig->members[2], .timeout_ms = RIG_SOON_MS};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, block, &blocked), 0);
    while (waiters(rig, 2) == 0)
        continue;
    assert_int_equal(weft_group_delete(rig->hosts[1].groups, rig->id, RIG_SOON_MS), WEFT_OK);
    pthread_join(thread, NULL);
    assert_int_equal(blocked.err, WEFT_ECANCELED);
    assert_int_equal(weft_group_lock(rig->members[1], RIG_SOON_MS), WEFT_ECANCELED);
    rig_leave(rig);
    assert_int_equal(weft_group_delete(rig->hosts[1].groups, rig->id, 0), WEFT_ENOENT);
}

static void who_waits_at_a_host_that_ends_is_told_before_its_deadline(void **state)
{
    struct rig *rig = *state;
    rig_group(rig, "ab");
    struct blocked blocked = {.group = rig->members[1], .timeout_ms = 100 * RIG_SOON_MS};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, block, &blocked), 0);
    while (waiters(rig, 1) == 0)
        continue;
    uint64_t stopped_ns = weft__now_ns();
    weft__group_stop(rig->hosts[1].service);
    weft__server_stop(rig->hosts[1].server, 1000);
    rig->hosts[1].server = NULL;
    pthread_join(thread, NULL);
    assert_int_equal(weft_error_damage(blocked.err), WEFT_DAMAGE_PEER);
    assert_true(weft__now_ns() - stopped_ns < RIG_SOON_MS * WEFT_NS_PER_MS);
    rig_leave(rig);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(six_members_on_three_hosts_are_known_on_each_when_create_returns),
        CASE(a_member_is_opened_on_its_host_once),
        CASE(a_host_that_is_not_there_is_named),
        CASE(a_thousand_messages_each_way_arrive_in_order_between_hosts),
        CASE(a_thousand_messages_each_way_arrive_in_order_on_one_host),
        CASE(a_receiver_that_does_not_receive_stops_its_sender_alone),
        CASE(messages_have_limits_and_receivers),
        CASE(who_sends_before_the_group_is_made_waits_for_it),
        CASE(a_lock_taken_a_thousand_times_is_free_after_as_many_unlocks),
        CASE(one_member_at_a_time_is_in_a_critical_section),
        CASE(one_member_at_a_time_is_in_a_recursive_critical_section),
        CASE(try_locks_of_two_groups_do_not_meet),
        CASE(who_does_not_hold_the_lock_may_not_unlock_it),
        CASE(who_leaves_with_the_lock_hands_it_on_with_a_word),
        CASE(a_barrier_is_passed_when_all_have_come),
        CASE(member_0_is_notified_when_all_others_have_done_so),
        CASE(a_barrier_that_was_given_up_goes_on),
        CASE(who_waits_for_a_member_that_leaves_is_told_its_name),
        CASE(who_waits_for_a_host_that_dies_is_told_its_name),
        CASE(cancel_ends_the_waits_of_one_member),
        CASE(who_waits_in_a_group_that_is_deleted_is_told),
        CASE(who_waits_at_a_host_that_ends_is_told_before_its_deadline),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
