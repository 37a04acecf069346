/* The runtime's calls over a line, see weft/line.h.
 *
 * The range is the only memory that both sides see. What the program sends in one piece is copied
 * into the line; what it exposes outside of the range is copied into it when it is exposed, which
 * is allowed because it must not change until it is taken back; what it pulls lands in the range,
 * piece by piece, and is copied on by the next call that finds it there. So a large message costs
 * two copies more than in a cell. Rejected: process_vm_readv, which many machines forbid, and whose
 * other end an RDMA card cannot be.
 *
 * Copies that are exposed may fill the heap, all but a part for libmpi itself. What they wait for
 * are pulls of others, and a pull always goes on: one piece is kept aside for it. What finds no
 * room is not exposed, and goes in pieces through a window that is kept aside, too: see pieces.c.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "mpi/own.h"
#include "weft/cell.h"
#include "weft/error.h"
#include "weft/line.h"

enum { SPINS = 200, YIELDS = 20 };
#define PIECE_BYTES ((size_t)4 << 20)
#define OTHERS_SHARE 64u /* of the heap, for what is not exposed */
#define RETRY_NS UINT64_C(1000000)

/* Exposed bytes that lie in a copy. */
struct staged {
    struct staged *next;
    uint64_t id;
    void *copy;
};

/* A get into memory outside of the range. */
struct pull {
    struct pull *next;
    struct weft_cell_get op; /* of the piece that is under way */
    struct weft_cell_get *asked;
    size_t done;  /* bytes that have been copied on */
    bool refused; /* the next piece has to be asked for again */
    unsigned char bytes[];
};

static WEFT_MPI_OWN struct weft_line *line;
static WEFT_MPI_OWN struct staged *all_staged;
static WEFT_MPI_OWN struct pull *pulls;
static WEFT_MPI_OWN struct pull *kept; /* for a pull that finds no room */
static WEFT_MPI_OWN bool kept_is_used;
static WEFT_MPI_OWN void *window; /* PIECE_BYTES in the range, for pieces.c */

/* ---- asking ---- */

static void sleep_on_turn(void)
{
    atomic_store(&line->rank_sleeps, 1);
    while (atomic_load(&line->turn) != WEFT_LINE_RANK)
        syscall(SYS_futex, &line->turn, FUTEX_WAIT, WEFT_LINE_RUNTIME, NULL, NULL, 0);
    atomic_store(&line->rank_sleeps, 0);
}

static int ask(enum weft_line_call what)
{
    line->what = what;
    atomic_store(&line->turn, WEFT_LINE_RUNTIME);
    if (atomic_load(&line->runtime_sleeps))
        syscall(SYS_futex, &line->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
    for (int i = 0; i < SPINS + YIELDS; i++) {
        if (atomic_load_explicit(&line->turn, memory_order_acquire) == WEFT_LINE_RANK)
            return line->result;
        if (i >= SPINS)
            sched_yield();
    }
    sleep_on_turn();
    return line->result;
}

static int ask_with(enum weft_line_call what, uint64_t first, uint64_t second)
{
    line->args[0] = first;
    line->args[1] = second;
    return ask(what);
}

static void put_text(const char *text)
{
    size_t len = strnlen(text, sizeof(line->bytes) - 1);
    memcpy(line->bytes, text, len);
    line->bytes[len] = '\0';
    line->len_bytes = (uint32_t)len + 1;
}

/* ---- the calls ---- */

static int line_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    (void)cell;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len > sizeof(line->bytes) - len)
            return WEFT_EMSGSIZE;
        if (parts[i].iov_len)
            memcpy(line->bytes + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    line->len_bytes = (uint32_t)len;
    return ask_with(WEFT_LINE_SEND, (uint64_t)(int64_t)dest, 0);
}

static int expose_at(const void *addr, size_t len_bytes, uint64_t *id_out)
{
    int err = ask_with(WEFT_LINE_EXPOSE, (uint64_t)(uintptr_t)addr, len_bytes);
    if (err)
        return err;
    *id_out = line->args[0];
    return WEFT_OK;
}

/* How much of the heap copies may take. */
static size_t room(const struct weft_cell *cell)
{
    uintptr_t end = (uintptr_t)cell->base + cell->len_bytes;
    size_t heap = end - (uintptr_t)cell->heap;
    return heap - heap / OTHERS_SHARE;
}

static void *copy_new(struct weft_cell *cell, size_t len_bytes)
{
    size_t used = weft__heap_used(cell->heap), all = room(cell);
    if (used > all || len_bytes > all - used)
        return NULL;
    return weft__heap_alloc(cell->heap, len_bytes);
}

static int line_expose(struct weft_cell *cell, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    if (weft_cell_holds(cell, addr, len_bytes))
        return expose_at(addr, len_bytes, id_out);
    struct staged *staged = weft__heap_alloc(cell->heap, sizeof(*staged));
    void *copy = staged ? copy_new(cell, len_bytes) : NULL;
    if (copy && len_bytes)
        memcpy(copy, addr, len_bytes);
    int err = copy ? expose_at(copy, len_bytes, id_out) : WEFT_ENOSPC;
    if (err) {
        weft__heap_free(cell->heap, copy);
        weft__heap_free(cell->heap, staged);
        return err;
    }
    *staged = (struct staged){.next = all_staged, .id = *id_out, .copy = copy};
    all_staged = staged;
    return WEFT_OK;
}

static void line_unexpose(struct weft_cell *cell, uint64_t id)
{
    (void)ask_with(WEFT_LINE_UNEXPOSE, id, 0);
    for (struct staged **at = &all_staged; *at; at = &(*at)->next) {
        struct staged *staged = *at;
        if (staged->id != id)
            continue;
        *at = staged->next;
        weft__heap_free(cell->heap, staged->copy);
        weft__heap_free(cell->heap, staged);
        return;
    }
}

/* The owner is asked: what goes over the line is not in haste. */
static void line_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                        struct weft_cell_ticket *ticket_out)
{
    (void)cell;
    (void)id;
    (void)dest;
    memset(ticket_out, 0, sizeof(*ticket_out));
}

static int get_at(struct weft_cell_get *op)
{
    return ask_with(WEFT_LINE_GET, (uint64_t)(uintptr_t)op, 0);
}

static size_t piece_bytes(size_t len_bytes)
{
    return len_bytes < PIECE_BYTES ? len_bytes : PIECE_BYTES;
}

static struct pull *pull_new(struct weft_cell *cell, size_t len_bytes)
{
    struct pull *pull = copy_new(cell, sizeof(*pull) + piece_bytes(len_bytes));
    if (!pull && !kept_is_used) {
        pull = kept;
        kept_is_used = true;
    }
    if (pull)
        memset(pull, 0, sizeof(*pull));
    return pull;
}

static void pull_free(struct weft_cell *cell, struct pull *pull)
{
    if (pull == kept)
        kept_is_used = false;
    else
        weft__heap_free(cell->heap, pull);
}

static int get_piece(struct pull *pull)
{
    const struct weft_cell_get *asked = pull->asked;
    pull->op.source = asked->source;
    pull->op.expose_id = asked->expose_id;
    pull->op.offset = asked->offset + pull->done;
    pull->op.into = pull->bytes;
    pull->op.len_bytes = piece_bytes(asked->len_bytes - pull->done);
    atomic_store_explicit(&pull->op.state, 1, memory_order_relaxed);
    return get_at(&pull->op);
}

static int line_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    if (weft_cell_holds(cell, op->into, op->len_bytes) && weft_cell_holds(cell, op, sizeof(*op)))
        return get_at(op);
    struct pull *pull = pull_new(cell, op->len_bytes);
    if (!pull)
        return WEFT_EAGAIN;
    pull->asked = op;
    int err = get_piece(pull);
    if (err) {
        pull_free(cell, pull);
        return err;
    }
    pull->next = pulls;
    pulls = pull;
    return WEFT_OK;
}

/* Hands on what has come and asks for the rest. Returns the state of the whole. */
static int go_on(struct pull *pull)
{
    const struct weft_cell_get *asked = pull->asked;
    int state = atomic_load_explicit(&pull->op.state, memory_order_acquire);
    if (!pull->refused && state != 0)
        return state;
    size_t len = pull->refused ? 0 : pull->op.len_bytes;
    if (len)
        memcpy((unsigned char *)asked->into + pull->done, pull->bytes, len);
    pull->done += len;
    if (pull->done == asked->len_bytes)
        return 0;
    int err = get_piece(pull);
    pull->refused = err == WEFT_EAGAIN;
    return err && !pull->refused ? err : 1;
}

/* Returns whether any get has ended. */
static bool harvest(struct weft_cell *cell)
{
    bool any = false;
    for (struct pull **at = &pulls; *at;) {
        struct pull *pull = *at;
        int state = go_on(pull);
        if (state > 0) {
            at = &pull->next;
            continue;
        }
        *at = pull->next;
        atomic_store_explicit(&pull->asked->state, state, memory_order_release);
        pull_free(cell, pull);
        any = true;
    }
    return any;
}

static bool any_refused(void)
{
    const struct pull *pull = pulls;
    while (pull && !pull->refused)
        pull = pull->next;
    return pull != NULL;
}

/* What is found before may have rung the bell before the caller has looked at it. */
static int line_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    if (harvest(cell))
        return WEFT_OK;
    if (any_refused()) { /* for which nothing need ring */
        uint64_t soon_ns = cell->calls->now(cell) + RETRY_NS;
        deadline_ns = deadline_ns < soon_ns ? deadline_ns : soon_ns;
    }
    int err = ask_with(WEFT_LINE_WAIT, seen, deadline_ns);
    return harvest(cell) ? WEFT_OK : err;
}

static void line_wake(struct weft_cell *cell)
{
    atomic_fetch_add(&cell->bell, 1); /* its own thread asks: nobody sleeps */
}

static int line_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    (void)cell;
    (void)entry;
    (void)argument;
    return 0;
}

static uint64_t line_now(struct weft_cell *cell)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec +
           (uint64_t)cell->clock_offset_ns;
}

static int line_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes)
{
    (void)cell;
    if (what == WEFT_INFO_PROCESS_ID && len_bytes >= sizeof(uint64_t)) {
        uint64_t pid = (uint64_t)getpid();
        memcpy(out, &pid, sizeof(pid));
        return WEFT_OK;
    }
    int err = ask_with(WEFT_LINE_INFO, (uint64_t)what, len_bytes);
    if (!err && line->len_bytes <= len_bytes)
        memcpy(out, line->bytes, line->len_bytes);
    return err;
}

static void line_exit(struct weft_cell *cell, int code) __attribute__((noreturn));
static void line_exit(struct weft_cell *cell, int code)
{
    (void)cell;
    exit(code);
}

static void line_log(struct weft_cell *cell, int level, const char *text)
{
    (void)cell;
    put_text(text);
    (void)ask_with(WEFT_LINE_LOG, (uint64_t)(int64_t)level, 0);
}

static void line_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void line_abort(struct weft_cell *cell, int code, const char *reason)
{
    (void)cell;
    put_text(reason);
    (void)ask_with(WEFT_LINE_ABORT, (uint64_t)(int64_t)code, 0);
    _exit(code);
}

static const struct weft_cell_calls calls = {
    .version = WEFT_CELL_VERSION,
    .len_bytes = sizeof(struct weft_cell_calls),
    .send = line_send,
    .expose = line_expose,
    .unexpose = line_unexpose,
    .ticket = line_ticket,
    .get = line_get,
    .wait = line_wait,
    .wake = line_wake,
    .migration_point = line_migration_point,
    .now = line_now,
    .info = line_info,
    .exit = line_exit,
    .log = line_log,
    .abort = line_abort,
    .call_next = weft__mpi_own_call_next,
    .call_answer = weft__mpi_own_call_answer,
    .call_is_cancelled = weft__mpi_own_call_is_cancelled,
};

/* ---- opening ---- */

static void broken(const char *what) __attribute__((noreturn));
static void broken(const char *what)
{
    fprintf(stderr, "weft: this rank cannot reach its runtime: %s\n", what);
    _exit(127);
}

/* The program is to end with who has started it, which a set-uid one forgets. */
static void follow(int parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
        return;
    if (kill(parent, 0) == 0 || errno == EPERM)
        broken("only the process that weft run has started is a rank, and this is a child of it; "
               "let whatever starts the program exec it");
    broken("it has ended");
}

struct weft_cell *weft__mpi_line_open(void)
{
    const char *text = getenv(WEFT_LINE_ENV);
    unsigned long long base, len, at;
    int fd, parent;
    if (!text)
        return NULL;
    if (sscanf(text, "%d %llx %llx %llx %d", &fd, &base, &len, &at, &parent) != 5 || at >= len)
        broken(WEFT_LINE_ENV " makes no sense");
    (void)unsetenv(WEFT_LINE_ENV);
    follow(parent);
    void *range = mmap((void *)(uintptr_t)base, len, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (range != (void *)(uintptr_t)base)
        broken(strerror(errno));
    close(fd);
    struct weft_cell *cell = range;
    line = (struct weft_line *)(void *)((unsigned char *)range + at);
    if (line->version != WEFT_LINE_VERSION || cell->version != WEFT_CELL_VERSION)
        broken("it is of another version");
    cell->calls = &calls;
    kept = weft__heap_alloc(cell->heap, sizeof(*kept) + PIECE_BYTES);
    window = weft__heap_alloc(cell->heap, PIECE_BYTES);
    if (!kept || !window)
        broken("its memory is full");
    return cell;
}

void *weft__mpi_line_window(size_t *len_out)
{
    *len_out = PIECE_BYTES;
    return window;
}
