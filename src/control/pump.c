/* The loop that the server's fan-in thread and the client's thread share.
 *
 * An endpoint that can sleep by itself does so first, on its sockets and the wake-up at once, and
 * then moves what has come: one system call says what there is to do. Around the sleep the wake-up
 * listens, and only then: whoever adds to the queues of a thread that is awake calls nothing.
 *
 * With any other endpoint a turn either moves something or sleeps, in this order: progress; arm;
 * poll on the endpoint and the wake-up. Arming after the last progress is what makes the sleep
 * safe: an edge-triggered descriptor has fired already for what came between. An endpoint without a
 * descriptor is polled each millisecond. An endpoint that reports an error is asked again after a
 * pause, so that a broken one costs no processor.
 */
#include "control/pump.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/fault/fault.h"
#include "transport/inproc/inproc.h"
#include "transport/zmq/zmq.h"

#define POLLED_PAUSE_NS WEFT_NS_PER_MS
#define BROKEN_PAUSE_NS (50 * WEFT_NS_PER_MS)

static const struct weft_transport *find_transport(const char *scheme)
{
    const struct weft_transport *const all[] = {&weft__tp_zmq, &weft__tp_inproc};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i]->scheme, scheme) == 0)
            return all[i];
    }
    return NULL;
}

/* scheme: of a transport, or "fault(SPEC)+" and one. */
static int open_endpoint(const char *scheme, const struct weft_tp_open *desc,
                         struct weft_tp_ep **ep_out)
{
    struct weft_fault_scheme parts;
    struct weft_fault_desc fault;
    int rc = weft__fault_scheme(scheme, &parts);

    if (rc != WEFT_OK)
        return rc;
    fault = (struct weft_fault_desc){.inner = find_transport(parts.inner), .spec = parts.spec};
    if (fault.inner == NULL)
        return weft_fail(WEFT_EINVAL, "no transport \"%s\" for control; use \"zmq\" or \"inproc\"",
                         parts.inner);
    return parts.faulty ? weft__fault_open(&fault, desc, ep_out)
                        : fault.inner->core->open(desc, ep_out);
}

int weft__pump_open(struct weft_pump *pump, const char *scheme, const struct weft_tp_open *desc)
{
    struct weft_tp_ep *ep;
    int rc = weft__wakefd_open(&pump->wake);

    if (rc != WEFT_OK)
        return rc;
    rc = open_endpoint(scheme == NULL ? "zmq" : scheme, desc, &ep);
    if (rc != WEFT_OK) {
        weft__wakefd_close(&pump->wake);
        return rc;
    }
    pump->transport = ep->transport;
    pump->ep = ep;
    if (pump->transport->sleep != NULL)
        rc = pump->transport->sleep->watch(ep, pump->wake.fd);
    if (rc != WEFT_OK)
        weft__pump_fini(pump);
    return rc;
}

void weft__pump_close(struct weft_pump *pump)
{
    if (pump->ep != NULL)
        pump->transport->core->close(pump->ep);
    pump->ep = NULL;
}

void weft__pump_fini(struct weft_pump *pump)
{
    weft__pump_close(pump);
    if (pump->transport != NULL)
        weft__wakefd_close(&pump->wake);
    pump->transport = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ep_fd: -1 leaves the endpoint out. */
static void sleep_until(struct weft_pump *pump, int ep_fd, uint64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = pump->wake.fd, .events = POLLIN},
                            {.fd = ep_fd, .events = POLLIN}};
    struct timespec left = {0, 0};
    uint64_t now_ns = weft__now_ns();

    if (deadline_ns > now_ns) {
        left.tv_sec = (time_t)((deadline_ns - now_ns) / WEFT_NS_PER_S);
        left.tv_nsec = (long)((deadline_ns - now_ns) % WEFT_NS_PER_S);
    }
    ppoll(fds, ep_fd < 0 ? 1 : 2, deadline_ns == WEFT_NEVER ? NULL : &left, NULL);
    if ((fds[0].revents & POLLIN) != 0)
        weft__wakefd_drain(&pump->wake);
}

/* The wake-up is not read: it is watched edge-triggered. */
static void sleep_first(struct weft_pump *pump, uint64_t deadline_ns)
{
    const struct weft_tp_sleep_ops *ops = pump->transport->sleep;

    if (pump->more != NULL) {
        weft__wakefd_listen(&pump->wake);
        if (pump->more(pump->more_ctx))
            deadline_ns = 0;
    }
    ops->wait(pump->ep, deadline_ns);
    if (pump->more != NULL)
        weft__wakefd_unlisten(&pump->wake);
    else
        weft__wakefd_listen(&pump->wake);
}

void weft__pump_turn(struct weft_pump *pump, uint64_t deadline_ns)
{
    const struct weft_tp_core_ops *core = pump->transport->core;
    int events;
    int fd;

    if (pump->transport->sleep != NULL)
        sleep_first(pump, deadline_ns);
    events = core->progress(pump->ep);
    if (events < 0) {
        weft__error("%s: the control endpoint failed: %s", pump->transport->scheme,
                    weft_fail_text(events));
        sleep_until(pump, -1, earlier(deadline_ns, weft__now_ns() + BROKEN_PAUSE_NS));
        return;
    }
    if (events > 0 || pump->transport->sleep != NULL)
        return;
    fd = core->wait_fd(pump->ep);
    if (fd < 0)
        sleep_until(pump, -1, earlier(deadline_ns, weft__now_ns() + POLLED_PAUSE_NS));
    else if (core->wait_arm(pump->ep) == WEFT_OK)
        sleep_until(pump, fd, deadline_ns);
}
