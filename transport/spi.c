/* Checks a transport's tables once, so that nobody tests single slots later.
 *
 * core must be whole; a family is whole or its table is NULL. The slots are listed here by name
 * rather than counted by size, because the error must say which one is missing.
 */
#include "transport/spi.h"

#define NEED(table, slot)                                                                          \
    do {                                                                                           \
        if (!transport->table->slot)                                                               \
            return weft_fail(WEFT_EINVAL, "transport %s: %s lacks %s", transport->scheme, #table,  \
                             #slot);                                                               \
    } while (0)

static int check_core(const struct weft_transport *transport)
{
    NEED(core, open);
    NEED(core, close);
    NEED(core, address);
    NEED(core, peer_add);
    NEED(core, peer_drop);
    NEED(core, progress);
    NEED(core, wait_fd);
    NEED(core, wait_arm);
    NEED(core, cancel);
    NEED(core, limits);
    return WEFT_OK;
}

static int check_ctl(const struct weft_transport *transport)
{
    NEED(ctl, listen);
    NEED(ctl, connect);
    NEED(ctl, request);
    NEED(ctl, push);
    NEED(ctl, reply);
    return WEFT_OK;
}

static int check_msg(const struct weft_transport *transport)
{
    NEED(msg, send);
    return WEFT_OK;
}

static int check_rma(const struct weft_transport *transport)
{
    NEED(rma, reg);
    NEED(rma, unreg);
    NEED(rma, key);
    NEED(rma, get);
    NEED(rma, put);
    NEED(rma, flush);
    return WEFT_OK;
}

static int check_sleep(const struct weft_transport *transport)
{
    NEED(sleep, watch);
    NEED(sleep, wait);
    return WEFT_OK;
}

int weft__transport_check(const struct weft_transport *transport)
{
    if (!transport || !transport->scheme || !transport->scheme[0])
        return weft_fail(WEFT_EINVAL, "a transport has no scheme");
    if (!transport->core)
        return weft_fail(WEFT_EINVAL, "transport %s: no core", transport->scheme);
    int err = check_core(transport);
    if (!err && transport->ctl)
        err = check_ctl(transport);
    if (!err && transport->msg)
        err = check_msg(transport);
    if (!err && transport->rma)
        err = check_rma(transport);
    if (!err && transport->sleep)
        err = check_sleep(transport);
    return err;
}

void weft__usage_add(struct weft_tp_usage *sum, const struct weft_tp_usage *one)
{
    sum->connections += one->connections;
    sum->memory_bytes += one->memory_bytes;
    sum->registrations += one->registrations;
    sum->registered_bytes += one->registered_bytes;
    sum->registration_hits += one->registration_hits;
    sum->registration_misses += one->registration_misses;
}
