/* What an app process has to tell its home: ranks that ended, aborts, routes that are missing.
 *
 * The end of a rank must not get lost: the app would wait for it for ever. So news queue up, a
 * bounded number is under way at a time (all ranks of a process may end at once), and what is not
 * taken is told again after a while, until the home has it or does not know the app any more; a
 * home that is silent for good ends this process by way of its weftd. A missing route is only a
 * wish: it is repeated by those who feel it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "host/app.h"
#include "host/calls.h"
#include "weft/error.h"

enum { TIMEOUT_MS = 2000, RETRY_MS = 200, UNDER_WAY_MAX = 64 };

struct weft_telling {
    struct weft_task task;
    struct weft_telling *prev, *next;
    struct weft_process_app *app;
    int32_t rank;
    uint32_t incarnation;
    int code;
    bool abort, lost;
    char reason[256];
};

static void tell_more(struct weft_process_app *app);

/* Whether telling it again could change anything. */
static bool worth_another_try(int err)
{
    return err != WEFT_OK && err != WEFT_ENOENT && err != WEFT_EACCES && err != WEFT_ESHUTDOWN;
}

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_telling *telling = ctx;
    struct weft_process_app *app = telling->app;
    (void)reply;
    app->tellings_under_way--;
    if (worth_another_try(err)) {
        DL_PREPEND(app->tellings, telling);
        weft__loop_timer(app->asker.loop, &app->tell_timer,
                         weft__now_ns() + RETRY_MS * WEFT_NS_PER_MS);
        return;
    }
    if (err != WEFT_OK && err != WEFT_ESHUTDOWN)
        weft__warn("the home does not take the end of rank %d: %s", telling->rank, text);
    free(telling);
    if (!app->tell_timer.armed)
        tell_more(app);
}

static void tell(struct weft_telling *telling)
{
    struct weft_process_app *app = telling->app;
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    Weft__Host__ExecStats stats;
    if (!app->closing) {
        weft__app_count(app, &stats);
        news.stats = &stats;
    }
    news.app = app->orders->app;
    news.token = app->orders->token;
    news.rank = telling->rank;
    news.incarnation = telling->incarnation;
    news.code = telling->code;
    news.abort = telling->abort;
    news.lost = telling->lost;
    news.reason = telling->reason;
    news.process = app->orders->process;
    app->tellings_under_way++;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_RANK_EXIT,
                                                   .request = &news.base,
                                                   .timeout_ms = TIMEOUT_MS,
                                                   .answered = told,
                                                   .ctx = telling});
}

static void tell_more(struct weft_process_app *app)
{
    while (app->tellings != NULL && app->tellings_under_way < UNDER_WAY_MAX) {
        struct weft_telling *telling = app->tellings;
        DL_DELETE(app->tellings, telling);
        tell(telling);
    }
}

static void tell_again(struct weft_timer *timer)
{
    tell_more(weft__loop_owner(timer, struct weft_process_app, tell_timer));
}

void weft__app_tell_init(struct weft_process_app *app)
{
    app->tell_timer.fire = tell_again;
}

void weft__app_tell_fini(struct weft_process_app *app)
{
    struct weft_telling *telling, *next;
    DL_FOREACH_SAFE(app->tellings, telling, next)
    free(telling);
    app->tellings = NULL;
}

static struct weft_telling *telling_new(struct weft_process_app *app, int32_t rank, int code,
                                        const char *reason)
{
    struct weft_telling *telling = weft__must_alloc(1, sizeof(*telling));
    telling->app = app;
    telling->rank = rank;
    telling->code = code;
    snprintf(telling->reason, sizeof(telling->reason), "%s", reason != NULL ? reason : "");
    return telling;
}

static void enqueue(struct weft_telling *telling)
{
    struct weft_process_app *app = telling->app;
    if (telling->abort)
        DL_PREPEND(app->tellings, telling); /* the rest does not matter any more */
    else
        DL_APPEND(app->tellings, telling);
    tell_more(app);
}

void weft__app_tell_exit(struct weft_process_app *app, const Weft__Host__RankExit *news)
{
    struct weft_telling *telling = telling_new(app, news->rank, news->code, news->reason);
    telling->incarnation = news->incarnation;
    telling->abort = news->abort;
    telling->lost = news->lost;
    enqueue(telling);
}

static void enqueue_task(struct weft_task *task)
{
    (void)fflush(NULL); /* what the rank has printed goes first */
    enqueue(weft__loop_owner(task, struct weft_telling, task));
}

void weft__app_rank_exited(void *ctx, int32_t rank, uint32_t incarnation, int code,
                           const char *reason)
{
    struct weft_process_app *app = ctx;
    struct weft_telling *telling = telling_new(app, rank, code, reason);
    telling->incarnation = incarnation;
    telling->task.run = enqueue_task;
    weft__loop_must_post(app->asker.loop, &telling->task);
}

void weft__app_abort(void *ctx, int32_t rank, int code, const char *reason)
{
    struct weft_process_app *app = ctx;
    struct weft_telling *telling = telling_new(app, rank, code, reason);
    telling->abort = true;
    telling->task.run = enqueue_task;
    weft__loop_must_post(app->asker.loop, &telling->task);
}

/* ---- routes ---- */

struct wish {
    struct weft_task task;
    struct weft_process_app *app;
    int32_t rank;
};

static void wish_task(struct weft_task *task)
{
    struct wish *wish = weft__loop_owner(task, struct wish, task);
    struct weft_process_app *app = wish->app;
    Weft__Host__RouteWanted wanted = WEFT__HOST__ROUTE_WANTED__INIT;
    wanted.app = app->orders->app;
    wanted.token = app->orders->token;
    wanted.rank = wish->rank;
    wanted.process = app->orders->process;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_ROUTE_WANTED,
                                                   .request = &wanted.base,
                                                   .timeout_ms = TIMEOUT_MS});
    free(wish);
}

void weft__app_route_wanted(void *ctx, int32_t rank)
{
    struct weft_process_app *app = ctx;
    struct wish *wish = weft__must_alloc(1, sizeof(*wish));
    *wish = (struct wish){.task = {.run = wish_task}, .app = app, .rank = rank};
    if (weft__loop_post(app->asker.loop, &wish->task) != WEFT_OK)
        free(wish);
}
