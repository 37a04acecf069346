/* Bytes at the port of a tcp endpoint, over a connection of their own. Input: a byte of bits that
 * say what comes first (1: a good hello, 2: a good frame, 4: the head of a frame with a good
 * length), then pieces, each a length (two bytes) and its bytes, which are sent one after the other
 * while the endpoint reads. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "transport/tcp/tcp.h"
#include "transport/tcp/wire.h"
#include "weft/error.h"

#define MESSAGE_MAX 4096
#define PIECES 16
#define TURNS_MAX 100000

static struct weft_tp_ep *ep;
static struct weft_tcp_name name;

static void take(void *ctx, const void *data, size_t len_bytes)
{
    static volatile uint8_t last;
    (void)ctx;
    FUZZ_CHECK(len_bytes <= MESSAGE_MAX);
    for (size_t i = 0; i < len_bytes; i++) /* all of it is there */
        last = ((const uint8_t *)data)[i];
    (void)last;
}

static void open_once(void)
{
    static const struct weft_tp_handlers handlers = {.message = take};
    const struct weft_tp_open desc = {.bind = "127.0.0.1",
                                      .families = WEFT_TP_MSG,
                                      .msg_max_bytes = MESSAGE_MAX,
                                      .handlers = &handlers};
    struct weft_tp_addr addr;
    if (ep)
        return;
    FUZZ_CHECK(weft__tp_tcp.core->open(&desc, &ep) == WEFT_OK);
    FUZZ_CHECK(weft__tp_tcp.core->address(ep, &addr) == WEFT_OK);
    memcpy(&name, addr.bytes, sizeof(name));
}

static void turn(void)
{
    FUZZ_CHECK(weft__tp_tcp.core->progress(ep) >= 0);
    (void)weft__tp_tcp.core->wait_arm(ep); /* so that the next turn asks epoll */
}

/* Ends with a reset, which leaves no port behind. */
static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const struct linger reset = {.l_onoff = 1};
    memcpy(&to.sin_port, name.port, sizeof(name.port));
    memcpy(&to.sin_addr, name.ip, sizeof(to.sin_addr));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
    FUZZ_CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

/* The endpoint may have ended the connection already. */
static void throw(int fd, const void *bytes, size_t len)
{
    (void)!send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void begin(int fd, unsigned bits)
{
    struct weft_tcp_hello hello = {.magic = WEFT_TCP_HELLO_MAGIC, .from = name};
    const struct weft_tcp_head whole = {0, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    const struct weft_tcp_head part = {MESSAGE_MAX, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    memcpy(hello.target, name.id, sizeof(hello.target));
    hello.from.id[0] ^= 1;
    if (bits & 1)
        throw(fd, &hello, sizeof(hello));
    if (bits & 2)
        throw(fd, &whole, sizeof(whole));
    if (bits & 4)
        throw(fd, &part, sizeof(part));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct weft_tcp_stats stats;
    open_once();
    int fd = dial();
    begin(fd, (unsigned)fuzz_number(&input, 1));
    turn();
    for (unsigned i = 0; i < PIECES && input.left; i++) {
        size_t n = (size_t)fuzz_number(&input, 2);
        const uint8_t *bytes = fuzz_take(&input, &n);
        throw(fd, bytes, n);
        turn();
    }
    close(fd);
    unsigned turns = 0;
    do {
        turn();
        weft__tcp_stats(ep, &stats);
        FUZZ_CHECK(++turns < TURNS_MAX);
    } while (stats.connections);
    return 0;
}
