/* Receives that take what comes: probes, matched probes, any source and tag, waits for any and for
 * some, requests that are cancelled, an order that must hold. A task farm: rank 0 hands out
 * numbers, the others send back factors, in the order in which they get done; the sums that are
 * printed do not depend on it. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 300, FACTORS_MAX = 64, TASK = 1, RESULT = 2, STOP = 3, NOTE = 4, NEVER = 5 };
static int rank, size;

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static int factors_of(long number, long *factors)
{
    int n = 0;
    for (long f = 2; f * f <= number; f++)
        for (; number % f == 0; number /= f)
            factors[n++] = f;
    if (number > 1)
        factors[n++] = number;
    return n;
}

static long task(int i)
{
    return 1000000 + (long)i * 7919 % 99991;
}

/* Results are of any length: each is looked at first, in one of four ways. */
static uint64_t take_result(int how, int *from)
{
    long factors[FACTORS_MAX];
    int n, flag = 0;
    MPI_Message message;
    MPI_Status status;
    MPI_Request request;
    uint64_t sum = 0;
    if (how % 4 == 0)
        MPI_Probe(MPI_ANY_SOURCE, RESULT, MPI_COMM_WORLD, &status);
    while (how % 4 == 1 && !flag)
        MPI_Iprobe(MPI_ANY_SOURCE, RESULT, MPI_COMM_WORLD, &flag, &status);
    if (how % 4 == 2)
        MPI_Mprobe(MPI_ANY_SOURCE, RESULT, MPI_COMM_WORLD, &message, &status);
    while (how % 4 == 3 && !flag)
        MPI_Improbe(MPI_ANY_SOURCE, RESULT, MPI_COMM_WORLD, &flag, &message, &status);
    MPI_Get_count(&status, MPI_LONG, &n);
    if (how % 4 < 2) {
        MPI_Recv(factors, n, MPI_LONG, status.MPI_SOURCE, RESULT, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    } else {
        MPI_Imrecv(factors, n, MPI_LONG, &message, &request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    for (int i = 0; i < n; i++)
        sum += (uint64_t)factors[i] * (uint64_t)(i + 1);
    *from = status.MPI_SOURCE;
    return sum;
}

static uint64_t hand_out(void)
{
    uint64_t sum = 0;
    int next = 0, from;
    for (int r = 1; r < size && next < TASKS; r++) {
        long number = task(next++);
        MPI_Send(&number, 1, MPI_LONG, r, TASK, MPI_COMM_WORLD);
    }
    for (int done = 0; done < TASKS; done++) {
        sum += take_result(done, &from);
        long number = next < TASKS ? task(next) : 0;
        MPI_Send(&number, 1, MPI_LONG, from, next < TASKS ? TASK : STOP, MPI_COMM_WORLD);
        next++;
    }
    return sum;
}

static void work(void)
{
    for (;;) {
        long number, factors[FACTORS_MAX];
        MPI_Status status;
        MPI_Recv(&number, 1, MPI_LONG, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        if (status.MPI_TAG == STOP)
            return;
        int n = factors_of(number, factors);
        MPI_Ssend(factors, n, MPI_LONG, 0, RESULT, MPI_COMM_WORLD);
    }
}

/* Everybody to everybody, ended by any, some and all in turn; and a receive for what never comes.
 */
static uint64_t everybody(int round)
{
    MPI_Request *requests = calloc(2 * (size_t)size + 1, sizeof(*requests));
    MPI_Status *statuses = calloc(2 * (size_t)size + 1, sizeof(*statuses));
    int *values = calloc((size_t)size, sizeof(int)),
        *indices = calloc(2 * (size_t)size, sizeof(int));
    int own = rank * 100 + round, n = 0, flag, index;
    uint64_t sum = 0;
    for (int r = 0; r < size; r++) {
        MPI_Irecv(&values[r], 1, MPI_INT, r, NOTE, MPI_COMM_WORLD, &requests[r]);
        MPI_Isend(&own, 1, MPI_INT, r, NOTE, MPI_COMM_WORLD, &requests[size + r]);
    }
    MPI_Irecv(&flag, 1, MPI_INT, MPI_ANY_SOURCE, NEVER, MPI_COMM_WORLD, &requests[2 * size]);
    for (int done = 0; done < 2 * size; done += n) {
        n = 1;
        if (round % 3 == 0)
            MPI_Waitany(2 * size, requests, &index, statuses);
        else if (round % 3 == 1)
            MPI_Waitsome(2 * size, requests, &n, indices, statuses);
        else
            MPI_Testsome(2 * size, requests, &n, indices, statuses);
    }
    MPI_Cancel(&requests[2 * size]);
    MPI_Wait(&requests[2 * size], statuses);
    MPI_Test_cancelled(statuses, &flag);
    if (!flag)
        fail("a receive of nothing was not cancelled");
    for (int r = 0; r < size; r++)
        sum = sum * 31 + (uint64_t)values[r];
    free(requests);
    free(statuses);
    free(values);
    free(indices);
    return sum;
}

/* Messages of a pair keep their order, whatever receives have been posted for them. */
static uint64_t in_order(void)
{
    enum { N = 120 };
    static int numbers[N], got[N];
    static MPI_Request requests[2 * N];
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    uint64_t sum = 0;
    for (int i = 0; i < N; i++)
        MPI_Irecv(&got[i], 1, MPI_INT, previous, i % 3 == 0 ? MPI_ANY_TAG : i % 5, MPI_COMM_WORLD,
                  &requests[i]);
    for (int i = 0; i < N; i++) {
        numbers[i] = i;
        MPI_Isend(&numbers[i], 1, MPI_INT, next, i % 5, MPI_COMM_WORLD, &requests[N + i]);
    }
    MPI_Waitall(2 * N, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < N; i++)
        sum = sum * 31 + (uint64_t)got[i];
    return sum;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 2;
    uint64_t farmed = 0, exchanged = 0, ordered = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < 2)
        fail("at least two ranks");
    for (int round = 0; round < rounds; round++) {
        if (rank == 0)
            farmed += hand_out();
        else
            work();
        exchanged = exchanged * 31 + everybody(round);
        MPI_Barrier(MPI_COMM_WORLD);
        ordered = ordered * 31 + in_order();
        MPI_Barrier(MPI_COMM_WORLD);
    }
    printf("rank %d: farmed %llu, exchanged %016llx, in order %016llx\n", rank,
           (unsigned long long)farmed, (unsigned long long)exchanged, (unsigned long long)ordered);
    MPI_Finalize();
    return 0;
}
