/* What a program asks of a communicator and hangs on it: ranks, groups, names, hints; and its end.
 */
#include <stdio.h>
#include <string.h>

#include "mpi/attr.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/info.h"
#include "mpi/protocol.h"
#include "mpi/request.h"

/* clang-format off */
#define COMM_INT(name, result, value)                                                              \
    int P##name(MPI_Comm comm, int *result)                                                        \
    {                                                                                              \
        struct weft_mpi_comm *c;                                                                   \
        int err = weft__mpi_comm_get(weft__mpi_enter(#name), #name, comm, &c);                     \
        if (!err)                                                                                  \
            *result = (value);                                                                     \
        return err;                                                                                \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

COMM_INT(MPI_Comm_rank, rank, c->rank);
COMM_INT(MPI_Comm_size, size, c->size);
COMM_INT(MPI_Comm_test_inter, flag, c->remote != NULL);

static int get_inter(struct weft_mpi *mpi, const char *where, MPI_Comm handle,
                     struct weft_mpi_comm **comm_out)
{
    int err = weft__mpi_comm_get(mpi, where, handle, comm_out);
    if (!err && !(*comm_out)->remote)
        err = weft__mpi_error_raise(mpi, *comm_out, MPI_ERR_COMM, where,
                                    "it is no intercommunicator");
    return err;
}

int PMPI_Comm_remote_size(MPI_Comm comm, int *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = get_inter(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        *size = c->remote->size;
    return err;
}
WEFT_MPI_EXPORT(MPI_Comm_remote_size);

/* ---- groups ---- */

static int give_group(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      struct weft_mpi_group *group, MPI_Group *handle_out)
{
    MPI_Group handle = weft__mpi_group_publish(mpi, weft__mpi_group_hold(group));
    if (!handle)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_NO_MEM, where, "no room for a group");
    *handle_out = handle;
    return MPI_SUCCESS;
}

int PMPI_Comm_group(MPI_Comm comm, MPI_Group *group)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    return err ? err : give_group(mpi, WEFT_MPI_HERE, c, c->group, group);
}
WEFT_MPI_EXPORT(MPI_Comm_group);

int PMPI_Comm_remote_group(MPI_Comm comm, MPI_Group *group)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = get_inter(mpi, WEFT_MPI_HERE, comm, &c);
    return err ? err : give_group(mpi, WEFT_MPI_HERE, c, c->remote, group);
}
WEFT_MPI_EXPORT(MPI_Comm_remote_group);

static int worse(int a, int b)
{
    /* MPI_IDENT < MPI_CONGRUENT < MPI_SIMILAR < MPI_UNEQUAL */
    return a > b ? a : b;
}

static int compare(struct weft_mpi *mpi, const struct weft_mpi_comm *a,
                   const struct weft_mpi_comm *b, int *result_out)
{
    int local = MPI_UNEQUAL, remote = MPI_IDENT;
    if (a == b) {
        *result_out = MPI_IDENT;
        return MPI_SUCCESS;
    }
    *result_out = MPI_UNEQUAL;
    if (!a->remote != !b->remote)
        return MPI_SUCCESS;
    int err = weft__mpi_group_compare(mpi, a->group, b->group, &local);
    if (!err && a->remote)
        err = weft__mpi_group_compare(mpi, a->remote, b->remote, &remote);
    if (!err)
        *result_out = worse(MPI_CONGRUENT, worse(local, remote));
    return err;
}

int PMPI_Comm_compare(MPI_Comm comm1, MPI_Comm comm2, int *result)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *a, *b;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm1, &a);
    if (!err)
        err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm2, &b);
    if (err)
        return err;
    _Static_assert(MPI_IDENT < MPI_CONGRUENT && MPI_CONGRUENT < MPI_SIMILAR &&
                       MPI_SIMILAR < MPI_UNEQUAL,
                   "results in their order");
    err = compare(mpi, a, b, result);
    return err ? WEFT_MPI_RAISE(mpi, a, err, "no room to compare groups") : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_compare);

/* ---- names and hints ---- */

int PMPI_Comm_set_name(MPI_Comm comm, const char *comm_name)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    if (!comm_name)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ARG, "no name");
    snprintf(c->name, sizeof(c->name), "%.*s", MPI_MAX_OBJECT_NAME - 1, comm_name);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_set_name);

int PMPI_Comm_get_name(MPI_Comm comm, char *comm_name, int *resultlen)
{
    static const char null_name[] = "MPI_COMM_NULL";
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = MPI_SUCCESS;
    if (comm == MPI_COMM_NULL)
        memcpy(comm_name, null_name, sizeof(null_name));
    else if (!(err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c)))
        memcpy(comm_name, c->name, strlen(c->name) + 1);
    if (!err)
        *resultlen = (int)strlen(comm_name);
    return err;
}
WEFT_MPI_EXPORT(MPI_Comm_get_name);

/* Hints are kept and told; none changes what the library does. */
int PMPI_Comm_set_info(MPI_Comm comm, MPI_Info info)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    struct weft_mpi_info *hints;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        err = weft__mpi_info_get(mpi, c, WEFT_MPI_HERE, info, &hints);
    if (err)
        return err;
    if (!c->info)
        c->info = weft__mpi_info_new(mpi);
    if (!c->info || weft__mpi_info_merge(mpi, c->info, hints))
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_NO_MEM, "no room for hints");
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_set_info);

int PMPI_Comm_get_info(MPI_Comm comm, MPI_Info *info_used)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    struct weft_mpi_info *copy = weft__mpi_info_copy(mpi, c->info);
    MPI_Info handle = copy ? weft__mpi_info_publish(mpi, copy) : NULL;
    if (!handle) {
        weft__mpi_info_free(mpi, copy);
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_NO_MEM, "no room for an info object");
    }
    *info_used = handle;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_get_info);

/* ---- the end ---- */

/* Whether something is under way on it that the program has let go of. */
static bool is_busy(struct weft_mpi *mpi, const struct weft_mpi_comm *comm)
{
    for (uint64_t i = 0; i < (uint64_t)WEFT_MPI_CHUNK << mpi->chunks_n; i++) {
        const struct weft_mpi_request *request = weft__mpi_request_at(mpi, i);
        if (request && request->comm == comm && request->detached && !request->done)
            return true;
    }
    return false;
}

static void wait_idle(struct weft_mpi *mpi, const struct weft_mpi_comm *comm)
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (!is_busy(mpi, comm))
            return;
        weft__mpi_protocol_wait(mpi, seen);
    }
}

static int release(const char *where, MPI_Comm *handle, bool wait)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm;
    int err = weft__mpi_comm_get(mpi, where, *handle, &comm);
    if (err)
        return err;
    if (comm == mpi->world || comm == mpi->self)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COMM, where,
                                     "a predefined communicator cannot be freed");
    const struct weft_mpi_attr_owner owner = {WEFT_MPI_ATTR_COMM, comm->handle, &comm->attrs};
    err = weft__mpi_attr_delete_all(mpi, &owner);
    if (err)
        return weft__mpi_error_raise(mpi, comm, err, where, "an attribute's callback returned %d",
                                     err);
    if (wait)
        wait_idle(mpi, comm);
    weft__mpi_comm_retract(mpi, comm);
    *handle = MPI_COMM_NULL;
    return MPI_SUCCESS;
}

int PMPI_Comm_free(MPI_Comm *comm)
{
    return release(WEFT_MPI_HERE, comm, false);
}
WEFT_MPI_EXPORT(MPI_Comm_free);

/* What is pending on it completes first. */
int PMPI_Comm_disconnect(MPI_Comm *comm)
{
    return release(WEFT_MPI_HERE, comm, true);
}
WEFT_MPI_EXPORT(MPI_Comm_disconnect);

/* Nobody has started this app's ranks from another app. */
int PMPI_Comm_get_parent(MPI_Comm *parent)
{
    (void)weft__mpi_enter(WEFT_MPI_HERE);
    *parent = MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_get_parent);
