/* Which transport a lane uses, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/probe.h"
#include "link/select.h"
#include "pair.h"
#include "weft/error.h"

static void hear_nothing(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static const struct weft_tp_handlers deaf = {.message = hear_nothing};

static struct weft__select on(const char *bind, const char *want)
{
    return (struct weft__select){.transports = pair_transports,
                                 .transports_n = pair_transports_n,
                                 .want = want,
                                 .open = {.bind = bind,
                                          .families = WEFT_TP_MSG | WEFT_TP_RMA,
                                          .msg_max_bytes = 4096,
                                          .handlers = &deaf}};
}

/* An opener that never gets anywhere. */
static int open_fails(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    (void)ep_out;
    return weft_fail(WEFT_ENOTSUP, "no such device on %s", desc->bind);
}

static void automatic_choice_works_on_loopback_and_names_what_it_passed_over(void **state)
{
    (void)state;
    struct weft__select select = on("127.0.0.1", "auto");
    struct weft__selected selected;
    assert_int_equal(weft__select(&select, &selected), WEFT_OK);
    assert_non_null(selected.transport->rma);
    assert_ptr_equal(selected.transport, selected.ep->transport);
    assert_non_null(strstr(selected.report, ": chosen\n"));
    assert_non_null(strstr(selected.report, "ofi:efa: "));
    assert_non_null(strstr(selected.report, "\ntcp: "));
    assert_non_null(strstr(selected.report, "zmq: "));
    selected.transport->core->close(selected.ep);
    free(selected.report);
}

static void a_report_tells_about_every_candidate(void **state)
{
    (void)state;
    struct weft__select select = on("127.0.0.1", "auto");
    char *report;
    assert_int_equal(weft__select_report(&select, &report), WEFT_OK);
    unsigned lines = 0;
    for (const char *at = report; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 6);
    free(report);
}

static void when_none_works_the_error_names_each(void **state)
{
    (void)state;
    struct weft_tp_core_ops core = *pair_transports[0]->core;
    core.open = open_fails;
    struct weft_transport broken = *pair_transports[0];
    broken.scheme = "ofi";
    broken.core = &core;
    const struct weft_transport *table[] = {&broken};
    struct weft__select select = on("127.0.0.1", "auto");
    select.transports = table;
    select.transports_n = 1;
    struct weft__selected selected;
    assert_int_equal(weft__select(&select, &selected), WEFT_ENOTSUP);
    const char *text = weft_fail_text(WEFT_ENOTSUP);
    assert_non_null(strstr(text, "ofi:net: no such device on 127.0.0.1"));
    assert_non_null(strstr(text, "zmq: not built in"));
}

static void a_transport_asked_for_by_name_keeps_its_own_error(void **state)
{
    (void)state;
    struct weft__selected selected;
    struct weft__select select = on("127.0.0.1", "ofi:no-such-provider");
    assert_int_equal(weft__select(&select, &selected), WEFT_ENOTSUP);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOTSUP), "no-such-provider"));
    select = on("127.0.0.1", "pigeon");
    assert_int_equal(weft__select(&select, &selected), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "pigeon"));
    static const char *const empty[] = {"", "tcp,", ",tcp", "tcp,,zmq"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        select = on("127.0.0.1", empty[i]);
        assert_int_equal(weft__select(&select, &selected), WEFT_EINVAL);
        assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "empty"));
    }
    select = on("127.0.0.1", "ofi:");
    assert_int_equal(weft__select(&select, &selected), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "name of a provider"));
    select = on("203.0.113.1", "ofi:net"); /* an address that this machine has not */
    assert_int_not_equal(weft__select(&select, &selected), WEFT_OK);
}

static void a_named_transport_may_be_made_faulty(void **state)
{
    (void)state;
    struct weft__selected selected;
    struct weft__select select = on("127.0.0.1", "fault(seed=7,delay=3)+zmq");
    assert_int_equal(weft__select(&select, &selected), WEFT_OK);
    assert_string_equal(selected.address.paths[0].name, "zmq+shim"); /* what its peers see */
    assert_string_equal(selected.name, "fault+zmq+shim");
    assert_non_null(selected.transport->rma);
    selected.transport->core->close(selected.ep);
    free(selected.report);
    select = on("127.0.0.1", "fault(sead=7)+zmq");
    assert_int_equal(weft__select(&select, &selected), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "sead"));
}

static void a_probe_ends_at_its_deadline(void **state)
{
    (void)state;
    struct weft_tp_open open = {.bind = "127.0.0.1", .provider = "net"};
    for (size_t i = 0; i < pair_transports_n; i++)
        if (strcmp(pair_transports[i]->scheme, "ofi") == 0)
            assert_int_equal(weft__probe(pair_transports[i], &open, 0), WEFT_ETIMEDOUT);
}

static void a_progress_setting_must_be_known(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "core",    "core:",      "core:x",
                                      "core:-1", "core:1x", "core:99999", "threads"};
    struct end end = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weft_lane_desc desc = end_desc(&end, "a", bad[i]);
        assert_int_equal(weft__lane_open(&desc, &end.lane), WEFT_EINVAL);
    }
    end_open(&end, "a", "core:0");
    assert_non_null(strstr(weft__lane_report(end.lane), "chosen"));
    weft__lane_close(end.lane);
}

static void two_lanes_share_a_range_of_ports(void **state)
{
    (void)state;
    /* A lane on any port tells which one is free now; the next one has to take another from there
     * on. */
    struct end a = {0}, b = {0};
    struct weft_lane_desc desc = end_desc(&a, "a", "worker");
    desc.port_first = 20000;
    desc.port_last = 20400;
    assert_int_equal(weft__lane_open(&desc, &a.lane), WEFT_OK);
    desc.ctx = &b;
    assert_int_equal(weft__lane_open(&desc, &b.lane), WEFT_OK);
    assert_string_not_equal(weft__lane_address(a.lane), weft__lane_address(b.lane));
    pair_close(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(automatic_choice_works_on_loopback_and_names_what_it_passed_over),
        cmocka_unit_test(a_report_tells_about_every_candidate),
        cmocka_unit_test(when_none_works_the_error_names_each),
        cmocka_unit_test(a_transport_asked_for_by_name_keeps_its_own_error),
        cmocka_unit_test(a_named_transport_may_be_made_faulty),
        cmocka_unit_test(a_probe_ends_at_its_deadline),
        cmocka_unit_test(a_progress_setting_must_be_known),
        cmocka_unit_test(two_lanes_share_a_range_of_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
