/* Asking a host in what mode it speaks.
 *
 * When two sides disagree about keys, libzmq mostly tells only the one that accepted; whoever
 * connected sees a connection that is closed during the handshake, which also happens when a host
 * ends or is full. So the question is asked again in a form that gets an answer: a connection of
 * our own that sends the first 11 bytes of a ZMTP 3 greeting. The other side answers with its whole
 * greeting, which names its mechanism (RFC 23), and goes on waiting; we close. Same mechanism, and
 * CURVE: then the key was wrong.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define GREETING_BYTES 64
#define MECHANISM_AT 12
#define MECHANISM_BYTES 20
#define ANSWER_NS (2 * WEFT_NS_PER_S)

static const unsigned char hello[11] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3};

struct weft_zmq_greeting {
    struct weft_zmq_sock sock; /* without a handle: look is set when the descriptor is ready */
    int fd;
    bool said;
    size_t len;
    unsigned char bytes[GREETING_BYTES];
    uint64_t give_up_ns;
};

/* url was checked by weft__zmq_url_ok(). */
static socklen_t address_of(const char *url, struct sockaddr_storage *at_out)
{
    char host[WEFT_TP_ADDR_MAX];
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)at_out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)at_out;
    memset(at_out, 0, sizeof(*at_out));
    strcpy(host, url + strlen("tcp://") + (strchr(url, '[') != NULL));
    char *colon = strrchr(host, ':');
    uint16_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    *colon = '\0';
    host[strcspn(host, "]")] = '\0';
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        return sizeof(*v4);
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
}

struct weft_zmq_greeting *weft__zmq_greeting_ask(const struct weft_zmq_ep *ep, const char *url)
{
    struct sockaddr_storage at;
    socklen_t len = address_of(url, &at);
    struct weft_zmq_greeting *greeting = calloc(1, sizeof(*greeting));
    if (!greeting)
        return NULL;
    greeting->give_up_ns = weft__now_ns() + ANSWER_NS;
    greeting->fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &greeting->sock};
    if (len == 0 || greeting->fd < 0 ||
        (connect(greeting->fd, (struct sockaddr *)&at, len) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(ep->epfd, EPOLL_CTL_ADD, greeting->fd, &event) != 0) {
        weft__zmq_greeting_free(ep, greeting);
        return NULL;
    }
    return greeting;
}

/* Closing alone would leave it in the set where another process, forked meanwhile, has it too. */
void weft__zmq_greeting_free(const struct weft_zmq_ep *ep, struct weft_zmq_greeting *greeting)
{
    if (!greeting)
        return;
    if (greeting->fd >= 0) {
        (void)epoll_ctl(ep->epfd, EPOLL_CTL_DEL, greeting->fd, NULL);
        close(greeting->fd);
    }
    free(greeting);
}

/* Says hello once the connection is made; afterwards only what comes in counts. */
static int say(const struct weft_zmq_ep *ep, struct weft_zmq_greeting *greeting)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &greeting->sock};
    ssize_t n = send(greeting->fd, hello, sizeof(hello), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN))
        return WEFT_EAGAIN;
    if (n != sizeof(hello) || epoll_ctl(ep->epfd, EPOLL_CTL_MOD, greeting->fd, &event) != 0)
        return WEFT_EIO;
    greeting->said = true;
    return WEFT_OK;
}

static enum weft_zmq_verdict judge(const struct weft_zmq_ep *ep,
                                   const unsigned char greeting[GREETING_BYTES])
{
    char name[MECHANISM_BYTES + 1] = "";
    if (greeting[0] != hello[0] || greeting[9] != hello[9])
        return WEFT_ZMQ_FINE; /* no ZeroMQ: nothing to do with keys */
    memcpy(name, greeting + MECHANISM_AT, MECHANISM_BYTES);
    if (strcmp(name, ep->security ? "CURVE" : "NULL") != 0)
        return WEFT_ZMQ_OTHER_MODE;
    return ep->security ? WEFT_ZMQ_OTHER_KEY : WEFT_ZMQ_FINE;
}

enum weft_zmq_verdict weft__zmq_greeting_heard(const struct weft_zmq_ep *ep,
                                               struct weft_zmq_greeting *greeting)
{
    if (weft__now_ns() > greeting->give_up_ns)
        return WEFT_ZMQ_FINE;
    if (!greeting->sock.look)
        return WEFT_ZMQ_CLOSED;
    greeting->sock.look = false;
    int err = greeting->said ? WEFT_OK : say(ep, greeting);
    if (err)
        return err == WEFT_EAGAIN ? WEFT_ZMQ_CLOSED : WEFT_ZMQ_FINE;
    ssize_t n = recv(greeting->fd, greeting->bytes + greeting->len, GREETING_BYTES - greeting->len,
                     MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? WEFT_ZMQ_CLOSED : WEFT_ZMQ_FINE;
    greeting->len += (size_t)n;
    if (greeting->len < GREETING_BYTES)
        return WEFT_ZMQ_CLOSED;
    return judge(ep, greeting->bytes);
}
