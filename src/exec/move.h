/* The descriptor of a move, or of a round of copying before it: what the source tells the
 * destination, in a form that travels. */
#ifndef WEFT_EXEC_MOVE_H
#define WEFT_EXEC_MOVE_H

#include <stddef.h>
#include <stdint.h>

#include "exec/program.h"
#include "link/lane.h"
#include "snapshot/extent.h"

struct weft__move {
    uint64_t app;
    int32_t rank;
    int32_t size;
    uint64_t base, stride;
    uint32_t incarnation;
    uint32_t executor; /* struct weft__executor.number */
    uint8_t build_id[WEFT_BUILD_ID_MAX];
    uint32_t build_id_len;
    uint32_t finished; /* 1: it has ended, with this code */
    int32_t code;
    uint64_t entry_offset; /* in the program's object */
    uint64_t argument;
    uint64_t clock_ns; /* of the rank, when it stopped */
    uint64_t wall_ms;  /* at the same moment */
    char lane[WEFT_LANE_ADDRESS_MAX];
    uint32_t running;     /* 1: it runs on, and this is the round of copying ... */
    uint32_t round;       /* ... of this number, from 1 on. Else: what the image does not have, the
                             destination has by the rounds up to this one; 0: the image has all */
    const uint8_t *image; /* after decode: into the decoded bytes */
    uint64_t image_len;
    const uint8_t *touched; /* after some rounds: the pages that exist, encoded; likewise */
    uint64_t touched_len;
};

/* Owns: *bytes_out, free().  Errors: WEFT_ENOMEM. */
int weft__move_encode(const struct weft__move *move, uint8_t **bytes_out, size_t *len_out);
/* Errors: WEFT_EPROTO; WEFT_EVERSION. */
int weft__move_decode(const void *bytes, size_t len_bytes, struct weft__move *move_out);

/* A list of whole pages as it travels.  Owns: *bytes_out, free().  Errors: WEFT_ENOMEM. */
int weft__move_encode_pages(const struct weft_extents *pages, uint8_t **bytes_out, size_t *len_out);
/* Of a region of len_bytes.  Errors: WEFT_EPROTO; WEFT_ENOMEM. */
int weft__move_decode_pages(const uint8_t *bytes, size_t len, uint64_t len_bytes,
                            struct weft_extents *pages_out);

struct weft__rank;

/* Errors: WEFT_ENOEXEC the program here is another build than where the rank comes from. */
int weft__move_same_build(const struct weft__rank *rank, const struct weft__move *move);

#endif
