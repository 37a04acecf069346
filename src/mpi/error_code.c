/* Error classes and codes of the program, and the texts of all.
 *
 * They are numbered from MPI_ERR_LASTCODE + 1 on in one list: a class is a code whose class is
 * itself. What is removed leaves a hole that the next one fills, except at the end, where
 * MPI_LASTUSEDCODE goes down again. All of it may be used before MPI_Init and after MPI_Finalize.
 */
#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"

#define FIRST_CODE (MPI_ERR_LASTCODE + 1)
#define UNUSED 0
#define CODES_MAX 65536

struct code {
    int class; /* UNUSED: a hole */
    int gap;
    char *text; /* NULL: none */
};

struct weft_mpi_codes {
    int n, max; /* the last one of n is in use */
    struct code list[];
};

/* The program's code; NULL: not one. */
static struct code *find(const struct weft_mpi *mpi, int code)
{
    struct weft_mpi_codes *codes = mpi ? mpi->codes : NULL;
    if (!codes || code < FIRST_CODE || code - FIRST_CODE >= codes->n ||
        codes->list[code - FIRST_CODE].class == UNUSED)
        return NULL;
    return &codes->list[code - FIRST_CODE];
}

int weft__mpi_error_class(const struct weft_mpi *mpi, int code)
{
    const struct code *own = find(mpi, code);
    if (own)
        return own->class;
    return weft__mpi_error_class_text(code) ? code : MPI_ERR_UNKNOWN;
}

int weft__mpi_error_last(const struct weft_mpi *mpi)
{
    return mpi->codes && mpi->codes->n > 0 ? FIRST_CODE + mpi->codes->n - 1 : MPI_ERR_LASTCODE;
}

/* Room for one more.  NULL: there is none. */
static struct weft_mpi_codes *grow(struct weft_mpi *mpi)
{
    struct weft_mpi_codes *codes = mpi->codes;
    if (codes && codes->n < codes->max)
        return codes;
    int max = codes ? 2 * codes->max : 8;
    if (max > CODES_MAX)
        return NULL;
    struct weft_mpi_codes *grown = weft__heap_realloc(
        mpi->cell->heap, codes, sizeof(*grown) + (size_t)max * sizeof(grown->list[0]));
    if (!grown)
        return NULL;
    if (!codes)
        grown->n = 0;
    grown->max = max;
    mpi->codes = grown;
    return grown;
}

/* class UNUSED: it becomes a class of its own. 0: there is no room. */
static int add(struct weft_mpi *mpi, int class)
{
    struct weft_mpi_codes *codes = grow(mpi);
    if (!codes)
        return 0;
    int i = 0;
    while (i < codes->n && codes->list[i].class != UNUSED)
        i++;
    if (i == codes->n)
        codes->n++;
    int code = FIRST_CODE + i;
    codes->list[i] = (struct code){.class = class == UNUSED ? code : class};
    return code;
}

static void remove_code(struct weft_mpi *mpi, struct code *own)
{
    struct weft_mpi_codes *codes = mpi->codes;
    weft__heap_free(mpi->cell->heap, own->text);
    *own = (struct code){.class = UNUSED};
    while (codes->n > 0 && codes->list[codes->n - 1].class == UNUSED)
        codes->n--;
    if (codes->n > 0)
        return;
    weft__heap_free(mpi->cell->heap, codes);
    mpi->codes = NULL;
}

static bool has_codes(const struct weft_mpi *mpi, int class)
{
    for (int i = 0; i < mpi->codes->n; i++)
        if (mpi->codes->list[i].class == class && FIRST_CODE + i != class)
            return true;
    return false;
}

static int no_room(struct weft_mpi *mpi, const char *where)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "no room for it");
}

int PMPI_Add_error_class(int *errorclass)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    int class = add(mpi, UNUSED);
    if (!class)
        return no_room(mpi, WEFT_MPI_HERE);
    *errorclass = class;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Add_error_class);

int PMPI_Add_error_code(int errorclass, int *errorcode)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    const struct code *own = find(mpi, errorclass);
    if (own ? own->class != errorclass : !weft__mpi_error_class_text(errorclass))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "%d is not an error class", errorclass);
    int code = add(mpi, errorclass);
    if (!code)
        return no_room(mpi, WEFT_MPI_HERE);
    *errorcode = code;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Add_error_code);

int PMPI_Add_error_string(int errorcode, const char *string)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct code *own = find(mpi, errorcode);
    if (!own)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "%d is not an error code of the program",
                              errorcode);
    size_t len = strnlen(string, MPI_MAX_ERROR_STRING - 1);
    char *text = weft__heap_alloc(mpi->cell->heap, len + 1);
    if (!text)
        return no_room(mpi, WEFT_MPI_HERE);
    memcpy(text, string, len);
    text[len] = '\0';
    weft__heap_free(mpi->cell->heap, own->text);
    own->text = text;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Add_error_string);

int PMPI_Remove_error_string(int errorcode)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct code *own = find(mpi, errorcode);
    if (!own || !own->text)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "%d has no text of the program", errorcode);
    weft__heap_free(mpi->cell->heap, own->text);
    own->text = NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Remove_error_string);

int PMPI_Remove_error_code(int errorcode)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct code *own = find(mpi, errorcode);
    if (!own || own->class == errorcode || own->text)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG,
                              "%d is not an error code of the program, or has a text that must be "
                              "removed first",
                              errorcode);
    remove_code(mpi, own);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Remove_error_code);

int PMPI_Remove_error_class(int errorclass)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct code *own = find(mpi, errorclass);
    if (!own || own->class != errorclass || own->text || has_codes(mpi, errorclass))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG,
                              "%d is not an error class of the program, or has codes or a text "
                              "that must be removed first",
                              errorclass);
    remove_code(mpi, own);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Remove_error_class);

int PMPI_Error_class(int errorcode, int *errorclass)
{
    *errorclass = weft__mpi_error_class(weft__mpi_enter_any_time(WEFT_MPI_HERE), errorcode);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Error_class);

int PMPI_Error_string(int errorcode, char *string, int *resultlen)
{
    const struct code *own = find(weft__mpi_enter_any_time(WEFT_MPI_HERE), errorcode);
    const char *text = weft__mpi_error_class_text(errorcode);
    if (own)
        text = own->text ? own->text : "";
    if (text)
        *resultlen = snprintf(string, MPI_MAX_ERROR_STRING, "%s", text);
    else
        *resultlen = snprintf(string, MPI_MAX_ERROR_STRING, "unknown error code %d", errorcode);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Error_string);
