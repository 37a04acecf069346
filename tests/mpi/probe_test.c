/* Matched probes: a message taken out of its queue is nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { N = 5, LARGE = 20000 };
static const int lengths[N] = {0, 10, 4000, LARGE, 9};

static void send_all(unsigned char *buffer)
{
    MPI_Request requests[N];
    unsigned char *at = buffer;
    for (int i = 0; i < N; i++) {
        cases_fill(at, (size_t)lengths[i], (uint64_t)i);
        if (i == 4)
            MPI_Issend(at, lengths[i], MPI_BYTE, 1, i, MPI_COMM_WORLD, &requests[i]);
        else
            MPI_Isend(at, lengths[i], MPI_BYTE, 1, i, MPI_COMM_WORLD, &requests[i]);
        at += lengths[i];
    }
    check(MPI_Waitall(N, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
}

static MPI_Message take(int i)
{
    int flag = 0, count;
    MPI_Status status;
    MPI_Message message = MPI_MESSAGE_NULL;
    if (i % 2 == 0)
        check(MPI_Mprobe(MPI_ANY_SOURCE, i, MPI_COMM_WORLD, &message, &status) == MPI_SUCCESS);
    while (i % 2 == 1 && !flag)
        check(MPI_Improbe(0, i, MPI_COMM_WORLD, &flag, &message, &status) == MPI_SUCCESS);
    MPI_Get_count(&status, MPI_BYTE, &count);
    check(count == lengths[i] && status.MPI_SOURCE == 0 && status.MPI_TAG == i);
    check(message != MPI_MESSAGE_NULL && message != MPI_MESSAGE_NO_PROC);
    return message;
}

static void receive(MPI_Message message, int i, unsigned char *buffer)
{
    MPI_Status status;
    MPI_Request request;
    MPI_Message used = message;
    int count;
    memset(buffer, 0xee, LARGE);
    if (i % 2 == 0) {
        check(MPI_Mrecv(buffer, LARGE, MPI_BYTE, &used, &status) == MPI_SUCCESS);
    } else {
        check(MPI_Imrecv(buffer, LARGE, MPI_BYTE, &used, &request) == MPI_SUCCESS);
        check(MPI_Wait(&request, &status) == MPI_SUCCESS);
    }
    MPI_Get_count(&status, MPI_BYTE, &count);
    check(used == MPI_MESSAGE_NULL && count == lengths[i] && status.MPI_TAG == i);
    check(cases_holds(buffer, (size_t)lengths[i], (uint64_t)i));
    check(MPI_Mrecv(buffer, LARGE, MPI_BYTE, &message, &status) == MPI_ERR_REQUEST);
}

static int probe_main(void *argument)
{
    int rank, flag;
    MPI_Message messages[N];
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(2 * LARGE);
    if (rank == 0) {
        send_all(buffer);
    } else {
        unsigned char *into = weft_alloc(LARGE);
        for (int i = N - 1; i >= 0; i--)
            messages[i] = take(i);
        check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE) ==
                  MPI_SUCCESS &&
              !flag);
        for (int i = 0; i < N; i++)
            receive(messages[i], i, into);
        weft_free(into);
    }
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_taken_message_is_received_by_its_handle_alone(void **state)
{
    (void)state;
    cases_run_all(2, probe_main, NULL);
}

static int nobody_main(void *argument)
{
    int value = 3, flag;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Request request;
    MPI_Status status;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Mprobe(MPI_PROC_NULL, 1, MPI_COMM_WORLD, &message, &status) == MPI_SUCCESS);
    check(message == MPI_MESSAGE_NO_PROC && status.MPI_SOURCE == MPI_PROC_NULL &&
          status.MPI_TAG == MPI_ANY_TAG);
    check(MPI_Mrecv(&value, 1, MPI_INT, &message, &status) == MPI_SUCCESS);
    check(message == MPI_MESSAGE_NULL && status.MPI_SOURCE == MPI_PROC_NULL && value == 3);
    check(MPI_Improbe(MPI_PROC_NULL, 1, MPI_COMM_WORLD, &flag, &message, &status) == MPI_SUCCESS);
    check(flag && message == MPI_MESSAGE_NO_PROC);
    check(MPI_Imrecv(&value, 1, MPI_INT, &message, &request) == MPI_SUCCESS);
    check(MPI_Wait(&request, &status) == MPI_SUCCESS && status.MPI_SOURCE == MPI_PROC_NULL);
    message = MPI_MESSAGE_NULL;
    check(MPI_Mrecv(&value, 1, MPI_INT, &message, &status) == MPI_ERR_REQUEST);
    message = (MPI_Message)0x5000128;
    check(MPI_Imrecv(&value, 1, MPI_INT, &message, &request) == MPI_ERR_REQUEST);
    check(MPI_Mprobe(7, 1, MPI_COMM_WORLD, &message, &status) == MPI_ERR_RANK);
    MPI_Finalize();
    return 0;
}

static void a_message_of_nobody_has_a_handle_too(void **state)
{
    (void)state;
    cases_run_all(1, nobody_main, NULL);
}

static int truncate_main(void *argument)
{
    int rank, values[4] = {1, 2, 3, 4}, got[2], count;
    MPI_Request sends[2];
    MPI_Message message;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    MPI_Isend(values, 4, MPI_INT, rank, 1, MPI_COMM_WORLD, &sends[0]);
    MPI_Issend(values, 4, MPI_INT, rank, 2, MPI_COMM_WORLD, &sends[1]);
    for (int tag = 1; tag <= 2; tag++) {
        MPI_Mprobe(rank, tag, MPI_COMM_WORLD, &message, &status);
        check(MPI_Mrecv(got, -1, MPI_INT, &message, &status) == MPI_ERR_COUNT);
        check(MPI_Mrecv(got, 2, MPI_INT, &message, &status) == MPI_ERR_TRUNCATE);
        MPI_Get_count(&status, MPI_INT, &count);
        check(count == 2 && got[0] == 1 && got[1] == 2 && message == MPI_MESSAGE_NULL);
    }
    check(MPI_Waitall(2, sends, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void a_taken_message_can_be_too_long(void **state)
{
    (void)state;
    cases_run_all(1, truncate_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taken_message_is_received_by_its_handle_alone),
        cmocka_unit_test(a_message_of_nobody_has_a_handle_too),
        cmocka_unit_test(a_taken_message_can_be_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
