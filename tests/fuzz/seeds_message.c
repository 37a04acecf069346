/* Writes the messages of a schema, filled field by field from their descriptors, one file each:
 * fuzz_seeds_message_X FOLDER. A new message needs no line here. */
#include <stdbool.h>

#include "fuzz.h"
#include "weft/error.h"
#include "wire/message.h"

extern const ProtobufCMessageDescriptor *const fuzz_types[];
extern const size_t fuzz_types_n;

/* Small messages one inside the other: what is made lives as long as the program. */
static void *keep(size_t len)
{
    static _Alignas(16) unsigned char room[1 << 20];
    static size_t used;
    void *at = room + used;
    used += (len + 15u) & ~(size_t)15u;
    FUZZ_CHECK(used <= sizeof(room));
    return at;
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type);

static void put(const ProtobufCFieldDescriptor *field, void *at)
{
    static char text[] = "text";
    static uint8_t bytes[] = {1, 2, 3};
    uint64_t number = 3;
    char *string = text;
    ProtobufCBinaryData data = {sizeof(bytes), bytes};
    ProtobufCMessage *message;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        memcpy(at, &string, sizeof(string));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        memcpy(at, &data, sizeof(data));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        message = fill(field->descriptor);
        memcpy(at, &message, sizeof(message));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(at, &number, sizeof(number));
        break;
    default:
        memcpy(at, &number, sizeof(uint32_t));
        break;
    }
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = keep(type->sizeof_message);
    protobuf_c_message_init(type, message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        char *at = (char *)message + field->offset;
        char *quantifier = (char *)message + field->quantifier_offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            void *one = keep(sizeof(ProtobufCBinaryData));
            size_t n = 1;
            put(field, one);
            memcpy(at, &one, sizeof(one));
            memcpy(quantifier, &n, sizeof(n));
        } else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
            put(field, at);
        } else {
            memcpy(quantifier, &field->id, sizeof(uint32_t)); /* the last of them stays */
            put(field, at);
        }
    }
    return message;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < fuzz_types_n; i++) {
        uint8_t *body;
        size_t len;
        char path[512];
        snprintf(path, sizeof(path), "%s/seed_%s", argv[1], fuzz_types[i]->short_name);
        FILE *file = fopen(path, "we");
        FUZZ_CHECK(file != NULL);
        FUZZ_CHECK(weft__message_encode(fill(fuzz_types[i]), &body, &len) == WEFT_OK);
        FUZZ_CHECK(fputc((int)i, file) != EOF);
        FUZZ_CHECK(fwrite(body, 1, len, file) == len);
        FUZZ_CHECK(fclose(file) == 0);
        free(body);
    }
    return argc == 2 ? 0 : 2;
}
