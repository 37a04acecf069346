/* Claims: names, and each way through the machine; attempts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "state/attempt.h"
#include "state/claim.h"
#include "weft/error.h"

#define S UINT64_C(1000000000)

static struct weft_claim claim_of(uint64_t epoch, const char *host)
{
    struct weft_claim claim = {.epoch = epoch, .incarnation = 5};
    strcpy(claim.host, host);
    strcpy(claim.url, "tcp://127.0.0.1:8104");
    strcpy(claim.async_url, "tcp://127.0.0.1:8105");
    return claim;
}

static struct weft_claiming wanting(enum weft_claim_want want)
{
    return (struct weft_claiming){.want = want, .user = "u", .key = "k", .dead_ns = 3 * S};
}

static void names_are_escaped_and_bounded(void **state)
{
    char key[WEFT_REGISTRY_KEY_MAX + 1], longest[WEFT_STATE_KEY_MAX + 2];
    (void)state;
    assert_int_equal(weft__claim_key("a/b", "c d%", key), WEFT_OK);
    assert_string_equal(key, "state/a%2Fb/c%20d%25");
    assert_int_equal(weft__claim_key("", "k", key), WEFT_EINVAL);
    assert_int_equal(weft__claim_key("u", "", key), WEFT_EINVAL);
    memset(longest, 'x', sizeof(longest));
    longest[WEFT_STATE_KEY_MAX + 1] = '\0';
    assert_int_equal(weft__claim_key("u", longest, key), WEFT_EINVAL);
    longest[WEFT_STATE_KEY_MAX] = '\0';
    assert_int_equal(weft__claim_key("u", longest, key), WEFT_OK);
    memset(longest, '/', WEFT_STATE_KEY_MAX);
    assert_int_equal(weft__claim_key("u", longest, key), WEFT_EINVAL); /* escaped: too long */
}

static void a_claim_survives_its_bytes(void **state)
{
    uint8_t bytes[WEFT_CLAIM_BYTES_MAX];
    struct weft_claim claim = claim_of(9, "host"), back;
    size_t len;
    (void)state;
    assert_int_equal(weft__claim_encode(&claim, 1, bytes, &len), WEFT_OK);
    assert_int_equal(weft__claim_decode(bytes, len, 9, &back), WEFT_OK);
    assert_memory_equal(&claim, &back, sizeof(claim));
    assert_int_equal(weft__claim_decode(bytes, len - 1, 9, &back), WEFT_EPROTO);
}

static void a_value_that_is_not_there_is_created_by_compare_and_set(void **state)
{
    struct weft_claiming claiming = wanting(WEFT_CLAIM_CREATE);
    struct weft_claim none = {0}, ours = claim_of(4, "a");
    (void)state;
    assert_int_equal(weft__claim_start(&claiming).what, WEFT_CLAIM_GET);
    assert_int_equal(weft__claim_got(&claiming, WEFT_OK, &none).what, WEFT_CLAIM_CAS);
    struct weft_claim_step step = weft__claim_set(&claiming, 1, WEFT_OK, true, &ours);
    assert_int_equal(step.what, WEFT_CLAIM_END);
    assert_int_equal(step.err, WEFT_OK);
    assert_true(claiming.won);
    assert_int_equal(claiming.standing.epoch, 4);
}

static void an_unknown_compare_and_set_is_asked_again_until_it_is_known(void **state)
{
    struct weft_claiming claiming = wanting(WEFT_CLAIM_CREATE);
    struct weft_claim none = {0}, theirs = claim_of(4, "b");
    (void)state;
    weft__claim_start(&claiming);
    weft__claim_got(&claiming, WEFT_OK, &none);
    for (int i = 0; i < 50; i++) {
        struct weft_claim_step step =
            weft__claim_set(&claiming, 1, i == 7 ? WEFT_ENOSPC : WEFT_EREGISTRY, false, &none);
        assert_int_equal(step.what, WEFT_CLAIM_WAIT);
        assert_int_equal(weft__claim_woken(&claiming).what, WEFT_CLAIM_CAS);
    }
    assert_int_equal(weft__claim_set(&claiming, 1, WEFT_OK, false, &theirs).what, WEFT_CLAIM_END);
    assert_false(claiming.won);
    assert_string_equal(claiming.standing.host, "b");
}

static void a_dead_main_is_named_and_may_be_dropped(void **state)
{
    struct weft_claiming check = wanting(WEFT_CLAIM_CHECK), drop = wanting(WEFT_CLAIM_DROP);
    struct weft_claim theirs = claim_of(4, "hostX"), none = {0};
    (void)state;
    weft__claim_start(&check);
    assert_int_equal(weft__claim_got(&check, WEFT_OK, &theirs).what, WEFT_CLAIM_LIST);
    struct weft_claim_step step = weft__claim_listed(&check, 1, WEFT_OK, WEFT_LIFE_DEAD, 1);
    assert_int_equal(step.err, WEFT_EHOSTDEAD);
    assert_non_null(strstr(weft_fail_text(WEFT_EHOSTDEAD), "hostX"));
    assert_non_null(strstr(weft_fail_text(WEFT_EHOSTDEAD), "weft_state_delete"));
    weft__claim_start(&drop);
    weft__claim_got(&drop, WEFT_OK, &theirs);
    step = weft__claim_listed(&drop, 1, WEFT_OK, WEFT_LIFE_DEAD, 1);
    assert_int_equal(step.what, WEFT_CLAIM_ERASE);
    assert_int_equal(step.expected, 4);
    step = weft__claim_set(&drop, 1, WEFT_OK, true, &none);
    assert_int_equal(step.err, WEFT_OK);
    weft__claim_start(&drop);
    weft__claim_got(&drop, WEFT_OK, &theirs);
    step = weft__claim_listed(&drop, 1, WEFT_OK, WEFT_LIFE_ALIVE, 1);
    assert_int_equal(step.err, WEFT_EBUSY);
}

static void a_registry_that_has_started_anew_is_asked_anew_whether_the_main_is_dead(void **state)
{
    struct weft_claiming drop = wanting(WEFT_CLAIM_DROP);
    struct weft_claim theirs = claim_of(4, "b"), none = {0};
    (void)state;
    weft__claim_start(&drop);
    weft__claim_got(&drop, WEFT_OK, &theirs);
    struct weft_claim_step step = weft__claim_listed(&drop, 1, WEFT_OK, WEFT_LIFE_DEAD, 7);
    assert_int_equal(step.what, WEFT_CLAIM_ERASE);
    assert_int_equal(step.registry_epoch, 7);
    assert_int_equal(weft__claim_set(&drop, 1, WEFT_EREGISTRY, false, &none).what, WEFT_CLAIM_WAIT);
    step = weft__claim_woken(&drop);
    assert_int_equal(step.what, WEFT_CLAIM_ERASE);
    assert_int_equal(step.registry_epoch, 7);
    assert_int_equal(weft__claim_set(&drop, 1, WEFT_ESTALE, false, &none).what, WEFT_CLAIM_GET);
    weft__claim_got(&drop, WEFT_OK, &theirs);
    assert_int_equal(weft__claim_listed(&drop, 1, WEFT_OK, WEFT_LIFE_ALIVE, 8).err, WEFT_EBUSY);
}

static void a_main_that_is_not_listed_is_given_time_in_one_epoch(void **state)
{
    struct weft_claiming check = wanting(WEFT_CLAIM_CHECK);
    struct weft_claim theirs = claim_of(4, "b");
    (void)state;
    weft__claim_start(&check);
    weft__claim_got(&check, WEFT_OK, &theirs);
    struct weft_claim_step step = weft__claim_listed(&check, S, WEFT_OK, WEFT_LIFE_ABSENT, 1);
    assert_int_equal(step.what, WEFT_CLAIM_WAIT);
    assert_int_equal(step.until_ns, 4 * S);
    assert_int_equal(weft__claim_woken(&check).what, WEFT_CLAIM_LIST);
    step = weft__claim_listed(&check, 4 * S, WEFT_OK, WEFT_LIFE_ABSENT, 2); /* started anew */
    assert_int_equal(step.what, WEFT_CLAIM_WAIT);
    weft__claim_woken(&check);
    assert_int_equal(weft__claim_listed(&check, 7 * S, WEFT_OK, WEFT_LIFE_ABSENT, 2).err,
                     WEFT_EHOSTDEAD);
}

static void a_main_lives_only_in_the_incarnation_that_claimed(void **state)
{
    struct weft_registry_host hosts[2] = {{.name = "a", .incarnation = 1, .alive = true},
                                          {.name = "b", .incarnation = 5, .alive = true}};
    struct weft_claim claim = claim_of(4, "b");
    (void)state;
    assert_int_equal(weft__claim_life(&claim, hosts, 2), WEFT_LIFE_ALIVE);
    hosts[1].alive = false;
    assert_int_equal(weft__claim_life(&claim, hosts, 2), WEFT_LIFE_DEAD);
    hosts[1] = (struct weft_registry_host){.name = "b", .incarnation = 6, .alive = true};
    assert_int_equal(weft__claim_life(&claim, hosts, 2), WEFT_LIFE_DEAD);
    assert_int_equal(weft__claim_life(&claim, hosts, 1), WEFT_LIFE_ABSENT);
}

static void a_claim_that_its_host_knows_nothing_of_is_an_orphan(void **state)
{
    struct weft_claim standing = claim_of(4, "a"), own = claim_of(0, "a"), other = claim_of(0, "b");
    (void)state;
    assert_true(weft__claim_is_orphan(&standing, &own, NULL));
    assert_false(weft__claim_is_orphan(&standing, &other, NULL));
    own.incarnation++;
    assert_false(weft__claim_is_orphan(&standing, &own, NULL));
    standing.epoch = 0;
    own.incarnation--;
    assert_false(weft__claim_is_orphan(&standing, &own, NULL));
}

/* ---- attempts ---- */

static struct weft_attempt attempt_of(uint64_t epoch)
{
    return (struct weft_attempt){.epoch = epoch, .deadline_ns = 10 * S};
}

static void a_refusal_ends_an_attempt(void **state)
{
    struct weft_attempt attempt = attempt_of(4);
    (void)state;
    assert_int_equal(weft__attempt_start(&attempt, 0).what, WEFT_ATTEMPT_SEND);
    struct weft_attempt_step step = weft__attempt_answered(&attempt, 1, WEFT_ENOSPC, 0);
    assert_int_equal(step.what, WEFT_ATTEMPT_END);
    assert_int_equal(step.err, WEFT_ENOSPC);
}

static void a_full_main_is_asked_again_when_it_says(void **state)
{
    struct weft_attempt attempt = attempt_of(4);
    (void)state;
    weft__attempt_start(&attempt, 0);
    struct weft_attempt_step step = weft__attempt_answered(&attempt, S, WEFT_EAGAIN, 500);
    assert_int_equal(step.what, WEFT_ATTEMPT_SLEEP);
    assert_int_equal(step.until_ns, S + S / 2);
    assert_int_equal(weft__attempt_woken(&attempt, step.until_ns).what, WEFT_ATTEMPT_SEND);
    assert_int_equal(attempt.tries, 2);
    assert_int_equal(weft__attempt_answered(&attempt, 10 * S, WEFT_EAGAIN, 1).err, WEFT_EAGAIN);
}

static void a_silent_main_is_checked(void **state)
{
    struct weft_attempt attempt = attempt_of(4);
    (void)state;
    weft__attempt_start(&attempt, 0);
    assert_int_equal(weft__attempt_answered(&attempt, S, WEFT_ETIMEDOUT, 0).what,
                     WEFT_ATTEMPT_CHECK);
    assert_int_equal(weft__attempt_checked(&attempt, S, WEFT_EREGISTRY, 0).what,
                     WEFT_ATTEMPT_SLEEP);
    weft__attempt_woken(&attempt, S);
    weft__attempt_answered(&attempt, 2 * S, WEFT_EPEERDEAD, 0);
    assert_int_equal(weft__attempt_checked(&attempt, 2 * S, WEFT_OK, 4).what, WEFT_ATTEMPT_SLEEP);
    weft__attempt_woken(&attempt, 2 * S);
    weft__attempt_answered(&attempt, 3 * S, WEFT_ESTALE, 0);
    assert_int_equal(weft__attempt_checked(&attempt, 3 * S, WEFT_OK, 5).err, WEFT_ESTALE);
    weft__attempt_start(&attempt, 3 * S);
    weft__attempt_answered(&attempt, 3 * S, WEFT_ETIMEDOUT, 0);
    assert_int_equal(weft__attempt_checked(&attempt, 3 * S, WEFT_EHOSTDEAD, 0).err, WEFT_EHOSTDEAD);
    weft__attempt_start(&attempt, 3 * S);
    assert_int_equal(weft__attempt_answered(&attempt, 10 * S, WEFT_ETIMEDOUT, 0).err,
                     WEFT_ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_escaped_and_bounded),
        cmocka_unit_test(a_claim_survives_its_bytes),
        cmocka_unit_test(a_value_that_is_not_there_is_created_by_compare_and_set),
        cmocka_unit_test(an_unknown_compare_and_set_is_asked_again_until_it_is_known),
        cmocka_unit_test(a_dead_main_is_named_and_may_be_dropped),
        cmocka_unit_test(a_registry_that_has_started_anew_is_asked_anew_whether_the_main_is_dead),
        cmocka_unit_test(a_main_that_is_not_listed_is_given_time_in_one_epoch),
        cmocka_unit_test(a_main_lives_only_in_the_incarnation_that_claimed),
        cmocka_unit_test(a_claim_that_its_host_knows_nothing_of_is_an_orphan),
        cmocka_unit_test(a_refusal_ends_an_attempt),
        cmocka_unit_test(a_full_main_is_asked_again_when_it_says),
        cmocka_unit_test(a_silent_main_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
