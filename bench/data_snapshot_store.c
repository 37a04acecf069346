/* Snapshots into files and back, beside plain ways to write and read as many bytes.
 *
 * Every save makes a new file, of which nothing is in the page cache before, and ends when it is on
 * the disk. Every load goes into a memory file that was never touched, from a file of which the
 * cache holds nothing (it is dropped after the save). weft's files have their sums taken and
 * checked, and their name given last, on the way. The goals take the plain way that is the faster
 * one over the whole run.
 *
 * The files lie in a folder of TMPDIR, else of /var/tmp.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "data.h"
#include "raw_file.h"
#include "snapshot/files.h"
#include "weft/error.h"

#define REGION_BYTES ((size_t)512 << 20)
#define QUICK_BYTES ((size_t)4 << 20)
#define KEY "bench"

enum { WAYS = 2, PATH_ROOM = 512 };

static const struct raw_file_way *const ways[WAYS] = {&raw_file_buffered, &raw_file_uring};

/* One direction. */
static struct results {
    struct bench_series weft, way[WAYS];
} saves, loads;

struct scene {
    struct weft_region region;
    struct weft_files *files;
    char folder[PATH_ROOM - 64];
    char plain[PATH_ROOM], own[PATH_ROOM];
};

static void scene_open(struct scene *scene, size_t len)
{
    const char *tmp = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    uint64_t word = 0x9e3779b97f4a7c15;
    snprintf(scene->folder, sizeof(scene->folder), "%s/weft-bench-XXXXXX",
             tmp && *tmp ? tmp : "/var/tmp");
    if (!mkdtemp(scene->folder))
        bench_die("make a folder", -errno);
    snprintf(scene->plain, sizeof(scene->plain), "%s/plain", scene->folder);
    snprintf(scene->own, sizeof(scene->own), "%s/" KEY ".snapshot", scene->folder);
    bench_check("a region", weft__region_init(&scene->region, "source", NULL, len));
    for (size_t i = 0; i < len / sizeof(word); i++)
        ((uint64_t *)scene->region.base)[i] = word =
            word * 6364136223846793005u + 1442695040888963407u;
    bench_check(
        "a folder of snapshots",
        weft__files_open(&(struct weft_files_desc){.folder = scene->folder}, &scene->files));
}

static void scene_close(struct scene *scene)
{
    weft__files_close(scene->files);
    weft__region_fini(&scene->region);
    unlink(scene->plain);
    unlink(scene->own);
    if (rmdir(scene->folder) != 0)
        bench_die("remove a folder", -errno);
}

/* Everything of it is on the disk. */
static void drop_from_cache(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        bench_die("drop a file from the cache", -errno);
    close(fd);
}

static void check_same(const struct scene *scene, const struct weft_region *region)
{
    if (memcmp(scene->region.base, region->base, region->len_bytes) != 0)
        bench_die("the bytes that were loaded", WEFT_EIO);
}

static double save_weft(struct scene *scene)
{
    unlink(scene->own);
    uint64_t start_ns = weft__now_ns();
    bench_check("save", weft__file_save_region(scene->files, KEY, &scene->region, NULL));
    double took_ns = (double)(weft__now_ns() - start_ns);
    drop_from_cache(scene->own);
    return took_ns;
}

static double load_weft(struct scene *scene)
{
    struct weft_region into;
    struct weft_file *file;
    bench_check("a region", weft__region_init(&into, "load", NULL, scene->region.len_bytes));
    uint64_t start_ns = weft__now_ns();
    bench_check("open", weft__file_open(scene->files, KEY, &file));
    bench_check("load", weft__file_load_region(file, &into));
    double took_ns = (double)(weft__now_ns() - start_ns);
    weft__file_close(file);
    check_same(scene, &into);
    weft__region_fini(&into);
    return took_ns;
}

static double save_plain(struct scene *scene, const struct raw_file_way *way)
{
    unlink(scene->plain);
    double took_ns = (double)way->save(scene->plain, &scene->region);
    if (took_ns > 0)
        drop_from_cache(scene->plain);
    return took_ns;
}

static double load_plain(struct scene *scene, const struct raw_file_way *way)
{
    struct weft_region into;
    bench_check("a region", weft__region_init(&into, "load", NULL, scene->region.len_bytes));
    double took_ns = (double)way->load(scene->plain, &into);
    if (took_ns > 0)
        check_same(scene, &into);
    weft__region_fini(&into);
    return took_ns;
}

/* The subjects take turns, the first one by the round. */
static void measure_round(struct scene *scene, unsigned round)
{
    const double bytes = (double)scene->region.len_bytes;
    for (unsigned i = 0; i <= WAYS; i++) {
        unsigned turn = (round + i) % (WAYS + 1);
        if (turn == WAYS) {
            bench_add(&saves.weft, bytes / save_weft(scene));
            bench_add(&loads.weft, bytes / load_weft(scene));
            continue;
        }
        double save_ns = save_plain(scene, ways[turn]);
        if (save_ns == 0)
            continue;
        bench_add(&saves.way[turn], bytes / save_ns);
        bench_add(&loads.way[turn], bytes / load_plain(scene, ways[turn]));
    }
}

static void label(struct bench_series *series, const char *goal, const char *subject,
                  const struct scene *scene)
{
    char id[72], config[160];
    const bool is_weft = strcmp(subject, "weft") == 0;
    snprintf(id, sizeof(id), "%s.%s", goal, subject);
    snprintf(config, sizeof(config), "%zu MiB, new file, cache empty, %s, %s",
             scene->region.len_bytes >> 20,
             strstr(goal, "save") ? "fsync included" : "into a fresh memfd",
             is_weft ? weft__files_io(scene->files) : "no sums");
    data_label(series, &(struct data_label){.id = id,
                                            .what = strstr(goal, "save") ? "save" : "load",
                                            .subject = is_weft ? "weft" : subject,
                                            .unit = "GB/s",
                                            .config = config});
}

static void label_all(struct results *results, const char *goal, const struct scene *scene)
{
    label(&results->weft, goal, "weft", scene);
    label(&results->way[0], goal, "buffered", scene);
    label(&results->way[1], goal, "io_uring", scene);
}

static void print_all(const struct bench *bench, struct results *results, const char *goal)
{
    data_ratio_goal(bench,
                    (struct bench_goal){.id = goal,
                                        .wanted = 0.9,
                                        .at_least = true,
                                        .reason = "against the faster of buffered and O_DIRECT "
                                                  "io_uring"},
                    &results->weft, data_better(&results->way[1], &results->way[0]));
    bench_print(bench, &results->weft);
    for (unsigned i = 0; i < WAYS; i++)
        bench_print(bench, &results->way[i]);
}

int data_snapshot_store(const struct bench *bench)
{
    static struct scene scene;
    const bool first = !bench->quick && data_go_first();
    scene_open(&scene, bench->quick ? QUICK_BYTES : REGION_BYTES);
    label_all(&saves, "data.store_save", &scene);
    label_all(&loads, "data.store_load", &scene);
    for (unsigned round = 0; round < bench->rounds; round++) {
        uint64_t start_ns = weft__now_ns();
        measure_round(&scene, round);
        data_rest(first, start_ns);
    }
    scene_close(&scene);
    print_all(bench, &saves, "data.store_save");
    print_all(bench, &loads, "data.store_load");
    return 0;
}
