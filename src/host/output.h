/* A bounded queue of what the ranks of an app have printed: numbered pieces, stdout and stderr
 * apart. Plain data: no I/O, no clock. Thread: one at a time.  Blocks: no. */
#ifndef WEFT_HOST_OUTPUT_H
#define WEFT_HOST_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define WEFT_OUTPUT_PIECE (64u << 10)  /* largest piece, bytes of each of the two streams */
#define WEFT_OUTPUT_FULL (4u << 20)    /* bytes from which on the queue is full */
#define WEFT_OUTPUT_BATCH (512u << 10) /* most bytes of each stream that are fetched at once */

struct weft_output;

struct weft_output *weft__output_new(void);
void weft__output_free(struct weft_output *output); /* NULL is fine */

/* Appends a copy, also to a full queue: it is for the caller to wait, or to make room.
 * Errors: WEFT_EMSGSIZE over WEFT_OUTPUT_PIECE; WEFT_ENOMEM. */
int weft__output_add(struct weft_output *output, const struct iovec *out, const struct iovec *err);
bool weft__output_full(const struct weft_output *output);
/* Whether at most half of what makes it full is left: who waits for room may go on. */
bool weft__output_has_room(const struct weft_output *output);
/* Drops the oldest pieces until it is no longer full, and counts their bytes. */
void weft__output_make_room(struct weft_output *output);
/* The reader has all pieces before this number: they go.
 * Errors: WEFT_ERANGE there were never so many; nothing changes. */
int weft__output_taken(struct weft_output *output, uint64_t number);

/* What comes next for the reader. */
struct weft_output_batch {
    uint8_t *out, *err; /* one block: free(out) */
    size_t out_len, err_len;
    uint64_t next; /* number to go on with */
    bool last;     /* nothing comes after it by now */
};
/* The oldest pieces that fit into WEFT_OUTPUT_BATCH; they stay until they are said to be taken. */
void weft__output_fetch(const struct weft_output *output, struct weft_output_batch *batch_out);
bool weft__output_empty(const struct weft_output *output);
uint64_t weft__output_dropped(const struct weft_output *output); /* bytes */

#endif
