/* Barriers of members on three hosts: how many messages hosts send each other, and how long one
 * takes. Every member is a thread of this process and talks to its own host's weftd; the hosts
 * themselves count what they send, acknowledgements and repetitions included, in both directions.
 * One worker per group service: none is needed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "control.h"
#include "control/client.h"
#include "group/client.h"
#include "group/group.h"
#include "hosts.h"
#include "weft/error.h"
#include "wire/group.pb-c.h"
#include "wire/message.h"

enum { FEW = 6, MANY = 64, BARRIERS = 100, BARRIERS_QUICK = 5, WAIT_MS = 60000, PORT = 8100 };
#define WANTED 2.0

struct cluster {
    struct bench_hosts hosts;
    struct weft_client *client;
    struct weft_groups *groups[BENCH_HOSTS];
    char urls[BENCH_HOSTS][64];
};

struct member {
    pthread_t thread;
    struct weft_group *group;
    unsigned barriers;
};

static uint64_t messages_of(const struct cluster *cluster, unsigned host)
{
    ProtobufCMessage *reply = NULL;
    uint64_t sum = 0;
    struct weft_client_call call = {.url = cluster->urls[host],
                                    .code = WEFT_GROUP_STATS,
                                    .reply_type = &weft__group__stats__descriptor,
                                    .timeout_ms = WAIT_MS};
    bench_check("ask a host", weft__client_wait(cluster->client, &call, &reply));
    const Weft__Group__Stats *stats = (const Weft__Group__Stats *)(const void *)reply;
    for (size_t i = 0; i < stats->n_hosts; i++)
        sum += stats->hosts[i]->frames + stats->hosts[i]->resent + stats->hosts[i]->acks;
    weft__message_free(reply);
    return sum;
}

static uint64_t messages(const struct cluster *cluster)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < BENCH_HOSTS; i++)
        sum += messages_of(cluster, i);
    return sum;
}

static void *member_main(void *arg)
{
    struct member *member = arg;
    for (unsigned i = 0; i < member->barriers; i++)
        bench_check("barrier", weft_group_barrier(member->group, WAIT_MS));
    return NULL;
}

static void run(struct member *members, uint32_t n, unsigned barriers)
{
    for (uint32_t i = 0; i < n; i++) {
        members[i].barriers = barriers;
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0)
            bench_die("start a thread", WEFT_EAGAIN);
    }
    for (uint32_t i = 0; i < n; i++)
        pthread_join(members[i].thread, NULL);
}

static void make_group(struct cluster *cluster, struct member *members, uint32_t n)
{
    const char *names[MANY];
    uint64_t id, deadline_ns = weft__now_ns() + WAIT_MS * WEFT_NS_PER_MS;
    struct weft_group_desc desc = {.members = n, .hosts = names, .timeout_ms = WAIT_MS};
    int err;
    for (uint32_t i = 0; i < n; i++)
        names[i] = bench_host_names[i % BENCH_HOSTS];
    while ((err = weft_group_create(cluster->groups[0], &desc, &id)) == WEFT_EHOSTUNREACH &&
           weft__now_ns() < deadline_ns)
        (void)usleep(10000); /* the first host does not know the others yet */
    bench_check("make a group", err);
    for (uint32_t i = 0; i < n; i++)
        bench_check("open a member", weft_group_open(cluster->groups[i % BENCH_HOSTS], id, i,
                                                     WAIT_MS, &members[i].group));
}

static void label(struct bench_series *series, uint32_t n, const char *what, const char *unit)
{
    snprintf(series->id, sizeof(series->id), "control.barrier.%s_%u", what, n);
    snprintf(series->what, sizeof(series->what), "barrier of %u members over %d hosts, %s", n,
             BENCH_HOSTS, what);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config),
             "members are threads of one process, 1 worker per service");
}

/* Fills the two series; returns the messages per barrier and remote host. */
static double measure(const struct bench *bench, struct cluster *cluster, uint32_t n,
                      struct bench_series series[2])
{
    struct member members[MANY];
    unsigned barriers = bench->quick ? BARRIERS_QUICK : BARRIERS;
    label(&series[0], n, "messages", "messages");
    label(&series[1], n, "time", "us");
    make_group(cluster, members, n);
    for (unsigned round = 0; round < bench->rounds; round++) {
        run(members, n, 1); /* all threads' connections are up */
        uint64_t before = messages(cluster), start_ns = weft__now_ns();
        run(members, n, barriers);
        uint64_t took_ns = weft__now_ns() - start_ns;
        bench_add(&series[0], (double)(messages(cluster) - before) / barriers / (BENCH_HOSTS - 1));
        bench_add(&series[1], (double)took_ns / 1e3 / barriers);
    }
    for (uint32_t i = 0; i < n; i++)
        weft_group_leave(members[i].group);
    return bench_median(&series[0]);
}

static void cluster_start(struct cluster *cluster)
{
    (void)setenv("WEFT_GROUP_SERVER_THREADS", "1", 1);
    bench_hosts_start(&cluster->hosts, "2");
    bench_check("open a client",
                weft__client_open(&(struct weft_client_desc){0}, &cluster->client));
    for (unsigned i = 0; i < BENCH_HOSTS; i++) {
        char async[64];
        snprintf(cluster->urls[i], sizeof(cluster->urls[i]), "tcp://%s.%u:%d", cluster->hosts.net,
                 i + 1, PORT + WEFT_GROUP_PORT_AT);
        snprintf(async, sizeof(async), "tcp://%s.%u:%d", cluster->hosts.net, i + 1,
                 PORT + WEFT_GROUP_ASYNC_PORT_AT);
        struct weft_groups_desc desc = {.url = cluster->urls[i], .async_url = async};
        bench_check("connect to a host", weft__groups_open(&desc, &cluster->groups[i]));
    }
}

int control_barrier(const struct bench *bench)
{
    static struct bench_series few[2], many[2];
    static struct cluster cluster;
    cluster_start(&cluster);
    (void)measure(bench, &cluster, FEW, few);
    struct bench_goal goal = {.id = "control.barrier_messages",
                              .measured = measure(bench, &cluster, MANY, many),
                              .wanted = WANTED,
                              .unit = "messages",
                              .from = {many[0].id},
                              .reason = ""};
    bench_print_goal(bench, &goal);
    for (unsigned i = 0; i < 2; i++) {
        bench_print(bench, &few[i]);
        bench_print(bench, &many[i]);
    }
    for (unsigned i = 0; i < BENCH_HOSTS; i++)
        weft_groups_close(cluster.groups[i]);
    weft__client_close(cluster.client);
    bench_hosts_stop(&cluster.hosts);
    return 0;
}
