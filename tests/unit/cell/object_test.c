/* Objects: opened once however often they are mapped, and found again on another host only where
 * they are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cell/object.h"
#include "weft/error.h"

#define LIBRARY PROGRAMS "/hello"
#define OTHER PROGRAMS "/ends"

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return n;
}

static void a_file_is_opened_once_for_all_who_map_it(void **state)
{
    (void)state;
    struct weft__object *first, *second;
    int before = open_files(), fd = open(LIBRARY, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(weft__object_open(LIBRARY, &first), WEFT_OK);
    assert_int_equal(weft__object_get(fd, &second), WEFT_OK);
    assert_ptr_equal(first, second);
    assert_true(first->elf.segments_n > 0 && first->elf.build_id_len > 0);
    close(fd);
    weft__object_put(first);
    assert_true(fcntl(second->fd, F_GETFD) >= 0);
    weft__object_put(second);
    weft__object_put(NULL);
    assert_int_equal(open_files(), before);
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    struct weft__object *object;
    assert_int_equal(weft__object_open("/nowhere/at/all", &object), WEFT_ENOENT);
    assert_int_equal(weft__object_open("/dev/null", &object), WEFT_ENOEXEC);
    assert_int_equal(weft__object_open("/tmp", &object), WEFT_ENOEXEC);
    assert_int_equal(weft__object_open("/proc/self/environ", &object), WEFT_ENOEXEC);
}

static void a_library_is_found_again_by_path_and_build(void **state)
{
    (void)state;
    struct weft__object *object, *again, *other;
    struct weft__object_name name = {0};
    assert_int_equal(weft__object_open(LIBRARY, &object), WEFT_OK);
    assert_int_equal(weft__object_open(OTHER, &other), WEFT_OK);
    weft__object_describe(object, &name);
    assert_int_equal(weft__object_find(&name, &again), WEFT_OK);
    assert_ptr_equal(object, again);
    weft__object_put(again);
    snprintf(name.path, sizeof(name.path), "%s", other->path);
    assert_int_equal(weft__object_find(&name, &again), WEFT_EPINNED);
    assert_non_null(strstr(weft_fail_text(WEFT_EPINNED), "another build"));
    snprintf(name.path, sizeof(name.path), "/nowhere/libm.so.6");
    assert_int_equal(weft__object_find(&name, &again), WEFT_EPINNED);
    assert_non_null(strstr(weft_fail_text(WEFT_EPINNED), "libm.so.6 is not here"));
    weft__object_put(object);
    weft__object_put(other);
}

static void a_damaged_name_is_refused(void **state)
{
    (void)state;
    struct weft__object *object;
    struct weft__object_name name = {.build_id_len = 20, .path = "relative"};
    assert_int_equal(weft__object_find(&name, &object), WEFT_EPROTO);
    name.path[0] = '/';
    name.build_id_len = WEFT_BUILD_ID_MAX + 1;
    assert_int_equal(weft__object_find(&name, &object), WEFT_EPROTO);
    name.build_id_len = 0;
    assert_int_equal(weft__object_find(&name, &object), WEFT_EPROTO);
    name.build_id_len = 20;
    memset(name.path, '/', sizeof(name.path));
    assert_int_equal(weft__object_find(&name, &object), WEFT_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_opened_once_for_all_who_map_it),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(a_library_is_found_again_by_path_and_build),
        cmocka_unit_test(a_damaged_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
