/* What the header offers beyond the ABI: functions that MPI 3.0 has removed, handles in Fortran's
 * form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cases.h"

#define OK(call) check((call) == MPI_SUCCESS)

static void bounds_are(MPI_Datatype type, MPI_Aint lb, MPI_Aint ub)
{
    MPI_Aint got = -1;
    OK(MPI_Type_lb(type, &got));
    check(got == lb);
    OK(MPI_Type_ub(type, &got));
    check(got == ub);
    OK(MPI_Type_extent(type, &got));
    check(got == ub - lb);
}

static int types_main(void *argument)
{
    struct {
        int head;
        double values[2];
    } sent = {1, {2, 3}};
    int lengths[] = {1, 2}, size, at = 0, head = 0;
    double values[2] = {0, 0};
    char packed[40];
    MPI_Aint places[2];
    MPI_Datatype of[] = {MPI_INT, MPI_DOUBLE}, type;
    (void)argument;
    cases_init(NULL, NULL);
    OK(MPI_Address(&sent.head, &places[0]));
    OK(MPI_Address(sent.values, &places[1]));
    OK(MPI_Type_struct(2, lengths, places, of, &type));
    OK(MPI_Type_commit(&type));
    bounds_are(type, places[0], places[1] + (MPI_Aint)sizeof(sent.values));
    OK(MPI_Pack(MPI_BOTTOM, 1, type, packed, sizeof(packed), &at, MPI_COMM_SELF));
    check(at == sizeof(int) + sizeof(sent.values));
    at = 0;
    OK(MPI_Unpack(packed, sizeof(packed), &at, &head, 1, MPI_INT, MPI_COMM_SELF));
    OK(MPI_Unpack(packed, sizeof(packed), &at, values, 2, MPI_DOUBLE, MPI_COMM_SELF));
    check(head == 1 && values[0] == 2 && values[1] == 3);
    OK(MPI_Type_free(&type));
    OK(MPI_Type_hvector(3, 2, 20, MPI_INT, &type));
    OK(MPI_Type_size(type, &size));
    check(size == 24);
    bounds_are(type, 0, 48);
    OK(MPI_Type_free(&type));
    places[0] = 8, places[1] = 40;
    OK(MPI_Type_hindexed(2, lengths, places, MPI_INT, &type));
    bounds_are(type, 8, 48);
    OK(MPI_Type_free(&type));
    check(MPI_Type_extent(MPI_DATATYPE_NULL, places) == MPI_ERR_TYPE);
    check(MPI_Type_ub(MPI_DATATYPE_NULL, places) == MPI_ERR_TYPE && places[0] == 8);
    OK(MPI_Finalize());
    return 0;
}

static void on_error(MPI_Comm *comm, int *code, ...) /* NOLINT: of the standard */
{
    void *calls;
    int found, keyval = *code == MPI_ERR_RANK ? MPI_APPNUM : MPI_KEYVAL_INVALID;
    check(*comm == MPI_COMM_WORLD && MPI_Comm_get_attr(*comm, keyval, &calls, &found) == 0);
}

static int handlers_main(void *argument)
{
    MPI_Handler_function *function = on_error;
    MPI_Errhandler own, got;
    (void)argument;
    cases_init(NULL, NULL);
    OK(MPI_Errhandler_create(function, &own));
    OK(MPI_Errhandler_set(MPI_COMM_WORLD, own));
    OK(MPI_Errhandler_get(MPI_COMM_WORLD, &got));
    check(got == own);
    check(MPI_Send(NULL, 0, MPI_INT, 99, 0, MPI_COMM_WORLD) == MPI_ERR_RANK);
    OK(MPI_Errhandler_free(&got));
    OK(MPI_Errhandler_free(&own));
    OK(MPI_Finalize());
    return 0;
}

static int fortran_main(void *argument)
{
    int rank, same;
    MPI_Comm dup;
    MPI_Datatype type;
    (void)argument;
    cases_init(&rank, NULL);
    check(MPI_Comm_f2c(MPI_Comm_c2f(MPI_COMM_WORLD)) == MPI_COMM_WORLD);
    check(MPI_Type_f2c(MPI_Type_c2f(MPI_DOUBLE)) == MPI_DOUBLE);
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &dup));
    MPI_Fint number = MPI_Comm_c2f(dup);
    OK(MPI_Comm_compare(MPI_Comm_f2c(number), MPI_COMM_WORLD, &same));
    check(same == MPI_CONGRUENT);
    OK(MPI_Comm_free(&dup));
    OK(MPI_Type_contiguous(3, MPI_INT, &type));
    check(MPI_Type_f2c(MPI_Type_c2f(type)) == type);
    OK(MPI_Type_free(&type));
    OK(MPI_Finalize());
    return 0;
}

static void types_are_made_by_the_functions_of_before(void **state)
{
    (void)state;
    cases_run_all(1, types_main, NULL);
}

static void error_handlers_are_set_by_the_functions_of_before(void **state)
{
    (void)state;
    cases_run_all(2, handlers_main, NULL);
}

static void handles_go_through_the_integers_of_fortran(void **state)
{
    (void)state;
    cases_run_all(2, fortran_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_made_by_the_functions_of_before),
        cmocka_unit_test(error_handlers_are_set_by_the_functions_of_before),
        cmocka_unit_test(handles_go_through_the_integers_of_fortran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
