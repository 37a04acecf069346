/* Gain against cost, both in time of the app.
 *
 * Nobody knows how long an app will run: the best guess without an announcement is as long again as
 * it has run, which also keeps short apps from being moved. The gain is that time multiplied by two
 * shares: what communication within a host saves (by pairs of ranks that come together) and what
 * free hosts are worth to others. The cost counts every moved rank's pause as a pause of the whole
 * app, since the others soon wait for it.
 *
 * Where the traffic is known, it takes the place of the pairs. Its unit is time of communication
 * per second of run, summed over the app; the app as a whole waits for a part of it: ranks send
 * their messages at the same time as others, so the time of messages is shared by the ranks, while
 * bytes go through the links of hosts, so their time is shared by the hosts; both ends wait. That
 * is an estimate; traffic_max keeps it below all of the time.
 *
 * Noise must not move ranks to and fro: a plan that has no other reason than the traffic must save
 * a good part of what crosses, and each such plan doubles that for a while. */
#include "plan/worth.h"

#include "base/clock.h"

const struct weft_worth_params weft__worth_defaults = {
    .pair_share = 0.20,
    .host_share = 0.25,
    .traffic_max = 0.9,
    .traffic_less = 0.2,
    .margin = 2.0,
    .bandwidth = 500000000,
    .pause_ns = 20 * WEFT_NS_PER_MS,
    .residence_ns = WEFT_NS_PER_S,
    .settle_ns = 2 * WEFT_NS_PER_S,
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

/* What the app as a whole wins when a nanosecond of traffic per second stops to cross hosts. */
static double traffic_weight(const struct weft_worth_spread *spread)
{
    double ranks = spread->ranks > 0 ? (double)spread->ranks : 1.0;
    double hosts = spread->hosts > 0 ? (double)spread->hosts : 1.0;
    return 2e-9 * (spread->message_share / ranks + (1.0 - spread->message_share) / hosts);
}

static double traffic_share(const struct weft_worth_params *params, const struct weft_plan *plan,
                            size_t ranks)
{
    struct weft_worth_spread spread = {
        .ranks = ranks, .hosts = plan->now.hosts, .message_share = plan->message_share};
    double less = (double)plan->now.traffic - (double)plan->then.traffic;
    double share = less * traffic_weight(&spread);
    if (share > params->traffic_max)
        return params->traffic_max;
    return share > -params->traffic_max ? share : -params->traffic_max;
}

static double move_ns(const struct weft_worth_params *params, const struct weft_worth_app *app)
{
    return (double)params->pause_ns + (double)app->bytes_per_rank / (double)params->bandwidth * 1e9;
}

uint64_t weft__worth_move_cost(const struct weft_worth_params *params,
                               const struct weft_worth_app *app,
                               const struct weft_worth_spread *spread, uint64_t now_ns)
{
    if (params == NULL)
        params = &weft__worth_defaults;
    double remaining = (double)remaining_ns(app, now_ns) + 1.0;
    double cost = params->margin * move_ns(params, app) / remaining / traffic_weight(spread);
    return cost < 1e15 ? (uint64_t)cost : (uint64_t)1e15;
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
    if (plan->traffic_known)
        share = traffic_share(params, plan, ranks);
    return share + params->host_share * freed / (double)plan->now.hosts;
}

static uint64_t backoff_ns(const struct weft_worth_params *params, uint32_t failures)
{
    uint64_t wait = params->backoff_first_ns;
    for (uint32_t i = 1; i < failures && wait < params->backoff_max_ns; i++)
        wait *= 2;
    return wait < params->backoff_max_ns ? wait : params->backoff_max_ns;
}

/* Whether so much less crosses that noise will not undo it. */
static bool is_clear(const struct weft_worth_params *params, const struct weft_worth_app *app,
                     const struct weft_plan *plan)
{
    double less = params->traffic_less;
    for (uint32_t i = 0; i < app->traffic_plans && less < 1.0; i++)
        less *= 2;
    if (less > 0.9)
        less = 0.9;
    return (double)plan->then.traffic <= (1.0 - less) * (double)plan->now.traffic;
}

/* Whether the app has to be left alone until *until_out. */
static enum weft_verdict rest(const struct weft_worth_params *params,
                              const struct weft_worth_app *app, bool by_traffic, uint64_t now_ns,
                              uint64_t *until_out)
{
    uint64_t from = app->plan_ended_ns > app->started_ns ? app->plan_ended_ns : app->started_ns;
    enum weft_verdict why = WEFT_VERDICT_TOO_EARLY;
    *until_out = from + params->residence_ns;
    if (by_traffic && app->traffic_since_ns + params->settle_ns > *until_out)
        *until_out = app->traffic_since_ns + params->settle_ns;
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
    worth.cost_ns = (uint64_t)(move_ns(params, app) * (double)plan->moves_n);
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
    worth.verdict = rest(params, app, plan->by_traffic, now_ns, &until);
    if (worth.verdict != WEFT_VERDICT_GO)
        worth.ask_again_ns = until;
    else if ((double)worth.gain_ns < params->margin * (double)worth.cost_ns)
        worth.verdict = WEFT_VERDICT_TOO_DEAR;
    else if (plan->by_traffic && !is_clear(params, app, plan))
        worth.verdict = WEFT_VERDICT_TOO_CLOSE;
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
        [WEFT_VERDICT_TOO_CLOSE] = "too little less traffic between hosts",
    };
    return (size_t)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "?";
}
