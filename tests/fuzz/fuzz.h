/* What the targets share: an input that is taken apart piece by piece, and a check that stays in
 * every build. A target defines LLVMFuzzerTestOneInput: it decodes the input, and checks that what
 * is accepted can be encoded again, where there is an encoder. */
#ifndef WEFT_TESTS_FUZZ_H
#define WEFT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The next n bytes, or as many as there are (*n changes). */
static inline const uint8_t *fuzz_take(struct fuzz_input *input, size_t *n)
{
    const uint8_t *at = input->at;
    if (*n > input->left)
        *n = input->left;
    input->at += *n;
    input->left -= *n;
    return at;
}

/* Little endian; what is missing is 0. */
static inline uint64_t fuzz_number(struct fuzz_input *input, size_t bytes)
{
    uint64_t number = 0;
    size_t n = bytes;
    const uint8_t *at = fuzz_take(input, &n);
    for (size_t i = 0; i < n; i++)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

/* A copy of exactly that size, so that a read behind its end is seen; free(). */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    FUZZ_CHECK(copy != NULL);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

#endif
