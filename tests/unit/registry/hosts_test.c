/* The host list against its rules, and against a model by random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "registry/hosts.h"
#include "weft/error.h"

#define MS WEFT_NS_PER_MS
#define DEAD_NS (3000 * MS)

static struct weft_registry_host host_named(const char *name, uint64_t incarnation)
{
    struct weft_registry_host host = {.slots = 2, .incarnation = incarnation, .pid = 7};
    snprintf(host.name, sizeof(host.name), "%s", name);
    snprintf(host.address, sizeof(host.address), "127.0.0.2");
    snprintf(host.control, sizeof(host.control), "tcp://127.0.0.2:8100");
    return host;
}

static int join(struct weft_hosts *hosts, const char *name, uint64_t incarnation, uint64_t now_ns)
{
    const struct weft_registry_host host = host_named(name, incarnation);
    return weft__hosts_join(hosts, &host, now_ns);
}

static int beat(struct weft_hosts *hosts, const char *name, uint64_t incarnation, uint64_t now_ns)
{
    const struct weft_registry_host host = host_named(name, incarnation);
    return weft__hosts_beat(hosts, &host, now_ns);
}

static void a_host_that_joins_is_in_the_list_in_order(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    uint64_t before = hosts.revision;
    assert_int_equal(join(&hosts, "b", 1, MS), 0);
    assert_int_equal(join(&hosts, "a", 2, MS), 0);
    assert_int_equal(join(&hosts, "c", 3, MS), 0);
    assert_int_equal(hosts.n, 3);
    assert_int_equal(hosts.alive, 3);
    assert_int_equal(hosts.revision, before + 3);
    assert_string_equal(hosts.sorted[0]->host.name, "a");
    assert_string_equal(hosts.sorted[1]->host.name, "b");
    assert_string_equal(hosts.sorted[2]->host.name, "c");
    assert_true(weft__hosts_find(&hosts, "b")->alive);
    assert_null(weft__hosts_find(&hosts, "bb"));
    weft__hosts_fini(&hosts);
}

static void a_join_without_name_or_incarnation_is_refused(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    assert_int_equal(join(&hosts, "", 1, MS), WEFT_EINVAL);
    assert_int_equal(join(&hosts, "a", 0, MS), WEFT_EINVAL);
    assert_int_equal(hosts.n, 0);
    weft__hosts_fini(&hosts);
}

static void a_live_name_is_not_given_to_another_incarnation(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    assert_int_equal(join(&hosts, "a", 1, MS), 0);
    assert_int_equal(join(&hosts, "a", 2, MS), WEFT_EEXIST);
    assert_int_equal(join(&hosts, "a", 1, MS), 0); /* the same one asks again */
    assert_int_equal(hosts.n, 1);
    assert_int_equal(weft__hosts_find(&hosts, "a")->incarnation, 1);
    weft__hosts_fini(&hosts);
}

static void a_silent_host_is_declared_dead_and_cannot_come_back_but_its_name_can(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    join(&hosts, "a", 1, 0);
    join(&hosts, "b", 2, 0);
    for (uint64_t now = 0; now < 4000; now += 500) {
        assert_int_equal(beat(&hosts, "b", 2, now * MS), 0);
        assert_int_equal(weft__hosts_expire(&hosts, now * MS, DEAD_NS), now == 3000 ? 1 : 0);
    }
    assert_int_equal(hosts.alive, 1);
    assert_false(weft__hosts_find(&hosts, "a")->alive);
    assert_int_equal(beat(&hosts, "a", 1, 4000 * MS), WEFT_ESTALE);
    assert_int_equal(join(&hosts, "a", 1, 4000 * MS), WEFT_ESTALE);
    assert_int_equal(join(&hosts, "a", 9, 4000 * MS), 0);
    assert_true(weft__hosts_find(&hosts, "a")->alive);
    assert_int_equal(beat(&hosts, "a", 1, 4000 * MS), WEFT_ESTALE);
    assert_int_equal(beat(&hosts, "a", 9, 4000 * MS), 0);
    weft__hosts_fini(&hosts);
}

static void a_registry_that_was_held_up_blames_nobody(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    join(&hosts, "a", 1, 100 * MS);
    assert_int_equal(weft__hosts_expire(&hosts, 100 * MS, DEAD_NS), 0);
    /* Ten seconds without a look: the beats may lie unread. */
    assert_int_equal(weft__hosts_expire(&hosts, 10100 * MS, DEAD_NS), 0);
    for (uint64_t now = 10600; now < 13100; now += 500)
        assert_int_equal(weft__hosts_expire(&hosts, now * MS, DEAD_NS), 0);
    assert_int_equal(weft__hosts_expire(&hosts, 13100 * MS, DEAD_NS), 1);
    weft__hosts_fini(&hosts);
}

static void short_sleeps_of_the_registry_do_not_add_up_to_a_death(void **state)
{
    struct weft_hosts hosts;
    uint64_t now = 100;
    (void)state;
    weft__hosts_init(&hosts, 1);
    join(&hosts, "a", 1, now * MS);
    assert_int_equal(weft__hosts_expire(&hosts, now * MS, DEAD_NS), 0);
    for (int i = 0; i < 10; i++) { /* stopped for 1.4 s, and again before it could read a beat */
        assert_int_equal(weft__hosts_expire(&hosts, (now += 10) * MS, DEAD_NS), 0);
        assert_int_equal(weft__hosts_expire(&hosts, (now += 1400) * MS, DEAD_NS), 0);
    }
    while (hosts.alive > 0 && now < 20000)
        weft__hosts_expire(&hosts, (now += 375) * MS, DEAD_NS);
    assert_in_range(now, 100 + 10 * 1410 + 2500, 100 + 10 * 1410 + 3375);
    weft__hosts_fini(&hosts);
}

/* Its loop may be held up where the registry's thread is not. */
static void the_host_of_the_registry_itself_is_not_dead_because_it_is_late(void **state)
{
    struct weft_hosts hosts;
    uint64_t now = 100;
    (void)state;
    weft__hosts_init(&hosts, 1);
    strcpy(hosts.self, "head");
    join(&hosts, "head", 1, now * MS);
    join(&hosts, "other", 1, now * MS);
    for (; now < 10000; now += 375) {
        size_t dead = weft__hosts_expire(&hosts, now * MS, DEAD_NS);
        assert_int_equal(dead, now >= 3100 && now < 3475 ? 1 : 0);
    }
    assert_true(weft__hosts_find(&hosts, "head")->alive);
    assert_false(weft__hosts_find(&hosts, "other")->alive);
    assert_int_equal(beat(&hosts, "head", 1, now * MS), 0);
    for (uint64_t end = now + 31000; now < end; now += 375)
        weft__hosts_expire(&hosts, now * MS, DEAD_NS);
    assert_false(weft__hosts_find(&hosts, "head")->alive); /* one that is stuck for good */
    weft__hosts_fini(&hosts);
}

static void a_host_that_leaves_is_gone_and_leaving_twice_is_fine(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    join(&hosts, "a", 1, MS);
    uint64_t before = hosts.revision;
    assert_int_equal(weft__hosts_leave(&hosts, "a", 2), WEFT_ESTALE);
    assert_int_equal(hosts.revision, before);
    assert_int_equal(weft__hosts_leave(&hosts, "a", 1), 0);
    assert_int_equal(hosts.revision, before + 1);
    assert_int_equal(hosts.n, 0);
    assert_int_equal(weft__hosts_leave(&hosts, "a", 1), 0);
    assert_int_equal(hosts.revision, before + 1);
    assert_int_equal(beat(&hosts, "a", 1, MS), WEFT_ESTALE);
    weft__hosts_fini(&hosts);
}

static void slots_and_leaving_make_a_revision_and_used_does_not(void **state)
{
    struct weft_hosts hosts;
    struct weft_registry_host host = host_named("a", 1);
    (void)state;
    weft__hosts_init(&hosts, 1);
    weft__hosts_join(&hosts, &host, MS);
    uint64_t before = hosts.revision;
    host.used = 2;
    assert_int_equal(weft__hosts_beat(&hosts, &host, 2 * MS), 0);
    assert_int_equal(hosts.revision, before);
    assert_int_equal(weft__hosts_find(&hosts, "a")->used, 2);
    host.slots = 4;
    assert_int_equal(weft__hosts_beat(&hosts, &host, 2 * MS), 0);
    assert_int_equal(hosts.revision, before + 1);
    assert_int_equal(weft__hosts_find(&hosts, "a")->slots, 4);
    host.leaving = true;
    assert_int_equal(weft__hosts_beat(&hosts, &host, 2 * MS), 0);
    assert_int_equal(hosts.revision, before + 2);
    assert_true(weft__hosts_find(&hosts, "a")->leaving);
    weft__hosts_fini(&hosts);
}

static void revisions_of_a_later_epoch_are_higher(void **state)
{
    struct weft_hosts early, late;
    (void)state;
    weft__hosts_init(&early, 1);
    weft__hosts_init(&late, 2);
    for (int i = 0; i < 100; i++) {
        join(&early, "a", 1, MS);
        weft__hosts_leave(&early, "a", 1);
    }
    assert_true(late.revision > early.revision);
    weft__hosts_fini(&early);
    weft__hosts_fini(&late);
}

static void a_full_list_gives_the_place_of_the_longest_dead_and_else_refuses(void **state)
{
    struct weft_hosts hosts;
    char name[32];
    (void)state;
    weft__hosts_init(&hosts, 1);
    weft__hosts_expire(&hosts, MS, DEAD_NS);
    assert_int_equal(join(&hosts, "first", 1, MS), 0);
    for (uint64_t now = 501; now < 3001; now += 500)
        assert_int_equal(weft__hosts_expire(&hosts, now * MS, DEAD_NS), 0);
    assert_int_equal(weft__hosts_expire(&hosts, 3001 * MS, DEAD_NS), 1);
    int err = 0;
    for (unsigned i = 0; i < WEFT_REGISTRY_HOSTS_MAX + 1 && !err; i++) {
        snprintf(name, sizeof(name), "h%u", i);
        err = join(&hosts, name, 1, 4000 * MS);
    }
    assert_int_equal(err, WEFT_ENOSPC);
    assert_null(weft__hosts_find(&hosts, "first"));
    assert_int_equal(hosts.n, hosts.alive);
    assert_true(hosts.n > 30000);
    weft__hosts_fini(&hosts);
}

#define NAMES 6

struct model {
    uint64_t incarnation[NAMES]; /* 0: not in the list */
    uint64_t beat_ms[NAMES];
    int alive[NAMES];
};

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static int model_step(struct model *model, unsigned op, unsigned i, uint64_t incarnation,
                      uint64_t now_ms)
{
    int known = model->incarnation[i] == incarnation;
    if (op == 0) {
        if (model->incarnation[i] && known != model->alive[i])
            return known ? WEFT_ESTALE : WEFT_EEXIST;
        model->incarnation[i] = incarnation;
        model->alive[i] = 1;
        model->beat_ms[i] = now_ms;
        return 0;
    }
    if (op == 1) {
        if (!known || !model->alive[i])
            return WEFT_ESTALE;
        model->beat_ms[i] = now_ms;
        return 0;
    }
    if (model->incarnation[i] && !known)
        return WEFT_ESTALE;
    model->incarnation[i] = 0;
    model->alive[i] = 0;
    return 0;
}

static size_t model_expire(struct model *model, uint64_t now_ms)
{
    size_t dead = 0;
    for (unsigned i = 0; i < NAMES; i++)
        if (model->alive[i] && now_ms - model->beat_ms[i] >= 3000) {
            model->alive[i] = 0;
            dead++;
        }
    return dead;
}

static void compare(const struct weft_hosts *hosts, const struct model *model)
{
    size_t n = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        const struct weft_registry_host *host = weft__hosts_find(hosts, name);
        assert_int_equal(host != NULL, model->incarnation[i] != 0);
        if (!host)
            continue;
        n++;
        assert_int_equal(host->incarnation, model->incarnation[i]);
        assert_int_equal(host->alive, model->alive[i]);
    }
    assert_int_equal(hosts->n, n);
}

static void a_host_that_is_alone_with_the_registry_has_no_others(void **state)
{
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    assert_int_equal(weft__hosts_others(&hosts), 0);
    strcpy(hosts.self, "head");
    assert_int_equal(weft__hosts_others(&hosts), 0);
    join(&hosts, "head", 1, MS);
    assert_int_equal(weft__hosts_others(&hosts), 0);
    join(&hosts, "other", 1, MS);
    assert_int_equal(weft__hosts_others(&hosts), 1);
    assert_int_equal(weft__hosts_leave(&hosts, "head", 1), 0);
    assert_int_equal(weft__hosts_others(&hosts), 1);
    assert_int_equal(weft__hosts_leave(&hosts, "other", 1), 0);
    assert_int_equal(weft__hosts_others(&hosts), 0);
    weft__hosts_fini(&hosts);
}

static void random_operations_do_what_the_model_does(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15, now_ms = 1;
    struct model model = {{0}, {0}, {0}};
    struct weft_hosts hosts;
    (void)state;
    weft__hosts_init(&hosts, 1);
    for (int step = 0; step < 50000; step++) {
        unsigned op = (unsigned)(random_next(&seed) % 4),
                 i = (unsigned)(random_next(&seed) % NAMES);
        uint64_t incarnation = 1 + random_next(&seed) % 3, before = hosts.revision;
        const char name[2] = {(char)('a' + i), '\0'};
        now_ms += random_next(&seed) % 400;
        size_t dead = weft__hosts_expire(&hosts, now_ms * MS, DEAD_NS);
        assert_int_equal(dead, model_expire(&model, now_ms));
        if (op < 3)
            assert_int_equal(op == 0   ? join(&hosts, name, incarnation, now_ms * MS)
                             : op == 1 ? beat(&hosts, name, incarnation, now_ms * MS)
                                       : weft__hosts_leave(&hosts, name, incarnation),
                             model_step(&model, op, i, incarnation, now_ms));
        assert_true(hosts.revision >= before + dead);
        compare(&hosts, &model);
    }
    weft__hosts_fini(&hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_joins_is_in_the_list_in_order),
        cmocka_unit_test(a_join_without_name_or_incarnation_is_refused),
        cmocka_unit_test(a_live_name_is_not_given_to_another_incarnation),
        cmocka_unit_test(a_silent_host_is_declared_dead_and_cannot_come_back_but_its_name_can),
        cmocka_unit_test(a_registry_that_was_held_up_blames_nobody),
        cmocka_unit_test(short_sleeps_of_the_registry_do_not_add_up_to_a_death),
        cmocka_unit_test(the_host_of_the_registry_itself_is_not_dead_because_it_is_late),
        cmocka_unit_test(a_host_that_leaves_is_gone_and_leaving_twice_is_fine),
        cmocka_unit_test(slots_and_leaving_make_a_revision_and_used_does_not),
        cmocka_unit_test(revisions_of_a_later_epoch_are_higher),
        cmocka_unit_test(a_full_list_gives_the_place_of_the_longest_dead_and_else_refuses),
        cmocka_unit_test(a_host_that_is_alone_with_the_registry_has_no_others),
        cmocka_unit_test(random_operations_do_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
