/* Attributes.
 *
 * An object has a list, latest first; it is short, and deleting in that order is what the standard
 * wants where it wants any. A key is kept by its attributes: freed by the program it still works
 * for what hangs on it. Callbacks are the program's code, kept as addresses, which mean the same on
 * every host. Predefined callbacks are values, not code. A callback may call MPI, on the same
 * object too: nothing of the list is kept across one but the attribute at hand, which is looked for
 * again.
 *
 * The values of predefined attributes lie in the rank's state, since the program gets their
 * addresses.
 */
#include "mpi/attr.h"

#include "base/heap.h"
#include "mpi/error.h"

union copy {
    MPI_Comm_copy_attr_function *comm;
    MPI_Type_copy_attr_function *type;
    MPI_Win_copy_attr_function *win;
    uintptr_t value;
};

union delete
{
    MPI_Comm_delete_attr_function *comm;
    MPI_Type_delete_attr_function *type;
    MPI_Win_delete_attr_function *win;
    uintptr_t value;
};
#define NOTHING 0u   /* *_NULL_COPY_FN, *_NULL_DELETE_FN */
#define DUPLICATE 1u /* *_DUP_FN */

/* Without gaps, as all that lies in the rank's range: bits of the stack must not stay there. */
struct keyval {
    enum weft_mpi_attr_kind kind;
    uint32_t freed; /* by the program */
    union copy copy;
    union delete delete;
    void *extra;
    int number;
    uint32_t attrs; /* that have it */
};

struct weft_mpi_attr {
    struct weft_mpi_attr *next;
    struct keyval *keyval;
    void *value;
};

/* ---- keys ---- */

static struct keyval *find_key(struct weft_mpi *mpi, int number, enum weft_mpi_attr_kind kind)
{
    struct keyval *keyval =
        number < 0 ? NULL
                   : weft__mpi_table_find(&mpi->keyvals, (uintptr_t)number, WEFT_MPI_KEYVAL_KIND);
    return keyval && keyval->kind == kind ? keyval : NULL;
}

static void free_unused(struct weft_mpi *mpi, struct keyval *keyval)
{
    if (!keyval->freed || keyval->attrs > 0)
        return;
    weft__mpi_table_remove(&mpi->keyvals, weft__mpi_table_index((uintptr_t)keyval->number));
    weft__heap_free(mpi->cell->heap, keyval);
}

static int create_key(const char *where, const struct keyval *desc, int *number_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct keyval *keyval = weft__heap_alloc(mpi->cell->heap, sizeof(*keyval));
    int32_t index =
        keyval ? weft__mpi_table_add(&mpi->keyvals, mpi->cell->heap, keyval) : (int32_t)-1;
    if (index < 0) {
        weft__heap_free(mpi->cell->heap, keyval);
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "no room for a key");
    }
    *keyval = *desc;
    keyval->number = (int)weft__mpi_table_handle(index, WEFT_MPI_KEYVAL_KIND);
    *number_out = keyval->number;
    return MPI_SUCCESS;
}

static int raise_key(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                     int number)
{
    return weft__mpi_error_raise(mpi, comm, MPI_ERR_KEYVAL, where, "key %d", number);
}

/* A key that attributes still keep may be freed again: callbacks free their own key. */
static int free_key(const char *where, int *number, enum weft_mpi_attr_kind kind)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct keyval *keyval = find_key(mpi, *number, kind);
    if (!keyval)
        return raise_key(mpi, NULL, where, *number);
    keyval->freed = 1;
    free_unused(mpi, keyval);
    *number = MPI_KEYVAL_INVALID;
    return MPI_SUCCESS;
}

void weft__mpi_attr_fini(struct weft_mpi *mpi)
{
    for (uint32_t i = 0; i < mpi->keyvals.len; i++)
        weft__heap_free(mpi->cell->heap, weft__mpi_table_at(&mpi->keyvals, i));
    weft__mpi_table_fini(&mpi->keyvals, mpi->cell->heap);
}

/* ---- callbacks ---- */

/* *flag_out: whether the new object gets the value. */
static int call_copy(const struct weft_mpi_attr *attr, void *handle, void **value_out,
                     int *flag_out)
{
    const struct keyval *key = attr->keyval;
    *flag_out = key->copy.value == DUPLICATE;
    *value_out = attr->value;
    if (key->copy.value == NOTHING || key->copy.value == DUPLICATE)
        return MPI_SUCCESS;
    switch (key->kind) {
    case WEFT_MPI_ATTR_COMM:
        return key->copy.comm(handle, key->number, key->extra, attr->value, value_out, flag_out);
    case WEFT_MPI_ATTR_TYPE:
        return key->copy.type(handle, key->number, key->extra, attr->value, value_out, flag_out);
    default:
        return key->copy.win(handle, key->number, key->extra, attr->value, value_out, flag_out);
    }
}

static int call_delete(const struct weft_mpi_attr *attr, void *handle)
{
    const struct keyval *key = attr->keyval;
    if (key->delete.value == NOTHING)
        return MPI_SUCCESS;
    switch (key->kind) {
    case WEFT_MPI_ATTR_COMM:
        return key->delete.comm(handle, key->number, attr->value, key->extra);
    case WEFT_MPI_ATTR_TYPE:
        return key->delete.type(handle, key->number, attr->value, key->extra);
    default:
        return key->delete.win(handle, key->number, attr->value, key->extra);
    }
}

/* ---- lists ---- */

/* Where the list names this attribute; NULL: nowhere any more. */
static struct weft_mpi_attr **place_of(struct weft_mpi_attr **list,
                                       const struct weft_mpi_attr *attr)
{
    while (*list && *list != attr)
        list = &(*list)->next;
    return *list ? list : NULL;
}

static struct weft_mpi_attr *find(struct weft_mpi_attr *list, const struct keyval *keyval)
{
    while (list && list->keyval != keyval)
        list = list->next;
    return list;
}

/* Takes it out without a callback. */
static void drop(struct weft_mpi *mpi, struct weft_mpi_attr **place)
{
    struct weft_mpi_attr *attr = *place;
    *place = attr->next;
    attr->keyval->attrs--;
    free_unused(mpi, attr->keyval);
    weft__heap_free(mpi->cell->heap, attr);
}

/* Makes one behind what the place names so far.  NULL: the region is full. */
static struct weft_mpi_attr *add(struct weft_mpi *mpi, struct weft_mpi_attr **place,
                                 struct keyval *keyval, void *value)
{
    struct weft_mpi_attr *attr = weft__heap_alloc(mpi->cell->heap, sizeof(*attr));
    if (!attr)
        return NULL;
    *attr = (struct weft_mpi_attr){.next = *place, .keyval = keyval, .value = value};
    keyval->attrs++;
    *place = attr;
    return attr;
}

/* With its callback, which may have deleted it itself. */
static int delete (struct weft_mpi *mpi, const struct weft_mpi_attr_owner *owner,
                   struct weft_mpi_attr *attr)
{
    int err = call_delete(attr, owner->handle);
    struct weft_mpi_attr **place = err ? NULL : place_of(owner->list, attr);
    if (place)
        drop(mpi, place);
    return err;
}

int weft__mpi_attr_copy(struct weft_mpi *mpi, const struct weft_mpi_attr_owner *from,
                        struct weft_mpi_attr **into)
{
    struct weft_mpi_attr *next;
    for (struct weft_mpi_attr *attr = *from->list; attr; attr = next) {
        void *value;
        int flag;
        struct keyval *keyval = attr->keyval;
        keyval->attrs++; /* whatever the callback deletes */
        int err = call_copy(attr, from->handle, &value, &flag);
        struct weft_mpi_attr *made = NULL;
        if (!err && flag && !(made = add(mpi, into, keyval, value)))
            err = MPI_ERR_NO_MEM;
        next = place_of(from->list, attr) ? attr->next : NULL;
        keyval->attrs--;
        free_unused(mpi, keyval);
        if (err)
            return err;
        if (made)
            into = &made->next;
    }
    return MPI_SUCCESS;
}

int weft__mpi_attr_delete_all(struct weft_mpi *mpi, const struct weft_mpi_attr_owner *owner)
{
    int err = MPI_SUCCESS;
    while (*owner->list && !err)
        err = delete (mpi, owner, *owner->list);
    return err;
}

void weft__mpi_attr_drop_all(struct weft_mpi *mpi, struct weft_mpi_attr **list)
{
    while (*list)
        drop(mpi, list);
}

static int set(struct weft_mpi *mpi, const struct weft_mpi_attr_owner *owner, struct keyval *keyval,
               void *value)
{
    struct weft_mpi_attr *old = find(*owner->list, keyval);
    int err = old ? call_delete(old, owner->handle) : MPI_SUCCESS;
    if (err)
        return err;
    if (old && place_of(owner->list, old)) {
        old->value = value;
        return MPI_SUCCESS;
    }
    return add(mpi, owner->list, keyval, value) ? MPI_SUCCESS : MPI_ERR_NO_MEM;
}

/* ---- one attribute ---- */

static int raise_failed(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                        int err)
{
    if (err == MPI_ERR_NO_MEM)
        return weft__mpi_error_raise(mpi, comm, err, where, "no room for an attribute");
    return weft__mpi_error_raise(mpi, comm, err, where, "an attribute's callback returned %d", err);
}

static bool is_predefined(int number)
{
    return number >= MPI_TAG_UB && number <= MPI_UNIVERSE_SIZE;
}

static void *predefined(struct weft_mpi *mpi, int number)
{
    int *value = &mpi->attr_values[number - MPI_TAG_UB];
    switch (number) {
    case MPI_TAG_UB:
        *value = WEFT_MPI_TAG_UB;
        break;
    case MPI_IO:
        *value = MPI_ANY_SOURCE;
        break;
    case MPI_HOST:
        *value = MPI_PROC_NULL;
        break;
    case MPI_WTIME_IS_GLOBAL:
        *value = 0;
        break;
    case MPI_LASTUSEDCODE:
        *value = weft__mpi_error_last(mpi);
        break;
    case MPI_UNIVERSE_SIZE:
        *value = mpi->cell->size;
        break;
    default: /* MPI_APPNUM */
        *value = 0;
        break;
    }
    return value;
}

/* lint: five and a value */
int weft__mpi_attr_set(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct weft_mpi_attr_owner *owner, int number, void *value)
{
    struct keyval *keyval = find_key(mpi, number, owner->kind);
    if (!keyval || keyval->freed)
        return raise_key(mpi, comm, where, number);
    keyval->attrs++; /* whatever the callback deletes */
    int err = set(mpi, owner, keyval, value);
    keyval->attrs--;
    free_unused(mpi, keyval);
    return err ? raise_failed(mpi, comm, where, err) : MPI_SUCCESS;
}

/* lint: five and two results */
int weft__mpi_attr_get(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct weft_mpi_attr_owner *owner, int number, void *value_out,
                       int *flag_out)
{
    if (owner->kind == WEFT_MPI_ATTR_COMM && is_predefined(number)) {
        *(void **)value_out = predefined(mpi, number);
        *flag_out = 1;
        return MPI_SUCCESS;
    }
    const struct keyval *keyval = find_key(mpi, number, owner->kind);
    if (!keyval)
        return raise_key(mpi, comm, where, number);
    const struct weft_mpi_attr *attr = find(*owner->list, keyval);
    if (attr)
        *(void **)value_out = attr->value;
    *flag_out = attr != NULL;
    return MPI_SUCCESS;
}

int weft__mpi_attr_delete(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                          const struct weft_mpi_attr_owner *owner, int number)
{
    const struct keyval *keyval = find_key(mpi, number, owner->kind);
    struct weft_mpi_attr *attr = keyval ? find(*owner->list, keyval) : NULL;
    if (!attr)
        return raise_key(mpi, comm, where, number);
    int err = delete (mpi, owner, attr);
    return err ? raise_failed(mpi, comm, where, err) : MPI_SUCCESS;
}

/* ---- as the program calls it, on communicators ---- */

static int comm_owner(struct weft_mpi *mpi, const char *where, MPI_Comm handle,
                      struct weft_mpi_comm **comm_out, struct weft_mpi_attr_owner *owner_out)
{
    int err = weft__mpi_comm_get(mpi, where, handle, comm_out);
    if (!err)
        *owner_out = (struct weft_mpi_attr_owner){WEFT_MPI_ATTR_COMM, handle, &(*comm_out)->attrs};
    return err;
}

static int comm_set(const char *where, MPI_Comm handle, int number, void *value)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm;
    struct weft_mpi_attr_owner owner;
    int err = comm_owner(mpi, where, handle, &comm, &owner);
    return err ? err : weft__mpi_attr_set(mpi, where, comm, &owner, number, value);
}

static int comm_get(const char *where, MPI_Comm handle, int number, void *value_out, int *flag_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm;
    struct weft_mpi_attr_owner owner;
    int err = comm_owner(mpi, where, handle, &comm, &owner);
    return err ? err : weft__mpi_attr_get(mpi, where, comm, &owner, number, value_out, flag_out);
}

static int comm_delete(const char *where, MPI_Comm handle, int number)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm;
    struct weft_mpi_attr_owner owner;
    int err = comm_owner(mpi, where, handle, &comm, &owner);
    return err ? err : weft__mpi_attr_delete(mpi, where, comm, &owner, number);
}

int PMPI_Comm_create_keyval(MPI_Comm_copy_attr_function *comm_copy_attr_fn,
                            MPI_Comm_delete_attr_function *comm_delete_attr_fn, int *comm_keyval,
                            void *extra_state)
{
    const struct keyval desc = {.kind = WEFT_MPI_ATTR_COMM,
                                .copy.comm = comm_copy_attr_fn,
                                .delete.comm = comm_delete_attr_fn,
                                .extra = extra_state};
    return create_key(WEFT_MPI_HERE, &desc, comm_keyval);
}
WEFT_MPI_EXPORT(MPI_Comm_create_keyval);

/* The functions of MPI-1 are those of communicators; the types of the callbacks are the same. */
int PMPI_Keyval_create(MPI_Copy_function *copy_fn, MPI_Delete_function *delete_fn, int *keyval,
                       void *extra_state)
{
    const struct keyval desc = {.kind = WEFT_MPI_ATTR_COMM,
                                .copy.comm = copy_fn,
                                .delete.comm = delete_fn,
                                .extra = extra_state};
    return create_key(WEFT_MPI_HERE, &desc, keyval);
}
WEFT_MPI_EXPORT(MPI_Keyval_create);

int PMPI_Type_create_keyval(MPI_Type_copy_attr_function *type_copy_attr_fn,
                            MPI_Type_delete_attr_function *type_delete_attr_fn, int *type_keyval,
                            void *extra_state)
{
    const struct keyval desc = {.kind = WEFT_MPI_ATTR_TYPE,
                                .copy.type = type_copy_attr_fn,
                                .delete.type = type_delete_attr_fn,
                                .extra = extra_state};
    return create_key(WEFT_MPI_HERE, &desc, type_keyval);
}
WEFT_MPI_EXPORT(MPI_Type_create_keyval);

int PMPI_Win_create_keyval(MPI_Win_copy_attr_function *win_copy_attr_fn,
                           MPI_Win_delete_attr_function *win_delete_attr_fn, int *win_keyval,
                           void *extra_state)
{
    const struct keyval desc = {.kind = WEFT_MPI_ATTR_WIN,
                                .copy.win = win_copy_attr_fn,
                                .delete.win = win_delete_attr_fn,
                                .extra = extra_state};
    return create_key(WEFT_MPI_HERE, &desc, win_keyval);
}
WEFT_MPI_EXPORT(MPI_Win_create_keyval);

/* clang-format off */
#define FREE_KEY(name, kind)                                                                       \
    int P##name(int *keyval)                                                                       \
    {                                                                                              \
        return free_key(#name, keyval, kind);                                                      \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

FREE_KEY(MPI_Comm_free_keyval, WEFT_MPI_ATTR_COMM);
FREE_KEY(MPI_Keyval_free, WEFT_MPI_ATTR_COMM);
FREE_KEY(MPI_Type_free_keyval, WEFT_MPI_ATTR_TYPE);
FREE_KEY(MPI_Win_free_keyval, WEFT_MPI_ATTR_WIN);

#define COMM_ATTR(set, get, delete)                                                                \
    int P##set(MPI_Comm comm, int keyval, void *value)                                             \
    {                                                                                              \
        return comm_set(#set, comm, keyval, value);                                                \
    }                                                                                              \
    WEFT_MPI_EXPORT(set);                                                                          \
    int P##get(MPI_Comm comm, int keyval, void *value, int *flag)                                  \
    {                                                                                              \
        return comm_get(#get, comm, keyval, value, flag);                                          \
    }                                                                                              \
    WEFT_MPI_EXPORT(get);                                                                          \
    int P##delete(MPI_Comm comm, int keyval)                                                       \
    {                                                                                              \
        return comm_delete(#delete, comm, keyval);                                                 \
    }                                                                                              \
    WEFT_MPI_EXPORT(delete)

COMM_ATTR(MPI_Comm_set_attr, MPI_Comm_get_attr, MPI_Comm_delete_attr);
COMM_ATTR(MPI_Attr_put, MPI_Attr_get, MPI_Attr_delete);
/* clang-format on */
