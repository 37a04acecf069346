/* kill -9 of hosts, of an app's process and of weft run: what ends, what goes on, within its
 * deadline, and no slot and no process is left. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"
#include "weft/error.h"

static void a_member_without_ranks_may_die(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.b);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 3));
    scene_ends_well(&scene);
}

static void a_member_with_a_rank_that_dies_ends_the_app(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.a);
    scene_ends(&scene, 3, "host a, which runs a rank of it, is dead");
    /* The survivors take new work. */
    struct child *run = cluster_weft(*state, "run", "--at", scene.home->address, "-n", "2",
                                     cluster_program("hello"), NULL);
    cluster_check(scene.cluster, run->code == 0 && child_said(run, "hello 1 of 2 on b"));
}

static void a_member_that_is_stopped_politely_ends_the_app(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_stop(*state, scene.a);
    scene_ends(&scene, 3, "shutting down");
}

static void a_home_that_dies_ends_its_app_everywhere(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.home);
    scene_ends(&scene, 3, "does not answer");
    cluster_await(scene.cluster, CLUSTER_MS, stage_process_on(*state, scene.a) == 0);
}

static void a_home_that_is_stopped_politely_ends_its_app_everywhere(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_stop(*state, scene.home);
    int code = child_wait(scene.app.run, SCENE_FATAL_MS);
    if (code != 3)
        cluster_fail(*state, "weft run: exit code %d instead of 3", code);
    stage_all_free(*state);
    stage_close(&scene.stage);
}

static void without_a_head_apps_go_on_and_new_work_is_refused(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 50);
    struct child *run = cluster_start(*state, "weft", "run", "--at", scene.home->address,
                                      cluster_program("hello"), NULL);
    cluster_check(scene.cluster, child_wait(run, SCENE_FATAL_MS) >= 0);
    if (run->code != 3 || !child_complained(run, "registry"))
        cluster_fail(*state, "exit code %d instead of 3 with the registry named", run->code);
    scene_ends_well(&scene);
}

static void without_a_head_the_home_of_an_app_shows_and_ends_it(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    const char *at = scene.home->address, *app = scene.app.hex;
    struct child *shown = cluster_weft(*state, "apps", "--at", at, app, NULL);
    cluster_check(scene.cluster, shown->code == 0 && child_said(shown, "running"));
    cluster_check(scene.cluster, cluster_weft(*state, "kill", "--at", at, app, NULL)->code == 0);
    scene_ends(&scene, 1, "killed");
}

static void a_head_that_comes_back_is_found_again(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    struct child *run =
        cluster_weft(*state, "run", "--at", scene.a->address, cluster_program("hello"), NULL);
    cluster_check(scene.cluster, run->code == 0);
    scene_ends_well(&scene);
}

/* For longer than it takes to declare a host dead, and to wait for one that does not join again. */
static void a_head_that_was_away_for_long_ends_no_app(void **state)
{
    enum { AWAY_MS = 12000 };
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    for (uint64_t until = child_now_ms() + AWAY_MS; child_now_ms() < until;)
        stage_runs(*state, &scene.stage, SCENE_RANKS, 1);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    scene_ends_well(&scene);
}

static void a_head_that_is_away_during_a_move_decides_it_when_it_is_back(void **state)
{
    struct scene scene;
    struct ask_app now;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    cluster_host_kill(scene.head);
    stage_signal(*state, dest, SIGCONT);
    cluster_host_again(*state, scene.head);
    int code = child_wait(move, 2 * CLUSTER_MS);
    cluster_check(scene.cluster, code == 0 || code == 1);
    cluster_check(scene.cluster, ask_app(*state, &scene.app, &now));
    fprintf(stderr, "the move: %s %s\n", now.last.outcome, now.last.reason);
    scene_ends_well(&scene);
}

/* Nobody can say who owns the rank: it stays frozen, and its app ends when the deadlines are over.
 */
static void a_head_that_stays_away_during_a_move_ends_the_app_at_last(void **state)
{
    enum { MOVE_MS = 2000, RESOLVE_MS = 10000 };
    struct scene scene;
    uint64_t dest;
    (void)setenv("WEFT_MOVE_DEADLINE_MS", "2000", 1);
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    cluster_host_kill(scene.head);
    stage_signal(*state, dest, SIGCONT);
    int code = child_wait(scene.app.run, MOVE_MS + RESOLVE_MS + SCENE_FATAL_MS);
    if (code != 3 || !child_complained(scene.app.run, "is lost in a move"))
        cluster_fail(*state, "weft run: exit code %d instead of 3 and the move named", code);
    cluster_check(scene.cluster, child_wait(move, CLUSTER_MS) > 0);
    stage_all_free(*state);
    stage_close(&scene.stage);
}

static void a_head_that_ends_alone_takes_its_log_along(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *head = cluster_host(cluster, "head", 1);
    cluster_host_kill(head);
    cluster_host_again(cluster, head);
    cluster_host_stop(cluster, head);
    /* cluster_close finds what is left: this head was not killed. */
}

static void an_app_process_that_is_killed_ends_the_app_with_the_signal(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_signal(*state, scene_process(&scene, scene.home), SIGKILL);
    scene_ends(&scene, 1, "on host home was ended by signal 9");
    cluster_check(scene.cluster, ask_ping(*state, scene.home) && ask_ping(*state, scene.a));
}

static void an_app_whose_weft_run_was_killed_goes_on(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.app.run, SIGKILL);
    cluster_check(scene.cluster, child_wait(scene.app.run, CLUSTER_MS) == 128 + SIGKILL);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 50);
    cluster_check(scene.cluster, ask_state_is(*state, &scene.app, "running"));
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    atomic_store(&scene.stage.board->stop, 1);
    cluster_await(scene.cluster, CLUSTER_MS, ask_state_is(*state, &scene.app, "ended"));
    struct ask_app now;
    cluster_check(scene.cluster, ask_app(*state, &scene.app, &now) && now.code == 0);
    stage_all_free(*state);
    stage_close(&scene.stage);
}

static void an_app_whose_weft_run_was_killed_can_be_killed(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.app.run, SIGKILL);
    (void)child_wait(scene.app.run, CLUSTER_MS);
    cluster_check(scene.cluster, ask_kill(*state, &scene.app) == WEFT_OK);
    stage_all_free(*state);
    cluster_check(scene.cluster, ask_state_is(*state, &scene.app, "ended"));
    stage_close(&scene.stage);
}

/* As a job that is stopped by its terminal and goes on later. */
static void a_weft_run_that_was_stopped_for_a_while_goes_on(void **state)
{
    enum { STOPPED_MS = 7000 };
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.app.run, SIGSTOP);
    for (uint64_t until = child_now_ms() + STOPPED_MS; child_now_ms() < until;)
        stage_runs(*state, &scene.stage, SCENE_RANKS, 1);
    child_signal(scene.app.run, SIGCONT);
    scene_ends_well(&scene);
}

/* Silent for longer than it takes to be declared dead. */
static void a_host_that_was_declared_dead_comes_back_empty(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.a->weftd, SIGSTOP);
    int code = child_wait(scene.app.run, SCENE_FATAL_MS);
    if (code != 3 || !child_complained(scene.app.run, "host a"))
        cluster_fail(*state, "weft run: exit code %d instead of 3 with host a named", code);
    child_signal(scene.a->weftd, SIGCONT);
    stage_all_free(*state);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    cluster_check(scene.cluster, stage_process_on(*state, scene.a) == 0);
    struct child *run =
        cluster_weft(*state, "run", "--at", scene.a->address, cluster_program("hello"), NULL);
    cluster_check(scene.cluster, run->code == 0 && child_said(run, "on a"));
    stage_close(&scene.stage);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest members[] = {
        CASE(a_member_without_ranks_may_die),
        CASE(a_member_with_a_rank_that_dies_ends_the_app),
        CASE(a_member_that_is_stopped_politely_ends_the_app),
        CASE(an_app_process_that_is_killed_ends_the_app_with_the_signal),
        CASE(an_app_whose_weft_run_was_killed_goes_on),
        CASE(an_app_whose_weft_run_was_killed_can_be_killed),
        CASE(a_weft_run_that_was_stopped_for_a_while_goes_on),
        CASE(a_host_that_was_declared_dead_comes_back_empty),
    };
    const struct CMUnitTest homes[] = {
        CASE(a_home_that_dies_ends_its_app_everywhere),
        CASE(a_home_that_is_stopped_politely_ends_its_app_everywhere),
    };
    const struct CMUnitTest heads[] = {
        CASE(without_a_head_apps_go_on_and_new_work_is_refused),
        CASE(without_a_head_the_home_of_an_app_shows_and_ends_it),
        CASE(a_head_that_comes_back_is_found_again),
        CASE(a_head_that_was_away_for_long_ends_no_app),
        CASE(a_head_that_ends_alone_takes_its_log_along),
    };
    const struct CMUnitTest decisions[] = {
        CASE(a_head_that_is_away_during_a_move_decides_it_when_it_is_back),
        CASE(a_head_that_stays_away_during_a_move_ends_the_app_at_last),
    };
    const char *part = argc > 1 ? argv[1] : "";
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = 0;
    if (strncmp("members", part, strlen(part)) == 0)
        failed += cmocka_run_group_tests(members, NULL, NULL);
    if (strncmp("homes", part, strlen(part)) == 0)
        failed += cmocka_run_group_tests(homes, NULL, NULL);
    if (strncmp("heads", part, strlen(part)) == 0)
        failed += cmocka_run_group_tests(heads, NULL, NULL);
    if (strncmp("decisions", part, strlen(part)) == 0)
        failed += cmocka_run_group_tests(decisions, NULL, NULL);
    return failed;
}
