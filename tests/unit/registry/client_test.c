/* Compare-and-set over a real control server: races, restarts, and outcomes that nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rig.h"
#include "weft/error.h"

static struct weft_registry_cas set(const char *key, uint64_t expected, const char *value)
{
    return (struct weft_registry_cas){
        .key = key, .expected = expected, .value = value, .value_len = strlen(value)};
}

static void a_key_is_made_read_changed_and_erased(void **state)
{
    struct rig *rig = *state;
    struct weft_registry_value value;
    assert_int_equal(weft__registry_get_wait(&rig->at, "rank/1/0", &value), 0);
    assert_int_equal(value.revision, 0);
    struct weft_registry_cas cas = set("rank/1/0", 0, "host a, 1");
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
    assert_true(value.revision > 0);
    assert_int_equal(value.epoch, weft__registry_epoch(rig->registry));
    uint64_t made = value.revision;
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_false(value.won);
    assert_int_equal(value.revision, made);
    assert_int_equal(value.len, 9);
    assert_memory_equal(value.bytes, "host a, 1", 9);
    cas = set("rank/1/0", made, "host b, 2");
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
    assert_int_equal(weft__registry_get_wait(&rig->at, "rank/1/0", &value), 0);
    assert_memory_equal(value.bytes, "host b, 2", 9);
    cas = (struct weft_registry_cas){.key = "rank/1/0", .expected = value.revision, .erase = true};
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
    assert_int_equal(value.revision, 0);
    assert_int_equal(weft__registry_get_wait(&rig->at, "rank/1/0", &value), 0);
    assert_int_equal(value.revision, 0);
}

static void bad_keys_and_values_do_not_leave_the_process(void **state)
{
    struct rig *rig = *state;
    static char long_key[WEFT_REGISTRY_KEY_MAX + 2];
    static const char bytes[WEFT_REGISTRY_VALUE_MAX + 1];
    struct weft_registry_value value;
    memset(long_key, 'k', sizeof(long_key) - 1);
    struct weft_registry_cas cas = set("", 0, "x");
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), WEFT_EINVAL);
    cas = set(long_key, 0, "x");
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), WEFT_EINVAL);
    assert_int_equal(weft__registry_get_wait(&rig->at, long_key, &value), WEFT_EINVAL);
    cas = (struct weft_registry_cas){.key = "k", .value = bytes, .value_len = sizeof(bytes)};
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), WEFT_EINVAL);
    cas.value_len--;
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
}

#define ROUNDS 1000

struct race {
    struct rig *rig;
    pthread_barrier_t gate;
    uint64_t expected;
    bool won[2];
    uint64_t revision[2];
    int err[2];
};

struct racer {
    struct race *race;
    int number;
};

static void *racer_main(void *arg)
{
    struct racer *racer = arg;
    struct race *race = racer->race;
    const struct weft_client_desc desc = {0};
    struct weft_client *client = NULL;
    struct weft_registry_value value;
    char text[32];
    race->err[racer->number] = weft__client_open(&desc, &client);
    const struct weft_registry_at at = {
        .client = client, .url = race->rig->url, .timeout_ms = 20000};
    for (int round = 0; round < ROUNDS; round++) {
        snprintf(text, sizeof(text), "%d of %d", racer->number, round);
        pthread_barrier_wait(&race->gate);
        const struct weft_registry_cas cas = set("prize", race->expected, text);
        if (!race->err[racer->number])
            race->err[racer->number] = weft__registry_cas_wait(&at, &cas, &value);
        race->won[racer->number] = value.won;
        race->revision[racer->number] = value.revision;
        pthread_barrier_wait(&race->gate);
    }
    weft__client_close(client);
    return NULL;
}

static void of_two_clients_exactly_one_wins_each_revision(void **state)
{
    struct race race = {.rig = *state};
    struct racer racers[2] = {{&race, 0}, {&race, 1}};
    pthread_t threads[2];
    unsigned wrong = 0;
    pthread_barrier_init(&race.gate, NULL, 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, racer_main, &racers[i]), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&race.gate);
        pthread_barrier_wait(&race.gate);
        /* Both know the same revision now: the winner made it, the loser was told it. */
        wrong += race.won[0] + race.won[1] != 1 || race.revision[0] != race.revision[1] ||
                 race.revision[0] <= race.expected;
        race.expected = race.revision[0];
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race.gate);
    assert_int_equal(race.err[0], 0);
    assert_int_equal(race.err[1], 0);
    assert_int_equal(wrong, 0);
}

#define MANY 300

static void many_changes_at_once_are_all_answered_and_all_there_after_a_restart(void **state)
{
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    struct weft_registry_value value;
    char key[32], text[32];
    assert_non_null(answers);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "key/%d", i / 2); /* each key twice: the second must lose */
        snprintf(text, sizeof(text), "value %d", i);
        const struct weft_registry_cas cas = set(key, 0, text);
        assert_int_equal(weft__registry_cas(&rig->at, &cas, rig_answered, &answers[i]), 0);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(rig_await(&answers[i]), 0);
        assert_int_equal(answers[i].reply.won, i % 2 == 0);
        if (i % 2)
            assert_int_equal(answers[i].reply.revision, answers[i - 1].reply.revision);
    }
    uint64_t epoch = weft__registry_epoch(rig->registry);
    rig_head_stop(rig);
    rig_head_start(rig);
    for (int i = 0; i < MANY; i += 2) {
        snprintf(key, sizeof(key), "key/%d", i / 2);
        snprintf(text, sizeof(text), "value %d", i);
        assert_int_equal(weft__registry_get_wait(&rig->at, key, &value), 0);
        assert_int_equal(value.revision, answers[i].reply.revision);
        assert_true(value.epoch > epoch);
        assert_int_equal(value.len, strlen(text));
        assert_memory_equal(value.bytes, text, value.len);
    }
    free(answers);
}

static void without_a_registry_the_outcome_is_unknown_not_lost(void **state)
{
    struct rig *rig = *state;
    struct weft_registry_value value;
    const struct weft_registry_cas cas = set("k", 0, "x");
    rig_head_stop(rig);
    rig->at.timeout_ms = 200;
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), WEFT_EREGISTRY);
    assert_int_equal(
        weft__registry_cas_settle(&rig->at, &cas, weft__now_ns() + 300 * WEFT_NS_PER_MS, &value),
        WEFT_EREGISTRY);
    rig_head_start(rig);
}

static void
a_full_disk_refuses_changes_loses_none_and_needs_no_restart_when_there_is_room(void **state)
{
    struct rig *rig = *state;
    struct weft_registry_value value;
    struct rlimit limit, small;
    struct stat log;
    struct weft_registry_cas cas = set("kept", 0, "x");
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_int_equal(stat(rig->log, &log), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = (rlim_t)log.st_size + 10;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    cas = set("lost", 0, "y");
    int err = weft__registry_cas_wait(&rig->at, &cas, &value);
    bool told = strstr(weft_fail_text(err), "nothing was changed, make room") != NULL;
    int again = weft__registry_cas_wait(&rig->at, &cas, &value);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(err, WEFT_ENOSPC); /* that is certain */
    assert_int_equal(again, WEFT_ENOSPC);
    assert_true(told);
    assert_int_equal(weft__registry_get_wait(&rig->at, "kept", &value), 0);
    assert_int_equal(value.len, 1);
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0); /* there is room */
    assert_true(value.won);
    rig_head_stop(rig);
    rig_head_start(rig);
    assert_int_equal(weft__registry_get_wait(&rig->at, "kept", &value), 0);
    assert_int_equal(value.len, 1);
    assert_int_equal(weft__registry_get_wait(&rig->at, "lost", &value), 0);
    assert_int_equal(value.len, 1);
}

struct settler {
    struct rig *rig;
    struct weft_registry_cas cas;
    struct weft_registry_value value;
    int err;
};

static void *settler_main(void *arg)
{
    struct settler *settler = arg;
    settler->err = weft__registry_cas_settle(&settler->rig->at, &settler->cas,
                                             weft__now_ns() + 60 * WEFT_NS_PER_S, &settler->value);
    return NULL;
}

static void a_change_is_settled_when_the_head_is_back(void **state)
{
    struct rig *rig = *state;
    struct settler settler = {.rig = rig, .cas = set("k", 0, "host b, 2")};
    pthread_t thread;
    rig->at.timeout_ms = 200;
    rig_head_stop(rig);
    assert_int_equal(pthread_create(&thread, NULL, settler_main, &settler), 0);
    rig_head_start(rig);
    pthread_join(thread, NULL);
    assert_int_equal(settler.err, 0);
    assert_true(settler.value.won);
    /* Asked again, as after a lost answer: it has won before. */
    rig->at.timeout_ms = 20000;
    settler_main(&settler);
    assert_int_equal(settler.err, 0);
    assert_true(settler.value.won);
    /* Somebody else who expected the same has lost. */
    settler.cas = set("k", 0, "host c, 2");
    settler_main(&settler);
    assert_int_equal(settler.err, 0);
    assert_false(settler.value.won);
}

static void an_answer_to_a_repeated_change_tells_whether_an_earlier_try_won(void **state)
{
    const struct weft_registry_cas cas = set("k", 7, "mine");
    const struct weft_registry_cas erase = {.key = "k", .expected = 7, .erase = true};
    (void)state;
    const struct weft_registry_reply won = {.won = true},
                                     mine = {.revision = 8, .value = "mine", .value_len = 4},
                                     other = {.revision = 8, .value = "none", .value_len = 4},
                                     old = {.revision = 7, .value = "mine", .value_len = 4},
                                     none = {0};
    assert_true(weft__registry_cas_settled(&cas, &won));
    assert_true(weft__registry_cas_settled(&cas, &mine));
    assert_false(weft__registry_cas_settled(&cas, &other));
    assert_false(weft__registry_cas_settled(&cas, &old));
    assert_false(weft__registry_cas_settled(&cas, &none));
    assert_true(weft__registry_cas_settled(&erase, &won));
    assert_true(weft__registry_cas_settled(&erase, &none));
    assert_false(weft__registry_cas_settled(&erase, &mine));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_made_read_changed_and_erased),
        TEST(bad_keys_and_values_do_not_leave_the_process),
        TEST(of_two_clients_exactly_one_wins_each_revision),
        TEST(many_changes_at_once_are_all_answered_and_all_there_after_a_restart),
        TEST(without_a_registry_the_outcome_is_unknown_not_lost),
        TEST(a_full_disk_refuses_changes_loses_none_and_needs_no_restart_when_there_is_room),
        TEST(a_change_is_settled_when_the_head_is_back),
        cmocka_unit_test(an_answer_to_a_repeated_change_tells_whether_an_earlier_try_won),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
