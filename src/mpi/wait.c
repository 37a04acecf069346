/* Wait and test in their forms. A test that finds nothing lets the runtime move things on once, so
 * a program that polls makes progress and yields. Null handles and inactive persistent requests
 * count as nothing: they have the empty status, and nobody waits for them. */
#include "mpi/wait.h"

#include <inttypes.h>

#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/generalized.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/status.h"

/* Fills status, as the request says; its error code, not raised. */
static int fill(struct weft_mpi *mpi, struct weft_mpi_request *request, MPI_Status *status)
{
    if (request->kind == WEFT_MPI_GENERALIZED)
        return weft__mpi_generalized_query(mpi, request, status);
    weft__mpi_request_status(request, status);
    return request->error;
}

/* Fills status, gives the request back; its error code, not raised. */
static int release(struct weft_mpi *mpi, struct weft_mpi_request *request, MPI_Status *status)
{
    int err = fill(mpi, request, status), free_err = MPI_SUCCESS;
    if (request->kind == WEFT_MPI_GENERALIZED)
        free_err = weft__mpi_generalized_end(mpi, request);
    weft__mpi_request_release(mpi, request);
    return err ? err : free_err;
}

static int raise_truncated(struct weft_mpi *mpi, const char *where,
                           const struct weft_mpi_comm *comm, const struct weft_mpi_request *was)
{
    return weft__mpi_error_raise(mpi, comm, MPI_ERR_TRUNCATE, where,
                                 "%" PRIu64 " bytes of rank %d with tag %d, but room for %zu",
                                 was->sent_bytes, was->source, was->got_tag, was->len_bytes);
}

static int raise_bad_memory(struct weft_mpi *mpi, const char *where,
                            const struct weft_mpi_comm *comm, const struct weft_mpi_request *was)
{
    return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                 "%zu bytes at %p are not all memory of the program",
                                 was->kind == WEFT_MPI_RECV ? was->got_bytes : was->len_bytes,
                                 was->kind == WEFT_MPI_RECV ? was->get.into : was->bytes);
}

static int raise_no_room(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                         const struct weft_mpi_request *was)
{
    return weft__mpi_error_raise(
        mpi, comm, MPI_ERR_NO_MEM, where,
        "%zu bytes find no room in the rank's region (weft run --rank-memory)",
        was->kind == WEFT_MPI_RECV ? was->got_bytes : was->len_bytes);
}

static int release_and_raise(struct weft_mpi *mpi, const char *where,
                             struct weft_mpi_request *request, MPI_Status *status)
{
    if (request->error == MPI_SUCCESS && request->kind != WEFT_MPI_GENERALIZED)
        return release(mpi, request, status);
    struct weft_mpi_comm *comm = request->comm;
    const struct weft_mpi_request was = *request;
    weft__mpi_comm_hold(comm);
    int err = release(mpi, request, status);
    if ((err == MPI_ERR_TRUNCATE || err == MPI_ERR_NOT_SAME) && was.kind == WEFT_MPI_COLLECTIVE)
        err = weft__mpi_error_raise(mpi, comm, err, where,
                                    "ranks do not agree on how long the messages are");
    else if (err == MPI_ERR_TRUNCATE)
        err = raise_truncated(mpi, where, comm, &was);
    else if (err == MPI_ERR_BUFFER)
        err = raise_bad_memory(mpi, where, comm, &was);
    else if (err == MPI_ERR_NO_MEM && (was.kind == WEFT_MPI_SEND || was.kind == WEFT_MPI_RECV))
        err = raise_no_room(mpi, where, comm, &was);
    else if (err != MPI_SUCCESS)
        err = weft__mpi_error_raise(mpi, comm, err, where, "the request failed");
    weft__mpi_comm_put(mpi, comm);
    return err;
}

int weft__mpi_wait_finish(struct weft_mpi *mpi, const char *where, struct weft_mpi_request *request,
                          MPI_Status *status)
{
    weft__mpi_protocol_finish(mpi, request);
    return release_and_raise(mpi, where, request, status);
}

int weft__mpi_wait_get(struct weft_mpi *mpi, const char *where, MPI_Request handle,
                       struct weft_mpi_request **request_out)
{
    *request_out = weft__mpi_request_find(mpi, handle);
    if (*request_out)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_REQUEST, where, "handle 0x%zx is not a request",
                                 weft__mpi_handle_value(handle));
}

/* The first ones are right, as is known. */
static int check_from(struct weft_mpi *mpi, const char *where, int first, int count,
                      const MPI_Request handles[])
{
    if (count < 0)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_COUNT, where, "count %d", count);
    for (int i = first; i < count; i++)
        if (handles[i] != MPI_REQUEST_NULL && !weft__mpi_request_find(mpi, handles[i]))
            return weft__mpi_error_raise(mpi, NULL, MPI_ERR_REQUEST, where,
                                         "handle 0x%zx (number %d) is not a request",
                                         weft__mpi_handle_value(handles[i]), i);
    return MPI_SUCCESS;
}

static int check(struct weft_mpi *mpi, const char *where, int count, const MPI_Request handles[])
{
    return check_from(mpi, where, 0, count, handles);
}

/* The first one that is not there, or not done; count: all are done, as far as that is said. */
static int first_undone(const struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    for (int i = 0; i < count; i++) {
        const struct weft_mpi_request *request = weft__mpi_request_find(mpi, handles[i]);
        if (handles[i] != MPI_REQUEST_NULL && (!request || (!request->done && !request->inactive)))
            return i;
    }
    return count < 0 ? count - 1 : count;
}

/* The request of a handle that check() has accepted; NULL: nothing to wait for. */
static struct weft_mpi_request *active(struct weft_mpi *mpi, MPI_Request handle)
{
    if (handle == MPI_REQUEST_NULL)
        return NULL;
    struct weft_mpi_request *request = weft__mpi_request_find(mpi, handle);
    return request->inactive ? NULL : request;
}

static bool all_done(struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    for (int i = 0; i < count; i++) {
        const struct weft_mpi_request *request = active(mpi, handles[i]);
        if (request && !request->done)
            return false;
    }
    return true;
}

/* The same after progress, and after letting the runtime work where that does not help. */
static bool all_done_moving(struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    if (all_done(mpi, count, handles))
        return true;
    weft__mpi_protocol_progress(mpi);
    if (all_done(mpi, count, handles))
        return true;
    weft__mpi_protocol_poke(mpi);
    return all_done(mpi, count, handles);
}

enum { NONE_DONE = -1, NONE_ACTIVE = -2 };

static int find_done(struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    int found = NONE_ACTIVE;
    for (int i = 0; i < count; i++) {
        const struct weft_mpi_request *request = active(mpi, handles[i]);
        if (request && request->done)
            return i;
        if (request)
            found = NONE_DONE;
    }
    return found;
}

/* The same after progress, and after letting the runtime work where that does not help. */
static int find_done_moving(struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    int found = find_done(mpi, count, handles);
    if (found != NONE_DONE)
        return found;
    weft__mpi_protocol_progress(mpi);
    found = find_done(mpi, count, handles);
    if (found != NONE_DONE)
        return found;
    weft__mpi_protocol_poke(mpi);
    return find_done(mpi, count, handles);
}

static int find_done_waiting(struct weft_mpi *mpi, int count, const MPI_Request handles[])
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        int found = find_done(mpi, count, handles);
        if (found != NONE_DONE)
            return found;
        weft__mpi_protocol_progress(mpi);
        found = find_done(mpi, count, handles);
        if (found != NONE_DONE)
            return found;
        weft__mpi_protocol_wait(mpi, seen);
    }
}

static int take_one(struct weft_mpi *mpi, const char *where, MPI_Request *handle,
                    MPI_Status *status)
{
    struct weft_mpi_request *request = weft__mpi_request_find(mpi, *handle);
    if (!request->persistent)
        *handle = MPI_REQUEST_NULL;
    return release_and_raise(mpi, where, request, status);
}

/* The requests to give back: the first n, or those whose indices are listed. */
struct many {
    int n;
    const int *indices;
    MPI_Request *handles;
};

/* One without anything that others have to hear of. */
static bool is_plain(const struct weft_mpi_request *request)
{
    return !request->error && !request->persistent &&
           (request->kind == WEFT_MPI_SEND || request->kind == WEFT_MPI_RECV);
}

/* Gives back one that is done; returns its error code, keeps the first communicator with one. */
static int take_quietly(struct weft_mpi *mpi, MPI_Request *handle, MPI_Status *status,
                        struct weft_mpi_comm **failed)
{
    struct weft_mpi_request *request = active(mpi, *handle);
    if (!request) {
        weft__mpi_status_set_empty(status);
        return MPI_SUCCESS;
    }
    struct weft_mpi_comm *comm = request->comm;
    if (!request->persistent)
        *handle = MPI_REQUEST_NULL;
    if (is_plain(request)) {
        weft__mpi_request_status(request, status);
        weft__mpi_request_free(mpi, request);
        return MPI_SUCCESS;
    }
    weft__mpi_comm_hold(comm);
    int err = release(mpi, request, status);
    if (err && !*failed)
        *failed = comm;
    else
        weft__mpi_comm_put(mpi, comm);
    return err;
}

/* Gives back requests that are all done. Statuses get error codes. */
static int take_many(struct weft_mpi *mpi, const char *where, const struct many *many,
                     MPI_Status statuses[])
{
    struct weft_mpi_comm *failed = NULL;
    for (int i = 0; i < many->n; i++) {
        MPI_Status *status = statuses ? &statuses[i] : MPI_STATUS_IGNORE;
        int err = take_quietly(mpi, &many->handles[many->indices ? many->indices[i] : i], status,
                               &failed);
        if (status)
            status->MPI_ERROR = err;
    }
    if (!failed)
        return MPI_SUCCESS;
    int err = weft__mpi_error_raise(mpi, failed, MPI_ERR_IN_STATUS, where, "a request failed");
    weft__mpi_comm_put(mpi, failed);
    return err;
}

int PMPI_Wait(MPI_Request *request, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found = NULL;
    if (*request != MPI_REQUEST_NULL) {
        int err = weft__mpi_wait_get(mpi, WEFT_MPI_HERE, *request, &found);
        if (err)
            return err;
    }
    if (!found || found->inactive) {
        weft__mpi_status_set_empty(status);
        return MPI_SUCCESS;
    }
    weft__mpi_protocol_finish(mpi, found);
    if (!found->persistent)
        *request = MPI_REQUEST_NULL;
    return release_and_raise(mpi, WEFT_MPI_HERE, found, status);
}
WEFT_MPI_EXPORT(MPI_Wait);

int PMPI_Waitany(int count, MPI_Request array_of_requests[], int *indx, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, count, array_of_requests);
    if (err)
        return err;
    int found = find_done_waiting(mpi, count, array_of_requests);
    if (found == NONE_ACTIVE) {
        *indx = MPI_UNDEFINED;
        weft__mpi_status_set_empty(status);
        return MPI_SUCCESS;
    }
    *indx = found;
    return take_one(mpi, WEFT_MPI_HERE, &array_of_requests[found], status);
}
WEFT_MPI_EXPORT(MPI_Waitany);

int PMPI_Waitall(int count, MPI_Request array_of_requests[], MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int first = first_undone(mpi, count, array_of_requests);
    int err = first == count ? MPI_SUCCESS
                             : check_from(mpi, WEFT_MPI_HERE, first, count, array_of_requests);
    if (err)
        return err;
    for (int i = first; i < count; i++) {
        struct weft_mpi_request *request = active(mpi, array_of_requests[i]);
        if (request && !request->done)
            weft__mpi_protocol_finish(mpi, request);
    }
    return take_many(mpi, WEFT_MPI_HERE, &(struct many){count, NULL, array_of_requests},
                     array_of_statuses);
}
WEFT_MPI_EXPORT(MPI_Waitall);

/* After one is done: the indices of all that are. */
static int list_done(struct weft_mpi *mpi, int count, const MPI_Request handles[], int indices[])
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        const struct weft_mpi_request *request = active(mpi, handles[i]);
        if (request && request->done)
            indices[n++] = i;
    }
    return n;
}

int PMPI_Waitsome(int incount, MPI_Request array_of_requests[], int *outcount,
                  int array_of_indices[], MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, incount, array_of_requests);
    if (err)
        return err;
    *outcount = MPI_UNDEFINED;
    if (find_done_waiting(mpi, incount, array_of_requests) == NONE_ACTIVE)
        return MPI_SUCCESS;
    *outcount = list_done(mpi, incount, array_of_requests, array_of_indices);
    return take_many(mpi, WEFT_MPI_HERE,
                     &(struct many){*outcount, array_of_indices, array_of_requests},
                     array_of_statuses);
}
WEFT_MPI_EXPORT(MPI_Waitsome);

int PMPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, 1, request);
    if (err)
        return err;
    int found = find_done_moving(mpi, 1, request);
    *flag = found != NONE_DONE;
    if (found == NONE_ACTIVE)
        weft__mpi_status_set_empty(status);
    return found == 0 ? take_one(mpi, WEFT_MPI_HERE, request, status) : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Test);

int PMPI_Testany(int count, MPI_Request array_of_requests[], int *indx, int *flag,
                 MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, count, array_of_requests);
    if (err)
        return err;
    int found = find_done_moving(mpi, count, array_of_requests);
    *flag = found != NONE_DONE;
    *indx = found >= 0 ? found : MPI_UNDEFINED;
    if (found == NONE_ACTIVE)
        weft__mpi_status_set_empty(status);
    return found >= 0 ? take_one(mpi, WEFT_MPI_HERE, &array_of_requests[found], status)
                      : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Testany);

int PMPI_Testall(int count, MPI_Request array_of_requests[], int *flag,
                 MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, count, array_of_requests);
    if (err)
        return err;
    *flag = all_done_moving(mpi, count, array_of_requests);
    if (!*flag)
        return MPI_SUCCESS;
    return take_many(mpi, WEFT_MPI_HERE, &(struct many){count, NULL, array_of_requests},
                     array_of_statuses);
}
WEFT_MPI_EXPORT(MPI_Testall);

int PMPI_Testsome(int incount, MPI_Request array_of_requests[], int *outcount,
                  int array_of_indices[], MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, incount, array_of_requests);
    if (err)
        return err;
    *outcount = MPI_UNDEFINED;
    if (find_done_moving(mpi, incount, array_of_requests) == NONE_ACTIVE)
        return MPI_SUCCESS;
    *outcount = list_done(mpi, incount, array_of_requests, array_of_indices);
    return take_many(mpi, WEFT_MPI_HERE,
                     &(struct many){*outcount, array_of_indices, array_of_requests},
                     array_of_statuses);
}
WEFT_MPI_EXPORT(MPI_Testsome);

/* A look at the first of count that is done, or at none where all are idle: nothing is freed. */
static int look(struct weft_mpi *mpi, const MPI_Request *handle, MPI_Status *status)
{
    struct weft_mpi_request *request =
        *handle == MPI_REQUEST_NULL ? NULL : weft__mpi_request_find(mpi, *handle);
    if (!request || request->inactive) {
        weft__mpi_status_set_empty(status);
        return MPI_SUCCESS;
    }
    int err = fill(mpi, request, status);
    if (status)
        status->MPI_ERROR = err;
    return request->kind == WEFT_MPI_GENERALIZED ? err : MPI_SUCCESS;
}

int PMPI_Request_get_status_any(int count, const MPI_Request array_of_requests[], int *indx,
                                int *flag, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, count, array_of_requests);
    if (err)
        return err;
    int found = find_done_moving(mpi, count, array_of_requests);
    *flag = found != NONE_DONE;
    *indx = found >= 0 ? found : MPI_UNDEFINED;
    if (found == NONE_ACTIVE)
        weft__mpi_status_set_empty(status);
    return found >= 0 ? look(mpi, &array_of_requests[found], status) : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Request_get_status_any);

int PMPI_Request_get_status(MPI_Request request, int *flag, MPI_Status *status)
{
    int index;
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, 1, &request);
    return err ? err : PMPI_Request_get_status_any(1, &request, &index, flag, status);
}
WEFT_MPI_EXPORT(MPI_Request_get_status);

int PMPI_Request_get_status_all(int count, const MPI_Request array_of_requests[], int *flag,
                                MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, count, array_of_requests);
    if (err)
        return err;
    *flag = all_done_moving(mpi, count, array_of_requests);
    for (int i = 0; *flag && i < count && !err; i++)
        err = look(mpi, &array_of_requests[i], array_of_statuses ? &array_of_statuses[i] : NULL);
    return err;
}
WEFT_MPI_EXPORT(MPI_Request_get_status_all);

int PMPI_Request_get_status_some(int incount, const MPI_Request array_of_requests[], int *outcount,
                                 int array_of_indices[], MPI_Status array_of_statuses[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check(mpi, WEFT_MPI_HERE, incount, array_of_requests);
    if (err)
        return err;
    *outcount = MPI_UNDEFINED;
    if (find_done_moving(mpi, incount, array_of_requests) == NONE_ACTIVE)
        return MPI_SUCCESS;
    *outcount = list_done(mpi, incount, array_of_requests, array_of_indices);
    for (int i = 0; i < *outcount && !err; i++)
        err = look(mpi, &array_of_requests[array_of_indices[i]],
                   array_of_statuses ? &array_of_statuses[i] : NULL);
    return err;
}
WEFT_MPI_EXPORT(MPI_Request_get_status_some);

int PMPI_Request_free(MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found;
    int err = weft__mpi_wait_get(mpi, WEFT_MPI_HERE, *request, &found);
    if (err)
        return err;
    *request = MPI_REQUEST_NULL;
    if (!found->done && !found->inactive) {
        found->detached = true;
        return MPI_SUCCESS;
    }
    if (found->kind == WEFT_MPI_GENERALIZED)
        err = weft__mpi_generalized_end(mpi, found);
    weft__mpi_request_free(mpi, found);
    return err;
}
WEFT_MPI_EXPORT(MPI_Request_free);

int PMPI_Cancel(MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found;
    int err = weft__mpi_wait_get(mpi, WEFT_MPI_HERE, *request, &found);
    if (err)
        return err;
    if (found->kind == WEFT_MPI_GENERALIZED)
        return weft__mpi_generalized_cancel(mpi, found);
    if (found->inactive || found->kind == WEFT_MPI_COLLECTIVE)
        return WEFT_MPI_RAISE(mpi, found->comm, MPI_ERR_REQUEST,
                              "handle 0x%zx is not a request that can be cancelled",
                              weft__mpi_handle_value(*request));
    if (!found->done && (found->kind == WEFT_MPI_SEND || found->kind == WEFT_MPI_RECV))
        weft__mpi_protocol_cancel(mpi, found);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cancel);
