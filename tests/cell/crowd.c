/* Many ranks on few workers. As the first argument says:
 *
 *   all              barriers, sums; prints what memory the process has per rank
 *   sleep MS TIMES   every rank sleeps by each way that there is; no shorter than it wants
 *   busy FILE        rank 0 computes for some seconds and calls nobody, not even the kernel, then
 *                    makes FILE.over, and waits until FILE is there; the others talk to each other
 *                    meanwhile, and then make FILE.talked
 */
#include <mpi.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static int rank, size;

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static void talk(MPI_Comm comm, int rounds)
{
    int n, me;
    MPI_Comm_size(comm, &n);
    MPI_Comm_rank(comm, &me);
    for (int i = 0; i < rounds; i++) {
        int mine = me + i, sum = 0;
        MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, comm);
        if (sum != n * (n - 1) / 2 + n * i)
            fail("a wrong sum");
        MPI_Barrier(comm);
    }
}

static void all(void)
{
    struct rusage usage;
    talk(MPI_COMM_WORLD, 10);
    getrusage(RUSAGE_SELF, &usage);
    printf("rank %d: the process of its host has had %ld KiB\n", rank, usage.ru_maxrss);
}

static void sleep_until(int64_t ns)
{
    struct timespec until = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        fail("clock_nanosleep");
}

/* Floating point numbers and errno are the program's own while it sleeps. */
static void sleep_well(int64_t ns, int times)
{
    volatile double sum = rank;
    struct timespec time = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
    struct timespec wrong = {.tv_nsec = -1};
    for (int i = 0; i < times; i++) {
        double half = sum / 2 + i;
        int64_t begin = now_ns();
        errno = rank;
        if (i % 3 == 0 && nanosleep(&time, NULL) != 0)
            fail("nanosleep");
        if (i % 3 == 1)
            sleep_until(begin + ns);
        if (i % 3 == 2 && clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL) != 0)
            fail("clock_nanosleep");
        if (now_ns() - begin < ns || errno != rank || half != sum / 2 + i)
            fail("it did not sleep well");
        sched_yield();
    }
    if (nanosleep(&wrong, NULL) != -1 || errno != EINVAL)
        fail("a wrong time to sleep");
    MPI_Barrier(MPI_COMM_WORLD);
    printf("rank %d has slept\n", rank);
}

static int is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void make(const char *path, const char *end)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s.%s", path, end);
    if (close(open(name, O_CREAT | O_WRONLY, 0600)) != 0)
        fail("cannot make a file");
}

/* The processor's own clock needs no call: how far it comes in a tenth of a second is measured. */
static void compute(int tenths)
{
    volatile double sum = 0;
    int64_t begin_ns = now_ns();
    uint64_t begin = __builtin_ia32_rdtsc();
    while (now_ns() - begin_ns < SECOND / 10)
        ;
    uint64_t tenth = __builtin_ia32_rdtsc() - begin;
    begin = __builtin_ia32_rdtsc();
    while (__builtin_ia32_rdtsc() - begin < (uint64_t)tenths * tenth)
        for (int i = 1; i < 100000; i++)
            sum += 1.0 / i;
}

static void busy(const char *path)
{
    MPI_Comm others;
    MPI_Comm_split(MPI_COMM_WORLD, rank > 0, 0, &others);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        compute(60);
        make(path, "over");
        while (!is_there(path))
            usleep(1000);
    } else {
        talk(others, 300);
        if (rank == 1)
            make(path, "talked");
    }
    MPI_Barrier(MPI_COMM_WORLD);
    printf("rank %d is done\n", rank);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "all") == 0)
        all();
    else if (strcmp(what, "sleep") == 0 && argc > 3)
        sleep_well(atol(argv[2]) * 1000000, atoi(argv[3]));
    else if (strcmp(what, "busy") == 0 && argc > 2)
        busy(argv[2]);
    else
        fail("what?");
    MPI_Finalize();
    return 0;
}
