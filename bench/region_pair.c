/* Regions in a child process, fetched over a lane.
 *
 *   raw     one get of the whole range, straight into the mapping of a fresh memfd: what the
 *           transport can do
 *   pull    everything that a move pays: image built (touched pages found, packed, summed), sent,
 *           decoded, pulled, checked, written into a fresh region
 *   mapped  pull, and then every page faulted into the receiver's page tables, as raw has done on
 *           the way */
#include "region_pair.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/wake.h"
#include "bench.h"
#include "link/lane.h"
#include "snapshot/pull.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x7765667462656e63

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

const struct region_pattern region_patterns[REGION_PATTERNS] = {
    {"dense", 1, 1}, {"scattered", 1, 4}, {"runs of 64 KiB", 16, 32}};

/* What the parent asks the child for. */
enum ask { ASK_IMAGE, ASK_FORGET };
struct request {
    uint32_t ask, pattern;
};

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key keys[REGION_PATTERNS];
};

struct image_answer {
    uint64_t len_bytes;
    uint64_t build_ns;
};

struct region_pair {
    struct region_options options;
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct greeting greeting;
    struct weft_lane_stats stats;
    pid_t pid;
    int fd;
    _Atomic uint32_t over;
    int err;
};

struct region_options region_options(size_t region_bytes)
{
    return (struct region_options){.region_bytes = region_bytes,
                                   .patterns_n = 1,
                                   .chunk_bytes = WEFT_IMAGE_CHUNK_BYTES,
                                   .pack_below_bytes = WEFT_IMAGE_PACK_BELOW_BYTES,
                                   .window = WEFT_PULL_WINDOW};
}

static void no_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static struct weft_lane *lane_open(const struct region_options *options)
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
    bench_check("open a lane", weft__lane_open(&desc, &lane));
    return lane;
}

/* ---- the source ---- */

static void fill(struct weft_region *region, const struct region_pattern *pattern)
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

static struct weft_image *answer_image(const struct region_options *options, struct weft_lane *lane,
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
    bench_check("build an image", weft__image_build(&desc, &image));
    bench_check("share an image", weft__image_share(image, lane));
    bench_check("encode an image", weft__image_encode(image, &bytes, &len));
    answer = (struct image_answer){.len_bytes = len, .build_ns = weft__now_ns() - start_ns};
    bench_send(fd, &answer, sizeof(answer));
    bench_send(fd, bytes, len);
    free(bytes);
    return image;
}

static int source_main(void *ctx, int fd)
{
    const struct region_options *options = ctx;
    struct weft_region regions[REGION_PATTERNS];
    struct weft_lane_region *shared[REGION_PATTERNS];
    struct greeting greeting = {.address = ""};
    struct weft_image *image = NULL;
    struct request request;
    struct weft_lane *lane = lane_open(options);
    snprintf(greeting.address, sizeof(greeting.address), "%s", weft__lane_address(lane));
    for (size_t i = 0; i < options->patterns_n; i++) {
        bench_check("make a region",
                    weft__region_init(&regions[i], "source", NULL, options->region_bytes));
        fill(&regions[i], &region_patterns[i]);
        bench_check("register a region",
                    weft__lane_register(lane, regions[i].base, regions[i].len_bytes, WEFT_TP_READ,
                                        &shared[i], &greeting.keys[i]));
    }
    bench_send(fd, &greeting, sizeof(greeting));
    while (bench_receive(fd, &request, sizeof(request))) {
        weft__image_free(image);
        image = request.ask == ASK_IMAGE
                    ? answer_image(options, lane, &regions[request.pattern], fd)
                    : NULL;
    }
    weft__image_free(image);
    for (size_t i = 0; i < options->patterns_n; i++)
        weft__lane_unregister(lane, shared[i]);
    weft__lane_close(lane);
    for (size_t i = 0; i < options->patterns_n; i++)
        weft__region_fini(&regions[i]);
    return 0;
}

/* ---- the receiver ---- */

struct region_pair *region_pair_open(const struct region_options *options)
{
    struct region_pair *pair = calloc(1, sizeof(*pair));
    if (!pair)
        bench_die("memory", WEFT_ENOMEM);
    pair->options = *options;
    pair->pid = bench_fork(source_main, &pair->options, &pair->fd);
    pair->lane = lane_open(options);
    if (!bench_receive(pair->fd, &pair->greeting, sizeof(pair->greeting)))
        bench_die("the source", WEFT_EPEERDEAD);
    bench_check("the source's address",
                weft__lane_peer(pair->lane, pair->greeting.address, &pair->peer));
    return pair;
}

void region_pair_close(struct region_pair *pair)
{
    if (bench_join(pair->pid, pair->fd))
        bench_die("the source", WEFT_EPEERDEAD);
    weft__lane_close(pair->lane);
    free(pair);
}

const char *region_pair_transport(struct region_pair *pair)
{
    weft__lane_stats(pair->lane, &pair->stats);
    return pair->stats.transport;
}

static void wake(struct region_pair *pair, int err)
{
    pair->err = err;
    atomic_store(&pair->over, 1);
    weft__futex_wake(&pair->over);
}

static void await(struct region_pair *pair, const char *what)
{
    while (!atomic_load(&pair->over))
        if (weft__futex_wait(&pair->over, 0, weft__now_ns() + 60 * WEFT_NS_PER_S))
            bench_die(what, WEFT_ETIMEDOUT);
    bench_check(what, pair->err);
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

uint64_t region_pair_raw(struct region_pair *pair)
{
    struct weft_region into;
    bench_check("make a region",
                weft__region_init(&into, "receiver", NULL, pair->options.region_bytes));
    struct weft_lane_get get = {.peer = pair->peer,
                                .key = pair->greeting.keys[0],
                                .into = into.base,
                                .len_bytes = into.len_bytes,
                                .done = got,
                                .user = pair};
    atomic_store(&pair->over, 0);
    uint64_t start_ns = weft__now_ns();
    bench_check("start a get", weft__lane_get(pair->lane, &get));
    await(pair, "a get of everything");
    uint64_t took_ns = weft__now_ns() - start_ns;
    weft__region_fini(&into);
    return took_ns;
}

static struct weft_image *receive_image(struct region_pair *pair, uint32_t pattern,
                                        uint64_t *build_ns_out)
{
    const struct request request = {ASK_IMAGE, pattern};
    struct image_answer answer;
    struct weft_image *image;
    bench_send(pair->fd, &request, sizeof(request));
    if (!bench_receive(pair->fd, &answer, sizeof(answer)))
        bench_die("an image from the source", WEFT_EPEERDEAD);
    uint8_t *bytes = malloc(answer.len_bytes);
    if (!bytes || !bench_receive(pair->fd, bytes, answer.len_bytes))
        bench_die("an image from the source", WEFT_EPEERDEAD);
    bench_check("decode an image", weft__image_decode(bytes, answer.len_bytes, &image));
    free(bytes);
    *build_ns_out = answer.build_ns;
    return image;
}

static void map_all(const struct weft_region *into, const struct weft_image *image)
{
    for (size_t i = 0; i < image->runs.n; i++)
        if (madvise((char *)into->base + image->runs.at[i].offset, image->runs.at[i].len_bytes,
                    MADV_POPULATE_WRITE))
            bench_die("madvise", -errno);
}

struct region_times region_pair_pull(struct region_pair *pair, uint32_t pattern)
{
    const struct request forget = {ASK_FORGET, 0};
    struct region_times times;
    struct weft_region into;
    struct weft_pull *pull;
    bench_check("make a region",
                weft__region_init(&into, "receiver", NULL, pair->options.region_bytes));
    atomic_store(&pair->over, 0);
    uint64_t start_ns = weft__now_ns();
    struct weft_image *image = receive_image(pair, pattern, &times.build_ns);
    const struct weft_pull_desc desc = {.lane = pair->lane,
                                        .peer = pair->peer,
                                        .image = image,
                                        .into = &into,
                                        .window = pair->options.window,
                                        .done = pulled,
                                        .user = pair};
    bench_check("start a pull", weft__pull_start(&desc, &pull));
    await(pair, "a pull");
    times.pull_ns = weft__now_ns() - start_ns;
    map_all(&into, image);
    times.mapped_ns = weft__now_ns() - start_ns;
    times.total_bytes = image->total_bytes;
    weft__pull_free(pull);
    weft__image_free(image);
    weft__region_fini(&into);
    bench_send(pair->fd, &forget, sizeof(forget));
    return times;
}
