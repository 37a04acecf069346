/* What libmpi knows of one rank. All of it lies in the rank's range and points nowhere else: types
 * and operations are named by number, code is never stored, and the range has the same address on
 * every host. So the rank can be moved between any two MPI calls by copying its range.
 */
#ifndef WEFT_MPI_STATE_H
#define WEFT_MPI_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpi/abi.h"
#include "mpi/list.h"
#include "mpi/table.h"
#include "mpi/type.h"
#include "weft/cell.h"

#define WEFT_MPI_MAGIC 0x69706d04u /* "mpi" and the version of this layout */
#define WEFT_MPI_CHUNK 128u /* requests in the first chunk; each further one has twice as many */
#define WEFT_MPI_CHUNKS_MAX 12u /* every handle fits into an int */
#define WEFT_MPI_TAG_UB INT32_MAX
#define WEFT_MPI_PREDEFINED_ATTRS 7

/* Index handles: the table index above the 12 bits that the ABI reserves, below them the null
 * handle's value. */
#define WEFT_MPI_HANDLE_SHIFT 12
#define WEFT_MPI_HANDLE_MASK 0xfffu
#define WEFT_MPI_COMM_KIND 0x100u
#define WEFT_MPI_GROUP_KIND 0x108u
#define WEFT_MPI_ERRHANDLER_KIND 0x140u
#define WEFT_MPI_INFO_KIND 0x130u
#define WEFT_MPI_KEYVAL_KIND 0x1f0u
#define WEFT_MPI_MESSAGE_KIND 0x128u
#define WEFT_MPI_REQUEST_KIND 0x180u

struct weft_mpi_attr;
struct weft_mpi_codes;
struct weft_mpi_info;
struct weft_mpi_request;
struct weft_mpi_schedule;
struct weft_mpi_topo;
struct weft_mpi_type_attrs;

/* First bytes of every packet between two ranks' libmpi. */
enum weft_mpi_kind {
    WEFT_MPI_EAGER = 1,
    WEFT_MPI_RTS,
    WEFT_MPI_FIN,     /* the message has been received */
    WEFT_MPI_CANCEL,  /* drop the message with this cookie, if no receive has it yet */
    WEFT_MPI_REFUSED, /* the message was dropped, and will never be received */
    WEFT_MPI_WANT,    /* pieces.c: a receive (expose_id) wants it from the byte len_bytes on */
    WEFT_MPI_PIECE    /* that receive (cookie) finds len_bytes of it behind expose_id */
};

struct weft_mpi_header {
    uint16_t kind;
    uint16_t stamp;  /* of a collective: what its ranks must agree on; else 0 */
    uint32_t cookie; /* the sender's request, where it waits for an answer; else 0 */
    int32_t source;  /* rank in the communicator, of the sender's group */
    int32_t tag;
    uint64_t context;   /* of the communicator; its lowest bit: collective. FIN, REFUSED: 0 */
    uint64_t len_bytes; /* of the message */
    uint64_t expose_id; /* not in EAGER */
    struct weft_cell_ticket ticket; /* RTS */
};
#define WEFT_MPI_HEADER_BYTES offsetof(struct weft_mpi_header, expose_id) /* EAGER */

/* Of a packet of this kind. */
static inline size_t weft__mpi_header_bytes(unsigned kind)
{
    return kind == WEFT_MPI_EAGER ? WEFT_MPI_HEADER_BYTES
           : kind == WEFT_MPI_RTS ? sizeof(struct weft_mpi_header)
                                  : offsetof(struct weft_mpi_header, ticket);
}

/* A packet that the runtime had no credit for; lies in its request, or in a block of its own
 * (request NULL). */
struct weft_mpi_out {
    struct weft_mpi_link link;
    int32_t dest; /* world rank */
    struct weft_mpi_request *request;
    struct weft_mpi_header header;
    const void *payload;
    size_t payload_len;
};

/* Per world rank: packets to it that wait for credit, and the attempt in which there was none. */
struct weft_mpi_dest {
    uint32_t waiting;
    uint32_t refused;
};

/* A message that came before its receive. */
struct weft_mpi_message {
    struct weft_mpi_link link;
    struct weft_mpi_link index[3]; /* match.c's: by source and tag, by source, by tag */
    struct weft_mpi_header header;
    int32_t world_source;
    struct weft_mpi_request *local; /* the send of this rank to itself that waits to be received */
    unsigned char bytes[];          /* EAGER: the data */
};

/* Zeroed but for its lists: nothing has come yet. */
struct weft_mpi_queue {
    struct weft_mpi_link posted;     /* requests */
    struct weft_mpi_link unexpected; /* messages */
    uint32_t posted_n, unexpected_n;
    uint32_t posted_wild_n; /* of them, receives from any source or with any tag */
    uint32_t indexed;       /* bits of match.c: what it has in tables */
};

/* Ranks in an order. Counted: communicators and handles of the program share it. Never changes. */
struct weft_mpi_group {
    uint32_t refs;
    int32_t size;
    int32_t rank;               /* of this rank; MPI_UNDEFINED: it is not in it */
    uint32_t unused;            /* no gap that bits of the stack could stay in */
    const int32_t *world_ranks; /* in this block; NULL: the same numbers as in the world */
};

/* Items of many queues by source and tag; match.c's. */
struct weft_mpi_index {
    struct weft_mpi_link *buckets; /* mask + 1; zeroed ones are empty; NULL: none yet */
    uint32_t mask;
    uint32_t n; /* items */
};
#define WEFT_MPI_INDICES 4

/* How a short collective is carried out: what has been chosen for one like it. */
struct weft_mpi_choice {
    uint64_t len_bytes;
    int32_t root;
    uint32_t op;
    uint16_t stamp; /* 0: nothing has been chosen yet */
    uint8_t kind, algorithm;
    uint32_t unused; /* no gap that bits of the stack could stay in */
};

struct weft_mpi_comm {
    MPI_Comm handle;            /* MPI_COMM_NULL: the program has freed it, or never gets it */
    uint32_t refs;              /* the handle, requests, communicators that use it; see comm.h */
    uint64_t context;           /* of point to point; + 1: of collectives */
    int32_t rank, size;         /* in its group */
    int32_t peers;              /* ranks to talk to: size, or the size of the remote group */
    const int32_t *world_ranks; /* of the peers; NULL: the same numbers as in the world */
    struct weft_mpi_group *group, *remote; /* remote NULL: an intracommunicator */
    MPI_Errhandler errhandler;
    uint32_t collectives;           /* started so far */
    struct weft_mpi_schedule *kept; /* see schedule_again(); NULL: none */
    struct weft_mpi_choice choice;  /* the last one */
    struct weft_mpi_comm *next;     /* of those whose contexts share a bucket */
    bool open;                      /* messages find it */
    struct weft_mpi_comm *local;    /* of an intercommunicator: its group's own, for collectives */
    struct weft_mpi_attr *attrs;
    struct weft_mpi_info *info;         /* hints; NULL: none */
    struct weft_mpi_attached *attached; /* for buffered sends; NULL: none of its own */
    struct weft_mpi_topo *topo;         /* NULL: none */
    char name[MPI_MAX_OBJECT_NAME];
    struct weft_mpi_queue queues[2];
};

enum weft_mpi_request_kind {
    WEFT_MPI_FREE,
    WEFT_MPI_SEND,
    WEFT_MPI_RECV,
    WEFT_MPI_COLLECTIVE,
    WEFT_MPI_MESSAGE,     /* one that a matched probe has taken: behind an MPI_Message */
    WEFT_MPI_GENERALIZED, /* the program completes it */
    WEFT_MPI_FLUSH        /* done when buffered sends have left */
};

struct weft_mpi_request {
    struct weft_mpi_link
        link; /* of the queue where it waits: posted, getting, starting, ready, free */
    struct weft_mpi_comm *comm;
    struct weft_mpi_request *parent; /* the collective, or the receive of a send-receive, that it is
                                        a part of */
    uint32_t index;
    uint8_t kind; /* enum weft_mpi_request_kind */
    bool done;
    uint16_t stamp; /* of a part of a collective */
    bool persistent;
    bool inactive; /* persistent, and not started */
    bool given;    /* the program has its handle */
    bool detached; /* nobody will ask for it */
    bool copied;   /* a send whose buffer may change meanwhile: it makes a copy */
    bool sync;     /* a send that completes when it is received */
    bool buffered; /* a persistent send: each start is a buffered send */
    bool posted;
    bool pinned;
    bool exposed;
    bool cancelling; /* a send that its receiver may drop */
    bool cancelled;
    bool collective; /* context */
    bool in_pieces;  /* RECV: see pieces.h */
    uint8_t parts;   /* RECV: of a send-receive, what is not done of it */
    int32_t peer, tag;
    uint32_t type; /* held */
    int error;
    MPI_Count count;
    void *buf;
    void *packed;      /* the message in one piece, where the data are not */
    const void *bytes; /* SEND: packed, or where they are in one piece */
    size_t len_bytes;  /* of the message; RECV: room */
    size_t got_bytes;  /* RECV: length of what was sent; SEND: pieces.c's */
    int32_t source, got_tag;
    int32_t world_source; /* of a rendezvous */
    uint32_t cookie;
    union {
        uint64_t expose_id;  /* SEND */
        uint64_t sent_bytes; /* RECV: the message's length, if it was too long; SEND: pieces.c's */
    };
    union { /* NULL: none */
        struct weft_mpi_schedule *schedule;
        struct weft_mpi_segment *segment;         /* SEND: of an attached buffer, holds the data */
        struct weft_mpi_message *message;         /* MESSAGE */
        struct weft_mpi_generalized *generalized; /* GENERALIZED */
    };
    uint64_t order; /* of a posted receive; FLUSH: of the first segment that it does not wait for */
    /* From here on not zeroed when it comes from the table: set before it is used, links are in no
     * list while it is free. */
    struct weft_mpi_link index_link; /* match.c's */
    struct weft_mpi_out out;
    struct weft_cell_get get;
};

struct weft_mpi {
    uint32_t magic;
    bool initialized, finalized;
    bool finalizing; /* all ranks are in MPI_Finalize: nothing will be received any more */
    int thread_level;
    struct weft_cell *cell;
    struct weft_mpi_comm *world, *self;
    struct weft_mpi_table comms;
    struct weft_mpi_comm **buckets; /* open communicators, by context */
    uint32_t buckets_n, open_n;     /* buckets: a power of two */
    uint64_t contexts;              /* that this rank has given out */
    struct weft_mpi_table groups, infos, errhandlers, keyvals;
    struct weft_mpi_group *empty;
    struct weft_mpi_info *env;
    struct weft_mpi_codes *codes; /* error codes of the program; NULL: none */
    MPI_Errhandler file_errhandler;
    struct weft_mpi_type_attrs *type_attrs;
    int attr_values[WEFT_MPI_PREDEFINED_ATTRS];
    struct weft_mpi_queue early; /* messages of communicators that this rank has not opened yet */
    uint64_t packet_max;
    struct weft_mpi_request *chunks[WEFT_MPI_CHUNKS_MAX];
    uint32_t chunks_n;
    uint32_t requests_n; /* in use */
    struct weft_mpi_link free;
    struct weft_mpi_request *sent; /* see request.h */
    uint32_t glances;              /* waits that a look into the mailbox has ended */
    struct weft_mpi_link outs;     /* packets without credit, oldest first */
    struct weft_mpi_dest *dests;   /* by world rank */
    uint32_t pass;                 /* attempts to send them so far */
    struct weft_mpi_link starting; /* receives whose get was refused for now */
    struct weft_mpi_link getting;  /* receives whose get is under way */
    struct weft_mpi_link ready;    /* collectives whose round is complete */
    void *spare_schedules;         /* schedule.c's blocks that are free */
    uint32_t spare_schedules_n;
    uint64_t unexpected_n, unexpected_bytes;
    uint64_t posted;                    /* receives posted so far */
    struct weft_mpi_attached *attached; /* for buffered sends; NULL: none */
    struct weft_mpi_index indices[WEFT_MPI_INDICES];
    struct weft_mpi_table types; /* derived ones */
    struct weft_mpi_table ops;   /* of the program */
    char **type_names;           /* that the program gave to predefined ones; NULL: none */
};

/* The rank's state. Ends the app with a reason where MPI is not initialised or this thread is no
 * rank. */
struct weft_mpi *weft__mpi_enter(const char *where);
/* The same for what MPI allows before MPI_Init and after MPI_Finalize: info objects, error codes
 * and handlers. */
struct weft_mpi *weft__mpi_enter_any_time(const char *where);

/* The communicator; NULL: not one. */
struct weft_mpi_comm *weft__mpi_comm_find(struct weft_mpi *mpi, MPI_Comm handle);
/* The communicator of a handle that the program gave to `where`.  Errors: MPI_ERR_COMM, raised. */
int weft__mpi_comm_get(struct weft_mpi *mpi, const char *where, MPI_Comm handle,
                       struct weft_mpi_comm **comm_out);

/* The world rank of a rank that comm sends to and receives from. */
static inline int32_t weft__mpi_comm_world_rank(const struct weft_mpi_comm *comm, int32_t rank)
{
    return comm->world_ranks ? comm->world_ranks[rank] : rank;
}

static inline uintptr_t weft__mpi_handle_value(const void *handle)
{
    return (uintptr_t)handle;
}

#endif
