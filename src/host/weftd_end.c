/* The end of an app, for whatever reason: its processes are ended, its slots given back, its keys
 * removed, its result told.
 *
 * The first reason counts. An app that ended well is asked to leave in peace; every other one is
 * killed. Hosts that are dead are not waited for. The result is told when all live hosts have
 * confirmed (so that slots are free again when a client sees the end), at the latest when the last
 * of them has let its deadline pass.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/keys.h"
#include "host/weftd_app.h"

enum { END_TIMEOUT_MS = 8000 };

struct ending {
    struct weft_host *host;
    uint64_t app;
    uint32_t process;
};

static void ignore_registry(void *ctx, int err, const char *text,
                            const struct weft_registry_reply *reply)
{
    (void)ctx;
    (void)err;
    (void)text;
    (void)reply;
}

struct erasing {
    struct weft_registry_at at;
    char key[WEFT_KEY_MAX];
};

/* On the client's thread. */
static void erase_found(void *ctx, int err, const char *text,
                        const struct weft_registry_reply *reply)
{
    struct erasing *erasing = ctx;
    (void)text;
    if (err == WEFT_OK && reply->revision != 0) {
        struct weft_registry_cas cas = {
            .key = erasing->key, .expected = reply->revision, .erase = true};
        (void)weft__registry_cas(&erasing->at, &cas, ignore_registry, NULL);
    }
    free(erasing);
}

/* Removes the key of each rank that ever moved, or may have. */
static void erase_keys(struct weft_app *app)
{
    for (uint32_t r = 0; r < app->size; r++) {
        if (!app->ranks[r].key)
            continue;
        struct erasing *erasing = calloc(1, sizeof(*erasing));
        if (erasing == NULL)
            return;
        erasing->at = app->host->registry_at;
        weft__rank_key(app->id, (int32_t)r, erasing->key);
        if (weft__registry_get(&erasing->at, erasing->key, erase_found, erasing) != WEFT_OK)
            free(erasing);
    }
}

static void all_ended(struct weft_app *app)
{
    app->state = WEFT_APP_ENDED;
    app->ended_ns = weft__now_ns();
    if (app->err != WEFT_OK)
        weft__info("app %llx ended: %s", (unsigned long long)app->id, app->reason);
    if (app->run_call != NULL) {
        weft__call_fail(app->run_call, app->err, app->reason);
        app->run_call = NULL;
    }
    weft__output_ended(app);
}

static void process_ended(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct ending *ending = ctx;
    struct weft_app *app = weft__weftd_app_find(ending->host, ending->app);
    (void)reply;
    if (app != NULL && app->state == WEFT_APP_ENDING) {
        struct weft_app_process *process = weft__weftd_app_process(app, ending->process);
        if (err != WEFT_OK)
            weft__warn("app %llx: host %s did not confirm its end: %s", (unsigned long long)app->id,
                       process->host, text);
        process->ended = true;
        if (--app->awaited == 0)
            all_ended(app);
    }
    free(ending);
}

static void end_process(struct weft_app *app, struct weft_app_process *process)
{
    struct ending *ending = calloc(1, sizeof(*ending));
    if (ending == NULL)
        abort();
    *ending = (struct ending){.host = app->host, .app = app->id, .process = process->number};
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    end.app = app->id;
    end.reason = app->reason;
    app->awaited++;
    weft__ask(&app->host->asker, &(struct weft_question){.url = process->host_control,
                                                         .code = WEFT_CALL_END,
                                                         .request = &end.base,
                                                         .timeout_ms = END_TIMEOUT_MS,
                                                         .answered = process_ended,
                                                         .ctx = ending});
}

void weft__weftd_app_end(struct weft_app *app, int err, int code, const char *fmt, ...)
{
    if (app->state >= WEFT_APP_ENDING)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(app->reason, sizeof(app->reason), fmt, args);
    va_end(args);
    app->err = err;
    app->code = code;
    app->state = WEFT_APP_ENDING;
    weft__weftd_check_stop(app);
    weft__loop_timer_off(app->host->asker.loop, &app->step_timer);
    weft__weftd_plan_free(app, "the app has ended");
    erase_keys(app);
    app->awaited = 0;
    for (size_t i = 0; i < app->processes_n; i++)
        if (!app->processes[i].dead)
            end_process(app, &app->processes[i]);
    if (app->awaited == 0)
        all_ended(app);
}
