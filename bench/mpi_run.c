/* Starting ranks/mpi.c under each library, and reading what it prints.
 *
 * A task of one run is one value of a round. Two ranks have a core each: the peers' launchers bind
 * them, weft's workers are as many as the cores; two hosts, which would be two machines, have a
 * core each, too. Open MPI yields the core while it waits where
 * there are more ranks than cores, which is what it would find out itself with a slot for each
 * core; over TCP both peers are kept from memory that is shared. A job that hangs is ended:
 * MPICH 4.0.2 does in MPI_Finalize at times, after its figures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "mpi.h"
#include "program.h"

enum { LINE_MS = 60000, END_MS = 2000, MS = 200, QUICK_MS = 5 };

const char *const mpi_names[MPI_LIBRARIES] = {"weft", "openmpi", "mpich"};

static const char *const launchers[MPI_LIBRARIES] = {NULL, "/usr/bin/mpirun.openmpi",
                                                     "/usr/bin/mpiexec.mpich"};

const char *mpi_program(enum mpi_library library, char path[4096])
{
    char name[32];
    snprintf(name, sizeof(name), "lib/bench/mpi-%s", mpi_names[library]);
    bench_path(name, path);
    bool there = access(path, X_OK) == 0 &&
                 (launchers[library] == NULL || access(launchers[library], X_OK) == 0);
    return there ? path : NULL;
}

static unsigned add(const char *argv[MPI_ARGS_MAX], unsigned n, const char *const args[])
{
    for (; *args && n < MPI_ARGS_MAX - 1; args++)
        argv[n++] = *args;
    return n;
}

unsigned mpi_command(enum mpi_library library, const struct mpi_field *field,
                     const char *argv[MPI_ARGS_MAX])
{
    static char weft[4096], count[8];
    bool own_cores = field->place == MPI_NEAR || field->place == MPI_APART;
    snprintf(count, sizeof(count), "%u", field->ranks);
    if (library == MPI_WEFT && field->at)
        return add(argv, 0,
                   (const char *[]){bench_path("bin/weft", weft), "run", "--at", field->at, "-n",
                                    count, NULL});
    if (library == MPI_WEFT)
        return add(argv, 0,
                   (const char *[]){bench_path("bin/weft", weft), "run", "--hosts", "1", "--slots",
                                    count, "-n", count, NULL});
    if (library == MPI_MPICH)
        return add(argv, 0,
                   (const char *[]){launchers[library], "-bind-to", own_cores ? "core" : "none",
                                    "-n", count, NULL});
    unsigned n =
        add(argv, 0,
            (const char *[]){launchers[library], "--allow-run-as-root", "--oversubscribe",
                             "--bind-to", own_cores ? "core" : "none", "--mca",
                             "mpi_yield_when_idle", own_cores ? "0" : "1", "-n", count, NULL});
    if (field->place == MPI_APART)
        n = add(argv, n,
                (const char *[]){"--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca",
                                 "btl_tcp_if_include", "lo", NULL});
    return n;
}

static void only_tcp(void)
{
    setenv("UCX_TLS", "tcp,self", 1);
    setenv("UCX_NET_DEVICES", "lo", 1);
    setenv("MPIR_CVAR_NOLOCAL", "1", 1);
}

/* ---- a run ---- */

static unsigned task_of(const struct mpi_field *field, const char *what, unsigned bytes)
{
    char name[48];
    unsigned i = 0;
    snprintf(name, sizeof(name), "%s:%u", what, bytes);
    while (i < field->tasks_n && strcmp(field->tasks[i].name, name) != 0)
        i++;
    return i;
}

static void run_once(const struct bench *bench, struct mpi_field *field, enum mpi_library library)
{
    const char *argv[MPI_ARGS_MAX] = {NULL};
    char path[4096], ms[8], line[256], what[24];
    const char *program = mpi_program(library, path);
    if (!program || field->without[library])
        return;
    snprintf(ms, sizeof(ms), "%u", bench->quick ? QUICK_MS : MS);
    unsigned n = mpi_command(library, field, argv), bytes, got = 0;
    n = add(argv, n, (const char *[]){program, ms, NULL});
    for (unsigned i = 0; i < field->tasks_n; i++)
        n = add(argv, n, (const char *[]){field->tasks[i].name, NULL});
    int out;
    if (field->place == MPI_ONE_CPU)
        data_pin(0);
    pid_t pid = bench_spawn(argv, NULL, &out);
    if (field->place == MPI_ONE_CPU)
        data_unpin();
    while (got < field->tasks_n && bench_line_within(out, line, sizeof(line), LINE_MS)) {
        double value;
        unsigned task = field->tasks_n;
        if (sscanf(line, "mpi %23s %u %lf", what, &bytes, &value) == 3)
            task = task_of(field, what, bytes);
        if (task == field->tasks_n)
            continue;
        bench_add(&field->series[task][library], value);
        got++;
    }
    bench_wait_within(pid, END_MS);
    close(out);
    if (got < field->tasks_n)
        fprintf(stderr, "bench-mpi: %s, %u ranks: %u of %u figures\n", mpi_names[library],
                field->ranks, got, field->tasks_n);
}

static void label(const struct mpi_field *field, unsigned task, enum mpi_library library)
{
    static const char *const places[] = {
        [MPI_NEAR] = "one host, a core each",
        [MPI_ONE_CPU] = "one host, one core for all",
        [MPI_CROWDED] = "one host, more ranks than cores",
        [MPI_APART] = "TCP over loopback, a core each",
    };
    const struct mpi_task *what = &field->tasks[task];
    char id[72], config[160], words[96];
    size_t name_len = strcspn(what->name, ":");
    snprintf(id, sizeof(id), "mpi.%s.%.*s_%s.%s", field->part, (int)name_len, what->name,
             what->name + name_len + 1, mpi_names[library]);
    snprintf(words, sizeof(words), "%.*s, %s B, %u ranks", (int)name_len, what->name,
             what->name + name_len + 1, field->ranks);
    snprintf(config, sizeof(config), "%u ranks, %s, ranks/mpi.c", field->ranks,
             places[field->place]);
    data_label(&field->series[task][library], &(struct data_label){.id = id,
                                                                   .what = words,
                                                                   .subject = mpi_names[library],
                                                                   .unit = what->unit,
                                                                   .config = config});
}

void mpi_run(const struct bench *bench, struct mpi_field *field)
{
    for (unsigned task = 0; task < field->tasks_n; task++)
        for (enum mpi_library library = 0; library < MPI_LIBRARIES; library++)
            label(field, task, library);
    if (field->place == MPI_APART)
        only_tcp();
    for (unsigned round = 0; round < bench->rounds; round++)
        for (unsigned i = 0; i < MPI_LIBRARIES; i++)
            run_once(bench, field, (enum mpi_library)((i + round) % MPI_LIBRARIES));
}

void mpi_print(const struct bench *bench, struct mpi_field *field)
{
    for (unsigned task = 0; task < field->tasks_n; task++)
        for (unsigned library = 0; library < MPI_LIBRARIES; library++)
            bench_print(bench, &field->series[task][library]);
}

const struct bench_series *mpi_best(const struct mpi_field *field, unsigned task)
{
    const struct bench_series *a = &field->series[task][MPI_OPENMPI],
                              *b = &field->series[task][MPI_MPICH];
    const struct bench_series *more = data_better(b, a), *less = more == a ? b : a;
    return field->tasks[task].more_is_better || less->n == 0 ? more : less;
}
