/* weft apps and weft kill: what runs, where, and what has moved. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "cli/app_home.h"
#include "cli/app_traffic.h"
#include "host/calls.h"
#include "wire/message.h"

static const char usage[] =
    "Usage: weft apps [--at HOST] [--json FILE] [--traffic] [APP]\n"
    "\n"
    "Lists the apps of all hosts with their ranks and moves; with APP (its id) that one only.\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "  --json FILE   write JSON there (-: stdout) instead of a table; with what the processes "
    "count\n"
    "  --traffic     of APP instead: the pairs of ranks that exchange most\n";

/* The apps that were found, and where. */
struct found {
    struct {
        uint64_t app;
        char home[WEFT_REGISTRY_URL_MAX];
    } * items;
    size_t n;
};

static void print_app(const Weft__Host__AppInfo *app)
{
    printf("app %" PRIx64 "  %s  %s, home %s, %u ranks, %.1f s%s%s\n", app->app, app->program,
           app->state, app->home, app->size, app->age_ms / 1e3, app->reason[0] != '\0' ? ": " : "",
           app->reason);
    for (size_t i = 0; i < app->n_ranks; i++)
        printf("  rank %-4d %-10s host %-12s pid %-8" PRIu64 " incarnation %u\n",
               app->ranks[i]->rank, app->ranks[i]->state, app->ranks[i]->host, app->ranks[i]->pid,
               app->ranks[i]->incarnation);
    for (size_t i = 0; i < app->n_moves; i++) {
        const Weft__Host__MoveInfo *move = app->moves[i];
        printf("  move rank %d %s -> %s %s (%s) at %.0f ms, pause %.1f ms, %" PRIu64
               " bytes by %s%s%s\n",
               move->rank, move->from, move->to, move->outcome, move->cause, move->committed_ms,
               move->pause_ms, move->bytes, move->transport[0] != '\0' ? move->transport : "-",
               move->reason[0] != '\0' ? ": " : "", move->reason);
    }
}

static bool note(void *ctx, const char *home, const Weft__Host__AppInfo *app)
{
    struct found *found = ctx;
    found->items = weft__must_grow(found->items, found->n + 1, sizeof(*found->items));
    found->items[found->n].app = app->app;
    snprintf(found->items[found->n].home, sizeof(found->items[found->n].home), "%s", home);
    found->n++;
    return true;
}

/* Prints an app, or appends it to list. */
static int show(struct cli *cli, const struct found *found, size_t i, json_t *list)
{
    ProtobufCMessage *message = NULL;
    int code = cli_app(cli, found->items[i].home, found->items[i].app, list != NULL, &message);
    if (code != CLI_OK)
        return code;
    const Weft__Host__AppInfo *app = ((const Weft__Host__AppsReply *)message)->apps[0];
    if (list != NULL)
        json_array_append_new(list, cli_app_json(app));
    else
        print_app(app);
    weft__message_free(message);
    return CLI_OK;
}

static int list_apps(struct cli *cli, uint64_t wanted, const char *json)
{
    struct found found = {0};
    json_t *list = json != NULL ? json_array() : NULL;
    int code = cli_each_app(cli, &(struct cli_search){.app = wanted, .each = note, .ctx = &found});
    if (code == CLI_OK && wanted != 0 && found.n == 0) {
        fprintf(stderr, "weft apps: no host knows app %" PRIx64 "\n", wanted);
        code = CLI_USAGE;
    }
    for (size_t i = 0; i < found.n && code == CLI_OK; i++)
        code = show(cli, &found, i, list);
    if (code == CLI_OK && json != NULL)
        code = cli_write_json(json, json_incref(list));
    json_decref(list);
    free(found.items);
    return code;
}

static void take_option(void *ctx, int option)
{
    bool *traffic = ctx;
    *traffic = *traffic || option == 't';
}

int cmd_apps(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT, CLI_JSON, {"traffic", no_argument, NULL, 't'}, CLI_HELP, {0}};
    bool traffic = false;
    struct cli_command command = {
        .name = "apps", .usage = usage, .options = options, .own = take_option, .ctx = &traffic};
    uint64_t wanted = 0;
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind < argc && !cli_parse_app(argv[optind], &wanted))
        return cli_usage("apps", "\"%s\" is no id of an app", argv[optind]);
    if (traffic && wanted == 0)
        return cli_usage("apps", "--traffic is of one app; name it by its id");
    code = cli_open(&cli, command.at);
    if (code == CLI_OK && traffic)
        code = cli_app_traffic(&cli, wanted, command.json);
    else if (code == CLI_OK)
        code = list_apps(&cli, wanted, command.json);
    cli_close(&cli);
    return code;
}

static const char kill_usage[] =
    "Usage: weft kill [--at HOST] APP\n"
    "\n"
    "Ends an app at once, on all its hosts.\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n";

int cmd_kill(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT, CLI_HELP, {0}};
    struct cli_command command = {.name = "kill", .usage = kill_usage, .options = options};
    uint64_t app;
    struct cli cli;
    char home[WEFT_REGISTRY_URL_MAX];
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind + 1 != argc || !cli_parse_app(argv[optind], &app))
        return cli_usage("kill", "one id of an app is wanted; weft apps lists them");
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = cli_find_home(&cli, app, home);
    if (code == CLI_OK) {
        Weft__Host__KillRequest request = WEFT__HOST__KILL_REQUEST__INIT;
        request.app = app;
        struct weft_client_call call = {
            .url = home, .code = WEFT_CALL_KILL, .request = &request.base, .timeout_ms = 5000};
        code = cli_ask(&cli, "end the app", &call, NULL);
    }
    cli_close(&cli);
    return code;
}
