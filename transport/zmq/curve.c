/* Keys: which sockets prove which, and the ZAP handler that asks whether a client may come in.
 *
 * A bound socket is a CURVE server with our secret key; libzmq asks the context's ZAP handler
 * (RFC 27) about every client that has proved its key. The handler is a REP socket driven by
 * progress(), so the allow callback runs on the thread that drives the endpoint, and no thread is
 * added. It must be there before the first port is bound: without a handler libzmq lets everybody
 * in who has any key. A connecting socket is a CURVE client with our key pair and the key that the
 * server has to prove.
 *
 * Only recv-until-empty and the replies in between touch the REP socket, so its descriptor alone
 * says when there is something.
 *
 * Without keys sockets have a ZAP domain all the same, and no handler that would be asked: libzmq
 * then refuses who speaks ZMTP 1 or 2. It pushes the identity of such a peer into the socket during
 * the handshake, and where the socket is just being closed libzmq 4.3.4 aborts the process.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define ZAP_URL "inproc://zeromq.zap.01"
#define ZAP_DOMAIN "weft"
#define ZAP_BUDGET 64
#define TELL_NS (10 * WEFT_NS_PER_S) /* at most so often */

/* The parts of a request that matter. */
enum { ZAP_VERSION, ZAP_REQUEST, ZAP_ADDRESS = 3, ZAP_MECHANISM = 5, ZAP_KEY = 6, ZAP_PARTS = 7 };

struct zap_part {
    size_t len;
    unsigned char bytes[64];
};

static int set_key(void *handle, int option, const uint8_t key[WEFT_TP_KEY_BYTES])
{
    if (zmq_setsockopt(handle, option, key, WEFT_TP_KEY_BYTES) == 0)
        return WEFT_OK;
    return weft__zmq_fail("cannot give a key to a zmq socket (is libzmq built with libsodium?)");
}

static int set_domain(void *handle)
{
    if (zmq_setsockopt(handle, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) == 0)
        return WEFT_OK;
    return weft__zmq_fail("cannot set a ZAP domain");
}

int weft__zmq_curve_open(struct weft_zmq_ep *ep)
{
    if (!ep->security || ep->zap.handle)
        return WEFT_OK;
    int err = weft__zmq_sock_open(ep, ZMQ_REP, 0, &ep->zap);
    if (!err && zmq_bind(ep->zap.handle, ZAP_URL) != 0)
        err = weft__zmq_fail("cannot open a ZAP handler");
    if (err)
        weft__zmq_sock_close(&ep->zap);
    return err;
}

int weft__zmq_curve_server(struct weft_zmq_ep *ep, void *handle)
{
    int err = set_domain(handle);
    if (err || !ep->security)
        return err;
    err = weft__zmq_curve_open(ep);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_CURVE_SERVER, 1);
    if (!err)
        err = set_key(handle, ZMQ_CURVE_SECRETKEY, ep->security->secret_key);
    return err;
}

int weft__zmq_curve_client(const struct weft_zmq_ep *ep, void *handle, const char *url)
{
    uint8_t server_key[WEFT_TP_KEY_BYTES];
    if (!ep->security)
        return set_domain(handle);
    ep->security->server_key(ep->security->ctx, url, server_key);
    int err = set_key(handle, ZMQ_CURVE_SERVERKEY, server_key);
    if (!err)
        err = set_key(handle, ZMQ_CURVE_PUBLICKEY, ep->security->public_key);
    if (!err)
        err = set_key(handle, ZMQ_CURVE_SECRETKEY, ep->security->secret_key);
    return err;
}

/* Receives one request; false: there is none. Parts beyond the last one are thrown away, one too
 * long for us has a length of more than its bytes. */
static bool zap_take(struct weft_zmq_sock *sock, struct zap_part parts[ZAP_PARTS], unsigned *n_out)
{
    int more = 1;
    unsigned n = 0;
    while (more) {
        struct zap_part excess, *part = n < ZAP_PARTS ? &parts[n] : &excess;
        size_t len = sizeof(more);
        int got = zmq_recv(sock->handle, part->bytes, sizeof(part->bytes), ZMQ_DONTWAIT);
        if (got < 0) {
            sock->look = false;
            return false;
        }
        part->len = (size_t)got;
        n++;
        if (zmq_getsockopt(sock->handle, ZMQ_RCVMORE, &more, &len) != 0)
            more = 0;
    }
    *n_out = n;
    return true;
}

static bool is_allowed(const struct weft_zmq_ep *ep, const struct zap_part *parts, unsigned n)
{
    return n == ZAP_PARTS && parts[ZAP_VERSION].len == 3 &&
           memcmp(parts[ZAP_VERSION].bytes, "1.0", 3) == 0 && parts[ZAP_MECHANISM].len == 5 &&
           memcmp(parts[ZAP_MECHANISM].bytes, "CURVE", 5) == 0 &&
           parts[ZAP_KEY].len == WEFT_TP_KEY_BYTES &&
           ep->security->allow(ep->security->ctx, parts[ZAP_KEY].bytes);
}

/* Names who was not let in, so that his key can be added; not more often than is of use. */
static void tell_denied(struct weft_zmq_ep *ep, const struct zap_part *parts, unsigned n)
{
    const struct zap_part *key = &parts[ZAP_KEY], *address = &parts[ZAP_ADDRESS];
    char text[WEFT_TP_KEY_BYTES * 5 / 4 + 1];
    weft__counter_add(&ep->gates.denied, 1);
    if (n != ZAP_PARTS || key->len != WEFT_TP_KEY_BYTES || address->len > sizeof(address->bytes) ||
        weft__now_ns() < ep->tell_again_ns)
        return;
    ep->tell_again_ns = weft__now_ns() + TELL_NS;
    zmq_z85_encode(text, key->bytes, WEFT_TP_KEY_BYTES);
    weft__warn("a client from %.*s with the public key %s is not on the list \"allowed\"",
               (int)address->len, (const char *)address->bytes, text);
}

static void zap_answer(void *handle, const struct zap_part *request, bool allowed)
{
    const char *status = allowed ? "200" : "400", *text = allowed ? "OK" : "No access";
    size_t len = request->len <= sizeof(request->bytes) ? request->len : 0;
    /* No part is refused for want of room: the requester waits for this answer alone. */
    (void)zmq_send(handle, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(handle, request->bytes, len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(handle, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(handle, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(handle, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(handle, "", 0, ZMQ_DONTWAIT);
}

int weft__zmq_curve_answer(struct weft_zmq_ep *ep)
{
    struct zap_part parts[ZAP_PARTS];
    unsigned parts_n;
    int n = 0;
    while (ep->zap.look && n < ZAP_BUDGET && zap_take(&ep->zap, parts, &parts_n)) {
        bool allowed = is_allowed(ep, parts, parts_n);
        if (!allowed)
            tell_denied(ep, parts, parts_n);
        zap_answer(ep->zap.handle, &parts[ZAP_REQUEST], allowed);
        n++;
    }
    return n;
}

static void print_key(const uint8_t key[WEFT_TP_KEY_BYTES], char text_out[9])
{
    char text[WEFT_TP_KEY_BYTES * 5 / 4 + 1];
    zmq_z85_encode(text, key, WEFT_TP_KEY_BYTES);
    snprintf(text_out, 9, "%.8s", text);
}

int weft__zmq_curve_fail(const struct weft_zmq_ep *ep, const char *url, enum weft_zmq_verdict why)
{
    char key[9] = "";
    uint8_t expected[WEFT_TP_KEY_BYTES];
    if (why == WEFT_ZMQ_OTHER_MODE && ep->security)
        return weft_fail(WEFT_EACCES,
                         "%s has no keys, and we talk only to hosts that have: set "
                         "WEFT_SECURITY=curve there, or WEFT_SECURITY=none here",
                         url);
    if (why == WEFT_ZMQ_OTHER_MODE)
        return weft_fail(WEFT_EACCES,
                         "%s takes only clients that have a key: set WEFT_SECURITY=curve, and "
                         "WEFT_KEYS to the folder of the keys",
                         url);
    if (why == WEFT_ZMQ_DENIED) {
        print_key(ep->security->public_key, key);
        return weft_fail(WEFT_EACCES,
                         "%s does not let our key %s... in: its public part is missing in the file "
                         "\"allowed\" in the host's folder of keys (WEFT_KEYS there)",
                         url, key);
    }
    ep->security->server_key(ep->security->ctx, url, expected);
    print_key(expected, key);
    return weft_fail(WEFT_EACCES,
                     "%s has another key than %s...: use the folder of keys that the host uses "
                     "(WEFT_KEYS), or write \"ADDRESS KEY\" into the file \"hosts\" in ours",
                     url, key);
}
