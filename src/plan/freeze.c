/* HOME: drives a freeze or a thaw, and is the only one who repeats orders and questions.
 *
 * Until the compare-and-set of a freeze has been asked for, giving up is free: the processes are
 * told to go on. Afterwards only the registry's word counts, by a deadline: an app whose ranks may
 * be in the store and may be in their processes must run in neither. A thaw may be given up until
 * its own compare-and-set is known to have won; where that is not known, its processes end all the
 * same, because none of them has run yet, and the next thaw asks what stands. Rejected: going on
 * from a process's word that it is stored without the registry's; a home that dies then leaves two
 * apps where there was one.
 *
 * A process that dies when it is stored costs nothing as long as the freeze succeeds. */
#include "plan/freeze.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "weft/error.h"

const struct weft_freeze_params weft__freeze_defaults = {
    .retry_first_ns = 100 * WEFT_NS_PER_MS,
    .retry_max_ns = 2 * WEFT_NS_PER_S,
    .round_first_ns = 20 * WEFT_NS_PER_MS,
    .round_max_ns = 500 * WEFT_NS_PER_MS,
    .stop_ns = 20 * WEFT_NS_PER_S,
    .save_ns = 600 * WEFT_NS_PER_S,
    .write_ns = 60 * WEFT_NS_PER_S,
    .resolve_ns = 10 * WEFT_NS_PER_S,
    .answer_ns = 20 * WEFT_NS_PER_S,
};

struct out {
    struct weft_freeze_action *actions;
    size_t n, max;
    uint64_t now_ns;
};

static struct weft_freeze_action *emit(struct out *out, enum weft_freeze_action_kind kind)
{
    weft__check(out->n < out->max);
    struct weft_freeze_action *action = &out->actions[out->n++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

/* Tells how it ended, and why. */
static void tell(const struct weft_freeze *m, struct out *out, enum weft_freeze_action_kind kind)
{
    struct weft_freeze_action *action = emit(out, kind);
    action->err = m->err;
    memcpy(action->text, m->text, sizeof(action->text));
}

/* The first reason counts; text may be that of the machine. */
static void note(struct weft_freeze *m, int err, const char *text)
{
    if (m->err != WEFT_OK)
        return;
    m->err = err != WEFT_OK ? err : WEFT_ECANCELED;
    if (text != m->text)
        snprintf(m->text, sizeof(m->text), "%s", text != NULL ? text : "");
}

static uint64_t after(uint64_t now_ns, uint64_t wait_ns)
{
    return now_ns > WEFT_NEVER - wait_ns ? WEFT_NEVER : now_ns + wait_ns;
}

static enum weft_freeze_order order_of(enum weft_freeze_state state)
{
    switch (state) {
    case WEFT_FREEZE_IS_STOPPING:
        return WEFT_FREEZE_STOP;
    case WEFT_FREEZE_IS_SAVING:
        return WEFT_FREEZE_SAVE;
    case WEFT_FREEZE_IS_GOING_ON:
        return WEFT_FREEZE_GO_ON;
    case WEFT_FREEZE_IS_LOADING:
        return WEFT_FREEZE_LOAD;
    case WEFT_FREEZE_IS_RESUMING:
        return WEFT_FREEZE_RESUME;
    case WEFT_FREEZE_IS_ENDING:
    case WEFT_FREEZE_IS_DISCARDING:
        return WEFT_FREEZE_END;
    default:
        return WEFT_FREEZE_NOTHING;
    }
}

/* Orders what the state is about, of all who have not answered yet. */
static void give_orders(const struct weft_freeze *m, struct out *out)
{
    enum weft_freeze_order order = order_of(m->state);
    for (size_t i = 0; i < m->parties_n && order != WEFT_FREEZE_NOTHING; i++) {
        if (m->parties[i].dead || m->parties[i].answered)
            continue;
        struct weft_freeze_action *action = emit(out, WEFT_FREEZE_DO_ORDER);
        action->party = i;
        action->order = order;
        action->number = m->number;
        action->round = m->round;
        action->below = m->below;
    }
}

static void want(const struct weft_freeze *m, struct out *out, uint64_t host)
{
    struct weft_freeze_action *action = emit(out, WEFT_FREEZE_DO_CAS);
    action->expect = m->owner;
    action->want = (struct weft_move_owner){host, m->owner.incarnation + 1};
}

/* Asks the registry what the state is about, if no such question is under way. */
static void ask_registry(struct weft_freeze *m, struct out *out)
{
    if (m->asked)
        return;
    switch (m->state) {
    case WEFT_FREEZE_IS_RECALLING:
        (void)emit(out, WEFT_FREEZE_DO_READ_OWNER);
        break;
    case WEFT_FREEZE_IS_COMMITTING:
    case WEFT_FREEZE_IS_RETURNING:
        want(m, out, WEFT_FREEZE_STORE);
        break;
    case WEFT_FREEZE_IS_CLAIMING:
    case WEFT_FREEZE_IS_TAKING:
        want(m, out, m->self);
        break;
    default:
        return;
    }
    m->asked = true;
}

static uint64_t time_of(const struct weft_freeze *m, enum weft_freeze_state state)
{
    switch (state) {
    case WEFT_FREEZE_IS_STOPPING:
        return m->params->stop_ns;
    case WEFT_FREEZE_IS_SAVING:
    case WEFT_FREEZE_IS_LOADING:
    case WEFT_FREEZE_IS_GOING_ON: /* a rank that is being stored right now goes on afterwards */
        return m->params->save_ns;
    case WEFT_FREEZE_IS_WRITING:
    case WEFT_FREEZE_IS_CLEARING:
        return m->params->write_ns;
    case WEFT_FREEZE_IS_CLAIMING:
    case WEFT_FREEZE_IS_RECALLING:
    case WEFT_FREEZE_IS_COMMITTING:
    case WEFT_FREEZE_IS_RETURNING:
    case WEFT_FREEZE_IS_TAKING:
        return m->params->resolve_ns;
    case WEFT_FREEZE_IS_ENDING:
    case WEFT_FREEZE_IS_RESUMING:
    case WEFT_FREEZE_IS_DISCARDING:
        return m->params->answer_ns;
    default: /* PLACING: whoever places has deadlines of its own, and always answers */
        return WEFT_NEVER;
    }
}

static bool all_answered(const struct weft_freeze *m)
{
    for (size_t i = 0; i < m->parties_n; i++)
        if (!m->parties[i].dead && !m->parties[i].answered)
            return false;
    return true;
}

static bool any_lost(const struct weft_freeze *m)
{
    for (size_t i = 0; i < m->parties_n; i++)
        if (m->parties[i].lost)
            return true;
    return false;
}

static void over(struct weft_freeze *m, enum weft_freeze_state state)
{
    m->state = state;
    m->until_ns = m->retry_ns = WEFT_NEVER;
}

static void lost(struct weft_freeze *m, struct out *out, int err, const char *text)
{
    m->err = WEFT_OK; /* this is the reason that counts */
    note(m, err, text);
    over(m, WEFT_FREEZE_IS_GONE);
    tell(m, out, WEFT_FREEZE_DO_LOST);
}

static void all_done(struct weft_freeze *m, struct out *out);

static void enter(struct weft_freeze *m, struct out *out, enum weft_freeze_state state)
{
    m->state = state;
    m->until_ns = after(out->now_ns, time_of(m, state));
    m->backoff_ns =
        state == WEFT_FREEZE_IS_STOPPING ? m->params->round_first_ns : m->params->retry_first_ns;
    m->retry_ns = state == WEFT_FREEZE_IS_PLACING || state == WEFT_FREEZE_IS_WRITING ||
                          state == WEFT_FREEZE_IS_CLEARING
                      ? WEFT_NEVER
                      : after(out->now_ns, m->backoff_ns);
    for (size_t i = 0; i < m->parties_n; i++)
        m->parties[i].answered = false;
    if (state == WEFT_FREEZE_IS_PLACING)
        (void)emit(out, WEFT_FREEZE_DO_PLACE);
    else if (state == WEFT_FREEZE_IS_CLEARING)
        (void)emit(out, WEFT_FREEZE_DO_CLEAR);
    else if (state == WEFT_FREEZE_IS_WRITING)
        emit(out, WEFT_FREEZE_DO_WRITE)->want =
            (struct weft_move_owner){WEFT_FREEZE_STORE, m->owner.incarnation + 1};
    ask_registry(m, out);
    if (order_of(state) != WEFT_FREEZE_NOTHING && all_answered(m))
        all_done(m, out);
    else
        give_orders(m, out);
}

static void stayed(struct weft_freeze *m, struct out *out)
{
    over(m, WEFT_FREEZE_IS_RUNNING);
    (void)emit(out, WEFT_FREEZE_DO_ERASE);
    tell(m, out, WEFT_FREEZE_DO_STAYED);
}

/* In the store, or (taken) somebody else's. */
static void settled(struct weft_freeze *m, struct out *out, enum weft_freeze_action_kind what)
{
    m->placed = false;
    over(m, m->taken ? WEFT_FREEZE_IS_GONE : WEFT_FREEZE_IS_FROZEN);
    tell(m, out, m->taken ? WEFT_FREEZE_DO_TAKEN : what);
}

/* Ends what a thaw has placed, if anything. */
static void discard(struct weft_freeze *m, struct out *out)
{
    if (m->placed)
        enter(m, out, WEFT_FREEZE_IS_DISCARDING);
    else
        settled(m, out, WEFT_FREEZE_DO_KEPT);
}

static void give_up(struct weft_freeze *m, struct out *out, int err, const char *text)
{
    note(m, err, text);
    switch (m->state) {
    case WEFT_FREEZE_IS_CLAIMING:
        stayed(m, out);
        break;
    case WEFT_FREEZE_IS_STOPPING:
    case WEFT_FREEZE_IS_SAVING:
    case WEFT_FREEZE_IS_WRITING:
        enter(m, out, WEFT_FREEZE_IS_GOING_ON);
        break;
    case WEFT_FREEZE_IS_RECALLING:
    case WEFT_FREEZE_IS_LOADING:
    case WEFT_FREEZE_IS_CLEARING:
        discard(m, out);
        break;
    default: /* PLACING: PLACED follows; the others have only the way on, or are done */
        break;
    }
}

/* Every process has done what the state is about. */
static void all_done(struct weft_freeze *m, struct out *out)
{
    switch (m->state) {
    case WEFT_FREEZE_IS_STOPPING:
        enter(m, out, WEFT_FREEZE_IS_SAVING);
        break;
    case WEFT_FREEZE_IS_SAVING:
        enter(m, out, WEFT_FREEZE_IS_WRITING);
        break;
    case WEFT_FREEZE_IS_GOING_ON:
        if (any_lost(m))
            lost(m, out, WEFT_EHOSTDEAD, "a process of it died while it was being frozen");
        else
            stayed(m, out);
        break;
    case WEFT_FREEZE_IS_ENDING:
        settled(m, out, WEFT_FREEZE_DO_FROZEN);
        break;
    case WEFT_FREEZE_IS_LOADING:
        enter(m, out, WEFT_FREEZE_IS_CLEARING);
        break;
    case WEFT_FREEZE_IS_RESUMING:
        m->placed = false;
        over(m, WEFT_FREEZE_IS_RUNNING);
        (void)emit(out, WEFT_FREEZE_DO_ERASE);
        tell(m, out, WEFT_FREEZE_DO_THAWED);
        break;
    case WEFT_FREEZE_IS_DISCARDING:
        settled(m, out, WEFT_FREEZE_DO_KEPT);
        break;
    default:
        break;
    }
}

static void on_refused(struct weft_freeze *m, struct out *out,
                       const struct weft_freeze_event *event)
{
    if (m->state == WEFT_FREEZE_IS_STOPPING || m->state == WEFT_FREEZE_IS_SAVING ||
        m->state == WEFT_FREEZE_IS_LOADING)
        give_up(m, out, event->err, event->text);
    else if (m->state == WEFT_FREEZE_IS_GOING_ON || m->state == WEFT_FREEZE_IS_RESUMING)
        lost(m, out, event->err, event->text);
    /* else it has not ended for sure: it is asked again */
}

/* Whether all ranks of the process stand, in this round. */
static bool is_standing(struct weft_freeze *m, const struct weft_freeze_event *event)
{
    if (event->round != m->round)
        return false;
    if (event->lowest < m->lowest)
        m->lowest = event->lowest;
    if (event->waits)
        snprintf(m->text, sizeof(m->text), "%s", event->text != NULL ? event->text : "");
    return !event->waits;
}

static void on_answer(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event)
{
    if (event->number != m->number || event->order != order_of(m->state) ||
        event->order == WEFT_FREEZE_NOTHING || m->parties[event->party].dead)
        return;
    if (event->err != WEFT_OK) {
        on_refused(m, out, event);
        return;
    }
    if (m->state == WEFT_FREEZE_IS_STOPPING && !is_standing(m, event))
        return;
    m->parties[event->party].answered = true;
    if (m->state == WEFT_FREEZE_IS_SAVING)
        m->parties[event->party].stored = true;
    if (all_answered(m))
        all_done(m, out);
}

static void on_dead(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event)
{
    struct weft_freeze_party *party = &m->parties[event->party];
    if (party->dead)
        return;
    party->dead = true;
    party->lost = event->err != WEFT_OK;
    switch (m->state) {
    case WEFT_FREEZE_IS_CLAIMING:
    case WEFT_FREEZE_IS_RESUMING:
        if (party->lost)
            lost(m, out, event->err, event->text);
        break;
    case WEFT_FREEZE_IS_STOPPING:
    case WEFT_FREEZE_IS_SAVING:
        if (party->lost && !party->stored)
            lost(m, out, event->err, event->text);
        break;
    case WEFT_FREEZE_IS_LOADING:
    case WEFT_FREEZE_IS_CLEARING:
        give_up(m, out, event->err, event->text);
        break;
    case WEFT_FREEZE_IS_PLACING: /* when all are placed, */
    case WEFT_FREEZE_IS_TAKING:  /* or the registry has told */
    case WEFT_FREEZE_IS_RETURNING:
        note(m, event->err, event->text);
        break;
    default:
        break;
    }
    if (order_of(m->state) != WEFT_FREEZE_NOTHING && all_answered(m))
        all_done(m, out);
}

static bool same(struct weft_move_owner a, struct weft_move_owner b)
{
    return a.host == b.host && a.incarnation == b.incarnation;
}

/* Somebody else has the app. What was placed here has not run. */
static void taken(struct weft_freeze *m, struct out *out)
{
    m->taken = true;
    note(m, WEFT_ESTALE, "another host has thawed it");
    discard(m, out);
}

static void on_recalled(struct weft_freeze *m, struct out *out, struct weft_move_owner owner)
{
    bool ours = owner.host == m->self || owner.host == WEFT_FREEZE_STORE;
    m->owner = owner;
    if (!ours)
        taken(m, out);
    else if (m->err != WEFT_OK)
        discard(m, out);
    else
        enter(m, out, owner.host == m->self ? WEFT_FREEZE_IS_RETURNING : WEFT_FREEZE_IS_PLACING);
}

/* The registry's answer to a compare-and-set is not what it was to be. */
static void on_other(struct weft_freeze *m, struct out *out)
{
    if (m->state == WEFT_FREEZE_IS_COMMITTING)
        lost(m, out, WEFT_ESTALE, "the registry names another home of it");
    else
        taken(m, out);
}

static void on_decided(struct weft_freeze *m, struct out *out)
{
    bool failed = m->err != WEFT_OK;
    switch (m->state) {
    case WEFT_FREEZE_IS_COMMITTING:
        enter(m, out, WEFT_FREEZE_IS_ENDING);
        break;
    case WEFT_FREEZE_IS_TAKING:
        enter(m, out, failed ? WEFT_FREEZE_IS_RETURNING : WEFT_FREEZE_IS_RESUMING);
        break;
    default: /* RETURNING */
        if (failed || m->placed)
            discard(m, out);
        else
            enter(m, out, WEFT_FREEZE_IS_PLACING);
    }
}

/* Before any rank is stopped: an answer of an earlier claim may come late, or first of all. */
static void on_claimed(struct weft_freeze *m, struct out *out, struct weft_move_owner owner)
{
    if (owner.host == m->self && owner.incarnation > m->owner.incarnation) {
        m->owner = owner;
        enter(m, out, WEFT_FREEZE_IS_STOPPING);
    } else if (!same(owner, m->owner)) {
        give_up(m, out, WEFT_ESTALE, "the registry does not know the app as it is");
    }
}

static void on_owner(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event)
{
    struct weft_move_owner goal = {m->state == WEFT_FREEZE_IS_TAKING ? m->self : WEFT_FREEZE_STORE,
                                   m->owner.incarnation + 1};
    m->asked = false;
    if (event->err != WEFT_OK)
        return; /* asked again, until the deadline */
    switch (m->state) {
    case WEFT_FREEZE_IS_CLAIMING:
        on_claimed(m, out, event->owner);
        break;
    case WEFT_FREEZE_IS_RECALLING:
        on_recalled(m, out, event->owner);
        break;
    case WEFT_FREEZE_IS_COMMITTING:
    case WEFT_FREEZE_IS_TAKING:
    case WEFT_FREEZE_IS_RETURNING:
        if (same(event->owner, goal)) {
            m->owner = goal;
            on_decided(m, out);
        } else if (!same(event->owner, m->owner)) {
            on_other(m, out);
        }
        break;
    default:
        break;
    }
}

static void on_deadline(struct weft_freeze *m, struct out *out)
{
    switch (m->state) {
    case WEFT_FREEZE_IS_STOPPING:
        give_up(m, out, WEFT_ETIMEDOUT, /* who has not come to stand, as told last */
                m->text[0] != '\0' ? m->text : "its ranks have not come to stand in time");
        break;
    case WEFT_FREEZE_IS_SAVING:
        give_up(m, out, WEFT_ETIMEDOUT, "its ranks were not stored in time");
        break;
    case WEFT_FREEZE_IS_WRITING:
        give_up(m, out, WEFT_ETIMEDOUT, "its manifest was not written in time");
        break;
    case WEFT_FREEZE_IS_LOADING:
        give_up(m, out, WEFT_ETIMEDOUT, "its ranks were not loaded in time");
        break;
    case WEFT_FREEZE_IS_CLAIMING:
    case WEFT_FREEZE_IS_RECALLING:
    case WEFT_FREEZE_IS_CLEARING:
        give_up(m, out, WEFT_EREGISTRY, "the registry cannot be reached");
        break;
    case WEFT_FREEZE_IS_COMMITTING:
        lost(m, out, WEFT_EREGISTRY, "the registry cannot say whether it is frozen");
        break;
    case WEFT_FREEZE_IS_TAKING:
    case WEFT_FREEZE_IS_RETURNING:
        note(m, WEFT_EREGISTRY, "the registry cannot say whether it is thawed");
        discard(m, out);
        break;
    case WEFT_FREEZE_IS_GOING_ON:
        lost(m, out, WEFT_ETIMEDOUT, "a process of it does not say that its ranks go on");
        break;
    case WEFT_FREEZE_IS_RESUMING:
        lost(m, out, WEFT_ETIMEDOUT, "a process of it does not say that its ranks run again");
        break;
    case WEFT_FREEZE_IS_ENDING:
        settled(m, out, WEFT_FREEZE_DO_FROZEN); /* its host ends it when it hears from us */
        break;
    case WEFT_FREEZE_IS_DISCARDING:
        settled(m, out, WEFT_FREEZE_DO_KEPT);
        break;
    default:
        break;
    }
}

/* Those that stand go on to their next migration point: all of them, or those that have come to the
 * fewest. */
static void next_round(struct weft_freeze *m)
{
    m->round++;
    m->below = m->round % 2 == 1 ? m->lowest : UINT64_MAX;
    m->lowest = UINT64_MAX;
    for (size_t i = 0; i < m->parties_n; i++)
        m->parties[i].answered = false;
}

/* Rounds get longer, since some ranks take long from one point to the next; then they are short
 * again, since others have to come by many points before the one that all wait for is there. */
static uint64_t next_wait(const struct weft_freeze *m)
{
    const struct weft_freeze_params *params = m->params;
    if (m->backoff_ns >= params->round_max_ns)
        return params->round_first_ns;
    uint64_t longer_ns = m->backoff_ns * 3 / 2;
    return longer_ns < params->round_max_ns ? longer_ns : params->round_max_ns;
}

/* Asks how far all are, and a little later begins another round. */
static void on_round(struct weft_freeze *m, struct out *out)
{
    uint64_t wait_ns = m->params->round_first_ns;
    if (m->polled) {
        wait_ns = m->backoff_ns = next_wait(m);
        next_round(m);
    }
    m->polled = !m->polled;
    m->retry_ns = after(out->now_ns, wait_ns);
    give_orders(m, out);
}

static void on_tick(struct weft_freeze *m, struct out *out)
{
    if (m->until_ns <= out->now_ns) {
        on_deadline(m, out);
    } else if (m->retry_ns > out->now_ns) {
        return;
    } else if (m->state == WEFT_FREEZE_IS_STOPPING) {
        on_round(m, out);
    } else {
        m->backoff_ns = m->backoff_ns * 2 < m->params->retry_max_ns ? m->backoff_ns * 2
                                                                    : m->params->retry_max_ns;
        m->retry_ns = after(out->now_ns, m->backoff_ns);
        ask_registry(m, out);
        give_orders(m, out);
    }
}

static void begin(struct weft_freeze *m, struct out *out, enum weft_freeze_state state)
{
    m->number++;
    m->round = 0;
    m->below = 0;
    m->lowest = UINT64_MAX;
    m->polled = false;
    m->err = WEFT_OK;
    m->text[0] = '\0';
    enter(m, out, state);
}

static void on_placed(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event)
{
    m->placed = m->parties_n > 0;
    if (event->err != WEFT_OK)
        note(m, event->err, event->text);
    if (m->err != WEFT_OK)
        discard(m, out);
    else
        enter(m, out, WEFT_FREEZE_IS_LOADING);
}

/* An answer to WRITE or CLEAR; a late one is of a state that has been given up. */
static void on_done(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event,
                    enum weft_freeze_state next)
{
    if (event->err != WEFT_OK)
        give_up(m, out, event->err, event->text);
    else
        enter(m, out, next);
}

static void on_event(struct weft_freeze *m, struct out *out, const struct weft_freeze_event *event)
{
    switch (event->kind) {
    case WEFT_FREEZE_ON_FREEZE:
        if (m->state == WEFT_FREEZE_IS_RUNNING)
            begin(m, out, WEFT_FREEZE_IS_CLAIMING);
        break;
    case WEFT_FREEZE_ON_THAW:
        if (m->state == WEFT_FREEZE_IS_FROZEN) {
            m->parties_n = 0;
            begin(m, out, WEFT_FREEZE_IS_RECALLING);
        }
        break;
    case WEFT_FREEZE_ON_CANCEL:
        if (weft__freeze_busy(m) && m->state != WEFT_FREEZE_IS_GOING_ON)
            give_up(m, out, event->err, event->text);
        break;
    case WEFT_FREEZE_ON_ANSWER:
        if (event->party < m->parties_n)
            on_answer(m, out, event);
        break;
    case WEFT_FREEZE_ON_DEAD:
        if (event->party < m->parties_n)
            on_dead(m, out, event);
        break;
    case WEFT_FREEZE_ON_WRITTEN:
        if (m->state == WEFT_FREEZE_IS_WRITING)
            on_done(m, out, event, WEFT_FREEZE_IS_COMMITTING);
        break;
    case WEFT_FREEZE_ON_PLACED:
        if (m->state == WEFT_FREEZE_IS_PLACING)
            on_placed(m, out, event);
        break;
    case WEFT_FREEZE_ON_CLEARED:
        if (m->state == WEFT_FREEZE_IS_CLEARING)
            on_done(m, out, event, WEFT_FREEZE_IS_TAKING);
        break;
    case WEFT_FREEZE_ON_OWNER:
        on_owner(m, out, event);
        break;
    case WEFT_FREEZE_ON_TICK:
        on_tick(m, out);
        break;
    }
}

size_t weft__freeze_step(struct weft_freeze *m, const struct weft_freeze_event *event,
                         uint64_t now_ns, struct weft_freeze_action *actions_out, size_t max)
{
    struct out out = {.actions = actions_out, .max = max, .now_ns = now_ns};
    weft__check(max >= weft__freeze_actions_max(m));
    if (m->state != WEFT_FREEZE_IS_GONE)
        on_event(m, &out, event);
    return out.n;
}

void weft__freeze_init(struct weft_freeze *m, const struct weft_freeze_params *params,
                       uint64_t self, struct weft_move_owner owner)
{
    *m = (struct weft_freeze){
        .params = params != NULL ? params : &weft__freeze_defaults,
        .state = owner.host == self ? WEFT_FREEZE_IS_RUNNING : WEFT_FREEZE_IS_FROZEN,
        .self = self,
        .owner = owner,
        .until_ns = WEFT_NEVER,
        .retry_ns = WEFT_NEVER,
    };
}

uint64_t weft__freeze_deadline(const struct weft_freeze *m)
{
    return m->until_ns < m->retry_ns ? m->until_ns : m->retry_ns;
}

bool weft__freeze_busy(const struct weft_freeze *m)
{
    return m->state != WEFT_FREEZE_IS_RUNNING && m->state != WEFT_FREEZE_IS_FROZEN &&
           m->state != WEFT_FREEZE_IS_GONE;
}

const char *weft__freeze_state_name(enum weft_freeze_state state)
{
#define X(name) [WEFT_FREEZE_IS_##name] = #name,
    static const char *const names[] = {WEFT_FREEZE_STATES(X)};
#undef X
    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

const char *weft__freeze_order_name(enum weft_freeze_order order)
{
#define X(name) [WEFT_FREEZE_##name] = #name,
    static const char *const names[] = {WEFT_FREEZE_ORDERS(X)};
#undef X
    return (size_t)order < sizeof(names) / sizeof(names[0]) ? names[order] : "?";
}

const char *weft__freeze_action_name(enum weft_freeze_action_kind kind)
{
#define X(name) [WEFT_FREEZE_DO_##name] = #name,
    static const char *const names[] = {WEFT_FREEZE_ACTIONS(X)};
#undef X
    return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

const char *weft__freeze_event_name(enum weft_freeze_event_kind kind)
{
#define X(name) [WEFT_FREEZE_ON_##name] = #name,
    static const char *const names[] = {WEFT_FREEZE_EVENTS(X)};
#undef X
    return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}
