/* The app processes on this host: started on a home host's word, watched, and ended.
 *
 * One weft-app per app and host. It inherits a socket, its lifeline: over it the process gets its
 * orders (a LaunchRequest) and says once that it is ready or why not (a LaunchReply); afterwards
 * only its end matters. Its stdout and stderr are pipes whose content goes to the app's home.
 * Invariant: a process that was started is freed once: when it has been reaped, its output has been
 * handed over and its home has been told; until then its guest points to it, so at most one process
 * of an app is here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/spawn.h"
#include "host/weftd_process.h"
#include "wire/message.h"

enum { END_GRACE_MS = 5000, REAP_MS = 2000, TELL_MS = 5000, TELL_TRIES = 2 };

static void exited_off(struct weft_process *process)
{
    if (process->exited.fd < 0)
        return;
    weft__loop_unwatch(process->host->asker.loop, &process->exited);
    close(process->exited.fd);
    process->exited.fd = -1;
}

/* ---- processes that have ended ---- */

static void ended_note(struct weft_ended *ended, uint64_t app, bool output_lost)
{
    size_t i = ended->n++ % WEFT_ENDED_MAX;
    ended->at[i].app = app;
    ended->at[i].output_lost = output_lost;
}

/* The answer to who asks for the end of a process that is not here. A host that has never had it
 * was started anew, or has forgotten: nobody knows whether all that it printed was handed over. */
static int ended_find(const struct weft_ended *ended, uint64_t app)
{
    for (size_t i = 0; i < WEFT_ENDED_MAX && i < ended->n; i++) /* the newest first */
        if (ended->at[(ended->n - 1 - i) % WEFT_ENDED_MAX].app == app)
            return ended->at[(ended->n - 1 - i) % WEFT_ENDED_MAX].output_lost ? WEFT_EIO : WEFT_OK;
    return weft_fail(WEFT_ENOENT, "no process of app %llx has ended here", (unsigned long long)app);
}

static void end_answer(struct weft_call *call, int err)
{
    if (err == WEFT_EIO)
        weft__call_fail(call, err, "not all that it printed came to its home");
    else if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
    else
        weft__call_reply(call, NULL);
}

/* ---- one of them ---- */

static void process_free(struct weft_process *process)
{
    struct weft_host *host = process->host;
    uint64_t app = process->app;
    weft__loop_timer_off(host->asker.loop, &process->end_timer);
    exited_off(process);
    weft__weftd_lifeline_close(process);
    weft__weftd_streams_close(process);
    if (process->launch != NULL)
        weft__call_fail(process->launch, WEFT_EAPP, process->reason);
    ended_note(&host->ended, app, process->output_lost);
    if (process->end != NULL)
        end_answer(process->end, process->output_lost ? WEFT_EIO : WEFT_OK);
    weft__message_free((ProtobufCMessage *)process->ready);
    DL_DELETE(host->processes, process);
    process->guest->process = NULL;
    free(process);
    weft__weftd_guest_check(host, app);
}

void weft__weftd_process_kill(struct weft_process *process, const char *reason)
{
    process->given_up = true;
    if (process->reaped || process->killed)
        return;
    if (process->reason[0] == '\0')
        snprintf(process->reason, sizeof(process->reason), "%s", reason);
    process->killed = true;
    weft__info("app %llx: killing its process %d: %s", (unsigned long long)process->app,
               (int)process->pid, reason);
    (void)kill(-process->pid, SIGKILL);
    (void)kill(process->pid, SIGKILL);
}

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply);

static void tell_home(struct weft_process *process)
{
    Weft__Host__ProcessExit exit_message = WEFT__HOST__PROCESS_EXIT__INIT;
    exit_message.app = process->app;
    exit_message.process = process->number;
    exit_message.host = process->host->name;
    exit_message.status = process->status;
    exit_message.text = process->reason;
    exit_message.by_host = process->killed;
    exit_message.output_lost = process->output_lost;
    exit_message.token = process->guest->token;
    weft__ask(&process->host->asker,
              &(struct weft_question){.url = process->guest->home_control,
                                      .code = WEFT_CALL_PROCESS_EXIT,
                                      .request = &exit_message.base,
                                      .timeout_ms = TELL_MS,
                                      .lost_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS"),
                                      .answered = told,
                                      .ctx = process});
}

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_process *process = ctx;
    (void)text;
    (void)reply;
    if (err != WEFT_OK && weft_error_damage(err) != WEFT_DAMAGE_PEER && !process->host->stopping &&
        ++process->tell_tries < TELL_TRIES) {
        tell_home(process);
        return;
    }
    process_free(process);
}

void weft__weftd_process_over(struct weft_process *process)
{
    /* Of one that never became ready the answer to its launch has told already, in better words. */
    if (process->ready == NULL || process->ready->err != WEFT_OK)
        process_free(process);
    else
        tell_home(process);
}

static void describe_end(struct weft_process *process)
{
    if (process->reason[0] != '\0')
        return;
    int status = process->status;
    if (WIFSIGNALED(status))
        snprintf(process->reason, sizeof(process->reason),
                 "its process %d on host %s was ended by signal %d (%s)", (int)process->pid,
                 process->host->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 || process->ready == NULL)
        snprintf(process->reason, sizeof(process->reason),
                 "its process %d on host %s exited with code %d", (int)process->pid,
                 process->host->name, WEXITSTATUS(status));
}

static void process_exited(struct weft_watch *watch, uint32_t events)
{
    (void)events;
    struct weft_process *process = weft__loop_owner(watch, struct weft_process, exited);
    /* Whatever the program may have started; before it is reaped, so that the number is still its
     * own. */
    (void)kill(-process->pid, SIGKILL);
    if (waitpid(process->pid, &process->status, WNOHANG) != process->pid)
        return;
    process->reaped = true;
    weft__weftd_lifeline_close(process); /* its last words may say why */
    describe_end(process);
    exited_off(process);
    weft__loop_timer_off(process->host->asker.loop, &process->end_timer);
    if (process->launch != NULL) {
        weft__call_fail(process->launch, WEFT_EAPP, process->reason);
        process->launch = NULL;
    }
    weft__weftd_lease_end_app(process->host, process->app);
    weft__weftd_streams_go_on(process); /* may free it */
}

static void end_timer_fired(struct weft_timer *timer)
{
    struct weft_process *process = weft__loop_owner(timer, struct weft_process, end_timer);
    weft__weftd_process_kill(process, "it did not end in time");
}

struct plumbing {
    int lifeline[2], out[2], err[2];
};

static void plumbing_close(struct plumbing *pipes)
{
    for (int i = 0; i < 2; i++) {
        int *fds[] = {&pipes->lifeline[i], &pipes->out[i], &pipes->err[i]};
        for (size_t k = 0; k < 3; k++)
            if (*fds[k] >= 0)
                close(*fds[k]);
    }
}

static int plumbing_open(struct plumbing *pipes)
{
    *pipes = (struct plumbing){{-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes->lifeline) == 0 &&
        pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0 &&
        fcntl(pipes->out[0], F_SETFL, O_NONBLOCK) == 0 &&
        fcntl(pipes->err[0], F_SETFL, O_NONBLOCK) == 0)
        return WEFT_OK;
    int err = -errno;
    plumbing_close(pipes);
    return weft_fail(err, "cannot make the pipes of an app process: %s", strerror(-err));
}

static bool same_name(const char *a, const char *b)
{
    return strncmp(a, b, strcspn(a, "=") + 1) == 0;
}

/* environ, then the app's own names, then `host`: the later of two equal names wins in getenv of
 * glibc only if the first is dropped. */
static char **make_env(char **extra, size_t extra_n, char *host)
{
    size_t n = 0, m = 0;
    while (environ[n] != NULL)
        n++;
    char **env = weft__must_alloc(n + extra_n + 2, sizeof(*env));
    for (size_t i = 0; i < n; i++) {
        bool replaced = same_name(environ[i], host);
        for (size_t k = 0; k < extra_n && !replaced; k++)
            replaced = same_name(environ[i], extra[k]);
        if (!replaced)
            env[m++] = environ[i];
    }
    for (size_t k = 0; k < extra_n; k++)
        if (!same_name(extra[k], host))
            env[m++] = extra[k];
    env[m++] = host;
    return env;
}

static int spawn(struct weft_process *process, const Weft__Host__LaunchRequest *orders,
                 const struct plumbing *pipes)
{
    char fd_text[16], parent_text[16];
    snprintf(fd_text, sizeof(fd_text), "%d", WEFT_LIFELINE_FD);
    snprintf(parent_text, sizeof(parent_text), "%d", (int)getpid());
    char *argv[] = {
        process->host->app_program, "--lifeline", fd_text, "--parent", parent_text, NULL};
    char host_text[16 + WEFT_URL_MAX]; /* ranks call the services of their own host */
    snprintf(host_text, sizeof(host_text), "WEFT_HOST=%s", process->host->control);
    char **env = make_env(orders->env, orders->n_env, host_text);
    int fds[] = {-1, pipes->out[1], pipes->err[1],
                 pipes->lifeline[1]}; /* WEFT_LIFELINE_FD is the last */
    int err = weft__spawn(
        &(struct weft_spawn){
            .argv = argv, .env = env, .fds = fds, .fds_n = sizeof(fds) / sizeof(fds[0])},
        &process->pid);
    free(env);
    return err;
}

/* Takes the host's ends of the pipes over. */
static int process_watch(struct weft_process *process, struct plumbing *pipes)
{
    process->exited.fd = pidfd_open(process->pid, 0); /* closed on exec by itself */
    if (process->exited.fd < 0)
        return weft_fail(-errno, "cannot watch process %d: %s", (int)process->pid, strerror(errno));
    int err = weft__loop_watch(process->host->asker.loop, &process->exited, EPOLLIN);
    if (err == WEFT_OK)
        err = weft__weftd_lifeline_open(process, pipes->lifeline[0]);
    weft__weftd_streams_open(process, pipes->out[0], pipes->err[0]);
    pipes->lifeline[0] = pipes->out[0] = pipes->err[0] = -1;
    return err;
}

static struct weft_process *process_new(struct weft_guest *guest, uint32_t number)
{
    struct weft_process *process = weft__must_alloc(1, sizeof(*process));
    process->host = guest->host;
    process->guest = guest;
    process->app = guest->app;
    process->number = number;
    process->exited = (struct weft_watch){.ready = process_exited, .fd = -1};
    weft__weftd_lifeline_init(process);
    weft__weftd_streams_init(process);
    process->end_timer.fire = end_timer_fired;
    guest->process = process;
    DL_APPEND(process->host->processes, process);
    return process;
}

static int process_start(struct weft_guest *guest, const Weft__Host__LaunchRequest *request,
                         struct weft_call *call)
{
    struct plumbing pipes;
    struct weft_process *process = process_new(guest, request->process);
    int err = weft__weftd_lifeline_orders(process, request);
    if (err == WEFT_OK)
        err = plumbing_open(&pipes);
    if (err == WEFT_OK) {
        err = spawn(process, request, &pipes);
        if (err == WEFT_OK)
            err = process_watch(process, &pipes);
        plumbing_close(&pipes);
    }
    if (err == WEFT_OK) {
        process->launch = call;
        return WEFT_OK;
    }
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
        (void)waitpid(process->pid, NULL, 0); /* it has run for microseconds */
        process->reaped = true;
    }
    process_free(process);
    return err;
}

/* Starts the process, or returns the one that was asked for before, when it is ready. */
static int launch(struct weft_host *host, const Weft__Host__LaunchRequest *request,
                  struct weft_call *call, const Weft__Host__LaunchReply **ready_out)
{
    struct weft_guest *guest;
    int err = weft__weftd_guest_of(host, request->app, request->token, &guest);
    if (host->stopping)
        return weft_fail(WEFT_ESHUTDOWN, "host %s is shutting down", host->name);
    if (err == WEFT_ENOENT || (err == WEFT_OK && !weft__weftd_lease_of(host, request->app)))
        return weft_fail(WEFT_EPERM, "the app has no lease on host %s", host->name);
    if (err != WEFT_OK)
        return err;
    const struct weft_process *process = guest->process;
    if (process == NULL)
        return process_start(guest, request, call);
    if (process->ready == NULL || process->ready->err != 0 || process->reaped || process->killed ||
        process->number != request->process)
        return weft_fail(WEFT_EBUSY,
                         "a process of this app is starting or ending on host %s; try "
                         "again",
                         host->name);
    *ready_out = process->ready;
    return WEFT_OK;
}

void weft__weftd_on_launch(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__LaunchReply *ready = NULL;
    int err = launch(ctx, (const Weft__Host__LaunchRequest *)message, call, &ready);
    if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
    else if (ready != NULL)
        weft__call_reply(call, &ready->base);
}

/* Ends the process; false: there is none. Who asked before is told to ask again: it may be the same
 * who asks, of whom an older call, of a connection that was lost, has come after the newer one. */
static bool end_process(struct weft_process *process, const Weft__Host__EndRequest *request,
                        struct weft_call *call)
{
    if (process == NULL)
        return false;
    bool again = process->end != NULL;
    if (again)
        weft__call_fail(process->end, WEFT_EAGAIN, "another call for the end has come; try again");
    process->end = call;
    if (process->reaped)
        return true;
    if (request->reason[0] != '\0') {
        weft__weftd_process_kill(process, request->reason);
        return true;
    }
    if (again)
        return true;
    if (process->lifeline.fd >= 0)
        (void)shutdown(process->lifeline.fd, SHUT_WR); /* asks it to end */
    weft__loop_timer(process->host->asker.loop, &process->end_timer,
                     weft__now_ns() + END_GRACE_MS * WEFT_NS_PER_MS);
    return true;
}

void weft__weftd_on_end(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__EndRequest *request = (const Weft__Host__EndRequest *)message;
    struct weft_guest *guest;
    int err = weft__weftd_guest_of(host, request->app, request->token, &guest);
    if (err == WEFT_EACCES) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    bool known = err == WEFT_OK, waits = known && end_process(guest->process, request, call);
    if (known)
        weft__weftd_lease_end_app(host, guest->app); /* may free the guest */
    err = waits ? WEFT_OK : ended_find(&host->ended, request->app);
    if (!waits)
        end_answer(call, known && err == WEFT_ENOENT ? WEFT_OK : err); /* there were leases only */
}

void weft__weftd_on_hand_over(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__HandOverRequest *request = (const Weft__Host__HandOverRequest *)message;
    struct weft_guest *guest;
    int err = weft__weftd_guest_of(host, request->app, request->token, &guest);
    if (err == WEFT_OK && guest->process != NULL)
        weft__weftd_streams_hand_over(guest->process, call);
    else
        end_answer(call, err == WEFT_EACCES ? err : ended_find(&host->ended, request->app));
}

bool weft__weftd_processes_idle(const struct weft_host *host)
{
    const struct weft_process *process;
    DL_FOREACH(host->processes, process)
    if (!weft__weftd_streams_idle(process))
        return false;
    return true;
}

size_t weft__weftd_processes_n(const struct weft_host *host)
{
    size_t n = 0;
    struct weft_process *process;
    DL_COUNT(host->processes, process, n);
    return n;
}

void weft__weftd_processes_end(struct weft_host *host, const char *what)
{
    struct weft_process *process;
    char reason[160];
    snprintf(reason, sizeof(reason), "host %s, which runs a rank of it, %s", host->name, what);
    DL_FOREACH(host->processes, process)
    weft__weftd_process_kill(process, reason);
}

/* Reaps the process as soon as the kernel has ended it; one that hangs in the kernel is left. */
static void reap_by(struct weft_process *process, uint64_t deadline_ns)
{
    struct pollfd exited = {.fd = process->exited.fd, .events = POLLIN};
    uint64_t now = weft__now_ns();
    int left_ms = now < deadline_ns ? (int)((deadline_ns - now) / WEFT_NS_PER_MS) : 0;
    (void)poll(&exited, 1, left_ms);
    if (waitpid(process->pid, &process->status, WNOHANG) != process->pid)
        weft__warn("process %d does not end although it was killed", (int)process->pid);
    process->reaped = true;
}

void weft__weftd_processes_kill(struct weft_host *host)
{
    struct weft_process *process;
    uint64_t deadline_ns = weft__now_ns() + REAP_MS * WEFT_NS_PER_MS;
    weft__weftd_processes_end(host, "is shutting down");
    DL_FOREACH(host->processes, process)
    if (!process->reaped)
        reap_by(process, deadline_ns);
}

void weft__weftd_processes_fini(struct weft_host *host)
{
    struct weft_process *process, *next;
    DL_FOREACH_SAFE(host->processes, process, next)
    process_free(process);
}
