/* Generalized requests: three functions of the program, and a request that it completes itself.
 *
 * The functions are kept as addresses. In a program that lies in its rank's region they mean the
 * same wherever the rank is; of any other, the rank stays where it is while the request lives.
 */
#include "mpi/generalized.h"

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/request.h"
#include "mpi/status.h"
#include "mpi/wait.h"

struct weft_mpi_generalized {
    MPI_Grequest_query_function *query;
    MPI_Grequest_free_function *free;
    MPI_Grequest_cancel_function *cancel;
    void *extra;
};

int PMPI_Grequest_start(MPI_Grequest_query_function *query_fn, MPI_Grequest_free_function *free_fn,
                        MPI_Grequest_cancel_function *cancel_fn, void *extra_state,
                        MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!query_fn || !free_fn || !cancel_fn)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "no query, free or cancel function");
    struct weft_mpi_generalized *own = weft__heap_alloc(mpi->cell->heap, sizeof(*own));
    if (!own)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_NO_MEM, "the rank's region is full");
    *own = (struct weft_mpi_generalized){query_fn, free_fn, cancel_fn, extra_state};
    struct weft_mpi_request *made = weft__mpi_request_new(mpi, mpi->self, WEFT_MPI_GENERALIZED);
    made->generalized = own;
    weft__mpi_request_pin_code(mpi, made, (const void *)(uintptr_t)query_fn); /* NOLINT */
    *request = weft__mpi_request_handle(made);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Grequest_start);

int PMPI_Grequest_complete(MPI_Request request)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found = weft__mpi_request_of(mpi, request);
    if (!found || found->kind != WEFT_MPI_GENERALIZED || found->done)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_REQUEST,
                              "handle 0x%zx is not a generalized request under way",
                              weft__mpi_handle_value(request));
    int err = found->detached ? weft__mpi_generalized_end(mpi, found) : MPI_SUCCESS;
    weft__mpi_request_complete(mpi, found, MPI_SUCCESS);
    return err;
}
WEFT_MPI_EXPORT(MPI_Grequest_complete);

int weft__mpi_generalized_query(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                MPI_Status *status)
{
    MPI_Status own;
    const struct weft_mpi_generalized *of = request->generalized;
    (void)mpi;
    weft__mpi_status_set_empty(&own);
    int err = of->query(of->extra, &own);
    if (status) {
        int kept = status->MPI_ERROR;
        *status = own;
        status->MPI_ERROR = kept;
    }
    return err;
}

int weft__mpi_generalized_end(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    (void)mpi;
    return request->generalized->free(request->generalized->extra);
}

int weft__mpi_generalized_cancel(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    const struct weft_mpi_generalized *of = request->generalized;
    int err = of->cancel(of->extra, request->done);
    return err ? weft__mpi_error_raise(mpi, request->comm, err, "MPI_Cancel",
                                       "the request's function failed")
               : MPI_SUCCESS;
}
