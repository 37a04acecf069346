/* A collective is a schedule: rounds of sends, receives and local operations, run by progress().
 *
 * Long collectives have several parts, written one after the other into the same steps, so that
 * neither steps nor scratch memory grow with the message. */
#ifndef WEFT_MPI_SCHEDULE_H
#define WEFT_MPI_SCHEDULE_H

#include "mpi/coll.h"
#include "mpi/state.h"
#include "mpi/type.h"

enum weft_mpi_step_kind {
    WEFT_MPI_STEP_SEND,
    WEFT_MPI_STEP_RECV,
    WEFT_MPI_STEP_FENCE,
    WEFT_MPI_STEP_COMBINE,
    WEFT_MPI_STEP_COPY,
    WEFT_MPI_STEP_PACK,
    WEFT_MPI_STEP_UNPACK,
    WEFT_MPI_STEP_OPEN
};

/* Tags of messages between some ranks of a communicator, beside its collectives: from here on.
 * Those of collectives are below. */
#define WEFT_MPI_TAG_PARTIAL 0x40000000

struct weft_mpi_step {
    uint8_t kind;
    bool local; /* SEND, RECV: see struct weft_mpi_schedule */
    int32_t peer;
    uint32_t op;                 /* COMBINE */
    struct weft_mpi_buffer from; /* SEND, COPY, PACK; COMBINE: left. Its type is held. */
    struct weft_mpi_buffer into; /* RECV, COPY, UNPACK. Its type is held. COMBINE: buf alone.
                                    OPEN: buf is a communicator that is held */
    const void *right;           /* COMBINE */
    void *packed;                /* PACK, UNPACK; OPEN: the context */
    uint64_t offset;             /* PACK, UNPACK: in the packed data */
    size_t len_bytes;            /* PACK, UNPACK */
};

struct weft_mpi_schedule {
    struct weft_mpi *mpi;
    struct weft_mpi_comm *comm;
    struct weft_mpi_coll coll; /* its types are held */
    uint8_t algorithm;         /* row of the table in coll.c */
    uint16_t stamp;            /* of what all ranks must agree on */
    bool local;                /* of an intercommunicator: what is written now goes among the ranks
                                  of this side */
    bool repeatable;           /* its steps follow from coll alone */
    bool no_memory;            /* steps are missing: it must not be started */
    int error;                 /* known when it was written: what was sent to oneself is too long */
    uint32_t steps_n, steps_max;
    uint32_t next;    /* step to run */
    uint32_t pending; /* sends and receives of this round that are not done */
    int32_t tag;
    uint32_t part, parts;
    uint64_t segment; /* values or bytes of a part; see the algorithm */
    uint64_t total;   /* of all parts */
    struct weft_mpi_step *steps;
    unsigned char *scratch; /* 16-byte aligned */
};

/* A collective request without steps, one part. NULL: the region is full. */
struct weft_mpi_request *weft__mpi_schedule_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm);
/* Frees what is kept for schedules to come; none is left. */
void weft__mpi_schedule_fini(struct weft_mpi *mpi);
/* The one that the communicator had last, where that did the same on the same buffers; NULL:
 * another.
 */
struct weft_mpi_request *weft__mpi_schedule_again(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                  const struct weft_mpi_coll *coll);
/* Frees what the communicator keeps for that. */
void weft__mpi_schedule_forget(struct weft_mpi *mpi, struct weft_mpi_comm *comm);
/* NULL is fine. */
void weft__mpi_schedule_free(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule);
/* Memory that lives as long as the schedule. False: the region is full. */
bool weft__mpi_schedule_scratch(struct weft_mpi_schedule *schedule, size_t len_bytes);

/* Steps run in order; sends and receives between two fences run together, local steps must stand
 * behind a fence where they touch what is on its way. The end of a part is a fence. */
void weft__mpi_schedule_send(struct weft_mpi_schedule *schedule, int64_t peer,
                             const struct weft_mpi_buffer *from);
void weft__mpi_schedule_recv(struct weft_mpi_schedule *schedule, int64_t peer,
                             const struct weft_mpi_buffer *into);
void weft__mpi_schedule_fence(struct weft_mpi_schedule *schedule);
/* into = left op right; into may be the address of left or right. */
void weft__mpi_schedule_combine(struct weft_mpi_schedule *schedule,
                                const struct weft_mpi_buffer *left, const void *right, void *into);
/* As if sent from one to the other: too much is an error. */
void weft__mpi_schedule_copy(struct weft_mpi_schedule *schedule, const struct weft_mpi_buffer *from,
                             const struct weft_mpi_buffer *into);
/* len bytes from offset of the packed form of from; they are within it. */
void weft__mpi_schedule_pack(struct weft_mpi_schedule *schedule, const struct weft_mpi_buffer *from,
                             uint64_t offset, void *packed, size_t len_bytes);
void weft__mpi_schedule_unpack(struct weft_mpi_schedule *schedule,
                               const struct weft_mpi_buffer *into, uint64_t offset,
                               const void *packed, size_t len_bytes);
/* Opens a communicator; a step before receives its context. */
void weft__mpi_schedule_open(struct weft_mpi_schedule *schedule, struct weft_mpi_comm *comm,
                             uint64_t *context);

/* The next collective of a communicator, as the tag of its messages. */
int32_t weft__mpi_schedule_tag(struct weft_mpi_comm *comm);
/* Its messages carry this tag, and it is none of the collectives that all ranks of its communicator
 * count. To be said before the next one is written. */
void weft__mpi_schedule_set_tag(struct weft_mpi_schedule *schedule, int32_t tag);

/* A persistent one has a tag of its own, so that ranks may start several in different orders. */
void weft__mpi_schedule_persist(struct weft_mpi_request *request);
/* Starts it, for the first time or again. */
void weft__mpi_schedule_start(struct weft_mpi *mpi, struct weft_mpi_request *request);

/* A send or receive of the collective is done. */
void weft__mpi_schedule_part_done(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                  int error);
/* Runs the collectives whose round is complete. */
void weft__mpi_schedule_run_ready(struct weft_mpi *mpi);

#endif
