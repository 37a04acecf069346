/* The runtime of one app process: its ranks, their memory, their packets, and the moving
 * primitives.
 *
 * The host layer (weft-app) opens one, tells it who is where, adds ranks and starts them; it drives
 * a move by calling the primitives below at the source and the destination. All calls may come from
 * any thread that is no rank.
 *
 * Callbacks run on any thread of the runtime with none of its locks held, some of them on the
 * thread that drives the lane: they must not block, and of this header they may call
 * weft__exec_routes and weft__exec_stats only. Whoever wants more passes the news on to a thread of
 * its own.
 */
#ifndef WEFT_EXEC_EXEC_H
#define WEFT_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "link/lane.h"
#include "link/lanes.h"

struct weft_call;
struct weft_client;
struct weft_exec;
struct weft_region;

#define WEFT_EXEC_PROCESSES_MAX 65536u /* process numbers are below this */

struct weft_exec_process {
    uint32_t process; /* number in the app */
    const char *host; /* name; copied */
    const char *lane; /* lane address; copied */
};

struct weft_exec_route {
    int32_t rank;
    uint32_t process;
    uint32_t incarnation;
};

struct weft_exec_callbacks {
    /* The rank has ended: its main (or entry) returned code, or called exit. reason: NULL, or why
     * it was ended. */
    void (*rank_exited)(void *ctx, int32_t rank, uint32_t incarnation, int code,
                        const char *reason);
    /* The rank wants the whole app to end with this code. */
    void (*app_abort)(void *ctx, int32_t rank, int code, const char *reason);
    /* A packet shows that the rank has moved to where this process does not know: send routes.
     * Repeated while it lasts. */
    void (*route_wanted)(void *ctx, int32_t rank);
    /* After weft__exec_depart: every process has said that it sends here no more (or died); the
     * forward entry is gone. */
    void (*flushed)(void *ctx, int32_t rank, uint32_t incarnation, uint64_t forwarded_packets);
    /* The rank stands at a runtime call and wants to be moved to some host, drawn by this number:
     * weft__exec_torture_over says that it has been, or cannot be. Only with torture_move. */
    void (*torture)(void *ctx, int32_t rank, uint64_t draw);
    /* The rank that reads the app's standard input has the bytes before the offset, and nothing in
     * its socket: what comes next is to be sent there, at its end the socket is shut down. Returns
     * whether that will be done.  Owns: fd.  Only with input_rank. */
    bool (*input)(void *ctx, uint64_t offset, int fd);
    void *ctx;
};

struct weft_exec_desc {
    uint64_t app;
    int32_t size;         /* of the world */
    uint64_t base;        /* address of rank 0's range; 0: the default of this build */
    uint64_t stride;      /* bytes per rank, a power of two, at least WEFT_EXEC_STRIDE_MIN */
    size_t mailbox_bytes; /* power of two; 0: 1 MiB */
    uint32_t process;     /* number of this process */
    const char *host;     /* name of this host */
    const char *program;  /* path of the shared object, or of the executable */
    const struct weft__executor *cells; /* runs executables; NULL: they are refused */
    bool apart; /* each rank is a process of its own, of whatever executable */
    const char
        *starter;      /* the program that runs a shared object then; copied; NULL: there is none */
    char *const *argv; /* argv[0] ... NULL; copied */
    char *const *envp; /* NULL: this process's environment; copied */
    /* transports, scheme, progress, bind, ports and token as for weft__lane_open; the rest is
     * filled in. */
    struct weft_lane_desc lane;
    struct weft_exec_callbacks callbacks;
    unsigned workers;   /* that run ranks which need no thread of their own; 0: one per processor
                           that this process may use */
    uint32_t calls_max; /* from outside, waiting for a rank; 0: 1024 */
    /* For ranks that fork; NULL: they cannot. The client must outlive the exec. */
    struct weft_client *client;
    const char *home; /* url of the home's sync port; copied */
    uint64_t token;   /* of the app */
    bool uncounted;   /* does not count what pairs of ranks exchange: to measure what that costs */
    size_t trace_n;   /* packets that are remembered of each rank; 0: none */
    uint32_t torture_move; /* a rank in a cell wants to be moved after so many of its runtime calls,
                              again and again; 0: it does not */
    uint64_t torture_seed; /* of what it draws */
    uint64_t precopy_above; /* ranks with fewer bytes are not copied before they stop */
    int32_t
        input_rank; /* a rank in a cell, or apart, that reads the app's standard input; -1: none */
};

#define WEFT_EXEC_BASE_DEFAULT 0x200000000000ull
#define WEFT_EXEC_BASE_TSAN 0x550000000000ull
#define WEFT_EXEC_STRIDE_MIN (4ull << 20)
#define WEFT_EXEC_PACKET_MAX                                                                       \
    16640u /* largest payload of a packet: 16 KiB and a header of the program layer */

/* Checks the program, opens the lane; no rank yet.
 * Errors: WEFT_ENOENT no such program; WEFT_ENOEXEC not a shared object, or it has no main;
 * WEFT_EINVAL; those of weft__lane_open. */
int weft__exec_open(const struct weft_exec_desc *desc, struct weft_exec **exec_out);
/* Ends everything. Ranks that run are ended at their next runtime call; after timeout_ms
 * WEFT_ETIMEDOUT names one that does not make any: nothing is freed then, and the process should
 * _exit. */
int weft__exec_close(struct weft_exec *exec, unsigned timeout_ms);
/* Whether its ranks are moved whole, with the code that they have chosen for a processor. */
bool weft__exec_has_cells(const struct weft_exec *exec);
const char *weft__exec_lane_address(const struct weft_exec *exec);
const struct weft_lanes *weft__exec_lanes(const struct weft_exec *exec);

/* Takes over the processes and routes that are newer than those known. Sends the flush markers that
 * follow. Errors: WEFT_EINVAL an address that the lane cannot use, a rank or process out of range;
 * the rest is taken over. */
int weft__exec_routes(struct weft_exec *exec, const struct weft_exec_process *processes,
                      size_t processes_n, const struct weft_exec_route *routes, size_t routes_n);
/* The process is dead: nothing more is sent to it, its markers count as in. */
void weft__exec_process_dead(struct weft_exec *exec, uint32_t process);

/* Makes the ranks: range, program, thread; they wait for start. All or none.
 * Errors: WEFT_EADDRINUSE the range is taken; WEFT_ENOMEM; WEFT_ENOEXEC unresolved symbols (text
 * names them); WEFT_EEXIST. */
int weft__exec_add_ranks(struct weft_exec *exec, const int32_t *ranks, size_t n,
                         uint32_t incarnation);
/* Runs main in each of them. */
int weft__exec_start(struct weft_exec *exec, const int32_t *ranks, size_t n);

/* ---- the newest packets of a rank ---- */

enum weft_exec_traced {
    WEFT_EXEC_TRACED_SENT,
    WEFT_EXEC_TRACED_RECEIVED, /* it is in the rank's mailbox */
    WEFT_EXEC_TRACED_HELD,     /* it has to wait: for its turn, or for the rank */
    WEFT_EXEC_TRACED_FORWARDED /* the rank is elsewhere by now */
};

/* Packets of a pair of ranks are known by sender, receiver and sequence. */
struct weft_exec_trace {
    uint64_t mono_ns;
    uint64_t sequence;
    int32_t peer; /* SENT: the receiver; else the sender */
    uint32_t len_bytes;
    enum weft_exec_traced what;
};

/* What happens now is worth a look: each rank keeps half of its trace_n packets more, then no more
 * until they are taken.  Thread: any.  Blocks: no. */
void weft__exec_trace_mark(struct weft_exec *exec);
/* Takes the packets of a rank, oldest first; packets_out: room for trace_n. Returns how many.
 * Thread: any.  Blocks: no. */
size_t weft__exec_trace_take(struct weft_exec *exec, int32_t rank,
                             struct weft_exec_trace *packets_out);

/* ---- calls to a rank from outside ---- */

/* Lies in the caller's memory until answered runs, exactly once, on any thread and maybe inside the
 * function that hands it over: with the rank's answer (err 0), or with an error whose text the
 * bytes are. WEFT_ESTALE: the rank has not begun it and is, or will be, elsewhere. */
struct weft_exec_call {
    uint32_t code;
    const void *body; /* as long as the call */
    size_t len_bytes;
    uint64_t deadline_ns; /* monotonic; not begun after it. WEFT_NEVER: none */
    const void *key;      /* for cancelling */
    void (*answered)(struct weft_exec_call *call, int err, const void *bytes, size_t len_bytes);
    /* the runtime's own */
    struct weft_exec_call *prev, *next;
    uint64_t id, taken_ns;
    bool cancelled;
};
/* Queues a call for a rank.  Thread: any.  Blocks: no.  Errors (answered does not run): WEFT_EAGAIN
 * the queue is full, with a hint; WEFT_ESTALE the rank is not here, or just moving; WEFT_ENOENT it
 * has ended; WEFT_EINVAL no such rank. */
int weft__exec_call(struct weft_exec *exec, int32_t rank, struct weft_exec_call *call);
/* Gives up the call of this rank with this key: one that waits is answered with WEFT_ECANCELED; the
 * rank may ask whether one that it has taken was. Fine where there is none.  Thread: any. */
void weft__exec_call_cancel(struct weft_exec *exec, int32_t rank, const void *key);

/* ---- threads that ranks of this or other processes fork (weft/fork.h) ---- */

/* Calls of a rank's process: WEFT_CALL_FORK_RUN, WEFT_CALL_FORK_END of exec/fork_calls.h, by who
 * knows the app's token. Each answers its call, now or later.  Thread: any.  Blocks: while the
 * program is loaded. */
void weft__exec_fork_run(struct weft_exec *exec, struct weft_call *call,
                         const ProtobufCMessage *request);
void weft__exec_fork_end(struct weft_exec *exec, struct weft_call *call,
                         const ProtobufCMessage *request);

/* ---- moving, at the source ---- */

/* err 0: the rank stands still at a migration point; the descriptor (valid during the call) goes to
 * the destination's pull. WEFT_EPINNED: it cannot move; WEFT_ECANCELED: freeze_cancel; WEFT_ENOENT:
 * it has ended; text says why. After an error the rank runs on. */
typedef void weft_exec_frozen(void *ctx, int err, const char *text, const void *descriptor,
                              size_t len_bytes);

/* ---- before: copying it while it runs ---- */

struct weft_exec_round {
    const void *descriptor; /* goes to the destination's pull */
    size_t len_bytes;
    uint64_t bytes; /* that this round describes */
    bool last; /* of a pass over the rank's memory: the next round has what was written since */
};
/* err 0: the round can be pulled until the next one is asked for. After an error there is no
 * copying any more, and the rank can be moved as a whole; text says why. On a thread of the exec.
 */
typedef void weft_exec_copied(void *ctx, int err, const char *text,
                              const struct weft_exec_round *round);
struct weft_exec_copy {
    int32_t rank;
    uint32_t round; /* 1: begins anew; else the destination has all rounds before */
    weft_exec_copied *done;
    void *ctx;
};
/* Describes pages of a rank that runs on: those that the rounds before have not described, and
 * those written since. done runs exactly once, never inside this call. Errors (done does not run):
 * WEFT_ENOENT not here, or another round is next; WEFT_EBUSY it does not run; WEFT_EPINNED it could
 * not be frozen either; WEFT_ENOMEM. */
int weft__exec_copy(struct weft_exec *exec, const struct weft_exec_copy *what);
/* No more rounds. Fine where there are none. A departed rank's end by themselves. */
void weft__exec_copy_end(struct weft_exec *exec, int32_t rank);
/* As weft__exec_freeze, when the destination has the rounds up to this one: the descriptor is of
 * what is missing; where that is not known any more, of all. */
int weft__exec_freeze_copied(struct weft_exec *exec, int32_t rank, uint32_t round,
                             weft_exec_frozen *done, void *ctx);

/* ---- stopping it ---- */

/* Wants the rank to stop at its next migration point. done runs exactly once.
 * Errors (done does not run): WEFT_ENOENT not here; WEFT_EBUSY it is moving already. */
int weft__exec_freeze(struct weft_exec *exec, int32_t rank, weft_exec_frozen *done, void *ctx);
/* Withdraws the wish; done has run with WEFT_ECANCELED when this returns 0.  Errors: WEFT_EBUSY the
 * rank stands, or is just stopping: done has run or will with its descriptor, thaw it; WEFT_ENOENT.
 */
int weft__exec_freeze_cancel(struct weft_exec *exec, int32_t rank);
/* The move is off: the rank goes on here under this incarnation (the same or a newer one).
 * Errors: WEFT_ENOENT; WEFT_EBUSY it is not frozen. */
int weft__exec_thaw(struct weft_exec *exec, int32_t rank, uint32_t incarnation);
/* The move is committed: the rank is at `to` now, whose process must be known. The range goes, what
 * was held and what still comes is forwarded until flushed.  Errors: as thaw; WEFT_EINVAL. */
int weft__exec_depart(struct weft_exec *exec, const struct weft_exec_route *to);

/* What the callback `torture` wanted is over: a rank that still waits for it goes on. Fine where it
 * does not, or is not here any more.  Thread: any.  Blocks: no. */
void weft__exec_torture_over(struct weft_exec *exec, int32_t rank);

/* ---- moving, at the destination ---- */

struct weft_exec_pulled {
    uint64_t bytes;     /* moved over the wire */
    uint64_t touched;   /* bytes of the range that exist */
    uint64_t pull_ns;   /* from the first request to the last check */
    char transport[64]; /* of the lane */
};
typedef void weft_exec_pull_done(void *ctx, int err, const char *text,
                                 const struct weft_exec_pulled *pulled);

/* Reserves the range and loads the program.  Errors: as add_ranks; WEFT_EBUSY the last departure
 * from here has not ended: try again. */
int weft__exec_reserve(struct weft_exec *exec, int32_t rank);
struct weft_exec_pull {
    int32_t rank;
    const void *descriptor; /* as frozen told it; copied */
    size_t len_bytes;
    weft_exec_pull_done *done;
    void *ctx;
};
/* Copies the range from where the descriptor says, and checks it; or a round of it, before the rank
 * stops: then it is reserved still. done runs exactly once, never inside this call. After an error
 * the range is reserved still; try again or discard.
 * Errors (done does not run): WEFT_EPROTO malformed; WEFT_ENOEXEC the program here is another
 * build; WEFT_ENOENT not reserved; WEFT_EBUSY. */
int weft__exec_pull(struct weft_exec *exec, const struct weft_exec_pull *what);
/* Committed: the rank runs here from now on.  Errors: WEFT_ENOENT; WEFT_EBUSY not pulled. */
int weft__exec_resume(struct weft_exec *exec, int32_t rank, uint32_t incarnation);
/* The move is off: gives up the range. A pull under way ends with WEFT_ECANCELED.  Errors:
 * WEFT_ENOENT; WEFT_EBUSY it runs. */
int weft__exec_discard(struct weft_exec *exec, int32_t rank);

/* ---- out of this process, and into one, by way of a store ---- */

/* As weft__exec_freeze, for a rank whose memory is kept elsewhere: the descriptor says all but the
 * memory, which weft__exec_memory gives. */
int weft__exec_freeze_kept(struct weft_exec *exec, int32_t rank, weft_exec_frozen *done, void *ctx);
/* The same for a rank that has ended: its peers may want acknowledgements still, and packets of
 * its own may be on their way. It stands at once; thaw and resume make it one that has ended.
 * Owns: *bytes_out, free().  Errors: WEFT_ENOENT not here; WEFT_EBUSY it has not ended. */
int weft__exec_freeze_ended(struct weft_exec *exec, int32_t rank, uint8_t **bytes_out,
                            size_t *len_out);
/* The memory of a rank that stands, unchanging until it is thawed, and how many migration points
 * it has come to in its life; points_out may be NULL.  Errors: WEFT_ENOENT; WEFT_EBUSY it does not
 * stand. */
int weft__exec_memory(struct weft_exec *exec, int32_t rank, const struct weft_region **region_out,
                      uint64_t *points_out);

struct weft_exec_load {
    int32_t rank;
    const void *descriptor; /* as frozen told it */
    size_t len_bytes;
    const struct weft_region *from; /* a copy of the memory */
};
/* Fills a reserved range; then resume makes the rank run. Its clock goes on as if no time had
 * passed.  Blocks: while it copies.  Errors: as weft__exec_pull; WEFT_ENOMEM. */
int weft__exec_load(struct weft_exec *exec, const struct weft_exec_load *what);

/* ---- what is seen from outside ---- */

struct weft_exec_stats {
    uint64_t sent, received; /* DATA packets over the lane */
    uint64_t direct;         /* packets between ranks of this process */
    uint64_t forwarded, nacked, duplicates, held, dropped, retransmitted;
    uint64_t acks;                             /* sent by themselves */
    uint64_t gets, gets_asked, gets_restarted; /* asked: those whose owner was */
    uint64_t malformed;
    uint64_t calls, calls_answered; /* from outside: queued, answered by their rank */
    uint64_t calls_refused;         /* queue full, or not here */
    uint64_t calls_returned;        /* unbegun: late, cancelled, or the rank moved or ended */
};
void weft__exec_stats(struct weft_exec *exec, struct weft_exec_stats *stats_out);

/* What a rank of this process has exchanged with another rank, wherever that is: each packet once,
 * and gets at the rank that pulls. */
struct weft_exec_traffic {
    int32_t peer;
    uint64_t sent_bytes, sent; /* payload of packets to the peer, and their number */
    uint64_t got_bytes, got;   /* pulled from the peer's memory, and the number of gets */
};
/* What is new since the last time this was asked of the rank, here or where it was before: what
 * nobody has asked for moves along with it. Writes one entry for each peer that there is news of,
 * in order; returns how many, 0 also where the rank is not here. entries_out has room for the whole
 * world.  Thread: any.  Blocks: no. */
size_t weft__exec_traffic(struct weft_exec *exec, int32_t rank,
                          struct weft_exec_traffic *entries_out);

enum weft_exec_state {
    WEFT_RANK_ABSENT,
    WEFT_RANK_READY, /* waits for start */
    WEFT_RANK_RUNNING,
    WEFT_RANK_FREEZING, /* is to stop at its next migration point */
    WEFT_RANK_FROZEN,
    WEFT_RANK_RESERVED, /* may arrive */
    WEFT_RANK_PULLING,
    WEFT_RANK_PULLED,   /* waits for resume */
    WEFT_RANK_DEPARTED, /* forwards */
    WEFT_RANK_EXITED
};
const char *weft__exec_state_name(enum weft_exec_state state);

struct weft_exec_rank {
    int32_t rank;
    enum weft_exec_state state;
    uint32_t incarnation;
    uint32_t pins; /* as of the rank's last migration point */
    char pin_reason[100];
    uint32_t calls_waiting, calls_taken; /* from outside */
    uint64_t touched_bytes;
    int code; /* when exited */
};
/* Errors: WEFT_ENOENT the rank is not and was not here. */
int weft__exec_rank(struct weft_exec *exec, int32_t rank, struct weft_exec_rank *rank_out);

#endif
