/* One process of an app: an exec, a small control server for its home, a client, and one owner
 * thread.
 *
 * It reads its orders from the lifeline, makes everything ready (program loaded, ranks waiting),
 * greets its weftd over the lifeline, and then does what the home says. When the lifeline closes it
 * ends: in peace if it can, else at once. It never outlives its weftd: the kernel kills it when
 * that dies. What is printed by a rank is flushed before its end is told, so that output comes
 * before results.
 */
#include "host/app.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "control/client.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/transports.h"
#include "weft/host.h"
#include "wire/frame.h"
#include "wire/message.h"

enum { SERVER_STOP_MS = 200, EXEC_CLOSE_MS = 2000, TELL_TIMEOUT_MS = 2000, TELL_TRIES = 10 };

/* ---- news for the home ---- */

struct telling {
    struct weft_task task;
    struct weft_process_app *app;
    int32_t rank;
    uint32_t incarnation;
    int code;
    bool abort;
    char reason[256];
    unsigned tries;
};

static void tell(struct telling *telling);

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct telling *telling = ctx;
    (void)reply;
    if (err != WEFT_OK && err != WEFT_ENOENT && err != WEFT_ESHUTDOWN &&
        ++telling->tries < TELL_TRIES) {
        tell(telling);
        return;
    }
    if (err != WEFT_OK && err != WEFT_ESHUTDOWN)
        weft__warn("the home does not take the end of rank %d: %s", telling->rank, text);
    free(telling);
}

static void tell(struct telling *telling)
{
    struct weft_process_app *app = telling->app;
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    news.app = app->orders->app;
    news.token = app->orders->token;
    news.rank = telling->rank;
    news.incarnation = telling->incarnation;
    news.code = telling->code;
    news.abort = telling->abort;
    news.reason = telling->reason;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_RANK_EXIT,
                                                   .request = &news.base,
                                                   .timeout_ms = TELL_TIMEOUT_MS,
                                                   .answered = told,
                                                   .ctx = telling});
}

static struct telling *telling_new(struct weft_process_app *app, int32_t rank, int code,
                                   const char *reason)
{
    struct telling *telling = calloc(1, sizeof(*telling));
    if (telling == NULL)
        abort();
    telling->app = app;
    telling->rank = rank;
    telling->code = code;
    snprintf(telling->reason, sizeof(telling->reason), "%s", reason != NULL ? reason : "");
    return telling;
}

void weft__app_tell_exit(struct weft_process_app *app, const Weft__Host__RankExit *news)
{
    struct telling *telling = telling_new(app, news->rank, news->code, news->reason);
    telling->incarnation = news->incarnation;
    telling->abort = news->abort;
    tell(telling);
}

static void tell_task(struct weft_task *task)
{
    struct telling *telling = (struct telling *)task;
    (void)fflush(NULL);
    tell(telling);
}

/* On a thread of the exec. */
static void post_telling(struct telling *telling)
{
    telling->task.run = tell_task;
    if (weft__loop_post(telling->app->asker.loop, &telling->task) != WEFT_OK)
        abort(); /* the ring is larger than all that can be under way */
}

static void rank_exited(void *ctx, int32_t rank, uint32_t incarnation, int code, const char *reason)
{
    struct telling *telling = telling_new(ctx, rank, code, reason);
    telling->incarnation = incarnation;
    post_telling(telling);
}

static void app_abort(void *ctx, int32_t rank, int code, const char *reason)
{
    struct telling *telling = telling_new(ctx, rank, code, reason);
    telling->abort = true;
    post_telling(telling);
}

static void route_wanted_task(struct weft_task *task)
{
    struct telling *telling = (struct telling *)task;
    struct weft_process_app *app = telling->app;
    Weft__Host__RouteWanted wish = WEFT__HOST__ROUTE_WANTED__INIT;
    wish.app = app->orders->app;
    wish.token = app->orders->token;
    wish.rank = telling->rank;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_ROUTE_WANTED,
                                                   .request = &wish.base,
                                                   .timeout_ms = TELL_TIMEOUT_MS});
    free(telling);
}

static void route_wanted(void *ctx, int32_t rank)
{
    struct telling *telling = telling_new(ctx, rank, 0, NULL);
    telling->task.run = route_wanted_task;
    if (weft__loop_post(telling->app->asker.loop, &telling->task) != WEFT_OK)
        free(telling); /* it asks again while it lasts */
}

/* ---- calls of the home ---- */

static void on_routes(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_process_app *app = ctx;
    const Weft__Host__RoutesRequest *request = (const Weft__Host__RoutesRequest *)message;
    if (request->token != app->orders->token) {
        weft__call_fail(call, WEFT_EACCES, NULL);
        return;
    }
    struct weft_exec_process *processes = calloc(request->n_processes + 1, sizeof(*processes));
    struct weft_exec_route *routes = calloc(request->n_routes + 1, sizeof(*routes));
    if (processes == NULL || routes == NULL)
        abort();
    for (size_t i = 0; i < request->n_processes; i++)
        processes[i] = (struct weft_exec_process){.process = request->processes[i]->process,
                                                  .host = request->processes[i]->host,
                                                  .lane = request->processes[i]->lane};
    for (size_t i = 0; i < request->n_routes; i++)
        routes[i] = (struct weft_exec_route){.rank = request->routes[i]->rank,
                                             .process = request->routes[i]->process,
                                             .incarnation = request->routes[i]->incarnation};
    int err =
        weft__exec_routes(app->exec, processes, request->n_processes, routes, request->n_routes);
    for (size_t i = 0; i < request->n_dead_processes; i++)
        weft__exec_process_dead(app->exec, request->dead_processes[i]);
    free(processes);
    free(routes);
    if (err != WEFT_OK) {
        weft__error("cannot take over routes: %s", weft_fail_text(err));
        weft__call_fail(call, err, weft_fail_text(err));
    } else {
        weft__call_reply(call, NULL);
    }
}

static void on_start(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_process_app *app = ctx;
    int err = ((const Weft__Host__StartRequest *)message)->token == app->orders->token
                  ? WEFT_OK
                  : WEFT_EACCES;
    if (err == WEFT_OK && app->orders->n_ranks > 0)
        err = weft__exec_start(app->exec, app->orders->ranks, app->orders->n_ranks);
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

static const struct {
    uint16_t code;
    const char *name;
    const ProtobufCMessageDescriptor *type;
    weft_owner_handler *run;
} calls[] = {
    {WEFT_CALL_ROUTES, "routes", &weft__host__routes_request__descriptor, on_routes},
    {WEFT_CALL_START, "start", &weft__host__start_request__descriptor, on_start},
    {WEFT_CALL_MOVE, "move", &weft__host__move_message__descriptor, weft__app_on_move},
};
enum { CALLS_N = sizeof(calls) / sizeof(calls[0]) };

/* Runs on the fan-in thread. */
static void dispatch(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_process_app *app = ctx;
    for (size_t i = 0; i < CALLS_N; i++)
        if (calls[i].code == weft__call_code(call)) {
            weft__ask_post(app->asker.loop, calls[i].run, app, call, request);
            return;
        }
    weft__call_fail(call, WEFT_EUNKNOWNCALL, NULL);
}

/* ---- start ---- */

static int start_server(struct weft_process_app *app)
{
    struct weft_handler_desc handlers[CALLS_N];
    for (size_t i = 0; i < CALLS_N; i++)
        handlers[i] = (struct weft_handler_desc){.code = calls[i].code,
                                                 .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC,
                                                 .name = calls[i].name,
                                                 .request_type = calls[i].type,
                                                 .run = dispatch};
    struct weft_service_desc service = {.name = "app",
                                        .handlers = handlers,
                                        .handlers_n = CALLS_N,
                                        .ctx = app,
                                        .body_max = 8u << 20};
    struct weft_server_desc desc = {.bind = app->orders->host_address,
                                    .port_first = (uint16_t)app->orders->port_first,
                                    .port_last = (uint16_t)app->orders->port_last,
                                    .services = &service,
                                    .services_n = 1};
    return weft__server_start(&desc, &app->server);
}

static int start_exec(struct weft_process_app *app)
{
    const Weft__Host__LaunchRequest *orders = app->orders;
    char **argv = calloc(orders->n_args + 2, sizeof(*argv));
    if (argv == NULL)
        return WEFT_ENOMEM;
    argv[0] = orders->program;
    for (size_t i = 0; i < orders->n_args; i++)
        argv[i + 1] = orders->args[i];
    struct weft_exec_desc desc = {.app = orders->app,
                                  .size = (int32_t)orders->size,
                                  .base = orders->range_base,
                                  .stride = orders->stride,
                                  .process = orders->process,
                                  .host = orders->host_name,
                                  .program = orders->program,
                                  .argv = argv,
                                  .lane = {.transports = weft__transports,
                                           .transports_n = weft__transports_n,
                                           .bind = orders->host_address,
                                           .port_first = (uint16_t)orders->port_first,
                                           .port_last = (uint16_t)orders->port_last,
                                           .token = orders->token},
                                  .callbacks = {.rank_exited = rank_exited,
                                                .app_abort = app_abort,
                                                .route_wanted = route_wanted,
                                                .flushed = weft__app_flushed,
                                                .ctx = app}};
    int err = weft__exec_open(&desc, &app->exec);
    free(argv);
    if (err == WEFT_OK && orders->n_ranks > 0)
        err = weft__exec_add_ranks(app->exec, orders->ranks, orders->n_ranks, 1);
    return err;
}

static int read_whole(int fd, void *into, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)into + done, len - done);
        if (n == 0 || (n < 0 && errno != EINTR))
            return weft_fail(WEFT_EPROTO, "the lifeline ended before the orders did");
        done += n > 0 ? (size_t)n : 0;
    }
    return WEFT_OK;
}

static int check_orders(const Weft__Host__LaunchRequest *orders)
{
    if (orders->size == 0 || orders->size > INT32_MAX || orders->port_last > UINT16_MAX)
        return weft_fail(WEFT_EPROTO, "the orders make no sense");
    for (size_t i = 0; i < orders->n_ranks; i++)
        if (orders->ranks[i] < 0 || (uint32_t)orders->ranks[i] >= orders->size)
            return weft_fail(WEFT_EPROTO, "the orders name rank %d of %u", orders->ranks[i],
                             orders->size);
    return WEFT_OK;
}

static int read_orders(struct weft_process_app *app, int fd)
{
    uint32_t len;
    ProtobufCMessage *message = NULL;
    int err = read_whole(fd, &len, sizeof(len));
    if (err == WEFT_OK && len > WEFT_FRAME_BODY_MAX)
        err = weft_fail(WEFT_EMSGSIZE, "the orders are too long");
    uint8_t *bytes = err == WEFT_OK ? malloc(len + 1) : NULL;
    if (bytes == NULL)
        return err != WEFT_OK ? err : WEFT_ENOMEM;
    err = read_whole(fd, bytes, len);
    if (err == WEFT_OK)
        err = weft__message_decode(&weft__host__launch_request__descriptor, bytes, len, &message);
    free(bytes);
    app->orders = (Weft__Host__LaunchRequest *)message;
    return err == WEFT_OK ? check_orders(app->orders) : err;
}

static void greet(struct weft_process_app *app, int fd, int err, const char *why)
{
    Weft__Host__LaunchReply hello = WEFT__HOST__LAUNCH_REPLY__INIT;
    char control[WEFT_REGISTRY_URL_MAX];
    struct weft_lane_stats stats;
    char text[512];
    snprintf(text, sizeof(text), "%s", why);
    hello.pid = (uint64_t)getpid();
    hello.err = err;
    hello.text = text;
    if (err == WEFT_OK) {
        weft__lane_stats(weft__exec_lane(app->exec), &stats);
        snprintf(control, sizeof(control), "tcp://%s:%u", app->orders->host_address,
                 weft__server_sync_port(app->server, 0));
        hello.process = app->orders->process;
        hello.control = control;
        hello.lane = (char *)(uintptr_t)weft__exec_lane_address(app->exec);
        hello.transport = stats.transport;
    }
    uint8_t bytes[4096];
    uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(&hello.base);
    if (len > sizeof(bytes) - sizeof(len))
        return;
    memcpy(bytes, &len, sizeof(len));
    (void)protobuf_c_message_pack(&hello.base, bytes + sizeof(len));
    (void)send(fd, bytes, sizeof(len) + len, MSG_NOSIGNAL);
}

static void lifeline_ready(struct weft_watch *watch, uint32_t events)
{
    struct weft_process_app *app =
        (struct weft_process_app *)((char *)watch - offsetof(struct weft_process_app, lifeline));
    char byte;
    (void)events;
    if (recv(watch->fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    weft__loop_stop(app->asker.loop); /* its end is our end; nothing else is ever sent */
}

static int app_open(struct weft_process_app *app, int fd)
{
    char who[96];
    int err = read_orders(app, fd);
    if (err != WEFT_OK)
        return err;
    snprintf(who, sizeof(who), "app %llx on %s", (unsigned long long)app->orders->app,
             app->orders->host_name);
    weft__log_name(who);
    if (app->orders->cwd[0] != '\0' && chdir(app->orders->cwd) != 0)
        return weft_fail(-errno, "cannot enter the folder %s: %s", app->orders->cwd,
                         strerror(errno));
    err = weft__loop_open(&app->asker.loop);
    if (err == WEFT_OK)
        err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &app->asker.client);
    if (err == WEFT_OK)
        err = weft__app_movers_init(app);
    app->registry_at = (struct weft_registry_at){.client = app->asker.client,
                                                 .url = app->orders->registry_control};
    if (err == WEFT_OK)
        err = start_exec(app);
    if (err == WEFT_OK)
        err = start_server(app);
    app->lifeline = (struct weft_watch){.ready = lifeline_ready, .fd = fd};
    if (err == WEFT_OK)
        err = weft__loop_watch(app->asker.loop, &app->lifeline, EPOLLIN);
    return err;
}

static void app_close(struct weft_process_app *app)
{
    weft__server_stop(app->server, SERVER_STOP_MS);
    if (app->exec != NULL && weft__exec_close(app->exec, EXEC_CLOSE_MS) != WEFT_OK) {
        weft__info("a rank does not end: %s", weft_fail_text(WEFT_ETIMEDOUT));
        (void)fflush(NULL);
        _exit(1);
    }
    app->closing = true;
    weft__client_close(app->asker.client);
    app->asker.client = NULL;
    if (app->asker.loop != NULL)
        weft__loop_drain(app->asker.loop);
    weft__app_movers_fini(app);
    weft__loop_close(app->asker.loop);
    weft__message_free((ProtobufCMessage *)app->orders);
}

int weft_app_run(int lifeline_fd, int parent)
{
    struct weft_process_app app = {0};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return weft_fail(WEFT_EPERM, "weft-app is started by weftd, not by hand");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    int err = app_open(&app, lifeline_fd);
    char why[512];
    snprintf(why, sizeof(why), "%s", err != WEFT_OK ? weft_fail_text(err) : "");
    greet(&app, lifeline_fd, err, why);
    if (err == WEFT_OK)
        weft__loop_run(app.asker.loop);
    app_close(&app);
    return err != WEFT_OK ? weft_fail(err, "%s", why) : WEFT_OK;
}
