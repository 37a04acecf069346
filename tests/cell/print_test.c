/* What ranks print is seen line by line, on a terminal and elsewhere, a question at once where it
 * is flushed; and what was printed before a rank goes wrong is not lost. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "stage.h"

static const struct kind {
    const char *path, *option;
} kinds[] = {{CELL_PROGRAMS "/talk", NULL},
             {DYNAMIC_PROGRAMS "/talk", NULL},
             {CELL_PROGRAMS "/talk", "--process"}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* A terminal, as the one who sits before it has it. */
struct terminal {
    int fd, other;
    char text[4096]; /* what has been shown */
    size_t len;
};

static void terminal_open(struct cluster *cluster, struct terminal *terminal)
{
    terminal->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    terminal->len = 0;
    terminal->text[0] = '\0';
    cluster_check(cluster,
                  terminal->fd >= 0 && grantpt(terminal->fd) == 0 && unlockpt(terminal->fd) == 0);
    terminal->other = open(ptsname(terminal->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cluster_check(cluster, terminal->other >= 0);
}

static void terminal_close(struct terminal *terminal)
{
    close(terminal->other);
    close(terminal->fd);
}

static bool shows(struct terminal *terminal, const char *words)
{
    size_t room = sizeof(terminal->text) - 1 - terminal->len;
    ssize_t n = read(terminal->fd, terminal->text + terminal->len, room);
    terminal->len += n > 0 ? (size_t)n : 0;
    terminal->text[terminal->len] = '\0';
    return strstr(terminal->text, words) != NULL;
}

static void type(struct cluster *cluster, const struct terminal *terminal, const char *words)
{
    cluster_check(cluster, write(terminal->fd, words, strlen(words)) == (ssize_t)strlen(words));
}

/* The shell connects weft run with the terminal. */
static struct child *run_at(struct cluster *cluster, const struct terminal *terminal,
                            const struct kind *kind)
{
    char command[1024];
    const char *tty = ptsname(terminal->fd);
    snprintf(command, sizeof(command), "exec %s run --at %s -n 1 %s %s <%s >%s",
             cluster_bin("weft"), cluster->hosts[0].address, kind->option ? kind->option : "",
             kind->path, tty, tty);
    return cluster_start(cluster, "/bin/sh", "-c", command, NULL);
}

static void a_terminal_shows_each_line_and_each_question_at_once(void **state)
{
    struct cluster *cluster = *state;
    struct terminal terminal;
    (void)cluster_host(cluster, "home", 1);
    for (unsigned k = 0; k < KINDS; k++) {
        terminal_open(cluster, &terminal);
        struct child *run = run_at(cluster, &terminal, &kinds[k]);
        cluster_await(cluster, CLUSTER_MS, shows(&terminal, "before MPI\r\na whole line\r\n"));
        cluster_await(cluster, CLUSTER_MS, shows(&terminal, "a part, your name? "));
        type(cluster, &terminal, "you\n");
        cluster_await(cluster, CLUSTER_MS, shows(&terminal, "hello, you\r\n"));
        type(cluster, &terminal, "\4");
        cluster_check(cluster, child_wait(run, CLUSTER_MS) == 0);
        terminal_close(&terminal);
        stage_all_free(cluster);
    }
}

static void a_file_has_each_line_at_once(void **state)
{
    struct cluster *cluster = *state;
    int ends[2];
    (void)cluster_host(cluster, "home", 1);
    cluster_check(cluster, pipe2(ends, O_CLOEXEC) == 0);
    child_set_input(ends[0]);
    struct child *run = cluster_start(cluster, "weft", "run", "--at", cluster->hosts[0].address,
                                      kinds[1].path, NULL);
    child_set_input(-1);
    close(ends[0]);
    cluster_await(cluster, CLUSTER_MS, child_said(run, "a part, your name? "));
    cluster_check(cluster, write(ends[1], "file\n", 5) == 5);
    cluster_await(cluster, CLUSTER_MS, child_said(run, "hello, file\n"));
    close(ends[1]);
    cluster_check(cluster, child_wait(run, CLUSTER_MS) == 0);
    stage_all_free(cluster);
}

static void expect_words(struct cluster *cluster, const struct kind *kind, const char *how,
                         bool all)
{
    const char *at = cluster->hosts[0].address;
    struct child *run =
        kind->option ? cluster_weft(cluster, "run", "--at", at, kind->option, kind->path, how, NULL)
                     : cluster_weft(cluster, "run", "--at", at, kind->path, how, NULL);
    cluster_check(cluster, run->code == 1);
    if (!child_said(run, all ? "a whole line\na part" : "before MPI\na whole line\n"))
        cluster_fail(cluster, "%s of %s: lost", how, kind->path);
    stage_all_free(cluster);
}

static void what_was_printed_before_the_end_is_not_lost(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    for (unsigned k = 0; k < KINDS; k++) {
        expect_words(cluster, &kinds[k], "segv", false);
        expect_words(cluster, &kinds[k], "abort", false);
        expect_words(cluster, &kinds[k], "mpi abort", true);
        expect_words(cluster, &kinds[k], "fatal", true);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_terminal_shows_each_line_and_each_question_at_once),
        CASE(a_file_has_each_line_at_once),
        CASE(what_was_printed_before_the_end_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
