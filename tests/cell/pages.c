/* A program whose memory changes in all ways that it can: written by itself, by the kernel and by
 * messages, given back and taken again, protected and released. It knows at any time what each page
 * must hold, and looks. Whatever a move forgets, or brings back from the past, is found. Prints
 * "ready" when all memory is written, and ends when a file is there. Usage: pages FILE */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mpi.h>

enum {
    PAGE = 4096,
    WORDS = PAGE / 8,
    PAGES = 2048,
    RUN_MAX = 48,
    MESSAGE = 32,
    TURN = 16,
    LOOKS = 16,
    TAG = 5,
    RW = PROT_READ | PROT_WRITE
};

static struct {
    uint64_t key; /* of its content; 0: zeros; 1: the beginning of the file */
    int access;   /* as mprotect()'s */
} pages[PAGES];

static uint64_t *memory, file_page[WORDS], chance, keys, checks;
static int rank, size, file;

static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static unsigned below(unsigned n)
{
    chance += 0x9e3779b97f4a7c15u;
    return (unsigned)(mixed(chance) % n);
}

static void fail(const char *what, unsigned page)
{
    printf("rank %d: page %u of %s\n", rank, page, what);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static uint64_t *at(unsigned page)
{
    return memory + (size_t)page * WORDS;
}

static void allow(unsigned page, int access)
{
    if (mprotect(at(page), PAGE, access) != 0)
        fail("memory that cannot be protected", page);
}

/* Lets the pages be read and written, however they are, until close_run(). */
static void open_run(unsigned page, unsigned n)
{
    for (unsigned i = page; i < page + n; i++)
        if (pages[i].access != RW)
            allow(i, RW);
}

static void close_run(unsigned page, unsigned n, uint64_t key)
{
    for (unsigned i = page; i < page + n; i++) {
        if (key != UINT64_MAX)
            pages[i].key = key;
        if (pages[i].access != RW)
            allow(i, pages[i].access);
    }
}

static const char *access_name(int access)
{
    return access == RW ? "writable" : access == PROT_READ ? "read-only" : "closed";
}

/* What is protected has stayed so, and what is in it, too. */
static void check_protected(unsigned page)
{
    if (pread(file, at(page), 1, 0) != -1 || errno != EFAULT)
        fail("memory that can be written", page);
    if (pages[page].access == PROT_NONE)
        allow(page, PROT_READ);
}

static void check(unsigned page)
{
    if (pages[page].access != RW)
        check_protected(page);
    const uint64_t key = pages[page].key, *words = at(page);
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t want = key == 0 ? 0 : key == 1 ? file_page[i] : mixed(key + i);
        if (words[i] != want) {
            char what[160];
            snprintf(what, sizeof(what), "wrong content: word %u is %llx, not %llx (key %llx, %s)",
                     i, (unsigned long long)words[i], (unsigned long long)want,
                     (unsigned long long)key, access_name(pages[page].access));
            fail(what, page);
        }
    }
    if (pages[page].access == PROT_NONE)
        allow(page, PROT_NONE);
    checks++;
}

static void fill(unsigned page)
{
    uint64_t key = ++keys * 1024 + ((uint64_t)rank << 48);
    for (unsigned i = 0; i < WORDS; i++)
        at(page)[i] = mixed(key + i);
    pages[page].key = key;
}

static void write_run(unsigned page, unsigned n)
{
    open_run(page, n);
    for (unsigned i = page; i < page + n; i++)
        fill(i);
    close_run(page, n, UINT64_MAX);
}

static void give_back(unsigned page, unsigned n)
{
    if (munmap(at(page), (size_t)n * PAGE) != 0 ||
        mmap(at(page), (size_t)n * PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at(page))
        fail("memory that is not given back", page);
    close_run(page, n, 0);
}

static void drop(unsigned page, unsigned n)
{
    if (madvise(at(page), (size_t)n * PAGE, MADV_DONTNEED) != 0)
        fail("memory that is not dropped", page);
    for (unsigned i = page; i < page + n; i++)
        pages[i].key = 0;
}

static void read_file(unsigned page)
{
    open_run(page, 1);
    if (pread(file, at(page), PAGE, 0) != PAGE)
        fail("memory that cannot be read into", page);
    close_run(page, 1, 1);
}

static void protect(unsigned page, unsigned n)
{
    static const int accesses[] = {PROT_NONE, PROT_READ, RW, RW};
    for (unsigned i = page; i < page + n; i++)
        allow(i, pages[i].access = accesses[below(4)]);
}

/* Pages go round, and who gets them knows what they must hold. */
static void pass_on(void)
{
    uint64_t sent[MESSAGE], got[MESSAGE];
    unsigned from = below(PAGES / 2 - MESSAGE), into = PAGES / 2 + below(PAGES / 2 - MESSAGE);
    int right = (rank + 1) % size, left = (rank + size - 1) % size;
    for (unsigned i = 0; i < MESSAGE; i++)
        sent[i] = pages[from + i].key;
    open_run(from, MESSAGE);
    open_run(into, MESSAGE);
    MPI_Sendrecv(at(from), MESSAGE * PAGE, MPI_BYTE, right, TAG, at(into), MESSAGE * PAGE, MPI_BYTE,
                 left, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(sent, MESSAGE, MPI_UINT64_T, right, TAG, got, MESSAGE, MPI_UINT64_T, left, TAG,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (unsigned i = 0; i < MESSAGE; i++)
        pages[into + i].key = got[i];
    close_run(from, MESSAGE, UINT64_MAX);
    close_run(into, MESSAGE, UINT64_MAX);
}

static void change(void)
{
    unsigned n = 1 + below(RUN_MAX), page = below(PAGES - RUN_MAX);
    switch (below(12)) {
    case 0:
        give_back(page, n);
        break;
    case 1:
        drop(page, n);
        break;
    case 2:
        protect(page, 1 + n % 4);
        break;
    case 3:
        read_file(page);
        break;
    case 4:
        free(memset(malloc((size_t)n * PAGE), 7, (size_t)n * PAGE));
        break;
    case 5:
        write_run(page, n);
        break;
    default:
        write_run(page, 1);
    }
}

static int is_over(const char *end)
{
    int over = rank == 0 && access(end, F_OK) == 0;
    MPI_Bcast(&over, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return over;
}

int main(int argc, char **argv)
{
    int flag;
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    chance = (uint64_t)rank * 7919;
    memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    file = open(argv[0], O_RDONLY);
    if (argc < 2 || memory == MAP_FAILED || pread(file, file_page, PAGE, 0) != PAGE)
        fail("no memory, or no file", 0);
    for (unsigned page = 0; page < PAGES; page++)
        pages[page].access = RW;
    write_run(0, PAGES * 3 / 4);
    if (rank == 0) {
        printf("ready\n");
        fflush(stdout);
    }
    do {
        for (int i = 0; i < TURN; i++) {
            change();
            MPI_Iprobe(MPI_ANY_SOURCE, TAG + 1, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
            for (unsigned k = 0; k < LOOKS; k++)
                check(below(PAGES));
        }
        pass_on();
    } while (!is_over(argv[1]));
    for (unsigned page = 0; page < PAGES; page++)
        check(page);
    printf("rank %d: right, %llu times\n", rank, (unsigned long long)checks);
    MPI_Finalize();
    return 0;
}
