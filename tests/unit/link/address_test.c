/* Addresses as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "link/address.h"
#include "weft/error.h"

static void text_and_back_gives_the_same_address(void **state)
{
    (void)state;
    struct weft_tp_addr addr = {.len = WEFT_TP_ADDR_MAX}, back = {0};
    for (unsigned i = 0; i < addr.len; i++)
        addr.bytes[i] = (uint8_t)(i * 37);
    char text[WEFT_LANE_ADDRESS_MAX];
    weft__address_format("a-scheme-of-15c", &addr, text);
    assert_true(strlen(text) < sizeof(text));
    assert_int_equal(weft__address_parse(text, "a-scheme-of-15c", &back), WEFT_OK);
    assert_int_equal(back.len, addr.len);
    assert_memory_equal(back.bytes, addr.bytes, addr.len);
}

static void another_scheme_is_not_supported(void **state)
{
    (void)state;
    struct weft_tp_addr addr = {.len = 77};
    assert_int_equal(weft__address_parse("zmq;00ff", "ofi", &addr), WEFT_ENOTSUP);
    assert_int_equal(weft__address_parse("of;00ff", "ofi", &addr), WEFT_ENOTSUP);
    assert_int_equal(addr.len, 77);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      ";",      ";00",     "ofi",      "ofi;",
                                      "ofi;0", "ofi;0g", "ofi;00 ", "ofi;00;00"};
    struct weft_tp_addr addr = {.len = 77};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(weft__address_parse(bad[i], "ofi", &addr), WEFT_EINVAL);
    char text[4 + 2 * WEFT_TP_ADDR_MAX + 3];
    memset(text, '0', sizeof(text));
    memcpy(text, "ofi;", 4);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(weft__address_parse(text, "ofi", &addr), WEFT_EINVAL);
    assert_int_equal(addr.len, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back_gives_the_same_address),
        cmocka_unit_test(another_scheme_is_not_supported),
        cmocka_unit_test(malformed_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
