/* Two ranks pass a message to and fro. Plain MPI, so that the same source measures any MPI library.
 * Prints one line per length: "pingpong BYTES HALF_ROUND_TRIP_NS ROUND_TRIPS".
 *
 * Usage: pingpong MILLISECONDS BYTES...: each length is measured for about so long. The number of
 * round trips is found by rank 0 from a warm-up and told to rank 1, so that both do the same. */
#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

enum { TAG = 1, WARM_UP = 50 };

static void pass(int rank, char *buffer, int len, long round_trips)
{
    int other = 1 - rank;
    for (long i = 0; i < round_trips; i++) {
        if (rank == 0)
            MPI_Send(buffer, len, MPI_CHAR, other, TAG, MPI_COMM_WORLD);
        MPI_Recv(buffer, len, MPI_CHAR, other, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(buffer, len, MPI_CHAR, other, TAG, MPI_COMM_WORLD);
    }
}

static void measure(int rank, int len, double seconds)
{
    char *buffer = calloc(1, (size_t)len + 1);
    long round_trips;
    if (!buffer)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    pass(rank, buffer, len, WARM_UP);
    round_trips = (long)(seconds * WARM_UP / (MPI_Wtime() - start)) + 1;
    MPI_Bcast(&round_trips, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    start = MPI_Wtime();
    pass(rank, buffer, len, round_trips);
    double took = MPI_Wtime() - start;
    if (rank == 0)
        printf("pingpong %d %.0f %ld\n", len, took * 1e9 / 2 / (double)round_trips, round_trips);
    fflush(stdout);
    free(buffer);
}

int main(int argc, char **argv)
{
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc < 3 || size != 2) {
        if (rank == 0)
            fprintf(stderr, "usage: pingpong MILLISECONDS BYTES..., by two ranks\n");
        MPI_Finalize();
        return 2;
    }
    for (int i = 2; i < argc; i++)
        measure(rank, atoi(argv[i]), atof(argv[1]) / 1000);
    MPI_Finalize();
    return 0;
}
