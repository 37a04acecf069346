/* Point to point between ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { BIG = 1 << 20, HEADER = 40, PACKET = 4096 };
static const int sizes[] = {
    0, 1, 100, PACKET - HEADER - 1, PACKET - HEADER, PACKET - HEADER + 1, PACKET, BIG};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static int token_main(void *argument)
{
    int rank, size, token = 1;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, &size);
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    if (rank == 0)
        MPI_Send(&token, 1, MPI_INT, next, 7, MPI_COMM_WORLD);
    check(MPI_Recv(&token, 1, MPI_INT, previous, 7, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
    check(status.MPI_SOURCE == previous && status.MPI_TAG == 7);
    token++;
    if (rank != 0)
        MPI_Send(&token, 1, MPI_INT, next, 7, MPI_COMM_WORLD);
    else
        check(token == size + 1);
    MPI_Finalize();
    return 0;
}

static void a_token_goes_round(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++)
        cases_run_all(n, token_main, NULL);
}

typedef int send_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int isend_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);
static send_fn *const sends[] = {MPI_Send, MPI_Ssend, MPI_Rsend};
static isend_fn *const isends[] = {MPI_Isend, MPI_Issend, MPI_Irsend};

static void send_sizes(unsigned char *buffer)
{
    MPI_Request request;
    for (int mode = 0; mode < 3; mode++)
        for (int i = 0; i < SIZES; i++) {
            cases_fill(buffer, (size_t)sizes[i], (uint64_t)(mode * SIZES + i));
            check(sends[mode](buffer, sizes[i], MPI_BYTE, 1, i, MPI_COMM_WORLD) == MPI_SUCCESS);
            check(isends[mode](buffer, sizes[i], MPI_BYTE, 1, i, MPI_COMM_WORLD, &request) ==
                  MPI_SUCCESS);
            check(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
            check(request == MPI_REQUEST_NULL);
        }
}

static void receive_sizes(unsigned char *buffer)
{
    MPI_Request request;
    MPI_Status status;
    int count;
    for (int n = 0; n < 2 * 3 * SIZES; n++) {
        int i = n / 2 % SIZES;
        memset(buffer, 0xee, BIG);
        if (n % 3 == 0) {
            check(MPI_Irecv(buffer, BIG, MPI_BYTE, 0, i, MPI_COMM_WORLD, &request) == MPI_SUCCESS);
            check(MPI_Wait(&request, &status) == MPI_SUCCESS);
        } else {
            check(MPI_Recv(buffer, BIG, MPI_BYTE, 0, i, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
        }
        check(MPI_Get_count(&status, MPI_BYTE, &count) == MPI_SUCCESS && count == sizes[i]);
        check(cases_holds(buffer, (size_t)sizes[i], (uint64_t)(n / 2)));
        check(sizes[i] == BIG || buffer[sizes[i]] == 0xee);
    }
}

static int sizes_main(void *argument)
{
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(BIG);
    check(buffer != NULL);
    if (rank == 0)
        send_sizes(buffer);
    else
        receive_sizes(buffer);
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void every_size_arrives_in_every_mode(void **state)
{
    (void)state;
    cases_run_all(2, sizes_main, NULL);
}

static int order_main(void *argument)
{
    enum { N = 200 };
    int rank, value;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    for (int i = 0; rank == 0 && i < N; i++)
        MPI_Send(&i, 1, MPI_INT, 1, i % 2, MPI_COMM_WORLD);
    for (int i = 0; rank == 1 && i < N / 2; i++) {
        MPI_Recv(&value, 1, MPI_INT, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        check(value == 2 * i + 1);
    }
    for (int i = 0; rank == 1 && i < N / 2; i++) {
        MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        check(value == 2 * i && status.MPI_SOURCE == 0 && status.MPI_TAG == 0);
    }
    MPI_Finalize();
    return 0;
}

static void messages_do_not_overtake_each_other(void **state)
{
    (void)state;
    cases_run_all(2, order_main, NULL);
}

static int any_source_main(void *argument)
{
    int rank, size, value, seen = 0;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, &size);
    value = 1000 + rank;
    if (rank != 0)
        MPI_Send(&value, 1, MPI_INT, 0, rank, MPI_COMM_WORLD);
    for (int i = 1; rank == 0 && i < size; i++) {
        MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        check(value == 1000 + status.MPI_SOURCE && status.MPI_TAG == status.MPI_SOURCE);
        seen |= 1 << status.MPI_SOURCE;
    }
    check(rank != 0 || seen == (1 << size) - 2);
    MPI_Finalize();
    return 0;
}

static void any_source_tells_who_sent(void **state)
{
    (void)state;
    cases_run_all(6, any_source_main, NULL);
}

static void is_of_nobody(const MPI_Status *status)
{
    int count = -1;
    check(status->MPI_SOURCE == MPI_PROC_NULL && status->MPI_TAG == MPI_ANY_TAG);
    check(MPI_Get_count(status, MPI_INT, &count) == MPI_SUCCESS && count == 0);
}

static int nobody_main(void *argument)
{
    int value = 5, flag = 0;
    MPI_Request requests[2];
    MPI_Status statuses[2], status;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Send(&value, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD) == MPI_SUCCESS);
    check(MPI_Recv(&value, 1, MPI_INT, MPI_PROC_NULL, 3, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
    is_of_nobody(&status);
    check(MPI_Probe(MPI_PROC_NULL, 3, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
    is_of_nobody(&status);
    check(MPI_Iprobe(MPI_PROC_NULL, 3, MPI_COMM_WORLD, &flag, &status) == MPI_SUCCESS && flag);
    MPI_Isend(&value, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Irecv(&value, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, &requests[1]);
    check(MPI_Waitall(2, requests, statuses) == MPI_SUCCESS);
    is_of_nobody(&statuses[1]);
    check(value == 5);
    MPI_Finalize();
    return 0;
}

static void proc_null_takes_and_gives_nothing(void **state)
{
    (void)state;
    cases_run_all(1, nobody_main, NULL);
}

static void receive_too_little(int size, int room, int source)
{
    MPI_Status status;
    MPI_Request request;
    unsigned char *buffer = weft_alloc((size_t)size + 1);
    int count;
    memset(buffer, 0xee, (size_t)size + 1);
    MPI_Irecv(buffer, room, MPI_BYTE, source, 1, MPI_COMM_WORLD, &request);
    check(MPI_Wait(&request, &status) == MPI_ERR_TRUNCATE);
    MPI_Get_count(&status, MPI_BYTE, &count);
    check(count == room && status.MPI_SOURCE == source && status.MPI_TAG == 1);
    check(cases_holds(buffer, (size_t)room, 9) && buffer[room] == 0xee);
    memset(buffer, 0xee, (size_t)size + 1);
    check(MPI_Recv(buffer, room, MPI_BYTE, source, 3, MPI_COMM_WORLD, &status) == MPI_ERR_TRUNCATE);
    MPI_Get_count(&status, MPI_BYTE, &count);
    check(count == room && status.MPI_SOURCE == source && status.MPI_TAG == 3);
    check(cases_holds(buffer, (size_t)room, 9) && buffer[room] == 0xee);
    check(MPI_Recv(buffer, size, MPI_BYTE, source, 2, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
    check(cases_holds(buffer, (size_t)size, 9));
    weft_free(buffer);
}

static int truncate_main(void *argument)
{
    static const int cases[][2] = {{10, 9}, {10, 0}, {PACKET, PACKET - 1}, {BIG, 17}, {BIG, 0}};
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(BIG);
    cases_fill(buffer, BIG, 9);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (rank == 0) {
            MPI_Request requests[3];
            for (int tag = 1; tag <= 3; tag++)
                MPI_Isend(buffer, cases[i][0], MPI_BYTE, 0, tag, MPI_COMM_WORLD,
                          &requests[tag - 1]);
            receive_too_little(cases[i][0], cases[i][1], 0);
            check(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
            MPI_Send(buffer, cases[i][0], MPI_BYTE, 1, 1, MPI_COMM_WORLD);
            MPI_Send(buffer, cases[i][0], MPI_BYTE, 1, 3, MPI_COMM_WORLD);
            MPI_Send(buffer, cases[i][0], MPI_BYTE, 1, 2, MPI_COMM_WORLD);
        } else {
            receive_too_little(cases[i][0], cases[i][1], 0);
        }
    }
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_message_that_is_too_long_is_cut_and_said(void **state)
{
    (void)state;
    cases_run_all(2, truncate_main, NULL);
}

static int truncate_all_main(void *argument)
{
    int rank, values[4] = {1, 2, 3, 4};
    MPI_Request requests[3];
    MPI_Status statuses[3];
    (void)argument;
    cases_init(&rank, NULL);
    if (rank == 0) {
        for (int i = 0; i < 3; i++)
            MPI_Send(values, 1 + i, MPI_INT, 1, i, MPI_COMM_WORLD);
    } else {
        int got[3][4];
        for (int i = 0; i < 3; i++)
            MPI_Irecv(got[i], 2, MPI_INT, 0, i, MPI_COMM_WORLD, &requests[i]);
        check(MPI_Waitall(3, requests, statuses) == MPI_ERR_IN_STATUS);
        check(statuses[0].MPI_ERROR == MPI_SUCCESS && statuses[1].MPI_ERROR == MPI_SUCCESS);
        check(statuses[2].MPI_ERROR == MPI_ERR_TRUNCATE);
        for (int i = 0; i < 3; i++)
            check(requests[i] == MPI_REQUEST_NULL);
    }
    MPI_Finalize();
    return 0;
}

static void waitall_says_which_request_failed(void **state)
{
    (void)state;
    cases_run_all(2, truncate_all_main, NULL);
}

static int nothing_main(void *argument)
{
    int rank, count = -1;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    if (rank == 0) {
        check(MPI_Send(NULL, 0, MPI_DOUBLE, 1, 4, MPI_COMM_WORLD) == MPI_SUCCESS);
        check(MPI_Ssend(NULL, 0, MPI_DOUBLE, 1, 4, MPI_COMM_WORLD) == MPI_SUCCESS);
    } else {
        for (int i = 0; i < 2; i++) {
            check(MPI_Recv(NULL, 0, MPI_DOUBLE, 0, 4, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
            check(MPI_Get_count(&status, MPI_DOUBLE, &count) == MPI_SUCCESS && count == 0);
        }
    }
    MPI_Finalize();
    return 0;
}

static void empty_messages_need_no_buffer(void **state)
{
    (void)state;
    cases_run_all(2, nothing_main, NULL);
}

static int self_main(void *argument)
{
    int rank, size;
    MPI_Status status;
    MPI_Request request;
    (void)argument;
    cases_init(&rank, &size);
    unsigned char *out = weft_alloc(BIG), *in = weft_alloc(BIG);
    for (int i = 0; i < SIZES; i++) {
        cases_fill(out, BIG, (uint64_t)i);
        MPI_Isend(out, sizes[i], MPI_BYTE, rank, 3, MPI_COMM_WORLD, &request);
        MPI_Recv(in, BIG, MPI_BYTE, MPI_ANY_SOURCE, 3, MPI_COMM_WORLD, &status);
        check(status.MPI_SOURCE == rank && cases_holds(in, (size_t)sizes[i], (uint64_t)i));
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        MPI_Irecv(in, BIG, MPI_BYTE, 0, MPI_ANY_TAG, MPI_COMM_SELF, &request);
        check(MPI_Ssend(out, sizes[i], MPI_BYTE, 0, 8, MPI_COMM_SELF) == MPI_SUCCESS);
        MPI_Wait(&request, &status);
        check(status.MPI_SOURCE == 0 && status.MPI_TAG == 8);
        MPI_Issend(out, sizes[i], MPI_BYTE, 0, 5, MPI_COMM_SELF, &request);
        int flag;
        MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
        check(!flag);
        check(MPI_Iprobe(rank, 5, MPI_COMM_WORLD, &flag, &status) == MPI_SUCCESS && !flag);
        MPI_Recv(in, BIG, MPI_BYTE, 0, 5, MPI_COMM_SELF, MPI_STATUS_IGNORE);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    weft_free(out);
    weft_free(in);
    MPI_Finalize();
    return 0;
}

static void a_rank_talks_to_itself(void **state)
{
    (void)state;
    cases_run_all(1, self_main, NULL);
    cases_run_all(2, self_main, NULL);
}

static int synchronous_main(void *argument)
{
    int rank, value = 1, flag, size = *(const int *)argument;
    MPI_Request request;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc((size_t)size);
    if (rank == 0) {
        MPI_Issend(buffer, size, MPI_BYTE, 1, 1, MPI_COMM_WORLD, &request);
        for (int i = 0; i < 20; i++) {
            MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
            check(!flag);
        }
        MPI_Send(&value, 1, MPI_INT, 1, 2, MPI_COMM_WORLD);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(&value, 1, MPI_INT, 0, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Recv(buffer, size, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_synchronous_send_ends_after_its_receive_began(void **state)
{
    int small = 8, large = BIG;
    (void)state;
    cases_run_all(2, synchronous_main, &small);
    cases_run_all(2, synchronous_main, &large);
}

static int sendrecv_main(void *argument)
{
    int rank, size;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, &size);
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    unsigned char *out = weft_alloc(BIG), *in = weft_alloc(BIG);
    for (int i = 0; i < SIZES; i++) {
        cases_fill(out, BIG, (uint64_t)rank);
        MPI_Sendrecv(out, sizes[i], MPI_BYTE, next, 1, in, BIG, MPI_BYTE, previous, 1,
                     MPI_COMM_WORLD, &status);
        check(status.MPI_SOURCE == previous &&
              cases_holds(in, (size_t)sizes[i], (uint64_t)previous));
        MPI_Sendrecv_replace(out, sizes[i], MPI_BYTE, next, 2, previous, 2, MPI_COMM_WORLD,
                             &status);
        check(status.MPI_SOURCE == previous &&
              cases_holds(out, (size_t)sizes[i], (uint64_t)previous));
        check(MPI_Sendrecv(out, sizes[i], MPI_BYTE, MPI_PROC_NULL, 1, in, BIG, MPI_BYTE,
                           MPI_PROC_NULL, 1, MPI_COMM_WORLD, &status) == MPI_SUCCESS);
        is_of_nobody(&status);
    }
    weft_free(out);
    weft_free(in);
    MPI_Finalize();
    return 0;
}

static void sendrecv_goes_round_without_deadlock(void **state)
{
    (void)state;
    cases_run_all(1, sendrecv_main, NULL);
    cases_run_all(3, sendrecv_main, NULL);
}

static int probe_main(void *argument)
{
    int rank, count, flag = 0;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    double *values = weft_alloc(BIG);
    for (int i = 0; i < 4; i++) {
        int n = i % 2 == 0 ? 5 : BIG / 8;
        if (rank == 0) {
            MPI_Send(values, n, MPI_DOUBLE, 1, 10 + i, MPI_COMM_WORLD);
            continue;
        }
        if (i < 2)
            MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        for (flag = 0; i >= 2 && !flag;)
            MPI_Iprobe(0, 10 + i, MPI_COMM_WORLD, &flag, &status);
        MPI_Get_count(&status, MPI_DOUBLE, &count);
        check(status.MPI_SOURCE == 0 && status.MPI_TAG == 10 + i && count == n);
        MPI_Recv(values, count, MPI_DOUBLE, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    }
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, &status);
    check(!flag);
    weft_free(values);
    MPI_Finalize();
    return 0;
}

static void probe_sees_what_the_next_receive_gets(void **state)
{
    (void)state;
    cases_run_all(2, probe_main, NULL);
}

static int flood_main(void *argument)
{
    enum { N = 3000 };
    int rank, *values = NULL;
    (void)argument;
    cases_init(&rank, NULL);
    values = weft_alloc(N * sizeof(*values));
    MPI_Request *requests = weft_alloc(N * sizeof(MPI_Request));
    int go = 0;
    for (int i = 0; rank == 0 && i < N; i++) {
        values[i] = i * 3;
        MPI_Isend(&values[i], 1, MPI_INT, 1, 0, MPI_COMM_WORLD, &requests[i]);
    }
    if (rank == 1)
        MPI_Recv(&go, 1, MPI_INT, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int i = 0; rank == 1 && i < N; i++)
        MPI_Irecv(&values[i], 1, MPI_INT, 0, 0, MPI_COMM_WORLD, &requests[i]);
    if (rank == 0)
        MPI_Send(&go, 1, MPI_INT, 1, 1, MPI_COMM_WORLD);
    check(MPI_Waitall(N, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    for (int i = 0; i < N; i++)
        check(values[i] == i * 3 && requests[i] == MPI_REQUEST_NULL);
    weft_free(values);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void thousands_of_messages_wait_for_credit_and_arrive(void **state)
{
    (void)state;
    cases_run_all(2, flood_main, NULL);
}

static int exposed_main(void *argument)
{
    enum { N = 1200, LEN = 2 * PACKET };
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LEN);
    MPI_Request *requests = weft_alloc(N * sizeof(MPI_Request));
    for (int i = 0; rank == 0 && i < N; i++)
        MPI_Isend(buffer, LEN - i, MPI_BYTE, 1, i, MPI_COMM_WORLD, &requests[i]);
    for (int i = 0; rank == 1 && i < N; i++) {
        MPI_Status status;
        int count;
        MPI_Recv(buffer, LEN, MPI_BYTE, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_BYTE, &count);
        check(status.MPI_TAG == i && count == LEN - i);
    }
    if (rank == 0)
        check(MPI_Waitall(N, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    weft_free(buffer);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void more_large_messages_than_can_be_exposed_wait_for_their_turn(void **state)
{
    (void)state;
    cases_run_all(2, exposed_main, NULL);
}

struct pair {
    double value;
    int index;
};

static int gaps_main(void *argument)
{
    int rank, n = *(const int *)argument, count;
    MPI_Status status;
    cases_init(&rank, NULL);
    struct pair *pairs = weft_alloc((size_t)n * sizeof(*pairs));
    memset(pairs, 0x55, (size_t)n * sizeof(*pairs));
    if (rank == 0) {
        for (int i = 0; i < n; i++) {
            pairs[i].value = i * 0.5;
            pairs[i].index = -i;
        }
        MPI_Send(pairs, n, MPI_DOUBLE_INT, 1, 1, MPI_COMM_WORLD);
        MPI_Send(pairs, n, MPI_DOUBLE_INT, 1, 2, MPI_COMM_WORLD);
    } else {
        MPI_Recv(pairs, n, MPI_DOUBLE_INT, 0, 1, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_DOUBLE_INT, &count);
        check(count == n);
        MPI_Get_count(&status, MPI_BYTE, &count);
        check(count == 12 * n);
        for (int i = 0; i < n; i++)
            check(pairs[i].value == i * 0.5 && pairs[i].index == -i);
        memset(pairs, 0x55, (size_t)n * sizeof(*pairs));
        check(MPI_Recv(pairs, n - 1, MPI_DOUBLE_INT, 0, 2, MPI_COMM_WORLD, &status) ==
              MPI_ERR_TRUNCATE);
        check(pairs[n - 2].index == 2 - n && pairs[n - 1].index == 0x55555555);
    }
    weft_free(pairs);
    MPI_Finalize();
    return 0;
}

static void pairs_travel_without_their_gaps(void **state)
{
    int small = 20, large = 20000;
    (void)state;
    cases_run_all(2, gaps_main, &small);
    cases_run_all(2, gaps_main, &large);
}

static int pins_main(void *argument)
{
    int rank, outside, *inside;
    MPI_Request requests[3];
    const struct weft_cell *cell = weft_cell_self();
    static _Thread_local unsigned char big[BIG];
    (void)argument;
    cases_init(&rank, NULL);
    inside = weft_alloc(sizeof(*inside));
    check(cell->pins == 0);
    if (rank == 0) {
        MPI_Irecv(inside, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &requests[0]);
        check(cell->pins == 0);
        MPI_Irecv(&outside, 1, MPI_INT, 1, 2, MPI_COMM_WORLD, &requests[1]);
        check(cell->pins == 1 && strlen(cell->pin_reason) > 0);
        MPI_Isend(big, BIG, MPI_BYTE, 1, 3, MPI_COMM_WORLD, &requests[2]);
        check(cell->pins == 2);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        check(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    } else {
        MPI_Send(inside, 1, MPI_INT, 0, 1, MPI_COMM_WORLD);
        MPI_Send(inside, 1, MPI_INT, 0, 2, MPI_COMM_WORLD);
        MPI_Recv(big, BIG, MPI_BYTE, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    check(cell->pins == 0 && cell->pin_reason[0] == '\0');
    weft_free(inside);
    MPI_Finalize();
    return 0;
}

/* ---- receives of what has come before they are posted ---- */

enum { COME_TAGS = 8, COME_LAST = 99 };

static void send_before(void)
{
    int sent[2] = {0};
    for (int i = 0; i < COME_TAGS; i++) {
        sent[0] = 100 + i;
        MPI_Send(sent, 1, MPI_INT, 1, i, MPI_COMM_WORLD);
    }
    MPI_Send(sent, 2, MPI_INT, 1, COME_LAST, MPI_COMM_WORLD);
    MPI_Send(sent, 0, MPI_INT, 1, 0, MPI_COMM_WORLD);
}

/* Packets lie in the mailbox, unread: nothing of MPI has looked at them. */
static void until_something_has_come(void)
{
    struct weft_cell *cell = weft_cell_self();
    while (!weft_cell_peek(cell))
        (void)cell->calls->wait(cell, atomic_load(&cell->bell), 0);
}

/* Some receives are posted before anything comes, the others find messages there: each gets its
 * own, in the order of posting, whatever the tags and sources are called. */
static void receive_after(void)
{
    MPI_Request requests[COME_TAGS + 2];
    MPI_Status statuses[COME_TAGS + 2];
    int got[COME_TAGS + 2], flag;
    for (int i = 0; i < 3; i++)
        MPI_Irecv(&got[i], 1, MPI_INT, 0, i == 1 ? MPI_ANY_TAG : i, MPI_COMM_WORLD, &requests[i]);
    MPI_Send(got, 0, MPI_INT, 0, 1, MPI_COMM_WORLD);
    until_something_has_come();
    for (int i = 3; i < COME_TAGS; i++)
        MPI_Irecv(&got[i], 1, MPI_INT, i % 2 ? 0 : MPI_ANY_SOURCE, i, MPI_COMM_WORLD, &requests[i]);
    MPI_Irecv(&got[COME_TAGS], 1, MPI_INT, 0, COME_LAST, MPI_COMM_WORLD, &requests[COME_TAGS]);
    MPI_Irecv(&got[COME_TAGS + 1], 1, MPI_INT, 0, 0, MPI_COMM_WORLD, &requests[COME_TAGS + 1]);
    check(MPI_Waitall(COME_TAGS + 2, requests, statuses) == MPI_ERR_IN_STATUS);
    for (int i = 0; i < COME_TAGS; i++) {
        check(got[i] == 100 + i && statuses[i].MPI_SOURCE == 0 && statuses[i].MPI_TAG == i);
        check(statuses[i].MPI_ERROR == MPI_SUCCESS);
        check(MPI_Get_count(&statuses[i], MPI_INT, &flag) == MPI_SUCCESS && flag == 1);
    }
    check(statuses[COME_TAGS].MPI_ERROR == MPI_ERR_TRUNCATE);
    check(MPI_Get_count(&statuses[COME_TAGS + 1], MPI_INT, &flag) == MPI_SUCCESS && flag == 0);
}

static int come_main(void *argument)
{
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    for (int i = 0; i < 50; i++) {
        if (rank == 0) {
            MPI_Recv(NULL, 0, MPI_INT, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            send_before();
        } else if (rank == 1) {
            receive_after();
        }
        MPI_Barrier(MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}

static void a_receive_takes_what_has_come_after_those_posted_before(void **state)
{
    (void)state;
    cases_run_all(3, come_main, NULL);
}

static void memory_outside_the_region_pins_while_a_request_waits(void **state)
{
    (void)state;
    cases_run_all(2, pins_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_goes_round),
        cmocka_unit_test(every_size_arrives_in_every_mode),
        cmocka_unit_test(messages_do_not_overtake_each_other),
        cmocka_unit_test(any_source_tells_who_sent),
        cmocka_unit_test(proc_null_takes_and_gives_nothing),
        cmocka_unit_test(a_message_that_is_too_long_is_cut_and_said),
        cmocka_unit_test(waitall_says_which_request_failed),
        cmocka_unit_test(empty_messages_need_no_buffer),
        cmocka_unit_test(a_rank_talks_to_itself),
        cmocka_unit_test(a_synchronous_send_ends_after_its_receive_began),
        cmocka_unit_test(sendrecv_goes_round_without_deadlock),
        cmocka_unit_test(probe_sees_what_the_next_receive_gets),
        cmocka_unit_test(thousands_of_messages_wait_for_credit_and_arrive),
        cmocka_unit_test(more_large_messages_than_can_be_exposed_wait_for_their_turn),
        cmocka_unit_test(pairs_travel_without_their_gaps),
        cmocka_unit_test(a_receive_takes_what_has_come_after_those_posted_before),
        cmocka_unit_test(memory_outside_the_region_pins_while_a_request_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
