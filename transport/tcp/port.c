/* The port: listening, accepting, and who may come in.
 *
 * A connection that was accepted has to send a hello that names this endpoint by its 16 random
 * bytes; until then it is a stranger. Strangers are limited in number (the oldest one goes, because
 * an honest hello follows its connection at once) and in time, and the options that end dead
 * connections are inherited from the listening socket.
 *
 * Where the process has no descriptors left the listening socket would stay readable for ever: it
 * is taken out of epoll for a moment, and who wants to connect waits in the kernel's queue.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define BACKLOG 4096
#define KEEP_IDLE_S 2
#define KEEP_EVERY_S 1
#define KEEP_PROBES 3

static int set_congestion(int fd, const char *name)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

int weft__tcp_port_congestion(struct weft_tcp_ep *ep, const char *name)
{
    if (!name || !*name)
        return WEFT_OK;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_known =
        fd >= 0 && strlen(name) < sizeof(ep->congestion) && set_congestion(fd, name) == 0;
    if (fd >= 0)
        close(fd);
    if (!is_known)
        return weft_fail(WEFT_EINVAL,
                         "no congestion control %s that this process may use: sysctl "
                         "net.ipv4.tcp_allowed_congestion_control lists them; change "
                         "WEFT_TCP_CONGESTION",
                         name);
    memcpy(ep->congestion, name, strlen(name) + 1);
    return WEFT_OK;
}

/* bbr is made for long paths whose bandwidth it has to find out: it paces what is sent, and every
 * 10 s it sends next to nothing for 200 ms to measure the round trip. Between hosts of a cluster
 * that only takes time: without it 8 B one way take 6 % less. Source: N. Cardwell et al., BBR:
 * Congestion-Based Congestion Control, ACM Queue 14(5), 2016. */
static void choose_congestion(const struct weft_tcp_ep *ep, int fd)
{
    char name[sizeof(ep->congestion)] = "";
    socklen_t len = sizeof(name) - 1;
    if (*ep->congestion)
        (void)set_congestion(fd, ep->congestion);
    else if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 &&
             strcmp(name, "bbr") == 0 && set_congestion(fd, "cubic") != 0)
        (void)set_congestion(fd, "reno");
}

int weft__tcp_port_options(const struct weft_tcp_ep *ep, int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES}};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof(options[i].value)) != 0)
            return -errno;
    choose_congestion(ep, fd);
    return WEFT_OK;
}

bool weft__tcp_name_ok(const struct weft_tcp_name *name)
{
    return memcmp(name->magic, WEFT_TCP_NAME_MAGIC, sizeof(name->magic)) == 0 &&
           (name->family == 4 || name->family == 6) && name->zero == 0 &&
           (name->port[0] || name->port[1]);
}

socklen_t weft__tcp_name_socket(const struct weft_tcp_name *name, struct sockaddr_storage *to_out)
{
    memset(to_out, 0, sizeof(*to_out));
    if (name->family == 6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        memcpy(&in6.sin6_port, name->port, sizeof(name->port));
        memcpy(&in6.sin6_addr, name->ip, sizeof(in6.sin6_addr));
        memcpy(to_out, &in6, sizeof(in6));
        return sizeof(in6);
    }
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_port, name->port, sizeof(name->port));
    memcpy(&in.sin_addr, name->ip, sizeof(in.sin_addr));
    memcpy(to_out, &in, sizeof(in));
    return sizeof(in);
}

static int listen_at(struct weft_tcp_ep *ep, uint16_t port)
{
    struct sockaddr_storage at;
    struct weft_tcp_name name = ep->name;
    name.port[0] = (uint8_t)(port >> 8);
    name.port[1] = (uint8_t)port;
    socklen_t len = weft__tcp_name_socket(&name, &at);
    const int on = 1;
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int err = weft__tcp_port_options(ep, fd);
    if (!err && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
                 bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, BACKLOG) != 0 ||
                 getsockname(fd, (struct sockaddr *)&at, &len) != 0))
        err = -errno;
    if (err) {
        close(fd);
        return err;
    }
    if (ep->name.family == 6)
        memcpy(ep->name.port, &((struct sockaddr_in6 *)&at)->sin6_port, sizeof(ep->name.port));
    else
        memcpy(ep->name.port, &((struct sockaddr_in *)&at)->sin_port, sizeof(ep->name.port));
    ep->port_fd = fd;
    return WEFT_OK;
}

static int listen_fail(const struct weft_tcp_ep *ep, int err)
{
    if (err == WEFT_EADDRINUSE && ep->port_first != ep->port_last)
        return weft_fail(err, "every port of %u-%u on %s is in use; give a wider range",
                         ep->port_first, ep->port_last, ep->bind);
    if (err == WEFT_EADDRINUSE)
        return weft_fail(err,
                         "port %u on %s is in use; end what listens there or choose another port",
                         ep->port_first, ep->bind);
    if (err == WEFT_EADDRNOTAVAIL)
        return weft_fail(err, "%s is no address of this machine; ip -brief address lists them",
                         ep->bind);
    return weft_fail(err, "cannot listen on port %u of %s: %s", ep->port_first, ep->bind,
                     strerrordesc_np(-err));
}

/* While it is deaf, nothing about the port is told. */
static void listen_for(struct weft_tcp_ep *ep, bool deaf)
{
    struct epoll_event event = {.events = deaf ? 0 : EPOLLIN, .data.ptr = &ep->port_fd};
    (void)epoll_ctl(ep->epfd, EPOLL_CTL_MOD, ep->port_fd, &event);
    ep->deaf = deaf;
}

int weft__tcp_port_open(struct weft_tcp_ep *ep)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &ep->port_fd};
    unsigned last = ep->port_first ? ep->port_last : 0;
    int err = WEFT_EADDRINUSE;
    for (unsigned at = ep->port_first; at <= last && err == WEFT_EADDRINUSE; at++)
        err = listen_at(ep, (uint16_t)at);
    if (!err && epoll_ctl(ep->epfd, EPOLL_CTL_ADD, ep->port_fd, &event) != 0)
        err = -errno;
    return err ? listen_fail(ep, err) : WEFT_OK;
}

void weft__tcp_port_again(struct weft_tcp_ep *ep)
{
    if (ep->deaf)
        listen_for(ep, false);
}

static void refuse(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, const char *why)
{
    weft__debug("tcp endpoint at %s: refuses a connection: %s", ep->bind, why);
    ep->stats.refused++;
    weft__tcp_conn_close(ep, conn);
}

/* Makes room for one stranger more. */
static void evict(struct weft_tcp_ep *ep)
{
    struct weft_tcp_conn *conn;
    TAILQ_FOREACH(conn, &ep->young, at)
    if (conn->state == WEFT_TCP_HELLO) {
        refuse(ep, conn, "too many that have not introduced themselves");
        return;
    }
}

static int take(struct weft_tcp_ep *ep, int fd)
{
    ep->stats.accepted++;
    if (ep->connections_max && ep->accepted >= ep->connections_max) {
        ep->stats.refused++;
        close(fd);
        return 0;
    }
    if (ep->strangers == WEFT_TCP_YOUNG_MAX)
        evict(ep);
    struct weft_tcp_conn *conn = weft__tcp_conn_new(ep, fd, WEFT_TCP_HELLO);
    return conn ? 1 + weft__tcp_receive(ep, conn) : 0; /* its hello is here already, mostly */
}

int weft__tcp_port_accept(struct weft_tcp_ep *ep)
{
    int n = 0;
    for (unsigned i = 0; i < WEFT_TCP_LIST_MAX; i++) {
        int fd = accept4(ep->port_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            n += take(ep, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno == EAGAIN)
            break;
        if (ep->stats.accept_failed++ % 100 == 0)
            weft__warn("cannot accept connections on port %u of %s: %s; raise the limit of open "
                       "files (ulimit -n)",
                       (unsigned)ep->name.port[0] << 8 | ep->name.port[1], ep->bind,
                       strerrordesc_np(errno));
        listen_for(ep, true);
        weft__tcp_tick_on(ep);
        break;
    }
    return n;
}

/* The comparison takes as long wherever the ids differ. */
static bool means_us(const struct weft_tcp_ep *ep, const struct weft_tcp_hello *hello)
{
    unsigned differ = 0;
    for (size_t i = 0; i < sizeof(hello->target); i++)
        differ |= (unsigned)(hello->target[i] ^ ep->name.id[i]);
    return hello->magic == WEFT_TCP_HELLO_MAGIC && hello->zero == 0 && differ == 0;
}

void weft__tcp_port_hello(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_hello hello;
    memcpy(&hello, conn->part, sizeof(hello));
    if (!means_us(ep, &hello) || !weft__tcp_name_ok(&hello.from)) {
        refuse(ep, conn, "its hello is not for this endpoint");
        return;
    }
    struct weft_tcp_link *link = weft__tcp_link_of(ep, &hello.from);
    if (!link || link->conns == WEFT_TCP_LINK_CONNS_MAX) {
        refuse(ep, conn, link ? "too many from one endpoint" : "no memory");
        return;
    }
    weft__tcp_link_join(ep, link, conn);
    weft__tcp_conn_up(ep, conn);
}
