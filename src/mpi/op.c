/* The predefined operations on the predefined types. Those of the program: op_user.c.
 *
 * Three operands, not the two of MPI's user functions: a tree of combinations can then say which
 * side was left without copying first, and left and right matter for the bits (a NaN's payload, the
 * zero that max() keeps). Integer sums and products wrap, computed without signed overflow. MINLOC
 * and MAXLOC keep the lower index of equal values.
 */
#include "mpi/op.h"

#include <complex.h>
#include <stddef.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

enum { SUM, MIN, MAX, PROD, BAND, BOR, BXOR, LAND, LOR, LXOR, MINLOC, MAXLOC, OPS };

static const struct {
    uint16_t value; /* of the handle */
    char name[12];
} ops[OPS] = {
    [SUM] = {0x21, "MPI_SUM"},   [MIN] = {0x22, "MPI_MIN"},       [MAX] = {0x23, "MPI_MAX"},
    [PROD] = {0x24, "MPI_PROD"}, [BAND] = {0x28, "MPI_BAND"},     [BOR] = {0x29, "MPI_BOR"},
    [BXOR] = {0x2a, "MPI_BXOR"}, [LAND] = {0x30, "MPI_LAND"},     [LOR] = {0x31, "MPI_LOR"},
    [LXOR] = {0x32, "MPI_LXOR"}, [MINLOC] = {0x38, "MPI_MINLOC"}, [MAXLOC] = {0x39, "MPI_MAXLOC"},
};

static int op_index(uintptr_t value)
{
    for (int i = 0; i < OPS; i++)
        if (ops[i].value == value)
            return i;
    return -1;
}

bool weft__mpi_op_known(struct weft_mpi *mpi, MPI_Op op)
{
    return op_index((uintptr_t)op) >= 0 || weft__mpi_op_user(mpi, op);
}

const char *weft__mpi_op_name(MPI_Op op)
{
    int index = op_index((uintptr_t)op);
    return index >= 0 ? ops[index].name : "an operation of the program";
}

#define IN(group) (1u << WEFT_MPI_GROUP_##group)
#define INTEGERS (IN(INTEGER) | IN(FORTRAN_INTEGER) | IN(MULTI))

bool weft__mpi_op_defined(MPI_Op op, const struct weft_mpi_type *type)
{
    static const uint32_t groups[OPS] = {
        [SUM] = INTEGERS | IN(FLOATING) | IN(COMPLEX),
        [PROD] = INTEGERS | IN(FLOATING) | IN(COMPLEX),
        [MIN] = INTEGERS | IN(FLOATING),
        [MAX] = INTEGERS | IN(FLOATING),
        [BAND] = INTEGERS | IN(BYTE),
        [BOR] = INTEGERS | IN(BYTE),
        [BXOR] = INTEGERS | IN(BYTE),
        [LAND] = IN(INTEGER) | IN(LOGICAL),
        [LOR] = IN(INTEGER) | IN(LOGICAL),
        [LXOR] = IN(INTEGER) | IN(LOGICAL),
        [MINLOC] = IN(PAIR),
        [MAXLOC] = IN(PAIR),
    };
    int index = op_index((uintptr_t)op);
    return index < 0 || (groups[index] & (1u << type->group)) != 0;
}

/* clang-format off */
#define EACH(T, expression)                                                                       \
    do {                                                                                          \
        const T *left = c->left, *right = c->right;                                               \
        T *into = c->into;                                                                        \
        for (MPI_Count i = 0; i < c->count; i++) {                                                \
            const T x = left[i], y = right[i];                                                    \
            into[i] = (T)(expression);                                                            \
        }                                                                                         \
    } while (0)

/* W: an unsigned type at least as wide, in which sums and products wrap. */
#define INTEGER_OPS(name, T, W)                                                                   \
    static void name(int op, const struct weft_mpi_combine *c)                                    \
    {                                                                                             \
        switch (op) {                                                                             \
        case SUM:                                                                                 \
            EACH(T, (W)x + (W)y);                                                                 \
            break;                                                                                \
        case PROD:                                                                                \
            EACH(T, (W)x * (W)y);                                                                 \
            break;                                                                                \
        case MIN:                                                                                 \
            EACH(T, y < x ? y : x);                                                               \
            break;                                                                                \
        case MAX:                                                                                 \
            EACH(T, y > x ? y : x);                                                               \
            break;                                                                                \
        case BAND:                                                                                \
            EACH(T, x & y);                                                                       \
            break;                                                                                \
        case BOR:                                                                                 \
            EACH(T, x | y);                                                                       \
            break;                                                                                \
        case BXOR:                                                                                \
            EACH(T, x ^ y);                                                                       \
            break;                                                                                \
        case LAND:                                                                                \
            EACH(T, x && y);                                                                      \
            break;                                                                                \
        case LOR:                                                                                 \
            EACH(T, x || y);                                                                      \
            break;                                                                                \
        case LXOR:                                                                                \
            EACH(T, !x != !y);                                                                    \
            break;                                                                                \
        default:                                                                                  \
            break;                                                                                \
        }                                                                                         \
    }

#define FLOATING_OPS(name, T)                                                                     \
    static void name(int op, const struct weft_mpi_combine *c)                                    \
    {                                                                                             \
        switch (op) {                                                                             \
        case SUM:                                                                                 \
            EACH(T, x + y);                                                                       \
            break;                                                                                \
        case PROD:                                                                                \
            EACH(T, x * y);                                                                       \
            break;                                                                                \
        case MIN:                                                                                 \
            EACH(T, y < x ? y : x);                                                               \
            break;                                                                                \
        case MAX:                                                                                 \
            EACH(T, y > x ? y : x);                                                               \
            break;                                                                                \
        default:                                                                                  \
            break;                                                                                \
        }                                                                                         \
    }

#define COMPLEX_OPS(name, T)                                                                      \
    static void name(int op, const struct weft_mpi_combine *c)                                    \
    {                                                                                             \
        if (op == SUM)                                                                            \
            EACH(T, x + y);                                                                       \
        else                                                                                      \
            EACH(T, x * y);                                                                       \
    }

#define PAIR_OPS(name, V, I)                                                                      \
    static void name(int op, const struct weft_mpi_combine *c)                                    \
    {                                                                                             \
        struct pair {                                                                             \
            V value;                                                                              \
            I index;                                                                              \
        };                                                                                        \
        const struct pair *left = c->left, *right = c->right;                                     \
        struct pair *into = c->into;                                                              \
        for (MPI_Count i = 0; i < c->count; i++) {                                                \
            const struct pair x = left[i], y = right[i];                                          \
            bool second = op == MINLOC ? y.value < x.value : y.value > x.value;                   \
            if (!second && !(x.value < y.value) && !(x.value > y.value))                          \
                second = y.index < x.index;                                                       \
            into[i].value = second ? y.value : x.value;                                           \
            into[i].index = second ? y.index : x.index;                                           \
        }                                                                                         \
    }
/* clang-format on */

INTEGER_OPS(do_i8, int8_t, uint64_t)
INTEGER_OPS(do_i16, int16_t, uint64_t)
INTEGER_OPS(do_i32, int32_t, uint64_t)
INTEGER_OPS(do_i64, int64_t, uint64_t)
INTEGER_OPS(do_i128, int128, uint128)
INTEGER_OPS(do_u8, uint8_t, uint64_t)
INTEGER_OPS(do_u16, uint16_t, uint64_t)
INTEGER_OPS(do_u32, uint32_t, uint64_t)
INTEGER_OPS(do_u64, uint64_t, uint64_t)
FLOATING_OPS(do_f, float)
FLOATING_OPS(do_d, double)
FLOATING_OPS(do_ld, long double)
COMPLEX_OPS(do_cf, float complex)
COMPLEX_OPS(do_cd, double complex)
COMPLEX_OPS(do_cld, long double complex)
PAIR_OPS(do_f_i, float, int)
PAIR_OPS(do_d_i, double, int)
PAIR_OPS(do_l_i, long, int)
PAIR_OPS(do_i_i, int, int)
PAIR_OPS(do_s_i, short, int)
PAIR_OPS(do_ld_i, long double, int)
PAIR_OPS(do_f_f, float, float)
PAIR_OPS(do_d_d, double, double)

void weft__mpi_op_combine(struct weft_mpi *mpi, const struct weft_mpi_combine *combine)
{
    static void (*const by_base[])(int, const struct weft_mpi_combine *) = {
        [WEFT_MPI_BASE_I8] = do_i8,     [WEFT_MPI_BASE_I16] = do_i16,
        [WEFT_MPI_BASE_I32] = do_i32,   [WEFT_MPI_BASE_I64] = do_i64,
        [WEFT_MPI_BASE_I128] = do_i128, [WEFT_MPI_BASE_U8] = do_u8,
        [WEFT_MPI_BASE_U16] = do_u16,   [WEFT_MPI_BASE_U32] = do_u32,
        [WEFT_MPI_BASE_U64] = do_u64,   [WEFT_MPI_BASE_F] = do_f,
        [WEFT_MPI_BASE_D] = do_d,       [WEFT_MPI_BASE_LD] = do_ld,
        [WEFT_MPI_BASE_CF] = do_cf,     [WEFT_MPI_BASE_CD] = do_cd,
        [WEFT_MPI_BASE_CLD] = do_cld,   [WEFT_MPI_BASE_F_I] = do_f_i,
        [WEFT_MPI_BASE_D_I] = do_d_i,   [WEFT_MPI_BASE_L_I] = do_l_i,
        [WEFT_MPI_BASE_I_I] = do_i_i,   [WEFT_MPI_BASE_S_I] = do_s_i,
        [WEFT_MPI_BASE_LD_I] = do_ld_i, [WEFT_MPI_BASE_F_F] = do_f_f,
        [WEFT_MPI_BASE_D_D] = do_d_d,
    };
    if (combine->op > 0xfffu) {
        weft__mpi_op_call(mpi, combine);
        return;
    }
    by_base[weft__mpi_type_get(mpi, combine->type)->base](op_index(combine->op), combine);
}
