/* NEW decisions: which host gets each rank of a batch that starts. Pure: the caller knows the
 * hosts, this picks.
 *
 * The order of discovery is home, then hosts that run the app already, then the others, each in the
 * order of the array (callers sort it by name, so that every planner decides alike). A decision is
 * a wish: leases make it true. */
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
    bool has_app;    /* decide: it runs the app already */
    bool closed;     /* takes no rank that is not there: another tenant's, say */
    bool leaving;    /* is about to go: takes no rank, and detect moves those that are there */
    uint32_t ours;   /* detect's own, as the next two: ranks of the app in question here, */
    uint32_t target; /* ranks wanted here, */
    uint32_t number; /* its place among the touched hosts, */
    bool open;       /* whether it may get ranks */
};

enum weft_hint {
    WEFT_HINT_NORMAL,
    WEFT_HINT_FORCE_LOCAL, /* everything to home */
    WEFT_HINT_NEVER_ALONE, /* a host other than home gets two ranks or none */
    WEFT_HINT_UNDERFULL,   /* home offers half of its slots at first: makes room for a later move */
    WEFT_HINT_CACHED       /* the placement of last time, where there is one; else NORMAL */
};

/* Who may take more ranks than it has free slots. */
enum weft_overcommit { WEFT_OVERCOMMIT_NONE, WEFT_OVERCOMMIT_HOME, WEFT_OVERCOMMIT_ANY };

struct weft_decide {
    const struct weft_plan_host *hosts;
    size_t hosts_n;
    size_t home; /* index of the app's home in hosts */
    size_t ranks;
    enum weft_hint hint;
    bool hints_off; /* take every hint for NORMAL */
    enum weft_overcommit overcommit;
    const uint32_t *cached; /* CACHED: index of the host of each rank last time; NULL: none yet */
    size_t cached_n;
};

static inline uint32_t weft__plan_host_free(const struct weft_plan_host *host)
{
    bool shut = host->closed || host->leaving;
    return !shut && host->slots > host->used ? host->slots - host->used : 0;
}

/* Writes the host's index for each of ask->ranks ranks, and how many ranks lie beyond free slots
 * (over_out may be NULL). Thread: any.  Blocks: no. Errors: WEFT_ENOSLOTS not enough free slots and
 * no overcommit allowed; WEFT_EINVAL no rank, home out of range, or a cached placement of another
 * number of ranks or of hosts that are not there. Source: the decision order of faabric pull
 * requests 147 and 214, with free slots floored at 0. */
int weft__decide(const struct weft_decide *ask, uint32_t *host_of_out, size_t *over_out);

/* "NORMAL", "FORCE_LOCAL", ... and back; the empty text is NORMAL.  Errors: WEFT_EINVAL, naming the
 * text. */
const char *weft__hint_name(enum weft_hint hint);
int weft__hint_parse(const char *text, enum weft_hint *hint_out);

#endif
