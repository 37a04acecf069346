/* A collective is a schedule: rounds of sends, receives and local operations, run by progress(). */
#ifndef WEFT_MPI_SCHEDULE_H
#define WEFT_MPI_SCHEDULE_H

#include "mpi/op.h"
#include "mpi/state.h"

enum weft_mpi_step_kind {
    WEFT_MPI_STEP_SEND,
    WEFT_MPI_STEP_RECV,
    WEFT_MPI_STEP_FENCE,
    WEFT_MPI_STEP_COMBINE,
    WEFT_MPI_STEP_COPY
};

struct weft_mpi_data {
    const void *from; /* SEND, COPY */
    void *into;       /* RECV, COPY */
    MPI_Count count;
    uint32_t type;
};

struct weft_mpi_step {
    uint8_t kind;
    int32_t peer;
    /* Its type is held. */
    struct weft_mpi_combine combine; /* COMBINE: all; others: type, count, left = from, into */
};

struct weft_mpi_schedule {
    struct weft_mpi *mpi;
    uint32_t steps_n, steps_max;
    uint32_t next;    /* step to run */
    uint32_t pending; /* sends and receives of this round that are not done */
    int32_t tag;
    unsigned char *scratch; /* in this block, 16-byte aligned */
    struct weft_mpi_step steps[];
};

/* A collective request with room for steps and scratch memory. NULL: the region is full. */
struct weft_mpi_request *weft__mpi_schedule_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                uint32_t steps_max, size_t scratch_bytes);
/* Steps run in order; sends and receives between two fences run together, local steps must stand
 * behind a fence. */
void weft__mpi_schedule_send(struct weft_mpi_request *request, int32_t peer,
                             const struct weft_mpi_data *data);
void weft__mpi_schedule_recv(struct weft_mpi_request *request, int32_t peer,
                             const struct weft_mpi_data *data);
void weft__mpi_schedule_fence(struct weft_mpi_request *request);
void weft__mpi_schedule_combine(struct weft_mpi_request *request,
                                const struct weft_mpi_combine *combine);
void weft__mpi_schedule_copy(struct weft_mpi_request *request, const struct weft_mpi_data *data);
/* NULL is fine. */
void weft__mpi_schedule_free(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule);
void weft__mpi_schedule_start(struct weft_mpi *mpi, struct weft_mpi_request *request);

/* A send or receive of the collective is done. */
void weft__mpi_schedule_part_done(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                  int error);
/* Runs the collectives whose round is complete. */
void weft__mpi_schedule_run_ready(struct weft_mpi *mpi);

#endif
