/* Finding apps: each host knows those at home there. */
#ifndef WEFT_CLI_APP_HOME_H
#define WEFT_CLI_APP_HOME_H

#include <stdbool.h>

#include "cli/cli.h"

/* Looks through the apps of all live hosts, in brief (without ranks, moves and processes), or for
 * the one with this id only (0: all); each returns false to stop. home: url of the app's home. A
 * host that does not answer is named, and does not stop the others. Returns an exit code. */
struct cli_search {
    uint64_t app;
    bool (*each)(void *ctx, const char *home, const Weft__Host__AppInfo *app);
    void *ctx;
};
int cli_each_app(struct cli *cli, const struct cli_search *search);
/* The url of the home of an app; prints it when no host knows the app. */
int cli_find_home(struct cli *cli, uint64_t app, char home_out[WEFT_REGISTRY_URL_MAX]);
/* All about one app. fresh: what its processes have counted by now, else as of the end of their
 * ranks. Owns: *message_out, an AppsReply with one app, is the caller's: weft__message_free. */
int cli_app(struct cli *cli, const char *home, uint64_t app, bool fresh,
            ProtobufCMessage **message_out);
/* An app's id as weft prints it. */
bool cli_parse_app(const char *text, uint64_t *app_out);

#endif
