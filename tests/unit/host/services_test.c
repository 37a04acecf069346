/* What the services of a real host say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemons.h"
#include "host/calls.h"
#include "link/data.h"
#include "wire/message.h"
#include "wire/stats.pb-c.h"

static Weft__Stats__ServicesReply *ask_services(struct daemons *rig, unsigned host)
{
    ProtobufCMessage *message;
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.host = host,
                                        .code = WEFT_CALL_SERVICES,
                                        .reply_type = &weft__stats__services_reply__descriptor},
                   &message),
        WEFT_OK);
    return (Weft__Stats__ServicesReply *)message;
}

static const Weft__Stats__Service *service_of(const Weft__Stats__ServicesReply *reply,
                                              const char *name)
{
    for (size_t i = 0; i < reply->n_services; i++)
        if (strcmp(reply->services[i]->name, name) == 0)
            return reply->services[i];
    return NULL;
}

static void the_head_tells_of_all_its_services_and_others_have_no_registry(void **state)
{
    static const char *const names[] = {"function", "state", "snapshot", "group"};
    for (unsigned host = 0; host < DAEMONS; host++) {
        Weft__Stats__ServicesReply *reply = ask_services(*state, host);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            assert_non_null(service_of(reply, names[i]));
            assert_true(service_of(reply, names[i])->sync_port != 0);
        }
        assert_true((service_of(reply, "registry") != NULL) == (host == 0));
        assert_string_equal(reply->name, host == 0 ? "a" : "b");
        assert_int_equal(reply->pid, ((struct daemons *)*state)->pids[host]);
        weft__message_free(&reply->base);
    }
}

static void calls_are_counted_and_timed_and_refusals_by_their_reason(void **state)
{
    enum { PINGS = 50, UNKNOWN = 3, NO_SUCH_CALL = 0x7777 };
    struct daemons *rig = *state;
    Weft__Stats__ServicesReply *before = ask_services(rig, 0);
    for (unsigned i = 0; i < PINGS; i++)
        assert_int_equal(daemon_ask(rig, &(struct daemon_ask){.code = WEFT_CALL_PING}, NULL),
                         WEFT_OK);
    for (unsigned i = 0; i < UNKNOWN; i++)
        assert_int_equal(daemon_ask(rig, &(struct daemon_ask){.code = NO_SUCH_CALL}, NULL),
                         WEFT_EUNKNOWNCALL);
    Weft__Stats__ServicesReply *after = ask_services(rig, 0);
    const Weft__Stats__Service *was = service_of(before, "function"),
                               *is = service_of(after, "function");
    assert_true(is->accepted - was->accepted >= PINGS + 1);
    assert_true(is->answered - was->answered >= PINGS + 1);
    assert_int_equal(is->refused_unknown - was->refused_unknown, UNKNOWN);
    assert_true(is->queued->n - was->queued->n >= PINGS);
    assert_true(is->handled->p50 <= is->handled->p99 && is->handled->p99 <= is->handled->p999 &&
                is->handled->p999 <= is->handled->max);
    weft__message_free(&before->base);
    weft__message_free(&after->base);
}

static void the_lane_is_shown_once_it_is_open(void **state)
{
    struct daemons *rig = *state;
    struct weft_data_host lane;
    Weft__Stats__ServicesReply *before = ask_services(rig, 1);
    assert_string_equal(before->lane->transport, "");
    assert_int_equal(weft__data_ask(rig->client, rig->urls[1], DAEMON_MS, &lane), WEFT_OK);
    Weft__Stats__ServicesReply *after = ask_services(rig, 1);
    assert_string_not_equal(after->lane->transport, "");
    weft__message_free(&before->base);
    weft__message_free(&after->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_tells_of_all_its_services_and_others_have_no_registry),
        cmocka_unit_test(calls_are_counted_and_timed_and_refusals_by_their_reason),
        cmocka_unit_test(the_lane_is_shown_once_it_is_open),
    };
    return cmocka_run_group_tests(tests, daemons_open, daemons_close);
}
