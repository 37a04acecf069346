/* Calls from clients straight to the ranks of a real app: many callers, a rank that moves between
 * calls, one that is slow, one whose process dies. */
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
#include <jansson.h>

#include "ask.h"
#include "cluster.h"
#include "control/client.h"
#include "host/calls.h"
#include "stage.h"
#include "weft/caller.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { RANKS = 4, CALLERS = 64, EACH = 20, MOVERS = 8, MOVES = 4, CALL_MS = CLUSTER_MS };
/* As programs/serve.c has them. */
enum { ECHO = 1, COUNT, WAIT_FOR_FILE, END, DIE };

/* An app of ranks that serve, on home and a (b is free), and a caller
 * that knows b. */
struct scene {
    struct cluster *cluster;
    struct cluster_app app;
    struct weft_caller *caller;
};

static void scene_open(struct cluster *cluster, struct scene *scene)
{
    cluster_three(cluster, 2);
    *scene = (struct scene){
        .cluster = cluster,
        .app = cluster_run(cluster, &cluster->hosts[0], "-n", "4", cluster_program("serve"), NULL)};
    assert_int_equal(weft_caller_open(cluster->client, cluster->hosts[2].address, &scene->caller),
                     WEFT_OK);
}

/* Any thread. The reply's text goes into text_out[64]. */
static int call(const struct scene *scene, int rank, uint32_t code, const char *body,
                char text_out[64])
{
    void *reply;
    size_t len;
    int err = weft_caller_call(scene->caller,
                               &(struct weft_caller_request){.app = scene->app.id,
                                                             .rank = rank,
                                                             .code = code,
                                                             .body = body,
                                                             .body_bytes = strlen(body),
                                                             .timeout_ms = CALL_MS},
                               &reply, &len);
    text_out[0] = '\0';
    if (err != WEFT_OK)
        return err;
    snprintf(text_out, 64, "%.*s", (int)len, (const char *)reply);
    free(reply);
    return WEFT_OK;
}

static uint64_t count_of(const struct scene *scene, int rank)
{
    char text[64];
    int err = call(scene, rank, COUNT, "", text);
    if (err != WEFT_OK)
        cluster_fail(scene->cluster, "rank %d: %s", rank, weft_fail_text(err));
    return strtoull(text, NULL, 10) - 1; /* without this call */
}

/* The first call may meet the process that is gone, where nobody knows whether it had begun. */
static bool is_gone(const struct scene *scene, int rank)
{
    char text[64];
    int err = call(scene, rank, ECHO, "", text);
    return err == WEFT_ENOENT ||
           (err == WEFT_EPEERDEAD && call(scene, rank, ECHO, "", text) == WEFT_ENOENT);
}

static void scene_close(struct scene *scene)
{
    char text[64];
    for (int rank = 0; rank < RANKS; rank++)
        cluster_check(scene->cluster, call(scene, rank, END, "", text) == WEFT_OK);
    cluster_check(scene->cluster, child_wait(scene->app.run, CLUSTER_MS) == 0);
    cluster_check(scene->cluster, is_gone(scene, 0));
    weft_caller_close(scene->caller);
    stage_all_free(scene->cluster);
}

struct caller {
    pthread_t thread;
    struct scene *scene;
    int rank;
    atomic_bool *enough; /* NULL: EACH calls */
    unsigned answered;
    int err;
    char text[256];
};

static void *count_up(void *arg)
{
    struct caller *caller = arg;
    char text[64];
    while (caller->enough != NULL ? !atomic_load(caller->enough) : caller->answered < EACH) {
        caller->err = call(caller->scene, caller->rank, COUNT, "", text);
        if (caller->err != WEFT_OK) {
            snprintf(caller->text, sizeof(caller->text), "%s", weft_fail_text(caller->err));
            break;
        }
        caller->answered++;
    }
    return NULL;
}

static void callers_start(struct caller *callers, unsigned n, struct caller like)
{
    for (unsigned i = 0; i < n; i++) {
        callers[i] = like;
        if (like.rank < 0)
            callers[i].rank = (int)(i % RANKS);
        assert_int_equal(pthread_create(&callers[i].thread, NULL, count_up, &callers[i]), 0);
    }
}

/* Returns how many calls were answered. */
static unsigned callers_end(struct scene *scene, struct caller *callers, unsigned n)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < n; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        answered += callers[i].answered;
    }
    for (unsigned i = 0; i < n; i++)
        if (callers[i].err != WEFT_OK)
            cluster_fail(scene->cluster, "caller %u of rank %d: %s", i, callers[i].rank,
                         callers[i].text);
    return answered;
}

static void calls_of_64_callers_are_each_answered_once(void **state)
{
    struct scene scene;
    static struct caller callers[CALLERS];
    scene_open(*state, &scene);
    callers_start(callers, CALLERS, (struct caller){.scene = &scene, .rank = -1});
    cluster_check(*state, callers_end(&scene, callers, CALLERS) == CALLERS * EACH);
    for (int rank = 0; rank < RANKS; rank++)
        cluster_check(*state, count_of(&scene, rank) == CALLERS / RANKS * EACH);
    scene_close(&scene);
}

/* No call is lost, and none runs twice: the rank's count is the number of answers. */
static void a_rank_that_moves_is_found_again_and_no_call_is_lost_or_doubled(void **state)
{
    static const char *const to[MOVES] = {"b", "a", "b", "a"};
    struct cluster *cluster = *state;
    struct scene scene;
    struct caller callers[MOVERS];
    atomic_bool enough = false;
    scene_open(cluster, &scene);
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, 3, "a"));
    callers_start(callers, MOVERS, (struct caller){.scene = &scene, .rank = 3, .enough = &enough});
    for (unsigned i = 0; i < MOVES; i++) {
        struct ask_move move;
        int err = ask_migrate(cluster, &scene.app, 3, to[i], &move);
        if (err != WEFT_OK || strcmp(move.outcome, "moved") != 0)
            cluster_fail(cluster, "move to %s: %s", to[i],
                         err != WEFT_OK ? weft_fail_text(err) : move.reason);
    }
    atomic_store(&enough, true);
    unsigned answered = callers_end(&scene, callers, MOVERS);
    uint64_t counted = count_of(&scene, 3);
    fprintf(stderr, "%u calls answered during %d moves\n", answered, MOVES);
    if (counted != answered)
        cluster_fail(cluster, "%u calls were answered, the rank has counted %llu", answered,
                     (unsigned long long)counted);
    scene_close(&scene);
}

struct busy {
    pthread_t thread;
    struct scene *scene;
    const char *path;
    atomic_bool over;
    int err;
};

static void *keep_busy(void *arg)
{
    struct busy *busy = arg;
    char text[64];
    busy->err = call(busy->scene, 0, WAIT_FOR_FILE, busy->path, text);
    atomic_store(&busy->over, true);
    return NULL;
}

static void a_rank_at_work_does_not_delay_calls_to_another_of_its_process(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    char text[64];
    scene_open(cluster, &scene);
    cluster_check(cluster, ask_app(cluster, &scene.app, &now));
    cluster_check(cluster, now.ranks[0].pid == now.ranks[1].pid);
    struct busy busy = {.scene = &scene, .path = cluster_file(cluster, "go")};
    assert_int_equal(pthread_create(&busy.thread, NULL, keep_busy, &busy), 0);
    for (int i = 0; i < 200; i++)
        cluster_check(cluster, call(&scene, 1, ECHO, "hello", text) == WEFT_OK &&
                                   strcmp(text, "hello") == 0);
    cluster_check(cluster, !atomic_load(&busy.over));
    FILE *file = fopen(busy.path, "we");
    cluster_check(cluster, file != NULL);
    fclose(file);
    (void)pthread_join(busy.thread, NULL);
    cluster_check(cluster, busy.err == WEFT_OK);
    scene_close(&scene);
}

static json_t *stats_of(struct cluster *cluster, const char *at)
{
    struct child *info = cluster_weft(cluster, "info", "--stats", "--json", "-", "--at", at, NULL);
    cluster_check(cluster, info->code == 0);
    char *text = child_read(info->out);
    json_t *stats = json_loads(text, 0, NULL);
    free(text);
    cluster_check(cluster, stats != NULL);
    return stats;
}

static json_int_t counter(const json_t *stats, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(stats, "counters"), name));
}

/* Where the process of a rank takes calls, and the token for that: its home tells. */
static uint64_t url_of(struct scene *scene, int rank, char url_out[64])
{
    Weft__Host__FindRankRequest wish = WEFT__HOST__FIND_RANK_REQUEST__INIT;
    ProtobufCMessage *message;
    wish.app = scene->app.id;
    wish.rank = rank;
    cluster_check(scene->cluster,
                  weft__client_wait(scene->cluster->client,
                                    &(struct weft_client_call){
                                        .url = scene->app.home->url,
                                        .code = WEFT_CALL_FIND_RANK,
                                        .request = &wish.base,
                                        .reply_type = &weft__host__find_rank_reply__descriptor,
                                        .timeout_ms = CALL_MS},
                                    &message) == WEFT_OK);
    const Weft__Host__FindRankReply *reply = (const Weft__Host__FindRankReply *)message;
    uint64_t token = reply->token;
    snprintf(url_out, 64, "%s", reply->control);
    weft__message_free(message);
    return token;
}

static void ignore(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    (void)text;
    (void)reply;
    *(atomic_int *)ctx = err;
}

/* What the process of a rank has counted under a name. */
static json_int_t counted(struct cluster *cluster, const char *url, const char *name)
{
    json_t *stats = stats_of(cluster, url);
    json_int_t value = counter(stats, name);
    json_decref(stats);
    return value;
}

/* How many calls the process of a rank has given up without their having reached a rank, or while
 * they waited for it: their client has cancelled them, as it does when their time is over, or they
 * came too late. */
static json_int_t given_up(struct cluster *cluster, const char *url)
{
    json_t *stats = stats_of(cluster, url);
    const json_t *service = json_array_get(json_object_get(stats, "services"), 0);
    json_int_t value =
        json_integer_value(json_object_get(service, "cancelled")) +
        json_integer_value(json_object_get(json_object_get(service, "refused"), "late"));
    json_decref(stats);
    return value;
}

/* The rank is at work; one call is cancelled by its client, another one's time runs out. A client
 * hears at once that a call has timed out, and the process a little later: only then the rank will
 * not take it. */
static void a_call_that_was_given_up_before_the_rank_took_it_never_runs(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct busy busy = {.scene = &scene};
    struct weft_client_ticket ticket;
    atomic_int err = 0;
    char url[64];
    scene_open(cluster, &scene);
    Weft__Host__ExecuteRequest wish = WEFT__HOST__EXECUTE_REQUEST__INIT;
    wish.token = url_of(&scene, 0, url);
    wish.code = COUNT;
    busy.path = cluster_file(cluster, "go");
    assert_int_equal(pthread_create(&busy.thread, NULL, keep_busy, &busy), 0);
    cluster_await(cluster, CLUSTER_MS, counted(cluster, url, "calls.queued") == 1);
    struct weft_client_call execute = {.url = url,
                                       .code = WEFT_CALL_EXECUTE,
                                       .request = &wish.base,
                                       .timeout_ms = CALL_MS,
                                       .done = ignore,
                                       .ctx = &err,
                                       .ticket_out = &ticket};
    assert_int_equal(weft__client_start(cluster->client, &execute), WEFT_OK);
    cluster_await(cluster, CLUSTER_MS, counted(cluster, url, "calls.queued") == 2);
    weft__client_cancel(cluster->client, ticket);
    cluster_await(cluster, CLUSTER_MS, counted(cluster, url, "calls.returned") == 1);
    cluster_await(cluster, CLUSTER_MS, atomic_load(&err) == WEFT_ECANCELED);
    execute.timeout_ms = 200;
    cluster_check(cluster, weft__client_wait(cluster->client, &execute, NULL) == WEFT_ETIMEDOUT);
    cluster_await(cluster, CLUSTER_MS, given_up(cluster, url) == 2);
    FILE *file = fopen(busy.path, "we");
    cluster_check(cluster, file != NULL);
    fclose(file);
    (void)pthread_join(busy.thread, NULL);
    cluster_check(cluster, busy.err == WEFT_OK && count_of(&scene, 0) == 0);
    scene_close(&scene);
}

static void callers_of_a_rank_whose_process_dies_are_told(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    char text[64];
    scene_open(cluster, &scene);
    cluster_check(cluster, call(&scene, 3, ECHO, "", text) == WEFT_OK);
    int err = call(&scene, 3, DIE, "", text);
    fprintf(stderr, "the call that killed it: %s\n", weft_fail_text(err));
    cluster_check(cluster, err == WEFT_EPEERDEAD);
    cluster_check(cluster, child_wait(scene.app.run, CLUSTER_MS) != 0);
    cluster_check(cluster, call(&scene, 3, ECHO, "", text) == WEFT_ENOENT);
    cluster_check(cluster, is_gone(&scene, 0));
    weft_caller_close(scene.caller);
    stage_all_free(cluster);
}

/* A request that does not come from weft_caller_call(). */
static int execute(struct cluster *cluster, const char *url, uint64_t token, int32_t rank)
{
    Weft__Host__ExecuteRequest wish = WEFT__HOST__EXECUTE_REQUEST__INIT;
    wish.token = token;
    wish.rank = rank;
    wish.code = COUNT;
    return weft__client_wait(
        cluster->client,
        &(struct weft_client_call){
            .url = url, .code = WEFT_CALL_EXECUTE, .request = &wish.base, .timeout_ms = CALL_MS},
        NULL);
}

static void who_does_not_know_the_token_does_not_reach_a_rank(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    char url[64];
    scene_open(cluster, &scene);
    uint64_t token = url_of(&scene, 0, url);
    cluster_check(cluster, execute(cluster, url, token ^ 1, 0) == WEFT_ESTALE);
    cluster_check(cluster, execute(cluster, url, 0, 0) == WEFT_ESTALE);
    cluster_check(cluster, execute(cluster, url, token, -1) == WEFT_EINVAL);
    cluster_check(cluster, execute(cluster, url, token, INT32_MAX) == WEFT_EINVAL);
    cluster_check(cluster, execute(cluster, url, token, 3) == WEFT_ESTALE); /* is elsewhere */
    cluster_check(cluster, count_of(&scene, 0) == 0);
    cluster_check(cluster, execute(cluster, url, token, 0) == WEFT_OK);
    scene_close(&scene);
}

static void ranks_and_apps_that_there_are_not_cannot_be_called(void **state)
{
    struct scene scene;
    char text[64];
    scene_open(*state, &scene);
    cluster_check(*state, call(&scene, RANKS, ECHO, "", text) == WEFT_EINVAL);
    cluster_check(*state, call(&scene, -1, ECHO, "", text) == WEFT_EINVAL);
    cluster_check(*state, call(&scene, 0, 99, "", text) == WEFT_EUNKNOWNCALL);
    cluster_check(*state, call(&scene, 2, END, "", text) == WEFT_OK);
    cluster_await(*state, CLUSTER_MS, call(&scene, 2, ECHO, "", text) == WEFT_ENOENT);
    struct scene other = scene;
    other.app.id ^= 1;
    cluster_check(*state, call(&other, 0, ECHO, "", text) == WEFT_ENOENT);
    for (int rank = 0; rank < RANKS; rank++)
        (void)call(&scene, rank, END, "", text);
    cluster_check(*state, child_wait(scene.app.run, CLUSTER_MS) == 0);
    weft_caller_close(scene.caller);
    stage_all_free(*state);
}

static struct child *weft_call(struct scene *scene, const char *rank, const char *code,
                               const char *body)
{
    return cluster_weft(scene->cluster, "call", "--at", scene->cluster->hosts[1].address,
                        scene->app.hex, rank, code, body, NULL);
}

static void the_program_of_the_readme_counts_across_a_move(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 2);
    struct cluster_app app =
        cluster_run(cluster, &cluster->hosts[0], "-n", "2", cluster_program("counter"), NULL);
    const char *at = cluster->hosts[0].address;
    for (int i = 1; i <= 3; i++) {
        struct child *call = cluster_weft(cluster, "call", "--at", at, app.hex, "0", "1", NULL);
        char *text = child_read(call->out);
        cluster_check(cluster, call->code == 0 && atoi(text) == i);
        free(text);
        if (i == 2)
            stage_move(cluster, &app, 0, "b");
    }
    for (int rank = 0; rank < 2; rank++)
        cluster_check(cluster, cluster_weft(cluster, "call", "--at", at, app.hex,
                                            rank == 0 ? "0" : "1", "2", NULL)
                                       ->code == 0);
    cluster_check(cluster, child_wait(app.run, CLUSTER_MS) == 0);
    stage_all_free(cluster);
}

static void weft_call_calls_a_rank_and_prints_its_answer(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    struct child *echo = weft_call(&scene, "3", "1", "hello rank");
    cluster_check(*state, echo->code == 0 && child_said(echo, "hello rank"));
    cluster_check(*state, weft_call(&scene, "3", "77", "")->code == 4);
    cluster_check(*state, weft_call(&scene, "9", "1", "")->code == 2);
    cluster_check(*state, weft_call(&scene, "many", "1", "")->code == 2);
    scene_close(&scene);
}

static void weft_info_stats_tells_of_hosts_and_of_processes_of_apps(void **state)
{
    struct scene scene;
    char text[64], url[64];
    scene_open(*state, &scene);
    for (int i = 0; i < 10; i++)
        cluster_check(*state, call(&scene, 0, ECHO, "", text) == WEFT_OK);
    (void)url_of(&scene, 0, url);
    json_t *process = stats_of(*state, url);
    cluster_check(*state, counter(process, "calls.queued") == 10);
    cluster_check(*state, counter(process, "calls.answered") == 10);
    struct child *apps = cluster_weft(*state, "apps", "--at", scene.app.home->address, "--json",
                                      "-", scene.app.hex, NULL);
    cluster_check(*state, apps->code == 0 && child_said(apps, "calls_answered"));
    json_t *host = stats_of(*state, scene.app.home->address);
    cluster_check(*state, json_array_size(json_object_get(host, "services")) == 5);
    cluster_check(*state, counter(host, "client.sent") > 0);
    json_decref(process);
    json_decref(host);
    struct child *table =
        cluster_weft(*state, "info", "--stats", "--at", scene.app.home->address, NULL);
    cluster_check(*state, table->code == 0 && child_said(table, "function"));
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_of_64_callers_are_each_answered_once, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(
            a_rank_that_moves_is_found_again_and_no_call_is_lost_or_doubled, cluster_open,
            cluster_close),
        cmocka_unit_test_setup_teardown(
            a_rank_at_work_does_not_delay_calls_to_another_of_its_process, cluster_open,
            cluster_close),
        cmocka_unit_test_setup_teardown(a_call_that_was_given_up_before_the_rank_took_it_never_runs,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(callers_of_a_rank_whose_process_dies_are_told, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(the_program_of_the_readme_counts_across_a_move,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(weft_call_calls_a_rank_and_prints_its_answer, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(weft_info_stats_tells_of_hosts_and_of_processes_of_apps,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(who_does_not_know_the_token_does_not_reach_a_rank,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(ranks_and_apps_that_there_are_not_cannot_be_called,
                                        cluster_open, cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
