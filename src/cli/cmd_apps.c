/* weft apps and weft kill: what runs, where, and what has moved. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "cli/app_home.h"
#include "cli/app_show.h"
#include "cli/app_traffic.h"
#include "host/calls.h"
#include "wire/message.h"

static const char usage[] =
    "Usage: weft apps [-l] [--at HOST] [--json FILE] [--traffic] [APP]\n"
    "\n"
    "Lists the apps of all hosts: state, ranks per host, moves, policy, and what the planner\n"
    "thought of them last; with APP (its id) that one only, in full.\n"
    "\n"
    "  -l, --long    in full: each rank, and why it could not move, and each move\n"
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

static void add(struct found *found, const char *home, uint64_t app)
{
    found->items = weft__must_grow(found->items, found->n + 1, sizeof(*found->items));
    found->items[found->n].app = app;
    snprintf(found->items[found->n].home, sizeof(found->items[found->n].home), "%s", home);
    found->n++;
}

static bool note(void *found, const char *home, const Weft__Host__AppInfo *app)
{
    add(found, home, app->app);
    return true;
}

/* One app is found without the registry, where its home is asked. */
static int find(struct cli *cli, uint64_t app, struct found *found)
{
    char home[WEFT_REGISTRY_URL_MAX];
    if (app == 0)
        return cli_each_app(cli, &(struct cli_search){.each = note, .ctx = found});
    int code = cli_find_home(cli, app, home);
    if (code == CLI_OK)
        add(found, home, app);
    return code;
}

struct wanted {
    uint64_t app; /* 0: all */
    bool traffic, in_full;
    const char *json;
};

/* Prints an app, or appends it to list. */
static int show(struct cli *cli, const struct found *found, size_t i, bool in_full, json_t *list)
{
    ProtobufCMessage *message = NULL;
    int code = cli_app(cli, found->items[i].home, found->items[i].app, list != NULL, &message);
    if (code != CLI_OK)
        return code;
    const Weft__Host__AppInfo *app = ((const Weft__Host__AppsReply *)message)->apps[0];
    if (list != NULL)
        json_array_append_new(list, cli_app_json(app));
    else
        cli_app_show(app, in_full);
    weft__message_free(message);
    return CLI_OK;
}

static int list_apps(struct cli *cli, const struct wanted *wanted)
{
    struct found found = {0};
    json_t *list = wanted->json != NULL ? json_array() : NULL;
    int code = find(cli, wanted->app, &found);
    for (size_t i = 0; i < found.n && code == CLI_OK; i++)
        code = show(cli, &found, i, wanted->in_full || wanted->app != 0, list);
    if (code == CLI_OK && wanted->json != NULL)
        code = cli_write_json(wanted->json, json_incref(list));
    json_decref(list);
    free(found.items);
    return code;
}

static void take_option(void *ctx, int option)
{
    struct wanted *wanted = ctx;
    wanted->traffic = wanted->traffic || option == 't';
    wanted->in_full = wanted->in_full || option == 'l';
}

int cmd_apps(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT,   CLI_JSON, {"traffic", no_argument, NULL, 't'}, {"long", no_argument, NULL, 'l'},
        CLI_HELP, {0}};
    struct wanted wanted = {.app = 0};
    struct cli_command command = {.name = "apps",
                                  .usage = usage,
                                  .options = options,
                                  .letters = "lh",
                                  .own = take_option,
                                  .ctx = &wanted};
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    wanted.json = command.json;
    if (argc - optind > 1)
        return cli_usage("apps", "what is \"%s\"? one APP, or all", argv[optind + 1]);
    if (optind < argc && !cli_parse_app(argv[optind], &wanted.app))
        return cli_usage("apps", "\"%s\" is no id of an app", argv[optind]);
    if (wanted.traffic && wanted.app == 0)
        return cli_usage("apps", "--traffic is of one app; name it by its id");
    code = cli_open(&cli, command.at);
    if (code == CLI_OK && wanted.traffic)
        code = cli_app_traffic(&cli, wanted.app, command.json);
    else if (code == CLI_OK)
        code = list_apps(&cli, &wanted);
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
