/* System calls are counted by the kernel's own tracepoint, which costs a few nanoseconds where
 * ptrace would cost two context switches and change what is counted. The counter is opened before
 * the first thread and inherited by all; it runs only while somebody counts. It needs root (or
 * perf_event_paranoid below 0) and tracefs. */
#include "control_server.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "echo_server.h"
#include "reference_server.h"
#include "weft/error.h"

#define EVENT_ID "events/raw_syscalls/sys_enter/id"

enum command { COUNT = 'c', COUNTED = 'n' };

static bool event_id(unsigned long long *id_out)
{
    static const char *const places[] = {"/sys/kernel/tracing/" EVENT_ID,
                                         "/sys/kernel/debug/tracing/" EVENT_ID};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof(places) / sizeof(places[0]); i++) {
        FILE *file = fopen(places[i], "re");
        if (!file)
            continue;
        found = fscanf(file, "%llu", id_out) == 1;
        fclose(file);
    }
    return found;
}

/* -1: not possible here. */
static int open_counter(void)
{
    unsigned long long id;
    if (!event_id(&id))
        return -1;
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT,
                                   .size = sizeof(attr),
                                   .config = id,
                                   .disabled = 1,
                                   .inherit = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void obey(int fd, int counter)
{
    uint64_t before = 0, now;
    char command;
    while (bench_receive(fd, &command, 1)) {
        bool counts = counter >= 0 && read(counter, &now, sizeof(now)) == (ssize_t)sizeof(now);
        if (counts)
            ioctl(counter, command == COUNT ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
        uint64_t since = counts ? now - before : UINT64_MAX;
        before = counts ? now : 0;
        bench_send(fd, &since, sizeof(since));
    }
}

static int serve(void *ctx, int fd)
{
    const struct control_server *server = ctx;
    int counter = open_counter();
    uint16_t port;
    if (server->reference) {
        struct reference_server *reference = bench_echo_reference_start(server->workers, &port);
        bench_send(fd, &port, sizeof(port));
        obey(fd, counter);
        reference_server_stop(reference);
    } else {
        struct weft_server *weft = bench_echo_start(&server->workers, 1, &port);
        bench_send(fd, &port, sizeof(port));
        obey(fd, counter);
        bench_echo_stop(weft);
    }
    if (counter >= 0)
        close(counter);
    return 0;
}

void control_server_start(struct control_server *server)
{
    server->pid = bench_fork(serve, server, &server->fd);
    if (!bench_receive(server->fd, &server->port, sizeof(server->port)))
        bench_die("start a server", WEFT_EPEERDEAD);
}

void control_server_stop(struct control_server *server)
{
    if (bench_join(server->pid, server->fd) != 0)
        bench_die("stop a server", WEFT_EPEERDEAD);
}

uint64_t control_server_cpu_ns(const struct control_server *server)
{
    struct timespec time;
    clockid_t clock;
    if (clock_getcpuclockid(server->pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        bench_die("processor time of a server", WEFT_EIO);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t tell(const struct control_server *server, char command)
{
    uint64_t n;
    bench_send(server->fd, &command, 1);
    if (!bench_receive(server->fd, &n, sizeof(n)))
        bench_die("count system calls", WEFT_EPEERDEAD);
    return n;
}

void control_server_count(const struct control_server *server)
{
    tell(server, COUNT);
}

bool control_server_counted(const struct control_server *server, uint64_t *n_out)
{
    *n_out = tell(server, COUNTED);
    return *n_out != UINT64_MAX;
}
