#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"

#define PORTS 150
#define FDS 100 /* less than sockets for so many ports have */

/* To a port of this machine that nobody listens on, another one each time. */
static void push_to_nobody(struct weft_client *client)
{
    static unsigned n;
    char url[64];

    n++;
    snprintf(url, sizeof(url), "tcp://127.9.%u.%u:9", n / 250, n % 250 + 1);
    assert_int_equal(weft__client_push(client, url, 1, NULL), WEFT_OK);
}

static void ports_that_were_pushed_to_cost_nothing_for_good(void **state)
{
    const struct weft_client_desc desc = {.push_idle_ms = 1};
    struct weft_client_stats stats;
    struct weft_client *client;
    unsigned before, looks = 0;

    (void)state;
    assert_int_equal(weft__client_open(&desc, &client), WEFT_OK);
    before = rig_fds();
    for (unsigned i = 0; i < PORTS; i++)
        push_to_nobody(client);
    assert_true(RIG_UNTIL((weft__client_stats(client, &stats), stats.pushes == PORTS)));
    /* What is idle goes when another connection is made. */
    assert_true(RIG_UNTIL(
        (looks++ % 256 == 0 ? push_to_nobody(client) : (void)0, rig_fds() < before + FDS)));
    weft__client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_that_were_pushed_to_cost_nothing_for_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
