/* Bringing bytes of a value here.
 *
 * Little comes in the answer. Much is pinned at the main - that version stays as it is - and comes
 * by rma into where it belongs, or in parts where there is no rma; that the pin was held to the end
 * makes it one version, and is asked last. Rejected: reading the value in place and comparing
 * versions before and after (a busy value would starve its readers, and both sides would race on
 * its bytes). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "state/replica.h"
#include "weft/error.h"
#include "wire/message.h"

#define WAIT_NS (50 * WEFT_NS_PER_MS)

/* A fetch of at most WEFT_STATE_RANGES_MAX ranges. */
struct fetch {
    struct weft_value *value;
    const struct weft_range64 *ranges;
    size_t ranges_n;
    uint64_t bytes;
    uint64_t deadline_ns;
    uint64_t *offsets, *lengths; /* of the request */
    bool no_rma;                 /* it has failed once */
    uint64_t size, version;
};

static struct weft_state_asked asked_of(const struct fetch *fetch, uint16_t code,
                                        const ProtobufCMessage *request,
                                        const ProtobufCMessageDescriptor *reply_type)
{
    return (struct weft_state_asked){.user = fetch->value->user,
                                     .key = fetch->value->key,
                                     .at = &fetch->value->at,
                                     .code = code,
                                     .request = request,
                                     .reply_type = reply_type,
                                     .deadline_ns = fetch->deadline_ns};
}

static int scatter(const struct fetch *fetch, const ProtobufCBinaryData *data)
{
    const unsigned char *from = data->data;
    if (data->len != fetch->bytes)
        return weft_fail(WEFT_EPROTO, "host %s answered with %zu bytes of %llu",
                         fetch->value->at.host, data->len, (unsigned long long)fetch->bytes);
    for (size_t i = 0; i < fetch->ranges_n; i++) {
        memcpy(fetch->value->bytes + fetch->ranges[i].offset, from, fetch->ranges[i].len);
        from += fetch->ranges[i].len;
    }
    return WEFT_OK;
}

/* ---- by rma ---- */

struct gets {
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct weft_lane_get *gets;
    size_t started;
    _Atomic uint32_t ended;
    _Atomic int err;
};

/* Thread: the lane's. */
static void get_done(struct weft_lane_get *get, int err)
{
    struct gets *gets = get->user;
    const _Atomic uint32_t *word = &gets->ended;
    int none = WEFT_OK;
    if (err != WEFT_OK)
        atomic_compare_exchange_strong(&gets->err, &none, err);
    atomic_fetch_add_explicit(&gets->ended, 1, memory_order_release);
    /* gets may be gone from here on: its address is all that is used */
    weft__futex_wake(word);
}

/* Sleeps until another get has ended, at most until until_ns. The lane's own thread drives:
 * measured steadier than to drive it from here. */
static void gets_wait(struct gets *gets, uint32_t seen, uint64_t until_ns)
{
    (void)weft__futex_wait(&gets->ended, seen, until_ns);
}

/* Waits for all that were started; past the deadline the peer is dropped, which ends them. */
static int gets_finish(struct gets *gets, uint64_t deadline_ns)
{
    uint32_t seen;
    bool dropped = false;
    while ((seen = atomic_load_explicit(&gets->ended, memory_order_acquire)) != gets->started) {
        uint64_t now_ns = weft__now_ns();
        if (now_ns >= deadline_ns && !dropped) {
            weft__lane_drop(gets->lane, gets->peer);
            dropped = true;
        }
        gets_wait(gets, seen,
                  dropped || now_ns + WAIT_NS < deadline_ns ? now_ns + WAIT_NS : deadline_ns);
    }
    return atomic_load(&gets->err);
}

static int get_ranges(struct fetch *fetch, struct gets *gets, const struct weft_lane_key *key)
{
    int err = WEFT_OK;
    for (size_t i = 0; i < fetch->ranges_n && err == WEFT_OK; i++) {
        gets->gets[i] =
            (struct weft_lane_get){.peer = gets->peer,
                                   .key = *key,
                                   .remote_offset = fetch->ranges[i].offset,
                                   .into = fetch->value->bytes + fetch->ranges[i].offset,
                                   .len_bytes = fetch->ranges[i].len,
                                   .done = get_done,
                                   .user = gets};
        while ((err = weft__lane_get(gets->lane, &gets->gets[i])) == WEFT_EAGAIN &&
               weft__now_ns() < fetch->deadline_ns)
            gets_wait(gets, atomic_load(&gets->ended), weft__now_ns() + WEFT_NS_PER_MS);
        gets->started += err == WEFT_OK;
    }
    int later = gets_finish(gets, fetch->deadline_ns);
    return err != WEFT_OK ? err : later;
}

static int fetch_by_rma(struct fetch *fetch, const Weft__State__PullReply *reply)
{
    struct gets gets = {.lane = weft__state_lane(fetch->value->state)};
    struct weft_lane_key key = {.tp = {reply->rma_key, reply->rma_base, reply->rma_length}};
    int err =
        gets.lane == NULL ? WEFT_ENOTSUP : weft__lane_peer(gets.lane, reply->lane, &gets.peer);
    if (err != WEFT_OK)
        return err;
    gets.gets = calloc(fetch->ranges_n, sizeof(*gets.gets));
    if (gets.gets == NULL)
        err = weft_fail(WEFT_ENOMEM, "no memory for %zu gets", fetch->ranges_n);
    else
        err = get_ranges(fetch, &gets, &key);
    free(gets.gets);
    weft__lane_peer_put(gets.lane, gets.peer);
    if (err == WEFT_OK)
        weft__counter_add(&fetch->value->state->bulk_pulls, 1);
    return err;
}

/* ---- in parts ---- */

/* Errors: WEFT_EAGAIN the pin has ended. */
static int fetch_part(struct fetch *fetch, uint64_t pin, uint64_t offset, uint64_t len)
{
    Weft__State__PartRequest request = WEFT__STATE__PART_REQUEST__INIT;
    ProtobufCMessage *message;
    request.user = weft__message_text(fetch->value->user);
    request.key = weft__message_text(fetch->value->key);
    request.epoch = fetch->value->at.epoch;
    request.pin = pin;
    request.offset = offset;
    request.length = len;
    struct weft_state_asked asked =
        asked_of(fetch, WEFT_STATE_PART, &request.base, &weft__state__part_reply__descriptor);
    int err = weft__state_ask_main(fetch->value->state, &asked, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__PartReply *reply = (const Weft__State__PartReply *)message;
    if (reply->ended)
        err = weft_fail(WEFT_EAGAIN, "the read took too long");
    else if (reply->data.len != len)
        err = weft_fail(WEFT_EPROTO, "host %s answered with %zu bytes of %llu",
                        fetch->value->at.host, reply->data.len, (unsigned long long)len);
    else
        memcpy(fetch->value->bytes + offset, reply->data.data, len);
    weft__message_free(message);
    return err;
}

static int fetch_in_parts(struct fetch *fetch, uint64_t pin)
{
    int err = WEFT_OK;
    for (size_t i = 0; i < fetch->ranges_n && err == WEFT_OK; i++) {
        uint64_t at = fetch->ranges[i].offset, end = at + fetch->ranges[i].len;
        while (at < end && err == WEFT_OK) {
            uint64_t len = end - at < WEFT_STATE_INLINE_MAX ? end - at : WEFT_STATE_INLINE_MAX;
            err = fetch_part(fetch, pin, at, len);
            at += len;
        }
    }
    return err;
}

/* Errors: WEFT_EAGAIN the pin was not held to the end. */
static int unpin(struct fetch *fetch, uint64_t pin)
{
    Weft__State__UnpinRequest request = WEFT__STATE__UNPIN_REQUEST__INIT;
    ProtobufCMessage *message;
    request.user = weft__message_text(fetch->value->user);
    request.key = weft__message_text(fetch->value->key);
    request.epoch = fetch->value->at.epoch;
    request.pin = pin;
    struct weft_state_asked asked =
        asked_of(fetch, WEFT_STATE_UNPIN, &request.base, &weft__state__unpin_reply__descriptor);
    int err = weft__state_ask_main(fetch->value->state, &asked, &message);
    if (err != WEFT_OK)
        return err;
    if (!((const Weft__State__UnpinReply *)message)->held)
        err = weft_fail(WEFT_EAGAIN, "the read took too long");
    weft__message_free(message);
    return err;
}

static int fetch_pinned(struct fetch *fetch, const Weft__State__PullReply *reply)
{
    int err = WEFT_ENOTSUP;
    if (reply->lane[0] != '\0') {
        err = fetch_by_rma(fetch, reply);
        fetch->no_rma = err != WEFT_OK;
    }
    if (err != WEFT_OK)
        err = fetch_in_parts(fetch, reply->pin);
    int held = unpin(fetch, reply->pin);
    return err != WEFT_OK ? err : held;
}

/* ---- fetch ---- */

static int fetch_once(struct fetch *fetch)
{
    Weft__State__PullRequest request = WEFT__STATE__PULL_REQUEST__INIT;
    ProtobufCMessage *message;
    uint64_t now_ns = weft__now_ns(), left_ms = 1;
    if (fetch->deadline_ns > now_ns)
        left_ms += (fetch->deadline_ns - now_ns) / WEFT_NS_PER_MS;
    request.user = weft__message_text(fetch->value->user);
    request.key = weft__message_text(fetch->value->key);
    request.epoch = fetch->value->at.epoch;
    request.n_offsets = request.n_lengths = fetch->ranges_n;
    request.offsets = fetch->offsets;
    request.lengths = fetch->lengths;
    request.pin_ms = left_ms < WEFT_STATE_PIN_MAX_MS ? (uint32_t)left_ms : WEFT_STATE_PIN_MAX_MS;
    request.bulk = !fetch->no_rma && fetch->bytes >= fetch->value->state->desc.bulk_bytes &&
                   weft__state_lane(fetch->value->state) != NULL;
    struct weft_state_asked asked =
        asked_of(fetch, WEFT_STATE_PULL, &request.base, &weft__state__pull_reply__descriptor);
    int err = weft__state_ask_main(fetch->value->state, &asked, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__PullReply *reply = (const Weft__State__PullReply *)message;
    err = reply->pin != 0 ? fetch_pinned(fetch, reply) : scatter(fetch, &reply->data);
    fetch->size = reply->size;
    fetch->version = reply->version;
    weft__message_free(message);
    return err;
}

/* Notes what has come. */
static int fetched(struct fetch *fetch)
{
    struct weft_value *value = fetch->value;
    bool alone = weft__ranges_bytes(&value->present) == weft__ranges_bytes(&value->dirty);
    int err = WEFT_OK;
    for (size_t i = 0; i < fetch->ranges_n && err == WEFT_OK; i++)
        err = weft__ranges_add(&value->present, fetch->ranges[i].offset, fetch->ranges[i].len);
    if (alone)
        value->version = fetch->version;
    else if (value->version != fetch->version)
        value->version = 0;
    weft__counter_add(&value->state->pulls, 1);
    weft__counter_add(&value->state->bytes_pulled, fetch->bytes);
    return err;
}

static int fetch_batch(struct fetch *fetch)
{
    int err;
    fetch->bytes = 0;
    for (size_t i = 0; i < fetch->ranges_n; i++) {
        fetch->offsets[i] = fetch->ranges[i].offset;
        fetch->lengths[i] = fetch->ranges[i].len;
        fetch->bytes += fetch->ranges[i].len;
    }
    while ((err = fetch_once(fetch)) == WEFT_EAGAIN && weft__now_ns() < fetch->deadline_ns)
        weft__counter_add(&fetch->value->state->tried_again, 1);
    return err == WEFT_OK ? fetched(fetch) : err;
}

int weft__value_fetch(struct weft_value *value, const struct weft_ranges *ranges,
                      uint64_t deadline_ns, uint64_t *size_out)
{
    size_t most = ranges->n < WEFT_STATE_RANGES_MAX ? ranges->n : WEFT_STATE_RANGES_MAX;
    struct fetch fetch = {.value = value, .deadline_ns = deadline_ns, .size = value->size};
    int err = WEFT_OK;
    fetch.offsets = calloc(2 * most + 1, sizeof(*fetch.offsets));
    if (fetch.offsets == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to fetch %zu ranges", ranges->n);
    fetch.lengths = fetch.offsets + most;
    for (size_t at = 0; at < ranges->n && err == WEFT_OK; at += fetch.ranges_n) {
        fetch.ranges = &ranges->at[at];
        fetch.ranges_n = ranges->n - at < most ? ranges->n - at : most;
        err = fetch_batch(&fetch);
    }
    if (err == WEFT_OK)
        *size_out = fetch.size;
    free(fetch.offsets);
    return err;
}
