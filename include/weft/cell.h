/* The runtime-call table: all that a program layer inside a rank (libmpi) may ask of the outside.
 *
 * A rank's whole private memory is one address range (its cell, or region) that is the same on
 * every host. The range begins with struct weft_cell. libmpi keeps its state in the range and
 * reaches the runtime through `calls` only, so that moving a rank is copying its pages. Pointers in
 * the range to anything outside it are limited to the fields marked "refilled": the runtime writes
 * them anew when the rank arrives on a host.
 */
#ifndef WEFT_CELL_H
#define WEFT_CELL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "weft/api.h"
#include "weft/executor.h"

#ifdef __cplusplus
#error "weft/cell.h is for C code of the runtime and libmpi"
#endif

#define WEFT_CELL_MAGIC 0x6c6c6563u /* "cell" */
#define WEFT_CELL_VERSION 5
/* In the auxiliary vector of a program that is a rank by itself: the address of its cell. */
#define WEFT_CELL_AUX 0x77656674u /* "weft" */

struct weft_cell;
struct weft_heap;
typedef int weft_entry(void *argument);

/* One packet in the mailbox: header and payload, aligned to a cache line. */
struct weft_packet {
    uint32_t len_bytes; /* payload; WEFT_PACKET_WRAP: the rest of the ring is unused, go on at its
                           start */
    int32_t source;     /* rank */
    _Atomic uint64_t stamp; /* weft_packet_stamp() of its position: the packet is there; set last */
    unsigned char payload[];
};
#define WEFT_PACKET_WRAP UINT32_MAX
#define WEFT_PACKET_ALIGN 64u

/* What only those who write into a mailbox know. */
struct weft_mailbox_writer {
    _Atomic uint64_t head; /* written up to here */
    uint64_t tail_seen;    /* at least up to here it has been read */
};

/* A byte ring in the range: the process writes (one writer at a time), the rank reads. Positions
 * only grow. What the two sides change lies in cache lines of its own: the reader looks for the
 * next packet's stamp. */
struct weft_mailbox {
    unsigned char gap_before[64];
    struct weft_mailbox_writer writer; /* the runtime may keep it elsewhere, while the rank runs */
    unsigned char gap_between[64];
    _Atomic uint64_t tail; /* read up to here */
    unsigned char gap_behind[64];
    uint64_t mask;        /* capacity - 1; capacity is a power of two */
    unsigned char *bytes; /* in the range */
    unsigned char gap_end[64];
};

/* Where exposed bytes lie at present: with it they are pulled without asking their owner for the
 * way. May be sent to the rank that it was made for. When it does not hold any more (the owner has
 * moved) the owner is asked after all. All zeros: there is none. */
struct weft_cell_ticket {
    uint64_t key, base, len_bytes;
    uint32_t process, incarnation;
};

/* Pulling bytes that another rank has exposed. Lives in the caller's memory until state <= 0. */
struct weft_cell_get {
    int32_t source;
    uint64_t expose_id;
    uint64_t offset;
    void *into;
    size_t len_bytes;
    struct weft_cell_ticket ticket;
    _Atomic int state; /* 1: under way; 0: the bytes are here; < 0: enum weft_err. The bell rings
                          when it changes. */
    void *runtime;     /* the runtime's, while under way */
};

enum weft_cell_info {
    WEFT_INFO_HOST_NAME,  /* text with NUL */
    WEFT_INFO_PACKET_MAX, /* uint64_t: largest payload of send() in bytes */
    WEFT_INFO_PROCESS_ID  /* uint64_t */
};

/* Thread: the rank's own, everywhere. Every call may move the transports forward. */
struct weft_cell_calls {
    uint32_t version; /* WEFT_CELL_VERSION */
    uint32_t len_bytes;
    /* Ends the whole app with this code. Stays the first one: with it a libmpi of another version
     * says so. */
    void (*abort)(struct weft_cell *cell, int code, const char *reason) __attribute__((noreturn));
    /* Sends one packet to a rank (itself too): exactly once and in order per pair, across moves of
     * either rank. The parts are copied.  Errors: WEFT_EAGAIN no credit: wait() and try again;
     * WEFT_EMSGSIZE; WEFT_EINVAL no such rank. */
    int (*send)(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n);
    /* Lets other ranks get() these bytes; they must stay as they are until unexpose. The id
     * survives moves.  Errors: WEFT_EAGAIN too many; WEFT_EINVAL they cannot be read; WEFT_ENOSPC
     * only a part of the rank's memory is seen, and a copy finds no room there. */
    int (*expose)(struct weft_cell *cell, const void *addr, size_t len_bytes, uint64_t *id_out);
    void (*unexpose)(struct weft_cell *cell, uint64_t id);
    /* For the rank that is to get() what is exposed. None where that is not worth while. */
    void (*ticket)(struct weft_cell *cell, uint64_t id, int32_t dest,
                   struct weft_cell_ticket *ticket_out);
    /* Starts pulling; see struct weft_cell_get. Never completes inside the call. Errors:
     * WEFT_EAGAIN; WEFT_EINVAL no such rank, or no memory to pull into. The op ends with
     * WEFT_EACCES where the owner cannot read what it exposes. */
    int (*get)(struct weft_cell *cell, struct weft_cell_get *op);
    /* Moves things forward until the bell differs from seen or the deadline (now() scale; 0: once,
     * UINT64_MAX: none) passes. Sleeps when there is nothing to do.  Errors: WEFT_ETIMEDOUT. */
    int (*wait)(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns);
    /* Rings the rank's own bell.  Thread: any. */
    void (*wake)(struct weft_cell *cell);
    /* See weft/migrate.h. Returns 0 when the rank stays; does not return when it moves. */
    int (*migration_point)(struct weft_cell *cell, weft_entry *entry, void *argument);
    uint64_t (*now)(struct weft_cell *cell); /* ns; never goes backwards, also across a move */
    int (*info)(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes);
    void (*exit)(struct weft_cell *cell, int code) __attribute__((noreturn));
    void (*log)(struct weft_cell *cell, int level, const char *text);
    /* Calls from outside, see weft/executor.h. deadline_ns as in wait(); err 0: bytes are the
     * reply, else the error's text. */
    int (*call_next)(struct weft_cell *cell, uint64_t deadline_ns,
                     struct weft_executor_call *call_out);
    int (*call_answer)(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                       size_t len_bytes);
    int (*call_is_cancelled)(struct weft_cell *cell, uint64_t id);
};

struct weft_cell {
    uint32_t magic;
    uint32_t version;
    uint64_t app;
    int32_t rank;
    int32_t size;
    void *base; /* address of this struct */
    uint64_t len_bytes;
    const struct weft_cell_calls *calls; /* refilled */
    void *host;                          /* refilled: the runtime's object for this rank */
    struct weft_heap *heap; /* serves weft_alloc() and libmpi; the rank's thread only */
    void *runtime;          /* the runtime's state that moves: sequences, windows, exposures */
    void *mpi;              /* libmpi's state; NULL before MPI_Init */
    _Atomic uint32_t move_pending; /* set while the runtime wants the rank at a migration point */
    _Atomic uint32_t bell;         /* counts packets and completions; a futex word */
    uint32_t pins;                 /* > 0: the rank cannot move, because of pin_reason */
    char pin_reason[100];
    int64_t clock_offset_ns; /* added to the host's clock by now() */
    struct weft_mailbox mailbox;
    uint32_t in_mpi;  /* between MPI_Init and MPI_Finalize: a rank that ends so ends its app */
    uint32_t glances; /* the runtime's wish: looks into the mailbox before each wait() */
    const _Atomic int32_t *others; /* refilled: above 0 there are others to run, and it glances no
                                      more; NULL: nobody says */
    uint32_t share; /* ranks that share a core, where all of the world began in one process: the
                       same number in all of them, wherever they are; 0: they did not */
};

/* The cell of the calling rank; NULL in a thread that is no rank. */
WEFT_API struct weft_cell *weft_cell_self(void);

/* ---- reading the mailbox ---- */

/* What a packet at this position is known by. What lay there before, a stamp of another round of
 * the ring or a piece of a payload, is something else: numbers that nobody else computes with. */
static inline uint64_t weft_packet_stamp(uint64_t position)
{
    return (position ^ UINT64_C(0x6e2b94c1a7d03f58)) * UINT64_C(0xb5c18e6f3a92d74d);
}

/* What a packet takes of the ring. */
static inline uint64_t weft_packet_bytes(size_t payload_bytes)
{
    return (sizeof(struct weft_packet) + payload_bytes + WEFT_PACKET_ALIGN - 1) &
           ~(uint64_t)(WEFT_PACKET_ALIGN - 1);
}

static inline struct weft_packet *weft_packet_at(const struct weft_mailbox *box, uint64_t position)
{
    return (struct weft_packet *)(void *)(box->bytes + (position & box->mask));
}

/* The oldest packet that has not been consumed; NULL: none. Does not enter the runtime. */
static inline const struct weft_packet *weft_cell_peek(struct weft_cell *cell)
{
    struct weft_mailbox *box = &cell->mailbox;
    uint64_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
    for (;;) {
        const struct weft_packet *packet = weft_packet_at(box, tail);
        if (atomic_load_explicit(&packet->stamp, memory_order_acquire) != weft_packet_stamp(tail))
            return NULL;
        if (packet->len_bytes != WEFT_PACKET_WRAP)
            return packet;
        tail = (tail | box->mask) + 1;
        atomic_store_explicit(&box->tail, tail, memory_order_release);
    }
}

/* Gives the packet of the last peek back to the ring. */
static inline void weft_cell_consume(struct weft_cell *cell, const struct weft_packet *packet)
{
    uint64_t tail = atomic_load_explicit(&cell->mailbox.tail, memory_order_relaxed);
    atomic_store_explicit(&cell->mailbox.tail, tail + weft_packet_bytes(packet->len_bytes),
                          memory_order_release);
}

/* ---- writing: the runtime, one thread at a time ---- */

/* The reader's position is looked at only where the last one that was seen is too old. */
static inline int weft_mailbox_has_room(const struct weft_mailbox *box,
                                        struct weft_mailbox_writer *writer, uint64_t head,
                                        uint64_t len)
{
    if (len <= box->mask + 1 - (head - writer->tail_seen))
        return 1;
    writer->tail_seen = atomic_load_explicit(&box->tail, memory_order_acquire);
    return len <= box->mask + 1 - (head - writer->tail_seen);
}

static inline void weft_mailbox_publish(struct weft_mailbox_writer *writer,
                                        struct weft_packet *packet, uint64_t len)
{
    uint64_t head = atomic_load_explicit(&writer->head, memory_order_relaxed);
    atomic_store_explicit(&packet->stamp, weft_packet_stamp(head), memory_order_release);
    atomic_store_explicit(&writer->head, head + len, memory_order_release);
}

/* Where a packet goes whose payload is so long; NULL: there is no room. What is written there is
 * followed by publish(), with weft_packet_bytes(). A packet never crosses the end of the ring. */
static inline struct weft_packet *weft_mailbox_place(const struct weft_mailbox *box,
                                                     struct weft_mailbox_writer *writer,
                                                     size_t payload_bytes)
{
    uint64_t len = weft_packet_bytes(payload_bytes);
    uint64_t head = atomic_load_explicit(&writer->head, memory_order_relaxed);
    uint64_t to_end = box->mask + 1 - (head & box->mask), skip = len > to_end ? to_end : 0;
    if (!weft_mailbox_has_room(box, writer, head, skip + len))
        return NULL;
    if (skip) {
        struct weft_packet *marker = weft_packet_at(box, head);
        marker->len_bytes = WEFT_PACKET_WRAP;
        weft_mailbox_publish(writer, marker, skip);
    }
    return weft_packet_at(box, head + skip);
}

/* Whether [addr, addr + len) lies in the rank's range. */
static inline int weft_cell_holds(const struct weft_cell *cell, const void *addr, size_t len_bytes)
{
    uintptr_t base = (uintptr_t)cell->base, at = (uintptr_t)addr;
    return at >= base && at - base <= cell->len_bytes && len_bytes <= cell->len_bytes - (at - base);
}

#endif
