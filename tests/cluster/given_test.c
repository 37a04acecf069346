/* Places that are known before a decision: those that the user gives, and those of last time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { ARGS_MAX = 12, USAGE = 2, REFUSED = 4 };

static int three_open(void **state)
{
    int failed = cluster_open(state);
    if (failed == 0)
        cluster_three(*state, 2);
    return failed;
}

/* weft run with up to four options, to its end. */
static struct child *run(struct cluster *cluster, const char *const options[4])
{
    const char *args[ARGS_MAX] = {"run", "--at", cluster->hosts[0].address};
    size_t n = 3;
    for (size_t i = 0; i < 4 && options[i]; i++)
        args[n++] = options[i];
    args[n] = cluster_program("hello");
    struct child *child = cluster_start_list(cluster, "weft", args);
    cluster_check(cluster, child_wait(child, CLUSTER_MS) >= 0);
    return child;
}

/* Its ranks were on these hosts, in order: h(ome), a, b. */
static void check_places(struct cluster *cluster, const char *hosts, const char *const options[4])
{
    struct child *child = run(cluster, options);
    cluster_check(cluster, child->code == 0);
    for (size_t rank = 0; rank < strlen(hosts); rank++) {
        char line[80];
        snprintf(line, sizeof(line), "hello %zu of %zu on %.*s line", rank, strlen(hosts),
                 hosts[rank] == 'h' ? 4 : 1, hosts[rank] == 'h' ? "home" : hosts + rank);
        if (!child_said(child, line))
            cluster_fail(cluster, "no line begins \"%s\"", line);
    }
    stage_all_free(cluster);
}

static void check_refused(struct cluster *cluster, int code, const char *words,
                          const char *const options[4])
{
    struct child *child = run(cluster, options);
    if (child->code != code || !child_complained(child, words))
        cluster_fail(cluster, "exit code %d, where %d and \"%s\" are wanted", child->code, code,
                     words);
    stage_all_free(cluster);
}

static void ranks_go_to_the_places_given(void **state)
{
    struct cluster *cluster = *state;
    const char *path = cluster_file(cluster, "places");
    char from_file[200];
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "# rank 0 alone\na\n\nb:2  # two\nhome:1, a\n");
    assert_int_equal(fclose(file), 0);
    snprintf(from_file, sizeof(from_file), "@%s", path);
    check_places(cluster, "bbhaa", (const char *[4]){"--place", "b:2,home,a:2"});
    check_places(cluster, "abbha", (const char *[4]){"-n", "5", "--place", from_file});
    check_places(cluster, "ba", (const char *[4]){"--place", "b,a", "--hint", "FORCE_LOCAL"});
    assert_int_equal(unlink(path), 0);
}

static void places_that_cannot_be_had_are_refused_with_their_cause(void **state)
{
    struct cluster *cluster = *state;
    check_refused(cluster, USAGE, "host 'hone', which is not there, did you mean home",
                  (const char *[4]){"--place", "a,hone"});
    check_refused(cluster, REFUSED, "host b has places for 3 ranks, and 2 free slots",
                  (const char *[4]){"--place", "home,b:3"});
    check_refused(cluster, USAGE, "--place has places for 2 ranks, -n says 3",
                  (const char *[4]){"-n", "3", "--place", "a:2"});
    check_refused(cluster, USAGE, "'a:0' is no place", (const char *[4]){"--place", "b,a:0"});
    check_refused(cluster, USAGE, "cannot read the places in /nowhere",
                  (const char *[4]){"--place", "@/nowhere"});
    check_refused(cluster, USAGE, "has no places", (const char *[4]){"--place", ","});
}

static void the_same_program_and_size_goes_where_it_was_last_time(void **state)
{
    struct cluster *cluster = *state;
    static const char *const two[4] = {"-n", "2", "--hint", "CACHED"};
    static const char *const three[4] = {"-n", "3", "--hint", "CACHED"};
    check_places(cluster, "hh", two); /* there is no last time yet */
    check_places(cluster, "ba", (const char *[4]){"--place", "b,a"});
    check_places(cluster, "ba", two);
    check_places(cluster, "hha", three);
    check_places(cluster, "ba", two);
    cluster_host_stop(cluster, &cluster->hosts[2]);
    cluster_await(cluster, CLUSTER_MS, ask_alive(cluster, 2));
    check_places(cluster, "hh", two); /* and that is what is kept now */
    cluster_host_again(cluster, &cluster->hosts[2]);
    check_places(cluster, "hh", two);
}

/* One slot of home and one of b are taken. */
static void a_last_time_without_room_is_decided_anew_and_packed_takes_few_hosts(void **state)
{
    struct cluster *cluster = *state;
    struct stage stage;
    check_places(cluster, "bb", (const char *[4]){"--place", "b:2"});
    stage_open(&stage, cluster);
    struct cluster_app occupier =
        cluster_run(cluster, &cluster->hosts[0], "--place", "home,b", cluster_program("alone"),
                    stage.path, "1", "2000", NULL);
    stage_runs(cluster, &stage, 2, 1);
    struct child *cached = run(cluster, (const char *[4]){"-n", "2", "--hint", "CACHED"});
    cluster_check(cluster, cached->code == 0 && child_said(cached, "hello 0 of 2 on home"));
    cluster_check(cluster, child_said(cached, "hello 1 of 2 on a"));
    struct child *packed = run(cluster, (const char *[4]){"-n", "2", "--hint", "PACKED"});
    cluster_check(cluster, packed->code == 0 && child_said(packed, "hello 0 of 2 on a"));
    cluster_check(cluster, child_said(packed, "hello 1 of 2 on a"));
    stage_finish(cluster, &stage, &occupier);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranks_go_to_the_places_given, three_open, cluster_close),
        cmocka_unit_test_setup_teardown(places_that_cannot_be_had_are_refused_with_their_cause,
                                        three_open, cluster_close),
        cmocka_unit_test_setup_teardown(the_same_program_and_size_goes_where_it_was_last_time,
                                        three_open, cluster_close),
        cmocka_unit_test_setup_teardown(
            a_last_time_without_room_is_decided_anew_and_packed_takes_few_hosts, three_open,
            cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
