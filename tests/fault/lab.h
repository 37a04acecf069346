/* A network for a test: each host in a network namespace of its own, joined by a bridge in the
 * namespace of the test. What a host sends and hears can be dropped and reset there. The namespaces
 * have no names: they are gone with their last process. Needs root and nft. */
#ifndef WEFT_TESTS_FAULT_LAB_H
#define WEFT_TESTS_FAULT_LAB_H

#include <stdbool.h>

#include "cluster.h"

/* Before anything else in main(): moves this process into a namespace with the bridge. false: it
 * cannot be done here, and why has been printed. */
bool lab_enter(void);
/* cmocka's setup and teardown, in place of cluster_open and cluster_close. */
int lab_open(void **state);
/* The same with up to three nets for all hosts: on eth1 host n has 10.78.0.(n + 1), on eth2
 * 10.79.0.(n + 1). */
int lab_open_with_nets(void **state, unsigned nets);
/* With two. */
int lab_open_with_data_net(void **state);
int lab_close(void **state);

/* Runs a command of the shell in the namespace of a host; it must succeed. */
void lab_in(const struct cluster *cluster, const struct cluster_host *host, const char *command);
/* From now on a host's packets that match are dropped: hook: "output" or "input", match: nft's
 * words. */
void lab_drop(const struct cluster *cluster, const struct cluster_host *host, const char *hook,
              const char *match);
/* All goes through again. */
void lab_heal(const struct cluster *cluster, const struct cluster_host *host);

#endif
