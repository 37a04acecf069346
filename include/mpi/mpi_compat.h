/* What programs call that is not in the ABI: the functions that MPI 3.0 has removed, and those that
 * turn handles into Fortran's integers. Each is __inline__, by the functions that took its place.
 *
 * mpi.h includes this file. Nothing of it is in the library, so a program that uses it runs on
 * every library that implements the ABI. A name that the program has defined as a macro is left to
 * it; WEFT_MPI_ABI_ONLY leaves all of it out. Not there: MPI_LB and MPI_UB (a type gets its bounds
 * by MPI_Type_create_resized), and the forms of a status in Fortran.
 */
#ifndef MPI_COMPAT_H_INCLUDED
#define MPI_COMPAT_H_INCLUDED

#ifndef MPI_H_INCLUDED
#error "include <mpi.h>, not this file"
#endif

typedef int MPI_Fint;

#define MPI_COMPAT_FORTRAN(type, x)                                                                \
    static __inline__ MPI_Fint MPI_##x##_c2f(type handle)                                          \
    {                                                                                              \
        return MPI_##x##_toint(handle);                                                            \
    }                                                                                              \
    static __inline__ type MPI_##x##_f2c(MPI_Fint handle)                                          \
    {                                                                                              \
        return MPI_##x##_fromint(handle);                                                          \
    }
MPI_COMPAT_FORTRAN(MPI_Comm, Comm)
MPI_COMPAT_FORTRAN(MPI_Errhandler, Errhandler)
MPI_COMPAT_FORTRAN(MPI_File, File)
MPI_COMPAT_FORTRAN(MPI_Group, Group)
MPI_COMPAT_FORTRAN(MPI_Info, Info)
MPI_COMPAT_FORTRAN(MPI_Message, Message)
MPI_COMPAT_FORTRAN(MPI_Op, Op)
MPI_COMPAT_FORTRAN(MPI_Request, Request)
MPI_COMPAT_FORTRAN(MPI_Session, Session)
MPI_COMPAT_FORTRAN(MPI_Datatype, Type)
MPI_COMPAT_FORTRAN(MPI_Win, Win)
#undef MPI_COMPAT_FORTRAN

typedef MPI_Comm_errhandler_function MPI_Handler_function;

#ifndef MPI_Address
static __inline__ int MPI_Address(void *location, MPI_Aint *address)
{
    return MPI_Get_address(location, address);
}
#endif

#ifndef MPI_Type_hvector
static __inline__ int MPI_Type_hvector(int count, int blocklength, MPI_Aint stride,
                                       MPI_Datatype oldtype, MPI_Datatype *newtype)
{
    return MPI_Type_create_hvector(count, blocklength, stride, oldtype, newtype);
}
#endif

#ifndef MPI_Type_hindexed
static __inline__ int MPI_Type_hindexed(int count, int *array_of_blocklengths,
                                        MPI_Aint *array_of_displacements, MPI_Datatype oldtype,
                                        MPI_Datatype *newtype)
{
    return MPI_Type_create_hindexed(count, array_of_blocklengths, array_of_displacements, oldtype,
                                    newtype);
}
#endif

#ifndef MPI_Type_struct
static __inline__ int MPI_Type_struct(int count, int *array_of_blocklengths,
                                      MPI_Aint *array_of_displacements,
                                      MPI_Datatype *array_of_types, MPI_Datatype *newtype)
{
    return MPI_Type_create_struct(count, array_of_blocklengths, array_of_displacements,
                                  array_of_types, newtype);
}
#endif

#ifndef MPI_Type_extent
static __inline__ int MPI_Type_extent(MPI_Datatype datatype, MPI_Aint *extent)
{
    MPI_Aint lb;
    return MPI_Type_get_extent(datatype, &lb, extent);
}
#endif

#ifndef MPI_Type_lb
static __inline__ int MPI_Type_lb(MPI_Datatype datatype, MPI_Aint *displacement)
{
    MPI_Aint extent;
    return MPI_Type_get_extent(datatype, displacement, &extent);
}
#endif

#ifndef MPI_Type_ub
static __inline__ int MPI_Type_ub(MPI_Datatype datatype, MPI_Aint *displacement)
{
    MPI_Aint lb, extent;
    int code = MPI_Type_get_extent(datatype, &lb, &extent);
    if (code == MPI_SUCCESS)
        *displacement = lb + extent;
    return code;
}
#endif

#ifndef MPI_Errhandler_create
static __inline__ int MPI_Errhandler_create(MPI_Handler_function *function,
                                            MPI_Errhandler *errhandler)
{
    return MPI_Comm_create_errhandler(function, errhandler);
}
#endif

#ifndef MPI_Errhandler_set
static __inline__ int MPI_Errhandler_set(MPI_Comm comm, MPI_Errhandler errhandler)
{
    return MPI_Comm_set_errhandler(comm, errhandler);
}
#endif

#ifndef MPI_Errhandler_get
static __inline__ int MPI_Errhandler_get(MPI_Comm comm, MPI_Errhandler *errhandler)
{
    return MPI_Comm_get_errhandler(comm, errhandler);
}
#endif

#endif
