/* What strangers send to the open ports of hosts and apps: bytes that are no ZeroMQ, ZeroMQ that is
 * no frame, frames that are no call, calls that make no sense. All live on, the app goes on, the
 * next client is served. The generator starts from a fixed seed: a failure can be had again.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "host/calls.h"
#include "scene.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { PORTS_MAX = 32, NONSENSE = 0x7fffffff, BYTES_MAX = 4096, BIG = 9 << 20 };

static uint64_t dice_state;

static uint64_t dice(void)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state;
}

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(dice() >> 24);
}

/* ---- raw TCP ---- */

static int tcp_connect(const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval timeout = {.tv_usec = 50000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, address, &to.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void tcp_throw(const char *address, uint16_t port, const uint8_t *bytes, size_t len)
{
    uint8_t answer[256];
    int fd = tcp_connect(address, port);
    if (fd < 0)
        return;
    (void)send(fd, bytes, len, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    (void)recv(fd, answer, sizeof(answer), 0);
    close(fd);
}

/* The beginning of a ZMTP 3 connection, and what may follow it. */
static size_t zmtp_start(uint8_t *bytes, size_t len)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    fill(bytes, len);
    memcpy(bytes, greeting, sizeof(greeting));
    return len;
}

static void throw_bytes(const char *address, uint16_t port)
{
    uint8_t bytes[BYTES_MAX];
    static const size_t lengths[] = {0, 1, 7, 64, 65, 200, BYTES_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        fill(bytes, lengths[i]);
        tcp_throw(address, port, bytes, lengths[i]);
    }
    memset(bytes, 0, sizeof(bytes));
    tcp_throw(address, port, bytes, sizeof(bytes));
    memset(bytes, 0xff, sizeof(bytes));
    tcp_throw(address, port, bytes, sizeof(bytes));
    tcp_throw(address, port, (const uint8_t *)"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    for (size_t len = 64; len < 400; len += 48)
        tcp_throw(address, port, bytes, zmtp_start(bytes, len));
    /* A long frame of 2^63 bytes after a proper handshake's first command. */
    (void)zmtp_start(bytes, 200);
    bytes[64] = 0x06;
    memset(bytes + 65, 0x7f, 8);
    tcp_throw(address, port, bytes, 200);
}

/* ---- ZeroMQ ---- */

/* Whether a connection is greeted as ZeroMQ does. */
static bool speaks_zmtp(const char *address, uint16_t port)
{
    uint8_t bytes[64], answer[10] = {0};
    int fd = tcp_connect(address, port);
    if (fd < 0)
        return false;
    (void)send(fd, bytes, zmtp_start(bytes, sizeof(bytes)), MSG_NOSIGNAL);
    bool zmtp = false;
    for (int i = 0; i < 40 && !zmtp; i++)
        zmtp = recv(fd, answer, sizeof(answer), 0) > 0 && answer[0] == 0xff;
    close(fd);
    return zmtp;
}

struct raw {
    void *ctx, *sock;
    bool full; /* nobody takes anything: no more is thrown */
};

static struct raw raw_open(int type, const char *address, uint16_t port)
{
    struct raw raw = {.ctx = zmq_ctx_new()};
    char url[64];
    int zero = 0, brief_ms = 100;
    raw.sock = zmq_socket(raw.ctx, type);
    zmq_setsockopt(raw.sock, ZMQ_LINGER, &brief_ms, sizeof(brief_ms));
    zmq_setsockopt(raw.sock, ZMQ_SNDTIMEO, &brief_ms, sizeof(brief_ms));
    zmq_setsockopt(raw.sock, ZMQ_RCVTIMEO, &zero, sizeof(zero));
    snprintf(url, sizeof(url), "tcp://%s:%u", address, port);
    (void)zmq_connect(raw.sock, url);
    return raw;
}

/* With a call that is right and its answer: all that was thrown before has been looked at then. An
 * async port answers nothing; it gets a moment. */
static void raw_settle(struct raw *raw)
{
    enum { MARK = 0x600d, MOMENT_MS = 1000 };
    uint8_t bytes[WEFT_FRAME_HEADER_BYTES], answer[256];
    struct weft_frame frame = {.call = WEFT_CALL_PING, .correlation = MARK, .deadline_ms = 5000};
    uint64_t until = child_now_ms() + MOMENT_MS;
    weft__frame_encode_header(&frame, bytes);
    if (raw->full || zmq_send(raw->sock, "", 0, ZMQ_SNDMORE) != 0 ||
        zmq_send(raw->sock, bytes, sizeof(bytes), 0) < 0)
        return;
    while (child_now_ms() < until) {
        int len = zmq_recv(raw->sock, answer, sizeof(answer), 0);
        if (len < 0)
            child_nap();
        else if (len <= (int)sizeof(answer) &&
                 weft__frame_decode(answer, (size_t)len, sizeof(answer), &frame) == WEFT_OK &&
                 frame.correlation == MARK)
            return;
    }
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->sock);
    zmq_ctx_term(raw->ctx);
}

static void raw_drain(struct raw *raw)
{
    uint8_t answer[64];
    while (zmq_recv(raw->sock, answer, sizeof(answer), 0) >= 0)
        ;
}

/* As REQ would send it: a delimiter, then the frame. */
static void raw_send(struct raw *raw, const void *bytes, size_t len)
{
    if (raw->full)
        return;
    raw->full = zmq_send(raw->sock, "", 0, ZMQ_SNDMORE) != 0;
    if (!raw->full)
        (void)zmq_send(raw->sock, bytes, len, 0);
    raw_drain(raw);
}

static size_t frame_of(uint8_t *to, uint16_t code, const uint8_t *body, size_t len)
{
    struct weft_frame frame = {
        .call = code, .correlation = dice(), .deadline_ms = 500, .body_len = (uint32_t)len};
    weft__frame_encode_header(&frame, to);
    if (len > 0)
        memcpy(to + WEFT_FRAME_HEADER_BYTES, body, len);
    return WEFT_FRAME_HEADER_BYTES + len;
}

static void throw_headers(struct raw *raw)
{
    uint8_t bytes[BYTES_MAX] = {0};
    size_t len = frame_of(bytes, WEFT_CALL_PING, NULL, 0);
    for (size_t i = 0; i < len; i++) { /* each byte wrong, each length short */
        uint8_t was = bytes[i];
        bytes[i] = (uint8_t)~was;
        raw_send(raw, bytes, len);
        bytes[i] = was;
        raw_send(raw, bytes, i);
    }
    memset(bytes + 28, 0xff, 4); /* a body of 4 GiB */
    raw_send(raw, bytes, len);
    for (uint32_t code = 0; code < 0x10000; code += 251) /* calls that nobody has */
        raw_send(raw, bytes, frame_of(bytes, (uint16_t)code, NULL, 0));
}

/* All but the last are so short that libzmq keeps them without memory of their own: 4.3.4 forgets
 * that of parts whose connection is closed before the last one is there. */
static void throw_parts(struct raw *raw)
{
    uint8_t bytes[64];
    fill(bytes, sizeof(bytes));
    for (int parts = 1; parts <= 40 && !raw->full; parts += 3) {
        for (int i = 0; i < parts - 1; i++)
            (void)zmq_send(raw->sock, bytes, (size_t)(i % 3) * 16, ZMQ_SNDMORE);
        (void)zmq_send(raw->sock, bytes, sizeof(bytes), 0);
    }
    raw_drain(raw);
}

static void throw_big(struct raw *raw)
{
    uint8_t *bytes = calloc(1, BIG);
    if (bytes == NULL)
        abort();
    (void)frame_of(bytes, WEFT_CALL_RUN, NULL, 0);
    uint32_t body = BIG - WEFT_FRAME_HEADER_BYTES;
    memcpy(bytes + 28, &body, sizeof(body));
    raw_send(raw, bytes, BIG);
    free(bytes);
}

/* Every set of flags, with and without a client and a sequence, some of them twice. */
static void throw_flags(struct raw *raw)
{
    static const uint64_t numbers[] = {0, 1, 7, UINT64_MAX};
    uint8_t bytes[WEFT_FRAME_HEADER_BYTES + 8] = {0};
    for (uint16_t flags = 0; flags < 32; flags++)
        for (size_t i = 0; i < 16; i++) {
            struct weft_frame frame = {.call = WEFT_CALL_PING,
                                       .flags = flags,
                                       .error = i % 3 ? 0 : -NONSENSE,
                                       .correlation = dice() % 16,
                                       .deadline_ms = i % 2 ? 0 : 1,
                                       .body_len = i % 5 ? 0 : 8,
                                       .client = numbers[i % 4],
                                       .sequence = numbers[i / 4]};
            weft__frame_encode_header(&frame, bytes);
            raw_send(raw, bytes, WEFT_FRAME_HEADER_BYTES + frame.body_len);
        }
}

/* Some fields as protobuf writes them: numbers, small, large and negative, texts, lists and
 * messages in messages. Many are what a call expects, with values that nobody has given out. */
static size_t fields(uint8_t *to, size_t room)
{
    static const uint64_t numbers[] = {0, 1, 2, 300, NONSENSE, UINT64_MAX, (uint64_t)1 << 63};
    size_t len = 0;
    for (uint64_t n = dice() % 6; n > 0 && len + 48 < room; n--) {
        bool text = dice() % 2;
        to[len++] = (uint8_t)((1 + dice() % 10) << 3 | (text ? 2 : 0));
        if (text) {
            uint8_t inner = (uint8_t)(dice() % 24);
            to[len++] = inner;
            fill(to + len, inner);
            if (dice() % 2)
                memset(to + len, 'k', inner);
            len += inner;
            continue;
        }
        uint64_t number = numbers[dice() % 7];
        for (; number >= 0x80; number >>= 7)
            to[len++] = (uint8_t)(number | 0x80);
        to[len++] = (uint8_t)number;
    }
    return len;
}

/* Random bodies for every call that there is: function and app, registry, state, snapshot and
 * group. */
static void throw_bodies(struct raw *raw)
{
    uint8_t bytes[512], body[256];
    static const uint16_t bases[] = {0x0080, 0x0100, 0x0180, 0x0200, 0x0300,
                                     0x0400, 0x0500, 0x0580, 0x0600};
    for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
        for (uint16_t code = bases[b]; code < bases[b] + 24; code++)
            for (int i = 0; i < 7; i++) {
                size_t len = i < 2 ? dice() % sizeof(body) : fields(body, sizeof(body));
                if (i < 2)
                    fill(body, len);
                raw_send(raw, bytes, frame_of(bytes, code, body, len));
            }
}

/* A message that could be right, cut at every byte, and with each byte turned over. */
static void throw_spoiled(struct raw *raw, uint16_t code, const ProtobufCMessage *message)
{
    uint8_t bytes[1024], *body;
    size_t len;
    assert_int_equal(weft__message_encode(message, &body, &len), WEFT_OK);
    assert_in_range(len, 1, 900);
    for (size_t i = 0; i <= len; i++)
        raw_send(raw, bytes, frame_of(bytes, code, body, i));
    for (size_t i = 0; i < len; i++) {
        body[i] ^= (uint8_t)(1u << dice() % 8);
        raw_send(raw, bytes, frame_of(bytes, code, body, len));
    }
    free(body);
}

#define TEXT(value) ((char *)(uintptr_t)(value))

/* Calls with ids and tokens that nobody has given out. */
static void throw_calls(struct raw *raw)
{
    uint64_t leases[] = {1, 2, 3};
    int32_t ranks[] = {-5, NONSENSE};
    Weft__Host__RunRequest run = WEFT__HOST__RUN_REQUEST__INIT;
    run.program = TEXT("no/absolute/path");
    run.ranks = 4;
    run.hint = TEXT("SIDEWAYS");
    throw_spoiled(raw, WEFT_CALL_RUN, &run.base);
    Weft__Host__WaitRequest wait = WEFT__HOST__WAIT_REQUEST__INIT;
    wait.app = NONSENSE;
    wait.offset = UINT64_MAX;
    throw_spoiled(raw, WEFT_CALL_WAIT, &wait.base);
    Weft__Host__KillRequest kill = WEFT__HOST__KILL_REQUEST__INIT;
    kill.app = NONSENSE;
    kill.reason = TEXT("no reason");
    throw_spoiled(raw, WEFT_CALL_KILL, &kill.base);
    Weft__Host__MigrateRequest migrate = WEFT__HOST__MIGRATE_REQUEST__INIT;
    migrate.app = NONSENSE;
    migrate.rank = -7;
    migrate.host = TEXT("\xff\xfe");
    throw_spoiled(raw, WEFT_CALL_MIGRATE, &migrate.base);
    Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
    lease.app = NONSENSE;
    lease.leases = leases;
    lease.n_leases = 3;
    lease.hold_ms = 1;
    throw_spoiled(raw, WEFT_CALL_LEASE_COMMIT, &lease.base);
    throw_spoiled(raw, WEFT_CALL_LEASE_END, &lease.base);
    Weft__Host__LaunchRequest launch = WEFT__HOST__LAUNCH_REQUEST__INIT;
    launch.app = NONSENSE;
    launch.ranks = ranks;
    launch.n_ranks = 2;
    launch.stride = UINT64_MAX;
    launch.program = TEXT("/etc/passwd");
    launch.home_control = TEXT("tcp://nowhere:1");
    throw_spoiled(raw, WEFT_CALL_LAUNCH, &launch.base);
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    end.app = NONSENSE;
    throw_spoiled(raw, WEFT_CALL_END, &end.base);
    Weft__Host__OutputPush output = WEFT__HOST__OUTPUT_PUSH__INIT;
    output.app = NONSENSE;
    output.host = TEXT("a");
    throw_spoiled(raw, WEFT_CALL_OUTPUT, &output.base);
}

/* The same with an app that exists, and a token that is wrong. */
static void throw_at_app(struct raw *raw, const struct scene *scene)
{
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    news.app = scene->app.id;
    news.token = NONSENSE;
    news.abort = true;
    news.reason = TEXT("a lie");
    throw_spoiled(raw, WEFT_CALL_RANK_EXIT, &news.base);
    Weft__Host__RouteWanted wish = WEFT__HOST__ROUTE_WANTED__INIT;
    wish.app = scene->app.id;
    wish.token = NONSENSE;
    wish.rank = NONSENSE;
    throw_spoiled(raw, WEFT_CALL_ROUTE_WANTED, &wish.base);
    Weft__Host__ProcessExit gone = WEFT__HOST__PROCESS_EXIT__INIT;
    gone.app = scene->app.id;
    gone.process = NONSENSE;
    gone.host = TEXT("nowhere");
    throw_spoiled(raw, WEFT_CALL_PROCESS_EXIT, &gone.base);
    Weft__Host__MoveMessage move = WEFT__HOST__MOVE_MESSAGE__INIT;
    move.app = scene->app.id;
    move.token = NONSENSE;
    move.rank = NONSENSE;
    move.text = TEXT("a lie");
    for (move.kind = 0; move.kind < 24; move.kind += 5)
        throw_spoiled(raw, WEFT_CALL_MOVE, &move.base);
    Weft__Host__StartRequest start = WEFT__HOST__START_REQUEST__INIT;
    start.token = NONSENSE;
    throw_spoiled(raw, WEFT_CALL_START, &start.base);
    uint32_t dead[] = {0, 1, 2, 70000};
    Weft__Host__RoutesRequest routes = WEFT__HOST__ROUTES_REQUEST__INIT;
    routes.token = NONSENSE;
    routes.dead_processes = dead;
    routes.n_dead_processes = 4;
    throw_spoiled(raw, WEFT_CALL_ROUTES, &routes.base);
}

/* ---- everything at every port ---- */

static unsigned ports_of(struct scene *scene, const struct cluster_host *host, uint16_t *ports)
{
    unsigned n = cluster_ports(scene->cluster, host->address, ports, PORTS_MAX);
    cluster_check(scene->cluster, n >= 2 && n <= PORTS_MAX);
    return n;
}

static void check_all_live(struct scene *scene, const char *after)
{
    struct cluster *cluster = scene->cluster;
    if (child_over(scene->app.run))
        cluster_fail(cluster, "the app has ended after %s", after);
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        if (!ask_ping(cluster, &cluster->hosts[i]))
            cluster_fail(cluster, "host %s does not answer after %s", cluster->hosts[i].name,
                         after);
    stage_runs(cluster, &scene->stage, SCENE_RANKS, 3);
}

/* The app moves, ends well, and new work is taken. */
static void all_works(struct scene *scene)
{
    stage_move(scene->cluster, &scene->app, SCENE_MOVER, "b");
    scene_ends_well(scene);
    struct child *run = cluster_weft(scene->cluster, "run", "--at", scene->home->address, "-n", "3",
                                     cluster_program("hello"), NULL);
    cluster_check(scene->cluster, run->code == 0);
}

static void bytes_that_are_no_protocol_harm_nobody(void **state)
{
    struct scene scene;
    uint16_t ports[PORTS_MAX];
    scene_open(&scene, *state);
    dice_state = 0x9e3779b97f4a7c15u;
    const struct cluster_host *hosts[] = {scene.head, scene.home, scene.a};
    for (size_t h = 0; h < 3; h++) {
        unsigned n = ports_of(&scene, hosts[h], ports);
        for (unsigned i = 0; i < n; i++) {
            char after[64];
            throw_bytes(hosts[h]->address, ports[i]);
            snprintf(after, sizeof(after), "bytes to port %u of %s", ports[i], hosts[h]->name);
            check_all_live(&scene, after);
        }
    }
    all_works(&scene);
}

static void connections_that_say_nothing_keep_nobody_out(void **state)
{
    enum { SILENT = 24 };
    struct scene scene;
    uint16_t ports[PORTS_MAX];
    int fds[PORTS_MAX * SILENT];
    unsigned fds_n = 0;
    scene_open(&scene, *state);
    unsigned n = ports_of(&scene, scene.a, ports);
    for (unsigned i = 0; i < n; i++)
        for (int k = 0; k < SILENT; k++) {
            fds[fds_n] = tcp_connect(scene.a->address, ports[i]);
            fds_n += fds[fds_n] >= 0;
        }
    check_all_live(&scene, "silent connections");
    all_works(&scene);
    for (unsigned i = 0; i < fds_n; i++)
        close(fds[i]);
}

static void frames_that_are_no_calls_harm_nobody(void **state)
{
    static const int types[] = {ZMQ_DEALER, ZMQ_PUSH, ZMQ_PUB};
    struct scene scene;
    uint16_t ports[PORTS_MAX];
    scene_open(&scene, *state);
    dice_state = 0xbf58476d1ce4e5b9u;
    const struct cluster_host *hosts[] = {scene.head, scene.home};
    for (size_t h = 0; h < 2; h++) {
        unsigned n = ports_of(&scene, hosts[h], ports);
        for (unsigned i = 0; i < n; i++) {
            char after[64];
            snprintf(after, sizeof(after), "frames to port %u of %s", ports[i], hosts[h]->name);
            for (size_t t = 0; t < 3 && speaks_zmtp(hosts[h]->address, ports[i]); t++) {
                struct raw raw = raw_open(types[t], hosts[h]->address, ports[i]);
                throw_headers(&raw);
                throw_flags(&raw);
                throw_parts(&raw);
                throw_bodies(&raw);
                if (t == 0) {
                    throw_big(&raw);
                    raw_settle(&raw);
                }
                raw_close(&raw);
            }
            check_all_live(&scene, after);
        }
    }
    all_works(&scene);
}

static void calls_that_make_no_sense_are_refused(void **state)
{
    struct scene scene;
    uint16_t ports[PORTS_MAX];
    scene_open(&scene, *state);
    dice_state = 0x94d049bb133111ebu;
    const struct cluster_host *hosts[] = {scene.head, scene.home, scene.a};
    for (size_t h = 0; h < 3; h++) {
        unsigned n = ports_of(&scene, hosts[h], ports);
        for (unsigned i = 0; i < n; i++) {
            char after[64];
            if (!speaks_zmtp(hosts[h]->address, ports[i]))
                continue;
            struct raw raw = raw_open(ZMQ_DEALER, hosts[h]->address, ports[i]);
            throw_calls(&raw);
            throw_at_app(&raw, &scene);
            raw_settle(&raw);
            raw_close(&raw);
            snprintf(after, sizeof(after), "calls to port %u of %s", ports[i], hosts[h]->name);
            check_all_live(&scene, after);
        }
    }
    all_works(&scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest bytes[] = {
        CASE(bytes_that_are_no_protocol_harm_nobody),
        CASE(connections_that_say_nothing_keep_nobody_out),
    };
    const struct CMUnitTest frames[] = {
        CASE(frames_that_are_no_calls_harm_nobody),
        CASE(calls_that_make_no_sense_are_refused),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 'b', second = !all && argv[1][0] == 'f';
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(bytes, NULL, NULL) : 0;
    return failed + (all || second ? cmocka_run_group_tests(frames, NULL, NULL) : 0);
}
