/* MPI_Pack and its kin: values into a buffer of bytes and out of it, as messages carry them or in
 * the representation external32. */
#include <limits.h>
#include <string.h>

#include "mpi/error.h"
#include "mpi/external.h"
#include "mpi/p2p.h"
#include "mpi/state.h"

/* What is packed or unpacked, and the bytes: as large as room, used from *position on. */
struct packing {
    const char *where;
    struct weft_mpi_args values;
    bool external;
    void *bytes;
    MPI_Count room, position;
};

static const char external32[] = "external32";

static int check_datarep(struct weft_mpi *mpi, const char *where, const char *datarep)
{
    if (!datarep || strcmp(datarep, external32) == 0)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where,
                                 "data representation '%s' is not %s", datarep, external32);
}

/* Bytes that count values take. */
static int packed_size(struct weft_mpi *mpi, const struct packing *p, MPI_Count *size_out)
{
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, p->values.datatype);
    uint64_t one = p->external ? weft__mpi_external_size(mpi, type) : type->size;
    if (!__builtin_mul_overflow((MPI_Count)one, p->values.count, size_out))
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, weft__mpi_comm_find(mpi, p->values.comm), MPI_ERR_COUNT,
                                 p->where, "%lld values of %s are more than memory holds",
                                 (long long)p->values.count, weft__mpi_type_label(type));
}

static int check_packing(struct weft_mpi *mpi, const struct packing *p, MPI_Count *size_out)
{
    int err = weft__mpi_p2p_check_data(mpi, p->where, &p->values);
    if (!err)
        err = packed_size(mpi, p, size_out);
    if (err)
        return err;
    const struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, p->values.comm);
    if (p->room < 0 || p->position < 0 || p->position > p->room)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, p->where,
                                     "position %lld in a buffer of %lld bytes",
                                     (long long)p->position, (long long)p->room);
    if (*size_out > p->room - p->position)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_TRUNCATE, p->where,
                                     "%lld bytes at position %lld of a buffer of %lld",
                                     (long long)*size_out, (long long)p->position,
                                     (long long)p->room);
    if (!p->bytes && *size_out > 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, p->where,
                                     "no buffer of packed bytes");
    return MPI_SUCCESS;
}

/* Moves the position behind what was packed or unpacked. */
static int run(const char *datarep, struct packing *p)
{
    struct weft_mpi *mpi = weft__mpi_enter(p->where);
    MPI_Count size;
    int err = check_datarep(mpi, p->where, datarep);
    if (!err)
        err = check_packing(mpi, p, &size);
    if (err || size == 0)
        return err;
    const struct weft_mpi_buffer values = {(void *)(uintptr_t)p->values.buf, p->values.count,
                                           weft__mpi_type_number(p->values.datatype)};
    unsigned char *at = (unsigned char *)p->bytes + p->position;
    if (p->external && p->values.recv)
        weft__mpi_external_unpack(mpi, &values, at);
    else if (p->external)
        weft__mpi_external_pack(mpi, &values, at);
    else if (p->values.recv)
        weft__mpi_type_unpack(mpi, &values, 0, at, (size_t)size);
    else
        weft__mpi_type_pack(mpi, &values, 0, at, (size_t)size);
    p->position += size;
    return MPI_SUCCESS;
}

/* max: of the integer that will hold it; more is MPI_UNDEFINED. */
static int pack_size(const char *datarep, const struct packing *p, MPI_Count max,
                     MPI_Count *size_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(p->where);
    struct weft_mpi_args args = p->values;
    MPI_Count size;
    int err = check_datarep(mpi, p->where, datarep);
    if (!err) {
        args.buf = MPI_IN_PLACE; /* none is needed */
        err = weft__mpi_p2p_check_data(mpi, p->where, &args);
    }
    if (!err)
        err = packed_size(mpi, p, &size);
    if (!err)
        *size_out = size <= max ? size : MPI_UNDEFINED;
    return err;
}

/* clang-format off */
#define VALUES(buf_, count_, comm_, recv_)                                                         \
    {.buf = (buf_), .count = (count_), .datatype = datatype, .comm = (comm_), .recv = (recv_)}

#define RUN(name, datarep, external_, values_, bytes_, room_)                                      \
    struct packing p = {.where = #name, .external = (external_), .values = values_,                \
                        .bytes = (void *)(uintptr_t)(bytes_), .room = (room_), .position = *position}; \
    int err = run(datarep, &p);                                                                    \
    if (!err)                                                                                      \
        *position = (__typeof(*position))p.position;                                               \
    return err

#define PACK(name, Count)                                                                          \
    int P##name(const void *inbuf, Count incount, MPI_Datatype datatype, void *outbuf, Count outsize, \
                Count *position, MPI_Comm comm)                                                    \
    {                                                                                              \
        const struct weft_mpi_args values = VALUES(inbuf, incount, comm, false);                   \
        RUN(name, NULL, false, values, outbuf, outsize);                                           \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define UNPACK(name, Count)                                                                        \
    int P##name(const void *inbuf, Count insize, Count *position, void *outbuf, Count outcount,    \
                MPI_Datatype datatype, MPI_Comm comm)                                              \
    {                                                                                              \
        const struct weft_mpi_args values = VALUES(outbuf, outcount, comm, true);                  \
        RUN(name, NULL, false, values, inbuf, insize);                                             \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define PACK_EXTERNAL(name, Count, Size)                                                           \
    int P##name(const char datarep[], const void *inbuf, Count incount, MPI_Datatype datatype,     \
                void *outbuf, Size outsize, Size *position)                                        \
    {                                                                                              \
        const struct weft_mpi_args values = VALUES(inbuf, incount, MPI_COMM_SELF, false);          \
        RUN(name, datarep, true, values, outbuf, outsize);                                         \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define UNPACK_EXTERNAL(name, Count, Size)                                                         \
    int P##name(const char datarep[], const void *inbuf, Size insize, Size *position, void *outbuf, \
                Count outcount, MPI_Datatype datatype)                                             \
    {                                                                                              \
        const struct weft_mpi_args values = VALUES(outbuf, outcount, MPI_COMM_SELF, true);         \
        RUN(name, datarep, true, values, inbuf, insize);                                           \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

/* The body of a function that has incount and datatype, and stores *size. */
#define SIZE(datarep, external_, comm_, max)                                                       \
    {                                                                                              \
        const struct packing p = {.where = WEFT_MPI_HERE, .external = (external_),                 \
                                  .values = VALUES(NULL, incount, comm_, false)};                  \
        MPI_Count large = 0;                                                                       \
        int err = pack_size(datarep, &p, max, &large);                                             \
        if (!err)                                                                                  \
            *size = (__typeof(*size))large;                                                        \
        return err;                                                                                \
    }

PACK(MPI_Pack, int);
PACK(MPI_Pack_c, MPI_Count);
UNPACK(MPI_Unpack, int);
UNPACK(MPI_Unpack_c, MPI_Count);
PACK_EXTERNAL(MPI_Pack_external, int, MPI_Aint);
PACK_EXTERNAL(MPI_Pack_external_c, MPI_Count, MPI_Count);
UNPACK_EXTERNAL(MPI_Unpack_external, int, MPI_Aint);
UNPACK_EXTERNAL(MPI_Unpack_external_c, MPI_Count, MPI_Count);

int PMPI_Pack_size(int incount, MPI_Datatype datatype, MPI_Comm comm, int *size)
    SIZE(NULL, false, comm, INT_MAX)
WEFT_MPI_EXPORT(MPI_Pack_size);

int PMPI_Pack_size_c(MPI_Count incount, MPI_Datatype datatype, MPI_Comm comm, MPI_Count *size)
    SIZE(NULL, false, comm, INT64_MAX)
WEFT_MPI_EXPORT(MPI_Pack_size_c);

int PMPI_Pack_external_size(const char datarep[], int incount, MPI_Datatype datatype, MPI_Aint *size)
    SIZE(datarep, true, MPI_COMM_SELF, INT64_MAX)
WEFT_MPI_EXPORT(MPI_Pack_external_size);

int PMPI_Pack_external_size_c(const char datarep[], MPI_Count incount, MPI_Datatype datatype,
                              MPI_Count *size)
    SIZE(datarep, true, MPI_COMM_SELF, INT64_MAX)
WEFT_MPI_EXPORT(MPI_Pack_external_size_c);
/* clang-format on */
