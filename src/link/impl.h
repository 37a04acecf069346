/* Inside a lane: what the files of this folder share. */
#ifndef WEFT_LINK_IMPL_H
#define WEFT_LINK_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/ring.h"
#include "base/wake.h"
#include "link/address.h"
#include "link/lane.h"
#include "link/paths.h"
#include "link/pool.h"
#include "transport/spi.h"

#define LANE_PEERS_MAX 4096u
#define LANE_BUFFERS 256u      /* messages under way, in all */
#define LANE_PEER_BUFFERS 192u /* of these, to one peer */
#define LANE_GETS_MAX 1024u    /* gets that nobody has taken up yet */
#define LANE_PIECES 32u        /* parts of gets under way */
#define LANE_PIECE_BYTES ((size_t)1 << 20)
#define LANE_MSG_DEFAULT ((size_t)64 << 10)

/* Goes before each message, little endian. */
#define LANE_MAGIC 0x4b4e4c57u    /* "WLNK" */
#define LANE_QUESTION 0x514e4c57u /* "WLNQ": from one lane to another, not for its owner */
#define LANE_ANSWER 0x414e4c57u   /* "WLNA" */
#define LANE_HEADER_BYTES 16u
struct weft__lane_header {
    uint32_t magic;
    uint32_t len_bytes;
    uint64_t token;
};

/* What is submitted to the lane's driver: a message, the wish to drop its peer, or doubt about it.
 */
struct weft__lane_item {
    enum { LANE_MESSAGE, LANE_DROP, LANE_DOUBT } kind;
    struct weft__lane_to *to;
    struct weft__lane_item *next;
};

/* A message under way; lives in the pool. */
struct weft__lane_buffer {
    struct weft__lane_item item;
    struct weft_tp_op op;
    struct weft_lane *lane;
    struct weft_tp_peer tp; /* whom it was offered to */
    uint32_t index;
    uint32_t len_bytes; /* of bytes */
    _Alignas(16) unsigned char bytes[];
};

/* A peer. What stands above the line is fixed or atomic, what stands below is the driver's. */
struct weft__lane_to {
    uint32_t id;
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_tp_addr tp_addr;
    UT_hash_handle hh;
    uint32_t uses;       /* by the owner; under peers_lock */
    atomic_uint buffers; /* of the pool, held by messages to this peer */
    atomic_bool drop_wanted;
    struct weft__lane_item drop;
    atomic_bool doubted;
    struct weft__lane_item doubt;
    /* ---- */
    bool attached;       /* tp is valid */
    bool pending;        /* in the list of peers with queued messages */
    uint64_t trusted_ns; /* when it was connected or has answered; where there are several paths */
    uint64_t asked_ns;   /* when it was asked whether it hears us; 0: it was not, or has answered */
    uint64_t question;   /* 0: there was no room for one */
    uint32_t taken;      /* messages that the transport has taken; wraps */
    uint32_t taken_then; /* when it was asked */
    int lost;            /* why the connection broke, until the owner has been told */
    struct weft_tp_peer tp;
    struct weft__lane_item *first, *last;
    struct weft__lane_to *next_pending;
    struct weft__lane_to *next_lost;
};

/* One part of a get. */
struct weft__lane_piece {
    struct weft_tp_op op;
    struct weft_lane *lane;
    struct weft_lane_get *get;
    struct weft_tp_peer tp; /* whom it was asked from */
    size_t len_bytes;
    struct weft__lane_piece *next;
};

/* Who sleeps on the lane's descriptor. */
struct weft__sleeper {
    bool is_open;
    atomic_bool asleep;     /* on the wait fd, which is armed */
    atomic_bool wants_turn; /* on its own wake-up, until the lane is let go */
    int epoll_fd;
    int timer_fd; /* -1: it has none */
    struct weft_wakefd wake;
};

enum weft__lane_mode { LANE_BY_WORKERS, LANE_BY_THREAD };

struct weft_lane {
    const struct weft_transport *tp;
    struct weft_tp_ep *ep;
    struct weft_tp_limits limits;
    uint64_t token;
    size_t msg_max_bytes;
    void (*message)(void *ctx, const void *data, size_t len_bytes);
    void (*peer_lost)(void *ctx, struct weft_lane_peer peer, int err);
    void *ctx;
    struct weft_paths *paths; /* of ep; NULL: it is one endpoint */
    struct weft__address own;
    char name[64];
    char address[WEFT_LANE_ADDRESS_MAX];
    char *report;

    /* The hand-over: 0, or the thread that drives. */
    _Alignas(64) atomic_uintptr_t held;
    atomic_bool come_back; /* something was left for the driver */
    _Alignas(64) struct weft_mpsc items;
    struct weft_mpsc gets;
    struct weft__pool pool;
    unsigned char *slab;
    size_t slab_bytes, buffer_bytes;

    /* Peers by id and by address; the table is under the mutex, a published peer is reached without
     * it. */
    pthread_mutex_t peers_lock;
    struct weft__lane_to *by_address;
    _Atomic(struct weft__lane_to *) peers[LANE_PEERS_MAX];
    atomic_uint peers_n;
    atomic_uint regions_n;

    /* The driver's. */
    struct weft__lane_to *pending_first, *pending_last;
    struct weft__lane_to *lost_first;
    struct weft_lane_get *gets_first, *gets_last; /* with bytes that were not asked for yet */
    struct weft_lane_get *finished;               /* done has to run */
    struct weft__lane_piece pieces[LANE_PIECES];
    struct weft__lane_piece *free_pieces;
    atomic_int broken; /* the endpoint's error */

    /* The progress thread. */
    enum weft__lane_mode mode;
    int core;       /* pinned there; -1: not pinned */
    unsigned spins; /* idle rounds before it sleeps */
    int wait_fd;
    struct weft__sleeper host;   /* the progress thread */
    struct weft__sleeper guest;  /* a thread in weft__lane_wait() */
    atomic_uintptr_t guest_word; /* what it waits for; 0: there is none */
    pthread_t thread;
    bool thread_runs;
    atomic_bool stop;
    pthread_mutex_t watch_lock;
    atomic_bool watching; /* the thread drives; else ranks do, and it looks now and then */
    atomic_bool parked;   /* it does not even look: a guest sleeps for long */
    atomic_bool left;     /* it is to take the lane back at once */
    _Atomic uint64_t visits, put_off_ns;
    atomic_uint polling;

    struct weft_counter sent, received, refused, failed, bytes_sent, bytes_received, bytes_got,
        gets_failed, lost, wakeups;
};

/* lane.c */
bool weft__lane_hold(
    struct weft_lane *lane); /* false: somebody else drives, or this thread already */
bool weft__lane_mine(const struct weft_lane *lane);
void weft__lane_seize(struct weft_lane *lane); /* waits for the driver; not from callbacks */
void weft__lane_release(struct weft_lane *lane);
/* The caller has just armed the wait fd for itself: it need not be done again. */
void weft__lane_release_armed(struct weft_lane *lane);
void weft__lane_submit(
    struct weft_lane *lane); /* hands over what the rings hold; runs no callback of the owner */
/* Queues it behind what this thread has submitted before. */
void weft__lane_submit_item(struct weft_lane *lane, struct weft__lane_item *item);
int weft__lane_round(struct weft_lane *lane); /* one full round; the caller holds the lane */
bool weft__lane_idle(
    const struct weft_lane *lane); /* nothing waits to be handed over; the caller holds the lane */

/* peer.c */
struct weft__lane_to *weft__lane_to_get(struct weft_lane *lane,
                                        struct weft_lane_peer peer); /* NULL: no such peer */
int weft__lane_attach(struct weft_lane *lane, struct weft__lane_to *to);
void weft__lane_lose(struct weft_lane *lane, struct weft__lane_to *to, int err);
void weft__lane_detach(struct weft_lane *lane, struct weft__lane_to *to);
void weft__lane_tell_lost(struct weft_lane *lane);
void weft__lane_tp_lost(void *ctx, struct weft_tp_peer tp);
void weft__lane_peers_fini(struct weft_lane *lane);

/* message.c */
int weft__lane_messages_init(struct weft_lane *lane);
void weft__lane_messages_fini(struct weft_lane *lane);
void weft__lane_queue(struct weft_lane *lane, struct weft__lane_item *item);
void weft__lane_pump_messages(struct weft_lane *lane);
void weft__lane_drop_messages(struct weft_lane *lane, struct weft__lane_to *to);
void weft__lane_arrived(void *ctx, const void *data, size_t len_bytes);

/* A message with this magic in front; as weft__lane_send(). */
int weft__lane_send_as(struct weft_lane *lane, struct weft__lane_to *to, uint32_t magic,
                       const struct iovec *parts, unsigned n);

/* doubt.c */
void weft__lane_doubted(struct weft_lane *lane, struct weft__lane_to *to);
void weft__lane_questioned(struct weft_lane *lane, const unsigned char *bytes, size_t len_bytes);
void weft__lane_answered(struct weft_lane *lane, const unsigned char *bytes, size_t len_bytes);

/* get.c */
void weft__lane_gets_init(struct weft_lane *lane);
void weft__lane_take_gets(struct weft_lane *lane);
void weft__lane_pump_gets(struct weft_lane *lane);
bool weft__lane_gets_from(const struct weft_lane *lane,
                          const struct weft__lane_to *to); /* whether some are in flight */
int weft__lane_finish_gets(struct weft_lane *lane);        /* runs done of the finished ones */
void weft__lane_fail_gets(struct weft_lane *lane, const struct weft__lane_to *to,
                          int err); /* to NULL: all */

/* progress.c */
void weft__lane_visit(struct weft_lane *lane); /* somebody drives who is not the thread */
int weft__lane_progress_parse(struct weft_lane *lane, const char *text);
int weft__lane_progress_start(struct weft_lane *lane);
void weft__lane_progress_stop(struct weft_lane *lane);

/* sleeper.c */
int weft__sleeper_open(struct weft_lane *lane, struct weft__sleeper *sleeper);
int weft__sleeper_open_timer(struct weft__sleeper *sleeper);
/* The timer ends a sleep; 0: it does not.  Any thread. */
void weft__sleeper_set_timer(struct weft__sleeper *sleeper, uint64_t after_ns);
void weft__sleeper_close(struct weft__sleeper *sleeper);
/* Takes the lane (true), or leaves word for who has it. */
bool weft__sleeper_turn(struct weft_lane *lane, struct weft__sleeper *sleeper);
/* After a refused turn: sleeps until the lane is let go.  ms -1: no limit. */
void weft__sleeper_await(struct weft__sleeper *sleeper, int ms);
/* With the lane held and asleep set: how long to sleep; 0: not at all. */
int weft__sleeper_nap_ms(struct weft_lane *lane);
void weft__sleeper_sleep(struct weft__sleeper *sleeper, int ms);
/* Before letting go: sees to it that somebody wakes up for the rest. */
void weft__lane_settle(struct weft_lane *lane);
/* After letting go: wakes the sleepers that wait for their turn. */
void weft__lane_turn(struct weft_lane *lane);

#endif
