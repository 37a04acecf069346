/* Which addresses data may use; the machine that the test runs on has the loopback at least. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/net.h"
#include "weft/error.h"

static void without_a_setting_the_own_address_is_taken(void **state)
{
    (void)state;
    struct weft__net net;
    assert_int_equal(weft__net_choose("", "192.0.2.1", NULL, &net), WEFT_OK);
    assert_int_equal(net.n, 1);
    assert_string_equal(net.address[0], "192.0.2.1");
    /* inproc's names are no addresses */
    assert_int_equal(weft__net_choose("eth1", "here", NULL, &net), WEFT_OK);
    assert_string_equal(net.address[0], "here");
}

static void interfaces_addresses_and_ranges_are_understood(void **state)
{
    (void)state;
    static const char *const words[] = {"lo", "127.0.0.1", "127.0.0.0/8", "no-such0,lo",
                                        "127.0.0.1,lo,127.0.0.0/8"};
    struct weft__net net;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        assert_int_equal(weft__net_choose(words[i], "127.0.0.1", NULL, &net), WEFT_OK);
        assert_int_equal(net.n, 1);
        assert_string_equal(net.address[0], "127.0.0.1");
    }
}

static void what_fits_nothing_is_an_error_that_names_the_setting(void **state)
{
    (void)state;
    static const char *const words[] = {"no-such0", "203.0.113.0/24", "198.51.100.7", "::/0"};
    struct weft__net net = {.n = 77};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        assert_int_equal(weft__net_choose(words[i], "127.0.0.1", NULL, &net), WEFT_EADDRNOTAVAIL);
        assert_non_null(strstr(weft_fail_text(WEFT_EADDRNOTAVAIL), words[i]));
    }
    assert_int_equal(net.n, 77);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {
        ",",           "lo,",        ",lo",          "eth0/8",
        "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/",    "10.0.0.0/-1",
        "::1/129",     "10.0.0/8",   "10.0.0.0/8/8", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"};
    struct weft__net net;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(weft__net_choose(words[i], "127.0.0.1", NULL, &net), WEFT_EINVAL);
}

static void what_is_not_taken_is_named_with_its_reason(void **state)
{
    (void)state;
    struct weft__net net;
    char *text = NULL;
    size_t len = 0;
    FILE *report = open_memstream(&text, &len);
    assert_non_null(report);
    assert_int_equal(weft__net_choose("lo,no-such0", "127.0.0.1", report, &net), WEFT_OK);
    fclose(report);
    assert_non_null(strstr(text, "no-such0: this machine has no such address"));
    assert_null(strstr(text, "127.0.0.1"));
    free(text);
}

static void loopback_is_ours_and_a_documentation_address_is_not(void **state)
{
    (void)state;
    assert_true(weft__net_is_ours("127.0.0.1"));
    assert_true(weft__net_is_ours("127.99.0.1"));
    assert_false(weft__net_is_ours("203.0.113.1"));
    assert_false(weft__net_is_ours("here"));
    assert_false(weft__net_is_ours(""));
    assert_true(weft__net_machine() != 0);
    assert_true(weft__net_machine() == weft__net_machine());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_setting_the_own_address_is_taken),
        cmocka_unit_test(interfaces_addresses_and_ranges_are_understood),
        cmocka_unit_test(what_fits_nothing_is_an_error_that_names_the_setting),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(what_is_not_taken_is_named_with_its_reason),
        cmocka_unit_test(loopback_is_ours_and_a_documentation_address_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
