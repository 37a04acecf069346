/* A lane here and a lane there.
 *
 * The other side echoes every message from its callback, and takes orders over a socket pair:
 * drive the lane without sleeping until the next order, or sleep. It sees the next order by looking
 * at the socket now and then, so the measured path has no extra messages. */
#include "lane_side.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "link/lane.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x7765667462656e64u
#define MESSAGE_MAX 65536u
#define STALL_NS (20 * WEFT_NS_PER_S)
#define LOOK_EVERY 256
#define YIELD_EVERY 32

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key key;
};

struct bench_side {
    char scheme[32];
    bool is_other, is_absent, spins;
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct weft_lane_key key;
    unsigned char *bytes;
    _Atomic uint32_t heard;
    int get_err;
    /* the other one */
    struct bench_side *other; /* NULL: in a process */
    pthread_t thread;
    pid_t pid;
    int fd;
};

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    struct bench_side *side = ctx;
    struct iovec part = {(void *)(uintptr_t)data, len_bytes};
    if (side->is_other) {
        bench_check("answer", weft__lane_send(side->lane, side->peer, &part, 1));
        return;
    }
    atomic_fetch_add(&side->heard, 1);
    weft__lane_kick(side->lane, &side->heard);
}

/* false: there is no such transport. */
static bool lane_open(struct bench_side *side)
{
    static const struct weft_transport *const all[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                       &weft__tp_ofi, &weft__tp_tcp};
    bool inproc = strcmp(side->scheme, "inproc") == 0;
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = 4,
                                        .scheme = side->scheme,
                                        .progress = "thread",
                                        .bind = !inproc          ? "127.0.0.1"
                                                : side->is_other ? "bench-there"
                                                                 : "bench-here",
                                        .token = TOKEN,
                                        .msg_max_bytes = MESSAGE_MAX,
                                        .message = heard,
                                        .ctx = side};
    int err = weft__lane_open(&desc, &side->lane);
    if (err) {
        if (!side->is_other)
            fprintf(stderr, "bench: without %s: %s\n", side->scheme, weft_fail_text(err));
        return false;
    }
    side->bytes = malloc(BENCH_SHARED_BYTES);
    if (!side->bytes)
        bench_die("memory", WEFT_ENOMEM);
    memset(side->bytes, side->is_other ? 1 : 2, BENCH_SHARED_BYTES);
    return true;
}

static void greet(struct bench_side *side, int fd, const struct weft_lane_key *key)
{
    struct greeting greeting = {0};
    snprintf(greeting.address, sizeof(greeting.address), "%s", weft__lane_address(side->lane));
    if (key)
        greeting.key = *key;
    bench_send(fd, &greeting, sizeof(greeting));
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("greet the other side", WEFT_EPEERDEAD);
    side->key = greeting.key;
    bench_check("know the other side", weft__lane_peer(side->lane, greeting.address, &side->peer));
}

/* Lets others have the core now and then: two sides that spin may share one. */
static void drive(struct bench_side *side, unsigned *empty)
{
    if (weft__lane_drive(side->lane))
        *empty = 0;
    else if (++*empty % YIELD_EVERY == 0)
        sched_yield();
}

/* ---- the other side ---- */

static void drive_until_order(struct bench_side *side, int fd)
{
    char byte;
    weft__lane_polling(side->lane, true);
    do {
        unsigned empty = 0;
        for (unsigned i = 0; i < LOOK_EVERY; i++)
            drive(side, &empty);
    } while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
             (errno == EAGAIN || errno == EINTR));
    weft__lane_polling(side->lane, false);
}

static int other_main(void *ctx, int fd)
{
    struct bench_side *side = ctx;
    struct weft_lane_region *region;
    struct weft_lane_key key;
    bool spin;
    if (!lane_open(side))
        return 0;
    bench_check("register", weft__lane_register(side->lane, side->bytes, BENCH_SHARED_BYTES,
                                                WEFT_TP_READ, &region, &key));
    greet(side, fd, &key);
    while (bench_receive(fd, &spin, sizeof(spin))) {
        bench_send(fd, &spin, sizeof(spin));
        if (spin)
            drive_until_order(side, fd);
    }
    weft__lane_unregister(side->lane, region);
    weft__lane_close(side->lane);
    free(side->bytes);
    return 0;
}

static void *other_thread(void *ctx)
{
    struct bench_side *other = ctx;
    other_main(other, other->fd);
    close(other->fd);
    return NULL;
}

/* ---- this side ---- */

struct bench_side *bench_side_open(const char *scheme)
{
    struct bench_side *side = calloc(1, sizeof(*side)), *other = calloc(1, sizeof(*other));
    int pair[2];
    if (!side || !other)
        bench_die("memory", WEFT_ENOMEM);
    snprintf(side->scheme, sizeof(side->scheme), "%s", scheme);
    *other = *side;
    other->is_other = true;
    if (strcmp(scheme, "inproc") != 0) {
        side->pid = bench_fork(other_main, other, &side->fd);
        free(other);
    } else {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            bench_die("socketpair", -errno);
        side->other = other;
        side->fd = pair[0];
        other->fd = pair[1];
    }
    return side;
}

/* Apart from open, so that every process is forked before there are threads. */
bool bench_side_exists(struct bench_side *side)
{
    if (side->lane || side->is_absent)
        return !side->is_absent;
    if (side->other && pthread_create(&side->thread, NULL, other_thread, side->other) != 0)
        bench_die("start a thread", WEFT_EAGAIN);
    side->is_absent = !lane_open(side);
    if (!side->is_absent)
        greet(side, side->fd, NULL);
    return !side->is_absent;
}

void bench_side_close(struct bench_side *side)
{
    if (bench_side_exists(side))
        bench_side_spin(side, false);
    if (side->other) {
        close(side->fd);
        pthread_join(side->thread, NULL);
        free(side->other);
    } else if (bench_join(side->pid, side->fd)) {
        bench_die("end the other side", WEFT_EPEERDEAD);
    }
    if (!side->is_absent)
        weft__lane_close(side->lane);
    free(side->bytes);
    free(side);
}

void bench_side_spin(struct bench_side *side, bool spin)
{
    if (spin == side->spins)
        return;
    side->spins = spin;
    bench_send(side->fd, &spin, sizeof(spin));
    if (!bench_receive(side->fd, &spin, sizeof(spin)))
        bench_die("order the other side", WEFT_EPEERDEAD);
    weft__lane_polling(side->lane, spin);
}

static void await(struct bench_side *side, uint32_t seen)
{
    uint64_t deadline_ns = weft__now_ns() + STALL_NS;
    unsigned empty = 0;
    while (atomic_load(&side->heard) == seen) {
        int err = WEFT_OK;
        if (!side->spins)
            err = weft__lane_wait(side->lane, &side->heard, seen, deadline_ns);
        else
            drive(side, &empty);
        if (err || (empty % 1024 == 1023 && weft__now_ns() > deadline_ns))
            bench_die("wait for the other side", WEFT_ETIMEDOUT);
    }
}

void bench_side_echo(struct bench_side *side, size_t len_bytes)
{
    uint32_t seen = atomic_load(&side->heard);
    struct iovec part = {side->bytes, len_bytes};
    bench_check("send", weft__lane_send(side->lane, side->peer, &part, 1));
    await(side, seen);
}

static void got(struct weft_lane_get *get, int err)
{
    struct bench_side *side = get->user;
    side->get_err = err;
    atomic_fetch_add(&side->heard, 1);
    weft__lane_kick(side->lane, &side->heard);
}

void bench_side_get(struct bench_side *side, size_t len_bytes)
{
    uint32_t seen = atomic_load(&side->heard);
    struct weft_lane_get get = {.peer = side->peer,
                                .key = side->key,
                                .into = side->bytes,
                                .len_bytes = len_bytes,
                                .done = got,
                                .user = side};
    bench_check("get", weft__lane_get(side->lane, &get));
    await(side, seen);
    bench_check("get", side->get_err);
}
