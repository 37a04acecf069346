/* weft drain: a host is emptied while its ranks run, and leaves. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { RANKS = 4 };

/* home, a and b with two slots each, and an app that has never opted in to moves on home and a. */
struct scene {
    struct cluster_host *home, *a, *b;
    struct stage stage;
    struct cluster_app app;
};

static void scene_open(struct cluster *cluster, struct scene *scene)
{
    cluster_three(cluster, 2);
    scene->home = &cluster->hosts[0];
    scene->a = &cluster->hosts[1];
    scene->b = &cluster->hosts[2];
    stage_open(&scene->stage, cluster);
    scene->app = cluster_run(cluster, scene->home, "-n", "4", cluster_program("chain"),
                             scene->stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &scene->stage, RANKS, 1);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, 2, "a"));
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, 3, "a"));
}

static void scene_close(struct cluster *cluster, struct scene *scene)
{
    stage_finish(cluster, &scene->stage, &scene->app);
    stage_all_free(cluster);
    stage_close(&scene->stage);
}

static struct child *drain(struct cluster *cluster, const char *option, const char *host)
{
    return cluster_weft(cluster, "drain", "--at", cluster->hosts[0].address, "--timeout", "60",
                        option, host, NULL);
}

static struct child *look(struct cluster *cluster, const char *option, const char *host)
{
    return cluster_weft(cluster, "drain", "--at", cluster->hosts[0].address, "--timeout", "0",
                        option, host, NULL);
}

static struct child *run_at(struct cluster *cluster, const struct cluster_host *host)
{
    return cluster_weft(cluster, "run", "--at", host->address, cluster_program("hello"), NULL);
}

static void its_ranks_move_away_and_then_it_leaves(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene);
    struct child *done = drain(cluster, "--", "a");
    cluster_check(cluster, done->code == 0 && child_said(done, "host a has left"));
    cluster_check(cluster, child_wait(scene.a->weftd, CLUSTER_MS) == 0);
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moved == 2);
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, 2, "b"));
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, 3, "b"));
    stage_runs(cluster, &scene.stage, RANKS, 50);
    scene_close(cluster, &scene);
}

static void without_room_elsewhere_they_go_on_until_there_is(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct stage occupied;
    scene_open(cluster, &scene);
    stage_open(&occupied, cluster);
    struct cluster_app occupier =
        cluster_run(cluster, scene.b, "--hint", "FORCE_LOCAL", cluster_program("alone"),
                    occupied.path, "0", "2000", NULL);
    stage_runs(cluster, &occupied, 1, 1);
    struct child *tried = look(cluster, "--", "a");
    cluster_check(cluster, tried->code == 1 && child_said(tried, "2 slots in use"));
    stage_runs(cluster, &scene.stage, RANKS, 50);
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, 3, "a"));
    stage_finish(cluster, &occupied, &occupier);
    cluster_check(cluster, child_wait(scene.a->weftd, 3 * CLUSTER_MS) == 0);
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, 3, "b"));
    scene_close(cluster, &scene);
    stage_close(&occupied);
}

static void it_takes_nothing_new_until_the_drain_is_cancelled(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene);
    struct child *emptied = drain(cluster, "--stay", "a");
    cluster_check(cluster, emptied->code == 0 && child_said(emptied, "0 slots in use"));
    struct child *listed = cluster_weft(cluster, "hosts", "--at", scene.home->address, NULL);
    cluster_check(cluster, child_said(listed, "leaving"));
    struct child *refused = run_at(cluster, scene.a);
    cluster_check(cluster,
                  refused->code == 4 && child_complained(refused, "host a is being drained"));
    struct child *moved = cluster_weft(cluster, "migrate", "--at", scene.home->address,
                                       scene.app.hex, "3", "a", NULL);
    cluster_check(cluster, moved->code == 1 && child_said(moved, "takes no ranks"));
    cluster_check(cluster, look(cluster, "--cancel", "a")->code == 0);
    cluster_check(cluster, run_at(cluster, scene.a)->code == 0);
    stage_move(cluster, &scene.app, 3, "a");
    scene_close(cluster, &scene);
}

static void the_home_of_an_app_waits_for_its_end(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    cluster_three(cluster, 2);
    stage_open(&stage, cluster);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[1], "--json", cluster_file(cluster, "json"), "-n", "2",
                    cluster_program("chain"), stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &stage, 2, 1);
    struct child *tried = look(cluster, "--", "a");
    cluster_check(cluster, tried->code == 1 && child_said(tried, "1 apps at home there"));
    for (unsigned rank = 0; rank < 2; rank++)
        cluster_await(cluster, CLUSTER_MS, ask_rank_is(cluster, &app, rank, "b"));
    stage_runs(cluster, &stage, 2, 50);
    stage_finish(cluster, &stage, &app);
    cluster_check(cluster, child_wait(cluster->hosts[1].weftd, CLUSTER_MS) == 0);
    stage_close(&stage);
}

static void whoever_waits_for_a_drain_does_not_take_back_its_cancellation(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene);
    struct child *drained =
        cluster_start(cluster, "weft", "drain", "--at", cluster->hosts[0].address, "--stay",
                      "--timeout", "120", "home", NULL); /* an app is at home there: it waits */
    cluster_await(cluster, CLUSTER_MS, child_said(drained, "1 apps at home there"));
    cluster_check(cluster, look(cluster, "--cancel", "home")->code == 0);
    cluster_check(cluster, child_wait(drained, CLUSTER_MS) == 1);
    cluster_check(cluster, child_complained(drained, "somebody has cancelled its drain"));
    scene_close(cluster, &scene);
    cluster_check(cluster, run_at(cluster, scene.home)->code == 0);
}

static void a_host_that_dies_has_not_left(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    cluster_three(cluster, 2);
    stage_open(&stage, cluster);
    struct cluster_host *a = &cluster->hosts[1];
    struct cluster_app app =
        cluster_run(cluster, a, cluster_program("chain"), stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &stage, 1, 1);
    struct child *drained = cluster_start(cluster, "weft", "drain", "--at",
                                          cluster->hosts[0].address, "--timeout", "120", "a", NULL);
    cluster_await(cluster, CLUSTER_MS, child_said(drained, "1 apps at home there"));
    child_signal(a->weftd, SIGSTOP); /* silent: looks at it time out */
    cluster_check(cluster, child_wait(drained, 3 * CLUSTER_MS) == 3);
    cluster_check(cluster, child_complained(drained, "host a was declared dead"));
    cluster_host_kill(a);
    cluster_check(cluster, child_wait(app.run, 3 * CLUSTER_MS) != 0);
    stage_close(&stage);
}

static void what_cannot_be_drained_is_refused(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    struct child *head = look(cluster, "--", "home");
    cluster_check(cluster, head->code == 4 && child_complained(head, "is the head"));
    cluster_check(cluster, drain(cluster, "--stay", "home")->code == 0);
    cluster_check(cluster, look(cluster, "--cancel", "home")->code == 0);
    struct child *unknown = look(cluster, "--", "nobody");
    cluster_check(cluster, unknown->code == 4 && child_complained(unknown, "no host nobody"));
    static const char *const wrong[][3] = {{"--stay", "--cancel", "a"},
                                           {"--timeout", "-1", "a"},
                                           {"--timeout", "x", "a"},
                                           {"a", "b", "c"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cluster_check(
            cluster,
            cluster_weft(cluster, "drain", wrong[i][0], wrong[i][1], wrong[i][2], NULL)->code == 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(its_ranks_move_away_and_then_it_leaves),
        CASE(without_room_elsewhere_they_go_on_until_there_is),
        CASE(it_takes_nothing_new_until_the_drain_is_cancelled),
        CASE(the_home_of_an_app_waits_for_its_end),
        CASE(whoever_waits_for_a_drain_does_not_take_back_its_cancellation),
        CASE(a_host_that_dies_has_not_left),
        CASE(what_cannot_be_drained_is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
