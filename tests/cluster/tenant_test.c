/* Apps of two tenants: those of policy compact share no host with another's, whoever comes first
 * and whatever is asked for; the others share as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { RACES = 3 };

static struct cluster_app start(struct cluster *cluster, struct cluster_host *home,
                                struct stage *stage, const char *tenant, const char *policy)
{
    stage_open(stage, cluster);
    struct cluster_app app =
        cluster_run(cluster, home, "-n", "2", "--tenant", tenant, "--policy", policy,
                    cluster_program("chain"), stage->path, "0", "1", "1000", NULL);
    stage_runs(cluster, stage, 2, 1);
    return app;
}

static struct child *try_at(struct cluster *cluster, const struct cluster_host *home,
                            const char *tenant, const char *policy)
{
    return cluster_weft(cluster, "run", "--at", home->address, "--tenant", tenant, "--policy",
                        policy, cluster_program("hello"), NULL);
}

static void end(struct cluster *cluster, struct stage *stage, struct cluster_app *app)
{
    stage_finish(cluster, stage, app);
    stage_close(stage);
}

static void an_app_that_wants_to_be_apart_goes_past_hosts_of_others(void **state)
{
    struct cluster *cluster = *state;
    struct stage first, second;
    cluster_three(cluster, 4);
    struct cluster_host *home = &cluster->hosts[0];
    struct cluster_app x = start(cluster, home, &first, "x", "bin-pack");
    struct cluster_app y = start(cluster, home, &second, "y", "compact");
    cluster_check(cluster, ask_rank_is(cluster, &x, 0, "home"));
    cluster_check(cluster, !ask_rank_is(cluster, &y, 0, "home"));
    cluster_check(cluster, !ask_rank_is(cluster, &y, 1, "home"));
    /* Nor does anybody come to where it is. */
    struct ask_app now;
    cluster_check(cluster, ask_app(cluster, &y, &now));
    struct ask_move move = {0};
    (void)ask_migrate(cluster, &x, 0, now.ranks[0].host, &move);
    cluster_check(cluster, strcmp(move.outcome, "moved") != 0);
    cluster_check(cluster, strstr(move.reason, "another tenant") != NULL);
    move = (struct ask_move){0};
    (void)ask_migrate(cluster, &y, 0, "home", &move);
    cluster_check(cluster, strcmp(move.outcome, "moved") != 0);
    struct child *hosts =
        cluster_weft(cluster, "hosts", "--at", home->address, "--json", "-", NULL);
    cluster_check(cluster, hosts->code == 0 && child_said(hosts, "\"tenant\": \"y\""));
    end(cluster, &second, &y);
    end(cluster, &first, &x);
    stage_all_free(cluster);
}

static void where_every_host_is_another_tenants_it_is_refused(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    struct cluster_host *home = cluster_host(cluster, "home", 4);
    struct cluster_app x = start(cluster, home, &stage, "x", "compact");
    struct child *refused = try_at(cluster, home, "y", "bin-pack");
    cluster_check(cluster, refused->code == 4);
    cluster_check(cluster, try_at(cluster, home, "y", "compact")->code == 4);
    cluster_check(cluster, try_at(cluster, home, "x", "compact")->code == 0);
    cluster_check(cluster, try_at(cluster, home, "x", "bin-pack")->code == 0);
    end(cluster, &stage, &x);
    stage_all_free(cluster);
    cluster_check(cluster, try_at(cluster, home, "y", "compact")->code == 0);
}

static int try_on_b(struct cluster *cluster, const char *tenant)
{
    return cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "--tenant", tenant,
                        "--place", "b:1", cluster_program("hello"), NULL)
        ->code;
}

static void ranks_that_move_are_their_tenants_where_they_go(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    cluster_three(cluster, 4);
    struct cluster_app y = start(cluster, &cluster->hosts[0], &stage, "y", "compact");
    stage_move(cluster, &y, 0, "b"); /* to a host that nobody is on, */
    stage_move(cluster, &y, 1, "b"); /* and beside its own */
    cluster_check(cluster, try_on_b(cluster, "x") == 4);
    cluster_check(cluster, try_on_b(cluster, "y") == 0);
    end(cluster, &stage, &y);
    stage_all_free(cluster);
    cluster_check(cluster, try_on_b(cluster, "x") == 0);
}

static void of_two_homes_that_want_one_host_at_once_one_gets_it(void **state)
{
    struct cluster *cluster = *state;
    cluster_check(cluster, cluster_host(cluster, "home", 0) != NULL);
    cluster_check(cluster, cluster_host(cluster, "other", 0) != NULL);
    cluster_check(cluster, cluster_host(cluster, "work", 4) != NULL);
    for (int race = 0; race < RACES; race++) {
        struct child *runs[2];
        struct stage stages[2];
        for (int i = 0; i < 2; i++) {
            stage_open(&stages[i], cluster);
            runs[i] =
                cluster_start(cluster, "weft", "run", "--at", cluster->hosts[i].address, "--tenant",
                              i == 0 ? "x" : "y", "--policy", "compact", "-n", "2",
                              cluster_program("chain"), stages[i].path, "0", "1", "1000", NULL);
        }
        /* One of them runs, the other one is refused. */
        cluster_await(cluster, CLUSTER_MS, child_over(runs[0]) || child_over(runs[1]));
        int loser = child_over(runs[0]) ? 0 : 1;
        cluster_check(cluster, child_wait(runs[loser], CLUSTER_MS) == 4);
        stage_runs(cluster, &stages[1 - loser], 2, 5);
        cluster_check(cluster, child_complained(runs[loser], "tenant"));
        cluster_check(cluster, ask_used(cluster, &cluster->hosts[2]) == 2 + 1); /* slots, process */
        atomic_store(&stages[1 - loser].board->stop, 1);
        cluster_check(cluster, child_wait(runs[1 - loser], CLUSTER_MS) == 0);
        stage_all_free(cluster);
        stage_close(&stages[0]);
        stage_close(&stages[1]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(an_app_that_wants_to_be_apart_goes_past_hosts_of_others),
        CASE(where_every_host_is_another_tenants_it_is_refused),
        CASE(ranks_that_move_are_their_tenants_where_they_go),
        CASE(of_two_homes_that_want_one_host_at_once_one_gets_it),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
