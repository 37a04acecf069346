/* What all roles share: names, defaults, and the writing of actions.
 *
 * Owners of a rank only grow: (S,i) is followed by (D,i+1) or (S,i+1) and never comes back. So a
 * late answer of the registry can only show the past state (S,i), after which a machine asks once
 * more; it can never make anybody believe in a verdict that was not given. */
#include "plan/move.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "plan/move_step.h"
#include "weft/error.h"

const struct weft_move_params weft__move_defaults = {
    .retry_first_ns = 50 * WEFT_NS_PER_MS,
    .retry_max_ns = WEFT_NS_PER_S,
    .lease_ns = 2 * WEFT_NS_PER_S,
    .prepare_ns = 5 * WEFT_NS_PER_S,
    .copy_passes = 0,
    .copy_ns = 60 * WEFT_NS_PER_S,
    .copy_enough = 1 << 20,
    .freeze_ns = 2 * WEFT_NS_PER_S,
    .pull_ns = 30 * WEFT_NS_PER_S,
    .resolve_ns = 10 * WEFT_NS_PER_S,
    .flush_ns = 10 * WEFT_NS_PER_S,
};

struct weft_move_action *weft__move_emit(struct weft_move_out *out, enum weft_move_action_kind kind,
                                         const struct weft_move_message *id)
{
    weft__check(out->n < out->max);
    struct weft_move_action *action = &out->actions[out->n++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    action->message = (struct weft_move_message){.app = id->app,
                                                 .move_id = id->move_id,
                                                 .rank = id->rank,
                                                 .incarnation = id->incarnation,
                                                 .home = id->home,
                                                 .source = id->source,
                                                 .dest = id->dest,
                                                 .lease = id->lease};
    return action;
}

struct weft_move_message *weft__move_send(struct weft_move_out *out,
                                          const struct weft_move_message *id,
                                          enum weft_move_kind kind)
{
    struct weft_move_message *message = &weft__move_emit(out, WEFT_MOVE_DO_SEND, id)->message;
    message->kind = kind;
    return message;
}

void weft__move_send_err(struct weft_move_out *out, const struct weft_move_message *id,
                         enum weft_move_kind kind, int err, const char *text)
{
    struct weft_move_message *message = weft__move_send(out, id, kind);
    message->err = err;
    weft__move_text(message->text, "%s", text);
}

void weft__move_cas(struct weft_move_out *out, const struct weft_move_message *id, uint64_t host)
{
    struct weft_move_action *action = weft__move_emit(out, WEFT_MOVE_DO_CAS, id);
    action->expect = (struct weft_move_owner){id->source, id->incarnation};
    action->want = (struct weft_move_owner){host, id->incarnation + 1};
}

void weft__move_end_app(struct weft_move_out *out, const struct weft_move_message *id,
                        const char *text)
{
    weft__move_text(weft__move_emit(out, WEFT_MOVE_DO_END_APP, id)->message.text, "%s", text);
}

void weft__move_text(char out[WEFT_MOVE_TEXT_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out, WEFT_MOVE_TEXT_MAX, fmt, args);
    va_end(args);
}

uint32_t weft__move_ms(uint64_t ns)
{
    uint64_t ms = ns / WEFT_NS_PER_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

uint64_t weft__move_after(uint64_t now_ns, uint64_t wait_ns)
{
    return now_ns > WEFT_NEVER - wait_ns ? WEFT_NEVER : now_ns + wait_ns;
}

enum weft_move_standing weft__move_standing(const struct weft_move_message *id,
                                            const struct weft_move_event *event)
{
    const struct weft_move_owner *owner = &event->owner;
    if (event->err != WEFT_OK || owner->incarnation < id->incarnation)
        return WEFT_STANDING_UNKNOWN;
    if (owner->incarnation == id->incarnation)
        return owner->host == id->source ? WEFT_STANDING_UNDECIDED : WEFT_STANDING_OTHER;
    if (owner->incarnation == id->incarnation + 1 && owner->host == id->dest)
        return WEFT_STANDING_COMMITTED;
    if (owner->incarnation == id->incarnation + 1 && owner->host == id->source)
        return WEFT_STANDING_ABORTED;
    return WEFT_STANDING_OTHER;
}

static enum weft_move_kind answer_of_nobody(enum weft_move_kind kind)
{
    switch (kind) {
    case WEFT_MOVE_PULL:
    case WEFT_MOVE_FETCH:
        return WEFT_MOVE_FAILED;
    case WEFT_MOVE_COPY:
        return WEFT_MOVE_COPIED;
    case WEFT_MOVE_FREEZE: /* not REFUSED: nobody can say here that the rank goes on */
    case WEFT_MOVE_ABORT:
        return WEFT_MOVE_GONE;
    case WEFT_MOVE_MOVED:
        return WEFT_MOVE_FLUSHED;
    case WEFT_MOVE_FROZEN:
        return WEFT_MOVE_ABORT;
    case WEFT_MOVE_PREPARED:
        return WEFT_MOVE_DISCARD;
    default:
        return WEFT_MOVE_NOTHING;
    }
}

bool weft__move_answer_unknown(const struct weft_move_message *message,
                               struct weft_move_message *answer_out)
{
    enum weft_move_kind kind = answer_of_nobody(message->kind);
    if (kind == WEFT_MOVE_NOTHING)
        return false;
    *answer_out = *message;
    answer_out->kind = kind;
    answer_out->err = WEFT_ENOENT;
    answer_out->owner = (struct weft_move_owner){0, 0};
    weft__move_text(answer_out->text, "nothing is known here of this move");
    return true;
}

enum weft_move_role weft__move_receiver(enum weft_move_kind kind)
{
    switch (kind) {
#define X(name, receiver)                                                                          \
    case WEFT_MOVE_##name:                                                                         \
        return WEFT_ROLE_##receiver;
        WEFT_MOVE_MESSAGES(X)
#undef X
    case WEFT_MOVE_NOTHING:
    case WEFT_MOVE_KINDS_END:
        break;
    }
    return WEFT_ROLE_HOME;
}

uint64_t weft__move_receiver_host(const struct weft_move_message *message)
{
    switch (weft__move_receiver(message->kind)) {
    case WEFT_ROLE_HOME:
        return message->home;
    case WEFT_ROLE_SOURCE:
        return message->source;
    case WEFT_ROLE_DEST:
    case WEFT_ROLE_AGENT:
        return message->dest;
    case WEFT_ROLE_ALL:
        break;
    }
    return 0;
}

static const char *name_in(const char *const *names, size_t names_n, unsigned which)
{
    return which < names_n && names[which] != NULL ? names[which] : "?";
}
#define NAME_IN(names, which) name_in(names, sizeof(names) / sizeof((names)[0]), (unsigned)(which))

const char *weft__move_kind_name(enum weft_move_kind kind)
{
#define X(name, receiver) [WEFT_MOVE_##name] = #name,
    static const char *const names[] = {[WEFT_MOVE_NOTHING] = "NOTHING", WEFT_MOVE_MESSAGES(X)};
#undef X
    return NAME_IN(names, kind);
}

const char *weft__move_event_name(enum weft_move_event_kind kind)
{
#define X(name) [WEFT_MOVE_ON_##name] = #name,
    static const char *const names[] = {WEFT_MOVE_EVENTS(X)};
#undef X
    return NAME_IN(names, kind);
}

const char *weft__move_action_name(enum weft_move_action_kind kind)
{
#define X(name) [WEFT_MOVE_DO_##name] = #name,
    static const char *const names[] = {WEFT_MOVE_ACTIONS(X)};
#undef X
    return NAME_IN(names, kind);
}

const char *weft__move_outcome_name(enum weft_move_outcome outcome)
{
    static const char *const names[] = {"pending", "moved", "stayed", "lost"};
    return NAME_IN(names, outcome);
}

const char *weft__move_home_name(enum weft_move_home_state state)
{
    static const char *const names[] = {"idle",    "leasing",  "preparing", "copying",  "freezing",
                                        "pulling", "aborting", "resolving", "flushing", "ended"};
    return NAME_IN(names, state);
}

const char *weft__move_source_name(enum weft_move_source_state state)
{
    static const char *const names[] = {"absent",   "here",       "waiting", "frozen",
                                        "aborting", "forwarding", "flushed"};
    return NAME_IN(names, state);
}

const char *weft__move_dest_name(enum weft_move_dest_state state)
{
    static const char *const names[] = {"idle",    "reserving",  "prepared", "fetching",
                                        "pulling", "cancelling", "holding",  "committing",
                                        "running", "failed"};
    return NAME_IN(names, state);
}
