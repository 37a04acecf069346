/* Snapshots on two real hosts, from a client that learns everything from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemons.h"
#include "host/calls.h"
#include "host/transports.h"
#include "snapshot/client.h"

enum { LARGE = 5 << 20, SMALL = 100 };

struct scene {
    struct daemons *rig;
    struct weft_snapshots *snapshots;
    char urls[DAEMONS][64]; /* of the snapshot services */
};

static void scene_open(struct daemons *rig, struct scene *scene)
{
    scene->rig = rig;
    assert_int_equal(
        weft__snapshots_open(&(struct weft_snapshots_desc){.client = rig->client,
                                                           .transports = weft__transports,
                                                           .transports_n = weft__transports_n},
                             &scene->snapshots),
        WEFT_OK);
    for (unsigned i = 0; i < DAEMONS; i++) {
        const char *colon = strrchr(rig->urls[i], ':');
        snprintf(scene->urls[i], sizeof(scene->urls[i]), "%.*s:%lu", (int)(colon - rig->urls[i]),
                 rig->urls[i], strtoul(colon + 1, NULL, 10) + WEFT_PORT_SNAPSHOT);
    }
}

static struct weft_snapshot_at at(const struct scene *scene, unsigned host, const char *key)
{
    return (struct weft_snapshot_at){.url = scene->urls[host], .key = key, .timeout_ms = DAEMON_MS};
}

static void push(const struct scene *scene, unsigned host, const char *key, int fill, size_t len)
{
    struct weft_snapshot_at where = at(scene, host, key);
    void *bytes = malloc(len);
    memset(bytes, fill, len);
    int err = weft__snapshot_push_bytes(scene->snapshots, &where, bytes, len);
    if (err != WEFT_OK)
        print_message("%s on host %u: %s\n", key, host, weft_fail_text(err));
    free(bytes);
    assert_int_equal(err, WEFT_OK);
}

static void assert_there(const struct scene *scene, unsigned host, const char *key, int fill,
                         size_t len)
{
    struct weft_snapshot_at where = at(scene, host, key);
    struct weft_snapshot_copy copy;
    int err = weft__snapshot_pull(scene->snapshots, &where, &copy);
    if (err != WEFT_OK)
        print_message("%s on host %u: %s\n", key, host, weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
    assert_int_equal(copy.size_bytes, len);
    const unsigned char *bytes = copy.region.base;
    for (size_t i = 0; i < len; i += 499)
        assert_int_equal(bytes[i], fill);
    weft__region_fini(&copy.region);
}

static bool is_there(const struct scene *scene, unsigned host, const char *key)
{
    struct weft_snapshot_at where = at(scene, host, key);
    struct weft_snapshot_info info;
    int err = weft__snapshot_info(scene->snapshots, &where, &info);
    assert_true(err == WEFT_OK || err == WEFT_ENOENT);
    return err == WEFT_OK;
}

static void one_client_keeps_snapshots_on_two_hosts_apart(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    for (unsigned host = 0; host < DAEMONS; host++) {
        push(&scene, host, "large", 10 + (int)host, LARGE);
        push(&scene, host, "small", 20 + (int)host, SMALL);
    }
    for (unsigned host = 0; host < DAEMONS; host++) {
        assert_there(&scene, host, "large", 10 + (int)host, LARGE);
        assert_there(&scene, host, "small", 20 + (int)host, SMALL);
    }
    struct weft_snapshot_at where = at(&scene, 0, "large");
    assert_int_equal(weft__snapshot_delete(scene.snapshots, &where, NULL), WEFT_OK);
    assert_false(is_there(&scene, 0, "large"));
    assert_there(&scene, 1, "large", 11, LARGE);
    weft__snapshots_close(scene.snapshots);
}

static void a_deletion_nobody_waits_for_happens_soon(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    push(&scene, 1, "soon", 1, SMALL);
    struct weft_snapshot_at where = at(&scene, 1, "soon");
    assert_int_equal(weft__snapshot_delete_soon(scene.snapshots, &where), WEFT_OK);
    uint64_t until = weft__now_ns() + DAEMON_MS * WEFT_NS_PER_MS;
    while (is_there(&scene, 1, "soon")) {
        assert_true(weft__now_ns() < until);
        daemon_nap();
    }
    weft__snapshots_close(scene.snapshots);
}

static void a_client_that_comes_later_finds_what_was_left(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    push(&scene, 0, "left", 7, LARGE);
    weft__snapshots_close(scene.snapshots);
    scene_open(*state, &scene);
    assert_there(&scene, 0, "left", 7, LARGE);
    weft__snapshots_close(scene.snapshots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_keeps_snapshots_on_two_hosts_apart),
        cmocka_unit_test(a_deletion_nobody_waits_for_happens_soon),
        cmocka_unit_test(a_client_that_comes_later_finds_what_was_left),
    };
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
