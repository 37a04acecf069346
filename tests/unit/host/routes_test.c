/* Who is where, as it comes to the processes of an app: two real hosts, and processes that are
 * fakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemons.h"
#include "host/calls.h"

static void await_file(const struct daemons *rig, unsigned process)
{
    char path[128];
    uint64_t deadline = weft__now_ns() + DAEMON_MS * WEFT_NS_PER_MS;
    snprintf(path, sizeof(path), "%s/%u.heard", rig->folder, process);
    while (access(path, F_OK) != 0 && weft__now_ns() < deadline)
        daemon_nap();
    assert_int_equal(unlink(path), 0);
}

static void a_process_that_missed_where_the_others_are_is_told_again(void **state)
{
    struct daemons *rig = *state;
    struct daemon_run run;
    struct daemon_answer answer;
    Weft__Host__KillRequest end = WEFT__HOST__KILL_REQUEST__INIT;
    daemon_run_init(rig, &run, 3, "deaf");
    daemon_start(rig,
                 &(struct daemon_ask){.code = WEFT_CALL_RUN,
                                      .request = &run.request.base,
                                      .reply_type = &weft__host__run_reply__descriptor},
                 &answer);
    daemon_await(&answer);
    assert_int_equal(answer.err, WEFT_OK);
    await_file(rig, 1);
    await_file(rig, 2);
    end.app = answer.app;
    assert_int_equal(
        daemon_ask(rig, &(struct daemon_ask){.code = WEFT_CALL_KILL, .request = &end.base}, NULL),
        WEFT_OK);
    daemon_await_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_missed_where_the_others_are_is_told_again),
    };
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
