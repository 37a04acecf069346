/* Registered memory.
 *
 * Providers differ in what they want of it (FI_MR_LOCAL, FI_MR_VIRT_ADDR, FI_MR_PROV_KEY,
 * FI_MR_ALLOCATED): addresses count from 0 or from the memory's own, keys are chosen at random here
 * or by the card, and the local end of an operation is registered or not. Where a card holds the
 * pages (FI_MR_ALLOCATED), registrations are kept for the next use: those of local ranges, and
 * those that their owner has marked WEFT_TP_KEEP. Any other ends with unreg(), and its key with it.
 *
 * Where several endpoints share a domain, a range that two of them have registered alike is
 * registered once, under one key, until the last of them lets go.
 *
 * All are made in the domain of messages; providers with FI_MR_LOCAL have that domain alone. Not
 * served: FI_MR_ENDPOINT, a registration that belongs to an endpoint, for one of the two halves is
 * made anew now and then. None of the providers in Debian's build that have messages and one-sided
 * operations asks for it.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include <rdma/fi_domain.h>

#include "transport/ofi/impl.h"
#include "weft/error.h"

static void release(struct ofi_ep *ep, struct weft_tp_region *region)
{
    struct ofi_domain *domain = ep->domain;
    if (region->kept) {
        weft__regcache_put(domain->registrations, region->kept);
    } else {
        fi_close(&region->mr->fid);
        atomic_fetch_sub_explicit(&domain->regions_n, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&domain->regions_bytes, region->key.len_bytes,
                                  memory_order_relaxed);
    }
    free(region);
}

void weft__ofi_regions_close(struct ofi_ep *ep)
{
    struct weft_tp_region *next;
    for (struct weft_tp_region *region = ep->regions; region; region = next) {
        next = region->after;
        release(ep, region);
    }
    ep->regions = NULL;
}

int weft__ofi_local_get(struct ofi_ep *ep, const struct weft_tp_rma_desc *desc, uint64_t access,
                        struct weft_registration **local_out)
{
    struct weft_regcache_want want = {
        .addr = desc->local, .len_bytes = desc->len_bytes, .access = (uint32_t)access};
    return weft__regcache_get(ep->domain->registrations, &want, local_out);
}

static uint32_t flags_of(const struct ofi_ep *ep, uint32_t access)
{
    uint64_t flags = (access & WEFT_TP_READ ? FI_REMOTE_READ : 0) |
                     (access & WEFT_TP_WRITE ? FI_REMOTE_WRITE : 0);
    if (ep->mr_local)
        flags |= FI_READ | FI_WRITE;
    return (uint32_t)flags;
}

static int region_make(struct ofi_ep *ep, const struct weft_regcache_want *want,
                       struct weft_tp_region *region)
{
    struct ofi_domain *domain = ep->domain;
    if (ep->shares || !want->once) {
        int err = weft__regcache_get(domain->registrations, want, &region->kept);
        if (err == WEFT_OK)
            region->mr = region->kept->handle;
        return err;
    }
    void *mr = NULL;
    int err = weft__ofi_mr_make(domain, want->addr, want->len_bytes, want->access, &mr);
    if (err != WEFT_OK)
        return err;
    region->mr = mr;
    atomic_fetch_add_explicit(&domain->regions_n, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&domain->regions_bytes, want->len_bytes, memory_order_relaxed);
    return WEFT_OK;
}

int weft__ofi_reg(struct weft_tp_ep *tp, void *addr, size_t len_bytes, uint32_t access,
                  struct weft_tp_region **region_out)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    if (!len_bytes || !(access & (WEFT_TP_READ | WEFT_TP_WRITE)))
        return weft_fail(WEFT_EINVAL, "a registration of %zu bytes with access %u", len_bytes,
                         access);
    struct weft_tp_region *region = calloc(1, sizeof(*region));
    if (!region)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    struct weft_regcache_want want = {.addr = addr,
                                      .len_bytes = len_bytes,
                                      .access = flags_of(ep, access),
                                      .exact = true,
                                      .once = !ep->pins || !(access & WEFT_TP_KEEP)};
    int err = region_make(ep, &want, region);
    if (err != WEFT_OK) {
        free(region);
        return err;
    }
    region->key = (struct weft_tp_key){.key = fi_mr_key(region->mr),
                                       .base = ep->mr_virt ? (uint64_t)(uintptr_t)addr : 0,
                                       .len_bytes = len_bytes};
    region->after = ep->regions;
    if (region->after)
        region->after->before = region;
    ep->regions = region;
    *region_out = region;
    return WEFT_OK;
}

void weft__ofi_unreg(struct weft_tp_ep *tp, struct weft_tp_region *region)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    if (region->before)
        region->before->after = region->after;
    else
        ep->regions = region->after;
    if (region->after)
        region->after->before = region->before;
    release(ep, region);
}

void weft__ofi_key(struct weft_tp_region *region, struct weft_tp_key *key_out)
{
    *key_out = region->key;
}
