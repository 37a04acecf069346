/* Hosts that weft run starts on this machine for one run. */
#ifndef WEFT_CLI_CLUSTER_H
#define WEFT_CLI_CLUSTER_H

#include <stdint.h>
#include <sys/types.h>

#define CLI_CLUSTER_MAX 64

struct cli_cluster {
    unsigned n;
    pid_t pids[CLI_CLUSTER_MAX];
    char head[64]; /* its url */
};

/* Starts n weftd, named a, b, c, ..., each on a loopback address of its own; they end with this
 * process. slots: each; UINT32_MAX: the default. Prints what is wrong; returns an exit code.
 * Blocks: until all serve. */
int cli_cluster_start(struct cli_cluster *cluster, unsigned n, uint32_t slots);
void cli_cluster_stop(struct cli_cluster *cluster);

#endif
