/* Values between two processes on two hosts: what one pushes the other pulls. The scheme of the
 * lanes is on the command line; none: bytes go by message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/state.h"

#define LARGE ((size_t)5 << 20)

static const struct weft_state_name name_of_test = {"alice", "counter"};

/* Creates the value in the process on a, opens it in the one on b. */
static void open_both(struct rig *rig, size_t size, struct weft_value **a, struct weft_value **b)
{
    assert_int_equal(weft_value_open(rig->a, &name_of_test, size, a), WEFT_OK);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 0, b), WEFT_OK);
}

static void close_both(struct rig *rig, struct weft_value *a, struct weft_value *b)
{
    weft_value_close(a);
    weft_value_close(b);
    assert_int_equal(weft_state_delete(rig->a, &name_of_test), WEFT_OK);
}

static void a_new_value_has_its_size_and_zeros(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    unsigned char bytes[100], zeros[100] = {0};
    open_both(rig, sizeof(bytes), &a, &b);
    assert_int_equal(weft_value_size(a), sizeof(bytes));
    assert_int_equal(weft_value_size(b), sizeof(bytes));
    memset(bytes, 1, sizeof(bytes));
    assert_int_equal(weft_value_read(b, 0, bytes, sizeof(bytes)), WEFT_OK);
    assert_memory_equal(bytes, zeros, sizeof(bytes));
    close_both(rig, a, b);
}

static void what_is_written_is_read_here_before_it_is_pushed_and_there_after(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char bytes[6];
    open_both(rig, 6, &a, &b);
    assert_int_equal(weft_value_write(a, 0, "hello", 6), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, bytes, 6), WEFT_OK);
    assert_string_equal(bytes, "hello");
    assert_int_equal(weft_value_read(b, 0, bytes, 6), WEFT_OK);
    assert_string_equal(bytes, "");
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_read(b, 0, bytes, 6), WEFT_OK); /* local: as it was pulled */
    assert_string_equal(bytes, "");
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_read(b, 0, bytes, 6), WEFT_OK);
    assert_string_equal(bytes, "hello");
    close_both(rig, a, b);
}

static void a_chunk_is_read_without_the_rest(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    unsigned char bytes[1000], chunk[20];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    open_both(rig, sizeof(bytes), &a, &b);
    assert_int_equal(weft_value_write(a, 0, bytes, sizeof(bytes)), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_read(b, 100, chunk, 20), WEFT_OK);
    assert_memory_equal(chunk, bytes + 100, 20);
    assert_int_equal(rig_stats(rig->b).bytes_pulled, 20);
    assert_int_equal(weft_value_read(b, 105, chunk, 20), WEFT_OK); /* five bytes are missing */
    assert_memory_equal(chunk, bytes + 105, 20);
    assert_int_equal(rig_stats(rig->b).bytes_pulled, 25);
    assert_int_equal(weft_value_read(b, 100, chunk, 20), WEFT_OK);
    assert_int_equal(rig_stats(rig->b).bytes_pulled, 25);
    close_both(rig, a, b);
}

static void only_what_was_written_is_pushed(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    unsigned char bytes[100];
    open_both(rig, 100, &a, &b);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(rig_stats(rig->a).pushes, 0); /* clean: nothing is sent */
    assert_int_equal(weft_value_write(a, 0, "first", 5), WEFT_OK);
    assert_int_equal(weft_value_write(a, 99, "!", 1), WEFT_OK);
    assert_int_equal(weft_value_write(b, 50, "middle", 6), WEFT_OK);
    assert_true(weft_value_is_dirty(a));
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_false(weft_value_is_dirty(a));
    assert_int_equal(rig_stats(rig->a).pushes, 1);
    assert_int_equal(rig_stats(rig->a).bytes_pushed, 6);
    assert_int_equal(weft_value_push(b), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(rig_stats(rig->a).pushes, 1);
    assert_int_equal(weft_value_pull(a), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, bytes, 100), WEFT_OK);
    assert_memory_equal(bytes, "first", 5);
    assert_memory_equal(bytes + 50, "middle", 6);
    assert_int_equal(bytes[99], '!');
    close_both(rig, a, b);
}

static void overlapping_chunks_make_one(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    unsigned char bytes[10];
    open_both(rig, 10, &a, &b);
    assert_int_equal(weft_value_write(a, 1, "aaaa", 4), WEFT_OK);
    assert_int_equal(weft_value_write(a, 3, "bbbb", 4), WEFT_OK);
    assert_int_equal(weft_value_write(a, 2, "c", 1), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(rig_stats(rig->a).bytes_pushed, 6);
    assert_int_equal(weft_value_read(b, 0, bytes, 10), WEFT_OK);
    assert_memory_equal(bytes, "\0acbbbb\0\0\0", 10);
    close_both(rig, a, b);
}

static void doubles_are_updated_in_parts(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    double numbers[20] = {0}, seen[20], one = 1.5, two = -2.5;
    for (int i = 0; i < 20; i++)
        numbers[i] = i;
    open_both(rig, sizeof(numbers), &a, &b);
    assert_int_equal(weft_value_write(a, 0, numbers, sizeof(numbers)), WEFT_OK);
    assert_int_equal(weft_value_push_all(a), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_write(a, 0, &one, sizeof(one)), WEFT_OK);
    assert_int_equal(weft_value_write(b, 19 * sizeof(two), &two, sizeof(two)), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_push(b), WEFT_OK);
    assert_int_equal(weft_value_pull(a), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, seen, sizeof(seen)), WEFT_OK);
    numbers[0] = one;
    numbers[19] = two;
    assert_memory_equal(seen, numbers, sizeof(seen));
    close_both(rig, a, b);
}

static void a_mask_says_what_is_pushed(void **state)
{
    struct rig *rig = *state;
    struct weft_state_name mask_name = {"alice", "mask"};
    struct weft_value *a, *b, *mask;
    unsigned char bytes[8];
    open_both(rig, 8, &a, &b);
    assert_int_equal(weft_value_open(rig->a, &mask_name, 8, &mask), WEFT_OK);
    assert_int_equal(weft_value_write(mask, 0, "\0\1\1\0\0\0\0\1", 8), WEFT_OK);
    assert_int_equal(weft_value_write(a, 0, "abcdefgh", 8), WEFT_OK);
    assert_int_equal(weft_value_push_mask(a, mask), WEFT_OK);
    assert_false(weft_value_is_dirty(a));
    assert_int_equal(weft_value_read(b, 0, bytes, 8), WEFT_OK);
    assert_memory_equal(bytes, "\0bc\0\0\0\0h", 8);
    assert_int_equal(weft_value_push_mask(a, a), WEFT_EINVAL);
    weft_value_close(mask);
    assert_int_equal(weft_state_delete(rig->a, &mask_name), WEFT_OK);
    close_both(rig, a, b);
}

static void a_mapped_value_is_written_by_its_address(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    void *address;
    char byte;
    open_both(rig, 10000, &a, &b);
    assert_int_equal(weft_value_map(a, 9000, 100, &address), WEFT_OK);
    assert_int_equal(rig_stats(rig->a).bytes_pulled, 100);
    ((char *)address)[7] = 'x';
    assert_false(weft_value_is_dirty(a));
    assert_int_equal(weft_value_dirty(a, 9007, 1), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_read(b, 9007, &byte, 1), WEFT_OK);
    assert_int_equal(byte, 'x');
    close_both(rig, a, b);
}

static void a_pull_keeps_what_was_written_here_and_discard_forgets_it(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char bytes[4];
    open_both(rig, 4, &a, &b);
    assert_int_equal(weft_value_write(a, 0, "aaaa", 4), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_write(b, 1, "b", 1), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_read(b, 0, bytes, 4), WEFT_OK);
    assert_memory_equal(bytes, "abaa", 4);
    weft_value_discard(b);
    assert_false(weft_value_is_dirty(b));
    assert_int_equal(weft_value_read(b, 0, bytes, 4), WEFT_OK);
    assert_memory_equal(bytes, "aaaa", 4);
    close_both(rig, a, b);
}

static void wrong_ranges_are_refused(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char bytes[20];
    void *address;
    open_both(rig, 10, &a, &b);
    assert_int_equal(weft_value_read(a, 0, bytes, 0), WEFT_EINVAL);
    assert_int_equal(weft_value_write(a, 3, bytes, 0), WEFT_EINVAL);
    assert_int_equal(weft_value_read(a, 0, bytes, 11), WEFT_ERANGE);
    assert_non_null(strstr(weft_fail_text(WEFT_ERANGE), "alice/counter"));
    assert_int_equal(weft_value_read(a, 10, bytes, 1), WEFT_ERANGE);
    assert_int_equal(weft_value_write(a, UINT64_MAX, bytes, 2), WEFT_ERANGE);
    assert_int_equal(weft_value_map(a, 5, 6, &address), WEFT_ERANGE);
    assert_int_equal(weft_value_dirty(a, 9, 2), WEFT_ERANGE);
    assert_int_equal(weft_value_push_async(a, 9, bytes, 2), WEFT_ERANGE);
    close_both(rig, a, b);
}

static void a_conditional_push_loses_no_update(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    open_both(rig, 8, &a, &b);
    assert_int_equal(weft_value_pull(a), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    uint64_t version = weft_value_version(b);
    assert_int_equal(weft_value_version(a), version);
    assert_int_equal(weft_value_write(a, 0, "a", 1), WEFT_OK);
    assert_int_equal(weft_value_push_if(a, version), WEFT_OK);
    assert_int_equal(weft_value_version(a), version + 1);
    assert_int_equal(weft_value_write(b, 1, "b", 1), WEFT_OK);
    assert_int_equal(weft_value_push_if(b, version), WEFT_ESTALE);
    assert_true(weft_value_is_dirty(b));
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_push_if(b, weft_value_version(b)), WEFT_OK);
    assert_int_equal(weft_value_push_if(b, 0), WEFT_EINVAL);
    close_both(rig, a, b);
}

static void a_value_that_exists_with_another_size_is_refused(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b, *other;
    open_both(rig, 8, &a, &b);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 9, &other), WEFT_EEXIST);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 8, &other), WEFT_OK);
    assert_ptr_equal(other, b); /* one replica in a process */
    weft_value_close(other);
    close_both(rig, a, b);
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 0, &other), WEFT_ENOENT);
    assert_int_equal(weft_value_open(rig->b, &(struct weft_state_name){"", "k"}, 0, &other),
                     WEFT_EINVAL);
    assert_int_equal(
        weft_value_open(rig->b, &(struct weft_state_name){"u", "k"}, UINT64_MAX, &other),
        WEFT_EINVAL);
}

static void a_resized_value_is_found_out_by_a_pull(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char bytes[8];
    open_both(rig, 4, &a, &b);
    assert_int_equal(weft_value_write(a, 0, "abcd", 4), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_resize(a, 8), WEFT_OK);
    assert_int_equal(weft_value_write(a, 6, "gh", 2), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_size(b), 8);
    assert_int_equal(weft_value_read(b, 0, bytes, 8), WEFT_OK);
    assert_memory_equal(bytes, "abcd\0\0gh", 8);
    assert_int_equal(weft_value_resize(a, 2), WEFT_OK);
    assert_int_equal(weft_value_pull(b), WEFT_OK);
    assert_int_equal(weft_value_size(b), 2);
    assert_int_equal(weft_value_read(b, 0, bytes, 3), WEFT_ERANGE);
    assert_int_equal(weft_value_resize(a, 0), WEFT_EINVAL);
    close_both(rig, a, b);
}

/* ---- items ---- */

struct seen {
    unsigned n;
    char text[200];
};

static void see(void *ctx, uint64_t index, const void *item, size_t len_bytes)
{
    struct seen *seen = ctx;
    size_t at = strlen(seen->text);
    snprintf(seen->text + at, sizeof(seen->text) - at, "%u=%.*s ", (unsigned)index, (int)len_bytes,
             (const char *)item);
    seen->n++;
}

static void items_are_appended_from_both_sides_and_cleared(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    struct seen seen = {0}, two = {0};
    uint64_t count = 0;
    open_both(rig, 1, &a, &b);
    assert_int_equal(weft_value_append(a, "one", 3, &count), WEFT_OK);
    assert_int_equal(weft_value_append(b, "two", 3, &count), WEFT_OK);
    assert_int_equal(count, 2);
    assert_int_equal(weft_value_append(a, "three", 5, NULL), WEFT_OK);
    assert_int_equal(weft_value_append(a, "", 0, NULL), WEFT_EINVAL);
    struct weft_value_items all = {.n = UINT64_MAX, .each = see, .ctx = &seen};
    assert_int_equal(weft_value_items(b, &all, &count), WEFT_OK);
    assert_string_equal(seen.text, "0=one 1=two 2=three ");
    assert_int_equal(count, 3);
    struct weft_value_items some = {.first = 1, .n = 1, .each = see, .ctx = &two};
    assert_int_equal(weft_value_items(a, &some, &count), WEFT_OK);
    assert_string_equal(two.text, "1=two ");
    assert_int_equal(weft_value_clear_items(b), WEFT_OK);
    seen = (struct seen){0};
    assert_int_equal(weft_value_items(a, &all, &count), WEFT_OK);
    assert_int_equal(count, 0);
    assert_int_equal(seen.n, 0);
    close_both(rig, a, b);
}

static void count_item(void *ctx, uint64_t index, const void *item, size_t len_bytes)
{
    uint64_t *next = ctx, number;
    (void)len_bytes;
    memcpy(&number, item, sizeof(number));
    assert_int_equal(index, *next);
    assert_int_equal(number, *next);
    ++*next;
}

static void many_large_items_come_in_several_answers(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    static unsigned char item[300000];
    uint64_t next = 0, total;
    open_both(rig, 1, &a, &b);
    for (uint64_t i = 0; i < 10; i++) {
        memcpy(item, &i, sizeof(i));
        assert_int_equal(weft_value_append(a, item, sizeof(item), NULL), WEFT_OK);
    }
    struct weft_value_items all = {.n = 1000, .each = count_item, .ctx = &next};
    assert_int_equal(weft_value_items(b, &all, &total), WEFT_OK);
    assert_int_equal(next, 10);
    assert_int_equal(total, 10);
    close_both(rig, a, b);
}

static void posts_arrive_without_an_answer(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char bytes[4] = "";
    uint64_t total = 0, next = 0;
    open_both(rig, 4, &a, &b);
    assert_int_equal(weft_value_push_async(b, 1, "xy", 2), WEFT_OK);
    assert_int_equal(weft_value_append_async(b, &next, sizeof(next)), WEFT_OK);
    assert_false(weft_value_is_dirty(b));
    while (bytes[1] != 'x') { /* the test's time-out is the limit */
        assert_int_equal(weft_value_pull(a), WEFT_OK);
        assert_int_equal(weft_value_read(a, 0, bytes, 4), WEFT_OK);
    }
    assert_memory_equal(bytes, "\0xy\0", 4);
    struct weft_value_items all = {.n = 1000, .each = count_item, .ctx = &next};
    while (total == 0)
        assert_int_equal(weft_value_items(a, &all, &total), WEFT_OK);
    assert_int_equal(next, 1);
    close_both(rig, a, b);
}

/* ---- large ones ---- */

static void fill(unsigned char *bytes, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)((i * 31 + seed) >> (i & 3));
}

static void a_large_value_goes_over_several_requests(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    unsigned char *bytes = malloc(LARGE), *seen = malloc(LARGE);
    fill(bytes, LARGE, 1);
    open_both(rig, LARGE, &a, &b);
    assert_int_equal(weft_value_write(b, 0, bytes, LARGE), WEFT_OK);
    assert_int_equal(weft_value_push(b), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, seen, LARGE), WEFT_OK);
    assert_memory_equal(bytes, seen, LARGE);
    fill(bytes + 1000, 3 << 20, 2); /* a large part, and a small one */
    bytes[LARGE - 1] ^= 1;
    assert_int_equal(weft_value_write(b, 1000, bytes + 1000, 3 << 20), WEFT_OK);
    assert_int_equal(weft_value_write(b, LARGE - 1, bytes + LARGE - 1, 1), WEFT_OK);
    assert_int_equal(weft_value_push(b), WEFT_OK);
    assert_int_equal(weft_value_pull(a), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, seen, LARGE), WEFT_OK);
    assert_memory_equal(bytes, seen, LARGE);
    if (rig_scheme != NULL) {
        assert_int_equal(rig_stats(rig->a).bulk_pulls, 2);
        assert_int_equal(rig_stats(rig->b).bulk_pushes, 2);
    }
    close_both(rig, a, b);
    free(bytes);
    free(seen);
}

static void a_deleted_value_is_gone_for_all(void **state)
{
    struct rig *rig = *state;
    struct weft_value *a, *b;
    char byte;
    open_both(rig, 4, &a, &b);
    assert_int_equal(weft_state_delete(rig->b, &name_of_test), WEFT_OK);
    assert_int_equal(weft_value_read(a, 0, &byte, 1), WEFT_ENOENT);
    assert_int_equal(weft_state_delete(rig->b, &name_of_test), WEFT_OK); /* again: fine */
    struct weft_value *fresh;
    assert_int_equal(weft_value_open(rig->b, &name_of_test, 5, &fresh), WEFT_OK);
    assert_int_equal(weft_value_write(a, 0, "x", 1), WEFT_OK);
    assert_int_equal(weft_value_push(a), WEFT_ESTALE); /* of the one before */
    assert_non_null(strstr(weft_fail_text(WEFT_ESTALE), "open it again"));
    weft_value_close(fresh);
    close_both(rig, a, b);
}

static void list_entry(void *ctx, const struct weft_state_entry *entry)
{
    struct seen *seen = ctx;
    size_t at = strlen(seen->text);
    snprintf(seen->text + at, sizeof(seen->text) - at, "%s:%s/%s=%u ", entry->host, entry->user,
             entry->key, (unsigned)entry->size_bytes);
    seen->n++;
}

static void values_are_listed_with_their_hosts(void **state)
{
    struct rig *rig = *state;
    struct weft_state_name names[] = {{"u", "z"}, {"u", "b /%"}, {"v", "k"}};
    struct weft_value *values[3];
    struct seen all = {0}, one = {0};
    unsigned unanswered = 9;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weft_value_open(i == 2 ? rig->b : rig->a, &names[i], i + 1, &values[i]),
                         WEFT_OK);
    assert_int_equal(weft_state_list(rig->b, NULL, list_entry, &all, &unanswered), WEFT_OK);
    assert_string_equal(all.text, "a:u/b /%=2 a:u/z=1 b:v/k=3 ");
    assert_int_equal(unanswered, 0);
    assert_int_equal(weft_state_list(rig->b, "v", list_entry, &one, NULL), WEFT_OK);
    assert_string_equal(one.text, "b:v/k=3 ");
    for (unsigned i = 0; i < 3; i++) {
        weft_value_close(values[i]);
        assert_int_equal(weft_state_delete(rig->a, &names[i]), WEFT_OK);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_value_has_its_size_and_zeros),
        CASE(what_is_written_is_read_here_before_it_is_pushed_and_there_after),
        CASE(a_chunk_is_read_without_the_rest),
        CASE(only_what_was_written_is_pushed),
        CASE(overlapping_chunks_make_one),
        CASE(doubles_are_updated_in_parts),
        CASE(a_mask_says_what_is_pushed),
        CASE(a_mapped_value_is_written_by_its_address),
        CASE(a_pull_keeps_what_was_written_here_and_discard_forgets_it),
        CASE(wrong_ranges_are_refused),
        CASE(a_conditional_push_loses_no_update),
        CASE(a_value_that_exists_with_another_size_is_refused),
        CASE(a_resized_value_is_found_out_by_a_pull),
        CASE(items_are_appended_from_both_sides_and_cleared),
        CASE(many_large_items_come_in_several_answers),
        CASE(posts_arrive_without_an_answer),
        CASE(a_large_value_goes_over_several_requests),
        CASE(a_deleted_value_is_gone_for_all),
        CASE(values_are_listed_with_their_hosts),
    };
    if (argc > 1)
        rig_scheme = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
