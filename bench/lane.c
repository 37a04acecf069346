/* How fast is a lane? Two processes on this machine: the child answers messages and holds memory,
 * the parent asks.
 *
 *   lane.latency   half a round trip of one message, both sides driving the lane themselves
 *   lane.wakeup    the same with both sides asleep: progress threads wake up for every message
 *   lane.rate      8-byte messages per second, one way, the last one answered
 *   lane.get       bandwidth of one get into the mapping of a fresh memfd, pages made on the way
 *   lane.copy      memcpy into an equally fresh memfd, for comparison
 *
 * The transports take turns within each round, so that a slow minute hits them all. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "bench.h"
#include "link/lane.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x6c616e65u
#define MESSAGE_MAX 65536u
#define SHARED_BYTES ((size_t)256 << 20)
#define STALL_NS (20 * WEFT_NS_PER_S)

static const char *const schemes[] = {"tcp", "ofi:net", "ofi:tcp;ofi_rxm", "zmq"};
#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

static const size_t message_bytes[] = {8, 4096, 65536};
#define SIZES (sizeof(message_bytes) / sizeof(message_bytes[0]))
static const size_t get_bytes[] = {(size_t)1 << 20, (size_t)16 << 20, SHARED_BYTES};
#define GETS (sizeof(get_bytes) / sizeof(get_bytes[0]))

/* The first byte of a message says what the child does with it. */
enum what { ECHO, COUNT, POLL, SLEEP };

struct side {
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    _Atomic uint32_t heard;
    atomic_bool polls; /* the child's: whether it drives this lane itself */
};

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key key;
};

static struct weft_lane *lane_open(const char *scheme,
                                   void (*message)(void *ctx, const void *data, size_t len_bytes),
                                   struct side *side)
{
    static const struct weft_transport *const all[] = {&weft__tp_zmq, &weft__tp_ofi, &weft__tp_tcp};
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = 3,
                                        .scheme = scheme,
                                        .progress = "thread",
                                        .bind = "127.0.0.1",
                                        .token = TOKEN,
                                        .msg_max_bytes = MESSAGE_MAX,
                                        .message = message,
                                        .ctx = side};
    struct weft_lane *lane;
    bench_check(scheme, weft__lane_open(&desc, &lane));
    return lane;
}

/* ---- the child ---- */

static void answer(void *ctx, const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    const unsigned char *bytes = data;
    struct iovec part = {(void *)(uintptr_t)data, len_bytes};
    if (bytes[0] == ECHO)
        bench_check("answer", weft__lane_send(side->lane, side->peer, &part, 1));
    if (bytes[0] == POLL || bytes[0] == SLEEP) {
        atomic_store(&side->polls, bytes[0] == POLL);
        bench_check("answer", weft__lane_send(side->lane, side->peer, &part, 1));
    }
}

static void *shared_bytes(void)
{
    int fd = memfd_create("bench-lane", MFD_CLOEXEC);
    void *bytes = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)SHARED_BYTES) == 0)
        bytes = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        bench_die("make a memfd", -errno);
    close(fd);
    return bytes;
}

static void drive_while_asked(struct side *side)
{
    if (!atomic_load(&side->polls))
        return;
    weft__lane_polling(side->lane, true);
    while (atomic_load(&side->polls))
        weft__lane_drive(side->lane);
    weft__lane_polling(side->lane, false);
}

static void receive(int fd, struct greeting *greeting)
{
    if (!bench_receive(fd, greeting, sizeof(*greeting)))
        bench_die("talk to the other process", WEFT_EPEERDEAD);
}

static int child_main(void *ctx, int fd)
{
    (void)ctx;
    struct side sides[SCHEMES] = {0};
    struct weft_lane_region *region;
    struct greeting greeting;
    unsigned char *bytes = shared_bytes();
    memset(bytes, 1, SHARED_BYTES);
    for (size_t i = 0; i < SCHEMES; i++) {
        sides[i].lane = lane_open(schemes[i], answer, &sides[i]);
        snprintf(greeting.address, sizeof(greeting.address), "%s",
                 weft__lane_address(sides[i].lane));
        bench_check("register", weft__lane_register(sides[i].lane, bytes, SHARED_BYTES,
                                                    WEFT_TP_READ, &region, &greeting.key));
        bench_send(fd, &greeting, sizeof(greeting));
        receive(fd, &greeting);
        bench_check("know the parent",
                    weft__lane_peer(sides[i].lane, greeting.address, &sides[i].peer));
    }
    char byte;
    while (recv(fd, &byte, 1, MSG_DONTWAIT) != 0) { /* the parent closes it at the end */
        for (size_t i = 0; i < SCHEMES; i++)
            drive_while_asked(&sides[i]);
        usleep(1000);
    }
    for (size_t i = 0; i < SCHEMES; i++)
        weft__lane_close(sides[i].lane);
    munmap(bytes, SHARED_BYTES);
    return 0;
}

/* ---- the parent ---- */

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    (void)data;
    (void)len_bytes;
    atomic_fetch_add(&side->heard, 1);
    weft__futex_wake(&side->heard);
}

static void say(struct side *side, unsigned char *bytes, size_t len, enum what what)
{
    bytes[0] = (unsigned char)what;
    struct iovec part = {bytes, len};
    int err;
    uint64_t deadline_ns = weft__now_ns() + STALL_NS;
    while ((err = weft__lane_send(side->lane, side->peer, &part, 1)) == WEFT_EAGAIN) {
        weft__lane_drive(side->lane);
        if (weft__now_ns() > deadline_ns)
            bench_die("send", WEFT_ETIMEDOUT);
    }
    bench_check("send", err);
}

/* Waits for one more message than seen, driving or asleep. */
static void hear(struct side *side, uint32_t seen, bool polling)
{
    uint64_t deadline_ns = weft__now_ns() + STALL_NS;
    for (unsigned spins = 0; atomic_load(&side->heard) == seen; spins++) {
        if (!polling)
            weft__futex_wait(&side->heard, seen, deadline_ns);
        else
            weft__lane_drive(side->lane);
        if (spins % 1024 == 1023 && weft__now_ns() > deadline_ns)
            bench_die("wait for an answer", WEFT_ETIMEDOUT);
    }
}

static void round_trip(struct side *side, unsigned char *bytes, size_t len, bool polling)
{
    uint32_t seen = atomic_load(&side->heard);
    say(side, bytes, len, ECHO);
    hear(side, seen, polling);
}

/* Makes both sides wait in the same way. */
static void both_wait(struct side *side, unsigned char *bytes, bool polling)
{
    uint32_t seen = atomic_load(&side->heard);
    say(side, bytes, 8, polling ? POLL : SLEEP);
    hear(side, seen, false);
    if (polling)
        weft__lane_polling(side->lane, true);
    round_trip(side, bytes, 8, polling);
}

static double latency_us(struct side *side, size_t len, bool polling)
{
    static unsigned char bytes[MESSAGE_MAX];
    unsigned n = polling ? 1000 : 300;
    both_wait(side, bytes, polling);
    for (unsigned i = 0; i < n / 10; i++)
        round_trip(side, bytes, len, polling);
    uint64_t start_ns = weft__now_ns();
    for (unsigned i = 0; i < n; i++)
        round_trip(side, bytes, len, polling);
    double took_us = (double)(weft__now_ns() - start_ns) / 1e3;
    if (polling) {
        weft__lane_polling(side->lane, false);
        both_wait(side, bytes, false);
    }
    return took_us / n / 2;
}

static double rate(struct side *side)
{
    static unsigned char bytes[8];
    unsigned n = 20000;
    both_wait(side, bytes, true);
    uint64_t start_ns = weft__now_ns();
    for (unsigned i = 0; i < n; i++)
        say(side, bytes, sizeof(bytes), COUNT);
    round_trip(side, bytes, sizeof(bytes), true);
    uint64_t took_ns = weft__now_ns() - start_ns;
    weft__lane_polling(side->lane, false);
    both_wait(side, bytes, false);
    return n * 1e9 / (double)took_ns;
}

struct waiting {
    struct weft_lane_get get;
    _Atomic uint32_t over;
    int err;
};

static void got(struct weft_lane_get *get, int err)
{
    struct waiting *waiting = get->user;
    waiting->err = err;
    atomic_store(&waiting->over, 1);
    weft__futex_wake(&waiting->over);
}

static double get_gbps(struct side *side, const struct weft_lane_key *key, size_t len)
{
    void *into = shared_bytes();
    struct waiting waiting = {.get = {.peer = side->peer,
                                      .key = *key,
                                      .into = into,
                                      .len_bytes = len,
                                      .done = got,
                                      .user = &waiting}};
    uint64_t start_ns = weft__now_ns();
    bench_check("get", weft__lane_get(side->lane, &waiting.get));
    while (!atomic_load(&waiting.over))
        if (weft__futex_wait(&waiting.over, 0, start_ns + STALL_NS))
            bench_die("get", WEFT_ETIMEDOUT);
    uint64_t took_ns = weft__now_ns() - start_ns;
    bench_check("get", waiting.err);
    munmap(into, SHARED_BYTES);
    return (double)len / (double)took_ns;
}

static double copy_gbps(const void *from, size_t len)
{
    void *into = shared_bytes();
    uint64_t start_ns = weft__now_ns();
    memcpy(into, from, len);
    uint64_t took_ns = weft__now_ns() - start_ns;
    munmap(into, SHARED_BYTES);
    return (double)len / (double)took_ns;
}

/* ---- what comes out ---- */

struct results {
    struct bench_series latency[SCHEMES][SIZES], wakeup[SCHEMES], rate[SCHEMES], get[SCHEMES][GETS],
        copy[GETS];
};

static void label(struct bench_series *series, const char *kind, const char *unit, const char *by,
                  size_t len_bytes)
{
    snprintf(series->id, sizeof(series->id), "lane.%s.%zuB.%s", kind, len_bytes, by);
    snprintf(series->what, sizeof(series->what), "%s of %zu B, %s", kind, len_bytes, by);
    snprintf(series->subject, sizeof(series->subject), "%s",
             strcmp(by, "memcpy") == 0 ? "memcpy" : "weft");
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    snprintf(series->config, sizeof(series->config), "%s, two processes on 127.0.0.1", by);
}

static void label_all(struct results *results)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        for (size_t k = 0; k < SIZES; k++)
            label(&results->latency[i][k], "latency", "us", schemes[i], message_bytes[k]);
        label(&results->wakeup[i], "wakeup", "us", schemes[i], 8);
        label(&results->rate[i], "rate", "msg/s", schemes[i], 8);
        for (size_t k = 0; k < GETS; k++)
            label(&results->get[i][k], "get", "GB/s", schemes[i], get_bytes[k]);
    }
    for (size_t k = 0; k < GETS; k++)
        label(&results->copy[k], "copy", "GB/s", "memcpy", get_bytes[k]);
}

static void print_all(const struct bench *bench, struct results *results)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        for (size_t k = 0; k < SIZES; k++)
            bench_print(bench, &results->latency[i][k]);
        bench_print(bench, &results->wakeup[i]);
        bench_print(bench, &results->rate[i]);
        for (size_t k = 0; k < GETS; k++)
            bench_print(bench, &results->get[i][k]);
    }
    for (size_t k = 0; k < GETS; k++)
        bench_print(bench, &results->copy[k]);
}

static void measure_round(struct results *results, struct side *sides,
                          const struct weft_lane_key *keys, const void *local)
{
    static size_t first;
    first++; /* who comes first finds the machine as the copies have left it */
    for (size_t turn = 0; turn < SCHEMES; turn++) {
        size_t i = (first + turn) % SCHEMES;
        for (size_t k = 0; k < SIZES; k++)
            bench_add(&results->latency[i][k], latency_us(&sides[i], message_bytes[k], true));
        bench_add(&results->rate[i], rate(&sides[i]));
        bench_add(&results->wakeup[i], latency_us(&sides[i], 8, false));
        for (size_t k = 0; k < GETS; k++)
            bench_add(&results->get[i][k], get_gbps(&sides[i], &keys[i], get_bytes[k]));
    }
    for (size_t k = 0; k < GETS; k++)
        bench_add(&results->copy[k], copy_gbps(local, get_bytes[k]));
}

static void parent_main(int fd, const struct bench *bench)
{
    static struct results results;
    struct side sides[SCHEMES] = {0};
    struct weft_lane_key keys[SCHEMES];
    struct greeting greeting;
    void *local = shared_bytes();
    memset(local, 2, SHARED_BYTES);
    for (size_t i = 0; i < SCHEMES; i++) {
        sides[i].lane = lane_open(schemes[i], heard, &sides[i]);
        receive(fd, &greeting);
        keys[i] = greeting.key;
        bench_check("know the child",
                    weft__lane_peer(sides[i].lane, greeting.address, &sides[i].peer));
        snprintf(greeting.address, sizeof(greeting.address), "%s",
                 weft__lane_address(sides[i].lane));
        bench_send(fd, &greeting, sizeof(greeting));
    }
    label_all(&results);
    for (unsigned i = 0; i < bench->rounds; i++)
        measure_round(&results, sides, keys, local);
    for (size_t i = 0; i < SCHEMES; i++)
        weft__lane_close(sides[i].lane);
    munmap(local, SHARED_BYTES);
    print_all(bench, &results);
}

static void usage(FILE *out)
{
    fprintf(out,
            "Usage: bench-lane [--rounds N] [--json]\n"
            "Latency, message rate and get bandwidth of a lane over each transport, between two "
            "processes.\n"
            "  --rounds N  rounds, 1 to %d (default 5)\n"
            "  --json      one JSON object per line\n",
            BENCH_ROUNDS_MAX);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct bench bench = {.rounds = 5};
    int option, fd;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'j') {
            bench.json = true;
        } else if (option == 'r') {
            bench.rounds = bench_number(optarg, BENCH_ROUNDS_MAX);
        } else {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    bench_check("read the settings", weft__config_load());
    pid_t child = bench_fork(child_main, NULL, &fd);
    parent_main(fd, &bench);
    return bench_join(child, fd);
}
