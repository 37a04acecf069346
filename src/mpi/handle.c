/* Handles as integers, for other languages. A handle's value is the integer: index handles are
 * below 2^31 by construction, predefined ones below 4096. */
#include "mpi/abi.h"

/* clang-format off */
#define CONVERSIONS(kind, type)                        \
    int PMPI_##kind##_toint(type handle)               \
    {                                                  \
        return (int)(intptr_t)handle;                  \
    }                                                  \
    WEFT_MPI_EXPORT(MPI_##kind##_toint);               \
    type PMPI_##kind##_fromint(int value)              \
    {                                                  \
        return (type)(intptr_t)value;                  \
    }                                                  \
    WEFT_MPI_EXPORT(MPI_##kind##_fromint)
/* clang-format on */

CONVERSIONS(Comm, MPI_Comm);
CONVERSIONS(Errhandler, MPI_Errhandler);
CONVERSIONS(File, MPI_File);
CONVERSIONS(Group, MPI_Group);
CONVERSIONS(Info, MPI_Info);
CONVERSIONS(Message, MPI_Message);
CONVERSIONS(Op, MPI_Op);
CONVERSIONS(Request, MPI_Request);
CONVERSIONS(Session, MPI_Session);
CONVERSIONS(Type, MPI_Datatype);
CONVERSIONS(Win, MPI_Win);
