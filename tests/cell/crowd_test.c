/* Many ranks on few workers: they run, sleep, are moved while they do, and end; one that computes
 * holds up no other.
 *
 * Usage: crowd_test [long] */
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
#include "weft/error.h"

enum { RUN_MS = 60000, LONG_MS = 240000 };

static const char program[] = CELL_PROGRAMS "/crowd";

/* Lines that begin like this, and the largest number in them before " KiB". */
static unsigned count_lines(const char *text, const char *begin, long *kib_out)
{
    unsigned n = 0;
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        long kib = 0;
        n += strncmp(line, begin, strlen(begin)) == 0;
        if (sscanf(line, "rank %*d: the process of its host has had %ld", &kib) == 1 && kib_out &&
            kib > *kib_out)
            *kib_out = kib;
    }
    return n;
}

/* Runs so many ranks, which all print a line. Returns the largest KiB in any. */
static long runs(struct cluster *cluster, const char *n, unsigned ms, const char *const words[3])
{
    long kib = 0;
    struct child *run = cluster_start(cluster, "weft", "run", "--at", cluster->hosts[0].address,
                                      "-n", n, program, words[0], words[1], words[2], NULL);
    int code = child_wait(run, ms);
    if (code != 0)
        cluster_fail(cluster, "%s ranks: exit code %d", n, code);
    char *text = child_read(run->out);
    cluster_check(cluster, count_lines(text, "rank ", &kib) == (unsigned)atoi(n));
    free(text);
    stage_all_free(cluster);
    return kib;
}

static void sixty_four_ranks_run_on_the_workers_of_one_host(void **state)
{
    struct cluster *cluster = *state;
    cluster_host(cluster, "home", 64);
    runs(cluster, "64", RUN_MS, (const char *const[]){"all", NULL, NULL});
}

/* One after the other they would sleep for four minutes. */
static void ranks_that_sleep_hold_up_nobody(void **state)
{
    struct cluster *cluster = *state;
    cluster_host(cluster, "home", 120);
    runs(cluster, "120", RUN_MS, (const char *const[]){"sleep", "500", "4"});
}

static void touch(struct cluster *cluster, const char *path)
{
    FILE *file = fopen(path, "w");
    cluster_check(cluster, file && fclose(file) == 0);
}

/* Two workers, whatever the machine has: one of them has no time. */
static void a_rank_that_computes_holds_up_no_other_and_is_not_moved(void **state)
{
    struct cluster *cluster = *state;
    char talked[256], over[256];
    const char *file = cluster_file(cluster, "end");
    snprintf(talked, sizeof(talked), "%s.talked", file);
    snprintf(over, sizeof(over), "%s.over", file);
    (void)setenv("WEFT_WORKERS", "2", 1);
    (void)setenv("WEFT_MOVE_DEADLINE_MS", "1000", 1);
    cluster_host(cluster, "home", 6);
    cluster_host(cluster, "a", 6);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "6", program, "busy", file, NULL);
    cluster_await_while(cluster, RUN_MS, access(talked, F_OK) == 0, !child_over(app.run));
    struct ask_move move = {.rank = -1};
    int err = ask_migrate(cluster, &app, 0, "a", &move);
    bool early = access(over, F_OK) != 0; /* else this machine is too slow to see it */
    if (err == WEFT_OK && strcmp(move.outcome, "moved") == 0 && early)
        cluster_fail(cluster, "rank 0 has been moved, though it calls nobody");
    stage_move(cluster, &app, 3, "a"); /* it is in a barrier */
    touch(cluster, file);
    cluster_check(cluster, child_wait(app.run, RUN_MS) == 0);
    stage_all_free(cluster);
    (void)unsetenv("WEFT_WORKERS");
    (void)unsetenv("WEFT_MOVE_DEADLINE_MS");
    (void)unlink(talked);
    (void)unlink(over);
}

static void ranks_are_moved_while_they_sleep(void **state)
{
    enum { MOVES = 8 };
    struct cluster *cluster = *state;
    cluster_three(cluster, 4);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "4", program, "sleep", "2500", "4", NULL);
    unsigned moved = 0;
    for (unsigned turn = 0; !child_over(app.run) && moved < MOVES; turn++)
        moved += ask_migrate(cluster, &app, (int)(turn % 4),
                             cluster->hosts[(turn / 4 + turn + 1) % 3].name, NULL) == WEFT_OK;
    cluster_check(cluster, child_wait(app.run, RUN_MS) == 0);
    cluster_check(cluster, moved == MOVES);
    stage_all_free(cluster);
}

/* One computes for ever, the others wait for it. */
static void an_app_whose_ranks_compute_and_wait_can_be_killed(void **state)
{
    struct cluster *cluster = *state;
    char talked[256], over[256];
    const char *file = cluster_file(cluster, "never");
    snprintf(talked, sizeof(talked), "%s.talked", file);
    snprintf(over, sizeof(over), "%s.over", file);
    cluster_host(cluster, "home", 8);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "8", program, "busy", file, NULL);
    cluster_await_while(cluster, RUN_MS, access(talked, F_OK) == 0, !child_over(app.run));
    cluster_check(cluster, ask_kill(cluster, &app) == WEFT_OK);
    cluster_check(cluster, child_wait(app.run, RUN_MS) > 0);
    stage_all_free(cluster);
    (void)unlink(talked);
    (void)unlink(over);
}

static void two_hundred_and_fifty_six_ranks_run_on_three_hosts(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 86);
    long kib = runs(cluster, "256", LONG_MS, (const char *const[]){"all", NULL, NULL});
    printf("256 ranks on 3 hosts: %ld KiB per rank, its share of the process included\n", kib / 86);
}

static void a_thousand_ranks_sleep(void **state)
{
    struct cluster *cluster = *state;
    cluster_host(cluster, "home", 1000);
    runs(cluster, "1000", LONG_MS, (const char *const[]){"sleep", "1000", "3"});
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest few[] = {
        CASE(sixty_four_ranks_run_on_the_workers_of_one_host),
        CASE(two_hundred_and_fifty_six_ranks_run_on_three_hosts),
        CASE(ranks_that_sleep_hold_up_nobody),
        CASE(a_rank_that_computes_holds_up_no_other_and_is_not_moved),
        CASE(ranks_are_moved_while_they_sleep),
        CASE(an_app_whose_ranks_compute_and_wait_can_be_killed),
    };
    const struct CMUnitTest many[] = {
        CASE(a_thousand_ranks_sleep),
    };
    bool is_long = argc > 1 && strcmp(argv[1], "long") == 0;
    return is_long ? cmocka_run_group_tests(many, NULL, NULL)
                   : cmocka_run_group_tests(few, NULL, NULL);
}
