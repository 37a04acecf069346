/* Running a case on several worlds, and patterns to recognise data by. */
#ifndef WEFT_TESTS_MPI_CASES_H
#define WEFT_TESTS_MPI_CASES_H

#include "mpi/mpi.h"
#include "native.h"

/* Runs main in a world with these options; it must end with 0 in all ranks and leave nothing in
 * their heaps. */
void cases_run(const struct native_options *options, native_main *main_fn, void *argument);
/* The same on n ranks: in order, and with packets and gets delayed from two seeds. */
void cases_run_all(int n, native_main *main_fn, void *argument);
/* Runs main, in which a rank must end the app; the reason holds text. */
void cases_run_fatal(int n, native_main *main_fn, int code, const char *text);

/* MPI_Init, errors returned on both communicators; rank and size (NULL: not wanted). */
void cases_init(int *rank_out, int *size_out);

/* A key of two small numbers. */
static inline uint64_t cases_key(int a, int b)
{
    return (uint64_t)a * 100 + (uint64_t)b;
}
void cases_fill(void *buffer, size_t len, uint64_t key);
bool cases_holds(const void *buffer, size_t len, uint64_t key);

#endif
