/* Programs whose ranks are processes of their own: they may have threads and children, come as any
 * kind of executable or as shared objects, cannot be moved, and end as they would elsewhere. By
 * hand they are worlds of one rank, without any host. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"
#include "weft/error.h"

static const char *const kinds[] = {"hybrid", "hybrid.so", "hybrid.dynamic"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *path_of(const char *kind)
{
    static char path[512];
    snprintf(path, sizeof(path), CELL_PROGRAMS "/%s", kind);
    return path;
}

static void expect(struct cluster *cluster, struct child *run, const char *words)
{
    if (!child_said(run, words))
        cluster_fail(cluster, "\"%s\" is not in \"%s\"", words, child_read(run->out));
}

static void each_kind_of_program_has_threads_children_and_messages(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 2);
    (void)cluster_host(cluster, "a", 2);
    for (unsigned k = 0; k < KINDS; k++) {
        struct child *run = cluster_weft(cluster, "run", "--at", home->address, "-n", "4",
                                         "--process", path_of(kinds[k]), NULL);
        cluster_check(cluster, run->code == 0);
        for (unsigned r = 0; r < 4; r++) {
            char line[80];
            snprintf(line, sizeof(line), "rank %u of 4: sum 11988000, child 3, wrong 0", r);
            expect(cluster, run, line);
        }
    }
    stage_all_free(cluster);
}

static void started_by_hand_they_are_worlds_of_one_rank(void **state)
{
    struct cluster *cluster = *state;
    for (unsigned k = 0; k < KINDS; k++) {
        const char *path = path_of(kinds[k]);
        struct child *run = strstr(path, ".so") != NULL
                                ? cluster_start(cluster, "weft", "rank", path, "-", NULL)
                                : cluster_start(cluster, path, "-", NULL);
        cluster_check(cluster, child_wait(run, CLUSTER_MS) == 0);
        expect(cluster, run, "rank 0 of 1: sum 2997000, child 3, wrong 0");
    }
    (void)setenv("PMI_SIZE", "2", 1);
    (void)setenv("PMI_RANK", "0", 1);
    struct child *two = cluster_start(cluster, path_of(kinds[0]), NULL);
    (void)unsetenv("PMI_SIZE");
    (void)unsetenv("PMI_RANK");
    cluster_check(cluster, child_wait(two, CLUSTER_MS) == 0);
    cluster_check(cluster, child_complained(two, "another launcher has started 2 processes"));
}

static void they_are_not_moved_and_it_is_said_why(void **state)
{
    struct cluster *cluster = *state;
    struct ask_app now;
    struct cluster_host *home = cluster_host(cluster, "home", 4);
    (void)cluster_host(cluster, "a", 4);
    const char *end = cluster_file(cluster, "end"), *at = home->address;
    struct cluster_app app =
        cluster_run(cluster, home, "-n", "2", "--process", path_of(kinds[0]), end, NULL);
    cluster_await(cluster, CLUSTER_MS, child_said(app.run, "rank 1 of 2"));
    struct child *no = cluster_weft(cluster, "migrate", "--at", at, app.hex, "1", "a", NULL);
    cluster_check(cluster, no->code == 1 && child_complained(no, "runs as a process of its own"));
    no = cluster_weft(cluster, "migrate", "--at", at, app.hex, NULL);
    cluster_check(cluster, no->code == 1 && child_complained(no, "runs as a process of its own"));
    expect(cluster, cluster_weft(cluster, "apps", "--at", at, "-l", NULL),
           "runs as a process of its own: not movable");
    cluster_check(cluster, ask_app(cluster, &app, &now) && now.moves_n == 0);
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    stage_all_free(cluster);
}

static void expect_end(struct cluster *cluster, const char *how, const char *words)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     "--process", path_of(kinds[0]), how, NULL);
    if (run->code != 1 || !child_complained(run, words))
        cluster_fail(cluster, "%s: exit code %d, stderr says \"%s\"?", how, run->code, words);
    stage_all_free(cluster);
}

static void they_end_their_app_with_a_reason(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 3);
    expect_end(cluster, "segv", "rank 1: its process was ended by signal 11");
    expect_end(cluster, "abort", "rank 1: its process was ended by signal 6");
    expect_end(cluster, "mpi abort", "rank 1: MPI_Abort: code 9");
    expect_end(cluster, "exit", "rank 1 on host home exited with code 5");
    expect_end(cluster, "early", "rank 1 has ended without MPI_Finalize");
}

static void large_messages_need_little_room(void **state)
{
    struct cluster *cluster = *state;
    const char *at = cluster_host(cluster, "home", 1)->address;
    (void)cluster_host(cluster, "a", 1);
    struct child *run = cluster_weft(cluster, "run", "--at", at, "-n", "2", "--rank-memory", "1G",
                                     "--process", path_of("crammed"), NULL);
    expect(cluster, run, "rank 0: wrong 0, as it should be");
    expect(cluster, run, "rank 1: wrong 0, as it should be");
    cluster_check(cluster, run->code == 0);
    stage_all_free(cluster);
}

static void what_they_ask_for_must_be_their_own(void **state)
{
    struct cluster *cluster = *state;
    const char *at = cluster_host(cluster, "home", 2)->address;
    char exposed[160], got[160];
    int no = WEFT_EINVAL;
    struct child *run = cluster_weft(cluster, "run", "--at", at, "-n", "2", "--process",
                                     path_of("astray"), "astray", NULL);
    snprintf(exposed, sizeof(exposed),
             "expose: own 0, another's %d, behind its end %d, a part of another's %d", no, no, no);
    snprintf(got, sizeof(got),
             "get: own 0, into another's %d, into a part of it %d, an op of another's %d", no, no,
             no);
    expect(cluster, run, exposed);
    expect(cluster, run, got);
    cluster_check(cluster, run->code == 0);
    stage_all_free(cluster);
}

static void a_child_of_a_rank_is_no_rank(void **state)
{
    struct cluster *cluster = *state;
    const char *at = cluster_host(cluster, "home", 2)->address;
    char command[600];
    snprintf(command, sizeof(command), "%s -; true", path_of(kinds[0]));
    struct child *run = cluster_weft(cluster, "run", "--at", at, "-n", "1", "--process", "/bin/sh",
                                     "-c", command, NULL);
    cluster_check(cluster, child_complained(run, "this is a child of it"));
    stage_all_free(cluster);
}

static void what_they_have_printed_is_not_lost_when_they_abort(void **state)
{
    struct cluster *cluster = *state;
    const char *at = cluster_host(cluster, "home", 2)->address;
    struct child *run = cluster_start(cluster, path_of("crammed"), "abort", NULL);
    cluster_check(cluster, child_wait(run, CLUSTER_MS) == 9);
    expect(cluster, run, "the last words of rank 0");
    run = cluster_weft(cluster, "run", "--at", at, "-n", "1", "--process", path_of("crammed"),
                       "abort", NULL);
    cluster_check(cluster, run->code == 1);
    expect(cluster, run, "the last words of rank 0");
    stage_all_free(cluster);
}

/* How many of those that have written their numbers there are left; -1: it is another number. */
static int left_of(const struct cluster *cluster, const char *folder, size_t number)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, NULL, alphasort), left = n == (int)number + 2 ? 0 : -1;
    for (int i = 0; i < n; i++) {
        uint64_t pid = strtoull(entries[i]->d_name, NULL, 10); /* not of "." and ".." */
        left += left >= 0 && pid > 0 && cluster_is_marked(cluster, pid) ? 1 : 0;
        free(entries[i]);
    }
    free((void *)entries);
    return left;
}

static void one_that_has_not_begun_with_mpi_ends_with_its_host(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 2);
    const char *folder = cluster_file(cluster, "pids");
    cluster_check(cluster, mkdir(folder, 0700) == 0);
    struct cluster_app app =
        cluster_run(cluster, home, "-n", "2", "--process", path_of("astray"), folder, NULL);
    cluster_await(cluster, CLUSTER_MS, left_of(cluster, folder, 2) == 2);
    cluster_host_kill(home);
    cluster_await(cluster, CLUSTER_MS, left_of(cluster, folder, 2) == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) != 0);
}

/* Nothing of it is left: the teardown looks. */
static void one_that_computes_ends_when_its_app_does(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 3);
    struct cluster_app app =
        cluster_run(cluster, home, "-n", "3", "--process", path_of(kinds[1]), "compute", NULL);
    cluster_await(cluster, CLUSTER_MS, child_said(app.run, "rank 1 of 3"));
    cluster_check(cluster,
                  cluster_weft(cluster, "kill", "--at", home->address, app.hex, NULL)->code == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 1);
    stage_all_free(cluster);
}

/* What a rank is told is what its host goes by. */
static void hosts_of_one_machine_are_given_more_time_unless_said_otherwise(void **state)
{
    struct cluster *cluster = *state;
    char echo[] = "echo dead after $WEFT_DEAD_MS ms";
    const char *before = getenv("WEFT_DEAD_MS");
    char *kept = strdup(before ? before : "10000");
    for (int said = 0; said < 2; said++) {
        (void)(said ? setenv("WEFT_DEAD_MS", "12000", 1) : unsetenv("WEFT_DEAD_MS"));
        struct child *run =
            cluster_weft(cluster, "run", "--hosts", "1", "--process", "/bin/sh", "-c", echo, NULL);
        cluster_check(cluster, run->code == 0);
        cluster_check(cluster, child_said(run, said ? "after 12000 ms" : "after 30000 ms"));
    }
    (void)setenv("WEFT_DEAD_MS", kept, 1);
    free(kept);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_kind_of_program_has_threads_children_and_messages),
        CASE(started_by_hand_they_are_worlds_of_one_rank),
        CASE(they_are_not_moved_and_it_is_said_why),
        CASE(they_end_their_app_with_a_reason),
        CASE(large_messages_need_little_room),
        CASE(what_they_ask_for_must_be_their_own),
        CASE(a_child_of_a_rank_is_no_rank),
        CASE(what_they_have_printed_is_not_lost_when_they_abort),
        CASE(one_that_has_not_begun_with_mpi_ends_with_its_host),
        CASE(one_that_computes_ends_when_its_app_does),
        CASE(hosts_of_one_machine_are_given_more_time_unless_said_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
