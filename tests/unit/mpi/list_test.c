#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mpi/list.h"

struct item {
    int number;
    struct weft_mpi_link link;
};

static int first(struct weft_mpi_link *list)
{
    return WEFT_MPI_ITEM(list->next, struct item, link)->number;
}

static void items_leave_in_the_order_in_which_they_came(void **state)
{
    struct weft_mpi_link list;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    (void)state;
    weft__mpi_list_init(&list);
    assert_true(weft__mpi_list_empty(&list));
    for (int i = 0; i < 3; i++)
        weft__mpi_list_append(&list, &items[i].link);
    for (int i = 0; i < 3; i++) {
        assert_false(weft__mpi_list_empty(&list));
        assert_int_equal(first(&list), i + 1);
        weft__mpi_list_remove(list.next);
    }
    assert_true(weft__mpi_list_empty(&list));
}

static void removing_twice_changes_nothing(void **state)
{
    struct weft_mpi_link list;
    struct item items[2] = {{.number = 1}, {.number = 2}};
    (void)state;
    weft__mpi_list_init(&list);
    weft__mpi_list_append(&list, &items[0].link);
    weft__mpi_list_append(&list, &items[1].link);
    weft__mpi_list_remove(&items[0].link);
    weft__mpi_list_remove(&items[0].link);
    assert_int_equal(first(&list), 2);
    weft__mpi_list_remove(&items[1].link);
    assert_true(weft__mpi_list_empty(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_leave_in_the_order_in_which_they_came),
        cmocka_unit_test(removing_twice_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
