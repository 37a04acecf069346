/* Snapshots from the command line, for tests. */
#ifndef WEFT_TESTS_CLUSTER_SNAPSHOTS_H
#define WEFT_TESTS_CLUSTER_SNAPSHOTS_H

#include <stddef.h>

#include "cluster.h"

/* A new file with so many bytes of text; its path lives as long as the cluster. */
const char *snapshots_file(struct cluster *cluster, size_t len);
/* weft snapshot ACTION [KEY [FILE]] at a host, to its end. */
struct child *snapshots_weft(struct cluster *cluster, unsigned host, const char *action,
                             const char *key, const char *file);
/* Pulls, and compares with the file. */
void snapshots_assert_pulled(struct cluster *cluster, unsigned host, const char *key,
                             const char *path);

#endif
