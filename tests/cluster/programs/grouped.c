/* grouped GROUP: each rank is the member of its number, on the host where it runs. */
#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

#include "weft/error.h"
#include "weft/group.h"

enum { WAIT_MS = 20000, ROUNDS = 20 };

static int meet(struct weft_group *group)
{
    int err = WEFT_OK;
    for (int i = 0; i < ROUNDS && err == WEFT_OK; i++) {
        err = weft_group_barrier(group, WAIT_MS);
        if (err == WEFT_OK)
            err = weft_group_lock(group, WAIT_MS);
        if (err == WEFT_OK)
            err = weft_group_unlock(group);
    }
    return err;
}

int main(int argc, char **argv)
{
    struct weft_groups *groups = NULL;
    struct weft_group *group = NULL;
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    uint64_t id = strtoull(argc > 1 ? argv[1] : "1", NULL, 16);
    int err = weft_groups_open(NULL, &groups);
    if (err == WEFT_OK)
        err = weft_group_open(groups, id, (uint32_t)rank, WAIT_MS, &group);
    if (err == WEFT_OK)
        err = meet(group);
    if (err == WEFT_OK)
        printf("rank %d met on %s\n", rank, weft_group_host_of(group, (uint32_t)rank));
    else
        printf("rank %d: %s\n", rank, weft_fail_text(err));
    weft_group_leave(group);
    weft_groups_close(groups);
    MPI_Finalize();
    return err == WEFT_OK ? 0 : 1;
}
