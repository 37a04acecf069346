/* The machines of a freeze and a thaw, step by step. The simulation (tests/sim/freeze.c) has the
 * rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "plan/freeze.h"
#include "weft/error.h"

enum { PARTIES = 2, SELF = 7, ACTIONS = PARTIES + 4 };

struct scene {
    struct weft_freeze home;
    struct weft_freeze_party parties[PARTIES];
    struct weft_freeze_action actions[ACTIONS];
    size_t n;
    uint64_t now;
};

static void step(struct scene *scene, struct weft_freeze_event event)
{
    scene->n = weft__freeze_step(&scene->home, &event, scene->now, scene->actions, ACTIONS);
}

static void set_parties(struct scene *scene)
{
    memset(scene->parties, 0, sizeof(scene->parties));
    scene->home.parties = scene->parties;
    scene->home.parties_n = PARTIES;
}

static struct scene runs(void)
{
    struct scene scene = {.now = 1000};
    weft__freeze_init(&scene.home, NULL, SELF, (struct weft_move_owner){SELF, 4});
    return scene;
}

static void answer(struct scene *scene, size_t party, enum weft_freeze_order order, int err)
{
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_ANSWER,
                                           .party = party,
                                           .order = order,
                                           .number = scene->home.number,
                                           .round = scene->home.round,
                                           .lowest = UINT64_MAX,
                                           .err = err,
                                           .text = "no"});
}

static void all_answer(struct scene *scene, enum weft_freeze_order order)
{
    for (size_t i = 0; i < PARTIES; i++)
        answer(scene, i, order, WEFT_OK);
}

static void owner_is(struct scene *scene, uint64_t host, uint64_t epoch)
{
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_OWNER, .owner = {host, epoch}});
}

static bool does(const struct scene *scene, enum weft_freeze_action_kind kind)
{
    for (size_t i = 0; i < scene->n; i++)
        if (scene->actions[i].kind == kind)
            return true;
    return false;
}

static bool orders(const struct scene *scene, enum weft_freeze_order order)
{
    size_t n = 0;
    for (size_t i = 0; i < scene->n; i++)
        n += scene->actions[i].kind == WEFT_FREEZE_DO_ORDER && scene->actions[i].order == order;
    return n == PARTIES;
}

static struct scene stops(void)
{
    struct scene scene = runs();
    set_parties(&scene);
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_FREEZE});
    assert_true(does(&scene, WEFT_FREEZE_DO_CAS));
    assert_int_equal(scene.actions[0].want.host, SELF);
    return scene;
}

/* scene.home points into a copy: the parties have to follow. */
static void settle(struct scene *scene)
{
    scene->home.parties = scene->parties;
}

static void committing(struct scene *scene)
{
    *scene = stops();
    settle(scene);
    owner_is(scene, SELF, 5);
    assert_true(orders(scene, WEFT_FREEZE_STOP));
    all_answer(scene, WEFT_FREEZE_STOP);
    assert_true(orders(scene, WEFT_FREEZE_SAVE));
    all_answer(scene, WEFT_FREEZE_SAVE);
    assert_true(does(scene, WEFT_FREEZE_DO_WRITE));
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_WRITTEN});
    assert_true(does(scene, WEFT_FREEZE_DO_CAS));
    assert_int_equal(scene->actions[0].expect.host, SELF);
    assert_int_equal(scene->actions[0].want.host, WEFT_FREEZE_STORE);
    assert_int_equal(scene->actions[0].want.incarnation, 6);
}

static void an_app_is_frozen_when_the_registry_says_so_and_not_before(void **state)
{
    struct scene scene;
    (void)state;
    committing(&scene);
    owner_is(&scene, SELF, 5); /* not done yet: asked again, with the next tick */
    assert_int_equal(scene.home.state, WEFT_FREEZE_IS_COMMITTING);
    scene.now = weft__freeze_deadline(&scene.home);
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    assert_true(does(&scene, WEFT_FREEZE_DO_CAS));
    owner_is(&scene, WEFT_FREEZE_STORE, 6);
    assert_true(orders(&scene, WEFT_FREEZE_END));
    all_answer(&scene, WEFT_FREEZE_END);
    assert_true(does(&scene, WEFT_FREEZE_DO_FROZEN));
    assert_int_equal(scene.home.state, WEFT_FREEZE_IS_FROZEN);
}

static void what_cannot_be_stored_goes_on_and_says_why(void **state)
{
    struct scene scene = stops();
    (void)state;
    settle(&scene);
    owner_is(&scene, SELF, 5);
    all_answer(&scene, WEFT_FREEZE_STOP);
    answer(&scene, 0, WEFT_FREEZE_SAVE, WEFT_ENOSPC);
    assert_true(orders(&scene, WEFT_FREEZE_GO_ON));
    all_answer(&scene, WEFT_FREEZE_GO_ON);
    assert_true(does(&scene, WEFT_FREEZE_DO_STAYED) && does(&scene, WEFT_FREEZE_DO_ERASE));
    assert_int_equal(scene.home.err, WEFT_ENOSPC);
    assert_int_equal(scene.home.state, WEFT_FREEZE_IS_RUNNING);
}

static void who_does_not_come_to_stand_in_time_is_named(void **state)
{
    struct scene scene = stops();
    (void)state;
    settle(&scene);
    owner_is(&scene, SELF, 5);
    struct scene silent = scene;
    settle(&silent);
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_ANSWER,
                                            .order = WEFT_FREEZE_STOP,
                                            .number = scene.home.number,
                                            .waits = true,
                                            .text = "rank 3 computes"});
    scene.now = silent.now += weft__freeze_defaults.stop_ns;
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    assert_true(orders(&scene, WEFT_FREEZE_GO_ON));
    assert_int_equal(scene.home.err, WEFT_ETIMEDOUT);
    assert_string_equal(scene.home.text, "rank 3 computes");
    step(&silent, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    assert_int_equal(silent.home.err, WEFT_ETIMEDOUT);
    assert_string_equal(silent.home.text, "its ranks have not come to stand in time");
}

static void without_the_registry_nothing_is_stopped(void **state)
{
    struct scene scene = stops();
    (void)state;
    settle(&scene);
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_OWNER, .err = WEFT_EREGISTRY});
    scene.now += weft__freeze_defaults.resolve_ns;
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    assert_true(does(&scene, WEFT_FREEZE_DO_STAYED));
    assert_int_equal(scene.home.err, WEFT_EREGISTRY);
}

static void a_registry_that_knows_the_app_otherwise_stops_nothing(void **state)
{
    struct scene scene = stops();
    (void)state;
    settle(&scene);
    owner_is(&scene, SELF, 0); /* it has lost its log */
    assert_true(does(&scene, WEFT_FREEZE_DO_STAYED));
    assert_int_equal(scene.home.err, WEFT_ESTALE);
}

static void a_registry_that_falls_silent_at_the_commit_ends_the_app(void **state)
{
    struct scene scene;
    (void)state;
    committing(&scene);
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_OWNER, .err = WEFT_EREGISTRY});
    scene.now += weft__freeze_defaults.resolve_ns;
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    assert_true(does(&scene, WEFT_FREEZE_DO_LOST));
}

static void who_dies_unstored_takes_the_app_along_and_who_is_stored_does_not(void **state)
{
    struct scene scene = stops();
    struct weft_freeze_event dead = {
        .kind = WEFT_FREEZE_ON_DEAD, .err = WEFT_EHOSTDEAD, .text = "it died"};
    (void)state;
    settle(&scene);
    owner_is(&scene, SELF, 5);
    all_answer(&scene, WEFT_FREEZE_STOP);
    answer(&scene, 0, WEFT_FREEZE_SAVE, WEFT_OK);
    step(&scene, dead);
    assert_int_equal(scene.home.state, WEFT_FREEZE_IS_SAVING);
    struct scene other = scene;
    settle(&other);
    answer(&scene, 1, WEFT_FREEZE_SAVE, WEFT_OK);
    assert_true(does(&scene, WEFT_FREEZE_DO_WRITE));
    dead.party = 1;
    step(&other, dead);
    assert_true(does(&other, WEFT_FREEZE_DO_LOST));
}

static void
those_with_the_fewest_points_go_on_in_the_first_round_and_all_in_the_second(void **state)
{
    struct scene scene = stops();
    struct weft_freeze_event waits = {.kind = WEFT_FREEZE_ON_ANSWER,
                                      .order = WEFT_FREEZE_STOP,
                                      .number = scene.home.number,
                                      .waits = true,
                                      .lowest = 12,
                                      .text = "rank 3"};
    (void)state;
    settle(&scene);
    owner_is(&scene, SELF, 5);
    step(&scene, waits);
    for (int i = 0; i < 2; i++) { /* asks how far all are, then begins a round */
        scene.now = weft__freeze_deadline(&scene.home);
        step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    }
    assert_int_equal(scene.actions[0].round, 1);
    assert_int_equal(scene.actions[0].below, 12);
    step(&scene, waits); /* of the round before: too late */
    assert_int_equal(scene.home.lowest, UINT64_MAX);
    for (int i = 0; i < 2; i++) {
        scene.now = weft__freeze_deadline(&scene.home);
        step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
    }
    assert_int_equal(scene.actions[0].round, 2);
    assert_true(scene.actions[0].below == UINT64_MAX);
}

static struct scene frozen(void)
{
    struct scene scene = {.now = 1000};
    weft__freeze_init(&scene.home, NULL, SELF, (struct weft_move_owner){WEFT_FREEZE_STORE, 5});
    return scene;
}

static void taking(struct scene *scene)
{
    *scene = frozen();
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
    owner_is(scene, WEFT_FREEZE_STORE, 5);
    assert_true(does(scene, WEFT_FREEZE_DO_PLACE));
    set_parties(scene);
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_PLACED});
    assert_true(orders(scene, WEFT_FREEZE_LOAD));
    all_answer(scene, WEFT_FREEZE_LOAD);
    assert_true(does(scene, WEFT_FREEZE_DO_CLEAR));
    step(scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_CLEARED});
    assert_true(does(scene, WEFT_FREEZE_DO_CAS));
    assert_int_equal(scene->actions[0].want.host, SELF);
}

static void a_thaw_runs_when_the_registry_says_so(void **state)
{
    struct scene scene;
    (void)state;
    taking(&scene);
    owner_is(&scene, SELF, 6);
    assert_true(orders(&scene, WEFT_FREEZE_RESUME));
    all_answer(&scene, WEFT_FREEZE_RESUME);
    assert_true(does(&scene, WEFT_FREEZE_DO_THAWED) && does(&scene, WEFT_FREEZE_DO_ERASE));
}

static void of_two_who_thaw_the_second_forgets_the_app_and_erases_nothing(void **state)
{
    struct scene scene;
    (void)state;
    taking(&scene);
    owner_is(&scene, SELF + 1, 6);
    assert_true(orders(&scene, WEFT_FREEZE_END));
    all_answer(&scene, WEFT_FREEZE_END);
    assert_true(does(&scene, WEFT_FREEZE_DO_TAKEN));
    assert_false(does(&scene, WEFT_FREEZE_DO_ERASE));
}

static void a_process_that_dies_before_it_resumes_sends_the_app_back_into_the_store(void **state)
{
    struct scene scene;
    (void)state;
    taking(&scene);
    step(&scene, (struct weft_freeze_event){
                     .kind = WEFT_FREEZE_ON_DEAD, .err = WEFT_EHOSTDEAD, .text = "it died"});
    owner_is(&scene, SELF, 6);
    assert_true(does(&scene, WEFT_FREEZE_DO_CAS));
    assert_int_equal(scene.actions[0].want.host, WEFT_FREEZE_STORE);
    owner_is(&scene, WEFT_FREEZE_STORE, 7);
    answer(&scene, 1, WEFT_FREEZE_END, WEFT_OK);
    assert_true(does(&scene, WEFT_FREEZE_DO_KEPT));
    assert_int_equal(scene.home.state, WEFT_FREEZE_IS_FROZEN);
}

static void a_thaw_without_room_keeps_it(void **state)
{
    struct scene scene = frozen();
    (void)state;
    step(&scene, (struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
    owner_is(&scene, WEFT_FREEZE_STORE, 5);
    step(&scene, (struct weft_freeze_event){
                     .kind = WEFT_FREEZE_ON_PLACED, .err = WEFT_ENOSLOTS, .text = "no room"});
    assert_true(does(&scene, WEFT_FREEZE_DO_KEPT));
    assert_string_equal(scene.actions[0].text, "no room");
}

/* ---- a process ---- */

struct process {
    struct weft_freeze_member member;
    struct weft_freeze_member_action actions[WEFT_FREEZE_MEMBER_ACTIONS_MAX];
    size_t n;
};

static void tell(struct process *process, enum weft_freeze_member_event_kind kind, int err)
{
    struct weft_freeze_member_event event = {.kind = kind, .err = err, .text = "no"};
    process->n = weft__freeze_member_step(&process->member, &event, process->actions,
                                          WEFT_FREEZE_MEMBER_ACTIONS_MAX);
}

static void give(struct process *process, enum weft_freeze_order order, uint64_t number,
                 uint32_t round)
{
    struct weft_freeze_member_event event = {
        .kind = WEFT_FREEZE_MEMBER_ON_ORDER, .order = order, .number = number, .round = round};
    process->n = weft__freeze_member_step(&process->member, &event, process->actions,
                                          WEFT_FREEZE_MEMBER_ACTIONS_MAX);
}

static bool did(const struct process *process, enum weft_freeze_member_action_kind kind)
{
    for (size_t i = 0; i < process->n; i++)
        if (process->actions[i].kind == kind)
            return true;
    return false;
}

static void a_process_stops_stores_and_waits_for_the_word(void **state)
{
    struct process process;
    (void)state;
    weft__freeze_member_init(&process.member, false);
    give(&process, WEFT_FREEZE_STOP, 1, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_STOP));
    give(&process, WEFT_FREEZE_STOP, 1, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_REPORT));
    tell(&process, WEFT_FREEZE_MEMBER_ON_STOPPED, WEFT_OK);
    give(&process, WEFT_FREEZE_STOP, 1, 1);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_RELEASE));
    give(&process, WEFT_FREEZE_SAVE, 1, 0);
    assert_int_equal(process.n, 0); /* not all stand */
    tell(&process, WEFT_FREEZE_MEMBER_ON_STOPPED, WEFT_OK);
    give(&process, WEFT_FREEZE_SAVE, 1, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_SAVE));
    tell(&process, WEFT_FREEZE_MEMBER_ON_SAVED, WEFT_OK);
    assert_int_equal(process.actions[0].order, WEFT_FREEZE_SAVE);
    give(&process, WEFT_FREEZE_GO_ON, 1, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_GO_ON));
}

static void a_stop_that_comes_after_its_go_on_is_refused(void **state)
{
    struct process process;
    (void)state;
    weft__freeze_member_init(&process.member, false);
    give(&process, WEFT_FREEZE_GO_ON, 3, 0);
    give(&process, WEFT_FREEZE_STOP, 3, 0);
    assert_false(did(&process, WEFT_FREEZE_MEMBER_DO_STOP));
    assert_int_equal(process.actions[0].err, WEFT_ECANCELED);
    give(&process, WEFT_FREEZE_STOP, 2, 0); /* older still: nothing */
    assert_int_equal(process.n, 0);
}

static void go_on_while_it_stores_waits_until_that_is_over(void **state)
{
    struct process process;
    (void)state;
    weft__freeze_member_init(&process.member, false);
    give(&process, WEFT_FREEZE_STOP, 1, 0);
    tell(&process, WEFT_FREEZE_MEMBER_ON_STOPPED, WEFT_OK);
    give(&process, WEFT_FREEZE_SAVE, 1, 0);
    give(&process, WEFT_FREEZE_GO_ON, 1, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_UNSAVE));
    assert_false(did(&process, WEFT_FREEZE_MEMBER_DO_GO_ON));
    tell(&process, WEFT_FREEZE_MEMBER_ON_SAVED, WEFT_ECANCELED);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_GO_ON));
}

static void a_process_of_a_thaw_loads_and_runs_once(void **state)
{
    struct process process;
    (void)state;
    weft__freeze_member_init(&process.member, true);
    give(&process, WEFT_FREEZE_RESUME, 2, 0);
    assert_int_equal(process.n, 0);
    give(&process, WEFT_FREEZE_LOAD, 2, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_LOAD));
    tell(&process, WEFT_FREEZE_MEMBER_ON_LOADED, WEFT_OK);
    give(&process, WEFT_FREEZE_RESUME, 2, 0);
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_RESUME));
    give(&process, WEFT_FREEZE_RESUME, 2, 0);
    assert_false(did(&process, WEFT_FREEZE_MEMBER_DO_RESUME));
    assert_true(did(&process, WEFT_FREEZE_MEMBER_DO_ANSWER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_app_is_frozen_when_the_registry_says_so_and_not_before),
        cmocka_unit_test(what_cannot_be_stored_goes_on_and_says_why),
        cmocka_unit_test(who_does_not_come_to_stand_in_time_is_named),
        cmocka_unit_test(without_the_registry_nothing_is_stopped),
        cmocka_unit_test(a_registry_that_knows_the_app_otherwise_stops_nothing),
        cmocka_unit_test(a_registry_that_falls_silent_at_the_commit_ends_the_app),
        cmocka_unit_test(who_dies_unstored_takes_the_app_along_and_who_is_stored_does_not),
        cmocka_unit_test(
            those_with_the_fewest_points_go_on_in_the_first_round_and_all_in_the_second),
        cmocka_unit_test(a_thaw_runs_when_the_registry_says_so),
        cmocka_unit_test(of_two_who_thaw_the_second_forgets_the_app_and_erases_nothing),
        cmocka_unit_test(a_process_that_dies_before_it_resumes_sends_the_app_back_into_the_store),
        cmocka_unit_test(a_thaw_without_room_keeps_it),
        cmocka_unit_test(a_process_stops_stores_and_waits_for_the_word),
        cmocka_unit_test(a_stop_that_comes_after_its_go_on_is_refused),
        cmocka_unit_test(go_on_while_it_stores_waits_until_that_is_over),
        cmocka_unit_test(a_process_of_a_thaw_loads_and_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
