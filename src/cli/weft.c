/* weft: the command line. One subcommand, one file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/log.h"
#include "cli/cli.h"
#include "weft/error.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run a program on the cluster, or on hosts started for it"},
    {"rank", cmd_rank, "run a program in this process, as a world of one rank"},
    {"hosts", cmd_hosts, "list the hosts and their slots"},
    {"apps", cmd_apps, "list the apps, their ranks and moves"},
    {"events", cmd_events, "print what has happened, as text or lines of JSON"},
    {"timeline", cmd_timeline, "write an app's moves as a picture for a trace viewer"},
    {"migrate", cmd_migrate, "move a rank, or carry out the plan that is better now"},
    {"drain", cmd_drain, "move everything away from a host, and end it"},
    {"freeze", cmd_freeze, "stop an app and keep it in the store, off its hosts"},
    {"thaw", cmd_thaw, "let a frozen app go on"},
    {"kill", cmd_kill, "end an app"},
    {"call", cmd_call, "call a service with bytes and print the reply"},
    {"state", cmd_state, "list, read and change values that hosts keep"},
    {"snapshot", cmd_snapshot, "list, push, pull and delete snapshots that a host keeps"},
    {"info", cmd_info, "show a host, its settings and counters"},
    {"explain", cmd_explain, "show how data gets to another host, and why not otherwise"},
    {"keygen", cmd_keygen, "make the keys of WEFT_SECURITY=curve"},
};
enum { COMMANDS_N = sizeof(commands) / sizeof(commands[0]) };

static void help(FILE *out)
{
    fprintf(out, "Usage: weft COMMAND [OPTION]...\n\nRuns MPI programs on a cluster and moves "
                 "their ranks while they run.\n\n");
    for (size_t i = 0; i < COMMANDS_N; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    fprintf(out,
            "\n'weft COMMAND --help' tells more. Exit codes: 0 ok, 1 the app failed, 2 usage,\n"
            "3 a host or the network failed, 4 refused (no slots, not permitted, not there).\n");
}

/* What was printed must have arrived: a full disk or a closed pipe is a failure. */
static int check_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "weft: cannot write the output: %s\n", strerror(errno));
    return code != CLI_OK ? code : CLI_NETWORK;
}

int main(int argc, char **argv)
{
    int err = weft__config_load();
    weft__log_name("weft");
    if (err != WEFT_OK) {
        fprintf(stderr, "weft: %s\n", weft_fail_text(err));
        return CLI_USAGE;
    }
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return check_output(CLI_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("weft %s\n", WEFT_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < COMMANDS_N; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return check_output(commands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "weft: there is no command \"%s\"\n", argv[1]);
    help(stderr);
    return CLI_USAGE;
}
