/* The environment of all that is started carries a mark, TMPDIR points into the test's folder, and
 * sanitizers write their reports there: so what is left can be told from what others do on this
 * machine. The net 127.x.y comes from the process id, and is one that nobody listens on.
 */
#include "cluster.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "control/client.h"
#include "weft/error.h"

enum { ARGS_MAX = 40, STOP_MS = 15000, NETS = 250, GONE_MS = 10000 };

/* ---- the environment ---- */

/* What the caller has set stays; of two log_paths the last counts. */
static void set_sanitizers(const struct cluster *cluster)
{
    static const char *const names[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                                        "TSAN_OPTIONS"};
    static char before[4][512]; /* the callers' */
    static bool known;
    for (size_t i = 0; i < 4; i++) {
        char all[1024];
        const char *now = getenv(names[i]);
        if (!known && now != NULL)
            snprintf(before[i], sizeof(before[i]), "%s:", now);
        snprintf(all, sizeof(all), "%.500sprint_suppressions=0:log_path=%s/san/report", before[i],
                 cluster->work);
        (void)setenv(names[i], all, 1);
    }
    known = true;
}

/* Settings of whoever runs the test must not reach the hosts. */
static void drop_settings(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[128];
        size_t len = strcspn(environ[i], "=");
        if (strncmp(environ[i], "WEFT_", 5) == 0 && len < sizeof(name)) {
            memcpy(name, environ[i], len);
            name[len] = '\0';
            (void)unsetenv(name);
            i = 0;
        } else {
            i++;
        }
    }
}

static void set_environment(const struct cluster *cluster)
{
    char path[160];
    drop_settings();
    snprintf(path, sizeof(path), "%s/tmp", cluster->work);
    (void)setenv("TMPDIR", path, 1);
    (void)setenv("CLUSTER_MARK", cluster->mark, 1);
    (void)setenv("WEFT_DEAD_MS", "10000", 1); /* so that a loaded machine is no dead host */
    const char *level = getenv("CLUSTER_LOG");
    (void)setenv("WEFT_LOG", level != NULL ? level : "info", 1);
    set_sanitizers(cluster);
}

static void choose_net(struct cluster *cluster)
{
    unsigned seed = (unsigned)getpid() * 31u;
    for (unsigned i = 0; i < NETS; i++, seed += 7919u) {
        snprintf(cluster->net, sizeof(cluster->net), "127.%u.%u", 1 + seed % 253,
                 1 + seed / 253 % 253);
        if (cluster_ports(cluster, NULL, NULL, 0) == 0)
            return;
    }
    fail_msg("every loopback net is in use");
}

int cluster_open(void **state)
{
    static struct cluster cluster; /* large; one at a time */
    const char *tmp = getenv("CLUSTER_TMP");
    uint64_t number;
    char path[160];
    memset(&cluster, 0, sizeof(cluster));
    cluster.gone_ms = GONE_MS;
    snprintf(cluster.work, sizeof(cluster.work), "%s/cluster-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(cluster.work) == NULL ||
        getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return -1;
    snprintf(path, sizeof(path), "%s/tmp", cluster.work);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/san", cluster.work);
    (void)mkdir(path, 0700);
    snprintf(cluster.mark, sizeof(cluster.mark), "%016llx", (unsigned long long)number);
    set_environment(&cluster);
    choose_net(&cluster);
    cluster.shm_before = cluster_names_of("/dev/shm");
    *state = &cluster;
    return weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &cluster.client);
}

/* ---- the end ---- */

static void end_children(struct cluster *cluster, unsigned *bad)
{
    for (unsigned i = 0; i < cluster->children_n; i++)
        child_signal(&cluster->children[i], SIGCONT);
    for (unsigned i = cluster->children_n; i-- > 0;) {
        bool is_host = false;
        for (unsigned h = 0; h < cluster->hosts_n; h++)
            is_host |= cluster->hosts[h].weftd == &cluster->children[i];
        if (!is_host)
            child_signal(&cluster->children[i], SIGTERM);
    }
    for (unsigned h = cluster->hosts_n; h-- > 0;) {
        for (unsigned m = 1; h == 0 && m < cluster->hosts_n; m++)
            (void)child_wait(cluster->hosts[m].weftd, STOP_MS); /* the head is the last one */
        child_signal(cluster->hosts[h].weftd, SIGTERM);
    }
    for (unsigned i = 0; i < cluster->children_n; i++) {
        if (child_wait(&cluster->children[i], STOP_MS) >= 0)
            continue;
        fprintf(stderr, "process %d does not end on SIGTERM\n", (int)cluster->children[i].pid);
        ++*bad;
        child_signal(&cluster->children[i], SIGKILL);
        (void)child_wait(&cluster->children[i], STOP_MS);
    }
}

static void print_all(const struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->children_n; i++) {
        char title[48];
        snprintf(title, sizeof(title), "child %u", i);
        for (unsigned h = 0; h < cluster->hosts_n; h++)
            if (cluster->hosts[h].weftd == &cluster->children[i])
                snprintf(title, sizeof(title), "host %s", cluster->hosts[h].name);
        child_print(&cluster->children[i], title);
    }
}

int cluster_close(void **state)
{
    struct cluster *cluster = *state;
    unsigned bad = 0;
    end_children(cluster, &bad);
    for (unsigned h = 0; h < cluster->hosts_n; h++) {
        const struct cluster_host *host = &cluster->hosts[h];
        if (host->killed || host->weftd->code == 0)
            continue;
        fprintf(stderr, "host %s ended with %d\n", host->name, host->weftd->code);
        bad++;
    }
    weft__client_close(cluster->client);
    bad += cluster_left(cluster);
    if (bad > 0)
        print_all(cluster);
    cluster_names_free(cluster->shm_before);
    if (getenv("CLUSTER_KEEP") == NULL)
        cluster_remove(cluster->work);
    return bad > 0 ? -1 : 0;
}

void cluster_fail(struct cluster *cluster, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    print_all(cluster);
    if (getenv("CLUSTER_STOP") != NULL) { /* for whoever wants to look at what is running */
        fprintf(stderr, "%s\nprocess %d waits for a signal\n", text, (int)getpid());
        (void)pause();
    }
    fail_msg("%s", text);
    abort(); /* fail_msg does not return */
}

/* ---- paths ---- */

const char *cluster_bin(const char *program)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", CLUSTER_BIN, program);
    return path;
}

const char *cluster_program(const char *program)
{
    static char path[4][512];
    static unsigned next;
    char *text = path[next++ % 4];
    snprintf(text, sizeof(path[0]), "%s/%s.so", CLUSTER_PROGRAMS, program);
    return text;
}

const char *cluster_file(struct cluster *cluster, const char *suffix)
{
    static char path[16][192];
    char *text = path[cluster->files_n % 16];
    snprintf(text, sizeof(path[0]), "%s/f%u.%s", cluster->work, cluster->files_n++, suffix);
    return text;
}

unsigned cluster_host_fds(const struct cluster_host *host)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)host->weftd->pid);
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* ---- processes ---- */

static struct child *start(struct cluster *cluster, char *const *argv, int fd)
{
    if (cluster->children_n == CLUSTER_CHILDREN_MAX)
        cluster_fail(cluster, "more than %d children", CLUSTER_CHILDREN_MAX);
    struct child *child = &cluster->children[cluster->children_n];
    if (!child_start(child, cluster->work, argv, fd))
        cluster_fail(cluster, "cannot start %s", argv[0]);
    cluster->children_n++;
    return child;
}

struct child *cluster_start_list(struct cluster *cluster, const char *program,
                                 const char *const *args)
{
    char path[512];
    char *argv[ARGS_MAX + 2] = {path};
    snprintf(path, sizeof(path), "%s", *program == '/' ? program : cluster_bin(program));
    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    return start(cluster, argv, -1);
}

/* The arguments behind `first` up to NULL. */
static size_t collect(const char **args_out, const char *first, va_list *more)
{
    size_t n = 0;
    for (const char *arg = first; arg != NULL && n < ARGS_MAX; arg = va_arg(*more, const char *))
        args_out[n++] = arg;
    args_out[n] = NULL;
    return n;
}

struct child *cluster_start(struct cluster *cluster, const char *program, ...)
{
    const char *args[ARGS_MAX + 1];
    va_list more;
    va_start(more, program);
    (void)collect(args, va_arg(more, const char *), &more);
    va_end(more);
    return cluster_start_list(cluster, program, args);
}

struct child *cluster_weft(struct cluster *cluster, ...)
{
    const char *args[ARGS_MAX + 1];
    va_list more;
    va_start(more, cluster);
    (void)collect(args, va_arg(more, const char *), &more);
    va_end(more);
    struct child *child = cluster_start_list(cluster, "weft", args);
    if (child_wait(child, 2 * CLUSTER_MS) < 0)
        cluster_fail(cluster, "weft %s does not end", args[0]);
    return child;
}

static uint64_t read_id(const char *path)
{
    char *text = child_read(path);
    uint64_t id = strchr(text, '\n') != NULL ? strtoull(text, NULL, 16) : 0;
    free(text);
    return id;
}

struct cluster_app cluster_run(struct cluster *cluster, struct cluster_host *home, ...)
{
    struct cluster_app app = {.home = home};
    const char *args[ARGS_MAX + 1] = {"run", "--at", home->address, "--id-file"};
    va_list more;
    const char *file = cluster_file(cluster, "id");
    args[4] = file;
    va_start(more, home);
    (void)collect(args + 5, va_arg(more, const char *), &more);
    va_end(more);
    app.run = cluster_start_list(cluster, "weft", args);
    cluster_await_while(cluster, 2 * CLUSTER_MS, (app.id = read_id(file)) != 0,
                        !child_over(app.run));
    snprintf(app.hex, sizeof(app.hex), "%llx", (unsigned long long)app.id);
    cluster_await(cluster, CLUSTER_MS, !ask_state_is(cluster, &app, "starting"));
    return app;
}

/* ---- hosts ---- */

static void host_start(struct cluster *cluster, struct cluster_host *host)
{
    char slots[16], fd[16];
    int pipe_fds[2];
    const char *head = host == &cluster->hosts[0] ? NULL : cluster->hosts[0].address;
    if (pipe2(pipe_fds, O_NONBLOCK) != 0)
        cluster_fail(cluster, "no pipe");
    snprintf(slots, sizeof(slots), "%u", host->slots);
    snprintf(fd, sizeof(fd), "%d", pipe_fds[1]);
    const char *argv[] = {
        cluster_bin("weftd"), "--name", host->name, "--address", host->address, "--slots", slots,
        "--ready-fd",         fd,       NULL,       NULL,        NULL};
    if (head != NULL) {
        argv[9] = "--head";
        argv[10] = head;
    }
    if (cluster->net_of != NULL)
        child_set_net(cluster->net_of((unsigned)(host - cluster->hosts)));
    host->weftd = start(cluster, (char *const *)(uintptr_t)argv, pipe_fds[1]);
    child_set_net(-1);
    host->killed = false;
    host->ready_fd = pipe_fds[0];
    close(pipe_fds[1]);
}

bool cluster_host_serves(struct cluster_host *host)
{
    char ready[64] = "";
    if (host->ready_fd < 0)
        return true;
    if (read(host->ready_fd, ready, sizeof(ready) - 1) <= 0)
        return false;
    close(host->ready_fd);
    host->ready_fd = -1;
    ready[strcspn(ready, "\n")] = '\0';
    snprintf(host->url, sizeof(host->url), "%.39s", ready);
    return true;
}

static void await_host(struct cluster *cluster, struct cluster_host *host)
{
    cluster_await_while(cluster, CLUSTER_MS, cluster_host_serves(host), !child_over(host->weftd));
}

struct cluster_host *cluster_host(struct cluster *cluster, const char *name, unsigned slots)
{
    if (cluster->hosts_n == CLUSTER_HOSTS_MAX)
        cluster_fail(cluster, "more than %d hosts", CLUSTER_HOSTS_MAX);
    struct cluster_host *host = &cluster->hosts[cluster->hosts_n];
    memset(host, 0, sizeof(*host));
    snprintf(host->name, sizeof(host->name), "%s", name);
    snprintf(host->address, sizeof(host->address), "%s.%u", cluster->net, cluster->hosts_n + 1);
    host->slots = slots;
    cluster->hosts_n++;
    host_start(cluster, host);
    await_host(cluster, host);
    return host;
}

void cluster_three(struct cluster *cluster, unsigned slots)
{
    (void)cluster_host(cluster, "home", slots);
    (void)cluster_host(cluster, "a", slots);
    (void)cluster_host(cluster, "b", slots);
}

void cluster_host_begin(struct cluster *cluster, struct cluster_host *host)
{
    weft__client_forget(cluster->client, host->url);
    if (host->ready_fd >= 0)
        close(host->ready_fd);
    host_start(cluster, host);
}

void cluster_host_again(struct cluster *cluster, struct cluster_host *host)
{
    cluster_host_begin(cluster, host);
    await_host(cluster, host);
}

void cluster_host_stop(struct cluster *cluster, struct cluster_host *host)
{
    child_signal(host->weftd, SIGTERM);
    int code = child_wait(host->weftd, STOP_MS);
    if (code != 0)
        cluster_fail(cluster, "host %s ends with %d on SIGTERM", host->name, code);
}

void cluster_host_kill(struct cluster_host *host)
{
    child_signal(host->weftd, SIGKILL);
    (void)child_wait(host->weftd, CLUSTER_MS);
    host->killed = true;
}
