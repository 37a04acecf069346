/* Persistent requests, and requests of two parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { ROUNDS = 12, SMALL = 64, LARGE = 20000, KINDS = 4 };

static int length_of(int round)
{
    return round % 3 == 0 ? LARGE : SMALL;
}

typedef int init_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);
static init_fn *const inits[KINDS] = {MPI_Send_init, MPI_Ssend_init, MPI_Rsend_init,
                                      MPI_Bsend_init};

static bool is_empty(const MPI_Status *status)
{
    int count = -1, cancelled = -1;
    MPI_Get_count(status, MPI_BYTE, &count);
    MPI_Test_cancelled(status, &cancelled);
    return status->MPI_SOURCE == MPI_ANY_SOURCE && status->MPI_TAG == MPI_ANY_TAG &&
           status->MPI_ERROR == MPI_SUCCESS && count == 0 && !cancelled;
}

/* Ends a started request in one of many ways; it becomes inactive. */
static void finish(MPI_Request *request, int how, MPI_Status *status)
{
    int index, n, flag = 0;
    MPI_Request before = *request;
    if (how % 6 == 0)
        check(MPI_Wait(request, status) == MPI_SUCCESS);
    else if (how % 6 == 1)
        check(MPI_Waitany(1, request, &index, status) == MPI_SUCCESS && index == 0);
    else if (how % 6 == 2)
        check(MPI_Waitall(1, request, status) == MPI_SUCCESS);
    else if (how % 6 == 3)
        check(MPI_Waitsome(1, request, &n, &index, status) == MPI_SUCCESS && n == 1);
    else if (how % 6 == 4)
        while (!flag)
            check(MPI_Test(request, &flag, status) == MPI_SUCCESS);
    else
        while (!flag)
            check(MPI_Testall(1, request, &flag, status) == MPI_SUCCESS);
    check(*request == before);
}

static void rounds_of_sends(unsigned char *buffer)
{
    MPI_Request requests[2 * KINDS];
    for (int i = 0; i < 2 * KINDS; i++)
        check(inits[i % KINDS](buffer, i < KINDS ? SMALL : LARGE, MPI_BYTE, 1, i, MPI_COMM_WORLD,
                               &requests[i]) == MPI_SUCCESS);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2 * KINDS; i++) {
            MPI_Status status;
            cases_fill(buffer, LARGE, cases_key(round, i));
            check(MPI_Start(&requests[i]) == MPI_SUCCESS);
            finish(&requests[i], round + i, &status);
        }
    for (int i = 0; i < 2 * KINDS; i++)
        check(MPI_Request_free(&requests[i]) == MPI_SUCCESS && requests[i] == MPI_REQUEST_NULL);
}

static void rounds_of_receives(unsigned char *buffer)
{
    MPI_Request requests[2 * KINDS];
    for (int i = 0; i < 2 * KINDS; i++)
        check(MPI_Recv_init(buffer, LARGE, MPI_BYTE, i % 2 ? 0 : MPI_ANY_SOURCE, i, MPI_COMM_WORLD,
                            &requests[i]) == MPI_SUCCESS);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2 * KINDS; i++) {
            int count, len = i < KINDS ? SMALL : LARGE;
            MPI_Status status;
            check(MPI_Start(&requests[i]) == MPI_SUCCESS);
            finish(&requests[i], round + 2 * i, &status);
            MPI_Get_count(&status, MPI_BYTE, &count);
            check(count == len && status.MPI_SOURCE == 0 && status.MPI_TAG == i);
            check(cases_holds(buffer, (size_t)len, cases_key(round, i)));
        }
    for (int i = 0; i < 2 * KINDS; i++)
        check(MPI_Request_free(&requests[i]) == MPI_SUCCESS);
}

static int rounds_main(void *argument)
{
    int rank, size;
    void *was;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE), *room = weft_alloc(20 * (LARGE + 512));
    MPI_Buffer_attach(room, 20 * (LARGE + 512));
    if (rank == 0)
        rounds_of_sends(buffer);
    else
        rounds_of_receives(buffer);
    MPI_Buffer_detach(&was, &size);
    check(was == room && size == 20 * (LARGE + 512));
    weft_free(room);
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_persistent_request_is_started_again_and_again(void **state)
{
    (void)state;
    cases_run_all(2, rounds_main, NULL);
}

static int inactive_main(void *argument)
{
    int rank, flag, index, n, indices[2], value = 0, out = 5;
    MPI_Status status, statuses[2];
    (void)argument;
    cases_init(&rank, NULL);
    MPI_Request pair[2];
    MPI_Recv_init(&value, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &pair[0]);
    MPI_Send_init(&out, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &pair[1]);
    check(MPI_Wait(&pair[0], &status) == MPI_SUCCESS && is_empty(&status));
    check(MPI_Test(&pair[0], &flag, &status) == MPI_SUCCESS && flag && is_empty(&status));
    check(MPI_Waitany(2, pair, &index, &status) == MPI_SUCCESS && index == MPI_UNDEFINED &&
          is_empty(&status));
    check(MPI_Testany(2, pair, &index, &flag, &status) == MPI_SUCCESS && flag &&
          index == MPI_UNDEFINED && is_empty(&status));
    check(MPI_Waitsome(2, pair, &n, indices, statuses) == MPI_SUCCESS && n == MPI_UNDEFINED);
    check(MPI_Testsome(2, pair, &n, indices, statuses) == MPI_SUCCESS && n == MPI_UNDEFINED);
    memset(statuses, 0x55, sizeof(statuses));
    check(MPI_Waitall(2, pair, statuses) == MPI_SUCCESS && is_empty(&statuses[1]));
    check(MPI_Testall(2, pair, &flag, statuses) == MPI_SUCCESS && flag && is_empty(&statuses[0]));
    check(MPI_Request_get_status(pair[0], &flag, &status) == MPI_SUCCESS && flag &&
          is_empty(&status));
    check(MPI_Cancel(&pair[0]) == MPI_ERR_REQUEST);
    check(MPI_Startall(2, pair) == MPI_SUCCESS);
    check(MPI_Start(&pair[0]) == MPI_ERR_REQUEST);
    check(MPI_Waitall(2, pair, statuses) == MPI_SUCCESS && value == 5);
    check(statuses[0].MPI_SOURCE == rank && statuses[0].MPI_TAG == 1);
    check(MPI_Startall(2, pair) == MPI_SUCCESS);
    for (n = 0; n < 2;) {
        int got;
        check(MPI_Waitsome(2, pair, &got, indices, statuses) == MPI_SUCCESS && got > 0);
        n += got;
    }
    MPI_Request other = MPI_REQUEST_NULL;
    check(MPI_Start(&other) == MPI_ERR_REQUEST);
    MPI_Irecv(&value, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &other);
    check(MPI_Start(&other) == MPI_ERR_REQUEST);
    MPI_Send(&out, 1, MPI_INT, rank, 1, MPI_COMM_WORLD);
    MPI_Wait(&other, MPI_STATUS_IGNORE);
    MPI_Request_free(&pair[0]);
    MPI_Request_free(&pair[1]);
    MPI_Finalize();
    return 0;
}

static void an_inactive_request_is_nothing_to_wait_for(void **state)
{
    (void)state;
    cases_run_all(1, inactive_main, NULL);
}

static int freed_main(void *argument)
{
    int rank, out = 7, *in;
    MPI_Request request;
    (void)argument;
    cases_init(&rank, NULL);
    in = weft_alloc(sizeof(*in));
    if (rank == 0) {
        MPI_Send_init(&out, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &request);
        MPI_Start(&request);
        MPI_Request_free(&request);
        MPI_Send_init(&out, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &request); /* never started */
    } else {
        MPI_Recv_init(in, 1, MPI_INT, 0, 1, MPI_COMM_WORLD, &request);
        MPI_Start(&request);
        MPI_Request_free(&request);
        check(request == MPI_REQUEST_NULL);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (int flag; rank == 1 && *(volatile int *)in != 7;)
        MPI_Iprobe(0, 99, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
    weft_free(in);
    MPI_Finalize();
    return 0;
}

static void a_started_request_that_is_freed_ends_by_itself(void **state)
{
    (void)state;
    cases_run_all(2, freed_main, NULL);
}

static void exchange(int rank, int size, int round, unsigned char *both[2], bool replace)
{
    int next = (rank + 1) % size, previous = (rank + size - 1) % size, count;
    MPI_Request request;
    MPI_Status status;
    int len = length_of(round);
    cases_fill(both[0], (size_t)len, cases_key(rank, round));
    if (replace)
        check(MPI_Isendrecv_replace(both[0], len, MPI_BYTE, next, round, previous, round,
                                    MPI_COMM_WORLD, &request) == MPI_SUCCESS);
    else
        check(MPI_Isendrecv(both[0], len, MPI_BYTE, next, round, both[1], LARGE, MPI_BYTE, previous,
                            MPI_ANY_TAG, MPI_COMM_WORLD, &request) == MPI_SUCCESS);
    check(MPI_Cancel(&request) == MPI_SUCCESS); /* changes nothing */
    check(MPI_Wait(&request, &status) == MPI_SUCCESS && request == MPI_REQUEST_NULL);
    MPI_Get_count(&status, MPI_BYTE, &count);
    check(count == len && status.MPI_SOURCE == previous && status.MPI_TAG == round);
    check(cases_holds(both[replace ? 0 : 1], (size_t)len, cases_key(previous, round)));
}

static int isendrecv_main(void *argument)
{
    int rank, size;
    unsigned char *both[2];
    MPI_Request request;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, &size);
    for (int i = 0; i < 2; i++)
        both[i] = weft_alloc(LARGE);
    for (int round = 0; round < ROUNDS; round++) {
        exchange(rank, size, round, both, false);
        exchange(rank, size, round, both, true);
    }
    check(MPI_Isendrecv(both[0], 1, MPI_BYTE, MPI_PROC_NULL, 0, both[1], 1, MPI_BYTE, MPI_PROC_NULL,
                        0, MPI_COMM_WORLD, &request) == MPI_SUCCESS);
    check(MPI_Wait(&request, &status) == MPI_SUCCESS && status.MPI_SOURCE == MPI_PROC_NULL);
    check(MPI_Isendrecv(both[0], 1, MPI_BYTE, size, 0, both[1], 1, MPI_BYTE, rank, 0,
                        MPI_COMM_WORLD, &request) == MPI_ERR_RANK);
    check(MPI_Isendrecv(both[0], 9, MPI_BYTE, rank, 0, both[1], 5, MPI_BYTE, rank, 0,
                        MPI_COMM_WORLD, &request) == MPI_SUCCESS);
    check(MPI_Wait(&request, &status) == MPI_ERR_TRUNCATE);
    for (int i = 0; i < 2; i++)
        weft_free(both[i]);
    MPI_Finalize();
    return 0;
}

static void a_send_receive_is_one_request(void **state)
{
    (void)state;
    cases_run_all(1, isendrecv_main, NULL);
    cases_run_all(3, isendrecv_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_persistent_request_is_started_again_and_again),
        cmocka_unit_test(an_inactive_request_is_nothing_to_wait_for),
        cmocka_unit_test(a_started_request_that_is_freed_ends_by_itself),
        cmocka_unit_test(a_send_receive_is_one_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
