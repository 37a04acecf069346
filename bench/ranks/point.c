/* What a migration point costs when nothing is pending. Prints one line per round:
 * "point CALL_NS LOOP_NS": nanoseconds of one turn of a loop with the call, and of the same loop
 * without it. Usage: point ROUNDS CALLS */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mpi.h>

#include "weft/migrate.h"

static int stays(void *argument)
{
    (void)argument;
    return 1;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double with_call(long calls)
{
    double start = now_ns();
    for (long i = 0; i < calls; i++)
        weft_migration_point(stays, NULL);
    return (now_ns() - start) / (double)calls;
}

static double without_call(long calls)
{
    double start = now_ns();
    for (long i = 0; i < calls; i++)
        __asm__ volatile("" : : : "memory");
    return (now_ns() - start) / (double)calls;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    long calls = argc > 2 ? atol(argv[2]) : 10000000;
    for (int i = 0; i < rounds; i++) {
        double loop_ns = without_call(calls);
        printf("point %.4f %.4f\n", with_call(calls), loop_ns);
    }
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
