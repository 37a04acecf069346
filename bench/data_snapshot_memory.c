/* What it costs to find out what changed: by comparing, and by tracking.
 *
 * Differences are made of two memories that are in the page tables already, equal but for one byte
 * in each hundredth page; memcmp reads both from end to end, before that byte is changed.
 *
 * Dirty pages: a hundredth of the pages is written, one word each, in an order of chance; then the
 * tracker is asked. The cost of a page is the time of both, less that of the same writes without
 * tracker, divided by the pages.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data.h"
#include "snapshot/diff.h"
#include "snapshot/region.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define REGION_BYTES ((size_t)512 << 20)
#define QUICK_BYTES ((size_t)4 << 20)

enum { EVERY = 100, SCANS = 2 };

static struct results {
    struct bench_series same, changed, memcmp, pagemap, segv;
} results;

/* ---- differences ---- */

struct pair {
    struct weft_region base, now;
    struct weft_merge merge;
    struct weft_diffs diffs;
};

static void fill(const struct weft_region *region)
{
    uint64_t *at = region->base;
    for (size_t i = 0; i < region->len_bytes / sizeof(*at); i++)
        at[i] = i * 0x9e3779b97f4a7c15;
}

static void change(const struct pair *pair)
{
    for (size_t page = 0; page < pair->now.len_bytes / WEFT_REGION_PAGE; page += EVERY)
        ((unsigned char *)pair->now.base)[page * WEFT_REGION_PAGE + 1000] ^= 1;
}

static double scan_ns(struct pair *pair, size_t diffs)
{
    const struct weft_diff_desc desc = {.base = pair->base.base,
                                        .base_len = pair->base.len_bytes,
                                        .now = pair->now.base,
                                        .now_len = pair->now.len_bytes,
                                        .merge = &pair->merge};
    uint64_t start_ns = weft__now_ns();
    bench_check("differences", weft__diffs_make(&desc, &pair->diffs));
    double took_ns = (double)(weft__now_ns() - start_ns);
    if (pair->diffs.n != diffs)
        bench_die("the differences that were found", WEFT_EIO);
    return took_ns;
}

static double memcmp_ns(const struct pair *pair)
{
    uint64_t start_ns = weft__now_ns();
    int differ = memcmp(pair->base.base, pair->now.base, pair->now.len_bytes);
    double took_ns = (double)(weft__now_ns() - start_ns);
    if (differ)
        bench_die("memories that should be equal", WEFT_EIO);
    return took_ns;
}

static void scan_round(struct pair *pair)
{
    const double bytes = (double)pair->now.len_bytes;
    const size_t changed = (pair->now.len_bytes / WEFT_REGION_PAGE + EVERY - 1) / EVERY;
    double same_ns = scan_ns(pair, 0), peer_ns = memcmp_ns(pair);
    change(pair);
    double changed_ns = scan_ns(pair, changed);
    change(pair);
    bench_add(&results.same, bytes / same_ns);
    bench_add(&results.memcmp, bytes / peer_ns);
    bench_add(&results.changed, bytes / changed_ns);
}

static void pair_open(struct pair *pair, size_t len)
{
    bench_check("a region", weft__region_init(&pair->base, "base", NULL, len));
    bench_check("a region", weft__region_init(&pair->now, "now", NULL, len));
    fill(&pair->base);
    fill(&pair->now);
    pair->merge.limit_bytes = len;
    bench_check("a merge region", weft__merge_add(&pair->merge, &(struct weft_merge_region){
                                                                    .type = WEFT_MERGE_RAW,
                                                                    .op = WEFT_MERGE_OVERWRITE}));
}

static void pair_close(struct pair *pair)
{
    weft__diffs_fini(&pair->diffs);
    weft__merge_fini(&pair->merge);
    weft__region_fini(&pair->base);
    weft__region_fini(&pair->now);
}

/* ---- dirty pages ---- */

static uint32_t *choose(size_t pages, size_t n)
{
    uint32_t *chosen = malloc(n * sizeof(*chosen));
    bool *taken = calloc(pages, sizeof(*taken));
    uint64_t word = 42;
    if (!chosen || !taken)
        bench_die("memory", WEFT_ENOMEM);
    for (size_t i = 0; i < n;) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        size_t page = (word >> 33) % pages;
        if (!taken[page])
            chosen[i++] = (uint32_t)page;
        taken[page] = true;
    }
    free(taken);
    return chosen;
}

static double write_ns(const struct weft_region *region, const uint32_t *pages, size_t n)
{
    uint64_t start_ns = weft__now_ns();
    for (size_t i = 0; i < n; i++)
        *(volatile uint64_t *)((char *)region->base + (size_t)pages[i] * WEFT_REGION_PAGE + 64) = i;
    return (double)(weft__now_ns() - start_ns);
}

/* Of writing and asking, on a range that was armed by an earlier question. */
static double tracked_ns(const char *tracker, const struct weft_region *region,
                         const uint32_t *pages, size_t n)
{
    struct weft_extents found = {0};
    struct weft_track *track;
    const struct weft_track_desc desc = {
        .tracker = tracker, .base = region->base, .len_bytes = region->len_bytes, .fd = region->fd};
    bench_check(tracker, weft__track_start(&desc, &track));
    (void)write_ns(region, pages, n);
    bench_check(tracker, weft__track_collect(track, &found));
    double took_ns = write_ns(region, pages, n);
    uint64_t start_ns = weft__now_ns();
    bench_check(tracker, weft__track_collect(track, &found));
    took_ns += (double)(weft__now_ns() - start_ns);
    if (found.total_bytes != n * WEFT_REGION_PAGE)
        bench_die("the pages that were found", WEFT_EIO);
    weft__track_stop(track);
    weft__extents_fini(&found);
    return took_ns;
}

static void track_round(const struct weft_region *region, const uint32_t *pages, size_t n,
                        bool pagemap)
{
    (void)write_ns(region, pages, n); /* into the page tables */
    double plain_ns = write_ns(region, pages, n);
    double segv_ns = tracked_ns("segv", region, pages, n);
    bench_add(&results.segv, (segv_ns - plain_ns) / (double)n / 1e3);
    if (pagemap)
        bench_add(&results.pagemap,
                  (tracked_ns("pagemap_scan", region, pages, n) - plain_ns) / (double)n / 1e3);
}

/* ---- what is printed ---- */

static void label_scans(size_t len)
{
    char config[160];
    snprintf(config, sizeof(config), "2 x %zu MiB of shared memfd, in the page tables, one thread",
             len >> 20);
    data_label(&results.same, &(struct data_label){.id = "data.diff_scan.equal",
                                                   .what = "differences, equal memory",
                                                   .subject = "weft",
                                                   .unit = "GB/s",
                                                   .config = config});
    data_label(&results.changed,
               &(struct data_label){.id = "data.diff_scan.weft",
                                    .what = "differences, a byte in each 100th page",
                                    .subject = "weft",
                                    .unit = "GB/s",
                                    .config = config});
    data_label(&results.memcmp, &(struct data_label){.id = "data.diff_scan.memcmp",
                                                     .what = "memcmp, equal memory",
                                                     .subject = "memcmp",
                                                     .unit = "GB/s",
                                                     .config = config});
}

static void label_trackers(size_t len)
{
    char config[160];
    snprintf(config, sizeof(config),
             "%zu MiB of shared memfd, a hundredth of its pages written at random", len >> 20);
    data_label(&results.pagemap, &(struct data_label){.id = "data.dirty_page.pagemap_scan",
                                                      .what = "a dirty page, pagemap_scan",
                                                      .subject = "weft",
                                                      .unit = "us",
                                                      .config = config});
    data_label(&results.segv, &(struct data_label){.id = "data.dirty_page.segv",
                                                   .what = "a dirty page, segv",
                                                   .subject = "weft",
                                                   .unit = "us",
                                                   .config = config});
}

static void print_all(const struct bench *bench)
{
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.diff_scan",
                                        .wanted = 0.8,
                                        .at_least = true,
                                        .reason = "a byte changed in each 100th page"},
                    &results.changed, &results.memcmp);
    data_ratio_goal(bench,
                    (struct bench_goal){.id = "data.dirty_page",
                                        .wanted = 0.35,
                                        .reason = "first write and collect, less the plain write"},
                    &results.pagemap, &results.segv);
    bench_print(bench, &results.same);
    bench_print(bench, &results.changed);
    bench_print(bench, &results.memcmp);
    bench_print(bench, &results.pagemap);
    bench_print(bench, &results.segv);
}

int data_snapshot_memory(const struct bench *bench)
{
    static struct pair pair;
    const bool first = !bench->quick && data_go_first();
    const size_t len = bench->quick ? QUICK_BYTES : REGION_BYTES;
    const size_t pages = len / WEFT_REGION_PAGE, n = pages / EVERY + 1;
    const bool pagemap = weft__track_probe("pagemap_scan") == WEFT_OK;
    uint32_t *chosen = choose(pages, n);
    label_scans(len);
    label_trackers(len);
    pair_open(&pair, len);
    for (unsigned round = 0; round < bench->rounds; round++) {
        uint64_t start_ns = weft__now_ns();
        for (int i = 0; i < SCANS; i++)
            scan_round(&pair);
        track_round(&pair.now, chosen, n, pagemap);
        memcpy(pair.now.base, pair.base.base, len);
        data_rest(first, start_ns);
    }
    pair_close(&pair);
    free(chosen);
    print_all(bench);
    return 0;
}
