#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "plan/roster.h"
#include "weft/error.h"

enum { HOSTS_MAX = 513, EACH_UP_TO = 40 }; /* then those around a level more of the trees */

/* What the roster answers, by looking at all hosts. */
static size_t first_by_scan(const struct weft_plan_host *hosts, size_t n, bool shared)
{
    size_t best = WEFT_NO_HOST;
    for (size_t i = 0; i < n; i++) {
        uint32_t free_slots = weft__plan_host_free(&hosts[i]);
        if (free_slots == 0 || (hosts[i].used > 0) != shared)
            continue;
        uint32_t most = best == WEFT_NO_HOST ? 0 : weft__plan_host_free(&hosts[best]);
        if (free_slots > most || (free_slots == most && hosts[i].slots > hosts[best].slots))
            best = i;
    }
    return best;
}

static void check(const struct weft_roster *roster)
{
    uint64_t free_slots[WEFT_ROSTER_ORDERS] = {0}, unused = 0;
    for (size_t i = 0; i < roster->n; i++) {
        const struct weft_plan_host *host = &roster->hosts[i];
        free_slots[host->used > 0 ? WEFT_ROSTER_SHARED : WEFT_ROSTER_UNUSED] +=
            weft__plan_host_free(host);
        unused += host->used == 0 && !host->leaving;
    }
    assert_int_equal(weft__roster_first(roster, WEFT_ROSTER_SHARED),
                     first_by_scan(roster->hosts, roster->n, true));
    assert_int_equal(weft__roster_first(roster, WEFT_ROSTER_UNUSED),
                     first_by_scan(roster->hosts, roster->n, false));
    assert_int_equal(roster->free_slots[WEFT_ROSTER_SHARED], free_slots[WEFT_ROSTER_SHARED]);
    assert_int_equal(roster->free_slots[WEFT_ROSTER_UNUSED], free_slots[WEFT_ROSTER_UNUSED]);
    assert_int_equal(roster->unused, unused);
}

static size_t next_size(size_t n)
{
    if (n < EACH_UP_TO || (n + 2) % 64 < 3)
        return n + 1;
    return n < 63 ? 63 : n < 511 ? 511 : HOSTS_MAX + 1;
}

static void the_first_is_the_one_that_a_look_at_all_hosts_finds(void **state)
{
    (void)state;
    unsigned seed = 3;
    for (size_t n = 0; n <= HOSTS_MAX; n = next_size(n)) {
        struct weft_plan_host hosts[HOSTS_MAX + 1] = {0};
        struct weft_roster roster;
        for (size_t i = 0; i < n; i++)
            hosts[i] = (struct weft_plan_host){.slots = (unsigned)rand_r(&seed) % 6,
                                               .used = (unsigned)rand_r(&seed) % 5,
                                               .closed = rand_r(&seed) % 8 == 0,
                                               .leaving = rand_r(&seed) % 8 == 0};
        assert_int_equal(weft__roster_init(&roster, hosts, n), WEFT_OK);
        check(&roster);
        for (int change = 0; change < 200 && n > 0; change++) {
            size_t host = (unsigned)rand_r(&seed) % n;
            weft__roster_used(&roster, host, (unsigned)rand_r(&seed) % 6);
            check(&roster);
        }
        weft__roster_fini(&roster);
    }
}

static void what_is_touched_is_passed_over_until_all_come_back(void **state)
{
    (void)state;
    struct weft_plan_host hosts[] = {
        {.slots = 2}, {.slots = 4, .used = 1}, {.slots = 4}, {.slots = 3}};
    struct weft_roster roster;
    assert_int_equal(weft__roster_init(&roster, hosts, 4), WEFT_OK);
    static const size_t wanted[] = {2, 3, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(weft__roster_first(&roster, WEFT_ROSTER_UNUSED), wanted[i]);
        weft__roster_touch(&roster, wanted[i]);
        hosts[wanted[i]].ours = hosts[wanted[i]].target = 7;
    }
    assert_int_equal(weft__roster_first(&roster, WEFT_ROSTER_UNUSED), WEFT_NO_HOST);
    assert_int_equal(weft__roster_first(&roster, WEFT_ROSTER_SHARED), 1);
    weft__roster_untouch_all(&roster);
    check(&roster);
    for (size_t i = 0; i < 4; i++)
        assert_true(hosts[i].ours == 0 && hosts[i].target == 0);
    weft__roster_fini(&roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_the_one_that_a_look_at_all_hosts_finds),
        cmocka_unit_test(what_is_touched_is_passed_over_until_all_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
