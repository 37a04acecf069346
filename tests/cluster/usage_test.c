/* Apps that users get wrong: each mistake has its exit code, and words that name it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { USAGE = 2, NETWORK = 3, REFUSED = 4 };

static int three_open(void **state)
{
    int failed = cluster_open(state);
    if (failed == 0)
        cluster_three(*state, 1);
    return failed;
}

/* weft (or weftd) with these arguments ends with the code and has said the words. */
static void check(struct cluster *cluster, const struct child *child, int code, const char *words)
{
    if (child->code != code)
        cluster_fail(cluster, "exit code %d instead of %d, where \"%s\" is wanted", child->code,
                     code, words);
    if (!child_complained(child, words))
        cluster_fail(cluster, "stderr does not say \"%s\"", words);
}

static struct child *run(struct cluster *cluster, const char *n, const char *program)
{
    return cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", n, program, NULL);
}

static struct child *weftd(struct cluster *cluster, const char *const *args)
{
    struct child *child = cluster_start_list(cluster, "weftd", args);
    if (child_wait(child, CLUSTER_MS) < 0)
        cluster_fail(cluster, "weftd does not end");
    return child;
}

static void programs_that_cannot_be_run_are_named_with_the_reason(void **state)
{
    struct cluster *cluster = *state;
    const char *text = cluster_file(cluster, "text");
    FILE *file = fopen(text, "we");
    cluster_check(cluster, file != NULL && fputs("#!/bin/sh\necho hello\n", file) > 0 &&
                               fclose(file) == 0 && chmod(text, 0755) == 0);
    check(cluster, run(cluster, "3", text), USAGE, "is not an ELF file");
    check(cluster, run(cluster, "3", cluster_program("fixed")), USAGE, "for one address (-no-pie)");
    check(cluster, run(cluster, "3", cluster_program("nomain")), USAGE, "has no main");
    check(cluster, run(cluster, "3", cluster_program("unresolved")), USAGE,
          "weft_test_nobody_has_this");
    check(cluster, run(cluster, "3", "/no/such/program.so"), USAGE, "/no/such/program.so");
    check(cluster, run(cluster, "3", cluster->work), USAGE, " is no program, but a folder");
    check(cluster, run(cluster, "3", "no-such-program"), USAGE, "in this folder nor in PATH");
    check(cluster, run(cluster, "p", cluster_program("hello")), USAGE, "is -n here");
    check(cluster, cluster_weft(cluster, "run", NULL), USAGE, "which program?");
    stage_all_free(cluster);
    check(cluster, run(cluster, "3", cluster_program("hello")), 0, "");
}

static void a_program_is_looked_for_as_a_shell_does(void **state)
{
    struct cluster *cluster = *state;
    const char *before = getenv("PATH");
    char path[512], *kept = strdup(before ? before : "/usr/bin:/bin");
    snprintf(path, sizeof(path), "/no/such/folder::%s", cluster_program("hello"));
    *strrchr(path, '/') = '\0';
    (void)setenv("PATH", path, 1);
    check(cluster, run(cluster, "2", strrchr(cluster_program("hello"), '/') + 1), 0, "");
    (void)setenv("PATH", kept, 1);
    free(kept);
}

static void where_no_host_is_it_is_said_how_to_start_one(void **state)
{
    struct cluster *cluster = *state;
    char nobody[32];
    snprintf(nobody, sizeof(nobody), "%s.99", cluster->net);
    const struct child *child =
        cluster_weft(cluster, "run", "--at", nobody, cluster_program("hello"), NULL);
    check(cluster, child, NETWORK, "start one (weftd)");
    check(cluster, child, NETWORK, "weft run --hosts N starts N hosts");
}

static void a_tenant_of_two_lines_is_refused(void **state)
{
    struct cluster *cluster = *state;
    check(cluster,
          cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "--tenant", "a\nb",
                       cluster_program("hello"), NULL),
          USAGE, "no control characters");
}

static void more_ranks_than_slots_are_refused(void **state)
{
    struct cluster *cluster = *state;
    check(cluster, run(cluster, "4", cluster_program("hello")), REFUSED, "slots");
    stage_all_free(cluster);
    check(cluster, run(cluster, "3", cluster_program("hello")), 0, "");
}

static void a_file_that_cannot_be_written_is_named_before_anything_runs(void **state)
{
    static const char *const options[] = {"--json=/nowhere/x", "--trace=/nowhere/x",
                                          "--id-file=/nowhere/x"};
    struct cluster *cluster = *state;
    const char *home = cluster->hosts[0].address;
    for (size_t i = 0; i < 3; i++) {
        const struct child *child =
            cluster_weft(cluster, "run", "--at", home, options[i], cluster_program("hello"), NULL);
        check(cluster, child, USAGE, "cannot write /nowhere/x");
        cluster_check(cluster, !child_said(child, "hello"));
    }
    char json[300];
    const char *path = cluster_file(cluster, "json");
    snprintf(json, sizeof(json), "--json=%s", path);
    (void)cluster_weft(cluster, "run", "--at", home, json, "--hint", "none such",
                       cluster_program("hello"), NULL);
    cluster_check(cluster, access(path, F_OK) != 0); /* of an app that never was there is none */
}

static void no_rank_at_all_is_a_mistake(void **state)
{
    struct cluster *cluster = *state;
    check(cluster, run(cluster, "0", cluster_program("hello")), USAGE, "0");
    check(cluster, run(cluster, "-1", cluster_program("hello")), USAGE, "-1");
    check(cluster, run(cluster, "two", cluster_program("hello")), USAGE, "two");
    check(cluster, run(cluster, "99999999999999999999", cluster_program("hello")), USAGE, "9999");
}

static void a_second_weftd_on_an_address_names_the_port(void **state)
{
    struct cluster *cluster = *state;
    const struct cluster_host *home = &cluster->hosts[0];
    const char *args[] = {"--name", "twin", "--address", home->address, NULL};
    check(cluster, weftd(cluster, args), REFUSED, "8100");
    check(cluster, weftd(cluster, args), REFUSED, "another head runs here"); /* and still does */
    cluster_check(cluster, ask_ping(cluster, home));
    const char *member[] = {"--name", "twin",        "--address", home->address,
                            "--head", home->address, NULL};
    check(cluster, weftd(cluster, member), NETWORK, "8100");
}

static void a_second_host_of_the_same_name_is_refused(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    const struct cluster_host *home = &cluster->hosts[0];
    snprintf(address, sizeof(address), "%s.7", cluster->net);
    const char *args[] = {"--name", "home", "--address", address, "--head", home->address, NULL};
    check(cluster, weftd(cluster, args), REFUSED, "home");
    cluster_check(cluster, ask_ping(cluster, home));
}

static void moves_that_make_no_sense_are_named(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "2",
                                         cluster_program("alone"), stage.path, "0", "2000", NULL);
    stage_runs(cluster, &stage, 2, 3);
    const char *at = cluster->hosts[0].address;
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "7", "b", NULL), USAGE,
          "7");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "nowhere", NULL),
          REFUSED, "nowhere");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "home", NULL), USAGE,
          "already");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, "123", "0", "b", NULL), REFUSED,
          "123");
    check(cluster, cluster_weft(cluster, "kill", "--at", at, "123", NULL), REFUSED, "123");
    check(cluster, cluster_weft(cluster, "apps", "--at", at, "123", NULL), REFUSED, "123");
    /* No slot is free there: the move is given up, the rank stays. */
    struct child *full = cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "a", NULL);
    cluster_check(cluster, full->code == 1 && child_said(full, "no free slot"));
    cluster_check(cluster, ask_rank_is(cluster, &app, 0, "home"));
    stage_runs(cluster, &stage, 2, 3);
    stage_finish(cluster, &stage, &app);
    stage_all_free(cluster);
    stage_close(&stage);
}

static void hosts_are_explained_by_name_or_address(void **state)
{
    struct cluster *cluster = *state;
    const char *at = cluster->hosts[0].address, *other = cluster->hosts[1].address;
    const char *other_name = cluster->hosts[1].name;
    struct child *named = cluster_weft(cluster, "explain", "--at", at, other_name, NULL);
    cluster_check(cluster, named->code == 0 && child_said(named, other));
    struct child *numbered = cluster_weft(cluster, "explain", "--at", at, other, NULL);
    cluster_check(cluster, numbered->code == 0 && child_said(numbered, other_name));
    check(cluster, cluster_weft(cluster, "explain", "--at", at, "nobody", NULL), REFUSED,
          "no host nobody");
    check(cluster, cluster_weft(cluster, "explain", "--at", at, "", NULL), USAGE, "no address");
}

static void hosts_without_slots_refuse_every_app(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 0);
    check(cluster, run(cluster, "1", cluster_program("hello")), REFUSED, "slots");
}

static void a_host_without_slots_can_be_home_to_an_app_elsewhere(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 0);
    (void)cluster_host(cluster, "a", 2);
    struct child *child = run(cluster, "2", cluster_program("hello"));
    check(cluster, child, 0, "");
    cluster_check(cluster, child_said(child, "hello 1 of 2 on a"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest on_three_hosts[] = {
        cmocka_unit_test(programs_that_cannot_be_run_are_named_with_the_reason),
        cmocka_unit_test(more_ranks_than_slots_are_refused),
        cmocka_unit_test(a_file_that_cannot_be_written_is_named_before_anything_runs),
        cmocka_unit_test(a_program_is_looked_for_as_a_shell_does),
        cmocka_unit_test(where_no_host_is_it_is_said_how_to_start_one),
        cmocka_unit_test(a_tenant_of_two_lines_is_refused),
        cmocka_unit_test(no_rank_at_all_is_a_mistake),
        cmocka_unit_test(a_second_weftd_on_an_address_names_the_port),
        cmocka_unit_test(a_second_host_of_the_same_name_is_refused),
        cmocka_unit_test(moves_that_make_no_sense_are_named),
        cmocka_unit_test(hosts_are_explained_by_name_or_address),
    };
    const struct CMUnitTest tests[] = {
        CASE(hosts_without_slots_refuse_every_app),
        CASE(a_host_without_slots_can_be_home_to_an_app_elsewhere),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(on_three_hosts, three_open, cluster_close);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
