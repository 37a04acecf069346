/* The move protocol's messages: protobuf, then the pure machines' form, for every receiver. */
#include "fuzz.h"
#include "host/move_wire.h"
#include "weft/error.h"
#include "wire/message.h"

static void check_role(const Weft__Host__MoveMessage *twin, enum weft_move_role role)
{
    struct weft_move_message message, again;
    Weft__Host__MoveMessage packed;
    if (weft__move_unpack(twin, role, &message) != WEFT_OK)
        return;
    FUZZ_CHECK(memchr(message.text, 0, sizeof(message.text)) != NULL);
    weft__move_pack(&message, twin->token, &packed);
    FUZZ_CHECK(weft__move_unpack(&packed, role, &again) == WEFT_OK);
    FUZZ_CHECK(again.kind == message.kind && again.move_id == message.move_id &&
               again.err == message.err && strcmp(again.text, message.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCMessage *message;
    if (weft__message_decode(&weft__host__move_message__descriptor, data, size, &message) !=
        WEFT_OK)
        return 0;
    const Weft__Host__MoveMessage *twin = (const Weft__Host__MoveMessage *)(const void *)message;
    check_role(twin, WEFT_ROLE_HOME);
    check_role(twin, WEFT_ROLE_SOURCE);
    check_role(twin, WEFT_ROLE_DEST);
    weft__message_free(message);
    return 0;
}
