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
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "cell/executor.h"
#include "control/client.h"
#include "control/security.h"
#include "control/server.h"
#include "exec/fork_calls.h"
#include "host/app_env.h"
#include "host/calls.h"
#include "host/state_dir.h"
#include "host/transports.h"
#include "link/data.h"
#include "link/reach.h"
#include "link/select.h"
#include "weft/host.h"
#include "wire/frame.h"
#include "wire/message.h"

enum { SERVER_STOP_MS = 200, EXEC_CLOSE_MS = 2000, PROBE_ASK_MS = 10000 };

/* ---- calls of the home ---- */

bool weft__app_serves(const struct weft_process_app *app, uint64_t token, struct weft_call *call)
{
    if (token == app->orders->token && !app->closing)
        return true;
    weft__call_fail(call, app->closing ? WEFT_ESHUTDOWN : WEFT_EACCES,
                    app->closing ? "this process is ending" : "wrong token");
    return false;
}

static void answer(struct weft_call *call, int err)
{
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

/* Writes out the runs of ranks. */
static int expand_routes(const Weft__Host__RoutesRequest *request, uint32_t size,
                         struct weft_exec_route *routes, size_t *n_out)
{
    size_t n = 0;
    for (size_t i = 0; i < request->n_routes; i++) {
        const Weft__Host__Route *run = request->routes[i];
        uint32_t count = run->count > 0 ? run->count : 1;
        if (run->rank < 0 || (uint32_t)run->rank >= size || count > size - (uint32_t)run->rank ||
            count > size - n)
            return weft_fail(WEFT_EPROTO, "routes of %u ranks from rank %d on, of %u", count,
                             run->rank, size);
        for (uint32_t k = 0; k < count; k++)
            routes[n++] = (struct weft_exec_route){.rank = run->rank + (int32_t)k,
                                                   .process = run->process,
                                                   .incarnation = run->incarnation};
    }
    *n_out = n;
    return WEFT_OK;
}

static int take_routes(struct weft_process_app *app, const Weft__Host__RoutesRequest *request)
{
    struct weft_exec_process *processes =
        weft__must_alloc(request->n_processes, sizeof(*processes));
    struct weft_exec_route *routes = weft__must_alloc(app->orders->size, sizeof(*routes));
    size_t routes_n = 0;
    for (size_t i = 0; i < request->n_processes; i++)
        processes[i] = (struct weft_exec_process){.process = request->processes[i]->process,
                                                  .host = request->processes[i]->host,
                                                  .lane = request->processes[i]->lane};
    int err = expand_routes(request, app->orders->size, routes, &routes_n);
    if (err == WEFT_OK)
        err = weft__exec_routes(app->exec, processes, request->n_processes, routes, routes_n);
    for (size_t i = 0; i < request->n_dead_processes; i++)
        weft__exec_process_dead(app->exec, request->dead_processes[i]);
    free(processes);
    free(routes);
    return err;
}

static void on_routes(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_process_app *app = ctx;
    const Weft__Host__RoutesRequest *request = (const Weft__Host__RoutesRequest *)message;
    if (!weft__app_serves(app, request->token, call))
        return;
    int err = take_routes(app, request);
    if (err != WEFT_OK)
        weft__error("cannot take over routes: %s", weft_fail_text(err));
    if (request->n_routes == 1 && request->n_processes == 0) /* a rank has moved */
        weft__app_trace_mark(app);
    answer(call, err);
}

static void on_start(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_process_app *app = ctx;
    int err = WEFT_OK;
    if (!weft__app_serves(app, ((const Weft__Host__StartRequest *)message)->token, call))
        return;
    if (app->orders->n_ranks > 0)
        err = weft__exec_start(app->exec, app->orders->ranks, app->orders->n_ranks);
    answer(call, err);
}

void weft__app_count(struct weft_process_app *app, Weft__Host__ExecStats *stats)
{
    struct weft_exec_stats exec;
    struct weft_lane_stats lane;
    weft__exec_stats(app->exec, &exec);
    weft__lanes_stats(weft__exec_lanes(app->exec), &lane);
    weft__host__exec_stats__init(stats);
    stats->sent = exec.sent;
    stats->received = exec.received;
    stats->direct = exec.direct;
    stats->forwarded = exec.forwarded;
    stats->nacked = exec.nacked;
    stats->duplicates = exec.duplicates;
    stats->held = exec.held;
    stats->dropped = exec.dropped;
    stats->retransmitted = exec.retransmitted;
    stats->gets = exec.gets;
    stats->gets_restarted = exec.gets_restarted;
    stats->malformed = exec.malformed;
    stats->calls = exec.calls;
    stats->calls_answered = exec.calls_answered;
    stats->calls_refused = exec.calls_refused;
    stats->calls_returned = exec.calls_returned;
    stats->bytes_sent = lane.bytes_sent;
    stats->bytes_received = lane.bytes_received;
    stats->bytes_got = lane.rma_bytes_got;
}

static void on_stats(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_process_app *app = ctx;
    Weft__Host__StatsReply reply = WEFT__HOST__STATS_REPLY__INIT;
    Weft__Host__ExecStats stats;
    if (!weft__app_serves(app, ((const Weft__Host__StatsRequest *)message)->token, call))
        return;
    weft__app_count(app, &stats);
    reply.stats = &stats;
    weft__call_reply(call, &reply.base);
}

/* Workers of the service. */
static void on_fork_run(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const struct weft_process_app *app = ctx;
    if (((const Weft__Host__ForkRunRequest *)message)->token == app->orders->token)
        weft__exec_fork_run(app->exec, call, message);
    else
        weft__call_fail(call, WEFT_EACCES, "wrong token");
}

static void on_fork_end(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const struct weft_process_app *app = ctx;
    if (((const Weft__Host__ForkEndRequest *)message)->token == app->orders->token)
        weft__exec_fork_end(app->exec, call, message);
    else
        weft__call_fail(call, WEFT_EACCES, "wrong token");
}

static const struct {
    uint16_t code;
    const char *name;
    const ProtobufCMessageDescriptor *type;
    weft_owner_handler *run;
} calls[] = {
    {WEFT_CALL_ROUTES, "routes", &weft__host__routes_request__descriptor, on_routes},
    {WEFT_CALL_START, "start", &weft__host__start_request__descriptor, on_start},
    {WEFT_CALL_SERVICES, "services", NULL, weft__app_on_services},
    {WEFT_CALL_STATS, "stats", &weft__host__stats_request__descriptor, on_stats},
    {WEFT_CALL_MOVE, "move", &weft__host__move_message__descriptor, weft__app_on_move},
    {WEFT_CALL_FREEZE_ORDER, "freeze-order", &weft__host__freeze_order__descriptor,
     weft__app_on_freeze_order},
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
    struct weft_handler_desc handlers[CALLS_N + 3];
    for (size_t i = 0; i < CALLS_N; i++)
        handlers[i] = (struct weft_handler_desc){.code = calls[i].code,
                                                 .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC,
                                                 .name = calls[i].name,
                                                 .request_type = calls[i].type,
                                                 .run = dispatch};
    handlers[CALLS_N] =
        (struct weft_handler_desc){.code = WEFT_CALL_EXECUTE,
                                   .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC,
                                   .name = "execute",
                                   .request_type = &weft__host__execute_request__descriptor,
                                   .run = weft__app_on_execute};
    handlers[CALLS_N + 1] =
        (struct weft_handler_desc){.code = WEFT_CALL_FORK_RUN,
                                   .flags = WEFT_HANDLER_SYNC,
                                   .name = "fork run",
                                   .request_type = &weft__host__fork_run_request__descriptor,
                                   .run = on_fork_run};
    handlers[CALLS_N + 2] =
        (struct weft_handler_desc){.code = WEFT_CALL_FORK_END,
                                   .flags = WEFT_HANDLER_SYNC,
                                   .name = "fork end",
                                   .request_type = &weft__host__fork_end_request__descriptor,
                                   .run = on_fork_end};
    struct weft_service_desc service = {.name = "app",
                                        .handlers = handlers,
                                        .handlers_n = CALLS_N + 3,
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
    char starter[PATH_MAX] = "";
    int err = orders->processes ? weft__beside_us("weft", starter, sizeof(starter)) : WEFT_OK;
    if (err != WEFT_OK)
        return err;
    char **argv = weft__must_alloc(orders->n_args + 2, sizeof(*argv));
    argv[0] = orders->program;
    for (size_t i = 0; i < orders->n_args; i++)
        argv[i + 1] = orders->args[i];
    struct weft_exec_desc desc = {.app = orders->app,
                                  .size = (int32_t)orders->size,
                                  .base = orders->range_base,
                                  .stride = orders->stride,
                                  .process = orders->process,
                                  .host = orders->host_name,
                                  .uncounted = weft__config_u64("WEFT_TRAFFIC_MS") == 0,
                                  .program = orders->program,
                                  .cells = &weft__executor_cell,
                                  .workers = (unsigned)weft__config_u64("WEFT_WORKERS"),
                                  .apart = orders->processes,
                                  .starter = starter,
                                  .argv = argv,
                                  .lane = {.transports = weft__transports,
                                           .transports_n = weft__transports_n,
                                           .bind = orders->host_address,
                                           .port_first = (uint16_t)orders->port_first,
                                           .port_last = (uint16_t)orders->port_last,
                                           .token = orders->token},
                                  .callbacks = {.rank_exited = weft__app_rank_exited,
                                                .app_abort = weft__app_abort,
                                                .route_wanted = weft__app_route_wanted,
                                                .flushed = weft__app_flushed,
                                                .torture = weft__app_torture,
                                                .input = weft__app_input,
                                                .ctx = app},
                                  .client = app->asker.client,
                                  .home = orders->home_control,
                                  .token = orders->token,
                                  .trace_n = orders->trace ? WEFT_APP_TRACE_PACKETS : 0,
                                  .torture_move = orders->torture_move,
                                  .torture_seed = orders->torture_seed,
                                  .precopy_above = weft__config_u64("WEFT_PRECOPY_ABOVE"),
                                  .input_rank =
                                      orders->has_input ? (int32_t)orders->input_rank : -1};
    struct weft_app_env env;
    desc.envp = weft__app_env_init(&env, orders->cpu);
    err = weft__exec_open(&desc, &app->exec);
    weft__app_env_fini(&env);
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
    if (orders->size == 0 || orders->size > WEFT_APP_RANKS_MAX || orders->n_ranks > orders->size ||
        orders->port_last > UINT16_MAX || orders->port_first > orders->port_last)
        return weft_fail(WEFT_EPROTO, "the orders make no sense: %zu of %u ranks, ports %u-%u",
                         orders->n_ranks, orders->size, orders->port_first, orders->port_last);
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
        weft__lanes_stats(weft__exec_lanes(app->exec), &stats);
        snprintf(control, sizeof(control), "tcp://%s:%u", app->orders->host_address,
                 weft__server_sync_port(app->server, 0));
        hello.process = app->orders->process;
        hello.control = control;
        hello.lane = weft__message_text(weft__exec_lane_address(app->exec));
        hello.transport = stats.transport;
        hello.cells = weft__exec_has_cells(app->exec);
    }
    uint8_t bytes[4096];
    uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(&hello.base);
    weft__check(len <= sizeof(bytes) - sizeof(len)); /* all its texts are bounded */
    memcpy(bytes, &len, sizeof(len));
    (void)protobuf_c_message_pack(&hello.base, bytes + sizeof(len));
    (void)send(fd, bytes, sizeof(len) + len, MSG_NOSIGNAL);
}

static void lifeline_ready(struct weft_watch *watch, uint32_t events)
{
    struct weft_process_app *app = weft__loop_owner(watch, struct weft_process_app, lifeline);
    char byte;
    (void)events;
    if (recv(watch->fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    weft__loop_stop(app->asker.loop); /* its end is our end; nothing else is ever sent */
}

static int app_open(struct weft_process_app *app, int fd)
{
    char who[96];
    int err = weft__config_load();
    if (err == WEFT_OK)
        err = read_orders(app, fd);
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
    weft__app_events_init(app);
    weft__app_tell_init(app);
    weft__app_movers_init(app);
    weft__app_doors_init(app);
    app->registry_at = (struct weft_registry_at){.client = app->asker.client,
                                                 .url = app->orders->registry_control};
    if (err == WEFT_OK)
        err = start_exec(app);
    if (err == WEFT_OK)
        err = start_server(app);
    if (err == WEFT_OK)
        weft__app_events_start(app);
    if (err == WEFT_OK)
        weft__app_traffic_start(app);
    app->lifeline = (struct weft_watch){.ready = lifeline_ready, .fd = fd};
    if (err == WEFT_OK)
        err = weft__loop_watch(app->asker.loop, &app->lifeline, EPOLLIN);
    return err;
}

static void app_close(struct weft_process_app *app)
{
    weft__server_stop(app->server, SERVER_STOP_MS);
    weft__app_freezer_stop(app);
    if (app->exec != NULL && weft__exec_close(app->exec, EXEC_CLOSE_MS) != WEFT_OK) {
        weft__info("a rank does not end: %s", weft_fail_text(WEFT_ETIMEDOUT));
        (void)fflush(NULL);
        _exit(1);
    }
    app->closing = true;
    weft__app_events_last(app);
    weft__client_close(app->asker.client);
    app->asker.client = NULL;
    app->registry_at.client = NULL;
    if (app->asker.loop != NULL)
        weft__loop_drain(app->asker.loop);
    weft__app_tell_fini(app);
    weft__app_torture_fini(app);
    weft__app_input_fini(app);
    weft__app_movers_fini(app);
    weft__app_freezer_free(app);
    weft__app_events_fini(app);
    free(app->doors);
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

/* What cannot be asked is told where the answer would be. */
static int probe_paths(const struct weft__select *select, const char *to)
{
    struct weft_client *client;
    struct weft_data_host host;
    int err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &client);
    if (err != WEFT_OK)
        return err;
    err = weft__data_ask(client, to, PROBE_ASK_MS, &host);
    if (err == WEFT_OK)
        err = weft__reach_report(select, host.address, stdout);
    if (err != WEFT_OK)
        printf("to %s: it does not tell its paths: %s\n", to, weft_fail_text(err));
    weft__client_close(client);
    return WEFT_OK;
}

int weft_app_probe(const char *address, const char *to)
{
    char *report;
    int err = weft__config_load();
    if (err != WEFT_OK)
        return err;
    struct weft__select select = {.transports = weft__transports,
                                  .transports_n = weft__transports_n,
                                  .want = weft__config_text("WEFT_DATA"),
                                  .net = weft__config_text("WEFT_NET"),
                                  .open = {.bind = address,
                                           .families = WEFT_TP_MSG | WEFT_TP_RMA,
                                           .msg_max_bytes = WEFT_EXEC_PACKET_MAX}};
    err = weft__security_get(&select.open.security);
    if (err == WEFT_OK)
        err = weft__select_report(&select, &report);
    if (err != WEFT_OK)
        return err;
    (void)puts(report);
    free(report);
    (void)fflush(stdout);
    return to != NULL ? probe_paths(&select, to) : WEFT_OK;
}
