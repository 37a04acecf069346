/* Regions that are copied to other pages while requests of every kind are pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { SMALL = 100, LARGE = 30000, REGION = 1 << 20, ROUNDS = 3, ROOM = 4 * (LARGE + 512) };

static void move_and_look(void)
{
    native_move_region();
    check(native_foreign_pointer() == NULL);
}

static void run(native_main *main_fn, int ranks)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        cases_run(&(struct native_options){.ranks = ranks, .seed = seed, .region_bytes = REGION},
                  main_fn, NULL);
}

static unsigned char *filled(size_t len, uint64_t key)
{
    unsigned char *bytes = weft_alloc(len);
    check(bytes != NULL);
    cases_fill(bytes, len, key);
    return bytes;
}

/* Sends and receives of both lengths, moved while they are inactive, active, and done. */
static int persistent_main(void *argument)
{
    int rank, flag;
    (void)argument;
    cases_init(&rank, NULL);
    int peer = 1 - rank;
    MPI_Request *requests = weft_alloc(4 * sizeof(*requests));
    unsigned char *out = weft_alloc(LARGE), *in[2] = {weft_alloc(LARGE), weft_alloc(LARGE)};
    MPI_Send_init(out, SMALL, MPI_BYTE, peer, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Ssend_init(out, LARGE, MPI_BYTE, peer, 1, MPI_COMM_WORLD, &requests[1]);
    MPI_Recv_init(in[0], LARGE, MPI_BYTE, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &requests[2]);
    MPI_Recv_init(in[1], LARGE, MPI_BYTE, peer, 1, MPI_COMM_WORLD, &requests[3]);
    for (int round = 0; round < ROUNDS; round++) {
        cases_fill(out, LARGE, cases_key(rank, round));
        move_and_look();
        check(MPI_Startall(4, requests) == MPI_SUCCESS);
        move_and_look();
        for (flag = 0; !flag;) {
            check(MPI_Request_get_status_all(4, requests, &flag, MPI_STATUSES_IGNORE) ==
                  MPI_SUCCESS);
            if (native_random() % 4 == 0)
                native_move_region();
        }
        check(MPI_Waitall(4, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        check(cases_holds(in[0], SMALL, cases_key(peer, round)));
        check(cases_holds(in[1], LARGE, cases_key(peer, round)));
    }
    for (int i = 0; i < 4; i++)
        MPI_Request_free(&requests[i]);
    weft_free(requests);
    weft_free(out);
    weft_free(in[0]);
    weft_free(in[1]);
    MPI_Finalize();
    return 0;
}

static void persistent_requests_survive_a_move(void **state)
{
    (void)state;
    run(persistent_main, 2);
}

/* Taken out of the queue before the move, received after it: one that came whole, and one whose
 * bytes are still with their sender, who moves too. */
static int taken_main(void *argument)
{
    int rank, tag;
    (void)argument;
    cases_init(&rank, NULL);
    MPI_Request *requests = weft_alloc(2 * sizeof(*requests));
    if (rank == 1) {
        unsigned char *out[2] = {filled(SMALL, 5), filled(LARGE, 6)};
        MPI_Issend(out[0], SMALL, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &requests[0]);
        MPI_Isend(out[1], LARGE, MPI_BYTE, 0, 1, MPI_COMM_WORLD, &requests[1]);
        move_and_look();
        MPI_Recv(&tag, 1, MPI_INT, 0, 9, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        move_and_look();
        check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        weft_free(out[0]);
        weft_free(out[1]);
    } else {
        MPI_Message *messages = weft_alloc(2 * sizeof(*messages));
        unsigned char *in[2] = {weft_alloc(LARGE), weft_alloc(LARGE)};
        for (tag = 0; tag < 2; tag++) {
            MPI_Mprobe(1, tag, MPI_COMM_WORLD, &messages[tag], MPI_STATUS_IGNORE);
            move_and_look();
        }
        MPI_Send(&tag, 1, MPI_INT, 1, 9, MPI_COMM_WORLD);
        for (tag = 0; tag < 2; tag++) {
            MPI_Imrecv(in[tag], LARGE, MPI_BYTE, &messages[tag], &requests[tag]);
            move_and_look();
        }
        check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        check(cases_holds(in[0], SMALL, 5) && cases_holds(in[1], LARGE, 6));
        weft_free(in[0]);
        weft_free(in[1]);
        weft_free(messages);
    }
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void messages_that_a_probe_has_taken_survive_a_move(void **state)
{
    (void)state;
    run(taken_main, 2);
}

/* Buffered messages that wait in an attached buffer, and a flush that waits for them. */
static int attached_main(void *argument)
{
    int rank, size, go = 1;
    void *was;
    (void)argument;
    cases_init(&rank, NULL);
    if (rank == 0) {
        unsigned char *room = weft_alloc(ROOM), *out = weft_alloc(LARGE);
        MPI_Request *flush = weft_alloc(sizeof(*flush));
        MPI_Buffer_attach(room, ROOM);
        move_and_look();
        for (int i = 0; i < 3; i++) {
            cases_fill(out, LARGE, (uint64_t)i);
            check(MPI_Bsend(out, i == 1 ? SMALL : LARGE, MPI_BYTE, 1, i, MPI_COMM_WORLD) ==
                  MPI_SUCCESS);
            move_and_look();
        }
        MPI_Buffer_iflush(flush);
        move_and_look();
        MPI_Send(&go, 1, MPI_INT, 1, 9, MPI_COMM_WORLD);
        check(MPI_Wait(flush, MPI_STATUS_IGNORE) == MPI_SUCCESS);
        MPI_Buffer_detach(&was, &size);
        check(was == room);
        weft_free(room);
        weft_free(out);
        weft_free(flush);
    } else {
        unsigned char *in = weft_alloc(LARGE);
        MPI_Recv(&go, 1, MPI_INT, 0, 9, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int i = 2; i >= 0; i--) {
            move_and_look();
            MPI_Recv(in, LARGE, MPI_BYTE, 0, i, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            check(cases_holds(in, i == 1 ? SMALL : LARGE, (uint64_t)i));
        }
        weft_free(in);
    }
    MPI_Finalize();
    return 0;
}

static void an_attached_buffer_in_use_survives_a_move(void **state)
{
    (void)state;
    run(attached_main, 2);
}

static int pair_main(void *argument)
{
    int rank, size, flag = 0;
    (void)argument;
    cases_init(&rank, &size);
    MPI_Request *requests = weft_alloc(2 * sizeof(*requests));
    unsigned char *out = filled(LARGE, (uint64_t)rank), *in = weft_alloc(LARGE);
    unsigned char *both = filled(LARGE, cases_key(1, rank));
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    MPI_Isendrecv(out, LARGE, MPI_BYTE, next, 1, in, LARGE, MPI_BYTE, previous, 1, MPI_COMM_WORLD,
                  &requests[0]);
    MPI_Isendrecv_replace(both, LARGE, MPI_BYTE, previous, 2, next, 2, MPI_COMM_WORLD,
                          &requests[1]);
    while (!flag) {
        move_and_look();
        check(MPI_Testall(2, requests, &flag, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    }
    check(cases_holds(in, LARGE, (uint64_t)previous));
    check(cases_holds(both, LARGE, cases_key(1, next)));
    weft_free(requests);
    weft_free(out);
    weft_free(in);
    weft_free(both);
    MPI_Finalize();
    return 0;
}

static void a_send_receive_survives_a_move(void **state)
{
    (void)state;
    run(pair_main, 3);
}

/* Queues so deep that they are in tables, and cancellations under way. */
static int deep_main(void *argument)
{
    enum { N = 100 };
    int rank, *values;
    (void)argument;
    cases_init(&rank, NULL);
    values = weft_alloc(N * sizeof(*values));
    MPI_Request *requests = weft_alloc((N + 1) * sizeof(*requests));
    unsigned char *out = weft_alloc(LARGE);
    for (int i = 0; rank == 0 && i < N; i++)
        MPI_Irecv(&values[i], 1, MPI_INT, i % 2 ? 1 : MPI_ANY_SOURCE, i, MPI_COMM_WORLD,
                  &requests[i]);
    MPI_Barrier(MPI_COMM_WORLD);
    move_and_look();
    if (rank == 1)
        MPI_Issend(out, LARGE, MPI_BYTE, 0, N, MPI_COMM_WORLD, &requests[N]);
    for (int i = N - 1; rank == 1 && i >= 0; i--) {
        MPI_Send(&i, 1, MPI_INT, 0, i, MPI_COMM_WORLD);
        if (i % 10 == 0)
            native_move_region();
    }
    if (rank == 0) {
        check(MPI_Waitall(N / 2, requests + N / 2, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        move_and_look();
        check(MPI_Waitall(N / 2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        for (int i = 0; i < N; i++)
            check(values[i] == i);
    } else {
        MPI_Status status;
        int flag;
        MPI_Cancel(&requests[N]);
        move_and_look();
        check(MPI_Wait(&requests[N], &status) == MPI_SUCCESS);
        check(MPI_Test_cancelled(&status, &flag) == MPI_SUCCESS && flag);
    }
    weft_free(out);
    weft_free(values);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void deep_queues_and_cancellations_survive_a_move(void **state)
{
    (void)state;
    run(deep_main, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(persistent_requests_survive_a_move),
        cmocka_unit_test(messages_that_a_probe_has_taken_survive_a_move),
        cmocka_unit_test(an_attached_buffer_in_use_survives_a_move),
        cmocka_unit_test(a_send_receive_survives_a_move),
        cmocka_unit_test(deep_queues_and_cancellations_survive_a_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
