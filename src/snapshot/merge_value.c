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
    static bool name(enum weft_merge_op op, const void *from, const void *to, void *operand_out)   \
    {                                                                                              \
        unsigned_type a, b, operand;                                                               \
        memcpy(&a, from, sizeof(a));                                                               \
        memcpy(&b, to, sizeof(b));                                                                 \
        if (op == WEFT_MERGE_SUM) {                                                                \
            operand = b - a;                                                                       \
        } else if (op == WEFT_MERGE_SUBTRACT) {                                                    \
            operand = a - b;                                                                       \
        } else if (op == WEFT_MERGE_PRODUCT && a + 1 == 0) { /* -1: its quotient may not fit */    \
            operand = 0 - b;                                                                       \
        } else if (op == WEFT_MERGE_PRODUCT) {                                                     \
            if (a == 0 || (signed_type)b % (signed_type)a)                                         \
                return false;                                                                      \
            operand = (unsigned_type)((signed_type)b / (signed_type)a);                            \
        } else {                                                                                   \
            operand = b;                                                                           \
        }                                                                                          \
        memcpy(operand_out, &operand, sizeof(operand));                                            \
        return true;                                                                               \
    }

#define FLOATING_OPERAND(name, type)                                                               \
    static bool name(enum weft_merge_op op, const void *from, const void *to, void *operand_out)   \
    {                                                                                              \
        type a, b, operand, back;                                                                  \
        memcpy(&a, from, sizeof(a));                                                               \
        memcpy(&b, to, sizeof(b));                                                                 \
        if (op == WEFT_MERGE_SUM) {                                                                \
            operand = b - a;                                                                       \
            back = a + operand;                                                                    \
        } else if (op == WEFT_MERGE_SUBTRACT) {                                                    \
            operand = a - b;                                                                       \
            back = a - operand;                                                                    \
        } else if (op == WEFT_MERGE_PRODUCT) {                                                     \
            if (a == 0)                                                                            \
                return false;                                                                      \
            operand = b / a;                                                                       \
            back = a * operand;                                                                    \
            if (b != 0 && isfinite(operand) && !isnormal(operand)) /* too small to be exact */     \
                return false;                                                                      \
        } else {                                                                                   \
            operand = back = b;                                                                    \
        }                                                                                          \
        if (!(isfinite(operand) && isfinite(back)) && back != b)                                   \
            return false;                                                                          \
        memcpy(operand_out, &operand, sizeof(operand));                                            \
        return true;                                                                               \
    }

INTEGER_OPERAND(operand_int32, int32_t, uint32_t)
INTEGER_OPERAND(operand_int64, int64_t, uint64_t)
FLOATING_OPERAND(operand_float, float)
FLOATING_OPERAND(operand_double, double)

bool weft__merge_operand(const struct weft_merge_region *how, const void *from, const void *to,
                         void *operand_out)
{
    switch (how->type) {
    case WEFT_MERGE_INT32:
        return operand_int32(how->op, from, to, operand_out);
    case WEFT_MERGE_INT64:
        return operand_int64(how->op, from, to, operand_out);
    case WEFT_MERGE_FLOAT:
        return operand_float(how->op, from, to, operand_out);
    case WEFT_MERGE_DOUBLE:
        return operand_double(how->op, from, to, operand_out);
    default:
        weft__check(!"a number type");
        return false;
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
