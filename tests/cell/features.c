/* What C programs do, around calls of MPI at which the rank may be moved: each part keeps something
 * alive across them that a move could break. Prints a sum that does not depend on the host.
 * Arguments: rounds; or 0, and a file: as many as until it exists. */
#include <alloca.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <mpi.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int world_rank, world_size;
static uint64_t checksum = 1;

static void mix(uint64_t value)
{
    checksum = (checksum ^ value) * UINT64_C(1099511628211);
}

/* Where moves happen: all ranks meet. */
static void meet(void)
{
    uint64_t mine = checksum, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    mix(all);
}

static void fail(const char *what)
{
    printf("rank %d: %s is broken\n", world_rank, what);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

struct node {
    struct node *next;
    uint64_t value;
};

static void lists_in_the_heap(void)
{
    struct node *head = NULL;
    for (uint64_t i = 0; i < 1000; i++) {
        struct node *node = malloc(sizeof(*node));
        *node = (struct node){head, i * (uint64_t)(world_rank + 1)};
        head = node;
        if (i % 250 == 0)
            meet();
    }
    while (head) {
        struct node *next = head->next;
        mix(head->value);
        free(head);
        head = next;
    }
}

static int deep(int n, const int *above)
{
    int here = n, result;
    if (n % 500 == 0)
        meet();
    result = n == 0 ? 0 : deep(n - 1, &here) + 1;
    if (above && *above != n + 1)
        fail("a pointer into the stack");
    return result;
}

static int compares;

static int compare_and_meet(const void *a, const void *b)
{
    if (++compares % 100 == 0)
        meet();
    return *(const int *)a - *(const int *)b;
}

static void sorting_with_a_callback_that_communicates(void)
{
    int values[200];
    for (int i = 0; i < 200; i++)
        values[i] = (i * 7919) % 200;
    compares = 0;
    qsort(values, 200, sizeof(values[0]), compare_and_meet);
    for (int i = 0; i < 200; i++)
        if (values[i] != i)
            fail("qsort");
}

static jmp_buf where;

static void jumps_across_a_meeting(void)
{
    volatile int turns = 0;
    int got = setjmp(where);
    meet();
    if (turns++ < 3)
        longjmp(where, turns);
    if (got != 3)
        fail("longjmp");
}

static void arrays_of_any_length(int n)
{
    double row[n], *more = alloca((size_t)n * sizeof(double));
    for (int i = 0; i < n; i++)
        row[i] = more[i] = sin(i);
    meet();
    for (int i = 0; i < n; i++)
        if (row[i] != more[i] || row[i] != sin(i))
            fail("an array of variable length");
}

static void the_library_s_own_state(void)
{
    char text[] = "one two three", *rest = strtok(text, " ");
    srand(5);
    int first = rand();
    errno = ERANGE;
    meet();
    if (errno != ERANGE)
        fail("errno");
    rest = strtok(NULL, " ");
    if (!rest || strcmp(rest, "two") != 0 || !isalpha((unsigned char)*rest))
        fail("strtok or ctype");
    int second = rand();
    srand(5);
    if (rand() != first || rand() != second)
        fail("rand");
    setenv("A_NAME", "a value", 1);
    struct tm *tm = gmtime(&(time_t){86400});
    meet();
    if (!getenv("A_NAME") || strcmp(getenv("A_NAME"), "a value") != 0 || tm->tm_mday != 2)
        fail("the environment or gmtime");
}

static int (*const functions[])(int) = {isalpha, isdigit, toupper};

static void pointers_to_functions(void)
{
    int (*f)(int) = functions[2];
    double (*g)(double) = sqrt;
    meet();
    if (f('a') != 'A' || g(4) != 2)
        fail("a pointer to a function");
}

static const clockid_t clocks[] = {CLOCK_MONOTONIC,          CLOCK_MONOTONIC_RAW,
                                   CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME,
                                   CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
enum { CLOCKS = sizeof(clocks) / sizeof(clocks[0]) };

/* Of all clocks that do, from the beginning of the program on: it may have moved anywhere since. */
static void time_goes_forward(void)
{
    static struct timespec before[CLOCKS];
    static double wtime;
    for (int i = 0; i < 10; i++) {
        for (int c = 0; c < CLOCKS; c++) {
            struct timespec now;
            clock_gettime(clocks[c], &now);
            if (now.tv_sec < before[c].tv_sec ||
                (now.tv_sec == before[c].tv_sec && now.tv_nsec < before[c].tv_nsec))
                fail("time");
            before[c] = now;
        }
        if (MPI_Wtime() < wtime)
            fail("MPI_Wtime");
        wtime = MPI_Wtime();
        meet();
    }
}

static void large_blocks(void)
{
    size_t len = (size_t)4 << 20;
    unsigned char *block = malloc(len);
    memset(block, world_rank + 1, len);
    meet();
    block = realloc(block, 2 * len);
    meet();
    for (size_t i = 0; i < len; i++)
        if (block[i] != world_rank + 1)
            fail("realloc");
    free(block);
}

static void messages_on_their_way(void)
{
    enum { N = 20, LEN = 3000 };
    static int out[N][LEN], in[N][LEN];
    MPI_Request requests[2 * N];
    int to = (world_rank + 1) % world_size, from = (world_rank + world_size - 1) % world_size;
    for (int i = 0; i < N; i++)
        MPI_Irecv(in[i], LEN, MPI_INT, MPI_ANY_SOURCE, i, MPI_COMM_WORLD, &requests[i]);
    meet();
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < LEN; k++)
            out[i][k] = world_rank * 1000 + i + k;
        MPI_Isend(out[i], 1 + (LEN - 1) * (i % 2), MPI_INT, to, i, MPI_COMM_WORLD,
                  &requests[N + i]);
    }
    MPI_Waitall(2 * N, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 1 + (LEN - 1) * (i % 2); k++)
            if (in[i][k] != from * 1000 + i + k)
                fail("a message");
}

/* Whether the file is there, as rank 0 sees it: all make as many rounds. */
static int is_to_end(const char *path)
{
    int end = world_rank == 0 && access(path, F_OK) == 0;
    MPI_Bcast(&end, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return end;
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer)); /* moves with the rank, unwritten */
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    int rounds = argc > 1 ? atoi(argv[1]) : 1, i;
    printf("rank %d ", world_rank);
    for (i = 0; rounds ? i < rounds : !is_to_end(argv[2]); i++) {
        lists_in_the_heap();
        mix((uint64_t)deep(2000, NULL));
        sorting_with_a_callback_that_communicates();
        jumps_across_a_meeting();
        arrays_of_any_length(100 + i % 50);
        the_library_s_own_state();
        pointers_to_functions();
        time_goes_forward();
        large_blocks();
        messages_on_their_way();
    }
    printf("of %d: %016llx after %d rounds\n", world_size, (unsigned long long)checksum, i);
    MPI_Finalize();
    return 0;
}
