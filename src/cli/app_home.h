/* Finding apps: each host knows those at home there. */
#ifndef WEFT_CLI_APP_HOME_H
#define WEFT_CLI_APP_HOME_H

#include <stdbool.h>

#include "cli/cli.h"

/* Asks every live host for its apps; each returns false to stop. home: url of the app's home.
 * Returns an exit code. */
int cli_each_app(struct cli *cli,
                 bool (*each)(void *ctx, const char *home, const Weft__Host__AppInfo *app),
                 void *ctx);
/* The url of the home of an app; prints it when no host knows the app. */
int cli_find_home(struct cli *cli, uint64_t app, char home_out[WEFT_REGISTRY_URL_MAX]);
/* An app's id as weft prints it. */
bool cli_parse_app(const char *text, uint64_t *app_out);

#endif
