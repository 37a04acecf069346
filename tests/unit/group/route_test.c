/* The routing rule: the table of design, row by row, and what must never come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "group/packet.h"
#include "group/route.h"

#define SELF 1u
#define OTHER 2u

static struct weft_route_question ask(enum weft_route_place place, uint32_t process,
                                      uint32_t incarnation, uint32_t packet)
{
    return (struct weft_route_question){.place = place,
                                        .self = SELF,
                                        .known = {process, incarnation},
                                        .packet_incarnation = packet};
}

static enum weft_route_action decide(struct weft_route_question question)
{
    return weft__route_decide(&question);
}

static void a_rank_that_runs_here_takes_packets_for_any_incarnation(void **state)
{
    (void)state;
    for (uint32_t packet = 0; packet < 5; packet++)
        assert_int_equal(decide(ask(WEFT_PLACE_HERE, SELF, 2, packet)), WEFT_ROUTE_DELIVER);
}

static void packets_for_a_frozen_rank_wait(void **state)
{
    (void)state;
    for (uint32_t packet = 0; packet < 5; packet++) {
        assert_int_equal(decide(ask(WEFT_PLACE_FROZEN, SELF, 2, packet)), WEFT_ROUTE_HOLD);
        assert_int_equal(decide(ask(WEFT_PLACE_FROZEN, OTHER, 3, packet)), WEFT_ROUTE_HOLD);
    }
}

static void a_departed_rank_gets_its_packets_forwarded(void **state)
{
    (void)state;
    struct weft_route_question question = ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 2);
    question.forwards = true;
    assert_int_equal(decide(question), WEFT_ROUTE_FORWARD);
    question.packet_incarnation = 3;
    assert_int_equal(decide(question), WEFT_ROUTE_FORWARD);
}

static void a_packet_with_too_many_hops_is_answered_instead(void **state)
{
    (void)state;
    struct weft_route_question question = ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 2);
    question.forwards = true;
    question.hops = WEFT_PACKET_HOPS_MAX - 1;
    assert_int_equal(decide(question), WEFT_ROUTE_FORWARD);
    question.hops = WEFT_PACKET_HOPS_MAX;
    assert_int_equal(decide(question), WEFT_ROUTE_NACK);
}

static void without_a_forward_entry_the_sender_is_told_the_route(void **state)
{
    (void)state;
    assert_int_equal(decide(ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 2)), WEFT_ROUTE_NACK);
    assert_int_equal(decide(ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 3)), WEFT_ROUTE_NACK);
}

static void a_packet_that_knows_more_waits_and_the_home_is_asked(void **state)
{
    (void)state;
    assert_int_equal(decide(ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 4)), WEFT_ROUTE_HOLD_ASK);
    assert_int_equal(decide(ask(WEFT_PLACE_ELSEWHERE, WEFT_PROCESS_NONE, 0, 0)),
                     WEFT_ROUTE_HOLD_ASK);
    struct weft_route_question question = ask(WEFT_PLACE_ELSEWHERE, OTHER, 3, 4);
    question.forwards = true;
    assert_int_equal(decide(question), WEFT_ROUTE_HOLD_ASK);
}

static void a_rank_that_is_about_to_be_made_here_gets_its_packets_later(void **state)
{
    (void)state;
    assert_int_equal(decide(ask(WEFT_PLACE_ELSEWHERE, SELF, 1, 1)), WEFT_ROUTE_HOLD);
}

static void an_arriving_rank_waits_for_early_packets_only(void **state)
{
    (void)state;
    assert_int_equal(decide(ask(WEFT_PLACE_ARRIVING, OTHER, 2, 3)), WEFT_ROUTE_HOLD);
    assert_int_equal(decide(ask(WEFT_PLACE_ARRIVING, SELF, 3, 3)), WEFT_ROUTE_HOLD);
    assert_int_equal(decide(ask(WEFT_PLACE_ARRIVING, OTHER, 2, 1)), WEFT_ROUTE_NACK);
    struct weft_route_question question = ask(WEFT_PLACE_ARRIVING, OTHER, 2, 1);
    question.forwards = true; /* it was here before, and comes back */
    assert_int_equal(decide(question), WEFT_ROUTE_FORWARD);
}

static void nothing_is_ever_forwarded_to_oneself_or_to_nobody(void **state)
{
    (void)state;
    for (int place = WEFT_PLACE_ELSEWHERE; place <= WEFT_PLACE_ARRIVING; place++)
        for (uint32_t packet = 0; packet < 4; packet++)
            for (int forwards = 0; forwards < 2; forwards++)
                for (int whom = 0; whom < 2; whom++) {
                    struct weft_route_question question = ask(
                        (enum weft_route_place)place, whom ? SELF : WEFT_PROCESS_NONE, 2, packet);
                    question.forwards = forwards;
                    enum weft_route_action action = decide(question);
                    assert_true(action != WEFT_ROUTE_FORWARD && action != WEFT_ROUTE_NACK);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_runs_here_takes_packets_for_any_incarnation),
        cmocka_unit_test(packets_for_a_frozen_rank_wait),
        cmocka_unit_test(a_departed_rank_gets_its_packets_forwarded),
        cmocka_unit_test(a_packet_with_too_many_hops_is_answered_instead),
        cmocka_unit_test(without_a_forward_entry_the_sender_is_told_the_route),
        cmocka_unit_test(a_packet_that_knows_more_waits_and_the_home_is_asked),
        cmocka_unit_test(a_rank_that_is_about_to_be_made_here_gets_its_packets_later),
        cmocka_unit_test(an_arriving_rank_waits_for_early_packets_only),
        cmocka_unit_test(nothing_is_ever_forwarded_to_oneself_or_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
