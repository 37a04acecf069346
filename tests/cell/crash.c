/* Rank 1 goes wrong as the argument says; the others wait for it. */
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int *volatile nowhere;
static void *const wild = (void *)(size_t)0x123456;
static char block[1 << 20];

static unsigned deep(unsigned n);
static unsigned (*volatile again)(unsigned n) = deep; /* the compiler may not know */

static unsigned deep(unsigned n)
{
    volatile char bytes[4096];
    bytes[0] = (char)n;
    return again(n + 1) + (unsigned)bytes[0];
}

static const struct timespec hour = {3600, 0};

static void handler(int number)
{
    (void)number;
}

static void take_a_signal_nowhere(void)
{
    stack_t stack = {.ss_sp = (void *)(size_t)0x1000, .ss_size = 1 << 20};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

int main(int argc, char **argv)
{
    int rank;
    const char *how = argc > 1 ? argv[1] : "";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 1) {
        if (strcmp(how, "segv") == 0)
            *nowhere = 1;
        if (strcmp(how, "deep") == 0)
            return (int)deep(0);
        if (strcmp(how, "abort") == 0)
            abort();
        if (strcmp(how, "exit") == 0)
            exit(5);
        if (strcmp(how, "sigreturn") == 0)
            __asm__ volatile("mov $0x10, %%rsp; mov $15, %%eax; syscall" ::: "memory");
        if (strcmp(how, "sleep") == 0) /* on no stack */
            __asm__ volatile("mov $0x10, %%rsp; mov $35, %%eax; syscall; ud2"
                             :
                             : "D"(&hour), "S"(0)
                             : "memory");
        if (strcmp(how, "onstack") == 0)
            take_a_signal_nowhere();
        if (strcmp(how, "return") == 0)
            return 0;
        if (strcmp(how, "exit0") == 0)
            exit(0);
        if (strcmp(how, "jump") == 0)
            ((void (*)(void))(size_t)0x1234)();
        if (strcmp(how, "send") == 0)
            MPI_Send(wild, sizeof(block), MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        if (strcmp(how, "send few") == 0)
            MPI_Send(wild, 8, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        if (strcmp(how, "receive") == 0)
            MPI_Recv(wild, sizeof(block), MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else if (rank == 0 && strcmp(how, "receive") == 0) {
        MPI_Send(block, sizeof(block), MPI_BYTE, 1, 1, MPI_COMM_WORLD);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
