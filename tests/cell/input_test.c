/* The standard input of weft run: rank 0 has it, each byte once and in order, wherever it is; and
 * what does not come, or is not wanted, holds nobody up. */
#include <fcntl.h>
#include <inttypes.h>
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

#include "ask.h"
#include "cluster.h"
#include "stage.h"
#include "weft/error.h"

enum { RUN_MS = 120000, BYTES = 5 << 20, MOVES = 40, SOME = 70000 };

static const char program[] = CELL_PROGRAMS "/input";
static unsigned char bytes[BYTES];

static int fill(void **state)
{
    uint64_t x = 88172645463325252u;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < BYTES; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (unsigned char)x;
    }
    return 0;
}

/* What the program prints that has read so many of the bytes. */
static const char *line_of(size_t n)
{
    static char line[64];
    uint64_t checksum = 1;
    for (size_t i = 0; i < n; i++)
        checksum = (checksum ^ bytes[i]) * UINT64_C(1099511628211);
    snprintf(line, sizeof(line), "%zu bytes, %016" PRIx64 "\n", n, checksum);
    return line;
}

static int file_of(struct cluster *cluster)
{
    const char *path = cluster_file(cluster, "input");
    FILE *file = fopen(path, "w");
    cluster_check(cluster, file && fwrite(bytes, 1, BYTES, file) == BYTES && fclose(file) == 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cluster_check(cluster, fd >= 0);
    return fd;
}

/* The run has ended well, and has printed this. */
static void expect(struct cluster *cluster, struct child *run, const char *line)
{
    cluster_check(cluster, child_wait(run, RUN_MS) == 0);
    char *text = child_read(run->out);
    if (strcmp(text, line) != 0)
        cluster_fail(cluster, "it has printed %s instead of %s", text, line);
    free(text);
    stage_all_free(cluster);
}

static struct child *run(struct cluster *cluster, int input, const char *rank, const char *n)
{
    child_set_input(input);
    struct child *child = cluster_start(cluster, "weft", "run", "--at", cluster->hosts[0].address,
                                        "-n", "2", "--stdin", rank, program, n, NULL);
    child_set_input(-1);
    return child;
}

static void a_rank_reads_each_byte_once_however_often_it_moves(void **state)
{
    struct cluster *cluster = *state;
    unsigned moved = 0;
    cluster_three(cluster, 2);
    int file = file_of(cluster);
    expect(cluster, run(cluster, file, "0", "0"), line_of(BYTES));
    (void)setenv("WEFT_TORTURE_MOVE", "3", 1);
    for (unsigned seed = 1; moved < MOVES; seed++) {
        char text[16];
        struct ask_app now;
        snprintf(text, sizeof(text), "%u", seed);
        (void)setenv("WEFT_TORTURE_SEED", text, 1);
        cluster_check(cluster, lseek(file, 0, SEEK_SET) == 0);
        child_set_input(file);
        struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "2", program, NULL);
        child_set_input(-1);
        expect(cluster, app.run, line_of(BYTES));
        cluster_check(cluster, ask_app(cluster, &app, &now));
        moved += now.moved;
    }
    (void)unsetenv("WEFT_TORTURE_MOVE");
    (void)unsetenv("WEFT_TORTURE_SEED");
    close(file);
}

static void put(struct cluster *cluster, int fd, size_t from, size_t to)
{
    while (from < to) {
        ssize_t n = write(fd, bytes + from, to - from);
        cluster_check(cluster, n > 0);
        from += (size_t)n;
    }
}

static void a_rank_that_waits_for_input_is_moved_and_goes_on_reading(void **state)
{
    enum { STEPS = 6 };
    struct cluster *cluster = *state;
    int ends[2];
    cluster_three(cluster, 2);
    cluster_check(cluster, pipe2(ends, O_CLOEXEC) == 0);
    child_set_input(ends[0]);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "2", program, "0", "5", NULL);
    child_set_input(-1);
    close(ends[0]);
    for (unsigned i = 0; i < STEPS; i++) {
        put(cluster, ends[1], i * SOME, (i + 1) * SOME);
        stage_move(cluster, &app, 0, cluster->hosts[(i + 1) % 3].name);
    }
    close(ends[1]);
    expect(cluster, app.run, line_of(STEPS * SOME));
}

static void a_program_that_wants_no_more_ends_before_its_input(void **state)
{
    struct cluster *cluster = *state;
    int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC), ends[2];
    cluster_host(cluster, "home", 2);
    struct child *child = run(cluster, zeros, "0", "1000000");
    cluster_check(cluster, child_wait(child, RUN_MS) == 0);
    stage_all_free(cluster);
    close(zeros);
    cluster_check(cluster, pipe2(ends, O_CLOEXEC) == 0); /* nothing comes, nor its end */
    child_set_input(ends[0]);
    child = cluster_start(cluster, "weft", "run", "--at", cluster->hosts[0].address, "-n", "2",
                          CELL_PROGRAMS "/features", NULL);
    child_set_input(-1);
    cluster_check(cluster, child_wait(child, RUN_MS) == 0);
    stage_all_free(cluster);
    close(ends[0]);
    close(ends[1]);
}

static void only_one_rank_reads_and_only_if_it_shall(void **state)
{
    struct cluster *cluster = *state;
    cluster_host(cluster, "home", 2);
    int file = file_of(cluster);
    char other[128];
    snprintf(other, sizeof(other), "%s", line_of(0));
    expect(cluster, run(cluster, -1, "0", "0"), other);
    expect(cluster, run(cluster, file, "none", "0"), other);
    struct child *child = run(cluster, file, "1", "0");
    cluster_check(cluster, child_wait(child, RUN_MS) == 0);
    cluster_check(cluster, child_said(child, "rank 1 has an input of its own\n"));
    cluster_check(cluster, child_said(child, other));
    struct child *wrong = run(cluster, file, "2", "0");
    cluster_check(cluster, child_wait(wrong, RUN_MS) == 2);
    cluster_check(cluster, child_complained(wrong, "--stdin 2: there are 2 ranks"));
    stage_all_free(cluster);
    close(file);
}

static void a_process_reads_it_as_a_cell_does(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *home = cluster_host(cluster, "home", 2);
    int file = file_of(cluster), ends[2];
    for (int rank = 0; rank < 2; rank++) {
        cluster_check(cluster, lseek(file, 0, SEEK_SET) == 0);
        child_set_input(file);
        struct child *child =
            cluster_start(cluster, "weft", "run", "--at", home->address, "-n", "2", "--process",
                          "--stdin", rank ? "1" : "0", program, "0", NULL);
        child_set_input(-1);
        cluster_check(cluster, child_wait(child, RUN_MS) == 0);
        cluster_check(cluster, rank ? child_said(child, "rank 1 has an input of its own\n")
                                    : child_said(child, line_of(BYTES)));
        stage_all_free(cluster);
    }
    close(file);
    cluster_check(cluster, pipe2(ends, O_CLOEXEC) == 0); /* nothing comes, nor its end */
    child_set_input(ends[0]);
    struct child *child = cluster_start(cluster, "weft", "run", "--at", home->address, "--process",
                                        "/bin/true", NULL);
    child_set_input(-1);
    cluster_check(cluster, child_wait(child, CLUSTER_MS) == 0);
    close(ends[0]);
    close(ends[1]);
}

/* Who has the input was connected to the host that has left. */
static void input_ends_where_an_app_is_thawed_by_another_home(void **state)
{
    struct cluster *cluster = *state;
    int ends[2];
    (void)setenv("WEFT_SNAPSHOT_DIR", cluster_file(cluster, "frozen"), 1);
    struct cluster_host *home = cluster_host(cluster, "home", 2);
    struct cluster_host *a = cluster_host(cluster, "a", 2);
    cluster_check(cluster, pipe2(ends, O_CLOEXEC) == 0);
    child_set_input(ends[0]);
    struct cluster_app app =
        cluster_run(cluster, a, "-n", "2", "--policy", "spot", program, "0", "5", NULL);
    child_set_input(-1);
    close(ends[0]);
    put(cluster, ends[1], 0, SOME);
    cluster_check(cluster,
                  cluster_weft(cluster, "freeze", "--at", a->address, app.hex, NULL)->code == 0);
    const char *at = home->address;
    struct child *drained =
        cluster_weft(cluster, "drain", "--at", at, "--timeout", "60", "a", NULL);
    cluster_check(cluster, drained->code == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) != 0);
    cluster_check(cluster, cluster_weft(cluster, "thaw", "--at", at, app.hex, NULL)->code == 0);
    app.home = home;
    cluster_await(cluster, CLUSTER_MS, ask_state_is(cluster, &app, "ended"));
    cluster_check(cluster, child_complained(home->weftd, "the standard input of rank 0 ends"));
    close(ends[1]);
    stage_all_free(cluster);
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_rank_reads_each_byte_once_however_often_it_moves),
        CASE(a_rank_that_waits_for_input_is_moved_and_goes_on_reading),
        CASE(a_program_that_wants_no_more_ends_before_its_input),
        CASE(only_one_rank_reads_and_only_if_it_shall),
        CASE(a_process_reads_it_as_a_cell_does),
        CASE(input_ends_where_an_app_is_thawed_by_another_home),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
