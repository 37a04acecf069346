/* weft apps and weft kill: what runs, where, and what has moved. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/app_home.h"
#include "host/calls.h"
#include "wire/message.h"

static const char usage[] =
    "Usage: weft apps [--at HOST] [--json FILE] [APP]\n"
    "\n"
    "Lists the apps of all hosts with their ranks and moves; with APP (its id) that one only.\n"
    "\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "  --json FILE   write JSON there (-: stdout) instead of a table\n";

struct listing {
    json_t *json; /* NULL: print */
    uint64_t wanted;
    size_t shown;
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

static bool each_app(void *ctx, const char *home, const Weft__Host__AppInfo *app)
{
    struct listing *listing = ctx;
    (void)home;
    if (listing->wanted != 0 && app->app != listing->wanted)
        return true;
    listing->shown++;
    if (listing->json != NULL)
        json_array_append_new(listing->json, cli_app_json(app));
    else
        print_app(app);
    return true;
}

int cmd_apps(int argc, char **argv)
{
    static const struct option options[] = {{"at", required_argument, NULL, 'a'},
                                            {"json", required_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *at = NULL, *json = NULL;
    struct listing listing = {0};
    struct cli cli;
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'a')
            at = optarg;
        else if (option == 'j')
            json = optarg;
        else if (option == 'h')
            return fputs(usage, stdout) < 0 ? CLI_APP : CLI_OK;
        else
            return cli_usage("apps", "see above");
    }
    if (optind < argc && !cli_parse_app(argv[optind], &listing.wanted))
        return cli_usage("apps", "\"%s\" is no id of an app", argv[optind]);
    listing.json = json != NULL ? json_array() : NULL;
    int code = cli_open(&cli, at);
    if (code == CLI_OK)
        code = cli_each_app(&cli, each_app, &listing);
    if (code == CLI_OK && listing.wanted != 0 && listing.shown == 0) {
        fprintf(stderr, "weft apps: no host knows app %" PRIx64 "\n", listing.wanted);
        code = CLI_USAGE;
    }
    if (code == CLI_OK && json != NULL)
        code = cli_write_json(json, json_incref(listing.json));
    json_decref(listing.json);
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
    static const struct option options[] = {
        {"at", required_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *at = NULL;
    uint64_t app;
    struct cli cli;
    char home[WEFT_REGISTRY_URL_MAX];
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'a')
            at = optarg;
        else if (option == 'h')
            return fputs(kill_usage, stdout) < 0 ? CLI_APP : CLI_OK;
        else
            return cli_usage("kill", "see above");
    }
    if (optind + 1 != argc || !cli_parse_app(argv[optind], &app))
        return cli_usage("kill", "one id of an app is wanted; weft apps lists them");
    int code = cli_open(&cli, at);
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
