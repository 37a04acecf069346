/* occupier: holds the slots that its ranks were given, until its app is ended or --seconds have
 * passed. It sleeps, so it takes a place from a planner's view and next to nothing from the
 * machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mpi.h>

#include "weft/memory.h"
#include "weft/migrate.h"

enum { EXIT_USAGE = 2, NAP_MS = 20 };

struct occupier {
    double left_s; /* < 0: for ever */
    double seen_s;
};

static int go_on(void *argument);

static void nap(void)
{
    const struct timespec time = {.tv_nsec = NAP_MS * 1000000L};
    nanosleep(&time, NULL);
}

static int run(struct occupier *occupier)
{
    while (occupier->left_s != 0) {
        int flag;
        weft_migration_point(go_on, occupier);
        /* Enters the runtime, which may have something to say. */
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &flag, MPI_STATUS_IGNORE);
        nap();
        double now_s = MPI_Wtime(), passed_s = now_s - occupier->seen_s;
        occupier->seen_s = now_s;
        if (occupier->left_s > 0)
            occupier->left_s = occupier->left_s > passed_s ? occupier->left_s - passed_s : 0;
    }
    weft_free(occupier);
    MPI_Finalize();
    return EXIT_SUCCESS;
}

static int go_on(void *argument)
{
    return run(argument);
}

static int parse(int argc, char **argv, double *seconds_out)
{
    char *end = NULL;
    *seconds_out = -1;
    if (argc == 1)
        return 0;
    if (argc != 3 || strcmp(argv[1], "--seconds") != 0)
        return -1;
    *seconds_out = strtod(argv[2], &end);
    return end == argv[2] || *end != '\0' || !(*seconds_out >= 0) ? -1 : 0;
}

int main(int argc, char **argv)
{
    double seconds;
    int rank, len;
    char host[MPI_MAX_PROCESSOR_NAME];
    if (parse(argc, argv, &seconds) != 0) {
        fprintf(stderr, "occupier: usage: weft run occupier [--seconds S]\n");
        return EXIT_USAGE;
    }
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Get_processor_name(host, &len);
    printf("occupier {\"rank\":%d,\"host\":\"%s\",\"pid\":%ld}\n", rank, host, (long)getpid());
    fflush(stdout);
    struct occupier *occupier = weft_alloc(sizeof(*occupier));
    if (!occupier) {
        fprintf(stderr, "occupier: rank %d: no memory in its region\n", rank);
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
        return EXIT_FAILURE;
    }
    occupier->left_s = seconds;
    occupier->seen_s = MPI_Wtime();
    return run(occupier);
}
