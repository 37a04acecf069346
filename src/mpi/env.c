/* What a program may ask about where it runs: versions, time, host, memory. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"

#define NS_PER_S 1e9

double PMPI_Wtime(void)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    return (double)mpi->cell->calls->now(mpi->cell) / NS_PER_S;
}
WEFT_MPI_EXPORT(MPI_Wtime);

double PMPI_Wtick(void)
{
    return 1 / NS_PER_S;
}
WEFT_MPI_EXPORT(MPI_Wtick);

int PMPI_Get_processor_name(char *name, int *resultlen)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int err = mpi->cell->calls->info(mpi->cell, WEFT_INFO_HOST_NAME, host, sizeof(host));
    if (err < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_OTHER,
                              "the runtime does not tell the host's name (error %d)", err);
    *resultlen = (int)strnlen(host, sizeof(host) - 1);
    memcpy(name, host, (size_t)*resultlen);
    name[*resultlen] = '\0';
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Get_processor_name);

int PMPI_Get_version(int *version, int *subversion)
{
    *version = MPI_VERSION;
    *subversion = MPI_SUBVERSION;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Get_version);

int PMPI_Abi_get_version(int *abi_major, int *abi_minor)
{
    *abi_major = MPI_ABI_VERSION;
    *abi_minor = MPI_ABI_SUBVERSION;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Abi_get_version);

int PMPI_Get_library_version(char *version, int *resultlen)
{
    *resultlen =
        snprintf(version, MPI_MAX_LIBRARY_VERSION_STRING, "weft %s, MPI %d.%d, ABI %d.%d",
                 WEFT_VERSION, MPI_VERSION, MPI_SUBVERSION, MPI_ABI_VERSION, MPI_ABI_SUBVERSION);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Get_library_version);

/* From the rank's region, so it moves with the rank. */
int PMPI_Alloc_mem(MPI_Aint size, MPI_Info info, void *baseptr)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    (void)info;
    if (size < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "size %zd", size);
    void *block = weft__heap_alloc(mpi->cell->heap, size > 0 ? (size_t)size : 1);
    if (!block)
        return WEFT_MPI_RAISE(
            mpi, NULL, MPI_ERR_NO_MEM,
            "%zd bytes do not fit into the rank's region (weft run --rank-memory)", size);
    memcpy(baseptr, &block, sizeof(block));
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Alloc_mem);

int PMPI_Free_mem(void *base)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (base && !weft_cell_holds(mpi->cell, base, 1))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_BASE, "%p is not from MPI_Alloc_mem", base);
    weft__heap_free(mpi->cell->heap, base);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Free_mem);

int PMPI_Get_address(const void *location, MPI_Aint *address)
{
    *address = (MPI_Aint)location;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Get_address);

MPI_Aint PMPI_Aint_add(MPI_Aint base, MPI_Aint disp)
{
    return (MPI_Aint)((uintptr_t)base + (uintptr_t)disp);
}
WEFT_MPI_EXPORT(MPI_Aint_add);

MPI_Aint PMPI_Aint_diff(MPI_Aint addr1, MPI_Aint addr2)
{
    return (MPI_Aint)((uintptr_t)addr1 - (uintptr_t)addr2);
}
WEFT_MPI_EXPORT(MPI_Aint_diff);

int PMPI_Pcontrol(const int level, ...)
{
    (void)level;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Pcontrol);
