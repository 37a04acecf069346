/* ends HOW: rank 1 (or 0 when it is alone) ends in that way while the others wait for ever. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <mpi.h>

/* A real fault, on a page that nobody may touch. */
static void fault(void)
{
    volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)signal(SIGSEGV, SIG_DFL);
    page[1] = 1;
}

static int shared;

static void *write_shared(void *arg)
{
    for (int i = 0; i < 100000; i++)
        *(volatile int *)&shared = i;
    return arg;
}

/* What a sanitizer must see: a byte behind the end of the heap's, and a race. */
static int misbehave(void)
{
    volatile size_t len = 8;
    char *bytes = malloc(len);
    pthread_t thread;
    if (bytes == NULL || pthread_create(&thread, NULL, write_shared, NULL) != 0)
        return 2;
    (void)write_shared(NULL);
    (void)pthread_join(thread, NULL);
    ((volatile char *)bytes)[len] = 1;
    free(bytes);
    return 6;
}

static int end(const char *how)
{
    if (strcmp(how, "report") == 0)
        return misbehave();
    if (strcmp(how, "three") == 0)
        return 3;
    if (strcmp(how, "exit") == 0)
        exit(5);
    if (strcmp(how, "abort") == 0)
        MPI_Abort(MPI_COMM_WORLD, 7);
    if (strcmp(how, "libc-abort") == 0)
        abort();
    if (strcmp(how, "fault") == 0)
        fault();
    fprintf(stderr, "ends: what is %s?\n", how);
    return 2;
}

int main(int argc, char **argv)
{
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    printf("rank %d begins\n", rank);
    fflush(stdout);
    if (rank == (size > 1))
        return end(argc > 1 ? argv[1] : "");
    MPI_Barrier(MPI_COMM_WORLD); /* never whole */
    return 0;
}
