/* Attributes: values that a program hangs on communicators and datatypes under keys. */
#ifndef WEFT_MPI_ATTR_H
#define WEFT_MPI_ATTR_H

#include "mpi/state.h"

enum weft_mpi_attr_kind { WEFT_MPI_ATTR_COMM, WEFT_MPI_ATTR_TYPE, WEFT_MPI_ATTR_WIN };

/* An object as the callbacks see it, and its attributes. */
struct weft_mpi_attr_owner {
    enum weft_mpi_attr_kind kind;
    void *handle;
    struct weft_mpi_attr **list;
};

/* Copies to a new object what its keys' callbacks let through.  Errors: what a callback returns;
 * the new object has those copied so far. */
int weft__mpi_attr_copy(struct weft_mpi *mpi, const struct weft_mpi_attr_owner *from,
                        struct weft_mpi_attr **into);
/* Deletes all, the latest first, with their callbacks.  Errors: what a callback returns, whose
 * attribute and those before it stay. */
int weft__mpi_attr_delete_all(struct weft_mpi *mpi, const struct weft_mpi_attr_owner *owner);
/* Frees them without callbacks. */
void weft__mpi_attr_drop_all(struct weft_mpi *mpi, struct weft_mpi_attr **list);
/* What the program asks for; raised on comm where it fails.  Errors: MPI_ERR_KEYVAL,
 * MPI_ERR_NO_MEM, what a callback returns. lint: five and the value */
int weft__mpi_attr_set(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct weft_mpi_attr_owner *owner, int number, void *value);
/* value_out: the address of a pointer.
 * lint: five and two results */
int weft__mpi_attr_get(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct weft_mpi_attr_owner *owner, int number, void *value_out,
                       int *flag_out);
int weft__mpi_attr_delete(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                          const struct weft_mpi_attr_owner *owner, int number);

/* Attributes of datatypes, by number: copied when one is duplicated, deleted when the program frees
 * it.  Errors: what a callback returns, not raised. */
int weft__mpi_attr_type_dup(struct weft_mpi *mpi, uint32_t from, uint32_t to);
int weft__mpi_attr_type_free(struct weft_mpi *mpi, uint32_t number);

void weft__mpi_attr_type_fini(struct weft_mpi *mpi);

/* Frees all keys; no attribute is left. */
void weft__mpi_attr_fini(struct weft_mpi *mpi);

#endif
