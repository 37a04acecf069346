/* One pass over the hosts in their order, then the rest by what overcommit allows; done twice,
 * first to count, so that nothing is written when it fails.
 *
 * The counts are worked out host by host and written to the output as they come, so the placement
 * of rank i never depends on what is free after it. Free slots come from one function that cannot
 * go negative: where "slots - used" was allowed to, a host with more ranks than slots made the
 * remainder grow. The order of room is a sorted array of indices; that of discovery needs none.
 */
#include "plan/decide.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "weft/error.h"

struct filling {
    const struct weft_decide *ask;
    const uint32_t *order; /* by room; NULL: discovery */
    uint32_t *host_of;     /* NULL: only count */
    size_t placed;
    size_t last; /* host that got ranks last */
    size_t over;
};

static void give(struct filling *f, size_t host, size_t n)
{
    for (size_t i = 0; i < n && f->host_of != NULL; i++)
        f->host_of[f->placed + i] = (uint32_t)host;
    f->placed += n;
    if (n > 0)
        f->last = host;
}

static size_t left(const struct filling *f)
{
    return f->ask->ranks - f->placed;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void fill_host(struct filling *f, enum weft_hint hint, size_t host)
{
    size_t n = min_size(left(f), weft__plan_host_free(&f->ask->hosts[host]));
    if (hint == WEFT_HINT_NEVER_ALONE && n < 2)
        return;
    give(f, host, n);
}

static void fill_discovered(struct filling *f, enum weft_hint hint, bool has_app)
{
    for (size_t i = 0; i < f->ask->hosts_n && left(f) > 0; i++)
        if (i != f->ask->home && f->ask->hosts[i].has_app == has_app)
            fill_host(f, hint, i);
}

static void fill_by_room(struct filling *f, enum weft_hint hint)
{
    for (size_t i = 0; i < f->ask->hosts_n && left(f) > 0; i++)
        if (f->order[i] != f->ask->home || hint == WEFT_HINT_PACKED)
            fill_host(f, hint, f->order[i]);
}

static int more_first(uint32_t a, uint32_t b)
{
    return (a < b) - (a > b);
}

static int by_room(const void *a, const void *b, void *hosts)
{
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    const struct weft_plan_host *x = (const struct weft_plan_host *)hosts + i;
    const struct weft_plan_host *y = (const struct weft_plan_host *)hosts + k;
    int order = more_first(x->ours, y->ours);
    if (order == 0)
        order = more_first(x->has_app, y->has_app);
    if (order == 0)
        order = more_first(weft__plan_host_free(x), weft__plan_host_free(y));
    if (order == 0)
        order = more_first(x->slots, y->slots);
    return order != 0 ? order : (i > k) - (i < k);
}

/* NULL: no memory. */
static uint32_t *order_by_room(const struct weft_decide *ask)
{
    uint32_t *order = malloc(ask->hosts_n * sizeof(*order));
    for (size_t i = 0; order != NULL && i < ask->hosts_n; i++)
        order[i] = (uint32_t)i;
    if (order != NULL)
        qsort_r(order, ask->hosts_n, sizeof(*order), by_room, (void *)(uintptr_t)ask->hosts);
    return order;
}

static bool shut(const struct weft_plan_host *host)
{
    return host->closed || host->leaving;
}

/* What no free slot was found for. */
static int fill_rest(struct filling *f, enum weft_hint hint)
{
    const struct weft_decide *ask = f->ask;
    if (left(f) == 0)
        return WEFT_OK;
    if (ask->overcommit == WEFT_OVERCOMMIT_NONE || shut(&ask->hosts[ask->home]))
        return weft_fail(
            WEFT_ENOSLOTS,
            "%zu ranks asked for, %zu free slots found on %zu hosts (hint %s); ask for "
            "fewer ranks, add hosts, or allow overcommit (--oversubscribe)",
            ask->ranks, f->placed, ask->hosts_n, weft__hint_name(hint));
    bool to_last = hint == WEFT_HINT_NEVER_ALONE && ask->overcommit == WEFT_OVERCOMMIT_ANY;
    f->over += left(f);
    give(f, to_last ? f->last : ask->home, left(f));
    return WEFT_OK;
}

static int decide_anew(struct filling *f, enum weft_hint hint)
{
    const struct weft_plan_host *home = &f->ask->hosts[f->ask->home];
    size_t free_slots = weft__plan_host_free(home), offered = free_slots;
    if (hint == WEFT_HINT_PACKED) {
        fill_by_room(f, hint);
        return fill_rest(f, hint);
    }
    if (hint == WEFT_HINT_UNDERFULL) {
        uint32_t half = home->slots / 2;
        offered = half > home->used ? half - home->used : 0;
    }
    size_t first = min_size(f->ask->ranks, offered);
    give(f, f->ask->home, first);
    if (hint != WEFT_HINT_FORCE_LOCAL && f->order != NULL) {
        fill_by_room(f, hint);
    } else if (hint != WEFT_HINT_FORCE_LOCAL) {
        fill_discovered(f, hint, true);
        fill_discovered(f, hint, false);
    }
    /* UNDERFULL kept these back; they are free all the same. */
    give(f, f->ask->home, min_size(left(f), free_slots - first));
    return fill_rest(f, hint);
}

/* ---- placements that are there already ---- */

static bool may_overcommit(const struct weft_decide *ask, size_t host)
{
    return !shut(&ask->hosts[host]) &&
           (ask->overcommit == WEFT_OVERCOMMIT_ANY ||
            (ask->overcommit == WEFT_OVERCOMMIT_HOME && host == ask->home));
}

/* The first host without room, as decide_full says, and how many ranks lie beyond free slots. */
static int look_for_room(const struct weft_decide *ask, const uint32_t *host_of, size_t *full_out,
                         size_t *over_out)
{
    uint32_t *counts = calloc(ask->hosts_n, sizeof(*counts));
    size_t full = ask->hosts_n, over = 0;
    if (counts == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to look at %zu hosts", ask->hosts_n);
    for (size_t rank = 0; rank < ask->ranks; rank++)
        counts[host_of[rank]]++;
    for (size_t host = ask->hosts_n; host-- > 0;) {
        size_t free_slots = weft__plan_host_free(&ask->hosts[host]);
        if (counts[host] <= free_slots)
            continue;
        over += counts[host] - free_slots;
        if (!may_overcommit(ask, host))
            full = host;
    }
    free(counts);
    *full_out = full;
    *over_out = over;
    return WEFT_OK;
}

static int check_hosts(const struct weft_decide *ask, const char *what, const uint32_t *host_of,
                       size_t n)
{
    if (n != ask->ranks)
        return weft_fail(WEFT_EINVAL, "the placement %s is of %zu ranks, %zu are asked for", what,
                         n, ask->ranks);
    for (size_t rank = 0; rank < n; rank++)
        if (host_of[rank] >= ask->hosts_n)
            return weft_fail(WEFT_EINVAL,
                             "the placement %s has rank %zu on host %u, there are %zu hosts", what,
                             rank, host_of[rank], ask->hosts_n);
    return WEFT_OK;
}

/* Takes a placement if its slots are there; *full_out: the first host where they are not. */
static int take(struct filling *f, const char *what, const uint32_t *host_of, size_t n,
                size_t *full_out)
{
    int err = check_hosts(f->ask, what, host_of, n);
    if (err == WEFT_OK)
        err = look_for_room(f->ask, host_of, full_out, &f->over);
    for (size_t rank = 0; err == WEFT_OK && *full_out == f->ask->hosts_n && rank < n; rank++)
        give(f, host_of[rank], 1);
    return err;
}

static int decide_given(struct filling *f)
{
    size_t full = 0;
    int err = take(f, "given", f->ask->given, f->ask->given_n, &full);
    if (err == WEFT_OK && full < f->ask->hosts_n)
        err = weft_fail(WEFT_ENOSLOTS,
                        "the placement given puts more ranks on host %zu than it has free slots",
                        full);
    return err;
}

static int decide(struct filling *f, enum weft_hint hint)
{
    const struct weft_decide *ask = f->ask;
    if (ask->given != NULL)
        return decide_given(f);
    if (hint != WEFT_HINT_CACHED)
        return decide_anew(f, hint);
    if (ask->cached != NULL) {
        size_t full = 0;
        int err = take(f, "of last time", ask->cached, ask->cached_n, &full);
        if (err != WEFT_OK || full == ask->hosts_n)
            return err;
        f->over = 0;
    }
    return decide_anew(f, WEFT_HINT_NORMAL);
}

static int decide_twice(const struct weft_decide *ask, enum weft_hint hint, const uint32_t *order,
                        uint32_t *host_of_out, size_t *over_out)
{
    struct filling count = {.ask = ask, .order = order, .last = ask->home};
    int err = decide(&count, hint);
    if (err != WEFT_OK)
        return err;
    struct filling f = {.ask = ask, .order = order, .last = ask->home};
    f.host_of = host_of_out;
    err = decide(&f, hint);
    if (err == WEFT_OK && over_out != NULL)
        *over_out = f.over;
    return err;
}

int weft__decide(const struct weft_decide *ask, uint32_t *host_of_out, size_t *over_out)
{
    enum weft_hint hint = ask->hints_off ? WEFT_HINT_NORMAL : ask->hint;
    uint32_t *order = NULL;
    if (ask->ranks == 0)
        return weft_fail(WEFT_EINVAL, "a decision about 0 ranks; ask for at least 1");
    if (ask->home >= ask->hosts_n)
        return weft_fail(WEFT_EINVAL, "home is host %zu, there are %zu hosts", ask->home,
                         ask->hosts_n);
    if (ask->scale || hint == WEFT_HINT_PACKED) {
        order = order_by_room(ask);
        if (order == NULL)
            return weft_fail(WEFT_ENOMEM, "no memory to sort %zu hosts", ask->hosts_n);
    }
    int err = decide_twice(ask, hint, order, host_of_out, over_out);
    free(order);
    return err;
}

int weft__decide_full(const struct weft_decide *ask, const uint32_t *host_of, size_t *host_out)
{
    size_t over;
    int err = check_hosts(ask, "asked about", host_of, ask->ranks);
    return err != WEFT_OK ? err : look_for_room(ask, host_of, host_out, &over);
}

static const char *const hint_names[] = {
    [WEFT_HINT_NORMAL] = "NORMAL",           [WEFT_HINT_FORCE_LOCAL] = "FORCE_LOCAL",
    [WEFT_HINT_NEVER_ALONE] = "NEVER_ALONE", [WEFT_HINT_UNDERFULL] = "UNDERFULL",
    [WEFT_HINT_CACHED] = "CACHED",           [WEFT_HINT_PACKED] = "PACKED",
};
#define HINTS (sizeof(hint_names) / sizeof(hint_names[0]))

const char *weft__hint_name(enum weft_hint hint)
{
    return (size_t)hint < HINTS ? hint_names[hint] : "?";
}

int weft__hint_parse(const char *text, enum weft_hint *hint_out)
{
    if (text[0] == '\0') {
        *hint_out = WEFT_HINT_NORMAL;
        return WEFT_OK;
    }
    for (size_t i = 0; i < HINTS; i++) {
        if (strcmp(text, hint_names[i]) == 0) {
            *hint_out = (enum weft_hint)i;
            return WEFT_OK;
        }
    }
    const char *near = weft__nearest(text, hint_names, HINTS);
    return weft_fail(WEFT_EINVAL,
                     "no hint is called '%s'%s%s; there are NORMAL, FORCE_LOCAL, "
                     "NEVER_ALONE, UNDERFULL, CACHED and PACKED",
                     text, near != NULL ? ", did you mean " : "", near != NULL ? near : "");
}
