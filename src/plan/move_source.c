/* SOURCE: has the rank, freezes it, and learns from the registry whether it gets it back.
 *
 * Once FROZEN has been said somebody may copy the rank and commit. From then on only two things end
 * the wait: MOVED, or the registry's answer to the attempt to set *abort*. Time alone never thaws:
 * a deadline makes SOURCE ask, and if nobody answers it stays frozen until the app is ended. The
 * last verdict of the newest move is kept and said again whenever HOME repeats its question; move
 * ids grow, so an older message is known by its id and a late FREEZE does nothing. */
#include "base/check.h"
#include "plan/move.h"
#include "plan/move_step.h"
#include "weft/error.h"

static struct weft_move_owner own(const struct weft_move_source *m)
{
    return (struct weft_move_owner){m->id.source, m->incarnation};
}

/* Says the verdict, now and whenever HOME asks again. */
static void verdict(struct weft_move_source *m, struct weft_move_out *out, enum weft_move_kind kind,
                    struct weft_move_owner owner)
{
    struct weft_move_message *message = weft__move_send(out, &m->id, kind);
    message->owner = owner;
    m->verdict = *message;
}

static void no_timer(struct weft_move_source *m)
{
    m->until_ns = m->retry_ns = WEFT_NEVER;
}

static void end_copy(struct weft_move_source *m, struct weft_move_out *out)
{
    if (m->copying)
        weft__move_emit(out, WEFT_MOVE_DO_END_COPY, &m->copy);
    m->copying = false;
    m->copy_until_ns = WEFT_NEVER;
}

static void refuse(struct weft_move_source *m, struct weft_move_out *out, int err, const char *text)
{
    no_timer(m);
    end_copy(m, out);
    m->state = WEFT_SOURCE_HERE;
    weft__move_send_err(out, &m->id, WEFT_MOVE_REFUSED, err, text);
    out->actions[out->n - 1].message.owner = own(m);
    m->verdict = out->actions[out->n - 1].message;
}

static void ask_registry(struct weft_move_source *m, struct weft_move_out *out)
{
    m->cas_under_way = true;
    m->retry_ns = WEFT_NEVER;
    weft__move_cas(out, &m->id, m->id.source);
}

/* Wants the rank back. */
static void abort_move(struct weft_move_source *m, struct weft_move_out *out)
{
    m->state = WEFT_SOURCE_ABORTING;
    m->verdict.kind = WEFT_MOVE_NOTHING;
    m->until_ns = weft__move_after(out->now_ns, m->params->resolve_ns);
    weft__move_retry_start(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
    ask_registry(m, out);
}

static void thaw(struct weft_move_source *m, struct weft_move_out *out)
{
    no_timer(m);
    m->state = WEFT_SOURCE_HERE;
    weft__move_emit(out, WEFT_MOVE_DO_THAW, &m->id)->message.owner = own(m);
    end_copy(m, out);
}

static void gone(struct weft_move_source *m, struct weft_move_out *out,
                 struct weft_move_owner owner)
{
    no_timer(m);
    m->copying = false; /* it ends with the rank's stay */
    m->state = WEFT_SOURCE_FORWARDING;
    weft__move_emit(out, WEFT_MOVE_DO_FORWARD, &m->id)->message.owner = owner;
    weft__move_emit(out, WEFT_MOVE_DO_RELEASE_LEASE, &m->id);
    m->verdict = out->actions[out->n - 1].message;
    m->verdict.kind = WEFT_MOVE_GONE;
    m->verdict.owner = owner;
}

static void adopt(struct weft_move_source *m, const struct weft_move_message *message)
{
    m->id = *message;
    m->verdict = (struct weft_move_message){.kind = WEFT_MOVE_NOTHING};
}

static void repeat_verdict(struct weft_move_source *m, struct weft_move_out *out)
{
    if (m->verdict.kind == WEFT_MOVE_NOTHING)
        return;
    *weft__move_send(out, &m->id, m->verdict.kind) = m->verdict;
}

/* ---- messages ---- */

/* No to a move that cannot even begin. It stays no, also when the rank has come here by the time
 * HOME repeats: HOME may act on any of the answers. */
static void turn_away(struct weft_move_source *m, struct weft_move_out *out,
                      const struct weft_move_message *message, int err, const char *text)
{
    m->refused_id = message->move_id;
    weft__move_send_err(out, message, WEFT_MOVE_REFUSED, err, text);
}

static void wait_for_point(struct weft_move_source *m, struct weft_move_out *out,
                           const struct weft_move_message *message)
{
    m->state = WEFT_SOURCE_WAITING;
    m->until_ns = weft__move_after(out->now_ns, message->within_ms * WEFT_NS_PER_MS);
    m->then_ns = message->then_ms * WEFT_NS_PER_MS;
    m->copy_until_ns = WEFT_NEVER;
    weft__move_emit(out, WEFT_MOVE_DO_ASK_POINT, &m->id)->message.round = message->round;
}

static void on_new_freeze(struct weft_move_source *m, struct weft_move_out *out,
                          const struct weft_move_message *message)
{
    if (message->move_id <= m->refused_id) {
        weft__move_send_err(out, message, WEFT_MOVE_REFUSED, WEFT_ESTALE, "refused before");
    } else if (m->state == WEFT_SOURCE_WAITING || m->state == WEFT_SOURCE_FROZEN ||
               m->state == WEFT_SOURCE_ABORTING) {
        turn_away(m, out, message, WEFT_EBUSY, "another move of this rank is under way");
    } else if (m->state != WEFT_SOURCE_HERE) {
        turn_away(m, out, message, WEFT_ESTALE, "the rank is not here");
    } else {
        if (message->move_id != m->copy.move_id || message->round == 0)
            end_copy(m, out);
        adopt(m, message);
        if (m->rank_ended)
            refuse(m, out, WEFT_ENOENT, "the rank has ended");
        else if (message->incarnation == m->incarnation)
            wait_for_point(m, out, message);
        else
            refuse(m, out, WEFT_ESTALE, "the rank has another incarnation than the move expects");
    }
}

/* ABORT before its FREEZE: remember, so that the FREEZE finds the move ended. A late one does not
 * end the copying of a newer move. */
static void on_new_abort(struct weft_move_source *m, struct weft_move_out *out,
                         const struct weft_move_message *message)
{
    if (m->state == WEFT_SOURCE_HERE) {
        if (m->copy.move_id <= message->move_id)
            end_copy(m, out);
        adopt(m, message);
        verdict(m, out, WEFT_MOVE_ABORTED, own(m));
    } else if (m->state == WEFT_SOURCE_ABSENT || m->state == WEFT_SOURCE_FORWARDING ||
               m->state == WEFT_SOURCE_FLUSHED) {
        weft__move_send(out, message, WEFT_MOVE_GONE);
    }
}

static void on_abort(struct weft_move_source *m, struct weft_move_out *out)
{
    if (m->state == WEFT_SOURCE_WAITING) {
        no_timer(m);
        m->state = WEFT_SOURCE_HERE;
        weft__move_emit(out, WEFT_MOVE_DO_WITHDRAW, &m->id);
        end_copy(m, out);
        verdict(m, out, WEFT_MOVE_ABORTED, own(m));
    } else if (m->state == WEFT_SOURCE_FROZEN) {
        abort_move(m, out);
    } else {
        repeat_verdict(m, out);
    }
}

static void on_moved(struct weft_move_source *m, struct weft_move_out *out,
                     const struct weft_move_message *message)
{
    bool older = message->move_id < m->id.move_id;
    if (older || m->state == WEFT_SOURCE_FLUSHED)
        weft__move_send(out, message, WEFT_MOVE_FLUSHED);
    else if (m->state == WEFT_SOURCE_FROZEN || m->state == WEFT_SOURCE_ABORTING)
        gone(m, out, (struct weft_move_owner){m->id.dest, m->id.incarnation + 1});
}

/* ---- copying ---- */

/* Whether the round is one that can be made now: the first of a newer move, or the one behind the
 * last. */
static bool is_next_round(const struct weft_move_source *m, const struct weft_move_message *message)
{
    bool may = m->state == WEFT_SOURCE_HERE && !m->rank_ended &&
               message->incarnation == m->incarnation && message->move_id > m->id.move_id &&
               message->move_id > m->refused_id;
    if (message->round == 1)
        return may && message->move_id > m->copy.move_id;
    return may && m->copying && message->move_id == m->copy.move_id &&
           message->round == m->copy.round + 1 && m->copied.kind != WEFT_MOVE_NOTHING;
}

static void on_copy(struct weft_move_source *m, struct weft_move_out *out,
                    const struct weft_move_message *message)
{
    bool again =
        m->copying && message->move_id == m->copy.move_id && message->round == m->copy.round;
    if (again && m->copied.kind != WEFT_MOVE_NOTHING)
        *weft__move_send(out, &m->copy, WEFT_MOVE_COPIED) = m->copied;
    if (again)
        return;
    if (!is_next_round(m, message)) {
        weft__move_send_err(out, message, WEFT_MOVE_COPIED, WEFT_ESTALE,
                            "the rank cannot be copied before it stops");
        out->actions[out->n - 1].message.round = message->round;
        return;
    }
    if (message->round == 1)
        end_copy(m, out);
    m->copying = true;
    m->copy = *message;
    m->copied = (struct weft_move_message){.kind = WEFT_MOVE_NOTHING};
    m->copy_until_ns = weft__move_after(out->now_ns, message->within_ms * WEFT_NS_PER_MS);
    weft__move_emit(out, WEFT_MOVE_DO_COPY, &m->copy)->message.round = message->round;
}

/* The answer to the newest COPY. */
static void on_copied(struct weft_move_source *m, struct weft_move_out *out,
                      const struct weft_move_event *event)
{
    if (!m->copying || m->copied.kind != WEFT_MOVE_NOTHING || m->state != WEFT_SOURCE_HERE)
        return;
    weft__move_send_err(out, &m->copy, WEFT_MOVE_COPIED, event->err,
                        event->text != NULL ? event->text : "");
    struct weft_move_message *message = &out->actions[out->n - 1].message;
    message->round = m->copy.round;
    message->bytes = event->bytes;
    message->last = event->last;
    m->copied = *message;
}

static void on_message(struct weft_move_source *m, struct weft_move_out *out,
                       const struct weft_move_message *message)
{
    bool newer = message->move_id > m->id.move_id, older = message->move_id < m->id.move_id;
    if (message->kind == WEFT_MOVE_COPY)
        on_copy(m, out, message);
    else if (message->kind == WEFT_MOVE_FREEZE && newer)
        on_new_freeze(m, out, message);
    else if (message->kind == WEFT_MOVE_FREEZE && !older)
        repeat_verdict(m, out);
    else if (message->kind == WEFT_MOVE_ABORT && newer)
        on_new_abort(m, out, message);
    else if (message->kind == WEFT_MOVE_ABORT && !older)
        on_abort(m, out);
    else if (message->kind == WEFT_MOVE_MOVED && !newer)
        on_moved(m, out, message);
}

/* ---- the rank, the registry, time ---- */

/* A rank that parks for an older move, which has ended meanwhile, is asked to park by no other: who
 * asks learns that it is busy. */
static void on_point(struct weft_move_source *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    if (event->move_id != 0 && event->move_id != m->id.move_id) {
        weft__move_emit(out, WEFT_MOVE_DO_THAW, &m->id)->message.owner = own(m);
    } else if (m->state == WEFT_SOURCE_WAITING) {
        m->state = WEFT_SOURCE_FROZEN;
        m->until_ns = weft__move_after(out->now_ns, m->then_ns);
        verdict(m, out, WEFT_MOVE_FROZEN, own(m));
    } else if (m->state == WEFT_SOURCE_HERE) {
        thaw(m, out); /* it came as the flag was lowered */
    }
}

static void on_owner(struct weft_move_source *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    if (m->state != WEFT_SOURCE_ABORTING)
        return;
    m->cas_under_way = false;
    switch (weft__move_standing(&m->id, event)) {
    case WEFT_STANDING_ABORTED:
        m->incarnation = event->owner.incarnation;
        thaw(m, out);
        verdict(m, out, WEFT_MOVE_ABORTED, own(m));
        break;
    case WEFT_STANDING_COMMITTED:
    case WEFT_STANDING_OTHER:
        gone(m, out, event->owner);
        *weft__move_send(out, &m->id, WEFT_MOVE_GONE) = m->verdict;
        break;
    case WEFT_STANDING_UNDECIDED:
    case WEFT_STANDING_UNKNOWN:
        weft__move_retry_next(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
        break;
    }
}

static void on_deadline(struct weft_move_source *m, struct weft_move_out *out)
{
    char text[WEFT_MOVE_TEXT_MAX];
    if (m->state == WEFT_SOURCE_WAITING) {
        weft__move_text(text, "the rank came to no call at which it can be moved within %u ms",
                        m->id.within_ms);
        weft__move_emit(out, WEFT_MOVE_DO_WITHDRAW, &m->id);
        refuse(m, out, WEFT_ETIMEDOUT, text);
    } else if (m->state == WEFT_SOURCE_FROZEN) {
        abort_move(m, out);
    } else if (m->state == WEFT_SOURCE_ABORTING) {
        m->until_ns = WEFT_NEVER;
        weft__move_end_app(out, &m->id,
                           "rank frozen for a move, and the registry cannot be asked who has it");
    }
}

static void on_tick(struct weft_move_source *m, struct weft_move_out *out)
{
    bool over = m->until_ns <= out->now_ns;
    if (m->copy_until_ns <= out->now_ns)
        end_copy(m, out);
    if (over && m->state == WEFT_SOURCE_ABORTING && weft__move_slept(m->params, m->until_ns, out))
        m->until_ns = weft__move_after(out->now_ns, m->params->resolve_ns);
    else if (over)
        on_deadline(m, out);
    else if (m->state == WEFT_SOURCE_ABORTING && !m->cas_under_way && m->retry_ns <= out->now_ns)
        ask_registry(m, out);
}

static void on_waiting_over(struct weft_move_source *m, struct weft_move_out *out,
                            const struct weft_move_event *event)
{
    if (event->kind == WEFT_MOVE_ON_PINNED && m->state == WEFT_SOURCE_WAITING) {
        weft__move_emit(out, WEFT_MOVE_DO_WITHDRAW, &m->id);
        refuse(m, out, event->err, event->text != NULL ? event->text : "the rank cannot move");
    } else if (event->kind == WEFT_MOVE_ON_RANK_ENDED) {
        m->rank_ended = true;
        if (m->state == WEFT_SOURCE_WAITING)
            refuse(m, out, WEFT_ENOENT, "the rank has ended");
    }
}

static void on_event(struct weft_move_source *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    switch (event->kind) {
    case WEFT_MOVE_ON_MESSAGE:
        on_message(m, out, event->message);
        break;
    case WEFT_MOVE_ON_POINT:
        on_point(m, out, event);
        break;
    case WEFT_MOVE_ON_PINNED:
    case WEFT_MOVE_ON_RANK_ENDED:
        on_waiting_over(m, out, event);
        break;
    case WEFT_MOVE_ON_COPIED:
        on_copied(m, out, event);
        break;
    case WEFT_MOVE_ON_OWNER:
        on_owner(m, out, event);
        break;
    case WEFT_MOVE_ON_MARKERS:
        if (m->state == WEFT_SOURCE_FORWARDING) {
            m->state = WEFT_SOURCE_FLUSHED;
            weft__move_send(out, &m->id, WEFT_MOVE_FLUSHED);
        }
        break;
    case WEFT_MOVE_ON_HOST_DEAD:
        if (m->state == WEFT_SOURCE_FROZEN && event->host == m->id.dest)
            abort_move(m, out);
        break;
    case WEFT_MOVE_ON_TICK:
        on_tick(m, out);
        break;
    default:
        break;
    }
}

size_t weft__move_source_step(struct weft_move_source *m, const struct weft_move_event *event,
                              uint64_t now_ns, struct weft_move_action *actions_out, size_t max)
{
    weft__check(max >= WEFT_MOVE_ACTIONS_MAX);
    struct weft_move_out out = {.actions = actions_out, .max = max, .now_ns = now_ns};
    on_event(m, &out, event);
    return out.n;
}

void weft__move_source_init(struct weft_move_source *m, const struct weft_move_params *params)
{
    *m = (struct weft_move_source){.params = params != NULL ? params : &weft__move_defaults,
                                   .until_ns = WEFT_NEVER,
                                   .retry_ns = WEFT_NEVER,
                                   .copy_until_ns = WEFT_NEVER};
}

void weft__move_source_place(struct weft_move_source *m, uint64_t incarnation)
{
    m->state = WEFT_SOURCE_HERE;
    m->incarnation = incarnation;
    m->cas_under_way = m->rank_ended = m->copying = false;
    m->copy_until_ns = WEFT_NEVER;
    no_timer(m);
}

uint64_t weft__move_source_deadline(const struct weft_move_source *m)
{
    return weft__move_sooner(m->copy_until_ns, weft__move_sooner(m->until_ns, m->retry_ns));
}
