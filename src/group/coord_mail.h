/* Messages of one pair: a bounded box where they wait to be received, and the sender's account of
 * the room in it. */
#ifndef WEFT_GROUP_COORD_MAIL_H
#define WEFT_GROUP_COORD_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "group/coord.h"

enum {
    WEFT_COORD_BOX_MESSAGES = 256,
    WEFT_COORD_BOX_BYTES = 1 << 20, /* one message of any size fits while there are fewer */
    WEFT_COORD_MESSAGE_COST = 64    /* of a host's memory, beside its bytes */
};

struct weft_coord_box {
    uint32_t from;
    uint64_t first; /* number of the first message that is kept; all before have been received */
    uint64_t size;  /* bytes of those before */
    struct weft_coord_bytes *messages; /* a ring: message i at i % max */
    size_t n, max;
    size_t held;              /* memory of the n messages */
    uint64_t told, told_size; /* what the sender knows of first - 1 and size */
};

void weft__coord_box_init(struct weft_coord_box *box, uint32_t from);
void weft__coord_box_fini(struct weft_coord_box *box);
/* Owns: bytes (malloc, or NULL with 0).  false: the box is full, which its sender should know;
 * bytes have been freed. */
bool weft__coord_box_put(struct weft_coord_box *box, uint8_t *bytes, size_t len_bytes);
/* All before number have been received: frees them. */
void weft__coord_box_received(struct weft_coord_box *box, uint64_t number);
/* The messages from the first on, up to max and about max_bytes; returns how many. */
size_t weft__coord_box_look(const struct weft_coord_box *box, struct weft_coord_bytes *out,
                            size_t max, size_t max_bytes);
/* Whether the sender should be told how much was received. */
bool weft__coord_box_tell(struct weft_coord_box *box);

/* The sender's side. */
struct weft_coord_credit {
    uint32_t to;
    uint64_t sent, sent_size;
    uint64_t consumed, consumed_size;
};
bool weft__coord_credit_room(const struct weft_coord_credit *credit);

#endif
