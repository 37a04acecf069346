/* The functions that move data and do not compute: broadcast to alltoall. */
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

/* Count and displacement of the two twins, and what the second one's names end with. */
#define BOTH(FUNCTIONS)                                                                            \
    FUNCTIONS(int, int, , false);                                                                  \
    FUNCTIONS(MPI_Count, MPI_Aint, _c, true)

#define BCAST(Count, Displ, C, wide)                                                               \
    WEFT_MPI_FORMS(MPI_Bcast, MPI_Ibcast, C,                                                       \
                   (void *buffer, Count count, MPI_Datatype datatype, int root),                   \
                   KIND(BCAST, wide), .coll.root = root, .into_type = datatype,                    \
                   .coll.into = {.buf = buffer, .count = count})
BOTH(BCAST);

#define GATHER(Count, Displ, C, wide)                                                              \
    WEFT_MPI_FORMS(MPI_Gather, MPI_Igather, C, (ONE_FROM(Count), ONE_INTO(Count), int root),       \
                   KIND(GATHER, wide), .coll.root = root, TYPES,                                   \
                   FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(GATHER);

#define GATHERV(Count, Displ, C, wide)                                                             \
    WEFT_MPI_FORMS(MPI_Gatherv, MPI_Igatherv, C, (ONE_FROM(Count), ALL_INTO(Count, Displ), int root), \
                   KIND(GATHERV, wide), .coll.root = root, TYPES,                                  \
                   FROM(.count = sendcount), INTO(.counts = recvcounts, .displs = rdispls))
BOTH(GATHERV);

#define SCATTER(Count, Displ, C, wide)                                                             \
    WEFT_MPI_FORMS(MPI_Scatter, MPI_Iscatter, C, (ONE_FROM(Count), ONE_INTO(Count), int root),     \
                   KIND(SCATTER, wide), .coll.root = root, TYPES,                                  \
                   FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(SCATTER);

#define SCATTERV(Count, Displ, C, wide)                                                            \
    WEFT_MPI_FORMS(MPI_Scatterv, MPI_Iscatterv, C, (ALL_FROM(Count, Displ), ONE_INTO(Count), int root), \
                   KIND(SCATTERV, wide), .coll.root = root, TYPES,                                 \
                   FROM(.counts = sendcounts, .displs = sdispls), INTO(.count = recvcount))
BOTH(SCATTERV);

#define ALLGATHER(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Allgather, MPI_Iallgather, C, (ONE_FROM(Count), ONE_INTO(Count)),           \
                   KIND(ALLGATHER, wide), TYPES, FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(ALLGATHER);

#define ALLGATHERV(Count, Displ, C, wide)                                                          \
    WEFT_MPI_FORMS(MPI_Allgatherv, MPI_Iallgatherv, C, (ONE_FROM(Count), ALL_INTO(Count, Displ)),  \
                   KIND(ALLGATHER, wide), TYPES,                                                   \
                   FROM(.count = sendcount), INTO(.counts = recvcounts, .displs = rdispls))
BOTH(ALLGATHERV);

#define ALLTOALL(Count, Displ, C, wide)                                                            \
    WEFT_MPI_FORMS(MPI_Alltoall, MPI_Ialltoall, C, (ONE_FROM(Count), ONE_INTO(Count)),             \
                   KIND(ALLTOALL, wide), TYPES, FROM(.count = sendcount), INTO(.count = recvcount))
BOTH(ALLTOALL);

#define ALLTOALLV(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Alltoallv, MPI_Ialltoallv, C, (ALL_FROM(Count, Displ), ALL_INTO(Count, Displ)), \
                   KIND(ALLTOALLV, wide), TYPES,                                                   \
                   FROM(.counts = sendcounts, .displs = sdispls),                                  \
                   INTO(.counts = recvcounts, .displs = rdispls))
BOTH(ALLTOALLV);

#define ALLTOALLW(Count, Displ, C, wide)                                                           \
    WEFT_MPI_FORMS(MPI_Alltoallw, MPI_Ialltoallw, C,                                               \
                   (const void *sendbuf, const Count sendcounts[], const Displ sdispls[],          \
                    const MPI_Datatype sendtypes[], void *recvbuf, const Count recvcounts[],       \
                    const Displ rdispls[], const MPI_Datatype recvtypes[]),                        \
                   KIND(ALLTOALLV, wide),                                                          \
                   FROM(.counts = sendcounts, .displs = sdispls, .types = sendtypes),              \
                   INTO(.counts = recvcounts, .displs = rdispls, .types = recvtypes))
BOTH(ALLTOALLW);
/* clang-format on */
