/* State over real hosts: what is pushed on one is pulled on another; a main that is killed is
 * named, and its values are refused for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "weft/error.h"
#include "weft/state.h"

enum { LARGE = 5 << 20, DEADLINE_MS = 30000 };

static const struct weft_state_name name_of_test = {"team", "model"};

static struct weft_state *state_at(struct cluster *cluster, const struct cluster_host *host,
                                   uint32_t timeout_ms)
{
    struct weft_state *state = NULL;
    struct weft_state_options options = {.host = host->url, .timeout_ms = timeout_ms};
    cluster_check(cluster, weft_state_open(&options, &state) == WEFT_OK);
    return state;
}

static void check(struct cluster *cluster, const char *what, int err, int wanted)
{
    if (err != wanted)
        cluster_fail(cluster, "%s: %s, not %s: %s", what, weft_error_name(err),
                     weft_error_name(wanted), weft_fail_text(err));
}

static void what_is_pushed_on_one_host_is_pulled_on_the_others(void **state)
{
    struct cluster *cluster = *state;
    struct weft_state *processes[3];
    struct weft_value *values[3];
    unsigned char *bytes = malloc(LARGE), *seen = malloc(LARGE);
    cluster_three(cluster, 1);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (unsigned char)(i >> 3);
    for (int i = 0; i < 3; i++) {
        processes[i] = state_at(cluster, &cluster->hosts[i], DEADLINE_MS);
        check(cluster, "open", weft_value_open(processes[i], &name_of_test, LARGE, &values[i]),
              WEFT_OK);
    }
    check(cluster, "write", weft_value_write(values[1], 0, bytes, LARGE), WEFT_OK);
    check(cluster, "push", weft_value_push(values[1]), WEFT_OK);
    for (int i = 0; i < 3; i++) {
        check(cluster, "pull", weft_value_pull(values[i]), WEFT_OK);
        check(cluster, "read", weft_value_read(values[i], 0, seen, LARGE), WEFT_OK);
        cluster_check(cluster, memcmp(bytes, seen, LARGE) == 0);
        check(cluster, "append", weft_value_append(values[i], "item", 4, NULL), WEFT_OK);
        weft_value_close(values[i]);
    }
    check(cluster, "delete", weft_state_delete(processes[2], &name_of_test), WEFT_OK);
    for (int i = 0; i < 3; i++)
        weft_state_close(processes[i]);
    free(bytes);
    free(seen);
}

static void a_killed_main_is_named_and_never_answers_for_what_it_has_lost(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    struct cluster_host *keeper = cluster_host(cluster, "keeper", 1);
    struct weft_state *here = state_at(cluster, home, DEADLINE_MS);
    struct weft_state *there = state_at(cluster, keeper, DEADLINE_MS);
    struct weft_value *value, *fresh;
    check(cluster, "create", weft_value_open(there, &name_of_test, 8, &value), WEFT_OK);
    weft_value_close(value);
    weft_state_close(there);
    check(cluster, "open", weft_value_open(here, &name_of_test, 0, &value), WEFT_OK);
    check(cluster, "write", weft_value_write(value, 0, "before", 6), WEFT_OK);
    check(cluster, "push", weft_value_push(value), WEFT_OK);
    cluster_host_kill(keeper);
    check(cluster, "write", weft_value_write(value, 0, "behind", 6), WEFT_OK);
    check(cluster, "push to a dead host", weft_value_push(value), WEFT_EHOSTDEAD);
    cluster_check(cluster, strstr(weft_fail_text(WEFT_EHOSTDEAD), "host keeper") != NULL);
    cluster_check(cluster, strstr(weft_fail_text(WEFT_EHOSTDEAD), "lost") != NULL);
    cluster_host_again(cluster, keeper);
    cluster_await(cluster, CLUSTER_MS, ask_alive(cluster, 2));
    check(cluster, "push what is stale", weft_value_push(value), WEFT_EHOSTDEAD);
    check(cluster, "delete", weft_state_delete(here, &name_of_test), WEFT_OK);
    check(cluster, "create anew", weft_value_open(here, &name_of_test, 8, &fresh), WEFT_OK);
    check(cluster, "push into another value", weft_value_push(value), WEFT_ESTALE);
    weft_value_close(fresh);
    weft_value_close(value);
    check(cluster, "delete", weft_state_delete(here, &name_of_test), WEFT_OK);
    weft_state_close(here);
}

static void a_host_that_leaves_takes_its_values_with_it(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    struct cluster_host *keeper = cluster_host(cluster, "keeper", 1);
    struct weft_state *here = state_at(cluster, home, DEADLINE_MS);
    struct weft_state *there = state_at(cluster, keeper, DEADLINE_MS);
    struct weft_value *value;
    check(cluster, "create", weft_value_open(there, &name_of_test, 8, &value), WEFT_OK);
    weft_value_close(value);
    weft_state_close(there);
    cluster_host_stop(cluster, keeper);
    check(cluster, "open", weft_value_open(here, &name_of_test, 8, &value), WEFT_EHOSTDEAD);
    check(cluster, "delete", weft_state_delete(here, &name_of_test), WEFT_OK);
    check(cluster, "create anew", weft_value_open(here, &name_of_test, 8, &value), WEFT_OK);
    weft_value_close(value);
    weft_state_close(here);
}

static void the_command_line_puts_gets_lists_appends_and_deletes(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 1);
    struct cluster_host *other = cluster_host(cluster, "other", 1);
    const char *path = cluster_file(cluster, "bytes");
    FILE *file = fopen(path, "we");
    cluster_check(cluster, file != NULL && fputs("forty-two", file) >= 0 && fclose(file) == 0);
    struct child *child =
        cluster_weft(cluster, "state", "put", "team", "answer", path, "--at", other->url, NULL);
    cluster_check(cluster, child->code == 0);
    child = cluster_weft(cluster, "state", "get", "team", "answer", "--at", home->url, NULL);
    cluster_check(cluster, child->code == 0 && child_said(child, "forty-two"));
    child =
        cluster_weft(cluster, "state", "append", "team", "answer", path, "--at", home->url, NULL);
    cluster_check(cluster, child->code == 0);
    child =
        cluster_weft(cluster, "state", "get", "team", "answer", "--items", "--at", home->url, NULL);
    cluster_check(cluster, child->code == 0 && child_said(child, "forty-two\n"));
    child = cluster_weft(cluster, "state", "list", "--at", home->url, NULL);
    cluster_check(cluster,
                  child->code == 0 && child_said(child, "answer") && child_said(child, "other"));
    child = cluster_weft(cluster, "state", "delete", "team", "answer", "--at", home->url, NULL);
    cluster_check(cluster, child->code == 0);
    child = cluster_weft(cluster, "state", "get", "team", "answer", "--at", home->url, NULL);
    cluster_check(cluster, child->code == 4 && child_complained(child, "there is no state"));
}

static void programs_of_the_readme_count_together(void **state)
{
    struct cluster *cluster = *state;
    struct child *children[4];
    bool four = false;
    cluster_three(cluster, 1);
    for (int i = 0; i < 4; i++) {
        (void)setenv("WEFT_HOST", cluster->hosts[i % 3].url, 1);
        children[i] = cluster_start(cluster, "../tests/count", NULL);
    }
    (void)unsetenv("WEFT_HOST");
    for (int i = 0; i < 4; i++) {
        cluster_check(cluster, child_wait(children[i], CLUSTER_MS) == 0);
        four = four || child_said(children[i], "4\n"); /* the last one, whichever it was */
    }
    cluster_check(cluster, four);
}

static void ranks_count_together_each_through_its_own_host(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "3", cluster_program("counted"), NULL);
    cluster_await(cluster, CLUSTER_MS, child_over(app.run));
    cluster_check(cluster, app.run->code == 0);
    cluster_check(cluster, child_said(app.run, "the sum is 60"));
}

/* Deaths are waited for here: sooner than in other tests. */
static int open_mortal(void **state)
{
    int err = cluster_open(state);
    (void)setenv("WEFT_DEAD_MS", "5000", 1);
    return err;
}

#define CASE(name, open) cmocka_unit_test_setup_teardown(name, open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_pushed_on_one_host_is_pulled_on_the_others, cluster_open),
        CASE(a_killed_main_is_named_and_never_answers_for_what_it_has_lost, open_mortal),
        CASE(a_host_that_leaves_takes_its_values_with_it, open_mortal),
        CASE(programs_of_the_readme_count_together, cluster_open),
        CASE(ranks_count_together_each_through_its_own_host, cluster_open),
        CASE(the_command_line_puts_gets_lists_appends_and_deletes, cluster_open),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
