/* A debugger that looks at ranks in cells finds them, their symbols and their frames, and leaves
 * them as they were. */
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

enum { GDB_MS = 60000 };

/* Runs gdb on the app's process with these commands. */
static struct child *look(struct cluster *cluster, const struct ask_app *app, const char *command)
{
    char pid[24];
    snprintf(pid, sizeof(pid), "%llu", (unsigned long long)app->ranks[0].pid);
    struct child *gdb =
        cluster_start(cluster, GDB, "-nx", "-batch", "-p", pid, "-x", GDB_SCRIPT, "-ex", command,
                      "-ex", "info locals", "-ex", "weft-rank", NULL);
    cluster_check(cluster, child_wait(gdb, GDB_MS) == 0);
    return gdb;
}

static void expect(struct cluster *cluster, struct child *gdb, const char *words)
{
    if (!child_said(gdb, words))
        cluster_fail(cluster, "\"%s\" is not in \"%s\"", words, child_read(gdb->out));
}

static void look_at_ranks_of(struct cluster *cluster, const char *program)
{
    struct ask_app now;
    if (access(GDB, X_OK) != 0) {
        print_message("skipped: there is no gdb\n");
        skip();
    }
    struct cluster_host *home = cluster_host(cluster, "home", 3);
    const char *end = cluster_file(cluster, "end");
    struct cluster_app app = cluster_run(cluster, home, "-n", "3", program, end, NULL);
    for (unsigned r = 0; r < 3; r++) {
        char line[32];
        snprintf(line, sizeof(line), "rank %u waits", r);
        cluster_await(cluster, CLUSTER_MS, child_said(app.run, line));
    }
    cluster_check(cluster, ask_app(cluster, &app, &now));
    struct child *list = look(cluster, &now, "weft-ranks");
    expect(cluster, list, "rank 0 at 0x200000000000 ");
    expect(cluster, list, "rank 2 at 0x200800000000 ");
    struct child *receiver = look(cluster, &now, "weft-rank 2");
    expect(cluster, receiver, "MPI_Recv");
    expect(cluster, receiver, "wait_for_the_word (secret=");
    expect(cluster, receiver, "in main (");
    struct child *sleeper = look(cluster, &now, "weft-rank 0");
    expect(cluster, sleeper, "usleep");
    expect(cluster, sleeper, "look_for_a_file (path=");
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    stage_all_free(cluster);
}

static void ranks_that_wait_are_shown_with_their_frames(void **state)
{
    look_at_ranks_of(*state, CELL_PROGRAMS "/parked");
}

static void so_are_those_with_libraries_of_their_own(void **state)
{
    look_at_ranks_of(*state, DYNAMIC_PROGRAMS "/parked");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(ranks_that_wait_are_shown_with_their_frames),
        CASE(so_are_those_with_libraries_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
