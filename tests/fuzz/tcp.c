/* Bytes at the port of a tcp endpoint, over a connection of their own. Input: a byte of bits that
 * say what comes first (1: a good hello, 2: a good frame, 4: the head of a frame with a good
 * length, 8: a good get, 16: the head of a good put) and what the endpoint does (32: it gets from
 * the other side, 64: it puts there), then pieces, each a length (two bytes) and its bytes, which
 * are sent one after the other while the endpoint reads. The upper bits of a length put a head
 * before its piece, with the name of what the endpoint asks for: bytes, or the end of it. */
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
#define RANGE 256

static struct weft_tp_ep *ep;
static struct weft_tcp_name name;
static struct weft_tp_key key; /* of a range that others may reach */

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
    static uint8_t range[RANGE];
    const struct weft_tp_open desc = {.bind = "127.0.0.1",
                                      .families = WEFT_TP_MSG | WEFT_TP_RMA,
                                      .msg_max_bytes = MESSAGE_MAX,
                                      .handlers = &handlers};
    struct weft_tp_addr addr;
    struct weft_tp_region *region;
    if (ep)
        return;
    FUZZ_CHECK(weft__tp_tcp.core->open(&desc, &ep) == WEFT_OK);
    FUZZ_CHECK(weft__tp_tcp.core->address(ep, &addr) == WEFT_OK);
    memcpy(&name, addr.bytes, sizeof(name));
    FUZZ_CHECK(weft__tp_tcp.rma->reg(ep, range, RANGE, WEFT_TP_READ | WEFT_TP_WRITE, &region) ==
               WEFT_OK);
    weft__tp_tcp.rma->key(region, &key);
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

static struct weft_tcp_hello hello_of(void)
{
    struct weft_tcp_hello hello = {.magic = WEFT_TCP_HELLO_MAGIC, .from = name};
    memcpy(hello.target, name.id, sizeof(hello.target));
    hello.from.id[0] ^= 1;
    return hello;
}

static void begin(int fd, unsigned bits)
{
    const struct weft_tcp_hello hello = hello_of();
    const struct weft_tcp_head whole = {0, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    const struct weft_tcp_head part = {MESSAGE_MAX, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    struct weft_tcp_frame frame = {
        {sizeof(frame.ask), WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC},
        {.id = 1, .key = key.key, .offset = 1, .len = RANGE - 1, .at = 7}};
    if (bits & 1)
        throw(fd, &hello, sizeof(hello));
    if (bits & 2)
        throw(fd, &whole, sizeof(whole));
    if (bits & 4)
        throw(fd, &part, sizeof(part));
    if (bits & 8)
        throw(fd, &frame, sizeof(frame));
    frame.head.kind = WEFT_TCP_PUT;
    frame.head.len += RANGE - 1 - 7;
    if (bits & 16)
        throw(fd, &frame, sizeof(frame));
}

/* ---- what the endpoint asks for ---- */

struct asking {
    struct weft_tp_peer peer;
    struct weft_tp_op ops[2];
    unsigned begun[2], ended[2];
    uint8_t memory[2][RANGE];
};

static void ended(struct weft_tp_op *op, int err)
{
    (void)err;
    FUZZ_CHECK(++*(unsigned *)op->user == 1);
}

/* Only where a connection stands: else it would connect. */
static void ask(struct asking *asking, unsigned bits)
{
    const struct weft_tcp_hello hello = hello_of();
    struct weft_tp_addr addr = {.len = sizeof(hello.from)};
    memcpy(addr.bytes, &hello.from, sizeof(hello.from));
    memset(asking, 0, sizeof(*asking));
    if (!(bits & 1) || !(bits & (32 | 64)))
        return;
    turn();
    turn();
    FUZZ_CHECK(weft__tp_tcp.core->peer_add(ep, &addr, &asking->peer) == WEFT_OK);
    for (unsigned i = 0; i < 2; i++) {
        const struct weft_tp_rma_desc desc = {.local = asking->memory[i], .len_bytes = RANGE};
        asking->ops[i] = (struct weft_tp_op){.done = ended, .user = &asking->ended[i]};
        if (!(bits & 32u << i))
            continue;
        int err = i ? weft__tp_tcp.rma->put(ep, asking->peer, &desc, &asking->ops[i])
                    : weft__tp_tcp.rma->get(ep, asking->peer, &desc, &asking->ops[i]);
        asking->begun[i] = err == WEFT_OK;
    }
}

static void ask_end(const struct asking *asking)
{
    if (asking->peer.id)
        weft__tp_tcp.core->peer_drop(ep, asking->peer);
    turn();
    for (unsigned i = 0; i < 2; i++)
        FUZZ_CHECK(asking->ended[i] == asking->begun[i]);
}

/* The names of what it has asked for are told by its frames. */
static void hear(int fd, uint64_t ids[2])
{
    static uint8_t bytes[1 << 16];
    struct weft_tcp_frame frame;
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (size_t at = 0; n > 0 && at + sizeof(frame) <= (size_t)n;) {
        memcpy(&frame, bytes + at, sizeof(frame));
        if (frame.head.kind == WEFT_TCP_GET || frame.head.kind == WEFT_TCP_PUT)
            ids[frame.head.kind == WEFT_TCP_PUT] = frame.ask.id;
        at += sizeof(frame.head) + frame.head.len;
    }
}

static void throw_piece(int fd, struct fuzz_input *input, uint64_t ids[2])
{
    unsigned head = (unsigned)fuzz_number(input, 2);
    size_t n = head & 0x0fff;
    const uint8_t *bytes = fuzz_take(input, &n);
    bool data = head & 0x2000;
    struct weft_tcp_frame frame = {{(uint32_t)(sizeof(frame.ask) + (data ? n : 0)),
                                    data ? WEFT_TCP_DATA : WEFT_TCP_DONE, WEFT_TCP_HEAD_MAGIC},
                                   {.id = ids[head >> 14 & 1], .err = head & 0x1000 ? -1 : 0}};
    hear(fd, ids);
    frame.ask.id = ids[head >> 14 & 1];
    if (head & 0x8000)
        throw(fd, &frame, sizeof(frame));
    throw(fd, bytes, n);
    turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct asking asking;
    struct fuzz_input input = {data, size};
    struct weft_tcp_stats stats;
    uint64_t ids[2] = {0, 0};
    open_once();
    int fd = dial();
    unsigned bits = (unsigned)fuzz_number(&input, 1);
    begin(fd, bits);
    turn();
    ask(&asking, bits);
    for (unsigned i = 0; i < PIECES && input.left; i++)
        throw_piece(fd, &input, ids);
    close(fd);
    ask_end(&asking);
    unsigned turns = 0;
    do {
        turn();
        weft__tcp_stats(ep, &stats);
        FUZZ_CHECK(++turns < TURNS_MAX);
    } while (stats.connections);
    return 0;
}
