/* One pass over the hosts in the order of discovery, then the rest by what overcommit allows; done
 * twice, first to count, so that nothing is written when it fails.
 *
 * The counts are worked out host by host and written to the output as they come, so the placement
 * of rank i never depends on what is free after it. Free slots come from one function that cannot
 * go negative: where "slots - used" was allowed to, a host with more ranks than slots made the
 * remainder grow. */
#include "plan/decide.h"

#include <string.h>

#include "base/nearest.h"
#include "weft/error.h"

struct filling {
    const struct weft_decide *ask;
    uint32_t *host_of; /* NULL: only count */
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

static void fill_remotes(struct filling *f, enum weft_hint hint, bool has_app)
{
    for (size_t i = 0; i < f->ask->hosts_n && left(f) > 0; i++) {
        const struct weft_plan_host *host = &f->ask->hosts[i];
        if (i == f->ask->home || host->has_app != has_app)
            continue;
        size_t n = min_size(left(f), weft__plan_host_free(host));
        if (hint == WEFT_HINT_NEVER_ALONE && n < 2)
            continue;
        give(f, i, n);
    }
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
    if (hint == WEFT_HINT_UNDERFULL) {
        uint32_t half = home->slots / 2;
        offered = half > home->used ? half - home->used : 0;
    }
    size_t first = min_size(f->ask->ranks, offered);
    give(f, f->ask->home, first);
    if (hint != WEFT_HINT_FORCE_LOCAL) {
        fill_remotes(f, hint, true);
        fill_remotes(f, hint, false);
    }
    /* UNDERFULL kept these back; they are free all the same. */
    give(f, f->ask->home, min_size(left(f), free_slots - first));
    return fill_rest(f, hint);
}

static bool may_overcommit(const struct weft_decide *ask, size_t host)
{
    return !shut(&ask->hosts[host]) &&
           (ask->overcommit == WEFT_OVERCOMMIT_ANY ||
            (ask->overcommit == WEFT_OVERCOMMIT_HOME && host == ask->home));
}

/* Takes the placement of last time if its slots are there; *taken_out false: they are not. */
static int decide_cached(struct filling *f, bool *taken_out)
{
    const struct weft_decide *ask = f->ask;
    if (ask->cached_n != ask->ranks)
        return weft_fail(WEFT_EINVAL,
                         "hint CACHED: the placement kept is of %zu ranks, %zu are asked for; use "
                         "hint NORMAL for another number of ranks",
                         ask->cached_n, ask->ranks);
    size_t over = 0;
    for (size_t host = 0; host < ask->hosts_n; host++) {
        size_t n = 0;
        for (size_t rank = 0; rank < ask->ranks; rank++)
            n += ask->cached[rank] == host;
        size_t free_slots = weft__plan_host_free(&ask->hosts[host]);
        if (n > free_slots && !may_overcommit(ask, host))
            return WEFT_OK;
        over += n > free_slots ? n - free_slots : 0;
    }
    for (size_t rank = 0; rank < ask->ranks; rank++) {
        if (ask->cached[rank] >= ask->hosts_n)
            return weft_fail(WEFT_EINVAL,
                             "hint CACHED: rank %zu was on host %u, there are %zu hosts", rank,
                             ask->cached[rank], ask->hosts_n);
        give(f, ask->cached[rank], 1);
    }
    f->over = over;
    *taken_out = true;
    return WEFT_OK;
}

static int decide(struct filling *f)
{
    enum weft_hint hint = f->ask->hints_off ? WEFT_HINT_NORMAL : f->ask->hint;
    if (hint != WEFT_HINT_CACHED)
        return decide_anew(f, hint);
    bool taken = false;
    int err = f->ask->cached != NULL ? decide_cached(f, &taken) : WEFT_OK;
    return err != WEFT_OK || taken ? err : decide_anew(f, WEFT_HINT_NORMAL);
}

int weft__decide(const struct weft_decide *ask, uint32_t *host_of_out, size_t *over_out)
{
    if (ask->ranks == 0)
        return weft_fail(WEFT_EINVAL, "a decision about 0 ranks; ask for at least 1");
    if (ask->home >= ask->hosts_n)
        return weft_fail(WEFT_EINVAL, "home is host %zu, there are %zu hosts", ask->home,
                         ask->hosts_n);
    struct filling count = {.ask = ask, .last = ask->home};
    int err = decide(&count);
    if (err != WEFT_OK)
        return err;
    struct filling f = {.ask = ask, .last = ask->home, .host_of = host_of_out};
    err = decide(&f);
    if (err == WEFT_OK && over_out != NULL)
        *over_out = f.over;
    return err;
}

static const char *const hint_names[] = {
    [WEFT_HINT_NORMAL] = "NORMAL",           [WEFT_HINT_FORCE_LOCAL] = "FORCE_LOCAL",
    [WEFT_HINT_NEVER_ALONE] = "NEVER_ALONE", [WEFT_HINT_UNDERFULL] = "UNDERFULL",
    [WEFT_HINT_CACHED] = "CACHED",
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
                     "NEVER_ALONE, UNDERFULL and CACHED",
                     text, near != NULL ? ", did you mean " : "", near != NULL ? near : "");
}
