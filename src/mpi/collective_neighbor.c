/* The functions among neighbours in a topology. */
#include "mpi/collective.h"

/* clang-format off */
#define KIND(name, wide_) .coll.kind = WEFT_MPI_COLL_##name, .coll.wide = (wide_)
#define TYPES .from_type = sendtype, .into_type = recvtype
#define FROM(...) .coll.from = {.buf = sendbuf, __VA_ARGS__}
#define INTO(...) .coll.into = {.buf = recvbuf, __VA_ARGS__}
#define ONE_FROM(Count) const void *sendbuf, Count sendcount, MPI_Datatype sendtype
#define ONE_INTO(Count) void *recvbuf, Count recvcount, MPI_Datatype recvtype
#define ALL_FROM(Count, Displ) const void *sendbuf, const Count sendcounts[], const Displ sdispls[], MPI_Datatype sendtype
#define ALL_INTO(Count, Displ) void *recvbuf, const Count recvcounts[], const Displ rdispls[], MPI_Datatype recvtype

#define BOTH(FUNCTIONS)                                                                            \
    FUNCTIONS(int, int, , false);                                                                  \
    FUNCTIONS(MPI_Count, MPI_Aint, _c, true)

#define ALLGATHER(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Neighbor_allgather, MPI_Ineighbor_allgather, C, (ONE_FROM(Count), ONE_INTO(Count)), \
                   KIND(NEIGHBORS, wide), TYPES, FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(ALLGATHER);

#define ALLGATHERV(Count, Displ, C, wide)                                                          \
    WEFT_MPI_FORMS(MPI_Neighbor_allgatherv, MPI_Ineighbor_allgatherv, C,                           \
                   (ONE_FROM(Count), ALL_INTO(Count, Displ)), KIND(NEIGHBORS, wide), TYPES,        \
                   FROM(.count = sendcount), INTO(.counts = recvcounts, .displs = rdispls))
BOTH(ALLGATHERV);

#define ALLTOALL(Count, Displ, C, wide)                                                            \
    WEFT_MPI_FORMS(MPI_Neighbor_alltoall, MPI_Ineighbor_alltoall, C, (ONE_FROM(Count), ONE_INTO(Count)), \
                   KIND(NEIGHBORS_ALL, wide), TYPES, FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(ALLTOALL);

#define ALLTOALLV(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Neighbor_alltoallv, MPI_Ineighbor_alltoallv, C,                             \
                   (ALL_FROM(Count, Displ), ALL_INTO(Count, Displ)), KIND(NEIGHBORS_ALL, wide), TYPES, \
                   FROM(.counts = sendcounts, .displs = sdispls),                                  \
                   INTO(.counts = recvcounts, .displs = rdispls))
BOTH(ALLTOALLV);

#define ALLTOALLW(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Neighbor_alltoallw, MPI_Ineighbor_alltoallw, C,                             \
                   (const void *sendbuf, const Count sendcounts[], const MPI_Aint sdispls[],       \
                    const MPI_Datatype sendtypes[], void *recvbuf, const Count recvcounts[],       \
                    const MPI_Aint rdispls[], const MPI_Datatype recvtypes[]),                     \
                   KIND(NEIGHBORS_ALL, wide), .coll.wide_displs = true,                            \
                   FROM(.counts = sendcounts, .displs = sdispls, .types = sendtypes),              \
                   INTO(.counts = recvcounts, .displs = rdispls, .types = recvtypes))
BOTH(ALLTOALLW);
/* clang-format on */
