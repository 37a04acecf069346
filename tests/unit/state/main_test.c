/* The table of a main: leases, epochs, sessions, pins, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "state/main.h"
#include "weft/error.h"

static const struct weft_state_place place = {"u", "k", 7};

static void bury(struct weft_state_main *table)
{
    struct weft_body *body = weft__main_bury(table);
    while (body != NULL) {
        struct weft_body *next = body->next;
        weft__body_free(body);
        body = next;
    }
}

static void table_init(struct weft_state_main *table)
{
    struct weft_state_limits limits = {
        .memory_max = 1000, .keys_max = 2, .sessions_max = 2, .pins_max = 2};
    weft__main_init(table, &limits);
    table->lease_until_ns = 100;
    table->registry_epoch = 1;
}

static void table_fini(struct weft_state_main *table)
{
    weft__main_clear(table);
    bury(table);
    assert_int_equal(table->used_bytes, 0);
}

static struct weft_kept *make(struct weft_state_main *table, uint64_t size)
{
    struct weft_kept *kept;
    assert_int_equal(weft__main_claim(table, "u", "k", size), WEFT_OK);
    weft__main_claimed(table, "u", "k", 7, 1);
    assert_int_equal(weft__main_find(table, 1, &place, &kept), WEFT_OK);
    return kept;
}

static struct weft_outcome push(struct weft_state_main *table, struct weft_kept *kept,
                                uint64_t offset, const char *text, uint64_t expected)
{
    struct weft_range64 range = {offset, strlen(text)};
    struct weft_state_push what = {.expected = expected,
                                   .ranges = &range,
                                   .ranges_n = 1,
                                   .data = text,
                                   .data_len = strlen(text)};
    return weft__kept_push(table, kept, &what);
}

static void a_main_without_its_lease_answers_nothing(void **state)
{
    struct weft_state_main table;
    struct weft_kept *kept;
    (void)state;
    table_init(&table);
    make(&table, 10);
    assert_int_equal(weft__main_find(&table, 99, &place, &kept), WEFT_OK);
    assert_int_equal(weft__main_find(&table, 100, &place, &kept), WEFT_EREGISTRY);
    table_fini(&table);
}

static void another_epoch_is_stale(void **state)
{
    struct weft_state_main table;
    struct weft_kept *kept;
    struct weft_state_place other = {"u", "k", 6}, none = {"u", "x", 7};
    (void)state;
    table_init(&table);
    make(&table, 10);
    assert_int_equal(weft__main_find(&table, 1, &other, &kept), WEFT_ESTALE);
    assert_int_equal(weft__main_find(&table, 1, &none, &kept), WEFT_ESTALE);
    table_fini(&table);
}

static void a_value_serves_only_once_its_claim_is_won(void **state)
{
    struct weft_state_main table;
    struct weft_kept *kept;
    (void)state;
    table_init(&table);
    assert_int_equal(weft__main_claim(&table, "u", "k", 10), WEFT_OK);
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_EAGAIN);
    assert_int_equal(weft__main_claim(&table, "u", "k", 10), WEFT_EAGAIN);
    weft__main_claimed(&table, "u", "k", 0, 1); /* lost */
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_ESTALE);
    make(&table, 10);
    assert_int_equal(weft__main_claim(&table, "u", "k", 10), WEFT_EEXIST);
    weft__main_delete_begin(weft__main_kept(&table, "u", "k"));
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_EAGAIN);
    table_fini(&table);
}

static void a_new_registry_has_to_confirm_claims(void **state)
{
    struct weft_state_main table;
    struct weft_kept *kept;
    (void)state;
    table_init(&table);
    make(&table, 10);
    weft__main_registry(&table, 2);
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_EAGAIN);
    kept = weft__main_unsure(&table);
    assert_non_null(kept);
    assert_null(weft__main_unsure(&table)); /* it is being asked */
    weft__main_confirmed(&table, kept, 7, 2);
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_OK);
    weft__main_registry(&table, 3);
    weft__main_confirmed(&table, weft__main_unsure(&table), 8, 3); /* somebody else's */
    assert_int_equal(weft__main_find(&table, 1, &place, &kept), WEFT_ESTALE);
    table_fini(&table);
}

static bool begin(struct weft_state_main *table, struct weft_kept *kept, uint64_t session,
                  uint64_t op, struct weft_outcome *outcome)
{
    bool makes = false;
    assert_int_equal(
        weft__change_begin(table, kept, (struct weft_state_writer){session, op}, outcome, &makes),
        WEFT_OK);
    return makes;
}

static void a_change_that_comes_again_is_answered_again(void **state)
{
    struct weft_state_main table;
    struct weft_outcome outcome;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 10);
    uint64_t session = weft__kept_session(&table, kept);
    struct weft_state_writer first = {session, 1};
    assert_true(begin(&table, kept, session, 1, &outcome));
    bool makes;
    assert_int_equal(weft__change_begin(&table, kept, first, &outcome, &makes), WEFT_EAGAIN);
    outcome = push(&table, kept, 0, "abc", 0);
    weft__change_end(kept, first, &outcome);
    assert_int_equal(outcome.version, 2);
    assert_false(begin(&table, kept, session, 1, &outcome));
    assert_int_equal(outcome.version, 2);
    assert_true(begin(&table, kept, session, 3, &outcome));
    outcome = (struct weft_outcome){.err = WEFT_ENOSPC};
    weft__change_end(kept, (struct weft_state_writer){session, 3}, &outcome);
    assert_false(begin(&table, kept, session, 3, &outcome));
    assert_int_equal(outcome.err, WEFT_ENOSPC); /* refused for good */
    assert_false(begin(&table, kept, session, 2, &outcome));
    assert_int_equal(outcome.result, WEFT_STATE_NO_SESSION); /* its writer has gone on */
    table_fini(&table);
}

static void a_change_that_could_not_be_made_just_now_is_made_when_it_comes_again(void **state)
{
    struct weft_state_main table;
    struct weft_outcome outcome;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 10);
    uint64_t session = weft__kept_session(&table, kept);
    assert_true(begin(&table, kept, session, 1, &outcome));
    outcome = (struct weft_outcome){.err = WEFT_EREGISTRY};
    weft__change_end(kept, (struct weft_state_writer){session, 1}, &outcome);
    assert_true(begin(&table, kept, session, 1, &outcome));
    table_fini(&table);
}

static void the_session_that_was_not_used_longest_is_forgotten(void **state)
{
    struct weft_state_main table;
    struct weft_outcome outcome;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 10);
    uint64_t a = weft__kept_session(&table, kept), b = weft__kept_session(&table, kept);
    assert_true(begin(&table, kept, a, 1, &outcome));
    weft__change_end(kept, (struct weft_state_writer){a, 1}, &(struct weft_outcome){0});
    uint64_t c = weft__kept_session(&table, kept);
    assert_int_not_equal(c, a);
    assert_int_not_equal(c, b);
    assert_false(begin(&table, kept, b, 1, &outcome));
    assert_int_equal(outcome.result, WEFT_STATE_NO_SESSION);
    assert_true(begin(&table, kept, a, 2, &outcome));
    assert_true(begin(&table, kept, c, 1, &outcome));
    assert_int_equal(weft__kept_session(&table, kept), 0); /* both have a change under way */
    table_fini(&table);
}

static void a_pinned_version_stays_while_the_value_changes(void **state)
{
    struct weft_state_main table;
    struct weft_pin *pin;
    uint64_t next = UINT64_MAX;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 10);
    push(&table, kept, 0, "before", 0);
    assert_int_equal(table.copies, 0);
    assert_int_equal(weft__kept_pin(&table, kept, 50, &pin), WEFT_OK);
    push(&table, kept, 0, "behind", 0);
    push(&table, kept, 0, "again!", 0);
    assert_int_equal(table.copies, 1); /* one, however many changes */
    assert_memory_equal(pin->body->bytes, "before", 6);
    assert_memory_equal(kept->body->bytes, "again!", 6);
    uint64_t id = pin->id;
    weft__main_expire(&table, 49, &next);
    assert_int_equal(next, 50);
    assert_non_null(weft__kept_pinned(kept, id));
    weft__main_expire(&table, 50, &next);
    assert_null(weft__kept_pinned(kept, id));
    assert_false(weft__kept_unpin(&table, kept, id));
    bury(&table);
    assert_int_equal(table.used_bytes, 10);
    table_fini(&table);
}

static void wrong_pushes_change_nothing(void **state)
{
    struct weft_state_main table;
    struct weft_range64 ranges[] = {{0, 2}, {UINT64_MAX, 2}};
    struct weft_state_push bad = {.ranges = ranges, .ranges_n = 2, .data = "abcd", .data_len = 4};
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 4);
    assert_int_equal(weft__kept_push(&table, kept, &bad).err, WEFT_ERANGE);
    bad.ranges_n = 1;
    assert_int_equal(weft__kept_push(&table, kept, &bad).err, WEFT_EINVAL); /* 4 bytes for 2 */
    bad.ranges_n = 0;
    assert_int_equal(weft__kept_push(&table, kept, &bad).err, WEFT_EINVAL);
    assert_int_equal(push(&table, kept, 2, "abc", 0).err, WEFT_ERANGE);
    assert_int_equal(push(&table, kept, 0, "", 0).err, WEFT_EINVAL);
    assert_int_equal(push(&table, kept, 0, "abcd", 9).result, WEFT_STATE_OTHER_VERSION);
    assert_int_equal(kept->version, 1);
    assert_memory_equal(kept->body->bytes, "\0\0\0\0", 4);
    assert_int_equal(push(&table, kept, 0, "abcd", 1).version, 2);
    table_fini(&table);
}

static void memory_and_keys_are_bounded(void **state)
{
    struct weft_state_main table;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 600);
    assert_int_equal(weft__main_claim(&table, "u", "l", 401), WEFT_ENOSPC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOSPC), "WEFT_STATE_MEMORY"));
    assert_int_equal(weft__main_claim(&table, "u", "l", 10), WEFT_OK);
    assert_int_equal(weft__main_claim(&table, "u", "m", 10), WEFT_ENOSPC);
    assert_int_equal(weft__kept_resize(&table, kept, 500).err, WEFT_ENOSPC); /* both for a moment */
    assert_int_equal(weft__kept_append(&table, kept, "item", 4).items, 1);
    char big[400] = "";
    assert_int_equal(weft__kept_append(&table, kept, big, sizeof(big)).err, WEFT_ENOSPC);
    assert_int_equal(weft__kept_append(&table, kept, big, 0).err, WEFT_EINVAL);
    assert_int_equal(weft__kept_clear(&table, kept).items, 0);
    assert_int_equal(table.used_bytes, 610);
    table_fini(&table);
}

static void bytes_in_pieces_become_a_push(void **state)
{
    struct weft_state_main table;
    struct weft_outcome outcome;
    uint64_t next = UINT64_MAX;
    (void)state;
    table_init(&table);
    struct weft_kept *kept = make(&table, 6);
    struct weft_state_writer writer = {weft__kept_session(&table, kept), 1};
    struct weft_state_piece piece = {6, 3, 3, "def", 50};
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_OK);
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_OK);
    piece = (struct weft_state_piece){6, 0, 3, "abc", 60};
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_OK);
    assert_true(begin(&table, kept, writer.session, 1, &outcome));
    struct weft_range64 all = {0, 6};
    struct weft_state_push push_all = {.ranges = &all, .ranges_n = 1, .data_len = 6};
    push_all.body = weft__kept_staged(&table, kept, writer);
    assert_non_null(push_all.body);
    assert_int_equal(weft__kept_push(&table, kept, &push_all).version, 2);
    assert_memory_equal(kept->body->bytes, "abcdef", 6);
    writer.op = 2;
    piece.offset = 4;
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_ERANGE);
    piece.offset = 0;
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_OK);
    weft__main_expire(&table, 60, &next); /* its writer has gone */
    assert_null(weft__kept_staged(&table, kept, writer));
    writer.session = 99;
    assert_int_equal(weft__kept_stage(&table, kept, writer, &piece), WEFT_ESTALE);
    table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_main_without_its_lease_answers_nothing),
        cmocka_unit_test(another_epoch_is_stale),
        cmocka_unit_test(a_value_serves_only_once_its_claim_is_won),
        cmocka_unit_test(a_new_registry_has_to_confirm_claims),
        cmocka_unit_test(a_change_that_comes_again_is_answered_again),
        cmocka_unit_test(a_change_that_could_not_be_made_just_now_is_made_when_it_comes_again),
        cmocka_unit_test(the_session_that_was_not_used_longest_is_forgotten),
        cmocka_unit_test(a_pinned_version_stays_while_the_value_changes),
        cmocka_unit_test(wrong_pushes_change_nothing),
        cmocka_unit_test(memory_and_keys_are_bounded),
        cmocka_unit_test(bytes_in_pieces_become_a_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
