/* counted: each rank adds to one value of state, through the host where it runs; rank 0 tells the
 * sum. */
#include <stdint.h>
#include <stdio.h>

#include <mpi.h>

#include "weft/error.h"
#include "weft/state.h"

enum { ROUNDS = 20 };

static int add_one(struct weft_value *value)
{
    uint64_t count = 0;
    int err;
    do {
        weft_value_discard(value);
        err = weft_value_pull(value);
        if (err == WEFT_OK)
            err = weft_value_read(value, 0, &count, sizeof(count));
        count++;
        if (err == WEFT_OK)
            err = weft_value_write(value, 0, &count, sizeof(count));
        if (err == WEFT_OK)
            err = weft_value_push_if(value, weft_value_version(value));
    } while (err == WEFT_ESTALE);
    return err;
}

int main(int argc, char **argv)
{
    struct weft_state *state = NULL;
    struct weft_value *value = NULL;
    uint64_t count = 0;
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int err = weft_state_open(NULL, &state);
    if (err == WEFT_OK)
        err = weft_value_open(state, &(struct weft_state_name){"ranks", "count"}, sizeof(count),
                              &value);
    for (int i = 0; i < ROUNDS && err == WEFT_OK; i++)
        err = add_one(value);
    MPI_Barrier(MPI_COMM_WORLD);
    if (err == WEFT_OK && rank == 0)
        err = weft_value_pull(value);
    if (err == WEFT_OK)
        err = weft_value_read(value, 0, &count, sizeof(count));
    if (err != WEFT_OK)
        printf("rank %d: %s\n", rank, weft_fail_text(err));
    else if (rank == 0)
        printf("the sum is %llu\n", (unsigned long long)count);
    weft_value_close(value);
    weft_state_close(state);
    MPI_Finalize();
    return err == WEFT_OK ? 0 : 1;
}
