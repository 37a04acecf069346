/* A folder for snapshot files, regions with random pages, and both ways to read and write. */
#ifndef WEFT_TESTS_SNAPSHOT_FILE_SCENE_H
#define WEFT_TESTS_SNAPSHOT_FILE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/file_io.h"
#include "snapshot/files.h"
#include "snapshot/files_own.h"
#include "snapshot/region.h"

#define PAGE ((uint64_t)WEFT_REGION_PAGE)

struct scene {
    char folder[300]; /* under TMPDIR */
    struct weft_files *files;
};

/* io_uring, where this machine permits it, and threads. */
extern const struct weft_file_io *scene_ways[2];
extern size_t scene_ways_n;
void scene_find_ways(void);

void scene_files(struct scene *scene, const struct weft_file_io *io, enum weft_files_cache cache);
int scene_open(void **state);
unsigned scene_names(const struct scene *scene, bool remove_them);
unsigned scene_descriptors(void); /* open in this process */
int scene_close(void **state);
uint64_t scene_dice(uint64_t *seed);
struct weft_region scene_region(uint64_t len);
void scene_touch(const struct weft_region *region, uint64_t *seed, unsigned runs, unsigned most);
void scene_assert_same(const struct weft_region *a, const struct weft_region *b);
int scene_load(struct scene *scene, const char *key, const struct weft_region *into);
void scene_save(struct scene *scene, const char *key, const struct weft_region *region);
void scene_path(const struct scene *scene, const char *key, char path_out[600]);

#endif
