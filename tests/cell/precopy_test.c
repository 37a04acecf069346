/* Ranks that are copied while they run: what they change meanwhile arrives as it is, and whoever
 * dies in the midst of it costs the move at most. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"
#include "weft/error.h"

enum { RANKS = 4, MOVES = 24 };

static struct cluster_app start(struct cluster *cluster, const char *end)
{
    cluster_three(cluster, RANKS);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-x", "WEFT_PRECOPY_ABOVE=0",
                                         "-n", "4", CELL_PROGRAMS "/pages", end, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "ready"), !child_over(app.run));
    return app;
}

/* Each rank has found in its memory what it must hold, to the end. */
static void ends_well(struct cluster *cluster, struct cluster_app *app, const char *end)
{
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app->run, 3 * CLUSTER_MS) == 0);
    for (int rank = 0; rank < RANKS; rank++) {
        char words[32];
        snprintf(words, sizeof(words), "rank %d: right", rank);
        cluster_check(cluster, child_said(app->run, words));
    }
    stage_all_free(cluster);
}

static void memory_that_changes_while_it_is_copied_arrives(void **state)
{
    struct cluster *cluster = *state;
    const char *end = cluster_file(cluster, "end");
    struct cluster_app app = start(cluster, end);
    unsigned moved = 0, copied = 0;
    for (unsigned turn = 0; moved < MOVES && !child_over(app.run); turn++) {
        struct ask_move move = {.copied = 0};
        const char *to = cluster->hosts[(turn / RANKS + turn) % 3].name;
        if (ask_migrate(cluster, &app, (int)(turn % RANKS), to, &move) != WEFT_OK)
            continue;
        moved += strcmp(move.outcome, "moved") == 0;
        copied += move.copied > 0;
    }
    cluster_check(cluster, copied >= MOVES);
    ends_well(cluster, &app, end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_that_changes_while_it_is_copied_arrives,
                                        cluster_open, cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
