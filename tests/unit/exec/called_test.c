/* Calls from outside to the ranks of one process: answers, refusals, cancelling, freezing, the end
 * of a rank and of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/exec.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"
#include "weft/executor.h"

#define SIZE 2
#define STRIDE (64ull << 20)
#define QUEUE 4
#define PATIENCE_NS (60 * WEFT_NS_PER_S)

/* As tests/unit/exec/programs/serves.c has them. */
enum { ECHO = 1, HOLD, RELEASE, FAIL, END, IS_CANCELLED, STALE };

static _Atomic uint32_t exits, frozen;
static int frozen_err;

static void await(_Atomic uint32_t *word)
{
    uint64_t until = weft__now_ns() + PATIENCE_NS;
    while (atomic_load(word) == 0)
        assert_int_not_equal(weft__futex_wait(word, 0, until), WEFT_ETIMEDOUT);
}

static void set(_Atomic uint32_t *word)
{
    atomic_store(word, 1);
    weft__futex_wake(word);
}

static void on_exited(void *ctx, int32_t rank, uint32_t incarnation, int code, const char *reason)
{
    (void)ctx;
    (void)rank;
    (void)incarnation;
    (void)reason;
    if (code == 7)
        set(&exits);
}

static void on_frozen(void *ctx, int err, const char *text, const void *descriptor,
                      size_t len_bytes)
{
    (void)ctx;
    (void)text;
    (void)descriptor;
    (void)len_bytes;
    frozen_err = err;
    set(&frozen);
}

static const struct weft_transport *const transports[] = {&weft__tp_inproc};

static struct weft_exec *open_with(const char *way)
{
    char path[512], word[16];
    char *argv[] = {path, word, NULL};
    const int32_t ranks[SIZE] = {0, 1};
    struct weft_exec *exec;
    snprintf(path, sizeof(path), "%s/serves.so", PROGRAMS);
    snprintf(word, sizeof(word), "%s", way);
    struct weft_exec_desc desc = {
        .app = 78,
        .size = SIZE,
        .stride = STRIDE,
        .mailbox_bytes = 64u << 10,
        .host = "here",
        .program = path,
        .argv = argv,
        .calls_max = QUEUE,
        .lane = {.transports = transports, .transports_n = 1, .scheme = "inproc", .bind = "called"},
        .callbacks = {.rank_exited = on_exited}};
    atomic_store(&exits, 0);
    atomic_store(&frozen, 0);
    int err = weft__exec_open(&desc, &exec);
    if (err != WEFT_OK)
        print_message("%s\n", weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
    assert_int_equal(weft__exec_add_ranks(exec, ranks, SIZE, 1), WEFT_OK);
    assert_int_equal(weft__exec_start(exec, ranks, SIZE), WEFT_OK);
    return exec;
}

struct asked {
    struct weft_exec_call call;
    _Atomic uint32_t over;
    int err;
    char bytes[64];
    size_t len;
};

static void answered(struct weft_exec_call *call, int err, const void *bytes, size_t len_bytes)
{
    struct asked *asked = (struct asked *)(void *)call;
    asked->err = err;
    asked->len = len_bytes < sizeof(asked->bytes) ? len_bytes : sizeof(asked->bytes) - 1;
    if (asked->len > 0)
        memcpy(asked->bytes, bytes, asked->len);
    asked->bytes[asked->len] = '\0';
    set(&asked->over);
}

static int start(struct weft_exec *exec, int32_t rank, uint32_t code, struct asked *asked)
{
    memset(asked, 0, sizeof(*asked));
    asked->call = (struct weft_exec_call){.code = code,
                                          .body = "hello",
                                          .len_bytes = 5,
                                          .deadline_ns = WEFT_NEVER,
                                          .key = asked,
                                          .answered = answered};
    return weft__exec_call(exec, rank, &asked->call);
}

static int ask(struct weft_exec *exec, int32_t rank, uint32_t code, struct asked *asked)
{
    int err = start(exec, rank, code, asked);
    if (err != WEFT_OK)
        return err;
    await(&asked->over);
    return asked->err;
}

static void a_rank_answers_calls_and_fails_those_it_will_not_serve(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct weft_exec_stats stats;
    struct asked asked;
    (void)state;
    for (int32_t rank = 0; rank < SIZE; rank++)
        for (int i = 0; i < 100; i++) {
            assert_int_equal(ask(exec, rank, ECHO, &asked), WEFT_OK);
            assert_string_equal(asked.bytes, "hello");
        }
    assert_int_equal(ask(exec, 0, FAIL, &asked), WEFT_ENOSPC);
    assert_string_equal(asked.bytes, "the rank has no room");
    assert_int_equal(ask(exec, 0, 99, &asked), WEFT_EUNKNOWNCALL);
    assert_int_equal(ask(exec, SIZE, ECHO, &asked), WEFT_EINVAL);
    assert_int_equal(ask(exec, -1, ECHO, &asked), WEFT_EINVAL);
    weft__exec_stats(exec, &stats);
    assert_int_equal(stats.calls, 2 * 100 + 2);
    assert_int_equal(stats.calls_answered, stats.calls);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void one_rank_that_holds_a_call_does_not_delay_another(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct asked held, asked;
    (void)state;
    assert_int_equal(start(exec, 0, HOLD, &held), WEFT_OK);
    assert_int_equal(ask(exec, 1, ECHO, &asked), WEFT_OK);
    assert_int_equal(ask(exec, 0, ECHO, &asked), WEFT_OK); /* it takes more meanwhile */
    assert_int_equal(atomic_load(&held.over), 0);
    assert_int_equal(ask(exec, 0, RELEASE, &asked), WEFT_OK);
    await(&held.over);
    assert_int_equal(held.err, WEFT_OK);
    assert_string_equal(held.bytes, "let go");
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_rank_that_never_serves_fills_its_queue_and_nothing_else(void **state)
{
    struct weft_exec *exec = open_with("never");
    struct asked waiting[QUEUE], more;
    (void)state;
    for (int i = 0; i < QUEUE; i++)
        assert_int_equal(start(exec, 0, ECHO, &waiting[i]), WEFT_OK);
    assert_int_equal(start(exec, 0, ECHO, &more), WEFT_EAGAIN);
    assert_true(weft_fail_retry_ms() > 0);
    weft__exec_call_cancel(exec, 0, &waiting[1]);
    assert_int_equal(waiting[1].err, WEFT_ECANCELED);
    assert_int_equal(start(exec, 0, ECHO, &more), WEFT_OK);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
    assert_int_equal(more.err, WEFT_ENOENT); /* all are answered when the process ends */
    assert_int_equal(waiting[0].err, WEFT_ENOENT);
}

static void calls_that_are_late_make_room(void **state)
{
    struct weft_exec *exec = open_with("never");
    struct asked waiting[QUEUE], more;
    (void)state;
    for (int i = 0; i < QUEUE; i++) {
        memset(&waiting[i], 0, sizeof(waiting[i]));
        waiting[i].call =
            (struct weft_exec_call){.deadline_ns = weft__now_ns(), .answered = answered};
        assert_int_equal(weft__exec_call(exec, 0, &waiting[i].call), WEFT_OK);
    }
    assert_int_equal(start(exec, 0, ECHO, &more), WEFT_OK);
    for (int i = 0; i < QUEUE; i++)
        assert_int_equal(waiting[i].err, WEFT_ETIMEDOUT);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_rank_may_ask_whether_a_call_was_cancelled(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct asked held, asked;
    (void)state;
    assert_int_equal(start(exec, 0, HOLD, &held), WEFT_OK);
    assert_int_equal(ask(exec, 0, IS_CANCELLED, &asked), WEFT_OK);
    assert_string_equal(asked.bytes, "n");
    weft__exec_call_cancel(exec, 0, &held);
    assert_int_equal(ask(exec, 0, IS_CANCELLED, &asked), WEFT_OK);
    assert_string_equal(asked.bytes, "y");
    assert_int_equal(ask(exec, 0, RELEASE, &asked), WEFT_OK);
    await(&held.over);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_rank_that_stands_still_takes_no_calls_and_takes_them_when_it_goes_on(void **state)
{
    struct weft_exec *exec = open_with("never");
    struct asked before, meanwhile;
    (void)state;
    assert_int_equal(start(exec, 0, ECHO, &before), WEFT_OK);
    assert_int_equal(weft__exec_freeze(exec, 0, on_frozen, NULL), WEFT_OK);
    await(&frozen);
    assert_int_equal(frozen_err, WEFT_OK);
    await(&before.over);
    assert_int_equal(before.err, WEFT_ESTALE);
    assert_int_equal(start(exec, 0, ECHO, &meanwhile), WEFT_ESTALE);
    assert_int_equal(weft__exec_thaw(exec, 0, 1), WEFT_OK);
    assert_int_equal(start(exec, 0, ECHO, &meanwhile), WEFT_OK);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_rank_that_waits_for_calls_is_at_a_migration_point(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct asked asked;
    (void)state;
    assert_int_equal(ask(exec, 0, ECHO, &asked), WEFT_OK);
    assert_int_equal(weft__exec_freeze(exec, 0, on_frozen, NULL), WEFT_OK);
    await(&frozen);
    assert_int_equal(frozen_err, WEFT_OK);
    assert_int_equal(weft__exec_thaw(exec, 0, 1), WEFT_OK);
    assert_int_equal(ask(exec, 0, ECHO, &asked), WEFT_OK);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_call_that_is_not_answered_pins_its_rank(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct weft_exec_rank rank;
    struct asked held, asked;
    (void)state;
    assert_int_equal(start(exec, 0, HOLD, &held), WEFT_OK);
    assert_int_equal(ask(exec, 0, ECHO, &asked), WEFT_OK);
    assert_int_equal(weft__exec_freeze(exec, 0, on_frozen, NULL), WEFT_OK);
    await(&frozen);
    assert_int_equal(frozen_err, WEFT_EPINNED);
    assert_int_equal(weft__exec_rank(exec, 0, &rank), WEFT_OK);
    assert_int_equal(rank.calls_taken, 1);
    assert_int_equal(ask(exec, 0, RELEASE, &asked), WEFT_OK);
    await(&held.over);
    assert_int_equal(held.err, WEFT_OK);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void what_a_rank_leaves_behind_fails_when_it_ends(void **state)
{
    struct weft_exec *exec = open_with("serves");
    struct asked held, asked;
    (void)state;
    assert_int_equal(start(exec, 0, HOLD, &held), WEFT_OK);
    assert_int_equal(ask(exec, 0, END, &asked), WEFT_OK);
    await(&exits);
    await(&held.over);
    assert_int_equal(held.err, WEFT_EPEERDEAD);
    assert_int_equal(ask(exec, 0, ECHO, &asked), WEFT_ENOENT);
    assert_int_equal(ask(exec, 1, ECHO, &asked), WEFT_OK);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_rank_need_not_wait_for_calls_for_ever(void **state)
{
    struct weft_exec *exec = open_with("idle");
    (void)state;
    await(&exits);
    assert_int_equal(weft__exec_close(exec, 30000), WEFT_OK);
}

static void a_thread_that_is_no_rank_takes_no_calls(void **state)
{
    struct weft_executor_call call = {0};
    struct weft_executor_desc desc = {0};
    (void)state;
    assert_int_equal(weft_executor_next(0, &call), WEFT_EINVAL);
    assert_int_equal(weft_executor_reply(&call, NULL, 0), WEFT_EINVAL);
    assert_int_equal(weft_executor_fail(&call, WEFT_EIO, NULL), WEFT_EINVAL);
    assert_int_equal(weft_executor_is_cancelled(&call), 0);
    assert_int_equal(weft_executor_serve(&desc), WEFT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_answers_calls_and_fails_those_it_will_not_serve),
        cmocka_unit_test(one_rank_that_holds_a_call_does_not_delay_another),
        cmocka_unit_test(a_rank_that_never_serves_fills_its_queue_and_nothing_else),
        cmocka_unit_test(calls_that_are_late_make_room),
        cmocka_unit_test(a_rank_may_ask_whether_a_call_was_cancelled),
        cmocka_unit_test(a_rank_that_stands_still_takes_no_calls_and_takes_them_when_it_goes_on),
        cmocka_unit_test(a_rank_that_waits_for_calls_is_at_a_migration_point),
        cmocka_unit_test(a_call_that_is_not_answered_pins_its_rank),
        cmocka_unit_test(what_a_rank_leaves_behind_fails_when_it_ends),
        cmocka_unit_test(a_rank_need_not_wait_for_calls_for_ever),
        cmocka_unit_test(a_thread_that_is_no_rank_takes_no_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
