/* What a program may ask about a datatype. */
#include <limits.h>
#include <stdio.h>

#include "mpi/error.h"
#include "mpi/type.h"

static int invalid_type(struct weft_mpi *mpi, const char *where, MPI_Datatype datatype)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where, "handle 0x%zx is not a datatype",
                                 weft__mpi_handle_value(datatype));
}

int PMPI_Type_size(MPI_Datatype datatype, int *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = type->size > INT_MAX ? MPI_UNDEFINED : (int)type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size);

int PMPI_Type_size_c(MPI_Datatype datatype, MPI_Count *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = (MPI_Count)type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size_c);

int PMPI_Type_size_x(MPI_Datatype datatype, MPI_Count *size)
{
    return PMPI_Type_size_c(datatype, size);
}
WEFT_MPI_EXPORT(MPI_Type_size_x);

int PMPI_Type_get_extent_c(MPI_Datatype datatype, MPI_Count *lb, MPI_Count *extent)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *lb = type->lb;
    *extent = type->extent;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_extent_c);

int PMPI_Type_get_extent(MPI_Datatype datatype, MPI_Aint *lb, MPI_Aint *extent)
{
    MPI_Count lb_c = 0, extent_c = 0;
    int err = PMPI_Type_get_extent_c(datatype, &lb_c, &extent_c);
    if (!err) {
        *lb = lb_c;
        *extent = extent_c;
    }
    return err;
}
WEFT_MPI_EXPORT(MPI_Type_get_extent);

int PMPI_Type_get_extent_x(MPI_Datatype datatype, MPI_Count *lb, MPI_Count *extent)
{
    return PMPI_Type_get_extent_c(datatype, lb, extent);
}
WEFT_MPI_EXPORT(MPI_Type_get_extent_x);

int PMPI_Type_get_name(MPI_Datatype datatype, char *type_name, int *resultlen)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *resultlen = snprintf(type_name, MPI_MAX_OBJECT_NAME, "%s", type->name ? type->name : "");
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_name);

/* Predefined types are committed already. */
int PMPI_Type_commit(MPI_Datatype *datatype)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_type_find(mpi, *datatype))
        return invalid_type(mpi, WEFT_MPI_HERE, *datatype);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_commit);
