#include "cases.h"

#include <string.h>

enum { LEFT_PER_RANK = 1024 }; /* the state that remembers MPI_Finalize */

void cases_run(const struct native_options *options, native_main *main_fn, void *argument)
{
    struct native_result result;
    native_run(options, main_fn, argument, &result);
    if (result.aborted)
        fprintf(stderr, "aborted: %s\n", result.reason);
    check(!result.aborted);
    check(result.code == 0);
    check(result.heap_used <= (size_t)options->ranks * LEFT_PER_RANK);
}

void cases_run_all(int n, native_main *main_fn, void *argument)
{
    for (uint64_t seed = 0; seed < 3; seed++)
        cases_run(&(struct native_options){.ranks = n, .seed = seed}, main_fn, argument);
}

void cases_run_fatal(int n, native_main *main_fn, int code, const char *text)
{
    struct native_result result;
    native_run(&(struct native_options){.ranks = n}, main_fn, NULL, &result);
    if (!strstr(result.reason, text))
        fprintf(stderr, "wanted '%s' in '%s'\n", text, result.reason);
    check(result.aborted);
    check(result.code == code);
    check(strstr(result.reason, text) != NULL);
}

void cases_init(int *rank_out, int *size_out)
{
    check(MPI_Init(NULL, NULL) == MPI_SUCCESS);
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    if (rank_out)
        check(MPI_Comm_rank(MPI_COMM_WORLD, rank_out) == MPI_SUCCESS);
    if (size_out)
        check(MPI_Comm_size(MPI_COMM_WORLD, size_out) == MPI_SUCCESS);
}

static unsigned char byte(size_t i, uint64_t key)
{
    return (unsigned char)((i * 31 + (i >> 8) * 7 + key * 131 + (key >> 8) * 17) & 0xff);
}

void cases_fill(void *buffer, size_t len, uint64_t key)
{
    unsigned char *bytes = buffer;
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte(i, key);
}

bool cases_holds(const void *buffer, size_t len, uint64_t key)
{
    const unsigned char *bytes = buffer;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != byte(i, key))
            return false;
    return true;
}
