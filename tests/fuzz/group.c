/* What group homes and hosts say to each other: a frame's protobuf, then its items. */
#include "fuzz.h"
#include "group/coord_wire.h"
#include "weft/error.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCMessage *message;
    struct weft_coord_frame frame, again;
    struct weft_coord_wire wire;
    if (weft__message_decode(&weft__group__frame__descriptor, data, size, &message) != WEFT_OK)
        return 0;
    int err = weft__coord_unwire_frame((const Weft__Group__Frame *)(const void *)message, &frame);
    FUZZ_CHECK(err == WEFT_OK || err == WEFT_EPROTO || err == WEFT_ENOMEM);
    weft__message_free(message);
    if (err != WEFT_OK)
        return 0;
    /* It stands on its own, and what it says makes the same way back. */
    weft__coord_wire_frame(&wire, &frame);
    FUZZ_CHECK(weft__coord_unwire_frame(&wire.frame, &again) == WEFT_OK);
    FUZZ_CHECK(again.items_n == frame.items_n);
    weft__coord_items_free(&again);
    weft__coord_wire_fini(&wire);
    weft__coord_items_free(&frame);
    return 0;
}
