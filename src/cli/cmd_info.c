/* weft info: one host, who can reach it and how, its counters; and all settings. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/cpu.h"
#include "cli/cli.h"
#include "cli/info_reach.h"
#include "cli/info_stats.h"
#include "host/calls.h"
#include "wire/message.h"

enum { PROBE_MS = 20000 };

static const char usage[] =
    "Usage: weft info [-c | -s] [--at HOST] [--json FILE]\n"
    "\n"
    "Shows a host: its address, slots, registry, counters, who can reach it, and which transports "
    "work\n"
    "there and why the others do not: it tries them, which takes a moment.\n"
    "\n"
    "  -c, --settings   instead list all settings, their values here and where they come from\n"
    "  -s, --stats      instead show what each service has counted: calls, refusals by reason, "
    "queues,\n"
    "                   times in the queue and in the handler\n"
    "  --at HOST        address[:port] of the host (default: WEFT_HOST); with -s also the url of "
    "a\n"
    "                   process of an app\n"
    "  --json FILE      write it there as JSON (-: stdout)\n";

static void show_lines(char *const *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("           %s\n", lines[i]);
}

static json_t *lines_json(char *const *lines, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(lines[i]));
    return array;
}

static void show(const Weft__Host__InfoReply *info)
{
    char cpu[WEFT_CPU_TEXT_MAX];
    printf("host       %s, weftd %s, process %" PRIu64 "\n", info->name, info->version, info->pid);
    printf("control    %s\n", info->control);
    info_reach_show(info->reach);
    printf("registry   %s, epoch %" PRIu64 "%s\n", info->registry, info->epoch,
           info->head ? ", kept here" : "");
    printf("processor  %s: %s\n", info->cpu ? weft__cpu_level(info->cpu) : "not compared",
           weft__cpu_text(info->cpu, 0, cpu));
    printf("slots      %u, %u in use\n", info->slots, info->used);
    printf("data       WEFT_DATA is %s; of the transports on %s:\n", info->data, info->address);
    show_lines(info->transports, info->n_transports);
    printf("trackers   of the pages that were written:\n");
    show_lines(info->trackers, info->n_trackers);
    printf("store      %s; reads and writes by:\n",
           *info->store ? info->store : "no files: WEFT_SNAPSHOT_DIR is not set");
    show_lines(info->stores, info->n_stores);
    printf("apps       %u at home here, %u processes\n", info->apps_home, info->processes);
    for (size_t i = 0; i < info->n_counters; i++)
        printf("counter    %-24s %s\n", info->counters[i]->name, info->counters[i]->value);
}

static json_t *info_json(const Weft__Host__InfoReply *info)
{
    char cpu[WEFT_CPU_TEXT_MAX];
    json_t *counters = json_object();
    for (size_t i = 0; i < info->n_counters; i++)
        json_object_set_new(counters, info->counters[i]->name,
                            json_integer(atoll(info->counters[i]->value)));
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:o, s:s, s:I, s:b, s:i, s:i, s:s, s:o, s:i, s:i, "
                     "s:o, s:o, s:o, s:s, s:s}",
                     "name", info->name, "address", info->address, "version", info->version, "pid",
                     (json_int_t)info->pid, "control", info->control, "reach",
                     info_reach_json(info->reach), "registry", info->registry, "epoch",
                     (json_int_t)info->epoch, "head", info->head, "slots", (int)info->slots, "used",
                     (int)info->used, "data", info->data, "transports",
                     lines_json(info->transports, info->n_transports), "apps_home",
                     (int)info->apps_home, "processes", (int)info->processes, "counters", counters,
                     "trackers", lines_json(info->trackers, info->n_trackers), "stores",
                     lines_json(info->stores, info->n_stores), "store", info->store, "cpu",
                     weft__cpu_text(info->cpu, 0, cpu));
}

struct wanted {
    bool settings, stats;
};

static void take_option(void *ctx, int option)
{
    struct wanted *wanted = ctx;
    if (option == 'c')
        wanted->settings = true;
    if (option == 's')
        wanted->stats = true;
}

static int show_host(struct cli *cli, const char *json)
{
    Weft__Host__InfoRequest request = WEFT__HOST__INFO_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    request.probe = true;
    struct weft_client_call call = {.url = cli->url,
                                    .code = WEFT_CALL_INFO,
                                    .request = &request.base,
                                    .reply_type = &weft__host__info_reply__descriptor,
                                    .timeout_ms = PROBE_MS};
    int code = cli_ask(cli, "show the host", &call, &message);
    if (code == CLI_OK && json != NULL)
        code = cli_write_json(json, info_json((const Weft__Host__InfoReply *)message));
    else if (code == CLI_OK)
        show((const Weft__Host__InfoReply *)message);
    weft__message_free(message);
    return code;
}

int cmd_info(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT,
                                            CLI_JSON,
                                            CLI_HELP,
                                            {"settings", no_argument, NULL, 'c'},
                                            {"stats", no_argument, NULL, 's'},
                                            {0}};
    struct wanted wanted = {.settings = false};
    struct cli_command command = {.name = "info",
                                  .usage = usage,
                                  .options = options,
                                  .letters = "chs",
                                  .own = take_option,
                                  .ctx = &wanted};
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage("info", "what is \"%s\"?", argv[optind]);
    if (wanted.settings) {
        weft__config_print(stdout);
        return CLI_OK;
    }
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = wanted.stats ? info_stats(&cli, command.json) : show_host(&cli, command.json);
    cli_close(&cli);
    return code;
}
