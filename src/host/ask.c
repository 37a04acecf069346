/* Brings answers and requests to the owner thread.
 *
 * The control client answers on its own thread and lends the reply for the time of the callback
 * only, so the reply is cloned (packed and unpacked: control messages are small) and posted.
 * Requests are posted without a copy: the call owns its decoded message.
 */
#include "host/ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "control/client.h"
#include "control/server.h"
#include "host/loop.h"
#include "weft/error.h"
#include "wire/message.h"

struct answer {
    struct weft_task task;
    struct weft_loop *loop;
    weft_answered *answered;
    void *ctx;
    int err;
    char text[256];
    ProtobufCMessage *reply;
};

static void answer_run(struct weft_task *task)
{
    struct answer *answer = weft__loop_owner(task, struct answer, task);
    answer->answered(answer->ctx, answer->err, answer->text, answer->reply);
    weft__message_free(answer->reply);
    free(answer);
}

static void answer_post(struct answer *answer, int err, const char *text)
{
    answer->err = err;
    snprintf(answer->text, sizeof(answer->text), "%s", text != NULL ? text : "");
    weft__loop_must_post(answer->loop, &answer->task);
}

static void client_done(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct answer *answer = ctx;
    if (err == WEFT_OK && reply != NULL) {
        answer->reply = weft__message_clone(reply);
        if (answer->reply == NULL) {
            err = WEFT_ENOMEM;
            text = weft_error_text(err);
        }
    }
    answer_post(answer, err, text);
}

static void ignore_answer(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    (void)ctx;
    (void)err;
    (void)text;
    (void)reply;
}

void weft__ask(struct weft_asker *asker, const struct weft_question *question)
{
    struct answer *answer = weft__must_alloc(1, sizeof(*answer));
    answer->task.run = answer_run;
    answer->loop = asker->loop;
    answer->answered = question->answered != NULL ? question->answered : ignore_answer;
    answer->ctx = question->ctx;
    struct weft_client_call call = {.url = question->url,
                                    .code = question->code,
                                    .request = question->request,
                                    .reply_type = question->reply_type,
                                    .timeout_ms = question->timeout_ms,
                                    .flags = question->lost_ms > 0 ? WEFT_CLIENT_IDEMPOTENT : 0,
                                    .lost_ms = question->lost_ms,
                                    .done = client_done,
                                    .ctx = answer};
    int err = asker->client != NULL ? weft__client_start(asker->client, &call)
                                    : weft_fail(WEFT_ESHUTDOWN, "this process is shutting down");
    if (err != WEFT_OK)
        answer_post(answer, err, weft_fail_text(err));
}

struct posted {
    struct weft_task task;
    weft_owner_handler *run;
    void *ctx;
    struct weft_call *call;
    const ProtobufCMessage *request;
};

static void posted_run(struct weft_task *task)
{
    struct posted *posted = weft__loop_owner(task, struct posted, task);
    posted->run(posted->ctx, posted->call, posted->request);
    free(posted);
}

void weft__ask_post(struct weft_loop *loop, weft_owner_handler *run, void *ctx,
                    struct weft_call *call, const ProtobufCMessage *request)
{
    struct posted *posted = weft__loop_busy(loop) ? NULL : calloc(1, sizeof(*posted));
    if (posted == NULL) {
        weft__call_fail(call, WEFT_EAGAIN, "the host has too much work waiting; try again");
        return;
    }
    *posted = (struct posted){
        .task = {.run = posted_run}, .run = run, .ctx = ctx, .call = call, .request = request};
    if (weft__loop_post(loop, &posted->task) != WEFT_OK) {
        free(posted);
        weft__call_fail(call, WEFT_EAGAIN, "the host has too much work waiting; try again");
    }
}
