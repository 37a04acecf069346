#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/event_json.h"

static struct weft_event asked(const char *from, const char *to, const char *cause)
{
    struct weft_event event = {.time_ns = 5,
                               .mono_ns = 6,
                               .app = 0xab,
                               .kind = WEFT_EVENT_MOVE_ASKED,
                               .rank = 2,
                               .n = {9}};
    size_t used = 0;
    const char *texts[] = {from, to, cause};
    for (size_t i = 0; i < 3; i++) {
        memcpy(event.text + used, texts[i], strlen(texts[i]) + 1);
        used += strlen(texts[i]) + 1;
    }
    return event;
}

static const char *line_of(const struct weft_event *event, const char *host)
{
    static char line[WEFT_EVENT_LINE_MAX];
    line[weft__event_json(event, host, line)] = '\0';
    return line;
}

static void an_event_is_one_line_with_the_fields_of_its_kind(void **state)
{
    (void)state;
    struct weft_event event = asked("a", "b", "by hand");
    assert_string_equal(
        line_of(&event, "h"),
        "{\"v\":1,\"time_ns\":5,\"mono_ns\":6,\"host\":\"h\",\"app\":\"ab\",\"rank\":"
        "2,\"kind\":\"move_asked\",\"move\":9,\"from\":\"a\",\"to\":\"b\",\"cause\":"
        "\"by hand\"}\n");
}

static void what_an_event_is_not_of_is_null(void **state)
{
    (void)state;
    struct weft_event event = {.kind = WEFT_EVENT_HOST_LEFT, .rank = WEFT_EVENT_NO_RANK};
    memcpy(event.text, "x", 2);
    assert_string_equal(line_of(&event, "h"),
                        "{\"v\":1,\"time_ns\":0,\"mono_ns\":0,\"host\":\"h\",\"app\":null,\"rank\":"
                        "null,\"kind\":\"host_left\",\"peer\":\"x\"}\n");
}

static void a_negative_code_is_negative(void **state)
{
    (void)state;
    struct weft_event event = {
        .kind = WEFT_EVENT_APP_ENDED, .rank = WEFT_EVENT_NO_RANK, .n = {(uint64_t)-1, 5}};
    assert_non_null(strstr(line_of(&event, "h"), "\"code\":-1,\"took_ns\":5,"));
}

static void quotes_and_control_characters_are_escaped(void **state)
{
    (void)state;
    struct weft_event event = asked("say \"x\"", "back\\slash", "tab\tnew\nline\x7f");
    const char *line = line_of(&event, "h");
    assert_non_null(strstr(line, "\"say \\\"x\\\"\""));
    assert_non_null(strstr(line, "\"back\\\\slash\""));
    assert_non_null(strstr(line, "\"tab\\u0009new\\u000aline\\u007f\""));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void what_is_no_utf8_is_replaced_and_the_rest_stays(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *wanted;
    } cases[] = {
        {"h\xc3\xb6rt \xe2\x82\xac \xf0\x9f\x98\x80",
         "\"h\xc3\xb6rt \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         "\"a\\ufffdb\""},                                          /* never a byte of UTF-8 */
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},                         /* longer than needed */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},              /* half of a pair */
        {"\xf4\x90\x80\x80!", "\"\\ufffd\\ufffd\\ufffd\\ufffd!\""}, /* beyond the last one */
        {"cut \xe2\x82", "\"cut \\ufffd\\ufffd\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weft_event event = asked(cases[i].bytes, "b", "c");
        assert_non_null(strstr(line_of(&event, "h"), cases[i].wanted));
    }
}

static void the_longest_line_fits(void **state)
{
    (void)state;
    char host[200];
    memset(host, 1, sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    for (uint32_t kind = 1; kind < WEFT_EVENT_KINDS; kind++) {
        struct weft_event event = {.time_ns = UINT64_MAX,
                                   .mono_ns = UINT64_MAX,
                                   .app = UINT64_MAX,
                                   .kind = kind,
                                   .rank = INT32_MIN};
        memset(event.n, 0xff, sizeof(event.n));
        memset(event.text, 2, sizeof(event.text) - 1);
        const char *line = line_of(&event, host);
        assert_true(strlen(line) < WEFT_EVENT_LINE_MAX);
        assert_string_equal(line + strlen(line) - 2, "}\n");
    }
}

static void texts_without_an_end_and_unknown_kinds_do_no_harm(void **state)
{
    (void)state;
    struct weft_event event = {.kind = WEFT_EVENT_HOST_LEFT};
    memset(event.text, 'x', sizeof(event.text));
    assert_non_null(strstr(line_of(&event, "h"), "\"peer\":\"\""));
    event.kind = 4711;
    assert_non_null(strstr(line_of(&event, "h"), "\"kind\":\"\"}"));
    assert_string_equal(weft__event_name(4711), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_line_with_the_fields_of_its_kind),
        cmocka_unit_test(what_an_event_is_not_of_is_null),
        cmocka_unit_test(a_negative_code_is_negative),
        cmocka_unit_test(quotes_and_control_characters_are_escaped),
        cmocka_unit_test(what_is_no_utf8_is_replaced_and_the_rest_stays),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(texts_without_an_end_and_unknown_kinds_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
