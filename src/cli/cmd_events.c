/* weft events: what has happened on all hosts, in order of time. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event_json.h"
#include "cli/app_home.h"
#include "cli/events.h"

enum { FOLLOW_US = 200000, HOSTS_EVERY = 10 };

static const char usage[] =
    "Usage: weft events [OPTION]...\n"
    "\n"
    "Prints what has happened on all hosts, in order of time: apps, plans, moves and their "
    "phases,\n"
    "leases, hosts. Each host keeps its newest 16384 events.\n"
    "\n"
    "  --app APP     of this app only\n"
    "  --since S     of the last S seconds only\n"
    "  --follow      go on with what happens from now on, until interrupted\n"
    "  --messages    instead the packets around moves, of apps that are run with --trace\n"
    "  --json        one JSON object per line; include/weft/event.h describes the fields\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n";

struct wanted {
    bool follow, json, messages;
    const char *app, *since;
};

static void take_option(void *ctx, int option)
{
    struct wanted *wanted = ctx;
    if (option == 'f')
        wanted->follow = true;
    else if (option == 'm')
        wanted->messages = true;
    else if (option == 'J')
        wanted->json = true;
    else if (option == 'A')
        wanted->app = optarg;
    else if (option == 's')
        wanted->since = optarg;
}

static void print_line(const struct cli_event *event)
{
    struct weft_event_field fields[WEFT_EVENT_FIELDS_MAX];
    char clock[16];
    time_t seconds = (time_t)(event->event.time_ns / WEFT_NS_PER_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    unsigned us = (unsigned)(event->event.time_ns % WEFT_NS_PER_S / WEFT_NS_PER_US);
    printf("%s.%06u  %-10s", clock, us, event->host);
    if (event->event.app != 0)
        printf("  app %-12" PRIx64, event->event.app);
    if (event->event.rank != WEFT_EVENT_NO_RANK)
        printf("  rank %-3" PRId32, event->event.rank);
    printf("  %-14s", weft__event_name(event->event.kind));
    size_t n = weft__event_fields(&event->event, fields);
    for (size_t i = 0; i < n; i++) {
        int len = (int)fields[i].name_len;
        bool time = len > 3 && strncmp(fields[i].name + len - 3, "_ns", 3) == 0;
        if (fields[i].text != NULL && fields[i].text[0] != '\0')
            printf(" %.*s=\"%s\"", len, fields[i].name, fields[i].text);
        else if (fields[i].text == NULL && time)
            printf(" %.*s=%.3fms", len - 3, fields[i].name, (double)fields[i].number / 1e6);
        else if (fields[i].text == NULL)
            printf(" %.*s=%" PRId64, len, fields[i].name, fields[i].number);
    }
    printf("\n");
}

static void print(const struct cli_events *events, const struct wanted *wanted, uint64_t since_ns)
{
    char line[WEFT_EVENT_LINE_MAX];
    for (size_t i = 0; i < events->n; i++) {
        const struct cli_event *event = &events->events[i];
        if (event->at_ns < since_ns)
            continue;
        if (wanted->json)
            (void)fwrite(line, 1, weft__event_json(&event->event, event->host, line), stdout);
        else
            print_line(event);
    }
    (void)fflush(stdout);
}

static void tell_lost(struct cli_events *events)
{
    for (size_t i = 0; i < events->sources_n; i++) {
        if (events->sources[i].lost > 0)
            fprintf(stderr, "weft: host %s did not keep %" PRIu64 " events\n",
                    events->sources[i].host, events->sources[i].lost);
        events->sources[i].lost = 0;
    }
}

static int show(struct cli *cli, struct cli_events *events, const struct wanted *wanted,
                uint64_t since_ns)
{
    int code = cli_events_hosts(cli, events);
    if (code == CLI_OK)
        code = cli_events_gather(cli, events, wanted->messages);
    for (unsigned round = 1; code == CLI_OK; round++) {
        print(events, wanted, since_ns);
        tell_lost(events);
        if (!wanted->follow || ferror(stdout))
            break;
        (void)usleep(FOLLOW_US);
        if (round % HOSTS_EVERY == 0)
            (void)cli_events_hosts(cli, events);
        events->n = 0;
        (void)cli_events_gather(cli, events, wanted->messages); /* silent hosts may come back */
    }
    return code;
}

/* The time from which on events are wanted; false: no number. */
static bool read_since(const char *text, uint64_t *since_ns_out)
{
    char *end;
    uint64_t now = weft__now_ns();
    double seconds = text != NULL ? strtod(text, &end) : 0;
    *since_ns_out = 0;
    if (text == NULL)
        return true;
    if (end == text || *end != '\0' || !(seconds >= 0) || seconds > 1e9)
        return false;
    uint64_t ns = (uint64_t)(seconds * 1e9);
    *since_ns_out = now > ns ? now - ns : 0;
    return true;
}

int cmd_events(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT,
                                            CLI_HELP,
                                            {"app", required_argument, NULL, 'A'},
                                            {"since", required_argument, NULL, 's'},
                                            {"follow", no_argument, NULL, 'f'},
                                            {"json", no_argument, NULL, 'J'},
                                            {"messages", no_argument, NULL, 'm'},
                                            {0}};
    struct wanted wanted = {.follow = false};
    struct cli_command command = {
        .name = "events", .usage = usage, .options = options, .own = take_option, .ctx = &wanted};
    struct cli_events events = {0};
    uint64_t since_ns;
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage("events", "what is \"%s\"?", argv[optind]);
    if (wanted.app != NULL && !cli_parse_app(wanted.app, &events.app))
        return cli_usage("events", "\"%s\" is no id of an app", wanted.app);
    if (!read_since(wanted.since, &since_ns))
        return cli_usage("events", "\"%s\" is no number of seconds", wanted.since);
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = show(&cli, &events, &wanted, since_ns);
    cli_events_fini(&events);
    cli_close(&cli);
    return code;
}
