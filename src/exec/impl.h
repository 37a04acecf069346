/* Inside the runtime of an app process: what the files of this folder share.
 *
 * Locks. A rank's lock covers its state and everything of its range that is not its own thread's.
 * Nobody holds two rank locks at a time, nor calls back, registers memory or waits with one held;
 * lane sends and gets are fine, they never block. exec->world_lock and exec->slots_lock come after
 * a rank's lock, and so do ranks' doors (door.h), which are all that a rank in a cell takes to send
 * to another one of this process. What has to happen after unlocking is collected first.
 */
#ifndef WEFT_EXEC_IMPL_H
#define WEFT_EXEC_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "exec/callbox.h"
#include "exec/door.h"
#include "exec/exec.h"
#include "exec/executor.h"
#include "exec/precopy.h"
#include "exec/program.h"
#include "exec/range.h"
#include "exec/spin.h"
#include "exec/stay.h"
#include "group/hold.h"
#include "group/packet.h"
#include "group/world.h"
#include "snapshot/region.h"
#include "weft/cell.h"

#define WEFT__TICK_NS 20000000ull      /* of the keeper, while anything is under way */
#define WEFT__TICK_SHORT_NS 1000000ull /* while the lane refuses packets, or has no thread */
#define WEFT__RESOLVE_NS 300000000ull  /* first time-out of a resolve */
#define WEFT__ASK_NS 100000000ull      /* between two callbacks for the same route */
#define WEFT__GETS_MAX 4096u           /* under way, per rank */
#define WEFT__REGISTRATIONS_MAX 64u    /* kept, per rank */

/* Another process of the app, or this one. Never freed before the end. */
struct weft__process {
    uint32_t number;
    char *host;
    char *lane;
    struct weft_lanes_peer peers; /* not of this process itself */
    struct weft_lane_peer peer;   /* on the first lane, which moves images */
    atomic_bool dead;
    atomic_bool lost;   /* the connection broke: the keeper sends again */
    uint64_t resent_ns; /* when it last did; the keeper's */
};

struct weft__registration {
    struct weft__registration *next;
    uint64_t expose_id;
    unsigned lane; /* of the pair of ranks that it was made for */
    struct weft_lane_region *region;
    struct weft_lane_key key;
};

struct weft__trace;
struct weft__get;
struct weft__crew;
struct weft_client;
struct weft_fork;
struct weft_image;
struct weft__pulling;
struct weft__move;

/* Who wants a rank to stop. */
struct weft__wish {
    weft_exec_frozen *done;
    void *ctx;
    bool kept;      /* its memory goes elsewhere, not to a destination */
    uint32_t round; /* of copying, that the destination has; 0: none */
};

struct weft__rank {
    void *gate; /* first: the way out of a cell leads over it (cell/gate.S) */
    struct weft_exec *exec;
    int32_t number;
    pthread_mutex_t lock;

    enum weft_exec_state state;
    uint32_t incarnation;
    int code;
    bool finished; /* it has ended; where it stands frozen, that does not show in its state */
    uint32_t pins;
    char pin_reason[100];
    bool leaving; /* thread and range of a past stay are still to be freed */

    /* The range; NULL where there is none. */
    struct weft_region region;
    struct weft_cell *cell;
    struct weft__range *range;
    uint32_t readers;       /* of exposed memory, without the lock */
    atomic_uint sleeping;   /* and on what: wait.c */
    struct weft__spin spin; /* before that; its thread's */
    struct weft__stay stay;
    struct weft__door door;

    /* Packets. */
    struct weft_hold hold;
    atomic_uint held;    /* packets in it */
    atomic_bool backlog; /* unsent packets in some window */
    bool wants_credit;
    uint64_t direct;       /* packets straight to ranks of this process */
    _Atomic uint64_t near; /* of them, those that have not entered the runtime; its thread's */
    atomic_bool credit_given;
    uint64_t ask_at_ns;

    struct weft__trace *trace; /* NULL: not traced */

    struct weft__callbox box; /* calls from outside */
    struct weft_fork *forks;  /* open ones; its thread changes them, with the lock */

    /* Gets and exposed memory. */
    struct weft__get *gets;
    atomic_uint gets_n;
    uint64_t requests;
    struct weft__registration *registrations;

    /* Source of a move. */
    atomic_bool tortured; /* it waits to be moved: torture.c */
    struct weft__wish wish;
    bool told_of_wish; /* while it waits for calls */
    struct weft_image *image;
    struct weft__precopy *precopy; /* NULL: it is not being copied while it runs */
    atomic_uint copying;           /* threads at work on that */
    bool standing;                 /* described; the wish has been answered */
    bool kept;                     /* it is frozen for a store: it does not depart */
    bool thaw_wanted;
    uint32_t thaw_incarnation;

    /* Destination of a move. */
    struct weft__pulling *pulling;
    uint64_t pulls;   /* begun so far */
    uint32_t fetched; /* round of copying up to which its memory is here; 0: none */
    bool discard_wanted;
    uint64_t clock_ns, wall_ms; /* of the rank and of the world, when it stopped at the source */

    /* After a departure. */
    bool forwards;
    uint32_t forward_incarnation; /* of the rank since it left */
    uint64_t forwarded;
    uint32_t *markers; /* by process: the newest incarnation that it knows of */
    uint32_t markers_n;
    uint64_t nudge_at_ns;
};

struct weft_exec {
    uint64_t app;
    int32_t size;
    uint64_t base, stride;
    size_t mailbox_bytes;
    uint32_t process;
    bool uncounted; /* what pairs of ranks exchange */
    size_t trace_n;
    uint32_t torture_move;
    uint64_t torture_seed;
    uint64_t precopy_above; /* bytes */
    int32_t input_rank;     /* -1: none */
    char *host;
    struct weft_program program;
    char *starter; /* NULL: none */
    char **argv, **envp;
    struct weft_exec_callbacks callbacks;
    const struct weft__executor *executor;
    struct weft_channel_limits limits;
    uint32_t calls_max;
    struct weft_lanes lanes;
    struct weft_lane *lane; /* the first of them: images of memory go there */
    bool drives_itself;     /* the lane has a thread of its own (WEFT_PROGRESS) */
    unsigned workers_max;   /* 0: as many as there are processors */
    void *workers;          /* of an executor whose ranks share threads */
    atomic_bool closing;
    atomic_uint on_bells;       /* ranks that sleep on their bells, not on the lane */
    _Atomic uint32_t threads;   /* rank threads alive; a futex word */
    _Atomic uint32_t begun;     /* ranks that are here at the app's beginning */
    pthread_mutex_t clear_lock; /* held while a past stay is freed; before all others */

    /* Slots are made on first use and stay until the end. */
    pthread_mutex_t slots_lock;
    _Atomic(struct weft__rank *) *ranks;

    /* Who is where. `routes` is world, packed for reading without the lock: process << 32 |
     * incarnation. */
    pthread_mutex_t world_lock;
    struct weft_world world;
    _Atomic uint64_t *routes;
    _Atomic(struct weft__process *) *processes; /* by number */
    atomic_uint processes_end;                  /* all numbers are below */
    atomic_uint peers;                          /* processes that are not this one */

    /* Forks: what our ranks need, and what runs here. */
    struct weft_client *client;
    char *home;
    uint64_t token;
    /* Threads of a rank that run in its own memory: the order to them and their answer go through
     * sockets, which order memory in fact but not by the rules of C. This does. */
    atomic_uint handovers;
    atomic_uint asks;           /* questions whose answers may still be under way */
    pthread_mutex_t crews_lock; /* after a rank's lock; see crew.c */
    struct weft__crew *crews;
    _Atomic uint64_t crews_held; /* bytes of copies */

    /* The keeper. */
    pthread_t keeper;
    bool keeper_runs;
    _Atomic uint32_t keeper_word;
    atomic_bool keeper_asleep, keeper_stop;

    struct {
        struct weft_counter sent, received, forwarded, nacked, duplicates, held, dropped,
            retransmitted, acks, gets, gets_asked, gets_restarted, malformed, calls, calls_answered,
            calls_refused, calls_returned;
    } count;
};

/* rank.c */
int weft__rank_slot(struct weft_exec *exec, int32_t number, struct weft__rank **rank_out);
void weft__rank_slot_free(struct weft__rank *rank);
static inline struct weft__rank *weft__rank_find(struct weft_exec *exec, int32_t number)
{
    return atomic_load_explicit(&exec->ranks[number], memory_order_acquire);
}
/* Whether the rank's channels may be used.  The caller holds the lock. */
bool weft__rank_is_here(const struct weft__rank *rank);
/* Whether what it exposes may be read by gets that begin now: those of ranks that have to end them
 * before they can be frozen themselves.  The caller holds the lock. */
static inline bool weft__rank_is_readable(const struct weft__rank *rank)
{
    return weft__rank_is_here(rank) || (rank->state == WEFT_RANK_FROZEN && rank->kept);
}
/* Opens the rank's door if it is here and runs, or shuts it.  The caller holds the lock, and has
 * changed the state. */
void weft__rank_set_door(struct weft__rank *rank);
/* Maps the range and lets the executor make the rest; then points the cell at this process. */
int weft__rank_open(struct weft__rank *rank);
void weft__rank_attach(struct weft__rank *rank);      /* the caller holds the lock */
int weft__rank_verify(const struct weft__rank *rank); /* a range that has arrived */
/* Counts the bell up and wakes the sleeper.  The caller holds the lock, and the rank has a range.
 */
void weft__rank_ring(struct weft__rank *rank);
/* Frees what a past stay has left: thread, program, range.  Blocks for as long as that takes. */
void weft__rank_clear(struct weft__rank *rank);
/* Called by the executor on the rank's thread when its function has returned. */
void weft__rank_finish(struct weft__rank *rank, int code);

/* routes.c */
static inline struct weft_world_entry weft__route_of(struct weft_exec *exec, int32_t rank)
{
    uint64_t packed = atomic_load_explicit(&exec->routes[rank], memory_order_acquire);
    return (struct weft_world_entry){.process = (uint32_t)(packed >> 32),
                                     .incarnation = (uint32_t)packed};
}
/* NULL: not known. */
static inline struct weft__process *weft__process_find(struct weft_exec *exec, uint32_t number)
{
    if (number >= WEFT_EXEC_PROCESSES_MAX)
        return NULL;
    return atomic_load_explicit(&exec->processes[number], memory_order_acquire);
}
int weft__process_add(struct weft_exec *exec, const struct weft_exec_process *desc);
/* Takes over a route if it is newer; resends, delivers and marks as follows from it. */
void weft__route_learn(struct weft_exec *exec, const struct weft_exec_route *route);
/* After a newer route was taken over by other means: sends again what waits for the rank. */
void weft__route_changed(struct weft_exec *exec, int32_t rank);
void weft__route_packet(struct weft_exec *exec, const struct weft_packet_header *header,
                        const uint8_t *payload);
void weft__marker_packet(struct weft_exec *exec, const struct weft_packet_header *header);
/* Answers a packet that came to the wrong place. */
void weft__route_tell(struct weft_exec *exec, int32_t rank, uint32_t process, uint8_t flags);
/* Ends forwarding if every process has marked or is dead; nudges those that have not. */
void weft__flush_check(struct weft__rank *rank, uint64_t now_ns);

/* arrive.c */
void weft__arrive_message(void *exec, const void *data, size_t len_bytes);
void weft__arrive_lost(void *exec, struct weft_lane_peer peer, int err);
/* A packet for a rank, from the lane, from here, or from a hold.  No rank lock is held. */
void weft__arrive(struct weft_exec *exec, const struct weft_packet_header *header,
                  const uint8_t *payload);
/* Lets everything that was held arrive again. */
void weft__arrive_held(struct weft__rank *rank);
int weft__arrive_hold(struct weft__rank *rank, const struct weft_packet_header *header,
                      const void *payload);

/* inbox.c */
struct weft__ack {
    int32_t to; /* rank of this process whose window is to be released; -1: none */
    uint64_t ack;
};
/* A DATA packet for a rank that is here.  The caller holds the lock, and gives the ack on after
 * unlocking. */
void weft__inbox_data(struct weft__rank *rank, const struct weft_packet_header *header,
                      const uint8_t *payload, struct weft__ack *ack_out);
/* Moves held packets into the mailbox as far as there is room. */
void weft__inbox_drain(struct weft__rank *rank);
/* A packet from a rank of this process: false where it has to go through the window. */
bool weft__inbox_direct(struct weft__rank *rank, int32_t source, uint64_t sequence,
                        const struct iovec *parts, unsigned n);
void weft__inbox_give_ack(struct weft__rank *rank, const struct weft__ack *ack);

/* outbox.c */
int weft__outbox_send(struct weft__rank *rank, int32_t dest, const struct iovec *parts, unsigned n);
/* An acknowledgement for packets to dest.  acked: takes the lock; released: the caller holds it. */
void weft__outbox_acked(struct weft__rank *rank, int32_t dest, uint64_t ack);
void weft__outbox_released(struct weft__rank *rank, int32_t dest, uint64_t ack);
/* Sends what is unsent in the windows, to one rank or (-1) to all; rewind: everything
 * unacknowledged. */
void weft__outbox_flush(struct weft__rank *rank, int32_t dest, bool rewind);
/* Sends an acknowledgement to a rank.  The caller holds the lock. */
void weft__outbox_ack(struct weft__rank *rank, int32_t dest);
/* Timers: retransmission and late acknowledgements. Returns whether anything is under way. */
bool weft__outbox_tick(struct weft__rank *rank, uint64_t now_ns);
/* Over the lane of the pair of ranks in the header. */
int weft__outbox_post(struct weft_exec *exec, uint32_t process, struct weft_packet_header *header,
                      const void *payload);
int weft__outbox_post_on(struct weft_exec *exec, uint32_t process,
                         struct weft_packet_header *header, const void *payload, unsigned lane);

/* Of a message in parts. */
static inline size_t weft__parts_len(const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    return len;
}

/* traffic.c */
/* A packet of the rank to a peer, or a get of the peer's memory that is done.  The caller holds the
 * lock. */
static inline void weft__traffic_sent(struct weft__rank *rank, int32_t dest, size_t len_bytes)
{
    if (!rank->exec->uncounted)
        rank->range->channels[dest].traffic.sent_bytes += len_bytes;
}
void weft__traffic_got(struct weft__rank *rank, int32_t source, size_t len_bytes);

/* torture.c: asks for a move; false: the rank is to stop anyway. It is to wait while `tortured` is
 * set and nobody wants it to stop; then credit may have come, unseen.  Thread: the rank's. */
bool weft__torture_begin(struct weft__rank *rank);
/* A runtime call of the rank is done. Returns whether to begin. */
static inline bool weft__torture_is_due(struct weft__rank *rank)
{
    uint32_t every = rank->exec->torture_move;
    return __builtin_expect(every != 0, 0) && ++rank->range->torture_calls >= every;
}

/* trace.c: the caller holds the lock. */
void weft__trace_open(struct weft__rank *rank);
void weft__trace_packet(struct weft__rank *rank, enum weft_exec_traced what, int32_t peer,
                        uint64_t sequence, size_t len_bytes);
static inline void weft__trace(struct weft__rank *rank, enum weft_exec_traced what, int32_t peer,
                               uint64_t sequence, size_t len_bytes)
{
    if (__builtin_expect(rank->trace != NULL, 0))
        weft__trace_packet(rank, what, peer, sequence, len_bytes);
}

/* expose.c */
/* Whether these bytes can be read; not whole: their first and last. */
bool weft__memory_is_there(const void *addr, size_t len_bytes, bool whole);
/* Whether the rank, which names these bytes, has them: their first and last.  Thread: the rank's.
 */
bool weft__memory_is_of(const struct weft__rank *rank, const void *addr, size_t len_bytes);
int weft__expose(struct weft__rank *rank, const void *addr, size_t len_bytes, uint64_t *id_out);
void weft__unexpose(struct weft__rank *rank, uint64_t id);
/* NULL: nothing is exposed under the id.  The caller holds the lock. */
const struct weft__exposure *weft__expose_find(const struct weft__rank *rank, uint64_t id);
/* See struct weft_cell_calls. */
void weft__expose_ticket(struct weft__rank *rank, uint64_t id, int32_t dest,
                         struct weft_cell_ticket *ticket_out);
void weft__expose_resolve(struct weft__rank *rank, const struct weft_packet_header *header,
                          const uint8_t *payload);
void weft__expose_end(struct weft__rank *rank);        /* the rank has ended: its stack is gone */
void weft__expose_unregister(struct weft__rank *rank); /* all */

/* get.c */
/* Only `what` is read, and only before it returns; the end is written into `op`. */
int weft__get_start(struct weft__rank *rank, const struct weft_cell_get *what,
                    struct weft_cell_get *op);
/* Starts and repeats what is to be done now; any thread. */
void weft__gets_progress(struct weft__rank *rank, uint64_t now_ns);
void weft__get_resolved(struct weft__rank *rank, const struct weft_packet_header *header,
                        const uint8_t *payload);
/* The rank has ended: forgets gets; waits for those that still write into memory. */
void weft__gets_end(struct weft__rank *rank);
/* The source has moved: ask again now. */
void weft__gets_hurry(struct weft__rank *rank, int32_t source);

/* calls.c */
extern const struct weft_cell_calls weft__cell_calls;
uint64_t weft__rank_now(const struct weft_cell *cell);
/* A deadline of the rank's clock on the machine's; 0 and UINT64_MAX stay. */
uint64_t weft__rank_machine_ns(const struct weft_cell *cell, uint64_t deadline_ns);

/* called.c */
int weft__called_next(struct weft__rank *rank, uint64_t deadline_ns,
                      struct weft_executor_call *call_out);
/* One look.  Errors: WEFT_ENOENT none waits; WEFT_EAGAIN a move; WEFT_EBUSY too many are taken. */
int weft__called_try(struct weft__rank *rank, struct weft_executor_call *call_out);
int weft__called_answer(struct weft__rank *rank, uint64_t id, int err, const void *bytes,
                        size_t len_bytes);
bool weft__called_is_cancelled(struct weft__rank *rank, uint64_t id);
/* Answers a list that weft__callbox_empty() has cut off.  No lock is held. */
void weft__called_return(struct weft__rank *rank, struct weft_exec_call *list, int err,
                         const char *text);
/* The rank has ended: what waits and what it has taken fails. */
void weft__called_end(struct weft__rank *rank);

/* fork.c */
/* The rank ends: closes its forks.  Thread: the rank's. */
void weft__forks_close(struct weft__rank *rank);
/* The process ends: frees what is left of them, and tells nobody. */
void weft__forks_free(struct weft__rank *rank);

/* crew.c */
void weft__crews_cancel(struct weft_exec *exec);
/* Waits until no crew is at work.  Errors: WEFT_ETIMEDOUT. */
int weft__crews_end(struct weft_exec *exec, uint64_t deadline_ns);
void weft__crews_free(struct weft_exec *exec);

/* wait.c */
int weft__rank_wait(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns);
/* Moves everything forward once; returns the number of events of the lane. */
int weft__rank_progress(struct weft__rank *rank);
/* The same without the lane.  Thread: any. */
void weft__rank_tend(struct weft__rank *rank);
/* Whether a rank that waits has something to look at.  Thread: whose the rank is. */
static inline bool weft__rank_is_rung(struct weft__rank *rank, uint32_t seen)
{
    return atomic_load(&rank->cell->bell) != seen ||
           (atomic_load_explicit(&rank->credit_given, memory_order_relaxed) &&
            atomic_exchange(&rank->credit_given, false));
}
/* Whether anything can come over the lane. */
static inline bool weft__exec_has_peers(const struct weft_exec *exec)
{
    return atomic_load_explicit(&exec->peers, memory_order_relaxed) != 0;
}

/* self.c */
void weft__self_set(struct weft_cell *cell);

/* Ends the app: the rank only waits from here on. */
void weft__rank_abort(struct weft__rank *rank, int code, const char *reason);

/* move_source.c */
enum weft__stop {
    WEFT__STOP_NOT,   /* nobody wants it any more */
    WEFT__STOP_OFF,   /* it has been tried; the rank goes on */
    WEFT__STOP_STANDS /* until it is thawed or told to leave; then the image is to be freed */
};
/* Stops the rank, which has no gets under way.  Thread: whose the rank is. */
enum weft__stop weft__move_stop(struct weft__rank *rank, weft_entry *entry, void *argument);
int weft__move_point(struct weft__rank *rank, weft_entry *entry, void *argument);
/* The rank has ended or is being ended: a wish to freeze it is answered. */
void weft__move_give_up(struct weft__rank *rank, int err, const char *text);
void weft__move_free_image(struct weft__rank *rank);
/* Image and descriptor, as the wish says it; NULL: no image.  Owns: *bytes_out, free(); the image
 * is the rank's. */
int weft__move_describe(struct weft__rank *rank, const struct weft__wish *wish, uint8_t **bytes_out,
                        size_t *len_out);

/* move_dest.c */
/* Whether the descriptor is of this rank, and prepares its executor for it. */
int weft__move_check(struct weft__rank *rank, const struct weft__move *move);
void weft__move_cancel_pull(struct weft__rank *rank); /* and waits until it is over */

/* keeper.c */
int weft__keeper_start(struct weft_exec *exec);
void weft__keeper_stop(struct weft_exec *exec);
/* Something is under way that the keeper has to look after. */
void weft__keeper_poke(struct weft_exec *exec);
/* For what the rank's lock guards, and the keeper looks at under it.  The caller holds it. */
void weft__keeper_poke_locked(const struct weft__rank *rank);

#endif
