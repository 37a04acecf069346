/* The hosts as planners see them: by name, alive, and who has which rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/weftd_view.h"

enum { HOSTS = 4, RANKS = 4 };

struct world {
    struct weft_member members[HOSTS];
    struct weft_host host;
    struct weft_app_process processes[2];
    struct weft_app_rank ranks[RANKS];
    struct weft_app app;
    Weft__Host__RunRequest request;
    char tenant[8];
};

/* Hosts a, b (dead), c, d; ranks 0 and 1 on d, 2 and 3 on a. */
static void world_make(struct world *world)
{
    static const char *const names[HOSTS] = {"a", "b", "c", "d"};
    memset(world, 0, sizeof(*world));
    for (uint32_t i = 0; i < HOSTS; i++) {
        snprintf(world->members[i].at.name, sizeof(world->members[i].at.name), "%s", names[i]);
        world->members[i].at.alive = i != 1;
        world->members[i].at.slots = 10 + i;
        world->members[i].at.used = i;
    }
    world->host.members = world->members;
    world->host.members_n = HOSTS;
    world->processes[0].number = 1;
    world->processes[1].number = 2;
    strcpy(world->processes[0].host, "d");
    strcpy(world->processes[1].host, "a");
    for (uint32_t r = 0; r < RANKS; r++)
        world->ranks[r].process = 1 + r / 2;
    world->app.host = &world->host;
    weft__host__run_request__init(&world->request);
    strcpy(world->tenant, "x");
    world->request.tenant = world->tenant;
    world->app.request = &world->request;
    world->app.processes = world->processes;
    world->app.processes_n = 2;
    world->app.ranks = world->ranks;
    world->app.size = RANKS;
}

static void occupy(struct weft_member *member, const char *tenant, bool apart)
{
    snprintf(member->at.tenant, sizeof(member->at.tenant), "%s", tenant);
    member->at.occupied = true;
    member->at.apart = apart;
}

static void hosts_of_other_tenants_are_closed_to_an_app_that_wants_to_be_apart(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    world_make(&world);
    occupy(&world.members[0], "x", true);
    occupy(&world.members[2], "y", false);
    world.app.policy = WEFT_POLICY_COMPACT;
    weft__weftd_view_init(&view, &world.app);
    assert_false(view.hosts[0].closed);
    assert_true(view.hosts[1].closed);
    assert_false(view.hosts[2].closed); /* nobody's */
    weft__weftd_view_fini(&view);
}

static void hosts_whose_tenant_wants_to_be_apart_are_closed_to_others(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    world_make(&world);
    occupy(&world.members[0], "y", true);
    occupy(&world.members[2], "y", false);
    weft__weftd_view_init(&view, &world.app);
    assert_true(view.hosts[0].closed);
    assert_false(view.hosts[1].closed);
    weft__weftd_view_fini(&view);
}

static void dead_hosts_are_not_seen(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    world_make(&world);
    weft__weftd_view_init(&view, &world.app);
    assert_int_equal(view.n, 3);
    assert_int_equal(weft__weftd_view_find(&view, "a"), 0);
    assert_int_equal(weft__weftd_view_find(&view, "b"), view.n);
    assert_int_equal(weft__weftd_view_find(&view, "c"), 1);
    assert_int_equal(weft__weftd_view_find(&view, "d"), 2);
    assert_int_equal(weft__weftd_view_find(&view, ""), view.n);
    assert_int_equal(weft__weftd_view_find(&view, "zz"), view.n);
    assert_int_equal(view.hosts[2].slots, 13);
    assert_int_equal(view.hosts[2].used, 3);
    weft__weftd_view_fini(&view);
}

static void an_empty_cluster_has_no_hosts(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    world_make(&world);
    world.host.members_n = 0;
    weft__weftd_view_init(&view, &world.app);
    assert_int_equal(view.n, 0);
    assert_int_equal(weft__weftd_view_find(&view, "a"), 0);
    weft__weftd_view_fini(&view);
}

static void ranks_that_have_ended_take_no_part(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    struct weft_placement placement;
    world_make(&world);
    world.ranks[0].ended = true;
    weft__weftd_view_init(&view, &world.app);
    assert_int_equal(weft__weftd_placement_init(&placement, &view, &world.app), WEFT_OK);
    assert_int_equal(placement.n, 3);
    assert_int_equal(placement.ranks[0], 1);
    assert_int_equal(placement.host_of[0], 2);
    assert_int_equal(placement.ranks[2], 3);
    assert_int_equal(placement.host_of[2], 0);
    weft__weftd_placement_fini(&placement);
    weft__weftd_view_fini(&view);
}

static void a_rank_on_a_host_that_is_not_listed_is_busy(void **state)
{
    (void)state;
    struct world world;
    struct weft_view view;
    struct weft_placement placement;
    world_make(&world);
    strcpy(world.processes[1].host, "b");
    weft__weftd_view_init(&view, &world.app);
    assert_int_equal(weft__weftd_placement_init(&placement, &view, &world.app), WEFT_EBUSY);
    assert_non_null(strstr(weft_fail_text(WEFT_EBUSY), "rank 2 is on host b"));
    weft__weftd_placement_fini(&placement);
    weft__weftd_view_fini(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_hosts_are_not_seen),
        cmocka_unit_test(hosts_of_other_tenants_are_closed_to_an_app_that_wants_to_be_apart),
        cmocka_unit_test(hosts_whose_tenant_wants_to_be_apart_are_closed_to_others),
        cmocka_unit_test(an_empty_cluster_has_no_hosts),
        cmocka_unit_test(ranks_that_have_ended_take_no_part),
        cmocka_unit_test(a_rank_on_a_host_that_is_not_listed_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
