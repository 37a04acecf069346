/* Gain against cost, both in time of the app.
 *
 * Nobody knows how long an app will run: the best guess without an announcement is as long again as
 * it has run, which also keeps short apps from being moved. The gain is that time multiplied by two
 * shares: what communication within a host saves (by pairs of ranks that come together) and what
 * free hosts are worth to others. The cost counts every moved rank's pause as a pause of the whole
 * app, since the others soon wait for it. Rejected: measuring an app's communication first; it may
 * come as a better pair_share of this app, with the same function. */
#include "plan/worth.h"

#include "base/clock.h"

const struct weft_worth_params weft__worth_defaults = {
    .pair_share = 0.20,
    .host_share = 0.25,
    .margin = 2.0,
    .bandwidth = 500000000,
    .pause_ns = 20 * WEFT_NS_PER_MS,
    .residence_ns = WEFT_NS_PER_S,
    .backoff_first_ns = 2 * WEFT_NS_PER_S,
    .backoff_max_ns = 60 * WEFT_NS_PER_S,
};

static uint64_t remaining_ns(const struct weft_worth_app *app, uint64_t now_ns)
{
    uint64_t elapsed = now_ns > app->started_ns ? now_ns - app->started_ns : 0;
    if (app->expect_ns == 0)
        return elapsed;
    return app->expect_ns > elapsed ? app->expect_ns - elapsed : 0;
}

static double gain_share(const struct weft_worth_params *params, const struct weft_plan *plan,
                         size_t ranks)
{
    double all_pairs = (double)ranks * ((double)ranks - 1.0) / 2.0;
    double pairs = (double)plan->now.cross_pairs - (double)plan->then.cross_pairs;
    double hosts = (double)plan->now.hosts - (double)plan->then.hosts;
    double unused = (double)plan->then.unused - (double)plan->now.unused;
    double freed = hosts > unused ? hosts : unused;
    double share = all_pairs > 0 ? params->pair_share * pairs / all_pairs : 0;
    return share + params->host_share * freed / (double)plan->now.hosts;
}

static uint64_t backoff_ns(const struct weft_worth_params *params, uint32_t failures)
{
    uint64_t wait = params->backoff_first_ns;
    for (uint32_t i = 1; i < failures && wait < params->backoff_max_ns; i++)
        wait *= 2;
    return wait < params->backoff_max_ns ? wait : params->backoff_max_ns;
}

/* Whether the app has to be left alone until *until_out. */
static enum weft_verdict rest(const struct weft_worth_params *params,
                              const struct weft_worth_app *app, uint64_t now_ns,
                              uint64_t *until_out)
{
    uint64_t from = app->plan_ended_ns > app->started_ns ? app->plan_ended_ns : app->started_ns;
    enum weft_verdict why = WEFT_VERDICT_TOO_EARLY;
    *until_out = from + params->residence_ns;
    if (app->plan_failures > 0) {
        uint64_t backed_off = app->plan_ended_ns + backoff_ns(params, app->plan_failures);
        if (backed_off > *until_out) {
            *until_out = backed_off;
            why = WEFT_VERDICT_BACKING_OFF;
        }
    }
    return now_ns < *until_out ? why : WEFT_VERDICT_GO;
}

struct weft_worth weft__worth(const struct weft_worth_params *params,
                              const struct weft_worth_app *app, const struct weft_plan *plan,
                              size_t ranks, uint64_t now_ns)
{
    if (params == NULL)
        params = &weft__worth_defaults;
    struct weft_worth worth = {.verdict = WEFT_VERDICT_NOT_BETTER};
    if (plan->moves_n == 0)
        return worth;
    double per_rank = (double)app->bytes_per_rank / (double)params->bandwidth * 1e9;
    worth.cost_ns = (uint64_t)(((double)params->pause_ns + per_rank) * (double)plan->moves_n);
    double gain = (double)remaining_ns(app, now_ns) * gain_share(params, plan, ranks);
    worth.gain_ns = gain > 0 ? (uint64_t)gain : 0;
    if (app->plan_active) {
        worth.verdict = WEFT_VERDICT_PLAN_ACTIVE;
        return worth;
    }
    if (plan->must) {
        worth.verdict = WEFT_VERDICT_GO;
        return worth;
    }
    uint64_t until = 0;
    worth.verdict = rest(params, app, now_ns, &until);
    if (worth.verdict != WEFT_VERDICT_GO)
        worth.ask_again_ns = until;
    else if ((double)worth.gain_ns < params->margin * (double)worth.cost_ns)
        worth.verdict = WEFT_VERDICT_TOO_DEAR;
    return worth;
}

const char *weft__verdict_name(enum weft_verdict verdict)
{
    static const char *const names[] = {
        [WEFT_VERDICT_GO] = "go",
        [WEFT_VERDICT_NOT_BETTER] = "nothing better",
        [WEFT_VERDICT_PLAN_ACTIVE] = "a plan is being carried out",
        [WEFT_VERDICT_TOO_EARLY] = "too soon after the last change",
        [WEFT_VERDICT_BACKING_OFF] = "waiting after a move that failed",
        [WEFT_VERDICT_TOO_DEAR] = "the gain does not pay for the moves",
    };
    return (size_t)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "?";
}
