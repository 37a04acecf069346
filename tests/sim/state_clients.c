/* Clients: the real attempt machine, and around it what src/state/{client,replica,change,fetch}.c
 * does by waiting. Each knows what it was told, and compares that with the truth. */
#include <string.h>

#include "state.h"
#include "weft/error.h"

#define PATIENCE (150 * MS)

static const struct event nothing; /* where there is no answer */

static uint32_t number_of(const struct sim *sim, const struct client *client)
{
    return (uint32_t)(client - sim->clients);
}

static void send(struct sim *sim, struct client *client, struct event *request, uint64_t within_ns)
{
    uint32_t number = number_of(sim, client);
    request->call = ++client->call;
    sim_at(sim, sim->now_ns + within_ns,
           &(struct event){.kind = EV_CLIENT_TIMEOUT, .to = number, .call = client->call});
    wire_ask(sim, number, request);
}

static void sleep_until(struct sim *sim, struct client *client, uint64_t at_ns)
{
    sim_at(sim, at_ns,
           &(struct event){
               .kind = EV_CLIENT_WAKE, .to = number_of(sim, client), .call = ++client->call});
}

/* ---- questions to some host ---- */

static void ask(struct sim *sim, struct client *client, enum phase phase, enum weft_claim_want want)
{
    struct event request = {.kind = EV_RESOLVE, .to = sim_below(sim, HOSTS), .want = (uint8_t)want};
    client->phase = phase;
    send(sim, client, &request, want == WEFT_CLAIM_FIND ? 20 * MS : 130 * MS);
}

static void find(struct sim *sim, struct client *client)
{
    client->unknown_n = 0; /* of a replica that is no more */
    ask(sim, client, PHASE_FIND, WEFT_CLAIM_FIND);
}

/* ---- attempts ---- */

static void attempt_end(struct sim *sim, struct client *client, int err,
                        const struct event *answer);

static void follow(struct sim *sim, struct client *client, struct weft_attempt_step step,
                   const struct event *answer)
{
    client->step = step;
    switch (step.what) {
    case WEFT_ATTEMPT_SEND:
        send(sim, client, &client->request, step.try_ns);
        break;
    case WEFT_ATTEMPT_CHECK: {
        struct event request = {
            .kind = EV_RESOLVE, .to = sim_below(sim, HOSTS), .want = WEFT_CLAIM_CHECK};
        send(sim, client, &request, step.try_ns < 60 * MS ? step.try_ns : 60 * MS);
        break;
    }
    case WEFT_ATTEMPT_SLEEP:
        sleep_until(sim, client, step.until_ns);
        break;
    default:
        attempt_end(sim, client, step.err, answer);
        break;
    }
}

static void attempt(struct sim *sim, struct client *client, enum phase phase, enum kind kind)
{
    client->phase = phase;
    client->request.kind = (uint8_t)kind;
    client->request.to = client->main;
    client->request.epoch = client->epoch;
    client->request.pin = client->pin;
    client->attempt = (struct weft_attempt){
        .epoch = client->epoch, .deadline_ns = client->deadline_ns, .try_ns = 12 * MS};
    follow(sim, client, weft__attempt_start(&client->attempt, sim->now_ns), &nothing);
}

/* ---- what clients do ---- */

static void change(struct sim *sim, struct client *client, enum change_kind kind, uint32_t uid)
{
    struct event *request = &client->request;
    *request = (struct event){
        .change = (uint8_t)kind, .uid = uid, .session = client->session, .op = ++client->op};
    client->uid = uid;
    if (kind == CHANGE_INCREMENT) {
        request->expected = client->version;
        request->words[0] = client->words[0] + 1;
    } else {
        request->words[1] = request->words[2] = uid;
    }
    if (kind == CHANGE_PAIR_SLOW) {
        client->bulk[0] = client->bulk[1] = uid;
        net_share(client->lane, client->bulk, sizeof(client->bulk), &client->share);
    }
    attempt(sim, client, PHASE_CHANGE, EV_CHANGE);
}

static void change_new(struct sim *sim, struct client *client, enum change_kind kind)
{
    if (sim->uids_n == UIDS_MAX) {
        sim_fail(sim, "the simulation has too many changes");
        return;
    }
    change(sim, client, kind, sim->uids_n++);
}

static void read_begin(struct sim *sim, struct client *client, enum phase phase, enum kind kind)
{
    client->seen_epoch = sim->acked_epoch;
    client->seen_version = sim->acked_version;
    attempt(sim, client, phase, kind);
}

static void next(struct sim *sim, struct client *client)
{
    uint32_t what = sim_below(sim, 100);
    client->phase = PHASE_IDLE;
    client->request = (struct event){.kind = 0};
    client->deadline_ns = sim->now_ns + PATIENCE;
    if (client->calm_done) {
        client->phase = PHASE_OVER;
        return;
    }
    if (client->ops_left == 0 && sim->now_ns < CALM_NS + LATE_NS) {
        sleep_until(sim, client, CALM_NS + LATE_NS);
        return;
    }
    client->increments = client->ops_left == 0 || what < 40;
    client->ops_left -= client->ops_left > 0;
    if (client->increments || what < 48)
        read_begin(sim, client, PHASE_PULL, EV_PULL);
    else if (what < 58)
        change_new(sim, client, CHANGE_PAIR);
    else if (what < 68)
        change_new(sim, client, CHANGE_PAIR_SLOW);
    else if (what < 78)
        change_new(sim, client, CHANGE_APPEND);
    else if (what < 96)
        read_begin(sim, client, PHASE_PIN, EV_PIN);
    else
        ask(sim, client, PHASE_DELETE_FIND, WEFT_CLAIM_CHECK);
}

/* ---- ends ---- */

static bool older(uint64_t epoch, uint64_t version, uint64_t than_epoch, uint64_t than_version)
{
    return epoch < than_epoch || (epoch == than_epoch && version < than_version);
}

static void check_read(struct sim *sim, const struct client *client)
{
    sim->reads++;
    if (client->words[1] != client->words[2])
        sim_fail(sim, "a torn read: %u and %u of version %u", (unsigned)client->words[1],
                 (unsigned)client->words[2], (unsigned)client->version);
    if (older(client->epoch, client->version, client->seen_epoch, client->seen_version))
        sim_fail(sim, "a stale read: version %u of epoch %u, but %u of %u was acknowledged",
                 (unsigned)client->version, (unsigned)client->epoch, (unsigned)client->seen_version,
                 (unsigned)client->seen_epoch);
    if (client->epoch == sim->history_epoch &&
        memcmp(client->words, sim->history[client->version % HISTORY], sizeof(client->words)) != 0)
        sim_fail(sim, "a read of version %u that is not that version", (unsigned)client->version);
}

/* An answer came: what was given up before must not happen any more. */
static void close_unknown(struct sim *sim, struct client *client)
{
    for (uint32_t i = 0; i < client->unknown_n; i++)
        sim->uids[client->unknown[i]].fate = FATE_CLOSED;
    client->unknown_n = 0;
}

static void changed(struct sim *sim, struct client *client, const struct event *answer)
{
    struct uid *uid = &sim->uids[client->uid];
    if (answer->result == WEFT_STATE_NO_SESSION) {
        sim->sessions_lost++; /* whether it was made is not known: it counts as given up */
        client->request = (struct event){.kind = 0};
        attempt(sim, client, PHASE_OPEN, EV_OPEN);
        return;
    }
    close_unknown(sim, client);
    if (answer->result == WEFT_STATE_OTHER_VERSION) {
        uid->fate = FATE_REFUSED;
        if (uid->applied != 0)
            sim_fail(sim, "change %u was made, but its writer hears that it was not", client->uid);
        next(sim, client);
        return;
    }
    uid->fate = FATE_MADE;
    if (uid->applied != 1)
        sim_fail(sim, "change %u is acknowledged, but was made %u times", client->uid,
                 uid->applied);
    if (older(sim->acked_epoch, sim->acked_version, client->epoch, answer->version)) {
        sim->acked_epoch = client->epoch;
        sim->acked_version = answer->version;
    }
    client->calm_done = client->ops_left == 0 && client->increments;
    next(sim, client);
}

static void pulled(struct sim *sim, struct client *client, const struct event *answer)
{
    memcpy(client->words, answer->words, sizeof(client->words));
    client->version = answer->version;
    check_read(sim, client);
    if (client->increments)
        change_new(sim, client, CHANGE_INCREMENT);
    else
        next(sim, client);
}

/* Pinned: the two halves come one after the other. */
static void part_came(struct sim *sim, struct client *client, const struct event *answer)
{
    if (!answer->held && sim->mutant != MUTANT_PIN_IGNORED) {
        next(sim, client);
        return;
    }
    if (client->part == 0)
        memcpy(client->words, answer->words, 2 * 8);
    else
        client->words[2] = answer->words[2];
    if (client->part++ == 0)
        attempt(sim, client, PHASE_PART, EV_PART);
    else
        attempt(sim, client, PHASE_UNPIN, EV_UNPIN);
}

static void gave_up(struct sim *sim, struct client *client, int err)
{
    if (client->phase == PHASE_CHANGE && err != WEFT_ENOSPC) {
        sim->unknown++;
        if (client->unknown_n < 8)
            client->unknown[client->unknown_n++] = client->uid;
    }
    sim_trace(sim, "client %u: phase %d ends with %s", number_of(sim, client), client->phase,
              weft_error_name(err));
    if (err == WEFT_EHOSTDEAD)
        ask(sim, client, PHASE_DROP, WEFT_CLAIM_DROP);
    else if (err == WEFT_ENOENT || err == WEFT_ESTALE || client->phase == PHASE_OPEN)
        find(sim, client);
    else
        next(sim, client);
}

static void opened(struct sim *sim, struct client *client, const struct event *answer)
{
    client->session = answer->session;
    client->op = 0;
    next(sim, client);
}

/* The bytes could not be got: nothing was changed. They go in a message. */
static void push_again(struct sim *sim, struct client *client)
{
    struct uid *uid = &sim->uids[client->uid];
    uid->fate = FATE_REFUSED;
    if (uid->applied != 0)
        sim_fail(sim, "change %u was made, but its writer hears that it was not", client->uid);
    change_new(sim, client, CHANGE_PAIR);
}

static void attempt_end(struct sim *sim, struct client *client, int err, const struct event *answer)
{
    net_unshare(client->lane, &client->share);
    client->bulk[0] = client->bulk[1] = UINT64_MAX; /* nobody must get them now */
    if (err == WEFT_EIO && client->phase == PHASE_CHANGE) {
        push_again(sim, client);
        return;
    }
    if (err != WEFT_OK) {
        if (client->phase == PHASE_DELETE && (err == WEFT_ENOENT || err == WEFT_ESTALE))
            find(sim, client);
        else
            gave_up(sim, client, err);
        return;
    }
    switch (client->phase) {
    case PHASE_OPEN:
        opened(sim, client, answer);
        break;
    case PHASE_PULL:
        pulled(sim, client, answer);
        break;
    case PHASE_CHANGE:
        changed(sim, client, answer);
        break;
    case PHASE_PIN:
        client->pin = answer->pin;
        client->version = answer->version;
        client->part = 0;
        attempt(sim, client, PHASE_PART, EV_PART);
        break;
    case PHASE_PART:
        part_came(sim, client, answer);
        break;
    case PHASE_UNPIN:
        if (answer->held || sim->mutant == MUTANT_PIN_IGNORED)
            check_read(sim, client);
        next(sim, client);
        break;
    default: /* deleted */
        if (sim->key.revision == client->epoch)
            sim_fail(sim, "a deleted value's claim stands");
        find(sim, client);
        break;
    }
}

/* ---- events ---- */

static void found(struct sim *sim, struct client *client, const struct event *answer)
{
    client->main = answer->main;
    client->epoch = answer->epoch;
    client->deadline_ns = sim->now_ns + PATIENCE;
    client->request = (struct event){.kind = 0};
    if (client->phase == PHASE_DELETE_FIND) {
        attempt(sim, client, PHASE_DELETE, EV_DELETE);
        return;
    }
    attempt(sim, client, PHASE_OPEN, EV_OPEN);
}

/* The answer of a host that was asked where the value is; its absence. */
static void on_asked(struct sim *sim, struct client *client, int err, const struct event *answer)
{
    if (err == WEFT_EHOSTDEAD)
        ask(sim, client, PHASE_DROP, WEFT_CLAIM_DROP);
    else if (err == WEFT_OK && client->phase != PHASE_DROP)
        found(sim, client, answer);
    else if (err == WEFT_ENOENT && client->phase == PHASE_FIND)
        ask(sim, client, PHASE_CREATE, WEFT_CLAIM_CREATE);
    else {
        client->phase = PHASE_FIND;
        sleep_until(sim, client, sim->now_ns + MS + sim_random(sim) % (3 * MS));
    }
}

static bool is_asking(const struct client *client)
{
    return client->phase == PHASE_FIND || client->phase == PHASE_CREATE ||
           client->phase == PHASE_DROP || client->phase == PHASE_DELETE_FIND;
}

void client_on(struct sim *sim, struct event *event)
{
    struct client *client = &sim->clients[event->to];
    struct weft_attempt *tried = &client->attempt;
    if (event->call != client->call || client->phase == PHASE_OVER)
        return; /* the answer to an earlier try */
    int err = event->kind == EV_CLIENT_TIMEOUT ? WEFT_ETIMEDOUT : event->err;
    client->call++;
    if (event->kind == EV_CLIENT_WAKE && client->phase == PHASE_FIND)
        find(sim, client);
    else if (event->kind == EV_CLIENT_WAKE && client->phase == PHASE_IDLE)
        next(sim, client);
    else if (event->kind == EV_CLIENT_WAKE)
        follow(sim, client, weft__attempt_woken(tried, sim->now_ns), &nothing);
    else if (is_asking(client))
        on_asked(sim, client, err, event);
    else if (client->step.what == WEFT_ATTEMPT_CHECK)
        follow(sim, client, weft__attempt_checked(tried, sim->now_ns, err, event->epoch), &nothing);
    else
        follow(sim, client, weft__attempt_answered(tried, sim->now_ns, err, 0), event);
}

void client_start(struct sim *sim, uint32_t number)
{
    struct client *client = &sim->clients[number];
    client->sim = sim;
    client_connect(sim, number);
    client->ops_left = 6 + sim_below(sim, 10);
    client->phase = PHASE_FIND;
    sleep_until(sim, client, 10 * MS + sim_random(sim) % (20 * MS));
}
