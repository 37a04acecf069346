/* The snapshot service and its client in one process, over the lane that the command line names. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "host_scene.h"
#include "link/data.h"
#include "snapshot/client.h"
#include "snapshot/image.h"
#include "snapshot/service.h"
#include "snapshot/track.h"
#include "weft/error.h"
#include "wire/message.h"
#include "wire/snapshot.pb-c.h"

enum { MEMORY = 32 << 20, SMALL = 1000, LARGE = 3 << 20, CALL_MS = 20000, THREADS = 4 };

struct rig {
    struct host host;
    struct asker asker;
    unsigned char *bytes;
};

static int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    *state = rig;
    host_open(&rig->host, MEMORY, NULL);
    asker_open(&rig->asker);
    rig->bytes = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        rig->bytes[i] = (unsigned char)(i * 7 + i / 4096);
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    asker_close(&rig->asker);
    if (rig->host.server != NULL)
        host_close(&rig->host);
    free(rig->bytes);
    free(rig);
    return 0;
}

static struct weft_snapshot_at at(const struct rig *rig, const char *key)
{
    return (struct weft_snapshot_at){.url = rig->host.url, .key = key, .timeout_ms = CALL_MS};
}

static int push(struct rig *rig, const char *key, size_t len)
{
    struct weft_snapshot_at where = at(rig, key);
    return weft__snapshot_push_bytes(rig->asker.snapshots, &where, rig->bytes, len);
}

static void assert_pulled(struct rig *rig, const char *key, size_t len)
{
    struct weft_snapshot_at where = at(rig, key);
    struct weft_snapshot_copy copy;
    int err = weft__snapshot_pull(rig->asker.snapshots, &where, &copy);
    if (err != WEFT_OK)
        print_message("%s: %s\n", key, weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
    assert_int_equal(copy.size_bytes, len);
    assert_memory_equal(copy.region.base, rig->bytes, len);
    weft__region_fini(&copy.region);
}

static uint64_t held(struct rig *rig, size_t *n_out)
{
    Weft__Snapshot__ListRequest request = WEFT__SNAPSHOT__LIST_REQUEST__INIT;
    ProtobufCMessage *message;
    assert_int_equal(weft__client_wait(rig->asker.client,
                                       &(struct weft_client_call){
                                           .url = rig->host.url,
                                           .code = WEFT_SNAPSHOT_LIST,
                                           .request = &request.base,
                                           .reply_type = &weft__snapshot__list_reply__descriptor,
                                           .timeout_ms = CALL_MS},
                                       &message),
                     WEFT_OK);
    const Weft__Snapshot__ListReply *reply = (const Weft__Snapshot__ListReply *)message;
    uint64_t bytes = reply->held_bytes;
    *n_out = reply->n_snapshots;
    weft__message_free(message);
    return bytes;
}

/* Nothing is left in the store, at once or soon. */
static void assert_nothing_held(struct rig *rig)
{
    size_t n;
    uint64_t until = weft__now_ns() + CALL_MS * WEFT_NS_PER_MS;
    while (held(rig, &n) != 0 && weft__now_ns() < until)
        ;
    assert_int_equal(held(rig, &n), 0);
    assert_int_equal(n, 0);
}

static void snapshots_of_every_size_come_back_as_they_went(void **state)
{
    static const size_t sizes[] = {
        1, SMALL, 4096, WEFT_SNAPSHOT_INLINE_MAX, WEFT_SNAPSHOT_INLINE_MAX + 1, 1 << 20, LARGE};
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(push(rig, "k", sizes[i]), WEFT_OK);
        assert_pulled(rig, "k", sizes[i]);
        assert_pulled(rig, "k", sizes[i]);
    }
}

static void a_sparse_region_takes_the_memory_of_what_was_touched(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "sparse");
    struct weft_snapshot_info info;
    struct weft_snapshot_copy copy;
    struct weft_region region;
    const size_t len = (size_t)1 << 30; /* far more than the host's memory for snapshots */
    assert_int_equal(weft__region_init(&region, "sparse", NULL, len), WEFT_OK);
    for (size_t page = 0; page < 100; page++)
        memset((char *)region.base + page * 1000 * 4096, (int)page + 1, 4096);
    assert_int_equal(weft__snapshot_push(rig->asker.snapshots, &where, &region), WEFT_OK);
    assert_int_equal(weft__snapshot_info(rig->asker.snapshots, &where, &info), WEFT_OK);
    assert_int_equal(info.size_bytes, len);
    assert_true(info.held_bytes >= 100 * 4096 && info.held_bytes < 200 * 4096);
    assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_OK);
    for (size_t page = 0; page < 100; page++)
        assert_memory_equal((char *)copy.region.base + page * 1000 * 4096,
                            (char *)region.base + page * 1000 * 4096, 4096);
    weft__region_fini(&copy.region);
    weft__region_fini(&region);
}

static void a_region_that_was_never_touched_is_a_snapshot_too(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "empty");
    struct weft_snapshot_copy copy;
    struct weft_region region;
    assert_int_equal(weft__region_init(&region, "untouched", NULL, LARGE), WEFT_OK);
    assert_int_equal(weft__snapshot_push(rig->asker.snapshots, &where, &region), WEFT_OK);
    weft__region_fini(&region);
    assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_OK);
    assert_int_equal(copy.size_bytes, LARGE);
    for (size_t i = 0; i < LARGE; i += 4096)
        assert_int_equal(((char *)copy.region.base)[i], 0);
    weft__region_fini(&copy.region);
}

static void deleting_gives_the_memory_back(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at large = at(rig, "large"), small = at(rig, "small");
    struct weft_snapshot_copy copy;
    bool existed = false;
    assert_int_equal(push(rig, "large", LARGE), WEFT_OK);
    assert_int_equal(push(rig, "small", SMALL), WEFT_OK);
    assert_pulled(rig, "large", LARGE);
    assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &large, &existed), WEFT_OK);
    assert_true(existed);
    assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &large, &existed), WEFT_OK);
    assert_false(existed);
    assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &large, &copy), WEFT_ENOENT);
    Weft__Snapshot__DeleteRequest request = WEFT__SNAPSHOT__DELETE_REQUEST__INIT;
    request.key = weft__message_text(small.key);
    assert_int_equal(weft__client_push(rig->asker.client, rig->host.async_url, WEFT_SNAPSHOT_DELETE,
                                       &request.base),
                     WEFT_OK);
    assert_nothing_held(rig);
}

static void a_full_host_refuses_and_keeps_what_it_has(void **state)
{
    struct rig *rig = *state;
    char key[16];
    int err = WEFT_OK, n = 0;
    while (err == WEFT_OK && n < 100) {
        snprintf(key, sizeof(key), "k%d", n);
        err = push(rig, key, LARGE);
        n += err == WEFT_OK;
    }
    assert_int_equal(err, WEFT_ENOSPC);
    assert_int_equal(n, MEMORY / (LARGE + 512));
    assert_non_null(strstr(weft_fail_text(err), "WEFT_SNAPSHOT_MEMORY"));
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_pulled(rig, key, LARGE);
    }
}

static void lists_are_whole_and_sorted_however_long(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "many/");
    struct weft_snapshot_info *infos;
    size_t n;
    char key[32];
    const unsigned many = WEFT_SNAPSHOT_LIST_MAX + 10;
    for (unsigned i = 0; i < many; i++) {
        snprintf(key, sizeof(key), "many/%06u", i * 7919 % many);
        assert_int_equal(push(rig, key, 1 + i % 9), WEFT_OK);
    }
    assert_int_equal(push(rig, "other", 5), WEFT_OK);
    assert_int_equal(weft__snapshot_list(rig->asker.snapshots, &where, &infos, &n), WEFT_OK);
    assert_int_equal(n, many);
    for (size_t i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "many/%06zu", i);
        assert_string_equal(infos[i].key, key);
    }
    weft__snapshot_list_free(infos, n);
}

static int raw_push(struct rig *rig, const Weft__Snapshot__PushRequest *request)
{
    return weft__client_wait(rig->asker.client,
                             &(struct weft_client_call){.url = rig->host.url,
                                                        .code = WEFT_SNAPSHOT_PUSH,
                                                        .request = &request->base,
                                                        .timeout_ms = CALL_MS},
                             NULL);
}

static void pushes_that_make_no_sense_are_refused_and_leave_nothing(void **state)
{
    struct rig *rig = *state;
    char long_key[WEFT_SNAPSHOT_KEY_MAX + 2];
    Weft__Snapshot__PushRequest request = WEFT__SNAPSHOT__PUSH_REQUEST__INIT;
    memset(long_key, 'k', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    request.size_bytes = SMALL;
    request.inline_.data = rig->bytes;
    request.inline_.len = SMALL;
    assert_int_equal(raw_push(rig, &request), WEFT_EINVAL); /* no key */
    request.key = long_key;
    assert_int_equal(raw_push(rig, &request), WEFT_EINVAL);
    request.key = weft__message_text("a\nb");
    assert_int_equal(raw_push(rig, &request), WEFT_EINVAL);
    request.key = weft__message_text("k");
    request.size_bytes = 0;
    assert_int_equal(raw_push(rig, &request), WEFT_EINVAL);
    request.size_bytes = SMALL + 1;
    assert_int_equal(raw_push(rig, &request), WEFT_EPROTO);
    request.size_bytes = request.inline_.len = LARGE;
    assert_int_equal(raw_push(rig, &request), WEFT_EMSGSIZE);
    request.inline_.len = 0;
    request.image.data = rig->bytes;
    request.image.len = 300;
    request.lane = weft__message_text("nowhere");
    assert_int_not_equal(raw_push(rig, &request), WEFT_OK);
    assert_int_equal(push(rig, "", SMALL), WEFT_EINVAL);
    assert_int_equal(push(rig, "k", 0), WEFT_EINVAL);
    assert_int_equal(push(rig, long_key, 1), WEFT_EINVAL);
    assert_nothing_held(rig);
}

/* A region of LARGE bytes that is shared and described by hand. */
struct by_hand {
    struct weft_data *data;
    struct weft_region region;
    struct weft_image *image;
    uint8_t *descriptor;
    char lane[WEFT_LANE_ADDRESS_MAX];
    Weft__Snapshot__PushRequest request;
};

static void by_hand_open(struct by_hand *hand, const char *key, uint32_t chunk)
{
    struct weft_lane *lane;
    weft__snapshot__push_request__init(&hand->request);
    lane_owner_open("by hand", &hand->data);
    assert_int_equal(weft__data_lane(hand->data, &lane), WEFT_OK);
    assert_int_equal(weft__region_init(&hand->region, "by hand", NULL, LARGE), WEFT_OK);
    memset(hand->region.base, 5, LARGE);
    const struct weft_image_desc desc = {.region = &hand->region, .chunk_bytes = chunk};
    assert_int_equal(weft__image_build(&desc, &hand->image), WEFT_OK);
    assert_int_equal(weft__image_share(hand->image, lane), WEFT_OK);
    assert_int_equal(weft__image_encode(hand->image, &hand->descriptor, &hand->request.image.len),
                     WEFT_OK);
    snprintf(hand->lane, sizeof(hand->lane), "%s", weft__lane_address(lane));
    hand->request.key = weft__message_text(key);
    hand->request.size_bytes = LARGE;
    hand->request.image.data = hand->descriptor;
    hand->request.lane = hand->lane;
}

static void by_hand_close(struct by_hand *hand)
{
    weft__image_free(hand->image);
    free(hand->descriptor);
    weft__data_close(hand->data);
    weft__region_fini(&hand->region);
}

/* The pusher describes a region and then takes it away, as one that dies does. */
static void a_push_that_dies_half_way_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct by_hand hand;
    assert_int_equal(push(rig, "kept", LARGE), WEFT_OK);
    by_hand_open(&hand, "kept", 0);
    weft__image_free(hand.image); /* its keys are gone: every get fails */
    hand.image = NULL;
    assert_int_not_equal(raw_push(rig, &hand.request), WEFT_OK);
    by_hand_close(&hand);
    assert_pulled(rig, "kept", LARGE); /* as it was */
    struct weft_snapshot_at where = at(rig, "kept");
    assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &where, NULL), WEFT_OK);
    assert_nothing_held(rig);
}

static _Atomic uint32_t given_up;

static void push_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    (void)ctx;
    (void)text;
    (void)reply;
    assert_true(err == WEFT_OK || err == WEFT_ECANCELED);
    atomic_fetch_add(&given_up, 1);
    weft__futex_wake(&given_up);
}

/* Starts a push and cancels it somewhat later. */
static void give_up_a_push(struct rig *rig, const struct by_hand *hand, unsigned spin)
{
    struct weft_client_ticket ticket;
    struct weft_client_call call = {.url = rig->host.url,
                                    .code = WEFT_SNAPSHOT_PUSH,
                                    .request = &hand->request.base,
                                    .timeout_ms = CALL_MS,
                                    .done = push_over,
                                    .ticket_out = &ticket};
    uint32_t before = atomic_load(&given_up);
    assert_int_equal(weft__client_start(rig->asker.client, &call), WEFT_OK);
    for (uint64_t until = weft__now_ns() + spin * UINT64_C(100000); weft__now_ns() < until;)
        ;
    weft__client_cancel(rig->asker.client, ticket);
    while (atomic_load(&given_up) == before)
        (void)weft__futex_wait(&given_up, before, WEFT_NEVER);
}

static void a_push_that_is_given_up_is_whole_or_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "hand");
    struct by_hand hand;
    unsigned whole = 0;
    by_hand_open(&hand, "hand", WEFT_REGION_PAGE);
    for (unsigned i = 0; i < 30; i++) {
        bool existed = false;
        give_up_a_push(rig, &hand, i % 15);
        struct weft_snapshot_copy copy;
        if (weft__snapshot_pull(rig->asker.snapshots, &where, &copy) == WEFT_OK) {
            assert_memory_equal(copy.region.base, hand.region.base, LARGE);
            weft__region_fini(&copy.region);
        }
        uint64_t until = weft__now_ns() + CALL_MS * WEFT_NS_PER_MS;
        size_t n = 1;
        while (held(rig, &n) != 0 && weft__now_ns() < until) { /* until it is over there */
            assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &where, &existed),
                             WEFT_OK);
            whole += existed;
        }
    }
    assert_true(whole < 30);
    by_hand_close(&hand);
    assert_nothing_held(rig);
}

struct worker {
    pthread_t thread;
    struct rig *rig;
    unsigned number;
    bool pushes;
    int err;
    char text[256];
};

/* Each byte of a push is its pusher's number: what is pulled must be of one push. */
static int push_and_pull(struct worker *worker)
{
    struct weft_snapshot_at where = at(worker->rig, "shared");
    struct weft_snapshot_copy copy;
    int err = WEFT_OK;
    unsigned char *bytes = malloc(1 << 20);
    memset(bytes, (int)worker->number + 1, 1 << 20);
    for (unsigned i = 0; i < 20 && err == WEFT_OK; i++) {
        if (worker->pushes) {
            err = weft__snapshot_push_bytes(worker->rig->asker.snapshots, &where, bytes, 1 << 20);
            if (err == WEFT_EAGAIN)
                err = WEFT_OK;
            continue;
        }
        err = weft__snapshot_pull(worker->rig->asker.snapshots, &where, &copy);
        if (err == WEFT_OK) {
            const unsigned char *got = copy.region.base;
            for (size_t k = 1; k < 1 << 20 && err == WEFT_OK; k += 997)
                if (got[k] != got[0])
                    err = weft_fail(WEFT_EFAULT, "a mixture at %zu", k);
            weft__region_fini(&copy.region);
        }
    }
    free(bytes);
    return err;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    worker->err = push_and_pull(worker);
    snprintf(worker->text, sizeof(worker->text), "%s", weft_fail_text(worker->err));
    return NULL;
}

static void pulls_while_others_push_bring_one_push_or_another(void **state)
{
    struct worker workers[THREADS];
    memset(((struct rig *)*state)->bytes, THREADS + 1, 1 << 20);
    assert_int_equal(push(*state, "shared", 1 << 20), WEFT_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.rig = *state, .number = i, .pushes = i % 2 == 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        if (workers[i].err != WEFT_OK)
            print_message("worker %u: %s\n", i, workers[i].text);
        assert_int_equal(workers[i].err, WEFT_OK);
    }
}

/* Writes to a page of the region and of what is expected. */
static void write_page(struct rig *rig, struct weft_region *region, size_t page, int fill)
{
    memset((char *)region->base + page * WEFT_REGION_PAGE, fill, WEFT_REGION_PAGE);
    memset(rig->bytes + page * WEFT_REGION_PAGE, fill, WEFT_REGION_PAGE);
}

/* Pushes len bytes, then twice what a tracker has seen written since. */
static void push_changes(struct rig *rig, size_t len)
{
    struct weft_snapshot_at where = at(rig, "k");
    struct weft_region region;
    struct weft_track *track;
    struct weft_extents changed = {0};
    uint64_t version = 0;
    assert_int_equal(weft__region_init(&region, "source", NULL, len), WEFT_OK);
    memcpy(region.base, rig->bytes, len);
    assert_int_equal(
        weft__track_start(
            &(struct weft_track_desc){.base = region.base, .len_bytes = len, .fd = region.fd},
            &track),
        WEFT_OK);
    struct weft_snapshot_update update = {.region = &region};
    assert_int_equal(weft__snapshot_update(rig->asker.snapshots, &where, &update, &version),
                     WEFT_OK);
    assert_pulled(rig, "k", len);
    for (int i = 1; i <= 2; i++) {
        write_page(rig, &region, (size_t)i, 'a' + i);
        write_page(rig, &region, len / WEFT_REGION_PAGE - 1, 'p' + i);
        assert_int_equal(weft__track_collect(track, &changed), WEFT_OK);
        update.base_version = version;
        update.changed = &changed;
        assert_int_equal(weft__snapshot_update(rig->asker.snapshots, &where, &update, &version),
                         WEFT_OK);
        assert_true(version > update.base_version);
        assert_pulled(rig, "k", len);
    }
    weft__track_stop(track);
    weft__extents_fini(&changed);
    weft__region_fini(&region);
}

static void what_changed_since_a_push_makes_the_next_version(void **state)
{
    struct rig *rig = *state;
    push_changes(rig, LARGE);
    push_changes(rig, WEFT_SNAPSHOT_INLINE_MAX);
}

static void a_push_of_no_changes_is_a_version_too(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "k");
    const struct weft_extents none = {0};
    struct weft_region region;
    struct weft_snapshot_update update = {.region = &region, .changed = &none};
    uint64_t version;
    assert_int_equal(weft__region_init(&region, "source", NULL, LARGE), WEFT_OK);
    memcpy(region.base, rig->bytes, LARGE);
    assert_int_equal(
        weft__snapshot_update(rig->asker.snapshots, &where, &update, &update.base_version),
        WEFT_OK);
    assert_int_equal(weft__snapshot_update(rig->asker.snapshots, &where, &update, &version),
                     WEFT_OK);
    assert_true(version > update.base_version);
    assert_pulled(rig, "k", LARGE);
    weft__region_fini(&region);
}

static void changes_of_a_version_that_is_gone_are_refused(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "k");
    struct weft_extents changed = {0};
    struct weft_region region;
    for (size_t len = LARGE; len; len = len == LARGE ? WEFT_SNAPSHOT_INLINE_MAX : 0) {
        struct weft_snapshot_update update = {
            .region = &region, .base_version = 1, .changed = &changed};
        assert_int_equal(weft__region_init(&region, "source", NULL, len), WEFT_OK);
        assert_int_equal(weft__extents_add(&changed, 0, WEFT_REGION_PAGE), WEFT_OK);
        assert_int_equal(weft__snapshot_update(rig->asker.snapshots, &where, &update, NULL),
                         WEFT_ESTALE);
        assert_non_null(strstr(weft_fail_text(WEFT_ESTALE), "push all of it"));
        assert_int_equal(push(rig, "k", len), WEFT_OK);
        assert_int_equal(weft__snapshot_update(rig->asker.snapshots, &where, &update, NULL),
                         WEFT_ESTALE);
        assert_pulled(rig, "k", len);
        weft__region_fini(&region);
        weft__extents_clear(&changed);
        assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &where, NULL), WEFT_OK);
    }
    weft__extents_fini(&changed);
    assert_nothing_held(rig);
}

static void a_host_that_is_gone_is_an_error_in_time(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "k");
    struct weft_snapshot_copy copy;
    assert_int_equal(push(rig, "k", LARGE), WEFT_OK);
    host_close(&rig->host);
    where.timeout_ms = 500;
    assert_int_not_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_OK);
    assert_int_not_equal(weft__snapshot_push_bytes(rig->asker.snapshots, &where, rig->bytes, LARGE),
                         WEFT_OK);
}

#define ON_A_RIG(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_A_RIG(snapshots_of_every_size_come_back_as_they_went),
        ON_A_RIG(a_sparse_region_takes_the_memory_of_what_was_touched),
        ON_A_RIG(a_region_that_was_never_touched_is_a_snapshot_too),
        ON_A_RIG(deleting_gives_the_memory_back),
        ON_A_RIG(a_full_host_refuses_and_keeps_what_it_has),
        ON_A_RIG(lists_are_whole_and_sorted_however_long),
        ON_A_RIG(pushes_that_make_no_sense_are_refused_and_leave_nothing),
        ON_A_RIG(a_push_that_dies_half_way_leaves_nothing),
        ON_A_RIG(a_push_that_is_given_up_is_whole_or_leaves_nothing),
        ON_A_RIG(pulls_while_others_push_bring_one_push_or_another),
        ON_A_RIG(what_changed_since_a_push_makes_the_next_version),
        ON_A_RIG(a_push_of_no_changes_is_a_version_too),
        ON_A_RIG(changes_of_a_version_that_is_gone_are_refused),
        ON_A_RIG(a_host_that_is_gone_is_an_error_in_time),
    };
    if (argc > 1)
        host_scheme = argv[1];
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    if (!host_scheme_is_here())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
