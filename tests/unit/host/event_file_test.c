/* What is recorded arrives in the file in whole lines, and a disk that does not take it does no
 * harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/event_file.h"
#include "weft/error.h"

enum { KEPT = 1024 };

struct rig {
    struct weft_events events;
    char folder[64];
    char path[96];
};

static int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->folder, "/tmp/weft-events-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof(rig->path), "%s/events", rig->folder);
    assert_int_equal(weft__events_init(&rig->events, KEPT), WEFT_OK);
    *state = rig;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    char old[112];
    snprintf(old, sizeof(old), "%s.1", rig->path);
    (void)unlink(rig->path);
    (void)unlink(old);
    assert_int_equal(rmdir(rig->folder), 0);
    weft__events_fini(&rig->events);
    free(rig);
    return 0;
}

static struct weft_event_file *open_file(struct rig *rig, const char *path, const char *host,
                                         uint64_t max_bytes)
{
    struct weft_event_file *file;
    assert_int_equal(weft__event_file_open(&(struct weft_event_file_desc){.path = path,
                                                                          .host = host,
                                                                          .max_bytes = max_bytes,
                                                                          .events = &rig->events},
                                           &file),
                     WEFT_OK);
    return file;
}

static void note(struct rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        weft__events_note(&rig->events, &(struct weft_event_note){.kind = WEFT_EVENT_HOST_LEFT,
                                                                  .rank = (int32_t)i,
                                                                  .text = {"x"}});
}

/* Lines of a file; each begins and ends as a line should, and comes from the host. */
static unsigned count_lines(const char *path, const char *host)
{
    char line[4096], wanted[64];
    unsigned n = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    snprintf(wanted, sizeof(wanted), "\"host\":\"%s\"", host);
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_memory_equal(line, "{\"v\":1,", 7);
        assert_string_equal(line + strlen(line) - 2, "}\n");
        n += strstr(line, wanted) != NULL;
    }
    fclose(file);
    return n;
}

static void events_are_in_the_file_when_it_is_closed(void **state)
{
    struct rig *rig = *state;
    struct weft_event_file_stats stats;
    note(rig, 3); /* before: not of this file */
    struct weft_event_file *file = open_file(rig, rig->path, "a", UINT64_MAX);
    note(rig, 500);
    assert_int_equal(weft__event_file_close(file), WEFT_OK);
    assert_int_equal(count_lines(rig->path, "a"), 500);
    file = open_file(rig, rig->path, "a", UINT64_MAX);
    note(rig, 1);
    assert_int_equal(weft__event_file_close(file), WEFT_OK);
    assert_int_equal(count_lines(rig->path, "a"), 501); /* appended */
    weft__event_file_stats(NULL, &stats);
    assert_int_equal(stats.written, 0);
}

static void the_host_is_named_in_the_path(void **state)
{
    struct rig *rig = *state;
    char path[96];
    snprintf(path, sizeof(path), "%s/%%hvents", rig->folder);
    struct weft_event_file *file = open_file(rig, path, "e", UINT64_MAX);
    note(rig, 2);
    assert_int_equal(weft__event_file_close(file), WEFT_OK);
    assert_int_equal(count_lines(rig->path, "e"), 2);
}

static void a_file_that_is_too_long_makes_room_for_a_new_one(void **state)
{
    enum { ROUNDS = 6, EACH = 200, MAX = 65536 };
    struct rig *rig = *state;
    char old[112];
    snprintf(old, sizeof(old), "%s.1", rig->path);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct weft_event_file *file = open_file(rig, rig->path, "a", MAX);
        note(rig, EACH);
        assert_int_equal(weft__event_file_close(file), WEFT_OK);
    }
    unsigned now = count_lines(rig->path, "a"), before = count_lines(old, "a");
    assert_true(now >= EACH && before >= EACH); /* whole lines in both, and nothing in between */
    assert_int_equal((now + before) % EACH, 0);
    assert_true(now + before < ROUNDS * EACH);
}

static void hosts_that_share_a_file_do_not_mix_lines_and_turn_it_together(void **state)
{
    enum { ROUNDS = 20, EACH = 30, MAX = 200000 };
    struct rig *rig = *state;
    char old[112];
    struct weft_event_file *a = open_file(rig, rig->path, "a", MAX);
    struct weft_event_file *b = open_file(rig, rig->path, "b", MAX);
    snprintf(old, sizeof(old), "%s.1", rig->path);
    for (unsigned i = 0; i < ROUNDS; i++)
        note(rig, EACH);
    assert_int_equal(weft__event_file_close(a), WEFT_OK);
    assert_int_equal(weft__event_file_close(b), WEFT_OK);
    unsigned n = count_lines(rig->path, "a") + count_lines(rig->path, "b");
    if (access(old, F_OK) == 0)
        n += count_lines(old, "a") + count_lines(old, "b");
    assert_int_equal(n, 2 * ROUNDS * EACH);
}

static void a_full_disk_drops_events_and_counts_them(void **state)
{
    struct rig *rig = *state;
    struct weft_event_file_stats stats = {0};
    if (access("/dev/full", W_OK) != 0)
        skip();
    struct weft_event_file *file = open_file(rig, "/dev/full", "a", UINT64_MAX);
    note(rig, 100);
    while (stats.dropped < 100) /* the test's deadline is ctest's */
        weft__event_file_stats(file, &stats);
    assert_int_equal(stats.dropped, 100);
    assert_int_equal(stats.written, 0);
    assert_int_equal(weft__event_file_close(file), WEFT_OK);
}

static void a_path_that_leads_nowhere_is_named(void **state)
{
    struct rig *rig = *state;
    struct weft_event_file *file = NULL;
    char path[128];
    snprintf(path, sizeof(path), "%s/no/such/folder", rig->folder);
    int err = weft__event_file_open(
        &(struct weft_event_file_desc){.path = path, .host = "a", .events = &rig->events}, &file);
    assert_int_equal(err, WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(err), path));
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)
        TEST(events_are_in_the_file_when_it_is_closed),
        TEST(the_host_is_named_in_the_path),
        TEST(a_file_that_is_too_long_makes_room_for_a_new_one),
        TEST(hosts_that_share_a_file_do_not_mix_lines_and_turn_it_together),
        TEST(a_full_disk_drops_events_and_counts_them),
        TEST(a_path_that_leads_nowhere_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
