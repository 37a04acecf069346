#define MOVE_MACHINE home
#include <stdio.h>
#include "move_steps.h"

static struct weft_move_home m;

static int set_up(void **state)
{
    (void)state;
    now_ns = 1000;
    struct weft_move_desc desc = {.app = 9,
                                  .move_id = 1,
                                  .rank = RANK,
                                  .incarnation = 4,
                                  .home = HOME,
                                  .source = SOURCE,
                                  .dest = DEST,
                                  .lease = LEASE};
    weft__move_home_init(&m, &desc);
    assert_int_equal(weft__move_home_deadline(&m), WEFT_NEVER);
    sees(&m, WEFT_MOVE_ON_START, WEFT_OK);
    return 0;
}

static void advance(enum weft_move_home_state to)
{
    static const enum weft_move_kind answers[] = {WEFT_MOVE_LEASED, WEFT_MOVE_PREPARED,
                                                  WEFT_MOVE_FROZEN, WEFT_MOVE_COMMITTED,
                                                  WEFT_MOVE_FLUSHED};
    for (size_t i = 0; m.state != to; i++)
        hears(&m, 1, answers[i]);
}

static void a_move_goes_through_lease_prepare_freeze_pull_and_flush(void **state)
{
    (void)state;
    assert_only_said(WEFT_MOVE_LEASE);
    assert_int_equal(said(WEFT_MOVE_LEASE)->lease, LEASE);
    hears(&m, 1, WEFT_MOVE_LEASED);
    assert_only_said(WEFT_MOVE_PREPARE);
    hears(&m, 1, WEFT_MOVE_PREPARED);
    assert_only_said(WEFT_MOVE_FREEZE);
    hears(&m, 1, WEFT_MOVE_FROZEN);
    assert_only_said(WEFT_MOVE_PULL);
    hears(&m, 1, WEFT_MOVE_COMMITTED);
    assert_int_equal(actions_n, 2);
    assert_non_null(said(WEFT_MOVE_MOVED));
    assert_int_equal(said(WEFT_MOVE_ROUTE)->owner.host, DEST);
    assert_int_equal(said(WEFT_MOVE_ROUTE)->owner.incarnation, 5);
    hears(&m, 1, WEFT_MOVE_FLUSHED);
    assert_int_equal(actions_n, 1);
    assert_non_null(did(WEFT_MOVE_DO_ENDED));
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_MOVED);
    assert_int_equal(m.owner.host, DEST);
    assert_int_equal(m.err, WEFT_OK);
    assert_int_equal(weft__move_home_deadline(&m), WEFT_NEVER);
}

static void a_lease_lasts_longer_than_all_that_may_come_before_the_commit(void **state)
{
    (void)state;
    const struct weft_move_params *p = &weft__move_defaults;
    uint64_t all = p->lease_ns + p->prepare_ns + p->freeze_ns + p->pull_ns;
    assert_true(said(WEFT_MOVE_LEASE)->within_ms * WEFT_NS_PER_MS >= all);
}

static void messages_are_repeated_with_growing_pauses_up_to_a_limit(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    uint64_t last = now_ns, pause = 0;
    for (int i = 0; i < 12; i++) {
        waits(&m);
        assert_only_said(WEFT_MOVE_PULL);
        assert_true(now_ns - last >= pause);
        pause = now_ns - last;
        last = now_ns;
    }
    assert_int_equal(pause, weft__move_defaults.retry_max_ns);
}

static void without_a_slot_the_rank_never_hears_of_the_move(void **state)
{
    (void)state;
    hears_err(&m, WEFT_MOVE_LEASED, WEFT_ENOSLOTS, "all 2 slots of this host are taken");
    assert_non_null(did(WEFT_MOVE_DO_ENDED));
    assert_null(said(WEFT_MOVE_ABORT));
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_ENOSLOTS);
    assert_string_equal(m.reason, "all 2 slots of this host are taken");
    assert_int_equal(m.owner.host, SOURCE);
    assert_int_equal(m.owner.incarnation, 4);
}

static void what_was_taken_at_the_destination_is_given_back_when_the_rank_stays(void **state)
{
    (void)state;
    advance(WEFT_HOME_FREEZING);
    hears_err(&m, WEFT_MOVE_REFUSED, WEFT_ETIMEDOUT,
              "the rank came to no call at which it can be moved");
    assert_non_null(said(WEFT_MOVE_DISCARD));
    assert_int_equal(said(WEFT_MOVE_RELEASE)->lease, LEASE);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_string_equal(m.reason, "the rank came to no call at which it can be moved");
}

static void silence_before_the_freeze_ends_the_move_at_its_deadline(void **state)
{
    (void)state;
    while (m.state == WEFT_HOME_LEASING)
        waits(&m);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_ETIMEDOUT);
    set_up(NULL);
    advance(WEFT_HOME_PREPARING);
    while (m.state == WEFT_HOME_PREPARING)
        waits(&m);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_ETIMEDOUT);
}

static void after_the_freeze_only_the_source_or_the_registry_end_the_move(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    hears_err(&m, WEFT_MOVE_FAILED, WEFT_EIO, "the rank's memory could not be pulled");
    assert_only_said(WEFT_MOVE_ABORT);
    assert_null(did(WEFT_MOVE_DO_ENDED));
    waits(&m);
    assert_only_said(WEFT_MOVE_ABORT);
    struct weft_move_message aborted = message_of(1, WEFT_MOVE_ABORTED);
    aborted.owner = (struct weft_move_owner){SOURCE, 5};
    hears_message(&m, aborted);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_EIO);
    assert_int_equal(m.owner.incarnation, 5);
}

static void a_commit_whose_message_was_lost_is_learnt_from_the_source(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    while (m.state == WEFT_HOME_PULLING)
        waits(&m);
    assert_only_said(WEFT_MOVE_ABORT);
    struct weft_move_message gone = message_of(1, WEFT_MOVE_GONE);
    gone.owner = (struct weft_move_owner){DEST, 5};
    hears_message(&m, gone);
    assert_int_equal(m.state, WEFT_HOME_FLUSHING);
    assert_non_null(said(WEFT_MOVE_ROUTE));
}

static void a_commit_whose_message_was_lost_is_learnt_from_the_registry(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    dies(&m, SOURCE);
    assert_int_equal(m.state, WEFT_HOME_PULLING);
    while (m.state == WEFT_HOME_PULLING)
        waits(&m);
    assert_int_equal(actions_n, 1);
    assert_non_null(did(WEFT_MOVE_DO_READ_OWNER));
    sees(&m, WEFT_MOVE_ON_OWNER, WEFT_EREGISTRY);
    assert_int_equal(actions_n, 0);
    registry_says(&m, DEST, 5);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_MOVED);
    assert_non_null(said(WEFT_MOVE_ROUTE));
    assert_non_null(did(WEFT_MOVE_DO_ENDED));
}

static void when_the_source_knows_nothing_the_registry_is_asked(void **state)
{
    (void)state;
    advance(WEFT_HOME_FREEZING);
    hears(&m, 1, WEFT_MOVE_GONE);
    assert_int_equal(m.state, WEFT_HOME_RESOLVING);
    assert_non_null(did(WEFT_MOVE_DO_READ_OWNER));
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.state, WEFT_HOME_RESOLVING);
    dies(&m, SOURCE);
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void wait_for(enum weft_move_home_state state)
{
    while (m.state != state)
        waits(&m);
}

static void a_source_that_stands_still_keeps_its_rank_when_nobody_can_commit(void **state)
{
    (void)state;
    advance(WEFT_HOME_FREEZING); /* nobody was asked to pull */
    wait_for(WEFT_HOME_RESOLVING);
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.owner.host, SOURCE);
    assert_non_null(said(WEFT_MOVE_DISCARD));
    assert_null(did(WEFT_MOVE_DO_END_APP));
    hears(&m, 1, WEFT_MOVE_FROZEN); /* it wakes up */
    assert_only_said(WEFT_MOVE_ABORT);
    set_up(NULL);
    advance(WEFT_HOME_PULLING);
    hears(&m, 1, WEFT_MOVE_FAILED); /* it will never commit */
    wait_for(WEFT_HOME_RESOLVING);
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
}

static void a_commit_that_may_be_under_way_is_waited_for(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    wait_for(WEFT_HOME_RESOLVING);
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.state, WEFT_HOME_RESOLVING);
    dies(&m, DEST); /* its last words may still be on their way */
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.state, WEFT_HOME_RESOLVING);
}

static void a_home_that_stood_still_ends_no_app_for_that(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    wait_for(WEFT_HOME_RESOLVING);
    now_ns = m.until_ns + 5 * WEFT_NS_PER_S;
    sees(&m, WEFT_MOVE_ON_TICK, WEFT_OK);
    assert_int_equal(m.state, WEFT_HOME_RESOLVING);
    assert_non_null(did(WEFT_MOVE_DO_READ_OWNER));
    wait_for(WEFT_HOME_ENDED);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void an_aborted_rank_of_a_live_source_stays_by_the_registrys_word(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    hears(&m, 1, WEFT_MOVE_GONE);
    registry_says(&m, SOURCE, 5);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.owner.incarnation, 5);
    assert_int_equal(m.err, WEFT_ECANCELED); /* no move ends without a reason */
    assert_string_equal(m.reason, "the source took the rank back");
    set_up(NULL);
    advance(WEFT_HOME_PULLING);
    hears(&m, 1, WEFT_MOVE_GONE);
    dies(&m, SOURCE);
    registry_says(&m, SOURCE, 5);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void nobody_to_ask_ends_the_app_by_a_deadline(void **state)
{
    (void)state;
    advance(WEFT_HOME_FREEZING);
    while (m.state != WEFT_HOME_ENDED)
        waits(&m);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
    assert_non_null(did(WEFT_MOVE_DO_END_APP));
    assert_true(strlen(did(WEFT_MOVE_DO_END_APP)->message.text) > 0);
    assert_true(now_ns < 60 * WEFT_NS_PER_S);
}

static void an_owner_that_nobody_knows_ends_the_app(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    hears(&m, 1, WEFT_MOVE_GONE);
    registry_says(&m, 42, 6);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void the_source_dies_before_its_rank_was_frozen(void **state)
{
    (void)state;
    advance(WEFT_HOME_FREEZING);
    dies(&m, SOURCE);
    assert_non_null(did(WEFT_MOVE_DO_END_APP));
    assert_int_equal(m.err, WEFT_EHOSTDEAD);
}

static void the_source_dies_after_the_commit_and_nobody_cares(void **state)
{
    (void)state;
    advance(WEFT_HOME_FLUSHING);
    dies(&m, SOURCE);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_MOVED);
    assert_null(did(WEFT_MOVE_DO_END_APP));
}

static void the_source_dies_while_the_destination_pulls(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    dies(&m, SOURCE);
    hears_err(&m, WEFT_MOVE_FAILED, WEFT_EPEERDEAD, "the rank's memory could not be pulled");
    assert_non_null(did(WEFT_MOVE_DO_READ_OWNER));
    assert_null(said(WEFT_MOVE_ABORT));
    registry_says(&m, SOURCE, 4);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void a_word_of_the_source_from_before_its_death_does_not_save_the_rank(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    dies(&m, SOURCE);
    struct weft_move_message aborted = message_of(1, WEFT_MOVE_ABORTED);
    aborted.owner = (struct weft_move_owner){SOURCE, 5};
    hears_message(&m, aborted);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void a_late_refusal_after_frozen_is_not_believed(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    hears_err(&m, WEFT_MOVE_REFUSED, WEFT_ESTALE, "the rank is not here");
    assert_int_equal(m.state, WEFT_HOME_PULLING);
    assert_int_equal(actions_n, 0);
}

static void the_destination_dies_before_the_freeze(void **state)
{
    (void)state;
    advance(WEFT_HOME_PREPARING);
    dies(&m, DEST);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_EHOSTDEAD);
}

static void the_destination_dies_before_the_commit(void **state)
{
    (void)state;
    advance(WEFT_HOME_PULLING);
    dies(&m, DEST);
    assert_only_said(WEFT_MOVE_ABORT);
    struct weft_move_message gone = message_of(1, WEFT_MOVE_GONE);
    gone.owner = (struct weft_move_owner){DEST, 5};
    hears_message(&m, gone); /* it had committed: the rank died with it */
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

static void the_destination_dies_after_the_commit(void **state)
{
    (void)state;
    advance(WEFT_HOME_FLUSHING);
    dies(&m, DEST);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
    assert_non_null(did(WEFT_MOVE_DO_END_APP));
}

static void missing_markers_do_not_hold_the_move_up_for_ever(void **state)
{
    (void)state;
    advance(WEFT_HOME_FLUSHING);
    while (m.state == WEFT_HOME_FLUSHING)
        waits(&m);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_MOVED);
    assert_non_null(strstr(m.reason, "markers"));
}

static void a_cancelled_move_stays_before_the_freeze_and_asks_after_it(void **state)
{
    (void)state;
    struct weft_move_event cancel = {.kind = WEFT_MOVE_ON_CANCEL,
                                     .text = "asked for by weft migrate"};
    happens(&m, &cancel);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_string_equal(m.reason, "asked for by weft migrate");
    set_up(NULL);
    advance(WEFT_HOME_FREEZING);
    happens(&m, &cancel);
    assert_only_said(WEFT_MOVE_ABORT);
    set_up(NULL);
    advance(WEFT_HOME_FLUSHING);
    happens(&m, &cancel);
    assert_int_equal(actions_n, 0);
}

static void old_and_repeated_messages_change_nothing(void **state)
{
    (void)state;
    static const enum weft_move_kind kinds[] = {
        WEFT_MOVE_LEASED,  WEFT_MOVE_PREPARED,  WEFT_MOVE_FROZEN,
        WEFT_MOVE_REFUSED, WEFT_MOVE_COMMITTED, WEFT_MOVE_FAILED,
        WEFT_MOVE_FLUSHED, WEFT_MOVE_ABORTED,   WEFT_MOVE_GONE};
    advance(WEFT_HOME_FLUSHING);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        hears(&m, 77, kinds[i]);
        assert_int_equal(actions_n, 0);
        if (kinds[i] == WEFT_MOVE_FLUSHED)
            continue;
        hears(&m, 1, kinds[i]);
        assert_int_equal(actions_n, 0);
    }
    assert_int_equal(m.state, WEFT_HOME_FLUSHING);
    advance(WEFT_HOME_ENDED);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        hears(&m, 1, kinds[i]);
        assert_int_equal(actions_n, 0);
    }
}

static void a_source_that_froze_for_a_move_that_stayed_is_told_to_take_the_rank_back(void **state)
{
    (void)state;
    sees(&m, WEFT_MOVE_ON_CANCEL, WEFT_OK);
    hears(&m, 1, WEFT_MOVE_FROZEN);
    assert_only_said(WEFT_MOVE_ABORT);
    struct weft_move_message frozen = message_of(1, WEFT_MOVE_FROZEN), answer;
    assert_true(weft__move_answer_unknown(&frozen, &answer));
    assert_int_equal(answer.kind, WEFT_MOVE_ABORT);
}

static void everything_has_a_name_and_every_message_a_receiver(void **state)
{
    (void)state;
    assert_string_equal(weft__move_kind_name(WEFT_MOVE_FREEZE), "FREEZE");
    assert_string_equal(weft__move_event_name(WEFT_MOVE_ON_POINT), "POINT");
    assert_string_equal(weft__move_action_name(WEFT_MOVE_DO_THAW), "THAW");
    assert_string_equal(weft__move_outcome_name(WEFT_MOVE_OUTCOME_STAYED), "stayed");
    assert_string_equal(weft__move_home_name(WEFT_HOME_ENDED), "ended");
    assert_string_equal(weft__move_source_name(WEFT_SOURCE_FLUSHED), "flushed");
    assert_string_equal(weft__move_dest_name(WEFT_DEST_FAILED), "failed");
    assert_string_equal(weft__move_dest_name((enum weft_move_dest_state)99), "?");
    struct weft_move_message message = message_of(1, WEFT_MOVE_LEASE);
    assert_int_equal(weft__move_receiver_host(&message), DEST);
    message.kind = WEFT_MOVE_FREEZE;
    assert_int_equal(weft__move_receiver_host(&message), SOURCE);
    message.kind = WEFT_MOVE_GONE;
    assert_int_equal(weft__move_receiver_host(&message), HOME);
    message.kind = WEFT_MOVE_ROUTE;
    assert_int_equal(weft__move_receiver_host(&message), 0);
}

#define with_move(test) cmocka_unit_test_setup(test, set_up)

/* ---- copying before the freeze ---- */

static const struct weft_move_params copies = {.retry_first_ns = 50 * WEFT_NS_PER_MS,
                                               .retry_max_ns = WEFT_NS_PER_S,
                                               .lease_ns = WEFT_NS_PER_S,
                                               .prepare_ns = WEFT_NS_PER_S,
                                               .copy_passes = 3,
                                               .copy_ns = 20 * WEFT_NS_PER_S,
                                               .copy_enough = 100,
                                               .freeze_ns = WEFT_NS_PER_S,
                                               .pull_ns = WEFT_NS_PER_S,
                                               .resolve_ns = WEFT_NS_PER_S,
                                               .flush_ns = WEFT_NS_PER_S};

static void begin_to_copy(void)
{
    m.params = &copies;
    advance(WEFT_HOME_COPYING);
    assert_only_said(WEFT_MOVE_COPY);
    assert_int_equal(said(WEFT_MOVE_COPY)->round, 1);
}

/* SOURCE has described a round, DEST has fetched it. */
static void round_done(uint32_t round, uint64_t bytes, bool last)
{
    struct weft_move_message copied = message_of(1, WEFT_MOVE_COPIED);
    struct weft_move_message fetched = message_of(1, WEFT_MOVE_FETCHED);
    copied.round = fetched.round = round;
    copied.bytes = bytes;
    copied.last = last;
    hears_message(&m, copied);
    assert_only_said(WEFT_MOVE_FETCH);
    assert_int_equal(said(WEFT_MOVE_FETCH)->round, round);
    hears_message(&m, fetched);
}

static void a_pass_over_the_memory_is_as_many_rounds_as_it_takes(void **state)
{
    (void)state;
    begin_to_copy();
    round_done(1, 1000, false);
    assert_int_equal(said(WEFT_MOVE_COPY)->round, 2);
    round_done(2, 1000, false);
    assert_int_equal(said(WEFT_MOVE_COPY)->round, 3);
    round_done(3, 500, true);
    assert_int_equal(said(WEFT_MOVE_COPY)->round, 4);
    assert_int_equal(m.copied_bytes, 2500);
}

static void a_pass_that_finds_little_is_the_last(void **state)
{
    (void)state;
    begin_to_copy();
    round_done(1, 5000, true);
    round_done(2, 100, true);
    assert_only_said(WEFT_MOVE_FREEZE);
    assert_int_equal(said(WEFT_MOVE_FREEZE)->round, 2);
    assert_int_equal(m.passes, 2);
}

static void a_pass_that_finds_no_less_than_the_one_before_is_the_last(void **state)
{
    (void)state;
    begin_to_copy();
    round_done(1, 5000, true);
    round_done(2, 4900, true);
    assert_int_equal(said(WEFT_MOVE_FREEZE)->round, 2);
}

static void copying_that_fails_leads_to_a_freeze_after_which_all_is_pulled(void **state)
{
    (void)state;
    begin_to_copy();
    round_done(1, 5000, false);
    struct weft_move_message copied = message_of(1, WEFT_MOVE_COPIED);
    copied.round = 2;
    copied.err = WEFT_ENOTSUP;
    hears_message(&m, copied);
    assert_only_said(WEFT_MOVE_FREEZE);
    assert_int_equal(said(WEFT_MOVE_FREEZE)->round, 0);
}

static void a_rank_that_is_pinned_is_neither_copied_nor_frozen(void **state)
{
    (void)state;
    begin_to_copy();
    struct weft_move_message copied = message_of(1, WEFT_MOVE_COPIED);
    copied.round = 1;
    copied.err = WEFT_EPINNED;
    snprintf(copied.text, sizeof(copied.text), "descriptor 3 is a pipe");
    hears_message(&m, copied);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(m.err, WEFT_EPINNED);
    assert_string_equal(m.reason, "descriptor 3 is a pipe");
    assert_null(said(WEFT_MOVE_FREEZE));
    assert_non_null(said(WEFT_MOVE_DISCARD));
    assert_non_null(said(WEFT_MOVE_ABORT));
}

static void a_fetch_that_fails_leads_to_a_freeze_after_which_all_is_pulled(void **state)
{
    (void)state;
    begin_to_copy();
    struct weft_move_message copied = message_of(1, WEFT_MOVE_COPIED);
    struct weft_move_message fetched = message_of(1, WEFT_MOVE_FETCHED);
    copied.round = fetched.round = 1;
    fetched.err = WEFT_ECHECKSUM;
    hears_message(&m, copied);
    hears_message(&m, fetched);
    assert_int_equal(said(WEFT_MOVE_FREEZE)->round, 0);
}

static void answers_to_other_rounds_change_nothing(void **state)
{
    (void)state;
    begin_to_copy();
    struct weft_move_message late = message_of(1, WEFT_MOVE_FETCHED);
    late.round = 1;
    hears_message(&m, late);
    assert_int_equal(actions_n, 0);
    round_done(1, 5000, false);
    late.kind = WEFT_MOVE_COPIED;
    hears_message(&m, late);
    assert_int_equal(actions_n, 0);
}

static void copying_that_does_not_end_is_given_up_and_the_rank_hears_nothing(void **state)
{
    (void)state;
    begin_to_copy();
    while (m.state == WEFT_HOME_COPYING)
        waits(&m);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_non_null(said(WEFT_MOVE_DISCARD));
    assert_non_null(said(WEFT_MOVE_ABORT));
}

static void deaths_while_a_rank_is_copied_are_those_before_a_freeze(void **state)
{
    begin_to_copy();
    dies(&m, DEST);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_STAYED);
    assert_int_equal(set_up(state), 0);
    begin_to_copy();
    dies(&m, SOURCE);
    assert_int_equal(m.outcome, WEFT_MOVE_OUTCOME_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_move(a_move_goes_through_lease_prepare_freeze_pull_and_flush),
        with_move(a_lease_lasts_longer_than_all_that_may_come_before_the_commit),
        with_move(messages_are_repeated_with_growing_pauses_up_to_a_limit),
        with_move(without_a_slot_the_rank_never_hears_of_the_move),
        with_move(what_was_taken_at_the_destination_is_given_back_when_the_rank_stays),
        with_move(silence_before_the_freeze_ends_the_move_at_its_deadline),
        with_move(after_the_freeze_only_the_source_or_the_registry_end_the_move),
        with_move(a_commit_whose_message_was_lost_is_learnt_from_the_source),
        with_move(a_commit_whose_message_was_lost_is_learnt_from_the_registry),
        with_move(when_the_source_knows_nothing_the_registry_is_asked),
        with_move(a_source_that_stands_still_keeps_its_rank_when_nobody_can_commit),
        with_move(a_commit_that_may_be_under_way_is_waited_for),
        with_move(a_home_that_stood_still_ends_no_app_for_that),
        with_move(an_aborted_rank_of_a_live_source_stays_by_the_registrys_word),
        with_move(nobody_to_ask_ends_the_app_by_a_deadline),
        with_move(an_owner_that_nobody_knows_ends_the_app),
        with_move(the_source_dies_before_its_rank_was_frozen),
        with_move(the_source_dies_after_the_commit_and_nobody_cares),
        with_move(the_source_dies_while_the_destination_pulls),
        with_move(a_word_of_the_source_from_before_its_death_does_not_save_the_rank),
        with_move(a_late_refusal_after_frozen_is_not_believed),
        with_move(the_destination_dies_before_the_freeze),
        with_move(the_destination_dies_before_the_commit),
        with_move(the_destination_dies_after_the_commit),
        with_move(missing_markers_do_not_hold_the_move_up_for_ever),
        with_move(a_cancelled_move_stays_before_the_freeze_and_asks_after_it),
        with_move(old_and_repeated_messages_change_nothing),
        with_move(a_source_that_froze_for_a_move_that_stayed_is_told_to_take_the_rank_back),
        with_move(everything_has_a_name_and_every_message_a_receiver),
        cmocka_unit_test_setup(a_pass_over_the_memory_is_as_many_rounds_as_it_takes, set_up),
        cmocka_unit_test_setup(a_pass_that_finds_little_is_the_last, set_up),
        cmocka_unit_test_setup(a_pass_that_finds_no_less_than_the_one_before_is_the_last, set_up),
        cmocka_unit_test_setup(copying_that_fails_leads_to_a_freeze_after_which_all_is_pulled,
                               set_up),
        cmocka_unit_test_setup(a_rank_that_is_pinned_is_neither_copied_nor_frozen, set_up),
        cmocka_unit_test_setup(a_fetch_that_fails_leads_to_a_freeze_after_which_all_is_pulled,
                               set_up),
        cmocka_unit_test_setup(answers_to_other_rounds_change_nothing, set_up),
        cmocka_unit_test_setup(copying_that_does_not_end_is_given_up_and_the_rank_hears_nothing,
                               set_up),
        cmocka_unit_test_setup(deaths_while_a_rank_is_copied_are_those_before_a_freeze, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
