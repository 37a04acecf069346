/* The two ends of a move in an app process: drives the SOURCE and DEST machines of plan/move.h with
 * the primitives of exec/exec.h.
 *
 * The machines decide, this file does. Everything that answers (the rank at its migration point, a
 * pull, the registry, the weftd's slot table) answers as an event posted to the owner thread, also
 * where the answer is known at once: no step runs inside a step. The slot of a rank that has left
 * is given back by the app's home, which knows both leases; RELEASE_LEASE is for a destination that
 * has failed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/app.h"
#include "host/calls.h"
#include "host/keys.h"
#include "host/move_wire.h"
#include "weft/error.h"

enum { MESSAGE_TIMEOUT_MS = 2000, LEASE_TIMEOUT_MS = 2000, LEASE_TRIES = 3 };

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- events on their way to a machine ---- */

struct posted {
    struct weft_task task;
    struct weft_app_mover *mover;
    enum weft_move_role role;
    struct weft_move_event event;
    char text[WEFT_MOVE_TEXT_MAX];
    uint64_t move_id; /* of the question: answers to older moves are dropped, but POINT; 0: of no
                         move */
    uint32_t round;   /* COPIED: likewise */
    uint8_t *bytes;   /* POINT, COPIED: descriptor */
    size_t bytes_len;
    uint64_t wall_us;
    struct weft_exec_pulled pulled; /* PULLED */
    uint64_t forwarded;             /* MARKERS */
    uint64_t lease;                 /* HELD */
    unsigned tries;
};

static void source_step(struct weft_app_mover *mover, const struct weft_move_event *event);
static void dest_step(struct weft_app_mover *mover, const struct weft_move_event *event);

/* News of no question.  Thread: any. */
static struct posted *posted_alloc(struct weft_app_mover *mover, enum weft_move_role role,
                                   enum weft_move_event_kind kind)
{
    struct posted *posted = weft__must_alloc(1, sizeof(*posted));
    posted->mover = mover;
    posted->role = role;
    posted->event.kind = kind;
    return posted;
}

/* The answer to a question of the machine's newest move.  Thread: owner. */
static struct posted *posted_new(struct weft_app_mover *mover, enum weft_move_role role,
                                 enum weft_move_event_kind kind)
{
    struct posted *posted = posted_alloc(mover, role, kind);
    posted->move_id = role == WEFT_ROLE_SOURCE ? mover->source.id.move_id : mover->dest.id.move_id;
    return posted;
}

static void keep_descriptor(struct weft_app_mover *mover, const struct posted *posted)
{
    if (posted->event.kind == WEFT_MOVE_ON_COPIED) {
        free(mover->round);
        mover->round = posted->bytes;
        mover->round_len = posted->bytes_len;
    } else if (posted->bytes != NULL) {
        (void)fflush(NULL); /* what the rank has printed stays here */
        free(mover->frozen);
        mover->frozen = posted->bytes;
        mover->frozen_len = posted->bytes_len;
        mover->frozen_wall_us = posted->wall_us;
    }
}

/* Whether it is the machine's business still. */
static bool is_current(const struct weft_app_mover *mover, const struct posted *posted)
{
    const struct weft_move_source *source = &mover->source;
    uint64_t newest =
        posted->role == WEFT_ROLE_SOURCE ? source->id.move_id : mover->dest.id.move_id;
    if (mover->app->closing)
        return false;
    if (posted->event.kind == WEFT_MOVE_ON_POINT)
        return true; /* the rank stands: of an older move, too, the machine lets it go on */
    if (posted->event.kind == WEFT_MOVE_ON_COPIED)
        return posted->move_id == source->copy.move_id && posted->round == source->copy.round;
    return posted->move_id == 0 || posted->move_id == newest;
}

/* That a rank is not copied before it stops is how it is with small ones, and where no tracker
 * works. */
static void log_failure(const struct weft_app_mover *mover, const struct posted *posted)
{
    const char *what = weft__move_event_name(posted->event.kind);
    if (posted->event.kind == WEFT_MOVE_ON_COPIED && posted->event.err == WEFT_ENOTSUP)
        weft__debug("rank %d, %s: %s", mover->rank, what, posted->text);
    else if (posted->event.err != WEFT_OK)
        weft__warn("rank %d, %s: %s", mover->rank, what, posted->text);
}

static void posted_run(struct weft_task *task)
{
    struct posted *posted = weft__loop_owner(task, struct posted, task);
    struct weft_app_mover *mover = posted->mover;
    bool source = posted->role == WEFT_ROLE_SOURCE, current = is_current(mover, posted);
    posted->event.text = posted->text;
    posted->event.move_id = posted->move_id;
    if (current)
        keep_descriptor(mover, posted);
    else
        free(posted->bytes);
    log_failure(mover, posted);
    if (posted->event.kind == WEFT_MOVE_ON_PULLED)
        mover->pulled = posted->pulled;
    if (posted->event.kind == WEFT_MOVE_ON_MARKERS)
        mover->forwarded = posted->forwarded;
    if (current && source)
        source_step(mover, &posted->event);
    else if (current)
        dest_step(mover, &posted->event);
    free(posted);
}

/* Thread: any. */
static void post(struct posted *posted, int err, const char *text)
{
    posted->task.run = posted_run;
    posted->event.err = err;
    snprintf(posted->text, sizeof(posted->text), "%s", text != NULL ? text : "");
    weft__loop_must_post(posted->mover->app->asker.loop, &posted->task);
}

/* ---- what both machines ask for ---- */

static void send_home(struct weft_app_mover *mover, const struct weft_move_message *message)
{
    struct weft_process_app *app = mover->app;
    Weft__Host__MoveMessage twin;
    weft__move_pack(message, app->orders->token, &twin);
    if (message->kind == WEFT_MOVE_FROZEN) {
        twin.descriptor = (ProtobufCBinaryData){.len = mover->frozen_len, .data = mover->frozen};
        twin.frozen_wall_us = mover->frozen_wall_us;
    } else if (message->kind == WEFT_MOVE_COPIED && message->err == WEFT_OK) {
        twin.descriptor = (ProtobufCBinaryData){.len = mover->round_len, .data = mover->round};
    } else if (message->kind == WEFT_MOVE_COMMITTED) {
        twin.bytes = mover->pulled.bytes;
        twin.touched_bytes = mover->pulled.touched;
        twin.transport = mover->pulled.transport;
        twin.pause_ms = mover->pause_ms;
    } else if (message->kind == WEFT_MOVE_FLUSHED) {
        twin.forwarded = mover->forwarded;
    }
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_MOVE,
                                                   .request = &twin.base,
                                                   .timeout_ms = MESSAGE_TIMEOUT_MS});
}

/* On the client's thread. */
static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct posted *posted = ctx;
    posted->event.owner = owner;
    post(posted, err, weft_error_text(err));
}

static void ask_owner(struct weft_app_mover *mover, enum weft_move_role role,
                      const struct weft_move_action *action)
{
    struct weft_owner_ask ask = {
        .at = mover->app->registry_at,
        .app = mover->app->orders->app,
        .log = mover->app->orders->registry_log,
        .rank = action->message.rank,
        .initial = {.host = action->message.source, .incarnation = action->message.incarnation},
        .expect = action->expect,
        .want = action->want,
        .done = owner_known,
        .ctx = posted_new(mover, role, WEFT_MOVE_ON_OWNER)};
    if (action->kind == WEFT_MOVE_DO_CAS)
        weft__owner_cas(&ask);
    else
        weft__owner_read(&ask);
}

static void end_app(struct weft_app_mover *mover, const struct weft_move_message *message)
{
    Weft__Host__RankExit news = WEFT__HOST__RANK_EXIT__INIT;
    char why[WEFT_MOVE_TEXT_MAX];
    snprintf(why, sizeof(why), "%s", message->text);
    news.rank = mover->rank;
    news.incarnation = (uint32_t)message->incarnation;
    news.code = 1;
    news.reason = why;
    news.abort = news.lost = true;
    weft__app_tell_exit(mover->app, &news);
}

static void arm(struct weft_app_mover *mover, struct weft_timer *timer, uint64_t at)
{
    if (at == WEFT_NEVER)
        weft__loop_timer_off(mover->app->asker.loop, timer);
    else
        weft__loop_timer(mover->app->asker.loop, timer, at);
}

/* ---- source ---- */

/* On a thread of the exec. */
static void frozen(void *ctx, int err, const char *text, const void *descriptor, size_t len)
{
    struct posted *posted = ctx;
    if (err == WEFT_ECANCELED) { /* the machine withdrew it */
        free(posted);
        return;
    }
    posted->event.kind = err == WEFT_OK       ? WEFT_MOVE_ON_POINT
                         : err == WEFT_ENOENT ? WEFT_MOVE_ON_RANK_ENDED
                                              : WEFT_MOVE_ON_PINNED;
    if (err == WEFT_OK) {
        posted->wall_us = wall_us();
        posted->bytes = weft__must_copy(descriptor, len);
        posted->bytes_len = len;
    }
    post(posted, err, text);
}

/* On a thread of the exec. */
static void copied(void *ctx, int err, const char *text, const struct weft_exec_round *round)
{
    struct posted *posted = ctx;
    if (err == WEFT_OK) {
        posted->bytes = weft__must_copy(round->descriptor, round->len_bytes);
        posted->bytes_len = round->len_bytes;
        posted->event.bytes = round->bytes;
        posted->event.last = round->last;
    }
    post(posted, err, text);
}

static void copy(struct weft_app_mover *mover, const struct weft_move_message *message)
{
    struct posted *posted = posted_alloc(mover, WEFT_ROLE_SOURCE, WEFT_MOVE_ON_COPIED);
    posted->move_id = message->move_id;
    posted->round = message->round;
    int err = weft__exec_copy(mover->app->exec, &(struct weft_exec_copy){.rank = mover->rank,
                                                                         .round = message->round,
                                                                         .done = copied,
                                                                         .ctx = posted});
    if (err != WEFT_OK)
        post(posted, err, weft_fail_text(err));
}

static void ask_point(struct weft_app_mover *mover, uint32_t round)
{
    struct posted *posted = posted_new(mover, WEFT_ROLE_SOURCE, WEFT_MOVE_ON_PINNED);
    int err = weft__exec_freeze_copied(mover->app->exec, mover->rank, round, frozen, posted);
    if (err != WEFT_OK) {
        posted->event.kind = err == WEFT_ENOENT ? WEFT_MOVE_ON_RANK_ENDED : WEFT_MOVE_ON_PINNED;
        post(posted, err, weft_fail_text(err));
    }
}

static void forward(struct weft_app_mover *mover, struct weft_move_owner owner)
{
    struct weft_exec_route to = {.rank = mover->rank,
                                 .process = (uint32_t)owner.host,
                                 .incarnation = (uint32_t)owner.incarnation};
    mover->forwarded = 0;
    int err = weft__exec_depart(mover->app->exec, &to);
    if (err != WEFT_OK)
        weft__error("rank %d cannot be forwarded: %s", mover->rank, weft_fail_text(err));
    free(mover->frozen);
    mover->frozen = NULL;
    mover->frozen_len = 0;
}

static void source_perform(struct weft_app_mover *mover, const struct weft_move_action *action)
{
    struct weft_exec *exec = mover->app->exec;
    int err = WEFT_OK;
    switch (action->kind) {
    case WEFT_MOVE_DO_SEND:
        send_home(mover, &action->message);
        break;
    case WEFT_MOVE_DO_CAS:
    case WEFT_MOVE_DO_READ_OWNER:
        ask_owner(mover, WEFT_ROLE_SOURCE, action);
        break;
    case WEFT_MOVE_DO_COPY:
        copy(mover, &action->message);
        break;
    case WEFT_MOVE_DO_END_COPY:
        weft__exec_copy_end(exec, mover->rank);
        break;
    case WEFT_MOVE_DO_ASK_POINT:
        ask_point(mover, action->message.round);
        break;
    case WEFT_MOVE_DO_WITHDRAW:
        (void)weft__exec_freeze_cancel(
            exec, mover->rank); /* if it is just stopping, POINT comes and the machine thaws it */
        break;
    case WEFT_MOVE_DO_THAW:
        err = weft__exec_thaw(exec, mover->rank, (uint32_t)action->message.owner.incarnation);
        break;
    case WEFT_MOVE_DO_FORWARD:
        forward(mover, action->message.owner);
        break;
    case WEFT_MOVE_DO_END_APP:
        end_app(mover, &action->message);
        break;
    default:
        break; /* RELEASE_LEASE: the home's */
    }
    if (err != WEFT_OK)
        weft__error("rank %d: %s: %s", mover->rank, weft__move_action_name(action->kind),
                    weft_fail_text(err));
}

static void source_step(struct weft_app_mover *mover, const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    enum weft_move_source_state before = mover->source.state;
    size_t n = weft__move_source_step(&mover->source, event, weft__now_ns(), actions,
                                      WEFT_MOVE_ACTIONS_MAX);
    weft__debug("rank %d source: %s -> %s, %zu actions", mover->rank,
                weft__move_event_name(event->kind), weft__move_source_name(mover->source.state), n);
    weft__app_source_stepped(mover, before);
    for (size_t i = 0; i < n; i++)
        source_perform(mover, &actions[i]);
    arm(mover, &mover->source_timer, weft__move_source_deadline(&mover->source));
}

static void source_tick(struct weft_timer *timer)
{
    struct weft_app_mover *mover = weft__loop_owner(timer, struct weft_app_mover, source_timer);
    source_step(mover, &(struct weft_move_event){.kind = WEFT_MOVE_ON_TICK});
}

void weft__app_flushed(void *ctx, int32_t rank, uint32_t incarnation, uint64_t forwarded_packets)
{
    struct weft_process_app *app = ctx;
    (void)incarnation;
    struct posted *posted = posted_alloc(app->movers[rank], WEFT_ROLE_SOURCE, WEFT_MOVE_ON_MARKERS);
    posted->forwarded = forwarded_packets;
    post(posted, WEFT_OK, "");
}

/* ---- destination ---- */

/* On a thread of the exec. */
static void pulled(void *ctx, int err, const char *text, const struct weft_exec_pulled *what)
{
    struct posted *posted = ctx;
    if (err == WEFT_OK)
        posted->pulled = *what;
    post(posted, err, text);
}

static void start_pull(struct weft_app_mover *mover, enum weft_move_event_kind answer)
{
    struct posted *posted = posted_new(mover, WEFT_ROLE_DEST, answer);
    int err = weft__exec_pull(mover->app->exec,
                              &(struct weft_exec_pull){.rank = mover->rank,
                                                       .descriptor = mover->descriptor,
                                                       .len_bytes = mover->descriptor_len,
                                                       .done = pulled,
                                                       .ctx = posted});
    if (err != WEFT_OK)
        post(posted, err, weft_fail_text(err));
}

static void lease_answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply);

static void hold_lease(struct posted *posted)
{
    struct weft_process_app *app = posted->mover->app;
    Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
    commit.app = app->orders->app;
    commit.token = app->orders->token;
    commit.leases = &posted->lease;
    commit.n_leases = 1;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->host_control,
                                                   .code = WEFT_CALL_LEASE_COMMIT,
                                                   .request = &commit.base,
                                                   .timeout_ms = LEASE_TIMEOUT_MS,
                                                   .answered = lease_answered,
                                                   .ctx = posted});
}

static void lease_answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct posted *posted = ctx;
    (void)reply;
    if (err != WEFT_OK && err != WEFT_ENOENT && ++posted->tries < LEASE_TRIES)
        hold_lease(posted);
    else
        post(posted, err, text);
}

/* A slot that is being given back. */
struct releasing {
    struct weft_process_app *app;
    uint64_t lease;
};

static void lease_released(void *ctx, int err, const char *text, const ProtobufCMessage *reply);

static void end_lease(struct releasing *releasing)
{
    struct weft_process_app *app = releasing->app;
    Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
    end.app = app->orders->app;
    end.token = app->orders->token;
    end.leases = &releasing->lease;
    end.n_leases = 1;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->host_control,
                                                   .code = WEFT_CALL_LEASE_END,
                                                   .request = &end.base,
                                                   .timeout_ms = LEASE_TIMEOUT_MS,
                                                   .answered = lease_released,
                                                   .ctx = releasing});
}

/* A weftd that stood still has not looked at it: the slot would be taken until the app ends. */
static void lease_released(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct releasing *releasing = ctx;
    (void)text;
    (void)reply;
    if (err == WEFT_ETIMEDOUT && !releasing->app->closing)
        end_lease(releasing);
    else
        free(releasing);
}

static void release_lease(struct weft_app_mover *mover, uint64_t lease)
{
    struct releasing *releasing = weft__must_alloc(1, sizeof(*releasing));
    *releasing = (struct releasing){.app = mover->app, .lease = lease};
    end_lease(releasing);
}

static void resume(struct weft_app_mover *mover, uint64_t incarnation)
{
    int err = weft__exec_resume(mover->app->exec, mover->rank, (uint32_t)incarnation);
    uint64_t now = wall_us();
    double by_clocks =
        now > mover->pull_frozen_wall_us ? (double)(now - mover->pull_frozen_wall_us) / 1e3 : 0.0;
    double here =
        (double)mover->pulled.pull_ns / 1e6; /* a lower bound, where the hosts' clocks differ */
    mover->pause_ms = by_clocks > here ? by_clocks : here;
    weft__move_source_place(&mover->source, incarnation);
    if (err == WEFT_OK) {
        weft__app_resumed(mover);
        return;
    }
    struct weft_move_message lost = mover->dest.id;
    snprintf(lost.text, sizeof(lost.text), "it cannot be resumed: %s", weft_fail_text(err));
    end_app(mover, &lost);
}

static void dest_perform(struct weft_app_mover *mover, const struct weft_move_action *action)
{
    struct weft_exec *exec = mover->app->exec;
    struct posted *posted;
    int err;
    switch (action->kind) {
    case WEFT_MOVE_DO_SEND:
        send_home(mover, &action->message);
        break;
    case WEFT_MOVE_DO_CAS:
    case WEFT_MOVE_DO_READ_OWNER:
        ask_owner(mover, WEFT_ROLE_DEST, action);
        break;
    case WEFT_MOVE_DO_RESERVE_RANGE:
        err = weft__exec_reserve(exec, mover->rank);
        post(posted_new(mover, WEFT_ROLE_DEST, WEFT_MOVE_ON_RANGE), err, weft_fail_text(err));
        break;
    case WEFT_MOVE_DO_START_FETCH:
        start_pull(mover, WEFT_MOVE_ON_FETCHED);
        break;
    case WEFT_MOVE_DO_START_PULL:
        start_pull(mover, WEFT_MOVE_ON_PULLED);
        break;
    case WEFT_MOVE_DO_HOLD_LEASE:
        posted = posted_new(mover, WEFT_ROLE_DEST, WEFT_MOVE_ON_HELD);
        posted->lease = action->message.lease;
        hold_lease(posted);
        break;
    case WEFT_MOVE_DO_RELEASE_LEASE:
        release_lease(mover, action->message.lease);
        break;
    case WEFT_MOVE_DO_RESUME:
        resume(mover, action->message.owner.incarnation);
        break;
    case WEFT_MOVE_DO_CANCEL_PULL:
    case WEFT_MOVE_DO_DISCARD_RANGE:
        (void)weft__exec_discard(exec, mover->rank); /* a pull under way ends with its PULLED */
        break;
    case WEFT_MOVE_DO_END_APP:
        end_app(mover, &action->message);
        break;
    default:
        break; /* COMMIT_LEASE: holding has committed it */
    }
}

static void dest_step(struct weft_app_mover *mover, const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    enum weft_move_dest_state before = mover->dest.state;
    size_t n =
        weft__move_dest_step(&mover->dest, event, weft__now_ns(), actions, WEFT_MOVE_ACTIONS_MAX);
    weft__debug("rank %d dest: %s -> %s, %zu actions", mover->rank,
                weft__move_event_name(event->kind), weft__move_dest_name(mover->dest.state), n);
    weft__app_dest_stepped(mover, before);
    for (size_t i = 0; i < n; i++)
        dest_perform(mover, &actions[i]);
    arm(mover, &mover->dest_timer, weft__move_dest_deadline(&mover->dest));
}

static void dest_tick(struct weft_timer *timer)
{
    struct weft_app_mover *mover = weft__loop_owner(timer, struct weft_app_mover, dest_timer);
    dest_step(mover, &(struct weft_move_event){.kind = WEFT_MOVE_ON_TICK});
}

/* ---- messages of the home ---- */

static void take_descriptor(struct weft_app_mover *mover, const Weft__Host__MoveMessage *twin)
{
    if ((twin->kind != WEFT_MOVE_PULL && twin->kind != WEFT_MOVE_FETCH) ||
        mover->dest.state != WEFT_DEST_PREPARED)
        return; /* a repetition: a pull under way reads the one that we have */
    free(mover->descriptor);
    mover->descriptor = weft__must_copy(twin->descriptor.data, twin->descriptor.len);
    mover->descriptor_len = twin->descriptor.len;
    mover->pull_frozen_wall_us = twin->frozen_wall_us;
}

static struct weft_app_mover *mover_of(struct weft_process_app *app, uint32_t rank)
{
    struct weft_app_mover *mover = app->movers[rank];
    if (mover != NULL)
        return mover;
    mover = weft__must_alloc(1, sizeof(*mover));
    mover->app = app;
    mover->rank = (int32_t)rank;
    weft__move_source_init(&mover->source, &app->move_params);
    weft__move_dest_init(&mover->dest, &app->move_params);
    mover->source_timer.fire = source_tick;
    mover->dest_timer.fire = dest_tick;
    app->movers[rank] = mover;
    return mover;
}

/* Whether the message is for one of the two machines of this process, and for which. */
static int unpack(const struct weft_process_app *app, const Weft__Host__MoveMessage *twin,
                  enum weft_move_role *role_out, struct weft_move_message *message_out)
{
    *role_out = twin->kind < WEFT_MOVE_KINDS_END
                    ? weft__move_receiver((enum weft_move_kind)twin->kind)
                    : WEFT_ROLE_ALL;
    if (twin->rank >= app->orders->size || twin->app != app->orders->app ||
        (*role_out != WEFT_ROLE_SOURCE && *role_out != WEFT_ROLE_DEST))
        return weft_fail(WEFT_EPROTO, "move message of kind %u for rank %u does not belong here",
                         twin->kind, twin->rank);
    int err = weft__move_unpack(twin, *role_out, message_out);
    if (err == WEFT_OK && weft__move_receiver_host(message_out) != app->orders->process)
        err = weft_fail(WEFT_EPROTO, "move message for process %llu came to process %u",
                        (unsigned long long)weft__move_receiver_host(message_out),
                        app->orders->process);
    return err;
}

void weft__app_mover_place(struct weft_process_app *app, uint32_t rank, uint64_t incarnation)
{
    weft__move_source_place(&mover_of(app, rank)->source, incarnation);
}

void weft__app_on_move(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_process_app *app = ctx;
    const Weft__Host__MoveMessage *twin = (const Weft__Host__MoveMessage *)request;
    struct weft_move_message message;
    enum weft_move_role role;
    if (!weft__app_serves(app, twin->token, call))
        return;
    int err = unpack(app, twin, &role, &message);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct weft_app_mover *mover = mover_of(app, twin->rank);
    struct weft_move_event event = {.kind = WEFT_MOVE_ON_MESSAGE, .message = &message};
    take_descriptor(mover, twin);
    if (role == WEFT_ROLE_SOURCE)
        source_step(mover, &event);
    else
        dest_step(mover, &event);
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

void weft__app_movers_init(struct weft_process_app *app)
{
    const Weft__Host__LaunchRequest *orders = app->orders;
    app->move_params = weft__move_params();
    app->movers = weft__must_alloc(orders->size, sizeof(struct weft_app_mover *));
    for (size_t i = 0; i < orders->n_ranks; i++)
        weft__move_source_place(&mover_of(app, (uint32_t)orders->ranks[i])->source, 1);
}

void weft__app_movers_fini(struct weft_process_app *app)
{
    if (app->movers == NULL)
        return;
    for (uint32_t r = 0; r < app->orders->size; r++) {
        if (app->movers[r] == NULL)
            continue;
        free(app->movers[r]->frozen);
        free(app->movers[r]->round);
        free(app->movers[r]->descriptor);
        free(app->movers[r]);
    }
    free(app->movers);
}
