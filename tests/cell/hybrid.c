/* What a rank in a cell may not do: threads, children, memory that is shared with them. Argument:
 * what goes wrong in rank 1, or a file to wait for; "-": neither. */
#include <mpi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3, LARGE = 3 << 20, SMALL = 1000 };

static int world_rank, world_size;
static _Thread_local uint64_t own;
static uint64_t sums[THREADS];

static void *add_up(void *number)
{
    const uint64_t *begin = number;
    for (uint64_t i = 0; i < 1000; i++)
        own += i * (*begin + 1);
    sums[*begin] = own;
    return NULL;
}

static uint64_t work_with_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t numbers[THREADS], sum = 0;
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, add_up, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += sums[i];
    }
    return sum;
}

static int work_with_a_child(void)
{
    int status = 0;
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        *shared = world_rank + 40;
        _exit(3);
    }
    waitpid(child, &status, 0);
    return *shared - 40 == world_rank ? WEXITSTATUS(status) : -1;
}

/* Around a ring: messages that are sent at once, and such as are pulled. */
static int rounds(size_t len, int times)
{
    int wrong = 0, next = (world_rank + 1) % world_size;
    int before = (world_rank + world_size - 1) % world_size;
    unsigned char *out = malloc(len), *in = malloc(len);
    for (int i = 0; i < times; i++) {
        memset(out, world_rank + i, len);
        memset(in, 0xff, len);
        MPI_Sendrecv(out, (int)len, MPI_BYTE, next, i, in, (int)len, MPI_BYTE, before, i,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (size_t k = 0; k < len; k++)
            wrong += in[k] != (unsigned char)(before + i);
    }
    free(out);
    free(in);
    return wrong;
}

static void go_wrong(const char *how)
{
    if (strcmp(how, "segv") == 0)
        (void)!*(volatile int *)(size_t)16;
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "mpi abort") == 0)
        MPI_Abort(MPI_COMM_WORLD, 9);
    if (strcmp(how, "exit") == 0)
        exit(5);
    if (strcmp(how, "early") == 0)
        exit(0);
    if (strcmp(how, "compute") == 0)
        for (volatile unsigned turns = 0;; turns++)
            ;
}

static void wait_for(const char *path)
{
    int go_on = 1;
    while (go_on) {
        go_on = access(path, F_OK) != 0;
        MPI_Bcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "-";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    uint64_t mine = work_with_threads(), all = 0;
    int child = work_with_a_child(), wrong = rounds(LARGE, 3) + rounds(SMALL, 50);
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d: sum %llu, child %d, wrong %d\n", world_rank, world_size,
           (unsigned long long)all, child, wrong);
    fflush(stdout);
    if (world_rank == 1)
        go_wrong(what);
    if (*what == '/')
        wait_for(what);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
