/* Snapshots from the command line, on real hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

enum { LARGE = 3000000 };

static const char *file_of(struct cluster *cluster, size_t len)
{
    const char *path = cluster_file(cluster, "bytes");
    FILE *file = fopen(path, "wbe");
    cluster_check(cluster, file != NULL);
    for (size_t i = 0; i < len; i++)
        (void)fputc('a' + (int)(i / 1000 % 26), file);
    cluster_check(cluster, fclose(file) == 0);
    return path;
}

static struct child *snapshot(struct cluster *cluster, unsigned host, const char *action,
                              const char *key, const char *file)
{
    return cluster_weft(cluster, "snapshot", "--at", cluster->hosts[host].address, action, key,
                        file, NULL);
}

static void assert_pulled(struct cluster *cluster, unsigned host, const char *key, const char *path)
{
    struct child *pull = snapshot(cluster, host, "pull", key, NULL);
    cluster_check(cluster, pull->code == 0);
    char *got = child_read(pull->out), *wanted = child_read(path);
    bool same = strcmp(got, wanted) == 0;
    free(got);
    free(wanted);
    cluster_check(cluster, same);
}

static void files_are_pushed_listed_pulled_and_deleted(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    const char *large = file_of(cluster, LARGE), *small = file_of(cluster, 100);
    cluster_check(cluster, snapshot(cluster, 1, "push", "large", large)->code == 0);
    cluster_check(cluster, snapshot(cluster, 1, "push", "small", small)->code == 0);
    cluster_check(cluster, snapshot(cluster, 2, "push", "large", small)->code == 0);
    assert_pulled(cluster, 1, "large", large);
    assert_pulled(cluster, 1, "small", small);
    assert_pulled(cluster, 2, "large", small);
    struct child *list = snapshot(cluster, 1, "list", NULL, NULL);
    cluster_check(cluster, list->code == 0 && child_said(list, "3000000"));
    cluster_check(cluster, child_said(list, "large") && child_said(list, "small"));
    cluster_check(cluster, snapshot(cluster, 1, "delete", "large", NULL)->code == 0);
    cluster_check(cluster, snapshot(cluster, 1, "delete", "large", NULL)->code == 2);
    cluster_check(cluster, snapshot(cluster, 1, "pull", "large", NULL)->code == 2);
    cluster_check(cluster, snapshot(cluster, 0, "pull", "small", NULL)->code == 2);
}

static void words_that_make_no_sense_are_refused(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    cluster_check(cluster, snapshot(cluster, 0, "push", "key", "/nowhere/file")->code == 2);
    cluster_check(cluster,
                  child_complained(snapshot(cluster, 0, "push", "key", "/"), "Is a directory"));
    cluster_check(cluster, snapshot(cluster, 0, "push", "key", NULL)->code == 2);
    cluster_check(cluster, snapshot(cluster, 0, "burn", "key", NULL)->code == 2);
    cluster_check(cluster, snapshot(cluster, 0, "push", "", file_of(cluster, 1))->code == 2);
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
