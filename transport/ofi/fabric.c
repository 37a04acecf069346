/* Opening and closing what libfabric needs: fabric, domain, and two endpoints.
 *
 * Two endpoints, one for messages (its address is the published one, it also answers other
 * processes' one-sided operations) and one from which this process's own one-sided operations go
 * out:
 * - A posted read cannot be cancelled. When a peer is given up while reads from it are outstanding,
 * only closing the endpoint gives the buffers back. The second endpoint can be closed and made anew
 * without touching messages.
 * - Large reads have a connection of their own: messages do not wait behind their bytes.
 * - A tcp-class provider drops the connection when a key is wrong. With this split that costs the
 * reads in flight to that peer, never its messages. The price is a second connection to peers that
 * are read from.
 *
 * Which of the TCP providers (libfabric 1.17, loopback, two processes, both sound in the tests
 * here): see fabric_choice in this file. tcp;ofi_rxm needs FI_DELIVERY_COMPLETE to tell the truth
 * about puts; net does not arm its wait object in fi_trywait() and keeps it readable for ever after
 * the first completion, so it gets a wait set of its own, whose fi_wait() with no time-out does
 * arm.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rdma/fi_errno.h>

#include "transport/ofi/impl.h"
#include "weft/error.h"

/* Providers in order of preference, where the caller names none. */
static const char *const fabric_choice[] = {"verbs;ofi_rxm", "efa", "net", "tcp;ofi_rxm", "tcp"};

static struct fi_info *hints_for(const char *provider)
{
    struct fi_info *hints = fi_allocinfo();
    if (!hints)
        return NULL;
    hints->caps = FI_MSG | FI_RMA;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->ep_attr->type = FI_EP_RDM;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
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

/* What the provider offers on the interface; port 0: any. */
static int info_of(const char *provider, const char *bind, unsigned port, struct fi_info **info_out)
{
    struct fi_info *hints = hints_for(provider);
    if (!hints)
        return weft_fail(WEFT_ENOMEM, "no memory for libfabric's hints");
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct fi_info *info = NULL;
    int rc = fi_getinfo(FI_VERSION(1, 17), bind, port ? service : NULL, FI_SOURCE | FI_NUMERICHOST,
                        hints, &info);
    fi_freeinfo(hints);
    if (rc == 0 && strncasecmp(info->fabric_attr->prov_name, provider, strlen(provider)) != 0) {
        fi_freeinfo(info);
        rc = -FI_ENODATA;
    }
    if (rc == -FI_ENODATA)
        return weft_fail(WEFT_ENOTSUP,
                         "libfabric's %s offers nothing on %s: no such device there, or the "
                         "provider is not in this build (fi_info -p %s)",
                         provider, bind, provider);
    if (rc != 0)
        return weft_fail(weft__ofi_err(rc), "libfabric's %s refuses %s: %s", provider, bind,
                         fi_strerror(-rc));
    *info_out = info;
    return WEFT_OK;
}

static int failed(const struct ofi_ep *ep, const char *what, int rc)
{
    return weft_fail(weft__ofi_err(rc), "libfabric's %s on %s: %s: %s", ep->provider, ep->bind,
                     what, fi_strerror(-rc));
}

void weft__ofi_half_close(struct ofi_ep *ep, struct ofi_half *half)
{
    if (ep->epoll_fd >= 0 && half->cq_fd >= 0)
        epoll_ctl(ep->epoll_fd, EPOLL_CTL_DEL, half->cq_fd, NULL);
    if (half->ep)
        fi_close(&half->ep->fid);
    if (half->cq)
        fi_close(&half->cq->fid);
    if (half->av)
        fi_close(&half->av->fid);
    *half = (struct ofi_half){.cq_fd = -1};
}

static int cq_open(struct ofi_ep *ep, struct ofi_half *half)
{
    struct fi_cq_attr attr = {.size = 1024, .format = FI_CQ_FORMAT_MSG, .wait_obj = FI_WAIT_FD};
    if (ep->wait_set) {
        attr.wait_obj = FI_WAIT_SET;
        attr.wait_set = ep->wait_set;
    }
    int rc = fi_cq_open(ep->domain, &attr, &half->cq, NULL);
    if (rc != 0)
        return failed(ep, "no completion queue that can be slept on", rc);
    if (ep->wait_set)
        return WEFT_OK;
    rc = fi_control(&half->cq->fid, FI_GETWAIT, &half->cq_fd);
    if (rc != 0)
        return failed(ep, "no descriptor to sleep on", rc);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = half->cq_fd};
    if (epoll_ctl(ep->epoll_fd, EPOLL_CTL_ADD, half->cq_fd, &event) != 0)
        return weft_fail(-errno, "cannot sleep on libfabric's %s: %s", ep->provider,
                         strerrordesc_np(errno));
    return WEFT_OK;
}

static int half_bind(struct ofi_ep *ep, struct ofi_half *half, struct fi_info *info)
{
    struct fi_av_attr av = {.type = FI_AV_TABLE, .count = 64};
    int rc = fi_av_open(ep->domain, &av, &half->av, NULL);
    if (rc == 0)
        rc = fi_endpoint(ep->domain, info, &half->ep, NULL);
    if (rc == 0)
        rc = fi_ep_bind(half->ep, &half->cq->fid, FI_TRANSMIT | FI_RECV);
    if (rc == 0)
        rc = fi_ep_bind(half->ep, &half->av->fid, 0);
    if (rc == 0)
        rc = fi_enable(half->ep);
    return rc == 0 ? WEFT_OK : failed(ep, "cannot open an endpoint", rc);
}

static int half_open(struct ofi_ep *ep, struct ofi_half *half, struct fi_info *info)
{
    *half = (struct ofi_half){.cq_fd = -1};
    int err = cq_open(ep, half);
    if (err == WEFT_OK)
        err = half_bind(ep, half, info);
    if (err != WEFT_OK)
        weft__ofi_half_close(ep, half);
    return err;
}

/* ep->info was asked for without a port: any will do, nobody is told of it. */
int weft__ofi_half_open(struct ofi_ep *ep, struct ofi_half *half)
{
    return half_open(ep, half, ep->info);
}

static int domain_open(struct ofi_ep *ep)
{
    int rc = fi_fabric(ep->info->fabric_attr, &ep->fabric, NULL);
    if (rc != 0)
        return failed(ep, "cannot open the fabric", rc);
    rc = fi_domain(ep->fabric, ep->info, &ep->domain, NULL);
    if (rc != 0)
        return failed(ep, "cannot open the domain", rc);
    if (strcasecmp(ep->provider, "net") != 0) {
        ep->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        return ep->epoll_fd >= 0
                   ? WEFT_OK
                   : weft_fail(-errno, "cannot open an epoll set: %s", strerrordesc_np(errno));
    }
    struct fi_wait_attr wait = {.wait_obj = FI_WAIT_FD};
    rc = fi_wait_open(ep->fabric, &wait, &ep->wait_set);
    return rc == 0 ? WEFT_OK : failed(ep, "no wait set", rc);
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
    if (ep->sends_max > info->tx_attr->size)
        ep->sends_max = (unsigned)info->tx_attr->size;
}

/* The endpoint of messages, on the first free port of the range. */
static int msg_open(struct ofi_ep *ep, const struct weft_tp_open *desc)
{
    if (!desc->port_first)
        return half_open(ep, &ep->msg, ep->info);
    unsigned last = desc->port_last < desc->port_first ? desc->port_first : desc->port_last;
    for (unsigned port = desc->port_first; port <= last; port++) {
        struct fi_info *info;
        int err = info_of(ep->provider, ep->bind, port, &info);
        if (err != WEFT_OK)
            return err;
        err = half_open(ep, &ep->msg, info);
        fi_freeinfo(info);
        if (err != WEFT_EADDRINUSE)
            return err;
    }
    return weft_fail(WEFT_EADDRINUSE, "no free port of %u to %u on %s; widen WEFT_PORTS",
                     desc->port_first, last, ep->bind);
}

static int provider_open(struct ofi_ep *ep, const struct weft_tp_open *desc, const char *provider)
{
    struct fi_info *info;
    int err = info_of(provider, ep->bind, 0, &info);
    if (err != WEFT_OK)
        return err;
    take_info(ep, info);
    err = domain_open(ep);
    if (err == WEFT_OK)
        err = msg_open(ep, desc);
    if (err == WEFT_OK)
        err = weft__ofi_half_open(ep, &ep->rma);
    if (err != WEFT_OK)
        weft__ofi_fabric_close(ep);
    return err;
}

int weft__ofi_fabric_open(struct ofi_ep *ep, const struct weft_tp_open *desc)
{
    ep->epoll_fd = ep->msg.cq_fd = ep->rma.cq_fd = -1;
    if (desc->provider)
        return provider_open(ep, desc, desc->provider);
    int err = WEFT_ENOTSUP;
    for (size_t i = 0; i < sizeof(fabric_choice) / sizeof(fabric_choice[0]); i++) {
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
    if (ep->wait_set)
        fi_close(&ep->wait_set->fid);
    if (ep->domain)
        fi_close(&ep->domain->fid);
    if (ep->fabric)
        fi_close(&ep->fabric->fid);
    if (ep->info)
        fi_freeinfo(ep->info);
    if (ep->epoll_fd >= 0)
        close(ep->epoll_fd);
    ep->wait_set = NULL;
    ep->domain = NULL;
    ep->fabric = NULL;
    ep->info = NULL;
    ep->epoll_fd = -1;
}
