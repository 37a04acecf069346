/* What clients and hosts say, as messages and back.
 *
 * The bytes of some pushes are got by rma, through the same kind of endpoints. One thing does not
 * travel so: a part of a pinned value is asked for by message, as where there is no rma, since what
 * peers may get of a value is registered by the service's thread (src/state/server_share.c). Where
 * the pin has ended the message carries what rma would have read: the bytes as they are now.
 *
 * The correlation of a change carries its number too, by which the truth knows it.
 */
#include <stdio.h>
#include <string.h>

#include "state.h"
#include "weft/error.h"
#include "wire/state.pb-c.h"

#define USER weft__message_text("u")
#define KEY weft__message_text("k")

/* ---- a client asks ---- */

static void ask(struct sim *sim, uint32_t number, const struct event *request, uint16_t code,
                const ProtobufCMessage *message)
{
    struct weft_frame frame = {.call = code,
                               .correlation = (uint64_t)request->uid << 32 | request->call};
    net_request(sim->clients[number].end, host_url(request->to), &frame, message);
}

static void ask_resolve(struct sim *sim, uint32_t number, const struct event *request)
{
    Weft__State__ResolveRequest message = WEFT__STATE__RESOLVE_REQUEST__INIT;
    Weft__State__DropRequest drop = WEFT__STATE__DROP_REQUEST__INIT;
    message.user = drop.user = USER;
    message.key = drop.key = KEY;
    message.create = request->want == WEFT_CLAIM_CREATE;
    message.check = request->want == WEFT_CLAIM_CHECK;
    message.size = WORDS * 8;
    if (request->want == WEFT_CLAIM_DROP)
        ask(sim, number, request, WEFT_STATE_DROP, &drop.base);
    else
        ask(sim, number, request, WEFT_STATE_RESOLVE, &message.base);
}

static void ask_read(struct sim *sim, uint32_t number, const struct event *request)
{
    Weft__State__OpenRequest open = WEFT__STATE__OPEN_REQUEST__INIT;
    Weft__State__PullRequest pull = WEFT__STATE__PULL_REQUEST__INIT;
    Weft__State__PartRequest part = WEFT__STATE__PART_REQUEST__INIT;
    Weft__State__UnpinRequest unpin = WEFT__STATE__UNPIN_REQUEST__INIT;
    open.user = pull.user = part.user = unpin.user = USER;
    open.key = pull.key = part.key = unpin.key = KEY;
    open.epoch = pull.epoch = part.epoch = unpin.epoch = request->epoch;
    part.pin = unpin.pin = request->pin;
    part.length = WORDS * 8;
    pull.bulk = request->kind == EV_PIN;
    pull.pin_ms = 15;
    if (request->kind == EV_OPEN)
        ask(sim, number, request, WEFT_STATE_OPEN, &open.base);
    else if (request->kind == EV_PART)
        ask(sim, number, request, WEFT_STATE_PART, &part.base);
    else if (request->kind == EV_UNPIN)
        ask(sim, number, request, WEFT_STATE_UNPIN, &unpin.base);
    else
        ask(sim, number, request, WEFT_STATE_PULL, &pull.base);
}

static void ask_append(struct sim *sim, uint32_t number, const struct event *request)
{
    Weft__State__AppendRequest message = WEFT__STATE__APPEND_REQUEST__INIT;
    uint32_t uid = request->uid;
    message.user = USER;
    message.key = KEY;
    message.epoch = request->epoch;
    message.session = request->session;
    message.op = request->op;
    message.item = (ProtobufCBinaryData){sizeof(uid), (uint8_t *)&uid};
    ask(sim, number, request, WEFT_STATE_APPEND, &message.base);
}

/* The counter, or the number that stands twice, the second one first. */
static void ask_push(struct sim *sim, uint32_t number, const struct event *request)
{
    const struct net_share *share = &sim->clients[number].share;
    Weft__State__PushRequest message = WEFT__STATE__PUSH_REQUEST__INIT;
    bool increments = request->change == CHANGE_INCREMENT;
    uint64_t pair[] = {16, 8}, counter = 0, lengths[] = {8, 8};
    uint64_t data[] = {request->words[2], request->words[1]};
    if (increments)
        data[0] = request->words[0];
    message.user = USER;
    message.key = KEY;
    message.epoch = request->epoch;
    message.session = request->session;
    message.op = request->op;
    message.expected = request->expected;
    message.n_offsets = message.n_lengths = increments ? 1 : 2;
    message.offsets = increments ? &counter : pair;
    message.lengths = lengths;
    if (request->change == CHANGE_PAIR_SLOW) {
        message.lane = weft__message_text(share->address);
        message.rma_key = share->key.key;
        message.rma_base = share->key.base;
        message.rma_length = share->key.len_bytes;
    } else {
        message.data = (ProtobufCBinaryData){8 * message.n_lengths, (uint8_t *)data};
    }
    ask(sim, number, request, WEFT_STATE_PUSH, &message.base);
}

void wire_ask(struct sim *sim, uint32_t client, const struct event *request)
{
    Weft__State__DeleteRequest delete = WEFT__STATE__DELETE_REQUEST__INIT;
    switch (request->kind) {
    case EV_RESOLVE:
        ask_resolve(sim, client, request);
        break;
    case EV_CHANGE:
        if (request->change == CHANGE_APPEND)
            ask_append(sim, client, request);
        else
            ask_push(sim, client, request);
        break;
    case EV_DELETE:
        delete.user = USER;
        delete.key = KEY;
        delete.epoch = request->epoch;
        ask(sim, client, request, WEFT_STATE_DELETE, &delete.base);
        break;
    default:
        ask_read(sim, client, request);
        break;
    }
}

/* ---- a host is asked ---- */

static const ProtobufCMessageDescriptor *request_type(uint16_t code)
{
    switch (code) {
    case WEFT_STATE_RESOLVE:
        return &weft__state__resolve_request__descriptor;
    case WEFT_STATE_DROP:
        return &weft__state__drop_request__descriptor;
    case WEFT_STATE_OPEN:
        return &weft__state__open_request__descriptor;
    case WEFT_STATE_PULL:
        return &weft__state__pull_request__descriptor;
    case WEFT_STATE_PART:
        return &weft__state__part_request__descriptor;
    case WEFT_STATE_UNPIN:
        return &weft__state__unpin_request__descriptor;
    case WEFT_STATE_PUSH:
        return &weft__state__push_request__descriptor;
    case WEFT_STATE_APPEND:
        return &weft__state__append_request__descriptor;
    default:
        return &weft__state__delete_request__descriptor;
    }
}

static void read_push(const Weft__State__PushRequest *in, struct event *event)
{
    event->kind = EV_CHANGE;
    event->epoch = in->epoch;
    event->session = in->session;
    event->op = in->op;
    event->expected = in->expected;
    event->change = in->n_offsets == 1    ? CHANGE_INCREMENT
                    : in->lane[0] != '\0' ? CHANGE_PAIR_SLOW
                                          : CHANGE_PAIR;
    snprintf(event->lane, sizeof(event->lane), "%s", in->lane);
    event->key = (struct weft_tp_key){in->rma_key, in->rma_base, in->rma_length};
    for (size_t i = 0; i < in->n_offsets && 8 * i + 8 <= in->data.len; i++)
        memcpy(&event->words[in->offsets[i] / 8 % WORDS], in->data.data + 8 * i, 8);
}

static void read_append(const Weft__State__AppendRequest *in, struct event *event)
{
    event->kind = EV_CHANGE;
    event->change = CHANGE_APPEND;
    event->epoch = in->epoch;
    event->session = in->session;
    event->op = in->op;
    if (in->item.len == sizeof(event->uid))
        memcpy(&event->uid, in->item.data, sizeof(event->uid));
}

static void read_request(uint16_t code, const ProtobufCMessage *message, struct event *event)
{
    switch (code) {
    case WEFT_STATE_RESOLVE: {
        const Weft__State__ResolveRequest *in = (const Weft__State__ResolveRequest *)message;
        event->kind = EV_RESOLVE;
        event->want = in->create  ? WEFT_CLAIM_CREATE
                      : in->check ? WEFT_CLAIM_CHECK
                                  : WEFT_CLAIM_FIND;
        break;
    }
    case WEFT_STATE_DROP:
        event->kind = EV_RESOLVE;
        event->want = WEFT_CLAIM_DROP;
        break;
    case WEFT_STATE_OPEN:
        event->kind = EV_OPEN;
        event->epoch = ((const Weft__State__OpenRequest *)message)->epoch;
        break;
    case WEFT_STATE_PULL: {
        const Weft__State__PullRequest *in = (const Weft__State__PullRequest *)message;
        event->kind = in->bulk ? EV_PIN : EV_PULL;
        event->epoch = in->epoch;
        event->pin_ms = in->pin_ms;
        break;
    }
    case WEFT_STATE_PART:
        event->kind = EV_PART;
        event->epoch = ((const Weft__State__PartRequest *)message)->epoch;
        event->pin = ((const Weft__State__PartRequest *)message)->pin;
        break;
    case WEFT_STATE_UNPIN:
        event->kind = EV_UNPIN;
        event->epoch = ((const Weft__State__UnpinRequest *)message)->epoch;
        event->pin = ((const Weft__State__UnpinRequest *)message)->pin;
        break;
    case WEFT_STATE_PUSH:
        read_push((const Weft__State__PushRequest *)message, event);
        break;
    case WEFT_STATE_APPEND:
        read_append((const Weft__State__AppendRequest *)message, event);
        break;
    default:
        event->kind = EV_DELETE;
        event->epoch = ((const Weft__State__DeleteRequest *)message)->epoch;
        break;
    }
}

static uint32_t question_new(struct sim *sim, uint32_t host, const struct net_question *question)
{
    uint32_t i = 0;
    while (i < QUESTIONS_MAX && sim->questions[i].used)
        i++;
    if (i == QUESTIONS_MAX)
        sim_fail(sim, "the simulation has too many questions");
    else
        sim->questions[i] = (struct question){true, host, *question};
    return i;
}

void host_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct host *host = ctx;
    struct sim *sim = host->sim;
    uint32_t number = (uint32_t)(host - sim->hosts);
    ProtobufCMessage *message = net_unpack(&sim->net, frame, request_type(frame->call));
    if (message == NULL)
        return;
    struct event event = {.to = number,
                          .from = question_new(sim, number, question),
                          .uid = (uint32_t)(frame->correlation >> 32)};
    read_request(frame->call, message, &event);
    weft__message_free(message);
    if (!sim->failed)
        host_on(sim, &event);
}

/* ---- a host answers ---- */

static void pack_resolve(struct net_end *end, const struct net_question *to,
                         const struct event *reply)
{
    Weft__State__ResolveReply message = WEFT__STATE__RESOLVE_REPLY__INIT;
    if (reply->epoch != 0) {
        message.host = weft__message_text(host_name(reply->main));
        message.url = message.async_url = weft__message_text(host_url(reply->main));
    }
    message.epoch = reply->epoch;
    net_reply(end, to, &message.base);
}

static void pack_pull(struct net_end *end, const struct net_question *to, const struct event *reply)
{
    Weft__State__PullReply message = WEFT__STATE__PULL_REPLY__INIT;
    message.size = WORDS * 8;
    message.version = reply->version;
    message.pin = reply->pin;
    if (reply->pin == 0)
        message.data = (ProtobufCBinaryData){WORDS * 8, (uint8_t *)(uintptr_t)reply->words};
    net_reply(end, to, &message.base);
}

static void pack_change(struct net_end *end, const struct net_question *to,
                        const struct event *reply)
{
    Weft__State__ChangeReply message = WEFT__STATE__CHANGE_REPLY__INIT;
    message.outcome = reply->result;
    message.version = reply->version;
    net_reply(end, to, &message.base);
}

static void pack(struct net_end *end, const struct net_question *to, const struct event *reply)
{
    Weft__State__OpenReply open = WEFT__STATE__OPEN_REPLY__INIT;
    Weft__State__PartReply part = WEFT__STATE__PART_REPLY__INIT;
    Weft__State__UnpinReply unpin = WEFT__STATE__UNPIN_REPLY__INIT;
    switch (to->call) {
    case WEFT_STATE_RESOLVE:
        pack_resolve(end, to, reply);
        break;
    case WEFT_STATE_OPEN:
        open.session = reply->session;
        net_reply(end, to, &open.base);
        break;
    case WEFT_STATE_PULL:
        pack_pull(end, to, reply);
        break;
    case WEFT_STATE_PART:
        part.data = (ProtobufCBinaryData){WORDS * 8, (uint8_t *)(uintptr_t)reply->words};
        part.ended = !reply->held;
        net_reply(end, to, &part.base);
        break;
    case WEFT_STATE_UNPIN:
        unpin.held = reply->held;
        net_reply(end, to, &unpin.base);
        break;
    case WEFT_STATE_PUSH:
    case WEFT_STATE_APPEND:
        pack_change(end, to, reply);
        break;
    default:
        net_reply(end, to, NULL);
        break;
    }
}

void wire_answer(struct sim *sim, uint32_t question, const struct event *reply)
{
    struct question *asked = &sim->questions[question];
    struct net_end *end = sim->hosts[asked->host].end;
    if (!asked->used) {
        sim_fail(sim, "a question is answered twice");
        return;
    }
    asked->used = false;
    if (reply->err != WEFT_OK)
        net_refuse(end, &asked->is, reply->err, NULL);
    else
        pack(end, &asked->is, reply);
}

/* ---- a client is answered ---- */

static const ProtobufCMessageDescriptor *reply_type(uint16_t code)
{
    switch (code) {
    case WEFT_STATE_RESOLVE:
        return &weft__state__resolve_reply__descriptor;
    case WEFT_STATE_OPEN:
        return &weft__state__open_reply__descriptor;
    case WEFT_STATE_PULL:
        return &weft__state__pull_reply__descriptor;
    case WEFT_STATE_PART:
        return &weft__state__part_reply__descriptor;
    case WEFT_STATE_UNPIN:
        return &weft__state__unpin_reply__descriptor;
    case WEFT_STATE_PUSH:
    case WEFT_STATE_APPEND:
        return &weft__state__change_reply__descriptor;
    default:
        return NULL; /* it says nothing */
    }
}

static void read_words(const ProtobufCBinaryData *data, struct event *event)
{
    if (data->len == sizeof(event->words))
        memcpy(event->words, data->data, sizeof(event->words));
}

static void read_reply(uint16_t code, const ProtobufCMessage *message, struct event *event)
{
    if (code == WEFT_STATE_RESOLVE) {
        const Weft__State__ResolveReply *in = (const Weft__State__ResolveReply *)message;
        event->main = in->host[0] != '\0' ? (uint32_t)(in->host[0] - 'a') % HOSTS : 0;
        event->epoch = in->epoch;
    } else if (code == WEFT_STATE_OPEN) {
        event->session = ((const Weft__State__OpenReply *)message)->session;
    } else if (code == WEFT_STATE_PULL) {
        const Weft__State__PullReply *in = (const Weft__State__PullReply *)message;
        event->version = in->version;
        event->pin = in->pin;
        read_words(&in->data, event);
    } else if (code == WEFT_STATE_PART) {
        const Weft__State__PartReply *in = (const Weft__State__PartReply *)message;
        event->held = !in->ended;
        read_words(&in->data, event);
    } else if (code == WEFT_STATE_UNPIN) {
        event->held = ((const Weft__State__UnpinReply *)message)->held;
    } else {
        const Weft__State__ChangeReply *in = (const Weft__State__ChangeReply *)message;
        event->result = in->outcome;
        event->version = in->version;
    }
}

void client_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct client *client = ctx;
    struct sim *sim = client->sim;
    struct event event = {.kind = EV_ANSWER,
                          .to = (uint32_t)(client - sim->clients),
                          .call = (uint32_t)frame->correlation,
                          .err = frame->error};
    (void)question;
    if (event.call != client->call)
        return; /* of an earlier try */
    if (frame->error == WEFT_OK && reply_type(frame->call) != NULL) {
        ProtobufCMessage *message = net_unpack(&sim->net, frame, reply_type(frame->call));
        if (message == NULL)
            return;
        read_reply(frame->call, message, &event);
        weft__message_free(message);
    }
    client_on(sim, &event);
}
