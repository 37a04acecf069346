/* The test runtime: one lock over everything, because it is here to be right, not fast.
 *
 * A packet goes into the queue of its pair and from there into the destination's mailbox: at once
 * without a seed, at some later call with one. Whoever is about to sleep first delivers all that
 * can be delivered, so nothing is held for ever. When every rank sleeps without a deadline and
 * nothing is on its way, the program under test is in deadlock; that ends the process with a
 * message instead of a hang.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/memcheck.h"
#include "weft/error.h"
#include "weft/memory.h"
#include "weft/migrate.h"

#ifdef WEFT_TSAN
#define BASE 0x550000000000ull
#else
#define BASE 0x200000000000ull
#endif
#define STRIDE (1ull << 30)
#define HELD_MAX 8 /* packets of a pair before there is no credit */
#define EXPOSED_MAX 512
#define GETS_MAX 64

struct held {
    struct held *next;
    uint32_t len;
    unsigned char bytes[];
};

struct pair {
    struct held *first, *last;
    unsigned n;
};

struct exposed {
    const void *addr;
    size_t len;
    bool used;
};

struct rank {
    struct world *world;
    struct weft_cell *cell;
    struct exposed exposed[EXPOSED_MAX];
    struct weft_cell_get *gets[GETS_MAX];
    unsigned gets_n;
    uint64_t random;
    uint32_t seen; /* while it sleeps without a deadline */
    bool sleeping, ended;
    unsigned lives; /* regions it has had */
    int code;
    jmp_buf end;
    pthread_cond_t bell;
    weft_entry *entry; /* to go on with, in another thread */
    void *argument;
};

struct world {
    struct native_options options;
    native_main *main_fn;
    pthread_mutex_t lock;
    struct rank *ranks;
    struct pair *pairs; /* [source * n + dest] */
    uint64_t random;
    bool aborted;
    struct native_result *result;
};

static _Thread_local struct rank *self_rank;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

struct weft_cell *weft_cell_self(void)
{
    return self_rank ? self_rank->cell : NULL;
}

void *weft_alloc(size_t len_bytes)
{
    return weft__heap_calloc(weft_cell_self()->heap, 1, len_bytes);
}

void weft_free(void *ptr)
{
    weft__heap_free(weft_cell_self()->heap, ptr);
}

uint64_t native_random(void)
{
    return next_random(&self_rank->random);
}

size_t native_heap_used(void)
{
    return weft__heap_used(weft_cell_self()->heap);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- delivery; all under the lock ---- */

static void ring(struct rank *rank)
{
    atomic_fetch_add_explicit(&rank->cell->bell, 1, memory_order_release);
    pthread_cond_signal(&rank->bell);
}

static bool deliver_one(struct world *world, int source, int dest)
{
    struct pair *pair = &world->pairs[source * world->options.ranks + dest];
    struct held *held = pair->first;
    if (!held || world->ranks[dest].ended)
        return false;
    struct weft_mailbox *box = &world->ranks[dest].cell->mailbox;
    struct weft_packet *packet = weft_mailbox_place(box, &box->writer, held->len);
    if (!packet)
        return false;
    packet->len_bytes = held->len;
    packet->source = source;
    memcpy(packet->payload, held->bytes, held->len);
    weft_mailbox_publish(&box->writer, packet, weft_packet_bytes(held->len));
    pair->first = held->next;
    pair->n--;
    free(held);
    ring(&world->ranks[dest]);
    return true;
}

/* Delivers in a random order; all that can be, or about one packet in share. */
static bool deliver(struct world *world, unsigned share)
{
    unsigned n = (unsigned)world->options.ranks, pairs = n * n;
    unsigned start = (unsigned)(next_random(&world->random) % pairs);
    bool any = false, again = true;
    while (again) {
        again = false;
        for (unsigned i = 0; i < pairs; i++) {
            unsigned at = (start + i * 7919u) % pairs;
            if (pairs % 7919u == 0)
                at = (start + i) % pairs;
            if (share > 1 && next_random(&world->random) % share != 0)
                continue;
            if (deliver_one(world, (int)(at / n), (int)(at % n)))
                any = again = true;
        }
        again = again && share == 1;
    }
    return any;
}

static void finish_get(struct world *world, struct weft_cell_get *get)
{
    struct rank *source = &world->ranks[get->source];
    int state = WEFT_ENOENT;
    if (get->expose_id < EXPOSED_MAX && source->exposed[get->expose_id].used) {
        const struct exposed *exposed = &source->exposed[get->expose_id];
        check(get->offset <= exposed->len && get->len_bytes <= exposed->len - get->offset);
        memcpy(get->into, (const unsigned char *)exposed->addr + get->offset, get->len_bytes);
        state = 0;
    }
    atomic_store_explicit(&get->state, state, memory_order_release);
}

static bool finish_gets(struct rank *rank, bool all)
{
    bool any = false;
    for (unsigned i = rank->gets_n; i-- > 0;) {
        if (!all && next_random(&rank->world->random) % 3 != 0)
            continue;
        finish_get(rank->world, rank->gets[i]);
        rank->gets[i] = rank->gets[--rank->gets_n];
        any = true;
        ring(rank);
    }
    return any;
}

/* ---- the calls ---- */

static struct rank *of(struct weft_cell *cell)
{
    struct rank *rank = cell->host;
    check(rank == self_rank);
    return rank;
}

static void leave(struct rank *rank, int code) __attribute__((noreturn));
static void leave(struct rank *rank, int code)
{
    rank->code = code;
    longjmp(rank->end, 1);
}

/* Takes the lock; ends the rank where the app has been aborted. */
static void enter(struct rank *rank)
{
    pthread_mutex_lock(&rank->world->lock);
    if (!rank->world->aborted)
        return;
    pthread_mutex_unlock(&rank->world->lock);
    leave(rank, 1);
}

static uint64_t packet_max(const struct rank *rank)
{
    uint64_t max = rank->world->options.packet_max;
    return rank->lives % 2 == 0 ? max : max - 64; /* hosts differ */
}

static int call_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    struct rank *rank = of(cell);
    struct world *world = rank->world;
    size_t len = 0;
    if (dest < 0 || dest >= world->options.ranks)
        return WEFT_EINVAL;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    if (len > packet_max(rank))
        return WEFT_EMSGSIZE;
    enter(rank);
    struct pair *pair = &world->pairs[cell->rank * world->options.ranks + dest];
    bool unlucky = world->options.seed && next_random(&world->random) % 8 == 0;
    int err = pair->n >= HELD_MAX || unlucky ? WEFT_EAGAIN : WEFT_OK;
    if (!err) {
        struct held *held = malloc(sizeof(*held) + len);
        check(held != NULL);
        held->next = NULL;
        held->len = 0;
        for (unsigned i = 0; i < n; i++) {
            memcpy(held->bytes + held->len, parts[i].iov_base, parts[i].iov_len);
            held->len += (uint32_t)parts[i].iov_len;
        }
        if (pair->n++ == 0)
            pair->first = held;
        else
            pair->last->next = held;
        pair->last = held;
    }
    deliver(world, world->options.seed ? 4 : 1);
    pthread_mutex_unlock(&world->lock);
    return err;
}

static int call_expose(struct weft_cell *cell, const void *addr, size_t len, uint64_t *id_out)
{
    struct rank *rank = of(cell);
    enter(rank);
    bool unlucky = rank->world->options.seed && next_random(&rank->world->random) % 8 == 0;
    uint64_t id = unlucky ? EXPOSED_MAX : 0;
    while (id < EXPOSED_MAX && rank->exposed[id].used)
        id++;
    if (id < EXPOSED_MAX) {
        rank->exposed[id] = (struct exposed){.addr = addr, .len = len, .used = true};
        *id_out = id;
    }
    pthread_mutex_unlock(&rank->world->lock);
    return id < EXPOSED_MAX ? WEFT_OK : WEFT_EAGAIN;
}

static void call_unexpose(struct weft_cell *cell, uint64_t id)
{
    struct rank *rank = of(cell);
    enter(rank);
    check(id < EXPOSED_MAX && rank->exposed[id].used);
    rank->exposed[id].used = false;
    pthread_mutex_unlock(&rank->world->lock);
}

/* Good for nothing, but has to arrive where it was made for. */
static struct weft_cell_ticket ticket_of(uint64_t id, int32_t source, int32_t dest)
{
    return (struct weft_cell_ticket){.key = id,
                                     .base = ~id,
                                     .len_bytes = 1,
                                     .process = (uint32_t)source,
                                     .incarnation = (uint32_t)dest};
}

static void call_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                        struct weft_cell_ticket *ticket_out)
{
    const struct rank *rank = of(cell);
    *ticket_out = ticket_of(id, rank->cell->rank, dest);
}

static int call_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    struct rank *rank = of(cell);
    const struct weft_cell_ticket made = ticket_of(op->expose_id, op->source, rank->cell->rank);
    enter(rank);
    check(memcmp(&op->ticket, &made, sizeof(made)) == 0);
    bool unlucky = rank->world->options.seed && next_random(&rank->world->random) % 4 == 0;
    int err = unlucky || rank->gets_n == GETS_MAX ? WEFT_EAGAIN : WEFT_OK;
    if (!err) {
        atomic_store_explicit(&op->state, 1, memory_order_relaxed);
        rank->gets[rank->gets_n++] = op;
    }
    pthread_mutex_unlock(&rank->world->lock);
    return err;
}

static void check_deadlock(const struct world *world)
{
    bool all_ended = true;
    for (int i = 0; i < world->options.ranks; i++) {
        const struct rank *rank = &world->ranks[i];
        if (!rank->ended && (!rank->sleeping || atomic_load(&rank->cell->bell) != rank->seen))
            return;
        all_ended = all_ended && rank->ended;
    }
    if (all_ended || world->aborted)
        return;
    fprintf(stderr, "deadlock: every rank waits and nothing is on its way\n");
    abort();
}

static void sleep_until(struct rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    struct world *world = rank->world;
    if (deadline_ns == UINT64_MAX) {
        rank->sleeping = true;
        rank->seen = seen;
        check_deadlock(world);
        pthread_cond_wait(&rank->bell, &world->lock);
        rank->sleeping = false;
        return;
    }
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                          .tv_nsec = (long)(deadline_ns % 1000000000u)};
    pthread_cond_timedwait(&rank->bell, &world->lock, &at);
}

static int call_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    struct rank *rank = of(cell);
    struct world *world = rank->world;
    int err = WEFT_OK;
    enter(rank);
    deliver(world, world->options.seed ? 3 : 1);
    finish_gets(rank, !world->options.seed);
    while (atomic_load_explicit(&cell->bell, memory_order_acquire) == seen) {
        if (now_ns() >= deadline_ns) {
            err = WEFT_ETIMEDOUT;
            break;
        }
        if (deliver(world, 1) || finish_gets(rank, true))
            continue;
        sleep_until(rank, seen, deadline_ns);
        if (world->aborted)
            break;
    }
    bool aborted = world->aborted;
    pthread_mutex_unlock(&world->lock);
    if (aborted)
        leave(rank, 1);
    return err;
}

static void call_wake(struct weft_cell *cell)
{
    struct rank *rank = cell->host;
    pthread_mutex_lock(&rank->world->lock);
    ring(rank);
    pthread_mutex_unlock(&rank->world->lock);
}

static uint64_t call_now(struct weft_cell *cell)
{
    return now_ns() + (uint64_t)cell->clock_offset_ns;
}

static int call_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len)
{
    const struct rank *rank = of(cell);
    uint64_t value = what == WEFT_INFO_PACKET_MAX ? packet_max(rank) : 4242;
    if (what == WEFT_INFO_HOST_NAME) {
        snprintf(out, len, "native%u", rank->lives);
        return WEFT_OK;
    }
    check(len == sizeof(value));
    memcpy(out, &value, sizeof(value));
    return WEFT_OK;
}

static void call_exit(struct weft_cell *cell, int code) __attribute__((noreturn));
static void call_exit(struct weft_cell *cell, int code)
{
    leave(of(cell), code);
}

static void call_log(struct weft_cell *cell, int level, const char *text)
{
    fprintf(stderr, "rank %d: level %d: %s\n", cell->rank, level, text);
}

static void call_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void call_abort(struct weft_cell *cell, int code, const char *reason)
{
    struct rank *rank = of(cell);
    struct world *world = rank->world;
    enter(rank);
    world->aborted = true;
    world->result->code = code;
    snprintf(world->result->reason, sizeof(world->result->reason), "%s", reason);
    for (int i = 0; i < world->options.ranks; i++)
        pthread_cond_signal(&world->ranks[i].bell);
    pthread_mutex_unlock(&world->lock);
    leave(rank, 1);
}

static int call_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    return cell->rank == of(cell)->cell->rank ? weft_migration_point(entry, argument) : 0;
}

#define CALLS                                                                                      \
    {                                                                                              \
        .version = WEFT_CELL_VERSION, .len_bytes = sizeof(struct weft_cell_calls),                 \
        .send = call_send, .expose = call_expose, .unexpose = call_unexpose,                       \
        .ticket = call_ticket, .get = call_get, .wait = call_wait, .wake = call_wake,              \
        .migration_point = call_migration_point, .now = call_now, .info = call_info,               \
        .exit = call_exit, .log = call_log, .abort = call_abort                                    \
    }
/* Two, so that a pointer which is kept instead of read anew is a pointer to the wrong one. */
static const struct weft_cell_calls calls[2] = {CALLS, CALLS};

/* ---- regions ---- */

enum { PAGE = 4096 };

static void *map_region(int rank, size_t len)
{
    void *at = (void *)(uintptr_t)(BASE + (unsigned)rank * STRIDE);
    void *region = mmap(at, len, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    check(region == at);
    return region;
}

static void refill(struct rank *rank)
{
    rank->cell->calls = &calls[rank->lives % 2];
    rank->cell->host = rank;
}

static void make_cell(struct rank *rank, int number)
{
    const struct native_options *options = &rank->world->options;
    size_t head = (sizeof(struct weft_cell) + 4095u) & ~(size_t)4095u;
    struct weft_cell *cell = map_region(number, options->region_bytes);
    unsigned char *bytes = (unsigned char *)cell;
    cell->magic = WEFT_CELL_MAGIC;
    cell->version = WEFT_CELL_VERSION;
    cell->rank = number;
    cell->size = options->ranks;
    cell->share = options->share;
    cell->base = cell;
    cell->len_bytes = options->region_bytes;
    cell->mailbox.mask = options->mailbox_bytes - 1;
    cell->mailbox.bytes = bytes + head;
    cell->heap = weft__heap_init(bytes + head + options->mailbox_bytes,
                                 options->region_bytes - head - options->mailbox_bytes);
    rank->cell = cell;
    refill(rank);
}

/* Says of each page whether the process has it, in memory or in the swap. */
static void find_pages(const void *at, size_t pages, uint64_t *entries)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    size_t len = pages * sizeof(*entries);
    check(fd >= 0 && pread(fd, entries, len, (off_t)((uintptr_t)at / PAGE * sizeof(*entries))) ==
                         (ssize_t)len);
    close(fd);
    for (size_t i = 0; i < pages; i++)
        entries[i] &= UINT64_C(3) << 62;
}

/* A new mapping gets the pages that there were; the others are zero, as they were. */
static void move_pages(struct rank *rank)
{
    size_t len = rank->world->options.region_bytes, pages = len / PAGE;
    uint64_t *there = malloc(pages * sizeof(*there));
    unsigned char *copy = malloc(len), *at = (unsigned char *)rank->cell;
    check(there && copy);
    find_pages(at, pages, there);
    for (size_t i = 0; i < pages; i++)
        if (there[i])
            memcpy(copy + i * PAGE, at + i * PAGE, PAGE);
    munmap(at, len);
    map_region((int)(rank - rank->world->ranks), len);
    for (size_t i = 0; i < pages; i++)
        if (there[i])
            memcpy(at + i * PAGE, copy + i * PAGE, PAGE);
    free(copy);
    free(there);
    rank->lives++;
    rank->world->result->moves++;
    refill(rank);
}

void native_move_region(void)
{
    struct rank *rank = self_rank;
    enter(rank);
    while (finish_gets(rank, true))
        ; /* a rank is frozen only when its gets are done */
    move_pages(rank);
    pthread_mutex_unlock(&rank->world->lock);
}

int weft_migration_point(int (*entry)(void *argument), void *argument)
{
    struct rank *rank = self_rank;
    if (!rank->world->options.moving || next_random(&rank->random) % 4 != 0)
        return 0;
    check(rank->cell->pins == 0);
    native_move_region();
    rank->entry = entry;
    rank->argument = argument;
    longjmp(rank->end, 1);
}

struct mapping {
    uintptr_t from, to;
};
enum { MAPPINGS_MAX = 4096 };
#define PROGRAMS 0x500000000000ull

/* What is mapped in this process, but for the regions and for the sanitizers' tables, which lie
 * below programs. */
static size_t list_mappings(struct mapping *list)
{
    char line[512];
    size_t n = 0;
    unsigned long long from, to;
    FILE *maps = fopen("/proc/self/maps", "r");
    check(maps != NULL);
    while (fgets(line, sizeof(line), maps))
        if (sscanf(line, "%llx-%llx", &from, &to) == 2 && from >= PROGRAMS &&
            (from < BASE || from >= BASE + 64 * STRIDE)) {
            check(n < MAPPINGS_MAX);
            list[n++] = (struct mapping){(uintptr_t)from, (uintptr_t)to};
        }
    fclose(maps);
    return n;
}

bool native_finds_pointers(void)
{
    static const char here;
    return (uintptr_t)&here >= PROGRAMS;
}

static bool is_in(const struct mapping *list, size_t n, uintptr_t word)
{
    for (size_t i = 0; i < n; i++)
        if (word >= list[i].from && word < list[i].to)
            return true;
    return false;
}

const void *native_foreign_pointer(void)
{
    static _Thread_local struct mapping list[MAPPINGS_MAX];
    struct weft_cell *cell = weft_cell_self();
    const uintptr_t *word = (const uintptr_t *)(const void *)cell;
    const uintptr_t *calls_at = (const uintptr_t *)(const void *)&cell->calls;
    const uintptr_t *host_at = (const uintptr_t *)(const void *)&cell->host;
    const void *found = NULL;
    size_t n = list_mappings(list);
    pthread_mutex_lock(&self_rank->world->lock); /* others write into the mailbox */
    weft__memcheck_lenient();
    for (size_t i = 0; i < cell->len_bytes / sizeof(*word) && !found; i++)
        if (word[i] > 0 && &word[i] != calls_at && &word[i] != host_at && is_in(list, n, word[i]))
            found = &word[i];
    weft__memcheck_strict();
    pthread_mutex_unlock(&self_rank->world->lock);
    return found;
}

/* ---- ranks ---- */

static void *rank_thread(void *argument)
{
    struct rank *rank = argument;
    self_rank = rank;
    weft_entry *entry = rank->entry;
    void *entry_argument = rank->argument;
    rank->entry = NULL;
    if (setjmp(rank->end) == 0)
        rank->code = entry(entry_argument);
    self_rank = NULL;
    if (rank->entry) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, rank_thread, rank) == 0);
        pthread_join(thread, NULL);
        return NULL;
    }
    pthread_mutex_lock(&rank->world->lock);
    deliver(rank->world, 1);
    rank->ended = true;
    check_deadlock(rank->world);
    pthread_mutex_unlock(&rank->world->lock);
    return NULL;
}

static void open_world(struct world *world, const struct native_options *options, void *argument)
{
    int n = options->ranks;
    pthread_condattr_t monotonic;
    world->options = *options;
    if (!world->options.packet_max)
        world->options.packet_max = 4096;
    if (!world->options.mailbox_bytes)
        world->options.mailbox_bytes = 64 * 1024;
    if (!world->options.region_bytes)
        world->options.region_bytes = 16u << 20;
    world->random = options->seed;
    world->ranks = calloc((size_t)n, sizeof(*world->ranks));
    world->pairs = calloc((size_t)n * (size_t)n, sizeof(*world->pairs));
    check(world->ranks && world->pairs);
    pthread_mutex_init(&world->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (int i = 0; i < n; i++) {
        struct rank *rank = &world->ranks[i];
        rank->world = world;
        rank->random = options->seed * 1000003u + (uint64_t)i;
        rank->entry = world->main_fn;
        rank->argument = argument;
        pthread_cond_init(&rank->bell, &monotonic);
        make_cell(rank, i);
    }
    pthread_condattr_destroy(&monotonic);
}

static void close_world(struct world *world)
{
    int n = world->options.ranks;
    for (int i = 0; i < n; i++) {
        struct rank *rank = &world->ranks[i];
        world->result->heap_used += weft__heap_used(rank->cell->heap);
        if (!world->aborted && rank->code > world->result->code)
            world->result->code = rank->code;
        pthread_cond_destroy(&rank->bell);
        munmap(rank->cell, world->options.region_bytes);
    }
    for (int i = 0; i < n * n; i++)
        for (struct held *held = world->pairs[i].first, *next; held; held = next) {
            next = held->next;
            free(held);
        }
    pthread_mutex_destroy(&world->lock);
    free(world->ranks);
    free(world->pairs);
}

void native_run(const struct native_options *options, native_main *main_fn, void *argument,
                struct native_result *result_out)
{
    struct world world = {.main_fn = main_fn, .result = result_out};
    pthread_t threads[64];
    check(options->ranks > 0 && options->ranks <= 64);
    memset(result_out, 0, sizeof(*result_out));
    open_world(&world, options, argument);
    for (int i = 0; i < options->ranks; i++)
        check(pthread_create(&threads[i], NULL, rank_thread, &world.ranks[i]) == 0);
    for (int i = 0; i < options->ranks; i++)
        pthread_join(threads[i], NULL);
    result_out->aborted = world.aborted;
    close_world(&world);
}
