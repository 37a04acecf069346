/* What does libmpi itself cost: a short message on the short way, with queues of any depth, and a
 * collective?
 *
 * All ranks in one thread: a packet is a copy into the other's mailbox, so that what is measured is
 * the library and not the runtime below it. The floor is the same packet sent and taken by hand.
 * Of a collective it is the time of all ranks together, divided by their number. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/heap.h"
#include "bench.h"
#include "mpi/mpi.h"
#include "weft/cell.h"
#include "weft/error.h"

enum {
    SPAN = 256 << 20,
    MAILBOX = 1 << 20,
    PACKET_MAX = 16384,
    DEPTHS = 4,
    SHORT_TURNS = 20000,
    RANKS_MAX = 8,
    UNDER_WAY_MAX = 64
};
static const int depths[DEPTHS] = {1, 10, 1000, 10000};

static struct weft_cell *cells[RANKS_MAX];
static int self;
static const void *exposed[RANKS_MAX * UNDER_WAY_MAX];
static struct weft_cell_get *gets[UNDER_WAY_MAX];
static unsigned gets_n;

struct weft_cell *weft_cell_self(void)
{
    return cells[self];
}

/* ---- the runtime: as little as there can be ---- */

static int call_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    struct weft_mailbox *box = &cells[dest]->mailbox;
    struct weft_packet *packet = weft_mailbox_place(box, &box->writer, len);
    if (!packet)
        return WEFT_EAGAIN;
    packet->len_bytes = (uint32_t)len;
    packet->source = cell->rank;
    unsigned char *to = packet->payload;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    weft_mailbox_publish(&box->writer, packet, weft_packet_bytes(len));
    return WEFT_OK;
}

static int call_expose(struct weft_cell *cell, const void *addr, size_t len, uint64_t *id_out)
{
    uint64_t id = 0;
    (void)cell;
    (void)len;
    while (id < RANKS_MAX * UNDER_WAY_MAX && exposed[id])
        id++;
    if (id == RANKS_MAX * UNDER_WAY_MAX)
        return WEFT_EAGAIN;
    exposed[id] = addr;
    *id_out = id;
    return WEFT_OK;
}

static void call_unexpose(struct weft_cell *cell, uint64_t id)
{
    (void)cell;
    exposed[id] = NULL;
}

static void call_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                        struct weft_cell_ticket *ticket_out)
{
    (void)cell;
    (void)id;
    (void)dest;
    *ticket_out = (struct weft_cell_ticket){.len_bytes = 0};
}

static int call_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    (void)cell;
    if (gets_n == UNDER_WAY_MAX)
        return WEFT_EAGAIN;
    atomic_store_explicit(&op->state, 1, memory_order_relaxed);
    gets[gets_n++] = op;
    return WEFT_OK;
}

static int call_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    for (; gets_n > 0; gets_n--) {
        struct weft_cell_get *op = gets[gets_n - 1];
        memcpy(op->into, (const unsigned char *)exposed[op->expose_id] + op->offset, op->len_bytes);
        atomic_store_explicit(&op->state, 0, memory_order_release);
    }
    (void)cell;
    (void)seen;
    if (deadline_ns)
        bench_die("a rank waits for what will never come", WEFT_EINVAL);
    return WEFT_ETIMEDOUT;
}

static uint64_t call_now(struct weft_cell *cell)
{
    (void)cell;
    return weft__now_ns();
}

static int call_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len)
{
    const uint64_t max = PACKET_MAX;
    (void)cell;
    (void)what;
    memcpy(out, &max, len);
    return WEFT_OK;
}

static void call_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void call_abort(struct weft_cell *cell, int code, const char *reason)
{
    (void)cell;
    (void)code;
    fprintf(stderr, "%s\n", reason);
    exit(1);
}

static const struct weft_cell_calls calls = {
    .version = WEFT_CELL_VERSION,
    .len_bytes = sizeof(calls),
    .send = call_send,
    .expose = call_expose,
    .unexpose = call_unexpose,
    .ticket = call_ticket,
    .get = call_get,
    .wait = call_wait,
    .now = call_now,
    .info = call_info,
    .abort = call_abort,
};

static void open_rank(int rank, int size)
{
    unsigned char *bytes = mmap(NULL, SPAN, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        bench_die("no memory for a rank", WEFT_ENOMEM);
    struct weft_cell *cell = (struct weft_cell *)(void *)bytes;
    *cell = (struct weft_cell){.magic = WEFT_CELL_MAGIC,
                               .version = WEFT_CELL_VERSION,
                               .rank = rank,
                               .size = size,
                               .base = cell,
                               .len_bytes = SPAN,
                               .calls = &calls,
                               .mailbox = {.mask = MAILBOX - 1, .bytes = bytes + 4096}};
    cell->heap = weft__heap_init(bytes + 4096 + MAILBOX, SPAN - 4096 - MAILBOX);
    cells[rank] = cell;
    self = rank;
    MPI_Init(NULL, NULL);
}

/* ---- what is measured; each returns ns per message ---- */

/* Of the processor: there is one thread and nothing to wait for, and others may be at work. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double by_hand(int turns)
{
    unsigned char head[40] = {0}, got[40];
    int64_t value = 0;
    uint64_t begin = cpu_ns();
    for (int i = 0; i < turns; i++) {
        const struct iovec parts[] = {{head, sizeof(head)}, {&value, sizeof(value)}};
        cells[0]->calls->send(cells[0], 1, parts, 2);
        const struct weft_packet *packet = weft_cell_peek(cells[1]);
        if (!packet)
            bench_die("a packet is missing", WEFT_ENOENT);
        memcpy(got, packet->payload, sizeof(got));
        memcpy(&value, packet->payload + sizeof(got), sizeof(value));
        weft_cell_consume(cells[1], packet);
    }
    return (double)(cpu_ns() - begin) / turns;
}

static void send_from_0(int tag)
{
    int64_t value = tag;
    self = 0;
    MPI_Send(&value, 1, MPI_INT64_T, 1, tag, MPI_COMM_WORLD);
    self = 1;
}

static double blocking(int turns)
{
    int64_t value;
    uint64_t begin = cpu_ns();
    for (int i = 0; i < turns; i++) {
        send_from_0(7);
        MPI_Recv(&value, 1, MPI_INT64_T, 0, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    return (double)(cpu_ns() - begin) / turns;
}

static double nonblocking(int turns)
{
    int64_t value = 0;
    MPI_Request requests[2];
    uint64_t begin = cpu_ns();
    for (int i = 0; i < turns; i++) {
        self = 1;
        MPI_Irecv(&value, 1, MPI_INT64_T, 0, 7, MPI_COMM_WORLD, &requests[0]);
        self = 0;
        MPI_Isend(&value, 1, MPI_INT64_T, 1, 7, MPI_COMM_WORLD, &requests[1]);
        MPI_Wait(&requests[1], MPI_STATUS_IGNORE);
        self = 1;
        MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
    }
    return (double)(cpu_ns() - begin) / turns;
}

static void receive_on_1(int tag, bool any_source)
{
    int64_t value;
    MPI_Recv(&value, 1, MPI_INT64_T, any_source ? MPI_ANY_SOURCE : 0, tag, MPI_COMM_WORLD,
             MPI_STATUS_IGNORE);
    if (value != tag)
        bench_die("another message was received", WEFT_EINVAL);
}

/* The newest of so many messages that wait is received, and comes again. */
static double unexpected(int depth, int turns, bool any_source)
{
    for (int i = 0; i < depth; i++)
        send_from_0(i);
    uint64_t begin = cpu_ns();
    for (int i = 0; i < turns; i++) {
        receive_on_1(depth - 1, any_source);
        send_from_0(depth - 1);
    }
    double ns = (double)(cpu_ns() - begin) / turns;
    for (int i = depth - 1; i >= 0; i--)
        receive_on_1(i, any_source);
    return ns;
}

/* The newest of so many receives that are posted gets a message, and is posted again. */
static double posted(int depth, int turns, bool any_source)
{
    static int64_t values[10000];
    static MPI_Request requests[10000];
    int source = any_source ? MPI_ANY_SOURCE : 0, last = depth - 1;
    self = 1;
    for (int i = 0; i < depth; i++)
        MPI_Irecv(&values[i], 1, MPI_INT64_T, source, i, MPI_COMM_WORLD, &requests[i]);
    uint64_t begin = cpu_ns();
    for (int i = 0; i < turns; i++) {
        send_from_0(last);
        MPI_Wait(&requests[last], MPI_STATUS_IGNORE);
        MPI_Irecv(&values[last], 1, MPI_INT64_T, source, last, MPI_COMM_WORLD, &requests[last]);
    }
    double ns = (double)(cpu_ns() - begin) / turns;
    for (int i = last; i >= 0; i--) {
        send_from_0(i);
        MPI_Wait(&requests[i], MPI_STATUS_IGNORE);
    }
    return ns;
}

/* ---- collectives, of all ranks in turn ---- */

struct collective {
    const char *name;
    int bytes, turns;
};
static const struct collective collectives[] = {
    {"barrier", 0, 4000},      {"bcast", 8, 4000},     {"bcast", 65536, 200},
    {"bcast", 4 << 20, 4},     {"allreduce", 8, 4000}, {"allreduce", 65536, 100},
    {"allreduce", 4 << 20, 4},
};
enum { COLLECTIVES = sizeof(collectives) / sizeof(collectives[0]), SIZES = 2 };
static const int sizes[SIZES] = {2, RANKS_MAX};

static void start(const struct collective *what, double *from, double *into, MPI_Request *request)
{
    if (strcmp(what->name, "barrier") == 0)
        MPI_Ibarrier(MPI_COMM_WORLD, request);
    else if (strcmp(what->name, "bcast") == 0)
        MPI_Ibcast(from, what->bytes, MPI_CHAR, 0, MPI_COMM_WORLD, request);
    else
        MPI_Iallreduce(from, into, what->bytes / 8, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, request);
}

/* Each rank has buffers of its own, at the same place in its region. */
static double collective(const struct collective *what, int ranks, double *const buffers[])
{
    MPI_Request requests[RANKS_MAX];
    uint64_t begin = cpu_ns();
    for (int i = 0; i < what->turns; i++) {
        for (self = 0; self < ranks; self++)
            start(what, buffers[2 * self], buffers[2 * self + 1], &requests[self]);
        for (int left = ranks, done; left > 0;)
            for (self = 0; self < ranks; self++) {
                if (requests[self] == MPI_REQUEST_NULL)
                    continue;
                MPI_Test(&requests[self], &done, MPI_STATUS_IGNORE);
                left -= done;
            }
    }
    return (double)(cpu_ns() - begin) / what->turns / ranks;
}

/* ---- series ---- */

struct results {
    struct bench_series floor, blocking, nonblocking, posted[2][DEPTHS], unexpected[2][DEPTHS];
    struct bench_series collectives[SIZES][COLLECTIVES];
};

static void measure_collectives(const struct bench *bench, struct results *results, int which)
{
    double *buffers[2 * RANKS_MAX];
    size_t most = 0;
    for (int i = 0; i < COLLECTIVES; i++)
        most = (size_t)collectives[i].bytes > most ? (size_t)collectives[i].bytes : most;
    for (int i = 0; i < 2 * sizes[which]; i++) {
        buffers[i] = weft__heap_calloc(cells[i / 2]->heap, 1, most);
        if (!buffers[i])
            bench_die("no memory for a rank", WEFT_ENOMEM);
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        for (int i = 0; i < COLLECTIVES; i++)
            bench_add(&results->collectives[which][i],
                      collective(&collectives[i], sizes[which], buffers));
}

static void label_collective(struct bench_series *series, const struct collective *what, int ranks)
{
    snprintf(series->id, sizeof(series->id), "match.%s_%d_%d", what->name, what->bytes, ranks);
    snprintf(series->what, sizeof(series->what), "%s of %d bytes, %d ranks, of one", what->name,
             what->bytes, ranks);
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ns");
}

static void label(struct bench_series *series, const char *kind, int depth, bool any_source)
{
    const char *any = any_source ? "_any" : "", *source = any_source ? ", from any source" : "";
    if (depth == 0) {
        snprintf(series->id, sizeof(series->id), "match.%s", kind);
        snprintf(series->what, sizeof(series->what), "8 bytes, %s", kind);
    } else {
        snprintf(series->id, sizeof(series->id), "match.%s%s_%d", kind, any, depth);
        snprintf(series->what, sizeof(series->what), "newest of %d %s%s", depth, kind, source);
    }
    snprintf(series->subject, sizeof(series->subject), "weft");
    snprintf(series->unit, sizeof(series->unit), "ns");
}

static void label_all(struct results *results)
{
    label(&results->floor, "floor", 0, false);
    label(&results->blocking, "blocking", 0, false);
    label(&results->nonblocking, "nonblocking", 0, false);
    for (int any = 0; any < 2; any++)
        for (int i = 0; i < DEPTHS; i++) {
            label(&results->posted[any][i], "posted", depths[i], any);
            label(&results->unexpected[any][i], "unexpected", depths[i], any);
        }
    for (int k = 0; k < SIZES; k++)
        for (int i = 0; i < COLLECTIVES; i++)
            label_collective(&results->collectives[k][i], &collectives[i], sizes[k]);
}

static void measure_round(struct results *results)
{
    bench_add(&results->floor, by_hand(SHORT_TURNS));
    bench_add(&results->blocking, blocking(SHORT_TURNS));
    bench_add(&results->nonblocking, nonblocking(SHORT_TURNS));
    for (int any = 0; any < 2; any++)
        for (int i = 0; i < DEPTHS; i++) {
            bench_add(&results->posted[any][i], posted(depths[i], SHORT_TURNS / 4, any));
            bench_add(&results->unexpected[any][i], unexpected(depths[i], SHORT_TURNS / 4, any));
        }
}

static void print_all(const struct bench *bench, struct results *results)
{
    bench_print(bench, &results->floor);
    bench_print(bench, &results->blocking);
    bench_print(bench, &results->nonblocking);
    for (int any = 0; any < 2; any++)
        for (int i = 0; i < DEPTHS; i++)
            bench_print(bench, &results->posted[any][i]);
    for (int any = 0; any < 2; any++)
        for (int i = 0; i < DEPTHS; i++)
            bench_print(bench, &results->unexpected[any][i]);
    for (int k = 0; k < SIZES; k++)
        for (int i = 0; i < COLLECTIVES; i++)
            bench_print(bench, &results->collectives[k][i]);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", 0, NULL, 'j'}, {"rounds", 1, NULL, 'r'}, {"help", 0, NULL, 'h'}, {0}};
    static struct results results;
    struct bench bench = {.rounds = 7};
    for (int c; (c = getopt_long(argc, argv, "jr:h", longs, NULL)) != -1;) {
        if (c == 'j') {
            bench.json = true;
        } else if (c == 'r') {
            bench.rounds = bench_number(optarg, BENCH_ROUNDS_MAX);
        } else {
            fprintf(c == 'h' ? stdout : stderr, "Usage: bench-match [--json] [--rounds N]\n"
                                                "Measures what libmpi costs without a runtime.\n");
            return c == 'h' ? 0 : 2;
        }
    }
    open_rank(0, 2);
    open_rank(1, 2);
    label_all(&results);
    for (unsigned i = 0; i < bench.rounds; i++)
        measure_round(&results);
    measure_collectives(&bench, &results, 0);
    for (int i = 0; i < RANKS_MAX; i++)
        open_rank(i, RANKS_MAX);
    measure_collectives(&bench, &results, 1);
    print_all(&bench, &results);
    return 0;
}
