/* Communicators: their table, their contexts, their lifetime.
 *
 * A context is a number that one member gives out and no rank ever uses again: the member's world
 * rank above a count of its own, and the lowest bit for collectives. So creating a communicator
 * costs what its members need to tell each other anyway (a broadcast for a duplicate, nothing extra
 * for a split), two creations at once cannot collide or wait for each other, freeing is local, and
 * a message that is late for a freed communicator can never be taken for one of its successor.
 * Rejected: agreeing on the lowest number that is free on all members, which costs a reduction each
 * time, needs rules for creations under way on several communicators, and lets a number come back
 * while a slow member still uses it. The count has 39 bits: at a million communicators a second it
 * lasts for six days.
 *
 * Creating is no barrier: a member that is ahead may send. Messages whose context this rank has not
 * opened wait in one list, in the order in which they came, and move over when it does.
 */
#include "mpi/comm.h"

#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/attached.h"
#include "mpi/attr.h"
#include "mpi/errhandler.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/info.h"
#include "mpi/match.h"
#include "mpi/protocol.h"
#include "mpi/schedule.h"

#define FIRST_BUCKETS 16u
#define COUNT_BITS 39
#define RANK_SHIFT (COUNT_BITS + 1)
#define NO_CONTEXT ((uint64_t)-2) /* of no rank: nobody receives what is sent there */

static uint64_t context_of(uint64_t world_rank, uint64_t count)
{
    return world_rank << RANK_SHIFT | (count & (((uint64_t)1 << COUNT_BITS) - 1)) << 1;
}

/* ---- by context ---- */

static struct weft_mpi_comm **bucket(const struct weft_mpi *mpi, uint64_t context)
{
    uint64_t mixed = (context >> 1) * 0x9e3779b97f4a7c15u;
    return &mpi->buckets[mixed >> 32 & (mpi->buckets_n - 1)];
}

struct weft_mpi_comm *weft__mpi_comm_by_context(struct weft_mpi *mpi, uint64_t context)
{
    context &= ~(uint64_t)1;
    if (context == 0)
        return mpi->world;
    struct weft_mpi_comm *comm = *bucket(mpi, context);
    while (comm && comm->context != context)
        comm = comm->next;
    return comm;
}

static void insert(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    struct weft_mpi_comm **head = bucket(mpi, comm->context);
    comm->next = *head;
    *head = comm;
}

/* Without memory for more buckets the old ones serve on. */
static void grow_buckets(struct weft_mpi *mpi)
{
    struct weft_mpi_comm **old = mpi->buckets;
    uint32_t old_n = mpi->buckets_n;
    struct weft_mpi_comm **new = weft__heap_calloc(mpi->cell->heap, 2 * old_n, sizeof(*new));
    if (!new)
        return;
    mpi->buckets = new;
    mpi->buckets_n = 2 * old_n;
    for (uint32_t i = 0; i < old_n; i++)
        for (struct weft_mpi_comm *comm = old[i], *next; comm; comm = next) {
            next = comm->next;
            insert(mpi, comm);
        }
    weft__heap_free(mpi->cell->heap, old);
}

static void adopt_early(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    struct weft_mpi_link *early = &mpi->early.unexpected;
    for (struct weft_mpi_link *link = early->next, *next; link != early; link = next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        uint64_t context = message->header.context;
        next = link->next;
        if ((context & ~(uint64_t)1) == comm->context)
            weft__mpi_match_move(mpi, message, &mpi->early,
                                 weft__mpi_match_queue(comm, (context & 1) != 0));
    }
}

void weft__mpi_comm_open(struct weft_mpi *mpi, struct weft_mpi_comm *comm, uint64_t context)
{
    comm->context = context;
    comm->open = true;
    if (mpi->open_n++ >= mpi->buckets_n)
        grow_buckets(mpi);
    insert(mpi, comm);
    adopt_early(mpi, comm);
}

static void shut(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    struct weft_mpi_comm **at = bucket(mpi, comm->context);
    while (*at != comm)
        at = &(*at)->next;
    *at = comm->next;
    comm->open = false;
    mpi->open_n--;
}

uint64_t weft__mpi_comm_offer(struct weft_mpi *mpi)
{
    return context_of((uint64_t)mpi->cell->rank, mpi->contexts++);
}

void weft__mpi_comm_each(struct weft_mpi *mpi,
                         void (*visit)(struct weft_mpi *mpi, struct weft_mpi_comm *comm))
{
    for (uint32_t i = 0; i < mpi->buckets_n; i++)
        for (struct weft_mpi_comm *comm = mpi->buckets[i], *next; comm; comm = next) {
            next = comm->next;
            visit(mpi, comm);
        }
}

/* ---- lifetime ---- */

struct weft_mpi_comm *weft__mpi_comm_new(struct weft_mpi *mpi, struct weft_mpi_group *group,
                                         struct weft_mpi_group *remote)
{
    const struct weft_mpi_group *peers = remote ? remote : group;
    struct weft_mpi_comm *comm = weft__heap_calloc(mpi->cell->heap, 1, sizeof(*comm));
    if (!comm)
        return NULL;
    comm->handle = MPI_COMM_NULL;
    comm->refs = 1;
    comm->context = NO_CONTEXT;
    comm->rank = group->rank;
    comm->size = group->size;
    comm->peers = peers->size;
    comm->world_ranks = peers->world_ranks;
    comm->group = weft__mpi_group_hold(group);
    comm->remote = remote ? weft__mpi_group_hold(remote) : NULL;
    comm->errhandler = MPI_ERRORS_ARE_FATAL;
    for (int i = 0; i < 2; i++) {
        weft__mpi_list_init(&comm->queues[i].posted);
        weft__mpi_list_init(&comm->queues[i].unexpected);
    }
    return comm;
}

static void drop_messages(struct weft_mpi *mpi, struct weft_mpi_queue *queue)
{
    struct weft_mpi_link *list = &queue->unexpected;
    while (!weft__mpi_list_empty(list)) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(list->next, struct weft_mpi_message, link);
        weft__mpi_match_take(mpi, queue, message);
        weft__mpi_protocol_refuse(mpi, message);
    }
}

void weft__mpi_comm_destroy(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    if (comm->open)
        shut(mpi, comm);
    weft__mpi_schedule_forget(mpi, comm);
    drop_messages(mpi, &comm->queues[0]);
    drop_messages(mpi, &comm->queues[1]);
    weft__mpi_errhandler_put(mpi, comm->errhandler);
    weft__mpi_attr_drop_all(mpi, &comm->attrs);
    weft__mpi_info_free(mpi, comm->info);
    weft__heap_free(mpi->cell->heap, comm->topo);
    if (comm->local)
        weft__mpi_comm_put(mpi, comm->local);
    weft__mpi_attached_free(mpi, comm->attached);
    weft__mpi_group_put(mpi, comm->group);
    weft__mpi_group_put(mpi, comm->remote);
    weft__heap_free(mpi->cell->heap, comm);
}

bool weft__mpi_comm_publish(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    int32_t index = weft__mpi_table_add(&mpi->comms, mpi->cell->heap, comm);
    if (index < 0)
        return false;
    comm->handle = (MPI_Comm)weft__mpi_table_handle(index, WEFT_MPI_COMM_KIND);
    return true;
}

void weft__mpi_comm_retract(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    weft__mpi_table_remove(&mpi->comms,
                           weft__mpi_table_index(weft__mpi_handle_value(comm->handle)));
    comm->handle = MPI_COMM_NULL;
    weft__mpi_comm_put(mpi, comm);
}

static struct weft_mpi_comm *init_one(struct weft_mpi *mpi, struct weft_mpi_group *group,
                                      MPI_Comm handle, uint64_t context)
{
    struct weft_mpi_comm *comm = group ? weft__mpi_comm_new(mpi, group, NULL) : NULL;
    weft__mpi_group_put(mpi, group);
    if (!comm)
        return NULL;
    comm->handle = handle;
    snprintf(comm->name, sizeof(comm->name), "%s",
             handle == MPI_COMM_WORLD ? "MPI_COMM_WORLD" : "MPI_COMM_SELF");
    weft__mpi_comm_open(mpi, comm, context);
    return comm;
}

/* The world's context is the first of rank 0, which no rank gives out; self's is a rank's own
 * second. */
bool weft__mpi_comm_init(struct weft_mpi *mpi)
{
    const struct weft_cell *cell = mpi->cell;
    weft__mpi_list_init(&mpi->early.posted);
    weft__mpi_list_init(&mpi->early.unexpected);
    mpi->buckets = weft__heap_calloc(cell->heap, FIRST_BUCKETS, sizeof(struct weft_mpi_comm *));
    if (!mpi->buckets)
        return false;
    mpi->buckets_n = FIRST_BUCKETS;
    mpi->contexts = 2;
    mpi->world = init_one(mpi, weft__mpi_group_new_world(mpi), MPI_COMM_WORLD, 0);
    mpi->self = init_one(mpi, weft__mpi_group_new(mpi, 1, &cell->rank), MPI_COMM_SELF,
                         context_of((uint64_t)cell->rank, 1));
    mpi->empty = weft__mpi_group_new(mpi, 0, NULL);
    return mpi->world && mpi->self && mpi->empty;
}

static void unlink_local(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    (void)mpi;
    comm->local = NULL;
}

void weft__mpi_comm_fini(struct weft_mpi *mpi)
{
    weft__mpi_comm_each(mpi, unlink_local);
    weft__mpi_comm_each(mpi, weft__mpi_comm_destroy);
    drop_messages(mpi, &mpi->early);
    weft__heap_free(mpi->cell->heap, mpi->buckets);
    mpi->buckets = NULL;
    mpi->buckets_n = 0;
    mpi->world = mpi->self = NULL;
    weft__mpi_table_fini(&mpi->comms, mpi->cell->heap);
}

/* ---- by handle ---- */

struct weft_mpi_comm *weft__mpi_comm_find(struct weft_mpi *mpi, MPI_Comm handle)
{
    if (handle == MPI_COMM_WORLD)
        return mpi->world;
    if (handle == MPI_COMM_SELF)
        return mpi->self;
    return weft__mpi_table_find(&mpi->comms, weft__mpi_handle_value(handle), WEFT_MPI_COMM_KIND);
}

int weft__mpi_comm_get(struct weft_mpi *mpi, const char *where, MPI_Comm handle,
                       struct weft_mpi_comm **comm_out)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, handle);
    if (!comm)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_COMM, where, "handle 0x%zx",
                                     weft__mpi_handle_value(handle));
    *comm_out = comm;
    return MPI_SUCCESS;
}
