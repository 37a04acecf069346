/* Apps that end badly: weft run fails with the reason, the hosts live on, their slots are free. All
 * cases share one cluster: what one of them breaks the next one meets. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

static int three_open(void **state)
{
    int failed = cluster_open(state);
    if (failed == 0)
        cluster_three(*state, 1);
    return failed;
}

static void check_end(struct cluster *cluster, const char *how, const char *words)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     cluster_program("ends"), how, NULL);
    if (run->code != 1)
        cluster_fail(cluster, "%s: exit code %d instead of 1", how, run->code);
    if (!child_complained(run, words))
        cluster_fail(cluster, "%s: stderr does not say \"%s\"", how, words);
    stage_all_free(cluster);
}

static void a_rank_that_returns_three_fails_its_app(void **state)
{
    check_end(*state, "three", "rank 1 on host a exited with code 3");
}

static void a_rank_that_calls_exit_ends_its_app_with_a_reason(void **state)
{
    check_end(*state, "exit", "code 5");
}

static void mpi_abort_ends_the_app_with_its_code(void **state)
{
    check_end(*state, "abort", "rank 1 on host a aborted with code 7");
}

static void survive(struct cluster *cluster)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     cluster_program("hello"), NULL);
    cluster_check(cluster, run->code == 0);
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        cluster_check(cluster, !child_over(cluster->hosts[i].weftd));
}

static void a_rank_that_touches_forbidden_memory_ends_its_app_only(void **state)
{
    struct cluster *cluster = *state;
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     cluster_program("ends"), "fault", NULL);
    cluster_check(cluster, run->code == 1);
    cluster_check(cluster, child_complained(run, "on host a was ended by signal 11"));
    stage_all_free(cluster);
    survive(cluster);
}

static void a_rank_that_calls_abort_ends_its_app_only(void **state)
{
    struct cluster *cluster = *state;
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     cluster_program("ends"), "libc-abort", NULL);
    cluster_check(cluster, run->code == 1);
    cluster_check(cluster, child_complained(run, "on host a was ended by signal 6") ||
                               child_complained(run, "on host a exited with code"));
    stage_all_free(cluster);
    survive(cluster);
}

/* The weftd of a stands still while its rank ends: what the rank printed last is in its pipe. */
static int ends_while_a_stands_still(struct cluster *cluster, struct cluster_app *app,
                                     unsigned still_ms)
{
    struct stage stage;
    stage_open(&stage, cluster);
    *app = cluster_run(cluster, &cluster->hosts[0], "-n", "2", cluster_program("chain"), stage.path,
                       "0", "1", "1000", NULL);
    stage_runs(cluster, &stage, 2, 1);
    cluster_check(cluster, ask_rank_is(cluster, app, 1, "a"));
    child_signal(cluster->hosts[1].weftd, SIGSTOP);
    atomic_store(&stage.board->stop, 1);
    (void)child_wait(app->run, still_ms);
    child_signal(cluster->hosts[1].weftd, SIGCONT);
    int code = child_wait(app->run, CLUSTER_MS);
    stage_all_free(cluster);
    stage_close(&stage);
    return code;
}

static void an_app_whose_last_output_is_not_to_be_had_has_not_ended_well(void **state)
{
    struct cluster_app app;
    cluster_check(*state, ends_while_a_stands_still(*state, &app, 2 * CLUSTER_MS) == 3);
    cluster_check(*state, child_complained(app.run, "host a did not answer at the end"));
    survive(*state);
}

static void an_app_waits_for_its_last_output_when_connections_break(void **state)
{
    enum { HEARTBEATS_MISSED_MS = 5000 };
    struct cluster_app app;
    cluster_check(*state, ends_while_a_stands_still(*state, &app, HEARTBEATS_MISSED_MS) == 0);
    cluster_check(*state, child_said(app.run, "chain rank 1 "));
    survive(*state);
}

static bool rank_1_has_ended(struct cluster *cluster, const struct cluster_app *app)
{
    struct ask_app now;
    return ask_app(cluster, app, &now) && strcmp(now.ranks[1].state, "ended") == 0;
}

/* Rank 1, on a, ends long before rank 0. */
static struct cluster_app ends_early(struct cluster *cluster, struct cluster_host *home,
                                     struct stage *stage, bool hands_over)
{
    const struct cluster_host *a = &cluster->hosts[1];
    stage_open(stage, cluster);
    struct cluster_app app = cluster_run(cluster, home, "-n", "2", cluster_program("alone"),
                                         stage->path, "0", "1000", "1", NULL);
    stage_runs(cluster, stage, 2, 3);
    cluster_check(cluster, ask_rank_is(cluster, &app, 1, "a"));
    if (!hands_over)
        child_signal(a->weftd, SIGSTOP);
    atomic_store(&stage->board->phase, 1);
    cluster_await(cluster, CLUSTER_MS, rank_1_has_ended(cluster, &app));
    return app;
}

static void goes_on(struct cluster *cluster, const struct stage *stage)
{
    uint64_t steps = atomic_load(&stage->board->ranks[0].steps);
    cluster_await(cluster, CLUSTER_MS, atomic_load(&stage->board->ranks[0].steps) > steps);
    atomic_store(&stage->board->stop, 1);
}

static void who_has_printed_on_a_host_that_died_ends_well_if_it_was_handed_over(void **state)
{
    enum { BEATS_MS = 3000 };
    struct cluster *cluster = *state;
    struct cluster_host *a = &cluster->hosts[1];
    struct stage first, second;
    struct cluster_app well = ends_early(cluster, &cluster->hosts[0], &first, true);
    cluster_await(cluster, CLUSTER_MS, child_said(well.run, "alone 1 steps"));
    cluster_check(cluster, child_wait(well.run, BEATS_MS) == -1);
    struct cluster_app cut = ends_early(cluster, &cluster->hosts[2], &second, false);
    cluster_host_kill(a);
    cluster_await(cluster, CLUSTER_MS, ask_alive(cluster, 2));
    goes_on(cluster, &first);
    goes_on(cluster, &second);
    cluster_check(cluster, child_wait(well.run, CLUSTER_MS) == 0);
    cluster_check(cluster, child_wait(cut.run, CLUSTER_MS) == 3);
    cluster_check(cluster, child_complained(cut.run, "host a died"));
    stage_all_free(cluster);
    stage_close(&first);
    stage_close(&second);
    cluster_host_again(cluster, a);
    cluster_await(cluster, CLUSTER_MS, ask_alive(cluster, 3));
    survive(cluster);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_returns_three_fails_its_app),
        cmocka_unit_test(a_rank_that_calls_exit_ends_its_app_with_a_reason),
        cmocka_unit_test(mpi_abort_ends_the_app_with_its_code),
        cmocka_unit_test(a_rank_that_touches_forbidden_memory_ends_its_app_only),
        cmocka_unit_test(a_rank_that_calls_abort_ends_its_app_only),
        cmocka_unit_test(an_app_whose_last_output_is_not_to_be_had_has_not_ended_well),
        cmocka_unit_test(an_app_waits_for_its_last_output_when_connections_break),
        cmocka_unit_test(who_has_printed_on_a_host_that_died_ends_well_if_it_was_handed_over),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, three_open, cluster_close);
}
