#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "weft/error.h"

static void every_error_has_a_name_a_text_and_a_damage(void **state)
{
    (void)state;
#define X(name, code, damage, text)                                                                \
    assert_string_equal(weft_error_name(name), #name);                                             \
    assert_string_equal(weft_error_text(code), text);                                              \
    assert_int_equal(weft_error_damage(name), WEFT_DAMAGE_##damage);
    WEFT_ERRORS(X)
#undef X
}

static void no_two_errors_share_a_code(void **state)
{
    (void)state;
    static const int codes[] = {
#define X(name, code, damage, text) (code),
        WEFT_ERRORS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(codes[i], codes[j]);
    }
}

static void an_unknown_code_is_named_as_such(void **state)
{
    (void)state;
    assert_string_equal(weft_error_name(-9999), "WEFT_E?");
    assert_string_equal(weft_error_text(-9999), "unknown error");
    assert_string_equal(weft_error_text(7), "unknown error");
    assert_int_equal(weft_error_damage(-9999), WEFT_DAMAGE_OP);
    assert_int_equal(weft_error_damage(7), WEFT_DAMAGE_NONE);
}

static void an_errno_outside_the_list_has_the_systems_text(void **state)
{
    (void)state;
    assert_string_equal(weft_error_text(-EXDEV), strerrordesc_np(EXDEV));
}

static void fail_returns_its_code_and_keeps_the_text(void **state)
{
    (void)state;
    assert_int_equal(weft_fail(WEFT_EBUSY, "port %d is taken by %s", 8100, "x"), WEFT_EBUSY);
    assert_string_equal(weft_fail_text(WEFT_EBUSY), "port 8100 is taken by x");
}

static void a_text_is_not_shown_for_another_code(void **state)
{
    (void)state;
    weft_fail(WEFT_EBUSY, "the port is taken");
    assert_string_equal(weft_fail_text(WEFT_EIO), weft_error_text(WEFT_EIO));
    assert_string_equal(weft_fail_text(WEFT_OK), "ok");
    assert_string_equal(weft_fail_text(WEFT_EBUSY), "the port is taken");
}

static void clear_forgets_the_text(void **state)
{
    (void)state;
    weft_fail(WEFT_EBUSY, "the port is taken");
    weft_fail_clear();
    assert_string_equal(weft_fail_text(WEFT_EBUSY), "busy");
}

static void a_long_text_is_cut_at_511_characters(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    weft_fail(WEFT_EIO, "%s", text);
    assert_int_equal(strlen(weft_fail_text(WEFT_EIO)), 511);
}

static void a_text_may_be_built_from_the_text_before(void **state)
{
    (void)state;
    weft_fail(WEFT_EIO, "disk full");
    weft_fail(WEFT_EIO, "journal: %s", weft_fail_text(WEFT_EIO));
    assert_string_equal(weft_fail_text(WEFT_EIO), "journal: disk full");
}

static void *fail_elsewhere(void *argument)
{
    (void)argument;
    weft_fail(WEFT_EIO, "another thread's");
    return NULL;
}

static void each_thread_has_its_own_text(void **state)
{
    (void)state;
    weft_fail(WEFT_EIO, "mine");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(weft_fail_text(WEFT_EIO), "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_name_a_text_and_a_damage),
        cmocka_unit_test(no_two_errors_share_a_code),
        cmocka_unit_test(an_unknown_code_is_named_as_such),
        cmocka_unit_test(an_errno_outside_the_list_has_the_systems_text),
        cmocka_unit_test(fail_returns_its_code_and_keeps_the_text),
        cmocka_unit_test(a_text_is_not_shown_for_another_code),
        cmocka_unit_test(clear_forgets_the_text),
        cmocka_unit_test(a_long_text_is_cut_at_511_characters),
        cmocka_unit_test(a_text_may_be_built_from_the_text_before),
        cmocka_unit_test(each_thread_has_its_own_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
