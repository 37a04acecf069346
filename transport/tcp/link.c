/* Links: which connection leads to another endpoint, and what becomes of it.
 *
 * A link sends over one connection, so messages are in order. It is the one that it has made, or
 * one that the other side has made and that was here first. Where both connect at the same time
 * each begins over its own and only reads the other's. That costs both of them acknowledgements,
 * which ride on answers otherwise (half a round trip of 8 B: 7 us instead of 5). So the side with
 * the greater name moves to the other's connection: when it has nothing to send and waits for no
 * answer it says BYE over its own, and sends nothing until the other side, which has read all of
 * that then, has said BYE, too, and closed it. Nothing is lost or overtaken.
 *
 * A side that has no more use for a connection may not just close it, because the other one may
 * send over it: it says BYE and reads on. Who hears BYE over a connection that he does not use
 * says it, too, and closes it. An end without a BYE means that the other side is gone.
 *
 * A connection that the other side has made is sent over only if there is no other: beside one that
 * is being left it might be the one that the other side is about to leave.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

struct weft_tcp_link *weft__tcp_link_of(struct weft_tcp_ep *ep, const struct weft_tcp_name *name)
{
    struct weft_tcp_link *link;
    HASH_FIND(hh, ep->links, name, sizeof(*name), link);
    if (link)
        return link;
    link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->name = *name;
    HASH_ADD(hh, ep->links, name, sizeof(link->name), link);
    return link;
}

/* The link does not wait for a socket any more. */
static void end_retries(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    ep->retries -= link->retry_until_ns != 0;
    link->retry_until_ns = 0;
}

void weft__tcp_link_join(struct weft_tcp_ep *ep, struct weft_tcp_link *link,
                         struct weft_tcp_conn *conn)
{
    conn->link = link;
    link->conns++;
    if (!link->conn && (!conn->accepted || link->conns == 1)) {
        link->conn = conn;
        end_retries(ep, link);
    } else if (link->conn && conn->accepted && !link->conn->accepted && !link->better &&
               memcmp(&link->name, &ep->name, sizeof(ep->name)) < 0) {
        link->better = conn;
    }
}

void weft__tcp_link_tidy(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    if (link->refs || link->conns)
        return;
    end_retries(ep, link);
    if (!link->lost)
        HASH_DELETE(hh, ep->links, link);
    free(link);
}

/* Nobody here will send over conn any more.  Errors: WEFT_ENOMEM. */
static int say_bye(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    const struct weft_tcp_head bye = {.kind = WEFT_TCP_BYE, .magic = WEFT_TCP_HEAD_MAGIC};
    int err = conn->said_bye ? WEFT_OK : weft__tcp_conn_append(conn, &bye, sizeof(bye));
    if (err != WEFT_OK)
        return err;
    conn->said_bye = true;
    weft__tcp_conn_dirty(ep, conn);
    return WEFT_OK;
}

/* The link has no more use for conn. */
static void leave(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->state != WEFT_TCP_UP || say_bye(ep, conn) != WEFT_OK)
        weft__tcp_conn_close(ep, conn);
    else if (!ep->inside)
        weft__tcp_send_flush(ep, conn);
}

void weft__tcp_link_sent(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tcp_conn *conn = link->conn;
    if (!link->better || link->moving || link->asks || link->queue.first)
        return;
    if (conn->state == WEFT_TCP_UP && link->better->state == WEFT_TCP_UP &&
        !link->better->heard_bye && !conn->answers_n)
        link->moving = say_bye(ep, conn) == WEFT_OK;
}

void weft__tcp_link_ended(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_link *link = conn->link;
    struct weft_tcp_conn *better = link ? link->better : NULL;
    if (!better || link->conn != conn || !link->moving || !conn->heard_bye) {
        weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
        return;
    }
    weft__tcp_conn_close(ep, conn);
    link->conn = better;
    link->better = NULL;
    weft__tcp_conn_dirty(ep, better);
}

void weft__tcp_link_put(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tcp_conn *conn = link->conn;
    if (--link->refs == 0 && conn && !ep->closing) {
        link->refs++; /* until conn has been dealt with */
        link->conn = NULL;
        link->moving = false;
        leave(ep, conn);
        link->refs--;
    }
    weft__tcp_link_tidy(ep, link);
}

void weft__tcp_link_heard_bye(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_link *link = conn->link;
    conn->heard_bye = true;
    bool used = link->refs && (link->conn == conn || (link->moving && link->better == conn));
    if (used || conn->raw) /* with a BYE of ours in raw it goes once that has been sent */
        return;
    link->refs++; /* until conn has been dealt with */
    leave(ep, conn);
    link->refs--;
    weft__tcp_link_tidy(ep, link);
}

void weft__tcp_link_lose(struct weft_tcp_ep *ep, struct weft_tcp_link *link, int err)
{
    if (link->lost || !link->refs)
        return;
    HASH_DELETE(hh, ep->links, link); /* who adds the peer again starts anew */
    link->lost = err;
    end_retries(ep, link);
    link->refs++; /* the list's */
    link->next_lost = NULL;
    if (ep->lost_first)
        ep->lost_last->next_lost = link;
    else
        ep->lost_first = link;
    ep->lost_last = link;
    ep->stats.lost++;
    weft__tcp_send_fail(ep, link, 0, err);
}

void weft__tcp_link_break(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, int err)
{
    struct weft_tcp_link *link = conn->link;
    if (conn->state == WEFT_TCP_DEAD)
        return;
    ep->stats.refused += conn->state == WEFT_TCP_HELLO;
    bool used = link && (link->conn == conn || (link->moving && link->better == conn));
    weft__tcp_conn_close(ep, conn);
    if (used && link->conn)
        weft__tcp_conn_close(ep, link->conn); /* from where it was moving */
    if (used)
        weft__tcp_link_lose(ep, link, err);
    if (link)
        weft__tcp_link_tidy(ep, link);
}

static void tell(struct weft_tcp_ep *ep, const struct weft_tcp_link *link)
{
    const struct weft_tcp_link *at;
    uint32_t cursor = 0, id;
    while (ep->on.peer_lost && (at = weft__slots_next(&ep->peers, &cursor, &id)))
        if (at == link)
            ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){id});
}

int weft__tcp_link_tell(struct weft_tcp_ep *ep)
{
    struct weft_tcp_link *link;
    int n = 0;
    while ((link = ep->lost_first)) {
        ep->lost_first = link->next_lost;
        if (!ep->closing)
            tell(ep, link);
        weft__tcp_link_put(ep, link);
        n++;
    }
    return n;
}

/* Whether it may help to wait: descriptors, ports or memory are used up. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
           error == EAGAIN || error == EADDRNOTAVAIL;
}

static void failed(struct weft_tcp_ep *ep, struct weft_tcp_link *link, int error)
{
    uint64_t now_ns = weft__now_ns();
    if (is_shortage(error) && !link->retry_until_ns) {
        weft__warn("tcp endpoint at %s: cannot connect just now: %s", ep->bind,
                   strerrordesc_np(error));
        link->retry_until_ns = now_ns + WEFT_TCP_YOUNG_MS * WEFT_NS_PER_MS;
        ep->retries++;
    }
    if (is_shortage(error) && now_ns < link->retry_until_ns)
        weft__tcp_tick_on(ep);
    else
        weft__tcp_link_lose(ep, link, WEFT_EHOSTUNREACH);
}

void weft__tcp_link_connect(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tcp_hello hello = {.magic = WEFT_TCP_HELLO_MAGIC, .from = ep->name};
    struct sockaddr_storage to;
    socklen_t len = weft__tcp_name_socket(&link->name, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        failed(ep, link, errno);
        return;
    }
    (void)weft__tcp_port_options(ep, fd);
    if (connect(fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        failed(ep, link, error);
        return;
    }
    struct weft_tcp_conn *conn = weft__tcp_conn_new(ep, fd, WEFT_TCP_CONNECTING);
    if (!conn) {
        failed(ep, link, ENOMEM);
        return;
    }
    memcpy(hello.target, link->name.id, sizeof(hello.target));
    weft__tcp_link_join(ep, link, conn);
    if (weft__tcp_conn_append(conn, &hello, sizeof(hello)) != WEFT_OK)
        weft__tcp_link_break(ep, conn, WEFT_EHOSTUNREACH);
}
