/* Hosts with two and three networks, and processes with as many lanes: each lane lies on a network
 * of its own and carries what is its share; and hosts that have not the same networks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "control/client.h"
#include "host/calls.h"
#include "lab.h"
#include "stage.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"
#include "weft/error.h"

enum { CALL_MS = 20000, SHARE_BYTES = 1 << 20 };

struct crew {
    struct cluster *cluster;
    struct cluster_host *head, *other;
    struct cluster_app app;
    const char *stop;
};

static int open_lab(void **state, unsigned networks, const char *lanes, const char *net)
{
    int rc = lab_open_with_nets(state, networks);
    (void)setenv("WEFT_LANES", lanes, 1);
    (void)setenv("WEFT_NET", net, 1);
    return rc;
}

static int open_two(void **state)
{
    return open_lab(state, 2, "2", "eth1,eth0");
}

static int open_three(void **state)
{
    return open_lab(state, 3, "3", "10.0.0.0/8");
}

static void crew_hosts(struct crew *crew, struct cluster *cluster)
{
    *crew = (struct crew){.cluster = cluster, .stop = cluster_file(cluster, "stop")};
    crew->head = cluster_host(cluster, "head", 4);
    crew->other = cluster_host(cluster, "other", 4);
}

static void crew_start(struct crew *crew)
{
    crew->app = cluster_run(crew->cluster, crew->head, "-n", "8", cluster_program("everyone"),
                            crew->stop, NULL);
}

static void crew_stop(struct crew *crew)
{
    FILE *file = fopen(crew->stop, "we");
    cluster_check(crew->cluster, file != NULL);
    fclose(file);
    int code = child_wait(crew->app.run, 3 * CLUSTER_MS);
    if (code != 0 || !child_said(crew->app.run, "everyone was heard"))
        cluster_fail(crew->cluster, "weft run: exit code %d", code);
}

/* What the app's process on the host of a rank has counted for its lanes. */
static json_t *lanes_of(const struct crew *crew, int rank)
{
    Weft__Host__FindRankRequest wish = WEFT__HOST__FIND_RANK_REQUEST__INIT;
    ProtobufCMessage *message;
    char url[64];
    wish.app = crew->app.id;
    wish.rank = rank;
    const struct weft_client_call call = {.url = crew->head->url,
                                          .code = WEFT_CALL_FIND_RANK,
                                          .request = &wish.base,
                                          .reply_type = &weft__host__find_rank_reply__descriptor,
                                          .timeout_ms = CALL_MS};
    cluster_check(crew->cluster, weft__client_wait(crew->cluster->client, &call, &message) == 0);
    snprintf(url, sizeof(url), "%s", ((const Weft__Host__FindRankReply *)message)->control);
    weft__message_free(message);
    struct child *info =
        cluster_weft(crew->cluster, "info", "--stats", "--json", "-", "--at", url, NULL);
    cluster_check(crew->cluster, info->code == 0);
    char *text = child_read(info->out);
    json_t *stats = json_loads(text, 0, NULL);
    free(text);
    json_t *each = json_incref(json_object_get(json_object_get(stats, "lane"), "each"));
    json_decref(stats);
    return each;
}

static json_int_t number(const json_t *lane, const char *name)
{
    return json_integer_value(json_object_get(lane, name));
}

/* Every lane of the process has carried its share, by messages and by gets. */
static bool all_carry(const struct crew *crew, int rank, unsigned lanes)
{
    json_t *each = lanes_of(crew, rank);
    bool all = json_array_size(each) == lanes;
    for (size_t i = 0; i < json_array_size(each); i++) {
        const json_t *lane = json_array_get(each, i);
        all = all && number(lane, "bytes_sent") > SHARE_BYTES / 4 &&
              number(lane, "bytes_got") > SHARE_BYTES;
    }
    json_decref(each);
    return all;
}

/* Looks seldom: each look runs a program. */
static void await_all_carry(const struct crew *crew, unsigned lanes)
{
    struct child_patience patience = child_patience(3 * CLUSTER_MS);
    for (int rank = 0; rank <= 7; rank += 7)
        while (!all_carry(crew, rank, lanes)) {
            if (child_patience_over(&patience))
                cluster_fail(crew->cluster, "not every lane of rank %d carries its share", rank);
            for (int i = 0; i < 20; i++)
                child_nap();
        }
}

static void each_lane_is_on(const struct crew *crew, int rank, const char *const *interfaces,
                            unsigned lanes)
{
    json_t *each = lanes_of(crew, rank);
    cluster_check(crew->cluster, json_array_size(each) == lanes);
    for (unsigned i = 0; i < lanes; i++) {
        const json_t *lane = json_array_get(each, i);
        const char *is = json_string_value(json_object_get(lane, "interface"));
        if (strcmp(is, interfaces[i]) != 0)
            cluster_fail(crew->cluster, "lane %u of rank %d is on %s", i, rank, is);
        cluster_check(crew->cluster, number(lane, "numa_node") == -1);
    }
    json_decref(each);
}

/* The kernel has counted that on every network of the host. */
static void networks_carried(const struct crew *crew, const struct cluster_host *host, unsigned n)
{
    char command[160];
    for (unsigned i = 0; i < n; i++) {
        snprintf(command, sizeof(command),
                 "ip -s link show eth%u | awk '/TX:/ { getline; exit !($1 > %d) }'", i,
                 SHARE_BYTES);
        lab_in(crew->cluster, host, command);
    }
}

static void lanes_are_spread(struct cluster *cluster, const char *const *interfaces, unsigned n)
{
    struct crew crew;
    crew_hosts(&crew, cluster);
    crew_start(&crew);
    await_all_carry(&crew, n);
    each_lane_is_on(&crew, 0, interfaces, n);
    each_lane_is_on(&crew, 7, interfaces, n);
    networks_carried(&crew, crew.head, n);
    networks_carried(&crew, crew.other, n);
    crew_stop(&crew);
}

static void two_lanes_lie_on_two_networks_and_both_carry(void **state)
{
    static const char *const interfaces[] = {"eth1", "eth0"};
    lanes_are_spread(*state, interfaces, 2);
}

static void three_lanes_lie_on_three_networks_and_all_carry(void **state)
{
    static const char *const interfaces[] = {"eth0", "eth1", "eth2"};
    lanes_are_spread(*state, interfaces, 3);
}

static void lanes_of_libfabric_are_spread_too(void **state)
{
    static const char *const interfaces[] = {"eth1", "eth0"};
    (void)setenv("WEFT_DATA", "ofi:net", 1);
    lanes_are_spread(*state, interfaces, 2);
}

/* Of three networks the other host has one; nothing leads from there to the other two. */
static void a_host_with_fewer_networks_is_reached(struct cluster *cluster, unsigned lanes)
{
    struct crew crew;
    crew_hosts(&crew, cluster);
    lab_in(cluster, crew.other, "ip link del eth1; ip link del eth2 2>/dev/null || :");
    crew_start(&crew);
    await_all_carry(&crew, lanes);
    crew_stop(&crew);
}

static void three_networks_and_one_work_together(void **state)
{
    a_host_with_fewer_networks_is_reached(*state, 3);
}

static void two_networks_and_one_work_together_over_libfabric(void **state)
{
    (void)setenv("WEFT_DATA", "ofi:net", 1);
    a_host_with_fewer_networks_is_reached(*state, 2);
}

#define CASE(name, open) cmocka_unit_test_setup_teardown(name, open, lab_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(two_lanes_lie_on_two_networks_and_both_carry, open_two),
        CASE(three_lanes_lie_on_three_networks_and_all_carry, open_three),
        CASE(lanes_of_libfabric_are_spread_too, open_two),
        CASE(three_networks_and_one_work_together, open_three),
        CASE(two_networks_and_one_work_together_over_libfabric, open_two),
    };
    if (!lab_enter())
        return 77;
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
