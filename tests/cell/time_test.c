/* Hosts whose clocks count from other beginnings, each in a time namespace of its own: the clocks
 * of a rank go on wherever it is moved to. The program looks at all of them after each meeting. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { RUN_MS = 120000, MOVES = 40 };

/* The first process of the namespace, until its file is open. */
static _Noreturn void make(long s, int said)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "monotonic %ld 123456789\nboottime %ld 987654321\n", s, s);
    int fd =
        unshare(CLONE_NEWTIME) == 0 ? open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0 || write(fd, text, (size_t)n) != n || write(said, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* A namespace whose clocks are so far ahead; -1: this machine has none. */
static int time_ahead(long s)
{
    int said[2], fd = -1;
    char path[64], byte;
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        make(s, said[1]);
    close(said[1]);
    snprintf(path, sizeof(path), "/proc/%d/ns/time_for_children", (int)pid);
    if (read(said[0], &byte, 1) == 1)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    close(said[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return fd;
}

static void host_in(struct cluster *cluster, const char *name, int time)
{
    child_set_time(time);
    cluster_host(cluster, name, 4);
    child_set_time(-1);
    close(time);
}

static void clocks_go_on_between_hosts_that_count_from_other_beginnings(void **state)
{
    struct cluster *cluster = *state;
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    int younger = time_ahead(-(long)now.tv_sec / 2), older = time_ahead(123456789);
    if (younger < 0 || older < 0) {
        printf("skipped: there are no time namespaces here, or not for this user\n");
        skip();
    }
    cluster_host(cluster, "home", 4);
    host_in(cluster, "a", younger);
    host_in(cluster, "b", older);
    unsigned moved = 0;
    (void)setenv("WEFT_TORTURE_MOVE", "11", 1);
    for (unsigned seed = 1; moved < MOVES; seed++) {
        char text[16];
        struct ask_app app_now;
        snprintf(text, sizeof(text), "%u", seed);
        (void)setenv("WEFT_TORTURE_SEED", text, 1);
        struct cluster_app app =
            cluster_run(cluster, &cluster->hosts[0], "-n", "3", CELL_PROGRAMS "/features", NULL);
        cluster_check(cluster, child_wait(app.run, RUN_MS) == 0);
        cluster_check(cluster, ask_app(cluster, &app, &app_now));
        moved += app_now.moved;
    }
    (void)unsetenv("WEFT_TORTURE_MOVE");
    (void)unsetenv("WEFT_TORTURE_SEED");
    stage_all_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(clocks_go_on_between_hosts_that_count_from_other_beginnings,
                                        cluster_open, cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
