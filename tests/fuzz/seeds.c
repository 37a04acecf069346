/* Writes the inputs that fuzzing starts from: well-formed ones, made by the encoders, a folder per
 * target: fuzz_seeds FOLDER. What lies in corpus/ are these and what fuzzing added, minimised. */
#include <sys/stat.h>

#include <xxhash.h>

#include "exec/move.h"
#include "fuzz.h"
#include "group/coord_wire.h"
#include "group/packet.h"
#include "host/move_wire.h"
#include "link/impl.h"
#include "snapshot/diff.h"
#include "snapshot/file.h"
#include "snapshot/image.h"
#include "snapshot/region.h"
#include "transport/shim/wire.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

static const char *folder;

/* Writes a file of a target: its leading bytes, then the body. */
static void seed(const char *target, const char *name, const char *lead, const struct iovec *body)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, target);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
    FILE *file = fopen(path, "we");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(lead + 1, 1, (size_t)lead[0], file) == (size_t)lead[0]);
    FUZZ_CHECK(fwrite(body->iov_base, 1, body->iov_len, file) == body->iov_len);
    FUZZ_CHECK(fclose(file) == 0);
}

static void seed_text(const char *target, const char *name, const char *lead, const char *text)
{
    seed(target, name, lead, &(struct iovec){(void *)(uintptr_t)text, strlen(text)});
}

static void frames(void)
{
    const struct weft_frame all[] = {
        {.call = 7, .correlation = 9, .deadline_ms = 500, .client = 3, .sequence = 4},
        {.call = 7, .flags = WEFT_FRAME_REPLY, .correlation = 9},
        {.call = 7, .flags = WEFT_FRAME_REPLY | WEFT_FRAME_ERROR, .error = WEFT_EAGAIN},
        {.call = 7, .flags = WEFT_FRAME_IDEMPOTENT, .correlation = 9},
        {.call = 7, .flags = WEFT_FRAME_CANCEL, .correlation = 9},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint8_t bytes[WEFT_FRAME_HEADER_BYTES + 5] = {0};
        char name[16];
        struct weft_frame frame = all[i];
        frame.body_len = 5;
        weft__frame_encode_header(&frame, bytes);
        snprintf(name, sizeof(name), "seed%zu", i);
        seed("frame", name, "\2\100\0", &(struct iovec){bytes, sizeof(bytes)});
    }
}

static void packets(void)
{
    static const struct weft_packet_route route = {1, 2, "host", "zmq;7463703a2f2f"};
    static const struct weft_packet_resolve resolve = {1, 2};
    static const struct weft_packet_resolved resolved = {1, 0, 2, 3, 4, 5, 6};
    for (int type = WEFT_PACKET_DATA; type <= WEFT_PACKET_MARKER; type++) {
        uint8_t bytes[16 + WEFT_PACKET_HEADER_BYTES + WEFT_PACKET_ROUTE_BYTES_MAX] = {0};
        uint8_t *packet = bytes + 16, *payload = packet + WEFT_PACKET_HEADER_BYTES;
        struct weft_packet_header header = {
            .type = (enum weft_packet_type)type, .app = 1, .dest = 1, .source = 2, .sequence = 1};
        char name[16];
        if (type == WEFT_PACKET_DATA)
            header.payload_len = 9;
        else if (type == WEFT_PACKET_ROUTE)
            header.payload_len = (uint32_t)weft__packet_route_encode(&route, payload);
        else if (type == WEFT_PACKET_RESOLVE)
            header.payload_len = (uint32_t)weft__packet_resolve_encode(&resolve, payload);
        else if (type == WEFT_PACKET_RESOLVED)
            header.payload_len = (uint32_t)weft__packet_resolved_encode(&resolved, payload);
        weft__packet_encode(&header, packet);
        snprintf(name, sizeof(name), "seed%d", type);
        seed("packet", name, "\2\1\10",
             &(struct iovec){bytes, 16 + WEFT_PACKET_HEADER_BYTES + header.payload_len});
    }
}

static void images(void)
{
    struct weft_region region;
    struct weft_image *image;
    struct weft__move move = {.app = 1, .size = 4, .lane = "zmq;00", .build_id_len = 20};
    struct iovec iov;
    FUZZ_CHECK(weft__region_init(&region, "seed", NULL, (size_t)1 << 20) == WEFT_OK);
    for (size_t page = 0; page < 256; page += page < 20 ? 3 : 1)
        ((char *)region.base)[page * WEFT_REGION_PAGE] = 1;
    const struct weft_image_desc desc = {.region = &region, .chunk_bytes = 65536};
    FUZZ_CHECK(weft__image_build(&desc, &image) == WEFT_OK);
    FUZZ_CHECK(weft__image_encode(image, (uint8_t **)&iov.iov_base, &iov.iov_len) == WEFT_OK);
    seed("image", "seed_image", "\1\1", &iov);
    seed("image", "seed_wrapped", "\1\3", &iov);
    move.image = iov.iov_base;
    move.image_len = iov.iov_len;
    FUZZ_CHECK(weft__move_encode(&move, (uint8_t **)&iov.iov_base, &iov.iov_len) == WEFT_OK);
    seed("image", "seed_move", "\1\0", &iov);
    free(iov.iov_base);
    free((void *)(uintptr_t)move.image);
    weft__image_free(image);
    weft__region_fini(&region);
}

/* The header's first 512 bytes and the table of a file with a few extents. */
static void files(void)
{
    static const uint64_t sums[] = {1, 2, 3};
    uint8_t bytes[512 + 4096], header[WEFT_FILE_HEADER_BYTES];
    struct weft_file_head head = {
        .key = "run/7", .size_bytes = 1000000, .saved_wall_ms = 1, .chunk_bytes = 8192};
    struct weft_extents extents = {0};
    for (uint64_t i = 0; i < 5; i++)
        FUZZ_CHECK(weft__extents_add(&extents, i * 3 * 4096, 4096) == WEFT_OK);
    head.extents_n = extents.n;
    head.data_bytes = extents.total_bytes;
    weft__file_table_encode(&head, &extents, sums, bytes + 512);
    weft__file_head_encode(&head, header);
    memcpy(bytes, header, 512);
    seed("file", "seed", "\1\1", &(struct iovec){bytes, 512 + 5 * 16 + sizeof(sums)});
    weft__extents_fini(&extents);
}

static void differences(void)
{
    static const struct weft_diff some[] = {
        {.offset = 20480, .len_bytes = 20, .op = WEFT_MERGE_OVERWRITE},
        {.offset = 3, .len_bytes = 1, .op = WEFT_MERGE_XOR},
        {.offset = 400, .len_bytes = 16, .type = WEFT_MERGE_DOUBLE, .op = WEFT_MERGE_MIN},
        {.offset = UINT64_C(1) << 35,
         .len_bytes = 4,
         .type = WEFT_MERGE_INT32,
         .op = WEFT_MERGE_SUM}};
    struct weft_diffs diffs = {0};
    struct iovec iov;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        FUZZ_CHECK(weft__diffs_add(&diffs, &some[i], "abcdefghijklmnopqrst") == WEFT_OK);
    FUZZ_CHECK(weft__diffs_encode(&diffs, (uint8_t **)&iov.iov_base, &iov.iov_len) == WEFT_OK);
    seed("diffs", "seed", "\1\1", &iov);
    free(iov.iov_base);
    weft__diffs_fini(&diffs);
}

static void moves(void)
{
    for (unsigned kind = WEFT_MOVE_NOTHING + 1; kind < WEFT_MOVE_KINDS_END; kind++) {
        struct weft_move_message message = {.kind = (enum weft_move_kind)kind,
                                            .err = -5,
                                            .rank = 3,
                                            .within_ms = 100,
                                            .app = 1,
                                            .move_id = 2,
                                            .home = 4,
                                            .source = 5,
                                            .dest = 6,
                                            .lease = 7,
                                            .text = "why"};
        Weft__Host__MoveMessage twin;
        struct iovec iov;
        char name[16];
        weft__move_pack(&message, 8, &twin);
        FUZZ_CHECK(weft__message_encode(&twin.base, (uint8_t **)&iov.iov_base, &iov.iov_len) ==
                   WEFT_OK);
        snprintf(name, sizeof(name), "seed%u", kind);
        seed("move", name, "\0", &iov);
        free(iov.iov_base);
    }
}

/* A frame of a group's host with an item of each kind, some with a roster. */
static void groups(void)
{
    static uint32_t host_of[] = {0, 1, 1};
    static uint8_t bytes[] = "data";
    struct weft_coord_roster *roster = weft__coord_roster_new(9, 3, 2);
    FUZZ_CHECK(roster != NULL);
    for (unsigned i = 0; i < 2; i++)
        roster->hosts[i] = (struct weft_coord_peer){"a", "tcp://127.0.0.1:8108", i + 1};
    memcpy(roster->host_of, host_of, sizeof(host_of));
    for (unsigned kind = 0; kind < WEFT_COORD_KINDS; kind++) {
        struct weft_coord_item items[2] = {
            {.kind = (uint8_t)kind, .group = 9, .member = 1, .peer = 2, .number = 3, .size = 3},
            {.kind = (uint8_t)kind, .flags = 1, .group = 9, .bytes = bytes, .len_bytes = 4}};
        struct weft_coord_frame frame = {.from = roster->hosts[0],
                                         .to_incarnation = 2,
                                         .ack = 1,
                                         .first = 2,
                                         .items = items,
                                         .items_n = 2};
        struct weft_coord_wire wire;
        struct iovec iov;
        char name[16];
        items[0].roster = kind % 2 ? roster : NULL;
        weft__coord_wire_frame(&wire, &frame);
        FUZZ_CHECK(weft__message_encode(&wire.frame.base, (uint8_t **)&iov.iov_base,
                                        &iov.iov_len) == WEFT_OK);
        snprintf(name, sizeof(name), "seed%u", kind);
        seed("group", name, "\0", &iov);
        free(iov.iov_base);
        weft__coord_wire_fini(&wire);
    }
    weft__coord_roster_put(roster);
}

/* Two frames: the epoch and two keys; one erased. */
static void journals(void)
{
    static const char frames_of[] = "\x31\0"
                                    "\1\1\0\0\0\0\0\0\0\0\0\20\0\5\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0"
                                    "\2\6\0\0\0\0\0\0\0\3\0\4\0keyword"
                                    "\x10\0"
                                    "\3\7\0\0\0\0\0\0\0\3\0\0\0key";
    seed("journal", "seed_frames", "\1\1",
         &(struct iovec){(void *)(uintptr_t)frames_of, sizeof(frames_of) - 1});
    seed_text("journal", "seed_new", "\1\0", "weftlog2");
    seed_text("journal", "seed_torn", "\1\0", "weftlog2REGL\20");
}

/* One parcel of each type, put right where a stranger could not know. */
static void parcels(void)
{
    for (uint16_t type = WEFT_SHIM_MESSAGE; type <= WEFT_SHIM_ACK; type++) {
        uint8_t bytes[3 + sizeof(struct weft_shim_head) + 16] = {0};
        uint16_t len = sizeof(bytes) - 3;
        struct weft_shim_head head = {.magic = WEFT_SHIM_MAGIC,
                                      .type = type,
                                      .id = 1,
                                      .len = type == WEFT_SHIM_DATA ? 256 : 16,
                                      .piece = 16};
        char name[16];
        bytes[0] = type == WEFT_SHIM_GET || type == WEFT_SHIM_PUT ? 11 : 5;
        memcpy(bytes + 1, &len, sizeof(len));
        memcpy(bytes + 3, &head, sizeof(head));
        snprintf(name, sizeof(name), "seed%u", type);
        seed("shim", name, "\0", &(struct iovec){bytes, sizeof(bytes)});
    }
}

static void texts(void)
{
    seed_text("text", "seed_number", "\1\0", "16GiB");
    seed_text("text", "seed_ports", "\1\0", "8100-8199");
    seed_text("text", "seed_address", "\1\1", "zmq;7463703a2f2f3132372e302e302e31");
    seed_text("text", "seed_url", "\1\3", "tcp://127.0.0.2:8100");
    seed_text("text", "seed_name", "\1\3", "name:8100");
    seed_text("text", "seed_scheme", "\1\2", "fault(seed=7,drop=2%,delay=5ms,on=reply/push)+zmq");
    seed_text("text", "seed_spec", "\1\2",
              "dup=0.5,late=1%,reorder=3%,cut=1,fail=7,way=in,after=2");
    seed_text("config", "seed", "\0", "# settings\nLOG = error\nWEFT_PORTS=8100-8199\nDATA=zmq\n");
    seed_text("keys", "seed_allowed", "\1\0", "# me\nrq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n\n");
    seed_text("keys", "seed_hosts", "\1\1", "10.0.0.1 rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
        return 2;
    }
    folder = argv[1];
    frames();
    packets();
    images();
    files();
    differences();
    moves();
    groups();
    journals();
    parcels();
    texts();
    return 0;
}
