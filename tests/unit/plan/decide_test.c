#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "plan/decide.h"
#include "weft/error.h"

#define HOSTS_MAX 5
#define RANKS_MAX 10

/* Slots by host, M first; the expected placement as letters, M A B C. */
struct vector {
    const char *slots;
    size_t ranks;
    enum weft_hint hint;
    bool hints_off;
    const char *expected;
};

/* Source: the decision tests of faabric pull requests 147, 180 and 214. */
static const struct vector vectors[] = {
    {"11", 2, WEFT_HINT_NORMAL, false, "MA"},
    {"11", 3, WEFT_HINT_NORMAL, false, "MAM"},
    {"11", 2, WEFT_HINT_FORCE_LOCAL, false, "MM"},
    {"11", 2, WEFT_HINT_FORCE_LOCAL, true, "MA"},
    {"02", 2, WEFT_HINT_NORMAL, false, "AA"},
    {"202", 4, WEFT_HINT_NORMAL, false, "MMBB"},
    {"2222", 8, WEFT_HINT_NORMAL, false, "MMAABBCC"},
    {"3221", 8, WEFT_HINT_NORMAL, false, "MMMAABBC"},
    {"1000", 8, WEFT_HINT_NORMAL, false, "MMMMMMMM"},
    {"2212", 8, WEFT_HINT_NORMAL, false, "MMAABCCM"},
    {"2212", 8, WEFT_HINT_NEVER_ALONE, false, "MMAACCCC"},
    {"11", 2, WEFT_HINT_NEVER_ALONE, false, "MM"},
    {"221", 5, WEFT_HINT_NEVER_ALONE, false, "MMAAA"},
    {"22", 5, WEFT_HINT_NEVER_ALONE, false, "MMAAA"},
    {"23", 5, WEFT_HINT_NEVER_ALONE, false, "MMAAA"},
    {"231", 6, WEFT_HINT_NEVER_ALONE, false, "MMAAAA"},
    {"22", 2, WEFT_HINT_UNDERFULL, false, "MA"},
    {"22", 3, WEFT_HINT_UNDERFULL, false, "MAA"},
    {"22", 4, WEFT_HINT_UNDERFULL, false, "MAAM"},
};

static size_t hosts_of(const char *slots, bool registered, struct weft_plan_host hosts[HOSTS_MAX])
{
    size_t n = strlen(slots);
    for (size_t i = 0; i < n; i++)
        hosts[i] =
            (struct weft_plan_host){.slots = (uint32_t)(slots[i] - '0'), .has_app = registered};
    return n;
}

static void as_letters(const uint32_t *host_of, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = "MABC"[host_of[i]];
    out[n] = '\0';
}

static void check_vector(const struct vector *v, bool registered)
{
    struct weft_plan_host hosts[HOSTS_MAX];
    uint32_t host_of[RANKS_MAX];
    char letters[RANKS_MAX + 1];
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = hosts_of(v->slots, registered, hosts),
                              .ranks = v->ranks,
                              .hint = v->hint,
                              .hints_off = v->hints_off,
                              .overcommit = WEFT_OVERCOMMIT_ANY};
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    as_letters(host_of, v->ranks, letters);
    assert_string_equal(letters, v->expected);
}

static void decisions_follow_the_reference_with_hosts_that_are_new_to_the_app(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check_vector(&vectors[i], false);
}

static void decisions_follow_the_reference_with_hosts_that_run_the_app(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check_vector(&vectors[i], true);
}

/* ---- by room ---- */

/* Slots and used by host, the ranks of the app that run already, the placement of those that come;
 * a is the first host. */
struct added {
    const char *slots, *used, *running;
    size_t ranks;
    const char *expected; /* NULL: not enough slots */
};

/* Source: the vectors of faabric's later batch schedulers for batches that are new, and for those
 * that grow; they are the same for all three of their policies. Of equal hosts they take the one
 * with the last name, we the first of the array: in the last vector of those that grow they take c
 * before b. */
static const struct added packed[] = {
    {"11", "00", "", 6, NULL},
    {"43", "00", "", 3, "aaa"},
    {"43", "00", "", 4, "aaaa"},
    {"43", "00", "", 6, "aaaabb"},
    {"43", "00", "", 7, "aaaabbb"},
    {"34", "02", "", 4, "aaab"},
    {"43", "10", "", 6, "aaabbb"},
    {"33", "00", "", 6, "aaabbb"},
    {"46231", "02220", "", 10, "bbbbaaaade"},
    {"21", "10", "a", 6, NULL},
    {"43", "10", "a", 3, "aaa"},
    {"54", "01", "b", 3, "bbb"},
    {"43", "01", "b", 4, "bbaa"},
    {"43", "12", "bba", 1, "b"},
    {"432", "011", "bc", 5, "bbcaa"},
    {"422", "021", "bbc", 3, "caa"},
    {"432", "011", "bc", 3, "bbc"},
    {"432", "021", "bc", 3, "bca"},
    {"422", "011", "bc", 3, "bca"},
};

/* The same with the first rank's host as home, where it comes first. */
static const struct added scaled[] = {
    {"43", "10", "a", 3, "aaa"},
    {"43", "12", "bba", 1, "b"},
    {"432", "011", "cb", 5, "cbbaa"},
    {"422", "021", "bbc", 3, "caa"},
    {"4449", "2110", "aabc", 9, "aabbbcccd"},
    {"2222", "2211", "abcd", 3, NULL},
};

static void check_added(const struct added *v, enum weft_hint hint)
{
    struct weft_plan_host hosts[HOSTS_MAX];
    uint32_t host_of[RANKS_MAX];
    char letters[RANKS_MAX + 1];
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = hosts_of(v->slots, false, hosts),
                              .home = v->running[0] != '\0' ? (size_t)(v->running[0] - 'a') : 0,
                              .ranks = v->ranks,
                              .scale = v->running[0] != '\0',
                              .hint = hint};
    for (size_t i = 0; i < ask.hosts_n; i++)
        hosts[i].used = (uint32_t)(v->used[i] - '0');
    for (const char *at = v->running; *at != '\0'; at++)
        hosts[*at - 'a'].ours++;
    int err = weft__decide(&ask, host_of, NULL);
    if (v->expected == NULL) {
        assert_int_equal(err, WEFT_ENOSLOTS);
        return;
    }
    assert_int_equal(err, WEFT_OK);
    for (size_t i = 0; i < v->ranks; i++)
        letters[i] = (char)('a' + host_of[i]);
    letters[v->ranks] = '\0';
    assert_string_equal(letters, v->expected);
}

static void packed_decisions_follow_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
        check_added(&packed[i], WEFT_HINT_PACKED);
}

static void what_is_added_goes_home_then_to_hosts_with_most_of_the_app(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scaled) / sizeof(scaled[0]); i++)
        check_added(&scaled[i], WEFT_HINT_NORMAL);
}

static void a_host_with_a_process_of_the_app_comes_before_one_without(void **state)
{
    (void)state;
    check_added(&(struct added){"122", "100", "a", 2, "bb"}, WEFT_HINT_NORMAL);
    struct weft_plan_host hosts[] = {{.slots = 1, .used = 1}, {.slots = 3}, {.slots = 2}};
    struct weft_decide ask = {.hosts = hosts, .hosts_n = 3, .ranks = 2, .scale = true};
    uint32_t host_of[2];
    hosts[2].has_app = true;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_int_equal(host_of[0], 2);
    assert_int_equal(host_of[1], 2);
}

static void hosts_that_run_the_app_come_before_the_others(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {{.slots = 1}, {.slots = 1}, {.slots = 1, .has_app = true}};
    struct weft_decide ask = {.hosts = hosts, .hosts_n = 3, .ranks = 3};
    uint32_t host_of[3];
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_int_equal(host_of[0], 0);
    assert_int_equal(host_of[1], 2);
    assert_int_equal(host_of[2], 1);
}

static void home_may_stand_anywhere_in_the_array(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {{.slots = 1}, {.slots = 1}};
    struct weft_decide ask = {.hosts = hosts, .hosts_n = 2, .home = 1, .ranks = 2};
    uint32_t host_of[2];
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_int_equal(host_of[0], 1);
    assert_int_equal(host_of[1], 0);
}

static void too_few_free_slots_without_overcommit_are_an_error_and_write_nothing(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {{.slots = 1}, {.slots = 1}};
    struct weft_decide ask = {.hosts = hosts, .hosts_n = 2, .ranks = 3};
    uint32_t host_of[3] = {7, 7, 7};
    size_t over = 99;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_ENOSLOTS);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(host_of[i], 7);
    assert_int_equal(over, 99);
    ask.hint = WEFT_HINT_FORCE_LOCAL;
    ask.ranks = 2;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_ENOSLOTS);
}

static void
a_host_with_more_ranks_than_slots_has_no_free_slot_rather_than_a_negative_number(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {
        {.slots = 1, .used = 1}, {.slots = 1, .used = 4, .has_app = true}, {.slots = 2}};
    struct weft_decide ask = {.hosts = hosts, .hosts_n = 3, .ranks = 2};
    uint32_t host_of[2];
    assert_int_equal(weft__plan_host_free(&hosts[1]), 0);
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_int_equal(host_of[0], 2);
    assert_int_equal(host_of[1], 2);
}

static void overcommit_of_home_alone_does_not_load_another_host(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {{.slots = 2}, {.slots = 2}};
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = 2,
                              .ranks = 5,
                              .hint = WEFT_HINT_NEVER_ALONE,
                              .overcommit = WEFT_OVERCOMMIT_HOME};
    uint32_t host_of[5];
    size_t over = 0;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_OK);
    assert_int_equal(over, 1);
    assert_int_equal(host_of[4], 0);
}

static void underfull_is_no_overcommit_while_home_has_free_slots(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {{.slots = 2}, {.slots = 2}};
    struct weft_decide ask = {
        .hosts = hosts, .hosts_n = 2, .ranks = 4, .hint = WEFT_HINT_UNDERFULL};
    uint32_t host_of[5];
    size_t over = 9;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_OK);
    assert_int_equal(over, 0);
    ask.ranks = 5;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_ENOSLOTS);
}

static void a_cached_placement_is_taken_while_its_slots_are_free(void **state)
{
    (void)state;
    static const uint32_t cached[] = {1, 0};
    struct weft_plan_host hosts[] = {{.slots = 2}, {.slots = 1}};
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = 2,
                              .ranks = 2,
                              .hint = WEFT_HINT_CACHED,
                              .cached = cached,
                              .cached_n = 2};
    uint32_t host_of[2];
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_memory_equal(host_of, cached, sizeof(cached));
    hosts[1].used = 1;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
    assert_int_equal(host_of[0], 0);
    assert_int_equal(host_of[1], 0);
}

static void a_cached_placement_of_another_size_or_of_unknown_hosts_is_an_error(void **state)
{
    (void)state;
    static const uint32_t cached[] = {1, 5};
    struct weft_plan_host hosts[] = {{.slots = 2}, {.slots = 1}};
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = 2,
                              .ranks = 2,
                              .hint = WEFT_HINT_CACHED,
                              .cached = cached,
                              .cached_n = 2};
    uint32_t host_of[3];
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
    ask.ranks = 3;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
}

static void a_given_placement_is_taken_whatever_the_hint(void **state)
{
    (void)state;
    static const uint32_t given[] = {1, 0, 1};
    struct weft_plan_host hosts[] = {{.slots = 4}, {.slots = 2}};
    struct weft_decide ask = {
        .hosts = hosts, .hosts_n = 2, .ranks = 3, .given = given, .given_n = 3};
    for (int hint = WEFT_HINT_NORMAL; hint <= WEFT_HINT_PACKED; hint++) {
        uint32_t host_of[3] = {7, 7, 7};
        ask.hint = (enum weft_hint)hint;
        assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_OK);
        assert_memory_equal(host_of, given, sizeof(given));
    }
}

static void a_given_placement_without_room_is_refused_and_names_its_host(void **state)
{
    (void)state;
    static const uint32_t given[] = {1, 0, 1}, elsewhere[] = {0, 2, 0};
    struct weft_plan_host hosts[] = {{.slots = 4}, {.slots = 2, .used = 1}};
    struct weft_decide ask = {
        .hosts = hosts, .hosts_n = 2, .ranks = 3, .given = given, .given_n = 3};
    uint32_t host_of[3] = {7, 7, 7};
    size_t full = 9, over = 9;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_ENOSLOTS);
    assert_int_equal(host_of[0], 7);
    assert_int_equal(weft__decide_full(&ask, given, &full), WEFT_OK);
    assert_int_equal(full, 1);
    ask.home = 1;
    ask.overcommit = WEFT_OVERCOMMIT_HOME;
    assert_int_equal(weft__decide(&ask, host_of, &over), WEFT_OK);
    assert_int_equal(over, 1);
    assert_int_equal(weft__decide_full(&ask, given, &full), WEFT_OK);
    assert_int_equal(full, 2);
    hosts[1].leaving = true; /* no room, and nothing beyond it */
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_ENOSLOTS);
    ask.given = elsewhere;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
    ask.given_n = 2;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct weft_plan_host host = {.slots = 2};
    struct weft_decide ask = {.hosts = &host, .hosts_n = 1};
    uint32_t host_of[1];
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
    ask.ranks = 1;
    ask.home = 1;
    assert_int_equal(weft__decide(&ask, host_of, NULL), WEFT_EINVAL);
}

static void hints_have_names(void **state)
{
    (void)state;
    for (int i = WEFT_HINT_NORMAL; i <= WEFT_HINT_PACKED; i++) {
        enum weft_hint hint = WEFT_HINT_NORMAL;
        assert_int_equal(weft__hint_parse(weft__hint_name((enum weft_hint)i), &hint), WEFT_OK);
        assert_int_equal(hint, i);
    }
    enum weft_hint hint = WEFT_HINT_CACHED;
    assert_int_equal(weft__hint_parse("", &hint), WEFT_OK);
    assert_int_equal(hint, WEFT_HINT_NORMAL);
    assert_int_equal(weft__hint_parse("NEVER_ALNE", &hint), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "did you mean NEVER_ALONE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_follow_the_reference_with_hosts_that_are_new_to_the_app),
        cmocka_unit_test(decisions_follow_the_reference_with_hosts_that_run_the_app),
        cmocka_unit_test(packed_decisions_follow_the_reference),
        cmocka_unit_test(what_is_added_goes_home_then_to_hosts_with_most_of_the_app),
        cmocka_unit_test(a_host_with_a_process_of_the_app_comes_before_one_without),
        cmocka_unit_test(hosts_that_run_the_app_come_before_the_others),
        cmocka_unit_test(home_may_stand_anywhere_in_the_array),
        cmocka_unit_test(too_few_free_slots_without_overcommit_are_an_error_and_write_nothing),
        cmocka_unit_test(
            a_host_with_more_ranks_than_slots_has_no_free_slot_rather_than_a_negative_number),
        cmocka_unit_test(overcommit_of_home_alone_does_not_load_another_host),
        cmocka_unit_test(underfull_is_no_overcommit_while_home_has_free_slots),
        cmocka_unit_test(a_cached_placement_is_taken_while_its_slots_are_free),
        cmocka_unit_test(a_cached_placement_of_another_size_or_of_unknown_hosts_is_an_error),
        cmocka_unit_test(a_given_placement_is_taken_whatever_the_hint),
        cmocka_unit_test(a_given_placement_without_room_is_refused_and_names_its_host),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(hints_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
