#define MOVE_MACHINE source
#include "move_steps.h"

static struct weft_move_source m;

static int set_up(void **state)
{
    (void)state;
    now_ns = 1000;
    weft__move_source_init(&m, NULL);
    weft__move_source_place(&m, 4);
    return 0;
}

static void freeze(void)
{
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_non_null(did(WEFT_MOVE_DO_ASK_POINT));
    sees(&m, WEFT_MOVE_ON_POINT, WEFT_OK);
    assert_only_said(WEFT_MOVE_FROZEN);
    assert_int_equal(m.state, WEFT_SOURCE_FROZEN);
}

/* Until the machine asks the registry. */
static void freeze_and_wait(void)
{
    freeze();
    waits(&m);
    assert_int_equal(actions_n, 1);
    assert_non_null(did(WEFT_MOVE_DO_CAS));
}

static void a_moved_rank_is_forwarded_for_and_gives_its_slot_back(void **state)
{
    (void)state;
    freeze();
    hears(&m, 1, WEFT_MOVE_MOVED);
    assert_int_equal(actions_n, 2);
    assert_int_equal(did(WEFT_MOVE_DO_FORWARD)->message.owner.host, DEST);
    assert_int_equal(did(WEFT_MOVE_DO_FORWARD)->message.owner.incarnation, 5);
    assert_non_null(did(WEFT_MOVE_DO_RELEASE_LEASE));
    hears(&m, 1, WEFT_MOVE_MOVED);
    assert_int_equal(actions_n, 0);
    sees(&m, WEFT_MOVE_ON_MARKERS, WEFT_OK);
    assert_only_said(WEFT_MOVE_FLUSHED);
    hears(&m, 1, WEFT_MOVE_MOVED);
    assert_only_said(WEFT_MOVE_FLUSHED);
    sees(&m, WEFT_MOVE_ON_MARKERS, WEFT_OK);
    assert_int_equal(actions_n, 0);
}

static void a_rank_that_makes_no_runtime_call_is_left_alone_with_that_reason(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    waits(&m);
    assert_non_null(did(WEFT_MOVE_DO_WITHDRAW));
    assert_string_equal(said(WEFT_MOVE_REFUSED)->text,
                        "the rank came to no call at which it can be moved within 100 ms");
    assert_int_equal(said(WEFT_MOVE_REFUSED)->err, WEFT_ETIMEDOUT);
    assert_int_equal(m.state, WEFT_SOURCE_HERE);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_REFUSED);
}

static void a_rank_that_parks_as_the_flag_is_lowered_goes_on_at_once(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    waits(&m);
    sees(&m, WEFT_MOVE_ON_POINT, WEFT_OK);
    assert_int_equal(actions_n, 1);
    assert_int_equal(did(WEFT_MOVE_DO_THAW)->message.owner.incarnation, 4);
}

static void point_of(uint64_t move_id)
{
    happens(&m, &(struct weft_move_event){.kind = WEFT_MOVE_ON_POINT, .move_id = move_id});
}

static void a_rank_that_parks_for_an_older_move_goes_on(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    hears(&m, 1, WEFT_MOVE_ABORT);
    hears(&m, 2, WEFT_MOVE_FREEZE);
    point_of(1);
    assert_int_equal(actions_n, 1);
    assert_int_equal(did(WEFT_MOVE_DO_THAW)->message.owner.incarnation, 4);
    assert_int_equal(m.state, WEFT_SOURCE_WAITING);
    sees(&m, WEFT_MOVE_ON_PINNED, WEFT_EBUSY);
    assert_int_equal(said(WEFT_MOVE_REFUSED)->err, WEFT_EBUSY);
    point_of(1);
    assert_non_null(did(WEFT_MOVE_DO_THAW));
    hears(&m, 3, WEFT_MOVE_ABORT);
    point_of(1);
    assert_non_null(did(WEFT_MOVE_DO_THAW));
    hears(&m, 4, WEFT_MOVE_FREEZE);
    point_of(4);
    assert_only_said(WEFT_MOVE_FROZEN);
}

static void a_repeated_freeze_is_answered_with_what_stands(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_int_equal(actions_n, 0);
    sees(&m, WEFT_MOVE_ON_POINT, WEFT_OK);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_FROZEN);
}

static void a_frozen_rank_never_thaws_on_a_timer(void **state)
{
    (void)state;
    freeze_and_wait();
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->expect.host, SOURCE);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->expect.incarnation, 4);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->want.host, SOURCE);
    assert_int_equal(did(WEFT_MOVE_DO_CAS)->want.incarnation, 5);
    for (int i = 0; i < 20 && m.until_ns != WEFT_NEVER; i++) {
        sees(&m, WEFT_MOVE_ON_OWNER, WEFT_EREGISTRY);
        waits(&m);
        assert_null(did(WEFT_MOVE_DO_THAW));
        assert_int_equal(m.state, WEFT_SOURCE_ABORTING);
    }
    assert_non_null(did(WEFT_MOVE_DO_END_APP));
}

static void a_source_that_stood_still_ends_no_app_for_that(void **state)
{
    (void)state;
    freeze_and_wait();
    now_ns = m.until_ns + 20 * WEFT_NS_PER_S; /* the registry's answer lies unread */
    sees(&m, WEFT_MOVE_ON_TICK, WEFT_OK);
    assert_null(did(WEFT_MOVE_DO_END_APP));
    assert_int_equal(m.state, WEFT_SOURCE_ABORTING);
    registry_says(&m, SOURCE, 5);
    assert_non_null(did(WEFT_MOVE_DO_THAW));
}

static void the_registry_is_not_asked_twice_at_a_time(void **state)
{
    (void)state;
    freeze_and_wait();
    now_ns += WEFT_NS_PER_S;
    sees(&m, WEFT_MOVE_ON_TICK, WEFT_OK);
    assert_int_equal(actions_n, 0);
}

static void the_registrys_word_for_abort_thaws_with_a_new_incarnation(void **state)
{
    (void)state;
    freeze_and_wait();
    registry_says(&m, SOURCE, 4);
    assert_int_equal(actions_n, 0);
    registry_says(&m, SOURCE, 5);
    assert_int_equal(did(WEFT_MOVE_DO_THAW)->message.owner.incarnation, 5);
    assert_int_equal(said(WEFT_MOVE_ABORTED)->owner.incarnation, 5);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_ABORTED);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_ABORTED);
    assert_int_equal(m.state, WEFT_SOURCE_HERE);
}

static void the_registrys_word_for_commit_makes_it_forward(void **state)
{
    (void)state;
    freeze_and_wait();
    registry_says(&m, DEST, 5);
    assert_non_null(did(WEFT_MOVE_DO_FORWARD));
    assert_non_null(did(WEFT_MOVE_DO_RELEASE_LEASE));
    assert_int_equal(said(WEFT_MOVE_GONE)->owner.host, DEST);
    assert_null(did(WEFT_MOVE_DO_THAW));
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_GONE);
    assert_int_equal(said(WEFT_MOVE_GONE)->owner.incarnation, 5);
}

static void an_answer_from_the_past_decides_nothing(void **state)
{
    (void)state;
    freeze_and_wait();
    registry_says(&m, SOURCE, 3);
    assert_int_equal(actions_n, 0);
    assert_int_equal(m.state, WEFT_SOURCE_ABORTING);
}

static void a_dead_destination_makes_it_ask_at_once(void **state)
{
    (void)state;
    freeze();
    dies(&m, 99);
    assert_int_equal(actions_n, 0);
    dies(&m, DEST);
    assert_non_null(did(WEFT_MOVE_DO_CAS));
}

static void moved_is_believed_while_the_registry_is_asked(void **state)
{
    (void)state;
    freeze_and_wait();
    hears(&m, 1, WEFT_MOVE_MOVED);
    assert_non_null(did(WEFT_MOVE_DO_FORWARD));
    registry_says(&m, DEST, 5);
    assert_int_equal(actions_n, 0);
}

static void abort_before_its_freeze_makes_the_late_freeze_harmless(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_ABORTED);
    assert_int_equal(said(WEFT_MOVE_ABORTED)->owner.incarnation, 4);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_ABORTED);
    assert_int_equal(m.state, WEFT_SOURCE_HERE);
}

static void abort_while_the_rank_is_waited_for_lowers_the_flag(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_non_null(did(WEFT_MOVE_DO_WITHDRAW));
    assert_non_null(said(WEFT_MOVE_ABORTED));
    assert_int_equal(weft__move_source_deadline(&m), WEFT_NEVER);
}

static void a_pinned_rank_and_one_that_has_ended_are_refused(void **state)
{
    (void)state;
    hears(&m, 1, WEFT_MOVE_FREEZE);
    happens(&m, &(struct weft_move_event){
                    .kind = WEFT_MOVE_ON_PINNED, .err = WEFT_EPINNED, .text = "open sockets"});
    assert_int_equal(said(WEFT_MOVE_REFUSED)->err, WEFT_EPINNED);
    assert_string_equal(said(WEFT_MOVE_REFUSED)->text, "open sockets");
    hears(&m, 2, WEFT_MOVE_FREEZE);
    sees(&m, WEFT_MOVE_ON_RANK_ENDED, WEFT_OK);
    assert_only_said(WEFT_MOVE_REFUSED);
    hears(&m, 3, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_REFUSED);
    hears(&m, 4, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_ABORTED);
}

static void a_move_of_another_incarnation_or_beside_another_one_is_refused(void **state)
{
    (void)state;
    struct weft_move_message wrong = message_of(1, WEFT_MOVE_FREEZE);
    wrong.incarnation = 3;
    hears_message(&m, wrong);
    assert_int_equal(said(WEFT_MOVE_REFUSED)->err, WEFT_ESTALE);
    hears(&m, 2, WEFT_MOVE_FREEZE);
    hears(&m, 3, WEFT_MOVE_FREEZE);
    assert_int_equal(said(WEFT_MOVE_REFUSED)->err, WEFT_EBUSY);
    assert_int_equal(m.state, WEFT_SOURCE_WAITING);
    assert_int_equal(m.id.move_id, 2);
}

static void a_refused_move_stays_refused_when_the_rank_comes_later(void **state)
{
    (void)state;
    weft__move_source_init(&m, NULL);
    hears(&m, 7, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_REFUSED);
    weft__move_source_place(&m, 4);
    hears(&m, 7, WEFT_MOVE_FREEZE);
    assert_only_said(WEFT_MOVE_REFUSED);
    assert_int_equal(m.state, WEFT_SOURCE_HERE);
    hears(&m, 8, WEFT_MOVE_FREEZE);
    assert_non_null(did(WEFT_MOVE_DO_ASK_POINT));
}

static void a_rank_that_is_not_here_cannot_be_aborted(void **state)
{
    (void)state;
    weft__move_source_init(&m, NULL);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_GONE);
    assert_int_equal(said(WEFT_MOVE_GONE)->owner.host, 0);
}

static void messages_of_older_moves_do_nothing_to_a_rank_that_came_back(void **state)
{
    (void)state;
    freeze();
    hears(&m, 1, WEFT_MOVE_MOVED);
    weft__move_source_place(&m, 6);
    struct weft_move_message next = message_of(3, WEFT_MOVE_FREEZE);
    next.incarnation = 6;
    hears_message(&m, next);
    assert_int_equal(m.state, WEFT_SOURCE_WAITING);
    hears(&m, 1, WEFT_MOVE_FREEZE);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_int_equal(actions_n, 0);
    hears(&m, 1, WEFT_MOVE_MOVED);
    assert_only_said(WEFT_MOVE_FLUSHED);
    assert_int_equal(m.state, WEFT_SOURCE_WAITING);
}

static void a_process_that_was_started_anew_does_not_say_that_the_rank_goes_on(void **state)
{
    (void)state;
    struct weft_move_message asked = message_of(1, WEFT_MOVE_FREEZE), answer;
    assert_true(weft__move_answer_unknown(&asked, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_GONE);
    asked.kind = WEFT_MOVE_ABORT;
    assert_true(weft__move_answer_unknown(&asked, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_GONE);
    assert_int_equal(answer.owner.host, 0);
    asked.kind = WEFT_MOVE_MOVED;
    assert_true(weft__move_answer_unknown(&asked, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_FLUSHED);
    asked.kind = WEFT_MOVE_ROUTE;
    assert_false(weft__move_answer_unknown(&asked, &answer));
}

#define with_rank(test) cmocka_unit_test_setup(test, set_up)

/* ---- copying before the freeze ---- */

static void copy(uint64_t move_id, uint32_t round)
{
    struct weft_move_message message = message_of(move_id, WEFT_MOVE_COPY);
    message.round = round;
    hears_message(&m, message);
}

static void copied(uint64_t bytes, bool last)
{
    happens(&m,
            &(struct weft_move_event){.kind = WEFT_MOVE_ON_COPIED, .bytes = bytes, .last = last});
}

static void rounds_are_made_one_after_the_other_and_the_freeze_names_the_last(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 3; round++) {
        copy(1, round);
        assert_int_equal(did(WEFT_MOVE_DO_COPY)->message.round, round);
        copy(1, round);
        assert_int_equal(actions_n, 0);
        copied(10 * round, round == 3);
        assert_only_said(WEFT_MOVE_COPIED);
        assert_int_equal(said(WEFT_MOVE_COPIED)->bytes, 10 * round);
        copy(1, round);
        assert_int_equal(said(WEFT_MOVE_COPIED)->last, round == 3);
    }
    struct weft_move_message message = message_of(1, WEFT_MOVE_FREEZE);
    message.round = 3;
    hears_message(&m, message);
    assert_int_equal(actions_n, 1);
    assert_int_equal(did(WEFT_MOVE_DO_ASK_POINT)->message.round, 3);
}

static void copying_ends_by_its_deadline(void **state)
{
    (void)state;
    copy(1, 1);
    copied(10, false);
    waits(&m);
    assert_int_equal(did(WEFT_MOVE_DO_END_COPY)->message.move_id, 1);
    copy(1, 2);
    assert_int_equal(said(WEFT_MOVE_COPIED)->err, WEFT_ESTALE);
    copy(1, 1);
    assert_int_equal(said(WEFT_MOVE_COPIED)->err, WEFT_ESTALE);
    freeze();
}

static void copying_ends_with_the_abort_of_its_move_and_with_a_newer_one(void **state)
{
    (void)state;
    copy(1, 1);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_int_equal(did(WEFT_MOVE_DO_END_COPY)->message.move_id, 1);
    copy(2, 1);
    assert_non_null(did(WEFT_MOVE_DO_COPY));
    copy(3, 1);
    assert_int_equal(did(WEFT_MOVE_DO_END_COPY)->message.move_id, 2);
    assert_non_null(did(WEFT_MOVE_DO_COPY));
    hears(&m, 4, WEFT_MOVE_FREEZE);
    assert_non_null(did(WEFT_MOVE_DO_END_COPY));
    assert_non_null(did(WEFT_MOVE_DO_ASK_POINT));
}

static void a_late_abort_of_an_older_move_does_not_end_the_copying(void **state)
{
    (void)state;
    copy(2, 1);
    copied(10, false);
    hears(&m, 1, WEFT_MOVE_ABORT);
    assert_only_said(WEFT_MOVE_ABORTED);
    copy(2, 2);
    assert_int_equal(did(WEFT_MOVE_DO_COPY)->message.round, 2);
    hears(&m, 2, WEFT_MOVE_ABORT);
    assert_non_null(did(WEFT_MOVE_DO_END_COPY));
}

static void copying_ends_when_the_rank_goes_on_after_a_freeze(void **state)
{
    (void)state;
    copy(1, 1);
    copied(10, true);
    struct weft_move_message message = message_of(1, WEFT_MOVE_FREEZE);
    message.round = 1;
    hears_message(&m, message);
    sees(&m, WEFT_MOVE_ON_POINT, WEFT_OK);
    hears(&m, 1, WEFT_MOVE_ABORT);
    registry_says(&m, SOURCE, 5);
    assert_non_null(did(WEFT_MOVE_DO_THAW));
    assert_non_null(did(WEFT_MOVE_DO_END_COPY));
}

static void a_rank_that_is_frozen_is_not_copied(void **state)
{
    (void)state;
    freeze();
    copy(2, 1);
    assert_int_equal(said(WEFT_MOVE_COPIED)->err, WEFT_ESTALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rank(a_moved_rank_is_forwarded_for_and_gives_its_slot_back),
        with_rank(a_rank_that_makes_no_runtime_call_is_left_alone_with_that_reason),
        with_rank(a_rank_that_parks_as_the_flag_is_lowered_goes_on_at_once),
        with_rank(a_rank_that_parks_for_an_older_move_goes_on),
        with_rank(a_repeated_freeze_is_answered_with_what_stands),
        with_rank(a_frozen_rank_never_thaws_on_a_timer),
        with_rank(the_registry_is_not_asked_twice_at_a_time),
        with_rank(a_source_that_stood_still_ends_no_app_for_that),
        with_rank(the_registrys_word_for_abort_thaws_with_a_new_incarnation),
        with_rank(the_registrys_word_for_commit_makes_it_forward),
        with_rank(an_answer_from_the_past_decides_nothing),
        with_rank(a_dead_destination_makes_it_ask_at_once),
        with_rank(moved_is_believed_while_the_registry_is_asked),
        with_rank(abort_before_its_freeze_makes_the_late_freeze_harmless),
        with_rank(abort_while_the_rank_is_waited_for_lowers_the_flag),
        with_rank(a_pinned_rank_and_one_that_has_ended_are_refused),
        with_rank(a_move_of_another_incarnation_or_beside_another_one_is_refused),
        with_rank(a_refused_move_stays_refused_when_the_rank_comes_later),
        with_rank(a_rank_that_is_not_here_cannot_be_aborted),
        with_rank(messages_of_older_moves_do_nothing_to_a_rank_that_came_back),
        with_rank(a_process_that_was_started_anew_does_not_say_that_the_rank_goes_on),
        cmocka_unit_test_setup(rounds_are_made_one_after_the_other_and_the_freeze_names_the_last,
                               set_up),
        cmocka_unit_test_setup(copying_ends_by_its_deadline, set_up),
        cmocka_unit_test_setup(copying_ends_with_the_abort_of_its_move_and_with_a_newer_one,
                               set_up),
        cmocka_unit_test_setup(a_late_abort_of_an_older_move_does_not_end_the_copying, set_up),
        cmocka_unit_test_setup(copying_ends_when_the_rank_goes_on_after_a_freeze, set_up),
        cmocka_unit_test_setup(a_rank_that_is_frozen_is_not_copied, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
