/* Ranks whose region is copied to other pages between two MPI calls, with everything pending that a
 * rank can have pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"
#include "weft/migrate.h"

enum { SMALL = 100, LARGE = 50000, REGION = 2 << 20 };

/* Pending at the move: receives that wait (one source, any source, any tag), small and large ones.
 */
struct posted {
    unsigned char *small, *any, *large;
    MPI_Request requests[3];
};

static void post(struct posted *posted)
{
    posted->small = weft_alloc(SMALL);
    posted->any = weft_alloc(SMALL);
    posted->large = weft_alloc(LARGE);
    MPI_Irecv(posted->small, SMALL, MPI_BYTE, 1, 1, MPI_COMM_WORLD, &posted->requests[0]);
    MPI_Irecv(posted->any, SMALL, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD,
              &posted->requests[1]);
    MPI_Irecv(posted->large, LARGE, MPI_BYTE, 1, 3, MPI_COMM_WORLD, &posted->requests[2]);
}

static void check_posted(struct posted *posted)
{
    MPI_Status statuses[3];
    check(MPI_Waitall(3, posted->requests, statuses) == MPI_SUCCESS);
    check(cases_holds(posted->small, SMALL, 1) && cases_holds(posted->large, LARGE, 3));
    check(cases_holds(posted->any, SMALL, 2) && statuses[1].MPI_SOURCE == 1 &&
          statuses[1].MPI_TAG == 2);
    weft_free(posted->small);
    weft_free(posted->any);
    weft_free(posted->large);
}

static void send_posted(unsigned char *buffer)
{
    static const int lengths[] = {0, SMALL, SMALL, LARGE};
    for (int tag = 1; tag <= 3; tag++) {
        cases_fill(buffer, (size_t)lengths[tag], (uint64_t)tag);
        MPI_Send(buffer, lengths[tag], MPI_BYTE, 0, tag, MPI_COMM_WORLD);
    }
}

static void move_and_look(void)
{
    native_move_region();
    const void *foreign = native_foreign_pointer();
    if (foreign)
        fprintf(stderr, "word at %p\n", foreign);
    check(foreign == NULL);
}

static int posted_main(void *argument)
{
    int rank, *go;
    (void)argument;
    cases_init(&rank, NULL);
    go = weft_alloc(sizeof(*go));
    if (rank == 0) {
        struct posted *posted = weft_alloc(sizeof(*posted));
        post(posted);
        move_and_look();
        MPI_Send(go, 1, MPI_INT, 1, 9, MPI_COMM_WORLD);
        for (int i = 0; i < 20; i++) {
            int flag;
            check(MPI_Request_get_status(posted->requests[i % 3], &flag, MPI_STATUS_IGNORE) ==
                  MPI_SUCCESS);
            move_and_look();
        }
        check_posted(posted);
        weft_free(posted);
    } else {
        unsigned char *buffer = weft_alloc(LARGE);
        MPI_Recv(go, 1, MPI_INT, 0, 9, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        send_posted(buffer);
        weft_free(buffer);
    }
    weft_free(go);
    MPI_Finalize();
    return 0;
}

static void receives_that_wait_survive_a_move(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++)
        cases_run(&(struct native_options){.ranks = 2, .seed = seed, .region_bytes = REGION},
                  posted_main, NULL);
}

/* Rank 1 sends before rank 0 receives anything: small, large, synchronous. Both move meanwhile. */
static int unexpected_main(void *argument)
{
    int rank, tags[] = {2, 0, 1};
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *buffers[3];
    MPI_Request *requests = weft_alloc(3 * sizeof(*requests));
    for (int i = 0; i < 3; i++)
        buffers[i] = weft_alloc(LARGE);
    if (rank == 1) {
        for (int i = 0; i < 3; i++)
            cases_fill(buffers[i], LARGE, (uint64_t)i);
        MPI_Isend(buffers[0], SMALL, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &requests[0]);
        MPI_Isend(buffers[1], LARGE, MPI_BYTE, 0, 1, MPI_COMM_WORLD, &requests[1]);
        MPI_Issend(buffers[2], SMALL, MPI_BYTE, 0, 2, MPI_COMM_WORLD, &requests[2]);
        move_and_look();
        MPI_Send(buffers[0], 0, MPI_BYTE, 0, 5, MPI_COMM_WORLD);
        move_and_look();
        check(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    } else {
        MPI_Status status;
        MPI_Recv(buffers[0], 0, MPI_BYTE, 1, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        move_and_look();
        for (int i = 0; i < 3; i++) {
            int count;
            MPI_Recv(buffers[i], LARGE, MPI_BYTE, 1, tags[i], MPI_COMM_WORLD, &status);
            MPI_Get_count(&status, MPI_BYTE, &count);
            check(count == (tags[i] == 1 ? LARGE : SMALL));
            check(cases_holds(buffers[i], (size_t)count, (uint64_t)tags[i]));
            move_and_look();
        }
    }
    for (int i = 0; i < 3; i++)
        weft_free(buffers[i]);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void messages_that_wait_survive_a_move(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++)
        cases_run(&(struct native_options){.ranks = 2, .seed = seed, .region_bytes = REGION},
                  unexpected_main, NULL);
}

static int foreign_main(void *argument)
{
    int local = 0, *global = argument;
    cases_init(NULL, NULL);
    void **block = weft_alloc(2 * sizeof(*block));
    check(native_foreign_pointer() == NULL);
    block[1] = &local;
    check(native_foreign_pointer() == &block[1]);
    block[1] = global;
    check(native_foreign_pointer() == &block[1]);
    block[1] = block;
    check(native_foreign_pointer() == NULL);
    weft_free(block);
    MPI_Finalize();
    return 0;
}

static void a_pointer_out_of_the_region_would_be_found(void **state)
{
    static int global;
    (void)state;
    if (!native_finds_pointers()) {
        print_message("programs lie among small numbers under valgrind\n");
        skip();
    }
    cases_run(&(struct native_options){.ranks = 1, .region_bytes = REGION}, foreign_main, &global);
}

static int own_main(void *argument)
{
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    unsigned char *out = weft_alloc(LARGE), *in = weft_alloc(LARGE);
    MPI_Request *requests = weft_alloc(2 * sizeof(*requests));
    cases_fill(out, LARGE, 4);
    MPI_Issend(out, SMALL, MPI_BYTE, rank, 1, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(out, LARGE, MPI_BYTE, 0, 2, MPI_COMM_SELF, &requests[1]);
    move_and_look();
    MPI_Recv(in, LARGE, MPI_BYTE, 0, 2, MPI_COMM_SELF, MPI_STATUS_IGNORE);
    check(cases_holds(in, LARGE, 4));
    move_and_look();
    MPI_Recv(in, LARGE, MPI_BYTE, rank, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    weft_free(out);
    weft_free(in);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void messages_to_itself_survive_a_move(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1, .region_bytes = REGION}, own_main, NULL);
}

static int collective_main(void *argument)
{
    enum { N = 4, COUNT = 3000 };
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    MPI_Request *requests = weft_alloc((N + 1) * sizeof(*requests));
    double *in = weft_alloc(COUNT * sizeof(*in)), *out[N];
    for (int i = 0; i < COUNT; i++)
        in[i] = rank + i;
    for (int n = 0; n < N; n++) {
        out[n] = weft_alloc(COUNT * sizeof(double));
        MPI_Iallreduce(in, out[n], COUNT, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &requests[n]);
        if (native_random() % 2 == 0)
            move_and_look();
    }
    MPI_Ibarrier(MPI_COMM_WORLD, &requests[N]);
    for (int flag = 0; !flag;) {
        MPI_Testall(N + 1, requests, &flag, MPI_STATUSES_IGNORE);
        if (native_random() % 8 == 0)
            native_move_region();
    }
    for (int n = 0; n < N; n++) {
        for (int i = 0; i < COUNT; i++)
            check(out[n][i] == size * (size - 1) / 2 + (double)i * size);
        weft_free(out[n]);
    }
    weft_free(in);
    weft_free(requests);
    MPI_Finalize();
    return 0;
}

static void collectives_under_way_survive_moves(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        cases_run(&(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = REGION},
                  collective_main, NULL);
}

/* Rank 1 comes to each collective after rank 0 has started it with buffers on its stack. */
static int stack_main(void *argument)
{
    int rank, size;
    const struct weft_cell *cell = weft_cell_self();
    (void)argument;
    cases_init(&rank, &size);
    int64_t in = rank, out = 0, blocks[2] = {rank, rank};
    MPI_Request requests[2];
    if (rank != 0) {
        MPI_Recv(NULL, 0, MPI_INT, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        check(cell->pins == 0);
    }
    MPI_Iallreduce(&in, &out, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD, &requests[0]);
    check(rank != 0 || cell->pins > 0);
    MPI_Ialltoall(MPI_IN_PLACE, 0, MPI_INT, blocks, 1, MPI_INT64_T, MPI_COMM_WORLD, &requests[1]);
    check(rank != 0 || cell->pins > 1);
    if (rank == 0)
        MPI_Send(NULL, 0, MPI_INT, 1, 1, MPI_COMM_WORLD);
    check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    check(cell->pins == 0 && out == 1 && blocks[0] == 0 && blocks[1] == 1);
    MPI_Finalize();
    return 0;
}

static void a_collective_under_way_with_buffers_on_the_stack_keeps_the_rank(void **state)
{
    (void)state;
    cases_run_all(2, stack_main, NULL);
}

/* Moves at migration points: another thread goes on, with nothing of the old one but the region. */
struct counter {
    int rank, size, rounds, moves;
    int64_t sum;
    MPI_Request early;
    int early_value;
};
enum { ROUNDS = 60 };

static int count_on(void *argument);

static int count(struct counter *counter)
{
    int flag = 0;
    while (counter->rounds < ROUNDS) {
        weft_migration_point(count_on, counter);
        int64_t value = counter->rank + counter->rounds++, sum = 0;
        check(MPI_Allreduce(&value, &sum, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS);
        counter->sum += sum;
    }
    check(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    int64_t n = counter->size;
    check(counter->sum == ROUNDS * n * (n - 1) / 2 + n * ROUNDS * (ROUNDS - 1) / 2);
    MPI_Send(&counter->rank, 1, MPI_INT, (counter->rank + 1) % counter->size, 5, MPI_COMM_WORLD);
    check(MPI_Wait(&counter->early, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(counter->early_value == (counter->rank + counter->size - 1) % counter->size);
    char host[MPI_MAX_PROCESSOR_NAME], want[32];
    int len;
    MPI_Get_processor_name(host, &len);
    snprintf(want, sizeof(want), "native%d", counter->moves);
    check(strcmp(host, want) == 0);
    weft_free(counter);
    MPI_Finalize();
    return 0;
}

static int count_on(void *argument)
{
    struct counter *counter = argument;
    counter->moves++;
    return count(counter);
}

static int count_main(void *argument)
{
    (void)argument;
    MPI_Init(NULL, NULL);
    struct counter *counter = weft_alloc(sizeof(*counter));
    MPI_Comm_rank(MPI_COMM_WORLD, &counter->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &counter->size);
    MPI_Irecv(&counter->early_value, 1, MPI_INT, MPI_ANY_SOURCE, 5, MPI_COMM_WORLD,
              &counter->early);
    return count(counter);
}

static void a_rank_goes_on_in_its_entry_with_mpi_initialised(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        struct native_result result;
        native_run(
            &(struct native_options){.ranks = n, .seed = 3, .region_bytes = REGION, .moving = true},
            count_main, NULL, &result);
        assert_false(result.aborted);
        assert_int_equal(result.code, 0);
        assert_true(result.moves > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pointer_out_of_the_region_would_be_found),
        cmocka_unit_test(receives_that_wait_survive_a_move),
        cmocka_unit_test(messages_that_wait_survive_a_move),
        cmocka_unit_test(messages_to_itself_survive_a_move),
        cmocka_unit_test(collectives_under_way_survive_moves),
        cmocka_unit_test(a_collective_under_way_with_buffers_on_the_stack_keeps_the_rank),
        cmocka_unit_test(a_rank_goes_on_in_its_entry_with_mpi_initialised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
