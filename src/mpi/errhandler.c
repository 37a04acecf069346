/* Error handlers.
 *
 * A handler of the program is a slot with two counts: of the handles that the program has been
 * given, and of the objects that use it. A freed handler serves its communicators until they get
 * another one, and asking for theirs gives the program a handle to it again. The function is kept
 * as an address: in a cell the program's code lies at the same place on every host.
 *
 * There are no windows, open files or sessions yet: handlers for them can be made, and the one for
 * files that are opened later (MPI_FILE_NULL's) can be set.
 */
#include "mpi/errhandler.h"

#include "base/heap.h"
#include "mpi/error.h"

union function {
    MPI_Comm_errhandler_function *comm;
    MPI_Win_errhandler_function *win;
    MPI_File_errhandler_function *file;
    MPI_Session_errhandler_function *session;
};

struct errhandler {
    uint32_t given, used;
    uint32_t index;
    enum weft_mpi_errhandler_kind kind;
    union function function;
};

static struct errhandler *find(struct weft_mpi *mpi, MPI_Errhandler handler)
{
    return weft__mpi_table_find(&mpi->errhandlers, weft__mpi_handle_value(handler),
                                WEFT_MPI_ERRHANDLER_KIND);
}

static bool is_predefined(MPI_Errhandler handler)
{
    return handler == MPI_ERRORS_ARE_FATAL || handler == MPI_ERRORS_ABORT ||
           handler == MPI_ERRORS_RETURN;
}

/* The program may use it for objects of this kind. */
static bool is_usable(struct weft_mpi *mpi, MPI_Errhandler handler,
                      enum weft_mpi_errhandler_kind kind)
{
    const struct errhandler *own = find(mpi, handler);
    return own ? own->given > 0 && own->kind == kind : is_predefined(handler);
}

static void free_unused(struct weft_mpi *mpi, struct errhandler *own)
{
    if (own->given > 0 || own->used > 0)
        return;
    weft__mpi_table_remove(&mpi->errhandlers, own->index);
    weft__heap_free(mpi->cell->heap, own);
}

MPI_Errhandler weft__mpi_errhandler_hold(struct weft_mpi *mpi, MPI_Errhandler handler)
{
    struct errhandler *own = find(mpi, handler);
    if (own)
        own->used++;
    return handler;
}

void weft__mpi_errhandler_put(struct weft_mpi *mpi, MPI_Errhandler handler)
{
    struct errhandler *own = find(mpi, handler);
    if (!own)
        return;
    own->used--;
    free_unused(mpi, own);
}

bool weft__mpi_errhandler_call(struct weft_mpi *mpi, MPI_Errhandler handler, void *object, int code)
{
    struct errhandler *own = find(mpi, handler);
    if (!own)
        return false;
    MPI_Comm comm = object;
    MPI_Win win = object;
    MPI_File file = object;
    MPI_Session session = object;
    own->used++;
    switch (own->kind) {
    case WEFT_MPI_ERRHANDLER_COMM:
        own->function.comm(&comm, &code);
        break;
    case WEFT_MPI_ERRHANDLER_WIN:
        own->function.win(&win, &code);
        break;
    case WEFT_MPI_ERRHANDLER_FILE:
        own->function.file(&file, &code);
        break;
    case WEFT_MPI_ERRHANDLER_SESSION:
        own->function.session(&session, &code);
        break;
    }
    own->used--;
    free_unused(mpi, own);
    return true;
}

void weft__mpi_errhandler_fini(struct weft_mpi *mpi)
{
    if (mpi->errhandlers.used == 0)
        weft__mpi_table_fini(&mpi->errhandlers, mpi->cell->heap);
}

/* ---- as the program calls it ---- */

static int create(const char *where, const struct errhandler *desc, MPI_Errhandler *handler_out)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(where);
    if (!desc->function.comm)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where, "no function");
    struct errhandler *own = weft__heap_alloc(mpi->cell->heap, sizeof(*own));
    int32_t index =
        own ? weft__mpi_table_add(&mpi->errhandlers, mpi->cell->heap, own) : (int32_t)-1;
    if (index < 0) {
        weft__heap_free(mpi->cell->heap, own);
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where,
                                     "no room for an error handler");
    }
    *own = *desc;
    own->given = 1;
    own->index = (uint32_t)index;
    *handler_out = (MPI_Errhandler)weft__mpi_table_handle(index, WEFT_MPI_ERRHANDLER_KIND);
    return MPI_SUCCESS;
}

int PMPI_Comm_create_errhandler(MPI_Comm_errhandler_function *comm_errhandler_fn,
                                MPI_Errhandler *errhandler)
{
    const struct errhandler desc = {.kind = WEFT_MPI_ERRHANDLER_COMM,
                                    .function.comm = comm_errhandler_fn};
    return create(WEFT_MPI_HERE, &desc, errhandler);
}
WEFT_MPI_EXPORT(MPI_Comm_create_errhandler);

int PMPI_Win_create_errhandler(MPI_Win_errhandler_function *win_errhandler_fn,
                               MPI_Errhandler *errhandler)
{
    const struct errhandler desc = {.kind = WEFT_MPI_ERRHANDLER_WIN,
                                    .function.win = win_errhandler_fn};
    return create(WEFT_MPI_HERE, &desc, errhandler);
}
WEFT_MPI_EXPORT(MPI_Win_create_errhandler);

int PMPI_File_create_errhandler(MPI_File_errhandler_function *file_errhandler_fn,
                                MPI_Errhandler *errhandler)
{
    const struct errhandler desc = {.kind = WEFT_MPI_ERRHANDLER_FILE,
                                    .function.file = file_errhandler_fn};
    return create(WEFT_MPI_HERE, &desc, errhandler);
}
WEFT_MPI_EXPORT(MPI_File_create_errhandler);

int PMPI_Session_create_errhandler(MPI_Session_errhandler_function *session_errhandler_fn,
                                   MPI_Errhandler *errhandler)
{
    const struct errhandler desc = {.kind = WEFT_MPI_ERRHANDLER_SESSION,
                                    .function.session = session_errhandler_fn};
    return create(WEFT_MPI_HERE, &desc, errhandler);
}
WEFT_MPI_EXPORT(MPI_Session_create_errhandler);

/* Predefined handlers are never freed; the handle is reset, as for every other free function. */
int PMPI_Errhandler_free(MPI_Errhandler *errhandler)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct errhandler *own = find(mpi, *errhandler);
    if (own ? own->given == 0 : !is_predefined(*errhandler))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ERRHANDLER, "handle 0x%zx",
                              weft__mpi_handle_value(*errhandler));
    if (own) {
        own->given--;
        free_unused(mpi, own);
    }
    *errhandler = MPI_ERRHANDLER_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Errhandler_free);

/* Another handle for the program. */
static MPI_Errhandler give(struct weft_mpi *mpi, MPI_Errhandler handler)
{
    struct errhandler *own = find(mpi, handler);
    if (own)
        own->given++;
    return handler;
}

/* Hands the slot of an object over to another handler. */
static void replace(struct weft_mpi *mpi, MPI_Errhandler *slot, MPI_Errhandler handler)
{
    MPI_Errhandler old = *slot;
    *slot = weft__mpi_errhandler_hold(mpi, handler);
    weft__mpi_errhandler_put(mpi, old);
}

int PMPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler errhandler)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    if (!is_usable(mpi, errhandler, WEFT_MPI_ERRHANDLER_COMM))
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ERRHANDLER, "handle 0x%zx",
                              weft__mpi_handle_value(errhandler));
    replace(mpi, &c->errhandler, errhandler);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_set_errhandler);

int PMPI_Comm_get_errhandler(MPI_Comm comm, MPI_Errhandler *errhandler)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    *errhandler = give(mpi, c->errhandler);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_get_errhandler);

int PMPI_Comm_call_errhandler(MPI_Comm comm, int errorcode)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    if (errorcode != MPI_SUCCESS)
        (void)WEFT_MPI_RAISE(mpi, c, errorcode, "called by the program");
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_call_errhandler);

/* ---- files: only those to come ---- */

static int wrong_file(struct weft_mpi *mpi, const char *where, MPI_File file)
{
    return weft__mpi_error_raise_file(mpi, MPI_ERR_FILE, where, "handle 0x%zx is no open file",
                                      weft__mpi_handle_value(file));
}

int PMPI_File_set_errhandler(MPI_File file, MPI_Errhandler errhandler)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (file != MPI_FILE_NULL)
        return wrong_file(mpi, WEFT_MPI_HERE, file);
    if (!is_usable(mpi, errhandler, WEFT_MPI_ERRHANDLER_FILE))
        return weft__mpi_error_raise_file(mpi, MPI_ERR_ERRHANDLER, WEFT_MPI_HERE, "handle 0x%zx",
                                          weft__mpi_handle_value(errhandler));
    replace(mpi, &mpi->file_errhandler, errhandler);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_File_set_errhandler);

int PMPI_File_get_errhandler(MPI_File file, MPI_Errhandler *errhandler)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (file != MPI_FILE_NULL)
        return wrong_file(mpi, WEFT_MPI_HERE, file);
    *errhandler = give(mpi, mpi->file_errhandler);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_File_get_errhandler);

int PMPI_File_call_errhandler(MPI_File fh, int errorcode)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (fh != MPI_FILE_NULL)
        return wrong_file(mpi, WEFT_MPI_HERE, fh);
    if (errorcode != MPI_SUCCESS)
        (void)weft__mpi_error_raise_file(mpi, errorcode, WEFT_MPI_HERE, "called by the program");
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_File_call_errhandler);

/* ---- windows and sessions: no object has one ---- */

/* clang-format off */
#define NO_OBJECT(name, type, class, ...)                                                          \
    int P##name(type object, __VA_ARGS__)                                                          \
    {                                                                                              \
        (void)errhandler;                                                                          \
        return WEFT_MPI_RAISE(weft__mpi_enter_any_time(WEFT_MPI_HERE), NULL, class, "handle 0x%zx", \
                              weft__mpi_handle_value(object));                                     \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

NO_OBJECT(MPI_Win_set_errhandler, MPI_Win, MPI_ERR_WIN, MPI_Errhandler errhandler);
NO_OBJECT(MPI_Win_get_errhandler, MPI_Win, MPI_ERR_WIN, MPI_Errhandler *errhandler);
NO_OBJECT(MPI_Win_call_errhandler, MPI_Win, MPI_ERR_WIN, int errhandler);
NO_OBJECT(MPI_Session_set_errhandler, MPI_Session, MPI_ERR_SESSION, MPI_Errhandler errhandler);
NO_OBJECT(MPI_Session_get_errhandler, MPI_Session, MPI_ERR_SESSION, MPI_Errhandler *errhandler);
NO_OBJECT(MPI_Session_call_errhandler, MPI_Session, MPI_ERR_SESSION, int errhandler);
/* clang-format on */
