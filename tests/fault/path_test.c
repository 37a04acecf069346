/* Hosts with two networks: eth0, over which the cluster is kept together, and eth1 for data
 * (WEFT_NET=eth1,eth0). When the data network of a host dies, loudly or without a word, what is
 * under way there fails, and what comes next goes over the other one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab.h"
#include "scene.h"
#include "weft/error.h"

static int open_lab(void **state)
{
    int rc = lab_open_with_data_net(state);
    (void)setenv("WEFT_NET", "eth1,eth0", 1);
    (void)setenv("WEFT_MOVE_DEADLINE_MS", "30000", 1); /* a first path is tried for some seconds */
    return rc;
}

/* The ranks' messages go over eth1, where nothing else does. */
static void data_is_on_its_own_net(struct scene *scene)
{
    stage_runs(scene->cluster, &scene->stage, SCENE_RANKS, 50);
    lab_in(scene->cluster, scene->a,
           "ip -s link show eth1 | awk '/RX:/ { getline; exit !($2 > 50) }'");
}

/* The app goes on, and a rank moves away, whose memory travels by gets. */
static void goes_on(struct scene *scene)
{
    stage_runs(scene->cluster, &scene->stage, SCENE_RANKS, 50);
    stage_move(scene->cluster, &scene->app, SCENE_MOVER, "b");
    scene_ends_well(scene);
}

static void an_app_goes_on_when_its_data_network_goes_down(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    data_is_on_its_own_net(&scene);
    lab_in(*state, scene.a, "ip link set eth1 down");
    goes_on(&scene);
}

static void an_app_goes_on_when_its_data_network_drops_everything(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    data_is_on_its_own_net(&scene);
    lab_drop(*state, scene.a, "input", "iifname eth1");
    lab_drop(*state, scene.a, "output", "oifname eth1");
    goes_on(&scene);
}

/* One direction is enough. */
static void an_app_goes_on_when_its_data_network_drops_what_comes(void **state)
{
    struct scene scene;
    (void)setenv("WEFT_DATA", "tcp", 1);
    scene_open(&scene, *state);
    data_is_on_its_own_net(&scene);
    lab_drop(*state, scene.a, "input", "iifname eth1");
    goes_on(&scene);
}

/* The whole net: the lane's first path leads nowhere from the beginning. */
static void an_app_starts_on_a_data_network_that_is_dead(void **state)
{
    struct scene scene;
    struct cluster *cluster = *state;
    memset(&scene, 0, sizeof(scene));
    scene.cluster = cluster;
    scene.head = cluster_host(cluster, "head", 0);
    scene.home = cluster_host(cluster, "home", 1);
    scene.a = cluster_host(cluster, "a", 1);
    scene.b = cluster_host(cluster, "b", 1);
    lab_drop(cluster, scene.a, "output", "oifname eth1");
    stage_open(&scene.stage, cluster);
    scene.app = cluster_run(cluster, scene.home, "-n", "2", cluster_program("chain"),
                            scene.stage.path, "0", "4", "1000", NULL);
    goes_on(&scene);
}

static bool transfers(struct cluster *cluster, const struct cluster_host *host, const char *what,
                      const char *file)
{
    return cluster_weft(cluster, "snapshot", what, "--at", host->address, "bytes", file, NULL)
               ->code == 0;
}

/* A client has one network: the host's first path to it, and it has tcp beside that. */
static void a_snapshot_takes_the_next_path_at_the_next_try(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *host = cluster_host(cluster, "head", 1);
    const char *file = cluster_file(cluster, "bytes");
    FILE *out = fopen(file, "w");
    (void)unsetenv("WEFT_NET"); /* the client is elsewhere */
    cluster_check(cluster, out != NULL);
    for (unsigned i = 0; i < 200000; i++)
        fprintf(out, "%u ", i);
    fclose(out);
    cluster_check(cluster, transfers(cluster, host, "push", file));
    lab_in(cluster, host, "ip link set eth1 down");
    cluster_await(cluster, 2 * CLUSTER_MS, transfers(cluster, host, "push", file));
}

static struct child *explain(struct cluster *cluster, const struct cluster_host *from,
                             const struct cluster_host *to)
{
    struct child *said = cluster_weft(cluster, "explain", "--at", from->address, to->address, NULL);
    cluster_check(cluster, said->code == 0);
    return said;
}

static void weft_explain_names_a_path_that_drops_what_is_sent(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *head = cluster_host(cluster, "head", 1);
    struct cluster_host *other = cluster_host(cluster, "other", 1);
    struct child *said = explain(cluster, head, other);
    cluster_check(cluster, child_said(said, "to 10.78.0.2 by tcp from 10.78.0.1: reached"));
    cluster_check(cluster, child_said(said, "to 10.77.0.2 by tcp+shim from 10.77.0.1: reached"));
    cluster_check(cluster, child_said(said, "ofi:efa on 10.78.0.2: "));
    lab_drop(cluster, other, "input", "iifname eth1");
    said = explain(cluster, head, other);
    cluster_check(cluster, child_said(said, "to 10.78.0.2 by tcp from 10.78.0.1: no "));
    cluster_check(cluster, child_said(said, "firewall"));
    cluster_check(cluster, child_said(said, "to 10.77.0.2 by tcp+shim from 10.77.0.1: reached"));
}

/* As docker0's: every host has it, and to each it is its own. */
static void an_address_that_every_host_has_is_passed_over(void **state)
{
    struct cluster *cluster = *state;
    (void)setenv("WEFT_NET", "172.17.0.1,eth0", 1);
    struct cluster_host *head = cluster_host(cluster, "head", 1);
    lab_in(cluster, head, "ip addr add 172.17.0.1/16 dev eth1");
    struct cluster_host *other = cluster_host(cluster, "other", 1);
    lab_in(cluster, other, "ip addr add 172.17.0.1/16 dev eth1");
    const struct child *said = explain(cluster, head, other);
    cluster_check(cluster, child_said(said, "to 172.17.0.1 by tcp from 172.17.0.1: an address "
                                            "of this machine too"));
    cluster_check(cluster, child_said(said, "to 10.77.0.2 by tcp+shim from 10.77.0.1: reached"));
    said = cluster_weft(cluster, "run", "--at", head->address, "-n", "2", cluster_program("hello"),
                        NULL);
    cluster_check(cluster, said->code == 0 && child_said(said, "on other"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_lab, lab_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(an_app_goes_on_when_its_data_network_goes_down),
        CASE(an_app_goes_on_when_its_data_network_drops_everything),
        CASE(an_app_goes_on_when_its_data_network_drops_what_comes),
        CASE(an_app_starts_on_a_data_network_that_is_dead),
        CASE(a_snapshot_takes_the_next_path_at_the_next_try),
        CASE(weft_explain_names_a_path_that_drops_what_is_sent),
        CASE(an_address_that_every_host_has_is_passed_over),
    };
    if (!lab_enter())
        return 77;
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
