/* A lane: one data endpoint of a process, driven by one thread at a time, usable from every thread.
 *
 * Whoever holds the lane's try-lock drives it: a rank's thread while it is inside the runtime, the
 * lane's progress thread while nobody else does (WEFT_PROGRESS). A thread that submits while
 * another drives leaves its operation in a bounded ring; the driver looks at the ring before and
 * after it lets go of the lock, so nothing stays behind. Callbacks run on the driving thread, with
 * the lane held: they may call every function below except close and drive. Callbacks run in drive,
 * in the progress thread and in close; no other call runs any, so send and get may be called with
 * the owner's locks held.
 *
 * Each message carries the app's token; one that does not is dropped and counted.
 */
#ifndef WEFT_LINK_LANE_H
#define WEFT_LINK_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "transport/spi.h"

struct weft_lane;

struct weft_lane_peer {
    uint32_t id;
};

struct weft_lane_desc {
    /* The built-in transports, in any order; host owns the table. Only read while the lane opens.
     */
    const struct weft_transport *const *transports;
    size_t transports_n;
    const char *scheme;   /* NULL: WEFT_DATA ("auto", "ofi", "ofi:net", "tcp", "zmq", "inproc") */
    const char *progress; /* NULL: WEFT_PROGRESS ("worker", "thread", "core:N") */
    const char
        *bind; /* address of the host's interface; inproc: any name that no other open lane has */
    uint16_t port_first; /* 0: any */
    uint16_t port_last;
    uint64_t token;       /* the app's secret; peers use the same */
    size_t msg_max_bytes; /* largest message of weft__lane_send() */
    unsigned lanes;       /* of this process, which share its buffers; 0: 1 */
    unsigned lane;     /* which of them; they lie on different interfaces where there are several */
    const void *group; /* the same for all of them; NULL: lanes is 1 */
    void (*message)(void *ctx, const void *data, size_t len_bytes);
    /* The connection to the peer broke: messages that were under way may be lost, gets from it end
     * with an error of damage PEER. The peer stays valid: the next send or get connects anew. May
     * be NULL. */
    void (*peer_lost)(void *ctx, struct weft_lane_peer peer, int err);
    void *ctx;
};

/* What a peer process needs: "scheme;hex" text, at most this long with its NUL. */
#define WEFT_LANE_ADDRESS_MAX 544

struct weft_lane_key { /* travels as three little-endian u64: key, base, len_bytes */
    struct weft_tp_key tp;
};

struct weft_lane_region;

/* A pull of remote bytes into local memory. Lives in the caller's memory until done runs, exactly
 * once. Any length: the lane cuts it to the transport's limit and keeps several pieces in flight.
 */
struct weft_lane_get {
    struct weft_lane_peer peer;
    struct weft_lane_key key;
    uint64_t remote_offset; /* from the start of the registered range */
    void *into;
    size_t len_bytes;
    void (*done)(struct weft_lane_get *get, int err);
    void *user;
    /* the lane's own, while under way */
    size_t issued_bytes, done_bytes;
    unsigned in_flight;
    int err;
    struct weft_lane_get *next;
};

struct weft_lane_stats {
    char transport[64]; /* what is really used, e.g. "ofi:net" or "zmq+shim" */
    char address[64];   /* of the interface that the first path is on */
    uint64_t messages_sent, messages_received,
        messages_refused; /* refused: wrong token or malformed */
    uint64_t bytes_sent, bytes_received;
    uint64_t messages_failed; /* could not be handed to the peer: it was lost or dropped */
    uint64_t rma_bytes_got;   /* bytes that arrived by completed gets */
    uint64_t gets_failed;
    uint64_t peers, peers_lost;
    uint64_t regions;           /* ranges that peers may reach now */
    unsigned lanes;             /* that these are the figures of */
    struct weft_tp_usage usage; /* what the endpoint has taken */
    uint64_t progress_wakeups;  /* how often the progress thread woke up */
    uint64_t progress_cpu_ns;   /* CPU time of the progress thread; 0: there is none */
};

/* Opens the endpoint and starts the progress thread.  Errors: WEFT_ENOTSUP no transport fits (text
 * names each refused one). */
int weft__lane_open(const struct weft_lane_desc *desc, struct weft_lane **lane_out);
/* Stops the thread; every operation under way completes with WEFT_ECANCELED first.  Thread: not a
 * callback. */
void weft__lane_close(struct weft_lane *lane);
/* The two halves of close: after the first, every call fails and no callback runs. */
void weft__lane_end(struct weft_lane *lane);
void weft__lane_free(struct weft_lane *lane);
/* This lane's address as text, valid while it is open. */
const char *weft__lane_address(const struct weft_lane *lane);
/* The same address gives the same peer, with one more use of it.  Errors: WEFT_EINVAL malformed;
 * WEFT_ENOTSUP other scheme; WEFT_ENOSPC a lane has so many peers already, all of them in use. */
int weft__lane_peer(struct weft_lane *lane, const char *address, struct weft_lane_peer *peer_out);
/* Ends one use, for owners whose peers come and go: no get from it and no message to it that counts
 * is under way for this use. When none is left, the id may be given to another address.  Thread:
 * any. */
void weft__lane_peer_put(struct weft_lane *lane, struct weft_lane_peer peer);
/* Ends what is under way to the peer: gets complete with WEFT_ECANCELED, queued messages are
 * dropped and counted. For a peer that is known to be dead. The id stays valid; a later send or get
 * connects anew. */
void weft__lane_drop(struct weft_lane *lane, struct weft_lane_peer peer);
/* Nothing that was sent to the peer is answered, and nothing has failed. Where the lane has several
 * paths, the peer's lane is asked; where no answer has come when the owner doubts again, two
 * seconds later, the path counts as broken. Young connections are not doubted. For owners who hear
 * of what has arrived.  Thread: any. */
void weft__lane_doubt(struct weft_lane *lane, struct weft_lane_peer peer);
/* Copies the parts (n <= 3) and sends them in order per peer and sending thread.
 * Errors: WEFT_EAGAIN the peer's share of the buffers is out: drive and try again; WEFT_EMSGSIZE;
 * the lane's own failure. */
int weft__lane_send(struct weft_lane *lane, struct weft_lane_peer peer, const struct iovec *parts,
                    unsigned n);
/* Makes a range readable (and writable) by peers that know the key.
 * lint: the range, what peers may do with it and both results belong to one call. */
int weft__lane_register(struct weft_lane *lane, void *addr, size_t len_bytes, uint32_t access,
                        struct weft_lane_region **region_out, struct weft_lane_key *key_out);
void weft__lane_unregister(struct weft_lane *lane, struct weft_lane_region *region);
/* Errors: WEFT_EAGAIN too many gets wait; else done runs later, never inside this call. */
int weft__lane_get(struct weft_lane *lane, struct weft_lane_get *get);
/* Drives the lane once if nobody else does; returns the number of events handled (0 also when
 * somebody else drives). The progress thread steps back for a millisecond or two: whoever drives
 * now will do so again soon, sleep in weft__lane_wait(), or call weft__lane_leave(). */
int weft__lane_drive(struct weft_lane *lane);
/* Tells the progress thread that a thread polls by itself now (true) or no longer (false); nests.
 * While somebody polls, the progress thread sleeps. */
void weft__lane_polling(struct weft_lane *lane, bool polling);
/* The caller will not drive for some time: the progress thread takes over now.  Thread: any. */
void weft__lane_leave(struct weft_lane *lane);
/* Drives the lane once, and sleeps if there was nothing to do, until there is, *word is no longer
 * seen, or the deadline (of weft__now_ns(); WEFT_NEVER: none) passes. Whoever changes the word
 * calls weft__lane_kick() afterwards. Returns WEFT_OK also where the word is as it was: look again.
 * Thread: any but callbacks.  Blocks: until then.  Errors: WEFT_ETIMEDOUT; WEFT_EBUSY another
 * thread waits so already. */
int weft__lane_wait(struct weft_lane *lane, const _Atomic uint32_t *word, uint32_t seen,
                    uint64_t deadline_ns);
/* Whether a thread is in weft__lane_wait().  Thread: any. */
bool weft__lane_is_waited(const struct weft_lane *lane);
/* Wakes the thread that waits for this word, if there is one.  Thread: any.  Blocks: no. */
void weft__lane_kick(struct weft_lane *lane, const _Atomic uint32_t *word);
void weft__lane_stats(struct weft_lane *lane, struct weft_lane_stats *stats_out);
/* Why this transport: one line per candidate, "ofi:net: chosen" or "ofi:efa: no such provider".
 * Valid while it is open. */
const char *weft__lane_report(const struct weft_lane *lane);

#endif
