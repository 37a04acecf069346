/* Type maps written out, entry by entry, made by the definitions of MPI 5.0 chapter 5 beside the
 * library's types: what every datatype is compared with. */
#ifndef WEFT_TESTS_MPI_TYPEMAP_H
#define WEFT_TESTS_MPI_TYPEMAP_H

#include "mpi/mpi.h"
#include "native.h"

enum { TYPEMAP_MAX = 2000, TYPEMAP_BASICS = 7 };

struct typemap_entry {
    int64_t at;
    int size, align;
    MPI_Datatype basic;
};

struct typemap {
    MPI_Datatype type;
    int n;
    struct typemap_entry *entries;
    bool marked; /* lb and ub were set */
    int64_t lb, ub;
};

/* A predefined type, 0 <= i < TYPEMAP_BASICS. */
void typemap_basic(int i, struct typemap *out);
/* A type made of some of the n in the pool, by any constructor; committed. With `equal`, only of
 * the first of the pool. */
void typemap_random(uint64_t *random, const struct typemap *pool, int n, struct typemap *out);
/* A type of the same signature as count values, whose data lie elsewhere, without overlap. */
void typemap_alike(uint64_t *random, const struct typemap *map, int count, struct typemap *out);
/* Frees a derived type, and the map. */
void typemap_free(struct typemap *map);

int64_t typemap_size(const struct typemap *map);
int64_t typemap_lb(const struct typemap *map);
int64_t typemap_extent(const struct typemap *map);
/* Of count values: lowest byte and length from there. */
int64_t typemap_low(const struct typemap *map, int count, int64_t *len_out);
bool typemap_overlaps(const struct typemap *map, int count);
/* By the definition. */
void typemap_pack(const struct typemap *map, const char *buf, int count, char *packed);
void typemap_unpack(const struct typemap *map, char *buf, int count, const char *packed);

uint64_t typemap_mix(uint64_t *state);

#endif
