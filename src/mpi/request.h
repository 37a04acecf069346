/* The table of requests. */
#ifndef WEFT_MPI_REQUEST_H
#define WEFT_MPI_REQUEST_H

#include "mpi/state.h"

/* A new request, all fields zero but index, kind and comm; never NULL (a full table ends the app).
 */
struct weft_mpi_request *weft__mpi_request_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                               enum weft_mpi_request_kind kind);
/* The request behind the handle of every send that is over when the program gets it: always done,
 * and nobody's, so that giving it back changes nothing. */
static inline struct weft_mpi_request *weft__mpi_request_sent(const struct weft_mpi *mpi)
{
    return mpi->sent;
}

/* Returns it to the table. It must be done, or never have been started. */
void weft__mpi_request_free(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* The request in slot index; NULL: not in use. far: any, and not inline. */
struct weft_mpi_request *weft__mpi_request_far(const struct weft_mpi *mpi, uint64_t index);
static inline struct weft_mpi_request *weft__mpi_request_at(const struct weft_mpi *mpi,
                                                            uint64_t index)
{
    if (index >= WEFT_MPI_CHUNK || !mpi->chunks[0])
        return weft__mpi_request_far(mpi, index);
    struct weft_mpi_request *request = &mpi->chunks[0][index];
    return request->kind == WEFT_MPI_FREE ? NULL : request;
}

/* The request behind a handle of the program's, also one that it has freed; NULL: not one. */
static inline struct weft_mpi_request *weft__mpi_request_of(const struct weft_mpi *mpi,
                                                            MPI_Request handle)
{
    uintptr_t value = weft__mpi_handle_value(handle);
    uint64_t index = value >> WEFT_MPI_HANDLE_SHIFT;
    if ((value & WEFT_MPI_HANDLE_MASK) != WEFT_MPI_REQUEST_KIND || index == 0)
        return NULL;
    struct weft_mpi_request *request = weft__mpi_request_at(mpi, index - 1);
    return request && request->given && request->kind != WEFT_MPI_MESSAGE ? request : NULL;
}

/* The same, but only one that the program holds. */
static inline struct weft_mpi_request *weft__mpi_request_find(const struct weft_mpi *mpi,
                                                              MPI_Request handle)
{
    struct weft_mpi_request *request = weft__mpi_request_of(mpi, handle);
    return request && !request->detached ? request : NULL;
}

/* The handle, to be given to the program. */
MPI_Request weft__mpi_request_handle(struct weft_mpi_request *request);

/* What it sends or receives: holds the type. */
void weft__mpi_request_data(struct weft_mpi *mpi, struct weft_mpi_request *request,
                            const struct weft_mpi_buffer *data);
static inline struct weft_mpi_buffer
weft__mpi_request_buffer(const struct weft_mpi_request *request)
{
    return (struct weft_mpi_buffer){request->buf, request->count, request->type};
}

/* Keeps the rank from being moved while it waits with data outside its range. */
void weft__mpi_request_pin(struct weft_mpi *mpi, struct weft_mpi_request *request,
                           const struct weft_mpi_buffer *data);
/* The same because of a function of the program that it will call. NULL is fine. */
void weft__mpi_request_pin_code(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                const void *code);
/* Marks it done with an error code, tells what it is a part of, frees it when nobody else will. */
void weft__mpi_request_complete(struct weft_mpi *mpi, struct weft_mpi_request *request, int error);
/* What MPI tells of a completed request: leaves MPI_ERROR alone. NULL is fine. */
void weft__mpi_request_status(const struct weft_mpi_request *request, MPI_Status *status);
/* Forgets what became of a persistent request, so that it can be started (again). */
void weft__mpi_request_rewind(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* The program has seen the end of it: frees it, or makes it inactive where it is persistent. */
void weft__mpi_request_release(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Makes the request that sent() returns; the world is there. */
void weft__mpi_request_init(struct weft_mpi *mpi);
/* Frees the table, and what is left in it. */
void weft__mpi_request_fini(struct weft_mpi *mpi);

#endif
