/* What only a program with a dynamic linker does: libraries that are opened and closed while it
 * runs, with data, thread-local data, constructors and callbacks of their own; conversions and
 * users, which the C library opens libraries for. MPI is called in between, so the rank is moved
 * there; what the ranks print depends on nothing but their numbers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <iconv.h>
#include <link.h>
#include <mpi.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 12 };

static int rank, ranks;

static long meet(long value)
{
    long sum = 0;
    MPI_Allreduce(&value, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    return sum;
}

static void fail(const char *what)
{
    const char *why = dlerror();
    fprintf(stderr, "rank %d: %s: %s\n", rank, what, why ? why : "");
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* It is called by the library, and is moved in there. */
static long called_back(long value)
{
    return meet(value);
}

static long use_library(void *library)
{
    long (*count)(long) = (long (*)(long))dlsym(library, "plugin_count");
    long (*call)(long (*)(long), long) =
        (long (*)(long (*)(long), long))dlsym(library, "plugin_call");
    if (!count || !call)
        fail("dlsym");
    long sum = count(rank);
    sum += meet(sum);
    sum += call(called_back, sum);
    return sum + count(1);
}

static int is_library(struct dl_phdr_info *info, size_t len, void *ctx)
{
    (void)len;
    *(int *)ctx += strstr(info->dlpi_name, "plugin.so") != NULL;
    return 0;
}

/* Calls that are bound when they are made first: they lead into the library itself until then. */
static int bound_later(void *library)
{
    struct link_map *map;
    const ElfW(Rela) *slots = NULL;
    size_t bytes = 0;
    int n = 0;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        fail("dlinfo");
    for (const ElfW(Dyn) *part = map->l_ld; part->d_tag != DT_NULL; part++) {
        if (part->d_tag == DT_JMPREL)
            slots = (const ElfW(Rela) *)part->d_un.d_ptr;
        if (part->d_tag == DT_PLTRELSZ)
            bytes = part->d_un.d_val;
    }
    for (size_t i = 0; slots && i < bytes / sizeof(*slots); i++) {
        Dl_info where;
        void *const *slot = (void *const *)(map->l_addr + slots[i].r_offset);
        n += dladdr(*slot, &where) == 0 || (uintptr_t)where.dli_fbase == map->l_addr;
    }
    return n;
}

/* To UTF-16 and back, by modules of the C library's. */
static long convert(void)
{
    char from[] = "gr\xc3\xbc\xc3\x9f", there[64], back[64];
    char *in = from, *out = there;
    size_t in_left = strlen(from), out_left = sizeof(there);
    iconv_t to16 = iconv_open("UTF-16LE", "UTF-8"), from437 = iconv_open("CP437", "UTF-16LE");
    if (to16 == (iconv_t)-1 || from437 == (iconv_t)-1)
        return -1;
    (void)meet(1);
    if (iconv(to16, &in, &in_left, &out, &out_left) != 0)
        return -2;
    (void)meet(2);
    in = there;
    in_left = sizeof(there) - out_left;
    out = back;
    out_left = sizeof(back);
    if (iconv(from437, &in, &in_left, &out, &out_left) != 0)
        return -3;
    iconv_close(to16);
    iconv_close(from437);
    return (long)(sizeof(back) - out_left) * 1000 + (unsigned char)back[2];
}

int main(int argc, char **argv)
{
    long sum = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int i = 0; i < ROUNDS; i++) {
        int there = 0;
        void *library = dlopen("$ORIGIN/plugin.so", i % 2 ? RTLD_NOW : RTLD_LAZY);
        if (!library)
            fail("dlopen");
        if (bound_later(library) != 0)
            fail("a library has calls that are not bound yet");
        sum = sum * 31 % 1000003 + use_library(library);
        dl_iterate_phdr(is_library, &there);
        sum += there;
        if (dlclose(library) != 0)
            fail("dlclose");
        char *block = calloc(1, 1 << 20); /* where the library has been, perhaps */
        for (int k = 0; block && k < 1 << 20; k += 4096)
            sum += block[k];
        sum += meet(i);
        free(block);
    }
    long converted = convert();
    struct passwd *root = getpwnam("root");
    if (dlopen("/no/such/library.so", RTLD_NOW) || !strstr(dlerror(), "no/such/library"))
        fail("a library that is not there");
    printf("rank %d: %ld, converted %ld, root is %d\n", rank, sum, converted,
           root ? (int)root->pw_uid : -1);
    MPI_Finalize();
    return 0;
}
