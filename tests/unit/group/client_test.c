/* What a member says to its host when answers get lost: the host is played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control/server.h"
#include "group/client.h"
#include "group/group.h"
#include "weft/error.h"
#include "wire/group.pb-c.h"

struct scene {
    struct weft_server *server;
    struct weft_groups *groups;
    struct weft_group *group;
    atomic_bool lose; /* answers to unlocks */
    _Atomic uint64_t unlock, released;
};

static struct scene scene;

static void on_call(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Group__Call *request = (const void *)message;
    (void)ctx;
    if (weft__call_code(call) == WEFT_GROUP_LOCK)
        atomic_store(&scene.released, request->released);
    if (weft__call_code(call) == WEFT_GROUP_UNLOCK)
        atomic_store(&scene.unlock, request->number);
    if (weft__call_code(call) == WEFT_GROUP_UNLOCK && atomic_load(&scene.lose))
        weft__call_fail(call, WEFT_ETIMEDOUT, "lost");
    else
        weft__call_reply(call, NULL);
}

static void on_open(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    Weft__Group__Peer peer = WEFT__GROUP__PEER__INIT, *hosts[] = {&peer};
    Weft__Group__Roster roster = WEFT__GROUP__ROSTER__INIT;
    Weft__Group__Known known = WEFT__GROUP__KNOWN__INIT;
    uint32_t host_of[] = {0};
    (void)ctx;
    (void)message;
    roster.n_hosts = roster.n_host_of = 1;
    roster.hosts = hosts;
    roster.host_of = host_of;
    known.roster = &roster;
    weft__call_reply(call, &known.base);
}

static int open_scene(void **state)
{
    static const struct weft_handler_desc handlers[] = {
        {WEFT_GROUP_BEAT, WEFT_HANDLER_SYNC, "beat", NULL, on_call},
        {WEFT_GROUP_OPEN, WEFT_HANDLER_SYNC, "open", NULL, on_open},
        {WEFT_GROUP_LEAVE, WEFT_HANDLER_SYNC, "leave", &weft__group__call__descriptor, on_call},
        {WEFT_GROUP_LOCK, WEFT_HANDLER_SYNC, "lock", &weft__group__call__descriptor, on_call},
        {WEFT_GROUP_UNLOCK, WEFT_HANDLER_SYNC, "unlock", &weft__group__call__descriptor, on_call},
    };
    struct weft_service_desc service = {
        .name = "group", .handlers = handlers, .handlers_n = sizeof(handlers) / sizeof(*handlers)};
    struct weft_server_desc server = {.bind = "127.0.0.1", .services = &service, .services_n = 1};
    char url[64];
    (void)state;
    if (weft__server_start(&server, &scene.server) != WEFT_OK)
        return -1;
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u",
             (unsigned)weft__server_sync_port(scene.server, 0));
    if (weft__groups_open(&(struct weft_groups_desc){.url = url, .async_url = url},
                          &scene.groups) != WEFT_OK)
        return -1;
    return weft_group_open(scene.groups, 1, 0, 1000, &scene.group);
}

static int close_scene(void **state)
{
    (void)state;
    weft_group_leave(scene.group);
    weft_groups_close(scene.groups);
    weft__server_stop(scene.server, 1000);
    scene = (struct scene){.server = NULL};
    return 0;
}

static void an_unlock_of_unknown_end_is_sent_again_under_its_number(void **state)
{
    (void)state;
    assert_int_equal(weft_group_lock(scene.group, 1000), WEFT_OK);
    atomic_store(&scene.lose, true);
    assert_int_equal(weft_group_unlock(scene.group), WEFT_ETIMEDOUT);
    atomic_store(&scene.lose, false);
    assert_int_equal(weft_group_unlock(scene.group), WEFT_OK);
    assert_int_equal(atomic_load(&scene.unlock), 1);
    assert_int_equal(weft_group_unlock(scene.group), WEFT_OK);
    assert_int_equal(atomic_load(&scene.unlock), 2);
}

/* Else the next unlock would have the number of the one before, and change nothing. */
static void a_lock_after_an_unlock_of_unknown_end_counts_it(void **state)
{
    (void)state;
    assert_int_equal(weft_group_lock(scene.group, 1000), WEFT_OK);
    atomic_store(&scene.lose, true);
    assert_int_equal(weft_group_unlock(scene.group), WEFT_ETIMEDOUT);
    atomic_store(&scene.lose, false);
    assert_int_equal(weft_group_lock(scene.group, 1000), WEFT_OK);
    assert_int_equal(atomic_load(&scene.released), 1);
    assert_int_equal(weft_group_unlock(scene.group), WEFT_OK);
    assert_int_equal(atomic_load(&scene.unlock), 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_unlock_of_unknown_end_is_sent_again_under_its_number),
        CASE(a_lock_after_an_unlock_of_unknown_end_counts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
