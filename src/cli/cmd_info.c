/* weft info: one host, who can reach it and how, its counters; and all settings. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

enum { PROBE_MS = 20000 };

static const char usage[] =
    "Usage: weft info [-c] [--at HOST]\n"
    "\n"
    "Shows a host: its address, slots, registry, counters, who can reach it, and which transports "
    "work\n"
    "there and why the others do not: it tries them, which takes a moment.\n"
    "\n"
    "  -c, --settings   instead list all settings, their values here and where they come from\n"
    "  --at HOST        address[:port] of the host (default: WEFT_HOST)\n";

static void show(const Weft__Host__InfoReply *info)
{
    bool loopback = strncmp(info->address, "127.", 4) == 0;
    printf("host       %s, weftd %s, process %" PRIu64 "\n", info->name, info->version, info->pid);
    printf("control    %s\n", info->control);
    printf("reach      %s\n", loopback ? "every user of this machine (loopback, no authentication)"
                                       : "everybody who reaches this address (no authentication)");
    printf("registry   %s, epoch %" PRIu64 "%s\n", info->registry, info->epoch,
           info->head ? ", kept here" : "");
    printf("slots      %u, %u in use\n", info->slots, info->used);
    printf("data       WEFT_DATA is %s; of the transports on %s:\n", info->data, info->address);
    for (size_t i = 0; i < info->n_transports; i++)
        printf("           %s\n", info->transports[i]);
    printf("apps       %u at home here, %u processes\n", info->apps_home, info->processes);
    for (size_t i = 0; i < info->n_counters; i++)
        printf("counter    %-24s %s\n", info->counters[i]->name, info->counters[i]->value);
}

static void settings(void *wanted, int option)
{
    (void)option;
    *(bool *)wanted = true;
}

int cmd_info(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT, CLI_HELP, {"settings", no_argument, NULL, 'c'}, {0}};
    bool settings_wanted = false;
    struct cli_command command = {.name = "info",
                                  .usage = usage,
                                  .options = options,
                                  .letters = "ch",
                                  .own = settings,
                                  .ctx = &settings_wanted};
    struct cli cli;
    ProtobufCMessage *message = NULL;
    Weft__Host__InfoRequest request = WEFT__HOST__INFO_REQUEST__INIT;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage("info", "what is \"%s\"?", argv[optind]);
    if (settings_wanted) {
        weft__config_print(stdout);
        return CLI_OK;
    }
    code = cli_open(&cli, command.at);
    request.probe = true;
    struct weft_client_call call = {.url = cli.url,
                                    .code = WEFT_CALL_INFO,
                                    .request = &request.base,
                                    .reply_type = &weft__host__info_reply__descriptor,
                                    .timeout_ms = PROBE_MS};
    if (code == CLI_OK)
        code = cli_ask(&cli, "show the host", &call, &message);
    if (code == CLI_OK)
        show((const Weft__Host__InfoReply *)message);
    weft__message_free(message);
    cli_close(&cli);
    return code;
}
