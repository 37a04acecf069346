/* The end of an app, for whatever reason: its processes are ended, its slots given back, its result
 * told, its keys removed.
 *
 * The first reason counts. An app that ended well is asked to leave in peace; every other one is
 * killed. Hosts that are dead are not waited for. The result is told when all live hosts have
 * confirmed (so that slots are free again when a client sees the end), at the latest when the last
 * of them has let its deadline pass. Where ranks ended well, but their host does not confirm, it
 * may have kept what they printed: no good end. The registry's keys go last, one after the other:
 * by then no process is left that could make one.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/keys.h"
#include "host/weftd_app.h"
#include "host/weftd_events.h"
#include "host/weftd_place.h"
#include "wire/message.h"

enum { END_TIMEOUT_MS = 8000 };

/* Removes the key of each rank that has moved, or may have. */
static void erase_keys(struct weft_app *app)
{
    int32_t *ranks = weft__must_alloc(app->size + 1, sizeof(*ranks));
    size_t n = 0;
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].key)
            ranks[n++] = (int32_t)r;
    if (app->app_key)
        ranks[n++] = (int32_t)WEFT_KEY_OF_APP;
    weft__rank_keys_erase(&app->host->registry_at, app->id, ranks, n);
    free(ranks);
}

static void all_ended(struct weft_app *app)
{
    app->state = WEFT_APP_ENDED;
    app->ended_ns = weft__now_ns();
    if (app->err == WEFT_OK)
        weft__weftd_place_keep(app);
    if (app->err != WEFT_OK)
        weft__info("app %llx ended: %s", (unsigned long long)app->id, app->reason);
    weft__weftd_event(
        app->host, &(struct weft_event_note){
                       .kind = WEFT_EVENT_APP_ENDED,
                       .app = app->id,
                       .rank = WEFT_EVENT_NO_RANK,
                       .n = {(uint64_t)app->code, app->ended_ns - app->started_ns, app->move_count},
                       .text = {weft_error_name(app->err), app->reason}});
    if (app->run_call != NULL) {
        weft__call_fail(app->run_call, app->err, app->reason);
        app->run_call = NULL;
    }
    erase_keys(app);
    weft__weftd_output_ended(app);
    weft__weftd_input_closed(app);
}

static bool ran_a_rank(const struct weft_app *app, const struct weft_app_process *process)
{
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].process == process->number)
            return true;
    return false;
}

/* cause: why the host could not be asked; "": it could. Last, so that a long one cuts nothing off.
 */
static void output_missing(struct weft_app *app, const struct weft_app_process *process,
                           const char *cause)
{
    bool told = cause[0] != '\0';
    app->err = WEFT_EHOSTDEAD;
    app->code = 1;
    if (process->output_lost)
        snprintf(app->reason, sizeof(app->reason),
                 "its ranks have ended well, but host %s could not hand all that they printed "
                 "there over to its home %s",
                 process->host, app->host->name);
    else if (process->output_cut)
        snprintf(app->reason, sizeof(app->reason),
                 "its ranks have ended well, but host %s died just after those there had ended or "
                 "moved away: what they printed may be missing",
                 process->host);
    else
        snprintf(app->reason, sizeof(app->reason),
                 "its ranks have ended well, but host %s did not answer at the end: what they "
                 "printed there may be missing%s%s%s",
                 process->host, told ? " (" : "", cause, told ? ")" : "");
}

static void process_ended(struct weft_app *app, struct weft_app_process *process,
                          const struct weft_app_answer *answer)
{
    if (!process->ending)
        return; /* its host has died meanwhile */
    process->ending = false;
    if (answer->err != WEFT_OK)
        weft__warn("app %llx: host %s did not confirm its end: %s", (unsigned long long)app->id,
                   process->host, answer->text);
    process->output_lost |= answer->err == WEFT_EIO;
    if (answer->err != WEFT_OK && app->err == WEFT_OK &&
        (process->output_lost || ran_a_rank(app, process)))
        output_missing(app, process, answer->text != NULL ? answer->text : "");
    if (--app->awaited == 0)
        all_ended(app);
}

/* A host that has died is not asked on. */
void weft__weftd_end_host_dead(struct weft_app *app, struct weft_app_process *process,
                               const char *why)
{
    if (app->state == WEFT_APP_ENDING)
        process_ended(app, process, &(struct weft_app_answer){.err = WEFT_EHOSTDEAD, .text = why});
}

static void end_process(struct weft_app *app, const struct weft_app_process *process,
                        const char *reason, weft_app_answered *answered)
{
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    end.app = app->id;
    end.token = app->token;
    end.reason = weft__message_text(reason);
    weft__weftd_app_ask(
        app, &(struct weft_app_question){.process = process->number,
                                         .to_host = true,
                                         .code = WEFT_CALL_END,
                                         .request = &end.base,
                                         .timeout_ms = END_TIMEOUT_MS,
                                         .lost_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS"),
                                         .answered = answered});
}

void weft__weftd_app_end_stray(struct weft_app *app, const struct weft_app_process *process)
{
    end_process(app, process, "its launch was given up", NULL);
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
    weft__weftd_freeze_free(app, "the app has ended");
    weft__weftd_forks_free(app, "the app has ended");
    weft__weftd_app_next_step(app);
    for (size_t i = 0; i < app->processes_n; i++)
        if (!app->processes[i].dead) {
            app->awaited++;
            app->processes[i].ending = true;
            end_process(app, &app->processes[i], app->reason, process_ended);
        }
    for (size_t i = 0; i < app->processes_n; i++) /* of one that has died since */
        if ((app->processes[i].output_lost || app->processes[i].output_cut) && app->err == WEFT_OK)
            output_missing(app, &app->processes[i], app->processes[i].why);
    if (app->awaited == 0)
        all_ended(app);
}
