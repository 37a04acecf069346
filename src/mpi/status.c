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

static int find_type(const char *where, MPI_Datatype datatype, struct weft_mpi **mpi_out,
                     const struct weft_mpi_type **type_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    *mpi_out = mpi;
    *type_out = weft__mpi_type_find(mpi, datatype);
    if (*type_out)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where, "handle 0x%zx is not a datatype",
                                 weft__mpi_handle_value(datatype));
}

/* MPI_UNDEFINED: no whole number of values, or more than max. */
static int get_count(const char *where, const MPI_Status *status, MPI_Datatype datatype,
                     MPI_Count max, MPI_Count *count)
{
    struct weft_mpi *mpi;
    const struct weft_mpi_type *type;
    int err = find_type(where, datatype, &mpi, &type);
    if (err)
        return err;
    uint64_t len = length(status), n = type->size > 0 ? len / type->size : 0;
    *count = n * type->size == len && n <= (uint64_t)max ? (MPI_Count)n : MPI_UNDEFINED;
    return MPI_SUCCESS;
}

static int get_elements(const char *where, const MPI_Status *status, MPI_Datatype datatype,
                        MPI_Count max, MPI_Count *count)
{
    struct weft_mpi *mpi;
    const struct weft_mpi_type *type;
    int err = find_type(where, datatype, &mpi, &type);
    if (err)
        return err;
    uint64_t len = length(status);
    int64_t n = type->size > 0 ? weft__mpi_type_elements(mpi, type, len) : len > 0 ? -1 : 0;
    *count = n >= 0 && n <= max ? n : MPI_UNDEFINED;
    return MPI_SUCCESS;
}

static int set_elements(const char *where, MPI_Status *status, MPI_Datatype datatype,
                        MPI_Count count)
{
    struct weft_mpi *mpi;
    const struct weft_mpi_type *type;
    int err = find_type(where, datatype, &mpi, &type);
    if (err)
        return err;
    int64_t len = -1;
    if (count == 0)
        len = 0;
    else if (count > 0 && type->size > 0)
        len = weft__mpi_type_bytes(mpi, type, (uint64_t)count);
    if (len < 0)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_COUNT, where, "%lld elements of %s",
                                     (long long)count, weft__mpi_type_label(type));
    memcpy(&status->MPI_internal[LEN], &len, sizeof(len));
    return MPI_SUCCESS;
}

/* clang-format off */
#define GET(name, get, Count, max)                                                                 \
    int P##name(const MPI_Status *status, MPI_Datatype datatype, Count *count)                     \
    {                                                                                              \
        MPI_Count n = 0;                                                                           \
        int err = get(#name, status, datatype, max, &n);                                           \
        if (!err)                                                                                  \
            *count = (Count)n;                                                                     \
        return err;                                                                                \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define SET_ELEMENTS(name, Count)                                                                  \
    int P##name(MPI_Status *status, MPI_Datatype datatype, Count count)                            \
    {                                                                                              \
        return set_elements(#name, status, datatype, count);                                       \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

GET(MPI_Get_count, get_count, int, INT_MAX);
GET(MPI_Get_count_c, get_count, MPI_Count, INT64_MAX);
GET(MPI_Get_elements, get_elements, int, INT_MAX);
GET(MPI_Get_elements_c, get_elements, MPI_Count, INT64_MAX);
GET(MPI_Get_elements_x, get_elements, MPI_Count, INT64_MAX);
SET_ELEMENTS(MPI_Status_set_elements, int);
SET_ELEMENTS(MPI_Status_set_elements_c, MPI_Count);
SET_ELEMENTS(MPI_Status_set_elements_x, MPI_Count);

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
