/* A client's connections: one per url and kind of port, made by the first call, shared by all.
 *
 * Connections live in the buckets of a fixed hash table, each with the list of its flights, oldest
 * first. A doomed connection is never found again: the next call makes a new one while the old one
 * waits for the end of the turn, because whoever dooms it may stand inside a loop over it.
 *
 * The transport tells when a connection for requests is lost, and it goes. One for pushes connects
 * again by itself and is never told of, so it goes when it has long not been used: else each port
 * that was ever pushed to would cost a socket for good.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/hub.h"
#include "weft/error.h"

struct weft_conn **weft__conn_bucket(struct weft_client *client, const char *url)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *url != '\0'; url++)
        hash = (hash ^ (uint8_t)*url) * 16777619u;
    return &client->conns[hash % WEFT_CONN_BUCKETS];
}

static void drop_idle(struct weft_client *client, struct weft_conn *conn)
{
    if (conn->mode == WEFT_TP_ASYNC && conn->first == NULL && !conn->doomed &&
        weft__now_ns() - conn->used_ns > client->push_idle_ns)
        weft__conn_free(client, conn);
}

static struct weft_conn *find(struct weft_client *client, const char *url,
                              enum weft_tp_port_mode mode)
{
    struct weft_conn *conn = *weft__conn_bucket(client, url);

    while (conn != NULL && (conn->doomed || conn->mode != mode || strcmp(conn->url, url) != 0))
        conn = conn->next;
    if (conn == NULL || !conn->silent || conn->first != NULL)
        return conn;
    weft__conn_free(client, conn);
    return NULL;
}

static int make(struct weft_client *client, const char *url, enum weft_tp_port_mode mode,
                struct weft_conn **conn_out)
{
    struct weft_conn **bucket = weft__conn_bucket(client, url);
    size_t url_bytes = strlen(url) + 1;
    struct weft_conn *conn = calloc(1, sizeof(*conn) + url_bytes);
    int rc;

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

int weft__conn_get(struct weft_client *client, const char *url, enum weft_tp_port_mode mode,
                   struct weft_conn **conn_out)
{
    struct weft_conn *conn = find(client, url, mode);
    int rc = WEFT_OK;

    if (conn == NULL) {
        if (mode == WEFT_TP_ASYNC)
            weft__conns_each(client, drop_idle);
        rc = make(client, url, mode, &conn);
    }
    if (rc != WEFT_OK)
        return rc;
    if (mode == WEFT_TP_ASYNC)
        conn->used_ns = weft__now_ns();
    *conn_out = conn;
    return WEFT_OK;
}

void weft__conn_doom(struct weft_client *client, struct weft_conn *conn)
{
    conn->doomed = true;
    client->reap = true;
}

void weft__conn_link(struct weft_conn *conn, struct weft_flight *flight)
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

void weft__conn_unlink(struct weft_flight *flight)
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

void weft__conn_free(struct weft_client *client, struct weft_conn *conn)
{
    struct weft_conn **at = weft__conn_bucket(client, conn->url);

    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    client->pump.transport->core->peer_drop(client->pump.ep, conn->peer);
    free(conn->refused);
    free(conn);
}

void weft__conns_each(struct weft_client *client,
                      void (*run)(struct weft_client *client, struct weft_conn *conn))
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
