/* weft timeline: an app, its moves and the messages around them, as a picture. */
#include "cli/app_home.h"
#include "cli/timeline.h"

static const char usage[] =
    "Usage: weft timeline [OPTION]... APP\n"
    "\n"
    "Writes what has happened to an app, running or ended, as trace JSON: load the file in\n"
    "ui.perfetto.dev or chrome://tracing. One process per host, one row per rank: where it was,\n"
    "the phases of its moves and, where the app is run with --trace, the messages around them.\n"
    "\n"
    "  -o FILE       where to (default: stdout)\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n";

static void take_option(void *ctx, int option)
{
    if (option == 'o')
        *(const char **)ctx = optarg;
}

int cmd_timeline(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT, CLI_HELP, {"output", required_argument, NULL, 'o'}, {0}};
    const char *path = "-";
    struct cli_command command = {.name = "timeline",
                                  .usage = usage,
                                  .options = options,
                                  .letters = "o:h",
                                  .own = take_option,
                                  .ctx = &path};
    uint64_t app;
    struct cli cli;
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind + 1 != argc || !cli_parse_app(argv[optind], &app))
        return cli_usage("timeline", "one id of an app is wanted; weft apps lists them");
    code = cli_open(&cli, command.at);
    if (code == CLI_OK)
        code = cli_timeline_write(&cli, app, path);
    cli_close(&cli);
    return code;
}
