/* What the figures of this run were taken on: the environment stands in the configurations of a few
 * measurements, as every line of output is a measurement or a goal. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "data.h"
#include "program.h"

enum { READS = 1000 };

static void print(const struct bench *bench, const struct data_label *label, double value)
{
    struct bench_series series = {0};
    data_label(&series, label);
    bench_add(&series, value);
    bench_print(bench, &series);
}

/* The first line of a file that has this key, what stands behind its colon; without a key the first
 * line. Characters that JSON would escape are left out. */
static void read_file(const char *path, const char *key, char *out, size_t len)
{
    char line[256];
    FILE *file = fopen(path, "re");
    size_t n = 0;
    snprintf(out, len, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (key && (strncmp(line, key, strlen(key)) != 0 || !colon))
            continue;
        for (const char *at = key ? colon + 1 : line; *at && n + 1 < len; at++)
            if (*at >= ' ' && *at != '"' && *at != '\\' && (n || *at != ' '))
                out[n++] = *at;
        out[n] = 0;
        break;
    }
    if (file)
        fclose(file);
}

static void cores(const struct bench *bench)
{
    char config[160], processor[48], congestion[32];
    struct utsname name = {0};
    cpu_set_t usable;
    CPU_ZERO(&usable);
    sched_getaffinity(0, sizeof(usable), &usable);
    uname(&name);
    read_file("/proc/cpuinfo", "model name", processor, sizeof(processor));
    read_file("/proc/sys/net/ipv4/tcp_congestion_control", NULL, congestion, sizeof(congestion));
    snprintf(config, sizeof(config), "%s, Linux %.40s, TCP congestion control %s", processor,
             name.release, congestion);
    print(bench, &(struct data_label){"data.machine.cores", "cores", "machine", "cores", config},
          CPU_COUNT(&usable));
}

static void load(const struct bench *bench)
{
    double minute = 0;
    getloadavg(&minute, 1);
    bool first = !bench->quick && data_go_first();
    print(bench,
          &(struct data_label){"data.machine.load", "runnable processes at the start", "machine",
                               "processes",
                               first ? "of one minute; what is compared goes before other work"
                                     : "of one minute; what is compared shares the cores with it"},
          minute);
}

static void clock_read(const struct bench *bench)
{
    uint64_t start_ns = weft__now_ns();
    for (unsigned i = 0; i < READS; i++)
        weft__now_ns();
    double took_ns = (double)(weft__now_ns() - start_ns);
    print(bench,
          &(struct data_label){"data.machine.clock", "one look at the clock", "machine", "ns",
                               "CLOCK_MONOTONIC"},
          took_ns / READS);
}

/* The versions of what is compared with, as Debian names them. */
static void peers(const struct bench *bench)
{
    const char *argv[] = {
        "sh", "-c",
        "dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n' libfabric1 "
        "libzmq5 openmpi-bin mpich ucx-utils 2>/dev/null || :",
        NULL};
    char line[128], package[48], version[48], config[160] = "";
    unsigned n = 0;
    int out;
    pid_t pid = bench_spawn(argv, NULL, &out);
    while (bench_line(out, line, sizeof(line)))
        if (sscanf(line, "installed %47s %47s", package, version) == 2) {
            size_t at = strlen(config);
            snprintf(config + at, sizeof(config) - at, "%s%s %s", n++ ? ", " : "", package,
                     version);
        }
    bench_wait(pid);
    close(out);
    print(bench,
          &(struct data_label){"data.machine.packages", "installed of what is compared with",
                               "machine", "packages", n ? config : "none that dpkg knows"},
          n);
}

int data_machine(const struct bench *bench)
{
    cores(bench);
    load(bench);
    clock_read(bench);
    peers(bench);
    return 0;
}
