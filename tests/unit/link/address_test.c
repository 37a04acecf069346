/* Addresses as text, and which path leads where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "link/address.h"
#include "link/net.h"
#include "weft/error.h"

/* An address from a text that must be right. */
static struct weft__address of(const char *text)
{
    struct weft__address address;
    assert_int_equal(weft__address_parse(text, &address), WEFT_OK);
    return address;
}

static void text_and_back_gives_the_same_address(void **state)
{
    (void)state;
    struct weft__address address = {.machine = 0xfedcba9876543210, .n = 2};
    char text[WEFT_LANE_ADDRESS_MAX];
    for (unsigned p = 0; p < 2; p++) {
        snprintf(address.paths[p].name, sizeof(address.paths[p].name), "%s",
                 p ? "tcp+shim" : "ofi:verbs;ofi_rxm");
        snprintf(address.paths[p].bind, sizeof(address.paths[p].bind), "%s",
                 p ? "fe80::1" : "10.0.0.7");
        address.paths[p].addr.len = 60;
        for (unsigned i = 0; i < 60; i++)
            address.paths[p].addr.bytes[i] = (uint8_t)(i * 37 + p);
    }
    assert_int_equal(weft__address_format(&address, text), WEFT_OK);
    struct weft__address back = of(text);
    assert_int_equal(back.machine, address.machine);
    assert_int_equal(back.n, 2);
    for (unsigned p = 0; p < 2; p++) {
        assert_string_equal(back.paths[p].name, address.paths[p].name);
        assert_string_equal(back.paths[p].bind, address.paths[p].bind);
        assert_int_equal(back.paths[p].addr.len, 60);
        assert_memory_equal(back.paths[p].addr.bytes, address.paths[p].addr.bytes, 60);
    }
    char names[64];
    weft__address_names(&back, names, sizeof(names));
    assert_string_equal(names, "ofi:verbs;ofi_rxm,tcp+shim");
}

static void a_name_that_would_break_the_text_is_written_otherwise(void **state)
{
    (void)state;
    struct weft__address address = of("inproc@x;00");
    char text[WEFT_LANE_ADDRESS_MAX];
    snprintf(address.paths[0].bind, sizeof(address.paths[0].bind), "a,b;c@d e/f");
    assert_int_equal(weft__address_format(&address, text), WEFT_OK);
    assert_string_equal(text, "inproc@a_b_c_d_e_f;00");
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct weft__address address = of("zmq;00,tcp;00");
    char text[WEFT_LANE_ADDRESS_MAX] = "as it was";
    address.paths[0].addr.len = address.paths[1].addr.len = WEFT_TP_ADDR_MAX;
    assert_int_equal(weft__address_format(&address, text), WEFT_ENOSPC);
    assert_string_equal(text, "as it was");
    address.n = 1;
    assert_int_equal(weft__address_format(&address, text), WEFT_OK);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          ";",         ";00",         "ofi",     "ofi;",        "ofi;0",
        "ofi;0g",    "ofi;00 ",   "@a;00",       "ofi@;00", "o i;00",      "ofi;00,",
        ",ofi;00",   "0123/a;00", "a;0,b;0,c;0", "a/b;00",  "a;0\ng,b;00", "0123456789abcdef/",
        "nonsense!", "a;00;",     "a;00,b",      "a;1;2,",  "a@b@c;00;0g",
    };
    struct weft__address address = {.n = 77};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(weft__address_parse(bad[i], &address), WEFT_EINVAL);
    assert_int_equal(weft__address_parse("a;00,b;00,c;00,d;00", &address), WEFT_EINVAL);
    char text[4 + 2 * WEFT_TP_ADDR_MAX + 3];
    memset(text, '0', sizeof(text));
    memcpy(text, "ofi;", 4);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(weft__address_parse(text, &address), WEFT_EINVAL);
    assert_int_equal(address.n, 77);
}

static void what_differs_in_transport_provider_or_shim_does_not_meet(void **state)
{
    (void)state;
    struct weft__address_routes out;
    static const char *const pairs[][2] = {{"zmq+shim;00", "ofi:net;00"},
                                           {"ofi:net;00", "ofi:verbs;ofi_rxm;00"},
                                           {"tcp;00", "tcp+shim;00"},
                                           {"of;00", "ofi;00"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct weft__address a = of(pairs[i][0]), b = of(pairs[i][1]);
        assert_false(weft__address_meet(pairs[i][0], pairs[i][1]));
        assert_int_equal(weft__address_pair(&a, &b, &out), WEFT_ENOTSUP);
        assert_non_null(strstr(weft_fail_text(WEFT_ENOTSUP), b.paths[0].name));
    }
    assert_true(weft__address_meet("ofi:net@1.2.3.4;00,tcp+shim;01", "zmq;00,tcp+shim;02"));
    assert_true(weft__address_meet("tcp;00|tcp;01", "tcp;02|tcp;03")); /* of two lanes each */
    assert_false(weft__address_meet("ofi:net;00", "nonsense"));
}

static void assert_route(const struct weft__address_route *route, const unsigned char wanted[3])
{
    assert_int_equal(route->ours, wanted[0]);
    assert_int_equal(route->theirs, wanted[1]);
    assert_int_equal(route->addr.bytes[0], wanted[2]);
}

static void paths_of_a_name_are_paired_in_their_order(void **state)
{
    (void)state;
    struct weft__address_routes out;
    struct weft__address ours = of("ofi:net;01,tcp;02,tcp;03");
    struct weft__address theirs = of("tcp;aa,zmq;bb,tcp;cc");
    assert_int_equal(weft__address_pair(&ours, &theirs, &out), WEFT_OK);
    static const unsigned char wanted[][3] = {
        {1, 0, 0xaa}, {2, 2, 0xcc}, {1, 2, 0xcc}, {2, 0, 0xaa}};
    assert_int_equal(out.n, 4); /* the twins first */
    for (unsigned i = 0; i < out.n; i++)
        assert_route(&out.route[i], wanted[i]);
    theirs = of("tcp;dd");
    assert_int_equal(weft__address_pair(&ours, &theirs, &out), WEFT_OK);
    assert_int_equal(out.n, 2);
    assert_route(&out.route[0], (const unsigned char[]){1, 0, 0xdd});
    assert_route(&out.route[1], (const unsigned char[]){2, 0, 0xdd});
}

static void an_address_that_two_machines_own_leads_nowhere(void **state)
{
    (void)state;
    struct weft__address_routes out;
    struct weft__address ours = of("tcp@127.0.0.1;00,tcp@127.0.0.1;01");
    struct weft__address theirs = of("0000000000000001/tcp@127.0.0.1;00,tcp@203.0.113.9;01");
    ours.machine = weft__net_machine();
    assert_int_equal(weft__address_pair(&ours, &theirs, &out), WEFT_OK);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.route[0].theirs, 1);
    assert_int_equal(out.route[1].theirs, 1);
    theirs.n = 1;
    assert_int_equal(weft__address_pair(&ours, &theirs, &out), WEFT_EADDRNOTAVAIL);
    assert_non_null(strstr(weft_fail_text(WEFT_EADDRNOTAVAIL), "127.0.0.1"));
    theirs.machine = ours.machine; /* the same machine: that is fine */
    assert_int_equal(weft__address_pair(&ours, &theirs, &out), WEFT_OK);
    assert_int_equal(out.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back_gives_the_same_address),
        cmocka_unit_test(a_name_that_would_break_the_text_is_written_otherwise),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(what_differs_in_transport_provider_or_shim_does_not_meet),
        cmocka_unit_test(paths_of_a_name_are_paired_in_their_order),
        cmocka_unit_test(an_address_that_two_machines_own_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
