/* Which interface is used first; and what is known of those of the machine that the test runs on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "link/nics.h"

#define FAR WEFT_NIC_FAR

static void assert_order(const uint32_t *distances, const unsigned *groups, unsigned n,
                         const unsigned *wanted)
{
    struct weft__nic nics[8] = {0};
    unsigned order[8];
    for (unsigned i = 0; i < n; i++)
        nics[i].distance = distances[i];
    weft__nics_order(nics, groups, n, order);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(order[i], wanted[i]);
}

static void the_nearest_comes_first(void **state)
{
    (void)state;
    assert_order((const uint32_t[]){21, 10, 31, 16}, NULL, 4, (const unsigned[]){1, 3, 0, 2});
}

static void what_has_no_place_comes_last_and_is_not_left_out(void **state)
{
    (void)state;
    assert_order((const uint32_t[]){FAR, 21, FAR, 10}, NULL, 4, (const unsigned[]){3, 1, 0, 2});
    assert_order((const uint32_t[]){FAR, FAR, FAR}, NULL, 3, (const unsigned[]){0, 1, 2});
}

static void equally_near_ones_stay_as_they_came(void **state)
{
    (void)state;
    assert_order((const uint32_t[]){10, 10, 21, 10, 21}, NULL, 5,
                 (const unsigned[]){0, 1, 3, 2, 4});
}

static void the_users_order_goes_before_the_distance(void **state)
{
    (void)state;
    assert_order((const uint32_t[]){10, 21, 10, FAR}, (const unsigned[]){1, 0, 1, 0}, 4,
                 (const unsigned[]){1, 3, 0, 2});
}

static void nothing_and_one_are_in_order(void **state)
{
    (void)state;
    unsigned order = 77;
    weft__nics_order(NULL, NULL, 0, &order);
    assert_int_equal(order, 77);
    assert_order((const uint32_t[]){21}, NULL, 1, (const unsigned[]){0});
}

static void the_loopback_is_no_card(void **state)
{
    (void)state;
    struct weft__nic nic;
    weft__nic_find("127.0.0.1", &nic);
    assert_string_equal(nic.name, "lo");
    assert_int_equal(nic.node, -1);
    assert_int_equal(nic.distance, FAR);
}

static void an_address_that_no_interface_has_is_not_known(void **state)
{
    (void)state;
    static const char *const addresses[] = {"203.0.113.7", "here", ""};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct weft__nic nic;
        memset(&nic, 0x5a, sizeof(nic));
        weft__nic_find(addresses[i], &nic);
        assert_string_equal(nic.name, "");
        assert_int_equal(nic.node, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_comes_first),
        cmocka_unit_test(what_has_no_place_comes_last_and_is_not_left_out),
        cmocka_unit_test(equally_near_ones_stay_as_they_came),
        cmocka_unit_test(the_users_order_goes_before_the_distance),
        cmocka_unit_test(nothing_and_one_are_in_order),
        cmocka_unit_test(the_loopback_is_no_card),
        cmocka_unit_test(an_address_that_no_interface_has_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
