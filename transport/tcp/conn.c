/* Connections: a socket in epoll, its list, and whether it is busy.
 *
 * A connection that has ended stays in memory until the end of the turn, in the list of the dead,
 * because events of this turn may still name it; its descriptor is closed at once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

struct weft_tcp_conn *weft__tcp_conn_new(struct weft_tcp_ep *ep, int fd, enum weft_tcp_state state)
{
    struct weft_tcp_conn *conn = calloc(1, sizeof(*conn));
    bool connecting = state == WEFT_TCP_CONNECTING;
    struct epoll_event event = {.events = connecting ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    if (!conn || epoll_ctl(ep->epfd, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(conn);
        close(fd);
        return NULL;
    }
    conn->fd = fd;
    conn->state = state;
    conn->accepted = !connecting;
    STAILQ_INIT(&conn->answers);
    conn->deadline_ns = weft__now_ns() + WEFT_TCP_YOUNG_MS * WEFT_NS_PER_MS;
    TAILQ_INSERT_TAIL(&ep->young, conn, at);
    ep->connections++;
    ep->accepted += !connecting;
    ep->strangers += !connecting;
    ep->pending += connecting;
    weft__tcp_tick_on(ep);
    return conn;
}

void weft__tcp_conn_up(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    TAILQ_REMOVE(&ep->young, conn, at);
    TAILQ_INSERT_TAIL(&ep->conns, conn, at);
    if (conn->state == WEFT_TCP_CONNECTING) {
        ep->pending--;
        (void)epoll_ctl(ep->epfd, EPOLL_CTL_MOD, conn->fd, &event);
    } else {
        ep->strangers--;
    }
    conn->state = WEFT_TCP_UP;
    weft__tcp_conn_dirty(ep, conn);
}

static void leave_dirty(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_conn *before = NULL;
    if (!conn->dirty)
        return;
    for (struct weft_tcp_conn *at = ep->dirty_first; at != conn; at = at->next_dirty)
        before = at;
    if (before)
        before->next_dirty = conn->next_dirty;
    else
        ep->dirty_first = conn->next_dirty;
    if (ep->dirty_last == conn)
        ep->dirty_last = before;
    conn->dirty = false;
}

void weft__tcp_conn_close(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->state == WEFT_TCP_DEAD)
        return;
    if (conn->state == WEFT_TCP_UP)
        TAILQ_REMOVE(&ep->conns, conn, at);
    else
        TAILQ_REMOVE(&ep->young, conn, at);
    TAILQ_INSERT_TAIL(&ep->dead, conn, at);
    ep->connections--;
    ep->accepted -= conn->accepted;
    ep->strangers -= conn->state == WEFT_TCP_HELLO;
    ep->pending -= conn->state == WEFT_TCP_CONNECTING || conn->blocked;
    if (conn->link) {
        conn->link->conns--;
        if (conn->link->better == conn)
            conn->link->better = NULL;
        if (conn->link->conn == conn) {
            conn->link->conn = NULL;
            conn->link->moving = false;
        }
    }
    conn->link = NULL;
    conn->state = WEFT_TCP_DEAD;
    leave_dirty(ep, conn);
    weft__tcp_conn_cool(ep, conn);
    weft__tcp_receive_fini(ep, conn);
    free(conn->raw);
    conn->raw = NULL;
    /* Closing alone would leave it in the set where a process that was forked meanwhile has it. */
    (void)epoll_ctl(ep->epfd, EPOLL_CTL_DEL, conn->fd, NULL);
    close(conn->fd);
    conn->fd = -1;
}

void weft__tcp_conn_reap(struct weft_tcp_ep *ep)
{
    struct weft_tcp_conn *conn;
    while ((conn = TAILQ_FIRST(&ep->dead))) {
        TAILQ_REMOVE(&ep->dead, conn, at);
        free(conn);
    }
}

int weft__tcp_conn_append(struct weft_tcp_conn *conn, const void *bytes, size_t len_bytes)
{
    size_t left = conn->raw_len - conn->raw_sent;
    unsigned char *raw = malloc(left + len_bytes);
    if (!raw)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu bytes to send", left + len_bytes);
    if (left)
        memcpy(raw, conn->raw + conn->raw_sent, left);
    memcpy(raw + left, bytes, len_bytes);
    free(conn->raw);
    conn->raw = raw;
    conn->raw_len = left + len_bytes;
    conn->raw_sent = 0;
    return WEFT_OK;
}

/* False: the kernel has no memory for it. What epoll is to tell nothing of is not in its set: there
 * each packet would pay for looking. */
static bool set_events(const struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct epoll_event event = {.events = conn->muted ? 0 : EPOLLIN, .data.ptr = conn};
    if (conn->blocked)
        event.events |= EPOLLOUT;
    int change = !event.events ? EPOLL_CTL_DEL : conn->silent ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(ep->epfd, change, conn->fd, &event) != 0)
        return false;
    conn->silent = !event.events;
    return true;
}

void weft__tcp_conn_block(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, bool blocked)
{
    if (conn->blocked == blocked)
        return;
    conn->blocked = blocked;
    if (!set_events(ep, conn) && blocked) {
        conn->blocked = false;
        weft__tcp_conn_dirty(ep, conn); /* it is tried again and again */
        return;
    }
    ep->pending = blocked ? ep->pending + 1 : ep->pending - 1;
}

void weft__tcp_conn_dirty(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->dirty || conn->blocked || conn->state != WEFT_TCP_UP)
        return;
    conn->dirty = true;
    conn->next_dirty = NULL;
    if (ep->dirty_first)
        ep->dirty_last->next_dirty = conn;
    else
        ep->dirty_first = conn;
    ep->dirty_last = conn;
}

bool weft__tcp_conn_heat(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    conn->misses = 0;
    for (unsigned i = 0; i < ep->hot_n; i++)
        if (ep->hot[i] == conn)
            return false;
    if (ep->hot_n == WEFT_TCP_HOT) /* in turn: with more busy ones than places epoll is better */
        weft__tcp_conn_cool(ep, ep->hot[0]);
    if (ep->hot_n == WEFT_TCP_HOT)
        return false;
    ep->hot[ep->hot_n++] = conn;
    return true;
}

bool weft__tcp_conn_mute(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, bool muted)
{
    if (conn->muted == muted)
        return true;
    conn->muted = muted;
    if (conn->state == WEFT_TCP_UP && !set_events(ep, conn)) {
        conn->muted = !muted;
        return false;
    }
    ep->muted_n = muted ? ep->muted_n + 1 : ep->muted_n - 1;
    return true;
}

void weft__tcp_conn_cool(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (!weft__tcp_conn_mute(ep, conn, false))
        return; /* nobody else would read it */
    for (unsigned i = 0; i < ep->hot_n; i++) {
        if (ep->hot[i] != conn)
            continue;
        ep->hot_n--;
        memmove(&ep->hot[i], &ep->hot[i + 1], (ep->hot_n - i) * sizeof(ep->hot[0]));
        return;
    }
}
