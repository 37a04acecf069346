/* The owner of a rank in a real registry: what an absent key means, one winner, outcomes that are
 * known by value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "host/keys.h"
#include "rig.h"
#include "weft/error.h"

struct outcome {
    _Atomic uint32_t over;
    int err;
    struct weft_move_owner owner;
};

static void known(void *ctx, int err, struct weft_move_owner owner)
{
    struct outcome *outcome = ctx;
    outcome->err = err;
    outcome->owner = owner;
    atomic_store(&outcome->over, 1);
    weft__futex_wake(&outcome->over);
}

static void await(struct outcome *outcome)
{
    uint64_t deadline = weft__now_ns() + 20 * WEFT_NS_PER_S;
    while (atomic_load(&outcome->over) == 0)
        assert_int_equal(weft__futex_wait(&outcome->over, 0, deadline), WEFT_OK);
}

static struct weft_owner_ask ask_of(const struct rig *rig, struct weft_move_owner want,
                                    struct outcome *outcome)
{
    return (struct weft_owner_ask){.at = rig->at,
                                   .app = 0xabc,
                                   .rank = 3,
                                   .initial = {.host = 1, .incarnation = 1},
                                   .expect = {.host = 1, .incarnation = 1},
                                   .want = want,
                                   .done = known,
                                   .ctx = outcome};
}

static void an_absent_key_means_the_initial_owner(void **state)
{
    struct outcome read = {0};
    struct weft_owner_ask ask = ask_of(*state, (struct weft_move_owner){0}, &read);
    weft__owner_read(&ask);
    await(&read);
    assert_int_equal(read.err, WEFT_OK);
    assert_int_equal(read.owner.host, 1);
    assert_int_equal(read.owner.incarnation, 1);
}

static void of_commit_and_abort_exactly_one_wins(void **state)
{
    struct outcome commit = {0}, undo = {0};
    struct weft_owner_ask to_dest =
        ask_of(*state, (struct weft_move_owner){.host = 2, .incarnation = 2}, &commit);
    struct weft_owner_ask stay =
        ask_of(*state, (struct weft_move_owner){.host = 1, .incarnation = 2}, &undo);
    weft__owner_cas(&to_dest);
    weft__owner_cas(&stay);
    await(&commit);
    await(&undo);
    assert_int_equal(commit.err, WEFT_OK);
    assert_int_equal(undo.err, WEFT_OK);
    assert_int_equal(commit.owner.host, undo.owner.host); /* both learn the same */
    assert_int_equal(commit.owner.incarnation, 2);
    assert_true(commit.owner.host == 1 || commit.owner.host == 2);
}

static void a_repeated_winner_learns_that_it_has_won(void **state)
{
    struct weft_move_owner want = {.host = 2, .incarnation = 2};
    for (unsigned i = 0; i < 3; i++) {
        struct outcome outcome = {0};
        struct weft_owner_ask ask = ask_of(*state, want, &outcome);
        weft__owner_cas(&ask);
        await(&outcome);
        assert_int_equal(outcome.err, WEFT_OK);
        assert_int_equal(outcome.owner.host, want.host);
        assert_int_equal(outcome.owner.incarnation, want.incarnation);
    }
}

static void without_a_registry_the_outcome_is_unknown(void **state)
{
    struct rig *rig = *state;
    struct outcome outcome = {0};
    rig_head_stop(rig);
    struct weft_owner_ask ask =
        ask_of(rig, (struct weft_move_owner){.host = 2, .incarnation = 2}, &outcome);
    ask.at.timeout_ms = 100;
    weft__owner_cas(&ask);
    await(&outcome);
    assert_int_equal(outcome.err, WEFT_EREGISTRY);
    rig_head_start(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_absent_key_means_the_initial_owner, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(of_commit_and_abort_exactly_one_wins, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(a_repeated_winner_learns_that_it_has_won, rig_open,
                                        rig_close),
        cmocka_unit_test_setup_teardown(without_a_registry_the_outcome_is_unknown, rig_open,
                                        rig_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
