#include "rig.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/wake.h"
#include "tests/loopback.h"
#include "text.pb-c.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

static void answer(struct weft_call *call, const char *text)
{
    Weft__Test__Text reply = WEFT__TEST__TEXT__INIT;

    reply.text = (char *)(uintptr_t)text;
    weft__call_reply(call, &reply.base);
}

static const char *text_of(const ProtobufCMessage *request)
{
    return ((const Weft__Test__Text *)request)->text;
}

static void run_echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    answer(call, text_of(request));
}

static void run_count(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = ctx;

    (void)request;
    atomic_fetch_add(&rig->counted, 1);
    weft__call_reply(call, NULL);
}

static void enter(struct rig *rig)
{
    uint32_t inside = atomic_fetch_add(&rig->inside, 1) + 1;
    uint32_t most = atomic_load(&rig->most_inside);

    while (inside > most && !atomic_compare_exchange_weak(&rig->most_inside, &most, inside)) {
    }
    weft__futex_wake(&rig->inside);
}

static void run_meet(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = ctx;
    uint32_t inside;

    enter(rig);
    while ((inside = atomic_load(&rig->inside)) < rig->meet)
        weft__futex_wait(&rig->inside, inside, WEFT_NEVER);
    answer(call, text_of(request));
}

static void run_block(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = ctx;

    enter(rig);
    while (atomic_load(&rig->released) == 0)
        weft__futex_wait(&rig->released, 0, WEFT_NEVER);
    atomic_fetch_sub(&rig->inside, 1);
    answer(call, text_of(request));
}

static void run_defer(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = ctx;
    uint32_t at = atomic_load(&rig->deferred_n);

    snprintf(rig->deferred_text[at], RIG_TEXT, "%s", text_of(request));
    rig->deferred[at] = call;
    atomic_store(&rig->deferred_n, at + 1);
}

static void run_fail(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_fail(call, WEFT_EBUSY, "not today");
}

static void run_texts(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    char text[RIG_TEXT];

    (void)ctx;
    snprintf(text, sizeof(text), "%zu", ((const Weft__Test__Texts *)request)->n_texts);
    answer(call, text);
}

static void run_big(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    char *text = malloc(WEFT_FRAME_BODY_MAX + 1);

    (void)ctx;
    (void)request;
    memset(text, 'x', WEFT_FRAME_BODY_MAX);
    text[WEFT_FRAME_BODY_MAX] = '\0';
    answer(call, text);
    free(text);
}

#define TEXT &weft__test__text__descriptor

static const struct weft_handler_desc handlers[] = {
    {RIG_ECHO, WEFT_HANDLER_SYNC, "echo", TEXT, run_echo},
    {RIG_ECHO_INLINE, WEFT_HANDLER_SYNC | WEFT_HANDLER_INLINE, "echo inline", TEXT, run_echo},
    {RIG_COUNT, WEFT_HANDLER_ASYNC, "count", TEXT, run_count},
    {RIG_MEET, WEFT_HANDLER_SYNC, "meet", TEXT, run_meet},
    {RIG_BLOCK, WEFT_HANDLER_SYNC, "block", TEXT, run_block},
    {RIG_BLOCK_INLINE, WEFT_HANDLER_SYNC | WEFT_HANDLER_INLINE, "block inline", TEXT, run_block},
    {RIG_DEFER, WEFT_HANDLER_SYNC | WEFT_HANDLER_INLINE, "defer", TEXT, run_defer},
    {RIG_FAIL, WEFT_HANDLER_SYNC, "fail", NULL, run_fail},
    {RIG_TEXTS, WEFT_HANDLER_SYNC, "texts", &weft__test__texts__descriptor, run_texts},
    {RIG_BIG, WEFT_HANDLER_SYNC, "big", NULL, run_big},
    {RIG_BOTH, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC, "both", NULL, run_count},
};

int rig_serve(struct rig *rig, const struct rig_desc *desc)
{
    bool inproc = desc->scheme != NULL && strstr(desc->scheme, "inproc") != NULL;
    char own[OWN_LOOPBACK_MAX];
    const char *bind = inproc ? "rig" : own;
    const struct weft_service_desc service = {.name = "test",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = rig,
                                              .sync_port = desc->port,
                                              .workers = desc->workers,
                                              .queue_max = desc->queue_max,
                                              .body_max = desc->body_max};
    const struct weft_server_desc server = {
        .scheme = desc->scheme, .bind = bind, .services = &service, .services_n = 1};
    int rc;

    own_loopback(own);
    rig->meet = desc->meet;
    rc = weft__server_start(&server, &rig->server);
    if (rc != WEFT_OK)
        return rc;
    snprintf(rig->url, sizeof(rig->url), "%s%s:%u", inproc ? "" : "tcp://", bind,
             weft__server_sync_port(rig->server, 0));
    snprintf(rig->async_url, sizeof(rig->async_url), "%s%s:%u", inproc ? "" : "tcp://", bind,
             weft__server_async_port(rig->server, 0));
    return WEFT_OK;
}

void rig_open(struct rig *rig, const struct rig_desc *desc)
{
    const struct weft_client_desc client = {.scheme = desc->scheme};

    memset(rig, 0, sizeof(*rig));
    rig->scheme = desc->scheme;
    assert_int_equal(rig_serve(rig, desc), WEFT_OK);
    assert_int_equal(weft__client_open(&client, &rig->client), WEFT_OK);
}

void rig_close(struct rig *rig)
{
    rig_release(rig);
    weft__client_close(rig->client);
    weft__server_stop(rig->server, RIG_TIMEOUT_MS);
}

void rig_release(struct rig *rig)
{
    atomic_store(&rig->released, 1);
    weft__futex_wake(&rig->released);
}

void rig_answer_deferred(struct rig *rig)
{
    for (uint32_t at = atomic_load(&rig->deferred_n); at > 0; at--)
        answer(rig->deferred[at - 1], rig->deferred_text[at - 1]);
}

int rig_ask(struct rig *rig, struct weft_client *client, uint16_t code, const char *text,
            char text_out[RIG_TEXT])
{
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    ProtobufCMessage *reply;
    struct weft_client_call call = {.url = rig->url,
                                    .code = code,
                                    .request = &request.base,
                                    .reply_type = TEXT,
                                    .timeout_ms = RIG_TIMEOUT_MS};
    int rc;

    request.text = (char *)(uintptr_t)text;
    rc = weft__client_wait(client, &call, &reply);
    if (rc != WEFT_OK)
        return rc;
    if (text_out != NULL)
        snprintf(text_out, RIG_TEXT, "%s", text_of(reply));
    weft__message_free(reply);
    return WEFT_OK;
}

void rig_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct rig_ask *ask = ctx;

    ask->err = err;
    snprintf(ask->text, sizeof(ask->text), "%s",
             err != WEFT_OK  ? text
             : reply == NULL ? ""
                             : text_of(reply));
    atomic_store(&ask->over, 1);
    weft__futex_wake(&ask->over);
}

int rig_start(struct rig *rig, uint16_t code, const char *text, uint32_t timeout_ms,
              struct rig_ask *ask)
{
    Weft__Test__Text request = WEFT__TEST__TEXT__INIT;
    struct weft_client_call call = {.url = rig->url,
                                    .code = code,
                                    .request = &request.base,
                                    .reply_type = TEXT,
                                    .timeout_ms = timeout_ms,
                                    .done = rig_over,
                                    .ctx = ask};

    atomic_store(&ask->over, 0);
    request.text = (char *)(uintptr_t)text;
    return weft__client_start(rig->client, &call);
}

int rig_await(struct rig_ask *ask)
{
    uint64_t limit_ns = weft__now_ns() + 60 * WEFT_NS_PER_S;

    while (atomic_load(&ask->over) == 0) {
        if (weft__futex_wait(&ask->over, 0, limit_ns) == WEFT_ETIMEDOUT)
            fail_msg("a request neither ended nor timed out");
    }
    return ask->err;
}

static bool thread_is(const char *tid, const char *name, bool sleeping_only)
{
    char path[64], line[256] = "", want[32];
    FILE *file;
    const char *state;

    snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    if (fgets(line, sizeof(line), file) == NULL)
        line[0] = '\0';
    fclose(file);
    snprintf(want, sizeof(want), "(%.15s)", name);
    state = strstr(line, want);
    return state != NULL && (!sleeping_only || state[strlen(want) + 1] == 'S');
}

unsigned rig_threads(const char *name, bool sleeping_only)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned n = 0;

    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.' && thread_is(entry->d_name, name, sleeping_only);
    closedir(dir);
    return n;
}

size_t rig_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

unsigned rig_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}
