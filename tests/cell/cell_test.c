/* Ordinary programs in cells on three hosts: moved again and again, at whatever call of MPI they
 * are, they print what they print when nobody moves them; and those that go wrong end their app,
 * with a reason, and nothing else. */
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

enum { RANKS = 4, MOVES_LEAST = 3, FREEZES_MOST = 5, LINE = 80 };

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* What the ranks have printed, in the order of ranks. */
static void read_lines(struct cluster *cluster, struct child *run, char lines[RANKS][LINE])
{
    char *text = child_read(run->out), *at = text;
    unsigned n = 0;
    for (char *line; (line = strsep(&at, "\n"));)
        if (*line) {
            cluster_check(cluster, n < RANKS);
            snprintf(lines[n++], LINE, "%s", line);
        }
    free(text);
    cluster_check(cluster, n == RANKS);
    qsort(lines, RANKS, LINE, by_text);
}

/* Moves ranks by hand from host to host until the app ends; how many moves took place. */
static unsigned move_on(struct cluster *cluster, const struct cluster_app *app)
{
    unsigned turn = 0;
    struct ask_app now = {0};
    while (!child_over(app->run)) {
        (void)ask_migrate(cluster, app, (int)(turn % RANKS),
                          cluster->hosts[(turn / RANKS + turn) % 3].name, NULL);
        turn++;
    }
    cluster_check(cluster, ask_app(cluster, app, &now));
    return now.moved;
}

/* Freezes and thaws the app until it ends; how many times that was done. */
static unsigned freeze_on(struct cluster *cluster, const struct cluster_app *app)
{
    const char *at = cluster->hosts[1].address;
    unsigned n = 0;
    while (!child_over(app->run) && n < FREEZES_MOST) {
        if (cluster_weft(cluster, "freeze", "--at", at, app->hex, NULL)->code != 0)
            continue; /* it ends just now, or is at a place where it cannot be moved */
        cluster_check(cluster,
                      cluster_weft(cluster, "thaw", "--at", at, app->hex, NULL)->code == 0);
        n++;
    }
    cluster_check(cluster, child_wait(app->run, 3 * CLUSTER_MS) == 0);
    return n;
}

static void freezes_change_nothing(void **state)
{
    struct cluster *cluster = *state;
    char still[RANKS][LINE], frozen[RANKS][LINE];
    const char *program = CELL_PROGRAMS "/features", *folder = cluster_file(cluster, "frozen");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    cluster_three(cluster, RANKS);
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "4",
                                     program, "300", NULL);
    cluster_check(cluster, run->code == 0);
    read_lines(cluster, run, still);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "4", program, "300", NULL);
    unsigned freezes = freeze_on(cluster, &app);
    read_lines(cluster, app.run, frozen);
    print_message("%u freezes\n", freezes);
    cluster_check(cluster, freezes >= 1);
    for (unsigned i = 0; i < RANKS; i++)
        assert_string_equal(still[i], frozen[i]);
    cluster_remove(folder);
}

static void moves_change_nothing(struct cluster *cluster, const char *program, const char *rounds)
{
    char still[RANKS][LINE], moved[RANKS][LINE];
    cluster_three(cluster, RANKS);
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "4",
                                     program, rounds, NULL);
    cluster_check(cluster, run->code == 0);
    read_lines(cluster, run, still);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "4", program, rounds, NULL);
    unsigned moves = move_on(cluster, &app);
    cluster_check(cluster, app.run->code == 0);
    read_lines(cluster, app.run, moved);
    print_message("%u moves\n", moves);
    cluster_check(cluster, moves >= MOVES_LEAST);
    for (unsigned i = 0; i < RANKS; i++)
        if (strcmp(still[i], moved[i]) != 0)
            cluster_fail(cluster, "with moves: %s, without: %s", moved[i], still[i]);
    stage_all_free(cluster);
}

static void what_c_programs_do_survives_moves(void **state)
{
    moves_change_nothing(*state, CELL_PROGRAMS "/features", "150");
}

static void what_cxx_programs_do_survives_moves(void **state)
{
    moves_change_nothing(*state, CELL_PROGRAMS "/featurescc", "1200");
}

static void expect_end(struct cluster *cluster, const char *how, const char *words)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     CELL_PROGRAMS "/crash", how, NULL);
    if (run->code != 1 || !child_complained(run, words))
        cluster_fail(cluster, "%s: exit code %d, stderr says \"%s\"?", how, run->code, words);
    stage_all_free(cluster);
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        cluster_check(cluster, !child_over(cluster->hosts[i].weftd));
}

static void a_program_that_goes_wrong_ends_its_app_with_a_reason(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    expect_end(cluster, "segv", "rank 1: Segmentation fault at program+0x");
    expect_end(cluster, "deep", "its stack is full");
    expect_end(cluster, "abort", "rank 1: it has ended itself with signal 6");
    expect_end(cluster, "exit", "rank 1 on host a exited with code 5");
    expect_end(cluster, "jump", "rank 1: Segmentation fault");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_c_programs_do_survives_moves),
        CASE(what_cxx_programs_do_survives_moves),
        CASE(freezes_change_nothing),
        CASE(a_program_that_goes_wrong_ends_its_app_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
