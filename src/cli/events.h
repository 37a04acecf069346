/* What the hosts of a cluster tell of what has happened, brought into one order of time. */
#ifndef WEFT_CLI_EVENTS_H
#define WEFT_CLI_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/events.h"
#include "cli/cli.h"

struct cli_event {
    struct weft_event event;
    uint32_t source;  /* index */
    uint64_t at_ns;   /* on our monotonic clock */
    const char *host; /* the source's */
};

/* One host; its clock is compared with ours at every answer. */
struct cli_event_source {
    char url[WEFT_REGISTRY_URL_MAX];
    char host[WEFT_REGISTRY_NAME_MAX];
    uint64_t incarnation;
    uint64_t next[2]; /* of events, of traced messages */
    uint64_t lost;    /* events that were not kept any more */
    struct weft_clock_offset clock;
    bool silent; /* it did not answer last time */
};

struct cli_events {
    uint64_t app; /* 0: all */
    struct cli_event_source *sources;
    size_t sources_n;
    struct cli_event *events; /* in order of time */
    size_t n;
};

/* Finds the live hosts. A host that is new in a later call is added. Returns an exit code. */
int cli_events_hosts(struct cli *cli, struct cli_events *events);
/* Fetches what is new on all of them, and adds it to the list; messages: the traced messages. A
 * host that does not answer is told about on stderr, once. Returns an exit code: CLI_OK where at
 * least one has answered. */
int cli_events_gather(struct cli *cli, struct cli_events *events, bool messages);
void cli_events_fini(struct cli_events *events);

#endif
