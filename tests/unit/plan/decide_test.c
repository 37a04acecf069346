#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "plan/decide.h"
#include "weft/error.h"

#define HOSTS_MAX 4
#define RANKS_MAX 8

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
    for (int i = WEFT_HINT_NORMAL; i <= WEFT_HINT_CACHED; i++) {
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
        cmocka_unit_test(hosts_that_run_the_app_come_before_the_others),
        cmocka_unit_test(home_may_stand_anywhere_in_the_array),
        cmocka_unit_test(too_few_free_slots_without_overcommit_are_an_error_and_write_nothing),
        cmocka_unit_test(
            a_host_with_more_ranks_than_slots_has_no_free_slot_rather_than_a_negative_number),
        cmocka_unit_test(overcommit_of_home_alone_does_not_load_another_host),
        cmocka_unit_test(underfull_is_no_overcommit_while_home_has_free_slots),
        cmocka_unit_test(a_cached_placement_is_taken_while_its_slots_are_free),
        cmocka_unit_test(a_cached_placement_of_another_size_or_of_unknown_hosts_is_an_error),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(hints_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
