/* The two servers of the fan-in questions. */
#include "echo_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "control/server.h"
#include "echo.pb-c.h"
#include "reference_server.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

enum { SERVICES_MAX = 8, CLIENT_WAITS_MS = 20000, DATA_MAX = 1 << 20 };

static void run(const Weft__Bench__Echo *request, Weft__Bench__Echo *reply_out)
{
    weft__bench__echo__init(reply_out);
    if (request->sleep_us)
        usleep(request->sleep_us);
    reply_out->data = request->data;
    reply_out->sleep_us = request->sleep_us;
}

void bench_echo_frame(size_t data_bytes, uint32_t sleep_us, uint8_t **bytes_out, size_t *len_out)
{
    Weft__Bench__Echo echo = WEFT__BENCH__ECHO__INIT;
    struct weft_frame frame = {
        .call = BENCH_ECHO_CALL, .correlation = 1, .deadline_ms = CLIENT_WAITS_MS};
    echo.data = (ProtobufCBinaryData){.data = calloc(1, data_bytes), .len = data_bytes};
    echo.sleep_us = sleep_us;
    if (!echo.data.data)
        bench_die("a request", WEFT_ENOMEM);
    bench_check("a frame", weft__message_frame(&frame, &echo.base, bytes_out, len_out));
    free(echo.data.data);
}

/* ---- weft's ---- */

static void echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    Weft__Bench__Echo reply;
    (void)ctx;
    run((const Weft__Bench__Echo *)request, &reply);
    weft__call_reply(call, &reply.base);
}

struct weft_server *bench_echo_start(const unsigned *workers, size_t n, uint16_t *ports_out)
{
    static const struct weft_handler_desc pooled = {.code = BENCH_ECHO_CALL,
                                                    .flags = WEFT_HANDLER_SYNC,
                                                    .name = "echo",
                                                    .request_type = &weft__bench__echo__descriptor,
                                                    .run = echo};
    static struct weft_handler_desc inlined;
    struct weft_service_desc services[SERVICES_MAX] = {0};
    struct weft_server *server;
    inlined = pooled;
    inlined.flags |= WEFT_HANDLER_INLINE;
    for (size_t i = 0; i < n; i++) {
        bool on_fan_in = workers[i] == BENCH_ECHO_INLINE;
        services[i] = (struct weft_service_desc){.name = "echo",
                                                 .handlers = on_fan_in ? &inlined : &pooled,
                                                 .handlers_n = 1,
                                                 .workers = on_fan_in ? 1 : workers[i]};
    }
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = services, .services_n = n};
    bench_check("start a server", weft__server_start(&desc, &server));
    for (size_t i = 0; i < n; i++)
        ports_out[i] = weft__server_sync_port(server, i);
    return server;
}

void bench_echo_stop(struct weft_server *server)
{
    weft__server_stop(server, 1000);
}

/* ---- the reference's ---- */

static void echo_frame(const void *bytes, size_t len, uint8_t **answer_out, size_t *len_out)
{
    Weft__Bench__Echo reply;
    ProtobufCMessage *request;
    struct weft_frame frame;
    bench_check("a frame", weft__frame_decode(bytes, len, DATA_MAX, &frame));
    bench_check("a request", weft__message_decode(&weft__bench__echo__descriptor, frame.body,
                                                  frame.body_len, &request));
    run((const Weft__Bench__Echo *)request, &reply);
    struct weft_frame answer = {
        .call = frame.call, .flags = WEFT_FRAME_REPLY, .correlation = frame.correlation};
    bench_check("an answer", weft__message_frame(&answer, &reply.base, answer_out, len_out));
    weft__message_free(request);
}

struct reference_server *bench_echo_reference_start(unsigned workers, uint16_t *port_out)
{
    uint16_t async_port;
    return reference_server_start(workers, echo_frame, port_out, &async_port);
}
