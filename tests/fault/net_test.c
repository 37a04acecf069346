/* Hosts in network namespaces of their own: silence in one direction, connections that are reset,
 * and deaths across a real network. What has to end ends within its deadline, what can go on goes
 * on, and nothing is left.
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

#include "lab.h"
#include "scene.h"
#include "weft/error.h"

/* An app runs on the host from its start to its end. */
static void takes_work(struct scene *scene, const struct cluster_host *host)
{
    char words[32];
    struct child *run =
        cluster_weft(scene->cluster, "run", "--at", host->address, cluster_program("hello"), NULL);
    snprintf(words, sizeof(words), "on %s", host->name);
    if (run->code != 0 || !child_said(run, words))
        cluster_fail(scene->cluster, "host %s takes no work: exit code %d", host->name, run->code);
}

/* The app is over because of host a, and a is a host again when it can be reached again. */
static void ends_and_heals(struct scene *scene)
{
    int code = child_wait(scene->app.run, SCENE_FATAL_MS);
    if (code != 3 || !child_complained(scene->app.run, "host a"))
        cluster_fail(scene->cluster, "weft run: exit code %d instead of 3 with host a named", code);
    takes_work(scene, scene->home);
    lab_heal(scene->cluster, scene->a);
    cluster_await(scene->cluster, CLUSTER_MS, ask_alive(scene->cluster, 4));
    stage_all_free(scene->cluster);
    takes_work(scene, scene->a);
    stage_close(&scene->stage);
}

static void a_host_that_nobody_hears_is_dead_in_time(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    lab_drop(*state, scene.a, "output", "oifname eth0");
    ends_and_heals(&scene);
}

static void a_host_that_hears_nobody_is_dead_in_time(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    lab_drop(*state, scene.a, "input", "iifname eth0");
    ends_and_heals(&scene);
}

/* The head hears both; the app's own processes do not get through to each other: what `from` sends
 * to `to` is dropped. */
static void cannot_talk(struct scene *scene, const struct cluster_host *from,
                        const struct cluster_host *to)
{
    char match[64];
    snprintf(match, sizeof(match), "ip daddr %s", to->address);
    lab_drop(scene->cluster, from, "output", match);
    int code = child_wait(scene->app.run, SCENE_FATAL_MS);
    if (code != 3 || !child_complained(scene->app.run, "host a"))
        cluster_fail(scene->cluster, "weft run: exit code %d instead of 3 with host a named", code);
    takes_work(scene, scene->b);
    lab_heal(scene->cluster, from);
    stage_all_free(scene->cluster);
    takes_work(scene, scene->a);
    stage_close(&scene->stage);
}

static void a_host_that_its_apps_home_does_not_hear_ends_that_app_alone(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cannot_talk(&scene, scene.a, scene.home);
}

static void a_host_that_does_not_hear_its_apps_home_ends_that_app_alone(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cannot_talk(&scene, scene.home, scene.a);
}

/* The head cannot tell its own silence from that of all others: it declares them dead, and as with
 * every host that was dead, what they run ends when they hear of it. */
static void an_app_goes_on_as_long_as_nobody_hears_the_head(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    lab_drop(*state, scene.head, "output", "oifname eth0");
    for (unsigned i = 0; i < 3; i++) { /* each is refused, after a deadline of its own */
        struct child *run =
            cluster_weft(*state, "run", "--at", scene.b->address, cluster_program("hello"), NULL);
        cluster_check(scene.cluster, run->code == 3);
        stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    }
    lab_heal(*state, scene.head);
    atomic_store(&scene.stage.board->stop, 1); /* it is over: well, or by its hosts' death */
    int code = child_wait(scene.app.run, SCENE_FATAL_MS);
    if (code != 0 && (code != 3 || !child_complained(scene.app.run, "is dead")))
        cluster_fail(*state, "weft run: exit code %d", code);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_all_free(*state);
    takes_work(&scene, scene.a);
    takes_work(&scene, scene.b);
    stage_close(&scene.stage);
}

/* Every established TCP connection of a host, at once: control, lanes, all. */
static void an_app_survives_connections_that_are_reset(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    for (unsigned i = 0; i < 3; i++) {
        lab_in(*state, scene.a, "ss -tK state established dst 10.77.0.0/24 >/dev/null");
        stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
        takes_work(&scene, scene.b);
    }
    cluster_check(scene.cluster, ask_alive(*state, 4));
    scene_ends_well(&scene);
}

/* Longer than heartbeats may be missed, shorter than a host may be silent: the connection over
 * which a is to hand over what its rank has printed is broken, and no other one comes about. */
static void what_is_printed_while_connections_are_broken_comes_once(void **state)
{
    enum { BEATS_MISSED_MS = 6000, REFUSED_MS = 4000 };
    struct cluster *cluster = *state;
    struct stage stage;
    char match[64];
    (void)setenv("WEFT_DEAD_MS", "30000", 1);
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    const struct cluster_host *a = cluster_host(cluster, "a", 1);
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, home, "-n", "2", cluster_program("alone"),
                                         stage.path, "0", "1000", NULL);
    stage_runs(cluster, &stage, 2, 3);
    cluster_check(cluster, ask_rank_is(cluster, &app, 1, "a"));
    snprintf(match, sizeof(match), "ip daddr %s", a->address);
    lab_drop(cluster, home, "output", match);
    cluster_check(cluster, child_wait(app.run, BEATS_MISSED_MS) == -1);
    atomic_store(&stage.board->stop, 1);
    cluster_check(cluster, child_wait(app.run, REFUSED_MS) == -1);
    lab_heal(cluster, home);
    cluster_check(cluster, child_wait(app.run, SCENE_FATAL_MS) == 0);
    char *text = child_read(app.run->out);
    const char *line = strstr(text, "alone 1 steps ");
    if (line == NULL || strstr(line + 1, "alone 1 steps ") != NULL)
        cluster_fail(cluster, "not once: %s", text);
    free(text);
    stage_all_free(cluster);
    stage_close(&stage);
}

/* The hosts of a plan are as the registry knows them; b, which it does not hear, has been taken by
 * another home since. */
static void a_slot_that_another_home_has_taken_since_the_plan_costs_nothing(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage, occupied;
    char match[64];
    (void)setenv("WEFT_DEAD_MS", "30000", 1);
    struct cluster_host *head = cluster_host(cluster, "head", 0);
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    (void)cluster_host(cluster, "a", 1);
    struct cluster_host *b = cluster_host(cluster, "b", 0);
    struct cluster_host *other = cluster_host(cluster, "other", 0);
    stage_open(&stage, cluster);
    stage_open(&occupied, cluster);
    struct cluster_app app = cluster_run(cluster, home, "-n", "2", cluster_program("chain"),
                                         stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &stage, 2, 3);
    cluster_host_stop(cluster, b);
    b->slots = 2;
    cluster_host_again(cluster, b);
    cluster_await(cluster, CLUSTER_MS, ask_alive(cluster, 5));
    snprintf(match, sizeof(match), "ip daddr %s", head->address);
    lab_drop(cluster, b, "output", match);
    struct cluster_app taker = cluster_run(cluster, other, "-n", "2", cluster_program("alone"),
                                           occupied.path, "0", "2000", NULL);
    stage_runs(cluster, &occupied, 2, 1);
    struct child *move = cluster_weft(cluster, "migrate", "--at", home->address, app.hex, NULL);
    if (move->code != 1 || !child_said(move, "-> b: aborted") ||
        !child_said(move, "the destination has no free slot"))
        cluster_fail(cluster, "weft migrate: exit code %d instead of 1 and the slot named",
                     move->code);
    stage_runs(cluster, &stage, 2, 20);
    lab_heal(cluster, b);
    stage_finish(cluster, &occupied, &taker);
    stage_finish(cluster, &stage, &app);
    stage_all_free(cluster);
    stage_close(&occupied);
    stage_close(&stage);
}

static void a_killed_host_ends_its_apps_and_no_others(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.b);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    cluster_host_kill(scene.a);
    scene_ends(&scene, 3, "host a");
    takes_work(&scene, scene.home);
}

static void a_killed_head_is_found_again_at_its_address(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    stage_runs(*state, &scene.stage, SCENE_RANKS, 20);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    takes_work(&scene, scene.b);
    scene_ends_well(&scene);
}

static void a_killed_app_process_ends_its_app_alone(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_signal(*state, scene_process(&scene, scene.a), SIGKILL);
    scene_ends(&scene, 1, "on host a was ended by signal 9");
    takes_work(&scene, scene.a);
}

static void a_host_that_stood_still_for_too_long_comes_back_empty(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    child_signal(scene.a->weftd, SIGSTOP);
    int code = child_wait(scene.app.run, SCENE_FATAL_MS);
    child_signal(scene.a->weftd, SIGCONT);
    cluster_check(scene.cluster, code == 3 && child_complained(scene.app.run, "host a"));
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_all_free(*state);
    cluster_check(scene.cluster, stage_process_on(*state, scene.a) == 0);
    takes_work(&scene, scene.a);
    stage_close(&scene.stage);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, lab_open, lab_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest silence[] = {
        CASE(a_host_that_nobody_hears_is_dead_in_time),
        CASE(a_host_that_hears_nobody_is_dead_in_time),
        CASE(a_host_that_its_apps_home_does_not_hear_ends_that_app_alone),
        CASE(a_host_that_does_not_hear_its_apps_home_ends_that_app_alone),
        CASE(an_app_goes_on_as_long_as_nobody_hears_the_head),
        CASE(an_app_survives_connections_that_are_reset),
        CASE(what_is_printed_while_connections_are_broken_comes_once),
    };
    const struct CMUnitTest deaths[] = {
        CASE(a_slot_that_another_home_has_taken_since_the_plan_costs_nothing),
        CASE(a_killed_host_ends_its_apps_and_no_others),
        CASE(a_killed_head_is_found_again_at_its_address),
        CASE(a_killed_app_process_ends_its_app_alone),
        CASE(a_host_that_stood_still_for_too_long_comes_back_empty),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 's', second = !all && argv[1][0] == 'd';
    if (!lab_enter())
        return 77;
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(silence, NULL, NULL) : 0;
    return failed + (all || second ? cmocka_run_group_tests(deaths, NULL, NULL) : 0);
}
