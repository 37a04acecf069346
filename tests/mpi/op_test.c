/* Operations of the program: order of the operands, types of every kind, both widths, lifetime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

#define OK(call) check((call) == MPI_SUCCESS)

enum { MAPS = 700, PRIME = 10007 };

/* x -> a x + b modulo a prime; composing two maps is associative and does not commute. The gaps
 * must stay as they are. */
struct map {
    short a;
    char gap[2];
    int b;
    double unused;
};

static struct map random_map(int rank, int i)
{
    int h = (rank * 7919 + i * 104729 + 12345) % PRIME;
    return (struct map){.a = (short)(h % 9000 + 1), .gap = "g", .b = h * 31 % PRIME, .unused = -1};
}

/* First left, then right. */
static void compose(const struct map *left, struct map *right)
{
    int a = left->a * right->a % PRIME, b = (right->a * left->b + right->b) % PRIME;
    right->a = (short)a;
    right->b = b;
}

static void compose_all(void *in, void *inout, int *len, MPI_Datatype *type)
{
    MPI_Aint lb, extent;
    OK(MPI_Type_get_extent(*type, &lb, &extent));
    check(extent == sizeof(struct map));
    for (int i = 0; i < *len; i++)
        compose((struct map *)in + i, (struct map *)inout + i);
}

static void compose_many(void *in, void *inout, MPI_Count *len, MPI_Datatype *type)
{
    int n = (int)*len;
    compose_all(in, inout, &n, type);
}

static MPI_Datatype map_type(void)
{
    const int lengths[] = {1, 1};
    const MPI_Aint places[] = {offsetof(struct map, a), offsetof(struct map, b)};
    const MPI_Datatype types[] = {MPI_SHORT, MPI_INT};
    MPI_Datatype pair, type;
    OK(MPI_Type_create_struct(2, lengths, places, types, &pair));
    OK(MPI_Type_create_resized(pair, 0, sizeof(struct map), &type));
    OK(MPI_Type_commit(&type));
    OK(MPI_Type_free(&pair));
    return type;
}

/* The composition of the i-th maps of the ranks [0, n). */
static struct map composed(int n, int i)
{
    struct map all = random_map(0, i);
    for (int rank = 1; rank < n; rank++) {
        struct map next = random_map(rank, i);
        compose(&all, &next);
        all = next;
    }
    return all;
}

static bool same(const struct map *x, const struct map *y)
{
    return x->a == y->a && x->b == y->b;
}

static struct map *make_maps(int n, int rank)
{
    struct map *maps = weft_alloc((size_t)n * sizeof(*maps));
    for (int i = 0; i < n; i++)
        maps[i] = random_map(rank, i);
    return maps;
}

static void check_maps(const struct map *maps, int n, int ranks)
{
    for (int i = 0; i < n; i++) {
        struct map want = composed(ranks, i);
        check(same(&maps[i], &want));
        check(maps[i].gap[0] == 'g' && maps[i].unused == -1);
    }
}

struct setting {
    MPI_Datatype type;
    MPI_Op op;
    int rank, size;
};

static void check_mine(const struct map *maps, int n, int rank)
{
    for (int i = 0; i < n; i++) {
        struct map want = random_map(rank, i);
        check(same(&maps[i], &want) && maps[i].gap[0] == 'g' && maps[i].unused == -1);
    }
}

static void reduce_to_all_roots(const struct setting *s, int n)
{
    struct map *mine = make_maps(n, s->rank), *got = make_maps(n, s->rank);
    for (int root = 0; root < s->size; root++) {
        bool in_place = root % 2 == 1 && root == s->rank;
        OK(MPI_Reduce(in_place ? MPI_IN_PLACE : mine, got, n, s->type, s->op, root,
                      MPI_COMM_WORLD));
        if (s->rank == root)
            check_maps(got, n, s->size);
        else
            check_mine(got, n, s->rank);
        check_mine(mine, n, s->rank); /* operands are not written to */
        memcpy(got, mine, (size_t)n * sizeof(*got));
    }
    weft_free(mine);
    weft_free(got);
}

static void others(const struct setting *s, int n)
{
    struct map *mine = make_maps(n, s->rank), *got = make_maps(n, s->rank);
    OK(MPI_Allreduce(mine, got, n, s->type, s->op, MPI_COMM_WORLD));
    check_maps(got, n, s->size);
    memcpy(got, mine, (size_t)n * sizeof(*got));
    OK(MPI_Allreduce(MPI_IN_PLACE, got, n, s->type, s->op, MPI_COMM_WORLD));
    check_maps(got, n, s->size);
    OK(MPI_Scan(mine, got, n, s->type, s->op, MPI_COMM_WORLD));
    check_maps(got, n, s->rank + 1);
    OK(MPI_Exscan(mine, got, n, s->type, s->op, MPI_COMM_WORLD));
    if (s->rank > 0)
        check_maps(got, n, s->rank);
    check_mine(mine, n, s->rank);
    for (int i = 0; i < n; i++)
        got[i] = random_map(s->rank + 1, i);
    OK(MPI_Reduce_local(mine, got, n, s->type, s->op));
    for (int i = 0; i < n; i++) {
        struct map left = random_map(s->rank, i), want = random_map(s->rank + 1, i);
        compose(&left, &want);
        check(same(&got[i], &want));
    }
    weft_free(mine);
    weft_free(got);
}

static int order_main(void *argument)
{
    struct setting s;
    (void)argument;
    cases_init(&s.rank, &s.size);
    s.type = map_type();
    for (int form = 0; form < 2; form++) {
        int commutes;
        OK(form ? MPI_Op_create_c(compose_many, 0, &s.op) : MPI_Op_create(compose_all, 0, &s.op));
        OK(MPI_Op_commutative(s.op, &commutes));
        check(!commutes);
        reduce_to_all_roots(&s, 3);
        reduce_to_all_roots(&s, MAPS);
        others(&s, 2);
        others(&s, MAPS);
        OK(MPI_Op_free(&s.op));
        check(s.op == MPI_OP_NULL);
    }
    OK(MPI_Type_free(&s.type));
    MPI_Finalize();
    return 0;
}

static void operands_keep_their_order(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++)
        cases_run_all(n, order_main, NULL);
}

/* Both are freed while a reduction is under way. */
static int freed_main(void *argument)
{
    struct setting s;
    MPI_Request request;
    (void)argument;
    cases_init(&s.rank, &s.size);
    for (int round = 0; round < 5; round++) {
        struct map *mine = make_maps(MAPS, s.rank), *got = make_maps(MAPS, s.rank);
        s.type = map_type();
        OK(MPI_Op_create(compose_all, 0, &s.op));
        MPI_Op old = s.op;
        OK(MPI_Iallreduce(mine, got, MAPS, s.type, s.op, MPI_COMM_WORLD, &request));
        OK(MPI_Type_free(&s.type));
        OK(MPI_Op_free(&s.op));
        check(MPI_Op_free(&old) == MPI_ERR_OP);
        check(MPI_Reduce_local(mine, mine + 1, 1, MPI_INT, old) == MPI_ERR_OP);
        native_move_region();
        int flag = 0;
        while (!flag) {
            OK(MPI_Test(&request, &flag, MPI_STATUS_IGNORE));
            if (native_random() % 4 == 0)
                native_move_region();
        }
        check_maps(got, MAPS, s.size);
        weft_free(mine);
        weft_free(got);
    }
    MPI_Finalize();
    return 0;
}

static void a_reduction_keeps_what_it_needs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        cases_run(&(struct native_options){.ranks = 4, .region_bytes = 2 << 20, .seed = seed},
                  freed_main, NULL);
}

static int wrong_main(void *argument)
{
    MPI_Op op = MPI_SUM;
    MPI_Datatype type;
    int x = 1, y = 2, commutes;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Op_free(&op) == MPI_ERR_OP && op == MPI_SUM);
    op = MPI_OP_NULL;
    check(MPI_Op_free(&op) == MPI_ERR_OP);
    check(MPI_Op_create(NULL, 1, &op) == MPI_ERR_ARG);
    check(MPI_Op_commutative(MPI_OP_NULL, &commutes) == MPI_ERR_OP);
    OK(MPI_Op_commutative(MPI_MINLOC, &commutes));
    check(commutes);
    OK(MPI_Type_dup(MPI_INT, &type));
    check(MPI_Allreduce(&x, &y, 1, type, MPI_SUM, MPI_COMM_WORLD) == MPI_ERR_OP);
    OK(MPI_Type_free(&type));
    MPI_Finalize();
    return 0;
}

static void wrong_operations_are_refused(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, wrong_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_keep_their_order),
        cmocka_unit_test(a_reduction_keeps_what_it_needs),
        cmocka_unit_test(wrong_operations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
