/* Communicators: handles, contexts, and who keeps one alive.
 *
 * A communicator is made in three steps: new() makes the object, open() gives it the context that
 * its members agree on, publish() gives the program a handle. The handle and each request that uses
 * it hold it; freeing the handle leaves what is in flight alone. */
#ifndef WEFT_MPI_COMM_H
#define WEFT_MPI_COMM_H

#include "mpi/state.h"

/* World and self.  False: the region is full. */
bool weft__mpi_comm_init(struct weft_mpi *mpi);
/* Frees all communicators, and messages that nobody has received. No request is left. */
void weft__mpi_comm_fini(struct weft_mpi *mpi);

/* A communicator of these ranks; remote NULL: an intracommunicator. It has no context yet, its
 * errors are fatal, and the caller holds it. The groups are held by it.  NULL: the region is full.
 */
struct weft_mpi_comm *weft__mpi_comm_new(struct weft_mpi *mpi, struct weft_mpi_group *group,
                                         struct weft_mpi_group *remote);
/* A context that no other communicator of the app has or will have: one member offers it, all
 * others learn it. A context that is offered and not used is no loss. */
uint64_t weft__mpi_comm_offer(struct weft_mpi *mpi);
/* Of two offers that this rank made without one in between, the second. */
static inline uint64_t weft__mpi_comm_next(uint64_t context)
{
    return context + 2; /* the lowest bit is for collectives */
}
/* Gives it the context; messages that have come for it are its messages from now on. */
void weft__mpi_comm_open(struct weft_mpi *mpi, struct weft_mpi_comm *comm, uint64_t context);
/* Gives it a handle, which takes over the caller's hold.  False: there is no room for one. */
bool weft__mpi_comm_publish(struct weft_mpi *mpi, struct weft_mpi_comm *comm);
/* Takes the handle away. */
void weft__mpi_comm_retract(struct weft_mpi *mpi, struct weft_mpi_comm *comm);

static inline void weft__mpi_comm_hold(struct weft_mpi_comm *comm)
{
    comm->refs++;
}

/* Frees it, with the messages that can no longer be received. */
void weft__mpi_comm_destroy(struct weft_mpi *mpi, struct weft_mpi_comm *comm);

static inline void weft__mpi_comm_put(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    if (--comm->refs == 0)
        weft__mpi_comm_destroy(mpi, comm);
}

/* The open communicator with this context (of either kind); NULL: this rank has none (yet). */
struct weft_mpi_comm *weft__mpi_comm_by_context(struct weft_mpi *mpi, uint64_t context);
/* Calls visit for each open communicator. */
void weft__mpi_comm_each(struct weft_mpi *mpi,
                         void (*visit)(struct weft_mpi *mpi, struct weft_mpi_comm *comm));

#endif
