/* An ordinary program: arguments, environment, heap, files of stdio, time, memory calls, exit. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int counter = 7;
static __thread int local = 11;

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int memory(void)
{
    char *large = malloc(64 << 20), *small = malloc(100);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!large || !small || page == MAP_FAILED || page[8191] != 0)
        return 1;
    memset(large, 1, 64 << 20);
    large = realloc(large, 128 << 20);
    if (!large || large[(64 << 20) - 1] != 1)
        return 2;
    memset(page, 1, 8192);
    if (mprotect(page, 4096, PROT_READ) != 0 || munmap(page, 8192) != 0)
        return 3;
    page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || page[0] != 0 || page[8191] != 0)
        return 4;
    if (mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
        errno != ENODEV)
        return 5;
    int fd = open("/usr/bin/env", O_RDONLY), text = open("/proc/self/cmdline", O_RDONLY);
    char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED || memcmp(file, "\177ELF", 4) != 0 ||
        mmap(NULL, 4096, PROT_READ, MAP_SHARED, text, 0) != MAP_FAILED || errno != ENODEV)
        return 7;
    if (munmap(file, 4096) != 0 || close(fd) != 0 || close(text) != 0)
        return 8;
    page[0] = 7;
    if (mmap(page + 1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
            MAP_FAILED ||
        errno != EINVAL || page[0] != 7)
        return 6;
    free(large);
    free(small);
    return 0;
}

int main(int argc, char **argv)
{
    int values[5] = {5, 3, 1, 4, 2};
    struct timespec now;
    qsort(values, 5, sizeof(values[0]), compare);
    for (int i = 0; i < 5; i++)
        if (values[i] != i + 1)
            return 100;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 101;
    if (fork() != -1 || errno != ENOSYS)
        return 102;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 1)
        return 103;
    int failed = memory();
    if (failed)
        return failed;
    counter++;
    local++;
    printf("%d %s %s %d %d %.3f\n", argc, argv[1], getenv("GREETING"), counter, local,
           sqrt(atof(argv[2])));
    return 42;
}
