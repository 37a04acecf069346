/* The messages of one schema, through weft__message_decode. Input: a byte that chooses the type,
 * then the body. fuzz_types comes from the schema's header (message_types). */
#include <stdbool.h>

#include "fuzz.h"
#include "weft/error.h"
#include "wire/message.h"

extern const ProtobufCMessageDescriptor *const fuzz_types[];
extern const size_t fuzz_types_n;

static bool has_strange_fields(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    bool has = message->n_unknown_fields > 0;
    for (unsigned i = 0; i < type->n_fields && !has; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        const char *at = (const char *)message + field->offset;
        size_t n = 1;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        const ProtobufCMessage *const *one = (const ProtobufCMessage *const *)(const void *)at;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            memcpy(&n, (const char *)message + field->quantifier_offset, sizeof(n));
            memcpy(&one, at, sizeof(one));
        }
        for (size_t k = 0; k < n && !has; k++)
            has = one[k] && has_strange_fields(one[k]);
    }
    return has;
}

static void check_again(const ProtobufCMessage *message)
{
    uint8_t *body, *body_again;
    size_t len, len_again;
    ProtobufCMessage *again;
    int err = weft__message_encode(message, &body, &len);
    if (err != WEFT_OK) { /* packed, some are longer than they came */
        FUZZ_CHECK(err == WEFT_EMSGSIZE || err == WEFT_ENOMEM);
        return;
    }
    err = weft__message_decode(message->descriptor, body, len, &again);
    if (err == WEFT_OK) {
        FUZZ_CHECK(weft__message_encode(again, &body_again, &len_again) == WEFT_OK);
        FUZZ_CHECK(len == len_again && memcmp(body, body_again, len) == 0);
        free(body_again);
        weft__message_free(again);
    } else {
        /* The budget follows from the length; and the library keeps a field of number 0 that had
         * spare digits, whose short form it refuses. */
        FUZZ_CHECK(err == WEFT_ENOMEM || (err == WEFT_EPROTO && has_strange_fields(message)));
    }
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    size_t which = (size_t)fuzz_number(&input, 1) % fuzz_types_n;
    uint8_t *body = fuzz_copy(input.at, input.left);
    ProtobufCMessage *message = NULL;
    int err = weft__message_decode(fuzz_types[which], body, input.left, &message);
    FUZZ_CHECK(err == WEFT_OK || err == WEFT_EPROTO || err == WEFT_ENOMEM || err == WEFT_EMSGSIZE);
    if (err == WEFT_OK) {
        check_again(message);
        weft__message_free(message);
    }
    free(body);
    return 0;
}
