/* weft apps --traffic: which ranks of an app exchange most. */
#ifndef WEFT_CLI_APP_TRAFFIC_H
#define WEFT_CLI_APP_TRAFFIC_H

#include <stdint.h>

#include "cli/cli.h"

/* Prints the heaviest pairs, or writes them to the file json as JSON ("-": stdout). Returns an exit
 * code. */
int cli_app_traffic(struct cli *cli, uint64_t app, const char *json);

#endif
