#include "file_scene.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "weft/error.h"

const struct weft_file_io *scene_ways[2];
size_t scene_ways_n;

void scene_files(struct scene *scene, const struct weft_file_io *io, enum weft_files_cache cache)
{
    weft__files_close(scene->files);
    const struct weft_files_desc desc = {
        .folder = scene->folder, .io = io, .depth = 3, .cache = cache};
    assert_int_equal(weft__files_open(&desc, &scene->files), WEFT_OK);
}

int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    const char *tmp = getenv("TMPDIR");
    assert_non_null(scene);
    (void)snprintf(scene->folder, sizeof(scene->folder), "%s/weft-file-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(scene->folder));
    scene_files(scene, NULL, WEFT_FILES_AUTO);
    *state = scene;
    return 0;
}

unsigned scene_names(const struct scene *scene, bool remove_them)
{
    DIR *dir = opendir(scene->folder);
    const struct dirent *entry;
    unsigned n = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        if (remove_them)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
    return n;
}

unsigned scene_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

int scene_close(void **state)
{
    struct scene *scene = *state;
    weft__files_close(scene->files);
    (void)scene_names(scene, true);
    (void)rmdir(scene->folder);
    free(scene);
    return 0;
}

/* ---- memory ---- */

uint64_t scene_dice(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

struct weft_region scene_region(uint64_t len)
{
    struct weft_region region;
    assert_int_equal(weft__region_init(&region, "file-test", NULL, len), WEFT_OK);
    return region;
}

/* Touches random runs of pages, and no others. */
void scene_touch(const struct weft_region *region, uint64_t *seed, unsigned runs, unsigned most)
{
    uint64_t pages = region->len_bytes / PAGE;
    for (unsigned i = 0; i < runs; i++) {
        uint64_t first = scene_dice(seed) % pages, n = 1 + scene_dice(seed) % most;
        for (uint64_t page = first; page < first + n && page < pages; page++)
            for (unsigned word = 0; word < PAGE / 8; word += 64)
                ((uint64_t *)((char *)region->base + page * PAGE))[word] = scene_dice(seed);
    }
}

void scene_assert_same(const struct weft_region *a, const struct weft_region *b)
{
    struct weft_extents x = {0}, y = {0};
    assert_int_equal(weft__region_touched(a, &x), WEFT_OK);
    assert_int_equal(weft__region_touched(b, &y), WEFT_OK);
    assert_int_equal(x.n, y.n);
    for (size_t i = 0; i < x.n; i++) {
        assert_int_equal(x.at[i].offset, y.at[i].offset);
        assert_int_equal(x.at[i].len_bytes, y.at[i].len_bytes);
        assert_memory_equal((char *)a->base + x.at[i].offset, (char *)b->base + x.at[i].offset,
                            x.at[i].len_bytes);
    }
    weft__extents_fini(&x);
    weft__extents_fini(&y);
}

int scene_load(struct scene *scene, const char *key, const struct weft_region *into)
{
    struct weft_file *file;
    int err = weft__file_open(scene->files, key, &file);
    if (err != WEFT_OK)
        return err;
    err =
        into != NULL ? weft__file_load_region(file, into) : weft__file_load(file, NULL, NULL, NULL);
    weft__file_close(file);
    return err;
}

void scene_save(struct scene *scene, const char *key, const struct weft_region *region)
{
    assert_int_equal(weft__file_save_region(scene->files, key, region, NULL), WEFT_OK);
}

void scene_path(const struct scene *scene, const char *key, char path_out[600])
{
    char name[WEFT_FILE_NAME_ROOM];
    assert_int_equal(weft__file_name(key, name), WEFT_OK);
    (void)snprintf(path_out, 600, "%s/%s", scene->folder, name);
}

void scene_find_ways(void)
{
    if (weft__file_io_uring.supported() == WEFT_OK)
        scene_ways[scene_ways_n++] = &weft__file_io_uring;
    else
        print_message("without io_uring: %s\n", weft_fail_text(WEFT_ENOTSUP));
    scene_ways[scene_ways_n++] = &weft__file_io_threads;
}
