/* The app processes on this host: started on a home host's word, watched, and ended.
 *
 * One weft-app per app and host. It inherits a socket, its lifeline: over it the process gets its
 * orders (a LaunchRequest) and says once that it is ready or why not (a LaunchReply); afterwards
 * only its end matters. The end of either side ends the app here. Its stdout and stderr are pipes
 * that are read only while the previous piece has been taken by the home: a slow reader slows the
 * ranks, nothing grows. Invariant: a process that was started is freed once: when it has been
 * reaped, its output has been handed over and its home has been told; until then its guest points
 * to it, so at most one process of an app is here.
 */
#include <assert.h>
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
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/output.h"
#include "host/spawn.h"
#include "host/weftd_guest.h"
#include "wire/frame.h"
#include "wire/message.h"

enum { LIFELINE_FD = 3, END_GRACE_MS = 5000, REAP_MS = 2000, TELL_TRIES = 5 };

struct stream {
    struct weft_watch watch;
    struct weft_process *process;
    bool watched;
};

struct weft_process {
    struct weft_process *prev, *next;
    struct weft_host *host;
    struct weft_guest *guest; /* lives longer */
    uint64_t app;
    uint32_t number;
    pid_t pid;
    struct weft_watch exited; /* pidfd */
    struct weft_watch lifeline;
    struct stream out, err;
    struct weft_timer end_timer;
    struct weft_call *launch; /* waits for the hello */
    struct weft_call *end;    /* waits for the end */
    uint8_t *orders;          /* what is still to be written to the lifeline */
    size_t orders_len, orders_done;
    uint8_t hello[8192];
    size_t hello_len;
    Weft__Host__LaunchReply *ready;
    bool sending;
    bool reaped;
    bool killed; /* by us */
    int status;
    unsigned tell_tries;
    char reason[256];
};

static void output_more(struct weft_process *process);

static void watch_off(struct weft_process *process, struct weft_watch *watch)
{
    if (watch->fd < 0)
        return;
    weft__loop_unwatch(process->host->asker.loop, watch);
    close(watch->fd);
    watch->fd = -1;
}

static void stream_watch(struct stream *stream, bool on)
{
    struct weft_loop *loop = stream->process->host->asker.loop;
    if (stream->watch.fd < 0 || stream->watched == on)
        return;
    stream->watched = on;
    if (on)
        (void)weft__loop_watch(loop, &stream->watch, EPOLLIN);
    else
        weft__loop_unwatch(loop, &stream->watch);
}

static void stream_close(struct stream *stream)
{
    stream_watch(stream, false);
    if (stream->watch.fd >= 0)
        close(stream->watch.fd);
    stream->watch.fd = -1;
}

static void process_free(struct weft_process *process)
{
    struct weft_host *host = process->host;
    uint64_t app = process->app;
    weft__loop_timer_off(host->asker.loop, &process->end_timer);
    watch_off(process, &process->exited);
    watch_off(process, &process->lifeline);
    stream_close(&process->out);
    stream_close(&process->err);
    if (process->launch != NULL)
        weft__call_fail(process->launch, WEFT_EAPP, process->reason);
    if (process->end != NULL)
        weft__call_reply(process->end, NULL);
    weft__message_free((ProtobufCMessage *)process->ready);
    free(process->orders);
    DL_DELETE(host->processes, process);
    process->guest->process = NULL;
    free(process);
    weft__weftd_guest_check(host, app);
}

void weft__weftd_process_kill(struct weft_process *process, const char *reason)
{
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

/* Tells the home that the process has ended; then everything about it is over. Of one that never
 * became ready the answer to its launch has told already, in better words. */
static void tell_home(struct weft_process *process)
{
    if (process->ready == NULL || process->ready->err != 0) {
        process_free(process);
        return;
    }
    Weft__Host__ProcessExit exit_message = WEFT__HOST__PROCESS_EXIT__INIT;
    exit_message.app = process->app;
    exit_message.process = process->number;
    exit_message.host = process->host->name;
    exit_message.status = process->status;
    exit_message.text = process->reason;
    exit_message.by_host = process->killed;
    exit_message.token = process->guest->token;
    weft__ask(&process->host->asker, &(struct weft_question){.url = process->guest->home_control,
                                                             .code = WEFT_CALL_PROCESS_EXIT,
                                                             .request = &exit_message.base,
                                                             .timeout_ms = 2000,
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

static void output_taken(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_process *process = ctx;
    (void)reply;
    process->sending = false;
    if (err != WEFT_OK)
        weft__warn("app %llx: its home did not take a piece of output: %s",
                   (unsigned long long)process->app, text);
    output_more(process);
}

/* Reads what there is, at most max; closes the stream at its end. After the process has been reaped
 * nothing is waited for. */
static size_t stream_read(struct stream *stream, uint8_t *into, size_t max)
{
    if (stream->watch.fd < 0)
        return 0;
    ssize_t n = read(stream->watch.fd, into, max);
    if (n > 0)
        return (size_t)n;
    bool over = n == 0 || (errno != EAGAIN && errno != EINTR) || stream->process->reaped;
    if (over)
        stream_close(stream);
    return 0;
}

static void output_send(struct weft_process *process, uint8_t *bytes, size_t out_len,
                        size_t err_len)
{
    Weft__Host__OutputPush push = WEFT__HOST__OUTPUT_PUSH__INIT;
    push.app = process->app;
    push.host = process->host->name;
    push.token = process->guest->token;
    push.output = (ProtobufCBinaryData){.len = out_len, .data = bytes};
    push.errors = (ProtobufCBinaryData){.len = err_len, .data = bytes + WEFT_OUTPUT_PIECE};
    process->sending = true;
    weft__ask(&process->host->asker, &(struct weft_question){.url = process->guest->home_control,
                                                             .code = WEFT_CALL_OUTPUT,
                                                             .request = &push.base,
                                                             .timeout_ms = 10000,
                                                             .answered = output_taken,
                                                             .ctx = process});
}

/* Moves output on: one piece under way at a time; when the process is gone and all is handed over,
 * tells the home. */
static void output_more(struct weft_process *process)
{
    static uint8_t
        piece[2 * WEFT_OUTPUT_PIECE]; /* the owner thread's; copied before this function returns */
    if (process->sending)
        return;
    size_t out_len = stream_read(&process->out, piece, WEFT_OUTPUT_PIECE);
    size_t err_len = stream_read(&process->err, piece + WEFT_OUTPUT_PIECE, WEFT_OUTPUT_PIECE);
    bool any = out_len + err_len > 0;
    stream_watch(&process->out, !any);
    stream_watch(&process->err, !any);
    if (any)
        output_send(process, piece, out_len, err_len);
    else if (process->reaped && process->out.watch.fd < 0 && process->err.watch.fd < 0)
        tell_home(process);
    else if (process->reaped)
        output_more(process); /* one of the two has just been closed; look at the other again */
}

static void stream_ready(struct weft_watch *watch, uint32_t events)
{
    (void)events;
    output_more(((struct stream *)watch)->process);
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

static bool hello_read(struct weft_process *process);

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
    while (hello_read(process)) /* its last words may say why */
        ;
    describe_end(process);
    watch_off(process, &process->exited);
    watch_off(process, &process->lifeline);
    weft__loop_timer_off(process->host->asker.loop, &process->end_timer);
    if (process->launch != NULL) {
        weft__call_fail(process->launch, WEFT_EAPP, process->reason);
        process->launch = NULL;
    }
    weft__weftd_lease_end_app(process->host, process->app);
    output_more(process);
}

static void hello_done(struct weft_process *process)
{
    ProtobufCMessage *message = NULL;
    uint32_t len;
    memcpy(&len, process->hello, sizeof(len));
    if (weft__message_decode(&weft__host__launch_reply__descriptor, process->hello + sizeof(len),
                             len, &message) != WEFT_OK) {
        weft__weftd_process_kill(process, "its process sent a malformed greeting");
        return;
    }
    process->ready = (Weft__Host__LaunchReply *)message;
    struct weft_call *launch = process->launch;
    process->launch = NULL;
    if (launch == NULL)
        return;
    if (process->ready->err != 0) {
        weft__call_fail(launch, process->ready->err, process->ready->text);
        return;
    }
    weft__call_reply(launch, &process->ready->base);
}

static void lifeline_write(struct weft_process *process)
{
    ssize_t n = send(process->lifeline.fd, process->orders + process->orders_done,
                     process->orders_len - process->orders_done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        process->orders_done += (size_t)n;
    if (process->orders_done < process->orders_len)
        return;
    weft__loop_unwatch(process->host->asker.loop, &process->lifeline);
    (void)weft__loop_watch(process->host->asker.loop, &process->lifeline, EPOLLIN);
}

/* Reads what there is of the greeting; false: nothing more for now, or ever. */
static bool hello_read(struct weft_process *process)
{
    if (process->lifeline.fd < 0)
        return false;
    ssize_t n = recv(process->lifeline.fd, process->hello + process->hello_len,
                     sizeof(process->hello) - process->hello_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) { /* it has closed its end: it is going, or gone; the pidfd tells */
        watch_off(process, &process->lifeline);
        return false;
    }
    process->hello_len += (size_t)n;
    uint32_t len = 0;
    if (process->hello_len >= sizeof(len))
        memcpy(&len, process->hello, sizeof(len));
    if (len > sizeof(process->hello) - sizeof(len) || process->hello_len > sizeof(len) + len) {
        weft__weftd_process_kill(process, "its process sent more than a greeting");
        return false;
    }
    if (process->hello_len == sizeof(len) + len && process->ready == NULL)
        hello_done(process);
    return true;
}

static void lifeline_ready(struct weft_watch *watch, uint32_t events)
{
    struct weft_process *process = weft__loop_owner(watch, struct weft_process, lifeline);
    if ((events & EPOLLOUT) != 0 && process->orders_done < process->orders_len)
        lifeline_write(process);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        (void)hello_read(process);
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

/* environ, then the app's own names: the later of two equal names wins in getenv of glibc only if
 * the first is dropped. */
static char **make_env(char **extra, size_t extra_n)
{
    size_t n = 0, m = 0;
    while (environ[n] != NULL)
        n++;
    char **env = weft__must_alloc(n + extra_n + 1, sizeof(*env));
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;
        size_t name_len = strcspn(environ[i], "=") + 1;
        for (size_t k = 0; k < extra_n && !replaced; k++)
            replaced = strncmp(environ[i], extra[k], name_len) == 0;
        if (!replaced)
            env[m++] = environ[i];
    }
    for (size_t k = 0; k < extra_n; k++)
        env[m++] = extra[k];
    return env;
}

static int spawn(struct weft_process *process, const Weft__Host__LaunchRequest *orders,
                 const struct plumbing *pipes)
{
    char fd_text[16], parent_text[16];
    snprintf(fd_text, sizeof(fd_text), "%d", LIFELINE_FD);
    snprintf(parent_text, sizeof(parent_text), "%d", (int)getpid());
    char *argv[] = {
        process->host->app_program, "--lifeline", fd_text, "--parent", parent_text, NULL};
    char **env = make_env(orders->env, orders->n_env);
    int fds[] = {-1, pipes->out[1], pipes->err[1],
                 pipes->lifeline[1]}; /* LIFELINE_FD is the last */
    int err = weft__spawn(
        &(struct weft_spawn){
            .argv = argv, .env = env, .fds = fds, .fds_n = sizeof(fds) / sizeof(fds[0])},
        &process->pid);
    free(env);
    return err;
}

static int make_orders(struct weft_process *process, const Weft__Host__LaunchRequest *request)
{
    Weft__Host__LaunchRequest orders = *request;
    orders.host_name = process->host->name;
    orders.host_address = process->host->address;
    orders.host_control = process->host->control;
    orders.registry_control = process->host->registry_control;
    orders.home_control = process->guest->home_control;
    orders.port_first = (uint32_t)process->host->port_first + WEFT_PORT_APPS;
    orders.port_last = process->host->port_last;
    uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(&orders.base);
    process->orders = malloc(sizeof(len) + len);
    if (process->orders == NULL)
        return WEFT_ENOMEM;
    memcpy(process->orders, &len, sizeof(len));
    (void)protobuf_c_message_pack(&orders.base, process->orders + sizeof(len));
    process->orders_len = sizeof(len) + len;
    return WEFT_OK;
}

/* Takes the host's ends of the pipes over. */
static int process_watch(struct weft_process *process, struct plumbing *pipes)
{
    struct weft_loop *loop = process->host->asker.loop;
    process->exited.fd = pidfd_open(process->pid, 0); /* closed on exec by itself */
    if (process->exited.fd < 0)
        return weft_fail(-errno, "cannot watch process %d: %s", (int)process->pid, strerror(errno));
    process->lifeline.fd = pipes->lifeline[0];
    process->out.watch.fd = pipes->out[0];
    process->err.watch.fd = pipes->err[0];
    pipes->lifeline[0] = pipes->out[0] = pipes->err[0] = -1;
    int err = weft__loop_watch(loop, &process->exited, EPOLLIN);
    if (err == WEFT_OK)
        err = weft__loop_watch(loop, &process->lifeline, EPOLLIN | EPOLLOUT);
    stream_watch(&process->out, true);
    stream_watch(&process->err, true);
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
    process->lifeline = (struct weft_watch){.ready = lifeline_ready, .fd = -1};
    process->out = (struct stream){.watch = {.ready = stream_ready, .fd = -1}, .process = process};
    process->err = (struct stream){.watch = {.ready = stream_ready, .fd = -1}, .process = process};
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
    int err = make_orders(process, request);
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

/* Ends the process; false: there is none, or somebody waits for its end already. */
static bool end_process(struct weft_process *process, const Weft__Host__EndRequest *request,
                        struct weft_call *call)
{
    if (process == NULL || process->end != NULL)
        return false;
    process->end = call;
    if (process->reaped)
        return true;
    if (request->reason[0] != '\0') {
        weft__weftd_process_kill(process, request->reason);
        return true;
    }
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
    bool waits = err == WEFT_OK && end_process(guest->process, request, call);
    if (err == WEFT_OK)
        weft__weftd_lease_end_app(host, guest->app); /* may free the guest */
    if (!waits)
        weft__call_reply(call, NULL);
}

size_t weft__weftd_processes_n(const struct weft_host *host)
{
    size_t n = 0;
    struct weft_process *process;
    DL_COUNT(host->processes, process, n);
    return n;
}

void weft__weftd_processes_end(struct weft_host *host, const char *reason)
{
    struct weft_process *process;
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
    weft__weftd_processes_end(host, "its host is shutting down");
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
