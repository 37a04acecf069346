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
#include <sys/stat.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"
#include "weft/error.h"

enum { RANKS = 4, MOVES = 25, FREEZES = 3, LINE = 80 };

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

/* Moves ranks by hand from host to host. */
static void move_on(struct cluster *cluster, const struct cluster_app *app)
{
    unsigned turn = 0, moved = 0;
    while (moved < MOVES && !child_over(app->run)) {
        struct ask_app now;
        int err = ask_migrate(cluster, app, (int)(turn % RANKS),
                              cluster->hosts[(turn / RANKS + turn) % 3].name, NULL);
        turn++;
        if (err == WEFT_OK && ask_app(cluster, app, &now))
            moved = now.moved;
    }
    cluster_check(cluster, moved >= MOVES);
    cluster_check(cluster, !child_complained(app->run, "too few to copy")); /* as most ranks are */
}

/* Freezes the app to files, and thaws it. */
static void freeze_on(struct cluster *cluster, const struct cluster_app *app)
{
    const char *at = cluster->hosts[1].address;
    struct child_patience patience = child_patience(6 * CLUSTER_MS);
    for (unsigned n = 0; n < FREEZES;) {
        cluster_check(cluster, !child_over(app->run) && !child_patience_over(&patience));
        if (cluster_weft(cluster, "freeze", "--at", at, app->hex, NULL)->code != 0)
            continue; /* a rank is at a place where it cannot be moved */
        cluster_check(cluster,
                      cluster_weft(cluster, "thaw", "--at", at, app->hex, NULL)->code == 0);
        n++;
    }
}

typedef void disturbance(struct cluster *cluster, const struct cluster_app *app);

/* The program prints the same, whether it is disturbed while it runs or not. */
static void changes_nothing(struct cluster *cluster, const char *program, disturbance *disturb)
{
    char still[RANKS][LINE], disturbed[RANKS][LINE], rounds[16];
    cluster_three(cluster, RANKS);
    const char *home = cluster->hosts[0].address, *end = cluster_file(cluster, "end");
    const char *work = cluster_file(cluster, "work");
    cluster_check(cluster, mkdir(work, 0700) == 0);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "4", program, "0", end, work, NULL);
    disturb(cluster, &app);
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app.run, 3 * CLUSTER_MS) == 0);
    read_lines(cluster, app.run, disturbed);
    cluster_check(cluster, sscanf(disturbed[0], "%*[^:]: %*s after %15s", rounds) == 1);
    struct child *run =
        cluster_weft(cluster, "run", "--at", home, "-n", "4", program, rounds, "-", work, NULL);
    cluster_check(cluster, run->code == 0);
    read_lines(cluster, run, still);
    for (unsigned i = 0; i < RANKS; i++)
        if (strcmp(still[i], disturbed[i]) != 0)
            cluster_fail(cluster, "disturbed: %s, else: %s", disturbed[i], still[i]);
    stage_all_free(cluster);
}

static void freezes_change_nothing(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = cluster_file(cluster, "frozen");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    changes_nothing(cluster, CELL_PROGRAMS "/features", freeze_on);
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    cluster_remove(folder);
}

static void what_c_programs_do_survives_moves(void **state)
{
    changes_nothing(*state, CELL_PROGRAMS "/features", move_on);
}

static void what_cxx_programs_do_survives_moves(void **state)
{
    changes_nothing(*state, CELL_PROGRAMS "/featurescc", move_on);
}

static void files_that_are_open_survive_moves(void **state)
{
    changes_nothing(*state, CELL_PROGRAMS "/files", move_on);
}

static void signals_and_sleeps_survive_moves(void **state)
{
    changes_nothing(*state, CELL_PROGRAMS "/signals", move_on);
}

/* A rank that holds something of its host is not moved, and it is said what. */
static void expect_stay(struct cluster *cluster, const char *what, const char *words)
{
    const char *end = cluster_file(cluster, "end"), *work = cluster_file(cluster, "work");
    struct ask_move move = {.reason = ""};
    struct child_patience patience = child_patience(CLUSTER_MS);
    cluster_check(cluster, mkdir(work, 0700) == 0);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-x", "WEFT_PRECOPY_ABOVE=0", "-n", "3",
                    CELL_PROGRAMS "/refused", what, end, work, NULL);
    while (!strstr(move.reason, words)) { /* it may be on its way there still */
        const char *host = cluster->hosts[ask_rank_is(cluster, &app, 1, "a") ? 2 : 1].name;
        cluster_check(cluster, !child_over(app.run) && !child_patience_over(&patience));
        (void)ask_migrate(cluster, &app, 1, host, &move);
    }
    cluster_check(cluster, move.copied == 0 || strcmp(what, "deleted") == 0);
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    cluster_check(cluster,
                  child_complained(app.run, "rank 1: system call fork is refused (ENOSYS)"));
    cluster_check(cluster,
                  child_complained(app.run, "rank 1: system call clone is refused (ENOSYS): "
                                            "a rank in a cell has one thread; weft run --process"));
    cluster_check(cluster, child_complained(app.run, "rank 1: system call prctl is refused"));
    stage_all_free(cluster);
}

static void what_ties_a_rank_to_its_host_is_named(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 3);
    expect_stay(cluster, "pipe", "is a pipe");
    expect_stay(cluster, "socket", "is a socket");
    expect_stay(cluster, "memfd", "is a memfd");
    expect_stay(cluster, "event", "is an eventfd");
    expect_stay(cluster, "tmpfile", "is a file without a name");
    expect_stay(cluster, "deleted", "is a deleted file");
    expect_stay(cluster, "locked", "holds a lock");
}

/* function: that it crashes in; NULL: none of the program's own. */
static void expect_end_in(struct cluster *cluster, const char *how, const char *words,
                          const char *function)
{
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n", "3",
                                     CELL_PROGRAMS "/crash", how, NULL);
    if (run->code != 1 || !child_complained(run, words) ||
        (function && !child_complained(run, function)))
        cluster_fail(cluster, "%s: exit code %d, stderr says \"%s\"?", how, run->code, words);
    stage_all_free(cluster);
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        cluster_check(cluster, !child_over(cluster->hosts[i].weftd));
}

static void expect_end(struct cluster *cluster, const char *how, const char *words)
{
    expect_end_in(cluster, how, words, NULL);
}

static void a_program_that_goes_wrong_ends_its_app_with_a_reason(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    expect_end_in(cluster, "segv", "rank 1: Segmentation fault at program+0x", " (main+0x");
    expect_end_in(cluster, "deep", "its stack is full", " (deep+0x");
    expect_end(cluster, "abort", "rank 1: it has ended itself with signal 6");
    expect_end(cluster, "exit", "rank 1 on host a exited with code 5");
    expect_end(cluster, "jump", "rank 1: Segmentation fault");
    expect_end(cluster, "send", "rank 1: MPI_Send: invalid buffer: 1048576 bytes at 0x123456");
    expect_end(cluster, "send few", "rank 1: Segmentation fault at " CELL_LIBRARY "+0x");
    expect_end(cluster, "receive", "rank 1: MPI_Recv: invalid buffer: 1048576 bytes at 0x123456");
    expect_end(cluster, "sigreturn", "rank 1: it has ended itself with signal 11");
    expect_end(cluster, "sleep", "rank 1: Segmentation fault");
    expect_end(cluster, "onstack", "rank 1: it has ended itself with signal 11");
    expect_end(cluster, "return", "rank 1 has ended without MPI_Finalize");
    expect_end(cluster, "exit0", "rank 1 has ended without MPI_Finalize");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_c_programs_do_survives_moves),
        CASE(what_cxx_programs_do_survives_moves),
        CASE(files_that_are_open_survive_moves),
        CASE(signals_and_sleeps_survive_moves),
        CASE(what_ties_a_rank_to_its_host_is_named),
        CASE(freezes_change_nothing),
        CASE(a_program_that_goes_wrong_ends_its_app_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
