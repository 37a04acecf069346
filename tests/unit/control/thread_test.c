#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/thread.h"
#include "weft/error.h"

static struct weft_thread thread;
static _Atomic uint32_t go;
static sigset_t blocked;

static void *run(void *arg)
{
    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    while (atomic_load(&go) == 0)
        weft__futex_wait(&go, 0, WEFT_NEVER);
    weft__thread_end(&thread);
    return NULL;
}

static void a_thread_is_awaited_until_it_ends(void **state)
{
    (void)state;
    assert_int_equal(weft__thread_start(&thread, "test", run, NULL), WEFT_OK);
    assert_int_equal(weft__thread_await(&thread, weft__now_ns()), WEFT_ETIMEDOUT);
    assert_true(thread.started);
    atomic_store(&go, 1);
    weft__futex_wake(&go);
    assert_int_equal(weft__thread_await(&thread, WEFT_NEVER), WEFT_OK);
    weft__thread_join(&thread);
    assert_false(thread.started);
}

static void a_thread_takes_no_signals(void **state)
{
    sigset_t mine;

    (void)state;
    assert_int_equal(sigismember(&blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&blocked, SIGINT), 1);
    assert_int_equal(sigismember(&blocked, SIGSEGV), 0); /* of its own */
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_is_awaited_until_it_ends),
        cmocka_unit_test(a_thread_takes_no_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
