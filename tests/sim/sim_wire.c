/* Messages as the bytes that real processes send each other: control frames with the protobuf
 * bodies of the move protocol, of route questions and of the registry, and packets of lanes with
 * their header of 56 bytes.
 *
 * Which of a place's parties a frame is for, and whose it is, stands where a client's number and
 * its sequence stand otherwise: the simulation has one end per place, a cluster has a port per
 * process. A lane's packets travel as bodies of frames for the same reason. What cannot be packed,
 * or is not what was packed when it arrives, ends the run. In runs over endpoints each place has
 * one end, whose faults (loss, delay, doubles, order) are those of a decorator around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "host/calls.h"
#include "host/move_wire.h"
#include "registry/registry.h"
#include "sim.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"
#include "wire/registry.pb-c.h"

#define CALL_PACKET 0x0f00u /* a packet is the body */

static const char *const names[SIM_PLACE_REGISTRY + 1] = {"h0", "h1", "h2", "h3", "h4", "r"};
static const char *const urls[SIM_PLACE_REGISTRY + 1] = {"h0:2", "h1:2", "h2:2",
                                                         "h3:2", "h4:2", "r:2"};

/* ---- packing ---- */

struct bytes {
    uint8_t *data;
    size_t len;
};

static struct weft_frame frame_of(const struct sim_event *event, uint16_t call)
{
    return (struct weft_frame){.call = call, .client = event->to, .sequence = event->from};
}

static void pack(struct sim *sim, struct weft_frame frame, const ProtobufCMessage *message,
                 struct bytes *out)
{
    if (weft__message_frame(&frame, message, &out->data, &out->len) != WEFT_OK)
        sim_fail(sim, "a message cannot be packed: %s", weft_fail_text(WEFT_EMSGSIZE));
}

static void pack_move(struct sim *sim, const struct sim_event *event, struct bytes *out)
{
    Weft__Host__MoveMessage twin;
    weft__move_pack(&event->message, sim->seed, &twin);
    pack(sim, frame_of(event, WEFT_CALL_MOVE), &twin.base, out);
}

static void pack_route_ask(struct sim *sim, const struct sim_event *event, struct bytes *out)
{
    Weft__Host__RouteWanted message = WEFT__HOST__ROUTE_WANTED__INIT;
    message.app = event->to;
    message.rank = event->rank;
    message.process = event->from;
    pack(sim, frame_of(event, WEFT_CALL_ROUTE_WANTED), &message.base, out);
}

static char *text_of(const struct sim_question *question)
{
    return weft__message_text(question->key);
}

static ProtobufCBinaryData value_of(const struct sim_question *question)
{
    return (ProtobufCBinaryData){question->value_len, (uint8_t *)(uintptr_t)question->value};
}

static void pack_registry(struct sim *sim, const struct sim_event *event, struct bytes *out)
{
    const struct sim_question *question = &event->registry;
    Weft__Registry__GetRequest get = WEFT__REGISTRY__GET_REQUEST__INIT;
    Weft__Registry__CasRequest cas = WEFT__REGISTRY__CAS_REQUEST__INIT;
    Weft__Registry__CasReply reply = WEFT__REGISTRY__CAS_REPLY__INIT;
    struct weft_frame frame = frame_of(event, WEFT_REGISTRY_CAS);
    frame.correlation = question->correlation;
    if (event->kind == SIM_GET) {
        frame.call = WEFT_REGISTRY_GET;
        get.key = text_of(question);
        pack(sim, frame, &get.base, out);
    } else if (event->kind == SIM_CAS) {
        cas.key = text_of(question);
        cas.expected = question->revision;
        cas.value = value_of(question);
        pack(sim, frame, &cas.base, out);
    } else {
        frame.flags = WEFT_FRAME_REPLY;
        reply.won = question->won;
        reply.revision = question->revision;
        reply.value = value_of(question);
        reply.epoch = event->epoch;
        pack(sim, frame, &reply.base, out);
    }
}

static void pack_packet(struct sim *sim, const struct sim_event *event, struct bytes *out)
{
    uint8_t body[WEFT_PACKET_HEADER_BYTES + WEFT_PACKET_ROUTE_BYTES_MAX];
    struct weft_packet_header header = event->packet.header;
    struct weft_packet_route route = {.process = event->packet.entry.process,
                                      .incarnation = event->packet.entry.incarnation};
    uint8_t *payload = body + WEFT_PACKET_HEADER_BYTES;
    if (header.type == WEFT_PACKET_ROUTE)
        header.payload_len = (uint32_t)weft__packet_route_encode(&route, payload);
    else if (header.type == WEFT_PACKET_DATA)
        memcpy(payload, &event->packet.number, sizeof(event->packet.number));
    weft__packet_encode(&header, body);
    struct weft_frame frame = frame_of(event, CALL_PACKET);
    frame.body_len = WEFT_PACKET_HEADER_BYTES + header.payload_len;
    out->len = WEFT_FRAME_HEADER_BYTES + frame.body_len;
    out->data = malloc(out->len);
    weft__check(out->data != NULL);
    weft__frame_encode_header(&frame, out->data);
    memcpy(out->data + WEFT_FRAME_HEADER_BYTES, body, frame.body_len);
    (void)sim;
}

/* Owns: out->data is the caller's; free(). */
static void encode(struct sim *sim, const struct sim_event *event, struct bytes *out)
{
    *out = (struct bytes){NULL, 0};
    if (event->kind == SIM_MOVE_MESSAGE)
        pack_move(sim, event, out);
    else if (event->kind == SIM_PACKET)
        pack_packet(sim, event, out);
    else if (event->kind == SIM_ROUTE_ASK)
        pack_route_ask(sim, event, out);
    else
        pack_registry(sim, event, out);
}

/* ---- unpacking ---- */

static int unpack_move(const struct weft_frame *frame, struct sim_event *event)
{
    ProtobufCMessage *message = NULL;
    int err = weft__message_decode(&weft__host__move_message__descriptor, frame->body,
                                   frame->body_len, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__Host__MoveMessage *twin = (const Weft__Host__MoveMessage *)message;
    enum weft_move_role role = weft__move_receiver((enum weft_move_kind)twin->kind);
    event->kind = SIM_MOVE_MESSAGE;
    err = weft__move_unpack(twin, role, &event->message);
    event->rank = (uint8_t)twin->rank;
    weft__message_free(message);
    return err;
}

static int unpack_route_ask(const struct weft_frame *frame, struct sim_event *event)
{
    ProtobufCMessage *message = NULL;
    int err = weft__message_decode(&weft__host__route_wanted__descriptor, frame->body,
                                   frame->body_len, &message);
    if (err != WEFT_OK)
        return err;
    event->kind = SIM_ROUTE_ASK;
    event->rank = (uint8_t)((const Weft__Host__RouteWanted *)message)->rank;
    weft__message_free(message);
    return WEFT_OK;
}

static void take_value(struct sim_question *question, ProtobufCBinaryData value)
{
    weft__check(value.len <= sizeof(question->value));
    question->value_len = (uint8_t)value.len;
    if (value.len > 0)
        memcpy(question->value, value.data, value.len);
}

static void take_key(struct sim_question *question, const char *key)
{
    snprintf(question->key, sizeof(question->key), "%s", key);
}

static void take_registry(const ProtobufCMessage *message, struct sim_event *event)
{
    struct sim_question *question = &event->registry;
    if (event->kind == SIM_GET) {
        take_key(question, ((const Weft__Registry__GetRequest *)message)->key);
    } else if (event->kind == SIM_CAS) {
        const Weft__Registry__CasRequest *cas = (const Weft__Registry__CasRequest *)message;
        take_key(question, cas->key);
        question->revision = cas->expected;
        take_value(question, cas->value);
    } else {
        const Weft__Registry__CasReply *reply = (const Weft__Registry__CasReply *)message;
        question->won = reply->won;
        question->revision = reply->revision;
        take_value(question, reply->value);
        event->epoch = reply->epoch;
    }
}

static int unpack_registry(const struct weft_frame *frame, struct sim_event *event)
{
    const ProtobufCMessageDescriptor *type = &weft__registry__cas_reply__descriptor;
    ProtobufCMessage *message = NULL;
    event->kind = SIM_ANSWER;
    if (!(frame->flags & WEFT_FRAME_REPLY)) {
        bool get = frame->call == WEFT_REGISTRY_GET;
        event->kind = get ? SIM_GET : SIM_CAS;
        type = get ? &weft__registry__get_request__descriptor
                   : &weft__registry__cas_request__descriptor;
    }
    int err = weft__message_decode(type, frame->body, frame->body_len, &message);
    if (err != WEFT_OK)
        return err;
    event->registry = (struct sim_question){.correlation = frame->correlation};
    take_registry(message, event);
    weft__message_free(message);
    return WEFT_OK;
}

static int unpack_packet(const struct weft_frame *frame, struct sim_event *event)
{
    struct sim_packet *packet = &event->packet;
    struct weft_packet_route route;
    const uint8_t *payload;
    event->kind = SIM_PACKET;
    int err =
        weft__packet_decode(frame->body, frame->body_len, SIM_RANKS_MAX, &packet->header, &payload);
    if (err == WEFT_OK && packet->header.type == WEFT_PACKET_ROUTE) {
        err = weft__packet_route_decode(payload, packet->header.payload_len, &route);
        packet->entry = (struct weft_world_entry){route.process, route.incarnation};
    } else if (err == WEFT_OK && packet->header.type == WEFT_PACKET_DATA) {
        memcpy(&packet->number, payload, sizeof(packet->number));
    }
    return err;
}

static void decode(struct sim *sim, const struct weft_frame *frame, struct sim_event *event)
{
    int err;
    *event = (struct sim_event){.to = (uint32_t)frame->client, .from = (uint32_t)frame->sequence};
    if (frame->call == WEFT_CALL_MOVE)
        err = unpack_move(frame, event);
    else if (frame->call == CALL_PACKET)
        err = unpack_packet(frame, event);
    else if (frame->call == WEFT_CALL_ROUTE_WANTED)
        err = unpack_route_ask(frame, event);
    else
        err = unpack_registry(frame, event);
    if (err != WEFT_OK)
        sim_fail(sim, "a message of call 0x%04x is not understood: %s", frame->call,
                 weft_fail_text(err));
}

void sim_wire_pass(struct sim *sim, const struct sim_event *event, struct sim_event *event_out)
{
    struct weft_frame frame;
    struct bytes bytes;
    encode(sim, event, &bytes);
    int err = weft__frame_decode(bytes.data, bytes.len, WEFT_FRAME_BODY_MAX, &frame);
    if (err == WEFT_OK)
        decode(sim, &frame, event_out);
    else
        sim_fail(sim, "a frame is not understood: %s", weft_fail_text(err));
    free(bytes.data);
}

/* ---- ends ---- */

static struct net_end **end_at(struct sim *sim, uint32_t place)
{
    return place == SIM_PLACE_REGISTRY ? &sim->registry.end : &sim->hosts[place].end;
}

static void takes(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct sim *sim = ctx;
    struct sim_event event;
    (void)question;
    decode(sim, frame, &event);
    sim_saw(sim, SIM_SAW_FRAMED);
    if (!sim->failed)
        *sim_at(sim, sim->now_ns, (enum sim_kind)event.kind, event.to) = event;
}

/* The same weather as in the queue, in the decorator's words. */
static void make_spec(const struct sim *sim, char spec[WEFT_FAULT_SPEC_MAX])
{
    const struct sim_weather *w = &sim->weather;
    bool rough = !sim_calm(sim);
    unsigned late_ms = w->very_slow > 0 ? 500 : 30;
    if (rough)
        snprintf(spec, WEFT_FAULT_SPEC_MAX,
                 "way=out,drop=0.%03u,dup=0.%03u,reorder=0.%03u,delay=%ums,late=0.%03u", w->loss,
                 w->doubles, 20 + w->slow, late_ms, 10 + w->very_slow);
    else
        snprintf(spec, WEFT_FAULT_SPEC_MAX, "way=out,reorder=1,delay=500us");
}

void sim_wire_open(struct sim *sim, uint32_t place)
{
    char spec[WEFT_FAULT_SPEC_MAX];
    if (!sim->framed)
        return;
    make_spec(sim, spec);
    struct net_end_desc desc = {
        .name = names[place], .seed = sim->seed + place, .spec = spec, .take = takes, .ctx = sim};
    *end_at(sim, place) = net_open(&sim->net, place, &desc);
}

void sim_wire_close(struct sim *sim, uint32_t place)
{
    struct net_end **end = end_at(sim, place);
    net_close(*end);
    *end = NULL;
}

void sim_wire_weather(struct sim *sim)
{
    char spec[WEFT_FAULT_SPEC_MAX];
    make_spec(sim, spec);
    for (uint32_t place = 0; place <= SIM_PLACE_REGISTRY; place++) {
        if (net_is_open(*end_at(sim, place)))
            net_change(*end_at(sim, place), spec);
    }
}

void sim_wire_send(struct sim *sim, uint32_t a, uint32_t b, const struct sim_event *event)
{
    struct net_end *end = *end_at(sim, a);
    struct bytes bytes;
    if (!net_is_open(end))
        return;
    encode(sim, event, &bytes);
    if (!sim->failed)
        net_push_frame(end, urls[b], bytes.data, bytes.len);
    free(bytes.data);
}
