/* Servers and clients with keys: who gets in, who does not, and what they are told. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/config.h"
#include "control/client.h"
#include "control/security.h"
#include "control/server.h"
#include "weft/error.h"

enum { ECHO = 1, TIMEOUT_MS = 30000 };

/* Three folders of keys: the host's, which the first client shares; a friend's; a stranger's. */
enum { OURS, FRIEND, STRANGER, FOLDERS };

struct scene {
    char folder[FOLDERS][64];
    struct weft_security *keys[FOLDERS];
    struct weft_server *server;
    char url[64];
    _Atomic unsigned handled;
};

static struct scene scene;

static void echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    size_t len;
    const void *body = weft__call_body(call, &len);
    (void)ctx;
    (void)request;
    atomic_fetch_add(&scene.handled, 1);
    weft__call_reply_bytes(call, body, len);
}

static const struct weft_handler_desc handlers[] = {
    {.code = ECHO,
     .flags = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES,
     .name = "echo",
     .run = echo}};

static int serve(const char *address, const struct weft_tp_security *security)
{
    const struct weft_service_desc service = {
        .name = "echo", .handlers = handlers, .handlers_n = 1};
    const struct weft_server_desc desc = {
        .bind = address, .services = &service, .services_n = 1, .security = security};
    int err = weft__server_start(&desc, &scene.server);
    if (err == WEFT_OK)
        snprintf(scene.url, sizeof(scene.url), "tcp://%s:%u", address,
                 weft__server_sync_port(scene.server, 0));
    return err;
}

static void write_file(unsigned who, const char *name, const char *text)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", scene.folder[who], name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

static void public_text(unsigned who, char text_out[WEFT_KEY_TEXT_LEN + 1])
{
    struct weft_key key;
    memcpy(key.bytes, weft__security_tp(scene.keys[who])->public_key, sizeof(key.bytes));
    weft__key_print(&key, text_out);
}

/* This folder's owner knows the key of our host. */
static void knows_host(unsigned who)
{
    char line[128], key[WEFT_KEY_TEXT_LEN + 1];
    public_text(OURS, key);
    snprintf(line, sizeof(line), "127.0.0.1 %s\n", key);
    write_file(who, "hosts", line);
}

static int scene_open(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    for (unsigned i = 0; i < FOLDERS; i++) {
        strcpy(scene.folder[i], "/tmp/weft-keys-XXXXXX");
        assert_non_null(mkdtemp(scene.folder[i]));
        assert_int_equal(weft__keys_generate(scene.folder[i], false), WEFT_OK);
        assert_int_equal(weft__security_open(scene.folder[i], &scene.keys[i]), WEFT_OK);
    }
    return 0;
}

static int scene_close(void **state)
{
    static const char *const names[] = {"secret", "public", "allowed", "hosts"};
    char path[96];
    (void)state;
    weft__server_stop(scene.server, 1000);
    for (unsigned i = 0; i < FOLDERS; i++) {
        weft__security_close(scene.keys[i]);
        for (unsigned k = 0; k < 4; k++) {
            snprintf(path, sizeof(path), "%s/%s", scene.folder[i], names[k]);
            (void)unlink(path);
        }
        assert_int_equal(rmdir(scene.folder[i]), 0);
    }
    return 0;
}

static struct weft_client *client_of(const struct weft_tp_security *security)
{
    struct weft_client *client;
    assert_int_equal(weft__client_open(&(struct weft_client_desc){.security = security}, &client),
                     WEFT_OK);
    return client;
}

static int ask(struct weft_client *client)
{
    const struct weft_client_call call = {
        .url = scene.url, .code = ECHO, .timeout_ms = TIMEOUT_MS, .body = "hello", .body_len = 5};
    void *reply;
    size_t len;
    int err = weft__client_wait_bytes(client, &call, &reply, &len);
    if (err != WEFT_OK)
        return err;
    assert_int_equal(len, 5);
    assert_memory_equal(reply, "hello", 5);
    free(reply);
    return WEFT_OK;
}

/* One call of a client of its own: its error. */
static int ask_as(const struct weft_tp_security *security)
{
    struct weft_client *client = client_of(security);
    int err = ask(client);
    weft__client_close(client);
    return err;
}

static void refused(const struct weft_tp_security *security, const char *words)
{
    unsigned handled = atomic_load(&scene.handled);
    assert_int_equal(ask_as(security), WEFT_EACCES);
    if (strstr(weft_fail_text(WEFT_EACCES), words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", weft_fail_text(WEFT_EACCES), words);
    assert_int_equal(atomic_load(&scene.handled), handled);
}

static const struct weft_tp_security *tp(unsigned who)
{
    return weft__security_tp(scene.keys[who]);
}

static struct weft_server_access access_now(void)
{
    struct weft_server_access access;
    weft__server_access(scene.server, &access);
    return access;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t limit_ = weft__now_ns() + TIMEOUT_MS * WEFT_NS_PER_MS;                            \
        while (!(condition)) {                                                                     \
            assert_true(weft__now_ns() < limit_);                                                  \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
    } while (0)

static void a_client_with_the_hosts_own_key_is_served(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    assert_int_equal(ask_as(tp(OURS)), WEFT_OK);
    assert_int_equal(access_now().denied, 0);
}

static void a_key_that_is_not_on_the_list_is_refused_by_name_and_counted(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    knows_host(FRIEND);
    refused(tp(FRIEND), "\"allowed\"");
    UNTIL(access_now().denied == 1);
    assert_int_equal(ask_as(tp(OURS)), WEFT_OK); /* others are served */
}

static void a_key_that_is_added_to_the_list_gets_in_without_a_restart(void **state)
{
    char own[WEFT_KEY_TEXT_LEN + 1], friend[WEFT_KEY_TEXT_LEN + 1], list[256];
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    knows_host(FRIEND);
    refused(tp(FRIEND), "\"allowed\"");
    public_text(OURS, own);
    public_text(FRIEND, friend);
    snprintf(list, sizeof(list), "%s\n%s # a friend\n", own, friend);
    write_file(OURS, "allowed", list);
    assert_int_equal(ask_as(tp(FRIEND)), WEFT_OK);
    snprintf(list, sizeof(list), "%s\n", friend);
    write_file(OURS, "allowed", list);
    refused(tp(OURS), "\"allowed\"");
    assert_int_equal(ask_as(tp(FRIEND)), WEFT_OK);
}

static void a_client_that_expects_another_host_is_told_which_file_to_look_at(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    refused(tp(STRANGER), "\"hosts\"");
    UNTIL(access_now().handshakes_failed > 0);
}

static void a_client_without_a_key_is_told_to_get_one(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    refused(&weft__security_none, "WEFT_SECURITY=curve");
    UNTIL(access_now().handshakes_failed > 0);
    assert_int_equal(ask_as(tp(OURS)), WEFT_OK);
}

static void a_client_with_keys_does_not_talk_to_a_host_without(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", &weft__security_none), WEFT_OK);
    refused(tp(OURS), "has no keys");
    assert_int_equal(ask_as(&weft__security_none), WEFT_OK);
}

static void a_refused_client_can_be_used_again_when_the_host_has_changed(void **state)
{
    char list[256], key[WEFT_KEY_TEXT_LEN + 1];
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    knows_host(FRIEND);
    struct weft_client *client = client_of(tp(FRIEND));
    assert_int_equal(ask(client), WEFT_EACCES);
    assert_int_equal(ask(client), WEFT_EACCES);
    public_text(FRIEND, key);
    snprintf(list, sizeof(list), "%s\n", key);
    write_file(OURS, "allowed", list);
    assert_int_equal(ask(client), WEFT_OK);
    assert_int_equal(ask(client), WEFT_OK);
    weft__client_close(client);
}

static void a_plain_zeromq_client_gets_nothing_and_is_counted(void **state)
{
    int zero = 0, some = 300;
    char reply[64];
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    void *context = zmq_ctx_new(), *req = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(req, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(req, ZMQ_RCVTIMEO, &some, sizeof(some));
    assert_int_equal(zmq_connect(req, scene.url), 0);
    assert_int_equal(zmq_send(req, reply, 48, 0), 48);
    assert_int_equal(zmq_recv(req, reply, sizeof(reply), 0), -1);
    UNTIL(access_now().handshakes_failed > 0);
    zmq_close(req);
    zmq_ctx_term(context);
    assert_int_equal(atomic_load(&scene.handled), 0);
    assert_int_equal(ask_as(tp(OURS)), WEFT_OK);
}

static void many_clients_with_and_without_the_key_do_not_mix(void **state)
{
    (void)state;
    assert_int_equal(serve("127.0.0.1", tp(OURS)), WEFT_OK);
    knows_host(FRIEND);
    struct weft_client *good = client_of(tp(OURS));
    for (unsigned i = 0; i < 10; i++) {
        refused(i % 2 ? tp(FRIEND) : &weft__security_none, scene.url);
        assert_int_equal(ask(good), WEFT_OK);
    }
    weft__client_close(good);
    assert_int_equal(access_now().denied, 5);
    assert_int_equal(atomic_load(&scene.handled), 10);
}

static void the_settings_say_which_keys_are_used(void **state)
{
    struct weft_security_facts facts;
    const struct weft_tp_security *security;
    char key[WEFT_KEY_TEXT_LEN + 1];
    (void)state;
    weft__security_forget();
    assert_int_equal(weft__config_set("WEFT_SECURITY", "curve"), WEFT_OK);
    assert_int_equal(weft__config_set("WEFT_KEYS", scene.folder[OURS]), WEFT_OK);
    assert_int_equal(serve("127.0.0.1", NULL), WEFT_OK);
    assert_int_equal(ask_as(NULL), WEFT_OK);
    refused(&weft__security_none, "WEFT_SECURITY=curve");
    weft__security_facts(&facts);
    public_text(OURS, key);
    assert_true(facts.curve);
    assert_int_equal(facts.allowed, 1);
    assert_string_equal(facts.key, key);
    assert_string_equal(facts.folder, scene.folder[OURS]);
    weft__server_stop(scene.server, 1000);
    scene.server = NULL;
    weft__security_forget();
    assert_int_equal(weft__config_set("WEFT_KEYS", "keys"), WEFT_OK);
    assert_int_equal(weft__security_get(&security), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "absolute"));
    assert_int_equal(weft__config_set("WEFT_KEYS", "/nowhere/at/all"), WEFT_OK);
    assert_int_equal(weft__security_get(&security), WEFT_EACCES);
    assert_non_null(strstr(weft_fail_text(WEFT_EACCES), "weft keygen"));
    assert_int_equal(serve("127.0.0.1", NULL), WEFT_EACCES);
    assert_int_equal(weft__config_set("WEFT_SECURITY", "none"), WEFT_OK);
    assert_int_equal(weft__security_get(&security), WEFT_OK);
    assert_null(security);
    weft__security_forget();
}

static void an_address_on_a_network_needs_keys_or_a_clear_word(void **state)
{
    (void)state;
    assert_string_equal(weft__config_source("WEFT_SECURITY"), "default");
    assert_int_equal(weft__security_check_bind("192.0.2.1", NULL), WEFT_EPERM);
    assert_non_null(strstr(weft_fail_text(WEFT_EPERM), "WEFT_SECURITY=none"));
    assert_int_equal(weft__security_check_bind("2001:db8::1", NULL), WEFT_EPERM);
    assert_int_equal(weft__security_check_bind("0.0.0.0", NULL), WEFT_EPERM);
    assert_int_equal(weft__security_check_bind("127.0.0.1", NULL), WEFT_OK);
    assert_int_equal(weft__security_check_bind("127.8.9.10", NULL), WEFT_OK);
    assert_int_equal(weft__security_check_bind("::1", NULL), WEFT_OK);
    assert_int_equal(weft__security_check_bind("some inproc name", NULL), WEFT_OK);
    assert_int_equal(weft__security_check_bind("192.0.2.1", tp(OURS)), WEFT_OK);
    assert_int_equal(serve("0.0.0.0", NULL), WEFT_EPERM);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_address_on_a_network_needs_keys_or_a_clear_word), /* before settings are set */
        CASE(a_client_with_the_hosts_own_key_is_served),
        CASE(a_key_that_is_not_on_the_list_is_refused_by_name_and_counted),
        CASE(a_key_that_is_added_to_the_list_gets_in_without_a_restart),
        CASE(a_client_that_expects_another_host_is_told_which_file_to_look_at),
        CASE(a_client_without_a_key_is_told_to_get_one),
        CASE(a_client_with_keys_does_not_talk_to_a_host_without),
        CASE(a_refused_client_can_be_used_again_when_the_host_has_changed),
        CASE(a_plain_zeromq_client_gets_nothing_and_is_counted),
        CASE(many_clients_with_and_without_the_key_do_not_mix),
        CASE(the_settings_say_which_keys_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
