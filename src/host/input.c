/* Both ends name offsets, so a lost answer costs nothing: bytes that come again are known, and
 * bytes that are asked for again are still there, because they go only when the reader asks for
 * later ones. That is how a rank that moves with input unread gets each byte once.
 *
 * The window lies at the beginning of one block; what the reader takes is moved out of the way,
 * four pieces at most. */
#include "host/input.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "weft/error.h"

struct weft_input {
    uint64_t begin; /* offset of the first byte in the window */
    size_t len;
    bool whole;
    uint8_t *bytes; /* NULL: nothing has come yet */
};

struct weft_input *weft__input_new(void)
{
    return weft__must_alloc(1, sizeof(struct weft_input));
}

void weft__input_free(struct weft_input *input)
{
    if (input == NULL)
        return;
    free(input->bytes);
    free(input);
}

int weft__input_add(struct weft_input *input, uint64_t offset, const void *bytes, size_t len,
                    bool at_end)
{
    uint64_t next = weft__input_next(input);
    if (offset > next)
        return weft_fail(WEFT_ERANGE, "input from byte %llu on came before byte %llu",
                         (unsigned long long)offset, (unsigned long long)next);
    uint64_t known = next - offset;
    if (known <= len && !input->whole) {
        size_t left = len - (size_t)known, room = WEFT_INPUT_WINDOW - input->len;
        size_t n = left < room ? left : room;
        if (input->bytes == NULL)
            input->bytes = weft__must_alloc(1, WEFT_INPUT_WINDOW);
        if (n > 0)
            memcpy(input->bytes + input->len, (const uint8_t *)bytes + known, n);
        input->len += n;
        input->whole = at_end && n == left;
    }
    return WEFT_OK;
}

uint64_t weft__input_next(const struct weft_input *input)
{
    return input->begin + input->len;
}

int weft__input_taken(struct weft_input *input, uint64_t offset)
{
    uint64_t n = offset - input->begin;
    if (offset < input->begin || n > input->len)
        return weft_fail(WEFT_ERANGE, "byte %llu of the input is not held: %zu from byte %llu on",
                         (unsigned long long)offset, input->len, (unsigned long long)input->begin);
    input->begin = offset;
    input->len -= (size_t)n;
    if (n > 0)
        memmove(input->bytes, input->bytes + n, input->len);
    return WEFT_OK;
}

struct weft_input_view weft__input_view(const struct weft_input *input)
{
    size_t len = input->len < WEFT_INPUT_PIECE ? input->len : WEFT_INPUT_PIECE;
    return (struct weft_input_view){
        .bytes = input->bytes, .len = len, .at_end = input->whole && len == input->len};
}

bool weft__input_is_whole(const struct weft_input *input)
{
    return input->whole;
}

bool weft__input_has_room(const struct weft_input *input)
{
    return input->len < WEFT_INPUT_WINDOW && !input->whole;
}
