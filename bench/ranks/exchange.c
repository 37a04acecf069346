/* Two ranks exchange messages: latency, message rate and bandwidth of an MPI library. Plain MPI, so
 * that the same source measures any of them. Prints one line:
 *
 *   exchange pass BYTES US     half a round trip, the median of single ones
 *   exchange rate BYTES PER_S  messages per second of the typical burst, one way
 *
 * Usage: exchange pass|rate BYTES WINDOW MILLISECONDS
 *
 * Rank 0 asks and has the clock. In `rate` each side keeps WINDOW requests and waits for the oldest
 * before it starts another (its buffer is used again then), and rank 1 answers each burst when all
 * of it has come. A first burst warms up and tells how many fit into the time. Each rank takes a
 * core of its own before MPI starts, as the other subjects of the comparison do. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

enum { TAG = 1, WINDOW_MAX = 64, PASSES = 50, PASSES_MAX = 8192, BURSTS = 2, BURSTS_MAX = 200 };

static char *buffers; /* window * bytes, touched */
static int bytes, window;

static void take_core(void)
{
    const char *text = getenv("OMPI_COMM_WORLD_RANK");
    if (!text)
        text = getenv("PMI_RANK");
    cpu_set_t usable, one;
    if (!text || sched_getaffinity(0, sizeof(usable), &usable) != 0)
        return;
    int wanted = atoi(text) % CPU_COUNT(&usable);
    CPU_ZERO(&one);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && wanted-- == 0)
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
}

/* Launchers give ranks sessions of their own, which Linux weighs against others: the comparison's
 * weight, where it has told one, holds here too. */
static void take_weight(void)
{
    const char *weight = getenv("BENCH_WEIGHT");
    FILE *file = weight ? fopen("/proc/self/autogroup", "w") : NULL;
    if (file) {
        fputs(weight, file);
        fclose(file);
    }
}

static void send(void)
{
    MPI_Send(buffers, bytes, MPI_CHAR, 1, TAG, MPI_COMM_WORLD);
}

static void receive(int from)
{
    MPI_Recv(buffers, bytes, MPI_CHAR, from, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half of the median round trip, in seconds. */
static double pass(int rank, int n)
{
    static double took[PASSES_MAX];
    for (int i = 0; i < n; i++) {
        double start = MPI_Wtime();
        if (rank == 0) {
            send();
            receive(1);
        } else {
            receive(0);
            MPI_Send(buffers, bytes, MPI_CHAR, 0, TAG, MPI_COMM_WORLD);
        }
        took[i] = MPI_Wtime() - start;
    }
    qsort(took, (size_t)n, sizeof(double), by_value);
    return took[n / 2] / 2;
}

static void burst(int rank, int n)
{
    MPI_Request requests[WINDOW_MAX];
    char answer = 0;
    for (int i = 0; i < WINDOW_MAX; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (int i = 0; i < n; i++) {
        char *buffer = buffers + (size_t)(i % window) * (size_t)bytes;
        MPI_Wait(&requests[i % window], MPI_STATUS_IGNORE);
        if (rank == 0)
            MPI_Isend(buffer, bytes, MPI_CHAR, 1, TAG, MPI_COMM_WORLD, &requests[i % window]);
        else
            MPI_Irecv(buffer, bytes, MPI_CHAR, 0, TAG, MPI_COMM_WORLD, &requests[i % window]);
    }
    for (int i = 0; i < window; i++)
        MPI_Wait(&requests[i], MPI_STATUS_IGNORE);
    if (rank == 0)
        MPI_Recv(&answer, 1, MPI_CHAR, 1, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    else
        MPI_Send(&answer, 1, MPI_CHAR, 0, TAG, MPI_COMM_WORLD);
}

/* Seconds of the typical one of so many bursts. */
static double bursts(int rank, int n, int times)
{
    static double took[BURSTS_MAX];
    for (int i = 0; i < times; i++) {
        double start = MPI_Wtime();
        burst(rank, n);
        took[i] = MPI_Wtime() - start;
    }
    qsort(took, (size_t)times, sizeof(double), by_value);
    return took[times / 2];
}

/* Rank 0's number for both, from 1 to max. */
static int agree(double wanted, int max)
{
    int n = wanted < 1 ? 1 : wanted > max ? max : (int)wanted;
    MPI_Bcast(&n, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return n;
}

static void measure(int rank, int is_pass, double seconds)
{
    if (is_pass) {
        int n = agree(seconds / 2 / pass(rank, PASSES), PASSES_MAX);
        double half = pass(rank, n);
        if (rank == 0)
            printf("exchange pass %d %.6g\n", bytes, half * 1e6);
    } else {
        int n = bytes <= 4096 ? 1024 : 2 * window;
        int times = agree(seconds / bursts(rank, n, BURSTS), BURSTS_MAX);
        double took = bursts(rank, n, times);
        if (rank == 0)
            printf("exchange rate %d %.6g\n", bytes, n / took);
    }
}

int main(int argc, char **argv)
{
    int rank, size;
    take_core();
    take_weight();
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    bytes = argc == 5 ? atoi(argv[2]) : 0;
    window = argc == 5 ? atoi(argv[3]) : 0;
    if (size != 2 || bytes < 1 || window < 1 || window > WINDOW_MAX) {
        if (rank == 0)
            fprintf(stderr, "usage: exchange pass|rate BYTES WINDOW MILLISECONDS, by two ranks\n");
        MPI_Finalize();
        return 2;
    }
    size_t len = (size_t)window * (size_t)bytes;
    buffers = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
    if (!buffers)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(buffers, 1, len);
    measure(rank, strcmp(argv[1], "pass") == 0, atof(argv[4]) / 1000);
    free(buffers);
    MPI_Finalize();
    return 0;
}
