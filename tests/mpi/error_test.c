/* What is wrong in a call is said: the class, the function, the value; to the handler that has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define NO_COMM ((MPI_Comm)0x7000)
#define NO_REQUEST ((MPI_Request)0x123180)

static int p2p_errors_main(void *argument)
{
    int x = 0, flag;
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Status s;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Send(&x, 1, MPI_INT, 0, 0, NO_COMM) == MPI_ERR_COMM);
    check(MPI_Send(&x, 1, MPI_INT, 0, 0, MPI_COMM_NULL) == MPI_ERR_COMM);
    check(MPI_Send(&x, -1, MPI_INT, 0, 0, MPI_COMM_WORLD) == MPI_ERR_COUNT);
    check(MPI_Send(&x, 1, MPI_DATATYPE_NULL, 0, 0, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    check(MPI_Send(&x, 1, (MPI_Datatype)0x204, 0, 0, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    check(MPI_Send(&x, 1, (MPI_Datatype)(uintptr_t)&x, 0, 0, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    check(MPI_Send(&x, 1, MPI_INT, 2, 0, MPI_COMM_WORLD) == MPI_ERR_RANK);
    check(MPI_Send(&x, 1, MPI_INT, 1, 0, MPI_COMM_SELF) == MPI_ERR_RANK);
    check(MPI_Send(&x, 1, MPI_INT, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD) == MPI_ERR_RANK);
    check(MPI_Send(&x, 1, MPI_INT, 0, -1, MPI_COMM_WORLD) == MPI_ERR_TAG);
    check(MPI_Send(&x, 1, MPI_INT, 0, MPI_ANY_TAG, MPI_COMM_WORLD) == MPI_ERR_TAG);
    check(MPI_Send(NULL, 1, MPI_INT, 0, 0, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Send(MPI_IN_PLACE, 1, MPI_INT, 0, 0, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Send_c(&x, INT64_MAX, MPI_INT, 0, 0, MPI_COMM_WORLD) == MPI_ERR_COUNT);
    check(MPI_Recv(&x, 1, MPI_INT, -7, 0, MPI_COMM_WORLD, &s) == MPI_ERR_RANK);
    check(MPI_Recv(&x, 1, MPI_INT, 0, -9, MPI_COMM_WORLD, &s) == MPI_ERR_TAG);
    check(MPI_Irecv(&x, -1, MPI_INT, 0, 0, MPI_COMM_WORLD, &r) == MPI_ERR_COUNT &&
          r == MPI_REQUEST_NULL);
    check(MPI_Isend(&x, 1, MPI_INT, 9, 0, MPI_COMM_WORLD, &r) == MPI_ERR_RANK &&
          r == MPI_REQUEST_NULL);
    check(MPI_Probe(5, 0, MPI_COMM_WORLD, &s) == MPI_ERR_RANK);
    check(MPI_Iprobe(0, -9, MPI_COMM_WORLD, &flag, &s) == MPI_ERR_TAG);
    check(MPI_Sendrecv(&x, 1, MPI_INT, 9, 0, &x, 1, MPI_INT, 0, 0, MPI_COMM_WORLD, &s) ==
          MPI_ERR_RANK);
    check(MPI_Sendrecv(&x, 1, MPI_INT, 0, 0, &x, 1, MPI_INT, 0, -9, MPI_COMM_WORLD, &s) ==
          MPI_ERR_TAG);
    check(weft_cell_self()->pins == 0);
    MPI_Finalize();
    return 0;
}

static int request_errors_main(void *argument)
{
    int flag, index, x;
    MPI_Request wrong = NO_REQUEST, two[2] = {MPI_REQUEST_NULL, NO_REQUEST}, r, old;
    MPI_Status s;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Wait(&wrong, &s) == MPI_ERR_REQUEST);
    check(MPI_Test(&wrong, &flag, &s) == MPI_ERR_REQUEST);
    check(MPI_Waitall(2, two, MPI_STATUSES_IGNORE) == MPI_ERR_REQUEST);
    check(MPI_Waitany(2, two, &index, &s) == MPI_ERR_REQUEST);
    check(MPI_Testall(2, two, &flag, MPI_STATUSES_IGNORE) == MPI_ERR_REQUEST);
    check(MPI_Waitall(-1, two, MPI_STATUSES_IGNORE) == MPI_ERR_COUNT);
    check(MPI_Request_free(&wrong) == MPI_ERR_REQUEST);
    check(MPI_Cancel(&wrong) == MPI_ERR_REQUEST);
    wrong = (MPI_Request)&x;
    check(MPI_Wait(&wrong, &s) == MPI_ERR_REQUEST);
    MPI_Irecv(&x, 1, MPI_INT, 0, 0, MPI_COMM_SELF, &r);
    old = r;
    MPI_Cancel(&r);
    check(MPI_Wait(&r, &s) == MPI_SUCCESS);
    check(MPI_Test_cancelled(&s, &flag) == MPI_SUCCESS && flag);
    check(MPI_Wait(&old, &s) == MPI_ERR_REQUEST);
    MPI_Finalize();
    return 0;
}

static int other_errors_main(void *argument)
{
    int x = 1, y = 0, len;
    char text[MPI_MAX_ERROR_STRING];
    void *block;
    MPI_Errhandler handler;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Bcast(&x, 1, MPI_INT, 2, MPI_COMM_WORLD) == MPI_ERR_ROOT);
    check(MPI_Bcast(&x, 1, MPI_INT, -1, MPI_COMM_WORLD) == MPI_ERR_ROOT);
    check(MPI_Reduce(&x, &y, 1, MPI_INT, MPI_SUM, 7, MPI_COMM_WORLD) == MPI_ERR_ROOT);
    check(MPI_Reduce(&x, &y, 1, MPI_INT, MPI_SUM, -1, MPI_COMM_WORLD) == MPI_ERR_ROOT);
    check(MPI_Reduce(&x, &y, 1, MPI_INT, MPI_OP_NULL, 0, MPI_COMM_WORLD) == MPI_ERR_OP);
    check(MPI_Reduce(&x, &y, 1, MPI_INT, MPI_REPLACE, 0, MPI_COMM_WORLD) == MPI_ERR_OP);
    check(MPI_Allreduce(&x, &y, 1, MPI_WCHAR, MPI_SUM, MPI_COMM_WORLD) == MPI_ERR_OP);
    check(MPI_Allreduce(&x, &y, 1, MPI_DOUBLE, MPI_BAND, MPI_COMM_WORLD) == MPI_ERR_OP);
    check(MPI_Allreduce(&x, &y, 1, MPI_INT, MPI_MINLOC, MPI_COMM_WORLD) == MPI_ERR_OP);
    check(MPI_Allreduce(&x, &x, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Allreduce(&x, MPI_IN_PLACE, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Allreduce(NULL, &x, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_ERR_BUFFER);
    check(MPI_Reduce_local(MPI_IN_PLACE, &y, 1, MPI_INT, MPI_SUM) == MPI_ERR_BUFFER);
    check(MPI_Reduce_local(&x, MPI_IN_PLACE, 1, MPI_INT, MPI_SUM) == MPI_ERR_BUFFER);
    check(MPI_Reduce_local(&x, &x, 1, MPI_INT, MPI_SUM) == MPI_ERR_BUFFER);
    check(MPI_Reduce_local(NULL, NULL, 0, MPI_INT, MPI_SUM) == MPI_SUCCESS);
    check(MPI_Barrier(NO_COMM) == MPI_ERR_COMM);
    check(MPI_Comm_rank(NO_COMM, &x) == MPI_ERR_COMM);
    check(MPI_Comm_size(MPI_COMM_NULL, &x) == MPI_ERR_COMM);
    check(MPI_Type_size(MPI_DATATYPE_NULL, &x) == MPI_ERR_TYPE);
    check(MPI_Alloc_mem(-1, MPI_INFO_NULL, &block) == MPI_ERR_ARG);
    check(MPI_Alloc_mem((MPI_Aint)1 << 40, MPI_INFO_NULL, &block) == MPI_ERR_NO_MEM);
    check(MPI_Free_mem(&x) == MPI_ERR_BASE);
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRHANDLER_NULL) == MPI_ERR_ERRHANDLER);
    check(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &handler) == MPI_SUCCESS &&
          handler == MPI_ERRORS_RETURN);
    check(MPI_Comm_call_errhandler(MPI_COMM_WORLD, MPI_ERR_IO) == MPI_SUCCESS);
    for (int code = 0; code <= MPI_ERR_ABI; code++) {
        check(MPI_Error_class(code, &x) == MPI_SUCCESS && x == code);
        check(MPI_Error_string(code, text, &len) == MPI_SUCCESS && len > 0 &&
              (size_t)len == strlen(text));
    }
    check(MPI_Error_class(9999, &x) == MPI_SUCCESS && x == MPI_ERR_UNKNOWN);
    check(MPI_Error_string(9999, text, &len) == MPI_SUCCESS && strstr(text, "9999"));
    MPI_Finalize();
    return 0;
}

static int alltoall_errors_main(void *argument)
{
    int x[2] = {1, 2}, y[2] = {0, 0};
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Comm world = MPI_COMM_WORLD;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Alltoall(x, 1, MPI_INT, y, 1, MPI_INT, NO_COMM) == MPI_ERR_COMM);
    check(MPI_Alltoall(x, -1, MPI_INT, y, 1, MPI_INT, world) == MPI_ERR_COUNT);
    check(MPI_Alltoall(x, 1, MPI_INT, y, -1, MPI_INT, world) == MPI_ERR_COUNT);
    check(MPI_Alltoall(x, 1, MPI_DATATYPE_NULL, y, 1, MPI_INT, world) == MPI_ERR_TYPE);
    check(MPI_Alltoall(x, 1, MPI_INT, y, 1, MPI_DATATYPE_NULL, world) == MPI_ERR_TYPE);
    check(MPI_Alltoall(NULL, 1, MPI_INT, y, 1, MPI_INT, world) == MPI_ERR_BUFFER);
    check(MPI_Alltoall(x, 1, MPI_INT, NULL, 1, MPI_INT, world) == MPI_ERR_BUFFER);
    check(MPI_Alltoall(x, 1, MPI_INT, MPI_IN_PLACE, 1, MPI_INT, world) == MPI_ERR_BUFFER);
    check(MPI_Alltoall(x, 1, MPI_INT, x, 1, MPI_INT, world) == MPI_ERR_BUFFER);
    check(MPI_Alltoall_c(x, INT64_MAX / 4, MPI_INT, y, 1, MPI_INT, world) == MPI_ERR_COUNT);
    check(MPI_Ialltoall(x, 1, MPI_INT, y, -1, MPI_INT, world, &r) == MPI_ERR_COUNT &&
          r == MPI_REQUEST_NULL);
    /* In place, the send side's count and type are not looked at; without values, no buffer is. */
    check(MPI_Alltoall(MPI_IN_PLACE, -1, MPI_DATATYPE_NULL, x, 1, MPI_INT, world) == MPI_SUCCESS);
    check(MPI_Alltoall(NULL, 0, MPI_INT, NULL, 0, MPI_INT, world) == MPI_SUCCESS);
    check(weft_cell_self()->pins == 0);
    MPI_Finalize();
    return 0;
}

static void wrong_arguments_give_their_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, p2p_errors_main, NULL);
    cases_run(&(struct native_options){.ranks = 1}, request_errors_main, NULL);
    cases_run(&(struct native_options){.ranks = 2}, other_errors_main, NULL);
    cases_run(&(struct native_options){.ranks = 2}, alltoall_errors_main, NULL);
}

static int unsupported_main(void *argument)
{
    int x = 0;
    MPI_Comm comm = MPI_COMM_WORLD, other;
    MPI_Win win;
    MPI_File file;
    MPI_Request request;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_accept("x", MPI_INFO_NULL, 0, comm, &other) == MPI_ERR_UNSUPPORTED_OPERATION);
    check(MPI_Comm_free(&comm) == MPI_ERR_COMM);
    check(MPI_Win_create(&x, 4, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &win) ==
          MPI_ERR_UNSUPPORTED_OPERATION);
    check(MPI_File_open(MPI_COMM_WORLD, "x", 0, MPI_INFO_NULL, &file) ==
          MPI_ERR_UNSUPPORTED_OPERATION);
    check(MPI_Psend_init(&x, 1, 1, MPI_INT, 0, 0, MPI_COMM_WORLD, MPI_INFO_NULL, &request) ==
          MPI_ERR_UNSUPPORTED_OPERATION);
    check(MPI_T_cvar_get_num(&x) == MPI_ERR_UNSUPPORTED_OPERATION);
    MPI_Finalize();
    return 0;
}

static void what_is_not_there_is_unsupported(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, unsupported_main, NULL);
}

static int fatal_unsupported_main(void *argument)
{
    MPI_Comm other;
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_spawn("x", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &other,
                   MPI_ERRCODES_IGNORE);
    return 0;
}

static int fatal_rank_main(void *argument)
{
    int x = 0, rank;
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 1)
        MPI_Send(&x, 1, MPI_INT, 99, 0, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    return 0;
}

static int fatal_truncate_main(void *argument)
{
    int x[2] = {0, 0};
    MPI_Request request;
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Isend(x, 2, MPI_INT, 0, 6, MPI_COMM_SELF, &request);
    MPI_Recv(x, 1, MPI_INT, 0, 6, MPI_COMM_SELF, MPI_STATUS_IGNORE);
    return 0;
}

static int self_handler_main(void *argument)
{
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Barrier(NO_COMM);
    return 0;
}

static int not_initialized_main(void *argument)
{
    (void)argument;
    MPI_Barrier(MPI_COMM_WORLD);
    return 0;
}

static int finalized_main(void *argument)
{
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Finalize();
    MPI_Barrier(MPI_COMM_WORLD);
    return 0;
}

static int other_version_main(void *argument)
{
    (void)argument;
    MPI_Init(NULL, NULL);
    *(uint32_t *)weft_cell_self()->mpi += 1; /* the layout's version comes first */
    MPI_Barrier(MPI_COMM_WORLD);
    return 0;
}

static int init_twice_main(void *argument)
{
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Init(NULL, NULL);
    return 0;
}

static int abort_main(void *argument)
{
    int rank;
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 2)
        MPI_Abort(MPI_COMM_WORLD, 77);
    MPI_Barrier(MPI_COMM_WORLD);
    return 0;
}

static int full_main(void *argument)
{
    int rank;
    static _Thread_local char block[4000];
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int i = 0; i < 100000; i++)
        if (rank == 0)
            MPI_Send(block, sizeof(block), MPI_BYTE, 1, 1, MPI_COMM_WORLD);
    MPI_Recv(block, 0, MPI_BYTE, MPI_ANY_SOURCE, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return 0;
}

static int fatal_file_main(void *argument)
{
    MPI_File file;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_File_set_errhandler(MPI_FILE_NULL, MPI_ERRORS_ARE_FATAL) == MPI_SUCCESS);
    MPI_File_open(MPI_COMM_WORLD, "x", 0, MPI_INFO_NULL, &file);
    return 0;
}

static int fatal_version_main(void *argument)
{
    (void)argument;
    weft_cell_self()->version++;
    MPI_Init(NULL, NULL);
    return 0;
}

static void fatal_errors_end_the_app_with_a_sentence(void **state)
{
    (void)state;
    cases_run_fatal(1, fatal_unsupported_main, MPI_ERR_UNSUPPORTED_OPERATION,
                    "MPI_Comm_spawn: unsupported operation");
    cases_run_fatal(1, fatal_file_main, MPI_ERR_UNSUPPORTED_OPERATION,
                    "MPI_File_open: unsupported operation");
    cases_run_fatal(1, fatal_version_main, MPI_ERR_OTHER, "link the program again");
    cases_run_fatal(3, fatal_rank_main, MPI_ERR_RANK,
                    "rank 1: MPI_Send: invalid rank: rank 99 in a communicator of 3");
    cases_run_fatal(1, fatal_truncate_main, MPI_ERR_TRUNCATE,
                    "MPI_Recv: message longer than the receive buffer: 8 bytes of rank 0 with tag "
                    "6, but room for 4");
    cases_run_fatal(1, self_handler_main, MPI_ERR_COMM,
                    "MPI_Barrier: invalid communicator: handle 0x7000");
    cases_run_fatal(1, not_initialized_main, MPI_ERR_OTHER, "MPI_Barrier: called before MPI_Init");
    cases_run_fatal(1, finalized_main, MPI_ERR_OTHER, "MPI_Barrier: called after MPI_Finalize");
    cases_run_fatal(1, other_version_main, MPI_ERR_OTHER, "libmpi is of another version");
    cases_run_fatal(1, init_twice_main, MPI_ERR_OTHER, "MPI was initialised before");
    cases_run_fatal(4, abort_main, 77, "rank 2: MPI_Abort: code 77");
    cases_run_fatal(2, full_main, MPI_ERR_NO_MEM,
                    "wait to be received and the rank's region is full");
}

static int environment_main(void *argument)
{
    int provided = -1, flag = -1, len, required = *(const int *)argument;
    char name[MPI_MAX_PROCESSOR_NAME];
    MPI_Initialized(&flag);
    check(!flag);
    check(MPI_Init_thread(NULL, NULL, required, &provided) == MPI_SUCCESS);
    check(provided == (required == MPI_THREAD_SINGLE ? MPI_THREAD_SINGLE : MPI_THREAD_FUNNELED));
    check(MPI_Query_thread(&flag) == MPI_SUCCESS && flag == provided);
    check(MPI_Is_thread_main(&flag) == MPI_SUCCESS && flag);
    check(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    check(MPI_Finalized(&flag) == MPI_SUCCESS && !flag);
    check(MPI_Get_processor_name(name, &len) == MPI_SUCCESS && strcmp(name, "native0") == 0 &&
          len == 7);
    double before = MPI_Wtime();
    check(MPI_Wtime() >= before);
    void *block = NULL;
    check(MPI_Alloc_mem(1000, MPI_INFO_NULL, &block) == MPI_SUCCESS);
    check(weft_cell_holds(weft_cell_self(), block, 1000));
    memset(block, 1, 1000);
    check(MPI_Free_mem(block) == MPI_SUCCESS);
    MPI_Aint address;
    check(MPI_Get_address(block, &address) == MPI_SUCCESS && address == (MPI_Aint)block);
    check(MPI_Aint_diff(MPI_Aint_add(address, 8), address) == 8);
    check(MPI_Finalize() == MPI_SUCCESS);
    check(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    check(MPI_Finalized(&flag) == MPI_SUCCESS && flag);
    return 0;
}

static void a_rank_learns_where_it_is(void **state)
{
    static const int levels[] = {MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED,
                                 MPI_THREAD_MULTIPLE};
    (void)state;
    for (int i = 0; i < 4; i++) {
        int level = levels[i];
        cases_run(&(struct native_options){.ranks = 1}, environment_main, &level);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_arguments_give_their_class),
        cmocka_unit_test(what_is_not_there_is_unsupported),
        cmocka_unit_test(fatal_errors_end_the_app_with_a_sentence),
        cmocka_unit_test(a_rank_learns_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
