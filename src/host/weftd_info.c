/* What weft info shows of this host: itself, its counters, how it handles snapshots, and the
 * transports that work on its address.
 *
 * Trying transports takes seconds and runs code of network libraries, so it happens in a process of
 * its own (weft-app --probe), which can hang or crash without harm. One probe serves all who ask
 * while it runs; its end is the end of its output, or its deadline.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/must.h"
#include "control/client.h"
#include "control/server.h"
#include "group/service.h"
#include "host/services.h"
#include "host/spawn.h"
#include "host/weftd_app.h"
#include "host/weftd_reach.h"
#include "host/weftd_snapshot.h"
#include "link/data.h"
#include "state/server.h"
#include "wire/message.h"

enum { PROBE_MS = 15000, PROBE_TO_MS = 35000, LINES_MAX = 64, COUNTERS_MAX = 192 };

struct asker {
    struct asker *next;
    struct weft_call *call;
};

struct weft_probe {
    struct weft_host *host;
    struct asker *askers;
    pid_t pid;
    struct weft_watch output;
    struct weft_timer timer;
    char to[WEFT_REGISTRY_URL_MAX]; /* another host, whose paths are tried; empty: none */
    size_t len;
    char text[16384];
};

/* ---- counters ---- */

struct counters {
    Weft__Host__Setting items[COUNTERS_MAX], *pointers[COUNTERS_MAX];
    char names[COUNTERS_MAX][64];
    char values[COUNTERS_MAX][24];
    size_t n;
};

static void count(struct counters *counters, const char *who, const char *name, uint64_t value)
{
    if (counters->n == COUNTERS_MAX)
        return;
    size_t i = counters->n++;
    snprintf(counters->names[i], sizeof(counters->names[i]), "%s.%s", who, name);
    snprintf(counters->values[i], sizeof(counters->values[i]), "%" PRIu64, value);
    weft__host__setting__init(&counters->items[i]);
    counters->items[i].name = counters->names[i];
    counters->items[i].value = counters->values[i];
    counters->pointers[i] = &counters->items[i];
}

static void count_service(struct counters *counters, const struct weft_host *host, size_t service,
                          const char *who)
{
    struct weft_service_stats stats;
    weft__server_stats(host->server, service, &stats);
    count(counters, who, "accepted", stats.accepted);
    count(counters, who, "answered", stats.answered);
    count(counters, who, "failed", stats.failed);
    count(counters, who, "refused_malformed", stats.refused_malformed);
    count(counters, who, "refused_unknown", stats.refused_unknown);
    count(counters, who, "refused_full", stats.refused_full);
    count(counters, who, "refused_late", stats.refused_late);
}

static void count_state(struct counters *counters, const struct weft_host *host)
{
    struct weft_state_server_stats stats;
    weft__state_server_stats(host->state, &stats);
    count(counters, "state", "values", stats.values);
    count(counters, "state", "bytes", stats.bytes);
    count(counters, "state", "copies", stats.copies);
    count(counters, "state", "bulk_pulls", stats.bulk_pulls);
    count(counters, "state", "bulk_pushes", stats.bulk_pushes);
    count(counters, "state", "refused_stale", stats.refused_stale);
    count(counters, "state", "refused_lease", stats.refused_lease);
    count(counters, "state", "refused_memory", stats.refused_memory);
}

static void count_group(struct counters *counters, const struct weft_host *host)
{
    struct weft_coord_stats stats;
    weft__group_stats(host->groups, &stats);
    count(counters, "group", "groups", stats.groups);
    count(counters, "group", "homes", stats.homes);
    count(counters, "group", "processes", stats.sessions);
    count(counters, "group", "waiting", stats.waiters);
    count(counters, "group", "messages_sent", stats.sent.frames);
    count(counters, "group", "messages_repeated", stats.sent.resent);
    count(counters, "group", "acknowledgements_alone", stats.sent.acks);
    count(counters, "group", "message_bytes", stats.mail_bytes);
    count(counters, "group", "dropped", stats.dropped);
}

static void count_lane(struct counters *counters, const struct weft_host *host)
{
    struct weft_lane *lane = weft__data_peek(host->data);
    struct weft_lane_stats stats = {0};
    if (lane != NULL)
        weft__lane_stats(lane, &stats);
    count(counters, "data", "peers", stats.peers);
    count(counters, "data", "connections", stats.usage.connections);
    count(counters, "data", "memory_bytes", stats.usage.memory_bytes);
    count(counters, "data", "registered_bytes", stats.usage.registered_bytes);
}

static void count_rest(struct counters *counters, const struct weft_host *host)
{
    struct weft_count counts[WEFT_COUNTS_MAX];
    size_t n = weft__weftd_counts(host, counts);
    for (size_t i = 0; i < n; i++) {
        size_t group = strcspn(counts[i].name, ".");
        counts[i].name[group] = '\0';
        count(counters, counts[i].name, counts[i].name + group + 1, counts[i].value);
    }
}

static void count_all(struct counters *counters, const struct weft_host *host)
{
    struct weft_client_stats client;
    weft__client_stats(host->asker.client, &client);
    for (size_t i = 0; i < host->services_n; i++)
        count_service(counters, host, i, host->service_names[i]);
    count_state(counters, host);
    count_group(counters, host);
    count_lane(counters, host);
    count(counters, "client", "sent", client.sent);
    count(counters, "client", "answered", client.answered);
    count(counters, "client", "timed_out", client.timed_out);
    count(counters, "client", "lost", client.lost);
    count_rest(counters, host);
}

/* ---- the answer ---- */

/* Cuts text into lines; returns how many. */
static size_t cut_lines(char *text, char *lines[LINES_MAX])
{
    size_t n = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && n < LINES_MAX;
         line = strtok_r(NULL, "\n", &rest))
        lines[n++] = line;
    return n;
}

/* transports: what the probe has said, which is cut up; NULL: there was none. */
static void answer(struct weft_host *host, char *transports, struct weft_call *call)
{
    Weft__Host__InfoReply reply = WEFT__HOST__INFO_REPLY__INIT;
    struct weft_reach reach;
    struct weft_snapshot_told snapshots;
    struct counters counters = {.n = 0};
    char *lines[LINES_MAX];
    count_all(&counters, host);
    reply.counters = counters.pointers;
    reply.n_counters = counters.n;
    reply.name = host->name;
    reply.address = host->address;
    reply.version = weft__message_text(WEFT_VERSION);
    reply.pid = (uint64_t)getpid();
    reply.slots = host->leases.slots;
    reply.used = weft__leases_used(&host->leases);
    reply.registry = host->registry_control;
    reply.epoch = host->epoch;
    reply.cpu = host->cpu;
    reply.control = host->control;
    reply.head = host->registry != NULL;
    reply.data = weft__message_text(weft__config_text("WEFT_DATA"));
    reply.apps_home = (uint32_t)host->apps_n;
    reply.processes = (uint32_t)weft__weftd_processes_n(host);
    reply.reach = weft__weftd_reach(host, &reach);
    weft__weftd_snapshot_tell(host, &snapshots, &reply);
    reply.transports = lines;
    if (transports != NULL)
        reply.n_transports = cut_lines(transports, lines);
    weft__call_reply(call, &reply.base);
}

/* ---- the probe ---- */

static void probe_end(struct weft_probe *probe)
{
    struct weft_host *host = probe->host;
    struct asker *asker, *next;
    host->probe = NULL;
    weft__loop_timer_off(host->asker.loop, &probe->timer);
    weft__loop_unwatch(host->asker.loop, &probe->output);
    close(probe->output.fd);
    (void)kill(-probe->pid, SIGKILL); /* it has closed its output, or taken too long */
    (void)waitpid(probe->pid, NULL, 0);
    LL_FOREACH_SAFE(probe->askers, asker, next)
    {
        char text[sizeof(probe->text) + 1];
        snprintf(text, sizeof(text), "%.*s", (int)probe->len, probe->text);
        answer(host, text, asker->call);
        free(asker);
    }
    free(probe);
}

static void probe_said(struct weft_watch *watch, uint32_t events)
{
    struct weft_probe *probe = weft__loop_owner(watch, struct weft_probe, output);
    (void)events;
    ssize_t n = read(watch->fd, probe->text + probe->len, sizeof(probe->text) - probe->len);
    if (n > 0)
        probe->len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        probe_end(probe);
}

static void probe_late(struct weft_timer *timer)
{
    probe_end(weft__loop_owner(timer, struct weft_probe, timer));
}

static int probe_start(struct weft_host *host, const char *to)
{
    int pipes[2];
    pid_t pid;
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return weft_fail(-errno, "cannot make a pipe: %s", strerror(errno));
    (void)fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    char *argv[] = {host->app_program,      weft__message_text("--probe"),
                    host->address,          to[0] ? weft__message_text("--to") : NULL,
                    weft__message_text(to), NULL};
    int fds[] = {-1, pipes[1], STDERR_FILENO};
    int err = weft__spawn(
        &(struct weft_spawn){.argv = argv, .env = environ, .fds = fds, .fds_n = 3}, &pid);
    close(pipes[1]);
    if (err != WEFT_OK) {
        close(pipes[0]);
        return err;
    }
    struct weft_probe *probe = weft__must_alloc(1, sizeof(*probe));
    host->probe = probe;
    probe->host = host;
    probe->pid = pid;
    probe->output = (struct weft_watch){.ready = probe_said, .fd = pipes[0]};
    probe->timer.fire = probe_late;
    snprintf(probe->to, sizeof(probe->to), "%s", to);
    weft__loop_timer(host->asker.loop, &probe->timer,
                     weft__now_ns() + (to[0] ? PROBE_TO_MS : PROBE_MS) * WEFT_NS_PER_MS);
    err = weft__loop_watch(host->asker.loop, &probe->output, EPOLLIN);
    if (err != WEFT_OK)
        probe_end(probe);
    return err;
}

void weft__weftd_probe_fini(struct weft_host *host)
{
    if (host->probe != NULL)
        probe_end(host->probe);
}

void weft__weftd_on_info(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__InfoRequest *request = (const Weft__Host__InfoRequest *)message;
    if (host->stopping) {
        weft__call_fail(call, WEFT_ESHUTDOWN, "the host is shutting down");
        return;
    }
    if (!request->probe) {
        answer(host, NULL, call);
        return;
    }
    if (strlen(request->to) >= WEFT_REGISTRY_URL_MAX ||
        (host->probe != NULL && strcmp(host->probe->to, request->to) != 0)) {
        weft__call_fail(call, host->probe != NULL ? WEFT_EBUSY : WEFT_EINVAL,
                        host->probe != NULL ? "the host tries something else just now; try again"
                                            : "the other host's url is too long");
        return;
    }
    int err = host->probe == NULL ? probe_start(host, request->to) : WEFT_OK;
    if (host->probe == NULL) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct asker *asker = weft__must_alloc(1, sizeof(*asker));
    asker->call = call;
    LL_APPEND(host->probe->askers, asker);
}

void weft__weftd_on_services(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    const struct weft_host *host = ctx;
    struct weft_client_stats client;
    (void)request;
    weft__client_stats(host->asker.client, &client);
    struct weft_lane *lane = weft__data_peek(host->data);
    struct weft_lane_stats lane_stats;
    if (lane != NULL)
        weft__lane_stats(lane, &lane_stats);
    const struct weft_services_counter of_client[] = {
        {"client.sent", client.sent},           {"client.answered", client.answered},
        {"client.timed_out", client.timed_out}, {"client.lost", client.lost},
        {"client.resent", client.resent},       {"client.cancelled", client.cancelled},
    };
    enum { CLIENT_N = sizeof(of_client) / sizeof(of_client[0]) };
    struct weft_services_counter counters[CLIENT_N + WEFT_COUNTS_MAX];
    struct weft_count counts[WEFT_COUNTS_MAX];
    size_t n = weft__weftd_counts(host, counts);
    memcpy(counters, of_client, sizeof(of_client));
    for (size_t i = 0; i < n; i++)
        counters[CLIENT_N + i] = (struct weft_services_counter){counts[i].name, counts[i].value};
    weft__services_answer(call, &(struct weft_services_desc){.name = host->name,
                                                             .server = host->server,
                                                             .services = host->service_names,
                                                             .services_n = host->services_n,
                                                             .lane = lane ? &lane_stats : NULL,
                                                             .each = &lane_stats,
                                                             .counters = counters,
                                                             .counters_n = CLIENT_N + n});
}
