/* One line per service; what was refused, dropped or repeated follows only where there is any, each
 * with its reason. */
#include "cli/info_stats.h"

#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"
#include "wire/stats.pb-c.h"

enum { ASK_MS = 3000 };

static void show_exception(const char *service, uint64_t n, const char *what)
{
    if (n > 0)
        printf("%-9s  %" PRIu64 " %s\n", service, n, what);
}

static void show_exceptions(const Weft__Stats__Service *service)
{
    show_exception(service->name, service->refused_malformed, "refused: malformed");
    show_exception(service->name, service->refused_unknown, "refused: no such call here");
    show_exception(service->name, service->refused_full, "refused: the queue was full");
    show_exception(service->name, service->refused_client_full,
                   "refused: too many calls of one client");
    show_exception(service->name, service->refused_late, "refused: their deadline had passed");
    show_exception(service->name, service->repeated_calls, "came again and were not run twice");
    show_exception(service->name, service->dropped, "answers that nobody took in time");
    show_exception(service->name, service->cancelled, "cancelled by their client");
}

static void show_service(const Weft__Stats__Service *service)
{
    char ports[32];
    if (service->async_port != 0)
        snprintf(ports, sizeof(ports), "%u %u", service->sync_port, service->async_port);
    else
        snprintf(ports, sizeof(ports), "%u -", service->sync_port);
    printf("%-9s  %-11s %8" PRIu64 " %7" PRIu64 " %8" PRIu64 " %7" PRIu64 " %8" PRIu64 " %5" PRIu64
           " %5" PRIu64 " %3u\n",
           service->name, ports, service->accepted, service->pushes, service->answered,
           service->failed, service->deferred, service->open, service->queue_depth,
           service->workers);
}

static void show_times(const char *service, const char *what, const Weft__Stats__Times *times)
{
    if (times != NULL && times->n > 0)
        printf("%-9s  %-8s %10" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n",
               service, what, times->n, times->p50, times->p99, times->p999, times->max);
}

/* Where one lane lies and what it carries. */
static void show_one(size_t i, const Weft__Stats__OneLane *one)
{
    printf("lane %-5zu %s on %s", i, one->transport, one->address);
    if (one->interface[0] != '\0')
        printf(" (%s)", one->interface);
    if (one->numa_node >= 0)
        printf(", NUMA node %d", (int)one->numa_node);
    else
        printf(", no NUMA node");
    printf("; bytes sent %" PRIu64 ", received %" PRIu64 ", got %" PRIu64 "; %" PRIu64 " regions\n",
           one->bytes_sent, one->bytes_received, one->bytes_got, one->regions);
    if (one->domain > 0)
        printf("           domain %" PRIu64 " with %" PRIu64 " registrations of %.1f MiB\n",
               one->domain, one->registrations, (double)one->registered_bytes / (1 << 20));
}

/* What a lane takes, in all and for one peer. */
static void show_lane(const Weft__Stats__Lane *lane)
{
    if (lane == NULL || lane->transport[0] == '\0') {
        printf("\nlane       not opened\n");
        return;
    }
    double peers = lane->peers > 0 ? (double)lane->peers : 1;
    printf("\nlane       %s, %u of them, %" PRIu64 " peers, %" PRIu64 " bytes got, %" PRIu64
           " gets failed\n",
           lane->transport, lane->lanes, lane->peers, lane->bytes_got, lane->gets_failed);
    printf("           %" PRIu64 " connections made, %.2f per peer; at most %.1f MiB of buffers, "
           "%.1f KiB per peer\n",
           lane->connections, (double)lane->connections / peers,
           (double)lane->memory_bytes / (1 << 20), (double)lane->memory_bytes / 1024 / peers);
    if (lane->registration_hits + lane->registration_misses > 0)
        printf("           %" PRIu64 " registrations of %.1f MiB with a card, %" PRIu64
               " made, %" PRIu64 " used again\n",
               lane->registrations, (double)lane->registered_bytes / (1 << 20),
               lane->registration_misses, lane->registration_hits);
    for (size_t i = 0; i < lane->n_each; i++)
        show_one(i, lane->each[i]);
}

static void show(const Weft__Stats__ServicesReply *reply)
{
    printf("%s, process %" PRIu64 "\n\n", reply->name, reply->pid);
    printf("%-9s  %-11s %8s %7s %8s %7s %8s %5s %5s %3s\n", "service", "ports", "accepted",
           "pushes", "answered", "failed", "deferred", "open", "queue", "wrk");
    for (size_t i = 0; i < reply->n_services; i++)
        show_service(reply->services[i]);
    for (size_t i = 0; i < reply->n_services; i++)
        show_exceptions(reply->services[i]);
    printf("\n%-9s  %-8s %10s %9s %9s %9s %9s\n", "service", "time", "n", "p50 us", "p99", "p99.9",
           "max");
    for (size_t i = 0; i < reply->n_services; i++) {
        show_times(reply->services[i]->name, "queued", reply->services[i]->queued);
        show_times(reply->services[i]->name, "handled", reply->services[i]->handled);
    }
    show_lane(reply->lane);
    for (size_t i = 0; i < reply->n_counters; i++)
        printf("counter    %-24s %" PRIu64 "\n", reply->counters[i]->name,
               reply->counters[i]->value);
}

/* ---- JSON ---- */

static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *times_json(const Weft__Stats__Times *times)
{
    json_t *object = json_object();
    put(object, "n", times != NULL ? times->n : 0);
    put(object, "p50", times != NULL ? times->p50 : 0);
    put(object, "p99", times != NULL ? times->p99 : 0);
    put(object, "p99.9", times != NULL ? times->p999 : 0);
    put(object, "max", times != NULL ? times->max : 0);
    return object;
}

static json_t *refused_json(const Weft__Stats__Service *service)
{
    json_t *object = json_object();
    put(object, "malformed", service->refused_malformed);
    put(object, "unknown", service->refused_unknown);
    put(object, "full", service->refused_full);
    put(object, "client_full", service->refused_client_full);
    put(object, "late", service->refused_late);
    return object;
}

static json_t *service_json(const Weft__Stats__Service *service)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(service->name));
    put(object, "sync_port", service->sync_port);
    put(object, "async_port", service->async_port);
    put(object, "accepted", service->accepted);
    put(object, "pushes", service->pushes);
    put(object, "answered", service->answered);
    put(object, "failed", service->failed);
    put(object, "deferred", service->deferred);
    put(object, "cancelled", service->cancelled);
    put(object, "repeated", service->repeated_calls);
    put(object, "dropped", service->dropped);
    json_object_set_new(object, "refused", refused_json(service));
    put(object, "queue_depth", service->queue_depth);
    put(object, "open", service->open);
    put(object, "workers", service->workers);
    json_object_set_new(object, "queued_us", times_json(service->queued));
    json_object_set_new(object, "handled_us", times_json(service->handled));
    return object;
}

static json_t *one_lane_json(const Weft__Stats__OneLane *one)
{
    json_t *object = json_object();
    json_object_set_new(object, "transport", json_string(one->transport));
    json_object_set_new(object, "address", json_string(one->address));
    json_object_set_new(object, "interface", json_string(one->interface));
    json_object_set_new(object, "numa_node", json_integer(one->numa_node));
    put(object, "bytes_sent", one->bytes_sent);
    put(object, "bytes_received", one->bytes_received);
    put(object, "bytes_got", one->bytes_got);
    put(object, "regions", one->regions);
    put(object, "domain", one->domain);
    put(object, "registrations", one->registrations);
    put(object, "registered_bytes", one->registered_bytes);
    return object;
}

static json_t *lane_json(const Weft__Stats__Lane *lane)
{
    json_t *object;
    if (lane == NULL || lane->transport[0] == '\0')
        return json_null();
    object = json_object();
    json_object_set_new(object, "transport", json_string(lane->transport));
    put(object, "peers", lane->peers);
    put(object, "bytes_got", lane->bytes_got);
    put(object, "gets_failed", lane->gets_failed);
    put(object, "lanes", lane->lanes);
    put(object, "connections", lane->connections);
    put(object, "memory_bytes", lane->memory_bytes);
    put(object, "registrations", lane->registrations);
    put(object, "registered_bytes", lane->registered_bytes);
    put(object, "registration_hits", lane->registration_hits);
    put(object, "registration_misses", lane->registration_misses);
    json_t *each = json_array();
    for (size_t i = 0; i < lane->n_each; i++)
        json_array_append_new(each, one_lane_json(lane->each[i]));
    json_object_set_new(object, "each", each);
    return object;
}

static json_t *reply_json(const Weft__Stats__ServicesReply *reply)
{
    json_t *object = json_object(), *services = json_array(), *counters = json_object();
    json_object_set_new(object, "name", json_string(reply->name));
    put(object, "pid", reply->pid);
    for (size_t i = 0; i < reply->n_services; i++)
        json_array_append_new(services, service_json(reply->services[i]));
    json_object_set_new(object, "services", services);
    json_object_set_new(object, "lane", lane_json(reply->lane));
    for (size_t i = 0; i < reply->n_counters; i++)
        put(counters, reply->counters[i]->name, reply->counters[i]->value);
    json_object_set_new(object, "counters", counters);
    return object;
}

int info_stats(struct cli *cli, const char *json)
{
    ProtobufCMessage *message = NULL;
    struct weft_client_call call = {.url = cli->url,
                                    .code = WEFT_CALL_SERVICES,
                                    .reply_type = &weft__stats__services_reply__descriptor,
                                    .timeout_ms = ASK_MS,
                                    .flags = WEFT_CLIENT_IDEMPOTENT};
    int code = cli_ask(cli, "show what the services have counted", &call, &message);
    if (code != CLI_OK)
        return code;
    const Weft__Stats__ServicesReply *reply = (const Weft__Stats__ServicesReply *)message;
    if (json != NULL)
        code = cli_write_json(json, reply_json(reply));
    else
        show(reply);
    weft__message_free(message);
    return code;
}
