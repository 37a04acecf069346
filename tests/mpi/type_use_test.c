/* Derived datatypes in use: messages, collectives, moves, and everything that must be refused. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "typemap.h"
#include "weft/memory.h"

enum { PACKET = 4096, N = 40 };

#define OK(call) check((call) == MPI_SUCCESS)

/* ---- messages ---- */

struct memory {
    char *bytes;
    size_t len;
    void *buf;
};

static void make_memory(struct memory *m, const struct typemap *map, int count, uint64_t key)
{
    int64_t len, low = typemap_low(map, count, &len);
    m->len = (size_t)len;
    m->bytes = weft_alloc(m->len + 1);
    m->buf = (void *)((uintptr_t)m->bytes - (uintptr_t)low);
    cases_fill(m->bytes, m->len, key);
    for (size_t i = 0; i < m->len; i++)
        m->bytes[i] |= (char)0x80; /* no word of them can be an address */
}

struct exchange {
    struct typemap sent, received;
    int count;
    struct memory from, into;
    MPI_Request requests[2];
};

/* Both ranks know both types: from one seed. The count makes some messages longer than a packet. */
static void start_exchange(uint64_t *random, struct exchange *x, const struct typemap *pool,
                           int rank)
{
    do {
        typemap_random(random, pool, TYPEMAP_BASICS, &x->sent);
        x->count = x->sent.n > 0 ? TYPEMAP_MAX / x->sent.n : 0;
        if (typemap_mix(random) % 2 && x->count > 3)
            x->count = 3;
        if (x->count == 0)
            typemap_free(&x->sent);
    } while (x->count == 0);
    typemap_alike(random, &x->sent, x->count, &x->received);
    make_memory(&x->from, &x->sent, x->count, (uint64_t)rank);
    make_memory(&x->into, &x->received, 1, 77);
    int peer = 1 - rank;
    OK(MPI_Irecv(x->into.buf, 1, x->received.type, peer, 5, MPI_COMM_WORLD, &x->requests[0]));
    OK(MPI_Isend(x->from.buf, x->count, x->sent.type, peer, 5, MPI_COMM_WORLD, &x->requests[1]));
    /* Whoever still needs them keeps them. */
    OK(MPI_Type_free(&x->sent.type));
    OK(MPI_Type_free(&x->received.type));
    OK(MPI_Type_dup(MPI_INT, &x->sent.type));
    OK(MPI_Type_dup(MPI_INT, &x->received.type));
}

static void finish_exchange(struct exchange *x, int rank)
{
    struct memory other, want;
    MPI_Status statuses[2];
    MPI_Count len;
    int64_t size = typemap_size(&x->received);
    char *packed = malloc((size_t)size);
    OK(MPI_Waitall(2, x->requests, statuses));
    OK(MPI_Get_count_c(&statuses[0], MPI_BYTE, &len));
    check(len == size);
    make_memory(&other, &x->sent, x->count, (uint64_t)(1 - rank));
    make_memory(&want, &x->received, 1, 77);
    typemap_pack(&x->sent, other.buf, x->count, packed);
    typemap_unpack(&x->received, want.buf, 1, packed);
    check(memcmp(want.bytes, x->into.bytes, want.len) == 0);
    weft_free(other.bytes);
    weft_free(want.bytes);
    weft_free(x->from.bytes);
    weft_free(x->into.bytes);
    typemap_free(&x->sent);
    typemap_free(&x->received);
    free(packed);
}

struct traffic {
    uint64_t seed;
    bool moving;
};

static void maybe_move(const struct traffic *traffic)
{
    if (!traffic->moving || native_random() % 3 != 0)
        return;
    native_move_region();
    check(native_foreign_pointer() == NULL);
}

static int messages_main(void *argument)
{
    const struct traffic *traffic = argument;
    struct typemap pool[TYPEMAP_BASICS];
    uint64_t random = traffic->seed;
    int rank;
    cases_init(&rank, NULL);
    for (int i = 0; i < TYPEMAP_BASICS; i++)
        typemap_basic(i, &pool[i]);
    for (int round = 0; round < 20; round++) {
        struct exchange x[2];
        start_exchange(&random, &x[0], pool, rank);
        maybe_move(traffic);
        start_exchange(&random, &x[1], pool, rank);
        maybe_move(traffic);
        finish_exchange(&x[0], rank);
        maybe_move(traffic);
        finish_exchange(&x[1], rank);
    }
    for (int i = 0; i < TYPEMAP_BASICS; i++)
        typemap_free(&pool[i]);
    MPI_Finalize();
    return 0;
}

static void messages_between_types_of_one_signature(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct traffic traffic = {.seed = seed};
        cases_run_all(2, messages_main, &traffic);
    }
}

static void types_are_held_by_messages_while_ranks_move(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 12; seed++) {
        struct traffic traffic = {.seed = seed, .moving = true};
        cases_run(&(struct native_options){.ranks = 2, .region_bytes = 1 << 20, .seed = seed},
                  messages_main, &traffic);
    }
}

/* ---- what becomes of too long and too short messages ---- */

static int lengths_main(void *argument)
{
    MPI_Datatype pairs, every_other;
    MPI_Status status;
    int rank, values[2 * N], count;
    (void)argument;
    cases_init(&rank, NULL);
    OK(MPI_Type_vector(2, 1, 3, MPI_INT, &pairs));
    OK(MPI_Type_create_resized(pairs, 0, 4, &every_other));
    OK(MPI_Type_commit(&pairs));
    for (int i = 0; i < 2 * N; i++)
        values[i] = rank == 0 ? i : -1;
    if (rank == 0) {
        OK(MPI_Send(values, 5, MPI_INT, 1, 0, MPI_COMM_WORLD));
        OK(MPI_Send(values, 7, MPI_INT, 1, 0, MPI_COMM_WORLD));
    } else {
        OK(MPI_Recv(values, 4, pairs, 0, 0, MPI_COMM_WORLD, &status));
        OK(MPI_Get_count(&status, pairs, &count));
        check(count == MPI_UNDEFINED);
        OK(MPI_Get_elements(&status, pairs, &count));
        check(count == 5);
        check(values[0] == 0 && values[1] == -1 && values[3] == 1 && values[4] == 2);
        check(values[7] == 3 && values[8] == 4 && values[11] == -1);
        check(MPI_Recv(values, 3, pairs, 0, 0, MPI_COMM_WORLD, &status) == MPI_ERR_TRUNCATE);
        check(values[11] == 5 && values[12] == -1);
    }
    check(MPI_Send(values, 1, every_other, 1 - rank, 0, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    OK(MPI_Type_free(&pairs));
    OK(MPI_Type_free(&every_other));
    MPI_Finalize();
    return 0;
}

static void messages_that_do_not_fit_their_type(void **state)
{
    (void)state;
    cases_run_all(2, lengths_main, NULL);
}

/* ---- absolute addresses ---- */

static int bottom_main(void *argument)
{
    int rank, lengths[] = {1, 3, 2};
    double *a = weft_alloc(sizeof(*a));
    int *b = weft_alloc(3 * sizeof(*b));
    char *c = weft_alloc(2);
    MPI_Aint places[3];
    MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT, MPI_CHAR}, type;
    (void)argument;
    cases_init(&rank, NULL);
    OK(MPI_Get_address(a, &places[0]));
    OK(MPI_Get_address(b, &places[1]));
    OK(MPI_Get_address(c, &places[2]));
    check(MPI_Aint_add(places[1], MPI_Aint_diff(places[0], places[1])) == places[0]);
    OK(MPI_Type_create_struct(3, lengths, places, types, &type));
    OK(MPI_Type_commit(&type));
    if (rank == 0) {
        *a = 1.5;
        for (int i = 0; i < 3; i++)
            b[i] = 10 + i;
        memcpy(c, "xy", 2);
    }
    OK(MPI_Bcast(MPI_BOTTOM, 1, type, 0, MPI_COMM_WORLD));
    check(*a == 1.5 && b[0] == 10 && b[2] == 12 && memcmp(c, "xy", 2) == 0);
    OK(MPI_Type_free(&type));
    check(MPI_Send(NULL, 1, MPI_INT, 0, 0, MPI_COMM_SELF) == MPI_ERR_BUFFER);
    OK(MPI_Type_contiguous(2, MPI_INT, &type));
    OK(MPI_Type_commit(&type));
    check(MPI_Send(NULL, 1, type, 0, 0, MPI_COMM_SELF) == MPI_ERR_BUFFER);
    OK(MPI_Type_free(&type));
    weft_free(a);
    weft_free(b);
    weft_free(c);
    MPI_Finalize();
    return 0;
}

static void absolute_addresses_need_no_buffer(void **state)
{
    (void)state;
    cases_run_all(3, bottom_main, NULL);
}

/* ---- collectives ---- */

enum { SIDE = 12 };

/* A matrix by columns is received by rows. */
static int transpose_main(void *argument)
{
    static const int large_sides[] = {SIDE, 120};
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    for (int form = 0; form < 2; form++) {
        int side = large_sides[form] / size * size, rows = side / size;
        MPI_Datatype column, columns, block, blocks;
        double *mine = weft_alloc(sizeof(double) * (size_t)(rows * side));
        double *got = weft_alloc(sizeof(double) * (size_t)(rows * side));
        OK(MPI_Type_vector(rows, 1, side, MPI_DOUBLE, &column));
        OK(MPI_Type_create_resized(column, 0, sizeof(double), &columns));
        OK(MPI_Type_contiguous(rows, columns, &block));
        OK(MPI_Type_vector(rows, rows, side, MPI_DOUBLE, &blocks));
        MPI_Datatype received;
        OK(MPI_Type_create_resized(blocks, 0, (MPI_Aint)sizeof(double) * rows, &received));
        OK(MPI_Type_commit(&block));
        OK(MPI_Type_commit(&received));
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < side; j++)
                mine[i * side + j] = (rank * rows + i) * 1000 + j;
        OK(MPI_Alltoall(mine, 1, block, got, 1, received, MPI_COMM_WORLD));
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < side; j++)
                check(got[i * side + j] == j * 1000 + rank * rows + i);
        MPI_Datatype all[] = {column, columns, block, blocks, received};
        for (int i = 0; i < 5; i++)
            OK(MPI_Type_free(&all[i]));
        weft_free(mine);
        weft_free(got);
    }
    MPI_Finalize();
    return 0;
}

static void a_matrix_is_transposed_by_types(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        cases_run_all(n, transpose_main, NULL);
}

/* Every collective with a type that has gaps, a lower bound and a negative extent. */
static int gaps_main(void *argument)
{
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    MPI_Datatype spread, type;
    int places[] = {3, -2};
    OK(MPI_Type_create_indexed_block(2, 1, places, MPI_INT, &spread));
    OK(MPI_Type_create_resized(spread, -8, -24, &type));
    OK(MPI_Type_commit(&type));
    /* Value i of a buffer: ints at 3 - 6 i and -2 - 6 i. */
    int *memory = weft_alloc(sizeof(int) * (size_t)(6 * size + 12)), *buf = memory + 6 * size;
    int *other = weft_alloc(sizeof(int) * (size_t)(6 * size + 12)), *into = other + 6 * size;
    buf[3] = rank;
    buf[-2] = -rank;
    OK(MPI_Allgather(buf, 1, type, into, 1, type, MPI_COMM_WORLD));
    for (int i = 0; i < size; i++)
        check(into[3 - 6 * i] == i && into[-2 - 6 * i] == -i && into[2 - 6 * i] == 0);
    OK(MPI_Alltoall(into, 1, type, buf, 1, type, MPI_COMM_WORLD));
    for (int i = 0; i < size; i++)
        check(buf[3 - 6 * i] == rank && buf[-2 - 6 * i] == -rank && buf[2 - 6 * i] == 0);
    OK(MPI_Alltoall(MPI_IN_PLACE, 0, type, into, 1, type, MPI_COMM_WORLD));
    for (int i = 0; i < size; i++)
        check(into[3 - 6 * i] == rank && into[-2 - 6 * i] == -rank && into[2 - 6 * i] == 0);
    OK(MPI_Type_free(&spread));
    OK(MPI_Type_free(&type));
    weft_free(memory);
    weft_free(other);
    MPI_Finalize();
    return 0;
}

static void collectives_leave_gaps_alone(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        cases_run_all(n, gaps_main, NULL);
}

/* ---- handles ---- */

static int handles_main(void *argument)
{
    MPI_Datatype type, other, old, types[8], wrong = (MPI_Datatype)(uintptr_t)0x1234200;
    int value = 0, size, n[3], combiner, integers[2], len;
    MPI_Aint addresses[1];
    char name[MPI_MAX_OBJECT_NAME];
    (void)argument;
    cases_init(NULL, NULL);
    OK(MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD)); /* makes the table of requests */
    size_t used = native_heap_used();
    OK(MPI_Type_contiguous(3, MPI_INT, &type));
    check(MPI_Bcast(&value, 0, type, 0, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    OK(MPI_Type_commit(&type));
    OK(MPI_Type_commit(&type));
    OK(MPI_Bcast(&value, 0, type, 0, MPI_COMM_WORLD));
    OK(MPI_Type_dup(type, &other));
    OK(MPI_Bcast(&value, 0, other, 0, MPI_COMM_WORLD)); /* committed like the old one */
    OK(MPI_Type_get_envelope(other, &n[0], &n[1], &n[2], &combiner));
    check(n[0] == 0 && n[1] == 0 && n[2] == 1 && combiner == MPI_COMBINER_DUP);
    old = type;
    OK(MPI_Type_free(&type));
    check(type == MPI_DATATYPE_NULL);
    check(MPI_Type_size(old, &size) == MPI_ERR_TYPE);
    check(MPI_Type_free(&old) == MPI_ERR_TYPE);
    check(MPI_Send(&value, 1, old, 0, 0, MPI_COMM_SELF) == MPI_ERR_TYPE);
    /* What is made of a freed type gives it back. */
    OK(MPI_Type_get_contents(other, 0, 0, 1, integers, addresses, types));
    OK(MPI_Type_size(types[0], &size));
    check(size == 12);
    OK(MPI_Type_get_contents(types[0], 1, 0, 1, integers, addresses, &types[1]));
    check(integers[0] == 3 && types[1] == MPI_INT);
    check(MPI_Type_get_contents(types[0], 0, 0, 1, integers, addresses, &types[1]) == MPI_ERR_ARG);
    check(MPI_Type_get_contents(MPI_INT, 0, 0, 0, NULL, NULL, NULL) == MPI_ERR_TYPE);
    OK(MPI_Type_free(&types[0]));
    OK(MPI_Type_free(&other));
    type = MPI_INT;
    check(MPI_Type_free(&type) == MPI_ERR_TYPE && type == MPI_INT);
    type = MPI_DATATYPE_NULL;
    check(MPI_Type_free(&type) == MPI_ERR_TYPE);
    check(MPI_Type_commit(&wrong) == MPI_ERR_TYPE);
    OK(MPI_Type_get_name(MPI_DOUBLE_INT, name, &len));
    check(strcmp(name, "MPI_DOUBLE_INT") == 0 && len == (int)strlen(name));
    OK(MPI_Type_contiguous(2, MPI_CHAR, &type));
    OK(MPI_Type_get_name(type, name, &len));
    check(len == 0 && name[0] == '\0');
    OK(MPI_Type_set_name(type, "two"));
    OK(MPI_Type_set_name(type, "two characters"));
    OK(MPI_Type_get_name(type, name, &len));
    check(strcmp(name, "two characters") == 0);
    check(MPI_Type_fromint(MPI_Type_toint(type)) == type);
    OK(MPI_Type_free(&type));
    check(native_heap_used() <= used + 1024); /* the table of types stays */
    MPI_Finalize();
    return 0;
}

static void handles_are_given_and_taken_back(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, handles_main, NULL);
}

/* ---- Fortran's numbers ---- */

static int fortran_main(void *argument)
{
    MPI_Datatype real, again, integer, pair;
    double x = 1.5, y = 0;
    int n[3], integers[2], combiner, size;
    (void)argument;
    cases_init(NULL, NULL);
    OK(MPI_Type_create_f90_real(15, MPI_UNDEFINED, &real));
    OK(MPI_Type_create_f90_real(15, MPI_UNDEFINED, &again));
    check(real == again);
    OK(MPI_Allreduce(&x, &y, 1, real, MPI_SUM, MPI_COMM_SELF));
    check(y == 1.5);
    OK(MPI_Type_get_envelope(real, &n[0], &n[1], &n[2], &combiner));
    check(n[0] == 2 && n[1] == 0 && n[2] == 0 && combiner == MPI_COMBINER_F90_REAL);
    OK(MPI_Type_get_contents(real, 2, 0, 0, integers, NULL, NULL));
    check(integers[0] == 15 && integers[1] == MPI_UNDEFINED);
    check(MPI_Type_free(&real) == MPI_ERR_TYPE && real == again);
    OK(MPI_Type_create_f90_integer(10, &integer));
    OK(MPI_Type_size(integer, &size));
    check(size == 8);
    OK(MPI_Type_create_f90_complex(6, 30, &again));
    OK(MPI_Type_size(again, &size));
    check(size == 8);
    check(MPI_Type_create_f90_real(MPI_UNDEFINED, MPI_UNDEFINED, &again) == MPI_ERR_ARG);
    check(MPI_Type_create_f90_real(100, 1, &again) == MPI_ERR_ARG);
    check(MPI_Type_create_f90_integer(39, &again) == MPI_ERR_ARG);
    OK(MPI_Type_match_size(MPI_TYPECLASS_REAL, 8, &again));
    check(again == MPI_REAL8);
    OK(MPI_Type_match_size(MPI_TYPECLASS_COMPLEX, 8, &again));
    check(again == MPI_COMPLEX8);
    check(MPI_Type_match_size(MPI_TYPECLASS_INTEGER, 3, &again) == MPI_ERR_ARG);
    OK(MPI_Type_get_value_index(MPI_DOUBLE, MPI_INT, &pair));
    check(pair == MPI_DOUBLE_INT);
    OK(MPI_Type_get_value_index(MPI_CHAR, MPI_INT, &pair));
    check(pair == MPI_DATATYPE_NULL);
    MPI_Finalize();
    return 0;
}

static void numbers_as_fortran_selects_them(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, fortran_main, NULL);
}

/* ---- arguments ---- */

static int arguments_main(void *argument)
{
    MPI_Datatype type = MPI_DATATYPE_NULL, null = MPI_DATATYPE_NULL;
    const int one[] = {1, 1}, negative[] = {-1, 1}, two[] = {2, 2}, zero[] = {0, 0};
    const int block[] = {MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_NONE};
    const int dflt[] = {MPI_DISTRIBUTE_DFLT_DARG, MPI_DISTRIBUTE_DFLT_DARG};
    const MPI_Aint places[] = {0, 8};
    const MPI_Datatype types[] = {MPI_INT, MPI_DATATYPE_NULL};
    char bytes[16];
    int position = 0, x = 0;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Type_contiguous(-1, MPI_INT, &type) == MPI_ERR_COUNT);
    check(MPI_Type_contiguous(1, null, &type) == MPI_ERR_TYPE);
    check(MPI_Type_vector(2, -1, 1, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_vector(-2, 1, 1, MPI_INT, &type) == MPI_ERR_COUNT);
    check(MPI_Type_indexed(2, negative, one, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_indexed(-2, NULL, NULL, MPI_INT, &type) == MPI_ERR_COUNT);
    check(MPI_Type_create_struct(2, one, places, types, &type) == MPI_ERR_TYPE);
    check(MPI_Type_create_subarray(0, two, one, zero, MPI_ORDER_C, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_create_subarray(2, one, two, zero, MPI_ORDER_C, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_create_subarray(2, two, two, one, MPI_ORDER_C, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_create_subarray(2, two, one, one, 3, MPI_INT, &type) == MPI_ERR_ARG);
    check(MPI_Type_create_darray(2, 2, 2, two, block, dflt, one, MPI_ORDER_C, MPI_INT, &type) ==
          MPI_ERR_ARG);
    check(MPI_Type_create_darray(2, 0, 2, two, block, dflt, one, MPI_ORDER_C, MPI_INT, &type) ==
          MPI_ERR_ARG); /* a grid of one */
    check(MPI_Type_create_darray(4, 0, 2, two, block, dflt, two, MPI_ORDER_C, MPI_INT, &type) ==
          MPI_ERR_ARG); /* two ranks, not distributed */
    check(type == MPI_DATATYPE_NULL);
    check(MPI_Pack(&x, 1, MPI_INT, bytes, 3, &position, MPI_COMM_WORLD) == MPI_ERR_TRUNCATE);
    check(position == 0);
    position = 17;
    check(MPI_Pack(&x, 1, MPI_INT, bytes, 16, &position, MPI_COMM_WORLD) == MPI_ERR_ARG);
    position = 14;
    check(MPI_Unpack(bytes, 16, &position, &x, 1, MPI_INT, MPI_COMM_WORLD) == MPI_ERR_TRUNCATE);
    check(MPI_Pack(&x, -1, MPI_INT, bytes, 16, &position, MPI_COMM_WORLD) == MPI_ERR_COUNT);
    check(MPI_Pack(&x, 1, null, bytes, 16, &position, MPI_COMM_WORLD) == MPI_ERR_TYPE);
    check(MPI_Pack(&x, 1, MPI_INT, bytes, 16, &position, MPI_COMM_NULL) == MPI_ERR_COMM);
    MPI_Finalize();
    return 0;
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, arguments_main, NULL);
}

/* ---- sizes ---- */

static int sizes_main(void *argument)
{
    MPI_Datatype type, other, chain;
    MPI_Count size, extent, lb;
    MPI_Aint place = 8;
    int x = 0, small, one = 1;
    (void)argument;
    cases_init(NULL, NULL);
    OK(MPI_Type_contiguous(INT_MAX, MPI_DOUBLE, &type));
    OK(MPI_Type_size(type, &small));
    check(small == MPI_UNDEFINED);
    OK(MPI_Type_size_x(type, &size));
    check(size == (MPI_Count)INT_MAX * 8);
    check(MPI_Type_vector(INT_MAX, 1, -2, type, &other) == MPI_ERR_VALUE_TOO_LARGE);
    check(MPI_Type_contiguous_c((MPI_Count)1 << 40, type, &other) == MPI_ERR_VALUE_TOO_LARGE);
    check(MPI_Type_vector_c(2, 1, INT64_MAX / 2, MPI_INT, &other) == MPI_ERR_VALUE_TOO_LARGE);
    check(MPI_Type_create_hvector_c(3, 1, INT64_MAX / 2 + 1, MPI_INT, &other) ==
          MPI_ERR_VALUE_TOO_LARGE);
    check(MPI_Type_create_resized(MPI_INT, PTRDIFF_MAX, 1, &other) == MPI_ERR_VALUE_TOO_LARGE);
    OK(MPI_Type_free(&type));
    OK(MPI_Type_contiguous(INT_MAX, MPI_CHAR, &type));
    OK(MPI_Type_vector(INT_MAX, 1, -2, type, &other));
    OK(MPI_Type_size_c(other, &size));
    check(size == (MPI_Count)INT_MAX * INT_MAX);
    OK(MPI_Type_get_extent_c(other, &lb, &extent));
    check(lb == -2 * (MPI_Count)(INT_MAX - 1) * INT_MAX && extent == INT_MAX - lb);
    OK(MPI_Type_free(&other));
    OK(MPI_Type_commit(&type));
    check(MPI_Send_c(&x, (MPI_Count)1 << 60, type, 0, 0, MPI_COMM_SELF) == MPI_ERR_COUNT);
    OK(MPI_Type_free(&type));
    /* Nothing at all. */
    OK(MPI_Type_contiguous(0, MPI_INT, &type));
    OK(MPI_Type_commit(&type));
    OK(MPI_Sendrecv(NULL, 5, type, 0, 0, NULL, 7, type, 0, 0, MPI_COMM_SELF, MPI_STATUS_IGNORE));
    OK(MPI_Type_get_extent_c(type, &lb, &extent));
    check(lb == 0 && extent == 0);
    OK(MPI_Type_free(&type));
    /* Flat types do not nest, however many they are; others do, up to a bound. */
    OK(MPI_Type_contiguous(1, MPI_INT, &chain));
    for (int i = 0; i < 2000; i++) {
        OK(i % 2 ? MPI_Type_contiguous(1, chain, &other) : MPI_Type_dup(chain, &other));
        OK(MPI_Type_free(&chain));
        chain = other;
    }
    OK(MPI_Type_size(chain, &small));
    check(small == 4);
    OK(MPI_Type_free(&chain));
    OK(MPI_Type_vector(2, 1, 2, MPI_INT, &chain));
    int depth = 0, err;
    while ((err = MPI_Type_create_struct(1, &one, &place, &chain, &other)) == MPI_SUCCESS) {
        OK(MPI_Type_free(&chain));
        chain = other;
        check(++depth < 100);
    }
    check(err == MPI_ERR_TYPE && depth > 30);
    OK(MPI_Type_free(&chain));
    MPI_Finalize();
    return 0;
}

static void sizes_up_to_what_64_bits_hold(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, sizes_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_between_types_of_one_signature),
        cmocka_unit_test(types_are_held_by_messages_while_ranks_move),
        cmocka_unit_test(messages_that_do_not_fit_their_type),
        cmocka_unit_test(absolute_addresses_need_no_buffer),
        cmocka_unit_test(a_matrix_is_transposed_by_types),
        cmocka_unit_test(collectives_leave_gaps_alone),
        cmocka_unit_test(handles_are_given_and_taken_back),
        cmocka_unit_test(numbers_as_fortran_selects_them),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(sizes_up_to_what_64_bits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
