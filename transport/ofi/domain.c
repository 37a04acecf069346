/* libfabric's fabric and domain, with the registrations made in it.
 *
 * Where registering pins memory, endpoints of one group (struct weft_tp_open) on one address of one
 * provider share one: a card then pins a range once for the process and not once for each lane, and
 * what is kept for the next use has one bound. Such a domain is opened for any thread at a time,
 * since each endpoint has its own; any other endpoint has a domain of its own, opened for one
 * thread, which spares it libfabric's locks.
 *
 * Rejected: to share also where nothing is pinned. It would save nothing, and libfabric 1.17's net
 * (tcp in 1.18) cannot do it, whatever threading it was opened for: its registering takes the lock
 * of its progress, under which it looks keys up, but closing a registration takes the domain's
 * lock, which is none. So the tree of keys breaks when one lane lets a range go while another one
 * registers or is read from. 1.19 closes under the lock of progress; rxm, verbs and efa have a
 * mutex.
 *
 * Only the half for messages is shared, where the halves differ (fabric.c): it is the one that
 * answers one-sided operations, so it has the registrations, and a broken connection never costs it
 * its domain. The shared ones stand in a list under a mutex; an entry is there from before it is
 * opened until its last endpoint has closed.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rdma/fi_domain.h>
#include <rdma/fi_errno.h>

#include "base/check.h"
#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

static struct {
    pthread_mutex_t lock;
    struct ofi_domain *first;
    uint64_t made;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int fail_register(size_t len_bytes, int rc)
{
    int err = weft__ofi_err(rc);
    weft__check(err != WEFT_OK);
    return weft_fail(err,
                     "cannot register %zu bytes: %s; raise the limit of locked memory "
                     "(ulimit -l)",
                     len_bytes, fi_strerror(-rc));
}

/* The key is random where the provider takes ours. */
static int draw_key(const struct ofi_domain *domain, uint64_t *key_out)
{
    size_t size = domain->key_bytes;
    uint64_t key = 0;
    if (!domain->prov_key && getrandom(&key, sizeof(key), 0) != sizeof(key))
        return weft_fail(WEFT_EIO, "no random bytes for a key");
    *key_out = size < sizeof(key) ? key & (((uint64_t)1 << 8 * size) - 1) : key;
    return WEFT_OK;
}

int weft__ofi_mr_make(void *ctx, void *addr, size_t len_bytes, uint32_t access, void **mr_out)
{
    const struct ofi_domain *domain = ctx;
    struct fid_mr *mr = NULL;
    uint64_t key = 0;
    int rc;
    do {
        int err = draw_key(domain, &key);
        if (err != WEFT_OK)
            return err;
        rc = fi_mr_reg(domain->domain, addr, len_bytes, access, 0, key, 0, &mr, NULL);
    } while (rc == -FI_ENOKEY && !domain->prov_key);
    if (rc != 0)
        return fail_register(len_bytes, rc);
    *mr_out = mr;
    return WEFT_OK;
}

static void mr_end(void *ctx, void *mr)
{
    (void)ctx;
    fi_close(&((struct fid_mr *)mr)->fid);
}

static void close_fid(struct fid *fid)
{
    int rc = fid ? fi_close(fid) : 0;
    if (rc != 0)
        weft__debug("ofi: cannot close a domain: %s", fi_strerror(-rc));
}

int weft__ofi_fabric_of(const struct ofi_ep *ep, struct fid_fabric **fabric_out,
                        struct fid_domain **domain_out)
{
    int rc = fi_fabric(ep->info->fabric_attr, fabric_out, NULL);
    if (rc != 0)
        return weft__ofi_failed(ep, "cannot open the fabric", rc);
    rc = fi_domain(*fabric_out, ep->info, domain_out, NULL);
    return rc == 0 ? WEFT_OK : weft__ofi_failed(ep, "cannot open the domain", rc);
}

static void end(struct ofi_domain *domain)
{
    weft__regcache_close(domain->registrations);
    close_fid(domain->domain ? &domain->domain->fid : NULL);
    close_fid(domain->fabric ? &domain->fabric->fid : NULL);
    free(domain);
}

/* A registration may be found by another lane, or be kept for the next use. */
static int cache_open(struct ofi_domain *domain, bool pins, size_t registered_max_bytes)
{
    struct weft_regcache_desc desc = {
        .make = weft__ofi_mr_make,
        .end = mr_end,
        .ctx = domain,
        .bytes_max = registered_max_bytes ? registered_max_bytes : OFI_REGISTERED_MAX,
        .entries_max = OFI_REGISTRATIONS_MAX,
    };
    if (!pins && !domain->group)
        return WEFT_OK;
    return weft__regcache_open(&desc, &domain->registrations);
}

static int make(const struct ofi_ep *ep, const struct weft_tp_open *desc,
                struct ofi_domain **domain_out)
{
    struct ofi_domain *domain = calloc(1, sizeof(*domain));
    if (!domain)
        return weft_fail(WEFT_ENOMEM, "no memory for a domain");
    domain->group = ep->shares ? desc->group : NULL;
    domain->users = 1;
    domain->prov_key = ep->mr_prov_key;
    domain->key_bytes = ep->info->domain_attr->mr_key_size;
    memcpy(domain->provider, ep->provider, sizeof(domain->provider));
    memcpy(domain->bind, ep->bind, sizeof(domain->bind));
    int err = weft__ofi_fabric_of(ep, &domain->fabric, &domain->domain);
    if (err == WEFT_OK)
        err = cache_open(domain, ep->pins, desc->registered_max_bytes);
    if (err != WEFT_OK) {
        end(domain);
        return err;
    }
    *domain_out = domain;
    return WEFT_OK;
}

static struct ofi_domain *find(const struct ofi_ep *ep, const void *group)
{
    struct ofi_domain *domain = ep->shares ? all.first : NULL;
    while (domain && (domain->group != group || strcmp(domain->provider, ep->provider) != 0 ||
                      strcmp(domain->bind, ep->bind) != 0))
        domain = domain->next;
    return domain;
}

int weft__ofi_domain_get(struct ofi_ep *ep, const struct weft_tp_open *desc)
{
    int err = WEFT_OK;
    pthread_mutex_lock(&all.lock);
    struct ofi_domain *domain = find(ep, desc->group);
    if (domain)
        domain->users++;
    else
        err = make(ep, desc, &domain);
    if (err == WEFT_OK && domain->number == 0) {
        domain->number = ++all.made;
        domain->next = all.first;
        all.first = domain;
    }
    pthread_mutex_unlock(&all.lock);
    if (err == WEFT_OK)
        ep->domain = domain;
    return err;
}

void weft__ofi_domain_put(struct ofi_ep *ep)
{
    struct ofi_domain *domain = ep->domain;
    if (!domain)
        return;
    ep->domain = NULL;
    pthread_mutex_lock(&all.lock);
    if (--domain->users == 0) {
        struct ofi_domain **at = &all.first;
        while (*at != domain)
            at = &(*at)->next;
        *at = domain->next;
        end(domain);
    }
    pthread_mutex_unlock(&all.lock);
}
