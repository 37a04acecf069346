/* Sends of every mode, in blocking, non-blocking and persistent form, small and large, round a ring
 * and to the rank itself; what each rank has received is printed as a hash. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODES = 4, LENGTHS = 4, LONGEST = 100000, ROOM = 8 * (LONGEST + MPI_BSEND_OVERHEAD) };
static const int lengths[LENGTHS] = {0, 8, 5000, LONGEST};
static unsigned char sent[LONGEST], got[LONGEST];
static uint64_t hash = 14695981039346656037u;
static int rank, size, received;

typedef int send_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int isend_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);
static send_fn *const sends[MODES] = {MPI_Send, MPI_Ssend, MPI_Bsend, MPI_Rsend};
static isend_fn *const isends[MODES] = {MPI_Isend, MPI_Issend, MPI_Ibsend, MPI_Irsend};
static isend_fn *const inits[MODES] = {MPI_Send_init, MPI_Ssend_init, MPI_Bsend_init,
                                       MPI_Rsend_init};

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void fill(int len, int key)
{
    for (int i = 0; i < len; i++)
        sent[i] = (unsigned char)(i * 7 + key * 13 + (i >> 9));
}

/* What came, from whom, and how much of it. */
static void note(const MPI_Status *status)
{
    int count;
    MPI_Get_count(status, MPI_BYTE, &count);
    hash = (hash ^ (uint64_t)(status->MPI_SOURCE * 1000 + status->MPI_TAG)) * 1099511628211u;
    hash = (hash ^ (uint64_t)count) * 1099511628211u;
    for (int i = 0; i < count; i++)
        hash = (hash ^ got[i]) * 1099511628211u;
    received++;
}

static int next(void)
{
    return (rank + 1) % size;
}

static int previous(void)
{
    return (rank + size - 1) % size;
}

/* Every second rank sends first; a ready send finds its receive posted. */
static void blocking(int mode, int len)
{
    MPI_Status status;
    MPI_Request request;
    fill(len, rank + mode);
    MPI_Irecv(got, LONGEST, MPI_BYTE, previous(), MPI_ANY_TAG, MPI_COMM_WORLD, &request);
    MPI_Barrier(MPI_COMM_WORLD);
    sends[mode](sent, len, MPI_BYTE, next(), 10 + mode, MPI_COMM_WORLD);
    MPI_Wait(&request, &status);
    note(&status);
}

static void nonblocking(int mode, int len, int peer_to, int peer_from)
{
    MPI_Status statuses[2];
    MPI_Request requests[2];
    fill(len, rank * 3 + mode);
    MPI_Irecv(got, LONGEST, MPI_BYTE, peer_from, 20 + mode, MPI_COMM_WORLD, &requests[0]);
    MPI_Barrier(MPI_COMM_WORLD);
    isends[mode](sent, len, MPI_BYTE, peer_to, 20 + mode, MPI_COMM_WORLD, &requests[1]);
    MPI_Waitall(2, requests, statuses);
    note(&statuses[0]);
}

static void persistent(int mode, int len)
{
    MPI_Request requests[2];
    MPI_Recv_init(got, LONGEST, MPI_BYTE, MPI_ANY_SOURCE, 30 + mode, MPI_COMM_WORLD, &requests[0]);
    inits[mode](sent, len, MPI_BYTE, next(), 30 + mode, MPI_COMM_WORLD, &requests[1]);
    for (int round = 0; round < 3; round++) {
        MPI_Status statuses[2];
        int flag = 0;
        fill(len, rank * 5 + round);
        MPI_Start(&requests[0]);
        MPI_Barrier(MPI_COMM_WORLD);
        MPI_Start(&requests[1]);
        while (!flag)
            MPI_Testall(2, requests, &flag, statuses);
        note(&statuses[0]);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
}

static void together(int len)
{
    MPI_Status status;
    MPI_Request request;
    fill(len, rank);
    MPI_Sendrecv(sent, len, MPI_BYTE, next(), 40, got, LONGEST, MPI_BYTE, previous(), 40,
                 MPI_COMM_WORLD, &status);
    note(&status);
    memcpy(got, sent, (size_t)len);
    MPI_Sendrecv_replace(got, len, MPI_BYTE, previous(), 41, next(), 41, MPI_COMM_WORLD, &status);
    note(&status);
    MPI_Isendrecv(sent, len, MPI_BYTE, previous(), 42, got, LONGEST, MPI_BYTE, next(), 42,
                  MPI_COMM_WORLD, &request);
    MPI_Wait(&request, &status);
    note(&status);
    MPI_Isendrecv_replace(got, len, MPI_BYTE, next(), 43, previous(), 43, MPI_COMM_WORLD, &request);
    MPI_Wait(&request, &status);
    note(&status);
}

/* Buffered messages that stay in the buffer until they are asked for, the last first. */
static void in_reverse(void)
{
    for (int i = 0; i < 6; i++) {
        fill(lengths[i % LENGTHS], rank + i);
        MPI_Bsend(sent, lengths[i % LENGTHS], MPI_BYTE, next(), 50 + i, MPI_COMM_WORLD);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (int i = 5; i >= 0; i--) {
        MPI_Status status;
        MPI_Recv(got, LONGEST, MPI_BYTE, previous(), 50 + i, MPI_COMM_WORLD, &status);
        note(&status);
    }
    MPI_Buffer_flush();
}

int main(int argc, char **argv)
{
    static unsigned char room[ROOM];
    void *was;
    int rounds = argc > 1 ? atoi(argv[1]) : 1, len;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Buffer_attach(room, ROOM);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < LENGTHS; i++) {
            for (int mode = 0; mode < MODES; mode++) {
                blocking(mode, lengths[i]);
                nonblocking(mode, lengths[i], next(), previous());
                nonblocking(mode, lengths[i], rank, rank);
                persistent(mode, lengths[i]);
            }
            together(lengths[i]);
        }
        in_reverse();
    }
    MPI_Buffer_detach(&was, &len);
    if (was != room || len != ROOM)
        fail("another buffer was attached");
    printf("rank %d: %d messages, hash %016llx\n", rank, received, (unsigned long long)hash);
    MPI_Finalize();
    return 0;
}
