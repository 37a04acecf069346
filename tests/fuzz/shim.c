/* Parcels of the shim from a peer that says anything, while the shim has a range for others and
 * gets and puts of its own under way. Input: parcels, each a byte of bits that say what is put
 * right (1: magic, 2: the key of the range, 4: the name of the operation under way, 8: the sender's
 * address behind the head) and a length (two bytes) before it. */
#include "fuzz.h"
#include "transport/inproc/inproc.h"
#include "transport/shim/shim.h"
#include "transport/shim/wire.h"
#include "weft/error.h"

#define RANGE 256
#define PARCELS 16

struct stranger {
    struct weft_tp_ep *ep;
    struct weft_tp_peer victim;
    struct weft_tp_addr addr;
    uint64_t asked; /* the id of the last request that came */
};

/* What the victim asks for. */
static void take(void *ctx, const void *data, size_t len_bytes)
{
    struct stranger *stranger = ctx;
    struct weft_shim_head head;
    if (len_bytes < sizeof(head))
        return;
    memcpy(&head, data, sizeof(head));
    if (head.type == WEFT_SHIM_GET || head.type == WEFT_SHIM_PUT)
        stranger->asked = head.id;
}

static void ended(struct weft_tp_op *op, int err)
{
    (void)err;
    FUZZ_CHECK(++*(unsigned *)op->user == 1);
}

static void turn(const struct stranger *stranger, struct weft_tp_ep *victim)
{
    FUZZ_CHECK(victim->transport->core->progress(victim) >= 0);
    FUZZ_CHECK(weft__tp_inproc.core->progress(stranger->ep) >= 0);
    FUZZ_CHECK(victim->transport->core->progress(victim) >= 0);
}

static void send_parcel(struct stranger *stranger, struct fuzz_input *input,
                        const struct weft_tp_key *key)
{
    unsigned done = 0, right = (unsigned)fuzz_number(input, 1);
    size_t n = (size_t)fuzz_number(input, 2) & 1023;
    const uint8_t *bytes = fuzz_take(input, &n);
    uint8_t parcel[1024 + WEFT_TP_ADDR_MAX + sizeof(struct weft_shim_head)];
    struct weft_shim_head head = {0};
    struct weft_tp_op op = {.done = ended, .user = &done};
    memcpy(parcel, bytes, n);
    memcpy(&head, parcel, n < sizeof(head) ? n : sizeof(head));
    if (right & 1)
        head.magic = WEFT_SHIM_MAGIC;
    if (right & 2)
        head.key = key->key;
    if (right & 4)
        head.id = stranger->asked;
    if (right & 8 && n >= sizeof(head)) {
        head.addr_len = stranger->addr.len;
        memmove(parcel + sizeof(head) + stranger->addr.len, parcel + sizeof(head),
                n - sizeof(head));
        memcpy(parcel + sizeof(head), stranger->addr.bytes, stranger->addr.len);
        n += stranger->addr.len;
    }
    memcpy(parcel, &head, n < sizeof(head) ? n : sizeof(head));
    struct iovec iov = {parcel, n};
    if (weft__tp_inproc.msg->send(stranger->ep, stranger->victim, &iov, 1, &op) == WEFT_OK)
        while (!done)
            FUZZ_CHECK(weft__tp_inproc.core->progress(stranger->ep) >= 0);
}

static void run(struct stranger *stranger, struct weft_tp_ep *victim, struct fuzz_input *input,
                struct weft_tp_op ops[2])
{
    static uint8_t range[RANGE], into[RANGE];
    struct weft_tp_region *region;
    struct weft_tp_key key;
    struct weft_tp_peer peer;
    const struct weft_tp_rma_ops *rma = victim->transport->rma;
    FUZZ_CHECK(rma->reg(victim, range, sizeof(range), WEFT_TP_READ | WEFT_TP_WRITE, &region) ==
               WEFT_OK);
    rma->key(region, &key);
    FUZZ_CHECK(victim->transport->core->peer_add(victim, &stranger->addr, &peer) == WEFT_OK);
    struct weft_tp_rma_desc desc = {.local = into, .len_bytes = sizeof(into), .remote_key = key};
    FUZZ_CHECK(rma->get(victim, peer, &desc, &ops[0]) == WEFT_OK);
    turn(stranger, victim);
    for (unsigned i = 0; i < PARCELS && input->left; i++) {
        send_parcel(stranger, input, &key);
        turn(stranger, victim);
        if (i == 2)
            FUZZ_CHECK(rma->put(victim, peer, &desc, &ops[1]) == WEFT_OK);
    }
    rma->unreg(victim, region);
    turn(stranger, victim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct weft_tp_handlers handlers = {.message = take};
    struct fuzz_input input = {data, size};
    struct stranger stranger = {.ep = NULL};
    struct weft_tp_open desc = {
        .bind = "fuzz", .families = WEFT_TP_MSG, .handlers = &handlers, .ctx = &stranger};
    struct weft_tp_ep *victim;
    struct weft_tp_addr addr;
    unsigned ends[2] = {0, 0};
    struct weft_tp_op ops[2] = {{.done = ended, .user = &ends[0]},
                                {.done = ended, .user = &ends[1]}};
    FUZZ_CHECK(weft__tp_inproc.core->open(&desc, &stranger.ep) == WEFT_OK);
    desc.handlers = NULL;
    FUZZ_CHECK(weft__shim_open(&weft__tp_inproc, &desc, &victim) == WEFT_OK);
    FUZZ_CHECK(weft__tp_inproc.core->address(stranger.ep, &stranger.addr) == WEFT_OK);
    FUZZ_CHECK(victim->transport->core->address(victim, &addr) == WEFT_OK);
    FUZZ_CHECK(weft__tp_inproc.core->peer_add(stranger.ep, &addr, &stranger.victim) == WEFT_OK);
    run(&stranger, victim, &input, ops);
    victim->transport->core->close(victim);
    weft__tp_inproc.core->close(stranger.ep);
    FUZZ_CHECK(ends[0] == 1); /* it was submitted: it ends, at the latest by close */
    return 0;
}
