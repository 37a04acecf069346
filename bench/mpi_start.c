/* 64 ranks that say hello: from the command to its exit. weft's host runs already, as a cluster's
 * hosts do. Beside it stands what it takes with a host that is started and ended for the run, and
 * with the program in its other forms: with shared libraries, and with a process for each rank. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "data.h"
#include "hosts.h"
#include "mpi.h"
#include "program.h"
#include "weft/error.h"

enum { RANKS = 64, QUICK_RANKS = 4, LINE_MS = 60000, END_MS = 20000 };
enum { COLD = MPI_LIBRARIES, PIE, PROCESS, KINDS }; /* of weft, behind the libraries */

static const struct {
    const char *id, *subject, *config;
} forms[KINDS] = {
    [MPI_WEFT] = {"weft", "weft", ", its host runs already"},
    [MPI_OPENMPI] = {"openmpi", "openmpi", ""},
    [MPI_MPICH] = {"mpich", "mpich", ""},
    [COLD] = {"weft_cold", "weft, cold", ", a host started for it"},
    [PIE] = {"weft_pie", "weft -pie", ", its host runs already, linked with -pie"},
    [PROCESS] = {"weft_process", "weft --process", ", its host runs already, a process each"},
};

/* Milliseconds; 0: it failed. */
static double start(const char *const argv[], unsigned ranks)
{
    char line[256];
    unsigned got = 0, rank, of;
    int out;
    uint64_t began_ns = weft__now_ns();
    pid_t pid = bench_spawn(argv, NULL, &out);
    while (got < ranks && bench_line_within(out, line, sizeof(line), LINE_MS))
        got += sscanf(line, "mpi hello %u %u", &rank, &of) == 2 && of == ranks;
    int code = bench_wait_within(pid, END_MS);
    close(out);
    return got == ranks && code == 0 ? (double)(weft__now_ns() - began_ns) / 1e6 : 0;
}

static void run_once(const struct bench_hosts *hosts, unsigned kind, unsigned ranks,
                     struct bench_series *series)
{
    const char *argv[MPI_ARGS_MAX] = {NULL};
    char path[4096], at[32], count[8], weft[4096];
    enum mpi_library library = kind >= MPI_LIBRARIES ? MPI_WEFT : (enum mpi_library)kind;
    const char *program = mpi_program(library, path);
    if (!program)
        return;
    if (kind == PIE)
        program = bench_path("lib/bench/mpi-weft_pie", path);
    snprintf(at, sizeof(at), "%s.1", hosts->net);
    snprintf(count, sizeof(count), "%u", ranks);
    const char *warm[] = {bench_path("bin/weft", weft),         "run", "--at", at, "-n", count,
                          kind == PROCESS ? "--process" : NULL, NULL};
    unsigned n = 0;
    if (library == MPI_WEFT && kind != COLD)
        for (; warm[n]; n++)
            argv[n] = warm[n];
    else
        n = mpi_command(library, &(struct mpi_field){.place = MPI_CROWDED, .ranks = ranks}, argv);
    argv[n++] = program;
    argv[n++] = "1";
    argv[n++] = "hello";
    double ms = start(argv, ranks);
    if (ms > 0)
        bench_add(series, ms);
    else
        fprintf(stderr, "bench-mpi: %s: %u ranks did not all begin and end\n", series->id, ranks);
}

int mpi_start(const struct bench *bench)
{
    static struct bench_series series[KINDS];
    unsigned ranks = bench->quick ? QUICK_RANKS : RANKS;
    char slots[8], net[16], id[72], config[160];
    struct bench_hosts hosts;
    snprintf(slots, sizeof(slots), "%u", ranks);
    bench_hosts_net(net);
    bench_hosts_start_on(&hosts, net, &(struct bench_host_desc){.slots = slots}, 1);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        snprintf(id, sizeof(id), "mpi.start64.%s", forms[kind].id);
        snprintf(config, sizeof(config), "%u ranks, hello world%s", ranks, forms[kind].config);
        data_label(&series[kind], &(struct data_label){.id = id,
                                                       .what = "from the command to its exit",
                                                       .subject = forms[kind].subject,
                                                       .unit = "ms",
                                                       .config = config});
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        for (unsigned i = 0; i < KINDS; i++)
            run_once(&hosts, (i + round) % KINDS, ranks, &series[(i + round) % KINDS]);
    bench_hosts_stop(&hosts);
    const struct bench_series *slower = data_better(&series[MPI_OPENMPI], &series[MPI_MPICH]);
    const struct bench_series *best = slower == &series[MPI_MPICH] && series[MPI_OPENMPI].n > 0
                                          ? &series[MPI_OPENMPI]
                                          : &series[MPI_MPICH];
    data_ratio_goal(
        bench,
        (struct bench_goal){.id = "mpi.start64", .wanted = 0.5, .reason = "beside the best peer"},
        &series[MPI_WEFT], best->n > 0 ? best : slower);
    for (unsigned kind = 0; kind < KINDS; kind++)
        bench_print(bench, &series[kind]);
    return 0;
}
