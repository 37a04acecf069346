/* Questions about endpoints and addresses. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "weft/error.h"

static void an_address_makes_the_round_trip(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct weft_tp_addr addr, copy;
    side_open(&a, WEFT_TP_MSG);
    side_open(&b, WEFT_TP_MSG);
    memset(&addr, 0xaa, sizeof(addr));
    assert_int_equal(b.tp->core->address(b.ep, &addr), WEFT_OK);
    assert_true(addr.len > 0 && addr.len <= WEFT_TP_ADDR_MAX);
    memset(&copy, 0x55, sizeof(copy));
    copy.len = addr.len;
    memcpy(copy.bytes, addr.bytes,
           addr.len); /* as it travels: what lies behind len is not part of it */
    assert_int_equal(a.tp->core->peer_add(a.ep, &copy, &a.peer), WEFT_OK);
    struct probe probe;
    probe_init(&probe, NULL);
    probe_send_all(&a, &b, &probe, "hello", 5);
    sides_until(&a, &b, &b.messages, 1);
    sides_until(&a, &b, &probe.done, 1);
    assert_int_equal(b.bytes, 5);
    side_close(&a);
    side_close(&b);
}

static void two_endpoints_have_two_addresses(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct weft_tp_addr x, y;
    side_open(&a, WEFT_TP_MSG);
    side_open(&b, WEFT_TP_MSG);
    assert_int_equal(a.tp->core->address(a.ep, &x), WEFT_OK);
    assert_int_equal(b.tp->core->address(b.ep, &y), WEFT_OK);
    assert_false(x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0);
    side_close(&a);
    side_close(&b);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    struct side a = {0};
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    side_open(&a, WEFT_TP_MSG);
    memset(&addr, 0, sizeof(addr));
    assert_int_equal(a.tp->core->peer_add(a.ep, &addr, &peer), WEFT_EINVAL);
    addr.len = WEFT_TP_ADDR_MAX;
    memset(addr.bytes, 0xff, sizeof(addr.bytes));
    assert_int_equal(a.tp->core->peer_add(a.ep, &addr, &peer), WEFT_EINVAL);
    addr.len = UINT16_MAX;
    assert_int_equal(a.tp->core->peer_add(a.ep, &addr, &peer), WEFT_EINVAL);
    side_close(&a);
}

static void limits_are_what_was_asked_for(void **state)
{
    (void)state;
    struct side a = {.sends_max = 48, .msg_max_bytes = 100000};
    side_open(&a, WEFT_TP_MSG);
    assert_true(a.limits.msg_max_bytes >= 100000);
    assert_true(a.limits.sends_max > 0 && a.limits.sends_max <= 48);
    assert_true(a.limits.peers_max > 0);
    side_close(&a);
}

static void an_idle_endpoint_has_nothing_to_do(void **state)
{
    (void)state;
    struct side a = {0};
    side_open(&a, WEFT_TP_MSG);
    side_settle(&a);
    assert_int_equal(a.tp->core->progress(a.ep), 0);
    side_close(&a);
}

static void a_transport_without_a_family_says_so_at_open(void **state)
{
    (void)state;
    struct side a = {0};
    const struct weft_transport *tp = conform_subject->transport;
    bool missing = false;
    if (!tp->ctl || conform_subject->shim) {
        missing = true;
        assert_int_equal(side_try_open(&a, WEFT_TP_CTL, conform_subject->bind, 0), WEFT_ENOTSUP);
    }
    if (!tp->rma && !conform_subject->shim) {
        missing = true;
        assert_int_equal(side_try_open(&a, WEFT_TP_MSG | WEFT_TP_RMA, conform_subject->bind, 0),
                         WEFT_ENOTSUP);
    }
    if (!missing) {
        print_message("skipped: %s has every family\n", conform_subject->name);
        skip();
    }
}

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void opening_and_closing_leaves_no_file_open(void **state)
{
    (void)state;
    unsigned before = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct side a = {0}, b = {0};
        sides_open(&a, &b, WEFT_TP_MSG);
        struct probe probe;
        probe_init(&probe, NULL);
        probe_send_all(&a, &b, &probe, "x", 1);
        sides_until(&a, &b, &b.messages, 1);
        sides_until(&a, &b, &probe.done, 1);
        side_close(&a);
        side_close(&b);
        if (i == 2) /* what a library keeps open for ever is open by now */
            before = open_files();
    }
    assert_true(open_files() <= before);
}

int conform_core(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_makes_the_round_trip),
        cmocka_unit_test(two_endpoints_have_two_addresses),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(limits_are_what_was_asked_for),
        cmocka_unit_test(an_idle_endpoint_has_nothing_to_do),
        cmocka_unit_test(a_transport_without_a_family_says_so_at_open),
        cmocka_unit_test(opening_and_closing_leaves_no_file_open),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
