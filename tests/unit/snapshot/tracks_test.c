/* Trackers of the parts of a region that a program uses: what it writes, protects and gives back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "snapshot/region.h"
#include "snapshot/tracks.h"
#include "weft/error.h"

#define PAGE ((size_t)WEFT_REGION_PAGE)
enum { PAGES = 256, SHUT_FROM = 100, SHUT = 8 };

struct scene {
    struct weft_region region;
    struct weft_tracks tracks;
    struct weft_extents found;
    volatile char *base;
};

/* All pages are written; SHUT of them cannot be written when it begins. */
static void open_scene(struct scene *scene)
{
    *scene = (struct scene){0};
    assert_int_equal(weft__region_init(&scene->region, "tracks", NULL, PAGES * PAGE), 0);
    scene->base = scene->region.base;
    for (size_t i = 0; i < PAGES; i++)
        scene->base[i * PAGE] = 1;
    char *shut = (char *)scene->region.base + SHUT_FROM * PAGE;
    assert_int_equal(mprotect(shut, SHUT * PAGE, PROT_READ), 0);
    int err = weft__tracks_start(&scene->tracks, &scene->region);
    if (err == WEFT_ENOTSUP) {
        printf("skipped: %s\n", weft_fail_text(err));
        weft__region_fini(&scene->region);
        skip();
    }
    assert_int_equal(err, 0);
}

static void close_scene(struct scene *scene)
{
    weft__tracks_stop(&scene->tracks);
    weft__extents_fini(&scene->found);
    weft__region_fini(&scene->region);
}

static void assert_found(struct scene *scene, size_t page)
{
    assert_int_equal(weft__tracks_collect(&scene->tracks, &scene->found), 0);
    assert_int_equal(scene->found.n, 1);
    assert_int_equal(scene->found.at[0].offset, page * PAGE);
    assert_int_equal(scene->found.at[0].len_bytes, PAGE);
}

static void what_is_protected_otherwise_is_no_part(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(scene.tracks.parts.n, 2);
    assert_int_equal(scene.tracks.parts.at[0].len_bytes, SHUT_FROM * PAGE);
    assert_int_equal(scene.tracks.parts.at[1].offset, (SHUT_FROM + SHUT) * PAGE);
    close_scene(&scene);
}

static void writes_are_found_in_all_parts(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    scene.base[3 * PAGE] = 2;
    assert_found(&scene, 3);
    scene.base[200 * PAGE] = 2;
    assert_found(&scene, 200);
    close_scene(&scene);
}

static void a_page_that_is_protected_and_released_is_tracked_still(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(mprotect((char *)scene.region.base + 5 * PAGE, PAGE, PROT_NONE), 0);
    assert_int_equal(mprotect((char *)scene.region.base + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE),
                     0);
    scene.base[5 * PAGE] = 2;
    assert_found(&scene, 5);
    close_scene(&scene);
}

static void a_page_that_is_given_back_and_only_read_afterwards_counts(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(weft__region_punch(&scene.region, 7 * PAGE, PAGE), 0);
    assert_int_equal(scene.base[7 * PAGE], 0);
    assert_found(&scene, 7);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_protected_otherwise_is_no_part),
        cmocka_unit_test(writes_are_found_in_all_parts),
        cmocka_unit_test(a_page_that_is_protected_and_released_is_tracked_still),
        cmocka_unit_test(a_page_that_is_given_back_and_only_read_afterwards_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
