/* The peers over TCP: Open MPI, MPICH and UCX, as programs of two processes that this one starts
 * anew for each figure, on the loopback interface and a core each.
 *
 * Open MPI and MPICH run ranks/exchange.c, one source, compiled by the mpicc of each. Debian's
 * MPICH moves its messages by UCX. Open MPI is kept from yielding the core while it waits. UCX runs
 * its own ucx_perftest, by tags or by active messages; its window of outstanding sends is the
 * task's. All spin, and all wait for a send until its buffer may be used again, as weft's ends do.
 *
 * Latency is the median of single half round trips for all, and rates are of the typical burst, but
 * of UCX, which tells only what the whole run took: on a machine with other work it looks slower
 * than it is, where MPICH, which stands on it, does not.
 *
 * A figure counts once it is printed: MPICH 4.0.2 over UCX hangs in MPI_Finalize at times, with one
 * rank in a barrier of the launcher and the other one closing its connections, and is ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data.h"
#include "data_ends.h"
#include "program.h"
#include "weft/error.h"

enum { PATH = 4096, NUMBER = 24, ARGS_MAX = 40, HANG_MS = 8000, END_MS = 500, COMPLAINTS = 8 };

struct argv {
    const char *args[ARGS_MAX];
    size_t n;
};

static void add(struct argv *argv, const char *const args[])
{
    for (; *args && argv->n < ARGS_MAX - 1; args++)
        argv->args[argv->n++] = *args;
}

static bool is_installed(const char *program)
{
    static const char *const folders[] = {"/usr/bin/", "/usr/local/bin/", ""};
    char path[PATH];
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", folders[i], program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* Every peer here moves its bytes by UCX or finds no difference in these. */
static void only_tcp(void)
{
    setenv("UCX_TLS", "tcp,self", 1);
    setenv("UCX_NET_DEVICES", "lo", 1);
}

/* Once for each subject and reason. */
static double complain(const struct data_subject *subject, const char *what)
{
    static struct complaint {
        const struct data_subject *subject;
        const char *what;
    } told[COMPLAINTS];
    size_t n = 0;
    while (n < COMPLAINTS && told[n].subject &&
           (told[n].subject != subject || strcmp(told[n].what, what) != 0))
        n++;
    if (n == COMPLAINTS || !told[n].subject)
        fprintf(stderr, "bench-data: %s is missing: %s\n", subject->id, what);
    if (n < COMPLAINTS)
        told[n] = (struct complaint){subject, what};
    return NAN;
}

/* They are started anew for each figure: only those that goals need. */
static bool peers_can(const struct data_task *task)
{
    return task->what != DATA_PUT && (task->bytes == 8 || task->bytes > 1000000);
}

/* ---- MPI ---- */

static void launcher(struct argv *argv, const struct data_subject *subject)
{
    if (strcmp(subject->name, "mpich") == 0)
        add(argv, (const char *[]){subject->program, "-bind-to", "none", "-n", "2", NULL});
    else
        add(argv, (const char *[]){subject->program,
                                   "--allow-run-as-root",
                                   "--oversubscribe",
                                   "--bind-to",
                                   "none",
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
                                   "--mca",
                                   "mpi_yield_when_idle",
                                   "0",
                                   NULL});
}

static double run_exchange(const struct data_subject *subject, const struct argv *argv)
{
    char line[256];
    double value = NAN;
    int out;
    data_unpin();
    pid_t pid = bench_spawn(argv->args, NULL, &out);
    data_pin(0);
    while (isnan(value) && bench_line_within(out, line, sizeof(line), HANG_MS))
        if (sscanf(line, "exchange %*s %*u %lf", &value) != 1)
            fprintf(stderr, "%s: %s\n", subject->id, line);
    bench_wait_within(pid, END_MS);
    close(out);
    return isnan(value) ? complain(subject, "its ranks failed") : value;
}

static double mpi(const struct data_subject *subject, const struct data_task *task, unsigned ms)
{
    char ranks[PATH], bytes[NUMBER], window[NUMBER], time[NUMBER];
    struct argv argv = {0};
    bool pass = task->what == DATA_PASS;
    if (task->asleep || !peers_can(task))
        return NAN;
    bench_path(subject->test, ranks);
    if (!is_installed(subject->program) || access(ranks, X_OK) != 0)
        return complain(subject, "its programs are not installed (scripts/deps bench)");
    snprintf(bytes, sizeof(bytes), "%zu", task->bytes);
    snprintf(window, sizeof(window), "%u", task->window);
    snprintf(time, sizeof(time), "%u", ms);
    only_tcp();
    launcher(&argv, subject);
    add(&argv, (const char *[]){ranks, pass ? "pass" : "rate", bytes, window, time, NULL});
    double value = run_exchange(subject, &argv);
    return pass || task->what == DATA_RATE ? value : value * (double)task->bytes / 1e9;
}

const struct data_kind data_mpi = {.alone = mpi};

/* ---- UCX ---- */

/* Nobody has it now; ucx_perftest wants to be told one. */
static unsigned free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        bench_die("find a free port", -errno);
    close(fd);
    return ntohs(name.sin_port);
}

static bool is_listening(unsigned port)
{
    char line[256];
    unsigned found = 0, state = 0;
    FILE *file = fopen("/proc/net/tcp", "re");
    if (!file)
        return true; /* then a moment has to do */
    while (!(found == port && state == 0x0a) && fgets(line, sizeof(line), file))
        if (sscanf(line, "%*u: %*x:%x %*x:%*x %x", &found, &state) != 2)
            found = 0;
    fclose(file);
    return found == port && state == 0x0a;
}

/* Its server says nothing before it ends, and takes no other client first. */
static void await_listening(unsigned port)
{
    for (unsigned i = 0; i < 5000 && !is_listening(port); i++)
        usleep(1000);
}

/* iterations, median, average, overall latency; average and overall bandwidth; average and overall
 * message rate. */
static double read_figures(int out, bool pass)
{
    char line[256];
    double median, rate, value = NAN;
    while (isnan(value) && bench_line_within(out, line, sizeof(line), HANG_MS))
        if (sscanf(line, "%*u,%lf,%*f,%*f,%*f,%*f,%*f,%lf", &median, &rate) == 2)
            value = pass ? median : rate;
    return value;
}

static double run_perftest(const struct data_subject *subject, const struct argv *argv,
                           const char *port, bool pass)
{
    const char *server[] = {subject->program, "-p", port, NULL};
    int out, server_out;
    data_pin(1);
    pid_t server_pid = bench_spawn(server, NULL, &server_out);
    data_pin(0);
    await_listening((unsigned)atoi(port));
    pid_t pid = bench_spawn(argv->args, NULL, &out);
    double value = read_figures(out, pass);
    bench_wait_within(pid, END_MS);
    bench_wait_within(server_pid, END_MS);
    close(out);
    close(server_out);
    return isnan(value) ? complain(subject, "ucx_perftest failed") : value;
}

/* How many fit into the time, roughly: it has no option for that. */
static unsigned iterations(const struct data_task *task, unsigned ms)
{
    unsigned per_ms = task->what == DATA_PASS ? 100 : task->bytes <= 4096 ? 250 : 5;
    return ms * per_ms;
}

static double ucx(const struct data_subject *subject, const struct data_task *task, unsigned ms)
{
    char test[NUMBER], bytes[NUMBER], window[NUMBER], n[NUMBER], warm_up[NUMBER], port[NUMBER];
    struct argv argv = {0};
    bool pass = task->what == DATA_PASS;
    if (!peers_can(task))
        return NAN;
    if (!is_installed(subject->program))
        return complain(subject, "ucx_perftest is not installed (scripts/deps bench)");
    snprintf(test, sizeof(test), "%s_%s", subject->test, pass ? "lat" : "bw");
    snprintf(bytes, sizeof(bytes), "%zu", task->bytes);
    snprintf(window, sizeof(window), "%u", task->window);
    snprintf(n, sizeof(n), "%u", iterations(task, ms));
    snprintf(warm_up, sizeof(warm_up), "%u", iterations(task, ms) / 10 + 1);
    snprintf(port, sizeof(port), "%u", free_port());
    only_tcp();
    add(&argv, (const char *[]){subject->program, "127.0.0.1", "-p", port, "-t", test, "-s", bytes,
                                "-n", n, "-w", warm_up, "-O", window, "-f", "-v",
                                task->asleep ? "-E" : NULL, "sleep", NULL});
    double value = run_perftest(subject, &argv, port, pass);
    return pass || task->what == DATA_RATE ? value : value * (double)task->bytes / 1e9;
}

const struct data_kind data_ucx = {.alone = ucx};
