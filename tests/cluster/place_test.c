/* Placement, and the detector: it finds the one move that makes the placement better, and only
 * where it was asked to look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { RANKS = 4 };

/* An occupier on the home host, and then an app of four ranks on home, a, a, b. b has one slot:
 * with two, home -> b would be a better placement before the occupier ends. */
struct scene {
    struct cluster_app occupier, app;
    struct stage occupied, stage;
};

static void scene_open(struct cluster *cluster, struct scene *scene, const char *migrate)
{
    struct cluster_host *home = cluster_host(cluster, "home", 2);
    (void)cluster_host(cluster, "a", 2);
    (void)cluster_host(cluster, "b", 1);
    stage_open(&scene->occupied, cluster);
    stage_open(&scene->stage, cluster);
    scene->occupier = cluster_run(cluster, home, "--hint", "FORCE_LOCAL", cluster_program("alone"),
                                  scene->occupied.path, "0", "2000", NULL);
    stage_runs(cluster, &scene->occupied, 1, 1);
    cluster_check(cluster, ask_rank_is(cluster, &scene->occupier, 0, "home"));
    scene->app = cluster_run(cluster, home, "-n", "4", migrate, cluster_program("chain"),
                             scene->stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &scene->stage, RANKS, 1);
    static const char *const wanted[] = {"home", "a", "a", "b"};
    struct ask_app now;
    cluster_check(cluster, ask_app(cluster, &scene->app, &now));
    for (unsigned r = 0; r < RANKS; r++)
        if (strcmp(now.ranks[r].host, wanted[r]) != 0)
            cluster_fail(cluster, "rank %u is on %s, not on %s", r, now.ranks[r].host, wanted[r]);
}

static void occupier_ends(struct cluster *cluster, struct scene *scene)
{
    stage_finish(cluster, &scene->occupied, &scene->occupier);
}

/* A second run without moves, of as many steps, comes to the same digest. */
static void check_digest(struct cluster *cluster, struct scene *scene)
{
    const char *moved = stage_digest(scene->app.run);
    char steps[32] = "";
    struct stage stage;
    cluster_check(cluster, sscanf(moved, "chain steps %31s", steps) == 1);
    stage_open(&stage, cluster);
    struct child *still = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "4",
                                       cluster_program("chain"), stage.path, steps, "1", "0", NULL);
    cluster_check(cluster, still->code == 0);
    if (strcmp(moved, stage_digest(still)) != 0)
        cluster_fail(cluster, "with moves: %s, without: %s", moved, stage_digest(still));
    stage_close(&stage);
}

static void scene_close(struct cluster *cluster, struct scene *scene)
{
    stage_finish(cluster, &scene->stage, &scene->app);
    check_digest(cluster, scene);
    stage_all_free(cluster);
    stage_close(&scene->stage);
    stage_close(&scene->occupied);
}

static void a_slot_that_comes_free_at_home_brings_the_lonely_rank_there(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene, "--migrate=0.3");
    occupier_ends(cluster, &scene);
    cluster_await_while(cluster, CLUSTER_MS,
                        ask_app(cluster, &scene.app, &now) && now.moved > 0 && now.pending == 0,
                        !child_over(scene.app.run));
    cluster_check(cluster, now.moves_n == 1 && now.last.rank == 3);
    cluster_check(cluster, strcmp(now.last.from, "b") == 0 && strcmp(now.last.to, "home") == 0);
    cluster_check(cluster, strcmp(now.last.cause, "asked by hand") != 0);
    cluster_check(cluster, now.last.touched >= 1 << 20 && now.last.bytes >= now.last.touched);
    cluster_check(cluster, strcmp(now.ranks[3].host, "home") == 0 && now.ranks[3].incarnation == 2);
    cluster_check(cluster, now.ranks[3].pid == now.ranks[0].pid);
    uint64_t pid = atomic_load(&scene.stage.board->ranks[3].pid);
    cluster_check(cluster, pid == now.ranks[3].pid);
    cluster_check(cluster, atomic_load(&scene.stage.board->ranks[3].entered) == 2);
    stage_runs(cluster, &scene.stage, RANKS, 50); /* and it goes on without another move */
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == 1);
    cluster_await(cluster, CLUSTER_MS, ask_used(cluster, &cluster->hosts[0]) == 2 + 1);
    scene_close(cluster, &scene);
}

static void without_migration_nothing_moves_but_the_dry_run_proposes_that_move(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene, "--migrate=0");
    occupier_ends(cluster, &scene);
    struct child *dry = cluster_weft(cluster, "migrate", "--at", cluster->hosts[0].address,
                                     "--dry-run", "--json", "-", scene.app.hex, NULL);
    cluster_check(cluster, dry->code == 0);
    char *text = child_read(dry->out);
    json_t *answer = json_loads(text, 0, NULL), *moves = json_object_get(answer, "moves");
    json_t *plan = json_object_get(answer, "plan"), *move = json_array_get(moves, 0);
    free(text);
    cluster_check(cluster, json_integer_value(json_object_get(plan, "moves")) == 1);
    cluster_check(cluster, json_integer_value(json_object_get(plan, "hosts_now")) == 3 &&
                               json_integer_value(json_object_get(plan, "hosts_then")) == 2);
    cluster_check(cluster, json_real_value(json_object_get(plan, "gain_ms")) > 0 &&
                               json_real_value(json_object_get(plan, "cost_ms")) > 0);
    cluster_check(cluster, json_string_length(json_object_get(plan, "verdict")) > 0);
    cluster_check(cluster, json_array_size(moves) == 1);
    cluster_check(cluster, json_integer_value(json_object_get(move, "rank")) == 3);
    cluster_check(cluster, strcmp(json_string_value(json_object_get(move, "from")), "b") == 0);
    cluster_check(cluster, strcmp(json_string_value(json_object_get(move, "to")), "home") == 0);
    json_decref(answer);
    struct child *hand = cluster_weft(cluster, "migrate", "--at", cluster->hosts[0].address,
                                      "--dry-run", scene.app.hex, "1", "b", NULL);
    cluster_check(cluster, hand->code == 0 && child_said(hand, "rank 1 a -> b: proposed"));
    cluster_check(cluster, child_said(hand, "hosts 3 -> 3") && child_said(hand, "no free slot"));
    stage_runs(cluster, &scene.stage, RANKS, 200);
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == 0);
    scene_close(cluster, &scene);
}

static void weft_migrate_without_a_rank_carries_the_plan_out(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene, "--migrate=0");
    const char *at = cluster->hosts[0].address;
    struct child *none = cluster_weft(cluster, "migrate", "--at", at, scene.app.hex, NULL);
    cluster_check(cluster, none->code == 0 && child_said(none, "nothing to do"));
    occupier_ends(cluster, &scene);
    struct child *asked =
        cluster_weft(cluster, "migrate", "--at", cluster->hosts[1].address, scene.app.hex, NULL);
    cluster_check(cluster, asked->code == 0 && child_said(asked, "rank 3 b -> home: moved"));
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == 1);
    scene_close(cluster, &scene);
}

static void under_spot_nobody_leaves_a_host_that_stays(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene, "--policy=spot");
    occupier_ends(cluster, &scene);
    struct child *none =
        cluster_weft(cluster, "migrate", "--at", cluster->hosts[0].address, scene.app.hex, NULL);
    cluster_check(cluster, none->code == 0 && child_said(none, "nothing to do"));
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == 0);
    scene_close(cluster, &scene);
}

static void the_listings_agree_with_each_other(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene, "--migrate=0");
    const char *at = cluster->hosts[2].address;
    char *text = child_read(cluster_weft(cluster, "hosts", "--at", at, "--json", "-", NULL)->out);
    json_t *hosts = json_loads(text, 0, NULL), *apps;
    free(text);
    cluster_check(cluster, json_array_size(hosts) == 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *host = json_array_get(hosts, i);
        bool is_b = strcmp(json_string_value(json_object_get(host, "name")), "b") == 0;
        cluster_check(cluster,
                      json_integer_value(json_object_get(host, "slots")) == (is_b ? 1 : 2));
        cluster_check(cluster, json_is_true(json_object_get(host, "alive")));
    }
    json_decref(hosts);
    text = child_read(cluster_weft(cluster, "apps", "--at", at, "--json", "-", NULL)->out);
    apps = json_loads(text, 0, NULL);
    free(text);
    cluster_check(cluster, json_array_size(apps) == 2);
    size_t ranks = 0;
    for (size_t i = 0; i < 2; i++)
        ranks += json_array_size(json_object_get(json_array_get(apps, i), "ranks"));
    cluster_check(cluster, ranks == 1 + RANKS);
    json_decref(apps);
    occupier_ends(cluster, &scene);
    scene_close(cluster, &scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_slot_that_comes_free_at_home_brings_the_lonely_rank_there),
        CASE(without_migration_nothing_moves_but_the_dry_run_proposes_that_move),
        CASE(weft_migrate_without_a_rank_carries_the_plan_out),
        CASE(under_spot_nobody_leaves_a_host_that_stays),
        CASE(the_listings_agree_with_each_other),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
