/* weft explain: how data gets from one host to another, and why not in other ways. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

enum { PROBE_MS = 45000 };

static const char usage[] =
    "Usage: weft explain [--at FROM] [--json FILE] HOST\n"
    "\n"
    "Tells how data gets from a host to another one: the other one's paths in their order, each "
    "tried\n"
    "from here, and the transports of both with the reason against each that is not used. Takes a\n"
    "moment.\n"
    "\n"
    "  HOST             name or address[:port] of the other host\n"
    "  --at FROM        address[:port] of the host that tries (default: WEFT_HOST)\n"
    "  --json FILE      write it there as JSON (-: stdout)\n";

static bool is_path(const char *line)
{
    return strncmp(line, "to ", 3) == 0;
}

static int ask(struct cli *cli, const char *to, ProtobufCMessage **reply_out)
{
    Weft__Host__InfoRequest request = WEFT__HOST__INFO_REQUEST__INIT;
    request.probe = true;
    request.to = weft__message_text(to);
    return cli_ask(cli, "ask the host for its transports",
                   &(struct weft_client_call){.url = cli->url,
                                              .code = WEFT_CALL_INFO,
                                              .request = &request.base,
                                              .reply_type = &weft__host__info_reply__descriptor,
                                              .timeout_ms = PROBE_MS},
                   reply_out);
}

static void show(const Weft__Host__InfoReply *from, const Weft__Host__InfoReply *to)
{
    printf("from       %s at %s, WEFT_DATA is %s\n", from->name, from->address, from->data);
    printf("to         %s at %s, WEFT_DATA is %s\n", to->name, to->address, to->data);
    printf("paths      of %s, in order:\n", to->name);
    for (size_t i = 0; i < from->n_transports; i++)
        if (is_path(from->transports[i]))
            printf("           %s\n", from->transports[i]);
    const Weft__Host__InfoReply *both[] = {from, to};
    for (unsigned k = 0; k < 2; k++) {
        printf("transports of %s:\n", both[k]->name);
        for (size_t i = 0; i < both[k]->n_transports; i++)
            if (!is_path(both[k]->transports[i]))
                printf("           %s\n", both[k]->transports[i]);
    }
}

static json_t *lines(const Weft__Host__InfoReply *info, bool paths)
{
    json_t *list = json_array();
    for (size_t i = 0; i < info->n_transports; i++)
        if (is_path(info->transports[i]) == paths)
            json_array_append_new(list, json_string(info->transports[i]));
    return list;
}

static json_t *explain_json(const Weft__Host__InfoReply *from, const Weft__Host__InfoReply *to)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "from", from->name, "to", to->name, "paths",
                     lines(from, true), "transports_from", lines(from, false), "transports_to",
                     lines(to, false));
}

struct named {
    const char *name;
    char url[WEFT_REGISTRY_URL_MAX];
};

static void find(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    struct named *named = ctx;
    for (size_t i = 0; i < n; i++)
        if (strcmp(hosts[i].name, named->name) == 0 && hosts[i].alive)
            snprintf(named->url, sizeof(named->url), "%s", hosts[i].control);
}

/* The other host, by its address or by its name. An address needs no registry, which may be what
 * is not reached. */
static int open_other(struct cli *from, const char *where, struct cli *to)
{
    struct named named = {.name = where};
    if (where[0] == '\0' || isdigit((unsigned char)where[0]) || strchr(where, ':') != NULL)
        return cli_open(to, where);
    int code = cli_hosts(from, find, &named);
    if (code == CLI_OK && named.url[0] == '\0') {
        fprintf(stderr, "weft explain: no host %s is alive; weft hosts lists those that are\n",
                where);
        code = CLI_REFUSED;
    }
    return code == CLI_OK ? cli_open(to, named.url) : code;
}

static int explain(const struct cli_command *command, const char *where)
{
    struct cli from, to = {.client = NULL};
    ProtobufCMessage *near = NULL, *far = NULL;
    int code = cli_open(&from, command->at);
    if (code == CLI_OK)
        code = open_other(&from, where, &to);
    if (code == CLI_OK)
        code = ask(&to, "", &far);
    if (code == CLI_OK)
        code = ask(&from, to.url, &near);
    if (code == CLI_OK && command->json != NULL)
        code = cli_write_json(command->json, explain_json((const Weft__Host__InfoReply *)near,
                                                          (const Weft__Host__InfoReply *)far));
    else if (code == CLI_OK)
        show((const Weft__Host__InfoReply *)near, (const Weft__Host__InfoReply *)far);
    weft__message_free(near);
    weft__message_free(far);
    cli_close(&from);
    cli_close(&to);
    return code;
}

int cmd_explain(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT, CLI_JSON, CLI_HELP, {0}};
    struct cli_command command = {.name = "explain", .usage = usage, .options = options};
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind + 1 != argc)
        return cli_usage("explain", "which host? weft explain HOST");
    return explain(&command, argv[optind]);
}
