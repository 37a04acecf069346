/* weft/service.h over the control server: the same server, calls and counters, of which only calls
 * of bytes are to be seen from outside. Nothing is decided here.
 */
#include "weft/service.h"

#include <stdlib.h>

#include "base/clock.h"
#include "control/security.h"
#include "control/server.h"

static void fill_handlers(const struct weft_service_options *options,
                          struct weft_handler_desc *handlers)
{
    const unsigned open = WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC;

    for (size_t i = 0; i < options->handlers_n; i++) {
        const struct weft_service_handler *from = &options->handlers[i];

        handlers[i] = (struct weft_handler_desc){
            .code = from->code,
            .flags = (uint16_t)((from->flags & open) | WEFT_HANDLER_BYTES | WEFT_HANDLER_RUN_BYTES),
            .name = from->name,
            .run = weft__bytes_handler(from->run)};
    }
}

static struct weft_service_desc service_desc(const struct weft_service_options *options,
                                             const struct weft_handler_desc *handlers)
{
    return (struct weft_service_desc){.name = options->name,
                                      .handlers = handlers,
                                      .handlers_n = options->handlers_n,
                                      .ctx = options->ctx,
                                      .sync_port = options->sync_port,
                                      .async_port = options->async_port,
                                      .workers = options->workers,
                                      .queue_max = options->queue_max,
                                      .body_max = options->body_max,
                                      .client_calls_max = options->client_calls_max};
}

/* The tables are needed while the server starts, which copies them. */
static int start(const struct weft_server_options *options, struct weft_service_desc *services,
                 struct weft_handler_desc *handlers, struct weft_server **server_out)
{
    const struct weft_server_desc desc = {.bind =
                                              options->bind == NULL ? "127.0.0.1" : options->bind,
                                          .port_first = options->port_first,
                                          .port_last = options->port_last,
                                          .services = services,
                                          .services_n = options->services_n};

    for (size_t i = 0; i < options->services_n; i++) {
        fill_handlers(&options->services[i], handlers);
        services[i] = service_desc(&options->services[i], handlers);
        handlers += options->services[i].handlers_n;
    }
    return weft__server_start(&desc, server_out);
}

int weft_server_start(const struct weft_server_options *options, struct weft_server **server_out)
{
    struct weft_service_desc *services;
    struct weft_handler_desc *handlers;
    size_t handlers_n = 0;
    int rc;

    for (size_t i = 0; i < options->services_n; i++)
        handlers_n += options->services[i].handlers_n;
    if (handlers_n == 0)
        return weft_fail(WEFT_EINVAL, "a server needs services, and they need handlers");
    rc = weft__security_prepare();
    if (rc != WEFT_OK)
        return rc;
    services = calloc(options->services_n, sizeof(*services));
    handlers = calloc(handlers_n, sizeof(*handlers));
    if (services == NULL || handlers == NULL)
        rc = weft_fail(WEFT_ENOMEM, "no memory for a server");
    else
        rc = start(options, services, handlers, server_out);
    free(services);
    free(handlers);
    return rc;
}

void weft_server_stop(struct weft_server *server, uint32_t timeout_ms)
{
    weft__server_stop(server, timeout_ms);
}

uint16_t weft_server_sync_port(const struct weft_server *server, size_t service)
{
    return weft__server_sync_port(server, service);
}

uint16_t weft_server_async_port(const struct weft_server *server, size_t service)
{
    return weft__server_async_port(server, service);
}

void weft_server_stats(const struct weft_server *server, size_t service,
                       struct weft_service_stats *stats_out)
{
    weft__server_stats(server, service, stats_out);
}

void weft_call_reply(struct weft_call *call, const void *body, size_t body_bytes)
{
    weft__call_reply_bytes(call, body, body_bytes);
}

void weft_call_fail(struct weft_call *call, int err, const char *text)
{
    weft__call_fail(call, err, text);
}

void weft_call_fail_again(struct weft_call *call, uint32_t retry_ms, const char *text)
{
    weft__call_fail_again(call, retry_ms, text);
}

uint16_t weft_call_code(const struct weft_call *call)
{
    return weft__call_code(call);
}

const void *weft_call_body(const struct weft_call *call, size_t *body_bytes_out)
{
    return weft__call_body(call, body_bytes_out);
}

uint64_t weft_call_client(const struct weft_call *call)
{
    return weft__call_client(call);
}

uint32_t weft_call_left_ms(const struct weft_call *call)
{
    uint64_t deadline_ns = weft__call_deadline_ns(call), now_ns = weft__now_ns();

    if (deadline_ns == WEFT_NEVER)
        return UINT32_MAX;
    return deadline_ns > now_ns ? (uint32_t)((deadline_ns - now_ns) / WEFT_NS_PER_MS) : 0;
}

void weft_call_on_cancel(struct weft_call *call, weft_call_cancelled *cancelled, void *ctx)
{
    weft__call_on_cancel(call, cancelled, ctx);
}
