/* Datatypes, named by their number (the handle's value): the predefined ones in static tables, the
 * derived ones in a table in the rank's range. */
#ifndef WEFT_MPI_TYPE_H
#define WEFT_MPI_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpi/abi.h"

struct weft_mpi;
struct weft_mpi_comm;

#define WEFT_MPI_TYPE_KIND 0x200u /* low bits of a derived type's number */
#define WEFT_MPI_TYPE_FIRST                                                                        \
    0x200u                        /* numbers of the predefined types: from here (the null type)    \
                                   */
#define WEFT_MPI_TYPE_LAST 0x2ebu /* to here */
#define WEFT_MPI_TYPE_DEPTH 64u   /* how deep types of types can nest */

/* What the values are made of: chooses the code of an operation. */
enum weft_mpi_base {
    WEFT_MPI_BASE_NONE,
    WEFT_MPI_BASE_I8,
    WEFT_MPI_BASE_I16,
    WEFT_MPI_BASE_I32,
    WEFT_MPI_BASE_I64,
    WEFT_MPI_BASE_I128,
    WEFT_MPI_BASE_U8,
    WEFT_MPI_BASE_U16,
    WEFT_MPI_BASE_U32,
    WEFT_MPI_BASE_U64,
    WEFT_MPI_BASE_F,
    WEFT_MPI_BASE_D,
    WEFT_MPI_BASE_LD,
    WEFT_MPI_BASE_CF,
    WEFT_MPI_BASE_CD,
    WEFT_MPI_BASE_CLD,
    WEFT_MPI_BASE_F_I, /* pairs with an index */
    WEFT_MPI_BASE_D_I,
    WEFT_MPI_BASE_L_I,
    WEFT_MPI_BASE_I_I,
    WEFT_MPI_BASE_S_I,
    WEFT_MPI_BASE_LD_I,
    WEFT_MPI_BASE_F_F,
    WEFT_MPI_BASE_D_D
};

/* The standard's groups of types, which say what operations are allowed (MPI 5.0 section 6.9.2).
 * Derived types are in none. */
enum weft_mpi_type_group {
    WEFT_MPI_GROUP_NONE,
    WEFT_MPI_GROUP_INTEGER,
    WEFT_MPI_GROUP_FORTRAN_INTEGER,
    WEFT_MPI_GROUP_FLOATING,
    WEFT_MPI_GROUP_LOGICAL,
    WEFT_MPI_GROUP_COMPLEX,
    WEFT_MPI_GROUP_BYTE,
    WEFT_MPI_GROUP_MULTI, /* MPI_AINT, MPI_OFFSET, MPI_COUNT */
    WEFT_MPI_GROUP_PAIR
};

/* Some values of one type, one behind the other. */
struct weft_mpi_part {
    int64_t
        offset; /* from the body's start to the first value; single: to the first byte of data */
    uint64_t start; /* bytes of data in the parts before it */
    int64_t count;  /* > 0 */
    uint32_t child; /* number of the values' type, of at least one byte */
    bool single;    /* the data are one run of bytes */
};

/* A value is `repeat` bodies, each `stride` bytes from the one before; a body is the parts in
 * order. Parts without data are left out. */
struct weft_mpi_type {
    uint64_t size; /* bytes of data */
    int64_t lb, extent;
    int64_t true_lb, true_extent; /* where the data lie */
    uint64_t elements;            /* basic ones in a value */
    uint32_t unit;  /* number of the basic type, where all elements are of one; else 0 */
    uint32_t align; /* largest alignment of an element */
    uint8_t base, group;
    uint8_t depth; /* of types below it that a walk can enter */
    bool dense;    /* the data are one run of bytes, in order */
    bool bounded;  /* lb and extent were set, not computed */
    bool committed;
    bool shares; /* its parts are those of the type that it is made of */
    uint32_t number;
    uint32_t users;             /* handles of the program; 0: it has none, or has freed them */
    uint32_t holders;           /* these, requests, schedules, types made of it */
    struct weft_mpi_type *next; /* of those that are being released */
    uint32_t parts_n;
    const struct weft_mpi_part *parts;
    uint64_t body; /* bytes of data of a body */
    int64_t repeat, stride;
    char *name;                         /* NULL: none */
    struct weft_mpi_contents *contents; /* NULL: a predefined type, or none that the program sees */
};

/* The arguments of the constructor. */
struct weft_mpi_contents {
    int combiner;
    int64_t integers_n, addresses_n, larges_n, types_n;
    int *integers; /* in this block, as all of them */
    int64_t *addresses, *larges;
    uint32_t *types; /* held */
};

/* Values in memory. */
struct weft_mpi_buffer {
    void *buf; /* of a source it is only read */
    MPI_Count count;
    uint32_t type;
};

static inline uint32_t weft__mpi_type_number(MPI_Datatype datatype)
{
    return (uint32_t)(uintptr_t)datatype;
}

static inline MPI_Datatype weft__mpi_type_handle(uint32_t number)
{
    return (MPI_Datatype)(uintptr_t)number;
}

/* The type of a handle that the program holds, committed or not; NULL: not one. */
const struct weft_mpi_type *weft__mpi_type_find(struct weft_mpi *mpi, MPI_Datatype datatype);
/* A new derived type, all fields zero but number and holders (1: the caller); NULL: no room. */
struct weft_mpi_type *weft__mpi_type_new(struct weft_mpi *mpi);
/* A derived type to be changed. */
struct weft_mpi_type *weft__mpi_type_derived(struct weft_mpi *mpi, uint32_t number);
/* Whether the program may communicate with it.  Errors: MPI_ERR_TYPE, raised on comm: not a type,
 * not committed. */
int weft__mpi_type_check(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                         MPI_Datatype datatype);
/* Frees the table. */
void weft__mpi_type_fini(struct weft_mpi *mpi);

/* What messages show of it. */
static inline const char *weft__mpi_type_label(const struct weft_mpi_type *type)
{
    return type->name && type->name[0] ? type->name : "a derived type";
}

static inline bool weft__mpi_type_is_derived(uint32_t number)
{
    return number > 0xfffu;
}

/* By number, from WEFT_MPI_TYPE_FIRST. */
extern const struct weft_mpi_type weft__mpi_type_predefined[];
/* One holder of a derived type less; the last one frees it. */
void weft__mpi_type_release(struct weft_mpi *mpi, uint32_t number);

/* The type of a number that find() has accepted and that is held since. */
static inline const struct weft_mpi_type *weft__mpi_type_get(struct weft_mpi *mpi, uint32_t number)
{
    return number <= WEFT_MPI_TYPE_LAST ? &weft__mpi_type_predefined[number - WEFT_MPI_TYPE_FIRST]
                                        : weft__mpi_type_derived(mpi, number);
}

/* Keeps a type that find() has accepted until the drop() that belongs to it, whatever the program
 * frees. Returns the number. */
static inline uint32_t weft__mpi_type_hold(struct weft_mpi *mpi, uint32_t number)
{
    if (weft__mpi_type_is_derived(number))
        weft__mpi_type_derived(mpi, number)->holders++;
    return number;
}

/* 0 is fine. */
static inline void weft__mpi_type_drop(struct weft_mpi *mpi, uint32_t number)
{
    if (weft__mpi_type_is_derived(number))
        weft__mpi_type_release(mpi, number);
}

/* Whether the data of count values are one run of bytes, in order, from type_at() on. */
static inline bool weft__mpi_type_is_run(const struct weft_mpi_type *type, MPI_Count count)
{
    return type->dense && (count <= 1 || type->extent == (int64_t)type->size);
}

/* Where the first value's data begin. buf NULL: the type has absolute addresses. */
static inline void *weft__mpi_type_at(const struct weft_mpi_type *type, const void *buf)
{
    return (void *)((uintptr_t)buf + (uintptr_t)type->true_lb); /* NOLINT: absolute addresses */
}

/* Whether count values have data, and no address. */
static inline bool weft__mpi_type_misses(const struct weft_mpi_type *type, const void *buf,
                                         MPI_Count count)
{
    return !buf && count > 0 && type->size > 0 && (uint64_t)type->true_lb < 4096;
}

/* Whole basic elements in the first len bytes of packed values of a type that has data; < 0: these
 * end inside of one. */
int64_t weft__mpi_type_elements(struct weft_mpi *mpi, const struct weft_mpi_type *type,
                                uint64_t len);
/* The other way round: bytes of packed data of so many elements.  < 0: they need more than 63 bits.
 */
int64_t weft__mpi_type_bytes(struct weft_mpi *mpi, const struct weft_mpi_type *type,
                             uint64_t elements);

/* Bytes from the lowest to the highest byte of data of count values; where they begin, from the
 * buffer's address, in *first_out. Memory for a copy of the values: as many bytes, its address
 * minus *first_out is the buffer. The count has passed fits(). */
size_t weft__mpi_type_span(const struct weft_mpi_type *type, MPI_Count count, int64_t *first_out);
/* Whether sizes and addresses of count values can be computed. */
bool weft__mpi_type_fits(const struct weft_mpi_type *type, MPI_Count count);

/* The len bytes from `offset` of the packed data: a message can be made piece by piece. They must
 * be within it. */
void weft__mpi_type_pack(struct weft_mpi *mpi, const struct weft_mpi_buffer *from, uint64_t offset,
                         void *packed, size_t len);
void weft__mpi_type_unpack(struct weft_mpi *mpi, const struct weft_mpi_buffer *into,
                           uint64_t offset, const void *packed, size_t len);
/* As if sent from one to the other: as many bytes as both have. They do not overlap, or are the
 * same. */
void weft__mpi_type_copy(struct weft_mpi *mpi, const struct weft_mpi_buffer *from,
                         const struct weft_mpi_buffer *into);

#endif
