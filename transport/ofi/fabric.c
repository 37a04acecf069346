/* Opening and closing what libfabric needs, twice: one half for messages (its address is the
 * published one, it also answers other processes' one-sided operations), one half from which this
 * process's own one-sided operations go out. Three reasons:
 *
 * A posted read cannot be cancelled. When a peer is given up while reads from it are outstanding,
 * only closing the endpoint gives the buffers back. The second half can be closed and made anew
 * without touching messages.
 *
 * When a connection breaks while a read's bytes arrive on it, libfabric 1.17 (net and tcp) reports
 * that read twice and gives its record back to its pool twice; later two operations may share the
 * record and never end. net keeps that pool in the domain. So each half has its own domain, and
 * after any broken connection the one-sided half is thrown away whole before anything new is issued
 * from it. Providers that want local memory registered keep one domain: a registration must be good
 * for both halves.
 *
 * Large reads have a connection of their own, and a wrong key, on which tcp-class providers close
 * the connection, costs no messages. The price of all this is a second connection to peers that are
 * read from.
 *
 * Which of the TCP providers: net, never tcp;ofi_rxm unless it is asked for by name. rxm trusts
 * tcp, and the read that tcp reports twice makes it use memory that it has freed: closing it, or
 * losing a peer, while reads arrive has ended in SIGSEGV inside fi_close(). Speed is no reason
 * against net (scripts/bench demo measures both). net does not arm its wait object in fi_trywait()
 * and leaves it readable for ever after the first completion, so it gets a wait set, whose
 * fi_wait() with no time-out does arm. It is libfabric 1.17's only; in later releases its work is
 * in tcp, which then offers such endpoints without rxm.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rdma/fi_errno.h>

#include "base/check.h"
#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

/* Providers in order of preference, where the caller names none. */
static const char *const fabric_choice[] = {"verbs;ofi_rxm", "efa", "net", "tcp"};

bool weft__ofi_share_always;

/* What a provider may ask of its user; one that asks for more is not used. */
#define SERVED_MODE (FI_CONTEXT | FI_CONTEXT2)
#define SERVED_MR_MODE (FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY)

static struct fi_info *hints_for(const char *provider, enum fi_threading threading)
{
    struct fi_info *hints = fi_allocinfo();
    if (!hints)
        return NULL;
    hints->caps = FI_MSG | FI_RMA;
    hints->mode = SERVED_MODE;
    hints->ep_attr->type = FI_EP_RDM;
    hints->domain_attr->mr_mode = SERVED_MR_MODE;
    hints->domain_attr->threading = threading;
    hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
    hints->domain_attr->av_type = FI_AV_TABLE;
    hints->tx_attr->msg_order = FI_ORDER_SAS;
    hints->rx_attr->msg_order = FI_ORDER_SAS;
    hints->fabric_attr->prov_name = strdup(provider);
    if (hints->fabric_attr->prov_name)
        return hints;
    fi_freeinfo(hints);
    return NULL;
}

/* Why it offers nothing: it asks for more than is served, or there is nothing.  ENOTSUP, always. */
static int fail_absent(const char *provider, const char *bind, struct fi_info *hints)
{
    struct fi_info *info = NULL;
    hints->mode = ~0ull;
    hints->domain_attr->mr_mode = ~(FI_MR_BASIC | FI_MR_SCALABLE);
    int rc = fi_getinfo(FI_VERSION(1, 17), bind, NULL, FI_SOURCE | FI_NUMERICHOST, hints, &info);
    bool asks = rc == 0 && strcasecmp(info->fabric_attr->prov_name, provider) == 0;
    unsigned long long mode = asks ? info->mode & ~SERVED_MODE : 0;
    unsigned mr_mode = asks ? (unsigned)info->domain_attr->mr_mode & ~(unsigned)SERVED_MR_MODE : 0;
    if (rc == 0)
        fi_freeinfo(info);
    if (mode || mr_mode)
        return weft_fail(
            WEFT_ENOTSUP,
            "libfabric's %s on %s asks for mode bits that are not served: mode 0x%llx, "
            "mr_mode 0x%x (fi_info -v -p '%s')",
            provider, bind, mode, mr_mode, provider);
    return weft_fail(
        WEFT_ENOTSUP,
        "libfabric's %s offers nothing on %s: no such device there, or the provider is "
        "not in this build (fi_info -p '%s')",
        provider, bind, provider);
}

/* What the provider offers on the endpoint's interface; port 0: any. */
static int info_of(const struct ofi_ep *ep, const char *provider, unsigned port,
                   struct fi_info **info_out)
{
    const char *bind = ep->bind;
    struct fi_info *hints = hints_for(provider, ep->shares ? FI_THREAD_SAFE : FI_THREAD_DOMAIN);
    if (!hints)
        return weft_fail(WEFT_ENOMEM, "no memory for libfabric's hints");
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct fi_info *info = NULL;
    int rc = fi_getinfo(FI_VERSION(1, 17), bind, port ? service : NULL, FI_SOURCE | FI_NUMERICHOST,
                        hints, &info);
    /* A name means itself: libfabric would answer for tcp with tcp;ofi_rxm. */
    if (rc == 0 && strcasecmp(info->fabric_attr->prov_name, provider) != 0) {
        fi_freeinfo(info);
        rc = -FI_ENODATA;
    }
    int err = WEFT_OK;
    if (rc == -FI_ENODATA)
        err = fail_absent(provider, bind, hints);
    else if (rc != 0)
        err = weft_fail(weft__ofi_err(rc), "libfabric's %s refuses %s: %s", provider, bind,
                        fi_strerror(-rc));
    else
        *info_out = info;
    weft__check((rc == 0) == (err == WEFT_OK));
    fi_freeinfo(hints);
    return err;
}

int weft__ofi_failed(const struct ofi_ep *ep, const char *what, int rc)
{
    return weft_fail(weft__ofi_err(rc), "libfabric's %s on %s: %s: %s", ep->provider, ep->bind,
                     what, fi_strerror(-rc));
}

static void close_fid(struct fid *fid)
{
    int rc = fid ? fi_close(fid) : 0;
    if (rc != 0)
        weft__debug("ofi: cannot close an object: %s", fi_strerror(-rc));
}

void weft__ofi_half_stop(struct ofi_ep *ep, struct ofi_half *half)
{
    if (ep->epoll_fd >= 0 && half->wait_fd >= 0)
        epoll_ctl(ep->epoll_fd, EPOLL_CTL_DEL, half->wait_fd, NULL);
    half->wait_fd = -1;
    close_fid(half->ep ? &half->ep->fid : NULL);
    close_fid(half->cq ? &half->cq->fid : NULL);
    close_fid(half->av ? &half->av->fid : NULL);
    close_fid(half->wait_set ? &half->wait_set->fid : NULL);
    half->ep = NULL;
    half->cq = NULL;
    half->av = NULL;
    half->wait_set = NULL;
}

void weft__ofi_half_close(struct ofi_ep *ep, struct ofi_half *half)
{
    weft__ofi_half_stop(ep, half);
    if (!half->borrowed) {
        close_fid(half->domain ? &half->domain->fid : NULL);
        close_fid(half->fabric ? &half->fabric->fid : NULL);
    }
    *half = (struct ofi_half){.wait_fd = -1};
}

static void borrow(const struct ofi_ep *ep, struct ofi_half *half)
{
    half->borrowed = true;
    half->fabric = ep->domain->fabric;
    half->domain = ep->domain->domain;
}

static int cq_open(struct ofi_ep *ep, struct ofi_half *half)
{
    struct fi_cq_attr attr = {.size = 1024, .format = FI_CQ_FORMAT_MSG, .wait_obj = FI_WAIT_FD};
    int rc;
    if (strcasecmp(ep->provider, "net") == 0) {
        struct fi_wait_attr wait = {.wait_obj = FI_WAIT_FD};
        rc = fi_wait_open(half->fabric, &wait, &half->wait_set);
        if (rc != 0)
            return weft__ofi_failed(ep, "no wait set", rc);
        attr.wait_obj = FI_WAIT_SET;
        attr.wait_set = half->wait_set;
    }
    rc = fi_cq_open(half->domain, &attr, &half->cq, NULL);
    if (rc != 0)
        return weft__ofi_failed(ep, "no completion queue that can be slept on", rc);
    rc = fi_control(half->wait_set ? &half->wait_set->fid : &half->cq->fid, FI_GETWAIT,
                    &half->wait_fd);
    if (rc != 0)
        return weft__ofi_failed(ep, "no descriptor to sleep on", rc);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = half->wait_fd};
    /* A half that is made anew while nobody sleeps is looked at when somebody wants to. */
    if (!ep->masked && epoll_ctl(ep->epoll_fd, EPOLL_CTL_ADD, half->wait_fd, &event) != 0)
        return weft_fail(-errno, "cannot sleep on libfabric's %s: %s", ep->provider,
                         strerrordesc_np(errno));
    return WEFT_OK;
}

static int bind_all(struct ofi_ep *ep, struct ofi_half *half, struct fi_info *info)
{
    struct fi_av_attr av = {.type = FI_AV_TABLE, .count = 64};
    int rc = fi_av_open(half->domain, &av, &half->av, NULL);
    if (rc == 0)
        rc = fi_endpoint(half->domain, info, &half->ep, NULL);
    if (rc == 0)
        rc = fi_ep_bind(half->ep, &half->cq->fid, FI_TRANSMIT | FI_RECV);
    if (rc == 0)
        rc = fi_ep_bind(half->ep, &half->av->fid, 0);
    if (rc == 0)
        rc = fi_enable(half->ep);
    return rc == 0 ? WEFT_OK : weft__ofi_failed(ep, "cannot open an endpoint", rc);
}

/* half->fabric and half->domain may be borrowed already. */
static int half_open(struct ofi_ep *ep, struct ofi_half *half, struct fi_info *info)
{
    int err = half->domain ? WEFT_OK : weft__ofi_fabric_of(ep, &half->fabric, &half->domain);
    if (err == WEFT_OK)
        err = cq_open(ep, half);
    if (err == WEFT_OK)
        err = bind_all(ep, half, info);
    if (err != WEFT_OK)
        weft__ofi_half_close(ep, half);
    return err;
}

/* ep->info was asked for without a port: any will do, nobody is told of it. */
int weft__ofi_rma_half_open(struct ofi_ep *ep)
{
    ep->rma = (struct ofi_half){.wait_fd = -1};
    if (ep->mr_local)
        borrow(ep, &ep->rma);
    return half_open(ep, &ep->rma, ep->info);
}

static void take_info(struct ofi_ep *ep, struct fi_info *info)
{
    if (ep->info)
        fi_freeinfo(ep->info);
    ep->info = info;
    snprintf(ep->provider, sizeof(ep->provider), "%s", info->fabric_attr->prov_name);
    uint64_t mode = (uint64_t)info->domain_attr->mr_mode;
    ep->mr_local = mode & FI_MR_LOCAL;
    ep->mr_virt = mode & FI_MR_VIRT_ADDR;
    ep->mr_prov_key = mode & FI_MR_PROV_KEY;
    ep->card = ep->mr_prov_key;
    ep->pins = mode & (FI_MR_LOCAL | FI_MR_ALLOCATED);
    if (ep->sends_max > info->tx_attr->size)
        ep->sends_max = (unsigned)info->tx_attr->size;
    if (ep->recvs > info->rx_attr->size)
        ep->recvs = (unsigned)info->rx_attr->size;
    if (ep->msg_max_bytes > info->ep_attr->max_msg_size)
        ep->msg_max_bytes = info->ep_attr->max_msg_size;
}

/* The endpoint of messages, on the first free port of the range. */
static int msg_open(struct ofi_ep *ep, const struct weft_tp_open *desc)
{
    borrow(ep, &ep->msg);
    if (!desc->port_first)
        return half_open(ep, &ep->msg, ep->info);
    unsigned last = desc->port_last < desc->port_first ? desc->port_first : desc->port_last;
    for (unsigned port = desc->port_first; port <= last; port++) {
        struct fi_info *info = NULL;
        int err = info_of(ep, ep->provider, port, &info);
        if (err == WEFT_ENOTSUP)
            continue; /* it has offered itself without a port; verbs says so of one in use */
        if (err != WEFT_OK)
            return err;
        borrow(ep, &ep->msg); /* a half that did not open has given it back */
        err = half_open(ep, &ep->msg, info);
        fi_freeinfo(info);
        if (err != WEFT_EADDRINUSE)
            return err;
    }
    return weft_fail(WEFT_EADDRINUSE, "no free port of %u to %u on %s; widen WEFT_PORTS",
                     desc->port_first, last, ep->bind);
}

/* Takes what the provider offers: for one thread, or for any where the group shares a domain. */
static int provider_take(struct ofi_ep *ep, const void *group, const char *provider)
{
    struct fi_info *info = NULL;
    ep->shares = false;
    int err = info_of(ep, provider, 0, &info);
    if (err != WEFT_OK)
        return err;
    take_info(ep, info);
    ep->shares = group && (ep->pins || weft__ofi_share_always);
    if (!ep->shares)
        return WEFT_OK;
    err = info_of(ep, provider, 0, &info);
    if (err == WEFT_OK)
        take_info(ep, info);
    return err;
}

static int provider_open(struct ofi_ep *ep, const struct weft_tp_open *desc, const char *provider)
{
    int err = provider_take(ep, desc->group, provider);
    if (err != WEFT_OK)
        return err;
    ep->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (ep->epoll_fd < 0)
        err = weft_fail(-errno, "cannot open an epoll set: %s", strerrordesc_np(errno));
    if (err == WEFT_OK)
        err = weft__ofi_silence_open(ep);
    if (err == WEFT_OK)
        err = weft__ofi_domain_get(ep, desc);
    if (err == WEFT_OK)
        err = msg_open(ep, desc);
    if (err == WEFT_OK)
        err = weft__ofi_rma_half_open(ep);
    if (err != WEFT_OK)
        weft__ofi_fabric_close(ep);
    return err;
}

int weft__ofi_fabric_open(struct ofi_ep *ep, const struct weft_tp_open *desc)
{
    ep->epoll_fd = ep->timer_fd = ep->msg.wait_fd = ep->rma.wait_fd = -1;
    if (desc->provider)
        return provider_open(ep, desc, desc->provider);
    int err = WEFT_ENOTSUP;
    for (size_t i = 0; i < sizeof(fabric_choice) / sizeof(fabric_choice[0]); i++) {
        if (weft__ofi_lacks_device(fabric_choice[i]))
            continue;
        err = provider_open(ep, desc, fabric_choice[i]);
        if (err == WEFT_OK || err == WEFT_EADDRINUSE)
            return err;
    }
    return err;
}

void weft__ofi_fabric_close(struct ofi_ep *ep)
{
    weft__ofi_half_close(ep, &ep->rma);
    weft__ofi_half_close(ep, &ep->msg);
    weft__ofi_domain_put(ep);
    if (ep->info)
        fi_freeinfo(ep->info);
    weft__ofi_silence_close(ep);
    if (ep->epoll_fd >= 0)
        close(ep->epoll_fd);
    ep->info = NULL;
    ep->epoll_fd = -1;
}
