/* What the subcommands of weft share: a connection to a weftd, exit codes, JSON. */
#ifndef WEFT_CLI_CLI_H
#define WEFT_CLI_CLI_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "control/client.h"
#include "registry/client.h"
#include "weft/api.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"

enum cli_exit { CLI_OK = 0, CLI_APP = 1, CLI_USAGE = 2, CLI_NETWORK = 3, CLI_REFUSED = 4 };

struct cli {
    struct weft_client *client;
    char url[WEFT_REGISTRY_URL_MAX]; /* of the weftd's sync port */
};

/* where: an address, NULL: WEFT_HOST. Prints what is wrong; returns an exit code. */
int cli_open(struct cli *cli, const char *where);
void cli_close(struct cli *cli);
/* One request; prints the error, naming what was wanted; returns an exit code. *reply_out, which
 * may be NULL: weft__message_free. Blocks: until the answer or the call's deadline. */
int cli_ask(struct cli *cli, const char *what, const struct weft_client_call *call,
            ProtobufCMessage **reply_out);
/* The exit code that an error comes to. */
int cli_exit_code(int err);
int cli_usage(const char *command, const char *fmt, ...) WEFT_PRINTF(2, 3);
/* Whether a file (NULL: none is wanted; "-": stdout) can be written; says why not. Nothing of it is
 * changed, and none is left that was not there. */
int cli_check_file(const char *command, const char *path);
/* Writes value as one JSON document to a file ("-": stdout); takes value over. */
int cli_write_json(const char *path, json_t *value);

json_t *cli_app_json(const Weft__Host__AppInfo *app);
/* null where nobody has looked yet. */
json_t *cli_plan_json(const Weft__Host__PlanInfo *plan);
json_t *cli_move_json(const Weft__Host__MoveInfo *move);
json_t *cli_host_json(const struct weft_registry_host *host);
/* A command and the options that most commands have: --at HOST, --json FILE, --help. */
struct cli_command {
    const char *name;
    const char *usage;
    const struct option *options;       /* with 'a', 'j' and 'h' for those */
    const char *letters;                /* NULL: "h" */
    void (*own)(void *ctx, int option); /* takes any other option; NULL: there is none */
    void *ctx;
    const char *at;   /* out; NULL: not given */
    const char *json; /* out; NULL: not given */
};
#define CLI_AT                                                                                     \
    {                                                                                              \
        "at", required_argument, NULL, 'a'                                                         \
    }
#define CLI_JSON                                                                                   \
    {                                                                                              \
        "json", required_argument, NULL, 'j'                                                       \
    }
#define CLI_HELP                                                                                   \
    {                                                                                              \
        "help", no_argument, NULL, 'h'                                                             \
    }
/* Reads the options up to the first word that is none (optind); -1: go on, else the exit code. */
int cli_options(struct cli_command *command, int argc, char **argv);

/* The registry's list of hosts; calls back while it is valid. */
int cli_hosts(struct cli *cli,
              void (*each)(void *ctx, const struct weft_registry_host *hosts, size_t n), void *ctx);

int cmd_rank(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_hosts(int argc, char **argv);
int cmd_apps(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_thaw(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_call(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_state(int argc, char **argv);
int cmd_timeline(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);

#endif
