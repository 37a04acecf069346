/* A process's part of a freeze or thaw: drives the MEMBER machine of plan/freeze.h with the
 * primitives of exec/exec.h.
 *
 * All ranks of the process are asked to stop at once. A rank that returns instead is one that has
 * ended a moment later, and is frozen as such. Answers of ranks come on threads of the exec and are
 * posted; STOPPED is fed to the machine when each rank stands or has failed to, which it does at
 * the latest when it was withdrawn. In a new round a rank that stands is thawed and at once asked
 * to stop again: it comes as far as its next migration point. What the ranks have printed is
 * flushed when they stand: after a freeze this process is killed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/app_freeze.h"
#include "host/calls.h"
#include "weft/error.h"

enum { ANSWER_TIMEOUT_MS = 5000, ENDING_POLL_MS = 10 };

static void feed(struct weft_app_freezer *freezer, const struct weft_freeze_member_event *event);

/* ---- stopping ---- */

static void stop_failed(struct weft_app_freezer *freezer, const struct weft_app_frozen *rank,
                        int err, const char *text)
{
    if (freezer->stop_err != WEFT_OK)
        return;
    freezer->stop_err = err;
    snprintf(freezer->stop_text, sizeof(freezer->stop_text), "rank %d cannot be frozen: %s",
             rank->rank, text);
}

static void all_resolved(struct weft_app_freezer *freezer)
{
    weft__loop_timer_off(freezer->app->asker.loop, &freezer->ending_timer);
    if (freezer->stop_err == WEFT_OK)
        (void)fflush(NULL);
    feed(freezer, &(struct weft_freeze_member_event){.kind = WEFT_FREEZE_MEMBER_ON_STOPPED,
                                                     .err = freezer->stop_err,
                                                     .text = freezer->stop_text});
}

static void resolved(struct weft_app_frozen *rank, enum weft_app_stop stop)
{
    struct weft_app_freezer *freezer = rank->freezer;
    rank->stop = stop;
    if (--freezer->stopping_n == 0)
        all_resolved(freezer);
}

/* Freezes it if it has ended by now. */
static void try_ended(struct weft_app_frozen *rank)
{
    struct weft_app_freezer *freezer = rank->freezer;
    free(rank->descriptor); /* of an earlier round */
    rank->descriptor = NULL;
    int err = weft__exec_freeze_ended(freezer->app->exec, rank->rank, &rank->descriptor,
                                      &rank->len_bytes);
    if (err == WEFT_OK) {
        rank->ended = true;
        resolved(rank, WEFT_STOP_STANDS);
    } else if (err != WEFT_EBUSY || freezer->withdrawn) {
        stop_failed(freezer, rank, err, weft_fail_text(err));
        resolved(rank, WEFT_STOP_FAILED);
    } else {
        rank->stop = WEFT_STOP_ENDING;
        weft__loop_timer(freezer->app->asker.loop, &freezer->ending_timer,
                         weft__now_ns() + ENDING_POLL_MS * WEFT_NS_PER_MS);
    }
}

static void ending_fired(struct weft_timer *timer)
{
    struct weft_app_freezer *freezer =
        weft__loop_owner(timer, struct weft_app_freezer, ending_timer);
    for (size_t i = 0; i < freezer->ranks_n && freezer->stopping_n > 0; i++)
        if (freezer->ranks[i].stop == WEFT_STOP_ENDING)
            try_ended(&freezer->ranks[i]);
}

/* News of a rank that was asked to stop. */
struct stopped {
    struct weft_task task;
    struct weft_app_frozen *rank; /* stays until all have told */
    int err;
    char text[128];
    uint8_t *bytes;
    size_t len_bytes;
};

static void stopped_run(struct weft_task *task)
{
    struct stopped *stopped = weft__loop_owner(task, struct stopped, task);
    struct weft_app_frozen *rank = stopped->rank;
    if (rank->freezer->app->closing) { /* the exec is gone */
        free(stopped->bytes);
    } else if (stopped->err == WEFT_OK) {
        const struct weft_region *region;
        free(rank->descriptor); /* of an earlier round */
        rank->descriptor = stopped->bytes;
        rank->len_bytes = stopped->len_bytes;
        (void)weft__exec_memory(rank->freezer->app->exec, rank->rank, &region, &rank->points);
        resolved(rank, WEFT_STOP_STANDS);
    } else if (stopped->err == WEFT_ENOENT) {
        try_ended(rank);
    } else {
        stop_failed(rank->freezer, rank, stopped->err,
                    stopped->err == WEFT_ECANCELED
                        ? "it comes to no call at which it can be stopped"
                        : stopped->text);
        resolved(rank, WEFT_STOP_FAILED);
    }
    free(stopped);
}

/* On a thread of the exec. */
static void frozen(void *ctx, int err, const char *text, const void *descriptor, size_t len)
{
    struct stopped *stopped = weft__must_alloc(1, sizeof(*stopped));
    stopped->task.run = stopped_run;
    stopped->rank = ctx;
    stopped->err = err;
    snprintf(stopped->text, sizeof(stopped->text), "%s", text != NULL ? text : "");
    if (err == WEFT_OK) {
        stopped->bytes = weft__must_copy(descriptor, len);
        stopped->len_bytes = len;
    }
    weft__loop_must_post(stopped->rank->freezer->app->asker.loop, &stopped->task);
}

static void stop_one(struct weft_app_frozen *rank)
{
    int err = weft__exec_freeze_kept(rank->freezer->app->exec, rank->rank, frozen, rank);
    if (err == WEFT_ENOENT) {
        try_ended(rank);
    } else if (err != WEFT_OK) {
        stop_failed(rank->freezer, rank, err, weft_fail_text(err));
        resolved(rank, WEFT_STOP_FAILED);
    }
}

/* Not all stand yet. */
static void report(struct weft_app_freezer *freezer)
{
    const struct weft_process_app *app = freezer->app;
    Weft__Host__FreezeAnswer answer = WEFT__HOST__FREEZE_ANSWER__INIT;
    char text[WEFT_FREEZE_TEXT_MAX] = "";
    answer.lowest = UINT64_MAX;
    for (size_t i = 0; i < freezer->ranks_n; i++) {
        const struct weft_app_frozen *rank = &freezer->ranks[i];
        if (rank->stop == WEFT_STOP_STANDS && !rank->ended && rank->points < answer.lowest)
            answer.lowest = rank->points;
        else if (rank->stop == WEFT_STOP_WANTED && text[0] == '\0')
            snprintf(text, sizeof(text), "rank %d has not come to a migration point", rank->rank);
    }
    answer.app = app->orders->app;
    answer.token = app->orders->token;
    answer.process = app->orders->process;
    answer.order = WEFT_FREEZE_STOP;
    answer.number = freezer->member.number;
    answer.round = freezer->member.round;
    answer.waits = true;
    answer.text = text;
    weft__ask(&freezer->app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                            .code = WEFT_CALL_FREEZE_ANSWER,
                                                            .request = &answer.base,
                                                            .timeout_ms = ANSWER_TIMEOUT_MS});
}

/* Lets those that stand, with so few points, go on to their next one. */
static void release(struct weft_app_freezer *freezer, uint64_t below)
{
    freezer->stopping_n++; /* not all are resolved before all were asked */
    for (size_t i = 0; i < freezer->ranks_n; i++) {
        struct weft_app_frozen *rank = &freezer->ranks[i];
        if (rank->stop != WEFT_STOP_STANDS || rank->ended || rank->points > below)
            continue;
        int err = weft__exec_thaw(freezer->app->exec, rank->rank, 0);
        if (err != WEFT_OK)
            weft__error("rank %d does not go on: %s", rank->rank, weft_fail_text(err));
        rank->stop = WEFT_STOP_WANTED;
        freezer->stopping_n++;
        stop_one(rank);
    }
    if (--freezer->stopping_n == 0)
        all_resolved(freezer);
}

static void stop_all(struct weft_app_freezer *freezer)
{
    freezer->stop_err = WEFT_OK;
    freezer->withdrawn = false;
    freezer->stopping_n = freezer->ranks_n + 1; /* not all are resolved before all were asked */
    for (size_t i = 0; i < freezer->ranks_n; i++)
        stop_one(&freezer->ranks[i]);
    if (--freezer->stopping_n == 0)
        all_resolved(freezer);
}

/* Each of those that are waited for tells soon: it is called off, or just stands. */
static void withdraw(struct weft_app_freezer *freezer)
{
    freezer->withdrawn = true;
    for (size_t i = 0; i < freezer->ranks_n; i++)
        if (freezer->ranks[i].stop == WEFT_STOP_WANTED)
            (void)weft__exec_freeze_cancel(freezer->app->exec, freezer->ranks[i].rank);
}

static void go_on(struct weft_app_freezer *freezer)
{
    for (size_t i = 0; i < freezer->ranks_n; i++) {
        struct weft_app_frozen *rank = &freezer->ranks[i];
        if (rank->stop != WEFT_STOP_STANDS)
            continue;
        int err = weft__exec_thaw(freezer->app->exec, rank->rank, 0);
        if (err != WEFT_OK)
            weft__error("rank %d does not go on: %s", rank->rank, weft_fail_text(err));
        rank->stop = WEFT_STOP_FAILED;
    }
}

/* ---- loading ---- */

static void resume(struct weft_app_freezer *freezer)
{
    struct weft_process_app *app = freezer->app;
    for (size_t i = 0; i < freezer->ranks_n; i++) {
        const struct weft_app_frozen *rank = &freezer->ranks[i];
        int err = weft__exec_resume(app->exec, rank->rank, rank->incarnation);
        if (err == WEFT_OK) {
            weft__app_mover_place(app, (uint32_t)rank->rank, rank->incarnation);
            continue;
        }
        Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
        char why[WEFT_FREEZE_TEXT_MAX];
        snprintf(why, sizeof(why), "it cannot be resumed: %s", weft_fail_text(err));
        news.rank = rank->rank;
        news.code = 1;
        news.reason = why;
        news.abort = news.lost = true;
        weft__app_tell_exit(app, &news);
    }
}

/* ---- the machine ---- */

static void thread_over(struct weft_task *task)
{
    struct weft_app_freezer *freezer = weft__loop_owner(task, struct weft_app_freezer, thread_over);
    weft__app_store_join(freezer);
    if (!freezer->app->closing)
        feed(freezer, &(struct weft_freeze_member_event){.kind = freezer->loads
                                                                     ? WEFT_FREEZE_MEMBER_ON_LOADED
                                                                     : WEFT_FREEZE_MEMBER_ON_SAVED,
                                                         .err = freezer->thread_err,
                                                         .text = freezer->thread_text});
}

static void start_thread(struct weft_app_freezer *freezer, bool loads)
{
    int err = weft__app_store_start(freezer, loads);
    if (err == WEFT_OK)
        return;
    freezer->thread_err = err;
    snprintf(freezer->thread_text, sizeof(freezer->thread_text), "%s", weft_fail_text(err));
    weft__loop_must_post(freezer->app->asker.loop, &freezer->thread_over);
}

static void answer(struct weft_app_freezer *freezer, const struct weft_freeze_member_action *action)
{
    struct weft_process_app *app = freezer->app;
    Weft__Host__FreezeAnswer answer = WEFT__HOST__FREEZE_ANSWER__INIT;
    bool tells = action->order == WEFT_FREEZE_SAVE && action->err == WEFT_OK;
    size_t n = tells ? freezer->ranks_n : 0;
    Weft__Host__FrozenRank *ranks = weft__must_alloc(n, sizeof(*ranks));
    answer.ranks = weft__must_alloc(n, sizeof(*answer.ranks));
    for (size_t i = 0; i < n; i++) {
        const struct weft_app_frozen *rank = &freezer->ranks[i];
        weft__host__frozen_rank__init(&ranks[i]);
        ranks[i].rank = rank->rank;
        ranks[i].descriptor =
            (ProtobufCBinaryData){.len = rank->len_bytes, .data = rank->descriptor};
        ranks[i].ended = rank->ended;
        ranks[i].bytes = rank->bytes;
        answer.ranks[answer.n_ranks++] = &ranks[i];
    }
    char text[WEFT_FREEZE_TEXT_MAX];
    snprintf(text, sizeof(text), "%s", action->text);
    answer.app = app->orders->app;
    answer.token = app->orders->token;
    answer.process = app->orders->process;
    answer.order = (uint32_t)action->order;
    answer.number = action->number;
    answer.round = action->round;
    answer.lowest = UINT64_MAX;
    answer.err = action->err;
    answer.text = text;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_FREEZE_ANSWER,
                                                   .request = &answer.base,
                                                   .timeout_ms = ANSWER_TIMEOUT_MS});
    free(ranks);
    free(answer.ranks);
}

static void perform(struct weft_app_freezer *freezer,
                    const struct weft_freeze_member_action *action)
{
    switch (action->kind) {
    case WEFT_FREEZE_MEMBER_DO_ANSWER:
        answer(freezer, action);
        break;
    case WEFT_FREEZE_MEMBER_DO_REPORT:
        report(freezer);
        break;
    case WEFT_FREEZE_MEMBER_DO_STOP:
        stop_all(freezer);
        break;
    case WEFT_FREEZE_MEMBER_DO_RELEASE:
        release(freezer, action->below);
        break;
    case WEFT_FREEZE_MEMBER_DO_WITHDRAW:
        withdraw(freezer);
        break;
    case WEFT_FREEZE_MEMBER_DO_SAVE:
        start_thread(freezer, false);
        break;
    case WEFT_FREEZE_MEMBER_DO_UNSAVE:
        atomic_store(&freezer->thread_stop, true);
        break;
    case WEFT_FREEZE_MEMBER_DO_GO_ON:
        go_on(freezer);
        break;
    case WEFT_FREEZE_MEMBER_DO_LOAD:
        start_thread(freezer, true);
        break;
    case WEFT_FREEZE_MEMBER_DO_RESUME:
        resume(freezer);
        break;
    }
}

/* An action may feed the next event itself, but only as the last one of its step. */
static void feed(struct weft_app_freezer *freezer, const struct weft_freeze_member_event *event)
{
    struct weft_freeze_member_action actions[WEFT_FREEZE_MEMBER_ACTIONS_MAX];
    if (freezer->app->closing)
        return;
    size_t n =
        weft__freeze_member_step(&freezer->member, event, actions, WEFT_FREEZE_MEMBER_ACTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        perform(freezer, &actions[i]);
}

/* ---- orders ---- */

static void free_ranks(struct weft_app_freezer *freezer)
{
    for (size_t i = 0; i < freezer->ranks_n; i++)
        free(freezer->ranks[i].descriptor);
    free(freezer->ranks);
    freezer->ranks = NULL;
    freezer->ranks_n = 0;
}

static struct weft_app_freezer *freezer_of(struct weft_process_app *app)
{
    if (app->freezer != NULL)
        return app->freezer;
    struct weft_app_freezer *freezer = weft__must_alloc(1, sizeof(*freezer));
    freezer->app = app;
    freezer->ending_timer.fire = ending_fired;
    freezer->thread_over.run = thread_over;
    weft__freeze_member_init(&freezer->member, app->orders->thaws);
    app->freezer = freezer;
    return freezer;
}

/* Whether the machine is about to act on what the order says beside its name. */
static bool begins(const struct weft_app_freezer *freezer, const Weft__Host__FreezeOrder *order)
{
    const struct weft_freeze_member *member = &freezer->member;
    if (order->number <= member->number)
        return false;
    return (order->order == WEFT_FREEZE_STOP && member->state == WEFT_MEMBER_HERE) ||
           (order->order == WEFT_FREEZE_LOAD && member->state == WEFT_MEMBER_EMPTY);
}

static void take_ranks(struct weft_app_freezer *freezer, const Weft__Host__FreezeOrder *order)
{
    free_ranks(freezer);
    freezer->ranks = weft__must_alloc(order->n_ranks, sizeof(*freezer->ranks));
    for (size_t i = 0; i < order->n_ranks; i++) {
        const Weft__Host__FrozenRank *from = order->ranks[i];
        struct weft_app_frozen *rank = &freezer->ranks[freezer->ranks_n++];
        rank->freezer = freezer;
        rank->rank = from->rank;
        rank->incarnation = from->incarnation;
        if (from->descriptor.len > 0)
            rank->descriptor = weft__must_copy(from->descriptor.data, from->descriptor.len);
        rank->len_bytes = from->descriptor.len;
    }
    snprintf(freezer->store, sizeof(freezer->store), "%s", order->store);
    snprintf(freezer->prefix, sizeof(freezer->prefix), "%s", order->prefix);
}

static int check_order(const struct weft_process_app *app, const Weft__Host__FreezeOrder *order)
{
    for (size_t i = 0; i < order->n_ranks; i++)
        if (order->ranks[i]->rank < 0 || (uint32_t)order->ranks[i]->rank >= app->orders->size)
            return weft_fail(WEFT_EPROTO, "the order names rank %d of %u", order->ranks[i]->rank,
                             app->orders->size);
    if (strlen(order->prefix) >= sizeof(((struct weft_app_freezer *)NULL)->prefix) ||
        strlen(order->store) >= WEFT_REGISTRY_URL_MAX)
        return weft_fail(WEFT_EPROTO, "the order names no store");
    return WEFT_OK;
}

void weft__app_on_freeze_order(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_process_app *app = ctx;
    const Weft__Host__FreezeOrder *order = (const Weft__Host__FreezeOrder *)request;
    if (!weft__app_serves(app, order->token, call))
        return;
    int err = check_order(app, order);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct weft_app_freezer *freezer = freezer_of(app);
    struct weft_freeze_member_event event = {.kind = WEFT_FREEZE_MEMBER_ON_ORDER,
                                             .order = (enum weft_freeze_order)order->order,
                                             .number = order->number,
                                             .round = order->round,
                                             .below = order->below};
    if (begins(freezer, order))
        take_ranks(freezer, order);
    if (begins(freezer, order) || freezer->member.state == WEFT_MEMBER_STANDING)
        freezer->until_ns = weft__now_ns() + order->within_ms * WEFT_NS_PER_MS;
    feed(freezer, &event);
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

void weft__app_freezer_stop(struct weft_process_app *app)
{
    if (app->freezer == NULL)
        return;
    atomic_store(&app->freezer->thread_stop, true);
    weft__app_store_join(app->freezer);
}

void weft__app_freezer_free(struct weft_process_app *app)
{
    if (app->freezer == NULL)
        return;
    free_ranks(app->freezer);
    free(app->freezer);
    app->freezer = NULL;
}
