/* Ranks that never talk to each other while one of them is moved: no barrier over the app. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { RANKS = 4, MOVER = 3, BEFORE = 0, DURING = 1, AFTER = 2, CONTROL_MS = 1000, HELD_MS = 2500 };

static double held_up_ms; /* the longest time that this process itself was not let run */

static void look(void)
{
    uint64_t began = child_now_ms();
    child_nap();
    double took = (double)(child_now_ms() - began);
    held_up_ms = took > held_up_ms ? took : held_up_ms;
}

static void wait_ms(unsigned ms)
{
    for (struct child_patience patience = child_patience(ms); !child_patience_over(&patience);)
        look();
}

static double longest_ms(const struct stage *stage, unsigned rank, unsigned phase)
{
    return (double)atomic_load(&stage->board->ranks[rank].longest_ns[phase]) / 1e6;
}

/* A barrier would stop all for as long as the move takes; a loaded machine stops everybody now and
 * then, this process too. */
static void check_gaps(struct cluster *cluster, const struct stage *stage, double least_ms)
{
    least_ms = held_up_ms > least_ms ? held_up_ms : least_ms;
    for (unsigned r = 0; r < RANKS; r++) {
        double before = longest_ms(stage, r, BEFORE), during = longest_ms(stage, r, DURING);
        double bound = 10 * (before > least_ms ? before : least_ms);
        fprintf(stderr, "rank %u: longest step %.1f ms before, %.1f ms during the move%s\n", r,
                before, during, r == MOVER ? " (it moves)" : "");
        if (r != MOVER && during > bound)
            cluster_fail(cluster,
                         "rank %u stood still for %.0f ms while rank %d moved; before %.0f", r,
                         during, MOVER, before);
    }
}

static struct cluster_app begin(struct cluster *cluster, struct stage *stage)
{
    cluster_three(cluster, 2);
    stage_open(stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "4",
                                         cluster_program("alone"), stage->path, "64", "500", NULL);
    stage_runs(cluster, stage, RANKS, 10);
    cluster_check(cluster, ask_rank_is(cluster, &app, MOVER, "a"));
    for (unsigned r = 0; r < RANKS; r++) /* what the start cost is no measure */
        atomic_store(&stage->board->ranks[r].longest_ns[BEFORE], 0);
    held_up_ms = 0;
    wait_ms(CONTROL_MS);
    return app;
}

static void end(struct cluster *cluster, struct stage *stage, struct cluster_app *app)
{
    stage_finish(cluster, stage, app);
    for (unsigned r = 0; r < RANKS; r++) {
        char words[32];
        snprintf(words, sizeof(words), "alone %u steps", r);
        cluster_check(cluster, child_said(app->run, words));
    }
    stage_all_free(cluster);
    stage_close(stage);
}

static void the_others_go_on_while_a_rank_of_64_mib_moves(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    struct ask_app now;
    struct cluster_app app = begin(cluster, &stage);
    atomic_store(&stage.board->phase, DURING);
    struct child *move = cluster_start(cluster, "weft", "migrate", "--at", app.home->address,
                                       app.hex, "3", "b", NULL);
    for (struct child_patience patience = child_patience(CLUSTER_MS); !child_over(move); look())
        cluster_check(cluster, !child_patience_over(&patience));
    cluster_check(cluster, move->code == 0);
    atomic_store(&stage.board->phase, AFTER);
    stage_runs(cluster, &stage, RANKS, 10);
    cluster_check(cluster, ask_app(cluster, &app, &now) && now.last.touched >= 64u << 20);
    fprintf(stderr, "pause %.1f ms, %llu bytes by %s\n", now.last.pause_ms,
            (unsigned long long)now.last.bytes, now.last.transport);
    check_gaps(cluster, &stage, 50);
    end(cluster, &stage, &app);
}

/* The destination's process is stopped before it has pulled anything: the moving rank stands for
 * seconds, the others do not notice. */
static void the_others_go_on_while_a_rank_stands_for_seconds(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    struct cluster_app app = begin(cluster, &stage);
    atomic_store(&stage.board->phase, DURING);
    struct child *move = stage_hold_move(cluster, &stage, &app, MOVER, "b");
    uint64_t dest = stage_process_on(cluster, &cluster->hosts[2]);
    stage_signal(cluster, dest, SIGSTOP);
    atomic_store(&stage.board->hold, 0);
    wait_ms(HELD_MS);
    cluster_check(cluster, !child_over(move));
    stage_signal(cluster, dest, SIGCONT);
    cluster_check(cluster, child_wait(move, CLUSTER_MS) == 0);
    atomic_store(&stage.board->phase, AFTER);
    stage_runs(cluster, &stage, RANKS, 10);
    cluster_check(cluster, ask_rank_is(cluster, &app, MOVER, "b"));
    cluster_check(cluster, longest_ms(&stage, MOVER, DURING) >= HELD_MS);
    for (unsigned r = 0; r < MOVER; r++) {
        double during = longest_ms(&stage, r, DURING);
        fprintf(stderr, "rank %u: longest step %.1f ms while rank %d stood for %d ms\n", r, during,
                MOVER, HELD_MS);
        if (during > HELD_MS / 2.0 + 2 * held_up_ms)
            cluster_fail(cluster, "rank %u stood still for %.0f ms", r, during);
    }
    end(cluster, &stage, &app);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(the_others_go_on_while_a_rank_of_64_mib_moves),
        CASE(the_others_go_on_while_a_rank_stands_for_seconds),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
