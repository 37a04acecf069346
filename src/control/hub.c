/* The client's thread.
 *
 * Flights come in through the ring `orders`, find or make their connection, enter the table and are
 * sent. They leave it by exactly one of: a reply with their correlation id from the peer that they
 * went to, their deadline, the loss of their peer, an error while sending, or close. finish() is
 * the one way out. A `done` may start calls and forget connections: both only leave a note (in the
 * ring; in `doomed`), so no list changes under a loop that runs callbacks.
 *
 * A lost connection is dropped whole, with whatever the transport still holds for it, and made anew
 * by the next call. The same happens when a request times out on a connection over which nothing
 * ever came: otherwise requests to a host that is down would pile up and be carried out, long after
 * their callers gave up, when it comes back.
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

static struct weft_conn **bucket_of(struct weft_client *client, const char *url)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *url != '\0'; url++)
        hash = (hash ^ (uint8_t)*url) * 16777619u;
    return &client->conns[hash % WEFT_CONN_BUCKETS];
}

static int conn_get(struct weft_client *client, const char *url, enum weft_tp_port_mode mode,
                    struct weft_conn **conn_out)
{
    struct weft_conn **bucket = bucket_of(client, url);
    struct weft_conn *conn;
    size_t url_bytes = strlen(url) + 1;
    int rc;

    for (conn = *bucket; conn != NULL; conn = conn->next) {
        if (!conn->doomed && conn->mode == mode && strcmp(conn->url, url) == 0) {
            *conn_out = conn;
            return WEFT_OK;
        }
    }
    conn = calloc(1, sizeof(*conn) + url_bytes);
    if (conn == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a connection to %s", url);
    rc = client->pump.transport->ctl->connect(client->pump.ep, url, mode, &conn->peer);
    if (rc != WEFT_OK) {
        free(conn);
        return rc;
    }
    conn->mode = mode;
    memcpy(conn->url, url, url_bytes);
    conn->next = *bucket;
    *bucket = conn;
    *conn_out = conn;
    return WEFT_OK;
}

static void conn_doom(struct weft_client *client, struct weft_conn *conn)
{
    conn->doomed = true;
    client->reap = true;
}

static void conn_link(struct weft_conn *conn, struct weft_flight *flight)
{
    flight->conn = conn;
    flight->conn_next = NULL;
    flight->conn_prev = conn->last;
    if (conn->last != NULL)
        conn->last->conn_next = flight;
    else
        conn->first = flight;
    conn->last = flight;
}

static void conn_unlink(struct weft_flight *flight)
{
    struct weft_conn *conn = flight->conn;

    if (flight->conn_prev != NULL)
        flight->conn_prev->conn_next = flight->conn_next;
    else
        conn->first = flight->conn_next;
    if (flight->conn_next != NULL)
        flight->conn_next->conn_prev = flight->conn_prev;
    else
        conn->last = flight->conn_prev;
    flight->conn = NULL;
}

/* The one end of a flight. text: NULL stands for this thread's words about err. */
static void finish(struct weft_client *client, struct weft_flight *flight, int err,
                   const char *text, ProtobufCMessage *reply)
{
    if (flight->correlation != 0)
        weft__flights_remove(&client->flights, flight);
    if (flight->conn != NULL)
        conn_unlink(flight);
    if (flight->done != NULL)
        flight->done(flight->ctx, err, text == NULL ? weft_fail_text(err) : text, reply);
    if (!flight->keep_reply)
        weft__message_free(reply);
    if (flight->mode == WEFT_TP_ASYNC && !flight->forget)
        weft__counter_add(err == WEFT_OK ? &client->pushes : &client->pushes_dropped, 1);
    free(flight->frame);
    free(flight);
    atomic_fetch_sub(&client->under_way, 1);
}

/* Errors: WEFT_EAGAIN no room now. */
static int send_frame(struct weft_client *client, struct weft_flight *flight, uint64_t now_ns)
{
    const struct weft_tp_ctl_ops *ctl = client->pump.transport->ctl;
    struct weft_frame frame = {.call = flight->code,
                               .body_len = (uint32_t)(flight->frame_len - WEFT_FRAME_HEADER_BYTES)};
    uint64_t left_ns = flight->deadline_ns > now_ns ? flight->deadline_ns - now_ns : 1;

    if (flight->mode == WEFT_TP_SYNC) {
        frame.correlation = flight->correlation;
        frame.deadline_ms = (uint32_t)((left_ns + WEFT_NS_PER_MS - 1) / WEFT_NS_PER_MS);
    }
    weft__frame_encode_header(&frame, flight->frame);
    if (flight->mode == WEFT_TP_SYNC)
        return ctl->request(client->pump.ep, flight->conn->peer, flight->frame, flight->frame_len);
    return ctl->push(client->pump.ep, flight->conn->peer, flight->frame, flight->frame_len);
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
            conn_doom(client, conn); /* which ends this flight and all others there */
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

static void take_order(struct weft_client *client, struct weft_flight *flight)
{
    struct weft_conn *conn = NULL;
    int rc;

    if (flight->forget) {
        weft__hub_forget(client, flight->url);
        finish(client, flight, WEFT_OK, NULL, NULL);
        return;
    }
    if (atomic_load(&client->closing) != 0)
        rc = weft_fail(WEFT_ESHUTDOWN, "the client is closing");
    else
        rc = conn_get(client, flight->url, flight->mode, &conn);
    if (rc == WEFT_OK && !weft__flights_add(&client->flights, flight))
        rc = weft_fail(WEFT_EAGAIN, "%zu requests are under way already", client->pending_max);
    if (rc != WEFT_OK) {
        finish(client, flight, rc, NULL, NULL);
        return;
    }
    conn_link(conn, flight);
    if (!conn->stuck)
        conn_send(client, conn, flight);
}

static void take_orders(struct weft_client *client)
{
    struct weft_flight *flight;

    while ((flight = weft__mpsc_pop(&client->orders)) != NULL)
        take_order(client, flight);
}

static void for_each_conn(struct weft_client *client,
                          void (*run)(struct weft_client *, struct weft_conn *))
{
    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++) {
        struct weft_conn *conn = client->conns[i];

        while (conn != NULL) {
            struct weft_conn *next = conn->next;

            run(client, conn);
            conn = next;
        }
    }
}

static void unstick(struct weft_client *client, struct weft_conn *conn)
{
    if (conn->stuck)
        conn_send(client, conn, conn->first);
}

static void conn_free(struct weft_client *client, struct weft_conn *conn)
{
    struct weft_conn **at = bucket_of(client, conn->url);

    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    client->pump.transport->core->peer_drop(client->pump.ep, conn->peer);
    free(conn);
}

static void reap(struct weft_client *client, struct weft_conn *conn)
{
    if (!conn->doomed)
        return;
    while (conn->first != NULL) {
        int rc =
            weft_fail(WEFT_EPEERDEAD, "%s is gone: the connection broke or was refused", conn->url);

        if (conn->mode == WEFT_TP_SYNC)
            weft__counter_add(&client->lost, 1);
        finish(client, conn->first, rc, NULL, NULL);
    }
    conn_free(client, conn);
}

static void expire(struct weft_client *client)
{
    uint64_t now_ns = weft__now_ns();
    struct weft_flight *flight;

    while ((flight = weft__flights_earliest(&client->flights)) != NULL &&
           flight->deadline_ns <= now_ns) {
        struct weft_conn *conn = flight->conn;
        int rc = weft_fail(WEFT_ETIMEDOUT, "no answer to call %u from %s within %u ms",
                           flight->code, flight->url, flight->timeout_ms);

        if (flight->mode == WEFT_TP_SYNC)
            weft__counter_add(&client->timed_out, 1);
        finish(client, flight, rc, NULL, NULL);
        if (!conn->heard && conn->first == NULL)
            conn_doom(client, conn);
    }
}

static void turn(struct weft_client *client)
{
    struct weft_flight *earliest = weft__flights_earliest(&client->flights);
    uint64_t until_ns = earliest == NULL ? WEFT_NEVER : earliest->deadline_ns;

    if (client->stuck && weft__now_ns() + STUCK_RETRY_NS < until_ns)
        until_ns = weft__now_ns() + STUCK_RETRY_NS;
    weft__pump_turn(&client->pump, until_ns);
    take_orders(client);
    if (client->stuck) {
        client->stuck = false;
        for_each_conn(client, unstick);
    }
    expire(client);
    while (client->reap) {
        client->reap = false;
        for_each_conn(client, reap);
    }
}

static void shut(struct weft_client *client)
{
    struct weft_flight *flight;

    while (atomic_load(&client->under_way) > 0) {
        take_orders(client);
        while ((flight = weft__flights_earliest(&client->flights)) != NULL)
            finish(client, flight, weft_fail(WEFT_ESHUTDOWN, "the client was closed"), NULL, NULL);
        if (atomic_load(&client->under_way) > 0)
            weft__pump_turn(&client->pump, weft__now_ns() + CLOSE_RETRY_NS);
    }
    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++) {
        while (client->conns[i] != NULL)
            conn_free(client, client->conns[i]);
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

void weft__hub_forget(struct weft_client *client, const char *url)
{
    for (struct weft_conn *conn = *bucket_of(client, url); conn != NULL; conn = conn->next) {
        if (strcmp(conn->url, url) == 0)
            conn_doom(client, conn);
    }
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

static void answered(struct weft_client *client, struct weft_flight *flight,
                     const struct weft_frame *frame)
{
    ProtobufCMessage *reply = NULL;
    char text[TEXT_MAX];
    int rc = WEFT_OK;

    weft__counter_add(&client->answered, 1);
    if ((frame->flags & WEFT_FRAME_ERROR) != 0) {
        copy_text(frame, text);
        finish(client, flight, frame->error < 0 ? frame->error : WEFT_EPROTO, text, NULL);
        return;
    }
    if (flight->reply_type != NULL)
        rc = weft__message_decode(flight->reply_type, frame->body, frame->body_len, &reply);
    if (rc != WEFT_OK)
        weft__counter_add(&client->malformed, 1);
    finish(client, flight, rc, rc == WEFT_OK ? "" : NULL, reply);
}

static void on_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    struct weft_client *client = ctx;
    struct weft_flight *flight = NULL;
    struct weft_frame frame;
    int rc = weft__frame_decode(data, len_bytes, WEFT_FRAME_BODY_MAX, &frame);

    if (frame.correlation != 0)
        flight = weft__flights_find(&client->flights, frame.correlation);
    if (flight != NULL &&
        (flight->conn->peer.id != peer.id || flight->mode != WEFT_TP_SYNC || !flight->sent)) {
        weft__counter_add(&client->malformed, 1); /* somebody answers what was asked of another */
        return;
    }
    if (flight == NULL) {
        weft__counter_add(rc == WEFT_OK ? &client->late : &client->malformed, 1);
        return;
    }
    flight->conn->heard = true;
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

static void on_peer_lost(void *ctx, struct weft_tp_peer peer)
{
    struct weft_client *client = ctx;

    for (size_t i = 0; i < WEFT_CONN_BUCKETS; i++) {
        for (struct weft_conn *conn = client->conns[i]; conn != NULL; conn = conn->next) {
            if (conn->peer.id == peer.id)
                conn_doom(client, conn);
        }
    }
}

const struct weft_tp_handlers weft__hub_handlers = {.reply = on_reply, .peer_lost = on_peer_lost};
