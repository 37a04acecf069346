/* What moving a snapshot costs: all of it, beside raw reads into an equally fresh memory file, and
 * what changed of it, beside all of it.
 *
 * The host is a process with the snapshot service, over the transport that hosts choose. A push is
 * timed at its caller: the image built and summed, the host asked, everything pulled, checked and
 * written there, the answer back. A pull is timed at the caller too: asked, pulled, checked,
 * written; the sums that it is checked against came with the push, which is how hosts serve what
 * was pushed to them. The goal takes the pull, and of the raw ways the one that is faster over the
 * whole run, which is not the straight one.
 * "changes" is what a caller does after 1 % of the pages were written: the tracker is asked, and
 * what it has seen is pushed.
 *
 * Every copy goes into a memory file that was made for it; what the last round left is deleted
 * before the clock starts.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/client.h"
#include "control/server.h"
#include "data.h"
#include "host/transports.h"
#include "link/data.h"
#include "raw_rma.h"
#include "snapshot/client.h"
#include "snapshot/service.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define REGION_BYTES ((size_t)1 << 30)
#define QUICK_BYTES ((size_t)8 << 20)
#define TOKEN UINT64_C(0x736e617073686f74)
#define RAW_PROVIDER "net"

enum { CALL_MS = 60000, STOP_MS = 5000, PERCENT = 100 };

struct host_greeting {
    char url[64];
    char transport[64];
};

static struct results {
    struct bench_series push, pull, straight, bounced, changes, all;
} results;

struct scene {
    struct weft_region region;
    struct weft_track *track;
    uint32_t *pages; /* all, in an order of chance */
    size_t pages_n;
    struct weft_client *client;
    struct weft_snapshots *snapshots;
    struct host_greeting host;
    struct weft_snapshot_at at;
    struct raw_rma *raw;
};

/* ---- the host ---- */

static int token(void *ctx, uint64_t *token_out)
{
    (void)ctx;
    *token_out = TOKEN;
    return WEFT_OK;
}

/* Serves until the socket is closed. */
static int host_main(void *ctx, int fd)
{
    const size_t *region_bytes = ctx;
    struct host_greeting greeting = {.url = ""};
    struct weft_snapshot_service *service;
    struct weft_service_desc table;
    struct weft_server *server;
    struct weft_lane_stats stats;
    struct weft_lane *lane;
    struct weft_data *data;
    char byte;
    bench_check("data", weft__data_open(&(struct weft_data_desc){.transports = weft__transports,
                                                                 .transports_n = weft__transports_n,
                                                                 .bind = "127.0.0.1",
                                                                 .token = token},
                                        &data));
    const struct weft_snapshot_service_desc desc = {.memory_max = 3 * *region_bytes, .data = data};
    bench_check("the snapshot service", weft__snapshot_service_open(&desc, &service));
    weft__snapshot_service_table(service, &table);
    bench_check("a server", weft__server_start(&(struct weft_server_desc){.bind = "127.0.0.1",
                                                                          .services = &table,
                                                                          .services_n = 1},
                                               &server));
    bench_check("a lane", weft__data_lane(data, &lane));
    weft__lane_stats(lane, &stats);
    snprintf(greeting.transport, sizeof(greeting.transport), "%s", stats.transport);
    snprintf(greeting.url, sizeof(greeting.url), "tcp://127.0.0.1:%u",
             weft__server_sync_port(server, 0));
    bench_send(fd, &greeting, sizeof(greeting));
    (void)bench_receive(fd, &byte, 1);
    weft__data_stop(data);
    weft__snapshot_service_stop(service);
    weft__server_stop(server, STOP_MS);
    weft__snapshot_service_close(service);
    weft__data_close(data);
    return 0;
}

/* ---- the scene ---- */

static void fill(const struct weft_region *region)
{
    uint64_t *at = region->base, word = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < region->len_bytes / sizeof(*at); i++)
        at[i] = word = word * 6364136223846793005u + 1442695040888963407u;
}

static uint32_t *shuffled(size_t n)
{
    uint32_t *pages = malloc(n * sizeof(*pages));
    uint64_t word = 42;
    if (!pages)
        bench_die("memory", WEFT_ENOMEM);
    for (size_t i = 0; i < n; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        size_t j = (word >> 33) % (i + 1);
        pages[i] = (uint32_t)i;
        pages[i] = pages[j];
        pages[j] = (uint32_t)i;
    }
    return pages;
}

static void scene_open(struct scene *scene, int host_fd, int raw_fd)
{
    const struct weft_region *region = &scene->region;
    if (!bench_receive(host_fd, &scene->host, sizeof(scene->host)))
        bench_die("the host", WEFT_EPEERDEAD);
    scene->at =
        (struct weft_snapshot_at){.url = scene->host.url, .key = "bench", .timeout_ms = CALL_MS};
    scene->raw = raw_rma_open(RAW_PROVIDER, raw_fd);
    bench_check("a client", weft__client_open(&(struct weft_client_desc){0}, &scene->client));
    const struct weft_snapshots_desc desc = {.client = scene->client,
                                             .transports = weft__transports,
                                             .transports_n = weft__transports_n};
    bench_check("a client of snapshots", weft__snapshots_open(&desc, &scene->snapshots));
    bench_check("a tracker",
                weft__track_start(&(struct weft_track_desc){.base = region->base,
                                                            .len_bytes = region->len_bytes,
                                                            .fd = region->fd},
                                  &scene->track));
    scene->pages_n = region->len_bytes / WEFT_REGION_PAGE;
    scene->pages = shuffled(scene->pages_n);
}

static void scene_close(struct scene *scene)
{
    weft__track_stop(scene->track);
    weft__snapshots_close(scene->snapshots);
    weft__client_close(scene->client);
    raw_rma_close(scene->raw);
    weft__region_fini(&scene->region);
    free(scene->pages);
}

/* ---- a round ---- */

static double push_all(struct scene *scene, uint64_t *version_out)
{
    const struct weft_snapshot_update all = {.region = &scene->region};
    bench_check("delete", weft__snapshot_delete(scene->snapshots, &scene->at, NULL));
    uint64_t start_ns = weft__now_ns();
    bench_check("push", weft__snapshot_update(scene->snapshots, &scene->at, &all, version_out));
    return (double)(weft__now_ns() - start_ns);
}

static void dirty(const struct scene *scene, unsigned round)
{
    const size_t n = scene->pages_n / PERCENT + 1;
    for (size_t i = 0; i < n; i++) {
        size_t page = scene->pages[(round * n + i) % scene->pages_n];
        ((volatile char *)scene->region.base)[page * WEFT_REGION_PAGE + 100] = (char)(round + i);
    }
}

static double push_changes(struct scene *scene, uint64_t base_version)
{
    struct weft_extents changed = {0};
    uint64_t start_ns = weft__now_ns();
    bench_check("collect", weft__track_collect(scene->track, &changed));
    const struct weft_snapshot_update update = {
        .region = &scene->region, .base_version = base_version, .changed = &changed};
    bench_check("push changes", weft__snapshot_update(scene->snapshots, &scene->at, &update, NULL));
    double took_ns = (double)(weft__now_ns() - start_ns);
    weft__extents_fini(&changed);
    return took_ns;
}

/* What came must be what is here now, changes and all. */
static double pull_all(struct scene *scene)
{
    struct weft_snapshot_copy copy;
    uint64_t start_ns = weft__now_ns();
    bench_check("pull", weft__snapshot_pull(scene->snapshots, &scene->at, &copy));
    double took_ns = (double)(weft__now_ns() - start_ns);
    if (copy.size_bytes != scene->region.len_bytes ||
        memcmp(copy.region.base, scene->region.base, copy.size_bytes) != 0)
        bench_die("the snapshot that came back", WEFT_EIO);
    weft__region_fini(&copy.region);
    return took_ns;
}

static double raw_ns(struct scene *scene, enum raw_rma_way way)
{
    return (double)raw_rma_read(scene->raw, way);
}

static void measure_weft(struct scene *scene, unsigned round)
{
    const double bytes = (double)scene->region.len_bytes;
    struct weft_extents before = {0};
    uint64_t version;
    bench_check("collect", weft__track_collect(scene->track, &before));
    weft__extents_fini(&before);
    double push_ns = push_all(scene, &version);
    double pull_ns = pull_all(scene);
    dirty(scene, round);
    double changes_ns = push_changes(scene, version);
    if (round == 0)
        (void)pull_all(scene); /* are they there? */
    bench_add(&results.push, bytes / push_ns);
    bench_add(&results.pull, bytes / pull_ns);
    bench_add(&results.all, push_ns / 1e6);
    bench_add(&results.changes, changes_ns / 1e6);
}

static void measure_raw(struct scene *scene)
{
    const double bytes = (double)scene->region.len_bytes;
    bench_add(&results.straight, bytes / raw_ns(scene, RAW_RMA_STRAIGHT));
    bench_add(&results.bounced, bytes / raw_ns(scene, RAW_RMA_BOUNCED));
}

/* ---- what is printed ---- */

static void label(struct bench_series *series, const char *id, const char *what, const char *unit,
                  const char *config)
{
    const char *subject = strstr(id, "raw") ? "raw-libfabric" : "weft";
    data_label(series,
               &(struct data_label){
                   .id = id, .what = what, .subject = subject, .unit = unit, .config = config});
}

static void label_all(const struct scene *scene)
{
    char weft[160], raw[160];
    const size_t mib = scene->region.len_bytes >> 20;
    snprintf(weft, sizeof(weft),
             "%s, two processes on 127.0.0.1, %zu MiB all touched, fresh memfd, XXH3 per piece",
             scene->host.transport, mib);
    snprintf(raw, sizeof(raw), "%s, two processes on 127.0.0.1 polling, %zu MiB, fresh memfd",
             RAW_PROVIDER, mib);
    label(&results.push, "data.push_1g.push", "push of a snapshot", "GB/s", weft);
    label(&results.pull, "data.push_1g.pull", "pull of a snapshot", "GB/s", weft);
    label(&results.straight, "data.push_1g.raw_straight", "raw reads into the mapping", "GB/s",
          raw);
    label(&results.bounced, "data.push_1g.raw_bounced", "raw reads, then pwrite", "GB/s", raw);
    label(&results.all, "data.push_1pct.all", "push of all pages", "ms", weft);
    snprintf(weft, sizeof(weft), "%s, %zu MiB, 1 in %d pages written at random, tracker %s",
             scene->host.transport, mib, PERCENT, weft__track_name(scene->track));
    label(&results.changes, "data.push_1pct.changes", "push of 1 % of the pages", "ms", weft);
}

static void print_all(const struct bench *bench)
{
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.push_1g",
                                        .wanted = 0.8,
                                        .at_least = true,
                                        .reason = "pulled, checked and written, against the "
                                                  "faster of two raw ways"},
                    &results.pull, data_better(&results.straight, &results.bounced));
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.push_1pct",
                                        .wanted = 0.05,
                                        .reason = "time of the changes against time of all"},
                    &results.changes, &results.all);
    struct bench_series *all[] = {&results.push,    &results.pull, &results.straight,
                                  &results.bounced, &results.all,  &results.changes};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        bench_print(bench, all[i]);
}

int data_snapshot_push(const struct bench *bench)
{
    struct scene scene = {.track = NULL};
    size_t len = bench->quick ? QUICK_BYTES : REGION_BYTES;
    const bool first = !bench->quick && data_go_first();
    int host_fd, raw_fd;
    pid_t host = bench_fork(host_main, &len, &host_fd);
    bench_check("a region", weft__region_init(&scene.region, "source", NULL, len));
    fill(&scene.region);
    struct raw_rma_memory memory = {RAW_PROVIDER, scene.region.base, len};
    pid_t source = bench_fork(raw_rma_source, &memory, &raw_fd);
    scene_open(&scene, host_fd, raw_fd);
    label_all(&scene);
    (void)raw_ns(&scene, RAW_RMA_STRAIGHT); /* connects, and the source maps its pages */
    for (unsigned round = 0; round < bench->rounds; round++) {
        uint64_t start_ns = weft__now_ns();
        if (round % 2)
            measure_raw(&scene);
        measure_weft(&scene, round);
        if (round % 2 == 0)
            measure_raw(&scene);
        data_rest(first, start_ns);
    }
    scene_close(&scene);
    if (bench_join(host, host_fd) | bench_join(source, raw_fd))
        bench_die("the other processes", WEFT_EPEERDEAD);
    print_all(bench);
    return 0;
}
