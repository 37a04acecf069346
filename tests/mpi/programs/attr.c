/* What hangs on communicators: attributes with callbacks, error handlers, error codes, hints. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 10 };

struct counter {
    int copies, deletes;
    long sum;
};

static struct counter counter;
static int rank, errors, last_error;
static MPI_Comm last_comm;

/* lint: of the standard */
static int copy(MPI_Comm comm, int key, void *extra, void *in, void *out, int *flag)
{
    struct counter *c = extra;
    long *value = malloc(sizeof(*value));
    (void)comm;
    (void)key;
    *value = *(const long *)in + 1;
    *(long **)out = value;
    *flag = 1;
    c->copies++;
    return MPI_SUCCESS;
}

static int delete (MPI_Comm comm, int key, void *value, void *extra)
{
    struct counter *c = extra;
    (void)comm;
    (void)key;
    c->deletes++;
    c->sum += *(const long *)value;
    free(value);
    return MPI_SUCCESS;
}

static void on_error(MPI_Comm *comm, int *code, ...)
{
    errors++;
    last_error = *code;
    last_comm = *comm;
}

static void set(MPI_Comm comm, int key, long value)
{
    long *block = malloc(sizeof(*block));
    *block = value;
    MPI_Comm_set_attr(comm, key, block);
}

static void attributes(int round)
{
    int key, flag;
    long *value = NULL;
    MPI_Comm a, b;
    MPI_Comm_create_keyval(copy, delete, &key, &counter);
    set(MPI_COMM_WORLD, key, 100 * round + rank);
    MPI_Comm_dup(MPI_COMM_WORLD, &a);
    MPI_Barrier(a);
    MPI_Comm_dup(a, &b);
    MPI_Comm_get_attr(b, key, &value, &flag);
    printf("rank %d, round %d: the attribute is %ld\n", rank, round, flag ? *value : -1);
    set(a, key, 5000);
    MPI_Comm_free_keyval(&key);
    MPI_Barrier(b);
    MPI_Comm_free(&a);
    MPI_Comm_free(&b);
    printf("rank %d, round %d: %d copies, %d deletes, sum %ld\n", rank, round, counter.copies,
           counter.deletes, counter.sum);
}

static void handlers(int round)
{
    int code, class, x = 0, len;
    char text[MPI_MAX_ERROR_STRING], name[MPI_MAX_ERROR_STRING];
    MPI_Errhandler handler;
    MPI_Comm comm;
    MPI_Comm_create_errhandler(on_error, &handler);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, handler);
    MPI_Errhandler_free(&handler);
    MPI_Add_error_class(&class);
    MPI_Add_error_code(class, &code);
    snprintf(name, sizeof(name), "error of round %d", round);
    MPI_Add_error_string(code, name);
    MPI_Barrier(comm);
    x = MPI_Send(&x, 1, MPI_INT, 1000, 0, comm);
    MPI_Error_string(x, text, &len);
    printf("rank %d, round %d: %d errors, '%s'%s\n", rank, round, errors, text,
           last_comm == comm && last_error == x ? "" : " elsewhere");
    MPI_Comm_call_errhandler(comm, code);
    MPI_Error_string(last_error, text, &len);
    MPI_Error_class(last_error, &x);
    printf("rank %d, round %d: '%s'%s\n", rank, round, text, x == class ? "" : " of another class");
    MPI_Remove_error_string(code);
    MPI_Remove_error_code(code);
    MPI_Remove_error_class(class);
    MPI_Comm_free(&comm);
}

static void hints(int round)
{
    char key[32], value[32];
    int n, flag, len = sizeof(value);
    MPI_Info info, got;
    MPI_Comm comm;
    MPI_Info_create(&info);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        snprintf(value, sizeof(value), "%d", i * round);
        MPI_Info_set(info, key, value);
    }
    MPI_Comm_dup_with_info(MPI_COMM_WORLD, info, &comm);
    MPI_Info_free(&info);
    MPI_Comm_set_name(comm, "with hints");
    MPI_Barrier(comm);
    MPI_Comm_get_info(comm, &got);
    MPI_Info_delete(got, "key 3");
    MPI_Info_get_nkeys(got, &n);
    MPI_Info_get_nthkey(got, 7, key);
    MPI_Info_get_string(got, key, &len, value, &flag);
    printf("rank %d, round %d: %d keys, '%s' = '%s'\n", rank, round, n, key, flag ? value : "?");
    MPI_Info_free(&got);
    MPI_Comm_get_name(comm, key, &n);
    printf("rank %d, round %d: '%s'\n", rank, round, key);
    MPI_Comm_free(&comm);
}

static int at_end(MPI_Comm comm, int key, void *value, void *extra)
{
    int size;
    (void)key;
    (void)extra;
    MPI_Comm_size(comm, &size);
    printf("rank %d: the end, %s, %d\n", rank, (const char *)value, size);
    return MPI_SUCCESS;
}

int main(int argc, char **argv)
{
    int key, kept;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_end, &key, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, strdup("first"));
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_end, &kept, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, kept, strdup("second"));
    for (int round = 0; round < ROUNDS; round++) {
        attributes(round);
        handlers(round);
        hints(round);
    }
    MPI_Finalize();
    return 0;
}
