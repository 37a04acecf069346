/* Collectives as the program calls them. */
#ifndef WEFT_MPI_COLLECTIVE_H
#define WEFT_MPI_COLLECTIVE_H

#include "mpi/coll.h"

enum weft_mpi_form { WEFT_MPI_BLOCKING, WEFT_MPI_NONBLOCKING, WEFT_MPI_PERSISTENT };

struct weft_mpi_call {
    struct weft_mpi_coll coll; /* kind, wide, root; the sides without their types */
    MPI_Datatype from_type, into_type;
    MPI_Op op;
};

/* Checks, writes the schedule, and starts it or not; request: of the non-blocking and persistent
 * forms.  Errors: raised on the communicator. */
int weft__mpi_collective_call(const char *where, const struct weft_mpi_call *call, MPI_Comm handle,
                              enum weft_mpi_form form, MPI_Request *request_out);
/* Checks an operation and the type that it is to be used on. */
int weft__mpi_collective_check_op(struct weft_mpi *mpi, const char *where,
                                  const struct weft_mpi_comm *comm, MPI_Op op,
                                  MPI_Datatype datatype);

/* The three forms of a function. params: in parentheses, without the communicator; then the
 * fields of struct weft_mpi_call. */
/* clang-format off */
#define WEFT_MPI_UNWRAP(...) __VA_ARGS__
#define WEFT_MPI_FORMS(Name, Iname, C, params, ...)                                                \
    int P##Name##C(WEFT_MPI_UNWRAP params, MPI_Comm comm)                                          \
    {                                                                                              \
        const struct weft_mpi_call call = {__VA_ARGS__};                                           \
        return weft__mpi_collective_call(#Name #C, &call, comm, WEFT_MPI_BLOCKING, NULL);          \
    }                                                                                              \
    WEFT_MPI_EXPORT(Name##C);                                                                      \
    int P##Iname##C(WEFT_MPI_UNWRAP params, MPI_Comm comm, MPI_Request *request)                   \
    {                                                                                              \
        const struct weft_mpi_call call = {__VA_ARGS__};                                           \
        return weft__mpi_collective_call(#Iname #C, &call, comm, WEFT_MPI_NONBLOCKING, request);   \
    }                                                                                              \
    WEFT_MPI_EXPORT(Iname##C);                                                                     \
    int P##Name##_init##C(WEFT_MPI_UNWRAP params, MPI_Comm comm, MPI_Info info, MPI_Request *request) \
    {                                                                                              \
        const struct weft_mpi_call call = {__VA_ARGS__};                                           \
        (void)info;                                                                                \
        return weft__mpi_collective_call(#Name "_init" #C, &call, comm, WEFT_MPI_PERSISTENT, request); \
    }                                                                                              \
    WEFT_MPI_EXPORT(Name##_init##C)
/* clang-format on */

#endif
