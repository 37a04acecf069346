/* cluster_group_member HOST GROUP MEMBER lock: a member in a process of its own, for a test that
 * kills it: opens, takes the lock, says so, and stays until it is killed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "weft/error.h"
#include "weft/group.h"

enum { OPEN_MS = 20000, STAYS_S = 120 };

int main(int argc, char **argv)
{
    struct weft_groups *groups;
    struct weft_group *group;
    if (argc < 4)
        return 2;
    int err = weft_groups_open(argv[1], &groups);
    if (err == WEFT_OK)
        err = weft_group_open(groups, strtoull(argv[2], NULL, 16), (uint32_t)atoi(argv[3]), OPEN_MS,
                              &group);
    if (err == WEFT_OK)
        err = weft_group_lock(group, OPEN_MS);
    if (err != WEFT_OK) {
        fprintf(stderr, "%s\n", weft_fail_text(err));
        return 1;
    }
    printf("has the lock\n");
    fflush(stdout);
    sleep(STAYS_S);
    return 0;
}
