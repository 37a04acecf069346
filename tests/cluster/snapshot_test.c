/* Snapshots from the command line, on real hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "snapshots.h"

enum { LARGE = 3000000 };

static void files_are_pushed_listed_pulled_and_deleted(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    const char *large = snapshots_file(cluster, LARGE), *small = snapshots_file(cluster, 100);
    cluster_check(cluster, snapshots_weft(cluster, 1, "push", "large", large)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 1, "push", "small", small)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 2, "push", "large", small)->code == 0);
    snapshots_assert_pulled(cluster, 1, "large", large);
    snapshots_assert_pulled(cluster, 1, "small", small);
    snapshots_assert_pulled(cluster, 2, "large", small);
    struct child *list = snapshots_weft(cluster, 1, "list", NULL, NULL);
    cluster_check(cluster, list->code == 0 && child_said(list, "3000000"));
    cluster_check(cluster, child_said(list, "large") && child_said(list, "small"));
    cluster_check(cluster, snapshots_weft(cluster, 1, "delete", "large", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 1, "delete", "large", NULL)->code == 4);
    cluster_check(cluster, snapshots_weft(cluster, 1, "pull", "large", NULL)->code == 4);
    cluster_check(cluster, snapshots_weft(cluster, 0, "pull", "small", NULL)->code == 4);
}

static void words_that_make_no_sense_are_refused(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "key", "/nowhere/file")->code == 2);
    cluster_check(cluster, child_complained(snapshots_weft(cluster, 0, "push", "key", "/"),
                                            "Is a directory"));
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "key", NULL)->code == 2);
    cluster_check(cluster, snapshots_weft(cluster, 0, "burn", "key", NULL)->code == 2);
    cluster_check(cluster,
                  snapshots_weft(cluster, 0, "push", "", snapshots_file(cluster, 1))->code == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_pushed_listed_pulled_and_deleted, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(words_that_make_no_sense_are_refused, cluster_open,
                                        cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
