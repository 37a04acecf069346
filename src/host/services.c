/* Counters as they are, times as quantiles of the control server's histograms. */
#include "host/services.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "control/server.h"
#include "link/lane.h"
#include "link/lanes.h"
#include "link/nics.h"
#include "weft/service.h"
#include "wire/message.h"
#include "wire/stats.pb-c.h"

static void copy_times(const struct weft_service_times *from, Weft__Stats__Times *to)
{
    weft__stats__times__init(to);
    to->n = from->n;
    to->p50 = from->p50_us;
    to->p99 = from->p99_us;
    to->p999 = from->p999_us;
    to->max = from->max_us;
}

/* A message and its parts. */
struct service {
    Weft__Stats__Service message;
    Weft__Stats__Times queued, handled;
};

static void copy_service(const struct weft_service_stats *from, struct service *to)
{
    Weft__Stats__Service *message = &to->message;
    message->accepted = from->accepted;
    message->pushes = from->pushes;
    message->answered = from->answered;
    message->failed = from->failed;
    message->deferred = from->deferred;
    message->cancelled = from->cancelled;
    message->repeated_calls = from->repeated;
    message->dropped = from->dropped;
    message->refused_malformed = from->refused_malformed;
    message->refused_unknown = from->refused_unknown;
    message->refused_full = from->refused_full;
    message->refused_late = from->refused_late;
    message->refused_client_full = from->refused_client_full;
    message->queue_depth = from->queue_depth;
    message->open = from->open;
    message->workers = from->workers;
    copy_times(&from->queued, &to->queued);
    copy_times(&from->handled, &to->handled);
    message->queued = &to->queued;
    message->handled = &to->handled;
}

static void fill_service(const struct weft_services_desc *desc, size_t i, struct service *to)
{
    struct weft_service_stats stats;
    weft__stats__service__init(&to->message);
    weft__server_stats(desc->server, i, &stats);
    copy_service(&stats, to);
    to->message.name = weft__message_text(desc->services[i]);
    to->message.sync_port = weft__server_sync_port(desc->server, i);
    to->message.async_port = weft__server_async_port(desc->server, i);
}

struct lane {
    Weft__Stats__Lane message;
    Weft__Stats__OneLane each[WEFT_LANES_MAX], *list[WEFT_LANES_MAX];
    struct weft__nic nics[WEFT_LANES_MAX];
};

static void fill_one(const struct weft_lane_stats *stats, struct weft__nic *nic,
                     Weft__Stats__OneLane *message)
{
    weft__stats__one_lane__init(message);
    weft__nic_find(stats->address, nic);
    message->transport = weft__message_text(stats->transport);
    message->address = weft__message_text(stats->address);
    message->interface = nic->name;
    message->numa_node = nic->node;
    message->bytes_sent = stats->bytes_sent;
    message->bytes_received = stats->bytes_received;
    message->bytes_got = stats->rma_bytes_got;
    message->regions = stats->regions;
    message->domain = stats->usage.domain;
    message->registrations = stats->usage.registrations;
    message->registered_bytes = stats->usage.registered_bytes;
}

static void fill_lane(const struct weft_services_desc *desc, struct lane *lane)
{
    const struct weft_lane_stats *stats = desc->lane;
    Weft__Stats__Lane *message = &lane->message;
    weft__stats__lane__init(message);
    if (stats == NULL)
        return;
    message->each = lane->list;
    for (; message->n_each < stats->lanes && message->n_each < WEFT_LANES_MAX; message->n_each++) {
        size_t i = message->n_each;
        fill_one(&desc->each[i], &lane->nics[i], &lane->each[i]);
        lane->list[i] = &lane->each[i];
    }
    message->transport = weft__message_text(stats->transport);
    message->lanes = stats->lanes;
    message->connections = stats->usage.connections;
    message->memory_bytes = stats->usage.memory_bytes;
    message->registrations = stats->usage.registrations;
    message->registered_bytes = stats->usage.registered_bytes;
    message->registration_hits = stats->usage.registration_hits;
    message->registration_misses = stats->usage.registration_misses;
    message->peers = stats->peers;
    message->bytes_got = stats->rma_bytes_got;
    message->gets_failed = stats->gets_failed;
}

void weft__services_answer(struct weft_call *call, const struct weft_services_desc *desc)
{
    Weft__Stats__ServicesReply reply = WEFT__STATS__SERVICES_REPLY__INIT;
    struct lane lane;
    struct service *services = weft__must_alloc(desc->services_n, sizeof(*services));
    Weft__Stats__Counter *counters = weft__must_alloc(desc->counters_n, sizeof(*counters));
    reply.services = weft__must_alloc(desc->services_n, sizeof(*reply.services));
    reply.counters = weft__must_alloc(desc->counters_n, sizeof(*reply.counters));
    for (size_t i = 0; i < desc->services_n; i++) {
        fill_service(desc, i, &services[i]);
        reply.services[i] = &services[i].message;
    }
    for (size_t i = 0; i < desc->counters_n; i++) {
        weft__stats__counter__init(&counters[i]);
        counters[i].name = weft__message_text(desc->counters[i].name);
        counters[i].value = desc->counters[i].value;
        reply.counters[i] = &counters[i];
    }
    fill_lane(desc, &lane);
    reply.name = weft__message_text(desc->name);
    reply.pid = (uint64_t)getpid();
    reply.n_services = desc->services_n;
    reply.n_counters = desc->counters_n;
    reply.lane = &lane.message;
    weft__call_reply(call, &reply.base);
    free(services);
    free(counters);
    free(reply.services);
    free(reply.counters);
}
