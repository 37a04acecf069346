/* Events of all hosts, merged.
 *
 * Each host has its own ring and its own clocks. With every answer comes what its monotonic clock
 * says; that moment lies between our question and its answer, so half of the time between them is
 * the most that the estimate can be wrong by. The answer that was fastest is the one that counts.
 * Merging by the clocks of the day was rejected: they jump, and differ by more than a move takes.
 */
#include "cli/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "host/calls.h"
#include "host/events_wire.h"
#include "wire/message.h"

enum { ASK_MS = 3000 };

static void add_hosts(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    struct cli_events *events = ctx;
    for (size_t i = 0; i < n; i++) {
        bool known = !hosts[i].alive;
        for (size_t k = 0; k < events->sources_n && !known; k++)
            known = strcmp(events->sources[k].url, hosts[i].control) == 0;
        if (known)
            continue;
        events->sources =
            weft__must_grow(events->sources, events->sources_n + 1, sizeof(*events->sources));
        struct cli_event_source *source = &events->sources[events->sources_n++];
        *source = (struct cli_event_source){.clock = {.within_ns = UINT64_MAX}};
        snprintf(source->url, sizeof(source->url), "%s", hosts[i].control);
        snprintf(source->host, sizeof(source->host), "%s", hosts[i].name);
    }
}

int cli_events_hosts(struct cli *cli, struct cli_events *events)
{
    return cli_hosts(cli, add_hosts, events);
}

static void take(struct cli_events *events, size_t source, const Weft__Events__EventsReply *reply)
{
    events->events =
        weft__must_grow(events->events, events->n + reply->n_events, sizeof(*events->events));
    for (size_t i = 0; i < reply->n_events; i++) {
        struct cli_event *event = &events->events[events->n];
        weft__events_unpack(reply->events[i], &event->event);
        event->source = (uint32_t)source;
        events->n += event->event.kind != WEFT_EVENT_NOTHING; /* of a newer version, maybe */
    }
}

/* Asks for the next events of a host; *more_out: there are more. */
static int ask(struct cli *cli, struct cli_events *events, size_t i, bool messages, bool *more_out)
{
    struct cli_event_source *source = &events->sources[i];
    Weft__Events__EventsRequest request = WEFT__EVENTS__EVENTS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    request.app = events->app;
    request.from = source->next[messages];
    request.messages = messages;
    struct weft_client_call call = {.url = source->url,
                                    .code = WEFT_CALL_EVENTS,
                                    .request = &request.base,
                                    .reply_type = &weft__events__events_reply__descriptor,
                                    .timeout_ms = ASK_MS,
                                    .flags = WEFT_CLIENT_IDEMPOTENT};
    uint64_t asked = weft__now_ns();
    int err = weft__client_wait(cli->client, &call, &message);
    *more_out = false;
    if (err != WEFT_OK)
        return err;
    const Weft__Events__EventsReply *reply = (const Weft__Events__EventsReply *)message;
    weft__clock_compare(&source->clock, reply->mono_ns, asked, weft__now_ns());
    bool anew = source->incarnation != 0 && reply->next < source->next[messages];
    source->incarnation = reply->incarnation;
    source->next[messages] = anew ? 0 : reply->next;
    source->lost += anew ? 0 : reply->lost;
    *more_out = anew || reply->more;
    if (!anew)
        take(events, i, reply);
    weft__message_free(message);
    return WEFT_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct cli_event *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->event.sequence < y->event.sequence ? -1 : x->event.sequence > y->event.sequence;
}

static void put_in_order(struct cli_events *events)
{
    for (size_t i = 0; i < events->n; i++) {
        struct cli_event *event = &events->events[i];
        const struct cli_event_source *source = &events->sources[event->source];
        event->host = source->host;
        event->at_ns = event->event.mono_ns - (uint64_t)source->clock.ns;
    }
    if (events->n > 0)
        qsort(events->events, events->n, sizeof(*events->events), by_time);
}

int cli_events_gather(struct cli *cli, struct cli_events *events, bool messages)
{
    size_t answered = 0;
    for (size_t i = 0; i < events->sources_n; i++) {
        struct cli_event_source *source = &events->sources[i];
        bool more = true;
        int err = WEFT_OK;
        while (more && err == WEFT_OK)
            err = ask(cli, events, i, messages, &more);
        answered += err == WEFT_OK;
        if (err != WEFT_OK && !source->silent)
            fprintf(stderr, "weft: host %s at %s: %s\n", source->host, source->url,
                    weft_fail_text(err));
        source->silent = err != WEFT_OK;
    }
    put_in_order(events);
    return answered > 0 ? CLI_OK : CLI_NETWORK;
}

void cli_events_fini(struct cli_events *events)
{
    free(events->sources);
    free(events->events);
}
