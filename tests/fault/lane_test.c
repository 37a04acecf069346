/* An app whose data lanes are late and break, again and again: transport/fault between its
 * processes. Nothing is lost and nothing comes twice, also while a rank moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"
#include "weft/error.h"

static void runs_over(struct cluster *cluster, const char *data)
{
    struct scene scene;
    (void)setenv("WEFT_DATA", data, 1);
    scene_open(&scene, cluster);
    stage_runs(cluster, &scene.stage, SCENE_RANKS, 200);
    stage_move(cluster, &scene.app, SCENE_MOVER, "b");
    stage_runs(cluster, &scene.stage, SCENE_RANKS, 200);
    scene_ends_well(&scene);
}

static void an_app_moves_over_lanes_that_are_late(void **state)
{
    runs_over(*state, "fault(seed=3,delay=2ms,late=20%)+zmq");
}

static void an_app_moves_over_lanes_that_break(void **state)
{
    runs_over(*state, "fault(seed=4,delay=500us,late=10%,cut=0.5%,on=message)+zmq");
}

static void an_app_moves_over_lanes_that_double_and_reorder(void **state)
{
    runs_over(*state, "fault(seed=5,dup=20%,reorder=5%,delay=500us,late=10%)+zmq");
}

/* Each move takes place or is given up; the rank runs on in either case. */
static void moves_whose_gets_fail_cost_the_app_nothing(void **state)
{
    enum { MOVES = 6 };
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_move move;
    unsigned moved = 0;
    (void)setenv("WEFT_DATA", "fault(seed=6,fail=30%,on=rma)+zmq", 1);
    scene_open(&scene, cluster);
    for (unsigned i = 0; i < MOVES; i++) {
        memset(&move, 0, sizeof(move));
        cluster_check(cluster, ask_migrate(cluster, &scene.app, SCENE_MOVER, moved % 2 ? "a" : "b",
                                           &move) == WEFT_OK);
        moved += strcmp(move.outcome, "moved") == 0;
        stage_runs(cluster, &scene.stage, SCENE_RANKS, 20);
    }
    scene_ends_well(&scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(an_app_moves_over_lanes_that_are_late),
        CASE(an_app_moves_over_lanes_that_break),
        CASE(an_app_moves_over_lanes_that_double_and_reorder),
        CASE(moves_whose_gets_fail_cost_the_app_nothing),
    };
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
