/* The target's side: every request is checked and answered by itself, without state between pieces.
 *
 * Each request carries its initiator's address; connections back are made on first use and kept.
 * The bytes of a get are copied out of the range before they are sent, because the owner may
 * unregister the range while the inner transport still holds the message. A request whose answer
 * finds no room waits, and is checked anew when its turn comes: the range may be gone by then.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/shim/endpoint.h"
#include "weft/error.h"

static struct weft_shim_asker **bucket_of(struct weft_shim_ep *ep, const unsigned char *addr,
                                          size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ addr[i]) * 16777619u;
    return &ep->askers[hash % WEFT_SHIM_BUCKETS];
}

static void asker_remove(struct weft_shim_ep *ep, struct weft_shim_asker **at)
{
    struct weft_shim_asker *asker = *at;
    *at = asker->next;
    ep->tp->core->peer_drop(ep->inner, asker->inner);
    ep->askers_n--;
    free(asker);
}

/* Makes room for one: the last of some bucket, which was used least lately there. */
static void asker_evict(struct weft_shim_ep *ep)
{
    for (unsigned i = 0; i < WEFT_SHIM_BUCKETS; i++) {
        struct weft_shim_asker **at = &ep->askers[i];
        while (*at && (*at)->next)
            at = &(*at)->next;
        if (*at) {
            asker_remove(ep, at);
            return;
        }
    }
}

static struct weft_shim_asker *asker_new(struct weft_shim_ep *ep, struct weft_shim_asker **bucket,
                                         const unsigned char *addr, uint16_t len)
{
    if (ep->askers_n == WEFT_SHIM_ASKERS_MAX)
        asker_evict(ep);
    struct weft_shim_asker *asker = calloc(1, sizeof(*asker));
    if (!asker)
        return NULL;
    asker->addr.len = len;
    memcpy(asker->addr.bytes, addr, len);
    if (ep->tp->core->peer_add(ep->inner, &asker->addr, &asker->inner) != WEFT_OK) {
        free(asker);
        return NULL;
    }
    asker->next = *bucket;
    *bucket = asker;
    ep->askers_n++;
    return asker;
}

/* Finds the asker and moves it to the front of its bucket. */
static struct weft_shim_asker *asker_find(struct weft_shim_ep *ep, const unsigned char *addr,
                                          uint16_t len)
{
    struct weft_shim_asker **bucket = bucket_of(ep, addr, len);
    struct weft_shim_asker **at = bucket;
    while (*at && ((*at)->addr.len != len || memcmp((*at)->addr.bytes, addr, len) != 0))
        at = &(*at)->next;
    if (!*at)
        return asker_new(ep, bucket, addr, len);
    struct weft_shim_asker *asker = *at;
    *at = asker->next;
    asker->next = *bucket;
    *bucket = asker;
    return asker;
}

static int check(const struct weft_shim_ep *ep, const struct weft_shim_head *head, uint32_t access,
                 unsigned char **at_out)
{
    struct weft_range *range;
    struct weft_keys_ask ask = {
        .key = head->key, .offset = head->offset, .len_bytes = head->len, .access = access};
    int err = weft__keys_lookup(&ep->keys, &ask, &range);
    if (!err && (head->at > head->len || head->piece > head->len - head->at))
        err = WEFT_EACCES;
    if (!err && head->piece > ep->piece_bytes)
        err = WEFT_EMSGSIZE;
    if (!err)
        *at_out = range->addr + head->offset + head->at;
    return err;
}

static int data_send(struct weft_shim_ep *ep, const struct weft_shim_answer *answer)
{
    unsigned char *from;
    struct weft_shim_head head = answer->head;
    struct weft_shim_parcel *parcel = weft__shim_parcel_new(ep);
    if (!parcel)
        return WEFT_EAGAIN;
    head.err = check(ep, &head, WEFT_TP_READ, &from);
    if (!head.err && head.piece && !(parcel->big = malloc(head.piece)))
        head.err = WEFT_ENOMEM;
    if (head.err)
        head.piece = 0;
    if (head.piece)
        memcpy(parcel->big, from, head.piece);
    memcpy(parcel->small, &head, sizeof(head));
    struct iovec iov[2] = {{parcel->small, sizeof(head)}, {parcel->big, head.piece}};
    return weft__shim_parcel_send(parcel, answer->to, iov, head.piece ? 2 : 1);
}

static int ack_send(struct weft_shim_ep *ep, const struct weft_shim_answer *answer)
{
    struct weft_shim_parcel *parcel = weft__shim_parcel_new(ep);
    if (!parcel)
        return WEFT_EAGAIN;
    memcpy(parcel->small, &answer->head, sizeof(answer->head));
    struct iovec iov = {parcel->small, sizeof(answer->head)};
    return weft__shim_parcel_send(parcel, answer->to, &iov, 1);
}

static int answer_send(struct weft_shim_ep *ep, const struct weft_shim_answer *answer)
{
    return answer->head.type == WEFT_SHIM_DATA ? data_send(ep, answer) : ack_send(ep, answer);
}

static void answer_pop(struct weft_shim_ep *ep, struct weft_shim_answer **at)
{
    struct weft_shim_answer *answer = *at;
    *at = answer->next;
    if (ep->answers_end == &answer->next)
        ep->answers_end = at;
    ep->answers_n--;
    free(answer);
}

bool weft__shim_answers_send(struct weft_shim_ep *ep)
{
    bool any = false;
    /* An error other than EAGAIN concerns the asker's connection: it is not waiting any more. */
    while (ep->answers && answer_send(ep, ep->answers) != WEFT_EAGAIN) {
        answer_pop(ep, &ep->answers);
        any = true;
    }
    return any;
}

static void answer(struct weft_shim_ep *ep, const struct weft_shim_answer *what)
{
    if (!ep->answers && answer_send(ep, what) != WEFT_EAGAIN)
        return;
    struct weft_shim_answer *copy =
        ep->answers_n < WEFT_SHIM_ANSWERS_MAX ? malloc(sizeof(*copy)) : NULL;
    if (!copy) { /* more than all windows of honest initiators */
        ep->malformed++;
        return;
    }
    *copy = *what;
    copy->next = NULL;
    *ep->answers_end = copy;
    ep->answers_end = &copy->next;
    ep->answers_n++;
}

static int put_take(struct weft_shim_ep *ep, const struct weft_shim_head *head,
                    const unsigned char *data, size_t len)
{
    unsigned char *at;
    int err = check(ep, head, WEFT_TP_WRITE, &at);
    if (!err && head->piece != len)
        err = WEFT_EPROTO;
    if (!err && len)
        memcpy(at, data, len);
    return err;
}

void weft__shim_ask_take(struct weft_shim_ep *ep, const struct weft_shim_head *head,
                         const unsigned char *rest, size_t len_bytes)
{
    struct weft_shim_answer what = {.head = *head};
    bool get = head->type == WEFT_SHIM_GET;
    if (head->addr_len > len_bytes || head->addr_len > WEFT_TP_ADDR_MAX ||
        (get && len_bytes != head->addr_len)) {
        ep->malformed++;
        return;
    }
    const struct weft_shim_asker *asker = asker_find(ep, rest, head->addr_len);
    if (!asker) {
        ep->malformed++;
        return;
    }
    what.to = asker->inner;
    what.head.addr_len = 0;
    what.head.type = get ? WEFT_SHIM_DATA : WEFT_SHIM_ACK;
    what.head.err =
        get ? WEFT_OK : put_take(ep, head, rest + head->addr_len, len_bytes - head->addr_len);
    answer(ep, &what);
}

void weft__shim_asker_lost(struct weft_shim_ep *ep, struct weft_tp_peer inner)
{
    for (struct weft_shim_answer **at = &ep->answers; *at;) {
        if ((*at)->to.id == inner.id)
            answer_pop(ep, at);
        else
            at = &(*at)->next;
    }
    for (unsigned i = 0; i < WEFT_SHIM_BUCKETS; i++) {
        for (struct weft_shim_asker **at = &ep->askers[i]; *at; at = &(*at)->next) {
            if ((*at)->inner.id == inner.id) {
                asker_remove(ep, at);
                return;
            }
        }
    }
}

void weft__shim_askers_fini(struct weft_shim_ep *ep)
{
    while (ep->answers)
        answer_pop(ep, &ep->answers);
    for (unsigned i = 0; i < WEFT_SHIM_BUCKETS; i++) {
        while (ep->askers[i]) {
            struct weft_shim_asker *asker = ep->askers[i];
            ep->askers[i] = asker->next;
            free(asker);
        }
    }
}
