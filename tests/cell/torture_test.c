/* Ordinary programs on three hosts, whose ranks are moved after every so many calls of the runtime
 * that they make, wherever in the program those are: they print what they print when nobody moves
 * them, on one host or on three.
 *
 * Usage: torture_test MOVES EVERY... -- PROGRAM...
 * Runs each program until it has been moved MOVES times in all, with seed after seed, and with each
 * EVERY in turn. In every second run, the first among them, ranks are copied before they stop. */
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
#include "stage.h"
#include "weft/error.h"

enum { RANKS = 4, LINES_MAX = 4096, EVERY_MAX = 8, RUN_MS = 300000 };

static unsigned moves_wanted, every_n;
static const char *every[EVERY_MAX];
static char **programs;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the ranks have printed, sorted by line: lines of different ranks come in any order. */
static char *sorted(struct cluster *cluster, struct child *run)
{
    char *text = child_read(run->out), *copy = strdup(text), *at = copy, *into = text;
    const char *lines[LINES_MAX];
    size_t n = 0;
    for (char *line; (line = strsep(&at, "\n"));)
        if (*line) {
            cluster_check(cluster, n < LINES_MAX);
            lines[n++] = line;
        }
    qsort(lines, n, sizeof(*lines), by_text);
    for (size_t i = 0; i < n; i++)
        into += sprintf(into, "%s\n", lines[i]);
    *into = 0;
    free(copy);
    return text;
}

/* Where home has a slot for each rank, all run there, unless it is said otherwise. */
static char *run_still(struct cluster *cluster, const char *program)
{
    const char *home = cluster->hosts[0].address;
    struct child *together = cluster_weft(cluster, "run", "--at", home, "-n", "4", program, NULL);
    cluster_check(cluster, together->code == 0);
    char *one = sorted(cluster, together);
    struct child *apart =
        cluster_weft(cluster, "run", "--at", home, "--place", "home:1,a:2,b:1", program, NULL);
    cluster_check(cluster, apart->code == 0);
    char *three = sorted(cluster, apart);
    if (strcmp(one, three) != 0)
        cluster_fail(cluster, "%s on one host:\n%s\non three:\n%s", program, one, three);
    free(three);
    return one;
}

/* Returns how often its ranks have been moved. */
static unsigned run_moved(struct cluster *cluster, const char *program, const char *above,
                          const char *still)
{
    struct ask_app now;
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-x", above, "-n", "4", program, NULL);
    cluster_check(cluster, child_wait(app.run, RUN_MS) == 0);
    char *moved = sorted(cluster, app.run);
    if (strcmp(moved, still) != 0)
        cluster_fail(cluster, "%s, every %s calls, seed %s, %s:\n%s\nelse:\n%s", program,
                     getenv("WEFT_TORTURE_MOVE"), getenv("WEFT_TORTURE_SEED"), above, moved, still);
    free(moved);
    cluster_check(cluster, ask_app(cluster, &app, &now));
    return now.moved;
}

static void torture(struct cluster *cluster, const char *program)
{
    char *still = run_still(cluster, program);
    unsigned moved = 0, runs = 0;
    while (moved < moves_wanted) {
        char seed[16];
        snprintf(seed, sizeof(seed), "%u", runs + 1);
        (void)setenv("WEFT_TORTURE_MOVE", every[runs % every_n], 1);
        (void)setenv("WEFT_TORTURE_SEED", seed, 1);
        const char *above = runs % 2 == 0 ? "WEFT_PRECOPY_ABOVE=0" : "WEFT_PRECOPY_ABOVE=1G";
        unsigned now = run_moved(cluster, program, above, still);
        runs++;
        moved += now;
        if (now == 0 && runs >= every_n && moved == 0)
            cluster_fail(cluster, "%s is never moved", program);
    }
    (void)unsetenv("WEFT_TORTURE_MOVE");
    (void)unsetenv("WEFT_TORTURE_SEED");
    free(still);
    printf("%s: %u moves in %u runs\n", strrchr(program, '/') + 1, moved, runs);
}

static void programs_print_the_same_however_often_they_are_moved(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, RANKS);
    for (char **program = programs; *program; program++)
        torture(cluster, *program);
    stage_all_free(cluster);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(programs_print_the_same_however_often_they_are_moved,
                                        cluster_open, cluster_close),
    };
    int i = 2;
    for (; i < argc && strcmp(argv[i], "--") != 0 && every_n < EVERY_MAX; i++)
        every[every_n++] = argv[i];
    if (every_n == 0 || i + 1 >= argc) {
        fprintf(stderr, "usage: torture_test MOVES EVERY... -- PROGRAM...\n");
        return 2;
    }
    moves_wanted = (unsigned)strtoul(argv[1], NULL, 10);
    programs = argv + i + 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
