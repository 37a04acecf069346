/* Requests that no client of ours would send: each is refused with an error, changes nothing, and
 * the next client is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "state/state.h"
#include "weft/state.h"
#include "wire/message.h"
#include "wire/state.pb-c.h"

enum { WAIT_MS = 60000 };

static const struct weft_state_name name_of_test = {"u", "k"};

static int ask(struct rig *rig, uint16_t code, const ProtobufCMessage *request)
{
    struct weft_client_call call = {
        .url = rig->hosts[0].url, .code = code, .request = request, .timeout_ms = WAIT_MS};
    return weft__client_wait(rig->client, &call, NULL);
}

/* Opens the value on host a and tells its epoch and a session of it. */
static struct weft_value *open_value(struct rig *rig, uint64_t *epoch_out, uint64_t *session_out)
{
    struct weft_value *value;
    ProtobufCMessage *message;
    Weft__State__ResolveRequest resolve = WEFT__STATE__RESOLVE_REQUEST__INIT;
    Weft__State__OpenRequest open = WEFT__STATE__OPEN_REQUEST__INIT;
    struct weft_client_call call = {.url = rig->hosts[0].url,
                                    .code = WEFT_STATE_RESOLVE,
                                    .request = &resolve.base,
                                    .reply_type = &weft__state__resolve_reply__descriptor,
                                    .timeout_ms = WAIT_MS};
    assert_int_equal(weft_value_open(rig->a, &name_of_test, 8, &value), WEFT_OK);
    resolve.user = open.user = weft__message_text("u");
    resolve.key = open.key = weft__message_text("k");
    assert_int_equal(weft__client_wait(rig->client, &call, &message), WEFT_OK);
    open.epoch = *epoch_out = ((const Weft__State__ResolveReply *)message)->epoch;
    weft__message_free(message);
    call.code = WEFT_STATE_OPEN;
    call.request = &open.base;
    call.reply_type = &weft__state__open_reply__descriptor;
    assert_int_equal(weft__client_wait(rig->client, &call, &message), WEFT_OK);
    *session_out = ((const Weft__State__OpenReply *)message)->session;
    weft__message_free(message);
    return value;
}

static void assert_untouched(struct weft_value *value)
{
    char bytes[8], zeros[8] = "";
    assert_int_equal(weft_value_pull(value), WEFT_OK);
    assert_int_equal(weft_value_read(value, 0, bytes, 8), WEFT_OK);
    assert_memory_equal(bytes, zeros, 8);
    assert_int_equal(weft_value_version(value), 1);
    weft_value_close(value);
}

static void wrong_names_are_refused(void **state)
{
    struct rig *rig = *state;
    char longest[5000];
    Weft__State__ResolveRequest resolve = WEFT__STATE__RESOLVE_REQUEST__INIT;
    Weft__State__OpenRequest open = WEFT__STATE__OPEN_REQUEST__INIT;
    Weft__State__DeleteRequest delete = WEFT__STATE__DELETE_REQUEST__INIT;
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    char *names[] = {weft__message_text(""), longest};
    for (int i = 0; i < 2; i++) {
        resolve.user = open.user = delete.user = names[i];
        resolve.key = open.key = delete.key = weft__message_text("k");
        assert_int_equal(ask(rig, WEFT_STATE_RESOLVE, &resolve.base), WEFT_EINVAL);
        assert_int_equal(ask(rig, WEFT_STATE_OPEN, &open.base), WEFT_ESTALE);
        assert_int_equal(ask(rig, WEFT_STATE_DELETE, &delete.base), WEFT_EINVAL);
        resolve.create = true;
        resolve.size = 1;
        assert_int_equal(ask(rig, WEFT_STATE_RESOLVE, &resolve.base), WEFT_EINVAL);
    }
    resolve.user = weft__message_text("u");
    resolve.size = UINT64_MAX;
    assert_int_equal(ask(rig, WEFT_STATE_RESOLVE, &resolve.base), WEFT_EINVAL);
}

static void wrong_ranges_and_bytes_are_refused(void **state)
{
    struct rig *rig = *state;
    uint64_t epoch, session, offsets[] = {0, UINT64_MAX}, lengths[] = {4, UINT64_MAX};
    struct weft_value *value = open_value(rig, &epoch, &session);
    uint8_t bytes[8] = "abcdefg";
    Weft__State__PushRequest push = WEFT__STATE__PUSH_REQUEST__INIT;
    Weft__State__PullRequest pull = WEFT__STATE__PULL_REQUEST__INIT;
    push.user = pull.user = weft__message_text("u");
    push.key = pull.key = weft__message_text("k");
    push.epoch = pull.epoch = epoch;
    push.session = session;
    push.offsets = pull.offsets = offsets;
    push.lengths = pull.lengths = lengths;
    push.data = (ProtobufCBinaryData){8, bytes};
    for (push.op = 1; push.op < 10; push.op++) {
        push.n_offsets = pull.n_offsets = push.op % 3;
        push.n_lengths = pull.n_lengths = push.op / 3 % 3;
        push.staged = push.op == 9; /* nothing was */
        int err = ask(rig, WEFT_STATE_PUSH, &push.base);
        assert_true(err == WEFT_EINVAL || err == WEFT_ERANGE);
        err = ask(rig, WEFT_STATE_PULL, &pull.base);
        assert_true(err == WEFT_EINVAL || err == WEFT_ERANGE ||
                    (err == WEFT_OK && pull.n_offsets == pull.n_lengths && pull.n_offsets < 2));
    }
    push.epoch++;
    assert_int_equal(ask(rig, WEFT_STATE_PUSH, &push.base), WEFT_ESTALE);
    assert_untouched(value);
}

static void forged_keys_and_addresses_bring_no_bytes(void **state)
{
    struct rig *rig = *state;
    uint64_t epoch, session, offset = 0, length = 8;
    struct weft_value *value = open_value(rig, &epoch, &session);
    Weft__State__PushRequest push = WEFT__STATE__PUSH_REQUEST__INIT;
    push.user = weft__message_text("u");
    push.key = weft__message_text("k");
    push.epoch = epoch;
    push.session = session;
    push.op = 1;
    push.n_offsets = push.n_lengths = 1;
    push.offsets = &offset;
    push.lengths = &length;
    push.lane = weft__message_text("nonsense;00");
    assert_int_equal(ask(rig, WEFT_STATE_PUSH, &push.base), WEFT_EINVAL); /* offers no bytes */
    push.op++;
    push.rma_length = 8;
    assert_int_equal(ask(rig, WEFT_STATE_PUSH, &push.base), WEFT_EIO);
    push.op++;
    push.lane = weft__message_text(weft__lane_address(rig->lane));
    push.rma_key = 0x1234567;
    assert_int_equal(ask(rig, WEFT_STATE_PUSH, &push.base), WEFT_EIO);
    assert_untouched(value);
}

static void wrong_pieces_parts_and_pins_are_refused(void **state)
{
    struct rig *rig = *state;
    uint64_t epoch, session;
    struct weft_value *value = open_value(rig, &epoch, &session);
    uint8_t bytes[8] = "abcdefg";
    Weft__State__StageRequest stage = WEFT__STATE__STAGE_REQUEST__INIT;
    Weft__State__PartRequest part = WEFT__STATE__PART_REQUEST__INIT;
    Weft__State__UnpinRequest unpin = WEFT__STATE__UNPIN_REQUEST__INIT;
    Weft__State__ItemsRequest items = WEFT__STATE__ITEMS_REQUEST__INIT;
    Weft__State__ResizeRequest resize = WEFT__STATE__RESIZE_REQUEST__INIT;
    stage.user = part.user = unpin.user = items.user = resize.user = weft__message_text("u");
    stage.key = part.key = unpin.key = items.key = resize.key = weft__message_text("k");
    stage.epoch = part.epoch = unpin.epoch = items.epoch = resize.epoch = epoch;
    stage.session = resize.session = session;
    stage.op = 1;
    stage.total = UINT64_MAX;
    stage.data = (ProtobufCBinaryData){8, bytes};
    assert_int_equal(ask(rig, WEFT_STATE_STAGE, &stage.base), WEFT_ERANGE);
    stage.total = 10;
    stage.offset = UINT64_MAX - 3;
    assert_int_equal(ask(rig, WEFT_STATE_STAGE, &stage.base), WEFT_ERANGE);
    stage.total = WEFT_STATE_VALUE_MAX;
    stage.offset = 0;
    assert_int_equal(ask(rig, WEFT_STATE_STAGE, &stage.base), WEFT_ENOSPC);
    part.pin = unpin.pin = 77;
    assert_int_equal(ask(rig, WEFT_STATE_PART, &part.base), WEFT_OK); /* and says: ended */
    assert_int_equal(ask(rig, WEFT_STATE_UNPIN, &unpin.base), WEFT_OK);
    items.first = items.n = UINT64_MAX;
    assert_int_equal(ask(rig, WEFT_STATE_ITEMS, &items.base), WEFT_OK);
    resize.op = 1;
    resize.size = UINT64_MAX;
    assert_int_equal(ask(rig, WEFT_STATE_RESIZE, &resize.base), WEFT_EINVAL);
    assert_untouched(value);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(wrong_names_are_refused),
        CASE(wrong_ranges_and_bytes_are_refused),
        CASE(forged_keys_and_addresses_bring_no_bytes),
        CASE(wrong_pieces_parts_and_pins_are_refused),
    };
    rig_scheme = "inproc";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
