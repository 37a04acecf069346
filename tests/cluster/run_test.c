/* Apps that run: what they print arrives, on whatever hosts they run, and their slots are free
 * again. */
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

/* Each of the ranks has printed its lines, all of them, in order. */
static void check_lines(struct cluster *cluster, const struct child *run, int ranks, int lines)
{
    char *text = child_read(run->out), *save = NULL;
    int *next = calloc((size_t)ranks, sizeof(*next)), total = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int rank, size, number;
        char host[16];
        if (sscanf(line, "hello %d of %d on %15s line %d", &rank, &size, host, &number) != 4 ||
            rank < 0 || rank >= ranks || size != ranks || number != next[rank])
            cluster_fail(cluster, "an unexpected line: %s", line);
        next[rank]++;
        total++;
    }
    free(next);
    free(text);
    if (total != ranks * lines)
        cluster_fail(cluster, "%d lines instead of %d", total, ranks * lines);
}

static int three_open(void **state)
{
    int failed = cluster_open(state);
    if (failed == 0)
        cluster_three(*state, 2);
    return failed;
}

static void what_ranks_print_on_one_host_arrives_whole_and_in_order(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 4);
    struct child *run = cluster_weft(cluster, "run", "--at", home->address, "-n", "4",
                                     cluster_program("hello"), "200", NULL);
    cluster_check(cluster, run->code == 0);
    check_lines(cluster, run, 4, 200);
    stage_all_free(cluster);
}

static void what_ranks_print_on_three_hosts_arrives_whole_and_in_order(void **state)
{
    struct cluster *cluster = *state;
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "6",
                                     cluster_program("hello"), "1000", NULL);
    cluster_check(cluster, run->code == 0);
    check_lines(cluster, run, 6, 1000);
    cluster_check(cluster, child_said(run, " on home "));
    cluster_check(cluster, child_said(run, " on a "));
    cluster_check(cluster, child_said(run, " on b "));
    stage_all_free(cluster);
}

static void weft_run_with_hosts_starts_and_ends_its_own_cluster(void **state)
{
    struct cluster *cluster = *state;
    struct child *run = cluster_weft(cluster, "run", "--hosts", "2", "--slots", "1", "-n", "2",
                                     cluster_program("hello"), "3", NULL);
    cluster_check(cluster, run->code == 0);
    check_lines(cluster, run, 2, 3);
    cluster_check(cluster, cluster_marked(cluster, false) == 0);
}

/* The teardown looks for processes, and for files in TMPDIR. */
static void a_killed_weft_run_with_hosts_leaves_nothing(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    stage_open(&stage, cluster);
    struct child *run = cluster_start(cluster, "weft", "run", "--hosts", "3", "--slots", "1", "-n",
                                      "3", cluster_program("alone"), stage.path, "1", "2000", NULL);
    stage_runs(cluster, &stage, 3, 3);
    run->expect_signal = true;
    child_signal(run, SIGKILL);
    cluster_await(cluster, CLUSTER_MS, cluster_marked(cluster, false) == 0);
    stage_close(&stage);
}

static void apps_one_after_the_other_each_find_free_slots(void **state)
{
    struct cluster *cluster = *state;
    for (int i = 0; i < 5; i++) {
        struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n",
                                         "6", cluster_program("hello"), NULL);
        cluster_check(cluster, run->code == 0);
        check_lines(cluster, run, 6, 1);
    }
    stage_all_free(cluster);
}

static void an_app_may_be_at_home_on_any_host(void **state)
{
    struct cluster *cluster = *state;
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[2].address, "-n", "6",
                                     cluster_program("hello"), NULL);
    cluster_check(cluster, run->code == 0);
    check_lines(cluster, run, 6, 1);
    stage_all_free(cluster);
}

/* As `weft apps --json` writes it. */
static void read_age(struct cluster *cluster, const struct cluster_app *app, char age[32])
{
    struct child *apps =
        cluster_weft(cluster, "apps", "--json", "-", "--at", app->home->address, app->hex, NULL);
    char *text = child_read(apps->out), *at = strstr(text, "\"age_ms\":");
    cluster_check(cluster, at != NULL && sscanf(at, "\"age_ms\": %31[0-9.e+]", age) == 1);
    free(text);
}

static void the_time_of_an_app_that_has_ended_stands_still(void **state)
{
    struct cluster *cluster = *state;
    char first[32], second[32];
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "2", cluster_program("hello"), NULL);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    read_age(cluster, &app, first);
    read_age(cluster, &app, second);
    if (strcmp(first, second) != 0)
        cluster_fail(cluster, "it was %s ms old, then %s", first, second);
    stage_all_free(cluster);
}

static void weft_kill_ends_a_running_app(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "3",
                                         cluster_program("alone"), stage.path, "1", "2000", NULL);
    stage_runs(cluster, &stage, 3, 3);
    struct child *killer =
        cluster_weft(cluster, "kill", "--at", cluster->hosts[1].address, app.hex, NULL);
    cluster_check(cluster, killer->code == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 1);
    cluster_check(cluster, child_complained(app.run, "it was killed"));
    stage_all_free(cluster);
    stage_close(&stage);
}

static void weft_run_that_is_interrupted_ends_its_app(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "3",
                                         cluster_program("alone"), stage.path, "1", "2000", NULL);
    stage_runs(cluster, &stage, 3, 3);
    child_signal(app.run, 2);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 1);
    cluster_check(cluster, child_complained(app.run, "it was interrupted"));
    stage_all_free(cluster);
    stage_close(&stage);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(what_ranks_print_on_one_host_arrives_whole_and_in_order),
        CASE(weft_run_with_hosts_starts_and_ends_its_own_cluster),
        CASE(a_killed_weft_run_with_hosts_leaves_nothing),
    };
    const struct CMUnitTest on_three_hosts[] = {
        cmocka_unit_test(what_ranks_print_on_three_hosts_arrives_whole_and_in_order),
        cmocka_unit_test(apps_one_after_the_other_each_find_free_slots),
        cmocka_unit_test(an_app_may_be_at_home_on_any_host),
        cmocka_unit_test(the_time_of_an_app_that_has_ended_stands_still),
        cmocka_unit_test(weft_kill_ends_a_running_app),
        cmocka_unit_test(weft_run_that_is_interrupted_ends_its_app),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests(on_three_hosts, three_open, cluster_close);
}
