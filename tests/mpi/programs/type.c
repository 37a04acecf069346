/* Derived datatypes and operations of the program: halos of a grid as subarrays, a transposition,
 * a matrix from one distribution into another, lists of records, packed messages, maps composed in
 * the order of the ranks. */
#include <mpi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3, SIDE = 24, DEPTH = 10, RECORDS = 60, PRIME = 10007 };

static int rank, size;
static unsigned long digest = 1469598103934665603ul;

static void add(long value)
{
    digest = (digest ^ (unsigned long)value) * 1099511628211ul;
}

static void fail(const char *what, long where)
{
    fprintf(stderr, "rank %d: %s (%ld)\n", rank, what, where);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

/* ---- halos: each rank has a slab of a torus, two layers are exchanged in each direction ---- */

static MPI_Datatype layers(int start, int first, int halo)
{
    const int sizes[] = {SIDE + 4, SIDE, DEPTH}, parts[] = {halo, SIDE, DEPTH};
    const int starts[] = {start + first, 0, 0};
    MPI_Datatype type;
    MPI_Type_create_subarray(3, sizes, parts, starts, MPI_ORDER_C, MPI_DOUBLE, &type);
    MPI_Type_commit(&type);
    return type;
}

static void halos(int round)
{
    double(*grid)[SIDE][DEPTH] = calloc(SIDE + 4, sizeof(*grid));
    MPI_Datatype up = layers(2, 0, 2), down = layers(SIDE, 0, 2);
    MPI_Datatype above = layers(0, 0, 2), below = layers(SIDE + 2, 0, 2);
    int before = (rank + size - 1) % size, after = (rank + 1) % size;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            for (int k = 0; k < DEPTH; k++)
                grid[i + 2][j][k] = rank * SIDE + i + j * 0.5 + k * 0.25 + round;
    for (int step = 0; step < 3; step++) {
        MPI_Request requests[4];
        MPI_Irecv(grid, 1, above, before, 1, MPI_COMM_WORLD, &requests[0]);
        MPI_Irecv(grid, 1, below, after, 2, MPI_COMM_WORLD, &requests[1]);
        MPI_Isend(grid, 1, up, before, 2, MPI_COMM_WORLD, &requests[2]);
        MPI_Isend(grid, 1, down, after, 1, MPI_COMM_WORLD, &requests[3]);
        MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
        for (int j = 0; j < SIDE; j++)
            for (int k = 0; k < DEPTH; k++) {
                add((long)(grid[0][j][k] * 4));
                add((long)(grid[SIDE + 3][j][k] * 4));
                grid[2][j][k] += grid[1][j][k] - grid[0][j][k];
                grid[SIDE + 1][j][k] -= grid[SIDE + 2][j][k] - grid[SIDE + 3][j][k];
            }
    }
    MPI_Type_free(&up);
    MPI_Type_free(&down);
    MPI_Type_free(&above);
    MPI_Type_free(&below);
    free(grid);
}

/* ---- columns become rows ---- */

static void transpose(int round)
{
    int rows = round + 2, side = rows * size;
    int *mine = malloc(sizeof(int) * (size_t)(rows * side));
    int *got = malloc(sizeof(int) * (size_t)(rows * side));
    MPI_Datatype column, next, columns, block, rows_of;
    MPI_Type_vector(rows, 1, side, MPI_INT, &column);
    MPI_Type_create_resized(column, 0, sizeof(int), &next);
    MPI_Type_contiguous(rows, next, &columns);
    MPI_Type_vector(rows, rows, side, MPI_INT, &block);
    MPI_Type_create_resized(block, 0, (MPI_Aint)sizeof(int) * rows, &rows_of);
    MPI_Type_commit(&columns);
    MPI_Type_commit(&rows_of);
    MPI_Type_free(&column);
    MPI_Type_free(&next);
    MPI_Type_free(&block);
    for (int i = 0; i < rows * side; i++)
        mine[i] = rank * rows * side + i;
    MPI_Alltoall(mine, 1, columns, got, 1, rows_of, MPI_COMM_WORLD);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < side; j++)
            if (got[i * side + j] != j * side + rank * rows + i)
                fail("wrong element of the transposed matrix", i * side + j);
    MPI_Type_free(&columns);
    MPI_Type_free(&rows_of);
    free(mine);
    free(got);
}

/* ---- a matrix dealt out in blocks, gathered, dealt out again ---- */

static void distributions(int round)
{
    const int sizes[] = {SIDE + round, SIDE - 1};
    const int kinds[] = {MPI_DISTRIBUTE_CYCLIC,
                         round % 2 ? MPI_DISTRIBUTE_NONE : MPI_DISTRIBUTE_BLOCK};
    const int arguments[] = {round + 1, MPI_DISTRIBUTE_DFLT_DARG}, grid[] = {size, 1};
    int all = sizes[0] * sizes[1];
    short *matrix = malloc(sizeof(short) * (size_t)all),
          *local = malloc(sizeof(short) * (size_t)all);
    int bytes, mine;
    for (int from = 0; from < size; from++) {
        MPI_Datatype part;
        MPI_Type_create_darray(size, from, 2, sizes, kinds, arguments, grid, MPI_ORDER_FORTRAN,
                               MPI_SHORT, &part);
        MPI_Type_commit(&part);
        MPI_Type_size(part, &bytes);
        if (from == rank) {
            mine = bytes / (int)sizeof(short);
            for (int i = 0; i < all; i++)
                matrix[i] = (short)(i * 3 + round);
            MPI_Sendrecv(matrix, 1, part, rank, 4, local, mine, MPI_SHORT, rank, 4, MPI_COMM_WORLD,
                         MPI_STATUS_IGNORE);
            memset(matrix, 0, sizeof(short) * (size_t)all);
            for (int i = 0; i < mine; i++)
                add(local[i]);
        }
        MPI_Type_free(&part);
    }
    /* Rank 0 puts the parts together again. */
    MPI_Request request;
    MPI_Isend(local, mine, MPI_SHORT, 0, 5, MPI_COMM_WORLD, &request);
    for (int from = 0; from < size && rank == 0; from++) {
        MPI_Datatype part;
        MPI_Type_create_darray(size, from, 2, sizes, kinds, arguments, grid, MPI_ORDER_FORTRAN,
                               MPI_SHORT, &part);
        MPI_Type_commit(&part);
        MPI_Recv(matrix, 1, part, from, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Type_free(&part);
    }
    for (int i = 0; i < all && rank == 0; i++)
        if (matrix[i] != (short)(i * 3 + round))
            fail("wrong element of the matrix", i);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    free(matrix);
    free(local);
}

/* ---- records with gaps, chosen by index ---- */

struct record {
    char tag;
    double place[3];
    short kind;
    int id;
};

static MPI_Datatype record_type(void)
{
    const int lengths[] = {1, 3, 1, 1};
    const MPI_Aint places[] = {offsetof(struct record, tag), offsetof(struct record, place),
                               offsetof(struct record, kind), offsetof(struct record, id)};
    const MPI_Datatype types[] = {MPI_CHAR, MPI_DOUBLE, MPI_SHORT, MPI_INT};
    MPI_Datatype type;
    MPI_Aint lb, extent;
    MPI_Type_create_struct(4, lengths, places, types, &type);
    MPI_Type_get_extent(type, &lb, &extent);
    if (lb != 0 || extent != (MPI_Aint)sizeof(struct record))
        fail("wrong extent of a record", (long)extent);
    return type;
}

static void records(int round)
{
    MPI_Datatype one = record_type(), chosen;
    struct record *sent = calloc(RECORDS, sizeof(*sent)), *got = calloc(RECORDS, sizeof(*got));
    int lengths[RECORDS], places[RECORDS], n = 0, count, elements;
    MPI_Request requests[2];
    MPI_Status status;
    for (int i = 0; i < RECORDS; i++)
        sent[i] =
            (struct record){(char)('a' + i % 26), {i, i * 0.5, rank}, (short)i, i * 7 + round};
    for (int i = RECORDS - 3; i >= 0; i -= 2 + (i + round) % 4) {
        lengths[n] = 1 + i % 2;
        places[n++] = i;
    }
    MPI_Type_indexed(n, lengths, places, one, &chosen);
    MPI_Type_commit(&one);
    MPI_Type_commit(&chosen);
    MPI_Irecv(got, RECORDS, one, (rank + 1) % size, 6, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(sent, 1, chosen, (rank + size - 1) % size, 6, MPI_COMM_WORLD, &requests[1]);
    MPI_Type_free(&chosen); /* the message keeps it */
    MPI_Wait(&requests[0], &status);
    MPI_Wait(&requests[1], MPI_STATUS_IGNORE);
    MPI_Get_count(&status, one, &count);
    MPI_Get_elements(&status, one, &elements);
    add(count);
    add(elements);
    for (int i = 0; i < count; i++) {
        add(got[i].tag + got[i].kind);
        add(got[i].id);
        add((long)(got[i].place[0] + 2 * got[i].place[1] + got[i].place[2]));
    }
    MPI_Type_free(&one);
    free(sent);
    free(got);
}

/* ---- packed by hand, in both representations ---- */

static void packed(int round)
{
    MPI_Datatype one = record_type();
    struct record mine = {'p', {1.5, -rank, round}, 3, rank * 100 + round}, theirs;
    char buffer[400], external[400];
    int position = 0, numbers[5], next = (rank + 1) % size, before = (rank + size - 1) % size;
    MPI_Aint at = 0;
    MPI_Status status;
    MPI_Type_commit(&one);
    for (int i = 0; i < 5; i++)
        numbers[i] = rank * i + round;
    memset(&theirs, 0, sizeof(theirs));
    MPI_Pack(&mine, 1, one, buffer, sizeof(buffer), &position, MPI_COMM_WORLD);
    MPI_Pack(numbers, 5, MPI_INT, buffer, sizeof(buffer), &position, MPI_COMM_WORLD);
    MPI_Sendrecv_replace(buffer, position, MPI_PACKED, next, 7, before, 7, MPI_COMM_WORLD, &status);
    MPI_Get_count(&status, MPI_PACKED, &position);
    add(position);
    int len = position;
    position = 0;
    MPI_Unpack(buffer, len, &position, &theirs, 1, one, MPI_COMM_WORLD);
    MPI_Unpack(buffer, len, &position, numbers, 5, MPI_INT, MPI_COMM_WORLD);
    if (theirs.id != before * 100 + round || numbers[4] != before * 4 + round || position != len)
        fail("wrong packed values", position);
    MPI_Pack_external("external32", &theirs, 1, one, external, sizeof(external), &at);
    for (MPI_Aint i = 0; i < at; i++)
        add(external[i]);
    MPI_Type_free(&one);
}

/* ---- maps x -> a x + b, composed in the order of the ranks ---- */

struct map {
    int a, b;
};

static void compose(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const struct map *left = in;
    struct map *right = inout;
    (void)type;
    for (int i = 0; i < *len; i++) {
        struct map all = {left[i].a * right[i].a % PRIME,
                          (right[i].a * left[i].b + right[i].b) % PRIME};
        right[i] = all;
    }
}

static void operations(int round)
{
    enum { N = 3000 };
    struct map *mine = malloc(N * sizeof(*mine)), *all = malloc(N * sizeof(*all));
    MPI_Datatype type;
    MPI_Request request;
    MPI_Op op;
    MPI_Type_contiguous(2, MPI_INT, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(compose, 0, &op);
    for (int i = 0; i < N; i++)
        mine[i] = (struct map){(rank * 31 + i + round) % PRIME + 1, (rank + 7 * i) % PRIME};
    MPI_Iallreduce(mine, all, N, type, op, MPI_COMM_WORLD, &request);
    MPI_Op_free(&op);
    MPI_Type_free(&type);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    for (int i = 0; i < N; i++) {
        struct map want = {1, 0};
        for (int from = 0; from < size; from++) {
            struct map next = {(from * 31 + i + round) % PRIME + 1, (from + 7 * i) % PRIME};
            int one = 1;
            compose(&want, &next, &one, NULL);
            want = next;
        }
        if (all[i].a != want.a || all[i].b != want.b)
            fail("wrong composition", i);
        add(all[i].b);
    }
    free(mine);
    free(all);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int round = 0; round < ROUNDS; round++) {
        halos(round);
        transpose(round);
        distributions(round);
        records(round);
        packed(round);
        operations(round);
        printf("rank %d of %d, round %d: %016lx\n", rank, size, round, digest);
    }
    MPI_Finalize();
    return 0;
}
