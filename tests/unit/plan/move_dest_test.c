#define MOVE_MACHINE dest
#include "move_steps.h"

static struct weft_move_dest m;

static int set_up(void **state)
{
    (void)state;
    now_ns = 1000;
    weft__move_dest_init(&m, NULL);
    return 0;
}

static void advance(enum weft_move_dest_state to)
{
    hears(&m, 1, WEFT_MOVE_PREPARE);
    if (m.state != to)
        sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    if (m.state != to)
        hears(&m, 1, WEFT_MOVE_PULL);
    if (m.state != to)
        sees(&m, WEFT_MOVE_ON_PULLED, WEFT_OK);
    if (m.state != to)
        sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    if (m.state != to)
        registry_says(&m, DEST, 5);
    assert_int_equal(m.state, to);
}

static void assert_failed_and_given_back(bool has_range)
{
    assert_int_equal(m.state, WEFT_DEST_FAILED);
    assert_int_equal(did(WEFT_MOVE_DO_DISCARD_RANGE) != NULL, has_range);
    assert_non_null(did(WEFT_MOVE_DO_RELEASE_LEASE));
    assert_int_equal(weft__move_dest_deadline(&m), WEFT_NEVER);
}

static void a_rank_arrives_by_range_pull_lease_and_commit(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_PREPARE);
    assert_non_null(did(WEFT_MOVE_DO_RESERVE_RANGE));
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    assert_only_said(WEFT_MOVE_PREPARED);
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_non_null(did(WEFT_MOVE_DO_START_PULL));
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_OK);
    assert_int_equal(did(WEFT_MOVE_DO_HOLD_LEASE)->message.lease, LEASE);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    assert_int_equal(actions_n, 1);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->expect.host, SOURCE);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->expect.incarnation, 4);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->want.host, DEST);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->want.incarnation, 5);
    registry_says(&m, DEST, 5);
    assert_int_equal(actions_n, 3);
    assert_int_equal(did(WEFT_MOVE_DO_RESUME)->message.owner.incarnation, 5);
    assert_non_null(did(WEFT_MOVE_DO_COMMIT_LEASE));
    assert_non_null(said(WEFT_MOVE_COMMITTED));
}

static void repeated_questions_get_the_state_and_start_nothing_twice(void **state)
{
    (void)state;
    advance(WEFT_DEST_RESERVING);
    hears(&m, 1, WEFT_MOVE_PREPARE);
    assert_int_equal(actions_n, 0);
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    hears(&m, 1, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_PREPARED);
    hears(&m, 1, WEFT_MOVE_PULL);
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_int_equal(actions_n, 0);
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_OK);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    assert_int_equal(actions_n, 0);
    registry_says(&m, DEST, 5);
    registry_says(&m, DEST, 5);
    assert_int_equal(actions_n, 0);
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_only_said(WEFT_MOVE_COMMITTED);
}

static void nothing_runs_and_nothing_is_dropped_while_the_registry_does_not_answer(void **state)
{
    (void)state;
    advance(WEFT_DEST_COMMITTING);
    for (int i = 0; i < 200; i++) {
        sees(&m, WEFT_MOVE_ON_OWNER, WEFT_EREGISTRY);
        assert_int_equal(actions_n, 0);
        hears(&m, 1, WEFT_MOVE_DISCARD);
        assert_int_equal(actions_n, 0);
        waits(&m);
        assert_int_equal(actions_n, 1);
        assert_non_null(did(WEFT_MOVE_DO_CAS));
    }
    registry_says(&m, SOURCE, 5);
    assert_failed_and_given_back(true);
    assert_int_equal(said(WEFT_MOVE_FAILED)->err, WEFT_ESTALE);
}

static void an_undecided_registry_is_asked_again(void **state)
{
    (void)state;
    advance(WEFT_DEST_COMMITTING);
    registry_says(&m, SOURCE, 4);
    assert_int_equal(actions_n, 0);
    waits(&m);
    assert_non_null(did(WEFT_MOVE_DO_CAS));
}

static void a_lease_that_ended_stops_the_move_before_the_commit(void **state)
{
    (void)state;
    advance(WEFT_DEST_HOLDING);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_ETIMEDOUT);
    assert_failed_and_given_back(true);
    assert_null(did(WEFT_MOVE_DO_CAS));
}

static void a_range_that_cannot_be_had_and_a_pull_that_fails_are_told(void **state)
{
    (void)state;
    advance(WEFT_DEST_RESERVING);
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_EEXIST);
    assert_failed_and_given_back(false);
    assert_int_equal(said(WEFT_MOVE_FAILED)->err, WEFT_EEXIST);
    hears(&m, 1, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    set_up(NULL);
    advance(WEFT_DEST_PULLING);
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_EIO);
    assert_failed_and_given_back(true);
}

static void a_pull_under_way_is_waited_for_before_its_range_goes(void **state)
{
    (void)state;
    advance(WEFT_DEST_PULLING);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_non_null(did(WEFT_MOVE_DO_CANCEL_PULL));
    assert_null(did(WEFT_MOVE_DO_DISCARD_RANGE));
    assert_non_null(said(WEFT_MOVE_FAILED));
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_only_said(WEFT_MOVE_FAILED);
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_OK);
    assert_failed_and_given_back(true);
    assert_null(did(WEFT_MOVE_DO_HOLD_LEASE));
}

static void a_range_that_comes_after_the_move_was_given_up_is_unmapped(void **state)
{
    (void)state;
    advance(WEFT_DEST_RESERVING);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_null(did(WEFT_MOVE_DO_DISCARD_RANGE));
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    assert_failed_and_given_back(true);
    set_up(NULL);
    advance(WEFT_DEST_RESERVING);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_ENOMEM);
    assert_failed_and_given_back(false);
}

static void discard_while_the_lease_is_being_held_prevents_the_commit(void **state)
{
    (void)state;
    advance(WEFT_DEST_HOLDING);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_only_said(WEFT_MOVE_FAILED);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    assert_failed_and_given_back(true);
    assert_null(did(WEFT_MOVE_DO_CAS));
    assert_int_equal(weft__move_dest_deadline(&m), WEFT_NEVER);
}

/* A lease that was asked for late and is held late would otherwise stay for ever. */
static void a_slot_is_given_back_after_the_answer_to_its_hold_not_before(void **state)
{
    (void)state;
    advance(WEFT_DEST_HOLDING);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_null(did(WEFT_MOVE_DO_RELEASE_LEASE));
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_ETIMEDOUT);
    assert_non_null(did(WEFT_MOVE_DO_RELEASE_LEASE));
    assert_int_equal(did(WEFT_MOVE_DO_RELEASE_LEASE)->message.lease, LEASE);
}

static void what_home_has_forgotten_is_given_back_by_time(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    waits(&m);
    assert_failed_and_given_back(true);
    assert_int_equal(m.err, WEFT_ETIMEDOUT);
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_only_said(WEFT_MOVE_FAILED);
    set_up(NULL);
    advance(WEFT_DEST_PULLING);
    waits(&m);
    assert_non_null(did(WEFT_MOVE_DO_CANCEL_PULL));
    assert_non_null(strstr(m.reason, "pull was not done"));
}

static void the_sources_death_before_the_pull_gives_everything_back(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    dies(&m, 99);
    assert_int_equal(m.state, WEFT_DEST_PREPARED);
    dies(&m, SOURCE);
    assert_failed_and_given_back(true);
    set_up(NULL);
    advance(WEFT_DEST_COMMITTING);
    dies(&m, SOURCE);
    assert_int_equal(m.state, WEFT_DEST_COMMITTING);
}

static void a_move_stopped_before_its_prepare_came_stays_stopped(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_int_equal(actions_n, 0);
    hears(&m, 1, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    hears(&m, 2, WEFT_MOVE_PULL);
    assert_only_said(WEFT_MOVE_FAILED);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_int_equal(actions_n, 0);
}

static void a_newer_move_takes_the_place_of_one_that_was_only_prepared(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_int_equal(actions_n, 3);
    assert_int_equal(did(WEFT_MOVE_DO_DISCARD_RANGE)->message.move_id, 1);
    assert_int_equal(did(WEFT_MOVE_DO_RELEASE_LEASE)->message.move_id, 1);
    assert_int_equal(did(WEFT_MOVE_DO_RESERVE_RANGE)->message.move_id, 2);
}

static void a_newer_move_is_refused_for_good_while_an_older_one_uses_the_range(void **state)
{
    (void)state;
    advance(WEFT_DEST_PULLING);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    assert_int_equal(said(WEFT_MOVE_FAILED)->move_id, 2);
    assert_int_equal(m.state, WEFT_DEST_PULLING);
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_EIO);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_only_said(WEFT_MOVE_FAILED);
    assert_int_equal(weft__move_dest_deadline(&m), WEFT_NEVER);
    hears(&m, 3, WEFT_MOVE_PREPARE);
    assert_non_null(did(WEFT_MOVE_DO_RESERVE_RANGE));
}

static void a_refused_move_that_comes_again_leaves_no_deadline_behind(void **state)
{
    (void)state;
    advance(WEFT_DEST_RESERVING);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    hears(&m, 2, WEFT_MOVE_PREPARE);
    assert_failed_and_given_back(true);
}

static void a_rank_may_come_a_second_time(void **state)
{
    (void)state;
    advance(WEFT_DEST_RUNNING);
    struct weft_move_message again = message_of(4, WEFT_MOVE_PREPARE);
    again.incarnation = 6;
    hears_message(&m, again);
    assert_non_null(did(WEFT_MOVE_DO_RESERVE_RANGE));
    sees(&m, WEFT_MOVE_ON_RANGE, WEFT_OK);
    hears(&m, 4, WEFT_MOVE_PULL);
    sees(&m, WEFT_MOVE_ON_PULLED, WEFT_OK);
    sees(&m, WEFT_MOVE_ON_HELD, WEFT_OK);
    registry_says(&m, DEST, 5); /* the past */
    assert_int_equal(actions_n, 0);
    registry_says(&m, DEST, 7);
    assert_int_equal(did(WEFT_MOVE_DO_RESUME)->message.owner.incarnation, 7);
}

static void a_process_that_was_started_anew_says_that_it_will_not_commit(void **state)
{
    (void)state;
    struct weft_move_message asked = message_of(1, WEFT_MOVE_PULL), answer;
    assert_true(weft__move_answer_unknown(&asked, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_FAILED);
    asked.kind = WEFT_MOVE_PREPARED;
    assert_true(weft__move_answer_unknown(&asked, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_DISCARD);
}

#define with_machine(test) cmocka_unit_test_setup(test, set_up)

/* ---- copying before the freeze ---- */

static void fetch(uint32_t round)
{
    struct weft_move_message message = message_of(1, WEFT_MOVE_FETCH);
    message.round = round;
    hears_message(&m, message);
}

static void rounds_are_fetched_one_after_the_other(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    for (uint32_t round = 1; round <= 3; round++) {
        fetch(round);
        assert_int_equal(did(WEFT_MOVE_DO_START_FETCH)->message.round, round);
        fetch(round);
        assert_int_equal(actions_n, 0);
        sees(&m, WEFT_MOVE_ON_FETCHED, WEFT_OK);
        assert_int_equal(said(WEFT_MOVE_FETCHED)->round, round);
        fetch(round);
        assert_only_said(WEFT_MOVE_FETCHED);
    }
    hears(&m, 1, WEFT_MOVE_PULL);
    assert_non_null(did(WEFT_MOVE_DO_START_PULL));
}

static void a_round_that_fails_leaves_none_behind(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    fetch(1);
    sees(&m, WEFT_MOVE_ON_FETCHED, WEFT_OK);
    fetch(2);
    sees(&m, WEFT_MOVE_ON_FETCHED, WEFT_EIO);
    assert_int_equal(said(WEFT_MOVE_FETCHED)->err, WEFT_EIO);
    fetch(2); /* the answer was lost */
    assert_int_equal(said(WEFT_MOVE_FETCHED)->err, WEFT_ESTALE);
    assert_int_equal(m.state, WEFT_DEST_PREPARED);
}

static void a_host_with_another_build_takes_none_of_the_memory(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    fetch(1);
    happens(&m, &(struct weft_move_event){.kind = WEFT_MOVE_ON_FETCHED,
                                          .err = WEFT_ENOEXEC,
                                          .text = "ring is another build"});
    assert_int_equal(said(WEFT_MOVE_FAILED)->err, WEFT_ENOEXEC);
    assert_string_equal(said(WEFT_MOVE_FAILED)->text, "ring is another build");
    assert_failed_and_given_back(true);
}

static void a_fetch_that_is_discarded_is_waited_for(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    fetch(1);
    hears(&m, 1, WEFT_MOVE_DISCARD);
    assert_non_null(did(WEFT_MOVE_DO_CANCEL_PULL));
    assert_null(did(WEFT_MOVE_DO_DISCARD_RANGE));
    sees(&m, WEFT_MOVE_ON_FETCHED, WEFT_ECANCELED);
    assert_failed_and_given_back(true);
}

static void a_source_that_dies_while_it_is_fetched_from_ends_the_move_here(void **state)
{
    (void)state;
    advance(WEFT_DEST_PREPARED);
    fetch(1);
    dies(&m, SOURCE);
    assert_non_null(did(WEFT_MOVE_DO_CANCEL_PULL));
    sees(&m, WEFT_MOVE_ON_FETCHED, WEFT_ECANCELED);
    assert_failed_and_given_back(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_machine(a_rank_arrives_by_range_pull_lease_and_commit),
        with_machine(repeated_questions_get_the_state_and_start_nothing_twice),
        with_machine(nothing_runs_and_nothing_is_dropped_while_the_registry_does_not_answer),
        with_machine(an_undecided_registry_is_asked_again),
        with_machine(a_lease_that_ended_stops_the_move_before_the_commit),
        with_machine(a_range_that_cannot_be_had_and_a_pull_that_fails_are_told),
        with_machine(a_pull_under_way_is_waited_for_before_its_range_goes),
        with_machine(a_range_that_comes_after_the_move_was_given_up_is_unmapped),
        with_machine(discard_while_the_lease_is_being_held_prevents_the_commit),
        with_machine(a_slot_is_given_back_after_the_answer_to_its_hold_not_before),
        with_machine(what_home_has_forgotten_is_given_back_by_time),
        with_machine(the_sources_death_before_the_pull_gives_everything_back),
        with_machine(a_move_stopped_before_its_prepare_came_stays_stopped),
        with_machine(a_newer_move_takes_the_place_of_one_that_was_only_prepared),
        with_machine(a_newer_move_is_refused_for_good_while_an_older_one_uses_the_range),
        with_machine(a_refused_move_that_comes_again_leaves_no_deadline_behind),
        with_machine(a_rank_may_come_a_second_time),
        with_machine(a_process_that_was_started_anew_says_that_it_will_not_commit),
        cmocka_unit_test_setup(rounds_are_fetched_one_after_the_other, set_up),
        cmocka_unit_test_setup(a_round_that_fails_leaves_none_behind, set_up),
        cmocka_unit_test_setup(a_host_with_another_build_takes_none_of_the_memory, set_up),
        cmocka_unit_test_setup(a_fetch_that_is_discarded_is_waited_for, set_up),
        cmocka_unit_test_setup(a_source_that_dies_while_it_is_fetched_from_ends_the_move_here,
                               set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
