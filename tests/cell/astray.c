/* A process of its own that does not keep to the protocol with its runtime. Argument: "astray", it
 * asks by hand for what is not its own, and prints what it is answered; a folder: it writes a file
 * of its number there, and waits before it calls MPI. */
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "weft/cell.h"
#include "weft/line.h"

static struct weft_line *line;
static struct weft_cell *cell;

static int ask(enum weft_line_call what, const void *first, uint64_t second)
{
    line->what = what;
    line->args[0] = (uint64_t)(uintptr_t)first;
    line->args[1] = second;
    atomic_store(&line->turn, WEFT_LINE_RUNTIME);
    syscall(SYS_futex, &line->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
    while (atomic_load(&line->turn) != WEFT_LINE_RANK)
        usleep(100);
    return line->result;
}

/* Of another rank, of nobody, and more than there is. */
static void expose(unsigned char *theirs)
{
    unsigned char *last = (unsigned char *)cell + cell->len_bytes - 8;
    printf("expose: own %d, another's %d, behind its end %d, a part of another's %d\n",
           ask(WEFT_LINE_EXPOSE, last, 8), ask(WEFT_LINE_EXPOSE, theirs, 8),
           ask(WEFT_LINE_EXPOSE, last, 9), ask(WEFT_LINE_EXPOSE, last, (uint64_t)-1));
}

static int pull_into(struct weft_cell_get *op, void *into, size_t len_bytes)
{
    op->source = cell->rank;
    op->into = into;
    op->len_bytes = len_bytes;
    return ask(WEFT_LINE_GET, op, 0);
}

static void get(unsigned char *theirs)
{
    struct weft_cell_get *op = (void *)(line->bytes + 64 - (uintptr_t)line->bytes % 64);
    unsigned char *last = (unsigned char *)cell + cell->len_bytes - 8;
    printf("get: own %d, into another's %d, into a part of it %d, an op of another's %d\n",
           pull_into(op, last, 0), pull_into(op, theirs, 8), pull_into(op, last, 16),
           ask(WEFT_LINE_GET, theirs, 0));
}

static int go_astray(void)
{
    unsigned long long base, len, at;
    int fd, parent;
    const char *text = getenv(WEFT_LINE_ENV);
    if (!text || sscanf(text, "%d %llx %llx %llx %d", &fd, &base, &len, &at, &parent) != 5)
        return 2;
    unsigned char *range = mmap((void *)(uintptr_t)base, len, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (range != (void *)(uintptr_t)base)
        return 3;
    cell = (void *)range;
    line = (void *)(range + at);
    unsigned char *theirs = cell->rank == 0 ? range + len : range - len;
    expose(theirs);
    get(theirs);
    return 0;
}

static int wait_in(const char *folder)
{
    char path[512];
    const char *text = getenv(WEFT_LINE_ENV);
    snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
    if (!text || close(open(path, O_WRONLY | O_CREAT, 0600)) != 0)
        return 4;
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 1;
    return strcmp(argv[1], "astray") == 0 ? go_astray() : wait_in(argv[1]);
}
