/* NEW and SCALE decisions: which host gets each rank of an app that starts, and each rank or thread
 * that is added to one that runs. Pure: the caller knows the hosts, this picks.
 *
 * Two orders of hosts. That of discovery, for NEW: home, then hosts that run the app already, then
 * the others, each in the order of the array (callers sort it by name, so that every planner
 * decides alike). That of room, for hint PACKED and, behind home, for SCALE: hosts with most ranks
 * of the app, then those with most free slots, then with most slots, then in the order of the
 * array. A decision is a wish: leases make it true. */
#ifndef WEFT_PLAN_DECIDE_H
#define WEFT_PLAN_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a planner knows of one host. free = slots - used, never below 0; 0 where no rank may go. */
struct weft_plan_host {
    uint64_t id; /* the caller's; not looked at */
    uint32_t slots;
    uint32_t used;   /* leased slots, those of the app in question included */
    bool has_app;    /* decide: it runs the app already, or has a process of it */
    bool closed;     /* takes no rank that is not there: another tenant's, say */
    bool leaving;    /* is about to go: takes no rank, and detect moves those that are there */
    bool open;       /* detect's own, as the next three: whether it may get ranks, */
    uint32_t ours;   /* ranks of the app in question here, */
    uint32_t target; /* ranks wanted here, */
    uint32_t number; /* its place among the touched hosts */
};

enum weft_hint {
    WEFT_HINT_NORMAL,
    WEFT_HINT_FORCE_LOCAL, /* everything to home */
    WEFT_HINT_NEVER_ALONE, /* a host other than home gets two ranks or none */
    WEFT_HINT_UNDERFULL,   /* home offers half of its slots at first: makes room for a later move */
    WEFT_HINT_CACHED,      /* the placement of last time, where it can be had; else NORMAL */
    WEFT_HINT_PACKED       /* as few hosts as can be, wherever home is: the roomiest first */
};

/* Who may take more ranks than it has free slots. */
enum weft_overcommit { WEFT_OVERCOMMIT_NONE, WEFT_OVERCOMMIT_HOME, WEFT_OVERCOMMIT_ANY };

struct weft_decide {
    const struct weft_plan_host *hosts;
    size_t hosts_n;
    size_t home;  /* index of the app's home in hosts */
    size_t ranks; /* that start, or are added */
    bool scale;   /* they are added to an app that runs */
    enum weft_hint hint;
    bool hints_off; /* take every hint for NORMAL */
    enum weft_overcommit overcommit;
    const uint32_t *cached; /* CACHED: index of the host of each rank last time; NULL: none yet */
    size_t cached_n;
    const uint32_t *given; /* a placement from outside, which is taken or refused, whatever the
                              hint; NULL: none */
    size_t given_n;
};

static inline uint32_t weft__plan_host_free(const struct weft_plan_host *host)
{
    bool shut = host->closed || host->leaving;
    return !shut && host->slots > host->used ? host->slots - host->used : 0;
}

/* Writes the host's index for each of ask->ranks ranks, and how many ranks lie beyond free slots
 * (over_out may be NULL). Thread: any.  Blocks: no. Errors: WEFT_ENOSLOTS not enough free slots and
 * no overcommit allowed; WEFT_EINVAL no rank, home out of range, or a cached or given placement of
 * another number of ranks or of hosts that are not there; WEFT_ENOMEM. Source: the decision order
 * of faabric pull requests 147 and 214, and that of its later batch schedulers, with free slots
 * floored at 0. */
int weft__decide(const struct weft_decide *ask, uint32_t *host_of_out, size_t *over_out);
/* The first host that has no room for what a placement of ask->ranks ranks puts there, and that may
 * not take more than it has room for; ask->hosts_n: none.  Errors: as decide. */
int weft__decide_full(const struct weft_decide *ask, const uint32_t *host_of, size_t *host_out);

/* "NORMAL", "FORCE_LOCAL", ... and back; the empty text is NORMAL.  Errors: WEFT_EINVAL, naming the
 * text. */
const char *weft__hint_name(enum weft_hint hint);
int weft__hint_parse(const char *text, enum weft_hint *hint_out);

#endif
