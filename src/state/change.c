/* Bringing changes to the main.
 *
 * Each change takes the next number of the replica's session, and is sent with that number until it
 * is answered. Little is sent in the message. Much is offered by rma from where it lies, and the
 * main gets it; or it is sent in pieces first, where there is no rma. Either way the main makes it
 * at once, or not at all. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/client.h"
#include "state/replica.h"
#include "weft/error.h"
#include "wire/message.h"

/* A change on its way: where its request keeps the numbers. */
struct change {
    struct weft_value *value;
    uint16_t code;
    const ProtobufCMessage *request;
    uint64_t *session, *op;
    uint64_t deadline_ns;
    /* what has to go before, in pieces; NULL: nothing */
    const unsigned char *pieces;
    uint64_t pieces_len;
    /* out */
    uint64_t version, items, size;
};

static struct weft_state_asked asked_of(const struct change *change, uint16_t code,
                                        const ProtobufCMessage *request)
{
    return (struct weft_state_asked){.user = change->value->user,
                                     .key = change->value->key,
                                     .at = &change->value->at,
                                     .code = code,
                                     .request = request,
                                     .reply_type = &weft__state__change_reply__descriptor,
                                     .deadline_ns = change->deadline_ns};
}

/* Asks once; *result_out: enum weft_state_result. */
static int ask(struct change *change, struct weft_state_asked *asked, uint32_t *result_out)
{
    ProtobufCMessage *message;
    int err = weft__state_ask_main(change->value->state, asked, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__ChangeReply *reply = (const Weft__State__ChangeReply *)message;
    *result_out = reply->outcome;
    change->version = reply->version;
    change->items = reply->items;
    change->size = reply->size;
    weft__message_free(message);
    return WEFT_OK;
}

static int send_pieces(struct change *change, uint32_t *result_out)
{
    Weft__State__StageRequest request = WEFT__STATE__STAGE_REQUEST__INIT;
    int err = WEFT_OK;
    *result_out = WEFT_STATE_MADE;
    request.user = weft__message_text(change->value->user);
    request.key = weft__message_text(change->value->key);
    request.epoch = change->value->at.epoch;
    request.session = *change->session;
    request.op = *change->op;
    request.total = change->pieces_len;
    struct weft_state_asked asked = asked_of(change, WEFT_STATE_STAGE, &request.base);
    while (err == WEFT_OK && request.offset < request.total && *result_out == WEFT_STATE_MADE) {
        uint64_t left = request.total - request.offset;
        request.data.len = left < WEFT_STATE_INLINE_MAX ? left : WEFT_STATE_INLINE_MAX;
        request.data.data = (uint8_t *)(uintptr_t)(change->pieces + request.offset);
        err = ask(change, &asked, result_out);
        request.offset += request.data.len;
    }
    return err;
}

static int forgotten(const struct weft_value *value)
{
    return weft_fail(WEFT_ETIMEDOUT,
                     "host %s has forgotten this replica of state %s/%s while a change was under "
                     "way: it may have been made or not",
                     value->at.host, value->user, value->key);
}

static int run(struct change *change)
{
    struct weft_value *value = change->value;
    uint32_t result = WEFT_STATE_MADE;
    uint64_t size, version;
    int err = WEFT_OK;
    for (;;) {
        struct weft_state_asked asked = asked_of(change, change->code, change->request);
        *change->session = value->session;
        *change->op = ++value->op;
        if (change->pieces != NULL)
            err = send_pieces(change, &result);
        if (err == WEFT_OK && result != WEFT_STATE_NO_SESSION)
            err = ask(change, &asked, &result);
        if (err != WEFT_OK)
            return err;
        if (result != WEFT_STATE_NO_SESSION)
            break;
        if (asked.tries > 1)
            return forgotten(value);
        result = WEFT_STATE_MADE;
        err = weft__value_session(value, change->deadline_ns, &size, &version);
        if (err != WEFT_OK)
            return err;
    }
    if (result == WEFT_STATE_OTHER_VERSION)
        return weft_fail(WEFT_ESTALE,
                         "state %s/%s has version %llu now: pull, change it again, push again",
                         value->user, value->key, (unsigned long long)change->version);
    return WEFT_OK;
}

/* ---- push ---- */

struct push {
    struct change change;
    Weft__State__PushRequest request;
    const struct weft_range64 *ranges;
    size_t ranges_n;
    uint64_t bytes;
    unsigned char *gathered; /* the bytes of several ranges; NULL: one range */
    const unsigned char *from;
};

static int push_init(struct push *push, struct weft_value *value)
{
    Weft__State__PushRequest *request = &push->request;
    weft__state__push_request__init(request);
    push->change = (struct change){.value = value,
                                   .code = WEFT_STATE_PUSH,
                                   .request = &request->base,
                                   .session = &request->session,
                                   .op = &request->op,
                                   .deadline_ns = weft__state_deadline(value->state)};
    request->user = weft__message_text(value->user);
    request->key = weft__message_text(value->key);
    request->epoch = value->at.epoch;
    request->offsets = calloc(2 * push->ranges_n, sizeof(*request->offsets));
    if (request->offsets == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to push %zu ranges", push->ranges_n);
    request->lengths = request->offsets + push->ranges_n;
    request->n_offsets = request->n_lengths = push->ranges_n;
    push->bytes = 0;
    for (size_t i = 0; i < push->ranges_n; i++) {
        request->offsets[i] = push->ranges[i].offset;
        request->lengths[i] = push->ranges[i].len;
        push->bytes += push->ranges[i].len;
    }
    return WEFT_OK;
}

static int gather(struct push *push)
{
    const struct weft_value *value = push->change.value;
    push->gathered = NULL;
    push->from = value->bytes + push->ranges[0].offset;
    if (push->ranges_n == 1)
        return WEFT_OK;
    push->gathered = malloc(push->bytes);
    if (push->gathered == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to push %llu bytes of %zu ranges",
                         (unsigned long long)push->bytes, push->ranges_n);
    push->from = push->gathered;
    for (size_t i = 0, at = 0; i < push->ranges_n; at += push->ranges[i++].len)
        memcpy(push->gathered + at, value->bytes + push->ranges[i].offset, push->ranges[i].len);
    return WEFT_OK;
}

/* The main gets the bytes.  Errors: WEFT_EIO that was not possible; nothing was changed. */
static int push_by_rma(struct push *push, struct weft_lane *lane)
{
    struct weft_lane_region *region;
    struct weft_lane_key key;
    int err = weft__lane_register(lane, (void *)(uintptr_t)push->from, push->bytes, WEFT_TP_READ,
                                  &region, &key);
    if (err != WEFT_OK)
        return WEFT_EIO;
    push->request.lane = weft__message_text(weft__lane_address(lane));
    push->request.rma_key = key.tp.key;
    push->request.rma_base = key.tp.base;
    push->request.rma_length = key.tp.len_bytes;
    err = run(&push->change);
    weft__lane_unregister(lane, region);
    push->request.lane = weft__message_text("");
    if (err == WEFT_OK)
        weft__counter_add(&push->change.value->state->bulk_pushes, 1);
    return err;
}

static int push_run(struct push *push)
{
    struct weft_state *state = push->change.value->state;
    struct weft_lane *lane = push->bytes >= state->desc.bulk_bytes ? weft__state_lane(state) : NULL;
    int err = gather(push);
    if (err != WEFT_OK)
        return err;
    err = lane != NULL ? push_by_rma(push, lane) : WEFT_EIO;
    if (err == WEFT_EIO && push->bytes <= WEFT_STATE_INLINE_MAX) {
        push->request.data = (ProtobufCBinaryData){push->bytes, (uint8_t *)(uintptr_t)push->from};
        err = run(&push->change);
    } else if (err == WEFT_EIO) {
        push->request.staged = true;
        push->change.pieces = push->from;
        push->change.pieces_len = push->bytes;
        err = run(&push->change);
    }
    free(push->gathered);
    return err;
}

/* The main has taken these ranges. */
static int pushed(const struct push *push)
{
    struct weft_value *value = push->change.value;
    int err = WEFT_OK;
    for (size_t i = 0; i < push->ranges_n && err == WEFT_OK; i++)
        err = weft__ranges_add(&value->present, push->ranges[i].offset, push->ranges[i].len);
    bool whole = push->ranges_n == 1 && push->ranges[0].len == value->size;
    if (whole || value->version + 1 == push->change.version)
        value->version = push->change.version;
    else
        value->version = 0;
    weft__counter_add(&value->state->pushes, 1);
    weft__counter_add(&value->state->bytes_pushed, push->bytes);
    return err;
}

/* Sends ranges, which are dirty no longer then; too many go in several changes. */
static int send(struct weft_value *value, const struct weft_ranges *ranges, uint64_t expected)
{
    int err = WEFT_OK;
    if (expected != 0 && ranges->n > WEFT_STATE_RANGES_MAX)
        return weft_fail(WEFT_ERANGE, "%zu separate ranges cannot be pushed as one change; %d can",
                         ranges->n, WEFT_STATE_RANGES_MAX);
    for (size_t at = 0; at < ranges->n && err == WEFT_OK;) {
        size_t left = ranges->n - at;
        struct push push = {.ranges = &ranges->at[at],
                            .ranges_n =
                                left < WEFT_STATE_RANGES_MAX ? left : WEFT_STATE_RANGES_MAX};
        err = push_init(&push, value);
        push.request.expected = expected;
        if (err == WEFT_OK)
            err = push_run(&push);
        if (err == WEFT_OK)
            err = pushed(&push);
        free(push.request.offsets);
        at += push.ranges_n;
    }
    return err;
}

static int push_dirty(struct weft_value *value, uint64_t expected)
{
    pthread_mutex_lock(&value->lock);
    int err = value->dirty.n > 0 ? send(value, &value->dirty, expected) : WEFT_OK;
    if (err == WEFT_OK)
        weft__ranges_clear(&value->dirty);
    pthread_mutex_unlock(&value->lock);
    return err;
}

int weft_value_push(struct weft_value *value)
{
    return push_dirty(value, 0);
}

int weft_value_push_if(struct weft_value *value, uint64_t version)
{
    if (version == 0)
        return weft_fail(WEFT_EINVAL, "no version to compare with: pull the whole value first");
    return push_dirty(value, version);
}

/* Makes sure that all of it is here; with the lock. */
static int have_all(struct weft_value *value)
{
    struct weft_ranges missing = {0};
    uint64_t size;
    int err = weft__ranges_missing(&value->present, 0, value->size, &missing);
    if (err == WEFT_OK && missing.n > 0)
        err = weft__value_fetch(value, &missing, weft__state_deadline(value->state), &size);
    weft__ranges_fini(&missing);
    return err;
}

int weft_value_push_all(struct weft_value *value)
{
    struct weft_range64 all = {.offset = 0};
    struct weft_ranges ranges = {.at = &all, .n = 1, .room = 1};
    int err = WEFT_OK;
    pthread_mutex_lock(&value->lock);
    if (value->dirty.n > 0) {
        all.len = value->size;
        err = have_all(value);
        if (err == WEFT_OK)
            err = send(value, &ranges, 0);
        if (err == WEFT_OK)
            weft__ranges_clear(&value->dirty);
    }
    pthread_mutex_unlock(&value->lock);
    return err;
}

/* The runs of bytes that are not 0. */
static int runs_of(const unsigned char *mask, uint64_t size, struct weft_ranges *out)
{
    int err = WEFT_OK;
    for (uint64_t at = 0, end; at < size && err == WEFT_OK; at = end) {
        while (at < size && mask[at] == 0)
            at++;
        for (end = at; end < size && mask[end] != 0;)
            end++;
        err = weft__ranges_add(out, at, end - at);
    }
    return err;
}

/* With both locks. */
static int push_masked(struct weft_value *value, struct weft_value *mask)
{
    struct weft_ranges runs = {0};
    int err = value->size != mask->size
                  ? weft_fail(WEFT_EINVAL, "a mask of %llu bytes for a value of %llu",
                              (unsigned long long)mask->size, (unsigned long long)value->size)
                  : have_all(mask);
    if (err == WEFT_OK)
        err = runs_of(mask->bytes, mask->size, &runs);
    if (err == WEFT_OK && runs.n > 0)
        err = have_all(value);
    if (err == WEFT_OK && runs.n > 0)
        err = send(value, &runs, 0);
    if (err == WEFT_OK)
        weft__ranges_clear(&value->dirty);
    weft__ranges_fini(&runs);
    return err;
}

int weft_value_push_mask(struct weft_value *value, struct weft_value *mask)
{
    if (value == mask)
        return weft_fail(WEFT_EINVAL, "a value cannot be its own mask");
    struct weft_value *first = value < mask ? value : mask, *second = value < mask ? mask : value;
    pthread_mutex_lock(&first->lock); /* two replicas: the lower address first */
    pthread_mutex_lock(&second->lock);
    int err = push_masked(value, mask);
    pthread_mutex_unlock(&second->lock);
    pthread_mutex_unlock(&first->lock);
    return err;
}

int weft_value_push_async(struct weft_value *value, uint64_t offset, const void *from,
                          size_t len_bytes)
{
    Weft__State__PushRequest request = WEFT__STATE__PUSH_REQUEST__INIT;
    uint64_t len = len_bytes;
    if (len_bytes > WEFT_STATE_ITEM_MAX)
        return weft_fail(WEFT_EMSGSIZE, "%zu bytes are too many to post; %u at most", len_bytes,
                         WEFT_STATE_ITEM_MAX);
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.epoch = value->at.epoch;
    request.n_offsets = request.n_lengths = 1;
    request.offsets = &offset;
    request.lengths = &len;
    request.data = (ProtobufCBinaryData){len_bytes, (uint8_t *)(uintptr_t)from};
    pthread_mutex_lock(&value->lock);
    int err = weft__value_check(value, offset, len);
    if (err == WEFT_OK)
        err = weft__client_push(value->state->desc.client, value->at.async_url, WEFT_STATE_PUSH,
                                &request.base);
    if (err == WEFT_OK) {
        memcpy(value->bytes + offset, from, len_bytes);
        err = weft__ranges_add(&value->present, offset, len);
        if (err == WEFT_OK)
            err = weft__ranges_remove(&value->dirty, offset, len);
        value->version = 0;
        weft__counter_add(&value->state->asyncs, 1);
    }
    pthread_mutex_unlock(&value->lock);
    return err;
}

int weft_value_resize(struct weft_value *value, uint64_t size_bytes)
{
    Weft__State__ResizeRequest request = WEFT__STATE__RESIZE_REQUEST__INIT;
    struct change change = {.value = value,
                            .code = WEFT_STATE_RESIZE,
                            .request = &request.base,
                            .session = &request.session,
                            .op = &request.op,
                            .deadline_ns = weft__state_deadline(value->state)};
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.size = size_bytes;
    pthread_mutex_lock(&value->lock);
    request.epoch = value->at.epoch;
    int err = run(&change);
    if (err == WEFT_OK)
        err = weft__value_fit(value, size_bytes);
    if (err == WEFT_OK)
        value->version = value->version + 1 == change.version ? change.version : 0;
    pthread_mutex_unlock(&value->lock);
    return err;
}

/* ---- items ---- */

int weft_value_append(struct weft_value *value, const void *item, size_t len_bytes,
                      uint64_t *count_out)
{
    Weft__State__AppendRequest request = WEFT__STATE__APPEND_REQUEST__INIT;
    struct change change = {.value = value,
                            .code = WEFT_STATE_APPEND,
                            .request = &request.base,
                            .session = &request.session,
                            .op = &request.op,
                            .deadline_ns = weft__state_deadline(value->state)};
    if (len_bytes == 0 || len_bytes > WEFT_STATE_ITEM_MAX)
        return weft_fail(WEFT_EINVAL, "an item has 1 to %u bytes, not %zu", WEFT_STATE_ITEM_MAX,
                         len_bytes);
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.item = (ProtobufCBinaryData){len_bytes, (uint8_t *)(uintptr_t)item};
    pthread_mutex_lock(&value->lock);
    request.epoch = value->at.epoch;
    int err = run(&change);
    pthread_mutex_unlock(&value->lock);
    weft__counter_add(&value->state->appends, 1);
    if (err == WEFT_OK && count_out != NULL)
        *count_out = change.items;
    return err;
}

int weft_value_append_async(struct weft_value *value, const void *item, size_t len_bytes)
{
    Weft__State__AppendRequest request = WEFT__STATE__APPEND_REQUEST__INIT;
    if (len_bytes == 0 || len_bytes > WEFT_STATE_ITEM_MAX)
        return weft_fail(WEFT_EINVAL, "an item has 1 to %u bytes, not %zu", WEFT_STATE_ITEM_MAX,
                         len_bytes);
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.epoch = value->at.epoch;
    request.item = (ProtobufCBinaryData){len_bytes, (uint8_t *)(uintptr_t)item};
    weft__counter_add(&value->state->asyncs, 1);
    return weft__client_push(value->state->desc.client, value->at.async_url, WEFT_STATE_APPEND,
                             &request.base);
}

int weft_value_items(struct weft_value *value, const struct weft_value_items *items,
                     uint64_t *total_out)
{
    Weft__State__ItemsRequest request = WEFT__STATE__ITEMS_REQUEST__INIT;
    struct weft_state_asked asked = {.user = value->user,
                                     .key = value->key,
                                     .at = &value->at,
                                     .code = WEFT_STATE_ITEMS,
                                     .request = &request.base,
                                     .reply_type = &weft__state__items_reply__descriptor,
                                     .deadline_ns = weft__state_deadline(value->state)};
    uint64_t total = 0;
    bool more = true;
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.epoch = value->at.epoch;
    request.first = items->first;
    request.n = items->n;
    while (more) {
        ProtobufCMessage *message;
        int err = weft__state_ask_main(value->state, &asked, &message);
        if (err != WEFT_OK)
            return err;
        const Weft__State__ItemsReply *reply = (const Weft__State__ItemsReply *)message;
        for (size_t i = 0; i < reply->n_items && i < request.n; i++)
            items->each(items->ctx, request.first + i, reply->items[i].data, reply->items[i].len);
        total = reply->total;
        more = reply->n_items > 0 && reply->n_items < request.n;
        request.first += reply->n_items;
        request.n -= more ? reply->n_items : 0;
        more = more && request.first < total;
        weft__message_free(message);
    }
    if (total_out != NULL)
        *total_out = total;
    return WEFT_OK;
}

int weft_value_clear_items(struct weft_value *value)
{
    Weft__State__ClearRequest request = WEFT__STATE__CLEAR_REQUEST__INIT;
    struct change change = {.value = value,
                            .code = WEFT_STATE_CLEAR,
                            .request = &request.base,
                            .session = &request.session,
                            .op = &request.op,
                            .deadline_ns = weft__state_deadline(value->state)};
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    pthread_mutex_lock(&value->lock);
    request.epoch = value->at.epoch;
    int err = run(&change);
    pthread_mutex_unlock(&value->lock);
    return err;
}
