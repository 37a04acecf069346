/* A whole host from nothing to ready and to its end, as a user's shell would see it: the program
 * weftd with a registry of its own, told to end as soon as it says that it serves. The data plane
 * is not opened: no app runs. Ready means that a client can be served. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "hosts.h"
#include "program.h"
#include "weft/error.h"

#define WANTED_MS 20

struct times {
    double start_ms, stop_ms;
};

static struct times cycle(void)
{
    char program[4096], address[32], line[128];
    unsigned seed = (unsigned)getpid();
    int out;
    snprintf(address, sizeof(address), "127.%u.%u.1", 1 + seed % 253, 1 + seed / 253 % 253);
    const char *argv[] = {bench_path("bin/weftd", program),
                          "--name",
                          "home",
                          "--address",
                          address,
                          "--slots",
                          "2",
                          "--ready-fd",
                          "1",
                          NULL};
    uint64_t start_ns = weft__now_ns();
    pid_t pid = bench_spawn(argv, "/dev/null", &out);
    if (!bench_line(out, line, sizeof(line)))
        bench_die("start a host", WEFT_EAPP);
    uint64_t ready_ns = weft__now_ns();
    kill(pid, SIGTERM);
    if (bench_wait(pid) != 0)
        bench_die("stop a host", WEFT_EAPP);
    uint64_t end_ns = weft__now_ns();
    close(out);
    return (struct times){(double)(ready_ns - start_ns) / 1e6, (double)(end_ns - ready_ns) / 1e6};
}

static void label(struct bench_series *series, const char *what)
{
    snprintf(series->id, sizeof(series->id), "control.host.%s", what);
    snprintf(series->what, sizeof(series->what), "%s of a host", what);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ms");
    snprintf(series->config, sizeof(series->config),
             "the program weftd, all services, head with a registry, no app");
}

int control_start_stop(const struct bench *bench)
{
    static struct bench_series start, stop, both;
    label(&start, "start");
    label(&stop, "stop");
    label(&both, "start_stop");
    cycle(); /* reads the program from the disk */
    for (unsigned round = 0; round < bench->rounds; round++) {
        struct times times = cycle();
        bench_add(&start, times.start_ms);
        bench_add(&stop, times.stop_ms);
        bench_add(&both, times.start_ms + times.stop_ms);
    }
    struct bench_goal goal = {.id = "control.start_stop_ms",
                              .measured = bench_median(&both),
                              .wanted = WANTED_MS,
                              .unit = "ms",
                              .from = {both.id},
                              .reason = "fork and exec of the program are included"};
    bench_print_goal(bench, &goal);
    bench_print(bench, &start);
    bench_print(bench, &stop);
    bench_print(bench, &both);
    return 0;
}
