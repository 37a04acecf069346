/* HOME: drives a move, and is the only role that repeats messages.
 *
 * Until FREEZE has been sent the rank knows nothing of the move, and HOME may give up alone: what
 * it took elsewhere ends by its deadline, also a copying that is under way. Afterwards SOURCE may
 * be frozen, and HOME ends only with a verdict: SOURCE's (refused, aborted), DEST's (committed) or
 * the registry's. Rejected: ending on SOURCE's word that it has let go; a commit whose message was
 * lost would then leave a rank that nobody tells the others about. If nobody can be asked the app
 * ends, by a deadline. */
#include "base/check.h"
#include "plan/move.h"
#include "plan/move_step.h"
#include "weft/error.h"

static bool frozen_perhaps(const struct weft_move_home *m)
{
    return m->state == WEFT_HOME_FREEZING || m->state == WEFT_HOME_PULLING;
}

static bool giving_up(const struct weft_move_home *m)
{
    return m->state == WEFT_HOME_ABORTING || m->state == WEFT_HOME_RESOLVING;
}

static bool before_freeze(const struct weft_move_home *m)
{
    return m->state == WEFT_HOME_LEASING || m->state == WEFT_HOME_PREPARING ||
           m->state == WEFT_HOME_COPYING;
}

static void note(struct weft_move_home *m, int err, const char *text)
{
    if (m->err != WEFT_OK)
        return;
    m->err = err;
    weft__move_text(m->reason, "%s", text);
}

static void ended(struct weft_move_home *m, struct weft_move_out *out,
                  enum weft_move_outcome outcome)
{
    m->state = WEFT_HOME_ENDED;
    m->outcome = outcome;
    m->until_ns = m->retry_ns = WEFT_NEVER;
    struct weft_move_action *action = weft__move_emit(out, WEFT_MOVE_DO_ENDED, &m->id);
    action->message.err = m->err;
    action->message.owner = m->owner;
    weft__move_text(action->message.text, "%s", m->reason);
}

static void lost(struct weft_move_home *m, struct weft_move_out *out, int err, const char *text)
{
    m->err = err;
    weft__move_text(m->reason, "%s", text);
    weft__move_end_app(out, &m->id, text);
    ended(m, out, WEFT_MOVE_OUTCOME_LOST);
}

/* The rank goes on at SOURCE: whatever was taken at DEST is given back. */
static void stayed(struct weft_move_home *m, struct weft_move_out *out,
                   struct weft_move_owner owner)
{
    m->owner = owner;
    weft__move_send(out, &m->id, WEFT_MOVE_DISCARD);
    weft__move_send(out, &m->id, WEFT_MOVE_RELEASE);
    ended(m, out, WEFT_MOVE_OUTCOME_STAYED);
}

static void back_at_source(struct weft_move_home *m, struct weft_move_out *out,
                           struct weft_move_owner owner)
{
    note(m, WEFT_ECANCELED, "the source took the rank back");
    stayed(m, out, owner);
}

static void give_up_early(struct weft_move_home *m, struct weft_move_out *out, int err,
                          const char *text)
{
    note(m, err, text);
    if (m->state == WEFT_HOME_COPYING) /* else its deadline ends the copying */
        weft__move_send(out, &m->id, WEFT_MOVE_ABORT);
    stayed(m, out, (struct weft_move_owner){m->id.source, m->id.incarnation});
}

/* ---- what each state says to the others, at first and again ---- */

static void say_freeze(struct weft_move_home *m, struct weft_move_out *out)
{
    struct weft_move_message *message = weft__move_send(out, &m->id, WEFT_MOVE_FREEZE);
    message->within_ms = weft__move_ms(m->params->freeze_ns);
    message->then_ms = weft__move_ms(m->params->pull_ns + m->params->resolve_ns);
    message->round = m->has_round;
}

static uint64_t copy_ns(const struct weft_move_home *m)
{
    return m->params->copy_passes > 0 ? m->params->copy_ns : 0;
}

/* A round of copying, at SOURCE or at DEST. */
static void say_round(const struct weft_move_home *m, struct weft_move_out *out)
{
    const struct weft_move_params *p = m->params;
    struct weft_move_message *message =
        weft__move_send(out, &m->id, m->fetching ? WEFT_MOVE_FETCH : WEFT_MOVE_COPY);
    message->round = m->round;
    message->within_ms = weft__move_ms(p->copy_ns + p->freeze_ns + p->resolve_ns);
}

static void say(struct weft_move_home *m, struct weft_move_out *out)
{
    const struct weft_move_params *p = m->params;
    switch (m->state) {
    case WEFT_HOME_LEASING:
        weft__move_send(out, &m->id, WEFT_MOVE_LEASE)->within_ms = weft__move_ms(
            p->lease_ns + p->prepare_ns + copy_ns(m) + p->freeze_ns + p->pull_ns + p->resolve_ns);
        break;
    case WEFT_HOME_PREPARING:
        weft__move_send(out, &m->id, WEFT_MOVE_PREPARE)->within_ms =
            weft__move_ms(p->prepare_ns + copy_ns(m) + p->freeze_ns + p->resolve_ns);
        break;
    case WEFT_HOME_COPYING:
        say_round(m, out);
        break;
    case WEFT_HOME_FREEZING:
        say_freeze(m, out);
        break;
    case WEFT_HOME_PULLING:
        m->pull_asked = true;
        weft__move_send(out, &m->id, WEFT_MOVE_PULL)->within_ms = weft__move_ms(p->pull_ns);
        break;
    case WEFT_HOME_RESOLVING:
        weft__move_emit(out, WEFT_MOVE_DO_READ_OWNER, &m->id);
        if (!m->source_dead)
            weft__move_send(out, &m->id, WEFT_MOVE_ABORT);
        break;
    case WEFT_HOME_ABORTING:
        weft__move_send(out, &m->id, WEFT_MOVE_ABORT);
        break;
    case WEFT_HOME_FLUSHING:
        weft__move_send(out, &m->id, WEFT_MOVE_MOVED);
        weft__move_send(out, &m->id, WEFT_MOVE_ROUTE)->owner = m->owner;
        break;
    case WEFT_HOME_IDLE:
    case WEFT_HOME_ENDED:
        break;
    }
}

static void enter(struct weft_move_home *m, struct weft_move_out *out,
                  enum weft_move_home_state state, uint64_t within_ns)
{
    m->state = state;
    m->until_ns = weft__move_after(out->now_ns, within_ns);
    weft__move_retry_start(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
    say(m, out);
}

/* ---- copying ---- */

static void freeze(struct weft_move_home *m, struct weft_move_out *out)
{
    enter(m, out, WEFT_HOME_FREEZING, m->params->freeze_ns + m->params->resolve_ns);
}

/* Whether another pass over the memory would find less than this one has. */
static bool shrinks(const struct weft_move_home *m)
{
    return m->passes == 1 || m->pass_bytes < m->last_pass_bytes / 4 * 3;
}

/* Asks the next one for a round, or begins the next round. */
static void go_on(struct weft_move_home *m, struct weft_move_out *out)
{
    weft__move_retry_start(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
    say(m, out);
}

static void on_prepared(struct weft_move_home *m, struct weft_move_out *out)
{
    if (m->params->copy_passes == 0) {
        freeze(m, out);
        return;
    }
    m->round = 1;
    enter(m, out, WEFT_HOME_COPYING, m->params->copy_ns);
}

static void on_copied(struct weft_move_home *m, struct weft_move_out *out,
                      const struct weft_move_message *message)
{
    if (m->state != WEFT_HOME_COPYING || m->fetching || message->round != m->round)
        return;
    if (message->err == WEFT_EPINNED) { /* it could not leave when it has been copied, either */
        give_up_early(m, out, message->err, message->text);
        return;
    }
    if (message->err != WEFT_OK) {
        m->has_round = 0;
        freeze(m, out);
        return;
    }
    m->pass_ends = message->last;
    m->pass_bytes += message->bytes;
    m->copied_bytes += message->bytes;
    m->fetching = true;
    go_on(m, out);
}

static void on_fetched(struct weft_move_home *m, struct weft_move_out *out,
                       const struct weft_move_message *message)
{
    if (m->state != WEFT_HOME_COPYING || !m->fetching || message->round != m->round)
        return;
    bool late = out->now_ns > m->until_ns - m->params->copy_ns / 2;
    m->has_round = message->err == WEFT_OK ? m->round : 0;
    m->passes += m->pass_ends;
    bool enough = m->pass_ends && (m->passes >= m->params->copy_passes || !shrinks(m) ||
                                   m->pass_bytes <= m->params->copy_enough);
    if (message->err != WEFT_OK || late || enough) {
        freeze(m, out);
        return;
    }
    if (m->pass_ends) {
        m->last_pass_bytes = m->pass_bytes;
        m->pass_bytes = 0;
    }
    m->round++;
    m->fetching = false;
    go_on(m, out);
}

/* ---- verdicts ---- */

static void committed(struct weft_move_home *m, struct weft_move_out *out)
{
    m->owner = (struct weft_move_owner){m->id.dest, m->id.incarnation + 1};
    m->err = WEFT_OK;
    m->reason[0] = '\0';
    if (m->dest_dead) {
        lost(m, out, WEFT_EHOSTDEAD, "the destination died after it had taken the rank over");
        return;
    }
    m->outcome = WEFT_MOVE_OUTCOME_MOVED;
    enter(m, out, WEFT_HOME_FLUSHING, m->params->flush_ns);
    if (m->source_dead)
        ended(m, out, WEFT_MOVE_OUTCOME_MOVED);
}

/* SOURCE may be frozen: ask what stands. */
static void give_up(struct weft_move_home *m, struct weft_move_out *out, int err, const char *text)
{
    note(m, err, text);
    if (m->source_dead)
        enter(m, out, WEFT_HOME_RESOLVING, m->params->resolve_ns);
    else
        enter(m, out, WEFT_HOME_ABORTING, m->params->resolve_ns);
}

static void on_dest_failed(struct weft_move_home *m, struct weft_move_out *out,
                           const struct weft_move_message *message)
{
    m->dest_failed = true;
    if (before_freeze(m))
        give_up_early(m, out, message->err, message->text);
    else if (frozen_perhaps(m))
        give_up(m, out, message->err, message->text);
}

static void on_gone(struct weft_move_home *m, struct weft_move_out *out,
                    const struct weft_move_message *message)
{
    struct weft_move_event word = {.kind = WEFT_MOVE_ON_OWNER, .owner = message->owner};
    m->source_gone = true;
    if (weft__move_standing(&m->id, &word) == WEFT_STANDING_COMMITTED)
        committed(m, out);
    else if (m->state != WEFT_HOME_RESOLVING)
        enter(m, out, WEFT_HOME_RESOLVING, m->params->resolve_ns);
}

/* SOURCE says that the rank goes on there. */
static void on_stays(struct weft_move_home *m, struct weft_move_out *out,
                     const struct weft_move_message *message)
{
    bool impossible = message->kind == WEFT_MOVE_REFUSED && m->pull_asked;
    if (impossible || (!frozen_perhaps(m) && !giving_up(m)))
        return;
    if (m->source_dead) {
        lost(m, out, WEFT_EHOSTDEAD, "the source died after it had taken the rank back");
        return;
    }
    if (message->text[0] != '\0')
        note(m, message->err != WEFT_OK ? message->err : WEFT_ECANCELED, message->text);
    back_at_source(m, out, message->owner);
}

static void on_message(struct weft_move_home *m, struct weft_move_out *out,
                       const struct weft_move_message *message)
{
    switch (message->kind) {
    case WEFT_MOVE_LEASED:
        if (m->state == WEFT_HOME_LEASING && message->err == WEFT_OK)
            enter(m, out, WEFT_HOME_PREPARING, m->params->prepare_ns);
        else if (m->state == WEFT_HOME_LEASING)
            give_up_early(m, out, message->err, message->text);
        break;
    case WEFT_MOVE_PREPARED:
        if (m->state == WEFT_HOME_PREPARING)
            on_prepared(m, out);
        break;
    case WEFT_MOVE_COPIED:
        on_copied(m, out, message);
        break;
    case WEFT_MOVE_FETCHED:
        on_fetched(m, out, message);
        break;
    case WEFT_MOVE_FROZEN:
        if (m->state == WEFT_HOME_FREEZING)
            enter(m, out, WEFT_HOME_PULLING, m->params->pull_ns);
        break;
    case WEFT_MOVE_COMMITTED:
        if (m->state == WEFT_HOME_PULLING || giving_up(m))
            committed(m, out);
        break;
    case WEFT_MOVE_FAILED:
        on_dest_failed(m, out, message);
        break;
    case WEFT_MOVE_REFUSED:
    case WEFT_MOVE_ABORTED:
        on_stays(m, out, message);
        break;
    case WEFT_MOVE_GONE:
        if (frozen_perhaps(m) || giving_up(m))
            on_gone(m, out, message);
        break;
    case WEFT_MOVE_FLUSHED:
        if (m->state == WEFT_HOME_FLUSHING)
            ended(m, out, WEFT_MOVE_OUTCOME_MOVED);
        break;
    default:
        break;
    }
}

/* ---- the registry, time, deaths ---- */

static void on_owner(struct weft_move_home *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    if (m->state != WEFT_HOME_RESOLVING)
        return;
    bool never_commits = !m->pull_asked || m->dest_failed; /* a dead one's words may be under way */
    bool nobody_commits = never_commits || m->dest_dead;
    switch (weft__move_standing(&m->id, event)) {
    case WEFT_STANDING_COMMITTED:
        committed(m, out);
        break;
    case WEFT_STANDING_ABORTED:
        if (m->source_dead)
            lost(m, out, WEFT_EHOSTDEAD, "the source died after it had taken the rank back");
        else
            back_at_source(m, out, event->owner);
        break;
    case WEFT_STANDING_UNDECIDED:
        if (m->source_dead && nobody_commits)
            lost(m, out, WEFT_EHOSTDEAD, "the source died before the destination had the rank");
        else if (never_commits && !m->source_dead && !m->source_gone)
            stayed(m, out, event->owner); /* it stands still: whenever it wakes the rank goes on */
        break;
    case WEFT_STANDING_OTHER:
        lost(m, out, WEFT_ESTALE,
             "the registry names an owner of the rank that this move does not know");
        break;
    case WEFT_STANDING_UNKNOWN:
        break;
    }
}

static void on_deadline(struct weft_move_home *m, struct weft_move_out *out)
{
    switch (m->state) {
    case WEFT_HOME_LEASING:
        give_up_early(m, out, WEFT_ETIMEDOUT, "the destination did not answer the ask for a slot");
        break;
    case WEFT_HOME_PREPARING:
        give_up_early(m, out, WEFT_ETIMEDOUT, "the destination did not get ready in time");
        break;
    case WEFT_HOME_COPYING:
        give_up_early(m, out, WEFT_ETIMEDOUT,
                      "copying the rank before its freeze did not come to an end in time");
        break;
    case WEFT_HOME_FREEZING:
        give_up(m, out, WEFT_ETIMEDOUT, "the source did not answer the ask to freeze the rank");
        break;
    case WEFT_HOME_PULLING:
        give_up(m, out, WEFT_ETIMEDOUT, "the destination did not take the rank over in time");
        break;
    case WEFT_HOME_ABORTING:
        enter(m, out, WEFT_HOME_RESOLVING, m->params->resolve_ns);
        break;
    case WEFT_HOME_RESOLVING:
        lost(m, out, WEFT_ETIMEDOUT, "neither source nor registry can say where the rank is");
        break;
    case WEFT_HOME_FLUSHING:
        weft__move_text(m->reason,
                        "moved; flush markers are missing, the source goes on forwarding");
        ended(m, out, WEFT_MOVE_OUTCOME_MOVED);
        break;
    case WEFT_HOME_IDLE:
    case WEFT_HOME_ENDED:
        break;
    }
}

static void on_tick(struct weft_move_home *m, struct weft_move_out *out)
{
    bool over = m->until_ns <= out->now_ns;
    if (over && m->state == WEFT_HOME_RESOLVING && weft__move_slept(m->params, m->until_ns, out)) {
        enter(m, out, WEFT_HOME_RESOLVING, m->params->resolve_ns);
    } else if (over) {
        on_deadline(m, out);
    } else if (m->retry_ns <= out->now_ns) {
        weft__move_retry_next(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
        say(m, out);
    }
}

static void on_source_dead(struct weft_move_home *m, struct weft_move_out *out)
{
    m->source_dead = true;
    if (before_freeze(m) || m->state == WEFT_HOME_FREEZING)
        lost(m, out, WEFT_EHOSTDEAD, "the host of the rank died");
    else if (m->state == WEFT_HOME_ABORTING)
        enter(m, out, WEFT_HOME_RESOLVING, m->params->resolve_ns);
    else if (m->state == WEFT_HOME_FLUSHING)
        ended(m, out, WEFT_MOVE_OUTCOME_MOVED);
}

static void on_dest_dead(struct weft_move_home *m, struct weft_move_out *out)
{
    m->dest_dead = true;
    if (before_freeze(m))
        give_up_early(m, out, WEFT_EHOSTDEAD, "the destination died");
    else if (frozen_perhaps(m))
        give_up(m, out, WEFT_EHOSTDEAD, "the destination died");
    else if (m->state == WEFT_HOME_FLUSHING)
        lost(m, out, WEFT_EHOSTDEAD, "the destination died after it had taken the rank over");
}

static void on_cancel(struct weft_move_home *m, struct weft_move_out *out, const char *text)
{
    const char *why = text != NULL ? text : "cancelled";
    if (m->state == WEFT_HOME_IDLE || before_freeze(m))
        give_up_early(m, out, WEFT_ECANCELED, why);
    else if (frozen_perhaps(m))
        give_up(m, out, WEFT_ECANCELED, why);
}

static void on_event(struct weft_move_home *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    switch (event->kind) {
    case WEFT_MOVE_ON_START:
        if (m->state == WEFT_HOME_IDLE)
            enter(m, out, WEFT_HOME_LEASING, m->params->lease_ns);
        break;
    case WEFT_MOVE_ON_MESSAGE:
        if (event->message->move_id == m->id.move_id)
            on_message(m, out, event->message);
        break;
    case WEFT_MOVE_ON_TICK:
        on_tick(m, out);
        break;
    case WEFT_MOVE_ON_CANCEL:
        on_cancel(m, out, event->text);
        break;
    case WEFT_MOVE_ON_HOST_DEAD:
        if (event->host == m->id.source)
            on_source_dead(m, out);
        else if (event->host == m->id.dest)
            on_dest_dead(m, out);
        break;
    case WEFT_MOVE_ON_OWNER:
        on_owner(m, out, event);
        break;
    default:
        break;
    }
}

size_t weft__move_home_step(struct weft_move_home *m, const struct weft_move_event *event,
                            uint64_t now_ns, struct weft_move_action *actions_out, size_t max)
{
    weft__check(max >= WEFT_MOVE_ACTIONS_MAX);
    struct weft_move_out out = {.actions = actions_out, .max = max, .now_ns = now_ns};
    if (m->state != WEFT_HOME_ENDED)
        on_event(m, &out, event);
    else if (event->kind == WEFT_MOVE_ON_MESSAGE && event->message->kind == WEFT_MOVE_FROZEN &&
             event->message->move_id == m->id.move_id && m->outcome == WEFT_MOVE_OUTCOME_STAYED)
        weft__move_send(&out, &m->id, WEFT_MOVE_ABORT);
    return out.n;
}

void weft__move_home_init(struct weft_move_home *m, const struct weft_move_desc *desc)
{
    *m = (struct weft_move_home){
        .params = desc->params != NULL ? desc->params : &weft__move_defaults,
        .until_ns = WEFT_NEVER,
        .retry_ns = WEFT_NEVER,
        .owner = {desc->source, desc->incarnation},
        .id = {.app = desc->app,
               .move_id = desc->move_id,
               .rank = desc->rank,
               .incarnation = desc->incarnation,
               .home = desc->home,
               .source = desc->source,
               .dest = desc->dest,
               .lease = desc->lease},
    };
}

uint64_t weft__move_home_deadline(const struct weft_move_home *m)
{
    return weft__move_sooner(m->until_ns, m->retry_ns);
}
