/* weft info --stats: what the services of a process have counted. */
#ifndef WEFT_CLI_INFO_STATS_H
#define WEFT_CLI_INFO_STATS_H

struct cli;

/* Asks the process that cli is connected to and prints a table, or (json) writes it to that file.
 * Returns an exit code. */
int info_stats(struct cli *cli, const char *json);

#endif
