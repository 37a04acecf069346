#include "rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group/client.h"
#include "group/group.h"
#include "weft/error.h"

static void host_open(struct rig_host *host, unsigned number, const char *over, const char *members)
{
    struct weft_service_desc service;
    char async[64];
    host->self.incarnation = 1000 + number;
    host->self.name[0] = (char)('a' + number);
    assert_int_equal(weft__client_open(&(struct weft_client_desc){.scheme = over}, &host->client),
                     WEFT_OK);
    struct weft_group_service_desc desc = {.self = host->self,
                                           .client = host->client,
                                           .dead_ms = 30000,
                                           .resend_ms = over != NULL ? 40 : 0};
    assert_int_equal(weft__group_open(&desc, &host->service), WEFT_OK);
    weft__group_service(host->service, &service);
    service.workers = 1;
    struct weft_server_desc server = {.bind = "127.0.0.1", .services = &service, .services_n = 1};
    assert_int_equal(weft__server_start(&server, &host->server), WEFT_OK);
    unsigned async_port = weft__server_async_port(host->server, 0);
    snprintf(host->url, sizeof(host->url), "tcp://127.0.0.1:%u",
             (unsigned)weft__server_sync_port(host->server, 0));
    snprintf(async, sizeof(async), "tcp://127.0.0.1:%u", async_port);
    snprintf(host->self.url, sizeof(host->self.url), "%s", async);
    assert_int_equal(
        weft__groups_open(
            &(struct weft_groups_desc){.url = host->url, .async_url = async, .scheme = members},
            &host->groups),
        WEFT_OK);
}

void rig_hosts(struct rig *rig, unsigned alive)
{
    struct weft_registry_host list[RIG_HOSTS];
    memset(list, 0, sizeof(list));
    for (unsigned i = 0; i < RIG_HOSTS; i++) {
        const struct weft_coord_peer *self = &rig->hosts[i].self;
        memcpy(list[i].name, self->name, sizeof(list[i].name));
        list[i].incarnation = self->incarnation;
        list[i].alive = (alive >> i & 1) != 0;
        snprintf(list[i].control, sizeof(list[i].control), "tcp://127.0.0.1:%u",
                 weft__server_async_port(rig->hosts[i].server, 0) - WEFT_GROUP_ASYNC_PORT_AT);
    }
    for (unsigned i = 0; i < RIG_HOSTS; i++)
        weft__group_hosts(rig->hosts[i].service, &rig->hosts[i].self, list, RIG_HOSTS);
}

struct rig *rig_open_over(const char *hosts, const char *members)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    for (unsigned i = 0; i < RIG_HOSTS; i++)
        host_open(&rig->hosts[i], i, hosts, members);
    rig_hosts(rig, 7);
    return rig;
}

int rig_open(void **state)
{
    *state = rig_open_over(NULL, NULL);
    return 0;
}

int rig_close(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < RIG_HOSTS; i++) {
        struct rig_host *host = &rig->hosts[i];
        weft_groups_close(host->groups);
        weft__group_stop(host->service);
        weft__server_stop(host->server, 1000);
        weft__group_close(host->service);
        weft__client_close(host->client);
    }
    free(rig);
    return 0;
}

void rig_group(struct rig *rig, const char *hosts)
{
    const char *names[RIG_MEMBERS];
    rig->n = (uint32_t)strlen(hosts);
    for (uint32_t i = 0; i < rig->n; i++)
        names[i] = rig->hosts[hosts[i] - 'a'].self.name;
    struct weft_group_desc desc = {.members = rig->n, .hosts = names, .timeout_ms = RIG_SOON_MS};
    int err = weft_group_create(rig->hosts[0].groups, &desc, &rig->id);
    if (err != WEFT_OK)
        fail_msg("create: %s", weft_fail_text(err));
    for (uint32_t i = 0; i < rig->n; i++) {
        err = weft_group_open(rig->hosts[hosts[i] - 'a'].groups, rig->id, i, RIG_SOON_MS,
                              &rig->members[i]);
        if (err != WEFT_OK)
            fail_msg("open %u: %s", i, weft_fail_text(err));
    }
}

void rig_leave(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->n; i++) {
        weft_group_leave(rig->members[i]);
        rig->members[i] = NULL;
    }
}

struct part {
    pthread_t thread;
    struct rig *rig;
    struct weft_group *group;
    int (*run)(struct rig *rig, struct weft_group *group);
    int err;
    char text[256];
};

static void *part_main(void *arg)
{
    struct part *part = arg;
    part->err = part->run(part->rig, part->group);
    snprintf(part->text, sizeof(part->text), "%s", weft_fail_text(part->err));
    return NULL;
}

void rig_all(struct rig *rig, int (*run)(struct rig *rig, struct weft_group *group))
{
    struct part parts[RIG_MEMBERS] = {{0}};
    for (uint32_t i = 0; i < rig->n; i++) {
        parts[i] = (struct part){.rig = rig, .group = rig->members[i], .run = run};
        assert_int_equal(pthread_create(&parts[i].thread, NULL, part_main, &parts[i]), 0);
    }
    for (uint32_t i = 0; i < rig->n; i++)
        pthread_join(parts[i].thread, NULL);
    for (uint32_t i = 0; i < rig->n; i++) {
        if (parts[i].err != WEFT_OK)
            fail_msg("member %u: %s", i, parts[i].text);
    }
}
