#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "tests/loopback.h"
#include "weft/error.h"

#define STOP_MS 10000

void rig_head_start(struct rig *rig)
{
    const struct weft_registry_desc desc = {
        .log_path = rig->log, .beat_ms = rig->beat_ms, .dead_ms = rig->dead_ms};
    struct weft_service_desc service;
    char own[OWN_LOOPBACK_MAX];
    own_loopback(own);
    assert_int_equal(weft__registry_open(&desc, &rig->registry), 0);
    weft__registry_service(rig->registry, &service);
    service.sync_port = rig->port;
    const struct weft_server_desc server = {.bind = own, .services = &service, .services_n = 1};
    assert_int_equal(weft__server_start(&server, &rig->server), 0);
    if (rig->port)
        return;
    rig->port = weft__server_sync_port(rig->server, 0);
    snprintf(rig->url, sizeof(rig->url), "tcp://%s:%u", own, rig->port);
}

void rig_head_stop(struct rig *rig)
{
    weft__server_stop(rig->server, STOP_MS);
    weft__registry_close(rig->registry);
    rig->server = NULL;
    rig->registry = NULL;
}

int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    if (!rig)
        return -1;
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/weft-registry-XXXXXX");
    if (!mkdtemp(rig->folder))
        return -1;
    snprintf(rig->log, sizeof(rig->log), "%s/log", rig->folder);
    rig->beat_ms = 1000;
    rig->dead_ms = 60000; /* a test that wants deaths says so */
    rig_head_start(rig);
    const struct weft_client_desc client = {0};
    assert_int_equal(weft__client_open(&client, &rig->client), 0);
    rig->at =
        (struct weft_registry_at){.client = rig->client, .url = rig->url, .timeout_ms = 20000};
    *state = rig;
    return 0;
}

int rig_close(void **state)
{
    struct rig *rig = *state;
    weft__client_close(rig->client);
    rig_head_stop(rig);
    unlink(rig->log);
    int err = rmdir(rig->folder);
    free(rig);
    return err;
}

struct weft_registry_host rig_host(const char *name, uint64_t incarnation)
{
    struct weft_registry_host host = {.slots = 2, .incarnation = incarnation, .pid = 42};
    snprintf(host.name, sizeof(host.name), "%s", name);
    snprintf(host.address, sizeof(host.address), "127.0.0.3");
    snprintf(host.control, sizeof(host.control), "tcp://127.0.0.3:8100");
    return host;
}

void rig_answered(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct rig_answer *answer = ctx;
    answer->err = err;
    assert_true((err == 0) == (text == NULL));
    assert_true((err == 0) == (reply != NULL));
    if (reply) {
        answer->reply = *reply;
        if (reply->hosts_n)
            memcpy(answer->hosts, reply->hosts,
                   (reply->hosts_n < RIG_HOSTS ? reply->hosts_n : RIG_HOSTS) *
                       sizeof(*reply->hosts));
        if (reply->value_len)
            memcpy(answer->value, reply->value, reply->value_len);
        answer->reply.hosts = answer->hosts;
        answer->reply.value = answer->value;
    }
    atomic_store(&answer->over, 1);
    weft__futex_wake(&answer->over);
}

int rig_await(struct rig_answer *answer)
{
    uint64_t limit = weft__now_ns() + 90 * WEFT_NS_PER_S;
    while (!atomic_load(&answer->over))
        assert_int_equal(weft__futex_wait(&answer->over, 0, limit), 0);
    return answer->err;
}

const struct weft_registry_host *rig_find(const struct rig_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->reply.hosts_n; i++)
        if (!strcmp(answer->hosts[i].name, name))
            return &answer->hosts[i];
    return NULL;
}
