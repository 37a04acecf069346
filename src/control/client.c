/* The client as other threads see it: they pack a request, reserve one of the bounded places and
 * hand it to the client's thread. Everything after that is the thread's (hub.c).
 *
 * Close and start may meet. start reserves first and looks at `closing` second; the thread, which
 * sees `closing` first, stays until no place is reserved. So a request is either refused or
 * finished, and `inside` keeps the memory until the last start has left.
 */
#include "control/client.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/hub.h"
#include "control/security.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

#define PENDING_DEFAULT 4096
#define PENDING_LIMIT ((size_t)1 << 20)
#define NOTES_MAX 64 /* orders to forget or cancel on their way to the thread */
#define URL_MAX 255
#define PUSH_KEEP_MS 10000 /* how long a push may wait for room */
#define PUSH_IDLE_MS 60000
#define TEXT_MAX 512

static size_t ring_capacity(size_t pending_max)
{
    size_t capacity = 1;

    while (capacity < pending_max + NOTES_MAX)
        capacity *= 2;
    return capacity;
}

static void client_free(struct weft_client *client)
{
    weft__pump_fini(&client->pump);
    weft__mpsc_fini(&client->orders);
    weft__flights_fini(&client->flights);
    free(client);
}

int weft__client_open(const struct weft_client_desc *desc, struct weft_client **client_out)
{
    struct weft_client *client = calloc(1, sizeof(*client));
    struct weft_tp_open open = {.bind = "127.0.0.1",
                                .families = WEFT_TP_CTL,
                                .msg_max_bytes = WEFT_FRAME_HEADER_BYTES + WEFT_FRAME_BODY_MAX,
                                .handlers = &weft__hub_handlers,
                                .ctx = client};
    int rc;

    if (client == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a control client");
    client->pending_max = desc->pending_max == 0 ? PENDING_DEFAULT : desc->pending_max;
    client->push_idle_ns =
        (desc->push_idle_ms == 0 ? PUSH_IDLE_MS : desc->push_idle_ms) * WEFT_NS_PER_MS;
    if (client->pending_max > PENDING_LIMIT) {
        free(client);
        return weft_fail(WEFT_EINVAL, "a client's pending_max is at most %zu", PENDING_LIMIT);
    }
    if (getrandom(&client->id, sizeof(client->id), 0) != (ssize_t)sizeof(client->id)) {
        free(client);
        return weft_fail(WEFT_EIO, "no random bytes for a client's number from getrandom");
    }
    client->id |= 1; /* 0 is no client */
    client->random = client->id;
    rc = weft__mpsc_init(&client->orders, ring_capacity(client->pending_max));
    if (rc == WEFT_OK)
        rc = weft__flights_init(&client->flights, client->pending_max);
    if (rc == WEFT_OK)
        rc = weft__security_resolve(desc->security, &open.security);
    if (rc == WEFT_OK)
        rc = weft__pump_open(&client->pump, desc->scheme, &open);
    if (rc == WEFT_OK)
        rc = weft__thread_start(&client->thread, "weft client", weft__hub_run, client);
    if (rc != WEFT_OK) {
        client_free(client);
        return rc;
    }
    *client_out = client;
    return WEFT_OK;
}

void weft__client_close(struct weft_client *client)
{
    if (client == NULL)
        return;
    weft__check(!weft__hub_is_here(client));
    atomic_store(&client->closing, 1);
    weft__wakefd_set(&client->pump.wake);
    weft__thread_join(&client->thread);
    while (atomic_load(&client->inside) > 0)
        sched_yield();
    client_free(client);
}

static int check_url(const char *url)
{
    const char *colon = url == NULL ? NULL : strrchr(url, ':');
    char *end;
    unsigned long port;

    if (colon == NULL || colon == url || colon[1] < '0' || colon[1] > '9' || strlen(url) > URL_MAX)
        return weft_fail(WEFT_EINVAL, "\"%s\" is no control url, e.g. tcp://127.0.0.2:8100",
                         url == NULL ? "" : url);
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > UINT16_MAX)
        return weft_fail(WEFT_EINVAL, "\"%s\" ends in no port number", url);
    return WEFT_OK;
}

static bool reserve(struct weft_client *client, size_t max)
{
    size_t n = atomic_load(&client->under_way);

    while (n < max) {
        if (atomic_compare_exchange_weak(&client->under_way, &n, n + 1))
            return true;
    }
    return false;
}

/* Hands the flight over, on success only. */
static int submit(struct weft_client *client, struct weft_flight *flight, size_t max)
{
    int rc = WEFT_OK;

    atomic_fetch_add(&client->inside, 1);
    if (!reserve(client, max)) {
        rc = weft_fail(WEFT_EAGAIN, "%zu requests are under way already; try again later",
                       client->pending_max);
    } else if (atomic_load(&client->closing) != 0) {
        atomic_fetch_sub(&client->under_way, 1);
        rc = weft_fail(WEFT_ESHUTDOWN, "the client is closing");
    } else {
        bool pushed = weft__mpsc_push(&client->orders, flight);

        weft__check(pushed);
        if (weft__hub_is_here(client))
            weft__hub_again(client);
        else
            weft__wakefd_set(&client->pump.wake);
    }
    atomic_fetch_sub(&client->inside, 1);
    return rc;
}

static struct weft_flight *flight_new(const char *url, uint32_t timeout_ms)
{
    size_t url_bytes = strlen(url) + 1;
    struct weft_flight *flight = calloc(1, sizeof(*flight) + url_bytes);

    if (flight == NULL)
        return NULL;
    flight->url = (char *)(flight + 1);
    memcpy(flight->url, url, url_bytes);
    flight->timeout_ms = timeout_ms;
    flight->deadline_ns = weft__now_ns() + timeout_ms * WEFT_NS_PER_MS;
    return flight;
}

static int check_body(const struct weft_client_call *call)
{
    if (call->body_len > WEFT_FRAME_BODY_MAX)
        return weft_fail(WEFT_EMSGSIZE, "a body of %zu bytes is over the limit of %u",
                         call->body_len, WEFT_FRAME_BODY_MAX);
    if (call->body_len > 0 && (call->body == NULL || call->request != NULL))
        return weft_fail(WEFT_EINVAL, "call %u has a body without bytes, or beside a request",
                         call->code);
    return WEFT_OK;
}

/* Packs the request or copies the body; the header is written when it is sent. */
static int fill(const struct weft_client_call *call, struct weft_flight *flight)
{
    struct weft_frame frame = {.call = call->code};

    if (call->body_len == 0)
        return weft__message_frame(&frame, call->request, &flight->frame, &flight->frame_len);
    flight->frame_len = WEFT_FRAME_HEADER_BYTES + call->body_len;
    flight->frame = malloc(flight->frame_len);
    if (flight->frame == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a body of %zu bytes", call->body_len);
    memcpy(flight->frame + WEFT_FRAME_HEADER_BYTES, call->body, call->body_len);
    return WEFT_OK;
}

static int pack(const struct weft_client_call *call, struct weft_flight **flight_out)
{
    struct weft_flight *flight;
    int rc = check_url(call->url);

    if (rc == WEFT_OK)
        rc = check_body(call);
    if (rc != WEFT_OK)
        return rc;
    if (call->timeout_ms == 0)
        return weft_fail(WEFT_EINVAL, "call %u to %s has no time-out", call->code, call->url);
    flight = flight_new(call->url, call->timeout_ms);
    if (flight == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a request to %s", call->url);
    rc = fill(call, flight);
    if (rc != WEFT_OK) {
        weft__flight_free(flight);
        return rc;
    }
    flight->code = call->code;
    flight->flags = call->flags;
    flight->lost_ms = call->lost_ms;
    flight->reply_type = call->reply_type;
    flight->done = call->done;
    flight->done_bytes = call->done_bytes;
    flight->ctx = call->ctx;
    *flight_out = flight;
    return WEFT_OK;
}

/* The ticket is written before the thread has the flight: done may run, and free the place that it
 * is written to, before this returns. */
static int start(struct weft_client *client, const struct weft_client_call *call, bool keep_reply)
{
    struct weft_flight *flight;
    int rc = pack(call, &flight);

    if (rc != WEFT_OK)
        return rc;
    flight->mode = WEFT_TP_SYNC;
    flight->keep_reply = keep_reply;
    if (call->ticket_out != NULL) {
        flight->ticket = atomic_fetch_add(&client->tickets, 1) + 1;
        call->ticket_out->id = flight->ticket;
    }
    rc = submit(client, flight, client->pending_max);
    if (rc != WEFT_OK) {
        if (call->ticket_out != NULL)
            call->ticket_out->id = 0;
        weft__flight_free(flight);
    }
    return rc;
}

int weft__client_start(struct weft_client *client, const struct weft_client_call *call)
{
    return start(client, call, false);
}

struct waiter {
    _Atomic uint32_t over;
    int err;
    uint32_t retry_ms;
    ProtobufCMessage *reply;
    void *body;
    size_t len_bytes;
    char text[TEXT_MAX];
};

static void wait_end(struct waiter *waiter, int err, const char *text)
{
    waiter->err = err;
    waiter->retry_ms = weft_fail_retry_ms();
    snprintf(waiter->text, sizeof(waiter->text), "%s", text);
    atomic_store(&waiter->over, 1);
    /* The waiter may have left already; then this wakes nobody, or somebody who looks again. */
    weft__futex_wake(&waiter->over);
}

static void wait_over(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct waiter *waiter = ctx;

    waiter->reply = (ProtobufCMessage *)(uintptr_t)reply; /* keep_reply: it is the waiter's now */
    wait_end(waiter, err, text);
}

static void wait_over_bytes(void *ctx, int err, const char *text, const void *body,
                            size_t len_bytes)
{
    struct waiter *waiter = ctx;

    if (err == WEFT_OK) {
        waiter->body = malloc(len_bytes + 1);
        if (waiter->body == NULL) {
            wait_end(waiter, WEFT_ENOMEM, "no memory for the reply");
            return;
        }
        if (len_bytes > 0)
            memcpy(waiter->body, body, len_bytes);
        ((char *)waiter->body)[len_bytes] = '\0';
        waiter->len_bytes = len_bytes;
    }
    wait_end(waiter, err, text);
}

/* call: its done and ctx are the waiter's. */
static int wait_for(struct weft_client *client, const struct weft_client_call *call,
                    struct waiter *waiter)
{
    int rc;

    if (weft__hub_is_here(client))
        return weft_fail(WEFT_EINVAL, "call %u: the client's own thread cannot wait for itself",
                         call->code);
    rc = start(client, call, true);
    if (rc != WEFT_OK)
        return rc;
    while (atomic_load(&waiter->over) == 0)
        weft__futex_wait(&waiter->over, 0, WEFT_NEVER); /* the client's thread keeps the deadline */
    if (waiter->err != WEFT_OK) {
        weft_fail(waiter->err, "%s", waiter->text);
        weft_fail_set_retry_ms(waiter->retry_ms);
    }
    return waiter->err;
}

int weft__client_wait(struct weft_client *client, const struct weft_client_call *call,
                      ProtobufCMessage **reply_out)
{
    struct waiter waiter = {.err = WEFT_OK};
    struct weft_client_call own = *call;
    int rc;

    own.done = wait_over;
    own.done_bytes = NULL;
    own.ctx = &waiter;
    rc = wait_for(client, &own, &waiter);
    if (rc != WEFT_OK)
        return rc;
    if (reply_out != NULL)
        *reply_out = waiter.reply;
    else
        weft__message_free(waiter.reply);
    return WEFT_OK;
}

int weft__client_wait_bytes(struct weft_client *client, const struct weft_client_call *call,
                            void **body_out, size_t *len_bytes_out)
{
    struct waiter waiter = {.err = WEFT_OK};
    struct weft_client_call own = *call;
    int rc;

    own.done_bytes = wait_over_bytes;
    own.ctx = &waiter;
    rc = wait_for(client, &own, &waiter);
    if (rc != WEFT_OK)
        return rc;
    *body_out = waiter.body;
    *len_bytes_out = waiter.len_bytes;
    return WEFT_OK;
}

static int push(struct weft_client *client, const struct weft_client_call *call)
{
    struct weft_flight *flight;
    int rc = pack(call, &flight);

    if (rc != WEFT_OK)
        return rc;
    flight->mode = WEFT_TP_ASYNC;
    rc = submit(client, flight, client->pending_max);
    if (rc != WEFT_OK)
        weft__flight_free(flight);
    return rc;
}

int weft__client_push(struct weft_client *client, const char *url, uint16_t code,
                      const ProtobufCMessage *request)
{
    return push(client,
                &(struct weft_client_call){
                    .url = url, .code = code, .request = request, .timeout_ms = PUSH_KEEP_MS});
}

int weft__client_push_bytes(struct weft_client *client, const char *url, uint16_t code,
                            const void *body, size_t len_bytes)
{
    return push(client, &(struct weft_client_call){.url = url,
                                                   .code = code,
                                                   .body = body,
                                                   .body_len = len_bytes,
                                                   .timeout_ms = PUSH_KEEP_MS});
}

/* Hands over what is no request. The places beyond pending_max are for this alone; the thread
 * empties the ring in each turn. */
static void note(struct weft_client *client, struct weft_flight *flight)
{
    int rc;

    while ((rc = submit(client, flight, client->pending_max + NOTES_MAX)) == WEFT_EAGAIN)
        sched_yield();
    if (rc != WEFT_OK)
        weft__flight_free(flight);
}

void weft__client_cancel(struct weft_client *client, struct weft_client_ticket ticket)
{
    struct weft_flight *flight;

    if (ticket.id == 0)
        return;
    if (weft__hub_is_here(client)) {
        weft__hub_cancel(client, ticket.id);
        return;
    }
    flight = flight_new("", PUSH_KEEP_MS);
    if (flight == NULL) {
        weft__warn("no memory to cancel a call; its deadline ends it");
        return;
    }
    flight->order = WEFT_FLIGHT_CANCEL;
    flight->ticket = ticket.id;
    note(client, flight);
}

void weft__client_forget(struct weft_client *client, const char *url)
{
    struct weft_flight *flight;

    if (weft__hub_is_here(client)) {
        weft__hub_forget(client, url);
        return;
    }
    flight = flight_new(url, PUSH_KEEP_MS);
    if (flight == NULL) {
        weft__warn("no memory to forget the connection to %s", url);
        return;
    }
    flight->order = WEFT_FLIGHT_FORGET;
    note(client, flight);
}

void weft__client_stats(const struct weft_client *client, struct weft_client_stats *stats_out)
{
    *stats_out =
        (struct weft_client_stats){.sent = weft__counter_get(&client->sent),
                                   .answered = weft__counter_get(&client->answered),
                                   .timed_out = weft__counter_get(&client->timed_out),
                                   .lost = weft__counter_get(&client->lost),
                                   .cancelled = weft__counter_get(&client->cancelled),
                                   .resent = weft__counter_get(&client->resent),
                                   .late = weft__counter_get(&client->late),
                                   .malformed = weft__counter_get(&client->malformed),
                                   .pushes = weft__counter_get(&client->pushes),
                                   .pushes_dropped = weft__counter_get(&client->pushes_dropped)};
}
