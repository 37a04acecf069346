/* weft migrate: moves a rank where one wants it, or carries out what the plan says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cli/app_home.h"
#include "cli/app_show.h"
#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

enum { PLAN_MS = 3600000 }; /* a plan may have many moves; a host that dies is noticed at once */

static const char usage[] =
    "Usage: weft migrate [OPTION]... APP [RANK HOST]\n"
    "\n"
    "Moves RANK of the app to HOST; without them carries out the better plan, if there is one.\n"
    "Ends when the moves have ended.\n"
    "\n"
    "  --dry-run     only say what would be done, and what the planner thinks of it\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "  --json FILE   write the moves there as JSON (-: stdout); with --dry-run an object that has\n"
    "                the moves and the plan\n"
    "\n"
    "Exit codes: 0 all moves done (or nothing to do), 1 a move was given up, 2 to 4 as weft.\n";

static int show(const Weft__Host__MigrateReply *reply, const char *json)
{
    int code = CLI_OK;
    json_t *list = json != NULL ? json_array() : NULL;
    if (reply->plan != NULL && json == NULL)
        cli_plan_show(reply->plan);
    else if (reply->n_moves == 0 && json == NULL)
        printf("nothing to do: no placement is better\n");
    for (size_t i = 0; i < reply->n_moves; i++) {
        const Weft__Host__MoveInfo *move = reply->moves[i];
        if (strcmp(move->outcome, "aborted") == 0)
            code = CLI_APP;
        if (list != NULL)
            json_array_append_new(list, cli_move_json(move));
        else
            printf("rank %d %s -> %s: %s (%s)%s%s\n", move->rank, move->from, move->to,
                   move->outcome, move->cause, move->reason[0] != '\0' ? ": " : "", move->reason);
    }
    if (list == NULL)
        return code;
    if (reply->plan != NULL)
        list = json_pack("{s:o, s:o}", "moves", list, "plan", cli_plan_json(reply->plan));
    int written = cli_write_json(json, list);
    return code != CLI_OK ? code : written;
}

static int migrate(struct cli *cli, Weft__Host__MigrateRequest *request, const char *json)
{
    char home[WEFT_REGISTRY_URL_MAX];
    ProtobufCMessage *message = NULL;
    int code = cli_find_home(cli, request->app, home);
    struct weft_client_call call = {.url = home,
                                    .code = WEFT_CALL_MIGRATE,
                                    .request = &request->base,
                                    .reply_type = &weft__host__migrate_reply__descriptor,
                                    .timeout_ms = PLAN_MS};
    if (code == CLI_OK)
        code = cli_ask(cli, "migrate", &call, &message);
    if (code == CLI_OK)
        code = show((const Weft__Host__MigrateReply *)message, json);
    weft__message_free(message);
    return code;
}

static void dry_run(void *request, int option)
{
    (void)option;
    ((Weft__Host__MigrateRequest *)request)->dry_run = true;
}

int cmd_migrate(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT, CLI_JSON, CLI_HELP, {"dry-run", no_argument, NULL, 'd'}, {0}};
    Weft__Host__MigrateRequest request = WEFT__HOST__MIGRATE_REQUEST__INIT;
    struct cli_command command = {
        .name = "migrate", .usage = usage, .options = options, .own = dry_run, .ctx = &request};
    struct cli cli;
    uint64_t rank = 0;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    int n = argc - optind;
    if ((n != 1 && n != 3) || !cli_parse_app(argv[optind], &request.app))
        return cli_usage("migrate", "APP, or APP RANK HOST, is wanted");
    request.rank = -1;
    if (n == 3 && weft__parse_u64(argv[optind + 1], 0, INT32_MAX, &rank) != WEFT_OK)
        return cli_usage("migrate", "\"%s\" is no rank", argv[optind + 1]);
    if (n == 3) {
        request.rank = (int32_t)rank;
        request.host = argv[optind + 2];
    }
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = migrate(&cli, &request, command.json);
    cli_close(&cli);
    return code;
}
