/* Buffered sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { LARGE = 20000, SMALL = 100, N = 6, ROOM = N * (LARGE + MPI_BSEND_OVERHEAD) };

static void receive_in_reverse(unsigned char *buffer)
{
    for (int i = N - 1; i >= 0; i--) {
        int len = i % 2 ? LARGE : SMALL;
        MPI_Recv(buffer, LARGE, MPI_BYTE, 0, i, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        check(cases_holds(buffer, (size_t)len, (uint64_t)i));
    }
}

static void send_all(unsigned char *buffer, MPI_Comm comm)
{
    MPI_Request request;
    for (int i = 0; i < N; i++) {
        int len = i % 2 ? LARGE : SMALL;
        cases_fill(buffer, (size_t)len, (uint64_t)i);
        if (i % 3 == 0) {
            check(MPI_Ibsend(buffer, len, MPI_BYTE, 1, i, comm, &request) == MPI_SUCCESS);
            check(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
        } else {
            check(MPI_Bsend(buffer, len, MPI_BYTE, 1, i, comm) == MPI_SUCCESS);
        }
        memset(buffer, 0xee, (size_t)len); /* it is ours again */
    }
}

/* The receiver receives only when all has been sent, and the buffer is full of what waits. */
static int full_main(void *argument)
{
    int rank, size, go = 1;
    void *was;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE), *room = weft_alloc(ROOM);
    for (int round = 0; round < 3; round++) {
        if (rank == 0) {
            check(MPI_Buffer_attach(room, ROOM) == MPI_SUCCESS);
            check(MPI_Buffer_attach(room, ROOM) == MPI_ERR_BUFFER);
            send_all(buffer, MPI_COMM_WORLD);
            MPI_Send(&go, 1, MPI_INT, 1, 99, MPI_COMM_WORLD);
            check(MPI_Buffer_detach(&was, &size) == MPI_SUCCESS);
            check(was == room && size == ROOM);
            memset(room, 0xdd, ROOM);
        } else {
            MPI_Recv(&go, 1, MPI_INT, 0, 99, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            receive_in_reverse(buffer);
        }
    }
    check(MPI_Buffer_detach(&was, &size) == MPI_SUCCESS && was == NULL && size == 0);
    weft_free(buffer);
    weft_free(room);
    MPI_Finalize();
    return 0;
}

static void buffered_messages_wait_in_the_attached_buffer(void **state)
{
    (void)state;
    cases_run_all(2, full_main, NULL);
}

static int no_room_main(void *argument)
{
    int rank, n = 0, size;
    void *was;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE), *room = weft_alloc(ROOM + 1);
    check(MPI_Bsend(buffer, SMALL, MPI_BYTE, 0, 1, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Bsend(buffer, SMALL, MPI_BYTE, MPI_PROC_NULL, 1, MPI_COMM_WORLD) == MPI_SUCCESS);
    MPI_Buffer_attach(room + 1, ROOM); /* any alignment */
    check(MPI_Bsend(room, ROOM, MPI_BYTE, 0, 1, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    while (n < 100 && MPI_Bsend(buffer, LARGE, MPI_BYTE, rank, 2, MPI_COMM_WORLD) == MPI_SUCCESS)
        n++;
    check(n >= N && n < 100);
    MPI_Recv(buffer, LARGE, MPI_BYTE, rank, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    check(MPI_Bsend(buffer, LARGE, MPI_BYTE, rank, 2, MPI_COMM_WORLD) == MPI_SUCCESS);
    for (int i = 0; i < n; i++)
        MPI_Recv(buffer, LARGE, MPI_BYTE, rank, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    check(MPI_Buffer_flush() == MPI_SUCCESS);
    MPI_Buffer_detach(&was, &size);
    check(was == room + 1);
    check(MPI_Buffer_attach(room, -1) == MPI_ERR_ARG);
    weft_free(buffer);
    weft_free(room);
    MPI_Finalize();
    return 0;
}

static void a_message_without_room_is_an_error(void **state)
{
    (void)state;
    cases_run_all(1, no_room_main, NULL);
}

static int automatic_main(void *argument)
{
    int rank, size = -1, go = 1;
    void *was = NULL;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE);
    size_t before = native_heap_used();
    if (rank == 0) {
        check(MPI_Buffer_attach(MPI_BUFFER_AUTOMATIC, 0) == MPI_SUCCESS);
        send_all(buffer, MPI_COMM_WORLD);
        MPI_Send(&go, 1, MPI_INT, 1, 99, MPI_COMM_WORLD);
        check(MPI_Buffer_detach(&was, &size) == MPI_SUCCESS);
        check(was == MPI_BUFFER_AUTOMATIC && size == 0);
    } else {
        MPI_Recv(&go, 1, MPI_INT, 0, 99, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        receive_in_reverse(buffer);
    }
    check(native_heap_used() < before + ROOM / 2);
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void an_automatic_buffer_is_as_large_as_it_has_to_be(void **state)
{
    (void)state;
    cases_run_all(2, automatic_main, NULL);
}

/* A flush is over when what was sent before it has left, whatever is sent after it. */
static int flush_main(void *argument)
{
    int rank, flag = 1, size;
    MPI_Request flush;
    void *was;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffer = weft_alloc(LARGE), *room = weft_alloc(ROOM);
    MPI_Comm_attach_buffer(MPI_COMM_SELF, room, ROOM);
    check(MPI_Bsend(buffer, SMALL, MPI_BYTE, rank, 3, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Comm_iflush_buffer(MPI_COMM_SELF, &flush) == MPI_SUCCESS);
    check(MPI_Test(&flush, &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS && flag);
    check(MPI_Bsend(buffer, LARGE, MPI_BYTE, 0, 3, MPI_COMM_SELF) == MPI_SUCCESS);
    check(MPI_Comm_iflush_buffer(MPI_COMM_SELF, &flush) == MPI_SUCCESS);
    check(MPI_Bsend(buffer, LARGE, MPI_BYTE, 0, 4, MPI_COMM_SELF) == MPI_SUCCESS);
    check(MPI_Test(&flush, &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS && !flag);
    MPI_Recv(buffer, LARGE, MPI_BYTE, 0, 3, MPI_COMM_SELF, MPI_STATUS_IGNORE);
    check(MPI_Wait(&flush, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    MPI_Recv(buffer, LARGE, MPI_BYTE, 0, 4, MPI_COMM_SELF, MPI_STATUS_IGNORE);
    check(MPI_Comm_flush_buffer(MPI_COMM_SELF) == MPI_SUCCESS);
    check(MPI_Comm_flush_buffer(MPI_COMM_NULL) == MPI_ERR_COMM);
    check(MPI_Comm_detach_buffer(MPI_COMM_SELF, &was, &size) == MPI_SUCCESS && was == room);
    check(MPI_Buffer_iflush(&flush) == MPI_SUCCESS);
    check(MPI_Wait(&flush, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    weft_free(buffer);
    weft_free(room);
    MPI_Finalize();
    return 0;
}

static void a_flush_waits_for_what_was_sent_before(void **state)
{
    (void)state;
    cases_run_all(1, flush_main, NULL);
}

static int outside_main(void *argument)
{
    static _Thread_local unsigned char outside[ROOM];
    const struct weft_cell *cell = weft_cell_self();
    int size;
    void *was;
    (void)argument;
    cases_init(NULL, NULL);
    MPI_Buffer_attach(outside, ROOM);
    check(cell->pins == 1 && strstr(cell->pin_reason, "attached"));
    MPI_Buffer_detach(&was, &size);
    check(cell->pins == 0 && cell->pin_reason[0] == '\0');
    MPI_Finalize();
    return 0;
}

static void a_buffer_outside_the_region_keeps_the_rank(void **state)
{
    (void)state;
    cases_run_all(1, outside_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffered_messages_wait_in_the_attached_buffer),
        cmocka_unit_test(a_message_without_room_is_an_error),
        cmocka_unit_test(an_automatic_buffer_is_as_large_as_it_has_to_be),
        cmocka_unit_test(a_flush_waits_for_what_was_sent_before),
        cmocka_unit_test(a_buffer_outside_the_region_keeps_the_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
