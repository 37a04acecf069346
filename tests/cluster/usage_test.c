/* What users get wrong: each mistake has its exit code, and words that name it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { USAGE = 2, NETWORK = 3, REFUSED = 4 };

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
    cluster_three(cluster, 1);
    const char *text = cluster_file(cluster, "text");
    FILE *file = fopen(text, "we");
    cluster_check(cluster, file != NULL && fputs("#!/bin/sh\necho hello\n", file) > 0 &&
                               fclose(file) == 0 && chmod(text, 0755) == 0);
    check(cluster, run(cluster, "3", text), USAGE, "is not an ELF shared object");
    check(cluster, run(cluster, "3", cluster_bin("weft")), USAGE, "is an executable");
    check(cluster, run(cluster, "3", cluster_program("nomain")), USAGE, "has no main");
    check(cluster, run(cluster, "3", cluster_program("unresolved")), USAGE,
          "weft_test_nobody_has_this");
    check(cluster, run(cluster, "3", "/no/such/program.so"), USAGE, "/no/such/program.so");
    check(cluster, run(cluster, "3", cluster->work), USAGE, cluster->work);
    check(cluster, cluster_weft(cluster, "run", NULL), USAGE, "which program?");
    stage_all_free(cluster);
    check(cluster, run(cluster, "3", cluster_program("hello")), 0, "");
}

static void more_ranks_than_slots_are_refused(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    check(cluster, run(cluster, "4", cluster_program("hello")), REFUSED, "slots");
    stage_all_free(cluster);
    check(cluster, run(cluster, "3", cluster_program("hello")), 0, "");
}

static void no_rank_at_all_is_a_mistake(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    check(cluster, run(cluster, "0", cluster_program("hello")), USAGE, "0");
    check(cluster, run(cluster, "-1", cluster_program("hello")), USAGE, "-1");
    check(cluster, run(cluster, "two", cluster_program("hello")), USAGE, "two");
    check(cluster, run(cluster, "99999999999999999999", cluster_program("hello")), USAGE, "9999");
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

static void a_second_weftd_on_an_address_names_the_port(void **state)
{
    struct cluster *cluster = *state;
    const struct cluster_host *home = cluster_host(cluster, "home", 1);
    const char *args[] = {"--name", "twin", "--address", home->address, NULL};
    check(cluster, weftd(cluster, args), NETWORK, "8100");
    cluster_check(cluster, ask_ping(cluster, home));
}

static void a_second_host_of_the_same_name_is_refused(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    const struct cluster_host *home = cluster_host(cluster, "home", 1);
    snprintf(address, sizeof(address), "%s.7", cluster->net);
    const char *args[] = {"--name", "home", "--address", address, "--head", home->address, NULL};
    check(cluster, weftd(cluster, args), NETWORK, "home");
    cluster_check(cluster, ask_ping(cluster, home));
}

static void a_head_that_does_not_exist_is_named_within_ten_seconds(void **state)
{
    struct cluster *cluster = *state;
    char address[24], head[24];
    snprintf(address, sizeof(address), "%s.7", cluster->net);
    snprintf(head, sizeof(head), "%s.8", cluster->net);
    const char *args[] = {"--name", "x", "--address", address, "--head", head, NULL};
    uint64_t began = child_now_ms();
    check(cluster, weftd(cluster, args), NETWORK, head);
    cluster_check(cluster, child_now_ms() - began < 10000);
}

static void an_address_that_is_not_ours_is_named(void **state)
{
    const char *args[] = {"--address", "192.0.2.77", NULL};
    check(*state, weftd(*state, args), NETWORK, "192.0.2.77");
}

static void a_host_that_does_not_exist_ends_the_command_within_ten_seconds(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    snprintf(address, sizeof(address), "%s.9", cluster->net);
    const char *commands[][4] = {{"hosts", "--at", address, NULL},
                                 {"apps", "--at", address, NULL},
                                 {"info", "--at", address, NULL}};
    for (size_t i = 0; i < 3; i++) {
        uint64_t began = child_now_ms();
        struct child *child = cluster_start_list(cluster, "weft", commands[i]);
        cluster_check(cluster, child_wait(child, CLUSTER_MS) == NETWORK);
        cluster_check(cluster, child_now_ms() - began < 10000);
        check(cluster, child, NETWORK, address);
    }
    uint64_t began = child_now_ms();
    check(cluster, cluster_weft(cluster, "run", "--at", address, cluster_program("hello"), NULL),
          NETWORK, address);
    cluster_check(cluster, child_now_ms() - began < 10000);
}

static void unknown_commands_and_options_are_mistakes(void **state)
{
    struct cluster *cluster = *state;
    check(cluster, cluster_weft(cluster, "fly", NULL), USAGE, "fly");
    check(cluster, cluster_weft(cluster, NULL), USAGE, "Usage");
    static const char *const commands[] = {"run", "hosts", "apps", "migrate", "kill", "info"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        check(cluster, cluster_weft(cluster, commands[i], "--no-such-option", NULL), USAGE,
              "no-such-option");
        if (i != 0)
            check(cluster, cluster_weft(cluster, commands[i], "what", "is", "this", "now", NULL),
                  USAGE, commands[i]);
    }
    const char *bad_option[] = {"--no-such-option", NULL}, *bad_word[] = {"word", NULL};
    const char *bad_slots[] = {"--slots", "many", NULL}, *bad_ports[] = {"--ports", "5", NULL};
    check(cluster, weftd(cluster, bad_option), USAGE, "no-such-option");
    check(cluster, weftd(cluster, bad_word), USAGE, "word");
    check(cluster, weftd(cluster, bad_slots), USAGE, "many");
    check(cluster, weftd(cluster, bad_ports), USAGE, "5");
}

static void every_command_helps(void **state)
{
    struct cluster *cluster = *state;
    static const char *const commands[] = {"run", "hosts", "apps", "migrate", "kill", "info"};
    struct child *child = cluster_weft(cluster, "--help", NULL);
    cluster_check(cluster, child->code == 0 && child_said(child, "Usage: weft COMMAND"));
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char words[40];
        child = cluster_weft(cluster, commands[i], "--help", NULL);
        snprintf(words, sizeof(words), "Usage: weft %s", commands[i]);
        cluster_check(cluster, child->code == 0 && child_said(child, words));
        cluster_check(cluster, !child_complained(child, "Usage"));
    }
    const char *help[] = {"--help", NULL};
    child = weftd(cluster, help);
    cluster_check(cluster, child->code == 0 && child_said(child, "Usage: weftd"));
}

static void weft_app_is_not_for_people(void **state)
{
    struct cluster *cluster = *state;
    const char *args[] = {NULL};
    struct child *child = cluster_start_list(cluster, "weft-app", args);
    int code = child_wait(child, CLUSTER_MS);
    cluster_check(cluster, code > 0 && code < 128);
}

static void moves_that_make_no_sense_are_named(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    cluster_three(cluster, 1);
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "2",
                                         cluster_program("alone"), stage.path, "0", "2000", NULL);
    stage_runs(cluster, &stage, 2, 3);
    const char *at = cluster->hosts[0].address;
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "7", "b", NULL), USAGE,
          "7");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "nowhere", NULL),
          USAGE, "nowhere");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "home", NULL), USAGE,
          "already");
    check(cluster, cluster_weft(cluster, "migrate", "--at", at, "123", "0", "b", NULL), USAGE,
          "123");
    check(cluster, cluster_weft(cluster, "kill", "--at", at, "123", NULL), USAGE, "123");
    /* No slot is free there: the move is given up, the rank stays. */
    struct child *full = cluster_weft(cluster, "migrate", "--at", at, app.hex, "0", "a", NULL);
    cluster_check(cluster, full->code == 1 && child_said(full, "no free slot"));
    cluster_check(cluster, ask_rank_is(cluster, &app, 0, "home"));
    stage_runs(cluster, &stage, 2, 3);
    stage_finish(cluster, &stage, &app);
    stage_all_free(cluster);
    stage_close(&stage);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(programs_that_cannot_be_run_are_named_with_the_reason),
        CASE(more_ranks_than_slots_are_refused),
        CASE(no_rank_at_all_is_a_mistake),
        CASE(hosts_without_slots_refuse_every_app),
        CASE(a_host_without_slots_can_be_home_to_an_app_elsewhere),
        CASE(a_second_weftd_on_an_address_names_the_port),
        CASE(a_second_host_of_the_same_name_is_refused),
        CASE(a_head_that_does_not_exist_is_named_within_ten_seconds),
        CASE(an_address_that_is_not_ours_is_named),
        CASE(a_host_that_does_not_exist_ends_the_command_within_ten_seconds),
        CASE(unknown_commands_and_options_are_mistakes),
        CASE(every_command_helps),
        CASE(weft_app_is_not_for_people),
        CASE(moves_that_make_no_sense_are_named),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
