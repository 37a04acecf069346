/* The standard input of an app, on its way from the client that has it to the rank that reads it.
 *
 * Nobody asks twice as often as needed: a push is answered when there is room, a take when there
 * are bytes, and both after a while with what there is, so that a client or process that has died
 * is not held for ever. One push and one take wait at a time, the newest: an older one is of a
 * client that has given up, or of a process that the rank has left. An answer that is lost does no
 * harm, see input.h. The client learns that nobody reads any more, and stops.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/input.h"
#include "host/weftd_app.h"

enum { WAIT_MAX_MS = 10000 };

/* A call that waits. */
struct held {
    struct weft_app_input *input;
    struct weft_call *call; /* NULL: none */
    struct weft_timer timer;
};

struct weft_app_input {
    struct weft_app *app;
    struct weft_input *window;
    struct held push, take;
    bool lost; /* its client and what it has sent are gone */
    bool told; /* that it is */
};

static struct weft_call *let_go(struct held *held)
{
    struct weft_call *call = held->call;
    weft__loop_timer_off(held->input->app->host->asker.loop, &held->timer);
    held->call = NULL;
    return call;
}

static void hold(struct held *held, struct weft_call *call, uint32_t wait_ms)
{
    held->call = call;
    wait_ms = wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
    weft__loop_timer(held->input->app->host->asker.loop, &held->timer,
                     weft__now_ns() + wait_ms * WEFT_NS_PER_MS);
}

/* ---- the client's side ---- */

static bool is_closed(const struct weft_app *app)
{
    uint32_t reader = app->request->input_rank;
    return app->state == WEFT_APP_ENDING || app->state == WEFT_APP_ENDED || app->input->lost ||
           !app->request->has_input || reader >= app->size || app->ranks[reader].ended;
}

static void answer_push(struct weft_app_input *input)
{
    struct weft_call *call = let_go(&input->push);
    Weft__Host__InputReply reply = WEFT__HOST__INPUT_REPLY__INIT;
    if (call == NULL)
        return;
    reply.next_offset = weft__input_next(input->window);
    reply.closed = is_closed(input->app);
    weft__call_reply(call, &reply.base);
}

static void push_over(struct weft_timer *timer)
{
    answer_push(weft__loop_owner(timer, struct held, timer)->input);
}

/* ---- the reader's side ---- */

/* The program sees an end that nobody has made. */
static void tell_lost(struct weft_app_input *input)
{
    if (!input->lost || input->told)
        return;
    input->told = true;
    weft__info("app %llx: the standard input of rank %u ends: who had it was connected to the home "
               "that has frozen the app",
               (unsigned long long)input->app->id, input->app->request->input_rank);
}

static void answer_take(struct weft_app_input *input)
{
    struct weft_call *call = let_go(&input->take);
    Weft__Host__TakenInput reply = WEFT__HOST__TAKEN_INPUT__INIT;
    struct weft_input_view view = weft__input_view(input->window);
    if (call == NULL)
        return;
    tell_lost(input);
    reply.input = (ProtobufCBinaryData){.len = view.len, .data = (uint8_t *)(uintptr_t)view.bytes};
    reply.at_end = view.at_end || input->lost;
    weft__call_reply(call, &reply.base);
}

static void take_over(struct weft_timer *timer)
{
    answer_take(weft__loop_owner(timer, struct held, timer)->input);
}

static bool has_news(const struct weft_app_input *input)
{
    struct weft_input_view view = weft__input_view(input->window);
    return view.len > 0 || view.at_end || input->lost;
}

/* ---- calls ---- */

struct weft_app_input *weft__weftd_input_new(struct weft_app *app, bool lost)
{
    struct weft_app_input *input = weft__must_alloc(1, sizeof(*input));
    *input = (struct weft_app_input){.app = app, .window = weft__input_new(), .lost = lost};
    input->push = (struct held){.input = input, .timer = {.fire = push_over}};
    input->take = (struct held){.input = input, .timer = {.fire = take_over}};
    return input;
}

void weft__weftd_input_closed(struct weft_app *app)
{
    if (is_closed(app))
        answer_push(app->input);
}

void weft__weftd_input_free(struct weft_app_input *input)
{
    answer_push(input);
    answer_take(input);
    weft__input_free(input->window);
    free(input);
}

void weft__weftd_on_input(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__InputPush *push = (const Weft__Host__InputPush *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, push->app);
    int err = app != NULL ? weft__input_add(app->input->window, push->offset, push->input.data,
                                            push->input.len, push->at_end)
                          : weft_fail(WEFT_ENOENT, "no such app is at home here");
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct weft_app_input *input = app->input;
    answer_push(input);
    hold(&input->push, call, push->wait_ms);
    if (has_news(input))
        answer_take(input);
    if (weft__input_next(input->window) > push->offset || weft__input_is_whole(input->window) ||
        push->input.len == 0 || push->wait_ms == 0 || is_closed(app))
        answer_push(input);
}

void weft__weftd_on_input_take(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__InputTake *take = (const Weft__Host__InputTake *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, take->app, take->token, call);
    if (app == NULL)
        return;
    struct weft_app_input *input = app->input;
    answer_take(input);
    int err = input->lost ? WEFT_OK : weft__input_taken(input->window, take->offset);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    hold(&input->take, call, take->wait_ms);
    if (has_news(input) || take->wait_ms == 0)
        answer_take(input);
    if (weft__input_has_room(input->window) || input->lost)
        answer_push(input);
}
