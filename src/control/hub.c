/* The client's thread.
 *
 * Flights come in through the ring `orders`, find or make their connection, enter the table and are
 * sent. They leave it by exactly one of: a reply with their correlation id from the peer that they
 * went to, their deadline, the loss of their peer, an error while sending, being cancelled, or
 * close. finish() is the one way out. A `done` may start and cancel calls and forget connections:
 * all only leave a note (in the ring; in `end`; in `doomed`), so no list changes under a loop that
 * runs callbacks. What may run more than once leaves its connection instead when that breaks, stays
 * in the table and enters a new one later (resend.c).
 *
 * Sequence numbers are given out when the transport takes a request, so a server sees those of one
 * connection in order. One that nobody waits for any more is followed by a frame that cancels it;
 * where the transport has no room for that, the server goes by the request's deadline.
 *
 * A lost connection is dropped whole, with whatever the transport still holds for it, and made anew
 * by the next call. The same becomes of a connection on which a request has timed out and over
 * which nothing ever came, before it is used again: otherwise requests to a host that is down would
 * pile up and be carried out, long after their callers gave up, when it comes back.
 */
#include "control/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

#define STUCK_RETRY_NS WEFT_NS_PER_MS
#define CLOSE_RETRY_NS WEFT_NS_PER_MS
#define TEXT_MAX 512

static _Thread_local const struct weft_client *here; /* whose thread this is */

bool weft__hub_is_here(const struct weft_client *client)
{
    return here == client;
}

void weft__hub_again(struct weft_client *client)
{
    client->again = true;
}

/* What a reply brought. */
struct answer {
    ProtobufCMessage *reply;
    const void *body;
    size_t len_bytes;
};

/* The one end of a flight. text: NULL stands for this thread's words about err; answer: NULL where
 * there is none. */
static void finish(struct weft_client *client, struct weft_flight *flight, int err,
                   const char *text, const struct answer *answer)
{
    static const struct answer none = {.reply = NULL};

    if (answer == NULL)
        answer = &none;
    if (text == NULL)
        text = weft_fail_text(err);
    weft__flights_remove_ticket(&client->flights, flight);
    if (flight->correlation != 0)
        weft__flights_remove(&client->flights, flight);
    if (flight->conn != NULL)
        weft__conn_unlink(flight);
    if (flight->done_bytes != NULL)
        flight->done_bytes(flight->ctx, err, text, answer->body, answer->len_bytes);
    else if (flight->done != NULL)
        flight->done(flight->ctx, err, text, answer->reply);
    if (!flight->keep_reply)
        weft__message_free(answer->reply);
    if (flight->mode == WEFT_TP_ASYNC && flight->order == WEFT_FLIGHT_SEND)
        weft__counter_add(err == WEFT_OK ? &client->pushes : &client->pushes_dropped, 1);
    weft__flight_free(flight);
    atomic_fetch_sub(&client->under_way, 1);
}

/* What to say of a request that ends without an answer. */
static const char *what_became(const struct weft_flight *flight)
{
    if (flight->sent && flight->mode == WEFT_TP_SYNC)
        return "; it may or may not have run";
    return flight->tries == 0 ? "; it was not sent" : "";
}

/* Tells the server that nobody waits for the answer any more. */
static void send_cancel(struct weft_client *client, const struct weft_flight *flight)
{
    const struct weft_frame frame = {.call = flight->code,
                                     .flags = WEFT_FRAME_CANCEL,
                                     .correlation = flight->correlation,
                                     .client = client->id,
                                     .sequence = flight->sequence};
    uint8_t header[WEFT_FRAME_HEADER_BYTES];

    if (flight->conn == NULL || !flight->sent || flight->mode != WEFT_TP_SYNC)
        return;
    weft__frame_encode_header(&frame, header);
    (void)client->pump.transport->ctl->request(client->pump.ep, flight->conn->peer, header,
                                               sizeof(header));
}

/* Errors: WEFT_EAGAIN no room now. */
static int send_frame(struct weft_client *client, struct weft_flight *flight, uint64_t now_ns)
{
    const struct weft_tp_ctl_ops *ctl = client->pump.transport->ctl;
    struct weft_frame frame = {.call = flight->code,
                               .body_len = (uint32_t)(flight->frame_len - WEFT_FRAME_HEADER_BYTES),
                               .client = client->id,
                               .sequence = flight->sequence};
    uint64_t left_ns = flight->deadline_ns > now_ns ? flight->deadline_ns - now_ns : 1;
    int rc;

    if (frame.sequence == 0)
        frame.sequence = client->sequence + 1;
    if (flight->mode == WEFT_TP_SYNC) {
        frame.correlation = flight->correlation;
        frame.deadline_ms = (uint32_t)((left_ns + WEFT_NS_PER_MS - 1) / WEFT_NS_PER_MS);
    }
    if ((flight->flags & WEFT_CLIENT_IDEMPOTENT) != 0)
        frame.flags = WEFT_FRAME_IDEMPOTENT;
    weft__frame_encode_header(&frame, flight->frame);
    if (flight->mode == WEFT_TP_SYNC)
        rc = ctl->request(client->pump.ep, flight->conn->peer, flight->frame, flight->frame_len);
    else
        rc = ctl->push(client->pump.ep, flight->conn->peer, flight->frame, flight->frame_len);
    if (rc == WEFT_OK && flight->sequence == 0)
        flight->sequence = ++client->sequence;
    return rc;
}

/* Sends what has not been sent, oldest first, until there is no room. */
static void conn_send(struct weft_client *client, struct weft_conn *conn, struct weft_flight *from)
{
    uint64_t now_ns = weft__now_ns();
    struct weft_flight *flight = from;

    conn->stuck = false;
    while (flight != NULL) {
        struct weft_flight *next = flight->conn_next;
        int rc = flight->sent ? WEFT_OK : send_frame(client, flight, now_ns);

        if (rc == WEFT_EAGAIN) {
            conn->stuck = true;
            client->stuck = true;
            return;
        }
        if (weft_error_damage(rc) == WEFT_DAMAGE_PEER) {
            weft__conn_doom(client, conn); /* which ends this flight and all others there */
            return;
        }
        if (rc != WEFT_OK) {
            finish(client, flight, rc, NULL, NULL);
        } else if (flight->mode == WEFT_TP_ASYNC) {
            finish(client, flight, WEFT_OK, NULL, NULL);
        } else if (!flight->sent) {
            flight->sent = true;
            weft__counter_add(&client->sent, 1);
        }
        flight = next;
    }
}

/* Says why a flight is ended before its time. */
static int end_fail(const struct weft_flight *flight)
{
    if (flight->end == WEFT_ECANCELED)
        return weft_fail(WEFT_ECANCELED, "call %u to %s was cancelled%s", flight->code, flight->url,
                         what_became(flight));
    return weft_fail(flight->end, "%s was given up: call %u had no answer%s", flight->url,
                     flight->code, what_became(flight));
}

static void end(struct weft_client *client, struct weft_flight *flight)
{
    int rc = end_fail(flight);

    weft__counter_add(rc == WEFT_ECANCELED ? &client->cancelled : &client->lost, 1);
    send_cancel(client, flight);
    finish(client, flight, rc, NULL, NULL);
}

/* Puts a flight of the table on a connection. */
static void depart(struct weft_client *client, struct weft_flight *flight)
{
    struct weft_conn *conn = NULL;
    int rc = weft__conn_get(client, flight->url, flight->mode, &conn);

    if (rc != WEFT_OK) {
        finish(client, flight, rc, NULL, NULL);
        return;
    }
    weft__flights_wake(&client->flights, flight, flight->deadline_ns);
    weft__conn_link(conn, flight);
    if (!conn->stuck)
        conn_send(client, conn, flight);
}

static void take_order(struct weft_client *client, struct weft_flight *flight)
{
    int rc = WEFT_OK;

    if (flight->order == WEFT_FLIGHT_FORGET)
        weft__hub_forget(client, flight->url);
    if (flight->order == WEFT_FLIGHT_CANCEL)
        weft__hub_cancel(client, flight->ticket);
    if (flight->order != WEFT_FLIGHT_SEND) {
        flight->ticket = 0; /* another's */
        finish(client, flight, WEFT_OK, NULL, NULL);
        return;
    }
    if (flight->end != 0) {
        end(client, flight);
        return;
    }
    if (atomic_load(&client->closing) != 0)
        rc = weft_fail(WEFT_ESHUTDOWN, "the client is closing");
    else if (!weft__flights_add(&client->flights, flight))
        rc = weft_fail(WEFT_EAGAIN, "%zu requests are under way already", client->pending_max);
    if (rc != WEFT_OK)
        finish(client, flight, rc, NULL, NULL);
    else
        depart(client, flight);
}

/* Takes what is in the ring, so that its tickets are known. */
static void collect(struct weft_client *client)
{
    struct weft_flight *flight;

    while ((flight = weft__mpsc_pop(&client->orders)) != NULL) {
        if (flight->order == WEFT_FLIGHT_SEND)
            weft__flights_add_ticket(&client->flights, flight);
        flight->taken_next = NULL;
        if (client->taken == NULL)
            client->taken = flight;
        else
            client->taken_last->taken_next = flight;
        client->taken_last = flight;
    }
}

static void take_orders(struct weft_client *client)
{
    collect(client);
    while (client->taken != NULL) {
        struct weft_flight *flight = client->taken;

        client->taken = flight->taken_next;
        take_order(client, flight);
        collect(client);
    }
}

static void unstick(struct weft_client *client, struct weft_conn *conn)
{
    if (conn->stuck)
        conn_send(client, conn, conn->first);
}

static void reap(struct weft_client *client, struct weft_conn *conn)
{
    struct weft_flight *flight;

    if (!conn->doomed)
        return;
    while ((flight = conn->first) != NULL) {
        int rc =
            conn->refused != NULL
                ? weft_fail(WEFT_EACCES, "%s", conn->refused)
                : weft_fail(
                      WEFT_EPEERDEAD,
                      "%s is gone: the connection broke or was refused, call %u had no answer%s",
                      conn->url, flight->code, what_became(flight));

        if (rc != WEFT_EACCES && !conn->forgotten && weft__resend_later(client, flight, rc, 0))
            continue;
        if (conn->mode == WEFT_TP_SYNC)
            weft__counter_add(&client->lost, 1);
        finish(client, flight, rc, NULL, NULL);
    }
    weft__conn_free(client, conn);
}

/* A flight of which nothing will come by its deadline. */
static void time_out(struct weft_client *client, struct weft_flight *flight)
{
    struct weft_conn *conn = flight->conn;
    int rc = flight->set_back;

    if (conn == NULL) /* it waits to be sent again */
        rc = weft_fail(rc, "call %u to %s was tried %u times within %u ms: %s", flight->code,
                       flight->url, flight->tries, flight->timeout_ms,
                       flight->why == NULL ? weft_error_text(rc) : flight->why);
    else
        rc = weft_fail(WEFT_ETIMEDOUT, "no answer to call %u from %s within %u ms%s", flight->code,
                       flight->url, flight->timeout_ms, what_became(flight));
    if (flight->mode == WEFT_TP_SYNC)
        weft__counter_add(&client->timed_out, 1);
    send_cancel(client, flight);
    finish(client, flight, rc, NULL, NULL);
    if (conn != NULL && !conn->heard)
        conn->silent = true;
}

/* Looks at all whose time it is. */
static void look(struct weft_client *client)
{
    uint64_t now_ns = weft__now_ns();
    struct weft_flight *flight;

    while ((flight = weft__flights_earliest(&client->flights)) != NULL &&
           flight->wake_ns <= now_ns) {
        if (flight->end != 0)
            end(client, flight);
        else if (flight->deadline_ns <= now_ns)
            time_out(client, flight);
        else
            depart(client, flight);
    }
}

static void sleep_or_move(struct weft_client *client)
{
    const struct weft_flight *earliest = weft__flights_earliest(&client->flights);
    uint64_t until_ns = earliest == NULL ? WEFT_NEVER : earliest->wake_ns;

    if (client->stuck && weft__now_ns() + STUCK_RETRY_NS < until_ns)
        until_ns = weft__now_ns() + STUCK_RETRY_NS;
    if (client->again)
        until_ns = 0;
    client->again = false;
    weft__pump_turn(&client->pump, until_ns);
}

static void turn(struct weft_client *client)
{
    sleep_or_move(client);
    take_orders(client);
    if (client->stuck) {
        client->stuck = false;
        weft__conns_each(client, unstick);
    }
    look(client);
    while (client->reap) {
        client->reap = false;
        weft__conns_each(client, reap);
    }
}

static void shut(struct weft_client *client)
{
    struct weft_flight *flight;

    while (atomic_load(&client->under_way) > 0) {
        take_orders(client);
        while ((flight = weft__flights_earliest(&client->flights)) != NULL)
            finish(client, flight,
                   weft_fail(WEFT_ESHUTDOWN, "the client was closed%s", what_became(flight)), NULL,
                   NULL);
        if (atomic_load(&client->under_way) > 0)
            weft__pump_turn(&client->pump, weft__now_ns() + CLOSE_RETRY_NS);
    }
    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++) {
        while (client->conns[i] != NULL)
            weft__conn_free(client, client->conns[i]);
    }
    weft__pump_close(&client->pump);
}

void *weft__hub_run(void *arg)
{
    struct weft_client *client = arg;

    here = client;
    while (atomic_load(&client->closing) == 0)
        turn(client);
    shut(client);
    here = NULL;
    weft__thread_end(&client->thread);
    return NULL;
}

static void end_soon(struct weft_client *client, struct weft_flight *flight, int err)
{
    if (flight->end == 0)
        flight->end = err;
    if (flight->correlation != 0)
        weft__flights_wake(&client->flights, flight, 0);
    client->again = true;
}

void weft__hub_forget(struct weft_client *client, const char *url)
{
    for (struct weft_conn *conn = *weft__conn_bucket(client, url); conn != NULL;
         conn = conn->next) {
        if (strcmp(conn->url, url) == 0) {
            conn->forgotten = true;
            weft__conn_doom(client, conn);
        }
    }
    for (size_t i = 0; i < client->flights.capacity; i++) {
        struct weft_flight *flight = client->flights.slots[i].flight;

        if (flight != NULL && flight->conn == NULL && strcmp(flight->url, url) == 0)
            end_soon(client, flight, WEFT_EPEERDEAD);
    }
}

void weft__hub_cancel(struct weft_client *client, uint64_t ticket)
{
    struct weft_flight *flight;

    collect(client);
    flight = weft__flights_find_ticket(&client->flights, ticket);
    if (flight != NULL)
        end_soon(client, flight, WEFT_ECANCELED);
}

/* The server's words, fit to print. */
static void copy_text(const struct weft_frame *frame, char text_out[TEXT_MAX])
{
    size_t len_bytes = frame->body_len < TEXT_MAX - 1 ? frame->body_len : TEXT_MAX - 1;

    for (size_t i = 0; i < len_bytes; i++) {
        unsigned char c = frame->body[i];

        text_out[i] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    text_out[len_bytes] = '\0';
}

static void answered_error(struct weft_client *client, struct weft_flight *flight,
                           const struct weft_frame *frame)
{
    char text[TEXT_MAX];
    int err = frame->error < 0 ? frame->error : WEFT_EPROTO;
    uint32_t hint_ms = err == WEFT_EAGAIN ? frame->deadline_ms : 0;

    copy_text(frame, text);
    weft_fail(err, "%s", text);
    if ((err == WEFT_EAGAIN || err == WEFT_ESHUTDOWN) &&
        weft__resend_later(client, flight, err, hint_ms))
        return;
    weft_fail(err, "%s", text);
    weft_fail_set_retry_ms(hint_ms);
    finish(client, flight, err, text, NULL);
}

static void answered(struct weft_client *client, struct weft_flight *flight,
                     const struct weft_frame *frame)
{
    struct answer answer = {.body = frame->body, .len_bytes = frame->body_len};
    int rc = WEFT_OK;

    weft__counter_add(&client->answered, 1);
    if ((frame->flags & WEFT_FRAME_ERROR) != 0) {
        answered_error(client, flight, frame);
        return;
    }
    if (flight->done_bytes == NULL && flight->reply_type != NULL)
        rc = weft__message_decode(flight->reply_type, frame->body, frame->body_len, &answer.reply);
    if (rc != WEFT_OK)
        weft__counter_add(&client->malformed, 1);
    finish(client, flight, rc, rc == WEFT_OK ? "" : NULL, rc == WEFT_OK ? &answer : NULL);
}

static void on_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    struct weft_client *client = ctx;
    struct weft_flight *flight = NULL;
    struct weft_frame frame;
    int rc = weft__frame_decode(data, len_bytes, WEFT_FRAME_BODY_MAX, &frame);

    if (frame.correlation != 0)
        flight = weft__flights_find(&client->flights, frame.correlation);
    if (flight != NULL && !flight->sent && flight->tries > 0)
        flight = NULL; /* one more answer to an earlier try */
    if (flight != NULL &&
        (!flight->sent || flight->conn->peer.id != peer.id || flight->mode != WEFT_TP_SYNC)) {
        weft__counter_add(&client->malformed, 1); /* somebody answers what was asked of another */
        return;
    }
    if (flight == NULL) {
        weft__counter_add(rc == WEFT_OK ? &client->late : &client->malformed, 1);
        return;
    }
    flight->conn->heard = true;
    flight->conn->silent = false;
    if (rc == WEFT_OK && ((frame.flags & WEFT_FRAME_REPLY) == 0 || frame.call != flight->code))
        rc =
            weft_fail(WEFT_EPROTO, "the reply of %s to call %u is none", flight->url, flight->code);
    if (rc == WEFT_OK) {
        answered(client, flight, &frame);
        return;
    }
    weft__counter_add(&client->malformed, 1);
    finish(client, flight, rc, NULL, NULL);
}

/* refused: why, of a handshake that failed; NULL: the connection broke. */
static void lose(struct weft_client *client, struct weft_tp_peer peer, const char *refused)
{
    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++) {
        for (struct weft_conn *conn = client->conns[i]; conn != NULL; conn = conn->next) {
            if (conn->peer.id != peer.id)
                continue;
            if (refused != NULL && conn->refused == NULL)
                conn->refused = strdup(refused);
            weft__conn_doom(client, conn);
        }
    }
}

static void on_peer_lost(void *ctx, struct weft_tp_peer peer)
{
    lose(ctx, peer, NULL);
}

static void on_peer_unreached(void *ctx, struct weft_tp_peer peer)
{
    struct weft_client *client = ctx;

    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++)
        for (struct weft_conn *conn = client->conns[i]; conn != NULL; conn = conn->next)
            conn->unreached |= conn->peer.id == peer.id;
    lose(client, peer, NULL);
}

static void on_peer_refused(void *ctx, struct weft_tp_peer peer)
{
    lose(ctx, peer, weft_fail_text(WEFT_EACCES));
}

const struct weft_tp_handlers weft__hub_handlers = {.reply = on_reply,
                                                    .peer_lost = on_peer_lost,
                                                    .peer_refused = on_peer_refused,
                                                    .peer_unreached = on_peer_unreached};
