/* Questions on behalf of an app to its processes and their hosts.
 *
 * An answer comes when the app may be gone, ended, or busy with something else. So a question notes
 * the app's id and step, and its answer is dropped unless both are still the same: the code that
 * starts, moves and ends apps sees only answers to what it is doing.
 */
#include <stdlib.h>

#include "base/must.h"
#include "host/weftd_app.h"

struct asked {
    struct weft_host *host;
    uint64_t app;
    uint64_t step;
    uint32_t process;
    bool whenever;
    weft_app_answered *answered;
};

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct asked *asked = ctx;
    struct weft_app *app = weft__weftd_app_find(asked->host, asked->app);
    if (app != NULL && (asked->whenever || app->step == asked->step))
        asked->answered(app, weft__weftd_app_process(app, asked->process),
                        &(struct weft_app_answer){.err = err, .text = text, .reply = reply});
    free(asked);
}

void weft__weftd_app_ask(struct weft_app *app, const struct weft_app_question *question)
{
    const struct weft_app_process *process = weft__weftd_app_process(app, question->process);
    struct weft_question ask = {.url = question->to_host ? process->host_control : process->control,
                                .code = question->code,
                                .request = question->request,
                                .reply_type = question->reply_type,
                                .timeout_ms = question->timeout_ms,
                                .lost_ms = question->lost_ms};
    if (question->answered != NULL) {
        struct asked *asked = weft__must_alloc(1, sizeof(*asked));
        *asked = (struct asked){.host = app->host,
                                .app = app->id,
                                .step = app->step,
                                .process = question->process,
                                .whenever = question->whenever,
                                .answered = question->answered};
        ask.answered = answered;
        ask.ctx = asked;
    }
    weft__ask(&app->host->asker, &ask);
}

void weft__weftd_app_next_step(struct weft_app *app)
{
    app->step++;
    app->awaited = 0;
    app->step_err = WEFT_OK;
}
