/* An app process that runs nothing: it greets its weftd, takes every call of its home, and ends
 * with its lifeline. What it was told goes to a file, so that a test can speak in its name.
 *
 * FAKE_APP_FOLDER: where the file PROCESS.orders goes ("TOKEN PID"). FAKE_APP_WAY: "mute" (never
 * greets), "garbage" (greets with noise), "long" (claims a greeting of 4 GiB), "odd" (greets
 * with an error that is none), "gone" (ends at once, with a word on stderr), "prints" (a
 * line), "murmurs" (before it greets, a line that it does not end), "deaf" (does not take the first
 * that it is told about the others; what it is told then makes the file PROCESS.heard).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include "control/server.h"
#include "host/calls.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { LIFELINE = 3 };

static void take(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_reply(call, NULL);
}

static void hear(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    static int asked; /* the fan-in thread's */
    char path[300];
    (void)request;
    if (asked++ == 0) {
        weft__call_fail(call, WEFT_ECONNRESET, "what?");
        return;
    }
    snprintf(path, sizeof(path), "%s/%u.heard", getenv("FAKE_APP_FOLDER"), *(uint32_t *)ctx);
    FILE *file = fopen(path, "we");
    if (file == NULL || fclose(file) != 0)
        exit(1);
    weft__call_reply(call, NULL);
}

static void count(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    Weft__Host__StatsReply reply = WEFT__HOST__STATS_REPLY__INIT;
    Weft__Host__ExecStats stats = WEFT__HOST__EXEC_STATS__INIT;
    (void)ctx;
    (void)request;
    stats.forwarded = 7;
    reply.stats = &stats;
    weft__call_reply(call, &reply.base);
}

static void read_all(void *into, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(LIFELINE, (char *)into + done, len - done);
        if (n <= 0)
            exit(1);
        done += (size_t)n;
    }
}

static Weft__Host__LaunchRequest *read_orders(void)
{
    uint32_t len;
    ProtobufCMessage *orders;
    read_all(&len, sizeof(len));
    uint8_t *bytes = malloc(len);
    read_all(bytes, len);
    if (weft__message_decode(&weft__host__launch_request__descriptor, bytes, len, &orders) != 0)
        exit(1);
    free(bytes);
    return (Weft__Host__LaunchRequest *)orders;
}

static void note_orders(const Weft__Host__LaunchRequest *orders)
{
    char path[300], fresh[304];
    snprintf(path, sizeof(path), "%s/%u.orders", getenv("FAKE_APP_FOLDER"), orders->process);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = fopen(fresh, "we");
    if (file == NULL || fprintf(file, "%" PRIu64 " %d\n", orders->token, (int)getpid()) < 0 ||
        fclose(file) != 0 || rename(fresh, path) != 0)
        exit(1);
}

static struct weft_server *serve(Weft__Host__LaunchRequest *orders, bool deaf)
{
    enum { FLAGS = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC };
    const struct weft_handler_desc handlers[] = {
        {WEFT_CALL_ROUTES, FLAGS, "routes", &weft__host__routes_request__descriptor,
         deaf ? hear : take},
        {WEFT_CALL_START, FLAGS, "start", &weft__host__start_request__descriptor, take},
        {WEFT_CALL_MOVE, FLAGS, "move", &weft__host__move_message__descriptor, take},
        {WEFT_CALL_STATS, FLAGS, "stats", &weft__host__stats_request__descriptor, count}};
    struct weft_service_desc service = {
        .name = "app", .handlers = handlers, .handlers_n = 4, .ctx = &orders->process};
    struct weft_server_desc desc = {.bind = orders->host_address,
                                    .port_first = (uint16_t)orders->port_first,
                                    .port_last = (uint16_t)orders->port_last,
                                    .services = &service,
                                    .services_n = 1};
    struct weft_server *server;
    if (weft__server_start(&desc, &server) != 0)
        exit(1);
    return server;
}

static void greet(const Weft__Host__LaunchRequest *orders, const struct weft_server *server,
                  int odd)
{
    Weft__Host__LaunchReply hello = WEFT__HOST__LAUNCH_REPLY__INIT;
    char control[100];
    uint8_t bytes[1024];
    snprintf(control, sizeof(control), "tcp://%s:%u", orders->host_address,
             weft__server_sync_port(server, 0));
    hello.err = odd ? 5 : 0;
    hello.process = orders->process;
    hello.pid = (uint64_t)getpid();
    hello.control = control;
    hello.transport = weft__message_text("none");
    hello.lane = weft__message_text("none;00"); /* of the same kind as those of the others */
    uint32_t len = (uint32_t)protobuf_c_message_pack(&hello.base, bytes + sizeof(len));
    memcpy(bytes, &len, sizeof(len));
    if (write(LIFELINE, bytes, sizeof(len) + len) < 0)
        exit(1);
}

static void await_end(void)
{
    char byte;
    while (read(LIFELINE, &byte, 1) > 0)
        ;
}

int main(void)
{
    const char *way = getenv("FAKE_APP_WAY");
    struct weft_server *server = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    way = way != NULL ? way : "";
    if (strcmp(way, "gone") == 0) {
        fputs("it was not to be\n", stderr);
        return 3;
    }
    Weft__Host__LaunchRequest *orders = read_orders();
    note_orders(orders);
    if (strcmp(way, "garbage") == 0) {
        (void)!write(LIFELINE, "\x06\0\0\0\xff\xff\xff\xff\xff\xff", 10);
    } else if (strcmp(way, "long") == 0) {
        (void)!write(LIFELINE, "\xff\xff\xff\xff", 4);
    } else if (strcmp(way, "mute") != 0) {
        if (strcmp(way, "murmurs") == 0 && write(1, "half a line", 11) != 11)
            return 1;
        server = serve(orders, strcmp(way, "deaf") == 0);
        greet(orders, server, strcmp(way, "odd") == 0);
        if (strcmp(way, "prints") == 0 && (puts("a line") < 0 || fflush(stdout) != 0))
            return 1;
    }
    await_end();
    weft__server_stop(server, 1000);
    weft__message_free(&orders->base);
    return 0;
}
