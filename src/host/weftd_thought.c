/* What the planner thinks of an app's placement: its verdict and the numbers behind it, kept so
 * that people can ask why nothing moves. What is refused again for the same reason is no news: it
 * is told once. */
#include "base/clock.h"
#include "base/log.h"
#include "host/weftd_app.h"
#include "host/weftd_events.h"
#include "wire/message.h"

struct weft_worth_app weft__weftd_known(const struct weft_app *app)
{
    uint64_t now = weft__now_ns(), touched = 0, ranks = 0;
    struct weft_worth_app known = {.started_ns = app->started_ns,
                                   .expect_ns = app->request->expect_ms * WEFT_NS_PER_MS,
                                   .plan_active = app->plan != NULL,
                                   .plan_ended_ns = app->plan_ended_ns,
                                   .plan_failures = app->plan_failures,
                                   .traffic_since_ns = app->traffic.since_ns};
    for (unsigned i = 0; i < WEFT_APP_TRAFFIC_PLANS; i++)
        known.traffic_plans += app->traffic_plan_ns[i] != 0 &&
                               now - app->traffic_plan_ns[i] < WEFT_APP_TRAFFIC_MEMORY_NS;
    for (uint32_t r = 0; r < app->size; r++) {
        touched += app->ranks[r].ended ? 0 : app->ranks[r].touched_bytes;
        ranks += !app->ranks[r].ended && app->ranks[r].touched_bytes > 0;
    }
    known.bytes_per_rank = ranks > 0 ? touched / ranks : 0;
    return known;
}

struct weft_worth weft__weftd_weigh(const struct weft_app *app, const struct weft_plan *found,
                                    size_t ranks)
{
    struct weft_worth_app known = weft__weftd_known(app);
    return weft__worth(NULL, &known, found, ranks, weft__now_ns());
}

struct weft_app_thought weft__weftd_thought(const struct weft_plan *found,
                                            const struct weft_worth *worth, const char *cause)
{
    return (struct weft_app_thought){.verdict = worth->verdict,
                                     .moves_n = found->moves_n,
                                     .gain_ns = worth->gain_ns,
                                     .cost_ns = worth->cost_ns,
                                     .now = found->now,
                                     .then = found->then,
                                     .at_ns = weft__now_ns(),
                                     .cause = found->moves_n > 0 ? cause : ""};
}

void weft__weftd_think(struct weft_app *app, const struct weft_app_thought *thought)
{
    const char *verdict = weft__verdict_name(thought->verdict);
    bool go = thought->verdict == WEFT_VERDICT_GO;
    bool news = go || app->thought.at_ns == 0 || app->thought.verdict != thought->verdict ||
                app->thought.moves_n != thought->moves_n;
    app->thought = *thought;
    if (thought->moves_n > 0)
        weft__weftd_count_verdict(app->host, thought->verdict);
    if (!news || thought->moves_n == 0)
        return;
    if (!go)
        weft__info("app %llx: a better plan (%zu moves) is not carried out: %s",
                   (unsigned long long)app->id, thought->moves_n, verdict);
    weft__weftd_event(app->host, &(struct weft_event_note){
                                     .kind = go ? WEFT_EVENT_PLAN_FOUND : WEFT_EVENT_PLAN_REFUSED,
                                     .app = app->id,
                                     .rank = WEFT_EVENT_NO_RANK,
                                     .n = {thought->moves_n, thought->gain_ns, thought->cost_ns},
                                     .text = {go ? thought->cause : verdict, thought->cause}});
}

void weft__weftd_thought_info(const struct weft_app_thought *thought, Weft__Host__PlanInfo *info)
{
    weft__host__plan_info__init(info);
    if (thought->at_ns == 0)
        return;
    info->verdict = weft__message_text(thought->full ? "there is no free slot"
                                                     : weft__verdict_name(thought->verdict));
    info->cause = weft__message_text(thought->cause);
    info->moves = (uint32_t)thought->moves_n;
    info->gain_ms = (double)thought->gain_ns / 1e6;
    info->cost_ms = (double)thought->cost_ns / 1e6;
    info->age_ms = (double)(weft__now_ns() - thought->at_ns) / 1e6;
    info->hosts_now = thought->now.hosts;
    info->hosts_then = thought->then.hosts;
    info->cross_pairs_now = thought->now.cross_pairs;
    info->cross_pairs_then = thought->then.cross_pairs;
}
