/* Point to point between ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/mpi.h"
#include "native.h"

static int ring_main(void *argument)
{
    int rank, size, token = 0;
    (void)argument;
    check(MPI_Init(NULL, NULL) == MPI_SUCCESS);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Status status;
    if (rank == 0) {
        token = 1;
        MPI_Send(&token, 1, MPI_INT, 1 % size, 7, MPI_COMM_WORLD);
        MPI_Recv(&token, 1, MPI_INT, size - 1, 7, MPI_COMM_WORLD, &status);
        check(token == size);
    } else {
        MPI_Recv(&token, 1, MPI_INT, rank - 1, 7, MPI_COMM_WORLD, &status);
        check(status.MPI_SOURCE == rank - 1 && status.MPI_TAG == 7);
        token++;
        MPI_Send(&token, 1, MPI_INT, (rank + 1) % size, 7, MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}

static void a_token_goes_round(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++) {
        struct native_result result;
        native_run(&(struct native_options){.ranks = n}, ring_main, NULL, &result);
        assert_false(result.aborted);
        assert_int_equal(result.code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_token_goes_round)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
