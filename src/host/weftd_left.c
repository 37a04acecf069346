/* What ranks have printed where they were before they moved.
 *
 * It lies in the pipes of a process that they have left, and with a host of which the app needs
 * nothing any more it would be lost without a word. So the source's host is asked, while the rank
 * is pulled, to hand over all that there is; its answer is waited for before the move counts as
 * over: who was told so may kill the host. Where no answer comes in time the beats of that host
 * tell (see weftd_app.c), and if it dies first the end of the app is no good one. Asked is the host
 * and not the process: a rank does not wait for its output, and what lies in a pipe only its reader
 * knows.
 */
#include "host/calls.h"
#include "host/weftd_app.h"
#include "weft/error.h"

enum { ASK_TIMEOUT_MS = 2000 };

static void answered(struct weft_app *app, struct weft_app_process *process,
                     const struct weft_app_answer *answer)
{
    struct weft_app_plan *plan = app->plan;
    plan->output_asked = false;
    plan->output_is_here = answer->err == WEFT_OK;
    if (plan->output_is_here)
        process->left = false;
    if (plan->ends)
        weft__weftd_move_ended(app);
}

void weft__weftd_left_ask(struct weft_app *app)
{
    Weft__Host__HandOverRequest request = WEFT__HOST__HAND_OVER_REQUEST__INIT;
    request.app = app->id;
    request.token = app->token;
    app->plan->output_asked = true;
    weft__weftd_app_ask(app, &(struct weft_app_question){.process = app->plan->from,
                                                         .to_host = true,
                                                         .code = WEFT_CALL_HAND_OVER,
                                                         .request = &request.base,
                                                         .timeout_ms = ASK_TIMEOUT_MS,
                                                         .answered = answered});
}

void weft__weftd_left_moved(struct weft_app *app)
{
    struct weft_app_process *source = weft__weftd_app_process(app, app->plan->from);
    if (app->plan->output_is_here)
        return;
    source->left = true;
    source->output_cut |= source->host_dead;
    source->idle = 0;
}
