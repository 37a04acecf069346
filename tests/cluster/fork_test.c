/* Ranks that fork their memory over real hosts: what is merged, what travels, what is left when a
 * host or a process dies in the middle. What the rank itself can see is checked by
 * programs/fork.c. */
#include <dirent.h>
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

static int three_open(void **state)
{
    int failed = cluster_open(state);
    if (failed == 0)
        cluster_three(*state, 2);
    return failed;
}

/* Runs the program to its end, which must be a good one. set: NAME=VALUE for the ranks. */
static struct child *run_with(struct cluster *cluster, const char *set, const char *what,
                              const char *word)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-x", set,
                                     cluster_program("fork"), what, word, NULL);
    cluster_check(cluster, run->code == 0);
    cluster_check(cluster, child_said(run, "good"));
    stage_all_free(cluster);
    return run;
}

static struct child *run(struct cluster *cluster, const char *what, const char *word)
{
    return run_with(cluster, "FORK_TEST=1", what, word);
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void every_operation_merges_what_three_hosts_have_done(void **state)
{
    struct cluster *cluster = *state;
    const struct child *child = run(cluster, "typed", "3");
    cluster_check(cluster, child_said(child, "5 threads on 3 hosts"));
}

/* As last time or, the first time, as usual. */
static void forks_may_be_placed_as_last_time(void **state)
{
    struct cluster *cluster = *state;
    struct child *child =
        cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "--hint", "CACHED", "-x",
                     "FORK_TEST=1", cluster_program("fork"), "typed", "3", NULL);
    cluster_check(cluster, child->code == 0 && child_said(child, "good"));
    cluster_check(cluster, child_said(child, "5 threads on 3 hosts"));
    stage_all_free(cluster);
}

static void any_tracker_finds_what_threads_have_written(void **state)
{
    struct cluster *cluster = *state;
    (void)run_with(cluster, "WEFT_SNAPSHOT_TRACKER=segv", "typed", "3");
    (void)run_with(cluster, "WEFT_SNAPSHOT_TRACKER=none", "typed", "3");
}

static void one_host_alone_merges_in_the_same_way(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 3);
    const struct child *child = run(cluster, "typed", "1");
    cluster_check(cluster, child_said(child, "2 threads on 1 hosts"));
}

static void a_rank_away_from_home_forks_as_well(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    (void)cluster_host(cluster, "a", 2);
    (void)cluster_host(cluster, "b", 2);
    struct child *child =
        cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "2",
                     cluster_program("fork"), "second", "2", cluster_file(cluster, "go"), NULL);
    cluster_check(cluster, child->code == 0);
    cluster_check(cluster, child_said(child, "3 threads on 2 hosts"));
    stage_all_free(cluster);
}

/* The lines that it has printed before the last one; free(). */
static char *centres_of(const struct child *child)
{
    char *text = child_read(child->out);
    char *end = strstr(text, " threads on ");
    assert_non_null(end);
    while (end > text && end[-1] != '\n')
        end--;
    *end = '\0';
    return text;
}

static void the_example_of_the_readme_finds_the_same_centres_on_one_host_and_on_three(void **state)
{
    struct cluster *cluster = *state;
    struct child *three = cluster_weft(cluster, "run", "--hosts", "3", "--slots", "2",
                                       cluster_program("kmeans"), NULL);
    cluster_check(cluster, three->code == 0);
    cluster_check(cluster, child_said(three, "5 threads on 3 hosts"));
    struct child *one = cluster_weft(cluster, "run", "--hosts", "1", "--slots", "2",
                                     cluster_program("kmeans"), NULL);
    cluster_check(cluster, one->code == 0);
    cluster_check(cluster, child_said(one, "1 threads on 1 hosts"));
    char *of_three = centres_of(three), *of_one = centres_of(one);
    cluster_check(cluster, strlen(of_three) > 40);
    assert_string_equal(of_three, of_one);
    free(of_three);
    free(of_one);
}

static void later_forks_send_what_has_changed_by_any_transport(void **state)
{
    struct cluster *cluster = *state;
    (void)run_with(cluster, "WEFT_DATA=auto", "again", "");
    (void)run_with(cluster, "WEFT_DATA=tcp", "again", "");
    (void)run_with(cluster, "WEFT_DATA=zmq", "again", "");
}

static void differences_of_megabytes_come_back(void **state)
{
    (void)run(*state, "much", "");
}

static void a_host_that_dies_in_the_middle_leaves_nothing_merged(void **state)
{
    struct cluster *cluster = *state;
    const char *file = cluster_file(cluster, "go");
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], cluster_program("fork"), "killed", file, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "running on b"),
                        !child_over(app.run));
    cluster_host_kill(&cluster->hosts[2]);
    make_file(file);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "closed"), !child_over(app.run));
    cluster_check(cluster, child_said(app.run, "WEFT_EPEERDEAD: host b has lost"));
    cluster_check(cluster, child_wait(app.run, 2 * CLUSTER_MS) == 0);
    cluster_check(cluster, child_said(app.run, "good"));
    stage_all_free(cluster);
}

static void a_thread_that_crashes_is_named_with_its_host_and_signal(void **state)
{
    struct cluster *cluster = *state;
    const struct child *child = run(cluster, "crash", "b");
    cluster_check(cluster, child_said(child, "WEFT_EPEERDEAD: host b has lost"));
    cluster_check(cluster, child_said(child, "signal 9"));
}

/* Threads there run in the rank's own process, on its own memory. */
static void a_thread_that_crashes_on_the_ranks_own_host_ends_the_app(void **state)
{
    struct cluster *cluster = *state;
    struct child *child = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address,
                                       cluster_program("fork"), "crash", "home", NULL);
    cluster_check(cluster, child->code == 1);
    cluster_check(cluster, child_complained(child, "on host home was ended by signal 9"));
    stage_all_free(cluster);
}

static void a_join_may_come_early_and_a_close_ends_threads_that_look(void **state)
{
    struct cluster *cluster = *state;
    (void)run(cluster, "late", cluster_file(cluster, "go"));
}

static void threads_do_not_begin_after_their_fork_was_closed(void **state)
{
    (void)run(*state, "hasty", "20");
}

static void threads_that_do_not_end_go_with_their_process(void **state)
{
    (void)run(*state, "deaf", "home");
}

static void what_cannot_be_forked_is_refused_with_its_cause(void **state)
{
    (void)run(*state, "bad", "");
}

static void memory_that_a_host_has_no_room_for_is_refused(void **state)
{
    struct cluster *cluster = *state;
    const struct child *child = run_with(cluster, "WEFT_FORK_MEMORY=1M", "memory", "");
    cluster_check(cluster, child_said(child, "WEFT_ENOSPC"));
    cluster_check(cluster, child_said(child, "set WEFT_FORK_MEMORY to more"));
}

static void a_rank_that_ends_closes_what_it_has_left_open(void **state)
{
    (void)run(*state, "left", "");
}

/* Files in memory that forks have open in a process. */
static unsigned memory_files(uint64_t pid)
{
    char folder[64], path[400], target[200];
    unsigned n = 0;
    snprintf(folder, sizeof(folder), "/proc/%llu/fd", (unsigned long long)pid);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        target[len > 0 ? len : 0] = '\0';
        n += strstr(target, "memfd:weft-fork") != NULL;
    }
    if (list)
        (void)closedir(list);
    return n;
}

static unsigned all_memory_files(struct cluster *cluster)
{
    unsigned n = 0;
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        n += memory_files(stage_process_on(cluster, &cluster->hosts[i]));
    return n;
}

/* Slots in use, and a process on each. */
static bool all_use(struct cluster *cluster, int home, int others)
{
    return ask_used(cluster, &cluster->hosts[0]) == home &&
           ask_used(cluster, &cluster->hosts[1]) == others &&
           ask_used(cluster, &cluster->hosts[2]) == others;
}

static void slots_and_memory_are_held_once_and_given_back(void **state)
{
    struct cluster *cluster = *state;
    const char *file = cluster_file(cluster, "go");
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], cluster_program("fork"), "held", file, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "held"), !child_over(app.run));
    cluster_check(cluster, all_use(cluster, 3, 3));
    cluster_await(cluster, CLUSTER_MS, all_memory_files(cluster) >= 3);
    struct child *other = cluster_weft(cluster, "run", "--at", cluster->hosts[1].address,
                                       cluster_program("hello"), NULL);
    cluster_check(cluster, other->code == 4);
    make_file(file);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "closed"), !child_over(app.run));
    cluster_check(cluster, all_use(cluster, 2, 1));
    cluster_check(cluster, all_memory_files(cluster) == 0);
    assert_int_equal(unlink(file), 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    cluster_check(cluster, child_said(app.run, "good"));
    stage_all_free(cluster);
}

static void an_app_that_is_killed_gives_back_what_it_has_forked(void **state)
{
    struct cluster *cluster = *state;
    const char *file = cluster_file(cluster, "go");
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], cluster_program("fork"), "held", file, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "held"), !child_over(app.run));
    cluster_check(cluster, ask_kill(cluster, &app) == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 1);
    stage_all_free(cluster);
}

static void a_rank_cannot_move_while_it_has_a_fork_open(void **state)
{
    struct cluster *cluster = *state;
    const char *file = cluster_file(cluster, "go");
    struct ask_move move = {0};
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], cluster_program("fork"), "pinned", file, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "open"), !child_over(app.run));
    cluster_check(cluster, ask_migrate(cluster, &app, 0, "a", &move) == 0);
    cluster_check(cluster, strcmp(move.outcome, "aborted") == 0);
    cluster_check(cluster, strstr(move.reason, "it has forked its memory") != NULL);
    make_file(file);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "closed"), !child_over(app.run));
    cluster_check(cluster, ask_migrate(cluster, &app, 0, "a", &move) == 0);
    cluster_check(cluster, strcmp(move.outcome, "moved") == 0);
    assert_int_equal(unlink(file), 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    cluster_check(cluster, child_said(app.run, "good"));
    stage_all_free(cluster);
}

#define ON_NONE(test) cmocka_unit_test_setup_teardown(test, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest on_three[] = {
        cmocka_unit_test(every_operation_merges_what_three_hosts_have_done),
        cmocka_unit_test(forks_may_be_placed_as_last_time),
        cmocka_unit_test(any_tracker_finds_what_threads_have_written),
        cmocka_unit_test(later_forks_send_what_has_changed_by_any_transport),
        cmocka_unit_test(differences_of_megabytes_come_back),
        cmocka_unit_test(a_thread_that_crashes_is_named_with_its_host_and_signal),
        cmocka_unit_test(a_thread_that_crashes_on_the_ranks_own_host_ends_the_app),
        cmocka_unit_test(a_join_may_come_early_and_a_close_ends_threads_that_look),
        cmocka_unit_test(threads_do_not_begin_after_their_fork_was_closed),
        cmocka_unit_test(threads_that_do_not_end_go_with_their_process),
        cmocka_unit_test(what_cannot_be_forked_is_refused_with_its_cause),
        cmocka_unit_test(memory_that_a_host_has_no_room_for_is_refused),
        cmocka_unit_test(a_rank_that_ends_closes_what_it_has_left_open),
        cmocka_unit_test(slots_and_memory_are_held_once_and_given_back),
        cmocka_unit_test(a_rank_cannot_move_while_it_has_a_fork_open),
        cmocka_unit_test(an_app_that_is_killed_gives_back_what_it_has_forked),
        cmocka_unit_test(a_host_that_dies_in_the_middle_leaves_nothing_merged), /* the last one */
    };
    const struct CMUnitTest alone[] = {
        ON_NONE(one_host_alone_merges_in_the_same_way),
        ON_NONE(a_rank_away_from_home_forks_as_well),
        ON_NONE(the_example_of_the_readme_finds_the_same_centres_on_one_host_and_on_three),
    };
    int failed = cmocka_run_group_tests(on_three, three_open, cluster_close);
    return failed + cmocka_run_group_tests(alone, NULL, NULL);
}
