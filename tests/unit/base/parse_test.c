#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/parse.h"
#include "weft/error.h"

static void a_number_within_its_limits_is_read(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_int_equal(weft__parse_u64("0", 0, 10, &n), WEFT_OK);
    assert_int_equal(n, 0);
    assert_int_equal(weft__parse_u64("10", 0, 10, &n), WEFT_OK);
    assert_int_equal(n, 10);
    assert_int_equal(weft__parse_u64("18446744073709551615", 0, UINT64_MAX, &n), WEFT_OK);
    assert_true(n == UINT64_MAX);
}

static void what_is_no_number_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "x", "-1", "+1", " 1", "1 ", "0x10", "1.5", "1e3"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t n = 7;
        assert_int_equal(weft__parse_u64(wrong[i], 0, UINT64_MAX, &n), WEFT_EINVAL);
        assert_int_equal(n, 7);
        assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), wrong[i]));
    }
}

static void a_number_outside_its_limits_is_refused_and_named(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_int_equal(weft__parse_u64("0", 1, 10, &n), WEFT_ERANGE);
    assert_int_equal(weft__parse_u64("11", 1, 10, &n), WEFT_ERANGE);
    assert_string_equal(weft_fail_text(WEFT_ERANGE),
                        "11 is out of range; give a number from 1 to 10");
    assert_int_equal(weft__parse_u64("18446744073709551616", 0, UINT64_MAX, &n), WEFT_ERANGE);
    assert_int_equal(weft__parse_u64("99999999999999999999999", 0, UINT64_MAX, &n), WEFT_ERANGE);
    assert_int_equal(n, 7);
}

static void sizes_take_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1B", 1},
                {"1k", 1024},
                {"2K", 2048},
                {"3M", 3u << 20},
                {"16G", UINT64_C(16) << 30},
                {"16GB", UINT64_C(16) << 30},
                {"16gib", UINT64_C(16) << 30},
                {"1T", UINT64_C(1) << 40}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t bytes = 7;
        assert_int_equal(weft__parse_size(good[i].text, 0, UINT64_MAX, &bytes), WEFT_OK);
        assert_true(bytes == good[i].bytes);
    }
}

static void a_wrong_size_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "G", "1X", "1GG", "1iB", "1 G", "-1G", "1Gb1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t bytes = 7;
        assert_int_equal(weft__parse_size(wrong[i], 0, UINT64_MAX, &bytes), WEFT_EINVAL);
        assert_int_equal(bytes, 7);
        assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), wrong[i]));
    }
}

static void a_size_outside_its_limits_is_refused(void **state)
{
    (void)state;
    uint64_t bytes = 7;
    assert_int_equal(weft__parse_size("16777216T", 0, UINT64_MAX, &bytes), WEFT_ERANGE);
    assert_int_equal(weft__parse_size("99999999999999999999", 0, UINT64_MAX, &bytes), WEFT_ERANGE);
    assert_int_equal(weft__parse_size("2K", 0, 2047, &bytes), WEFT_ERANGE);
    assert_int_equal(weft__parse_size("1K", 1025, 2047, &bytes), WEFT_ERANGE);
    assert_non_null(strstr(weft_fail_text(WEFT_ERANGE), "1K"));
    assert_int_equal(bytes, 7);
}

static void ports_are_a_range_or_one(void **state)
{
    (void)state;
    uint16_t first = 0, last = 0;
    assert_int_equal(weft__parse_ports("8100-8199", &first, &last), WEFT_OK);
    assert_int_equal(first, 8100);
    assert_int_equal(last, 8199);
    assert_int_equal(weft__parse_ports("65535", &first, &last), WEFT_OK);
    assert_int_equal(first, 65535);
    assert_int_equal(last, 65535);
}

static void wrong_ports_are_refused_and_named(void **state)
{
    (void)state;
    uint16_t first = 1, last = 2;
    static const char *const malformed[] = {"",           "-",   "8100-", "-8100",
                                            "8100-8200x", "a-b", "1-2-3"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(weft__parse_ports(malformed[i], &first, &last), WEFT_EINVAL);
        assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), malformed[i]));
    }
    static const char *const outside[] = {"0", "0-5", "8199-8100", "8100-65536",
                                          "8100-99999999999999999999"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_int_equal(weft__parse_ports(outside[i], &first, &last), WEFT_ERANGE);
        assert_non_null(strstr(weft_fail_text(WEFT_ERANGE), outside[i]));
    }
    assert_int_equal(first, 1);
    assert_int_equal(last, 2);
}

static void a_tenant_is_a_short_text_on_one_line(void **state)
{
    static const char *const good[] = {"", "a", "uid 1000", "J\xc3\xb6rg",
                                       "1234567890123456789012345678901"};
    static const char *const bad[] = {"a\nb", "\t", "\x7f", "\x1b[2J",
                                      "12345678901234567890123456789012"};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(weft__parse_tenant(good[i]), WEFT_OK);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(weft__parse_tenant(bad[i]), WEFT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_within_its_limits_is_read),
        cmocka_unit_test(what_is_no_number_is_refused_and_named),
        cmocka_unit_test(a_number_outside_its_limits_is_refused_and_named),
        cmocka_unit_test(sizes_take_units),
        cmocka_unit_test(a_wrong_size_is_refused_and_named),
        cmocka_unit_test(a_size_outside_its_limits_is_refused),
        cmocka_unit_test(ports_are_a_range_or_one),
        cmocka_unit_test(wrong_ports_are_refused_and_named),
        cmocka_unit_test(a_tenant_is_a_short_text_on_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
