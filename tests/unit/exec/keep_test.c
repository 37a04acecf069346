/* Ranks that leave their process for a store and come back into another one: here both are runtimes
 * of this process, one after the other. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "exec/exec.h"
#include "exec/move.h"
#include "snapshot/region.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"

#define STRIDE (64ull << 20)
#define PATIENCE_S 60

static const struct weft_transport *const transports[] = {&weft__tp_inproc};

struct app {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weft_exec *exec;
    bool exited, frozen;
    int code, frozen_err;
    void *descriptor;
    size_t len_bytes;
    struct weft_region copy;
};

static void on_exit_of_rank(void *ctx, int32_t rank, uint32_t incarnation, int code,
                            const char *reason)
{
    struct app *app = ctx;
    (void)rank;
    (void)incarnation;
    (void)reason;
    pthread_mutex_lock(&app->lock);
    app->exited = true;
    app->code = code;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void on_frozen(void *ctx, int err, const char *text, const void *descriptor,
                      size_t len_bytes)
{
    struct app *app = ctx;
    (void)text;
    pthread_mutex_lock(&app->lock);
    app->frozen = true;
    app->frozen_err = err;
    if (err == 0) {
        app->descriptor = malloc(len_bytes);
        assert_non_null(app->descriptor);
        memcpy(app->descriptor, descriptor, len_bytes);
        app->len_bytes = len_bytes;
    }
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void await(struct app *app, const bool *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int error = 0;
    pthread_mutex_lock(&app->lock);
    while (!*what && error == 0)
        error = pthread_cond_timedwait(&app->changed, &app->lock, &until);
    pthread_mutex_unlock(&app->lock);
    assert_int_equal(error, 0);
}

static void open_exec(struct app *app, const char *program, const char *argument)
{
    char path[4096];
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)argument, NULL};
    snprintf(path, sizeof(path), PROGRAMS "/%s.so", program);
    struct weft_exec_desc desc = {
        .app = 78,
        .size = 1,
        .stride = STRIDE,
        .mailbox_bytes = 64u << 10,
        .host = "here",
        .program = path,
        .argv = argv,
        .lane = {.transports = transports,
                 .transports_n = 1,
                 .scheme = "inproc",
                 .progress = "thread",
                 .bind = "exec-keep-test",
                 .token = 99},
        .callbacks = {.rank_exited = on_exit_of_rank, .ctx = app},
    };
    assert_int_equal(weft__exec_open(&desc, &app->exec), 0);
}

static void start(struct app *app, const char *program, const char *argument)
{
    static const int32_t rank = 0;
    memset(app, 0, sizeof(*app));
    pthread_mutex_init(&app->lock, NULL);
    pthread_cond_init(&app->changed, NULL);
    open_exec(app, program, argument);
    assert_int_equal(weft__exec_add_ranks(app->exec, &rank, 1, 1), 0);
    assert_int_equal(weft__exec_start(app->exec, &rank, 1), 0);
}

static void close_exec(struct app *app)
{
    assert_int_equal(weft__exec_close(app->exec, 10000), 0);
    app->exec = NULL;
}

static void finish(struct app *app)
{
    close_exec(app);
    weft__region_fini(&app->copy);
    free(app->descriptor);
    pthread_cond_destroy(&app->changed);
    pthread_mutex_destroy(&app->lock);
}

/* What a store would have. */
static void copy_memory(struct app *app)
{
    const struct weft_region *region;
    struct weft_extents touched = {0};
    assert_int_equal(weft__exec_memory(app->exec, 0, &region, NULL), 0);
    assert_int_equal(weft__region_init(&app->copy, "copy", NULL, region->len_bytes), 0);
    assert_int_equal(weft__region_touched(region, &touched), 0);
    for (size_t i = 0; i < touched.n; i++)
        assert_int_equal(weft__region_write(&app->copy, touched.at[i].offset,
                                            (const char *)region->base + touched.at[i].offset,
                                            touched.at[i].len_bytes),
                         0);
    weft__extents_fini(&touched);
}

static int load(struct app *app)
{
    return weft__exec_load(app->exec, &(struct weft_exec_load){.rank = 0,
                                                               .descriptor = app->descriptor,
                                                               .len_bytes = app->len_bytes,
                                                               .from = &app->copy});
}

static enum weft_exec_state state_of(struct app *app, int *code_out)
{
    struct weft_exec_rank rank;
    assert_int_equal(weft__exec_rank(app->exec, 0, &rank), 0);
    *code_out = rank.code;
    return rank.state;
}

static void freeze(struct app *app)
{
    assert_int_equal(weft__exec_freeze_kept(app->exec, 0, on_frozen, app), 0);
    await(app, &app->frozen);
    assert_int_equal(app->frozen_err, 0);
}

static void a_rank_goes_on_in_another_process_from_its_memory_alone(void **state)
{
    struct app app;
    (void)state;
    start(&app, "idle", "1");
    freeze(&app);
    copy_memory(&app);
    close_exec(&app);
    open_exec(&app, "idle", "1");
    assert_int_equal(load(&app), WEFT_ENOENT); /* not reserved */
    assert_int_equal(weft__exec_reserve(app.exec, 0), 0);
    assert_int_equal(weft__exec_resume(app.exec, 0, 2), WEFT_EBUSY); /* not loaded */
    assert_int_equal(load(&app), 0);
    assert_int_equal(weft__exec_resume(app.exec, 0, 2), 0);
    await(&app, &app.exited);
    assert_int_equal(app.code, 16); /* it has gone on once, and nothing was refused */
    finish(&app);
}

/* Of a rank that is copied while it runs: nothing of its memory is wanted. */
static void a_round_of_another_build_is_refused(void **state)
{
    struct app app;
    struct weft__move move;
    uint8_t *round;
    size_t len;
    (void)state;
    start(&app, "idle", "1");
    freeze(&app);
    close_exec(&app);
    open_exec(&app, "idle", "1");
    assert_int_equal(weft__exec_reserve(app.exec, 0), 0);
    assert_int_equal(weft__move_decode(app.descriptor, app.len_bytes, &move), 0);
    move.running = move.round = 1;
    move.build_id[0] ^= 1;
    assert_int_equal(weft__move_encode(&move, &round, &len), 0);
    const struct weft_exec_pull pull = {.rank = 0, .descriptor = round, .len_bytes = len};
    assert_int_equal(weft__exec_pull(app.exec, &pull), WEFT_ENOEXEC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOEXEC), "is another build"));
    assert_int_equal(weft__exec_discard(app.exec, 0), 0);
    free(round);
    finish(&app);
}

static void a_kept_rank_counts_the_points_that_it_has_come_to_and_goes_on_where_it_was(void **state)
{
    struct app app;
    const struct weft_region *region;
    uint64_t first, second;
    (void)state;
    start(&app, "idle", "2");
    freeze(&app);
    assert_int_equal(weft__exec_memory(app.exec, 0, &region, &first), 0);
    assert_true(first > 0);
    assert_int_equal(weft__exec_thaw(app.exec, 0, 0), 0);
    free(app.descriptor);
    app.frozen = false;
    freeze(&app); /* at the next point */
    assert_int_equal(weft__exec_memory(app.exec, 0, &region, &second), 0);
    assert_true(second > first);
    assert_int_equal(weft__exec_thaw(app.exec, 0, 0), 0);
    await(&app, &app.exited);
    assert_int_equal(app.code, 2); /* two tries, no move */
    finish(&app);
}

static void a_rank_that_has_ended_is_kept_as_such(void **state)
{
    struct app app;
    int code;
    (void)state;
    start(&app, "exits", "return");
    await(&app, &app.exited);
    int was = app.code;
    while (weft__exec_freeze_ended(app.exec, 0, (uint8_t **)&app.descriptor, &app.len_bytes) ==
           WEFT_EBUSY)
        ; /* it tells a moment before */
    assert_non_null(app.descriptor);
    copy_memory(&app);
    assert_int_equal(weft__exec_thaw(app.exec, 0, 0), 0);
    assert_int_equal(state_of(&app, &code), WEFT_RANK_EXITED);
    close_exec(&app);
    open_exec(&app, "exits", "return");
    assert_int_equal(weft__exec_reserve(app.exec, 0), 0);
    assert_int_equal(
        weft__exec_pull(app.exec, &(struct weft_exec_pull){.rank = 0,
                                                           .descriptor = app.descriptor,
                                                           .len_bytes = app.len_bytes}),
        WEFT_EPROTO); /* it has nothing to run on with */
    assert_int_equal(load(&app), 0);
    app.exited = false;
    assert_int_equal(weft__exec_resume(app.exec, 0, 2), 0);
    assert_int_equal(state_of(&app, &code), WEFT_RANK_EXITED);
    assert_int_equal(code, was);
    assert_false(app.exited); /* it does not end a second time */
    finish(&app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_goes_on_in_another_process_from_its_memory_alone),
        cmocka_unit_test(a_round_of_another_build_is_refused),
        cmocka_unit_test(
            a_kept_rank_counts_the_points_that_it_has_come_to_and_goes_on_where_it_was),
        cmocka_unit_test(a_rank_that_has_ended_is_kept_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
