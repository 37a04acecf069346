/* A program that was started by hand, or by a launcher that is not weft's: a world of one rank.
 *
 * There is nobody to talk to but itself, so the runtime is this file: packets go from the rank into
 * its own mailbox, and what it pulls it copies. Nothing of it needs a cell's trap or its thread
 * pointer: threads, debuggers and checkers work as with any program. */
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "mpi/own.h"
#include "weft/cell.h"
#include "weft/error.h"

#define RANGE_BYTES (UINT64_C(16) << 30) /* of addresses: what is not touched costs nothing */
#define RANGE_LEAST (UINT64_C(256) << 20)
#define MAILBOX_BYTES (UINT64_C(1) << 20)
#define MAILBOX_AT 4096u
#define PACKET_MAX 16640u
#define EXPOSED_MAX 65536u
#define NS_PER_S 1000000000u

struct exposed {
    const void *addr; /* NULL: free */
    size_t len_bytes;
    uint32_t uses;
};

static WEFT_MPI_OWN struct exposed *exposed;
static WEFT_MPI_OWN uint32_t exposed_end;       /* all above were never used */
static WEFT_MPI_OWN struct weft_cell_get *gets; /* under way, linked by `runtime` */

static int alone_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    if (dest != 0)
        return WEFT_EINVAL;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    if (len > PACKET_MAX)
        return WEFT_EMSGSIZE;
    struct weft_packet *packet = weft_mailbox_place(&cell->mailbox, &cell->mailbox.writer, len);
    if (!packet)
        return WEFT_EAGAIN;
    packet->len_bytes = (uint32_t)len;
    packet->source = 0;
    unsigned char *into = packet->payload;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(into, parts[i].iov_base, parts[i].iov_len);
        into += parts[i].iov_len;
    }
    weft_mailbox_publish(&cell->mailbox.writer, packet, weft_packet_bytes(len));
    atomic_fetch_add(&cell->bell, 1);
    return WEFT_OK;
}

static int alone_expose(struct weft_cell *cell, const void *addr, size_t len_bytes,
                        uint64_t *id_out)
{
    uint32_t i = 0;
    (void)cell;
    while (i < exposed_end && exposed[i].addr)
        i++;
    if (i == EXPOSED_MAX)
        return WEFT_EAGAIN;
    if (i == exposed_end)
        exposed_end++;
    exposed[i].addr = addr;
    exposed[i].len_bytes = len_bytes;
    exposed[i].uses++;
    *id_out = (uint64_t)exposed[i].uses << 32 | i;
    return WEFT_OK;
}

static struct exposed *exposed_of(uint64_t id)
{
    uint32_t i = (uint32_t)id;
    return i < exposed_end && exposed[i].addr && exposed[i].uses == id >> 32 ? &exposed[i] : NULL;
}

static void alone_unexpose(struct weft_cell *cell, uint64_t id)
{
    struct exposed *one = exposed_of(id);
    (void)cell;
    if (one)
        one->addr = NULL;
}

static void alone_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                         struct weft_cell_ticket *ticket_out)
{
    (void)cell;
    (void)id;
    (void)dest;
    memset(ticket_out, 0, sizeof(*ticket_out));
}

static int alone_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    (void)cell;
    if (op->source != 0)
        return WEFT_EINVAL;
    op->runtime = gets;
    gets = op;
    return WEFT_OK;
}

/* What is pulled comes with the next wait. */
static void finish_gets(struct weft_cell *cell)
{
    while (gets) {
        struct weft_cell_get *op = gets;
        const struct exposed *from = exposed_of(op->expose_id);
        int err = !from ? WEFT_ENOENT
                  : op->offset > from->len_bytes || op->len_bytes > from->len_bytes - op->offset
                      ? WEFT_ERANGE
                      : WEFT_OK;
        gets = op->runtime;
        op->runtime = NULL;
        if (!err && op->len_bytes)
            memmove(op->into, (const unsigned char *)from->addr + op->offset, op->len_bytes);
        atomic_store_explicit(&op->state, err, memory_order_release);
        atomic_fetch_add(&cell->bell, 1);
    }
}

static uint64_t alone_now(struct weft_cell *cell)
{
    struct timespec now;
    (void)cell;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Only another thread of the program can ring. */
static int alone_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    finish_gets(cell);
    while (atomic_load(&cell->bell) == seen) {
        uint64_t now_ns = alone_now(cell), left_ns = deadline_ns - now_ns;
        if (deadline_ns <= now_ns) {
            sched_yield();
            return WEFT_ETIMEDOUT;
        }
        const struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                      .tv_nsec = (long)(left_ns % NS_PER_S)};
        syscall(SYS_futex, &cell->bell, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen,
                deadline_ns == UINT64_MAX ? NULL : &left, NULL, 0);
    }
    return WEFT_OK;
}

static void alone_wake(struct weft_cell *cell)
{
    atomic_fetch_add(&cell->bell, 1);
    syscall(SYS_futex, &cell->bell, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static int alone_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    (void)cell;
    (void)entry;
    (void)argument;
    return 0;
}

static int alone_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes)
{
    uint64_t number = what == WEFT_INFO_PROCESS_ID ? (uint64_t)getpid() : PACKET_MAX;
    (void)cell;
    if (what == WEFT_INFO_HOST_NAME)
        return gethostname(out, len_bytes) == 0 ? WEFT_OK : WEFT_EMSGSIZE;
    if (len_bytes < sizeof(number))
        return WEFT_EMSGSIZE;
    memcpy(out, &number, sizeof(number));
    return WEFT_OK;
}

static void alone_exit(struct weft_cell *cell, int code) __attribute__((noreturn));
static void alone_exit(struct weft_cell *cell, int code)
{
    (void)cell;
    exit(code);
}

static void alone_log(struct weft_cell *cell, int level, const char *text)
{
    (void)cell;
    (void)level;
    fprintf(stderr, "weft: %s\n", text);
}

static void alone_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void alone_abort(struct weft_cell *cell, int code, const char *reason)
{
    alone_log(cell, 0, reason);
    _exit(code);
}

static const struct weft_cell_calls calls = {
    .version = WEFT_CELL_VERSION,
    .len_bytes = sizeof(struct weft_cell_calls),
    .send = alone_send,
    .expose = alone_expose,
    .unexpose = alone_unexpose,
    .ticket = alone_ticket,
    .get = alone_get,
    .wait = alone_wait,
    .wake = alone_wake,
    .migration_point = alone_migration_point,
    .now = alone_now,
    .info = alone_info,
    .exit = alone_exit,
    .log = alone_log,
    .abort = alone_abort,
    .call_next = weft__mpi_own_call_next,
    .call_answer = weft__mpi_own_call_answer,
    .call_is_cancelled = weft__mpi_own_call_is_cancelled,
};

/* ---- opening ---- */

/* One of several that another launcher has started: their worlds are apart, which is hardly what
 * was wanted. Their first one says so. */
static void warn_of_launcher(void)
{
    static const struct {
        const char *size, *rank;
    } launchers[] = {{"PMI_SIZE", "PMI_RANK"},
                     {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                     {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
    for (size_t i = 0; i < sizeof(launchers) / sizeof(launchers[0]); i++) {
        const char *size = getenv(launchers[i].size), *rank = getenv(launchers[i].rank);
        if (!size || !rank || atoi(size) < 2)
            continue;
        if (atoi(rank) == 0)
            fprintf(stderr,
                    "weft: another launcher has started %s processes (%s): each of them is a world "
                    "of one rank; weft run starts them as one\n",
                    size, launchers[i].size);
        return;
    }
}

static void *map(uint64_t len_bytes)
{
    void *range = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return range == MAP_FAILED ? NULL : range;
}

struct weft_cell *weft__mpi_alone_open(void)
{
    uint64_t len = RANGE_BYTES, heap_at = MAILBOX_AT + MAILBOX_BYTES;
    unsigned char *range = map(len);
    while (!range && len > RANGE_LEAST) /* ulimit -v */
        range = map(len /= 2);
    if (!range)
        return NULL;
    struct weft_cell *cell = (struct weft_cell *)(void *)range;
    _Static_assert(sizeof(*cell) <= MAILBOX_AT, "the mailbox lies behind the cell");
    *cell = (struct weft_cell){.magic = WEFT_CELL_MAGIC,
                               .version = WEFT_CELL_VERSION,
                               .size = 1,
                               .base = range,
                               .len_bytes = len,
                               .calls = &calls,
                               .heap = weft__heap_init(range + heap_at, len - heap_at),
                               .mailbox = {.mask = MAILBOX_BYTES - 1, .bytes = range + MAILBOX_AT}};
    weft__heap_assume_zero(cell->heap);
    exposed = weft__heap_calloc(cell->heap, EXPOSED_MAX, sizeof(*exposed));
    if (!exposed)
        return NULL;
    warn_of_launcher();
    return cell;
}
