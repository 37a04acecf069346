/* The daemon: puts registry, control server and client, slots, processes and apps together around
 * one owner thread.
 *
 * Start: settings, ports, client, the registry (the head's own, or where the head says that it is),
 * server, join, then the line on ready_fd: from then on every call is served. End: no new work,
 * apps at home here end with a reason, processes are killed, the registry is told, threads are
 * joined. Handlers of the "function" service run on the fan-in thread only to be posted to the
 * owner thread; the few that block run on its workers.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/parse.h"
#include "control/client.h"
#include "control/server.h"
#include "group/service.h"
#include "exec/fork_calls.h"
#include "host/calls.h"
#include "host/cores.h"
#include "host/move_wire.h"
#include "host/state_dir.h"
#include "host/weftd_app.h"
#include "host/weftd_cpu.h"
#include "host/weftd_events.h"
#include "host/weftd_group.h"
#include "host/weftd_guest.h"
#include "host/weftd_reach.h"
#include "host/weftd_lane.h"
#include "host/weftd_snapshot.h"
#include "host/weftd_state.h"
#include "host/weftd_store.h"
#include "link/data.h"
#include "registry/service.h"
#include "snapshot/service.h"
#include "state/server.h"
#include "wire/events.pb-c.h"
#include "wire/message.h"

enum {
    STOP_POLL_MS = 20,
    STOP_MAX_MS = 4000,
    SERVER_STOP_MS = 500,
    HEAD_WAIT_MS = 5000,
    HEAD_RETRY_US = 50000
};

static void on_ping(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_reply(call, NULL);
}

struct route {
    uint16_t code;
    const char *name;
    const ProtobufCMessageDescriptor *type;
    weft_owner_handler *run;
};

/* Those that block: they run on a worker, and touch nothing of the owner thread's. */
static const struct weft_handler_desc blocking[] = {
    {WEFT_CALL_LANE, WEFT_HANDLER_SYNC, "lane", NULL, weft__weftd_on_lane},
};
enum { BLOCKING_N = sizeof(blocking) / sizeof(blocking[0]) };

static const struct route routes[] = {
    {WEFT_CALL_PING, "ping", NULL, on_ping},
    {WEFT_CALL_RUN, "run", &weft__host__run_request__descriptor, weft__weftd_on_run},
    {WEFT_CALL_WAIT, "wait", &weft__host__wait_request__descriptor, weft__weftd_on_wait},
    {WEFT_CALL_INPUT, "input", &weft__host__input_push__descriptor, weft__weftd_on_input},
    {WEFT_CALL_INPUT_TAKE, "input-take", &weft__host__input_take__descriptor,
     weft__weftd_on_input_take},
    {WEFT_CALL_DRAIN, "drain", &weft__host__drain_request__descriptor, weft__weftd_on_drain},
    {WEFT_CALL_KILL, "kill", &weft__host__kill_request__descriptor, weft__weftd_on_kill},
    {WEFT_CALL_APPS, "apps", &weft__host__apps_request__descriptor, weft__weftd_on_apps},
    {WEFT_CALL_MIGRATE, "migrate", &weft__host__migrate_request__descriptor,
     weft__weftd_on_migrate},
    {WEFT_CALL_INFO, "info", &weft__host__info_request__descriptor, weft__weftd_on_info},
    {WEFT_CALL_LEASE, "lease", &weft__host__lease_request__descriptor, weft__weftd_on_lease},
    {WEFT_CALL_LEASE_LEAVE, "lease-leave", &weft__host__lease_leave_request__descriptor,
     weft__weftd_on_lease_leave},
    {WEFT_CALL_LEASE_COMMIT, "lease-commit", &weft__host__lease_commit_request__descriptor,
     weft__weftd_on_lease_commit},
    {WEFT_CALL_LEASE_END, "lease-end", &weft__host__lease_end_request__descriptor,
     weft__weftd_on_lease_end},
    {WEFT_CALL_LAUNCH, "launch", &weft__host__launch_request__descriptor, weft__weftd_on_launch},
    {WEFT_CALL_END, "end", &weft__host__end_request__descriptor, weft__weftd_on_end},
    {WEFT_CALL_HAND_OVER, "hand-over", &weft__host__hand_over_request__descriptor,
     weft__weftd_on_hand_over},
    {WEFT_CALL_BEAT, "beat", &weft__host__app_beat_request__descriptor, weft__weftd_on_beat},
    {WEFT_CALL_OUTPUT, "output", &weft__host__output_push__descriptor, weft__weftd_on_output},
    {WEFT_CALL_PROCESS_EXIT, "process-exit", &weft__host__process_exit__descriptor,
     weft__weftd_on_process_exit},
    {WEFT_CALL_RANK_EXIT, "rank-exit", &weft__host__rank_exit__descriptor,
     weft__weftd_on_rank_exit},
    {WEFT_CALL_ROUTE_WANTED, "route-wanted", &weft__host__route_wanted__descriptor,
     weft__weftd_on_route_wanted},
    {WEFT_CALL_TRAFFIC, "traffic", &weft__host__traffic_report__descriptor, weft__weftd_on_traffic},
    {WEFT_CALL_MOVE, "move", &weft__host__move_message__descriptor, weft__weftd_on_move},
    {WEFT_CALL_FREEZE_APP, "freeze-app", &weft__host__freeze_app_request__descriptor,
     weft__weftd_on_freeze_app},
    {WEFT_CALL_THAW_APP, "thaw-app", &weft__host__thaw_app_request__descriptor,
     weft__weftd_on_thaw_app},
    {WEFT_CALL_FREEZE_ANSWER, "freeze-answer", &weft__host__freeze_answer__descriptor,
     weft__weftd_on_freeze_answer},
    {WEFT_CALL_SERVICES, "services", NULL, weft__weftd_on_services},
    {WEFT_CALL_FIND_RANK, "find-rank", &weft__host__find_rank_request__descriptor,
     weft__weftd_on_find_rank},
    {WEFT_CALL_FORK_OPEN, "fork-open", &weft__host__fork_open_request__descriptor,
     weft__weftd_on_fork_open},
    {WEFT_CALL_FORK_CLOSE, "fork-close", &weft__host__fork_close_request__descriptor,
     weft__weftd_on_fork_close},
    {WEFT_CALL_FORK_WHY, "fork-why", &weft__host__fork_why_request__descriptor,
     weft__weftd_on_fork_why},
    {WEFT_CALL_EVENTS, "events", &weft__events__events_request__descriptor, weft__weftd_on_events},
    {WEFT_CALL_EVENTS_TELL, "events-tell", &weft__events__events_tell__descriptor,
     weft__weftd_on_events_tell},
};
enum { ROUTES_N = sizeof(routes) / sizeof(routes[0]) };

/* Runs on the fan-in thread. */
static void dispatch(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_host *host = ctx;
    uint16_t code = weft__call_code(call);
    for (size_t i = 0; i < ROUTES_N; i++)
        if (routes[i].code == code) {
            weft__ask_post(host->asker.loop, routes[i].run, host, call, request);
            return;
        }
    weft__call_fail(call, WEFT_EUNKNOWNCALL, NULL);
}

/* ---- start ---- */

static int start_server(struct weft_host *host)
{
    struct weft_handler_desc handlers[ROUTES_N + BLOCKING_N];
    struct weft_service_desc services[WEFT_HOST_SERVICES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < ROUTES_N; i++)
        handlers[i] = (struct weft_handler_desc){.code = routes[i].code,
                                                 .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC,
                                                 .name = routes[i].name,
                                                 .request_type = routes[i].type,
                                                 .run = dispatch};
    memcpy(handlers + ROUTES_N, blocking, sizeof(blocking));
    services[n++] = (struct weft_service_desc){
        .name = "function",
        .handlers = handlers,
        .handlers_n = ROUTES_N + BLOCKING_N,
        .ctx = host,
        .sync_port = (uint16_t)(host->port_first + WEFT_PORT_SYNC),
        .async_port = (uint16_t)(host->port_first + WEFT_PORT_ASYNC),
        .workers = (unsigned)weft__config_u64("WEFT_FUNCTION_SERVER_THREADS"),
        .body_max = 8u << 20};
    if (host->registry != NULL) {
        weft__registry_service(host->registry, &services[n]);
        services[n].sync_port = (uint16_t)(host->port_first + WEFT_PORT_REGISTRY);
        services[n].async_port = (uint16_t)(host->port_first + WEFT_PORT_REGISTRY_ASYNC);
        services[n].workers = (unsigned)weft__config_u64("WEFT_REGISTRY_SERVER_THREADS");
        n++;
    }
    weft__weftd_group_service(host, &services[n++]);
    weft__weftd_state_service(host, &services[n++]);
    weft__weftd_snapshot_table(host, &services[n++]);
    for (size_t i = 0; i < n; i++)
        host->service_names[i] = services[i].name;
    host->services_n = n;
    struct weft_server_desc desc = {.bind = host->address,
                                    .port_first = host->port_first,
                                    .port_last = host->port_last,
                                    .services = services,
                                    .services_n = n};
    return weft__server_start(&desc, &host->server);
}

static int start_registry(struct weft_host *host)
{
    char path[sizeof(host->state_dir) + 16];
    int err = weft__state_dir_open(host->state_dir, sizeof(host->state_dir), host->address,
                                   host->port_first, &host->state_dir_is_ours);
    if (err != WEFT_OK)
        return err;
    snprintf(path, sizeof(path), "%s/registry.log", host->state_dir);
    struct weft_registry_desc desc = {.log_path = path,
                                      .self = host->name,
                                      .beat_ms = (uint32_t)weft__config_u64("WEFT_HEARTBEAT_MS"),
                                      .dead_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS")};
    snprintf(host->registry_control, sizeof(host->registry_control), "tcp://%s:%u", host->address,
             host->port_first + WEFT_PORT_REGISTRY);
    err = weft__registry_open(&desc, &host->registry);
    if (err != WEFT_OK)
        host->state_dir_is_ours = false; /* it may be another head's */
    return err;
}

static int read_text(char *into, size_t room, const char *what, const char *text)
{
    if (strlen(text) >= room)
        return weft_fail(WEFT_ERANGE, "the %s has %zu characters; %zu at most", what, strlen(text),
                         room - 1);
    memcpy(into, text, strlen(text) + 1);
    return WEFT_OK;
}

/* Asks the head where the registry is. */
static int find_registry(struct weft_host *host, const char *head)
{
    char url[WEFT_URL_MAX];
    ProtobufCMessage *message = NULL;
    int err = weft__host_url(head, host->port_first, url, sizeof(url));
    if (err != WEFT_OK)
        return err;
    struct weft_client_call call = {.url = url,
                                    .code = WEFT_CALL_INFO,
                                    .reply_type = &weft__host__info_reply__descriptor,
                                    .timeout_ms = 1000};
    uint64_t deadline = weft__now_ns() + HEAD_WAIT_MS * WEFT_NS_PER_MS;
    while ((err = weft__client_wait(host->asker.client, &call, &message)) != WEFT_OK &&
           err != WEFT_EACCES && err != WEFT_EINVAL && weft__now_ns() < deadline)
        (void)usleep(HEAD_RETRY_US);              /* it may be starting */
    if (err == WEFT_EACCES || err == WEFT_EINVAL) /* not us, or no url: the text says why */
        return err;
    if (err != WEFT_OK)
        return weft_fail(WEFT_EREGISTRY, "no weftd answers at the head %s: %s", url,
                         weft_error_text(err));
    err = read_text(host->registry_control, sizeof(host->registry_control), "registry's url",
                    ((const Weft__Host__InfoReply *)message)->registry);
    weft__message_free(message);
    return err;
}

static void stop_fired(struct weft_timer *timer)
{
    struct weft_host *host = weft__loop_owner(timer, struct weft_host, stop_timer);
    struct weft_app *app, *next;
    bool ended = weft__weftd_processes_n(host) == 0;
    HASH_ITER(hh, host->apps, app, next)
    ended = ended && app->state == WEFT_APP_ENDED && !weft__weftd_output_end_awaited(app);
    if (ended || weft__now_ns() > host->stop_by_ns)
        weft__loop_stop(host->asker.loop);
    else
        weft__loop_timer(host->asker.loop, timer, weft__now_ns() + STOP_POLL_MS * WEFT_NS_PER_MS);
}

void weft__weftd_stop(struct weft_host *host)
{
    if (host->stopping) {
        weft__loop_stop(host->asker.loop);
        return;
    }
    host->stopping = true;
    host->stop_by_ns = weft__now_ns() + STOP_MAX_MS * WEFT_NS_PER_MS;
    host->stop_timer.fire = stop_fired;
    struct weft_app *app, *next;
    HASH_ITER(hh, host->apps, app, next)
    {
        weft__weftd_frozen_leave(app);
        weft__weftd_app_end(app, WEFT_ESHUTDOWN, 1, "its home host %s is shutting down",
                            host->name);
    }
    weft__weftd_processes_end(host, "is shutting down");
    weft__loop_timer(host->asker.loop, &host->stop_timer, weft__now_ns());
}

static void signalled(struct weft_watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        weft__weftd_stop(weft__loop_owner(watch, struct weft_host, signals));
}

static int watch_signals(struct weft_host *host)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return weft_fail(WEFT_EIO, "cannot block signals");
    host->signals = (struct weft_watch){.ready = signalled,
                                        .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (host->signals.fd < 0)
        return weft_fail(-errno, "cannot make a signal file descriptor: %s", strerror(errno));
    return weft__loop_watch(host->asker.loop, &host->signals, EPOLLIN);
}

static int read_name(struct weft_host *host, const char *name)
{
    char own[WEFT_HOST_NAME_MAX];
    if (name == NULL && gethostname(own, sizeof(own)) != 0)
        return weft_fail(-errno, "cannot read the machine's name; use --name");
    if (name == NULL)
        name = own;
    if (name[0] == '\0')
        return weft_fail(WEFT_EINVAL, "the name of a host is empty; use --name");
    return read_text(host->name, sizeof(host->name), "name of the host", name);
}

static int read_ports(struct weft_host *host, const struct weft_host_options *options)
{
    int err = WEFT_OK;
    host->port_first = options->port_first;
    host->port_last = options->port_last;
    if (host->port_first == 0)
        err =
            weft__parse_ports(weft__config_text("WEFT_PORTS"), &host->port_first, &host->port_last);
    if (err == WEFT_OK && host->port_last - host->port_first < WEFT_PORT_APPS + 2)
        err = weft_fail(WEFT_EINVAL, "ports %u-%u are too few: a host needs at least %d",
                        host->port_first, host->port_last, WEFT_PORT_APPS + 3);
    return err;
}

static uint32_t read_slots(const struct weft_host_options *options)
{
    if (options->slots != UINT32_MAX)
        return options->slots;
    uint64_t slots = weft__config_u64("WEFT_SLOTS");
    return slots != 0 ? (uint32_t)slots : weft__usable_cores();
}

static int read_options(struct weft_host *host, const struct weft_host_options *options)
{
    const char *address = options->address != NULL ? options->address : "127.0.0.1";
    const char *state_dir =
        options->state_dir != NULL ? options->state_dir : weft__config_text("WEFT_STATE_DIR");
    host->move_params = weft__move_params();
    host->temporary = options->temporary;
    int err = read_name(host, options->name);
    if (err == WEFT_OK)
        err = read_text(host->address, sizeof(host->address), "address", address);
    if (err == WEFT_OK)
        err = read_ports(host, options);
    if (err == WEFT_OK)
        err = weft__weftd_cpu_init(host);
    if (err == WEFT_OK)
        err = read_text(host->state_dir, sizeof(host->state_dir), "state folder", state_dir);
    snprintf(host->control, sizeof(host->control), "tcp://%s:%u", host->address,
             host->port_first + WEFT_PORT_SYNC);
    if (err == WEFT_OK && options->app_program != NULL)
        err = read_text(host->app_program, sizeof(host->app_program), "path of weft-app",
                        options->app_program);
    else if (err == WEFT_OK)
        err = weft__beside_us("weft-app", host->app_program, sizeof(host->app_program));
    if (err == WEFT_OK && access(host->app_program, X_OK) != 0)
        err = weft_fail(-errno, "cannot run %s: %s; set --app-program to where weft-app is",
                        host->app_program, strerror(errno));
    return err;
}

static int host_open(struct weft_host *host, const struct weft_host_options *options)
{
    int err = read_options(host, options);
    if (err == WEFT_OK)
        err = weft__weftd_events_init(host);
    if (err == WEFT_OK)
        err = weft__loop_open(&host->asker.loop);
    if (err == WEFT_OK)
        err = watch_signals(host); /* before the first thread: all inherit the mask */
    if (err == WEFT_OK)
        err = weft__weftd_slots_init(host, read_slots(options));
    if (err == WEFT_OK &&
        getrandom(&host->incarnation, sizeof(host->incarnation), 0) != sizeof(host->incarnation))
        err = WEFT_EIO;
    if (err == WEFT_OK)
        err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &host->asker.client);
    if (err == WEFT_OK)
        weft__weftd_guests_init(host);
    if (err == WEFT_OK)
        err = weft__weftd_lane_init(host);
    if (err == WEFT_OK)
        err = weft__weftd_snapshot_init(host);
    if (err == WEFT_OK)
        err = weft__weftd_group_init(host);
    if (err == WEFT_OK)
        err = weft__weftd_state_init(host);
    if (err == WEFT_OK)
        err = options->head == NULL ? start_registry(host) : find_registry(host, options->head);
    host->registry_at =
        (struct weft_registry_at){.client = host->asker.client, .url = host->registry_control};
    if (err == WEFT_OK)
        err = start_server(host); /* its workers may need the registry from now on */
    if (err == WEFT_OK)
        err = weft__weftd_join(host);
    return err;
}

/* The log of a head that leaves while others live is for the one that takes its place. It may not
 * have had an answer itself when it left. */
static void keep_state_dir(struct weft_host *host)
{
    if (host->registry == NULL || !host->state_dir_is_ours || host->temporary ||
        weft__registry_others(host->registry) == 0)
        return;
    host->state_dir_is_ours = false;
    weft__info("the registry's log stays in %s, for the next head at this address",
               host->state_dir);
}

static void host_close(struct weft_host *host)
{
    host->stopping = true;
    weft__weftd_probe_fini(host);
    weft__weftd_processes_kill(host);
    weft__weftd_store_stop(host);          /* it asks the services below */
    weft__state_server_leave(host->state); /* before others hear that we have left */
    if (host->epoch != 0)
        weft__weftd_leave(host);
    keep_state_dir(host);
    weft__data_stop(host->data); /* a worker may be opening it */
    weft__snapshot_service_stop(host->snapshots);
    weft__group_stop(host->groups); /* before the server: whoever waits gets an answer */
    weft__server_stop(host->server, SERVER_STOP_MS);
    weft__group_close(host->groups);
    host->groups = NULL;
    weft__snapshot_service_close(host->snapshots);
    weft__client_close(host->asker.client); /* what is under way is answered: ESHUTDOWN */
    weft__state_server_close(host->state);
    host->state = NULL;
    weft__data_close(host->data);
    host->asker.client = NULL;
    host->registry_at.client = NULL; /* and whatever these answers lead to is refused */
    if (host->asker.loop != NULL)
        weft__loop_drain(host->asker.loop);
    weft__weftd_frozen_fini(host);
    weft__weftd_apps_fini(host);
    weft__weftd_processes_fini(host);
    weft__weftd_guests_fini(host);
    if (host->asker.loop != NULL)
        weft__loop_drain(host->asker.loop); /* what freeing has answered */
    weft__registry_close(host->registry);
    weft__leases_fini(&host->leases);
    weft__weftd_events_fini(host);
    free(host->members);
    if (host->signals.fd >= 0)
        close(host->signals.fd);
    weft__loop_close(host->asker.loop);
    if (host->state_dir_is_ours)
        weft__state_dir_remove(host->state_dir);
    free(host);
}

int weft_host_run(const struct weft_host_options *options)
{
    struct weft_host *host = calloc(1, sizeof(*host));
    char who[WEFT_HOST_NAME_MAX + 8];
    if (host == NULL)
        return WEFT_ENOMEM;
    host->signals.fd = -1;
    int err = host_open(host, options);
    snprintf(who, sizeof(who), "weftd %s", host->name);
    weft__log_name(who);
    if (err == WEFT_OK) {
        if (options->ready_fd >= 0)
            (void)dprintf(options->ready_fd, "%s\n", host->control);
        weft__weftd_reach_warn(host);
        weft__weftd_frozen_recover(host);
        weft__info("serves at %s with %u slots", host->control, host->leases.slots);
        weft__loop_run(host->asker.loop);
    }
    char why[512];
    snprintf(why, sizeof(why), "%s", weft_fail_text(err));
    host_close(host);
    return err != WEFT_OK ? weft_fail(err, "%s", why) : WEFT_OK;
}
