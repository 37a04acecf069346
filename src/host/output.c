/* What the ranks of an app have printed, until its reader has it.
 *
 * Each piece has a number; the reader names the number that it wants next and thereby says that it
 * has what lies before, so a lost answer costs nothing and no piece is shown twice. Invariant: the
 * pieces in the queue have consecutive numbers, the last one is next_number - 1. Rejected: one byte
 * stream with byte offsets: stdout and stderr would lose their order against each other.
 */
#include "host/output.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/must.h"
#include "weft/error.h"

struct piece {
    struct piece *prev, *next;
    uint64_t number;
    size_t out_len, err_len;
    uint8_t bytes[]; /* out, then err */
};

struct weft_output {
    struct piece *pieces;
    size_t queued_bytes;
    uint64_t next_number;
    uint64_t dropped_bytes;
};

struct weft_output *weft__output_new(void)
{
    return weft__must_alloc(1, sizeof(struct weft_output));
}

static size_t size_of(const struct piece *piece)
{
    return piece->out_len + piece->err_len;
}

static void piece_free(struct weft_output *output, struct piece *piece)
{
    output->queued_bytes -= size_of(piece);
    DL_DELETE(output->pieces, piece);
    free(piece);
}

void weft__output_free(struct weft_output *output)
{
    if (output == NULL)
        return;
    while (output->pieces != NULL)
        piece_free(output, output->pieces);
    free(output);
}

static void copy(uint8_t *into, const void *from, size_t len)
{
    if (len > 0) /* the pointer of nothing may be NULL */
        memcpy(into, from, len);
}

int weft__output_add(struct weft_output *output, const struct iovec *out, const struct iovec *err)
{
    if (out->iov_len > WEFT_OUTPUT_PIECE || err->iov_len > WEFT_OUTPUT_PIECE)
        return weft_fail(WEFT_EMSGSIZE, "a piece of output has at most %u bytes of each stream",
                         WEFT_OUTPUT_PIECE);
    struct piece *piece = malloc(sizeof(*piece) + out->iov_len + err->iov_len);
    if (piece == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a piece of output");
    piece->number = output->next_number++;
    piece->out_len = out->iov_len;
    piece->err_len = err->iov_len;
    copy(piece->bytes, out->iov_base, out->iov_len);
    copy(piece->bytes + out->iov_len, err->iov_base, err->iov_len);
    DL_APPEND(output->pieces, piece);
    output->queued_bytes += size_of(piece);
    return WEFT_OK;
}

bool weft__output_full(const struct weft_output *output)
{
    return output->queued_bytes > WEFT_OUTPUT_FULL;
}

bool weft__output_has_room(const struct weft_output *output)
{
    return output->queued_bytes <= WEFT_OUTPUT_FULL / 2;
}

void weft__output_make_room(struct weft_output *output)
{
    while (weft__output_full(output) && output->pieces != NULL) {
        output->dropped_bytes += size_of(output->pieces);
        piece_free(output, output->pieces);
    }
}

int weft__output_taken(struct weft_output *output, uint64_t number)
{
    if (number > output->next_number)
        return weft_fail(WEFT_ERANGE, "there were %llu pieces of output, no piece %llu can be next",
                         (unsigned long long)output->next_number, (unsigned long long)number);
    while (output->pieces != NULL && output->pieces->number < number)
        piece_free(output, output->pieces);
    return WEFT_OK;
}

/* The first piece that does not fit into a batch any more (NULL: all fit), and the batch's sizes.
 */
static const struct piece *measure(const struct weft_output *output,
                                   struct weft_output_batch *batch)
{
    const struct piece *piece;
    DL_FOREACH(output->pieces, piece)
    {
        if (batch->out_len + piece->out_len > WEFT_OUTPUT_BATCH ||
            batch->err_len + piece->err_len > WEFT_OUTPUT_BATCH)
            return piece;
        batch->out_len += piece->out_len;
        batch->err_len += piece->err_len;
    }
    return NULL;
}

void weft__output_fetch(const struct weft_output *output, struct weft_output_batch *batch_out)
{
    struct weft_output_batch batch = {0};
    const struct piece *end = measure(output, &batch);
    batch.out = weft__must_alloc(1, batch.out_len + batch.err_len);
    batch.err = batch.out + batch.out_len;
    batch.next = end != NULL ? end->number : output->next_number;
    batch.last = end == NULL;
    size_t out_at = 0, err_at = 0;
    for (const struct piece *piece = output->pieces; piece != end; piece = piece->next) {
        copy(batch.out + out_at, piece->bytes, piece->out_len);
        copy(batch.err + err_at, piece->bytes + piece->out_len, piece->err_len);
        out_at += piece->out_len;
        err_at += piece->err_len;
    }
    *batch_out = batch;
}

bool weft__output_empty(const struct weft_output *output)
{
    return output->pieces == NULL;
}

uint64_t weft__output_dropped(const struct weft_output *output)
{
    return output->dropped_bytes;
}
