/* Ends as its argument says. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int *nowhere;

static unsigned deep(unsigned n);
static unsigned (*volatile again)(unsigned n) = deep; /* the compiler may not know */

static unsigned deep(unsigned n)
{
    volatile char bytes[4096];
    bytes[0] = (char)n;
    return again(n + 1) + (unsigned)bytes[0];
}

static void *thread(void *arg)
{
    return arg;
}

/* Descriptor 100 is the host's, and nobody's here. */
static int files(void)
{
    if (close(200) == 0 || write(200, "x", 1) != -1 || write(100, "x", 1) != -1 || errno != EBADF)
        return 1;
    if (dup2(100, 101) != -1 || errno != EBADF || dup2(1, 100) != 100)
        return 2;
    if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 102, 0) != MAP_FAILED || errno != EBADF)
        return 4;
    if (dup2(1, 101) != 101 || dup2(1, 101) != 101 || write(101, "x", 1) != 1 || close(101) != 0)
        return 5;
    return 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t id;
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "segv") == 0)
        *nowhere = 1;
    if (strcmp(how, "deep") == 0)
        return (int)deep(0);
    if (strcmp(how, "thread") == 0)
        return pthread_create(&id, NULL, thread, NULL) == 0;
    if (strcmp(how, "files") == 0)
        return files();
    if (strcmp(how, "exit") == 0)
        exit(9);
    return 3;
}
