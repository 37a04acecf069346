/* Snapshots on two real hosts, from a client that learns everything from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "daemons.h"
#include "host/calls.h"
#include "host/transports.h"
#include "link/data.h"
#include "snapshot/client.h"
#include "snapshot/image.h"
#include "snapshot/service.h"
#include "weft/snapshot.h"
#include "wire/message.h"
#include "wire/snapshot.pb-c.h"

enum { LARGE = 5 << 20 /* whole pages */, SMALL = 100 };

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
    assert_int_equal(weft__snapshot_delete_async(scene.snapshots, &where), WEFT_OK);
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

static void a_host_that_is_not_there_is_given_up_before_the_deadline(void **state)
{
    struct scene scene;
    struct weft_snapshot_copy copy;
    scene_open(*state, &scene);
    struct weft_snapshot_at where = {
        .url = "tcp://127.0.0.1:1", .key = "none", .timeout_ms = 3 * DAEMON_MS};
    uint64_t begun = weft__now_ns();
    assert_int_equal(weft_error_damage(weft__snapshot_pull(scene.snapshots, &where, &copy)),
                     WEFT_DAMAGE_PEER);
    assert_true(weft__now_ns() - begun < DAEMON_MS * WEFT_NS_PER_MS);
    weft__snapshots_close(scene.snapshots);
}

static void a_program_pushes_and_pulls_by_the_public_calls(void **state)
{
    const struct daemons *rig = *state;
    const struct weft_snapshot_options options = {.host = rig->urls[1], .timeout_ms = DAEMON_MS};
    struct weft_snapshot_host *host;
    struct weft_snapshot_view view;
    bool existed = false;
    assert_int_equal(weft_snapshot_open(&options, &host), WEFT_OK);
    assert_int_equal(weft_snapshot_push(host, NULL, "x", 1), WEFT_EINVAL);
    assert_int_equal(weft_snapshot_push(host, "public", "bytes", 5), WEFT_OK);
    assert_int_equal(weft_snapshot_pull(host, "public", &view), WEFT_OK);
    assert_int_equal(view.len_bytes, 5);
    assert_memory_equal(view.bytes, "bytes", 5);
    weft_snapshot_release(&view);
    assert_int_equal(weft_snapshot_delete(host, "public", &existed), WEFT_OK);
    assert_true(existed);
    assert_int_equal(weft_snapshot_pull(host, "public", &view), WEFT_ENOENT);
    weft_snapshot_close(host);
}

/* ---- a process that shares memory, and dies ---- */

struct shared {
    char lane[WEFT_LANE_ADDRESS_MAX];
    uint32_t len;
    uint8_t descriptor[4096];
};

/* Forked before this process has threads: begins when it is told where. */
static struct {
    pid_t pid;
    int to, from;
} pusher;

static int lane_token(void *ctx, uint64_t *token_out)
{
    (void)ctx;
    *token_out = 1; /* gets do not need it */
    return WEFT_OK;
}

static void share_and_wait(int from, int to)
{
    static struct shared shared;
    static struct weft_region region;
    char bind[WEFT_DATA_BIND_MAX] = "";
    struct weft_data *data;
    struct weft_lane *lane;
    struct weft_image *image;
    uint8_t *descriptor;
    size_t len;
    if (read(from, bind, sizeof(bind) - 1) <= 0 || weft__config_load() != WEFT_OK ||
        weft__data_open(&(struct weft_data_desc){.transports = weft__transports,
                                                 .transports_n = weft__transports_n,
                                                 .bind = bind,
                                                 .token = lane_token},
                        &data) != WEFT_OK ||
        weft__data_lane(data, &lane) != WEFT_OK ||
        weft__region_init(&region, "pusher", NULL, LARGE) != WEFT_OK)
        return;
    memset(region.base, 3, region.len_bytes);
    if (weft__image_build(&(struct weft_image_desc){.region = &region}, &image) != WEFT_OK ||
        weft__image_share(image, lane) != WEFT_OK ||
        weft__image_encode(image, &descriptor, &len) != WEFT_OK || len > sizeof(shared.descriptor))
        return;
    snprintf(shared.lane, sizeof(shared.lane), "%s", weft__lane_address(lane));
    shared.len = (uint32_t)len;
    memcpy(shared.descriptor, descriptor, len);
    if (write(to, &shared, sizeof(shared)) == (ssize_t)sizeof(shared))
        for (;;)
            pause();
}

static void pusher_fork(void)
{
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0)
        exit(1);
    pusher.pid = fork();
    if (pusher.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        share_and_wait(to[0], from[1]);
        _exit(1);
    }
    close(to[0]);
    close(from[1]);
    pusher.to = to[1];
    pusher.from = from[0];
}

static void read_all(int fd, void *into, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)into + done, len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

static void a_push_whose_process_was_killed_leaves_nothing(void **state)
{
    struct scene scene;
    struct shared shared;
    char bind[WEFT_DATA_BIND_MAX];
    Weft__Snapshot__PushRequest request = WEFT__SNAPSHOT__PUSH_REQUEST__INIT;
    scene_open(*state, &scene);
    assert_int_equal(weft__data_bind_to(scene.urls[0], bind), WEFT_OK);
    assert_int_equal(write(pusher.to, bind, strlen(bind)), strlen(bind));
    read_all(pusher.from, &shared, sizeof(shared));
    assert_int_equal(kill(pusher.pid, SIGKILL), 0);
    assert_int_equal(waitpid(pusher.pid, NULL, 0), pusher.pid);
    request.key = weft__message_text("dead");
    request.size_bytes = LARGE;
    request.image.data = shared.descriptor;
    request.image.len = shared.len;
    request.lane = shared.lane;
    int err = weft__client_wait(scene.rig->client,
                                &(struct weft_client_call){.url = scene.urls[0],
                                                           .code = WEFT_SNAPSHOT_PUSH,
                                                           .request = &request.base,
                                                           .timeout_ms = 3 * DAEMON_MS},
                                NULL);
    print_message("the host says: %s\n", weft_fail_text(err));
    assert_int_not_equal(err, WEFT_OK);
    assert_int_not_equal(err, WEFT_EPROTO);
    assert_false(is_there(&scene, 0, "dead"));
    push(&scene, 0, "dead", 4, LARGE);
    assert_there(&scene, 0, "dead", 4, LARGE);
    weft__snapshots_close(scene.snapshots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_keeps_snapshots_on_two_hosts_apart),
        cmocka_unit_test(a_deletion_nobody_waits_for_happens_soon),
        cmocka_unit_test(a_client_that_comes_later_finds_what_was_left),
        cmocka_unit_test(a_host_that_is_not_there_is_given_up_before_the_deadline),
        cmocka_unit_test(a_program_pushes_and_pulls_by_the_public_calls),
        cmocka_unit_test(a_push_whose_process_was_killed_leaves_nothing),
    };
    pusher_fork();
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
