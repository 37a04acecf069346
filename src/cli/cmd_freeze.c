/* weft freeze and weft thaw: an app leaves its hosts for the store, and comes back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/app_home.h"
#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

enum { DONE_MS = 3600000 }; /* memory takes its time; a host that dies is noticed at once */

static const char freeze_usage[] =
    "Usage: weft freeze [OPTION]... APP\n"
    "\n"
    "Stops the app, stores all that it is in WEFT_SNAPSHOT_DIR of its home host, and gives its\n"
    "slots back. It stays there until weft thaw. weft run goes on waiting for it.\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "\n"
    "Exit codes: 0 it is frozen, 1 it is not and runs on, 2 to 4 as weft.\n";

static const char thaw_usage[] =
    "Usage: weft thaw [OPTION]... APP\n"
    "\n"
    "Lets a frozen app go on, on whatever hosts have room. Where its home is gone, the host --at,\n"
    "which must reach the folder that the app lies in, becomes its home.\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "\n"
    "Exit codes: 0 it runs, 1 it stays frozen, 2 to 4 as weft.\n";

static bool is_it(void *home_out, const char *home, const Weft__Host__AppInfo *app)
{
    if (strcmp(app->state, "ended") == 0)
        return true;
    snprintf(home_out, WEFT_REGISTRY_URL_MAX, "%s", home);
    return false;
}

/* The url of the app's home; "": no live host knows it. */
static int find_home(struct cli *cli, uint64_t app, char home_out[WEFT_REGISTRY_URL_MAX])
{
    home_out[0] = '\0';
    struct cli_search search = {.app = app, .each = is_it, .ctx = home_out};
    return cli_each_app(cli, &search);
}

/* A refusal of the app's home is no failure of the command line: the app goes on as it was. */
static int failed(const char *verb, int err)
{
    fprintf(stderr, "weft %s: %s\n", verb, weft_fail_text(err));
    int code = cli_exit_code(err);
    bool there = err != WEFT_ENOENT && err != WEFT_ENOTSUP;
    return there && weft_error_damage(err) == WEFT_DAMAGE_OP ? CLI_APP : code;
}

static int freeze(struct cli *cli, uint64_t app)
{
    char home[WEFT_REGISTRY_URL_MAX];
    ProtobufCMessage *message = NULL;
    Weft__Host__FreezeAppRequest request = WEFT__HOST__FREEZE_APP_REQUEST__INIT;
    request.app = app;
    struct weft_client_call call = {.url = home,
                                    .code = WEFT_CALL_FREEZE_APP,
                                    .request = &request.base,
                                    .reply_type = &weft__host__freeze_app_reply__descriptor,
                                    .timeout_ms = DONE_MS};
    int code = cli_find_home(cli, app, home);
    if (code != CLI_OK)
        return code;
    int err = weft__client_wait(cli->client, &call, &message);
    if (err != WEFT_OK)
        return failed("freeze", err);
    const Weft__Host__FreezeAppReply *reply = (const Weft__Host__FreezeAppReply *)message;
    printf("app %" PRIx64 " is frozen: %.1f MiB in %s\n", app, (double)reply->bytes / (1u << 20),
           reply->where);
    weft__message_free(message);
    return CLI_OK;
}

static int thaw(struct cli *cli, uint64_t app)
{
    char home[WEFT_REGISTRY_URL_MAX];
    Weft__Host__ThawAppRequest request = WEFT__HOST__THAW_APP_REQUEST__INIT;
    request.app = app;
    struct weft_client_call call = {
        .url = home, .code = WEFT_CALL_THAW_APP, .request = &request.base, .timeout_ms = DONE_MS};
    int code = find_home(cli, app, home);
    if (code != CLI_OK)
        return code;
    if (home[0] == '\0')
        snprintf(home, sizeof(home), "%s", cli->url);
    int err = weft__client_wait(cli->client, &call, NULL);
    if (err != WEFT_OK)
        return failed("thaw", err);
    printf("app %" PRIx64 " runs\n", app);
    return CLI_OK;
}

static int run(int argc, char **argv, const char *verb, const char *usage,
               int (*act)(struct cli *cli, uint64_t app))
{
    static const struct option options[] = {CLI_AT, CLI_HELP, {0}};
    struct cli_command command = {.name = verb, .usage = usage, .options = options};
    struct cli cli;
    uint64_t app;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (argc - optind != 1 || !cli_parse_app(argv[optind], &app))
        return cli_usage(verb, "which APP?");
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = act(&cli, app);
    cli_close(&cli);
    return code;
}

int cmd_freeze(int argc, char **argv)
{
    return run(argc, argv, "freeze", freeze_usage, freeze);
}

int cmd_thaw(int argc, char **argv)
{
    return run(argc, argv, "thaw", thaw_usage, thaw);
}
