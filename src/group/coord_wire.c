/* Frames and rosters as messages, and back.
 *
 * What comes from the wire is believed in nothing: names and addresses have room and a NUL, every
 * index has something that it points at, a roster's home and members are on hosts that it names.
 * What the machine looks at itself (members of a group, kinds) is not looked at here.
 */
#include "group/coord_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "weft/error.h"
#include "weft/group.h"
#include "wire/message.h"

static void wire_peer(Weft__Group__Peer *to, const struct weft_coord_peer *from)
{
    weft__group__peer__init(to);
    to->name = weft__message_text(from->name);
    to->url = weft__message_text(from->url);
    to->incarnation = from->incarnation;
}

Weft__Group__Roster *weft__coord_wire_roster(const struct weft_coord_roster *roster)
{
    size_t pointers = roster->hosts_n * sizeof(Weft__Group__Peer *);
    Weft__Group__Roster *message = weft__must_alloc(
        1, sizeof(*message) + pointers + roster->hosts_n * sizeof(Weft__Group__Peer));
    Weft__Group__Peer **hosts = (void *)(message + 1);
    Weft__Group__Peer *peers = (void *)((char *)hosts + pointers);
    weft__group__roster__init(message);
    message->id = roster->id;
    message->home = roster->home;
    message->n_hosts = roster->hosts_n;
    message->hosts = hosts;
    message->n_host_of = roster->n;
    message->host_of = roster->host_of;
    for (uint32_t i = 0; i < roster->hosts_n; i++) {
        hosts[i] = &peers[i];
        wire_peer(hosts[i], &roster->hosts[i]);
    }
    return message;
}

static void wire_item(Weft__Group__Item *to, const struct weft_coord_item *from)
{
    weft__group__item__init(to);
    to->kind = from->kind;
    to->flags = from->flags;
    to->err = from->err;
    to->member = from->member;
    to->peer = from->peer;
    to->group = from->group;
    to->number = from->number;
    to->size = from->size;
    to->data = (ProtobufCBinaryData){.len = from->len_bytes, .data = from->bytes};
    if (from->roster != NULL)
        to->roster = weft__coord_wire_roster(from->roster);
}

void weft__coord_wire_frame(struct weft_coord_wire *wire, const struct weft_coord_frame *frame)
{
    size_t pointers = frame->items_n * sizeof(Weft__Group__Item *);
    wire->items = weft__must_alloc(1, pointers + frame->items_n * sizeof(Weft__Group__Item));
    Weft__Group__Item *items = (void *)((char *)wire->items + pointers);
    for (size_t i = 0; i < frame->items_n; i++) {
        wire->items[i] = &items[i];
        wire_item(&items[i], &frame->items[i]);
    }
    wire_peer(&wire->from, &frame->from);
    weft__group__frame__init(&wire->frame);
    wire->frame.from = &wire->from;
    wire->frame.to = frame->to_incarnation;
    wire->frame.ack = frame->ack;
    wire->frame.first = frame->first;
    wire->frame.gap = frame->gap;
    wire->frame.n_items = frame->items_n;
    wire->frame.items = wire->items;
}

void weft__coord_wire_fini(struct weft_coord_wire *wire)
{
    for (size_t i = 0; i < wire->frame.n_items; i++)
        free(wire->items[i]->roster);
    free(wire->items);
}

/* ---- back ---- */

static int take_text(char *to, size_t room, const char *from)
{
    size_t len = from != NULL ? strlen(from) : 0;
    if (len == 0 || len >= room)
        return weft_fail(WEFT_EPROTO, "a host without a name or address, or with too long a one");
    memcpy(to, from, len + 1);
    return WEFT_OK;
}

static int unwire_peer(const Weft__Group__Peer *from, struct weft_coord_peer *to)
{
    if (from == NULL)
        return weft_fail(WEFT_EPROTO, "a frame of no host");
    to->incarnation = from->incarnation;
    int err = take_text(to->name, sizeof(to->name), from->name);
    return err != WEFT_OK ? err : take_text(to->url, sizeof(to->url), from->url);
}

static int unwire_roster(const Weft__Group__Roster *from, struct weft_coord_roster **roster_out)
{
    int err = WEFT_OK;
    if (from->n_host_of == 0 || from->n_host_of > WEFT_GROUP_MEMBERS_MAX ||
        from->n_hosts > from->n_host_of + 1 || from->home >= from->n_hosts)
        return weft_fail(WEFT_EPROTO, "a group of %zu members on %zu hosts", from->n_host_of,
                         from->n_hosts);
    struct weft_coord_roster *roster =
        weft__coord_roster_new(from->id, (uint32_t)from->n_host_of, (uint32_t)from->n_hosts);
    if (roster == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a group of %zu members", from->n_host_of);
    roster->home = from->home;
    for (size_t i = 0; i < from->n_hosts && err == WEFT_OK; i++)
        err = unwire_peer(from->hosts[i], &roster->hosts[i]);
    for (size_t i = 0; i < from->n_host_of && err == WEFT_OK; i++) {
        roster->host_of[i] = from->host_of[i];
        if (from->host_of[i] >= from->n_hosts)
            err = weft_fail(WEFT_EPROTO, "member %zu is on no host", i);
    }
    if (err == WEFT_OK)
        *roster_out = roster;
    else
        weft__coord_roster_put(roster);
    return err;
}

static int unwire_item(const Weft__Group__Item *from, struct weft_coord_item *to)
{
    *to = (struct weft_coord_item){.kind = from->kind < WEFT_COORD_KINDS ? (uint8_t)from->kind : 0,
                                   .flags = (uint8_t)from->flags,
                                   .err = from->err,
                                   .member = from->member,
                                   .peer = from->peer,
                                   .group = from->group,
                                   .number = from->number,
                                   .size = from->size,
                                   .len_bytes = from->data.len};
    if (from->data.len > WEFT_GROUP_MESSAGE_MAX)
        return weft_fail(WEFT_EPROTO, "a message of %zu bytes", from->data.len);
    if (from->data.len > 0) {
        to->bytes = malloc(from->data.len);
        if (to->bytes == NULL)
            return weft_fail(WEFT_ENOMEM, "no memory for a message of %zu bytes", from->data.len);
        memcpy(to->bytes, from->data.data, from->data.len);
    }
    return from->roster != NULL ? unwire_roster(from->roster, &to->roster) : WEFT_OK;
}

int weft__coord_unwire_frame(const Weft__Group__Frame *message, struct weft_coord_frame *frame_out)
{
    struct weft_coord_frame frame = {.to_incarnation = message->to,
                                     .ack = message->ack,
                                     .first = message->first,
                                     .gap = message->gap};
    int err = unwire_peer(message->from, &frame.from);
    if (err != WEFT_OK)
        return err;
    frame.items = calloc(message->n_items + 1, sizeof(*frame.items));
    if (frame.items == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a frame of %zu items", message->n_items);
    for (; frame.items_n < message->n_items && err == WEFT_OK; frame.items_n++)
        err = unwire_item(message->items[frame.items_n], &frame.items[frame.items_n]);
    if (err == WEFT_OK)
        *frame_out = frame;
    else
        weft__coord_items_free(&frame);
    return err;
}

void weft__coord_items_free(struct weft_coord_frame *frame)
{
    for (size_t i = 0; i < frame->items_n; i++)
        weft__coord_item_fini(&frame->items[i]);
    free(frame->items);
    frame->items = NULL;
    frame->items_n = 0;
}
