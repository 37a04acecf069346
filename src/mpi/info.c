/* Info objects.
 *
 * A few keys each, so a list in one array, searched from the start. All may be used before MPI_Init
 * and after MPI_Finalize. MPI_INFO_ENV is made when it is first looked at, cannot be changed, and
 * says how the rank was started: a move does not change it.
 */
#include "mpi/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/heap.h"
#include "mpi/error.h"

struct entry {
    char *key, *value; /* one block */
};

struct weft_mpi_info {
    struct entry *entries;
    int n, max;
    bool constant;
};

static int index_of(const struct weft_mpi_info *info, const char *key)
{
    for (int i = 0; info && i < info->n; i++)
        if (strcmp(info->entries[i].key, key) == 0)
            return i;
    return -1;
}

const char *weft__mpi_info_value(const struct weft_mpi_info *info, const char *key)
{
    int i = index_of(info, key);
    return i < 0 ? NULL : info->entries[i].value;
}

struct weft_mpi_info *weft__mpi_info_new(struct weft_mpi *mpi)
{
    return weft__heap_calloc(mpi->cell->heap, 1, sizeof(struct weft_mpi_info));
}

void weft__mpi_info_free(struct weft_mpi *mpi, struct weft_mpi_info *info)
{
    if (!info)
        return;
    for (int i = 0; i < info->n; i++)
        weft__heap_free(mpi->cell->heap, info->entries[i].key);
    weft__heap_free(mpi->cell->heap, info->entries);
    weft__heap_free(mpi->cell->heap, info);
}

static bool grow(struct weft_mpi *mpi, struct weft_mpi_info *info)
{
    if (info->n < info->max)
        return true;
    int max = info->max ? 2 * info->max : 4;
    struct entry *entries =
        weft__heap_realloc(mpi->cell->heap, info->entries, (size_t)max * sizeof(*entries));
    if (!entries)
        return false;
    info->entries = entries;
    info->max = max;
    return true;
}

int weft__mpi_info_put(struct weft_mpi *mpi, struct weft_mpi_info *info, const char *key,
                       const char *value)
{
    size_t key_len = strlen(key) + 1, value_len = strlen(value) + 1;
    char *block = weft__heap_alloc(mpi->cell->heap, key_len + value_len);
    int i = index_of(info, key);
    if (!block || (i < 0 && !grow(mpi, info))) {
        weft__heap_free(mpi->cell->heap, block);
        return MPI_ERR_NO_MEM;
    }
    memcpy(block, key, key_len);
    memcpy(block + key_len, value, value_len);
    if (i < 0)
        i = info->n++;
    else
        weft__heap_free(mpi->cell->heap, info->entries[i].key);
    info->entries[i] = (struct entry){.key = block, .value = block + key_len};
    return MPI_SUCCESS;
}

int weft__mpi_info_merge(struct weft_mpi *mpi, struct weft_mpi_info *info,
                         const struct weft_mpi_info *from)
{
    int err = MPI_SUCCESS;
    for (int i = 0; from && i < from->n && !err; i++)
        err = weft__mpi_info_put(mpi, info, from->entries[i].key, from->entries[i].value);
    return err;
}

struct weft_mpi_info *weft__mpi_info_copy(struct weft_mpi *mpi, const struct weft_mpi_info *from)
{
    struct weft_mpi_info *info = weft__mpi_info_new(mpi);
    if (!info || !weft__mpi_info_merge(mpi, info, from))
        return info;
    weft__mpi_info_free(mpi, info);
    return NULL;
}

/* ---- how the rank was started ---- */

struct env {
    const char *command, *argv; /* NULL: not known */
};

static int put_env(struct weft_mpi *mpi, struct weft_mpi_info *info, const struct env *env)
{
    char text[MPI_MAX_INFO_VAL];
    struct utsname machine;
    int err = MPI_SUCCESS;
    snprintf(text, sizeof(text), "%d", mpi->cell->size);
    if (env->command && env->command[0])
        err = weft__mpi_info_put(mpi, info, "command", env->command);
    if (!err && env->argv)
        err = weft__mpi_info_put(mpi, info, "argv", env->argv);
    if (!err)
        err = weft__mpi_info_put(mpi, info, "maxprocs", text);
    if (!err && uname(&machine) == 0)
        err = weft__mpi_info_put(mpi, info, "arch", machine.machine);
    if (!err && mpi->cell->calls->info(mpi->cell, WEFT_INFO_HOST_NAME, text, sizeof(text)) >= 0)
        err = weft__mpi_info_put(mpi, info, "host", text);
    if (!err && getcwd(text, sizeof(text)))
        err = weft__mpi_info_put(mpi, info, "wdir", text);
    return err;
}

static struct weft_mpi_info *new_env(struct weft_mpi *mpi, const struct env *env)
{
    struct weft_mpi_info *info = weft__mpi_info_new(mpi);
    if (!info || !put_env(mpi, info, env))
        return info;
    weft__mpi_info_free(mpi, info);
    return NULL;
}

/* ---- handles ---- */

static struct weft_mpi_info *find(struct weft_mpi *mpi, MPI_Info handle)
{
    if (handle != MPI_INFO_ENV)
        return weft__mpi_table_find(&mpi->infos, weft__mpi_handle_value(handle),
                                    WEFT_MPI_INFO_KIND);
    const struct env env = {.command = program_invocation_name};
    if (!mpi->env && (mpi->env = new_env(mpi, &env)) != NULL)
        mpi->env->constant = true;
    return mpi->env;
}

MPI_Info weft__mpi_info_publish(struct weft_mpi *mpi, struct weft_mpi_info *info)
{
    int32_t index = weft__mpi_table_add(&mpi->infos, mpi->cell->heap, info);
    if (index < 0)
        return NULL;
    return (MPI_Info)weft__mpi_table_handle(index, WEFT_MPI_INFO_KIND);
}

void weft__mpi_info_fini(struct weft_mpi *mpi)
{
    weft__mpi_info_free(mpi, mpi->env);
    mpi->env = NULL;
    if (mpi->infos.used == 0)
        weft__mpi_table_fini(&mpi->infos, mpi->cell->heap);
}

int weft__mpi_info_get(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                       MPI_Info handle, struct weft_mpi_info **info_out)
{
    struct weft_mpi_info *info = handle == MPI_INFO_NULL ? NULL : find(mpi, handle);
    if (handle != MPI_INFO_NULL && !info)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_INFO, where, "handle 0x%zx",
                                     weft__mpi_handle_value(handle));
    *info_out = info;
    return MPI_SUCCESS;
}

/* ---- as the program calls it ---- */

static int get(struct weft_mpi *mpi, const char *where, MPI_Info handle,
               struct weft_mpi_info **info_out)
{
    *info_out = find(mpi, handle);
    if (*info_out)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_INFO, where, "handle 0x%zx",
                                 weft__mpi_handle_value(handle));
}

static int get_changeable(struct weft_mpi *mpi, const char *where, MPI_Info handle,
                          struct weft_mpi_info **info_out)
{
    int err = get(mpi, where, handle, info_out);
    if (*info_out && (*info_out)->constant)
        err =
            weft__mpi_error_raise(mpi, NULL, MPI_ERR_INFO, where, "MPI_INFO_ENV cannot be changed");
    return err;
}

static int check_key(struct weft_mpi *mpi, const char *where, const char *key)
{
    size_t len = key ? strnlen(key, MPI_MAX_INFO_KEY) : 0;
    if (len > 0 && len < MPI_MAX_INFO_KEY)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_INFO_KEY, where,
                                 "a key has 1 to %d characters, not %zu", MPI_MAX_INFO_KEY - 1,
                                 len);
}

/* Gives a new object to the program, or says that there was no room for it. */
static int hand_out(struct weft_mpi *mpi, const char *where, struct weft_mpi_info *info,
                    MPI_Info *handle_out)
{
    MPI_Info handle = info ? weft__mpi_info_publish(mpi, info) : NULL;
    if (!handle) {
        weft__mpi_info_free(mpi, info);
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "no room for it");
    }
    *handle_out = handle;
    return MPI_SUCCESS;
}

int PMPI_Info_create(MPI_Info *info)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    return hand_out(mpi, WEFT_MPI_HERE, weft__mpi_info_new(mpi), info);
}
WEFT_MPI_EXPORT(MPI_Info_create);

int PMPI_Info_create_env(int argc, char *argv[], MPI_Info *info)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    char text[MPI_MAX_INFO_VAL];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 1; i < argc && argv && argv[i]; i++) {
        size_t len = strlen(argv[i]);
        if (used + len + 2 > sizeof(text))
            break;
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", argv[i]);
    }
    const struct env env = {.command =
                                argc > 0 && argv && argv[0] ? argv[0] : program_invocation_name,
                            .argv = used > 0 ? text : NULL};
    return hand_out(mpi, WEFT_MPI_HERE, new_env(mpi, &env), info);
}
WEFT_MPI_EXPORT(MPI_Info_create_env);

int PMPI_Info_dup(MPI_Info info, MPI_Info *newinfo)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *from;
    int err = get(mpi, WEFT_MPI_HERE, info, &from);
    return err ? err : hand_out(mpi, WEFT_MPI_HERE, weft__mpi_info_copy(mpi, from), newinfo);
}
WEFT_MPI_EXPORT(MPI_Info_dup);

int PMPI_Info_free(MPI_Info *info)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *own;
    int err = get_changeable(mpi, WEFT_MPI_HERE, *info, &own);
    if (err)
        return err;
    weft__mpi_table_remove(&mpi->infos, weft__mpi_table_index(weft__mpi_handle_value(*info)));
    weft__mpi_info_free(mpi, own);
    *info = MPI_INFO_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_free);

int PMPI_Info_set(MPI_Info info, const char *key, const char *value)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *own;
    int err = get_changeable(mpi, WEFT_MPI_HERE, info, &own);
    if (!err)
        err = check_key(mpi, WEFT_MPI_HERE, key);
    if (err)
        return err;
    if (!value || strnlen(value, MPI_MAX_INFO_VAL) == MPI_MAX_INFO_VAL)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_INFO_VALUE,
                              "a value has at most %d characters (key '%s')", MPI_MAX_INFO_VAL - 1,
                              key);
    err = weft__mpi_info_put(mpi, own, key, value);
    return err ? WEFT_MPI_RAISE(mpi, NULL, err, "no room for key '%s'", key) : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_set);

int PMPI_Info_delete(MPI_Info info, const char *key)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *own;
    int err = get_changeable(mpi, WEFT_MPI_HERE, info, &own);
    if (!err)
        err = check_key(mpi, WEFT_MPI_HERE, key);
    if (err)
        return err;
    int i = index_of(own, key);
    if (i < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_INFO_NOKEY, "key '%s'", key);
    weft__heap_free(mpi->cell->heap, own->entries[i].key);
    own->n--;
    memmove(&own->entries[i], &own->entries[i + 1], (size_t)(own->n - i) * sizeof(own->entries[0]));
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_delete);

/* The value of a key that the program asks for; *value_out NULL: there is none. */
static int look_up(struct weft_mpi *mpi, const char *where, MPI_Info info, const char *key,
                   const char **value_out)
{
    struct weft_mpi_info *own;
    int err = get(mpi, where, info, &own);
    if (!err)
        err = check_key(mpi, where, key);
    if (!err)
        *value_out = weft__mpi_info_value(own, key);
    return err;
}

/* At most size - 1 characters and a zero. */
static void copy_text(char *into, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(into, text, len);
    into[len] = '\0';
}

int PMPI_Info_get(MPI_Info info, const char *key, int valuelen, char *value, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    const char *text;
    int err = look_up(mpi, WEFT_MPI_HERE, info, key, &text);
    if (err)
        return err;
    if (valuelen < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "valuelen %d", valuelen);
    *flag = text != NULL;
    if (text)
        copy_text(value, (size_t)valuelen + 1, text);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_get);

int PMPI_Info_get_string(MPI_Info info, const char *key, int *buflen, char *value, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    const char *text;
    int err = look_up(mpi, WEFT_MPI_HERE, info, key, &text);
    if (err)
        return err;
    if (*buflen < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "buflen %d", *buflen);
    *flag = text != NULL;
    if (!text)
        return MPI_SUCCESS;
    if (*buflen > 0)
        copy_text(value, (size_t)*buflen, text);
    *buflen = (int)strlen(text) + 1;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_get_string);

int PMPI_Info_get_valuelen(MPI_Info info, const char *key, int *valuelen, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    const char *text;
    int err = look_up(mpi, WEFT_MPI_HERE, info, key, &text);
    if (err)
        return err;
    *flag = text != NULL;
    if (text)
        *valuelen = (int)strlen(text);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_get_valuelen);

int PMPI_Info_get_nkeys(MPI_Info info, int *nkeys)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *own;
    int err = get(mpi, WEFT_MPI_HERE, info, &own);
    if (!err)
        *nkeys = own->n;
    return err;
}
WEFT_MPI_EXPORT(MPI_Info_get_nkeys);

int PMPI_Info_get_nthkey(MPI_Info info, int n, char *key)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(WEFT_MPI_HERE);
    struct weft_mpi_info *own;
    int err = get(mpi, WEFT_MPI_HERE, info, &own);
    if (err)
        return err;
    if (n < 0 || n >= own->n)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "key number %d of %d", n, own->n);
    copy_text(key, MPI_MAX_INFO_KEY, own->entries[n].key);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Info_get_nthkey);
