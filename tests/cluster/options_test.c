/* Commands and addresses that users get wrong: each mistake has its exit code, and words that name
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

enum { USAGE = 2, NETWORK = 3, REFUSED = 4, FATAL_MS = 10000 };

/* weft (or weftd) with these arguments ends with the code and has said the words. */
static void check(struct cluster *cluster, const struct child *child, int code, const char *words)
{
    if (child->code != code)
        cluster_fail(cluster, "exit code %d instead of %d, where \"%s\" is wanted", child->code,
                     code, words);
    if (!child_complained(child, words))
        cluster_fail(cluster, "stderr does not say \"%s\"", words);
}

static struct child *weftd(struct cluster *cluster, const char *const *args)
{
    struct child *child = cluster_start_list(cluster, "weftd", args);
    if (child_wait(child, FATAL_MS) < 0)
        cluster_fail(cluster, "weftd does not end");
    return child;
}

static void a_head_that_does_not_exist_is_named_within_ten_seconds(void **state)
{
    struct cluster *cluster = *state;
    char address[24], head[24];
    snprintf(address, sizeof(address), "%s.7", cluster->net);
    snprintf(head, sizeof(head), "%s.8", cluster->net);
    const char *args[] = {"--name", "x", "--address", address, "--head", head, NULL};
    check(cluster, weftd(cluster, args), NETWORK, head);
}

static void a_head_that_is_no_address_is_refused_at_once(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    snprintf(address, sizeof(address), "%s.7", cluster->net);
    const char *args[] = {"--name", "x", "--address", address, "--head", "../n1", NULL};
    check(cluster, weftd(cluster, args), USAGE, "numeric address");
}

static void an_address_that_is_not_ours_is_named(void **state)
{
    const char *args[] = {"--address", "192.0.2.77", NULL};
    (void)setenv("WEFT_SECURITY", "none", 1);
    check(*state, weftd(*state, args), NETWORK, "192.0.2.77");
    (void)unsetenv("WEFT_SECURITY");
}

static void an_address_that_other_machines_reach_needs_a_word_about_security(void **state)
{
    const char *args[] = {"--address", "192.0.2.77", NULL};
    check(*state, weftd(*state, args), REFUSED, "WEFT_SECURITY=curve");
}

static void a_host_that_does_not_exist_ends_the_command_within_ten_seconds(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    snprintf(address, sizeof(address), "%s.9", cluster->net);
    const char *commands[][5] = {{"hosts", "--at", address, NULL},
                                 {"apps", "--at", address, NULL},
                                 {"info", "--at", address, NULL},
                                 {"events", "--at", address, NULL},
                                 {"timeline", "--at", address, "1", NULL},
                                 {"run", "--at", address, cluster_program("hello"), NULL}};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct child *child = cluster_start_list(cluster, "weft", commands[i]);
        cluster_check(cluster, child_wait(child, FATAL_MS) == NETWORK);
        check(cluster, child, NETWORK, address);
    }
}

static void unknown_commands_and_options_are_mistakes(void **state)
{
    struct cluster *cluster = *state;
    check(cluster, cluster_weft(cluster, "fly", NULL), USAGE, "fly");
    check(cluster, cluster_weft(cluster, NULL), USAGE, "Usage");
    static const char *const commands[] = {"run",    "hosts", "apps",     "migrate",
                                           "kill",   "state", "snapshot", "call",
                                           "keygen", "info",  "events",   "timeline"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        check(cluster, cluster_weft(cluster, commands[i], "--no-such-option", NULL), USAGE,
              "no-such-option");
        if (i != 0)
            check(cluster, cluster_weft(cluster, commands[i], "what", "is", "this", "now", NULL),
                  USAGE, commands[i]);
    }
    check(cluster, cluster_weft(cluster, "apps", "ab", "cd", NULL), USAGE, "\"cd\"");
    const char *bad_option[] = {"--no-such-option", NULL}, *bad_word[] = {"word", NULL};
    const char *bad_slots[] = {"--slots", "many", NULL}, *bad_ports[] = {"--ports", "5", NULL};
    check(cluster, weftd(cluster, bad_option), USAGE, "no-such-option");
    check(cluster, weftd(cluster, bad_word), USAGE, "word");
    check(cluster, weftd(cluster, bad_slots), USAGE, "many");
    check(cluster, weftd(cluster, bad_ports), USAGE, "5");
}

static void hosts_of_one_run_with_bad_ports_are_a_mistake(void **state)
{
    struct cluster *cluster = *state;
    (void)setenv("WEFT_PORTS", "9000", 1);
    struct child *child =
        cluster_weft(cluster, "run", "--hosts", "2", cluster_program("hello"), NULL);
    (void)unsetenv("WEFT_PORTS");
    check(cluster, child, USAGE, "too few");
}

static void every_command_helps(void **state)
{
    struct cluster *cluster = *state;
    static const char *const commands[] = {
        "run",    "hosts", "apps",   "migrate",  "kill",  "state",  "snapshot", "call",
        "keygen", "info",  "events", "timeline", "drain", "freeze", "thaw",     "explain"};
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_does_not_exist_is_named_within_ten_seconds),
        cmocka_unit_test(a_head_that_is_no_address_is_refused_at_once),
        cmocka_unit_test(an_address_that_is_not_ours_is_named),
        cmocka_unit_test(an_address_that_other_machines_reach_needs_a_word_about_security),
        cmocka_unit_test(a_host_that_does_not_exist_ends_the_command_within_ten_seconds),
        cmocka_unit_test(unknown_commands_and_options_are_mistakes),
        cmocka_unit_test(hosts_of_one_run_with_bad_ports_are_a_mistake),
        cmocka_unit_test(every_command_helps),
        cmocka_unit_test(weft_app_is_not_for_people),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
