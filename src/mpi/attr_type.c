/* Attributes of datatypes, and of windows, of which there are none.
 *
 * Few types have any, and predefined ones lie in tables that do not change: so the lists hang in
 * one list of the rank, by the type's number.
 */
#include "base/heap.h"
#include "mpi/attr.h"
#include "mpi/error.h"
#include "mpi/type.h"

struct weft_mpi_type_attrs {
    struct weft_mpi_type_attrs *next;
    uint32_t number;
    struct weft_mpi_attr *list;
};

static struct weft_mpi_type_attrs *find(struct weft_mpi *mpi, uint32_t number)
{
    struct weft_mpi_type_attrs *attrs = mpi->type_attrs;
    while (attrs && attrs->number != number)
        attrs = attrs->next;
    return attrs;
}

/* NULL: the region is full. */
static struct weft_mpi_type_attrs *find_or_add(struct weft_mpi *mpi, uint32_t number)
{
    struct weft_mpi_type_attrs *attrs = find(mpi, number);
    if (attrs || !(attrs = weft__heap_calloc(mpi->cell->heap, 1, sizeof(*attrs))))
        return attrs;
    attrs->number = number;
    attrs->next = mpi->type_attrs;
    mpi->type_attrs = attrs;
    return attrs;
}

static void remove_empty(struct weft_mpi *mpi, uint32_t number)
{
    struct weft_mpi_type_attrs **place = &mpi->type_attrs, *attrs;
    while (*place && (*place)->number != number)
        place = &(*place)->next;
    if (!*place || (*place)->list)
        return;
    attrs = *place;
    *place = attrs->next;
    weft__heap_free(mpi->cell->heap, attrs);
}

static struct weft_mpi_attr_owner owner_of(uint32_t number, struct weft_mpi_attr **list)
{
    return (struct weft_mpi_attr_owner){WEFT_MPI_ATTR_TYPE, weft__mpi_type_handle(number), list};
}

int weft__mpi_attr_type_dup(struct weft_mpi *mpi, uint32_t from, uint32_t to)
{
    struct weft_mpi_type_attrs *old = find(mpi, from);
    struct weft_mpi_type_attrs *new = old ? find_or_add(mpi, to) : NULL;
    if (!old)
        return MPI_SUCCESS;
    if (!new)
        return MPI_ERR_NO_MEM;
    const struct weft_mpi_attr_owner owner = owner_of(from, &old->list);
    int err = weft__mpi_attr_copy(mpi, &owner, &new->list);
    remove_empty(mpi, to);
    return err;
}

int weft__mpi_attr_type_free(struct weft_mpi *mpi, uint32_t number)
{
    struct weft_mpi_type_attrs *attrs = find(mpi, number);
    if (!attrs)
        return MPI_SUCCESS;
    const struct weft_mpi_attr_owner owner = owner_of(number, &attrs->list);
    int err = weft__mpi_attr_delete_all(mpi, &owner);
    remove_empty(mpi, number);
    return err;
}

void weft__mpi_attr_type_fini(struct weft_mpi *mpi)
{
    while (mpi->type_attrs) {
        weft__mpi_attr_drop_all(mpi, &mpi->type_attrs->list);
        remove_empty(mpi, mpi->type_attrs->number);
    }
}

/* ---- as the program calls it ---- */

static int check_type(struct weft_mpi *mpi, const char *where, MPI_Datatype datatype)
{
    if (weft__mpi_type_find(mpi, datatype))
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where, "handle 0x%zx is not a datatype",
                                 weft__mpi_handle_value(datatype));
}

int PMPI_Type_set_attr(MPI_Datatype datatype, int type_keyval, void *attribute_val)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check_type(mpi, WEFT_MPI_HERE, datatype);
    if (err)
        return err;
    uint32_t number = weft__mpi_type_number(datatype);
    struct weft_mpi_type_attrs *attrs = find_or_add(mpi, number);
    if (!attrs)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_NO_MEM, "no room for an attribute");
    const struct weft_mpi_attr_owner owner = owner_of(number, &attrs->list);
    err = weft__mpi_attr_set(mpi, WEFT_MPI_HERE, NULL, &owner, type_keyval, attribute_val);
    remove_empty(mpi, number);
    return err;
}
WEFT_MPI_EXPORT(MPI_Type_set_attr);

int PMPI_Type_get_attr(MPI_Datatype datatype, int type_keyval, void *attribute_val, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check_type(mpi, WEFT_MPI_HERE, datatype);
    if (err)
        return err;
    uint32_t number = weft__mpi_type_number(datatype);
    struct weft_mpi_type_attrs *attrs = find(mpi, number);
    struct weft_mpi_attr *none = NULL;
    const struct weft_mpi_attr_owner owner = owner_of(number, attrs ? &attrs->list : &none);
    return weft__mpi_attr_get(mpi, WEFT_MPI_HERE, NULL, &owner, type_keyval, attribute_val, flag);
}
WEFT_MPI_EXPORT(MPI_Type_get_attr);

int PMPI_Type_delete_attr(MPI_Datatype datatype, int type_keyval)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    int err = check_type(mpi, WEFT_MPI_HERE, datatype);
    if (err)
        return err;
    uint32_t number = weft__mpi_type_number(datatype);
    struct weft_mpi_type_attrs *attrs = find(mpi, number);
    struct weft_mpi_attr *none = NULL;
    const struct weft_mpi_attr_owner owner = owner_of(number, attrs ? &attrs->list : &none);
    err = weft__mpi_attr_delete(mpi, WEFT_MPI_HERE, NULL, &owner, type_keyval);
    remove_empty(mpi, number);
    return err;
}
WEFT_MPI_EXPORT(MPI_Type_delete_attr);

/* clang-format off */
#define NO_WINDOW(name, ...)                                                                       \
    int P##name(MPI_Win win, int win_keyval, ##__VA_ARGS__)                                        \
    {                                                                                              \
        return WEFT_MPI_RAISE(weft__mpi_enter(WEFT_MPI_HERE), NULL, MPI_ERR_WIN,                   \
                              "handle 0x%zx (key %d)", weft__mpi_handle_value(win), win_keyval);   \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

#pragma GCC diagnostic ignored "-Wunused-parameter"
NO_WINDOW(MPI_Win_set_attr, void *attribute_val);
NO_WINDOW(MPI_Win_get_attr, void *attribute_val, int *flag);
NO_WINDOW(MPI_Win_delete_attr);
