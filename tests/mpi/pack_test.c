/* Packing by the program: positions, and the representation external32. */
#include <complex.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "cases.h"
#include "typemap.h"

#define OK(call) check((call) == MPI_SUCCESS)

static const char datarep[] = "external32";

/* ---- one buffer, several types ---- */

struct record {
    char tag;
    double values[3];
    int n;
};

static int positions_main(void *argument)
{
    struct record sent = {'x', {1.5, -2, 1e300}, 42}, got = {0};
    char buffer[200];
    int rank, position = 0, room, part;
    MPI_Status status;
    (void)argument;
    cases_init(&rank, NULL);
    OK(MPI_Pack_size(1, MPI_CHAR, MPI_COMM_WORLD, &room));
    OK(MPI_Pack_size(3, MPI_DOUBLE, MPI_COMM_WORLD, &part));
    room += part;
    OK(MPI_Pack_size(1, MPI_INT, MPI_COMM_WORLD, &part));
    room += part;
    if (rank == 0) {
        OK(MPI_Pack(&sent.tag, 1, MPI_CHAR, buffer, 200, &position, MPI_COMM_WORLD));
        OK(MPI_Pack(sent.values, 3, MPI_DOUBLE, buffer, 200, &position, MPI_COMM_WORLD));
        OK(MPI_Pack(&sent.n, 1, MPI_INT, buffer, 200, &position, MPI_COMM_WORLD));
        OK(MPI_Pack(NULL, 0, MPI_INT, buffer, 200, &position, MPI_COMM_WORLD));
        check(position <= room);
        OK(MPI_Send(buffer, position, MPI_PACKED, 1, 0, MPI_COMM_WORLD));
    } else if (rank == 1) {
        OK(MPI_Recv(buffer, 200, MPI_PACKED, 0, 0, MPI_COMM_WORLD, &status));
        OK(MPI_Get_count(&status, MPI_PACKED, &room));
        OK(MPI_Unpack(buffer, room, &position, &got.tag, 1, MPI_CHAR, MPI_COMM_WORLD));
        OK(MPI_Unpack(buffer, room, &position, got.values, 3, MPI_DOUBLE, MPI_COMM_WORLD));
        OK(MPI_Unpack(buffer, room, &position, &got.n, 1, MPI_INT, MPI_COMM_WORLD));
        check(position == room && got.tag == 'x' && got.n == 42);
        check(memcmp(got.values, sent.values, sizeof(got.values)) == 0);
    }
    MPI_Finalize();
    return 0;
}

static void packed_values_are_sent_and_unpacked(void **state)
{
    (void)state;
    cases_run_all(2, positions_main, NULL);
}

/* ---- external32 ---- */

/* What a value must look like, and that it comes back. */
static void check_value(const void *value, size_t len, MPI_Datatype type, const char *want,
                        size_t want_len)
{
    unsigned char packed[64], back[64];
    MPI_Aint position = 0, size;
    OK(MPI_Pack_external_size(datarep, 1, type, &size));
    check(size == (MPI_Aint)want_len);
    OK(MPI_Pack_external(datarep, value, 1, type, packed, sizeof(packed), &position));
    check(position == size && memcmp(packed, want, want_len) == 0);
    position = 0;
    OK(MPI_Unpack_external(datarep, packed, size, &position, back, 1, type));
    check(position == size && memcmp(back, value, len) == 0);
}

#define VALUE(T, mpi_type, value, bytes)                                                           \
    do {                                                                                           \
        const T value_ = (value);                                                                  \
        check_value(&value_, sizeof(value_), mpi_type, bytes, sizeof(bytes) - 1);                  \
    } while (0)

static void check_numbers(void)
{
    VALUE(char, MPI_CHAR, 'a', "a");
    VALUE(short, MPI_SHORT, -2, "\xff\xfe");
    VALUE(int, MPI_INT, 0x01020304, "\1\2\3\4");
    VALUE(long, MPI_LONG, -3, "\xff\xff\xff\xfd");
    VALUE(long, MPI_LONG, 0x7f000001, "\x7f\0\0\1");
    VALUE(unsigned long, MPI_UNSIGNED_LONG, 0xfffffffd, "\xff\xff\xff\xfd");
    VALUE(long long, MPI_LONG_LONG, -3, "\xff\xff\xff\xff\xff\xff\xff\xfd");
    VALUE(int64_t, MPI_INT64_T, 0x0102030405060708, "\1\2\3\4\5\6\7\10");
    VALUE(MPI_Aint, MPI_AINT, 5, "\0\0\0\0\0\0\0\5");
    VALUE(wchar_t, MPI_WCHAR, L'\x203d', "\x20\x3d");
    VALUE(_Bool, MPI_C_BOOL, 1, "\1");
    VALUE(float, MPI_FLOAT, 1.0f, "\x3f\x80\0\0");
    VALUE(double, MPI_DOUBLE, -2.0, "\xc0\0\0\0\0\0\0\0");
    VALUE(float complex, MPI_C_FLOAT_COMPLEX, 1.0f + 2.0f * I, "\x3f\x80\0\0\x40\0\0\0");
}

/* Only the bytes of the value: the rest of a long double is not looked at. */
static void check_long_double(long double value, const char *want)
{
    unsigned char packed[16];
    long double back = 7;
    MPI_Aint position = 0;
    OK(MPI_Pack_external(datarep, &value, 1, MPI_LONG_DOUBLE, packed, 16, &position));
    check(position == 16 && (!want || memcmp(packed, want, 16) == 0));
    position = 0;
    OK(MPI_Unpack_external(datarep, packed, 16, &position, &back, 1, MPI_LONG_DOUBLE));
    check(back == value && signbit(back) == signbit(value));
}

static void check_long_doubles(void)
{
    check_long_double(1.0L, "\x3f\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    check_long_double(-1.5L, "\xbf\xff\x80\0\0\0\0\0\0\0\0\0\0\0\0\0");
    check_long_double(0.0L, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    check_long_double(-0.0L, "\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    check_long_double((long double)INFINITY, "\x7f\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    check_long_double(3.14159265358979323846L, NULL);
    check_long_double(LDBL_MAX, NULL);
    check_long_double(LDBL_MIN / 8, NULL);
}

/* Big endian bytes of the basic elements, by the type map. */
static void check_map(const struct typemap *map)
{
    int64_t len, low = typemap_low(map, 2, &len), size = 2 * typemap_size(map);
    char *memory = malloc((size_t)len + 1), *back = malloc((size_t)len + 1);
    char *packed = malloc((size_t)size + 1), *want = malloc((size_t)size + 1), *at = want;
    void *buf = (void *)((uintptr_t)memory - (uintptr_t)low);
    void *into = (void *)((uintptr_t)back - (uintptr_t)low);
    MPI_Aint position = 0, room;
    cases_fill(memory, (size_t)len, 3);
    OK(MPI_Pack_external_size(datarep, 2, map->type, &room));
    check(room == size);
    OK(MPI_Pack_external(datarep, buf, 2, map->type, packed, room, &position));
    check(position == size);
    typemap_pack(map, buf, 2, want);
    for (int i = 0; i < 2 * map->n; at += map->entries[i++ % map->n].size) {
        const struct typemap_entry *e = &map->entries[i % map->n];
        for (char *number = at; number < at + e->size; number += e->align)
            for (int j = 0; j < e->align / 2; j++) {
                char byte = number[j];
                number[j] = number[e->align - 1 - j];
                number[e->align - 1 - j] = byte;
            }
    }
    check(memcmp(packed, want, (size_t)size) == 0);
    memcpy(back, memory, (size_t)len);
    position = 0;
    OK(MPI_Unpack_external(datarep, packed, room, &position, into, 2, map->type));
    check(position == size && memcmp(back, memory, (size_t)len) == 0);
    free(memory);
    free(back);
    free(packed);
    free(want);
}

static void check_types(void)
{
    enum { POOL = 40 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct typemap pool[POOL];
        uint64_t random = seed;
        for (int i = 0; i < POOL; i++) {
            if (i < TYPEMAP_BASICS)
                typemap_basic(i, &pool[i]);
            else
                typemap_random(&random, pool, i, &pool[i]);
            check_map(&pool[i]);
        }
        for (int i = 0; i < POOL; i++)
            typemap_free(&pool[i]);
    }
}

static int external_main(void *argument)
{
    char buffer[8];
    int x = 1;
    MPI_Aint position = 0;
    (void)argument;
    cases_init(NULL, NULL);
    check_numbers();
    check_long_doubles();
    check_types();
    check(MPI_Pack_external("native", &x, 1, MPI_INT, buffer, 8, &position) == MPI_ERR_ARG);
    check(MPI_Pack_external(datarep, &x, 1, MPI_INT, buffer, 3, &position) == MPI_ERR_TRUNCATE);
    MPI_Finalize();
    return 0;
}

static void the_external_representation_is_big_endian(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, external_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_values_are_sent_and_unpacked),
        cmocka_unit_test(the_external_representation_is_big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
