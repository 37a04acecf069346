#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "group/coord_wire.h"
#include "weft/error.h"
#include "weft/group.h"
#include "wire/message.h"

static struct weft_coord_roster *roster_of_two(void)
{
    struct weft_coord_roster *roster = weft__coord_roster_new(0xabc, 3, 2);
    assert_non_null(roster);
    for (uint32_t i = 0; i < 2; i++) {
        roster->hosts[i] = (struct weft_coord_peer){.url = "tcp://127.0.0.1:8109"};
        roster->hosts[i].name[0] = (char)('a' + i);
        roster->hosts[i].incarnation = 70 + i;
    }
    roster->home = 1;
    roster->host_of[1] = 1;
    return roster;
}

/* The frame as it comes out on the other side. */
static int through(const struct weft_coord_frame *frame, struct weft_coord_frame *frame_out)
{
    struct weft_coord_wire wire;
    uint8_t *body;
    size_t len;
    ProtobufCMessage *message;
    weft__coord_wire_frame(&wire, frame);
    assert_int_equal(weft__message_encode(&wire.frame.base, &body, &len), WEFT_OK);
    weft__coord_wire_fini(&wire);
    assert_int_equal(weft__message_decode(&weft__group__frame__descriptor, body, len, &message),
                     WEFT_OK);
    free(body);
    int err = weft__coord_unwire_frame((const Weft__Group__Frame *)message, frame_out);
    weft__message_free(message);
    return err;
}

static void a_frame_comes_out_as_it_went_in(void **state)
{
    struct weft_coord_roster *roster = roster_of_two();
    struct weft_coord_item items[2] = {{.kind = WEFT_COORD_GROUP, .group = 0xabc, .roster = roster},
                                       {.kind = WEFT_COORD_MESSAGE,
                                        .flags = 3,
                                        .err = WEFT_EPEERDEAD,
                                        .member = 2,
                                        .peer = 1,
                                        .group = 0xabc,
                                        .number = UINT64_MAX,
                                        .size = 12,
                                        .bytes = weft__must_copy("seven b", 7),
                                        .len_bytes = 7}};
    struct weft_coord_frame frame = {.from = roster->hosts[0],
                                     .to_incarnation = 71,
                                     .ack = 5,
                                     .first = 6,
                                     .gap = true,
                                     .items = items,
                                     .items_n = 2},
                            out;
    (void)state;
    assert_int_equal(through(&frame, &out), WEFT_OK);
    assert_string_equal(out.from.name, "a");
    assert_int_equal(out.from.incarnation, 70);
    assert_true(out.to_incarnation == 71 && out.ack == 5 && out.first == 6 && out.gap);
    assert_int_equal(out.items_n, 2);
    const struct weft_coord_roster *back = out.items[0].roster;
    assert_true(back->id == 0xabc && back->n == 3 && back->hosts_n == 2 && back->home == 1);
    assert_int_equal(back->host_of[1], 1);
    assert_string_equal(back->hosts[1].name, "b");
    const struct weft_coord_item *item = &out.items[1];
    assert_true(item->number == UINT64_MAX && item->size == 12 && item->member == 2);
    assert_true(item->flags == 3 && item->err == WEFT_EPEERDEAD && item->peer == 1);
    assert_int_equal(item->len_bytes, 7);
    assert_memory_equal(item->bytes, "seven b", 7);
    weft__coord_items_free(&out);
    for (unsigned i = 0; i < 2; i++)
        weft__coord_item_fini(&items[i]);
}

static void check_refused(const struct weft_coord_frame *frame)
{
    struct weft_coord_frame out;
    assert_int_equal(through(frame, &out), WEFT_EPROTO);
}

static void what_points_nowhere_is_refused(void **state)
{
    struct weft_coord_roster *roster = roster_of_two();
    struct weft_coord_item item = {.kind = WEFT_COORD_GROUP, .roster = roster};
    struct weft_coord_frame frame = {.from = roster->hosts[0], .items = &item, .items_n = 1};
    struct weft_coord_frame out;
    (void)state;
    assert_int_equal(through(&frame, &out), WEFT_OK);
    weft__coord_items_free(&out);
    roster->host_of[2] = 2;
    check_refused(&frame);
    roster->host_of[2] = 0;
    roster->home = 2;
    check_refused(&frame);
    roster->home = 0;
    roster->n = 0;
    check_refused(&frame);
    roster->n = 3;
    roster->hosts[1].url[0] = '\0';
    check_refused(&frame);
    frame.from.name[0] = '\0';
    frame.items_n = 0;
    check_refused(&frame);
    weft__coord_item_fini(&item);
}

static void a_frame_of_nobody_is_refused(void **state)
{
    Weft__Group__Frame message = WEFT__GROUP__FRAME__INIT;
    struct weft_coord_frame out;
    (void)state;
    assert_int_equal(weft__coord_unwire_frame(&message, &out), WEFT_EPROTO);
}

static void an_unknown_kind_becomes_none(void **state)
{
    Weft__Group__Frame message = WEFT__GROUP__FRAME__INIT;
    Weft__Group__Peer from = WEFT__GROUP__PEER__INIT;
    Weft__Group__Item item = WEFT__GROUP__ITEM__INIT, *items[] = {&item};
    struct weft_coord_frame out;
    (void)state;
    from.name = weft__message_text("a");
    from.url = weft__message_text("tcp://127.0.0.1:1");
    item.kind = 100000;
    message.from = &from;
    message.items = items;
    message.n_items = 1;
    assert_int_equal(weft__coord_unwire_frame(&message, &out), WEFT_OK);
    assert_int_equal(out.items[0].kind, 0);
    weft__coord_items_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_out_as_it_went_in),
        cmocka_unit_test(what_points_nowhere_is_refused),
        cmocka_unit_test(a_frame_of_nobody_is_refused),
        cmocka_unit_test(an_unknown_kind_becomes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
