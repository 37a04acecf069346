/* Merge operations on elements.
 *
 * One function per number type and operation, made by one macro, so that the loop over the elements
 * is inside and knows its type. Integers are handled as unsigned: they wrap around, so sum and
 * subtract always have an operand that leads back. A product has one only where it divides. An
 * operand that is not a finite number counts only if it leads exactly there; otherwise whoever asks
 * has to overwrite.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "snapshot/merge.h"

/* ---- operands ---- */

#define INTEGER_OPERAND(name, signed_type, unsigned_type)                                          \
    static inline bool name(enum weft_merge_op op, unsigned_type a, unsigned_type b,               \
                            unsigned_type *operand_out)                                            \
    {                                                                                              \
        switch (op) {                                                                              \
        case WEFT_MERGE_SUM:                                                                       \
            *operand_out = b - a;                                                                  \
            return true;                                                                           \
        case WEFT_MERGE_SUBTRACT:                                                                  \
            *operand_out = a - b;                                                                  \
            return true;                                                                           \
        case WEFT_MERGE_PRODUCT:                                                                   \
            if (a + 1 == 0) { /* -1: its quotient may not fit */                                   \
                *operand_out = 0 - b;                                                              \
                return true;                                                                       \
            }                                                                                      \
            if (a == 0 || (signed_type)b % (signed_type)a)                                         \
                return false;                                                                      \
            *operand_out = (unsigned_type)((signed_type)b / (signed_type)a);                       \
            return true;                                                                           \
        default:                                                                                   \
            *operand_out = b;                                                                      \
            return true;                                                                           \
        }                                                                                          \
    }

#define FLOATING_OPERAND(name, type)                                                               \
    static inline bool name(enum weft_merge_op op, type a, type b, type *operand_out)              \
    {                                                                                              \
        type operand = b, back = b;                                                                \
        if (op == WEFT_MERGE_SUM) {                                                                \
            operand = b - a;                                                                       \
            back = a + operand;                                                                    \
        } else if (op == WEFT_MERGE_SUBTRACT) {                                                    \
            operand = a - b;                                                                       \
            back = a - operand;                                                                    \
        } else if (op == WEFT_MERGE_PRODUCT) {                                                     \
            operand = a != 0 ? b / a : 0;                                                          \
            back = a * operand;                                                                    \
            if (a == 0 || (b != 0 && isfinite(operand) && !isnormal(operand)))                     \
                return false; /* there is none, or too small a one to be exact */                  \
        }                                                                                          \
        *operand_out = operand;                                                                    \
        return (isfinite(operand) && isfinite(back)) || back == b;                                 \
    }

#define OPERANDS(name, type, operand_function)                                                     \
    static size_t name(enum weft_merge_op op, const unsigned char *from, const unsigned char *to,  \
                       size_t n, unsigned char *operands_out)                                      \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i < n * sizeof(type); i += sizeof(type)) {                                          \
            type a, b, operand;                                                                    \
            if (memcmp(from + i, to + i, sizeof(type)) == 0)                                       \
                break;                                                                             \
            memcpy(&a, from + i, sizeof(a));                                                       \
            memcpy(&b, to + i, sizeof(b));                                                         \
            if (!operand_function(op, a, b, &operand))                                             \
                break;                                                                             \
            memcpy(operands_out + i, &operand, sizeof(operand));                                   \
        }                                                                                          \
        return i / sizeof(type);                                                                   \
    }

INTEGER_OPERAND(operand_int32, int32_t, uint32_t)
INTEGER_OPERAND(operand_int64, int64_t, uint64_t)
FLOATING_OPERAND(operand_float, float)
FLOATING_OPERAND(operand_double, double)
OPERANDS(operands_int32, uint32_t, operand_int32)
OPERANDS(operands_int64, uint64_t, operand_int64)
OPERANDS(operands_float, float, operand_float)
OPERANDS(operands_double, double, operand_double)

size_t weft__merge_operands(const struct weft_merge_region *how, const void *from, const void *to,
                            size_t n, void *operands_out)
{
    switch (how->type) {
    case WEFT_MERGE_INT32:
        return operands_int32(how->op, from, to, n, operands_out);
    case WEFT_MERGE_INT64:
        return operands_int64(how->op, from, to, n, operands_out);
    case WEFT_MERGE_FLOAT:
        return operands_float(how->op, from, to, n, operands_out);
    case WEFT_MERGE_DOUBLE:
        return operands_double(how->op, from, to, n, operands_out);
    default:
        weft__check(how->type >= WEFT_MERGE_INT32);
        return 0;
    }
}

/* ---- applying ---- */

#define EACH(name, type, arithmetic, expression)                                                   \
    static void name(unsigned char *into, const unsigned char *operands, size_t n)                 \
    {                                                                                              \
        for (size_t i = 0; i < n * sizeof(type); i += sizeof(type)) {                              \
            type old, operand;                                                                     \
            memcpy(&old, into + i, sizeof(old));                                                   \
            memcpy(&operand, operands + i, sizeof(operand));                                       \
            type result = (type)(expression);                                                      \
            memcpy(into + i, &result, sizeof(result));                                             \
        }                                                                                          \
    }

#define OPERATIONS(suffix, type, arithmetic)                                                       \
    EACH(sum_##suffix, type, arithmetic, (arithmetic)old + (arithmetic)operand)                    \
    EACH(subtract_##suffix, type, arithmetic, (arithmetic)old - (arithmetic)operand)               \
    EACH(product_##suffix, type, arithmetic, (arithmetic)old *(arithmetic)operand)                 \
    EACH(max_##suffix, type, arithmetic, operand > old ? operand : old)                            \
    EACH(min_##suffix, type, arithmetic, operand < old ? operand : old)

OPERATIONS(int32, int32_t, uint32_t)
OPERATIONS(int64, int64_t, uint64_t)
OPERATIONS(float, float, float)
OPERATIONS(double, double, double)

typedef void apply_function(unsigned char *into, const unsigned char *operands, size_t n);

/* By operation, from WEFT_MERGE_SUM on, and type, from WEFT_MERGE_INT32 on. */
static apply_function *const functions[][4] = {
    {sum_int32, sum_int64, sum_float, sum_double},
    {subtract_int32, subtract_int64, subtract_float, subtract_double},
    {product_int32, product_int64, product_float, product_double},
    {max_int32, max_int64, max_float, max_double},
    {min_int32, min_int64, min_float, min_double},
};

static void apply_xor(unsigned char *into, const unsigned char *operands, size_t n)
{
    for (size_t i = 0; i < n; i++)
        into[i] ^= operands[i];
}

void weft__merge_apply(const struct weft_merge_region *how, void *into, const void *operands,
                       size_t n)
{
    weft__check(weft__merge_allows(how->type, how->op));
    if (how->op == WEFT_MERGE_OVERWRITE)
        memcpy(into, operands, n);
    else if (how->op == WEFT_MERGE_XOR)
        apply_xor(into, operands, n);
    else if (how->op != WEFT_MERGE_IGNORE)
        functions[how->op - WEFT_MERGE_SUM][how->type - WEFT_MERGE_INT32](into, operands, n);
}
