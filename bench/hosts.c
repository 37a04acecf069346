/* Starting weftd, weft run and weft's commands as a user's shell would. */
#include "hosts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "data.h"
#include "program.h"
#include "weft/error.h"

enum { ARGS_MAX = 32 };

const char *const bench_host_names[BENCH_HOSTS] = {"home", "a", "b"};

/* ---- hosts ---- */

static bool start_host(struct bench_hosts *hosts, unsigned i, const struct bench_host_desc *desc)
{
    char program[4096], address[32], head[32], space[128], line[128];
    snprintf(address, sizeof(address), "%s.%u", hosts->net, i + 1);
    snprintf(head, sizeof(head), "%s.1", hosts->net);
    snprintf(space, sizeof(space), "--net=%s", desc->space ? desc->space : "");
    const char *argv[] = {"nsenter",
                          space,
                          bench_path("bin/weftd", program),
                          "--name",
                          bench_host_names[i],
                          "--address",
                          address,
                          "--slots",
                          desc->slots,
                          "--state-dir",
                          hosts->state,
                          "--ready-fd",
                          "1",
                          i ? "--head" : NULL,
                          head,
                          NULL};
    int out;
    if (desc->core)
        data_pin(desc->core - 1);
    hosts->pids[i] = bench_spawn(desc->space ? argv : argv + 2, NULL, &out);
    if (desc->core)
        data_unpin();
    bool ready = bench_line(out, line, sizeof(line));
    close(out);
    return ready;
}

void bench_hosts_net(char net[16])
{
    unsigned seed = (unsigned)getpid();
    snprintf(net, 16, "127.%u.%u", 1 + seed % 253, 1 + seed / 253 % 253);
}

void bench_hosts_start_on(struct bench_hosts *hosts, const char *net,
                          const struct bench_host_desc *descs, unsigned n)
{
    memset(hosts, 0, sizeof(*hosts));
    snprintf(hosts->net, sizeof(hosts->net), "%s", net);
    snprintf(hosts->state, sizeof(hosts->state), "/tmp/weft-bench-XXXXXX");
    if (mkdtemp(hosts->state) == NULL)
        bench_die("make a folder in /tmp", -errno);
    for (unsigned i = 0; i < n; i++)
        if (!start_host(hosts, i, &descs[i]))
            bench_die("start a host", WEFT_EAPP);
}

void bench_hosts_start(struct bench_hosts *hosts, const char *slots)
{
    const struct bench_host_desc descs[BENCH_HOSTS] = {
        {.slots = slots}, {.slots = slots}, {.slots = slots}};
    char net[16];
    bench_hosts_net(net);
    bench_hosts_start_on(hosts, net, descs, BENCH_HOSTS);
}

void bench_hosts_stop(struct bench_hosts *hosts)
{
    for (unsigned i = BENCH_HOSTS; i-- > 0;)
        if (hosts->pids[i] > 0)
            kill(hosts->pids[i], SIGTERM);
    for (unsigned i = 0; i < BENCH_HOSTS; i++)
        if (hosts->pids[i] > 0 && bench_wait(hosts->pids[i]) != 0)
            fprintf(stderr, "bench: host %s ended badly\n", bench_host_names[i]);
    int out;
    (void)bench_wait(bench_spawn((const char *[]){"rm", "-rf", hosts->state, NULL}, NULL, &out));
    close(out);
}

/* ---- apps ---- */

/* weft COMMAND --at home ARGUMENT... */
struct line {
    const char *argv[ARGS_MAX];
    char program[4096], address[32];
};

static void make_line(struct line *line, const struct bench_hosts *hosts, const char *command,
                      const char *const argv[])
{
    size_t n = 0;
    snprintf(line->address, sizeof(line->address), "%s.1", hosts->net);
    line->argv[n++] = bench_path("bin/weft", line->program);
    line->argv[n++] = command;
    line->argv[n++] = "--at";
    line->argv[n++] = line->address;
    for (size_t i = 0; argv[i] && n < ARGS_MAX - 1; i++)
        line->argv[n++] = argv[i];
    line->argv[n] = NULL;
}

static void temporary(char *path, size_t len)
{
    snprintf(path, len, "/tmp/weft-bench-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        bench_die("make a temporary file", -errno);
    close(fd);
}

void bench_app_start(const struct bench_hosts *hosts, struct bench_app *app,
                     const char *const argv[])
{
    const char *more[ARGS_MAX] = {"--id-file", app->id_file};
    struct line line;
    size_t n = 2;
    memset(app, 0, sizeof(*app));
    temporary(app->id_file, sizeof(app->id_file));
    temporary(app->err_file, sizeof(app->err_file));
    for (size_t i = 0; argv[i] && n < ARGS_MAX - 5; i++)
        more[n++] = argv[i];
    make_line(&line, hosts, "run", more);
    app->pid = bench_spawn(line.argv, app->err_file, &app->out);
}

static int finish(struct bench_app *app, bool show)
{
    char line[256];
    while (bench_line(app->out, line, sizeof(line))) {
    }
    close(app->out);
    int code = bench_wait(app->pid);
    FILE *said = show && code ? fopen(app->err_file, "re") : NULL;
    while (said && fgets(line, sizeof(line), said))
        fputs(line, stderr);
    if (said)
        fclose(said);
    unlink(app->id_file);
    unlink(app->err_file);
    return code;
}

void bench_app_await(struct bench_app *app, const char *line)
{
    char got[256] = "";
    FILE *file = NULL;
    if (bench_line(app->out, got, sizeof(got)) && strcmp(got, line) == 0)
        file = fopen(app->id_file, "re");
    if (!file || fscanf(file, "%23s", app->id) != 1) {
        finish(app, true);
        bench_die("start an app", WEFT_EAPP);
    }
    fclose(file);
}

void bench_app_end(struct bench_app *app)
{
    if (finish(app, true))
        bench_die("run an app", WEFT_EAPP);
}

int bench_command(const struct bench_hosts *hosts, const char *command, const char *const argv[])
{
    struct line line;
    char said[256];
    int out;
    make_line(&line, hosts, command, argv);
    pid_t pid = bench_spawn(line.argv, NULL, &out);
    while (bench_line(out, said, sizeof(said))) {
    }
    close(out);
    return bench_wait(pid);
}

void bench_app_kill(const struct bench_hosts *hosts, struct bench_app *app)
{
    (void)bench_command(hosts, "kill", (const char *[]){app->id, NULL});
    finish(app, false);
}

json_t *bench_weft(const struct bench_hosts *hosts, const char *command, const char *const argv[])
{
    const char *more[ARGS_MAX] = {"--json", "-"};
    struct line line;
    json_error_t error;
    size_t n = 2;
    int out;
    for (size_t i = 0; argv[i] && n < ARGS_MAX - 5; i++)
        more[n++] = argv[i];
    make_line(&line, hosts, command, more);
    pid_t pid = bench_spawn(line.argv, NULL, &out);
    json_t *answer = json_loadfd(out, 0, &error);
    close(out);
    bench_wait(pid);
    if (!answer)
        bench_die(command, WEFT_EAPP);
    return answer;
}
