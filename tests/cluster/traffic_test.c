/* Traffic decides: ranks that talk to each other come to share a host, and stay there. */
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

enum { RANKS = 8, PAIRS = RANKS / 2 };
#define KIB "64" /* that a pair exchanges per step, each way */

/* Two hosts of six slots, two of them taken on each; ranks 0-3 on home, 4-7 on a, and rank r talks
 * to rank r + 4. */
struct scene {
    struct cluster_app occupier[2], app;
    struct stage occupied[2], stage;
};

static void scene_open(struct cluster *cluster, struct scene *scene, const char *migrate)
{
    struct cluster_host *hosts[2] = {cluster_host(cluster, "home", 6), NULL};
    hosts[1] = cluster_host(cluster, "a", 6);
    for (int i = 0; i < 2; i++) {
        stage_open(&scene->occupied[i], cluster);
        scene->occupier[i] =
            cluster_run(cluster, hosts[i], "-n", "2", "--hint", "FORCE_LOCAL",
                        cluster_program("chain"), scene->occupied[i].path, "0", "0", "20000", NULL);
        stage_runs(cluster, &scene->occupied[i], 2, 1);
    }
    stage_open(&scene->stage, cluster);
    scene->app = cluster_run(cluster, hosts[0], "-n", "8", migrate, cluster_program("chain"),
                             scene->stage.path, "0", "1", "1000", KIB, NULL);
    stage_runs(cluster, &scene->stage, RANKS, 1);
    for (unsigned r = 0; r < RANKS; r++)
        cluster_check(cluster, ask_rank_is(cluster, &scene->app, r, r < PAIRS ? "home" : "a"));
}

static void occupiers_end(struct cluster *cluster, struct scene *scene)
{
    for (int i = 0; i < 2; i++)
        stage_finish(cluster, &scene->occupied[i], &scene->occupier[i]);
}

/* A second run without moves, of as many steps, comes to the same digest. */
static void check_digest(struct cluster *cluster, struct scene *scene)
{
    const char *moved = stage_digest(scene->app.run);
    char steps[32] = "";
    struct stage stage;
    cluster_check(cluster, sscanf(moved, "chain steps %31s", steps) == 1);
    stage_open(&stage, cluster);
    struct child *still =
        cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "8",
                     cluster_program("chain"), stage.path, steps, "1", "0", KIB, NULL);
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
    stage_close(&scene->occupied[0]);
    stage_close(&scene->occupied[1]);
}

static bool pairs_share_hosts(struct cluster *cluster, const struct scene *scene,
                              struct ask_app *now)
{
    if (!ask_app(cluster, &scene->app, now) || now->pending > 0)
        return false;
    for (unsigned r = 0; r < PAIRS; r++)
        if (strcmp(now->ranks[r].host, now->ranks[r + PAIRS].host) != 0)
            return false;
    return true;
}

/* How many pairs weft apps --traffic tells of whose ranks are half a world apart, and how many of
 * them share a host; -1: it tells of none yet. */
static int heavy_pairs(struct cluster *cluster, const struct scene *scene, int *same_out)
{
    struct child *asked = cluster_weft(cluster, "apps", "--at", cluster->hosts[1].address,
                                       "--traffic", "--json", "-", scene->app.hex, NULL);
    cluster_check(cluster, asked->code == 0);
    char *text = child_read(asked->out);
    json_t *all = json_loads(text, 0, NULL), *pairs = json_object_get(all, "traffic"), *pair;
    size_t i;
    int heavy = 0;
    *same_out = 0;
    free(text);
    json_array_foreach(pairs, i, pair)
    {
        json_int_t from = json_integer_value(json_object_get(pair, "from"));
        json_int_t to = json_integer_value(json_object_get(pair, "to"));
        if (i >= RANKS || from % PAIRS != to % PAIRS)
            break;
        heavy++;
        *same_out += json_is_true(json_object_get(pair, "same_host"));
        cluster_check(cluster, json_real_value(json_object_get(pair, "bytes_per_s")) > 0);
    }
    json_decref(all);
    return heavy;
}

static void pairs_that_were_split_come_to_share_hosts_and_stay(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    int same;
    scene_open(cluster, &scene, "--migrate=0.3");
    /* The heaviest pairs are known before anything can be done about them. */
    cluster_await_while(cluster, CLUSTER_MS, heavy_pairs(cluster, &scene, &same) == RANKS,
                        !child_over(scene.app.run));
    cluster_check(cluster, same == 0);
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == 0);
    occupiers_end(cluster, &scene);
    cluster_await_while(cluster, 2 * CLUSTER_MS, pairs_share_hosts(cluster, &scene, &now),
                        !child_over(scene.app.run));
    unsigned moves = now.moves_n;
    cluster_check(cluster, strcmp(now.last.cause, "less traffic between hosts") == 0);
    cluster_check(cluster, now.moved == moves && moves >= PAIRS && moves <= RANKS);
    cluster_check(cluster, heavy_pairs(cluster, &scene, &same) == RANKS && same == RANKS);
    stage_runs(cluster, &scene.stage, RANKS, 500); /* and that is that */
    cluster_check(cluster, ask_app(cluster, &scene.app, &now) && now.moves_n == moves);
    scene_close(cluster, &scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pairs_that_were_split_come_to_share_hosts_and_stay,
                                        cluster_open, cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
