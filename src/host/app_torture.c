/* Ranks that want to be moved (exec/torture.c): their wishes go to the home, one call each, which
 * is answered when the rank has moved or will not.
 *
 * A home carries out one plan of an app at a time, so most wishes are refused at first; they are
 * repeated for as long as a move may take. The rank waits meanwhile; when it is moved, it waits
 * here no more, and nobody is missed by the answer.
 */
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "host/app.h"
#include "host/calls.h"
#include "weft/error.h"

enum { AGAIN_MS = 2 };

struct weft_torture_wish {
    struct weft_task task;
    struct weft_timer again;
    struct weft_torture_wish *prev, *next;
    struct weft_process_app *app;
    int32_t rank;
    uint64_t draw, until_ns;
};

static void ask(struct weft_torture_wish *wish);

static void over(struct weft_torture_wish *wish)
{
    struct weft_process_app *app = wish->app;
    if (!app->closing)
        weft__exec_torture_over(app->exec, wish->rank);
    DL_DELETE(app->wishes, wish);
    free(wish);
}

static void ask_again(struct weft_timer *timer)
{
    ask(weft__loop_owner(timer, struct weft_torture_wish, again));
}

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_torture_wish *wish = ctx;
    uint64_t now_ns = weft__now_ns();
    (void)reply;
    if (err == WEFT_EBUSY && now_ns < wish->until_ns && !wish->app->closing) {
        wish->again.fire = ask_again;
        weft__loop_timer(wish->app->asker.loop, &wish->again, now_ns + AGAIN_MS * WEFT_NS_PER_MS);
        return;
    }
    if (err != WEFT_OK)
        weft__debug("rank %d is not moved: %s", wish->rank, text);
    over(wish);
}

static void ask(struct weft_torture_wish *wish)
{
    struct weft_process_app *app = wish->app;
    Weft__Host__MigrateRequest request = WEFT__HOST__MIGRATE_REQUEST__INIT;
    request.app = app->orders->app;
    request.rank = wish->rank;
    request.any_host = true;
    request.draw = wish->draw;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_MIGRATE,
                                                   .request = &request.base,
                                                   .timeout_ms = 2 * (uint32_t)weft__config_u64(
                                                                         "WEFT_MOVE_DEADLINE_MS"),
                                                   .answered = answered,
                                                   .ctx = wish});
}

static void ask_task(struct weft_task *task)
{
    struct weft_torture_wish *wish = weft__loop_owner(task, struct weft_torture_wish, task);
    DL_APPEND(wish->app->wishes, wish);
    ask(wish);
}

void weft__app_torture(void *ctx, int32_t rank, uint64_t draw)
{
    struct weft_process_app *app = ctx;
    uint64_t wait_ms = 2 * weft__config_u64("WEFT_MOVE_DEADLINE_MS");
    struct weft_torture_wish *wish = calloc(1, sizeof(*wish));
    if (wish != NULL)
        *wish = (struct weft_torture_wish){.task = {.run = ask_task},
                                           .app = app,
                                           .rank = rank,
                                           .draw = draw,
                                           .until_ns = weft__now_ns() + wait_ms * WEFT_NS_PER_MS};
    if (wish == NULL || weft__loop_post(app->asker.loop, &wish->task) != WEFT_OK) {
        free(wish);
        weft__exec_torture_over(app->exec, rank);
    }
}

void weft__app_torture_fini(struct weft_process_app *app)
{
    struct weft_torture_wish *wish, *next;
    DL_FOREACH_SAFE(app->wishes, wish, next)
    free(wish);
    app->wishes = NULL;
}
