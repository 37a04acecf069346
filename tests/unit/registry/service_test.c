/* Hosts over a real control server: joins, beats, watches, deaths, a head that comes back, a client
 * that is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"

extern char **environ;

static int join(struct rig *rig, const char *name, uint64_t incarnation)
{
    const struct weft_registry_host host = rig_host(name, incarnation);
    struct weft_registry_reply reply;
    return weft__registry_join_wait(&rig->at, &host, &reply);
}

static int beat(struct rig *rig, const char *name, uint64_t incarnation, struct rig_answer *answer)
{
    const struct weft_registry_host host = rig_host(name, incarnation);
    *answer = (struct rig_answer){0};
    assert_int_equal(weft__registry_beat(&rig->at, &host, rig_answered, answer), 0);
    return rig_await(answer);
}

static void list(struct rig *rig, struct rig_answer *answer)
{
    *answer = (struct rig_answer){0};
    assert_int_equal(weft__registry_list(&rig->at, rig_answered, answer), 0);
    assert_int_equal(rig_await(answer), 0);
}

static void a_host_joins_beats_is_listed_and_leaves(void **state)
{
    struct rig *rig = *state;
    struct weft_registry_host host = rig_host("a", 11);
    struct weft_registry_reply reply;
    struct rig_answer answer;
    assert_int_equal(weft__registry_join_wait(&rig->at, &host, &reply), 0);
    assert_int_equal(reply.epoch, weft__registry_epoch(rig->registry));
    assert_int_equal(reply.beat_ms, rig->beat_ms);
    assert_int_equal(reply.dead_ms, rig->dead_ms);
    assert_int_equal(join(rig, "b", 22), 0);
    assert_int_equal(beat(rig, "a", 11, &answer), 0);
    assert_true(answer.reply.revision > reply.revision);
    list(rig, &answer);
    assert_int_equal(answer.reply.hosts_n, 2);
    const struct weft_registry_host *a = rig_find(&answer, "a");
    assert_non_null(a);
    host.alive = true;
    assert_string_equal(a->address, host.address);
    assert_string_equal(a->control, host.control);
    assert_int_equal(a->incarnation, 11);
    assert_int_equal(a->slots, 2);
    assert_int_equal(a->pid, 42);
    assert_true(a->alive);
    assert_int_equal(weft__registry_leave_wait(&rig->at, "a", 11), 0);
    assert_int_equal(weft__registry_leave_wait(&rig->at, "a", 11), 0);
    list(rig, &answer);
    assert_null(rig_find(&answer, "a"));
    assert_non_null(rig_find(&answer, "b"));
}

static void refusals_arrive_as_what_they_are(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    assert_int_equal(join(rig, "a", 1), 0);
    assert_int_equal(join(rig, "a", 2), WEFT_EEXIST);
    assert_non_null(strstr(weft_fail_text(WEFT_EEXIST), "choose another name"));
    assert_int_equal(beat(rig, "a", 2, &answer), WEFT_ESTALE);
    assert_int_equal(beat(rig, "nobody", 2, &answer), WEFT_ESTALE);
    assert_int_equal(weft__registry_leave_wait(&rig->at, "a", 2), WEFT_ESTALE);
    assert_int_equal(join(rig, "", 1), WEFT_EINVAL);
    assert_int_equal(join(rig, "two words", 1), WEFT_EINVAL);
}

static void a_watch_wakes_when_a_host_joins_and_when_one_leaves(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, watched = {0};
    list(rig, &answer);
    assert_int_equal(
        weft__registry_watch(&rig->at, answer.reply.revision, 60000, rig_answered, &watched), 0);
    assert_int_equal(join(rig, "a", 1), 0);
    assert_int_equal(rig_await(&watched), 0);
    assert_true(watched.reply.revision > answer.reply.revision);
    assert_non_null(rig_find(&watched, "a"));
    uint64_t after = watched.reply.revision;
    watched = (struct rig_answer){0};
    assert_int_equal(weft__registry_watch(&rig->at, after, 60000, rig_answered, &watched), 0);
    assert_int_equal(weft__registry_leave_wait(&rig->at, "a", 1), 0);
    assert_int_equal(rig_await(&watched), 0);
    assert_null(rig_find(&watched, "a"));
}

static void ignored(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    (void)ctx;
    (void)err;
    (void)text;
    (void)reply;
}

/* Fills the list of watches: a client takes as many as it may have under way. */
static void watches_of_others(struct rig *rig, struct weft_client *others[8])
{
    for (int i = 0; i < 8; i++) {
        assert_int_equal(weft__client_open(&(struct weft_client_desc){0}, &others[i]), 0);
        const struct weft_registry_at at = {.client = others[i], .url = rig->at.url};
        for (int k = 0; k < 600; k++)
            (void)weft__registry_watch(&at, UINT64_MAX, 60000, ignored, NULL);
    }
}

static void watches_of_clients_that_are_gone_make_room(void **state)
{
    struct rig *rig = *state;
    struct weft_client *others[8];
    struct rig_answer watched;
    watches_of_others(rig, others);
    do { /* until the list is full */
        watched = (struct rig_answer){0};
        assert_int_equal(weft__registry_watch(&rig->at, UINT64_MAX, 1, rig_answered, &watched), 0);
    } while (rig_await(&watched) != WEFT_EAGAIN);
    for (int i = 0; i < 8; i++)
        weft__client_close(others[i]);
    do { /* until it is not, long before the 60 s are over */
        watched = (struct rig_answer){0};
        assert_int_equal(weft__registry_watch(&rig->at, UINT64_MAX, 1, rig_answered, &watched), 0);
    } while (rig_await(&watched) == WEFT_EAGAIN);
    assert_int_equal(watched.err, 0);
}

static void
a_watch_of_the_past_is_answered_at_once_and_a_quiet_one_when_its_time_is_over(void **state)
{
    struct rig *rig = *state;
    struct rig_answer watched = {0};
    assert_int_equal(join(rig, "a", 1), 0);
    assert_int_equal(weft__registry_watch(&rig->at, 0, 60000, rig_answered, &watched), 0);
    assert_int_equal(rig_await(&watched), 0);
    assert_non_null(rig_find(&watched, "a"));
    uint64_t after = watched.reply.revision;
    watched = (struct rig_answer){0};
    assert_int_equal(weft__registry_watch(&rig->at, after, 50, rig_answered, &watched), 0);
    assert_int_equal(rig_await(&watched), 0);
    assert_int_equal(watched.reply.revision, after);
    assert_non_null(rig_find(&watched, "a"));
}

static void a_silent_host_is_found_dead_by_those_who_watch(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    rig_head_stop(rig);
    rig->beat_ms = 50;
    rig->dead_ms = 300;
    rig_head_start(rig);
    assert_int_equal(join(rig, "a", 1), 0);
    list(rig, &answer);
    while (!rig_find(&answer, "a") || rig_find(&answer, "a")->alive) {
        uint64_t after = answer.reply.revision;
        answer = (struct rig_answer){0};
        assert_int_equal(weft__registry_watch(&rig->at, after, 60000, rig_answered, &answer), 0);
        assert_int_equal(rig_await(&answer), 0);
    }
    assert_int_equal(beat(rig, "a", 1, &answer), WEFT_ESTALE);
    assert_int_equal(join(rig, "a", 1), WEFT_ESTALE);
    assert_int_equal(join(rig, "a", 2), 0);
}

static void a_head_that_comes_back_has_a_new_epoch_and_hosts_join_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer before = {0}, answer;
    assert_int_equal(join(rig, "a", 1), 0);
    list(rig, &before);
    rig_head_stop(rig);
    rig_head_start(rig);
    assert_int_equal(beat(rig, "a", 1, &answer), WEFT_ESTALE);
    assert_int_equal(join(rig, "a", 1), 0);
    list(rig, &answer);
    assert_true(answer.reply.epoch > before.reply.epoch);
    assert_true(answer.reply.revision > before.reply.revision);
    assert_int_equal(answer.reply.hosts_n, 1);
}

static void a_change_that_another_epoch_has_decided_is_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct weft_registry_value value;
    list(rig, &answer);
    struct weft_registry_cas cas = {
        .key = "k", .value = "x", .value_len = 1, .epoch = answer.reply.epoch};
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
    rig_head_stop(rig);
    rig_head_start(rig);
    cas.expected = value.revision;
    cas.erase = true;
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), WEFT_ESTALE);
    assert_int_equal(weft__registry_get_wait(&rig->at, "k", &value), 0);
    assert_int_equal(value.revision, cas.expected);
    cas.epoch = 0;
    assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &value), 0);
    assert_true(value.won);
}

static void a_watch_that_the_end_of_the_head_meets_has_no_certain_answer(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, watched = {0};
    list(rig, &answer);
    assert_int_equal(
        weft__registry_watch(&rig->at, answer.reply.revision, 60000, rig_answered, &watched), 0);
    list(rig, &answer); /* the watch has been taken */
    rig_head_stop(rig);
    assert_int_equal(rig_await(&watched), WEFT_EREGISTRY);
    rig_head_start(rig);
}

static void a_registry_whose_log_is_in_use_does_not_start(void **state)
{
    struct rig *rig = *state;
    struct weft_registry *second = NULL;
    const struct weft_registry_desc desc = {.log_path = rig->log};
    assert_int_equal(weft__registry_open(&desc, &second), WEFT_EBUSY);
    const struct weft_registry_desc hasty = {.log_path = rig->log, .beat_ms = 500, .dead_ms = 500};
    assert_int_equal(weft__registry_open(&hasty, &second), WEFT_EINVAL);
    assert_null(second);
}

/* The child: changes keys as fast as it can, with a watch under way, until it is killed. */
static int victim(const char *url)
{
    const struct weft_client_desc desc = {0};
    struct weft_client *client;
    static struct rig_answer watched;
    struct weft_registry_value value;
    if (weft__client_open(&desc, &client))
        return 1;
    const struct weft_registry_at at = {.client = client, .url = url, .timeout_ms = 20000};
    if (weft__registry_watch(&at, UINT64_MAX, 60000, rig_answered, &watched))
        return 1;
    for (uint64_t expected = 0;; expected = value.revision) {
        const struct weft_registry_cas cas = {
            .key = "victim", .expected = expected, .value = "x", .value_len = 1};
        if (weft__registry_cas_wait(&at, &cas, &value) || !value.won)
            return 1;
        if (expected == 0 && write(STDOUT_FILENO, "+", 1) != 1)
            return 1;
    }
}

static void a_client_that_is_killed_in_its_calls_harms_nobody(void **state)
{
    struct rig *rig = *state;
    char *argv[] = {(char[]){"victim"}, (char[]){"victim"}, rig->url, NULL};
    posix_spawn_file_actions_t actions;
    struct weft_registry_value before, after;
    struct rig_answer answer;
    int ready[2], status;
    char byte;
    pid_t child;
    assert_int_equal(pipe(ready), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(join(rig, "a", 1), 0);
    list(rig, &answer);
    assert_int_equal(answer.reply.hosts_n, 1);
    do { /* its last change may still be on its way; then nothing changes any more */
        assert_int_equal(weft__registry_get_wait(&rig->at, "victim", &before), 0);
        const struct weft_registry_cas cas = {
            .key = "victim", .expected = before.revision, .value = "y", .value_len = 1};
        assert_int_equal(weft__registry_cas_wait(&rig->at, &cas, &after), 0);
    } while (!after.won);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_joins_beats_is_listed_and_leaves),
        TEST(refusals_arrive_as_what_they_are),
        TEST(a_watch_wakes_when_a_host_joins_and_when_one_leaves),
        TEST(watches_of_clients_that_are_gone_make_room),
        TEST(a_watch_of_the_past_is_answered_at_once_and_a_quiet_one_when_its_time_is_over),
        TEST(a_silent_host_is_found_dead_by_those_who_watch),
        TEST(a_head_that_comes_back_has_a_new_epoch_and_hosts_join_again),
        TEST(a_change_that_another_epoch_has_decided_is_refused),
        TEST(a_watch_that_the_end_of_the_head_meets_has_no_certain_answer),
        TEST(a_registry_whose_log_is_in_use_does_not_start),
        TEST(a_client_that_is_killed_in_its_calls_harms_nobody),
    };
    if (argc == 3 && !strcmp(argv[1], "victim"))
        return victim(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
