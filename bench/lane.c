/* How fast is a lane? Two processes on this machine: the child answers messages and holds memory,
 * the parent asks.
 *
 *   lane.latency   half a round trip of one message, both sides driving the lane themselves
 *   lane.wakeup    the same with both sides asleep: progress threads wake up for every message
 *   lane.rate      8-byte messages per second, one way, the last one answered
 *   lane.get       bandwidth of one get into the mapping of a fresh memfd; its pages are made on
 * the way lane.copy      memcpy into an equally fresh memfd, for comparison
 *
 * The transports take turns within each round, so that a slow minute hits them all. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "link/lane.h"
#include "transport/ofi/ofi.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x6c616e65u
#define MESSAGE_MAX 65536u
#define SHARED_BYTES ((size_t)256 << 20)
#define ROUNDS_MAX 51
#define STALL_NS (20 * WEFT_NS_PER_S)

static const char *const schemes[] = {"ofi:net", "ofi:tcp;ofi_rxm", "zmq"};
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

static void die(const char *what, int err)
{
    fprintf(stderr, "bench-lane: %s: %s\n", what, weft_fail_text(err));
    exit(1);
}

static void check(const char *what, int err)
{
    if (err)
        die(what, err);
}

static struct weft_lane *lane_open(const char *scheme,
                                   void (*message)(void *ctx, const void *data, size_t len_bytes),
                                   struct side *side)
{
    static const struct weft_transport *const all[] = {&weft__tp_zmq, &weft__tp_ofi};
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = 2,
                                        .scheme = scheme,
                                        .progress = "thread",
                                        .bind = "127.0.0.1",
                                        .token = TOKEN,
                                        .msg_max_bytes = MESSAGE_MAX,
                                        .message = message,
                                        .ctx = side};
    struct weft_lane *lane;
    check(scheme, weft__lane_open(&desc, &lane));
    return lane;
}

static void transfer(ssize_t done, size_t len)
{
    if (done != (ssize_t)len)
        die("talk to the other process", WEFT_EPEERDEAD);
}

/* ---- the child ---- */

static void answer(void *ctx, const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    const unsigned char *bytes = data;
    struct iovec part = {(void *)(uintptr_t)data, len_bytes};
    if (bytes[0] == ECHO)
        check("answer", weft__lane_send(side->lane, side->peer, &part, 1));
    if (bytes[0] == POLL || bytes[0] == SLEEP) {
        atomic_store(&side->polls, bytes[0] == POLL);
        check("answer", weft__lane_send(side->lane, side->peer, &part, 1));
    }
}

static void *shared_bytes(void)
{
    int fd = memfd_create("bench-lane", MFD_CLOEXEC);
    void *bytes = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)SHARED_BYTES) == 0)
        bytes = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        die("make a memfd", -errno);
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

static void child_main(int fd)
{
    struct side sides[SCHEMES] = {0};
    struct weft_lane_region *region;
    struct greeting greeting;
    unsigned char *bytes = shared_bytes();
    memset(bytes, 1, SHARED_BYTES);
    for (size_t i = 0; i < SCHEMES; i++) {
        sides[i].lane = lane_open(schemes[i], answer, &sides[i]);
        snprintf(greeting.address, sizeof(greeting.address), "%s",
                 weft__lane_address(sides[i].lane));
        check("register", weft__lane_register(sides[i].lane, bytes, SHARED_BYTES, WEFT_TP_READ,
                                              &region, &greeting.key));
        transfer(write(fd, &greeting, sizeof(greeting)), sizeof(greeting));
        transfer(read(fd, &greeting, sizeof(greeting)), sizeof(greeting));
        check("know the parent", weft__lane_peer(sides[i].lane, greeting.address, &sides[i].peer));
    }
    for (;;) { /* until the parent ends it */
        for (size_t i = 0; i < SCHEMES; i++)
            drive_while_asked(&sides[i]);
        usleep(1000);
    }
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
            die("send", WEFT_ETIMEDOUT);
    }
    check("send", err);
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
            die("wait for an answer", WEFT_ETIMEDOUT);
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
    check("get", weft__lane_get(side->lane, &waiting.get));
    while (!atomic_load(&waiting.over))
        if (weft__futex_wait(&waiting.over, 0, start_ns + STALL_NS))
            die("get", WEFT_ETIMEDOUT);
    uint64_t took_ns = weft__now_ns() - start_ns;
    check("get", waiting.err);
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

struct samples {
    double values[ROUNDS_MAX];
    unsigned n;
};

struct results {
    struct samples latency[SCHEMES][SIZES], wakeup[SCHEMES], rate[SCHEMES], get[SCHEMES][GETS],
        copy[GETS];
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(struct samples *samples, double value)
{
    samples->values[samples->n++] = value;
}

struct label {
    const char *id, *unit;
    const char *transport;
    size_t len_bytes;
};

static void print(struct samples *samples, const struct label *label, bool json)
{
    qsort(samples->values, samples->n, sizeof(double), by_value);
    double median = samples->values[samples->n / 2];
    double min = samples->values[0], max = samples->values[samples->n - 1];
    if (json)
        printf("{\"id\":\"%s\",\"case\":\"%s %zu "
               "B\",\"subject\":\"%s\",\"value\":%.4g,\"unit\":\"%s\","
               "\"min\":%.4g,\"max\":%.4g,\"n\":%u,\"config\":\"%s, 127.0.0.1\"}\n",
               label->id, label->transport, label->len_bytes,
               strcmp(label->transport, "memcpy") == 0 ? "memcpy" : "weft", median, label->unit,
               min, max, samples->n, label->transport);
    else
        printf("%-14s %-16s %10zu B %12.4g %-5s (%.4g to %.4g, %u rounds)\n", label->id,
               label->transport, label->len_bytes, median, label->unit, min, max, samples->n);
    fflush(stdout);
}

static void print_all(struct results *results, bool json)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        for (size_t k = 0; k < SIZES; k++)
            print(&results->latency[i][k],
                  &(struct label){"lane.latency", "us", schemes[i], message_bytes[k]}, json);
        print(&results->wakeup[i], &(struct label){"lane.wakeup", "us", schemes[i], 8}, json);
        print(&results->rate[i], &(struct label){"lane.rate", "msg/s", schemes[i], 8}, json);
        for (size_t k = 0; k < GETS; k++)
            print(&results->get[i][k],
                  &(struct label){"lane.get", "GB/s", schemes[i], get_bytes[k]}, json);
    }
    for (size_t k = 0; k < GETS; k++)
        print(&results->copy[k], &(struct label){"lane.copy", "GB/s", "memcpy", get_bytes[k]},
              json);
}

static void measure_round(struct results *results, struct side *sides,
                          const struct weft_lane_key *keys, const void *local)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        for (size_t k = 0; k < SIZES; k++)
            add(&results->latency[i][k], latency_us(&sides[i], message_bytes[k], true));
        add(&results->rate[i], rate(&sides[i]));
        add(&results->wakeup[i], latency_us(&sides[i], 8, false));
        for (size_t k = 0; k < GETS; k++)
            add(&results->get[i][k], get_gbps(&sides[i], &keys[i], get_bytes[k]));
    }
    for (size_t k = 0; k < GETS; k++)
        add(&results->copy[k], copy_gbps(local, get_bytes[k]));
}

static void parent_main(int fd, unsigned rounds, bool json)
{
    static struct results results;
    struct side sides[SCHEMES] = {0};
    struct weft_lane_key keys[SCHEMES];
    struct greeting greeting;
    void *local = shared_bytes();
    memset(local, 2, SHARED_BYTES);
    for (size_t i = 0; i < SCHEMES; i++) {
        sides[i].lane = lane_open(schemes[i], heard, &sides[i]);
        transfer(read(fd, &greeting, sizeof(greeting)), sizeof(greeting));
        keys[i] = greeting.key;
        check("know the child", weft__lane_peer(sides[i].lane, greeting.address, &sides[i].peer));
        snprintf(greeting.address, sizeof(greeting.address), "%s",
                 weft__lane_address(sides[i].lane));
        transfer(write(fd, &greeting, sizeof(greeting)), sizeof(greeting));
    }
    for (unsigned i = 0; i < rounds; i++)
        measure_round(&results, sides, keys, local);
    for (size_t i = 0; i < SCHEMES; i++)
        weft__lane_close(sides[i].lane);
    munmap(local, SHARED_BYTES);
    print_all(&results, json);
}

static void usage(FILE *out)
{
    fprintf(out,
            "Usage: bench-lane [--rounds N] [--json]\n"
            "Latency, message rate and get bandwidth of a lane over each transport, between two "
            "processes.\n"
            "  --rounds N  rounds, 1 to %d (default 5)\n"
            "  --json      one JSON object per line\n",
            ROUNDS_MAX);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    unsigned long rounds = 5;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option == 'r')
            rounds = strtoul(optarg, NULL, 10);
        if (option == 'h' || option == '?' || rounds < 1 || rounds > ROUNDS_MAX) {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    int ends[2];
    check("read the settings", weft__config_load());
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        die("socketpair", -errno);
    pid_t child = fork();
    if (child < 0)
        die("fork", -errno);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        child_main(ends[1]);
    }
    close(ends[1]);
    parent_main(ends[0], (unsigned)rounds, json);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
