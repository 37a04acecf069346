/* What a process prints, on a real host, seen by a home that is this test: it takes pieces as a
 * case wants it to. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/server.h"
#include "daemons.h"
#include "host/calls.h"
#include "wire/message.h"

enum { APP = 0x77, TOKEN = 9, PROCESS = 3, TWICE = 2, NO_PIECE = 1000, LATE_LINE_MS = 300 };

/* The first so many questions get this error, later ones are taken. */
static struct home {
    struct weft_server *server;
    char url[64];
    int err;
    unsigned refused;
    _Atomic unsigned asked, taken, lost, exits;
    _Atomic uint64_t numbers; /* the sum of all */
    atomic_bool holds_exits;  /* the newest is answered by the case */
    struct weft_call *_Atomic exit;
    char text[64]; /* written before taken is counted */
} home;

static void on_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    Weft__Host__AppBeatReply reply = WEFT__HOST__APP_BEAT_REPLY__INIT;
    (void)ctx;
    (void)request;
    reply.known = true;
    weft__call_reply(call, &reply.base);
}

static void on_output(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    const Weft__Host__OutputPush *push = (const Weft__Host__OutputPush *)request;
    (void)ctx;
    atomic_fetch_add(&home.numbers, push->process == PROCESS ? push->piece : NO_PIECE);
    if (atomic_fetch_add(&home.asked, 1) < home.refused) {
        weft__call_fail(call, home.err, "not this time");
        return;
    }
    snprintf(home.text, sizeof(home.text), "%.*s", (int)push->output.len, push->output.data);
    atomic_fetch_add(&home.taken, 1);
    weft__call_reply(call, NULL);
}

static void on_exit_of_process(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    const Weft__Host__ProcessExit *news = (const Weft__Host__ProcessExit *)request;
    (void)ctx;
    atomic_fetch_add(&home.lost, news->output_lost ? 1 : 0);
    if (atomic_load(&home.holds_exits))
        atomic_store(&home.exit, call);
    atomic_fetch_add(&home.exits, 1);
    if (!atomic_load(&home.holds_exits))
        weft__call_reply(call, NULL);
}

static void home_open(int err, unsigned refused)
{
    enum { FLAGS = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC };
    static const struct weft_handler_desc handlers[] = {
        {WEFT_CALL_BEAT, FLAGS, "beat", &weft__host__app_beat_request__descriptor, on_beat},
        {WEFT_CALL_OUTPUT, FLAGS, "output", &weft__host__output_push__descriptor, on_output},
        {WEFT_CALL_PROCESS_EXIT, FLAGS, "exit", &weft__host__process_exit__descriptor,
         on_exit_of_process}};
    struct weft_service_desc service = {.name = "home", .handlers = handlers, .handlers_n = 3};
    struct weft_server_desc desc = {.bind = "127.0.0.1", .services = &service, .services_n = 1};
    memset(&home, 0, sizeof(home));
    home.err = err;
    home.refused = refused;
    assert_int_equal(weft__server_start(&desc, &home.server), WEFT_OK);
    snprintf(home.url, sizeof(home.url), "tcp://127.0.0.1:%u",
             weft__server_sync_port(home.server, 0));
}

static int ask(struct daemons *rig, uint16_t code, const ProtobufCMessage *request)
{
    return daemon_ask(rig, &(struct daemon_ask){.host = 1, .code = code, .request = request}, NULL);
}

/* A process that behaves in this way: see fake_app.c. */
static void launch_one(struct daemons *rig, const char *way)
{
    uint64_t id = 5;
    char folder[128], behaves[32];
    char *env[] = {folder, behaves};
    Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
    Weft__Host__LaunchRequest launch = WEFT__HOST__LAUNCH_REQUEST__INIT;
    snprintf(folder, sizeof(folder), "FAKE_APP_FOLDER=%s", rig->folder);
    snprintf(behaves, sizeof(behaves), "FAKE_APP_WAY=%s", way);
    lease.app = launch.app = APP;
    lease.token = launch.token = TOKEN;
    lease.home_control = launch.home_control = home.url;
    lease.leases = &id;
    lease.n_leases = 1;
    lease.hold_ms = 600000;
    assert_int_equal(ask(rig, WEFT_CALL_LEASE, &lease.base), WEFT_OK);
    launch.process = PROCESS;
    launch.env = env;
    launch.n_env = 2;
    assert_int_equal(ask(rig, WEFT_CALL_LAUNCH, &launch.base), WEFT_OK);
}

static int end(struct daemons *rig)
{
    Weft__Host__EndRequest request = WEFT__HOST__END_REQUEST__INIT;
    request.app = APP;
    request.token = TOKEN;
    return ask(rig, WEFT_CALL_END, &request.base);
}

static void a_home_that_is_busy_is_asked_again_with_the_same_number(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_EAGAIN, TWICE);
    launch_one(rig, "prints");
    assert_int_equal(end(rig), WEFT_OK);
    assert_int_equal(atomic_load(&home.taken), 1);
    assert_string_equal(home.text, "a line\n");
    assert_int_equal(atomic_load(&home.numbers), TWICE + 1); /* each time number 1 */
    assert_int_equal(atomic_load(&home.lost), 0);
    weft__server_stop(home.server, 1000);
}

static void a_home_that_was_out_of_reach_is_asked_again(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_ECONNRESET, TWICE);
    launch_one(rig, "prints");
    assert_int_equal(end(rig), WEFT_OK);
    assert_int_equal(atomic_load(&home.taken), 1);
    assert_int_equal(atomic_load(&home.numbers), TWICE + 1);
    weft__server_stop(home.server, 1000);
}

static void what_no_home_takes_makes_the_end_no_good_one(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_EACCES, 1);
    launch_one(rig, "prints");
    assert_int_equal(end(rig), WEFT_EIO);
    assert_int_equal(atomic_load(&home.asked), 1);
    assert_int_equal(atomic_load(&home.exits), 1);
    assert_int_equal(atomic_load(&home.lost), 1);
    weft__server_stop(home.server, 1000);
}

static int hand_over(struct daemons *rig, uint64_t token)
{
    Weft__Host__HandOverRequest request = WEFT__HOST__HAND_OVER_REQUEST__INIT;
    request.app = APP;
    request.token = token;
    return ask(rig, WEFT_CALL_HAND_OVER, &request.base);
}

static void what_is_asked_for_is_handed_over_before_the_answer(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_EAGAIN, TWICE);
    launch_one(rig, "murmurs");
    assert_int_equal(hand_over(rig, TOKEN + 1), WEFT_EACCES);
    assert_int_equal(hand_over(rig, TOKEN), WEFT_OK);
    assert_int_equal(atomic_load(&home.taken), 1);
    assert_string_equal(home.text, "half a line");
    assert_int_equal(hand_over(rig, TOKEN), WEFT_OK); /* there is nothing any more, */
    assert_int_equal(atomic_load(&home.taken), 1);
    assert_int_equal(end(rig), WEFT_OK);
    assert_int_equal(hand_over(rig, TOKEN), WEFT_OK); /* nor will there be */
    assert_int_equal(atomic_load(&home.lost), 0);
    weft__server_stop(home.server, 1000);
}

static void what_is_asked_for_and_lost_is_told(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_EACCES, 1);
    launch_one(rig, "murmurs");
    assert_int_equal(hand_over(rig, TOKEN), WEFT_EIO);
    assert_int_equal(end(rig), WEFT_EIO);
    assert_int_equal(hand_over(rig, TOKEN), WEFT_EIO);
    weft__server_stop(home.server, 1000);
}

/* As it has noted it down. */
static pid_t pid_of_process(const struct daemons *rig)
{
    char path[128];
    int pid = 0;
    snprintf(path, sizeof(path), "%s/%d.orders", rig->folder, PROCESS);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %d", &pid), 1);
    fclose(file);
    assert_true(pid > 0);
    return pid;
}

/* Its host waits for its home to take that, and is asked meanwhile. */
static void a_process_that_has_ended_is_asked_in_vain_and_told_of_once(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_OK, 0);
    atomic_store(&home.holds_exits, true);
    launch_one(rig, "prints");
    assert_int_equal(kill(pid_of_process(rig), SIGKILL), 0);
    while (atomic_load(&home.exits) == 0)
        daemon_nap();
    assert_int_equal(hand_over(rig, TOKEN), WEFT_OK);
    assert_int_equal(hand_over(rig, TOKEN), WEFT_OK);
    assert_int_equal(atomic_load(&home.exits), 1);
    weft__call_reply(atomic_load(&home.exit), NULL);
    assert_int_equal(end(rig), WEFT_OK);
    assert_int_equal(atomic_load(&home.exits), 1);
    weft__server_stop(home.server, 1000);
    daemon_await_free(rig);
}

/* What it has begun would have gone on a little later, while its home is told of its end. */
static void a_process_that_dies_within_a_line_is_told_of_once(void **state)
{
    struct daemons *rig = *state;
    home_open(WEFT_OK, 0);
    atomic_store(&home.holds_exits, true);
    launch_one(rig, "murmurs");
    assert_int_equal(kill(pid_of_process(rig), SIGKILL), 0);
    while (atomic_load(&home.exits) == 0)
        daemon_nap();
    for (uint64_t until = weft__now_ns() + LATE_LINE_MS * WEFT_NS_PER_MS; weft__now_ns() < until;)
        daemon_nap();
    assert_int_equal(atomic_load(&home.exits), 1);
    assert_string_equal(home.text, "half a line");
    weft__call_reply(atomic_load(&home.exit), NULL);
    assert_int_equal(end(rig), WEFT_OK);
    weft__server_stop(home.server, 1000);
    daemon_await_free(rig);
}

/* An older call for the end, of a connection that was lost, may come after the newer one. */
static void who_asks_for_its_end_twice_hears_of_it(void **state)
{
    struct daemons *rig = *state;
    struct daemon_answer answers[2];
    Weft__Host__EndRequest request = WEFT__HOST__END_REQUEST__INIT;
    home_open(WEFT_OK, 0);
    atomic_store(&home.holds_exits, true);
    launch_one(rig, "prints");
    request.app = APP;
    request.token = TOKEN;
    struct daemon_ask end_ask = {
        .host = 1, .code = WEFT_CALL_END, .request = &request.base, .lost_ms = DAEMON_MS};
    for (size_t i = 0; i < 2; i++)
        daemon_start(rig, &end_ask, &answers[i]);
    while (atomic_load(&home.exits) == 0)
        daemon_nap();
    weft__call_reply(atomic_load(&home.exit), NULL);
    for (size_t i = 0; i < 2; i++) {
        daemon_await(&answers[i]);
        assert_int_equal(answers[i].err, WEFT_OK);
    }
    assert_int_equal(atomic_load(&home.exits), 1);
    weft__server_stop(home.server, 1000);
    daemon_await_free(rig);
}

static void of_a_home_that_dies_meanwhile_nothing_is_left(void **state)
{
    struct daemons *rig = *state;
    struct daemon_answer answer;
    Weft__Host__EndRequest request = WEFT__HOST__END_REQUEST__INIT;
    home_open(WEFT_ECONNRESET, UINT32_MAX);
    launch_one(rig, "prints");
    request.app = APP;
    request.token = TOKEN;
    struct daemon_ask end_ask = {.host = 1, .code = WEFT_CALL_END, .request = &request.base};
    daemon_start(rig, &end_ask, &answer);
    for (pid_t pid = pid_of_process(rig); kill(pid, 0) == 0;)
        daemon_nap();
    weft__server_stop(home.server, 1000);
    daemon_await(&answer);
    assert_int_equal(answer.err, WEFT_EIO);
    daemon_await_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_that_is_busy_is_asked_again_with_the_same_number),
        cmocka_unit_test(a_home_that_was_out_of_reach_is_asked_again),
        cmocka_unit_test(what_no_home_takes_makes_the_end_no_good_one),
        cmocka_unit_test(what_is_asked_for_is_handed_over_before_the_answer),
        cmocka_unit_test(what_is_asked_for_and_lost_is_told),
        cmocka_unit_test(a_process_that_has_ended_is_asked_in_vain_and_told_of_once),
        cmocka_unit_test(a_process_that_dies_within_a_line_is_told_of_once),
        cmocka_unit_test(who_asks_for_its_end_twice_hears_of_it),
        cmocka_unit_test(of_a_home_that_dies_meanwhile_nothing_is_left),
    };
    (void)setenv("WEFT_DEAD_MS", "1000", 1);
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
