/* Every kind of move message survives the wire, and none reaches a role that is not its receiver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/move_wire.h"
#include "weft/error.h"

static struct weft_move_message example(enum weft_move_kind kind)
{
    struct weft_move_message message;
    memset(&message, 0, sizeof(message)); /* padding too: the whole is compared */
    message.kind = kind;
    message.err = -7;
    message.rank = 3;
    message.within_ms = 10;
    message.then_ms = 11;
    message.app = 0xfeedface12345678u;
    message.move_id = 21;
    message.incarnation = 4;
    message.home = 65535;
    message.source = 2;
    message.dest = 5;
    message.lease = UINT64_MAX;
    message.owner = (struct weft_move_owner){.host = 5, .incarnation = 5};
    message.round = 6;
    message.last = true;
    message.bytes = UINT64_C(1) << 40;
    snprintf(message.text, sizeof(message.text), "why not");
    return message;
}

static void every_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    for (unsigned kind = WEFT_MOVE_NOTHING + 1; kind < WEFT_MOVE_KINDS_END; kind++) {
        struct weft_move_message message = example((enum weft_move_kind)kind), back;
        Weft__Host__MoveMessage twin;
        memset(&back, 0, sizeof(back));
        weft__move_pack(&message, 77, &twin);
        assert_int_equal(twin.token, 77);
        assert_int_equal(weft__move_unpack(&twin, weft__move_receiver(message.kind), &back),
                         WEFT_OK);
        assert_memory_equal(&back, &message, offsetof(struct weft_move_message, text));
        assert_string_equal(back.text, message.text);
    }
}

static void a_message_for_another_role_is_refused(void **state)
{
    (void)state;
    struct weft_move_message message = example(WEFT_MOVE_PULL), back;
    Weft__Host__MoveMessage twin;
    weft__move_pack(&message, 1, &twin);
    assert_int_equal(weft__move_unpack(&twin, WEFT_ROLE_SOURCE, &back), WEFT_EPROTO);
    assert_int_equal(weft__move_unpack(&twin, WEFT_ROLE_HOME, &back), WEFT_EPROTO);
}

static void an_error_that_is_none_is_refused(void **state)
{
    (void)state;
    struct weft_move_message message = example(WEFT_MOVE_PULL), back;
    Weft__Host__MoveMessage twin;
    weft__move_pack(&message, 1, &twin);
    twin.err = 1;
    assert_int_equal(weft__move_unpack(&twin, WEFT_ROLE_DEST, &back), WEFT_EPROTO);
}

static void unknown_kinds_are_refused(void **state)
{
    (void)state;
    struct weft_move_message message = example(WEFT_MOVE_PULL), back;
    Weft__Host__MoveMessage twin;
    weft__move_pack(&message, 1, &twin);
    for (unsigned i = 0; i < 3; i++) {
        const uint32_t kinds[] = {WEFT_MOVE_NOTHING, WEFT_MOVE_KINDS_END, UINT32_MAX};
        twin.kind = kinds[i];
        assert_int_equal(weft__move_unpack(&twin, WEFT_ROLE_DEST, &back), WEFT_EPROTO);
    }
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    struct weft_move_message message = example(WEFT_MOVE_ABORT), back;
    Weft__Host__MoveMessage twin;
    char longer[4 * WEFT_MOVE_TEXT_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    weft__move_pack(&message, 1, &twin);
    twin.text = longer;
    assert_int_equal(weft__move_unpack(&twin, WEFT_ROLE_SOURCE, &back), WEFT_OK);
    assert_int_equal(strlen(back.text), WEFT_MOVE_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_was),
        cmocka_unit_test(a_message_for_another_role_is_refused),
        cmocka_unit_test(an_error_that_is_none_is_refused),
        cmocka_unit_test(unknown_kinds_are_refused),
        cmocka_unit_test(a_long_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
