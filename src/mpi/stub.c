/* Every function of the ABI, so that every program links: those of this file are weak and step back
 * where another file implements the function. What is left raises MPI_ERR_UNSUPPORTED_OPERATION
 * with its name, on the communicator that it is given; where it is given none, as MPI says, on
 * MPI_COMM_SELF. Functions of files raise on the file's handler, which is MPI_ERRORS_RETURN unless
 * a program changes it; those of the tool interface return codes and never raise.
 */
#include <string.h>

#include "mpi/error.h"

/* A parameter of the same name hides one of these: so a stub knows whether it has a communicator.
 */
static struct MPI_ABI_Comm *const comm = MPI_COMM_NULL, *const comm_old = MPI_COMM_NULL;

/* clang-format off */
#define GIVEN(c)                                                                                   \
    _Generic((c), MPI_Comm: (MPI_Comm)(uintptr_t)(c), MPI_Comm *: *(MPI_Comm *)(uintptr_t)(c),     \
             default: MPI_COMM_NULL)
/* clang-format on */

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int unsupported(MPI_Comm handle, MPI_Comm old, const char *name)
{
    static const char text[] = "not implemented by this version of weft";
    if (begins(name, "MPI_T_"))
        return MPI_ERR_UNSUPPORTED_OPERATION;
    struct weft_mpi *mpi =
        begins(name, "MPI_Session_") ? weft__mpi_enter_any_time(name) : weft__mpi_enter(name);
    if (begins(name, "MPI_File_"))
        return weft__mpi_error_raise_file(mpi, MPI_ERR_UNSUPPORTED_OPERATION, name, text);
    if (handle == MPI_COMM_NULL)
        handle = old;
    return weft__mpi_error_raise(mpi, weft__mpi_comm_find(mpi, handle),
                                 MPI_ERR_UNSUPPORTED_OPERATION, name, text);
}

#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define MPI_FN(type, name, parameters)                                                             \
    __attribute__((weak)) type P##name parameters                                                  \
    {                                                                                              \
        return (type)(intptr_t)unsupported(GIVEN(comm), comm_old, #name);                          \
    }                                                                                              \
    extern __typeof(P##name) name __attribute__((weak, alias("P" #name)));
#include "mpi/mpi_functions.h"
