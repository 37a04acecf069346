/* A rank's turn to move: a host lets only so many ranks come and go at once (WEFT_MOVES_MAX),
 * whatever apps they are of, and only the hosts can count that.
 *
 * So before a move begins both hosts are asked: the source notes that the rank leaves, the
 * destination leases the slot under the id that the move will use. A host that is busy is asked
 * again after a while. Every move asks the source first, and what a source counts is apart from
 * what a destination counts: two moves never wait for each other. A host that does not answer is
 * left to the move itself, which has its own deadlines; so is one that has no slot.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/config.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_app.h"
#include "weft/error.h"

enum { AGAIN_MS = 50, ASK_TIMEOUT_MS = 2000 };

static void ask_source(struct weft_app *app);

/* For as long as a move may take before its commit. */
static uint32_t hold_ms(const struct weft_app *app)
{
    const struct weft_move_params *p = &app->host->move_params;
    uint64_t ns = p->lease_ns + p->prepare_ns + p->freeze_ns + p->pull_ns + p->resolve_ns;
    return (uint32_t)(ns / WEFT_NS_PER_MS) + 1;
}

static void over(struct weft_app *app, int err, const char *text)
{
    app->plan->turn.waits = false;
    weft__loop_timer_off(app->host->asker.loop, &app->plan->timer);
    app->plan->turn.taken(app, err, text);
}

static void again(struct weft_timer *timer)
{
    ask_source(weft__loop_owner(timer, struct weft_app_plan, timer)->app);
}

static void busy(struct weft_app *app, const char *text)
{
    struct weft_app_plan *plan = app->plan;
    uint64_t now = weft__now_ns();
    if (now - plan->turn.since_ns > weft__config_u64("WEFT_MOVE_DEADLINE_MS") * WEFT_NS_PER_MS) {
        over(app, WEFT_EBUSY, text);
        return;
    }
    plan->timer.fire = again;
    weft__loop_timer(app->host->asker.loop, &plan->timer, now + AGAIN_MS * WEFT_NS_PER_MS);
}

static void dest_answered(struct weft_app *app, struct weft_app_process *process,
                          const struct weft_app_answer *answer)
{
    const Weft__Host__LeaseReply *reply = (const Weft__Host__LeaseReply *)answer->reply;
    (void)process;
    if (answer->err == WEFT_OK && reply->busy)
        busy(app, "as many ranks move to the destination as may at once");
    else
        over(app, WEFT_OK, "");
}

static void ask_dest(struct weft_app *app)
{
    Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
    lease.app = app->id;
    lease.token = app->token;
    lease.leases = &app->plan->turn.lease;
    lease.n_leases = 1;
    lease.hold_ms = hold_ms(app);
    lease.home = app->host->name;
    lease.tenant = app->request->tenant;
    lease.apart = app->policy == WEFT_POLICY_COMPACT;
    lease.home_control = app->host->control;
    lease.moves = true;
    weft__weftd_app_ask(
        app, &(struct weft_app_question){.process = app->plan->turn.dest,
                                         .to_host = true,
                                         .code = WEFT_CALL_LEASE,
                                         .request = &lease.base,
                                         .reply_type = &weft__host__lease_reply__descriptor,
                                         .timeout_ms = ASK_TIMEOUT_MS,
                                         .answered = dest_answered});
}

static void source_answered(struct weft_app *app, struct weft_app_process *process,
                            const struct weft_app_answer *answer)
{
    (void)process;
    if (answer->err == WEFT_EBUSY)
        busy(app, answer->text);
    else
        ask_dest(app);
}

static void say_leaves(struct weft_app *app, uint32_t for_ms, weft_app_answered *answered)
{
    const struct weft_app_turn *turn = &app->plan->turn;
    Weft__Host__LeaseLeaveRequest leave = WEFT__HOST__LEASE_LEAVE_REQUEST__INIT;
    leave.app = app->id;
    leave.token = app->token;
    leave.lease = app->ranks[turn->rank].lease;
    leave.hold_ms = for_ms;
    weft__weftd_app_ask(app, &(struct weft_app_question){.process = turn->source,
                                                         .to_host = true,
                                                         .code = WEFT_CALL_LEASE_LEAVE,
                                                         .request = &leave.base,
                                                         .timeout_ms = ASK_TIMEOUT_MS,
                                                         .answered = answered});
}

static void ask_source(struct weft_app *app)
{
    say_leaves(app, hold_ms(app), source_answered);
}

void weft__weftd_turn_take(struct weft_app *app, int32_t rank, uint32_t dest,
                           weft_turn_taken *taken)
{
    struct weft_app_turn *turn = &app->plan->turn;
    *turn = (struct weft_app_turn){.rank = rank,
                                   .source = app->ranks[rank].process,
                                   .dest = dest,
                                   .since_ns = weft__now_ns(),
                                   .waits = true,
                                   .taken = taken};
    if (getrandom(&turn->lease, sizeof(turn->lease), 0) != sizeof(turn->lease))
        abort(); /* cannot fail once the machine has booted */
    weft__weftd_app_next_step(app);
    ask_source(app);
}

void weft__weftd_turn_stays(struct weft_app *app)
{
    const struct weft_app_process *source = weft__weftd_app_process(app, app->plan->turn.source);
    if (!source->dead)
        say_leaves(app, 0, NULL);
}
