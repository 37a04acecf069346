#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/fds.h"
#include "weft/error.h"

/* A rank's tables in two processes: where it is, and where it goes. */
struct test {
    struct weft__fds *tables;
    struct weft__fds_host here, there;
    char folder[32];
    char path[64];
};

static unsigned host_fds(void)
{
    unsigned n = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static int set_up(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    assert_non_null(test);
    test->tables = calloc(1, sizeof(*test->tables));
    assert_non_null(test->tables);
    strcpy(test->folder, "/tmp/weft-fds-XXXXXX");
    assert_non_null(mkdtemp(test->folder));
    snprintf(test->path, sizeof(test->path), "%s/file", test->folder);
    weft__fds_zero(&test->there);
    assert_int_equal(weft__fds_init(&test->here, test->tables), WEFT_OK);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    struct test *test = *state;
    weft__fds_fini(&test->here);
    weft__fds_fini(&test->there);
    unlink(test->path);
    rmdir(test->folder);
    free(test->tables);
    free(test);
    return 0;
}

static int64_t open_file(struct test *test, int flags)
{
    int fd = open(test->path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return weft__fds_add(&test->here, fd, flags);
}

static void numbers_are_the_lowest_that_are_free(void **state)
{
    struct test *test = *state;
    struct weft__fds_host *here = &test->here;
    assert_int_equal(weft__fds_count(test->tables), 3);
    assert_int_equal(open_file(test, O_RDWR | O_CREAT), 3);
    assert_int_equal(open_file(test, O_RDONLY), 4);
    assert_int_equal(weft__fds_close(here, 3), 0);
    assert_int_equal(weft__fds_close(here, 1), 0);
    assert_int_equal(weft__fds_dup(here, 4, 0, false), 1);
    assert_int_equal(weft__fds_dup(here, 4, 0, false), 3);
    assert_int_equal(weft__fds_dup(here, 4, 100, true), 100);
    assert_int_equal(weft__fds_dup_to(here, 4, 1, false), 1);
    assert_int_equal(weft__fds_host_fd(here, 1), weft__fds_host_fd(here, 100));
    assert_int_equal(weft__fds_find(here, 4)->uses, 4);
}

static void numbers_of_others_are_refused(void **state)
{
    struct test *test = *state;
    struct weft__fds_host *here = &test->here;
    static const int64_t numbers[] = {3, -1, 1023, 1024, 65536, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_null(weft__fds_find(here, numbers[i]));
        assert_int_equal(weft__fds_host_fd(here, numbers[i]), -1);
        assert_int_equal(weft__fds_close(here, numbers[i]), -EBADF);
        assert_int_equal(weft__fds_dup(here, numbers[i], 0, false), -EBADF);
        assert_int_equal(weft__fds_dup_to(here, numbers[i], 5, false), -EBADF);
    }
    assert_int_equal(weft__fds_dup_to(here, 1, 1024, false), -EBADF);
    assert_int_equal(weft__fds_dup_to(here, 1, -1, false), -EBADF);
    assert_int_equal(weft__fds_dup(here, 1, 1024, false), -EINVAL);
    assert_int_equal(weft__fds_dup(here, 1, -1, false), -EINVAL);
}

static void there_are_only_so_many_and_all_are_given_back(void **state)
{
    struct test *test = *state;
    struct weft__fds_host *here = &test->here;
    unsigned before = host_fds();
    assert_int_equal(open_file(test, O_RDWR | O_CREAT), 3);
    for (int i = 4; i < 900; i++)
        assert_int_equal(weft__fds_dup(here, 3, 0, false), i);
    for (int i = 900; i < WEFT__FDS_MAX; i++)
        assert_int_equal(open_file(test, O_RDONLY), i);
    assert_int_equal(open_file(test, O_RDONLY), -EMFILE);
    assert_int_equal(weft__fds_dup(here, 3, 0, false), -EMFILE);
    assert_int_equal(host_fds(), before + 1 + WEFT__FDS_MAX - 900);
    assert_int_equal(weft__fds_close(here, 1023), 0);
    assert_int_equal(open_file(test, O_RDONLY), 1023);
    weft__fds_fini(here);
    assert_int_equal(host_fds(), before - 1); /* the working folder, too */
    weft__fds_fini(here);
}

static void what_moves_keeps_offset_and_flags(void **state)
{
    struct test *test = *state;
    char reason[100], text[8] = "";
    assert_int_equal(open_file(test, O_RDWR | O_CREAT | O_APPEND), 3);
    assert_int_equal(weft__fds_dup(&test->here, 3, 7, false), 7);
    assert_int_equal(write(weft__fds_host_fd(&test->here, 7), "hello", 5), 5);
    assert_int_equal(lseek(weft__fds_host_fd(&test->here, 3), 2, SEEK_SET), 2);
    assert_true(weft__fds_leave(&test->here, reason));
    assert_int_equal(weft__fds_arrive(&test->there, test->tables), WEFT_OK);
    int a = weft__fds_host_fd(&test->there, 3);
    assert_int_equal(a, weft__fds_host_fd(&test->there, 7));
    assert_int_not_equal(a, weft__fds_host_fd(&test->here, 3));
    assert_int_equal(read(a, text, sizeof(text)), 3);
    assert_string_equal(text, "llo");
    assert_int_equal(fcntl(a, F_GETFL) & O_APPEND, O_APPEND);
    assert_int_equal(weft__fds_host_fd(&test->there, 1), 1);
}

static void what_cannot_be_opened_again_stays_and_says_why(void **state)
{
    struct test *test = *state;
    char reason[100];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(weft__fds_add_pinned(&test->here, ends[0], O_RDONLY, WEFT__FDS_PIN_PIPE), 3);
    close(ends[1]);
    assert_false(weft__fds_leave(&test->here, reason));
    assert_string_equal(reason, "descriptor 3 is a pipe");
    assert_int_equal(weft__fds_close(&test->here, 3), 0);
    assert_true(weft__fds_leave(&test->here, reason));
    assert_int_equal(open_file(test, O_RDWR | O_CREAT), 3);
    weft__fds_find(&test->here, 3)->locked = 1;
    assert_false(weft__fds_leave(&test->here, reason));
    assert_non_null(strstr(reason, "descriptor 3 holds a lock"));
    weft__fds_find(&test->here, 3)->locked = 0;
    unlink(test->path);
    assert_false(weft__fds_leave(&test->here, reason));
    assert_non_null(strstr(reason, "descriptor 3 is a deleted file"));
    int other = open(test->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* in its place */
    assert_false(weft__fds_leave(&test->here, reason));
    close(other);
}

static void a_descriptor_of_the_host_is_no_file(void **state)
{
    struct test *test = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(weft__fds_add(&test->here, ends[0], O_RDONLY), -EACCES); /* and is closed */
    close(ends[1]);
    assert_int_equal(weft__fds_count(test->tables), 3);
}

static void another_file_at_the_destination_is_refused(void **state)
{
    struct test *test = *state;
    char reason[100];
    unsigned before = host_fds();
    assert_int_equal(open_file(test, O_RDWR | O_CREAT), 3);
    assert_true(weft__fds_leave(&test->here, reason));
    assert_int_equal(unlink(test->path), 0);
    assert_int_equal(weft__fds_arrive(&test->there, test->tables), WEFT_EPINNED);
    assert_non_null(strstr(weft_fail_text(WEFT_EPINNED), "cannot be opened here"));
    close(open(test->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(weft__fds_arrive(&test->there, test->tables), WEFT_EPINNED);
    assert_non_null(strstr(weft_fail_text(WEFT_EPINNED), "is another file here"));
    test->tables->boot[0] ^= 1; /* from another machine: what is written stays there */
    struct stat status;
    assert_int_equal(stat(test->path, &status), 0);
    test->tables->files[3].inode = status.st_ino;
    test->tables->files[3].size = 1;
    assert_int_equal(weft__fds_arrive(&test->there, test->tables), WEFT_EPINNED);
    assert_int_equal(host_fds(), before + 1);
}

/* Every byte of the tables' beginnings, and what they lead to. */
static void damaged_tables_are_refused(void **state)
{
    struct test *test = *state;
    char reason[100];
    assert_int_equal(open_file(test, O_RDWR | O_CREAT), 3);
    assert_true(weft__fds_leave(&test->here, reason));
    struct weft__fds *whole = malloc(sizeof(*whole)), *tables = test->tables;
    assert_non_null(whole);
    memcpy(whole, tables, sizeof(*whole));
    for (int i = 0; i < 10; i++) {
        memcpy(tables, whole, sizeof(*whole));
        switch (i) {
        case 0:
            tables->descriptors_end = WEFT__FDS_MAX + 1;
            break;
        case 1:
            tables->files_end = UINT32_MAX;
            break;
        case 2:
            tables->descriptors[3].file = 1000;
            break;
        case 3:
            tables->files[3].uses = 2;
            break;
        case 4:
            tables->files[3].kind = WEFT__FDS_PINNED;
            break;
        case 5:
            tables->files[3].kind = WEFT__FDS_STANDARD;
            break;
        case 6:
            memset(tables->paths[3], 'x', PATH_MAX);
            break;
        case 7:
            memset(tables->folder, '/', PATH_MAX);
            break;
        case 8:
            tables->paths[3][0] = 'x';
            break;
        default:
            tables->files[3].kind = 200;
            break;
        }
        assert_int_equal(weft__fds_arrive(&test->there, tables), WEFT_EPROTO);
    }
    memcpy(tables, whole, sizeof(*whole));
    free(whole);
    assert_int_equal(weft__fds_arrive(&test->there, tables), WEFT_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(numbers_are_the_lowest_that_are_free),
        CASE(numbers_of_others_are_refused),
        CASE(there_are_only_so_many_and_all_are_given_back),
        CASE(what_moves_keeps_offset_and_flags),
        CASE(what_cannot_be_opened_again_stays_and_says_why),
        CASE(a_descriptor_of_the_host_is_no_file),
        CASE(another_file_at_the_destination_is_refused),
        CASE(damaged_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
