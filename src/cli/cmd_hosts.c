/* weft hosts: the cluster as the registry knows it. */
#include <stdio.h>

#include "base/cpu.h"
#include "cli/cli.h"

static const char usage[] =
    "Usage: weft hosts [--at HOST] [--json FILE]\n"
    "\n"
    "Lists the hosts of the cluster, their slots and how many are in use, and the level\n"
    "of the x86-64 ABI that their processors have (weft info, --json: every feature).\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "  --json FILE   write JSON there (-: stdout) instead of a table\n";

static const char *state(const struct weft_registry_host *host)
{
    if (!host->alive)
        return "dead";
    return host->leaving ? "leaving" : "alive";
}

static void table(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    (void)ctx;
    printf("%-16s %-16s %6s %6s %8s  %-10s %s\n", "HOST", "ADDRESS", "SLOTS", "USED", "PID",
           "PROCESSOR", "STATE");
    for (size_t i = 0; i < n; i++)
        printf("%-16s %-16s %6u %6u %8llu  %-10s %s\n", hosts[i].name, hosts[i].address,
               hosts[i].slots, hosts[i].used, (unsigned long long)hosts[i].pid,
               hosts[i].cpu ? weft__cpu_level(hosts[i].cpu) : "-", state(&hosts[i]));
}

static void collect(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_array_append_new(ctx, cli_host_json(&hosts[i]));
}

int cmd_hosts(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT, CLI_JSON, CLI_HELP, {0}};
    struct cli_command command = {.name = "hosts", .usage = usage, .options = options};
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage("hosts", "what is \"%s\"?", argv[optind]);
    code = cli_open(&cli, command.at);
    json_t *list = json_array();
    if (code == CLI_OK)
        code = command.json != NULL ? cli_hosts(&cli, collect, list) : cli_hosts(&cli, table, NULL);
    if (code == CLI_OK && command.json != NULL)
        code = cli_write_json(command.json, json_incref(list));
    json_decref(list);
    cli_close(&cli);
    return code;
}
