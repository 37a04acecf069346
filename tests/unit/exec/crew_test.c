/* The member's side of a fork: orders that cannot be, copies that are stale or damaged, threads
 * that are told to end. The other side is played by the test; tests/cluster/fork_test.c has both.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "control/server.h"
#include "exec/exec.h"
#include "exec/fork_calls.h"
#include "exec/program.h"
#include "snapshot/diff.h"
#include "snapshot/image.h"
#include "snapshot/merge.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"
#include "weft/fork.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

#define STRIDE (64ull << 20)
#define AT (1ull << 20) /* of the memory in the rank's range */
#define PAGES 4u
#define CALL_MS 60000u

enum { HERE = 1, THERE = 7 };

struct scene {
    struct weft_exec *exec;
    struct weft_server *server;
    struct weft_client *client;
    struct weft_program program;
    struct weft_program_copy copy; /* for offsets of functions */
    char url[64];
    char lane[WEFT_LANE_ADDRESS_MAX];
    Weft__Host__ForkRegion region, *regions[1];
};

static const struct weft_transport *const transports[] = {&weft__tp_inproc};

static void on_run(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    weft__exec_fork_run(ctx, call, request);
}

static void on_end(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    weft__exec_fork_end(ctx, call, request);
}

static void serve(struct scene *scene)
{
    const struct weft_handler_desc handlers[] = {
        {.code = WEFT_CALL_FORK_RUN,
         .flags = WEFT_HANDLER_SYNC,
         .name = "run",
         .request_type = &weft__host__fork_run_request__descriptor,
         .run = on_run},
        {.code = WEFT_CALL_FORK_END,
         .flags = WEFT_HANDLER_SYNC,
         .name = "end",
         .request_type = &weft__host__fork_end_request__descriptor,
         .run = on_end}};
    const struct weft_service_desc service = {
        .name = "app", .handlers = handlers, .handlers_n = 2, .ctx = scene->exec};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = &service, .services_n = 1};
    assert_int_equal(weft__server_start(&desc, &scene->server), WEFT_OK);
    snprintf(scene->url, sizeof(scene->url), "tcp://127.0.0.1:%u",
             weft__server_sync_port(scene->server, 0));
    assert_int_equal(
        weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &scene->client), WEFT_OK);
}

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    char path[512];
    char *argv[] = {path, NULL};
    assert_non_null(scene);
    snprintf(path, sizeof(path), "%s/forked.so", PROGRAMS);
    struct weft_exec_desc desc = {
        .app = 79,
        .size = 2,
        .stride = STRIDE,
        .process = HERE,
        .host = "here",
        .program = path,
        .argv = argv,
        .lane = {.transports = transports, .transports_n = 1, .scheme = "inproc", .bind = "crew"}};
    assert_int_equal(weft__exec_open(&desc, &scene->exec), WEFT_OK);
    assert_int_equal(weft__program_open(path, &scene->program), WEFT_OK);
    assert_int_equal(weft__program_load(&scene->program, &scene->copy), WEFT_OK);
    snprintf(scene->lane, sizeof(scene->lane), "%s", weft__exec_lane_address(scene->exec));
    serve(scene);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    weft__server_stop(scene->server, 1000);
    weft__client_close(scene->client);
    assert_int_equal(weft__exec_close(scene->exec, 10000), WEFT_OK);
    weft__program_unload(&scene->copy);
    weft__program_close(&scene->program);
    free(scene);
    return 0;
}

static uint64_t address(void)
{
#ifdef WEFT_TSAN
    return WEFT_EXEC_BASE_TSAN + AT;
#else
    return WEFT_EXEC_BASE_DEFAULT + AT;
#endif
}

/* An order of two threads of rank 0, which is in another process, to memory that is all zeros. */
static Weft__Host__ForkRunRequest order_of(struct scene *scene, const char *function)
{
    Weft__Host__ForkRunRequest order = WEFT__HOST__FORK_RUN_REQUEST__INIT;
    uintptr_t at = (uintptr_t)dlsym(scene->copy.handle, function);
    assert_int_equal(weft__program_offset_of(&scene->copy, at, &order.function), WEFT_OK);
    weft__host__fork_region__init(&scene->region);
    scene->region.type = WEFT_MERGE_INT32;
    scene->region.op = WEFT_MERGE_SUM;
    scene->regions[0] = &scene->region;
    order.fork = 1;
    order.process = THERE;
    order.host = (char *)(uintptr_t) "there";
    order.lane = scene->lane;
    order.address = address();
    order.len_bytes = PAGES * WEFT_REGION_PAGE;
    order.shared_bytes = order.len_bytes;
    order.version = 1;
    order.regions = scene->regions;
    order.n_regions = 1;
    order.build_id.data = scene->program.elf.build_id;
    order.build_id.len = scene->program.elf.build_id_len;
    order.threads = order.all_threads = 2;
    return order;
}

static int run(struct scene *scene, const Weft__Host__ForkRunRequest *order,
               Weft__Host__ForkRunReply **reply_out)
{
    ProtobufCMessage *reply = NULL;
    int err = weft__client_wait(
        scene->client,
        &(struct weft_client_call){.url = scene->url,
                                   .code = WEFT_CALL_FORK_RUN,
                                   .request = &order->base,
                                   .reply_type = &weft__host__fork_run_reply__descriptor,
                                   .timeout_ms = CALL_MS},
        &reply);
    if (reply_out)
        *reply_out = (Weft__Host__ForkRunReply *)reply;
    else
        weft__message_free(reply);
    return err;
}

static int end(struct scene *scene, uint64_t fork)
{
    Weft__Host__ForkEndRequest request = WEFT__HOST__FORK_END_REQUEST__INIT;
    request.fork = fork;
    return weft__client_wait(scene->client,
                             &(struct weft_client_call){.url = scene->url,
                                                        .code = WEFT_CALL_FORK_END,
                                                        .request = &request.base,
                                                        .timeout_ms = CALL_MS},
                             NULL);
}

/* It must have run on memory where all numbers were this. */
static void runs_on(struct scene *scene, const Weft__Host__ForkRunRequest *order, int before)
{
    Weft__Host__ForkRunReply *reply;
    struct weft_diffs diffs;
    int err = run(scene, order, &reply);
    if (err)
        print_message("%s\n", weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
    assert_int_equal(reply->n_values, 2);
    assert_int_equal(reply->values[0], before);
    assert_int_equal(reply->values[1], before);
    assert_int_equal(weft__diffs_decode(reply->diffs.data, reply->diffs.len, &diffs), WEFT_OK);
    assert_int_equal(diffs.n, 1);
    const int32_t wanted[] = {10, 11};
    assert_int_equal(diffs.at[0].len_bytes, sizeof(wanted));
    assert_memory_equal(weft__diff_data(&diffs, 0), wanted, sizeof(wanted));
    weft__diffs_fini(&diffs);
    weft__message_free((ProtobufCMessage *)reply);
}

static void refused(struct scene *scene, const Weft__Host__ForkRunRequest *order, int wanted,
                    const char *text)
{
    int err = run(scene, order, NULL);
    if (err != wanted || !strstr(weft_fail_text(err), text))
        fail_msg("%d (%s) instead of %d (%s)", err, weft_fail_text(err), wanted, text);
}

static void what_threads_write_comes_back_as_differences_and_the_copy_stays(void **state)
{
    struct scene *scene = *state;
    Weft__Host__ForkRunRequest order = order_of(scene, "add_index");
    runs_on(scene, &order, 0);
    order.base_version = 1;
    order.version = 2;
    runs_on(scene, &order, 0);
    assert_int_equal(end(scene, order.fork), WEFT_OK);
}

static void orders_that_cannot_be_are_refused(void **state)
{
    struct scene *scene = *state;
    const Weft__Host__ForkRunRequest good = order_of(scene, "add_index");
    Weft__Host__ForkRunRequest order = good;
    order.rank = 2;
    refused(scene, &order, WEFT_EPROTO, "of rank 2");
    order = good;
    order.threads = 0;
    refused(scene, &order, WEFT_EPROTO, "threads");
    order = good;
    order.first = UINT32_MAX;
    refused(scene, &order, WEFT_EPROTO, "threads");
    order = good;
    order.threads = order.all_threads = WEFT_FORK_THREADS_MAX + 1;
    refused(scene, &order, WEFT_EPROTO, "threads");
    order = good;
    order.address += 8;
    refused(scene, &order, WEFT_EPROTO, "no memory of rank 0");
    order = good;
    order.address += STRIDE;
    refused(scene, &order, WEFT_EPROTO, "no memory of rank 0");
    order = good;
    order.len_bytes = UINT64_MAX / 2 / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
    refused(scene, &order, WEFT_EPROTO, "no memory of rank 0");
    order = good;
    order.shared_bytes++;
    refused(scene, &order, WEFT_EPROTO, "no memory of rank 0");
    order = good;
    order.process = HERE; /* where no rank has forked */
    refused(scene, &order, WEFT_EPROTO, "has not forked");
    order = good;
    order.function = UINT64_MAX / 2;
    refused(scene, &order, WEFT_EINVAL, "no function");
    order = good;
    order.lane = (char *)(uintptr_t) "nonsense";
    refused(scene, &order, WEFT_EINVAL, "nonsense");
    runs_on(scene, &good, 0);
}

static void another_build_of_the_program_is_refused(void **state)
{
    struct scene *scene = *state;
    Weft__Host__ForkRunRequest order = order_of(scene, "add_index");
    uint8_t other[WEFT_BUILD_ID_MAX];
    memcpy(other, scene->program.elf.build_id, sizeof(other));
    other[0] ^= 1;
    order.build_id.data = other;
    refused(scene, &order, WEFT_ENOEXEC, "another build");
}

static void merge_regions_that_make_no_sense_are_refused(void **state)
{
    struct scene *scene = *state;
    Weft__Host__ForkRunRequest order = order_of(scene, "add_index");
    scene->region.op = 99;
    assert_int_equal(run(scene, &order, NULL), WEFT_EINVAL);
    scene->region.op = WEFT_MERGE_SUM;
    scene->region.type = 99;
    assert_int_equal(run(scene, &order, NULL), WEFT_EINVAL);
    scene->region.type = WEFT_MERGE_INT32;
    scene->region.offset = order.len_bytes + 4;
    scene->region.len_bytes = 4;
    assert_int_equal(run(scene, &order, NULL), WEFT_ERANGE);
}

static void a_version_that_is_not_here_is_stale(void **state)
{
    struct scene *scene = *state;
    Weft__Host__ForkRunRequest order = order_of(scene, "add_index");
    order.base_version = 1;
    refused(scene, &order, WEFT_ESTALE, "has version 0");
    order.base_version = 0;
    order.version = 3;
    runs_on(scene, &order, 0);
    order.base_version = 2;
    refused(scene, &order, WEFT_ESTALE, "has version 3");
}

/* Memory full of ones, shared by our own lane. */
struct shared {
    struct weft_region region;
    struct weft_image *image;
    ProtobufCBinaryData bytes;
};

/* damaged: not what its sums say. */
static void shared_init(struct shared *shared, struct scene *scene, bool damaged)
{
    struct weft_image_desc desc = {.region = &shared->region};
    assert_int_equal(weft__region_init(&shared->region, "ones", NULL, PAGES * WEFT_REGION_PAGE),
                     WEFT_OK);
    for (size_t i = 0; i < shared->region.len_bytes / 4; i++)
        ((int32_t *)shared->region.base)[i] = 1;
    assert_int_equal(weft__image_build(&desc, &shared->image), WEFT_OK);
    unsigned char *read =
        shared->image->packed ? shared->image->packed : (unsigned char *)shared->region.base;
    if (damaged)
        read[5] ^= 1;
    assert_int_equal(weft__image_share(shared->image, weft__exec_lanes(scene->exec)->lane[0]),
                     WEFT_OK);
    assert_int_equal(weft__image_encode(shared->image, &shared->bytes.data, &shared->bytes.len),
                     WEFT_OK);
}

static void shared_fini(struct shared *shared)
{
    free(shared->bytes.data);
    weft__image_free(shared->image);
    weft__region_fini(&shared->region);
}

static void a_copy_is_pulled_and_one_that_is_damaged_is_not_believed(void **state)
{
    struct scene *scene = *state;
    Weft__Host__ForkRunRequest order = order_of(scene, "add_index");
    struct shared good, bad;
    shared_init(&good, scene, false);
    shared_init(&bad, scene, true);
    order.image = good.bytes;
    runs_on(scene, &order, 1);

    order.image = bad.bytes;
    order.base_version = 1;
    order.version = 2;
    assert_int_equal(run(scene, &order, NULL), WEFT_ECHECKSUM);
    order.image = good.bytes;
    refused(scene, &order, WEFT_ESTALE, "has version 0");
    order.base_version = 0;
    runs_on(scene, &order, 1);

    order.len_bytes /= 2;
    order.shared_bytes = order.len_bytes;
    refused(scene, &order, WEFT_EPROTO, "an image of");
    order.image.len /= 2;
    assert_true(run(scene, &order, NULL) < 0);
    shared_fini(&good);
    shared_fini(&bad);
}

static _Atomic uint32_t begun; /* threads that wait */

struct waiting {
    _Atomic uint32_t over;
    int err;
    int32_t value;
};

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *message)
{
    struct waiting *waiting = ctx;
    const Weft__Host__ForkRunReply *reply = (const Weft__Host__ForkRunReply *)message;
    (void)text;
    waiting->err = err;
    waiting->value = err ? 0 : reply->values[0];
    atomic_store(&waiting->over, 1);
    weft__futex_wake(&waiting->over);
}

static void start_waiting(struct scene *scene, struct waiting *waiting)
{
    Weft__Host__ForkRunRequest order = order_of(scene, "wait_for_cancel");
    _Atomic uint32_t *where = &begun;
    *waiting = (struct waiting){.err = 1};
    atomic_store(&begun, 0);
    order.argument.data = (uint8_t *)&where;
    order.argument.len = sizeof(where);
    assert_int_equal(weft__client_start(scene->client,
                                        &(struct weft_client_call){
                                            .url = scene->url,
                                            .code = WEFT_CALL_FORK_RUN,
                                            .request = &order.base,
                                            .reply_type = &weft__host__fork_run_reply__descriptor,
                                            .timeout_ms = CALL_MS,
                                            .done = answered,
                                            .ctx = waiting}),
                     WEFT_OK);
    while (atomic_load(&begun) == 0)
        assert_int_equal(atomic_load(&waiting->over), 0);
    order = order_of(scene, "add_index");
    refused(scene, &order, WEFT_EBUSY, "run here already");
}

static void await(struct waiting *waiting)
{
    uint64_t until = weft__now_ns() + CALL_MS * WEFT_NS_PER_MS;
    while (atomic_load(&waiting->over) == 0)
        assert_int_not_equal(weft__futex_wait(&waiting->over, 0, until), WEFT_ETIMEDOUT);
}

static void the_end_of_a_fork_tells_its_threads_and_waits_for_them(void **state)
{
    struct scene *scene = *state;
    struct waiting waiting;
    start_waiting(scene, &waiting);
    assert_int_equal(end(scene, 2), WEFT_OK); /* there is none, which is as well */
    assert_int_equal(end(scene, 1), WEFT_OK);
    await(&waiting);
    assert_int_equal(waiting.err, WEFT_OK);
    assert_int_equal(waiting.value, 5);
}

static void the_end_of_the_process_tells_the_threads_too(void **state)
{
    struct scene *scene = *state;
    struct waiting waiting;
    start_waiting(scene, &waiting);
    weft__server_stop(scene->server, 100);
    scene->server = NULL;
    await(&waiting);
    assert_int_equal(waiting.err, WEFT_ESHUTDOWN);
}

static void who_is_no_rank_cannot_fork(void **state)
{
    char memory[64];
    struct weft_fork *fork = NULL;
    const struct weft_fork_options options = {.base = memory, .len_bytes = sizeof(memory)};
    (void)state;
    assert_int_equal(weft_fork_open(&options, &fork), WEFT_EINVAL);
    assert_null(fork);
    weft_fork_close(NULL);
}

#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCENE(what_threads_write_comes_back_as_differences_and_the_copy_stays),
        WITH_SCENE(orders_that_cannot_be_are_refused),
        WITH_SCENE(another_build_of_the_program_is_refused),
        WITH_SCENE(merge_regions_that_make_no_sense_are_refused),
        WITH_SCENE(a_version_that_is_not_here_is_stale),
        WITH_SCENE(a_copy_is_pulled_and_one_that_is_damaged_is_not_believed),
        WITH_SCENE(the_end_of_a_fork_tells_its_threads_and_waits_for_them),
        WITH_SCENE(the_end_of_the_process_tells_the_threads_too),
        cmocka_unit_test(who_is_no_rank_cannot_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
