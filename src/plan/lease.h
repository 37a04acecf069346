/* The slot table of one host: who uses how many of its slots, until when. The host's weftd owns the
 * only one.
 *
 *   reserve -> RESERVED (ends at its deadline) -> hold -> HELD (no deadline) -> commit -> COMMITTED
 * -> release
 *                                               \-------------- commit --------/
 *
 * Every call is idempotent by lease id. Free slots never go below 0: slots given beyond them are
 * counted per lease (`over`) and granted only where the ask allows it. */
#ifndef WEFT_PLAN_LEASE_H
#define WEFT_PLAN_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_LEASE_SLOTS_MAX 65536u
#define WEFT_TENANT_MAX 32 /* with the NUL */

enum weft_lease_state { WEFT_LEASE_RESERVED = 1, WEFT_LEASE_HELD, WEFT_LEASE_COMMITTED };

/* A slot of a rank that moves: here, or away. */
enum weft_lease_way { WEFT_LEASE_STILL, WEFT_LEASE_COMES, WEFT_LEASE_LEAVES };

struct weft_lease {
    uint64_t
        id; /* chosen by the asker, never reused: for a move, its move id made unique by the app */
    uint64_t app;
    uint32_t n;           /* slots, those over included */
    uint32_t over;        /* of them: beyond what was free */
    uint64_t deadline_ns; /* RESERVED only; else WEFT_NEVER */
    enum weft_lease_state state;
    enum weft_lease_way way;
    uint64_t way_until_ns; /* then it counts as STILL again */
    bool apart;            /* nobody else's lease may be beside it: */
    char tenant[WEFT_TENANT_MAX];
};

/* Whose leases a host has. */
struct weft_tenancy {
    char tenant[WEFT_TENANT_MAX]; /* of all, or of the first one */
    bool any, mixed;              /* there are leases; of several tenants */
    bool apart;                   /* one of them wants no other tenant beside it */
};
/* Whether a lease of this tenant could be beside those. */
bool weft__tenancy_admits(const struct weft_tenancy *tenancy, const char *tenant, bool apart);

struct weft_leases {
    uint32_t slots;
    uint32_t moves_max; /* at once, each way; 0: any number */
    struct weft_lease *items;
    size_t n, max;
};

struct weft_lease_ask {
    uint64_t id;
    uint64_t app;
    uint32_t n;           /* n or fewer are granted */
    bool overcommit;      /* grant all n even if fewer are free */
    uint64_t deadline_ns; /* when the reservation ends by itself */
    bool comes;           /* for a rank that moves here: COMES until it is committed */
    const char *tenant;   /* cut to WEFT_TENANT_MAX; NULL: "" */
    bool apart;           /* only where no other tenant has a lease, and none may come later */
};

/* Errors: WEFT_ENOMEM; WEFT_EINVAL max is 0. fini of a zeroed table is fine. */
int weft__leases_init(struct weft_leases *table, uint32_t slots, size_t max);
void weft__leases_fini(struct weft_leases *table);

uint32_t weft__leases_used(
    const struct weft_leases *table); /* all leased slots; may exceed slots by what is over */
uint32_t weft__leases_free(const struct weft_leases *table);
void weft__leases_tenancy(const struct weft_leases *table, struct weft_tenancy *tenancy_out);
const struct weft_lease *weft__leases_find(const struct weft_leases *table,
                                           uint64_t id); /* NULL: none */

/* Reserves slots. The same id again answers what it has (a RESERVED one keeps its first deadline).
 * Errors: WEFT_ENOSLOTS none granted, also because of another tenant; WEFT_EEXIST the id is another
 * app's; WEFT_EAGAIN the table is full; WEFT_EINVAL n is 0; WEFT_ERANGE n is over
 * WEFT_LEASE_SLOTS_MAX; WEFT_ETIMEDOUT the deadline has passed already; WEFT_EBUSY as many ranks
 * come as may at once. */
int weft__leases_reserve(struct weft_leases *table, const struct weft_lease_ask *ask,
                         uint64_t now_ns, uint32_t *granted_out);
/* RESERVED -> HELD: no longer ends by time.  Errors: WEFT_ENOENT; WEFT_ETIMEDOUT its deadline has
 * passed. */
int weft__leases_hold(struct weft_leases *table, uint64_t id, uint64_t now_ns);
/* RESERVED or HELD -> COMMITTED.  Errors: as hold. */
int weft__leases_commit(struct weft_leases *table, uint64_t id, uint64_t now_ns);
/* The rank of a lease is about to move away, and counts as such until then, or until the lease
 * ends; a time that has passed: it stays. Saying so again extends the time. Errors: WEFT_ENOENT the
 * app has no such lease; WEFT_EBUSY as many leave as may at once. */
int weft__leases_leave(struct weft_leases *table, const struct weft_lease_ask *ask,
                       uint64_t now_ns);
/* How many ranks come or leave now. */
uint32_t weft__leases_moving(const struct weft_leases *table, enum weft_lease_way way,
                             uint64_t now_ns);
/* Leaves the lease at most n slots; 0 ends it. Never grows one; an unknown id is fine (it has
 * ended). */
void weft__leases_trim(struct weft_leases *table, uint64_t id, uint32_t n);
static inline void weft__leases_release(struct weft_leases *table, uint64_t id)
{
    weft__leases_trim(table, id, 0);
}
/* Ends all leases of an app; returns the number of slots given back. */
uint32_t weft__leases_release_app(struct weft_leases *table, uint64_t app);
/* Ends RESERVED leases whose deadline has come; writes up to max of them and returns how many. Call
 * again while it returns max. */
size_t weft__leases_expire(struct weft_leases *table, uint64_t now_ns, struct weft_lease *ended_out,
                           size_t max);
/* When expire() has something to do next; WEFT_NEVER: nothing waits. */
uint64_t weft__leases_deadline(const struct weft_leases *table);
/* The number of slots changes (configuration); leases stay, also where they no longer fit. */
void weft__leases_resize(struct weft_leases *table, uint32_t slots);

const char *weft__lease_state_name(enum weft_lease_state state);

#endif
