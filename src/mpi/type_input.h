/* The arguments of a constructor as the program gave them, in int or in MPI_Count, so that both
 * forms share their code. */
#ifndef WEFT_MPI_TYPE_INPUT_H
#define WEFT_MPI_TYPE_INPUT_H

#include "mpi/type.h"

/* Where the standard keeps them for MPI_Type_get_contents. The large forms keep counts and
 * addresses together. */
enum weft_mpi_values_kind { WEFT_MPI_INTEGERS, WEFT_MPI_COUNTS, WEFT_MPI_ADDRESSES };

/* n numbers: of one of both kinds. */
struct weft_mpi_values {
    enum weft_mpi_values_kind kind;
    int64_t n;
    const int *small;
    const int64_t *large;
};

enum { WEFT_MPI_VALUES_MAX = 8 };

struct weft_mpi_input {
    const char *where;
    int combiner;
    bool large; /* a function with _c */
    int values_n;
    struct weft_mpi_values values[WEFT_MPI_VALUES_MAX];
    int64_t types_n;
    const MPI_Datatype *types;
};

/* clang-format off */
#define WEFT_MPI_VALUES(kind_, count_, pointer)                                                    \
    {.kind = WEFT_MPI_##kind_, .n = (count_),                                                      \
     .small = _Generic((pointer), int *: (pointer), const int *: (pointer), default: NULL),        \
     .large = _Generic((pointer), int *: NULL, const int *: NULL, default: (pointer))}
/* clang-format on */

static inline int64_t weft__mpi_values_at(const struct weft_mpi_values *values, int64_t i)
{
    return values->small ? values->small[i] : values->large[i];
}

/* What MPI_Type_get_contents will tell; holds the types. NULL: the region is full. */
struct weft_mpi_contents *weft__mpi_type_contents(struct weft_mpi *mpi,
                                                  const struct weft_mpi_input *input);
/* Gives the program the type that was made, with its arguments; NULL: error says why not. Raises
 * what went wrong. */
int weft__mpi_type_publish(struct weft_mpi *mpi, const struct weft_mpi_input *input,
                           struct weft_mpi_type *type, int error, MPI_Datatype *handle_out);
/* Whether the types that a constructor is given are types.  Errors: MPI_ERR_TYPE, raised. */
int weft__mpi_type_check_old(struct weft_mpi *mpi, const struct weft_mpi_input *input);

#endif
