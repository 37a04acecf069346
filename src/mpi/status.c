/* MPI_Status: 64 bits of length in bytes, whether the request was cancelled. */
#include "mpi/status.h"

#include <limits.h>
#include <string.h>

#include "mpi/error.h"
#include "mpi/type.h"

enum { LEN = 0, FLAGS = 2 };
#define CANCELLED 1

static uint64_t length(const MPI_Status *status)
{
    uint64_t len;
    memcpy(&len, &status->MPI_internal[LEN], sizeof(len));
    return len;
}

void weft__mpi_status_set(MPI_Status *status, int source, int tag, size_t len_bytes)
{
    uint64_t len = len_bytes;
    if (!status)
        return;
    status->MPI_SOURCE = source;
    status->MPI_TAG = tag;
    memset(status->MPI_internal, 0, sizeof(status->MPI_internal));
    memcpy(&status->MPI_internal[LEN], &len, sizeof(len));
}

void weft__mpi_status_set_cancelled(MPI_Status *status)
{
    if (status)
        status->MPI_internal[FLAGS] |= CANCELLED;
}

void weft__mpi_status_set_empty(MPI_Status *status)
{
    weft__mpi_status_set(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0);
    if (status)
        status->MPI_ERROR = MPI_SUCCESS;
}

int PMPI_Get_count_c(const MPI_Status *status, MPI_Datatype datatype, MPI_Count *count)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_TYPE, "handle 0x%zx is not a datatype",
                              weft__mpi_handle_value(datatype));
    uint64_t len = length(status);
    *count = len % type->size == 0 ? (MPI_Count)(len / type->size) : MPI_UNDEFINED;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Get_count_c);

int PMPI_Get_count(const MPI_Status *status, MPI_Datatype datatype, int *count)
{
    MPI_Count large = 0;
    int err = PMPI_Get_count_c(status, datatype, &large);
    if (!err)
        *count = large > INT_MAX ? MPI_UNDEFINED : (int)large;
    return err;
}
WEFT_MPI_EXPORT(MPI_Get_count);

int PMPI_Test_cancelled(const MPI_Status *status, int *flag)
{
    *flag = (status->MPI_internal[FLAGS] & CANCELLED) != 0;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Test_cancelled);

int PMPI_Status_set_cancelled(MPI_Status *status, int flag)
{
    status->MPI_internal[FLAGS] = flag ? CANCELLED : 0;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_set_cancelled);

int PMPI_Status_get_source(const MPI_Status *status, int *source)
{
    *source = status->MPI_SOURCE;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_get_source);

int PMPI_Status_get_tag(const MPI_Status *status, int *tag)
{
    *tag = status->MPI_TAG;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_get_tag);

int PMPI_Status_get_error(const MPI_Status *status, int *err)
{
    *err = status->MPI_ERROR;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_get_error);

int PMPI_Status_set_source(MPI_Status *status, int source)
{
    status->MPI_SOURCE = source;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_set_source);

int PMPI_Status_set_tag(MPI_Status *status, int tag)
{
    status->MPI_TAG = tag;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_set_tag);

int PMPI_Status_set_error(MPI_Status *status, int err)
{
    status->MPI_ERROR = err;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Status_set_error);
