/* Where programs that use libweft find a host's services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/config.h"
#include "host/service_url.h"
#include "weft/error.h"

static void check(const char *host, enum weft_host_port port, const char *wanted)
{
    char url[WEFT_REGISTRY_URL_MAX];
    assert_int_equal(weft__service_url(host, port, url), WEFT_OK);
    assert_string_equal(url, wanted);
}

/* The first case: nobody has read the settings of this process yet. */
static void the_first_question_reads_the_settings(void **state)
{
    (void)state;
    assert_false(weft__config_is_loaded());
    (void)setenv("WEFT_PORTS", "9100-9199", 1);
    (void)setenv("WEFT_HOST", "127.0.0.3", 1);
    (void)setenv("WEFT_SECURITY", "curve", 1);
    check("127.0.0.2", WEFT_PORT_SNAPSHOT, "tcp://127.0.0.2:9106");
    check(NULL, WEFT_PORT_GROUP_ASYNC, "tcp://127.0.0.3:9109");
    assert_string_equal(weft__config_text("WEFT_SECURITY"), "curve");
}

static void settings_are_not_read_again(void **state)
{
    (void)state;
    assert_int_equal(weft__config_set("WEFT_HOST", "127.0.0.4:9300"), WEFT_OK);
    (void)setenv("WEFT_HOST", "127.0.0.5", 1);
    check(NULL, WEFT_PORT_STATE, "tcp://127.0.0.4:9304");
    check(NULL, WEFT_PORT_SYNC, "tcp://127.0.0.4:9300");
}

static void what_is_no_address_of_a_host_is_refused(void **state)
{
    char url[WEFT_REGISTRY_URL_MAX], longer[2 * WEFT_REGISTRY_URL_MAX];
    (void)state;
    memset(longer, '1', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(weft__service_url("", WEFT_PORT_STATE, url), WEFT_EINVAL);
    assert_int_equal(weft__service_url("127.0.0.1:65535", WEFT_PORT_STATE, url), WEFT_EINVAL);
    assert_int_equal(weft__service_url(longer, WEFT_PORT_STATE, url), WEFT_EINVAL);
    check("tcp://127.0.0.1:9997", WEFT_PORT_GROUP, "tcp://127.0.0.1:10005");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_question_reads_the_settings),
        cmocka_unit_test(settings_are_not_read_again),
        cmocka_unit_test(what_is_no_address_of_a_host_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
