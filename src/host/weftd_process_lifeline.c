/* The socket between an app process and its weftd: orders in, one greeting out, and the end of
 * either side ends the app here.
 *
 * Both are a length (u32) and a message. The orders are written as the socket takes them; the
 * greeting must fit into a fixed buffer, and nothing may follow it: the process is ours, but the
 * program's code runs in it before it greets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_process.h"
#include "wire/message.h"

static void lifeline_off(struct weft_process *process)
{
    if (process->lifeline.fd < 0)
        return;
    weft__loop_unwatch(process->host->asker.loop, &process->lifeline);
    close(process->lifeline.fd);
    process->lifeline.fd = -1;
}

/* ---- the greeting ---- */

static int greeting_check(const Weft__Host__LaunchReply *greeting)
{
    if (greeting->err > 0 || strlen(greeting->control) >= WEFT_URL_MAX)
        return weft_fail(WEFT_EPROTO, "a greeting that makes no sense");
    return WEFT_OK;
}

static void greeting_done(struct weft_process *process, size_t len)
{
    ProtobufCMessage *message = NULL;
    int err = weft__message_decode(&weft__host__launch_reply__descriptor,
                                   process->greeting + sizeof(uint32_t), len, &message);
    if (err == WEFT_OK)
        err = greeting_check((const Weft__Host__LaunchReply *)message);
    if (err != WEFT_OK) {
        weft__message_free(message);
        weft__weftd_process_kill(process, "its process sent a malformed greeting");
        return;
    }
    process->ready = (Weft__Host__LaunchReply *)message;
    struct weft_call *launch = process->launch;
    process->launch = NULL;
    if (launch == NULL)
        return;
    if (process->ready->err != WEFT_OK)
        weft__call_fail(launch, process->ready->err, process->ready->text);
    else
        weft__call_reply(launch, &process->ready->base);
}

/* Reads what there is; false: nothing more for now, or ever. */
static bool greeting_read(struct weft_process *process)
{
    uint32_t len;
    if (process->lifeline.fd < 0)
        return false;
    ssize_t n = recv(process->lifeline.fd, process->greeting + process->greeting_len,
                     sizeof(process->greeting) - process->greeting_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) { /* it has closed its end: it is going, or gone; the pidfd tells */
        lifeline_off(process);
        return false;
    }
    process->greeting_len += (size_t)n;
    if (process->greeting_len < sizeof(len))
        return true;
    memcpy(&len, process->greeting, sizeof(len));
    size_t have = process->greeting_len - sizeof(len);
    if (len > sizeof(process->greeting) - sizeof(len) || have > len) {
        weft__weftd_process_kill(process, "its process sent more than a greeting");
        lifeline_off(process);
        return false;
    }
    if (have == len && process->ready == NULL)
        greeting_done(process, len);
    return true;
}

/* ---- the orders ---- */

int weft__weftd_lifeline_orders(struct weft_process *process,
                                const Weft__Host__LaunchRequest *request)
{
    Weft__Host__LaunchRequest orders = *request;
    orders.host_name = process->host->name;
    orders.host_address = process->host->address;
    orders.host_control = process->host->control;
    orders.registry_control = process->host->registry_control;
    orders.home_control = process->guest->home_control;
    orders.port_first = (uint32_t)process->host->port_first + WEFT_PORT_APPS;
    orders.port_last = process->host->port_last;
    uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(&orders.base);
    process->orders = malloc(sizeof(len) + len);
    if (process->orders == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the orders of an app process");
    memcpy(process->orders, &len, sizeof(len));
    (void)protobuf_c_message_pack(&orders.base, process->orders + sizeof(len));
    process->orders_len = sizeof(len) + len;
    return WEFT_OK;
}

static void orders_write(struct weft_process *process)
{
    ssize_t n = send(process->lifeline.fd, process->orders + process->orders_done,
                     process->orders_len - process->orders_done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        process->orders_done += (size_t)n;
    if (process->orders_done < process->orders_len)
        return;
    weft__loop_unwatch(process->host->asker.loop, &process->lifeline);
    (void)weft__loop_watch(process->host->asker.loop, &process->lifeline, EPOLLIN);
}

static void lifeline_ready(struct weft_watch *watch, uint32_t events)
{
    struct weft_process *process = weft__loop_owner(watch, struct weft_process, lifeline);
    if ((events & EPOLLOUT) != 0 && process->orders_done < process->orders_len)
        orders_write(process);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        (void)greeting_read(process);
}

void weft__weftd_lifeline_init(struct weft_process *process)
{
    process->lifeline = (struct weft_watch){.ready = lifeline_ready, .fd = -1};
}

int weft__weftd_lifeline_open(struct weft_process *process, int fd)
{
    process->lifeline.fd = fd;
    return weft__loop_watch(process->host->asker.loop, &process->lifeline, EPOLLIN | EPOLLOUT);
}

void weft__weftd_lifeline_close(struct weft_process *process)
{
    while (greeting_read(process)) /* its last words may say why */
        ;
    lifeline_off(process);
    free(process->orders);
    process->orders = NULL;
}
