/* weft info: one host, who can reach it and how, its counters; and all settings. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

static const char usage[] =
    "Usage: weft info [-c] [--at HOST]\n"
    "\n"
    "Shows a host: its address, slots, registry, counters, and who can reach it.\n"
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
    printf("data       %s\n", info->data);
    printf("apps       %u at home here, %u processes\n", info->apps_home, info->processes);
    for (size_t i = 0; i < info->n_counters; i++)
        printf("counter    %-24s %s\n", info->counters[i]->name, info->counters[i]->value);
}

int cmd_info(int argc, char **argv)
{
    static const struct option options[] = {{"at", required_argument, NULL, 'a'},
                                            {"settings", no_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *at = NULL;
    struct cli cli;
    ProtobufCMessage *message = NULL;
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "ch", options, NULL)) != -1) {
        if (option == 'a') {
            at = optarg;
        } else if (option == 'c') {
            weft__config_print(stdout);
            return CLI_OK;
        } else if (option == 'h') {
            return fputs(usage, stdout) < 0 ? CLI_APP : CLI_OK;
        } else {
            return cli_usage("info", "see above");
        }
    }
    if (optind < argc)
        return cli_usage("info", "what is \"%s\"?", argv[optind]);
    int code = cli_open(&cli, at);
    struct weft_client_call call = {.url = cli.url,
                                    .code = WEFT_CALL_INFO,
                                    .reply_type = &weft__host__info_reply__descriptor,
                                    .timeout_ms = 3000};
    if (code == CLI_OK)
        code = cli_ask(&cli, "show the host", &call, &message);
    if (code == CLI_OK)
        show((const Weft__Host__InfoReply *)message);
    weft__message_free(message);
    cli_close(&cli);
    return code;
}
