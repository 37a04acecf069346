/* kill -9 in the middle of a move: before the commit the rank goes on where it was, after it the
 * app ends with a reason; never both, never neither. A process that only stands still costs a move,
 * not a rank. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scene.h"

static void a_destination_that_dies_before_the_rank_stops_costs_nothing(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    struct child *move = scene_asked(&scene);
    stage_signal(*state, scene_process(&scene, scene.b), SIGKILL);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 5);
    atomic_store(&scene.stage.board->hold, 0);
    scene_stayed(&scene, move);
    scene_ends_well(&scene);
}

static void a_destination_that_dies_before_it_pulls_lets_the_rank_go_on(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    stage_signal(*state, dest, SIGKILL);
    scene_stayed(&scene, move);
    cluster_check(scene.cluster, atomic_load(&scene.stage.board->ranks[SCENE_MOVER].stayed) == 1);
    scene_ends_well(&scene);
}

static void a_destination_host_that_dies_before_the_commit_lets_the_rank_go_on(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    cluster_host_kill(scene.b);
    scene_stayed(&scene, move);
    scene_ends_well(&scene);
}

static void a_rank_that_stayed_can_move_later(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    stage_signal(*state, dest, SIGKILL);
    scene_stayed(&scene, move);
    cluster_await(scene.cluster, CLUSTER_MS, ask_used(*state, scene.b) == 0);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    scene_ends_well(&scene);
}

static void a_destination_process_that_dies_after_the_commit_ends_the_app(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    stage_runs(*state, &scene.stage, SCENE_RANKS, 5);
    stage_signal(*state, scene_process(&scene, scene.b), SIGKILL);
    scene_ends(&scene, 1, "on host b was ended by signal 9");
}

static void a_destination_host_that_dies_after_the_commit_ends_the_app(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    cluster_host_kill(scene.b);
    scene_ends(&scene, 3, "host b");
}

/* Rank 0's process is stopped: its flush marker is missing, so the move has committed and is not
 * over. Waits until the mover goes on at b, at most in its first step there. */
static struct child *flushing(struct scene *scene, uint64_t *other_out)
{
    uint64_t dest;
    struct child *move = scene_stands(scene, &dest);
    *other_out = scene_process(scene, scene->home);
    stage_signal(scene->cluster, *other_out, SIGSTOP);
    stage_signal(scene->cluster, dest, SIGCONT);
    cluster_await_while(scene->cluster, CLUSTER_MS,
                        ask_rank_is(scene->cluster, &scene->app, SCENE_MOVER, "b"),
                        !child_over(move));
    cluster_check(scene->cluster, !child_over(move));
    return move;
}

static void a_destination_host_that_dies_while_packets_are_forwarded_ends_the_app(void **state)
{
    struct scene scene;
    uint64_t other;
    scene_open(&scene, *state);
    (void)flushing(&scene, &other);
    cluster_host_kill(scene.b);
    stage_signal(*state, other, SIGCONT);
    scene_ends(&scene, 3, "host b");
}

static void a_source_that_dies_after_the_commit_costs_nothing(void **state)
{
    struct scene scene;
    uint64_t other;
    scene_open(&scene, *state);
    struct child *move = flushing(&scene, &other);
    stage_signal(*state, scene_process(&scene, scene.a), SIGKILL);
    stage_signal(*state, other, SIGCONT);
    scene_moved(&scene, move);
    scene_ends_well(&scene);
}

static void a_source_host_that_dies_with_another_rank_ends_the_app(void **state)
{
    struct scene scene;
    uint64_t other;
    scene_open_with_third(&scene, *state);
    (void)flushing(&scene, &other);
    cluster_host_kill(scene.a);
    scene_ends(&scene, 3, "host a, which runs a rank of it, is dead");
}

static void a_source_host_that_dies_after_the_move_costs_nothing(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    cluster_host_kill(scene.a);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    scene_ends_well(&scene);
}

/* Its weftd cannot be asked for what the rank has printed there. */
static void a_source_host_that_dies_with_output_is_told_at_the_end(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    struct child *move = scene_asked(&scene);
    child_signal(scene.a->weftd, SIGSTOP);
    atomic_store(&scene.stage.board->hold, 0);
    cluster_await(scene.cluster, CLUSTER_MS,
                  ask_rank_is(scene.cluster, &scene.app, SCENE_MOVER, "b"));
    cluster_host_kill(scene.a);
    scene_moved(&scene, move);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(scene.cluster, 3));
    stage_runs(scene.cluster, &scene.stage, SCENE_RANKS, 20);
    atomic_store(&scene.stage.board->stop, 1);
    scene_ends(&scene, 3, "host a died");
}

static void a_source_that_dies_while_its_rank_stands_ends_the_app(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    (void)scene_stands(&scene, &dest);
    stage_signal(*state, scene_process(&scene, scene.a), SIGKILL);
    stage_signal(*state, dest, SIGCONT);
    scene_ends(&scene, 3, "rank 1 is lost in a move from host a to host b");
}

static void a_source_host_that_dies_while_its_rank_stands_ends_the_app(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    (void)scene_stands(&scene, &dest);
    cluster_host_kill(scene.a);
    stage_signal(*state, dest, SIGCONT);
    scene_ends(&scene, 3, "rank 1 is lost in a move from host a to host b");
}

static void a_destination_that_is_slow_is_waited_for(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    stage_signal(*state, dest, SIGCONT);
    scene_moved(&scene, move);
    scene_ends_well(&scene);
}

static void a_rank_that_does_not_come_to_its_migration_point_stays(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    struct child *move = scene_asked(&scene);
    scene_stayed(&scene, move); /* it never leaves hold */
    scene_ends_well(&scene);
}

/* The move is given up, the process wakes, the rank goes on, and can be moved. */
static void wakes(struct scene *scene, struct child *move, uint64_t source)
{
    cluster_check(scene->cluster, child_wait(move, 3 * CLUSTER_MS) == 1);
    cluster_check(scene->cluster, !child_over(scene->app.run));
    stage_signal(scene->cluster, source, SIGCONT);
    scene_stayed(scene, move);
    stage_move(scene->cluster, &scene->app, SCENE_MOVER, "b");
    scene_ends_well(scene);
}

static void a_source_that_stands_still_before_its_rank_does_keeps_it(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    struct child *move = scene_asked(&scene);
    uint64_t source = scene_process(&scene, scene.a);
    stage_signal(*state, source, SIGSTOP);
    atomic_store(&scene.stage.board->hold, 0);
    wakes(&scene, move, source);
}

static void a_source_that_stands_still_while_its_rank_is_pulled_keeps_it(void **state)
{
    struct scene scene;
    uint64_t dest;
    (void)setenv("WEFT_MOVE_DEADLINE_MS", "2000", 1);
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    uint64_t source = scene_process(&scene, scene.a);
    stage_signal(*state, source, SIGSTOP);
    stage_signal(*state, dest, SIGCONT);
    wakes(&scene, move, source);
}

/* Waits until a process that was found before is gone. */
static void gone(struct scene *scene, uint64_t pid)
{
    cluster_await(scene->cluster, SCENE_FATAL_MS, !cluster_is_marked(scene->cluster, pid));
}

static void a_home_that_dies_in_a_move_ends_the_app_on_both_sides_of_it(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    uint64_t source = scene_process(&scene, scene.a);
    cluster_host_kill(scene.home);
    stage_signal(*state, dest, SIGCONT);
    cluster_check(scene.cluster, child_wait(move, 2 * CLUSTER_MS) == 3);
    gone(&scene, source);
    gone(&scene, dest);
    scene_ends(&scene, 3, scene.home->address);
}

static void the_processes_of_an_app_end_with_the_weftd_that_started_them(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    uint64_t source = scene_process(&scene, scene.a);
    stage_signal(*state, dest, SIGCONT);
    scene_moved(&scene, move);
    cluster_host_kill(scene.a); /* what the rank has left there goes, the rank goes on */
    gone(&scene, source);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 5);
    cluster_host_kill(scene.b);
    gone(&scene, dest);
    scene_ends(&scene, 3, "host b");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest before[] = {
        CASE(a_destination_that_dies_before_the_rank_stops_costs_nothing),
        CASE(a_destination_that_dies_before_it_pulls_lets_the_rank_go_on),
        CASE(a_destination_host_that_dies_before_the_commit_lets_the_rank_go_on),
        CASE(a_rank_that_stayed_can_move_later),
        CASE(a_destination_that_is_slow_is_waited_for),
        CASE(a_rank_that_does_not_come_to_its_migration_point_stays),
        CASE(a_source_that_dies_while_its_rank_stands_ends_the_app),
        CASE(a_source_host_that_dies_while_its_rank_stands_ends_the_app),
    };
    const struct CMUnitTest after[] = {
        CASE(a_destination_process_that_dies_after_the_commit_ends_the_app),
        CASE(a_destination_host_that_dies_after_the_commit_ends_the_app),
        CASE(a_destination_host_that_dies_while_packets_are_forwarded_ends_the_app),
        CASE(a_source_that_dies_after_the_commit_costs_nothing),
        CASE(a_source_host_that_dies_with_another_rank_ends_the_app),
        CASE(a_source_host_that_dies_after_the_move_costs_nothing),
        CASE(a_source_host_that_dies_with_output_is_told_at_the_end),
        CASE(a_home_that_dies_in_a_move_ends_the_app_on_both_sides_of_it),
        CASE(the_processes_of_an_app_end_with_the_weftd_that_started_them),
    };
    const struct CMUnitTest still[] = {
        CASE(a_source_that_stands_still_before_its_rank_does_keeps_it),
        CASE(a_source_that_stands_still_while_its_rank_is_pulled_keeps_it),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 'b', second = !all && argv[1][0] == 'a';
    bool third = !all && argv[1][0] == 's';
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(before, NULL, NULL) : 0;
    failed += all || second ? cmocka_run_group_tests(after, NULL, NULL) : 0;
    return failed + (all || third ? cmocka_run_group_tests(still, NULL, NULL) : 0);
}
