#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/events_wire.h"
#include "weft/error.h"
#include "wire/message.h"

/* Through the wire and back. */
static struct weft_event again(const struct weft_event *event)
{
    struct weft_events_packed packed;
    struct weft_event out;
    uint8_t *body;
    size_t len;
    ProtobufCMessage *message;
    weft__events_pack(event, 1, &packed);
    assert_int_equal(weft__message_encode(&packed.list[0]->base, &body, &len), WEFT_OK);
    weft__events_packed_free(&packed);
    assert_int_equal(weft__message_decode(&weft__events__event__descriptor, body, len, &message),
                     WEFT_OK);
    weft__events_unpack((const Weft__Events__Event *)message, &out);
    weft__message_free(message);
    free(body);
    return out;
}

static void events_arrive_as_they_were(void **state)
{
    (void)state;
    struct weft_event event = {.sequence = 9,
                               .time_ns = UINT64_MAX,
                               .mono_ns = 1,
                               .app = UINT64_MAX,
                               .kind = WEFT_EVENT_MOVE_DONE,
                               .rank = WEFT_EVENT_NO_RANK,
                               .n = {0, 5, 0, UINT64_MAX, 0, 0}};
    memcpy(event.text, "a\0\0c", 5);
    struct weft_event out = again(&event);
    assert_memory_equal(&out, &event, sizeof(event));
}

static void empty_and_full_events_arrive_too(void **state)
{
    (void)state;
    struct weft_event event = {.kind = WEFT_EVENT_KINDS - 1};
    struct weft_event out = again(&event);
    assert_memory_equal(&out, &event, sizeof(event));
    memset(event.text, 'x', sizeof(event.text) - 1);
    memset(event.n, 0xff, sizeof(event.n));
    out = again(&event);
    assert_memory_equal(&out, &event, sizeof(event));
}

static void what_is_too_much_is_left_out(void **state)
{
    (void)state;
    uint64_t numbers[WEFT_EVENT_NUMBERS_MAX + 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t texts[WEFT_EVENT_TEXT_MAX + 50];
    struct weft_event out;
    Weft__Events__Event message = WEFT__EVENTS__EVENT__INIT;
    memset(texts, 'x', sizeof(texts));
    message.n = numbers;
    message.n_n = sizeof(numbers) / sizeof(numbers[0]);
    message.texts = (ProtobufCBinaryData){.data = texts, .len = sizeof(texts)};
    message.kind = weft__message_text("a_kind_of_tomorrow");
    weft__events_unpack(&message, &out);
    assert_int_equal(out.kind, WEFT_EVENT_NOTHING);
    assert_int_equal(out.n[WEFT_EVENT_NUMBERS_MAX - 1], WEFT_EVENT_NUMBERS_MAX);
    assert_int_equal(strlen(out.text), WEFT_EVENT_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_arrive_as_they_were),
        cmocka_unit_test(empty_and_full_events_arrive_too),
        cmocka_unit_test(what_is_too_much_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
