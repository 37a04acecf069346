/* MPI programs under weft run, for information: messages beside Open MPI over tcp, steps of the
 * demo's solver beside one rank alone, and the CPU time that processes burn while they wait. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "demo.h"
#include "hosts.h"
#include "program.h"
#include "weft/error.h"

enum { LENGTHS = 3, PLACES = 3, HEATS = 3, PATH = 4096 };

static const unsigned lengths[LENGTHS] = {8, 4096, 65536};

struct place {
    const char *id, *subject, *config;
};

static const struct place places[PLACES] = {
    {"2_hosts", "weft", "weft run -n 2 --hosts 2 --slots 1, MPI_Send and MPI_Recv"},
    {"1_host", "weft", "weft run -n 2 --hosts 1 --slots 2, MPI_Send and MPI_Recv"},
    {"openmpi_tcp", "openmpi", "mpirun -n 2, btl tcp over lo, MPI_Send and MPI_Recv"},
};

struct heat {
    const char *id, *ranks, *hosts, *slots, *config;
};

static const struct heat heats[HEATS] = {
    {"serial", "1", "1", "1", "512 x 512 points, 1 rank"},
    {"1_host", "4", "1", "4", "512 x 512 points, 4 ranks on 1 host"},
    {"3_hosts", "4", "3", "2", "512 x 512 points, 4 ranks on 3 hosts of 2 slots"},
};

struct results {
    struct bench_series message[PLACES][LENGTHS], step[HEATS], idle_host, idle_app;
};

/* ---- messages ---- */

static void read_messages(int fd, struct bench_series series[LENGTHS])
{
    char line[256];
    while (bench_line(fd, line, sizeof(line))) {
        unsigned len;
        double half_ns;
        if (sscanf(line, "pingpong %u %lf", &len, &half_ns) != 2)
            continue;
        for (size_t i = 0; i < LENGTHS; i++)
            if (lengths[i] == len)
                bench_add(&series[i], half_ns / 1e3);
    }
    close(fd);
}

static void pingpong_weft(bool apart, const char *budget_ms, struct bench_series series[LENGTHS])
{
    char weft[PATH], program[PATH];
    const char *argv[] = {bench_path("bin/weft", weft),
                          "run",
                          "-n",
                          "2",
                          "--hosts",
                          apart ? "2" : "1",
                          "--slots",
                          apart ? "1" : "2",
                          bench_path("lib/bench/pingpong.so", program),
                          budget_ms,
                          "8",
                          "4096",
                          "65536",
                          NULL};
    int out;
    pid_t pid = bench_spawn(argv, NULL, &out);
    read_messages(out, series);
    if (bench_wait(pid))
        bench_die("a ping-pong under weft run", WEFT_EAPP);
}

static void pingpong_openmpi(const char *budget_ms, struct bench_series series[LENGTHS])
{
    char program[PATH];
    const char *argv[] = {"mpirun",
                          "--allow-run-as-root",
                          "--oversubscribe",
                          "-n",
                          "2",
                          "--mca",
                          "pml",
                          "ob1",
                          "--mca",
                          "btl",
                          "tcp,self",
                          "--mca",
                          "btl_tcp_if_include",
                          "lo",
                          bench_path("lib/bench/pingpong-openmpi", program),
                          budget_ms,
                          "8",
                          "4096",
                          "65536",
                          NULL};
    int out;
    if (access(program, X_OK) != 0)
        return; /* built where there is Open MPI */
    pid_t pid = bench_spawn(argv, NULL, &out);
    read_messages(out, series);
    if (bench_wait(pid))
        fprintf(stderr, "bench-demo: mpirun failed: its lines are missing or incomplete\n");
}

/* ---- steps ---- */

static void run_heat(const struct heat *heat, const char *steps, struct bench_series *series)
{
    char weft[PATH], program[PATH], line[1024];
    const char *argv[] = {bench_path("bin/weft", weft),
                          "run",
                          "-n",
                          heat->ranks,
                          "--hosts",
                          heat->hosts,
                          "--slots",
                          heat->slots,
                          bench_path("lib/weft/heat.so", program),
                          "--steps",
                          steps,
                          NULL};
    int out;
    pid_t pid = bench_spawn(argv, NULL, &out);
    while (bench_line(out, line, sizeof(line))) {
        const char *seconds = strstr(line, "\"seconds\":");
        if (strncmp(line, "heat {", 6) == 0 && seconds)
            bench_add(series, strtod(seconds + strlen("\"seconds\":"), NULL) * 1e3 / atof(steps));
    }
    close(out);
    if (bench_wait(pid))
        bench_die("heat under weft run", WEFT_EAPP);
}

/* ---- waiting ---- */

/* CPU milliseconds of one thread, to the nanosecond, unlike /proc/PID/stat, which counts ticks. */
static double thread_cpu_ms(pid_t pid, const char *thread)
{
    char path[300];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &ns) != 1)
        ns = 0;
    fclose(file);
    return (double)ns / 1e6;
}

/* CPU milliseconds of all threads of a process. */
static double cpu_ms(pid_t pid)
{
    char path[64];
    double sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    const struct dirent *entry;
    while (threads && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            sum += thread_cpu_ms(pid, entry->d_name);
    if (threads)
        closedir(threads);
    return sum;
}

static pid_t rank_pid(const struct bench_hosts *hosts, const struct bench_app *app, size_t rank)
{
    json_t *apps = bench_weft(hosts, "apps", (const char *[]){app->id, NULL});
    const json_t *one = json_is_array(apps) ? json_array_get(apps, 0) : apps;
    const json_t *ranks = json_object_get(one, "ranks");
    pid_t pid = (pid_t)json_integer_value(json_object_get(json_array_get(ranks, rank), "pid"));
    json_decref(apps);
    return pid;
}

/* How much of a CPU a host and an app's process need while both ranks wait in MPI_Recv. */
static void idle(const struct bench *bench, struct results *results)
{
    char program[PATH];
    struct bench_hosts hosts;
    struct bench_app app;
    bench_hosts_start(&hosts, "1");
    bench_app_start(&hosts, &app,
                    (const char *[]){"-n", "2", bench_path("lib/bench/waits.so", program), NULL});
    bench_app_await(&app, "ready");
    pid_t pid = rank_pid(&hosts, &app, 0);
    usleep(bench->quick ? 1000 : 1000000); /* what starting has left is over */
    double host_ms = cpu_ms(hosts.pids[0]), app_ms = cpu_ms(pid);
    uint64_t start_ns = weft__now_ns();
    usleep(bench->quick ? 1000 : 4000000);
    double took_ms = (double)(weft__now_ns() - start_ns) / 1e6;
    bench_add(&results->idle_host, (cpu_ms(hosts.pids[0]) - host_ms) * 100 / took_ms);
    bench_add(&results->idle_app, (cpu_ms(pid) - app_ms) * 100 / took_ms);
    bench_app_kill(&hosts, &app);
    bench_hosts_stop(&hosts);
}

/* ---- what comes out ---- */

static void label(struct bench_series *series, const char *id, const char *unit, const char *config)
{
    snprintf(series->id, sizeof(series->id), "demo.%s", id);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config), "%s", config);
}

static void label_all(struct results *results)
{
    char id[64];
    for (size_t i = 0; i < PLACES; i++)
        for (size_t k = 0; k < LENGTHS; k++) {
            struct bench_series *series = &results->message[i][k];
            snprintf(id, sizeof(id), "mpi_message.%uB.%s", lengths[k], places[i].id);
            label(series, id, "us", places[i].config);
            snprintf(series->subject, sizeof(series->subject), "%s", places[i].subject);
            snprintf(series->what, sizeof(series->what), "MPI message of %u B, %s", lengths[k],
                     places[i].id);
        }
    for (size_t i = 0; i < HEATS; i++) {
        snprintf(id, sizeof(id), "heat_step.%s", heats[i].id);
        label(&results->step[i], id, "ms", heats[i].config);
        snprintf(results->step[i].what, sizeof(results->step[i].what), "step of heat, %s",
                 heats[i].id);
    }
    label(&results->idle_host, "idle.weftd", "%", "of one CPU, head of three hosts, one app");
    snprintf(results->idle_host.what, sizeof(results->idle_host.what), "CPU of a waiting host");
    label(&results->idle_app, "idle.app", "%", "of one CPU, a rank in MPI_Recv, lane asleep");
    snprintf(results->idle_app.what, sizeof(results->idle_app.what), "CPU of a waiting rank");
}

int demo_mpi(const struct bench *bench)
{
    static struct results results;
    const char *budget_ms = bench->quick ? "1" : "150", *steps = bench->quick ? "20" : "2000";
    label_all(&results);
    for (unsigned round = 0; round < bench->rounds; round++) {
        pingpong_weft(true, budget_ms, results.message[0]);
        if (!bench->quick)
            pingpong_openmpi(budget_ms, results.message[2]);
        pingpong_weft(false, budget_ms, results.message[1]);
        for (size_t i = 0; i < HEATS; i++)
            run_heat(&heats[i], steps, &results.step[i]);
    }
    idle(bench, &results);
    for (size_t k = 0; k < LENGTHS; k++)
        for (size_t i = 0; i < PLACES; i++)
            bench_print(bench, &results.message[i][k]);
    for (size_t i = 0; i < HEATS; i++)
        bench_print(bench, &results.step[i]);
    bench_print(bench, &results.idle_host);
    bench_print(bench, &results.idle_app);
    return 0;
}
