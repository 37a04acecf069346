/* How fast does a region move? Two processes on this machine, the child holds the regions, the
 * parent pulls them.
 *
 *   raw     one get of the whole range over the lane, straight into the mapping of a fresh memfd:
 * what a transport can do pull    everything that a move pays: image built (touched pages found,
 * packed, summed), sent, decoded, pulled, checked, written into a fresh region mapped  pull, and
 * then every page faulted into the receiver's page tables, as raw has done on the way
 *
 * The cases take turns within each round, so that a slow minute hits them all. Goal
 * demo.pull_ratio: mapped against raw of a dense region, the least favourable reading. */
#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "link/lane.h"
#include "snapshot/pull.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x7765667462656e63
#define ROUNDS_MAX 101
#define GOAL_RATIO 0.6

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct options {
    const char *scheme;
    size_t region_bytes;
    unsigned rounds;
    uint32_t chunk_bytes, pack_below_bytes, window;
    bool json;
};

/* Which pages of the region are touched: `run` of every `stride`. */
struct pattern {
    const char *name;
    size_t run, stride;
};

static const struct pattern patterns[] = {
    {"dense", 1, 1}, {"scattered", 1, 4}, {"runs of 64 KiB", 16, 32}};
#define PATTERNS_N (sizeof(patterns) / sizeof(patterns[0]))

/* What the parent asks the child for. */
enum ask { ASK_IMAGE, ASK_FORGET, ASK_END };
struct request {
    uint32_t ask, pattern;
};

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key keys[PATTERNS_N];
};

struct image_answer {
    uint64_t len_bytes;
    uint64_t build_ns;
};

static void die(const char *what, int err)
{
    fprintf(stderr, "bench-pull: %s: %s\n", what, weft_fail_text(err));
    exit(1);
}

static void check(const char *what, int err)
{
    if (err)
        die(what, err);
}

static void send_all(int fd, const void *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            die("write to the other process", -errno);
        data = (const char *)data + n;
        len -= (size_t)n;
    }
}

/* false: the other end has closed. */
static bool receive_all(int fd, void *data, size_t len)
{
    while (len) {
        ssize_t n = read(fd, data, len);
        if (n <= 0)
            return false;
        data = (char *)data + n;
        len -= (size_t)n;
    }
    return true;
}

static void no_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static struct weft_lane *lane_open(const struct options *options)
{
    static const struct weft_transport *const all[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                       &weft__tp_ofi};
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = 3,
                                        .scheme = options->scheme,
                                        .bind = "127.0.0.1",
                                        .token = TOKEN,
                                        .msg_max_bytes = 65536,
                                        .message = no_message};
    struct weft_lane *lane;
    check("open a lane", weft__lane_open(&desc, &lane));
    return lane;
}

static void fill(struct weft_region *region, const struct pattern *pattern)
{
    uint64_t word = 0x9e3779b97f4a7c15;
    for (size_t page = 0; page < region->len_bytes / WEFT_REGION_PAGE; page++) {
        if (page % pattern->stride >= pattern->run)
            continue;
        uint64_t *at = (uint64_t *)(void *)((char *)region->base + page * WEFT_REGION_PAGE);
        for (size_t i = 0; i < WEFT_REGION_PAGE / sizeof(*at); i++)
            at[i] = word = word * 6364136223846793005u + 1442695040888963407u;
    }
}

static struct weft_image *answer_image(const struct options *options, struct weft_lane *lane,
                                       const struct weft_region *region, int fd)
{
    const struct weft_image_desc desc = {.region = region,
                                         .chunk_bytes = options->chunk_bytes,
                                         .pack_below_bytes = options->pack_below_bytes};
    struct image_answer answer;
    struct weft_image *image;
    uint8_t *bytes;
    size_t len;
    uint64_t start_ns = weft__now_ns();
    check("build an image", weft__image_build(&desc, &image));
    check("share an image", weft__image_share(image, lane));
    check("encode an image", weft__image_encode(image, &bytes, &len));
    answer = (struct image_answer){.len_bytes = len, .build_ns = weft__now_ns() - start_ns};
    send_all(fd, &answer, sizeof(answer));
    send_all(fd, bytes, len);
    free(bytes);
    return image;
}

static int source_main(const struct options *options, int fd)
{
    struct weft_region regions[PATTERNS_N];
    struct weft_lane_region *shared[PATTERNS_N];
    struct greeting greeting = {.address = ""};
    struct weft_image *image = NULL;
    struct request request;
    struct weft_lane *lane = lane_open(options);
    snprintf(greeting.address, sizeof(greeting.address), "%s", weft__lane_address(lane));
    for (size_t i = 0; i < PATTERNS_N; i++) {
        check("make a region",
              weft__region_init(&regions[i], "source", NULL, options->region_bytes));
        fill(&regions[i], &patterns[i]);
        check("register a region",
              weft__lane_register(lane, regions[i].base, regions[i].len_bytes, WEFT_TP_READ,
                                  &shared[i], &greeting.keys[i]));
    }
    send_all(fd, &greeting, sizeof(greeting));
    while (receive_all(fd, &request, sizeof(request)) && request.ask != ASK_END) {
        weft__image_free(image);
        image = request.ask == ASK_IMAGE
                    ? answer_image(options, lane, &regions[request.pattern], fd)
                    : NULL;
    }
    weft__image_free(image);
    for (size_t i = 0; i < PATTERNS_N; i++)
        weft__lane_unregister(lane, shared[i]);
    weft__lane_close(lane);
    for (size_t i = 0; i < PATTERNS_N; i++)
        weft__region_fini(&regions[i]);
    return 0;
}

struct receiver {
    const struct options *options;
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct greeting greeting;
    int fd;
    _Atomic uint32_t over;
    int err;
};

static void wake(struct receiver *receiver, int err)
{
    receiver->err = err;
    atomic_store(&receiver->over, 1);
    weft__futex_wake(&receiver->over);
}

static void await(struct receiver *receiver, const char *what)
{
    while (!atomic_load(&receiver->over))
        if (weft__futex_wait(&receiver->over, 0, weft__now_ns() + 60 * WEFT_NS_PER_S))
            die(what, WEFT_ETIMEDOUT);
    check(what, receiver->err);
}

static void got(struct weft_lane_get *get, int err)
{
    wake(get->user, err);
}

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    (void)pull;
    if (err)
        weft_fail(err, "%s", text);
    wake(user, err);
}

/* Nanoseconds of one get of everything into a fresh mapping. */
static uint64_t raw_once(struct receiver *receiver)
{
    struct weft_region into;
    check("make a region",
          weft__region_init(&into, "receiver", NULL, receiver->options->region_bytes));
    struct weft_lane_get get = {.peer = receiver->peer,
                                .key = receiver->greeting.keys[0],
                                .into = into.base,
                                .len_bytes = into.len_bytes,
                                .done = got,
                                .user = receiver};
    atomic_store(&receiver->over, 0);
    uint64_t start_ns = weft__now_ns();
    check("start a get", weft__lane_get(receiver->lane, &get));
    await(receiver, "a get of everything");
    uint64_t took_ns = weft__now_ns() - start_ns;
    weft__region_fini(&into);
    return took_ns;
}

struct pull_times {
    uint64_t build_ns, pull_ns, mapped_ns;
    uint64_t total_bytes;
};

static struct weft_image *receive_image(struct receiver *receiver, uint32_t pattern,
                                        uint64_t *build_ns_out)
{
    const struct request request = {ASK_IMAGE, pattern};
    struct image_answer answer;
    struct weft_image *image;
    send_all(receiver->fd, &request, sizeof(request));
    if (!receive_all(receiver->fd, &answer, sizeof(answer)))
        die("an image from the source", WEFT_EPEERDEAD);
    uint8_t *bytes = malloc(answer.len_bytes);
    if (!bytes || !receive_all(receiver->fd, bytes, answer.len_bytes))
        die("an image from the source", WEFT_EPEERDEAD);
    check("decode an image", weft__image_decode(bytes, answer.len_bytes, &image));
    free(bytes);
    *build_ns_out = answer.build_ns;
    return image;
}

static void map_all(const struct weft_region *into, const struct weft_image *image)
{
    for (size_t i = 0; i < image->runs.n; i++)
        if (madvise((char *)into->base + image->runs.at[i].offset, image->runs.at[i].len_bytes,
                    MADV_POPULATE_WRITE))
            die("madvise", -errno);
}

static struct pull_times pull_once(struct receiver *receiver, uint32_t pattern)
{
    const struct request forget = {ASK_FORGET, 0};
    struct pull_times times;
    struct weft_region into;
    struct weft_pull *pull;
    check("make a region",
          weft__region_init(&into, "receiver", NULL, receiver->options->region_bytes));
    atomic_store(&receiver->over, 0);
    uint64_t start_ns = weft__now_ns();
    struct weft_image *image = receive_image(receiver, pattern, &times.build_ns);
    const struct weft_pull_desc desc = {.lane = receiver->lane,
                                        .peer = receiver->peer,
                                        .image = image,
                                        .into = &into,
                                        .window = receiver->options->window,
                                        .done = pulled,
                                        .user = receiver};
    check("start a pull", weft__pull_start(&desc, &pull));
    await(receiver, "a pull");
    times.pull_ns = weft__now_ns() - start_ns;
    map_all(&into, image);
    times.mapped_ns = weft__now_ns() - start_ns;
    times.total_bytes = image->total_bytes;
    weft__pull_free(pull);
    weft__image_free(image);
    weft__region_fini(&into);
    send_all(receiver->fd, &forget, sizeof(forget));
    return times;
}

struct samples {
    const char *id, *of, *unit;
    double values[ROUNDS_MAX];
    unsigned n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(struct samples *samples)
{
    qsort(samples->values, samples->n, sizeof(double), by_value);
    unsigned mid = samples->n / 2;
    return samples->n % 2 ? samples->values[mid]
                          : (samples->values[mid - 1] + samples->values[mid]) / 2;
}

static void print(struct samples *samples, const struct receiver *receiver)
{
    const struct options *options = receiver->options;
    struct weft_lane_stats stats;
    double value = median(samples);
    weft__lane_stats(receiver->lane, &stats);
    if (options->json)
        printf("{\"id\":\"%s\",\"case\":\"%s\",\"subject\":\"weft\",\"value\":%.4g,\"unit\":\"%s\","
               "\"min\":%.4g,\"max\":%.4g,"
               "\"n\":%u,\"config\":\"%s, region %zu MiB, chunk %u KiB, window %u, packed below %u "
               "KiB\"}\n",
               samples->id, samples->of, value, samples->unit, samples->values[0],
               samples->values[samples->n - 1], samples->n, stats.transport,
               options->region_bytes >> 20, options->chunk_bytes >> 10, options->window,
               options->pack_below_bytes >> 10);
    else
        printf("%-16s %-16s %8.3f %-5s (%.3f to %.3f, %u rounds)\n", samples->id, samples->of,
               value, samples->unit, samples->values[0], samples->values[samples->n - 1],
               samples->n);
    fflush(stdout);
}

static void print_goal(double ratio, bool json)
{
    if (json)
        printf("{\"goal\":\"demo.pull_ratio\",\"measured\":%.4g,\"wanted\":%.4g,\"op\":\">=\","
               "\"unit\":\"ratio\",\"met\":%s,"
               "\"from\":[\"pull.mapped\",\"pull.raw\"],\"reason\":\"\"}\n",
               ratio, GOAL_RATIO, ratio >= GOAL_RATIO ? "true" : "false");
    else
        printf("demo.pull_ratio  %.3f, wanted >= %.1f\n", ratio, GOAL_RATIO);
}

static void add(struct samples *samples, double value)
{
    samples->values[samples->n++] = value;
}

static double gbps(uint64_t bytes, uint64_t ns)
{
    return (double)bytes / (double)ns;
}

static void measure(struct receiver *receiver)
{
    static struct samples raw = {.id = "pull.raw", .of = "dense", .unit = "GB/s"};
    static struct samples pull[PATTERNS_N], mapped[PATTERNS_N], build[PATTERNS_N];
    const struct options *options = receiver->options;
    for (size_t i = 0; i < PATTERNS_N; i++) {
        pull[i] = (struct samples){.id = "pull.pull", .of = patterns[i].name, .unit = "GB/s"};
        mapped[i] = (struct samples){.id = "pull.mapped", .of = patterns[i].name, .unit = "GB/s"};
        build[i] = (struct samples){.id = "pull.build", .of = patterns[i].name, .unit = "ms"};
    }
    raw_once(receiver); /* connects */
    for (unsigned round = 0; round < options->rounds; round++) {
        add(&raw, gbps(options->region_bytes, raw_once(receiver)));
        for (uint32_t i = 0; i < PATTERNS_N; i++) {
            struct pull_times times = pull_once(receiver, i);
            add(&pull[i], gbps(times.total_bytes, times.pull_ns));
            add(&mapped[i], gbps(times.total_bytes, times.mapped_ns));
            add(&build[i], (double)times.build_ns / 1e6);
        }
    }
    print(&raw, receiver);
    for (size_t i = 0; i < PATTERNS_N; i++) {
        print(&pull[i], receiver);
        print(&mapped[i], receiver);
        print(&build[i], receiver);
    }
    print_goal(median(&mapped[0]) / median(&raw), options->json);
}

static int receiver_main(const struct options *options, int fd)
{
    const struct request end = {ASK_END, 0};
    struct receiver receiver = {.options = options, .fd = fd, .lane = lane_open(options)};
    if (!receive_all(fd, &receiver.greeting, sizeof(receiver.greeting)))
        die("the source", WEFT_EPEERDEAD);
    check("the source's address",
          weft__lane_peer(receiver.lane, receiver.greeting.address, &receiver.peer));
    measure(&receiver);
    send_all(fd, &end, sizeof(end));
    weft__lane_close(receiver.lane);
    return 0;
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: bench-pull [--json] [--scheme NAME] [--mib N] [--rounds N] [--chunk-kib "
                 "N] [--window N]\n"
                 "                  [--pack-below-kib N]\n"
                 "Measures how fast a region moves between two processes, against one raw get.\n");
}

/* A number from 1 to max, or the end of the program. */
static size_t number(const char *text, size_t max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || end == text || value == 0 || value > max) {
        fprintf(stderr, "bench-pull: %s is not a number from 1 to %zu\n", text, max);
        exit(2);
    }
    return (size_t)value;
}

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"json", 0, NULL, 'j'},           {"scheme", 1, NULL, 's'}, {"mib", 1, NULL, 'm'},
        {"rounds", 1, NULL, 'r'},         {"window", 1, NULL, 'w'}, {"chunk-kib", 1, NULL, 'c'},
        {"pack-below-kib", 1, NULL, 'p'}, {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'j':
            options->json = true;
            break;
        case 's':
            options->scheme = optarg;
            break;
        case 'm':
            options->region_bytes = number(optarg, 65536) << 20;
            break;
        case 'r':
            options->rounds = (unsigned)number(optarg, ROUNDS_MAX);
            break;
        case 'w':
            options->window = (uint32_t)number(optarg, 64);
            break;
        case 'c':
            options->chunk_bytes = (uint32_t)number(optarg, 65536) << 10;
            break;
        case 'p':
            options->pack_below_bytes = (uint32_t)number(optarg, 65536) << 10;
            break;
        default:
            usage(option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = {.region_bytes = (size_t)256 << 20,
                              .rounds = 5,
                              .chunk_bytes = WEFT_IMAGE_CHUNK_BYTES,
                              .pack_below_bytes = WEFT_IMAGE_PACK_BELOW_BYTES,
                              .window = WEFT_PULL_WINDOW};
    int pair[2], status;
    parse(argc, argv, &options);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        perror("bench-pull: socketpair");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        check("read the settings", weft__config_load());
        return source_main(&options, pair[1]);
    }
    close(pair[1]);
    check("read the settings", weft__config_load());
    int code = receiver_main(&options, pair[0]);
    close(pair[0]);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        code = 1;
    return code;
}
