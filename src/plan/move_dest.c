/* DEST: takes the rank over.
 *
 * The copy becomes the rank by one thing only, the registry's word that commit was set; nothing
 * runs before it. The slot is held first, so that no reservation can run out between the commit and
 * its record. FAILED is a promise never to commit this move: the range is given up with it. While
 * the registry does not answer, the copy is neither dropped nor resumed, however long it takes;
 * SOURCE and HOME have the deadline that ends the app. A pull is never dropped from under the
 * transport: a cancelled one is waited for before the range goes; and so is the answer to
 * HOLD_LEASE before the slot is given back, or a late one could hold what nobody gives back any
 * more. */
#include "base/check.h"
#include "plan/move.h"
#include "plan/move_step.h"
#include "weft/error.h"

static void no_timer(struct weft_move_dest *m)
{
    m->until_ns = m->retry_ns = WEFT_NEVER;
}

static void say_failed(struct weft_move_dest *m, struct weft_move_out *out)
{
    weft__move_send_err(out, &m->id, WEFT_MOVE_FAILED, m->err, m->reason);
}

static void note(struct weft_move_dest *m, int err, const char *text)
{
    m->err = err;
    weft__move_text(m->reason, "%s", text);
}

static void drop(struct weft_move_dest *m, struct weft_move_out *out, bool has_range)
{
    no_timer(m);
    m->state = WEFT_DEST_FAILED;
    if (has_range)
        weft__move_emit(out, WEFT_MOVE_DO_DISCARD_RANGE, &m->id);
    weft__move_emit(out, WEFT_MOVE_DO_RELEASE_LEASE, &m->id);
}

static void fail(struct weft_move_dest *m, struct weft_move_out *out, int err, const char *text)
{
    bool has_range = m->state != WEFT_DEST_RESERVING;
    note(m, err, text);
    drop(m, out, has_range);
    say_failed(m, out);
}

/* Gives up while the I/O layer is still at work on the range. */
static void cancel(struct weft_move_dest *m, struct weft_move_out *out, int err, const char *text)
{
    if (m->state == WEFT_DEST_PULLING || m->state == WEFT_DEST_FETCHING)
        weft__move_emit(out, WEFT_MOVE_DO_CANCEL_PULL, &m->id);
    m->state = WEFT_DEST_CANCELLING;
    note(m, err, text);
    no_timer(m);
    say_failed(m, out);
}

static void ask_registry(struct weft_move_dest *m, struct weft_move_out *out)
{
    m->cas_under_way = true;
    m->retry_ns = WEFT_NEVER;
    weft__move_cas(out, &m->id, m->id.dest);
}

static void give_up(struct weft_move_dest *m, struct weft_move_out *out, int err, const char *text)
{
    if (m->state == WEFT_DEST_RESERVING || m->state == WEFT_DEST_FETCHING ||
        m->state == WEFT_DEST_PULLING || m->state == WEFT_DEST_HOLDING)
        cancel(m, out, err, text);
    else if (m->state == WEFT_DEST_PREPARED)
        fail(m, out, err, text);
}

static bool idle(const struct weft_move_dest *m)
{
    return m->state == WEFT_DEST_IDLE || m->state == WEFT_DEST_FAILED ||
           m->state == WEFT_DEST_RUNNING;
}

/* ---- messages ---- */

static void on_new_prepare(struct weft_move_dest *m, struct weft_move_out *out,
                           const struct weft_move_message *message)
{
    if (m->state == WEFT_DEST_PREPARED)
        drop(m, out, true); /* HOME has given the older move up */
    if (!idle(m) || message->move_id <= m->refused_id) {
        m->refused_id = message->move_id > m->refused_id ? message->move_id : m->refused_id;
        weft__move_send_err(out, message, WEFT_MOVE_FAILED, WEFT_EBUSY,
                            "the range of this rank is still in use by an older move");
        return;
    }
    m->id = *message;
    m->round = 0;
    m->state = WEFT_DEST_RESERVING;
    m->until_ns = weft__move_after(out->now_ns, message->within_ms * WEFT_NS_PER_MS);
    weft__move_emit(out, WEFT_MOVE_DO_RESERVE_RANGE, &m->id);
}

/* A move is stopped whose PREPARE has not come: if it comes it finds the move failed. */
static void on_new_stop(struct weft_move_dest *m, struct weft_move_out *out,
                        const struct weft_move_message *message)
{
    if (!idle(m))
        return;
    m->id = *message;
    m->state = WEFT_DEST_FAILED;
    note(m, WEFT_ENOENT, "nothing was prepared here for this move");
    if (message->kind == WEFT_MOVE_PULL || message->kind == WEFT_MOVE_FETCH)
        say_failed(m, out);
}

static void say_fetched(struct weft_move_dest *m, struct weft_move_out *out, uint32_t round,
                        int err)
{
    weft__move_send_err(out, &m->id, WEFT_MOVE_FETCHED, err,
                        err != WEFT_OK ? "the round could not be pulled" : "");
    out->actions[out->n - 1].message.round = round;
}

static void on_fetch(struct weft_move_dest *m, struct weft_move_out *out,
                     const struct weft_move_message *message)
{
    if (m->state != WEFT_DEST_PREPARED)
        return;
    if (message->round == m->round && m->round > 0) {
        say_fetched(m, out, m->round, WEFT_OK);
    } else if (message->round == m->round + 1) {
        m->state = WEFT_DEST_FETCHING;
        m->round = message->round;
        m->until_ns = weft__move_after(out->now_ns, message->within_ms * WEFT_NS_PER_MS);
        weft__move_emit(out, WEFT_MOVE_DO_START_FETCH, &m->id)->message.round = message->round;
    } else if (message->round > m->round) {
        say_fetched(m, out, message->round, WEFT_ESTALE); /* an answer was lost */
    }
}

static void on_pull(struct weft_move_dest *m, struct weft_move_out *out,
                    const struct weft_move_message *message)
{
    if (m->state != WEFT_DEST_PREPARED)
        return;
    m->state = WEFT_DEST_PULLING;
    m->until_ns = weft__move_after(out->now_ns, message->within_ms * WEFT_NS_PER_MS);
    weft__move_emit(out, WEFT_MOVE_DO_START_PULL, &m->id);
}

/* Answers a question that HOME repeats. */
static void say_what_stands(struct weft_move_dest *m, struct weft_move_out *out,
                            enum weft_move_kind kind)
{
    if (m->state == WEFT_DEST_RUNNING)
        weft__move_send(out, &m->id, WEFT_MOVE_COMMITTED);
    else if (m->state == WEFT_DEST_FAILED || m->state == WEFT_DEST_CANCELLING)
        say_failed(m, out);
    else if (kind == WEFT_MOVE_PREPARE && m->state != WEFT_DEST_RESERVING)
        weft__move_send(out, &m->id, WEFT_MOVE_PREPARED);
}

static void on_message(struct weft_move_dest *m, struct weft_move_out *out,
                       const struct weft_move_message *message)
{
    if (message->move_id < m->id.move_id)
        return;
    bool newer = message->move_id > m->id.move_id;
    if (newer && message->kind == WEFT_MOVE_PREPARE) {
        on_new_prepare(m, out, message);
    } else if (newer) {
        on_new_stop(m, out, message);
    } else if (message->kind == WEFT_MOVE_DISCARD) {
        give_up(m, out, WEFT_ECANCELED, "the move was given up");
    } else {
        say_what_stands(m, out, message->kind);
        if (message->kind == WEFT_MOVE_PULL)
            on_pull(m, out, message);
        else if (message->kind == WEFT_MOVE_FETCH)
            on_fetch(m, out, message);
    }
}

/* ---- the range, the lease, the registry, time ---- */

static void on_range(struct weft_move_dest *m, struct weft_move_out *out, int err)
{
    if (m->state == WEFT_DEST_CANCELLING) {
        drop(m, out, err == WEFT_OK);
    } else if (m->state == WEFT_DEST_RESERVING && err != WEFT_OK) {
        fail(m, out, err, "the range of the rank cannot be reserved here");
    } else if (m->state == WEFT_DEST_RESERVING) {
        m->state = WEFT_DEST_PREPARED;
        weft__move_send(out, &m->id, WEFT_MOVE_PREPARED);
    }
}

static void on_fetched(struct weft_move_dest *m, struct weft_move_out *out,
                       const struct weft_move_event *event)
{
    const int err = event->err;
    if (m->state == WEFT_DEST_CANCELLING) {
        drop(m, out, true);
    } else if (m->state == WEFT_DEST_FETCHING && err == WEFT_ENOEXEC) {
        fail(m, out, err, event->text != NULL ? event->text : "the program is another build here");
    } else if (m->state == WEFT_DEST_FETCHING) {
        uint32_t round = m->round;
        m->state = WEFT_DEST_PREPARED;
        m->round = err == WEFT_OK ? round : 0;
        say_fetched(m, out, round, err);
    }
}

static void on_pulled(struct weft_move_dest *m, struct weft_move_out *out, int err)
{
    if (m->state == WEFT_DEST_CANCELLING) {
        drop(m, out, true);
    } else if (m->state == WEFT_DEST_PULLING && err != WEFT_OK) {
        fail(m, out, err, "the rank's memory could not be pulled");
    } else if (m->state == WEFT_DEST_PULLING) {
        m->state = WEFT_DEST_HOLDING;
        weft__move_emit(out, WEFT_MOVE_DO_HOLD_LEASE, &m->id);
    }
}

static void on_held(struct weft_move_dest *m, struct weft_move_out *out, int err)
{
    if (m->state == WEFT_DEST_CANCELLING)
        drop(m, out, true);
    if (m->state != WEFT_DEST_HOLDING)
        return;
    if (err != WEFT_OK) {
        fail(m, out, err, "the slot's lease had ended before the rank was here");
        return;
    }
    m->state = WEFT_DEST_COMMITTING;
    m->until_ns = WEFT_NEVER;
    weft__move_retry_start(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
    ask_registry(m, out);
}

static void on_owner(struct weft_move_dest *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    if (m->state != WEFT_DEST_COMMITTING)
        return;
    m->cas_under_way = false;
    switch (weft__move_standing(&m->id, event)) {
    case WEFT_STANDING_COMMITTED:
        m->state = WEFT_DEST_RUNNING;
        no_timer(m);
        weft__move_emit(out, WEFT_MOVE_DO_RESUME, &m->id)->message.owner = event->owner;
        weft__move_emit(out, WEFT_MOVE_DO_COMMIT_LEASE, &m->id);
        weft__move_send(out, &m->id, WEFT_MOVE_COMMITTED);
        break;
    case WEFT_STANDING_ABORTED:
    case WEFT_STANDING_OTHER:
        fail(m, out, WEFT_ESTALE, "the source took the rank back before the commit");
        break;
    case WEFT_STANDING_UNDECIDED:
    case WEFT_STANDING_UNKNOWN:
        weft__move_retry_next(m->params, out->now_ns, &m->retry_ns, &m->backoff_ns);
        break;
    }
}

static void on_tick(struct weft_move_dest *m, struct weft_move_out *out)
{
    if (m->until_ns <= out->now_ns)
        give_up(m, out, WEFT_ETIMEDOUT,
                m->state == WEFT_DEST_PULLING ? "the pull was not done in time"
                                              : "the ask to pull the rank did not come in time");
    else if (m->state == WEFT_DEST_COMMITTING && !m->cas_under_way && m->retry_ns <= out->now_ns)
        ask_registry(m, out);
}

static void on_event(struct weft_move_dest *m, struct weft_move_out *out,
                     const struct weft_move_event *event)
{
    switch (event->kind) {
    case WEFT_MOVE_ON_MESSAGE:
        on_message(m, out, event->message);
        break;
    case WEFT_MOVE_ON_RANGE:
        on_range(m, out, event->err);
        break;
    case WEFT_MOVE_ON_FETCHED:
        on_fetched(m, out, event);
        break;
    case WEFT_MOVE_ON_PULLED:
        on_pulled(m, out, event->err);
        break;
    case WEFT_MOVE_ON_HELD:
        on_held(m, out, event->err);
        break;
    case WEFT_MOVE_ON_OWNER:
        on_owner(m, out, event);
        break;
    case WEFT_MOVE_ON_HOST_DEAD:
        if (event->host == m->id.source &&
            (m->state == WEFT_DEST_PREPARED || m->state == WEFT_DEST_FETCHING))
            give_up(m, out, WEFT_EHOSTDEAD, "the source died");
        break;
    case WEFT_MOVE_ON_TICK:
        on_tick(m, out);
        break;
    default:
        break;
    }
}

size_t weft__move_dest_step(struct weft_move_dest *m, const struct weft_move_event *event,
                            uint64_t now_ns, struct weft_move_action *actions_out, size_t max)
{
    weft__check(max >= WEFT_MOVE_ACTIONS_MAX);
    struct weft_move_out out = {.actions = actions_out, .max = max, .now_ns = now_ns};
    on_event(m, &out, event);
    return out.n;
}

void weft__move_dest_init(struct weft_move_dest *m, const struct weft_move_params *params)
{
    *m = (struct weft_move_dest){.params = params != NULL ? params : &weft__move_defaults,
                                 .until_ns = WEFT_NEVER,
                                 .retry_ns = WEFT_NEVER};
}

uint64_t weft__move_dest_deadline(const struct weft_move_dest *m)
{
    return weft__move_sooner(m->until_ns, m->retry_ns);
}
