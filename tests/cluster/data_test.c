/* The demonstration over each transport, chosen by one setting: the same result from all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

/* What heat prints of its field, which is the same for every placement. */
static void checksum_of(struct cluster *cluster, const struct child *child, char out[17])
{
    const char *key = "\"checksum\":\"";
    char *text = child_read(child->out);
    const char *at = strstr(text, key);
    cluster_check(cluster, at && strlen(at + strlen(key)) > 16);
    memcpy(out, at + strlen(key), 16);
    out[16] = '\0';
    free(text);
}

/* Four ranks on three hosts; nx: points of a row, which is what neighbours exchange. */
static void run_heat(struct cluster *cluster, const char *data, const char *nx, char out[17])
{
    char set[64], chosen[64];
    snprintf(set, sizeof(set), "WEFT_DATA=%s", data);
    snprintf(chosen, sizeof(chosen), ": %s", data);
    struct child *run = cluster_weft(cluster, "run", "--hosts", "3", "--slots", "2", "-n", "4",
                                     "-x", set, "-x", "WEFT_LOG=debug", CLUSTER_HEAT, "--nx", nx,
                                     "--ny", "8", "--steps", "60", NULL);
    cluster_check(cluster, run->code == 0);
    char *log = child_read(run->err);
    const char *line = strstr(log, "lane on 127.");
    cluster_check(cluster, line && strstr(line, chosen));
    free(log);
    checksum_of(cluster, run, out);
}

static void heat_gives_the_same_result_over_every_transport(void **state)
{
    static const char *const transports[] = {"tcp", "zmq", "ofi"};
    static const char *const rows[] = {"64", "20000"}; /* sent at once; and fetched by gets */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char first[17] = "", sum[17];
        for (size_t k = 0; k < sizeof(transports) / sizeof(transports[0]); k++) {
            run_heat(*state, transports[k], rows[i], sum);
            if (k == 0)
                memcpy(first, sum, sizeof(first));
            assert_string_equal(sum, first);
        }
    }
}

/* Each of the two settings must be the same on all hosts of an app: it is refused, and told. */
static void hosts_that_cannot_reach_each_other_share_no_app(void **state)
{
    static const char *const settings[][2] = {{"WEFT_LANES", "2"}, {"WEFT_DATA", "zmq"}};
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        char alike[64];
        snprintf(alike, sizeof(alike), "set %s alike", settings[i][0]);
        (void)setenv(settings[i][0], settings[i][1], 1);
        struct cluster_host *other = cluster_host(cluster, i == 0 ? "a" : "b", 1);
        (void)unsetenv(settings[i][0]);
        struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address, "-n",
                                         "2", cluster_program("hello"), NULL);
        cluster_check(cluster, run->code != 0 && child_complained(run, alike));
        struct child *said = cluster_weft(cluster, "explain", "--at", cluster->hosts[0].address,
                                          other->address, NULL);
        cluster_check(cluster, said->code == 0);
        bool differs = strcmp(settings[i][0], "WEFT_DATA") == 0;
        cluster_check(cluster, child_said(said, "to it no data goes") == differs);
        cluster_check(cluster, child_said(said, "set WEFT_DATA to the same") == differs);
        cluster_host_stop(cluster, other);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(heat_gives_the_same_result_over_every_transport,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(hosts_that_cannot_reach_each_other_share_no_app,
                                        cluster_open, cluster_close),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
