/* A flat array: a host has tens of leases, and a scan of it costs less than the message that asks
 * for it.
 *
 * What is used is always summed up from the leases, never kept as a counter beside them: there is
 * nothing that could drift. `over` is what a lease got beyond the free slots at that moment; it is
 * a note for people, free slots are floored at 0 whatever it says. A reservation that ended is
 * forgotten; its late repetition makes a new one, which ends by its deadline. */
#include "plan/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "weft/error.h"

int weft__leases_init(struct weft_leases *table, uint32_t slots, size_t max)
{
    *table = (struct weft_leases){0};
    if (max == 0)
        return weft_fail(WEFT_EINVAL, "a slot table for 0 leases; give it room for at least 1");
    struct weft_lease *items = calloc(max, sizeof(*items));
    if (items == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a slot table of %zu leases", max);
    *table = (struct weft_leases){.slots = slots, .items = items, .max = max};
    return WEFT_OK;
}

void weft__leases_fini(struct weft_leases *table)
{
    free(table->items);
    *table = (struct weft_leases){0};
}

uint32_t weft__leases_used(const struct weft_leases *table)
{
    uint32_t used = 0;
    for (size_t i = 0; i < table->n; i++)
        used += table->items[i].n;
    return used;
}

uint32_t weft__leases_free(const struct weft_leases *table)
{
    uint32_t used = weft__leases_used(table);
    return table->slots > used ? table->slots - used : 0;
}

void weft__leases_tenancy(const struct weft_leases *table, struct weft_tenancy *tenancy_out)
{
    *tenancy_out = (struct weft_tenancy){.any = table->n > 0};
    for (size_t i = 0; i < table->n; i++) {
        const struct weft_lease *lease = &table->items[i];
        if (i == 0)
            memcpy(tenancy_out->tenant, lease->tenant, sizeof(lease->tenant));
        tenancy_out->mixed |= strcmp(tenancy_out->tenant, lease->tenant) != 0;
        tenancy_out->apart |= lease->apart;
    }
}

bool weft__tenancy_admits(const struct weft_tenancy *tenancy, const char *tenant, bool apart)
{
    bool alone = !tenancy->any ||
                 (!tenancy->mixed &&
                  strncmp(tenancy->tenant, tenant != NULL ? tenant : "", WEFT_TENANT_MAX - 1) == 0);
    return alone || (!apart && !tenancy->apart);
}

static struct weft_lease *find(const struct weft_leases *table, uint64_t id)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->items[i].id == id)
            return &table->items[i];
    }
    return NULL;
}

const struct weft_lease *weft__leases_find(const struct weft_leases *table, uint64_t id)
{
    return find(table, id);
}

static void end(struct weft_leases *table, struct weft_lease *lease)
{
    *lease = table->items[--table->n];
}

static bool passed(const struct weft_lease *lease, uint64_t now_ns)
{
    return lease->state == WEFT_LEASE_RESERVED && lease->deadline_ns <= now_ns;
}

/* The answer to a repeated ask. */
static int reserved_already(const struct weft_lease *lease, const struct weft_lease_ask *ask,
                            uint64_t now_ns, uint32_t *granted_out)
{
    if (lease->app != ask->app)
        return weft_fail(WEFT_EEXIST,
                         "lease %llu belongs to app %llu; app %llu needs an id of its own",
                         (unsigned long long)lease->id, (unsigned long long)lease->app,
                         (unsigned long long)ask->app);
    if (passed(lease, now_ns))
        return weft_fail(WEFT_ETIMEDOUT, "lease %llu has ended by its deadline; ask anew",
                         (unsigned long long)lease->id);
    *granted_out = lease->n;
    return WEFT_OK;
}

uint32_t weft__leases_moving(const struct weft_leases *table, enum weft_lease_way way,
                             uint64_t now_ns)
{
    uint32_t moving = 0;
    for (size_t i = 0; i < table->n; i++)
        moving += table->items[i].way == way && table->items[i].way_until_ns > now_ns;
    return moving;
}

/* Whether one more rank may come, or leave. */
static int may_move(const struct weft_leases *table, enum weft_lease_way way, uint64_t now_ns)
{
    if (table->moves_max == 0 || weft__leases_moving(table, way, now_ns) < table->moves_max)
        return WEFT_OK;
    return weft_fail(WEFT_EBUSY,
                     way == WEFT_LEASE_COMES
                         ? "%u ranks are moving to this host, which is its limit; try again later"
                         : "%u ranks are leaving this host, which is its limit; try again later",
                     table->moves_max);
}

int weft__leases_leave(struct weft_leases *table, const struct weft_lease_ask *ask, uint64_t now_ns)
{
    struct weft_lease *lease = find(table, ask->id);
    if (lease == NULL || lease->app != ask->app)
        return weft_fail(WEFT_ENOENT, "app %llu has no lease %llu on this host",
                         (unsigned long long)ask->app, (unsigned long long)ask->id);
    bool leaves = lease->way == WEFT_LEASE_LEAVES && lease->way_until_ns > now_ns;
    if (ask->deadline_ns > now_ns && !leaves) {
        int err = may_move(table, WEFT_LEASE_LEAVES, now_ns);
        if (err != WEFT_OK)
            return err;
    }
    lease->way = ask->deadline_ns > now_ns ? WEFT_LEASE_LEAVES : WEFT_LEASE_STILL;
    lease->way_until_ns = ask->deadline_ns;
    return WEFT_OK;
}

int weft__leases_reserve(struct weft_leases *table, const struct weft_lease_ask *ask,
                         uint64_t now_ns, uint32_t *granted_out)
{
    if (ask->n == 0)
        return weft_fail(WEFT_EINVAL, "a lease of 0 slots; ask for at least 1");
    if (ask->n > WEFT_LEASE_SLOTS_MAX)
        return weft_fail(WEFT_ERANGE, "a lease of %u slots; the limit is %u", ask->n,
                         WEFT_LEASE_SLOTS_MAX);
    const struct weft_lease *old = find(table, ask->id);
    if (old != NULL)
        return reserved_already(old, ask, now_ns, granted_out);
    if (ask->deadline_ns <= now_ns)
        return weft_fail(WEFT_ETIMEDOUT,
                         "the deadline of lease %llu has passed before it was asked for",
                         (unsigned long long)ask->id);
    if (table->n == table->max)
        return weft_fail(WEFT_EAGAIN,
                         "this host has %zu leases, which is its limit; try again later", table->n);
    struct weft_tenancy tenancy;
    weft__leases_tenancy(table, &tenancy);
    if (!weft__tenancy_admits(&tenancy, ask->tenant, ask->apart))
        return weft_fail(WEFT_ENOSLOTS, "this host has ranks of another tenant");
    uint32_t free_slots = weft__leases_free(table);
    uint32_t n = ask->overcommit || ask->n < free_slots ? ask->n : free_slots;
    if (n == 0)
        return weft_fail(WEFT_ENOSLOTS, "all %u slots of this host are taken", table->slots);
    int err = ask->comes ? may_move(table, WEFT_LEASE_COMES, now_ns) : WEFT_OK;
    if (err != WEFT_OK)
        return err;
    struct weft_lease *lease = &table->items[table->n++];
    *lease = (struct weft_lease){.id = ask->id,
                                 .app = ask->app,
                                 .n = n,
                                 .over = n > free_slots ? n - free_slots : 0,
                                 .deadline_ns = ask->deadline_ns,
                                 .state = WEFT_LEASE_RESERVED,
                                 .way = ask->comes ? WEFT_LEASE_COMES : WEFT_LEASE_STILL,
                                 .way_until_ns = ask->deadline_ns,
                                 .apart = ask->apart};
    snprintf(lease->tenant, sizeof(lease->tenant), "%s", ask->tenant != NULL ? ask->tenant : "");
    *granted_out = n;
    return WEFT_OK;
}

static int keep(struct weft_leases *table, uint64_t id, enum weft_lease_state state,
                uint64_t now_ns)
{
    struct weft_lease *lease = find(table, id);
    if (lease == NULL)
        return weft_fail(WEFT_ENOENT, "there is no lease %llu on this host: it has ended",
                         (unsigned long long)id);
    if (passed(lease, now_ns))
        return weft_fail(WEFT_ETIMEDOUT, "lease %llu has ended by its deadline",
                         (unsigned long long)id);
    if (lease->state < state)
        lease->state = state;
    if (lease->state == WEFT_LEASE_COMMITTED && lease->way == WEFT_LEASE_COMES)
        lease->way = WEFT_LEASE_STILL;
    lease->deadline_ns = WEFT_NEVER;
    return WEFT_OK;
}

int weft__leases_hold(struct weft_leases *table, uint64_t id, uint64_t now_ns)
{
    return keep(table, id, WEFT_LEASE_HELD, now_ns);
}

int weft__leases_commit(struct weft_leases *table, uint64_t id, uint64_t now_ns)
{
    return keep(table, id, WEFT_LEASE_COMMITTED, now_ns);
}

void weft__leases_trim(struct weft_leases *table, uint64_t id, uint32_t n)
{
    struct weft_lease *lease = find(table, id);
    if (lease == NULL || lease->n <= n)
        return;
    lease->n = n;
    if (lease->over > n)
        lease->over = n;
    if (n == 0)
        end(table, lease);
}

uint32_t weft__leases_release_app(struct weft_leases *table, uint64_t app)
{
    uint32_t slots = 0;
    for (size_t i = table->n; i-- > 0;) {
        if (table->items[i].app != app)
            continue;
        slots += table->items[i].n;
        end(table, &table->items[i]);
    }
    return slots;
}

size_t weft__leases_expire(struct weft_leases *table, uint64_t now_ns, struct weft_lease *ended_out,
                           size_t max)
{
    size_t ended = 0;
    for (size_t i = table->n; i-- > 0 && ended < max;) {
        if (!passed(&table->items[i], now_ns))
            continue;
        ended_out[ended++] = table->items[i];
        end(table, &table->items[i]);
    }
    return ended;
}

uint64_t weft__leases_deadline(const struct weft_leases *table)
{
    uint64_t first = WEFT_NEVER;
    for (size_t i = 0; i < table->n; i++) {
        if (table->items[i].deadline_ns < first)
            first = table->items[i].deadline_ns;
    }
    return first;
}

void weft__leases_resize(struct weft_leases *table, uint32_t slots)
{
    table->slots = slots;
}

const char *weft__lease_state_name(enum weft_lease_state state)
{
    switch (state) {
    case WEFT_LEASE_RESERVED:
        return "reserved";
    case WEFT_LEASE_HELD:
        return "held";
    case WEFT_LEASE_COMMITTED:
        return "committed";
    }
    return "?";
}
