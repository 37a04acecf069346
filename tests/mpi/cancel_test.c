/* Taking requests back, generalized requests, and what is left over at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { LARGE = 20000 };

static bool was_cancelled(MPI_Request *request)
{
    int flag = -1;
    MPI_Status status;
    check(MPI_Wait(request, &status) == MPI_SUCCESS && *request == MPI_REQUEST_NULL);
    check(MPI_Test_cancelled(&status, &flag) == MPI_SUCCESS);
    return flag != 0;
}

static int receives_main(void *argument)
{
    int rank, value = 0, out = 4;
    MPI_Request requests[3];
    (void)argument;
    cases_init(&rank, NULL);
    for (int i = 0; i < 3; i++)
        MPI_Irecv(&value, 1, MPI_INT, MPI_ANY_SOURCE, i, MPI_COMM_WORLD, &requests[i]);
    check(MPI_Cancel(&requests[1]) == MPI_SUCCESS);
    check(was_cancelled(&requests[1]));
    MPI_Send(&out, 1, MPI_INT, rank, 0, MPI_COMM_WORLD);
    check(MPI_Cancel(&requests[0]) == MPI_SUCCESS);
    check(!was_cancelled(&requests[0]) && value == 4);
    MPI_Request_free(&requests[2]);
    MPI_Recv_init(&value, 1, MPI_INT, rank, 7, MPI_COMM_WORLD, &requests[1]);
    for (int i = 0; i < 2; i++) {
        int flag;
        MPI_Status status;
        MPI_Start(&requests[1]);
        MPI_Cancel(&requests[1]);
        MPI_Wait(&requests[1], &status);
        check(MPI_Test_cancelled(&status, &flag) == MPI_SUCCESS && flag);
    }
    out = 9;
    MPI_Start(&requests[1]);
    MPI_Send(&out, 1, MPI_INT, rank, 7, MPI_COMM_WORLD);
    check(MPI_Wait(&requests[1], MPI_STATUS_IGNORE) == MPI_SUCCESS && value == 9);
    MPI_Request_free(&requests[1]);
    MPI_Finalize();
    return 0;
}

static void a_receive_without_a_message_is_cancelled(void **state)
{
    (void)state;
    cases_run_all(1, receives_main, NULL);
}

/* Sends that wait for their receive are taken back, or are received: never both, never neither. */
static int sends_main(void *argument)
{
    enum { N = 8 };
    int rank, size, gone[N] = {0};
    MPI_Request requests[N];
    (void)argument;
    cases_init(&rank, &size);
    unsigned char *buffer = weft_alloc(LARGE);
    int to = size - 1, from = 0;
    if (rank == from) {
        for (int i = 0; i < N; i++)
            if (i % 2)
                MPI_Isend(buffer, LARGE, MPI_BYTE, to, i, MPI_COMM_WORLD, &requests[i]);
            else
                MPI_Issend(buffer, 8, MPI_BYTE, to, i, MPI_COMM_WORLD, &requests[i]);
    }
    for (int i = N / 2; rank == to && i < N - 1; i++)
        MPI_Recv(buffer, LARGE, MPI_BYTE, from, i, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Barrier(MPI_COMM_WORLD); /* what is received is received */
    if (rank == from) {
        for (int i = 0; i < N - 1; i++)
            check(MPI_Cancel(&requests[i]) == MPI_SUCCESS);
        for (int i = 0; i < N - 1; i++)
            gone[i] = was_cancelled(&requests[i]);
        for (int i = 0; i < N / 2; i++)
            check(gone[i]);
        if (size > 1)
            MPI_Send(gone, N - 1, MPI_INT, to, 99, MPI_COMM_WORLD);
    }
    if (rank == to) {
        if (size > 1)
            MPI_Recv(gone, N - 1, MPI_INT, from, 99, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int i = 0; i < N - 1; i++)
            check(gone[i] == (i < N / 2));
        MPI_Recv(buffer, LARGE, MPI_BYTE, from, N - 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    if (rank == from)
        check(MPI_Wait(&requests[N - 1], MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(weft_cell_self()->pins == 0);
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_send_is_taken_back_or_received(void **state)
{
    (void)state;
    cases_run_all(1, sends_main, NULL);
    cases_run_all(2, sends_main, NULL);
}

/* Of messages that wait for credit too. */
static int unsent_main(void *argument)
{
    enum { N = 60 };
    int rank, cancelled = 0, got = 0, flag = 1;
    MPI_Request requests[N];
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE);
    if (rank == 0) {
        for (int i = 0; i < N; i++)
            MPI_Isend(buffer, 1000, MPI_BYTE, 1, 1, MPI_COMM_WORLD, &requests[i]);
        for (int i = 0; i < N; i++)
            MPI_Cancel(&requests[i]);
        for (int i = 0; i < N; i++)
            cancelled += was_cancelled(&requests[i]);
        MPI_Send(&cancelled, 1, MPI_INT, 1, 2, MPI_COMM_WORLD);
    } else {
        MPI_Recv(&cancelled, 1, MPI_INT, 0, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (; flag; got += flag) {
            MPI_Iprobe(0, 1, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
            if (flag)
                MPI_Recv(buffer, LARGE, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        check(got + cancelled == N);
    }
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void messages_that_have_not_left_are_taken_back_at_once(void **state)
{
    (void)state;
    cases_run_all(2, unsent_main, NULL);
}

/* ---- generalized requests ---- */

struct job {
    int queried, freed, cancelled, result, fail;
};

static int query(void *extra, MPI_Status *status)
{
    struct job *job = extra;
    job->queried++;
    MPI_Status_set_elements(status, MPI_INT, job->result);
    MPI_Status_set_cancelled(status, job->cancelled > 0);
    MPI_Status_set_source(status, MPI_UNDEFINED);
    MPI_Status_set_tag(status, 77);
    return job->fail;
}

static int release(void *extra)
{
    ((struct job *)extra)->freed++;
    return MPI_SUCCESS;
}

static int cancel(void *extra, int complete)
{
    ((struct job *)extra)->cancelled += complete ? 100 : 1;
    return MPI_SUCCESS;
}

static int generalized_main(void *argument)
{
    struct job job = {.result = 5}, other = {0}, bad = {.fail = MPI_ERR_OTHER};
    MPI_Request request, freed, all[2];
    MPI_Status status, statuses[2];
    int flag, count;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Grequest_start(query, release, cancel, &job, &request) == MPI_SUCCESS);
    check(weft_cell_self()->pins == 1); /* the functions are outside */
    check(MPI_Test(&request, &flag, &status) == MPI_SUCCESS && !flag);
    check(MPI_Grequest_complete(request) == MPI_SUCCESS);
    check(MPI_Grequest_complete(request) == MPI_ERR_REQUEST);
    check(MPI_Request_get_status(request, &flag, &status) == MPI_SUCCESS && flag);
    check(MPI_Wait(&request, &status) == MPI_SUCCESS && request == MPI_REQUEST_NULL);
    MPI_Get_count(&status, MPI_INT, &count);
    check(count == 5 && status.MPI_TAG == 77 && job.queried == 2 && job.freed == 1);
    check(MPI_Grequest_start(query, release, cancel, &other, &freed) == MPI_SUCCESS);
    request = freed;
    check(MPI_Cancel(&request) == MPI_SUCCESS && other.cancelled == 1);
    check(MPI_Request_free(&request) == MPI_SUCCESS && other.freed == 0);
    check(MPI_Grequest_complete(freed) == MPI_SUCCESS && other.freed == 1);
    MPI_Grequest_start(query, release, cancel, &job, &all[0]);
    MPI_Grequest_start(query, release, cancel, &bad, &all[1]);
    MPI_Grequest_complete(all[0]);
    MPI_Grequest_complete(all[1]);
    check(MPI_Waitall(2, all, statuses) == MPI_ERR_IN_STATUS);
    check(statuses[0].MPI_ERROR == MPI_SUCCESS && statuses[1].MPI_ERROR == MPI_ERR_OTHER);
    check(job.freed == 2 && bad.freed == 1 && weft_cell_self()->pins == 0);
    MPI_Finalize();
    return 0;
}

static void a_generalized_request_is_the_programs(void **state)
{
    (void)state;
    cases_run_all(1, generalized_main, NULL);
}

/* ---- the end ---- */

/* Sends that nobody receives, receives that nothing comes for, messages that a probe has taken. */
static int left_main(void *argument)
{
    int rank, size, flag;
    MPI_Request request;
    MPI_Message message;
    static _Thread_local unsigned char outside[LARGE];
    (void)argument;
    cases_init(&rank, &size);
    unsigned char *buffer = weft_alloc(LARGE);
    MPI_Buffer_attach(MPI_BUFFER_AUTOMATIC, 0);
    for (int peer = 0; peer < size; peer++) {
        MPI_Isend(outside, LARGE, MPI_BYTE, peer, 1, MPI_COMM_WORLD, &request);
        MPI_Issend(buffer, 8, MPI_BYTE, peer, 2, MPI_COMM_WORLD, &request);
        MPI_Bsend(buffer, LARGE, MPI_BYTE, peer, 3, MPI_COMM_WORLD);
        MPI_Isend(buffer, 8, MPI_BYTE, peer, 4, MPI_COMM_WORLD, &request);
        MPI_Irecv(buffer, LARGE, MPI_BYTE, peer, 5, MPI_COMM_WORLD, &request);
    }
    MPI_Comm comm;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Isend(outside, LARGE, MPI_BYTE, rank, 1, comm, &request);
    MPI_Request_free(&request);
    MPI_Irecv(outside, LARGE, MPI_BYTE, rank, 2, comm, &request);
    MPI_Request_free(&request);
    MPI_Comm_free(&comm);
    MPI_Comm_dup(MPI_COMM_SELF, &comm);
    MPI_Irecv(outside, LARGE, MPI_BYTE, 0, 2, comm, &request);
    MPI_Request_free(&request);
    MPI_Comm_free(&comm);
    MPI_Mprobe(MPI_ANY_SOURCE, 3, MPI_COMM_WORLD, &message, MPI_STATUS_IGNORE);
    MPI_Iprobe(MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
    MPI_Send_init(buffer, 8, MPI_BYTE, 0, 4, MPI_COMM_WORLD, &request);
    weft_free(buffer);
    check(MPI_Finalize() == MPI_SUCCESS);
    check(weft_cell_self()->pins == 0);
    return 0;
}

static void what_is_left_at_the_end_holds_nobody_up(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        cases_run_all(n, left_main, NULL);
}

static int freed_comm_main(void *argument)
{
    int rank;
    MPI_Comm comm;
    MPI_Request request;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    if (rank == 0)
        MPI_Isend(buffer, LARGE, MPI_BYTE, 1, 1, comm, &request);
    else
        MPI_Probe(0, 1, comm, &status);
    MPI_Comm_free(&comm);
    if (rank == 0)
        check(MPI_Wait(&request, &status) == MPI_ERR_OTHER);
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_message_on_a_communicator_that_its_receiver_frees_is_refused(void **state)
{
    (void)state;
    cases_run_all(2, freed_comm_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receive_without_a_message_is_cancelled),
        cmocka_unit_test(a_send_is_taken_back_or_received),
        cmocka_unit_test(messages_that_have_not_left_are_taken_back_at_once),
        cmocka_unit_test(a_generalized_request_is_the_programs),
        cmocka_unit_test(what_is_left_at_the_end_holds_nobody_up),
        cmocka_unit_test(a_message_on_a_communicator_that_its_receiver_frees_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
