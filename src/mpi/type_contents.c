/* How a datatype was made: kept with it, and told by MPI_Type_get_envelope and
 * MPI_Type_get_contents. */
#include <limits.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/state.h"
#include "mpi/type_input.h"

static enum weft_mpi_values_kind kind_of(const struct weft_mpi_input *input, int i)
{
    enum weft_mpi_values_kind kind = input->values[i].kind;
    if (kind == WEFT_MPI_INTEGERS || !input->large)
        return kind == WEFT_MPI_COUNTS ? WEFT_MPI_INTEGERS : kind;
    return WEFT_MPI_COUNTS;
}

/* How many of each kind. */
static void count_values(const struct weft_mpi_input *input, int64_t n_out[3])
{
    n_out[0] = n_out[1] = n_out[2] = 0;
    for (int i = 0; i < input->values_n; i++)
        n_out[kind_of(input, i)] += input->values[i].n;
}

static struct weft_mpi_contents *new_contents(struct weft_mpi *mpi, const int64_t n[3],
                                              int64_t types_n)
{
    size_t longs = (size_t)(n[WEFT_MPI_COUNTS] + n[WEFT_MPI_ADDRESSES]);
    size_t ints = (size_t)(n[WEFT_MPI_INTEGERS] + types_n);
    struct weft_mpi_contents *contents = weft__heap_alloc(
        mpi->cell->heap, sizeof(*contents) + longs * sizeof(int64_t) + ints * sizeof(int));
    if (!contents)
        return NULL;
    contents->integers_n = n[WEFT_MPI_INTEGERS];
    contents->addresses_n = n[WEFT_MPI_ADDRESSES];
    contents->larges_n = n[WEFT_MPI_COUNTS];
    contents->types_n = types_n;
    contents->addresses = (int64_t *)(void *)(contents + 1);
    contents->larges = contents->addresses + contents->addresses_n;
    contents->integers = (int *)(contents->larges + contents->larges_n);
    contents->types = (uint32_t *)(contents->integers + contents->integers_n);
    return contents;
}

struct weft_mpi_contents *weft__mpi_type_contents(struct weft_mpi *mpi,
                                                  const struct weft_mpi_input *input)
{
    int64_t n[3], done[3] = {0};
    count_values(input, n);
    struct weft_mpi_contents *contents = new_contents(mpi, n, input->types_n);
    if (!contents)
        return NULL;
    contents->combiner = input->combiner;
    for (int i = 0; i < input->values_n; i++) {
        enum weft_mpi_values_kind kind = kind_of(input, i);
        int64_t *longs = kind == WEFT_MPI_COUNTS ? contents->larges : contents->addresses;
        for (int64_t j = 0; j < input->values[i].n; j++, done[kind]++) {
            int64_t value = weft__mpi_values_at(&input->values[i], j);
            if (kind == WEFT_MPI_INTEGERS)
                contents->integers[done[kind]] = (int)value;
            else
                longs[done[kind]] = value;
        }
    }
    for (int64_t i = 0; i < input->types_n; i++)
        contents->types[i] = weft__mpi_type_hold(mpi, weft__mpi_type_number(input->types[i]));
    return contents;
}

/* ---- told ---- */

struct envelope {
    int64_t integers, addresses, larges, types;
    int combiner;
};

static int envelope(const char *where, MPI_Datatype datatype, struct envelope *out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where,
                                     "handle 0x%zx is not a datatype",
                                     weft__mpi_handle_value(datatype));
    const struct weft_mpi_contents *c = type->contents;
    *out = (struct envelope){.combiner = MPI_COMBINER_NAMED};
    if (c)
        *out =
            (struct envelope){c->integers_n, c->addresses_n, c->larges_n, c->types_n, c->combiner};
    return MPI_SUCCESS;
}

int PMPI_Type_get_envelope_c(MPI_Datatype datatype, MPI_Count *num_integers,
                             MPI_Count *num_addresses, MPI_Count *num_large_counts,
                             MPI_Count *num_datatypes, int *combiner)
{
    struct envelope e = {0};
    int err = envelope(WEFT_MPI_HERE, datatype, &e);
    if (err)
        return err;
    *num_integers = e.integers;
    *num_addresses = e.addresses;
    *num_large_counts = e.larges;
    *num_datatypes = e.types;
    *combiner = e.combiner;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_envelope_c);

/* lint: the standard's parameters */
int PMPI_Type_get_envelope(MPI_Datatype datatype, int *num_integers, int *num_addresses,
                           int *num_datatypes, int *combiner)
{
    struct envelope e = {0};
    int err = envelope(WEFT_MPI_HERE, datatype, &e);
    if (err)
        return err;
    if (e.larges > 0)
        return WEFT_MPI_RAISE(weft__mpi_enter(WEFT_MPI_HERE), NULL, MPI_ERR_TYPE,
                              "the type was made with large counts: MPI_Type_get_envelope_c");
    *num_integers = (int)e.integers;
    *num_addresses = (int)e.addresses;
    *num_datatypes = (int)e.types;
    *combiner = e.combiner;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_envelope);

/* Room for each kind, and where it is. */
struct room {
    MPI_Count integers_n, addresses_n, larges_n, types_n;
    int *integers;
    MPI_Aint *addresses;
    MPI_Count *larges;
    MPI_Datatype *types;
};

/* The program holds what it is given, as if it had made it. */
static void give_types(struct weft_mpi *mpi, const struct weft_mpi_contents *c, MPI_Datatype *types)
{
    for (int64_t i = 0; i < c->types_n; i++) {
        uint32_t number = weft__mpi_type_hold(mpi, c->types[i]);
        if (weft__mpi_type_is_derived(number))
            weft__mpi_type_derived(mpi, number)->users++;
        types[i] = weft__mpi_type_handle(number);
    }
}

static int contents(const char *where, MPI_Datatype datatype, const struct room *room)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    const struct weft_mpi_contents *c = type ? type->contents : NULL;
    if (!c)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where,
                                     "handle 0x%zx is not a derived datatype",
                                     weft__mpi_handle_value(datatype));
    if (room->integers_n < c->integers_n || room->addresses_n < c->addresses_n ||
        room->larges_n < c->larges_n || room->types_n < c->types_n)
        return weft__mpi_error_raise(
            mpi, NULL, MPI_ERR_ARG, where,
            "no room for %lld integers, %lld addresses, %lld large counts and %lld datatypes",
            (long long)c->integers_n, (long long)c->addresses_n, (long long)c->larges_n,
            (long long)c->types_n);
    for (int64_t i = 0; i < c->integers_n; i++)
        room->integers[i] = c->integers[i];
    for (int64_t i = 0; i < c->addresses_n; i++)
        room->addresses[i] = c->addresses[i];
    for (int64_t i = 0; i < c->larges_n; i++)
        room->larges[i] = c->larges[i];
    give_types(mpi, c, room->types);
    return MPI_SUCCESS;
}

/* NOLINTBEGIN(readability-non-const-parameter): room for results
 * lint: the standard's parameters */
int PMPI_Type_get_contents(MPI_Datatype datatype, int max_integers, int max_addresses,
                           int max_datatypes, int array_of_integers[],
                           MPI_Aint array_of_addresses[], MPI_Datatype array_of_datatypes[])
{
    const struct room room = {max_integers,      max_addresses,      0,    max_datatypes,
                              array_of_integers, array_of_addresses, NULL, array_of_datatypes};
    return contents(WEFT_MPI_HERE, datatype, &room);
}
WEFT_MPI_EXPORT(MPI_Type_get_contents);

/* lint: the standard's parameters */
int PMPI_Type_get_contents_c(MPI_Datatype datatype, MPI_Count max_integers, MPI_Count max_addresses,
                             MPI_Count max_large_counts, MPI_Count max_datatypes,
                             int array_of_integers[], MPI_Aint array_of_addresses[],
                             MPI_Count array_of_large_counts[], MPI_Datatype array_of_datatypes[])
{
    const struct room room = {max_integers,          max_addresses,     max_large_counts,
                              max_datatypes,         array_of_integers, array_of_addresses,
                              array_of_large_counts, array_of_datatypes};
    return contents(WEFT_MPI_HERE, datatype, &room);
}
WEFT_MPI_EXPORT(MPI_Type_get_contents_c);
/* NOLINTEND(readability-non-const-parameter) */
