/* The standard input of an app, between the client that has it and the rank that reads it: a window
 * of bytes, numbered from the beginning. Plain data: no I/O, no clock. Thread: one at a time.
 * Blocks: no. */
#ifndef WEFT_HOST_INPUT_H
#define WEFT_HOST_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes of a push or a take. The kernel hands up to 32 KiB of a send() on a local socket over
 * as a whole; a reader that saw a part, and asked for the rest while it came, would get it twice.
 */
#define WEFT_INPUT_PIECE (32u << 10)
#define WEFT_INPUT_WINDOW (256u << 10) /* most bytes that are held */

struct weft_input;

struct weft_input *weft__input_new(void);
void weft__input_free(struct weft_input *input); /* NULL is fine */

/* Takes a copy of what is new of the bytes from offset on, as far as there is room; at_end: nothing
 * comes after them. weft__input_next() says where to go on.
 * Errors: WEFT_ERANGE bytes are missing in front of them. */
int weft__input_add(struct weft_input *input, uint64_t offset, const void *bytes, size_t len,
                    bool at_end);
/* The offset behind the last byte that has come. */
uint64_t weft__input_next(const struct weft_input *input);
/* The reader has all bytes before the offset: they go.
 * Errors: WEFT_ERANGE there were never so many, or they have gone already; nothing changes. */
int weft__input_taken(struct weft_input *input, uint64_t offset);

struct weft_input_view {
    const uint8_t *bytes; /* until the next change */
    size_t len;           /* at most WEFT_INPUT_PIECE; 0: nothing by now */
    bool at_end;          /* nothing comes after them */
};
/* The oldest bytes. */
struct weft_input_view weft__input_view(const struct weft_input *input);
/* Whether all of the input has come. */
bool weft__input_is_whole(const struct weft_input *input);
bool weft__input_has_room(const struct weft_input *input);

#endif
