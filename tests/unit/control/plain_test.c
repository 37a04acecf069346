/* Clients of plain ZeroMQ that know nothing but the frame as src/wire/frame.h describes it: they
 * build its 48 bytes by hand and include nothing of weft's inside. Against a real weftd, and
 * against a service in a program of its own. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "party.h"

#define HEADER 48
#define ROOM 65536
#define WAIT_MS 60000
#define FLOOD 2000

enum { CALL_PING = 0x0100, CALL_INFO = 0x0106, CALL_LIST = 0x0203, CALL_ECHO = 1, CALL_COUNT = 2 };
/* Calls that run on workers, of a host's other services. */
enum { CALL_LANE = 0x0080, CALL_STATE_LIST = 0x0403, CALL_SNAPSHOT_LIST = 0x0305 };
enum { PORT_REGISTRY = 2, PORT_STATE = 4, PORT_SNAPSHOT = 6 };
enum { FLAG_REPLY = 1, FLAG_ERROR = 2 };

static const char *weftd; /* the program */

/* ---- the frame, by hand ---- */

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

struct plain {
    void *ctx, *sock;
    int type;
    size_t heard; /* bytes of the newest body */
};

static void plain_open(struct plain *plain, int type, const char *url)
{
    int linger_ms = 0, timeout_ms = WAIT_MS;

    plain->type = type;
    plain->ctx = zmq_ctx_new();
    plain->sock = zmq_socket(plain->ctx, type);
    zmq_setsockopt(plain->sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    zmq_setsockopt(plain->sock, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(plain->sock, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    assert_int_equal(zmq_connect(plain->sock, url), 0);
}

static void plain_close(struct plain *plain)
{
    zmq_close(plain->sock);
    zmq_ctx_term(plain->ctx);
}

static void plain_say(struct plain *plain, uint16_t code, uint64_t correlation, const char *body)
{
    unsigned char frame[HEADER + 256] = {0};
    size_t len = strlen(body);

    memcpy(frame, "WEFT", 4);
    put(frame + 4, 2, 2); /* version */
    put(frame + 6, code, 2);
    put(frame + 16, correlation, 8);
    put(frame + 24, WAIT_MS, 4);
    put(frame + 28, len, 4);
    memcpy(frame + HEADER, body, len);
    assert_int_equal(zmq_send(plain->sock, frame, HEADER + len, 0), HEADER + len);
}

/* The error in the reply; its body with a NUL behind it in body_out. */
static int plain_hear(struct plain *plain, uint16_t code, uint64_t correlation, char body_out[ROOM])
{
    static unsigned char frame[ROOM];
    int len = zmq_recv(plain->sock, frame, sizeof(frame), 0);

    assert_in_range(len, HEADER, ROOM - 1);
    assert_memory_equal(frame, "WEFT", 4);
    assert_int_equal(get(frame + 4, 2), 2);
    assert_int_equal(get(frame + 6, 2), code);
    assert_int_equal(get(frame + 8, 2) & ~(uint64_t)FLAG_ERROR, FLAG_REPLY);
    assert_true(get(frame + 16, 8) == correlation);
    assert_int_equal(get(frame + 28, 4), len - HEADER);
    plain->heard = (size_t)len - HEADER;
    memcpy(body_out, frame + HEADER, plain->heard);
    body_out[len - HEADER] = '\0';
    return (get(frame + 8, 2) & FLAG_ERROR) == 0 ? 0 : (int)(int32_t)get(frame + 12, 4);
}

static int plain_ask(struct plain *plain, uint16_t code, char body_out[ROOM])
{
    static uint64_t correlation;

    plain_say(plain, code, ++correlation, "");
    return plain_hear(plain, code, correlation, body_out);
}

/* ---- a real host ---- */

static struct host {
    pid_t pid;
    char address[32];
    unsigned port;
    char url[64], async[64], registry[64];
} host;

static void host_start(void)
{
    unsigned pid = (unsigned)getpid();
    char address[32], fd[16], line[64] = "";
    int ready[2];
    unsigned port;

    snprintf(address, sizeof(address), "127.%u.%u.7", 1 + pid % 253, 1 + pid / 253 % 253);
    assert_int_equal(pipe(ready), 0);
    snprintf(fd, sizeof(fd), "%d", ready[1]);
    host.pid = fork();
    if (host.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        setenv("WEFT_REGISTRY_SERVER_THREADS", "3", 1);
        setenv("WEFT_STATE_SERVER_THREADS", "2", 1);
        setenv("WEFT_SNAPSHOT_SERVER_THREADS", "4", 1);
        setenv("WEFT_FUNCTION_SERVER_THREADS", "1", 1);
        execl(weftd, "weftd", "--name", "plain", "--address", address, "--ready-fd", fd,
              "--app-program", "/bin/true", (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_true(read(ready[0], line, sizeof(line) - 1) > 1);
    close(ready[0]);
    line[strcspn(line, "\n")] = '\0';
    memcpy(host.url, line, sizeof(host.url));
    port = (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
    memcpy(host.address, address, sizeof(host.address));
    host.port = port;
    snprintf(host.async, sizeof(host.async), "tcp://%s:%u", address, port + 1);
    snprintf(host.registry, sizeof(host.registry), "tcp://%s:%u", address, port + PORT_REGISTRY);
}

static void host_stop(void)
{
    int status = -1;

    kill(host.pid, SIGTERM);
    assert_int_equal(waitpid(host.pid, &status, 0), host.pid);
    assert_int_equal(status, 0);
}

/* How many worker threads the host has. */
static unsigned host_workers(void)
{
    char path[64], name[32];
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)host.pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)host.pid, entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof(name), file) != NULL)
            n += strcmp(name, "weft worker\n") == 0;
        fclose(file);
    }
    closedir(dir);
    return n;
}

/* ---- protobuf, by hand: the first field of that number, as text ---- */

static uint64_t varint(const unsigned char **at)
{
    uint64_t value = 0;
    int shift = 0;

    do
        value |= (uint64_t)(**at & 0x7f) << shift, shift += 7;
    while ((*(*at)++ & 0x80) != 0);
    return value;
}

static const char *field_text(const char *body, size_t len, unsigned number)
{
    static char text[ROOM];
    const unsigned char *at = (const unsigned char *)body, *end = at + len;

    while (at < end) {
        uint64_t key = varint(&at), size = varint(&at);

        if ((key & 7) == 0)
            continue; /* a number: it was read as the size */
        assert_int_equal(key & 7, 2);
        assert_true(size <= (uint64_t)(end - at));
        if (key >> 3 == number) {
            memcpy(text, at, size);
            text[size] = '\0';
            return text;
        }
        at += size;
    }
    return "";
}

static void req_and_dealer_talk_to_a_host(void **state)
{
    static const int types[] = {ZMQ_REQ, ZMQ_DEALER};
    static char body[ROOM];

    (void)state;
    host_start();
    for (int i = 0; i < 2; i++) {
        struct plain plain;

        plain_open(&plain, types[i], host.url);
        assert_int_equal(plain_ask(&plain, CALL_PING, body), 0);
        assert_int_equal(plain_ask(&plain, CALL_INFO, body), 0);
        assert_string_equal(field_text(body, plain.heard, 1), "plain");
        assert_int_equal(plain_ask(&plain, 0x7777, body), WEFT_EUNKNOWNCALL);
        assert_int_equal(plain_ask(&plain, CALL_PING, body), 0);
        plain_close(&plain);
        plain_open(&plain, types[i], host.registry);
        assert_int_equal(plain_ask(&plain, CALL_LIST, body), 0);
        assert_non_null(strstr(field_text(body, plain.heard, 3), "plain"));
        plain_close(&plain);
    }
    host_stop();
}

/* No call of a host comes by push: they are counted, and the host goes on. */
static void pushes_do_not_disturb_a_host(void **state)
{
    struct plain push, req;
    static char body[ROOM];

    (void)state;
    host_start();
    plain_open(&push, ZMQ_PUSH, host.async);
    for (int i = 0; i < 100; i++) {
        plain_say(&push, i % 2 ? CALL_PING : 0x7777, 0, "x");
        assert_int_equal(zmq_send(push.sock, "garbage", (size_t)(i % 8), 0), i % 8);
    }
    plain_open(&req, ZMQ_REQ, host.url);
    assert_int_equal(plain_ask(&req, CALL_PING, body), 0);
    assert_int_equal(plain_ask(&req, CALL_INFO, body), 0);
    plain_close(&req);
    plain_close(&push);
    host_stop();
}

/* Sends that many requests at once and hears all answers. */
static void flood(struct plain *plain, uint16_t code)
{
    static char body[ROOM];

    for (uint64_t i = 0; i < FLOOD / 4; i++)
        plain_say(plain, code, 7, "");
    for (uint64_t i = 0; i < FLOOD / 4; i++)
        assert_int_equal(plain_hear(plain, code, 7, body), 0);
}

/* Floods a service until the host has that many workers in all. */
static void flood_until(unsigned port, uint16_t code, unsigned workers)
{
    time_t limit = time(NULL) + 60;
    struct plain plain;
    char url[64];

    snprintf(url, sizeof(url), "tcp://%s:%u", host.address, host.port + port);
    plain_open(&plain, ZMQ_DEALER, url);
    do
        flood(&plain, code);
    while (host_workers() < workers && time(NULL) < limit);
    for (int i = 0; i < 3; i++) /* and no more than these */
        flood(&plain, code);
    assert_true(
        PARTY_UNTIL(host_workers() == workers)); /* a new thread has its maker's name first */
    plain_close(&plain);
}

static void each_server_of_a_host_has_as_many_workers_as_its_variable_says(void **state)
{
    (void)state;
    host_start();
    flood_until(PORT_REGISTRY, CALL_LIST, 3);
    flood_until(PORT_STATE, CALL_STATE_LIST, 3 + 2);
    flood_until(PORT_SNAPSHOT, CALL_SNAPSHOT_LIST, 3 + 2 + 4);
    flood_until(0, CALL_LANE, 3 + 2 + 4 + 1);
    host_stop();
}

/* ---- a service of one's own ---- */

static _Atomic unsigned counted;

static void run_echo(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    weft_call_reply(call, body, body_bytes);
}

static void run_count(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    if (body_bytes == 4 && memcmp(body, "body", 4) == 0)
        atomic_fetch_add(&counted, 1);
    weft_call_reply(call, NULL, 0);
}

static const struct weft_service_handler handlers[] = {
    {.code = CALL_ECHO, .flags = WEFT_HANDLER_SYNC, .name = "echo", .run = run_echo},
    {.code = CALL_COUNT, .flags = WEFT_HANDLER_ASYNC, .name = "count", .run = run_count},
};

static void req_dealer_and_push_talk_to_a_service(void **state)
{
    const struct weft_service_options service = {
        .name = "plain", .handlers = handlers, .handlers_n = 2};
    static char body[ROOM];
    struct plain req, dealer, push;
    struct party party;

    (void)state;
    party_open(&party, &service);
    plain_open(&req, ZMQ_REQ, party.url);
    plain_open(&dealer, ZMQ_DEALER, party.url);
    plain_open(&push, ZMQ_PUSH, party.async_url);
    for (uint64_t i = 1; i <= 100; i++) {
        plain_say(&req, CALL_ECHO, i, "by req");
        plain_say(&dealer, CALL_ECHO, i, "by dealer");
        plain_say(&push, CALL_COUNT, 0, "body");
        assert_int_equal(plain_hear(&dealer, CALL_ECHO, i, body), 0);
        assert_string_equal(body, "by dealer");
        assert_int_equal(plain_hear(&req, CALL_ECHO, i, body), 0);
        assert_string_equal(body, "by req");
    }
    assert_true(PARTY_UNTIL(atomic_load(&counted) == 100));
    plain_close(&req);
    plain_close(&dealer);
    plain_close(&push);
    party_close(&party);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(req_and_dealer_talk_to_a_host),
        cmocka_unit_test(pushes_do_not_disturb_a_host),
        cmocka_unit_test(each_server_of_a_host_has_as_many_workers_as_its_variable_says),
        cmocka_unit_test(req_dealer_and_push_talk_to_a_service),
    };

    if (argc != 2)
        return 2;
    weftd = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
