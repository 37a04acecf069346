/* Error classes, their texts, and the way of an error to its handler.
 *
 * The library's error codes are error classes: a code carries no state, so it means the same after
 * a move and on every rank. What a class cannot say (which argument, which value) is in the text
 * that goes to the log with MPI_ERRORS_ARE_FATAL. An error that belongs to no communicator is
 * MPI_COMM_SELF's, as the standard has it since version 4; so a program that wants all errors back
 * sets MPI_ERRORS_RETURN on both predefined communicators.
 */
#include "mpi/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mpi/errhandler.h"
#include "mpi/stdio.h"

#define CLASSES 63
#define CLASS_TEXT 64

static const char class_texts[CLASSES][CLASS_TEXT] = {
    [MPI_SUCCESS] = "no error",
    [MPI_ERR_BUFFER] = "invalid buffer",
    [MPI_ERR_COUNT] = "invalid count",
    [MPI_ERR_TYPE] = "invalid datatype",
    [MPI_ERR_TAG] = "invalid tag",
    [MPI_ERR_COMM] = "invalid communicator",
    [MPI_ERR_RANK] = "invalid rank",
    [MPI_ERR_REQUEST] = "invalid request",
    [MPI_ERR_ROOT] = "invalid root",
    [MPI_ERR_GROUP] = "invalid group",
    [MPI_ERR_OP] = "invalid operation",
    [MPI_ERR_TOPOLOGY] = "invalid topology",
    [MPI_ERR_DIMS] = "invalid dimensions",
    [MPI_ERR_ARG] = "invalid argument",
    [MPI_ERR_UNKNOWN] = "unknown error",
    [MPI_ERR_TRUNCATE] = "message longer than the receive buffer",
    [MPI_ERR_OTHER] = "known error not in this list",
    [MPI_ERR_INTERN] = "internal error",
    [MPI_ERR_PENDING] = "request still pending",
    [MPI_ERR_IN_STATUS] = "error code is in the status",
    [MPI_ERR_ACCESS] = "permission denied",
    [MPI_ERR_AMODE] = "invalid access mode",
    [MPI_ERR_ASSERT] = "invalid assertion",
    [MPI_ERR_BAD_FILE] = "invalid file name",
    [MPI_ERR_BASE] = "invalid base address",
    [MPI_ERR_CONVERSION] = "data conversion failed",
    [MPI_ERR_DISP] = "invalid displacement",
    [MPI_ERR_DUP_DATAREP] = "data representation exists already",
    [MPI_ERR_FILE_EXISTS] = "file exists already",
    [MPI_ERR_FILE_IN_USE] = "file in use",
    [MPI_ERR_FILE] = "invalid file handle",
    [MPI_ERR_INFO_KEY] = "info key too long",
    [MPI_ERR_INFO_NOKEY] = "no such info key",
    [MPI_ERR_INFO_VALUE] = "info value too long",
    [MPI_ERR_INFO] = "invalid info object",
    [MPI_ERR_IO] = "input or output failed",
    [MPI_ERR_KEYVAL] = "invalid attribute key",
    [MPI_ERR_LOCKTYPE] = "invalid lock type",
    [MPI_ERR_NAME] = "service name not published",
    [MPI_ERR_NO_MEM] = "out of memory",
    [MPI_ERR_NOT_SAME] = "argument not the same on all ranks",
    [MPI_ERR_NO_SPACE] = "no space left",
    [MPI_ERR_NO_SUCH_FILE] = "no such file",
    [MPI_ERR_PORT] = "invalid port name",
    [MPI_ERR_QUOTA] = "quota exceeded",
    [MPI_ERR_READ_ONLY] = "read-only file or file system",
    [MPI_ERR_RMA_ATTACH] = "memory cannot be attached",
    [MPI_ERR_RMA_CONFLICT] = "conflicting accesses to a window",
    [MPI_ERR_RMA_RANGE] = "target memory is not in the window",
    [MPI_ERR_RMA_SHARED] = "memory cannot be shared",
    [MPI_ERR_RMA_SYNC] = "wrong synchronisation of a window",
    [MPI_ERR_SERVICE] = "invalid service name",
    [MPI_ERR_SIZE] = "invalid size",
    [MPI_ERR_SPAWN] = "processes cannot be started",
    [MPI_ERR_UNSUPPORTED_DATAREP] = "unsupported data representation",
    [MPI_ERR_UNSUPPORTED_OPERATION] = "unsupported operation",
    [MPI_ERR_WIN] = "invalid window",
    [MPI_ERR_RMA_FLAVOR] = "wrong flavor of window",
    [MPI_ERR_PROC_ABORTED] = "a peer process has aborted",
    [MPI_ERR_VALUE_TOO_LARGE] = "value too large",
    [MPI_ERR_SESSION] = "invalid session",
    [MPI_ERR_ERRHANDLER] = "invalid error handler",
    [MPI_ERR_ABI] = "ABI mismatch",
};

const char *weft__mpi_error_class_text(int code)
{
    return code >= 0 && code < CLASSES ? class_texts[code] : NULL;
}

/* An error on its way to its handler. */
struct error {
    int code;
    const char *where, *fmt;
    va_list *args;
};

static void compose(char *text, const struct weft_mpi *mpi, const char *where, int code)
{
    const char *class = weft__mpi_error_class_text(weft__mpi_error_class(mpi, code));
    snprintf(text, WEFT_MPI_TEXT_MAX, "rank %d: %s: %s", mpi->cell->rank, where,
             class ? class : "error");
}

static void append(char *text, const char *fmt, va_list args)
{
    size_t at = strlen(text);
    if (at + 3 >= WEFT_MPI_TEXT_MAX)
        return;
    memcpy(text + at, ": ", 3);
    vsnprintf(text + at + 2, WEFT_MPI_TEXT_MAX - at - 2, fmt, args);
}

/* What the handler of an object makes of an error. */
static int raise(struct weft_mpi *mpi, MPI_Errhandler handler, void *object,
                 const struct error *error)
{
    if (handler == MPI_ERRORS_RETURN)
        return error->code;
    if (weft__mpi_errhandler_call(mpi, handler, object, error->code))
        return error->code;
    char text[WEFT_MPI_TEXT_MAX];
    compose(text, mpi, error->where, error->code);
    append(text, error->fmt, *error->args);
    weft__mpi_stdio_end_app(mpi->cell, error->code, text);
}

/* lint: four and a text */
int weft__mpi_error_raise(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, int code,
                          const char *where, const char *fmt, ...)
{
    va_list args;
    if (!comm)
        comm = mpi->self; /* none before MPI_Init */
    va_start(args, fmt);
    const struct error error = {code, where, fmt, &args};
    code = raise(mpi, comm ? comm->errhandler : MPI_ERRORS_ARE_FATAL,
                 comm ? comm->handle : MPI_COMM_NULL, &error);
    va_end(args);
    return code;
}

int weft__mpi_error_raise_file(struct weft_mpi *mpi, int code, const char *where, const char *fmt,
                               ...)
{
    va_list args;
    va_start(args, fmt);
    const struct error error = {code, where, fmt, &args};
    code = raise(mpi, mpi->file_errhandler, MPI_FILE_NULL, &error);
    va_end(args);
    return code;
}

void weft__mpi_error_fatal(struct weft_mpi *mpi, int code, const char *fmt, ...)
{
    char text[WEFT_MPI_TEXT_MAX];
    va_list args;
    compose(text, mpi, "libmpi", code);
    va_start(args, fmt);
    append(text, fmt, args);
    va_end(args);
    weft__mpi_stdio_end_app(mpi->cell, code, text);
}
