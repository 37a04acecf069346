/* The data lanes of two real hosts: opened when somebody asks, one token for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemons.h"
#include "host/transports.h"
#include "link/data.h"

static struct weft_data_host lane_of(struct daemons *rig, unsigned host)
{
    struct weft_data_host at;
    int err = weft__data_ask(rig->client, rig->urls[host], DAEMON_MS, &at);
    if (err != WEFT_OK)
        print_message("host %u: %s\n", host, weft_fail_text(err));
    assert_int_equal(err, WEFT_OK);
    return at;
}

static void hosts_have_lanes_with_one_token(void **state)
{
    struct daemons *rig = *state;
    struct weft_data_host a = lane_of(rig, 0), b = lane_of(rig, 1);
    assert_true(a.token == b.token);
    assert_true(a.token != 0);
    assert_string_not_equal(a.address, b.address);
}

static void a_lane_that_is_open_stays_the_same(void **state)
{
    struct weft_data_host first = lane_of(*state, 0), second = lane_of(*state, 0);
    assert_string_equal(first.address, second.address);
}

static int token_of_b(void *ctx, uint64_t *token_out)
{
    *token_out = lane_of(ctx, 1).token;
    return WEFT_OK;
}

static void a_client_meets_a_host_over_a_lane_of_its_own(void **state)
{
    struct daemons *rig = *state;
    char bind[WEFT_DATA_BIND_MAX];
    struct weft_data *data;
    struct weft_lane *lane, *again;
    struct weft_lane_peer peer;
    assert_int_equal(weft__data_bind_to(rig->urls[1], bind), WEFT_OK);
    struct weft_data_desc desc = {.transports = weft__transports,
                                  .transports_n = weft__transports_n,
                                  .bind = bind,
                                  .token = token_of_b,
                                  .ctx = rig};
    assert_int_equal(weft__data_open(&desc, &data), WEFT_OK);
    assert_null(weft__data_peek(data));
    assert_int_equal(weft__data_lane(data, &lane), WEFT_OK);
    assert_int_equal(weft__data_lane(data, &again), WEFT_OK);
    assert_ptr_equal(lane, again);
    assert_ptr_equal(weft__data_peek(data), lane);
    assert_int_equal(weft__lane_peer(lane, lane_of(rig, 1).address, &peer), WEFT_OK);
    weft__data_close(data);
}

static void a_lane_that_was_stopped_does_not_open(void **state)
{
    struct weft_data_desc desc = {.bind = "127.0.0.1", .token = token_of_b, .ctx = *state};
    struct weft_data *data;
    struct weft_lane *lane;
    assert_int_equal(weft__data_open(&desc, &data), WEFT_OK);
    weft__data_stop(data);
    assert_int_equal(weft__data_lane(data, &lane), WEFT_ESHUTDOWN);
    weft__data_close(data);
}

static void the_way_to_a_host_is_an_address_of_this_machine(void **state)
{
    char bind[WEFT_DATA_BIND_MAX];
    (void)state;
    assert_int_equal(weft__data_bind_to("tcp://127.0.0.1:8100", bind), WEFT_OK);
    assert_memory_equal(bind, "127.", 4);
    assert_int_equal(weft__data_bind_to("tcp://nowhere:8100", bind), WEFT_EINVAL);
    assert_int_equal(weft__data_bind_to("", bind), WEFT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_have_lanes_with_one_token),
        cmocka_unit_test(a_lane_that_is_open_stays_the_same),
        cmocka_unit_test(a_client_meets_a_host_over_a_lane_of_its_own),
        cmocka_unit_test(a_lane_that_was_stopped_does_not_open),
        cmocka_unit_test(the_way_to_a_host_is_an_address_of_this_machine),
    };
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
