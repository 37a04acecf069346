/* Questions and requests on their way to the owner thread: each is answered once, whatever happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/client.h"
#include "control/server.h"
#include "host/ask.h"
#include "host/calls.h"
#include "host/loop.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { POSTED = 20000 };

struct rig {
    struct weft_asker asker;
    struct weft_server *server;
    char url[64];
    unsigned answers, wanted;
    int err;
    char text[256];
    uint64_t app;
};

/* On the fan-in thread. */
static void dispatch(void *ctx, struct weft_call *call, const ProtobufCMessage *request);

static void rig_open(struct rig *rig)
{
    static const struct weft_handler_desc handlers[] = {
        {.code = WEFT_CALL_RUN,
         .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC,
         .name = "run",
         .request_type = &weft__host__run_request__descriptor,
         .run = dispatch}};
    struct weft_service_desc service = {
        .name = "test", .handlers = handlers, .handlers_n = 1, .ctx = rig};
    struct weft_server_desc desc = {.bind = "127.0.0.1", .services = &service, .services_n = 1};
    memset(rig, 0, sizeof(*rig));
    assert_int_equal(weft__loop_open(&rig->asker.loop), WEFT_OK);
    assert_int_equal(weft__client_open(&(struct weft_client_desc){0}, &rig->asker.client), WEFT_OK);
    assert_int_equal(weft__server_start(&desc, &rig->server), WEFT_OK);
    snprintf(rig->url, sizeof(rig->url), "tcp://127.0.0.1:%u",
             weft__server_sync_port(rig->server, 0));
}

static void rig_close(struct rig *rig)
{
    weft__server_stop(rig->server, 1000);
    weft__client_close(rig->asker.client);
    rig->asker.client = NULL;
    weft__loop_drain(rig->asker.loop);
    weft__loop_close(rig->asker.loop);
}

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct rig *rig = ctx;
    rig->err = err;
    snprintf(rig->text, sizeof(rig->text), "%s", text);
    rig->app = reply != NULL ? ((const Weft__Host__RunReply *)reply)->app : 0;
    if (++rig->answers == rig->wanted)
        weft__loop_stop(rig->asker.loop);
}

static void ask(struct rig *rig, const char *url, const char *program)
{
    Weft__Host__RunRequest request = WEFT__HOST__RUN_REQUEST__INIT;
    request.program = weft__message_text(program);
    weft__ask(&rig->asker, &(struct weft_question){.url = url,
                                                   .code = WEFT_CALL_RUN,
                                                   .request = &request.base,
                                                   .reply_type = &weft__host__run_reply__descriptor,
                                                   .timeout_ms = 10000,
                                                   .answered = answered,
                                                   .ctx = rig});
}

/* On the owner thread. */
static void on_run(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__RunRequest *request = (const Weft__Host__RunRequest *)message;
    Weft__Host__RunReply reply = WEFT__HOST__RUN_REPLY__INIT;
    (void)ctx;
    reply.app = strlen(request->program);
    if (reply.app > 0)
        weft__call_reply(call, &reply.base);
    else
        weft__call_fail(call, WEFT_EINVAL, "no program");
}

static void dispatch(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = ctx;
    weft__ask_post(rig->asker.loop, on_run, rig, call, request);
}

static void a_question_is_answered_on_the_owner_thread(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.wanted = 1;
    ask(&rig, rig.url, "four");
    weft__loop_run(rig.asker.loop);
    assert_int_equal(rig.err, WEFT_OK);
    assert_int_equal(rig.app, 4);
    rig_close(&rig);
}

static void a_refusal_comes_with_its_words(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.wanted = 1;
    ask(&rig, rig.url, "");
    weft__loop_run(rig.asker.loop);
    assert_int_equal(rig.err, WEFT_EINVAL);
    assert_string_equal(rig.text, "no program");
    rig_close(&rig);
}

static void what_cannot_be_sent_is_answered_later(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.wanted = 1;
    ask(&rig, "nowhere", "x");
    assert_int_equal(rig.answers, 0);
    weft__loop_run(rig.asker.loop);
    assert_int_equal(rig.err, WEFT_EINVAL);
    rig_close(&rig);
}

static void closing_the_client_answers_all_questions(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (int i = 0; i < 100; i++)
        ask(&rig, "tcp://127.0.0.1:1", "x"); /* nobody is there */
    weft__client_close(rig.asker.client);
    rig.asker.client = NULL;
    ask(&rig, rig.url, "x");
    weft__loop_drain(rig.asker.loop);
    assert_int_equal(rig.answers, 101);
    assert_int_equal(rig.err, WEFT_ESHUTDOWN);
    rig_close(&rig);
}

static void more_questions_than_fit_are_all_answered(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.wanted = POSTED;
    for (int i = 0; i < POSTED; i++)
        ask(&rig, rig.url, "many");
    weft__loop_run(rig.asker.loop);
    assert_int_equal(rig.answers, POSTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_on_the_owner_thread),
        cmocka_unit_test(a_refusal_comes_with_its_words),
        cmocka_unit_test(what_cannot_be_sent_is_answered_later),
        cmocka_unit_test(closing_the_client_answers_all_questions),
        cmocka_unit_test(more_questions_than_fit_are_all_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
