#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *snapshots_file(struct cluster *cluster, size_t len)
{
    const char *path = cluster_file(cluster, "bytes");
    FILE *file = fopen(path, "wbe");
    cluster_check(cluster, file != NULL);
    for (size_t i = 0; i < len; i++)
        (void)fputc('a' + (int)(i / 1000 % 26), file);
    cluster_check(cluster, fclose(file) == 0);
    return path;
}

struct child *snapshots_weft(struct cluster *cluster, unsigned host, const char *action,
                             const char *key, const char *file)
{
    return cluster_weft(cluster, "snapshot", "--at", cluster->hosts[host].address, action, key,
                        file, NULL);
}

void snapshots_assert_pulled(struct cluster *cluster, unsigned host, const char *key,
                             const char *path)
{
    struct child *pull = snapshots_weft(cluster, host, "pull", key, NULL);
    cluster_check(cluster, pull->code == 0);
    char *got = child_read(pull->out), *wanted = child_read(path);
    bool same = strcmp(got, wanted) == 0;
    free(got);
    free(wanted);
    cluster_check(cluster, same);
}
