/* Moves that are given up: for whatever reason, weft migrate says which and ends with 1, the rank
 * goes on where it was, what was taken elsewhere is given back, and the next move can be made.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "opened.h"
#include "scene.h"

static struct child *migrate(struct scene *scene)
{
    return cluster_start(scene->cluster, "weft", "migrate", "--at", scene->home->address,
                         scene->app.hex, "1", "b", NULL);
}

/* weft migrate has said why, and the rank does not even know of it. */
static void given_up(struct scene *scene, struct child *move, const char *why)
{
    const struct board_rank *mover = &scene->stage.board->ranks[SCENE_MOVER];
    scene_stayed(scene, move);
    if (!child_said(move, why))
        cluster_fail(scene->cluster, "weft migrate does not say \"%s\"", why);
    cluster_check(scene->cluster, atomic_load(&mover->stayed) == 0);
}

static void a_destination_without_a_free_slot_refuses(void **state)
{
    struct scene scene;
    struct stage occupied;
    scene_open(&scene, *state);
    stage_open(&occupied, *state);
    struct cluster_app occupier =
        cluster_run(*state, scene.b, "--hint", "FORCE_LOCAL", cluster_program("alone"),
                    occupied.path, "0", "2000", NULL);
    stage_runs(*state, &occupied, 1, 1);
    given_up(&scene, migrate(&scene), "the destination has no free slot");
    cluster_check(scene.cluster, ask_leased(*state, scene.b) == 1);
    stage_finish(*state, &occupied, &occupier);
    stage_close(&occupied);
    cluster_await(scene.cluster, CLUSTER_MS, ask_used(*state, scene.b) == 0);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    scene_ends_well(&scene);
}

static void a_registry_that_cannot_be_reached_before_the_freeze_costs_nothing(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    given_up(&scene, migrate(&scene), "the registry cannot write down who has the rank");
    cluster_await(scene.cluster, CLUSTER_MS, ask_leased(*state, scene.b) == 0);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    scene_ends_well(&scene);
}

/* The head dies while the destination gets ready: its weftd is stopped and cannot start the
 * process.
 */
static void a_registry_that_goes_away_while_the_destination_gets_ready_costs_nothing(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.b->weftd, SIGSTOP);
    struct child *move = migrate(&scene);
    cluster_host_kill(scene.head);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    child_signal(scene.b->weftd, SIGCONT);
    scene_stayed(&scene, move);
    cluster_check(scene.cluster, atomic_load(&scene.stage.board->ranks[SCENE_MOVER].stayed) == 0);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    scene_ends_well(&scene);
}

static void a_rank_that_makes_no_call_in_time_is_named_as_the_reason(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    given_up(&scene, scene_asked(&scene),
             "the rank came to no call at which it can be moved within 2000 ms");
    cluster_await(scene.cluster, CLUSTER_MS, ask_leased(*state, scene.b) == 0);
    atomic_store(&scene.stage.board->hold, 0);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    scene_ends_well(&scene);
}

/* ---- the detector ---- */

enum { TRIES = 3 };

/* When the n-th move of the app was proposed, in milliseconds of its life. */
static double try_of(struct cluster *cluster, const struct cluster_app *app, unsigned n)
{
    struct ask_app now = {.moves_n = 0};
    cluster_await_while(cluster, 2 * CLUSTER_MS, ask_app(cluster, app, &now) && now.moves_n >= n,
                        !child_over(app->run));
    cluster_check(cluster, now.moves_n == n && now.moved == 0);
    return now.last.detected_ms;
}

/* Two ranks on two hosts, though both have room on b since its occupier has ended. */
static void the_detector_asks_a_rank_that_never_comes_less_and_less_often(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage, occupied;
    double at[TRIES];
    struct cluster_host *home = cluster_host(cluster, "home", 1), *b;
    (void)cluster_host(cluster, "a", 1);
    b = cluster_host(cluster, "b", 2);
    stage_open(&stage, cluster);
    stage_open(&occupied, cluster);
    struct cluster_app occupier =
        cluster_run(cluster, b, "-n", "2", "--hint", "FORCE_LOCAL", cluster_program("alone"),
                    occupied.path, "0", "2000", NULL);
    stage_runs(cluster, &occupied, 2, 1);
    struct cluster_app app =
        cluster_run(cluster, home, "-n", "2", "--migrate=0.2", cluster_program("chain"), stage.path,
                    "0", "1", "1000", NULL);
    stage_runs(cluster, &stage, SCENE_RANKS, 3);
    atomic_store(&stage.board->hold, 1);
    stage_finish(cluster, &occupied, &occupier);
    for (unsigned i = 0; i < TRIES; i++)
        at[i] = try_of(cluster, &app, i + 1);
    if (at[2] - at[1] <= at[1] - at[0])
        cluster_fail(cluster, "asked at %.0f, %.0f and %.0f ms", at[0], at[1], at[2]);
    stage_runs(cluster, &stage, SCENE_RANKS, 5);
    stage_finish(cluster, &stage, &app);
    stage_all_free(cluster);
    stage_close(&stage);
    stage_close(&occupied);
}

/* ---- two faults ---- */

static void when_destination_and_head_die_the_rank_goes_on_as_soon_as_the_head_is_back(void **state)
{
    struct scene scene;
    uint64_t dest;
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    cluster_host_kill(scene.head);
    cluster_host_kill(scene.b);
    cluster_host_again(*state, scene.head);
    scene_stayed(&scene, move);
    cluster_check(scene.cluster, atomic_load(&scene.stage.board->ranks[SCENE_MOVER].stayed) == 1);
    scene_ends_well(&scene);
}

static void when_destination_and_head_die_and_stay_away_the_app_ends_with_the_reason(void **state)
{
    enum { MOVE_MS = 2000, RESOLVE_MS = 10000 };
    struct scene scene;
    uint64_t dest;
    (void)setenv("WEFT_MOVE_DEADLINE_MS", "2000", 1);
    scene_open(&scene, *state);
    struct child *move = scene_stands(&scene, &dest);
    cluster_host_kill(scene.head);
    cluster_host_kill(scene.b);
    int code = child_wait(scene.app.run, MOVE_MS + 2 * RESOLVE_MS + SCENE_FATAL_MS);
    if (code != 3 || !child_complained(scene.app.run, "rank 1"))
        cluster_fail(*state, "weft run: exit code %d instead of 3 and the rank named", code);
    cluster_check(scene.cluster, child_wait(move, CLUSTER_MS) > 0);
    stage_all_free(*state);
    (void)unsetenv("WEFT_MOVE_DEADLINE_MS");
    stage_close(&scene.stage);
}

/* ---- what is left ---- */

enum { WATCHED = 5 };

static void look(struct scene *scene, struct opened at[WATCHED])
{
    opened_of(&at[0], "weftd of head", (uint64_t)scene->head->weftd->pid);
    opened_of(&at[1], "weftd of home", (uint64_t)scene->home->weftd->pid);
    opened_of(&at[2], "weftd of b", (uint64_t)scene->b->weftd->pid);
    opened_of(&at[3], "weft-app on home", scene_process(scene, scene->home));
    opened_of(&at[4], "weft-app on a", scene_process(scene, scene->a));
}

static void fail_once(struct scene *scene)
{
    uint64_t dest;
    struct child *move = scene_stands(scene, &dest);
    stage_signal(scene->cluster, dest, SIGKILL);
    scene_stayed(scene, move);
    cluster_await(scene->cluster, CLUSTER_MS, ask_used(scene->cluster, scene->b) == 0);
}

static bool as_few(struct scene *scene, const struct opened before[WATCHED], bool print)
{
    static struct opened now[WATCHED];
    bool few = true;
    look(scene, now);
    for (unsigned i = 0; i < WATCHED; i++) {
        few = few && !opened_is_more(&now[i], &before[i]);
        if (print)
            opened_print(&now[i], &before[i]);
    }
    return few;
}

static bool talks_to_home(const struct scene *scene, uint64_t pid)
{
    return opened_connects(pid, scene->home->address, 8100);
}

/* Whoever asks the home keeps one connection to its weftd, made with the first question: weftd of b
 * asks when a process there has died, the process of a rank that is not asked to move with its
 * first report of traffic, a second after its start. Before that the home has less open than at
 * rest. */
static bool all_talk_to_home(struct scene *scene)
{
    return talks_to_home(scene, (uint64_t)scene->app.run->pid) &&
           talks_to_home(scene, (uint64_t)scene->a->weftd->pid) &&
           talks_to_home(scene, (uint64_t)scene->b->weftd->pid) &&
           talks_to_home(scene, scene_process(scene, scene->home)) &&
           talks_to_home(scene, scene_process(scene, scene->a));
}

static void moves_that_fail_leave_no_descriptor_open_anywhere(void **state)
{
    enum { WARM = 2, MORE = 4 };
    struct scene scene;
    static struct opened before[WATCHED];
    scene_open(&scene, *state);
    for (unsigned i = 0; i < WARM; i++)
        fail_once(&scene);
    cluster_await(scene.cluster, CLUSTER_MS, all_talk_to_home(&scene));
    look(&scene, before);
    for (unsigned i = 0; i < MORE; i++)
        fail_once(&scene);
    struct child_patience patience = child_patience(CLUSTER_MS);
    while (!as_few(&scene, before, false) && !child_patience_over(&patience))
        child_nap();
    if (!as_few(&scene, before, false)) {
        (void)as_few(&scene, before, true);
        cluster_fail(scene.cluster, "more is open than before the moves that failed");
    }
    scene_ends_well(&scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest refused[] = {
        CASE(a_destination_without_a_free_slot_refuses),
        CASE(a_registry_that_cannot_be_reached_before_the_freeze_costs_nothing),
        CASE(a_registry_that_goes_away_while_the_destination_gets_ready_costs_nothing),
        CASE(a_rank_that_makes_no_call_in_time_is_named_as_the_reason),
        CASE(the_detector_asks_a_rank_that_never_comes_less_and_less_often),
    };
    const struct CMUnitTest twice[] = {
        CASE(when_destination_and_head_die_the_rank_goes_on_as_soon_as_the_head_is_back),
        CASE(when_destination_and_head_die_and_stay_away_the_app_ends_with_the_reason),
        CASE(moves_that_fail_leave_no_descriptor_open_anywhere),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 'r', second = !all && argv[1][0] == 't';
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(refused, NULL, NULL) : 0;
    return failed + (all || second ? cmocka_run_group_tests(twice, NULL, NULL) : 0);
}
