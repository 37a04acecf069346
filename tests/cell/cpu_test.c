/* Three hosts, of which one says that its processor has no AVX2: ranks that have started with it do
 * not get there, and those that start there too do without. */
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
#include "weft/error.h"

enum { MOVES = 12 };

static void hosts_open(struct cluster *cluster)
{
    if (!__builtin_cpu_supports("avx2")) {
        print_message("skipped: this processor has no AVX2\n");
        skip();
    }
    (void)cluster_host(cluster, "home", 4);
    (void)cluster_host(cluster, "a", 4);
    (void)setenv("WEFT_CPU_FEATURES", "-avx2", 1);
    (void)cluster_host(cluster, "b", 4);
    (void)unsetenv("WEFT_CPU_FEATURES");
}

static struct cluster_app app_run_of(struct cluster *cluster, const char *program,
                                     const char *places, const char *end)
{
    return cluster_run(cluster, &cluster->hosts[0], "--place", places, program, end, NULL);
}

static struct cluster_app app_run(struct cluster *cluster, const char *places, const char *end)
{
    return app_run_of(cluster, CELL_PROGRAMS "/cpu", places, end);
}

static void app_finish(struct cluster *cluster, const struct cluster_app *app, const char *end)
{
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app->run, CLUSTER_MS) == 0);
}

static json_t *listing(struct cluster *cluster, const char *what)
{
    char *text = child_read(
        cluster_weft(cluster, what, "--at", cluster->hosts[0].address, "--json", "-", NULL)->out);
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    cluster_check(cluster, json != NULL);
    return json;
}

static void hosts_tell_what_their_processors_have(void **state)
{
    struct cluster *cluster = *state;
    hosts_open(cluster);
    json_t *hosts = listing(cluster, "hosts");
    cluster_check(cluster, json_array_size(hosts) == 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *host = json_array_get(hosts, i);
        const char *cpu = json_string_value(json_object_get(host, "cpu"));
        bool is_b = strcmp(json_string_value(json_object_get(host, "name")), "b") == 0;
        cluster_check(cluster, cpu && strstr(cpu, "sse2"));
        cluster_check(cluster, (strstr(cpu, " avx2") == NULL) == is_b);
    }
    json_decref(hosts);
    struct child *info =
        cluster_weft(cluster, "info", "--at", cluster->hosts[2].address, "--json", "-", NULL);
    cluster_check(cluster, info->code == 0 && child_said(info, "\"cpu\": \"sse2"));
    cluster_check(cluster, !child_said(info, " avx2"));
    stage_all_free(cluster);
}

/* The move by hand is refused, and nothing has been begun. */
static void a_rank_does_not_get_where_its_features_are_not(void **state)
{
    struct cluster *cluster = *state;
    struct ask_app now;
    hosts_open(cluster);
    const char *end = cluster_file(cluster, "end"), *at = cluster->hosts[1].address;
    struct cluster_app app = app_run(cluster, "home:1,a:1", end);
    cluster_await(cluster, CLUSTER_MS, child_said(app.run, "rank 1: avx2 in use"));
    struct child *no = cluster_weft(cluster, "migrate", "--at", at, app.hex, "1", "b", NULL);
    if (no->code != 4 || !child_complained(no, "the processor of host b lacks avx2") ||
        !child_complained(no, "host a has"))
        cluster_fail(cluster, "exit code %d, \"%s\"", no->code, child_read(no->err));
    cluster_check(
        cluster,
        cluster_weft(cluster, "migrate", "--dry-run", "--at", at, app.hex, "1", "b", NULL)->code ==
            4);
    cluster_check(cluster, ask_app(cluster, &app, &now) && now.moves_n == 0);
    cluster_check(cluster, ask_migrate(cluster, &app, 1, "home", NULL) == WEFT_OK);
    app_finish(cluster, &app, end);
    stage_all_free(cluster);
}

static void a_rank_that_is_moved_anywhere_is_not_moved_there(void **state)
{
    struct cluster *cluster = *state;
    struct ask_app now;
    hosts_open(cluster);
    const char *end = cluster_file(cluster, "end");
    (void)setenv("WEFT_TORTURE_MOVE", "20", 1);
    struct cluster_app app = app_run(cluster, "home:1,a:1", end);
    (void)unsetenv("WEFT_TORTURE_MOVE");
    cluster_await_while(cluster, CLUSTER_MS, ask_app(cluster, &app, &now) && now.moved >= MOVES,
                        !child_over(app.run));
    app_finish(cluster, &app, end);
    json_t *apps = listing(cluster, "apps");
    json_t *moves = json_object_get(json_array_get(apps, 0), "moves");
    cluster_check(cluster, json_array_size(moves) >= MOVES);
    for (size_t i = 0; i < json_array_size(moves); i++)
        cluster_check(
            cluster,
            strcmp(json_string_value(json_object_get(json_array_get(moves, i), "to")), "b") != 0);
    json_decref(apps);
    stage_all_free(cluster);
}

static void start_on_both_kinds_of_host(struct cluster *cluster, const char *program)
{
    const char *end = cluster_file(cluster, "end");
    struct cluster_app app = app_run_of(cluster, program, "home:1,b:1", end);
    cluster_await(cluster, CLUSTER_MS, child_said(app.run, "rank 0: avx2 left alone"));
    cluster_await(cluster, CLUSTER_MS, child_said(app.run, "rank 1: avx2 left alone"));
    cluster_check(cluster, ask_migrate(cluster, &app, 0, "b", NULL) == WEFT_OK);
    cluster_check(cluster, ask_migrate(cluster, &app, 1, "a", NULL) == WEFT_OK);
    app_finish(cluster, &app, end);
    stage_all_free(cluster);
}

static void ranks_start_with_what_their_hosts_have_in_common(void **state)
{
    hosts_open(*state);
    start_on_both_kinds_of_host(*state, CELL_PROGRAMS "/cpu");
    start_on_both_kinds_of_host(*state, DYNAMIC_PROGRAMS "/cpu");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hosts_tell_what_their_processors_have),
        CASE(a_rank_does_not_get_where_its_features_are_not),
        CASE(a_rank_that_is_moved_anywhere_is_not_moved_there),
        CASE(ranks_start_with_what_their_hosts_have_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
