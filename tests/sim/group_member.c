/* A member follows the script, one call after the other, as the library would make them; every
 * answer is held against what has really happened.
 *
 * What must hold: one owner of the lock; an owner that died is told to the next; a barrier is
 * passed when all have come, and by all or none; member 0 is notified by all; messages of a pair
 * are 1, 2, 3, ...; every call is answered by its deadline; a wait that can end well does.
 */
#include <string.h>

#include "group.h"
#include "weft/error.h"

static void call(struct gsim *sim, uint32_t index, struct weft_coord_call call, bool may_hurry)
{
    struct gsim_member *member = &sim->members[index];
    bool hurry = may_hurry && gsim_chance(sim, sim->hurry);
    member->wait_long = !hurry;
    member->wait_ms = hurry ? gsim_below(sim, 21) : GSIM_LONG_MS;
    member->call = call;
    sim->runs_ops++;
    gsim_ask(sim, index);
}

static void next_phase(struct gsim *sim, uint32_t index)
{
    sim->members[index].phase++;
    sim->members[index].step = 0;
    gsim_at(sim, sim->now_ns + gsim_between(sim, 0, 200 * US),
            (struct gsim_event){.kind = GSIM_STEP, .to = index});
}

static void step_again(struct gsim *sim, uint32_t index, uint64_t after_ns)
{
    gsim_at(sim, sim->now_ns + after_ns, (struct gsim_event){.kind = GSIM_STEP, .to = index});
}

/* ---- what it does next ---- */

static void step_lock(struct gsim *sim, uint32_t index, const struct gsim_phase *phase)
{
    struct gsim_member *member = &sim->members[index];
    uint32_t flags = phase->kind == GSIM_RECURSIVE ? WEFT_COORD_RECURSIVE
                     : phase->kind == GSIM_TRY     ? WEFT_COORD_TRY
                                                   : 0;
    bool takes = phase->kind == GSIM_RECURSIVE ? member->step < phase->n : member->step % 2 == 0;
    if (takes) {
        bool rogue = member->depth == 0 && gsim_chance(sim, 30);
        if (rogue)
            call(sim, index,
                 (struct weft_coord_call){.op = WEFT_COORD_UNLOCK,
                                          .number = member->unlock_number + 1},
                 false);
        else
            call(sim, index,
                 (struct weft_coord_call){.op = WEFT_COORD_LOCK,
                                          .flags = flags,
                                          .number = ++member->lock_number,
                                          .settled = member->lock_settled,
                                          .released = member->unlock_number},
                 phase->kind == GSIM_LOCK);
        return;
    }
    member->depth--;
    member->inside = member->depth > 0;
    call(sim, index,
         (struct weft_coord_call){.op = WEFT_COORD_UNLOCK, .number = member->unlock_number + 1},
         false);
}

static void step_ring(struct gsim *sim, uint32_t index, const struct gsim_phase *phase)
{
    struct gsim_member *member = &sim->members[index];
    uint32_t to = (index + phase->shift) % sim->members_n;
    uint32_t from = (index + sim->members_n - phase->shift) % sim->members_n;
    if (member->step == 0) {
        member->step = 1;
        member->ring_sent = 0;
        member->full = false;
        member->want[from] += phase->n;
    }
    bool receives = member->got[from] < member->want[from];
    if (member->ring_sent < phase->n && !(member->full && receives)) {
        uint64_t value = member->sent[to] + 1;
        memcpy(member->value, &value, sizeof(value));
        call(sim, index,
             (struct weft_coord_call){.op = WEFT_COORD_SEND, .peer = to, .number = value}, false);
    } else if (receives) {
        uint32_t hurry = sim->hurry;
        if (member->full) /* there may be room again before the next message comes */
            sim->hurry = 1000;
        member->full = false;
        call(sim, index,
             (struct weft_coord_call){
                 .op = WEFT_COORD_RECV, .peer = from, .number = member->box[from] + 1},
             true);
        sim->hurry = hurry;
    } else {
        next_phase(sim, index);
    }
}

void gsim_member_step(struct gsim *sim, uint32_t index)
{
    struct gsim_member *member = &sim->members[index];
    const struct gsim_phase *phase = &sim->phases[member->phase];
    if (!member->alive || member->done || sim->clients[index].asks)
        return;
    if (!member->opened) {
        call(sim, index, (struct weft_coord_call){.op = WEFT_COORD_OPEN}, false);
    } else if (member->phase >= sim->phases_n) {
        call(sim, index, (struct weft_coord_call){.op = WEFT_COORD_LEAVE}, false);
    } else if (phase->kind == GSIM_BARRIER) {
        member->arrived = member->barriers + 1;
        call(sim, index,
             (struct weft_coord_call){.op = WEFT_COORD_BARRIER, .number = member->barriers + 1},
             true);
    } else if (phase->kind == GSIM_NOTIFY) {
        call(sim, index,
             (struct weft_coord_call){.op = WEFT_COORD_NOTIFY, .number = member->notifies + 1},
             index == 0);
    } else if (phase->kind == GSIM_RING) {
        step_ring(sim, index, phase);
    } else {
        step_lock(sim, index, phase);
    }
}

/* ---- what it must see ---- */

static void take_step(struct gsim *sim, uint32_t index, uint32_t steps)
{
    struct gsim_member *member = &sim->members[index];
    const struct gsim_phase *phase = &sim->phases[member->phase];
    bool pairs =
        phase->kind == GSIM_LOCK || phase->kind == GSIM_RECURSIVE || phase->kind == GSIM_TRY;
    member->step += steps;
    if (member->step >= (pairs ? 2 * phase->n : phase->n))
        next_phase(sim, index);
    else
        step_again(sim, index, gsim_between(sim, 0, 100 * US));
}

static void passed_barrier(struct gsim *sim, uint32_t index)
{
    uint64_t number = ++sim->members[index].barriers;
    for (uint32_t i = 0; i < sim->members_n; i++) {
        if (sim->members[i].arrived < number)
            gsim_fail(sim, "member %u passed barrier %llu before member %u came", index,
                      (unsigned long long)number, i);
    }
    sim->barrier_ok[number % GSIM_BARRIERS_MAX] = true;
    take_step(sim, index, 1);
}

static void notified(struct gsim *sim, uint32_t index)
{
    uint64_t number = ++sim->members[index].notifies;
    for (uint32_t i = 1; index == 0 && i < sim->members_n; i++) {
        const struct gsim_member *other = &sim->members[i];
        bool asks = sim->clients[i].asks && other->call.op == WEFT_COORD_NOTIFY;
        if (other->notifies + asks < number && other->alive)
            gsim_fail(sim, "notified %llu times, but member %u did so only %llu times",
                      (unsigned long long)number, i, (unsigned long long)other->notifies);
    }
    take_step(sim, index, 1);
}

static void locked(struct gsim *sim, uint32_t index, int err)
{
    struct gsim_member *member = &sim->members[index];
    for (uint32_t i = 0; i < sim->members_n; i++) {
        if (i != index && sim->members[i].inside)
            gsim_fail(sim, "members %u and %u have the lock", i, index);
    }
    if (sim->orphaned && err == WEFT_OK)
        gsim_fail(sim, "member %u was not told that the lock's owner had died", index);
    if (err == WEFT_EOWNERDEAD && !sim->any_death)
        gsim_fail(sim, "member %u was told of a dead owner; nobody has died", index);
    sim->orphaned = false;
    member->lock_settled = member->call.number;
    member->inside = true;
    member->depth++;
    take_step(sim, index, 1);
}

static void received(struct gsim *sim, uint32_t index, const struct gsim_answer *answer)
{
    struct gsim_member *member = &sim->members[index];
    uint32_t from = member->call.peer;
    for (size_t i = 0; i < answer->values_n; i++) {
        if (answer->values[i] != member->got[from] + 1)
            gsim_fail(sim, "member %u got message %llu of member %u after %llu", index,
                      (unsigned long long)answer->values[i], from,
                      (unsigned long long)member->got[from]);
        member->got[from]++;
    }
    if (answer->values_n == 0)
        gsim_fail(sim, "member %u received nothing", index);
    member->box[from] += answer->values_n;
    step_again(sim, index, gsim_between(sim, 0, 50 * US));
}

static void went_well(struct gsim *sim, uint32_t index, const struct gsim_answer *answer)
{
    struct gsim_member *member = &sim->members[index];
    switch (member->call.op) {
    case WEFT_COORD_OPEN:
        member->opened = true;
        step_again(sim, index, gsim_between(sim, 0, 1 * MS));
        return;
    case WEFT_COORD_LEAVE:
        member->done = true;
        return;
    case WEFT_COORD_BARRIER:
        passed_barrier(sim, index);
        return;
    case WEFT_COORD_NOTIFY:
        notified(sim, index);
        return;
    case WEFT_COORD_LOCK:
        locked(sim, index, answer->err);
        return;
    case WEFT_COORD_UNLOCK:
        member->unlock_number++;
        take_step(sim, index, 1);
        return;
    case WEFT_COORD_SEND:
        member->sent[member->call.peer]++;
        member->ring_sent++;
        step_again(sim, index, 0);
        return;
    default:
        received(sim, index, answer);
        return;
    }
}

/* The other one, or the home, is dead. */
static void peer_is_dead(struct gsim *sim, uint32_t index)
{
    struct gsim_member *member = &sim->members[index];
    const struct gsim_member *peer = &sim->members[member->call.peer];
    uint64_t sent = peer->sent[index];
    if (!sim->any_death) {
        gsim_fail(sim, "member %u: call %d failed with a death; nobody has died", index,
                  (int)member->call.op);
    } else if (sim->home_died) {
        member->phase = sim->phases_n;
        step_again(sim, index, 0);
    } else if (member->call.op == WEFT_COORD_RECV) {
        if (peer->alive && !peer->done)
            gsim_fail(sim, "member %u was told that member %u is dead", index, member->call.peer);
        if (!sim->crashed[peer->host] && member->got[member->call.peer] < sent)
            gsim_fail(sim, "member %u got %llu messages of member %u, who sent %llu", index,
                      (unsigned long long)member->got[member->call.peer], member->call.peer,
                      (unsigned long long)sent);
        member->want[member->call.peer] = 0;
        step_again(sim, index, 0);
    } else if (member->call.op == WEFT_COORD_SEND) {
        member->ring_sent = sim->phases[member->phase].n;
        step_again(sim, index, 0);
    } else if (member->call.op == WEFT_COORD_BARRIER) {
        sim->barrier_broken[(member->barriers + 1) % GSIM_BARRIERS_MAX] = true;
        next_phase(sim, index);
    } else if (member->call.op == WEFT_COORD_NOTIFY) {
        next_phase(sim, index);
    } else {
        gsim_fail(sim, "member %u: call %d says a peer is dead", index, (int)member->call.op);
    }
}

static void not_open(struct gsim *sim, uint32_t index, int err)
{
    if (!sim->any_death && !sim->creator_dies)
        gsim_fail(sim, "member %u cannot open: %s", index, weft_error_name(err));
    sim->members[index].done = true;
}

static void went_wrong(struct gsim *sim, uint32_t index, int err)
{
    struct gsim_member *member = &sim->members[index];
    const struct gsim_phase *phase = &sim->phases[member->phase];
    sim->runs_errors++;
    if (member->call.op == WEFT_COORD_OPEN)
        not_open(sim, index, err);
    else if (member->call.op == WEFT_COORD_LEAVE && err == WEFT_EINVAL)
        member->done = true; /* it has left already, and the group has ended: this came twice */
    else if (err == WEFT_EPEERDEAD)
        peer_is_dead(sim, index);
    else if (err == WEFT_ETIMEDOUT && !member->wait_long)
        step_again(sim, index, gsim_between(sim, 0, 1 * MS)); /* the same again */
    else if (err == WEFT_EBUSY && phase->kind == GSIM_TRY && member->call.op == WEFT_COORD_LOCK)
        take_step(sim, index, 2);
    else if (err == WEFT_EPERM && member->call.op == WEFT_COORD_UNLOCK && member->depth == 0) {
        member->unlock_number++;
        step_again(sim, index, 0);
    } else if (err == WEFT_EAGAIN && member->call.op == WEFT_COORD_SEND) {
        member->full = true;
        step_again(sim, index, 5 * MS);
    } else
        gsim_fail(sim, "member %u: call %d number %llu ended with %s", index, (int)member->call.op,
                  (unsigned long long)member->call.number, weft_error_name(err));
}

void gsim_member_answer(struct gsim *sim, uint32_t index, const struct gsim_answer *answer)
{
    struct gsim_member *member = &sim->members[index];
    gsim_trace(sim, "member %u: call %d number %llu: %s", index, (int)member->call.op,
               (unsigned long long)member->call.number, weft_error_name(answer->err));
    bool rogue = member->call.op == WEFT_COORD_UNLOCK && member->depth == 0 &&
                 member->step % 2 == 0 && sim->phases[member->phase].kind != GSIM_RECURSIVE;
    rogue = rogue || (member->call.op == WEFT_COORD_UNLOCK &&
                      sim->phases[member->phase].kind == GSIM_RECURSIVE &&
                      member->step < sim->phases[member->phase].n);
    if (rogue && answer->err == WEFT_OK)
        gsim_fail(sim, "member %u has unlocked what it had not locked", index);
    else if (!rogue && answer->err == WEFT_EPERM)
        gsim_fail(sim, "member %u may not unlock what it has locked", index);
    else if (answer->err == WEFT_OK || answer->err == WEFT_EOWNERDEAD)
        went_well(sim, index, answer);
    else
        went_wrong(sim, index, answer->err);
}

void gsim_member_dies(struct gsim *sim, uint32_t index)
{
    struct gsim_member *member = &sim->members[index];
    if (!member->alive || member->done)
        return;
    gsim_trace(sim, "member %u dies%s", index, member->inside ? " with the lock" : "");
    member->alive = false;
    gsim_client_close(sim, index);
    sim->any_death = true;
    sim->runs_deaths++;
    if (member->inside)
        sim->orphaned = true;
    member->inside = false;
    member->depth = 0;
}
