/* Clients that are confused or mean no good, at a real host: everything is refused with its reason,
 * and nothing that is not theirs is touched. */
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
#include "host/output.h"
#include "plan/move.h"
#include "wire/message.h"

enum { NOBODY = 0x1234 }; /* an app that is nowhere */

static int ask_a(struct daemons *rig, uint16_t code, const ProtobufCMessage *request)
{
    return daemon_ask(rig, &(struct daemon_ask){.code = code, .request = request}, NULL);
}

static void assert_alive(struct daemons *rig)
{
    for (unsigned i = 0; i < DAEMONS; i++)
        assert_int_equal(
            daemon_ask(rig, &(struct daemon_ask){.host = i, .code = WEFT_CALL_PING}, NULL),
            WEFT_OK);
}

static int run_with(struct daemons *rig, uint32_t ranks, const char *program, const char *env)
{
    struct daemon_run run;
    daemon_run_init(rig, &run, ranks, "gone");
    run.request.program = weft__message_text(program);
    if (env != NULL)
        run.env_list[0] = weft__message_text(env);
    return ask_a(rig, WEFT_CALL_RUN, &run.request.base);
}

static void absurd_runs_are_refused(void **state)
{
    struct daemons *rig = *state;
    struct daemon_run run;
    assert_int_equal(run_with(rig, 0, "/x", NULL), WEFT_EINVAL);
    assert_int_equal(run_with(rig, 65537, "/x", NULL), WEFT_EINVAL);
    assert_int_equal(run_with(rig, UINT32_MAX, "/x", NULL), WEFT_EINVAL);
    assert_int_equal(run_with(rig, 65536, "/x", NULL), WEFT_ENOSLOTS);
    assert_int_equal(run_with(rig, 1, "", NULL), WEFT_EINVAL);
    assert_int_equal(run_with(rig, 1, "../x", NULL), WEFT_EINVAL);
    assert_int_equal(run_with(rig, 1, "/x", "no value"), WEFT_EINVAL);
    assert_int_equal(run_with(rig, 1, "/x", "=x"), WEFT_EINVAL);
    daemon_run_init(rig, &run, 1, "gone");
    run.request.hint = weft__message_text("SOMEHOW");
    assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EINVAL);
    daemon_run_init(rig, &run, 1, "gone");
    run.request.policy = weft__message_text("bin-sack");
    assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EINVAL);
    run.request.policy = weft__message_text("compactest");
    assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EINVAL);
    run.request.policy = weft__message_text("");
    run.request.tenant = weft__message_text("a tenant with a name of more than 31 bytes");
    assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EINVAL);
    daemon_run_init(rig, &run, 1, "gone");
    run.request.rank_memory = 3ull << 30;
    assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EINVAL);
    daemon_run_init(rig, &run, 65536, "gone");
    run.request.oversubscribe = true;
    assert_int_not_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_OK);
    daemon_await_free(rig);
    assert_alive(rig);
}

static void calls_about_nobody_are_refused(void **state)
{
    struct daemons *rig = *state;
    Weft__Host__WaitRequest wait = WEFT__HOST__WAIT_REQUEST__INIT;
    Weft__Host__KillRequest end = WEFT__HOST__KILL_REQUEST__INIT;
    Weft__Host__AppsRequest apps = WEFT__HOST__APPS_REQUEST__INIT;
    Weft__Host__MigrateRequest migrate = WEFT__HOST__MIGRATE_REQUEST__INIT;
    Weft__Host__OutputPush output = WEFT__HOST__OUTPUT_PUSH__INIT;
    Weft__Host__ProcessExit process = WEFT__HOST__PROCESS_EXIT__INIT;
    Weft__Host__RankExit rank = WEFT__HOST__RANK_EXIT__INIT;
    Weft__Host__RouteWanted route = WEFT__HOST__ROUTE_WANTED__INIT;
    Weft__Host__MoveMessage move = WEFT__HOST__MOVE_MESSAGE__INIT;
    wait.app = end.app = apps.app = migrate.app = output.app = process.app = NOBODY;
    rank.app = route.app = move.app = NOBODY;
    assert_int_equal(ask_a(rig, WEFT_CALL_WAIT, &wait.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_KILL, &end.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_APPS, &apps.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_MIGRATE, &migrate.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_PROCESS_EXIT, &process.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &rank.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_ROUTE_WANTED, &route.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_MOVE, &move.base), WEFT_ENOENT);
    assert_int_equal(ask_a(rig, WEFT_CALL_ROUTES, NULL), WEFT_EUNKNOWNCALL);
    assert_alive(rig);
}

static void a_drain_of_another_host_changes_nothing(void **state)
{
    struct daemons *rig = *state;
    Weft__Host__DrainRequest drain = WEFT__HOST__DRAIN_REQUEST__INIT;
    assert_int_equal(ask_a(rig, WEFT_CALL_DRAIN, NULL), WEFT_EINVAL);
    assert_int_equal(ask_a(rig, WEFT_CALL_DRAIN, &drain.base), WEFT_EINVAL);
    drain.host = weft__message_text("nobody");
    assert_int_equal(ask_a(rig, WEFT_CALL_DRAIN, &drain.base), WEFT_EINVAL);
    assert_alive(rig);
}

/* ---- leases ---- */

static int lease(struct daemons *rig, uint64_t token, Weft__Host__LeaseRequest *request)
{
    request->token = token;
    return ask_a(rig, WEFT_CALL_LEASE, &request->base);
}

static void only_who_knows_the_token_speaks_for_an_app(void **state)
{
    struct daemons *rig = *state;
    uint64_t ids[] = {1, 2, 3, 4, 5, 6};
    Weft__Host__LeaseRequest request = WEFT__HOST__LEASE_REQUEST__INIT;
    Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
    Weft__Host__LeaseEndRequest give = WEFT__HOST__LEASE_END_REQUEST__INIT;
    Weft__Host__LaunchRequest launch = WEFT__HOST__LAUNCH_REQUEST__INIT;
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    request.app = commit.app = give.app = launch.app = end.app = NOBODY;
    request.home_control = weft__message_text("somewhere");
    request.leases = ids;
    request.hold_ms = 600000;
    assert_int_equal(lease(rig, 9, &request), WEFT_EINVAL); /* no slots */
    request.n_leases = 6;
    assert_int_equal(lease(rig, 9, &request), WEFT_EINVAL); /* no home */
    request.home_control = weft__message_text("tcp://127.0.0.1:1");
    request.overcommit = true;
    assert_int_equal(lease(rig, 9, &request), WEFT_EPERM);
    request.overcommit = false;
    request.hold_ms = UINT32_MAX;
    assert_int_equal(lease(rig, 9, &request), WEFT_EINVAL);
    request.hold_ms = 600000;
    assert_int_equal(lease(rig, 9, &request), WEFT_OK); /* as many as there are */
    assert_int_equal(lease(rig, 8, &request), WEFT_EACCES);
    commit.leases = give.leases = ids;
    commit.n_leases = 1;
    commit.token = give.token = launch.token = end.token = 8;
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE_COMMIT, &commit.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE_END, &give.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_LAUNCH, &launch.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_END, &end.base), WEFT_EACCES);
    assert_false(daemon_is_free(rig, 0));
    launch.app = NOBODY + 1;
    assert_int_equal(ask_a(rig, WEFT_CALL_LAUNCH, &launch.base), WEFT_EPERM);
    commit.token = end.token = 9;
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE_COMMIT, &commit.base), WEFT_OK);
    assert_int_equal(ask_a(rig, WEFT_CALL_END, &end.base), WEFT_OK);
    assert_true(daemon_is_free(rig, 0));
}

static void slots_of_an_app_that_its_home_does_not_know_come_back(void **state)
{
    struct daemons *rig = *state;
    uint64_t id = 77;
    Weft__Host__LeaseRequest request = WEFT__HOST__LEASE_REQUEST__INIT;
    Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
    request.app = commit.app = NOBODY;
    request.token = commit.token = 9;
    request.home_control = rig->urls[1]; /* it lives, but knows nothing of it */
    request.leases = commit.leases = &id;
    request.n_leases = commit.n_leases = 1;
    request.hold_ms = 600000;
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE, &request.base), WEFT_OK);
    (void)ask_a(rig, WEFT_CALL_LEASE_COMMIT,
                &commit.base); /* unless it has been found out already */
    daemon_await_free(rig);
}

/* ---- app processes that behave badly ---- */

static void processes_that_do_not_greet_end_their_app(void **state)
{
    static const char *const ways[] = {"gone", "garbage", "long", "odd"};
    struct daemons *rig = *state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct daemon_run run;
        daemon_run_init(rig, &run, 3, ways[i]);
        assert_int_equal(ask_a(rig, WEFT_CALL_RUN, &run.request.base), WEFT_EAPP);
        daemon_await_free(rig);
    }
    assert_alive(rig);
}

/* All ranks of an app that is still starting are said to have ended. */
static void ranks_cannot_end_before_they_start(void **state)
{
    struct daemons *rig = *state;
    struct daemon_run run;
    struct daemon_answer answer;
    ProtobufCMessage *message;
    Weft__Host__AppsRequest apps = WEFT__HOST__APPS_REQUEST__INIT;
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    Weft__Host__KillRequest end = WEFT__HOST__KILL_REQUEST__INIT;
    daemon_run_init(rig, &run, 2, "mute");
    daemon_start(rig,
                 &(struct daemon_ask){.code = WEFT_CALL_RUN,
                                      .request = &run.request.base,
                                      .reply_type = &weft__host__run_reply__descriptor},
                 &answer);
    news.token = daemon_token(rig, 1);
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.code = WEFT_CALL_APPS,
                                        .request = &apps.base,
                                        .reply_type = &weft__host__apps_reply__descriptor},
                   &message),
        WEFT_OK);
    const Weft__Host__AppsReply *reply = (const Weft__Host__AppsReply *)message;
    assert_string_equal(reply->apps[reply->n_apps - 1]->state, "starting");
    news.app = end.app = reply->apps[reply->n_apps - 1]->app;
    weft__message_free(message);
    for (news.rank = 0; news.rank < 2; news.rank++)
        assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &news.base), WEFT_OK);
    assert_alive(rig);
    assert_int_equal(ask_a(rig, WEFT_CALL_KILL, &end.base), WEFT_OK);
    daemon_await(&answer);
    assert_int_equal(answer.err, WEFT_ECANCELED);
    daemon_await_free(rig);
}

/* ---- an app that runs ---- */

/* Three ranks: two on a, one on b. */
static uint64_t run_three(struct daemons *rig, uint64_t *token_out)
{
    struct daemon_run run;
    ProtobufCMessage *reply;
    daemon_run_init(rig, &run, 3, "");
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.code = WEFT_CALL_RUN,
                                        .request = &run.request.base,
                                        .reply_type = &weft__host__run_reply__descriptor},
                   &reply),
        WEFT_OK);
    uint64_t app = ((const Weft__Host__RunReply *)reply)->app;
    weft__message_free(reply);
    *token_out = daemon_token(rig, 1);
    return app;
}

struct app_state {
    char state[16];
    uint32_t size, pending;
    uint64_t forwarded;
};

static struct app_state look(struct daemons *rig, uint64_t app)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message;
    struct app_state now = {0};
    request.app = app;
    request.fresh = true;
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.code = WEFT_CALL_APPS,
                                        .request = &request.base,
                                        .reply_type = &weft__host__apps_reply__descriptor},
                   &message),
        WEFT_OK);
    const Weft__Host__AppInfo *info = ((const Weft__Host__AppsReply *)message)->apps[0];
    snprintf(now.state, sizeof(now.state), "%s", info->state);
    now.size = info->size;
    now.pending = info->pending;
    for (size_t i = 0; i < info->n_processes; i++)
        now.forwarded += info->processes[i]->stats->forwarded;
    weft__message_free(message);
    return now;
}

static void await_state(struct daemons *rig, uint64_t app, const char *state)
{
    uint64_t deadline = weft__now_ns() + DAEMON_MS * WEFT_NS_PER_MS;
    while (strcmp(look(rig, app).state, state) != 0 && weft__now_ns() < deadline)
        daemon_nap();
    assert_string_equal(look(rig, app).state, state);
}

static void end_well(struct daemons *rig, uint64_t app, uint64_t token)
{
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    news.app = app;
    news.token = token;
    for (news.rank = 0; news.rank < 3; news.rank++) {
        assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &news.base), WEFT_OK);
        assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &news.base), WEFT_OK); /* told twice */
    }
    await_state(rig, app, "ended");
    daemon_await_free(rig);
}

static void wrong_tokens_change_nothing(void **state)
{
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    Weft__Host__OutputPush output = WEFT__HOST__OUTPUT_PUSH__INIT;
    Weft__Host__ProcessExit process = WEFT__HOST__PROCESS_EXIT__INIT;
    Weft__Host__RankExit rank = WEFT__HOST__RANK_EXIT__INIT;
    Weft__Host__RouteWanted route = WEFT__HOST__ROUTE_WANTED__INIT;
    Weft__Host__MoveMessage move = WEFT__HOST__MOVE_MESSAGE__INIT;
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    output.app = process.app = rank.app = route.app = move.app = end.app = app;
    output.token = process.token = rank.token = route.token = move.token = end.token = token + 1;
    process.process = 1;
    process.host = weft__message_text("a");
    rank.abort = true;
    end.reason = weft__message_text("because");
    assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_PROCESS_EXIT, &process.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &rank.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_ROUTE_WANTED, &route.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_MOVE, &move.base), WEFT_EACCES);
    assert_int_equal(ask_a(rig, WEFT_CALL_END, &end.base), WEFT_EACCES);
    await_state(rig, app, "running");
    end_well(rig, app, token);
}

static void absurd_reports_of_traffic_are_refused(void **state)
{
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    uint32_t peers[65] = {1};
    uint64_t numbers[65] = {5};
    Weft__Host__TrafficRow row = WEFT__HOST__TRAFFIC_ROW__INIT, *rows[] = {&row};
    Weft__Host__TrafficReport report = WEFT__HOST__TRAFFIC_REPORT__INIT;
    Weft__Host__LeaseLeaveRequest leave = WEFT__HOST__LEASE_LEAVE_REQUEST__INIT;
    report.app = leave.app = app;
    report.token = leave.token = token;
    report.rows = rows;
    report.n_rows = 1;
    row.peers = peers;
    row.sent_bytes = row.sent = row.got_bytes = row.got = numbers;
    row.n_peers = row.n_sent_bytes = row.n_sent = row.n_got_bytes = row.n_got = 1;
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_OK);
    row.n_got = 0; /* lists of different lengths */
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_EPROTO);
    row.n_got = 1;
    row.rank = 3; /* of three */
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_EPROTO);
    row.rank = 0;
    peers[0] = UINT32_MAX;
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_EPROTO);
    memset(peers, 0, sizeof(peers));
    row.n_peers = row.n_sent_bytes = row.n_sent = row.n_got_bytes = row.n_got = 65;
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_EPROTO);
    report.n_rows = 0;
    report.token++;
    assert_int_equal(ask_a(rig, WEFT_CALL_TRAFFIC, &report.base), WEFT_EACCES);
    leave.lease = 1; /* not its own */
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE_LEAVE, &leave.base), WEFT_ENOENT);
    leave.token++;
    assert_int_equal(ask_a(rig, WEFT_CALL_LEASE_LEAVE, &leave.base), WEFT_EACCES);
    await_state(rig, app, "running");
    end_well(rig, app, token);
}

static void absurd_news_of_a_process_change_nothing(void **state)
{
    static const int32_t ranks[] = {-1, 3, INT32_MIN, INT32_MAX};
    static const uint32_t numbers[] = {0, 99, UINT32_MAX};
    static uint8_t bytes[WEFT_OUTPUT_PIECE + 1];
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    Weft__Host__OutputPush output = WEFT__HOST__OUTPUT_PUSH__INIT;
    Weft__Host__ProcessExit process = WEFT__HOST__PROCESS_EXIT__INIT;
    Weft__Host__RankExit rank = WEFT__HOST__RANK_EXIT__INIT;
    Weft__Host__RouteWanted route = WEFT__HOST__ROUTE_WANTED__INIT;
    Weft__Host__MoveMessage move = WEFT__HOST__MOVE_MESSAGE__INIT;
    output.app = process.app = rank.app = route.app = move.app = app;
    output.token = process.token = rank.token = route.token = move.token = token;
    for (size_t i = 0; i < 4; i++) {
        rank.rank = route.rank = ranks[i];
        route.process = rank.process = 1;
        assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &rank.base), WEFT_OK);
        assert_int_equal(ask_a(rig, WEFT_CALL_ROUTE_WANTED, &route.base), WEFT_OK);
    }
    process.host = weft__message_text("a");
    route.rank = 0;
    for (size_t i = 0; i < 3; i++) {
        process.process = route.process = numbers[i];
        assert_int_equal(ask_a(rig, WEFT_CALL_PROCESS_EXIT, &process.base), WEFT_OK);
        assert_int_equal(ask_a(rig, WEFT_CALL_ROUTE_WANTED, &route.base), WEFT_OK);
    }
    process.process = 1;
    process.host = weft__message_text("b"); /* where it is not */
    assert_int_equal(ask_a(rig, WEFT_CALL_PROCESS_EXIT, &process.base), WEFT_OK);
    output.errors = (ProtobufCBinaryData){.len = sizeof(bytes), .data = bytes};
    assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_EPROTO); /* nobody's */
    output.process = 1;
    assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_EPROTO);
    output.piece = 1;
    assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_EMSGSIZE);
    assert_int_equal(ask_a(rig, WEFT_CALL_MOVE, &move.base), WEFT_EPROTO);
    move.kind = 4711;
    assert_int_equal(ask_a(rig, WEFT_CALL_MOVE, &move.base), WEFT_EPROTO);
    move.kind = WEFT_MOVE_COMMITTED;
    move.rank = UINT32_MAX;
    move.move = UINT64_MAX;
    assert_int_equal(ask_a(rig, WEFT_CALL_MOVE, &move.base), WEFT_OK); /* of no move: late */
    await_state(rig, app, "running");
    assert_int_equal(look(rig, app).forwarded, 14); /* 7 in each process */
    end_well(rig, app, token);
}

static void absurd_offsets_are_refused(void **state)
{
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    Weft__Host__WaitRequest wait = WEFT__HOST__WAIT_REQUEST__INIT;
    Weft__Host__OutputPush output = WEFT__HOST__OUTPUT_PUSH__INIT;
    ProtobufCMessage *message;
    wait.app = output.app = app;
    output.token = token;
    output.process = 1;
    output.piece = 1;
    output.output = (ProtobufCBinaryData){.len = 5, .data = (uint8_t *)(uintptr_t) "hello"};
    for (unsigned i = 0; i < 2; i++) /* a piece that comes twice is there once */
        assert_int_equal(ask_a(rig, WEFT_CALL_OUTPUT, &output.base), WEFT_OK);
    wait.offset = 2;
    assert_int_equal(ask_a(rig, WEFT_CALL_WAIT, &wait.base), WEFT_ERANGE);
    wait.offset = UINT64_MAX;
    wait.wait_ms = UINT32_MAX;
    assert_int_equal(ask_a(rig, WEFT_CALL_WAIT, &wait.base), WEFT_ERANGE);
    wait.offset = 0;
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.code = WEFT_CALL_WAIT,
                                        .request = &wait.base,
                                        .reply_type = &weft__host__wait_reply__descriptor},
                   &message),
        WEFT_OK);
    const Weft__Host__WaitReply *reply = (const Weft__Host__WaitReply *)message;
    assert_int_equal(reply->output.len, 5); /* it is still there */
    assert_int_equal(reply->next_offset, 1);
    weft__message_free(message);
    end_well(rig, app, token);
}

static int migrate(struct daemons *rig, uint64_t app, int32_t rank, const char *host)
{
    Weft__Host__MigrateRequest request = WEFT__HOST__MIGRATE_REQUEST__INIT;
    request.app = app;
    request.rank = rank;
    request.host = weft__message_text(host);
    return ask_a(rig, WEFT_CALL_MIGRATE, &request.base);
}

static void absurd_moves_are_refused(void **state)
{
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    await_state(rig, app, "running");
    assert_int_equal(migrate(rig, app, 0, "a"), WEFT_EINVAL); /* to itself */
    assert_int_equal(migrate(rig, app, 0, "nobody"), WEFT_ENOENT);
    assert_int_equal(migrate(rig, app, 0, ""), WEFT_ENOENT);
    assert_int_equal(migrate(rig, app, 3, "b"), WEFT_EINVAL);
    assert_int_equal(migrate(rig, app, -2, "b"), WEFT_EINVAL);
    assert_int_equal(migrate(rig, app, -2, ""), WEFT_EINVAL);
    assert_int_equal(migrate(rig, app, INT32_MIN, "b"), WEFT_EINVAL);
    news.app = app;
    news.token = token;
    news.rank = 0;
    assert_int_equal(ask_a(rig, WEFT_CALL_RANK_EXIT, &news.base), WEFT_OK);
    assert_int_equal(migrate(rig, app, 0, "b"), WEFT_EINVAL); /* it has ended */
    end_well(rig, app, token);
    assert_int_equal(migrate(rig, app, 1, "b"), WEFT_ENOENT);
}

static void a_second_move_waits_its_turn_and_the_end_of_the_app_answers_the_first(void **state)
{
    struct daemons *rig = *state;
    uint64_t token, app = run_three(rig, &token);
    struct daemon_answer first;
    Weft__Host__MigrateRequest request = WEFT__HOST__MIGRATE_REQUEST__INIT;
    Weft__Host__KillRequest end = WEFT__HOST__KILL_REQUEST__INIT;
    await_state(rig, app, "running");
    request.app = end.app = app;
    request.rank = 1;
    request.host = weft__message_text("b");
    daemon_start(rig, &(struct daemon_ask){.code = WEFT_CALL_MIGRATE, .request = &request.base},
                 &first); /* the fake never says that it is prepared */
    while (look(rig, app).pending == 0) {
        assert_int_equal(atomic_load(&first.over), 0);
        daemon_nap();
    }
    assert_int_equal(migrate(rig, app, 0, "b"), WEFT_EBUSY);
    assert_int_equal(migrate(rig, app, 1, "b"), WEFT_EBUSY);
    assert_int_equal(migrate(rig, app, -1, ""), WEFT_EBUSY);
    assert_int_equal(ask_a(rig, WEFT_CALL_KILL, &end.base), WEFT_OK);
    daemon_await(&first);
    assert_int_equal(first.err, WEFT_ECANCELED);
    await_state(rig, app, "ended");
    daemon_await_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absurd_runs_are_refused),
        cmocka_unit_test(calls_about_nobody_are_refused),
        cmocka_unit_test(a_drain_of_another_host_changes_nothing),
        cmocka_unit_test(only_who_knows_the_token_speaks_for_an_app),
        cmocka_unit_test(slots_of_an_app_that_its_home_does_not_know_come_back),
        cmocka_unit_test(processes_that_do_not_greet_end_their_app),
        cmocka_unit_test(ranks_cannot_end_before_they_start),
        cmocka_unit_test(wrong_tokens_change_nothing),
        cmocka_unit_test(absurd_news_of_a_process_change_nothing),
        cmocka_unit_test(absurd_reports_of_traffic_are_refused),
        cmocka_unit_test(absurd_offsets_are_refused),
        cmocka_unit_test(absurd_moves_are_refused),
        cmocka_unit_test(a_second_move_waits_its_turn_and_the_end_of_the_app_answers_the_first),
    };
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
