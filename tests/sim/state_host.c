/* A host: the real main and claim machines, and around them what src/state/server*.c does with a
 * lock, a thread and a registry client. What a main answers is compared with the truth on the spot.
 */
#include <string.h>

#include "state.h"
#include "weft/error.h"

static const char user[] = "u", name[] = "k";

void host_free_dead(struct host *host)
{
    struct weft_body *body = weft__main_bury(&host->main);
    while (body != NULL) {
        struct weft_body *next = body->next;
        weft__body_free(body);
        body = next;
    }
}

void host_start(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    struct weft_state_limits limits = {
        .memory_max = 1 << 20, .keys_max = 4, .sessions_max = 3, .pins_max = 8};
    host->up = true;
    host->incarnation = sim_random(sim) | 1;
    weft__main_init(&host->main, &limits);
    host_connect(sim, number);
    if (sim->now_ns >= host->stopped_ns && sim->now_ns < host->continued_ns)
        host_stop(sim, number);
    sim_at(sim, sim->now_ns + 1,
           &(struct event){.kind = EV_BEAT_TICK, .to = number, .instance = host->instance});
}

void host_crash(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    if (!host->up)
        return;
    host_disconnect(sim, number);
    weft__main_clear(&host->main);
    host_free_dead(host);
    host->up = false;
    host->instance++;
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        if (sim->questions[i].host == number)
            sim->questions[i].used = false;
    for (uint32_t i = 0; i < ASKINGS_MAX; i++)
        if (sim->askings[i].host == number)
            sim->askings[i].used = false;
    sim_trace(sim, "host %u crashes", number);
}

void host_stop(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    if (!host->up)
        return;
    net_sleep(host->end, host->continued_ns);
    net_sleep(host->link, host->continued_ns);
}

/* Whether it runs; if it is stopped, it does what was to be done when it goes on. */
static bool is_here(struct sim *sim, struct event *event)
{
    const struct host *host = &sim->hosts[event->to];
    if (!host->up)
        return false;
    if (sim->now_ns < host->stopped_ns || sim->now_ns >= host->continued_ns)
        return true;
    sim_at(sim, host->continued_ns, event); /* it reads its mail when it goes on */
    return false;
}

static void answer_err(struct sim *sim, const struct event *request, int err)
{
    struct event reply = {.err = err};
    if (request->from != NOBODY)
        wire_answer(sim, request->from, &reply);
}

/* ---- the truth ---- */

/* A main is about to answer for its value. */
static void check_right(struct sim *sim, uint32_t host, const struct weft_kept *kept)
{
    if (sim->key.revision != kept->epoch)
        sim_fail(sim, "host %u answers for epoch %u while %u stands", host, (unsigned)kept->epoch,
                 (unsigned)sim->key.revision);
}

void host_notes(struct sim *sim, const struct weft_kept *kept)
{
    if (sim->history_epoch != kept->epoch) {
        sim->history_epoch = kept->epoch;
        memset(sim->history, 0, sizeof(sim->history));
    }
    memcpy(sim->history[kept->version % HISTORY], kept->body->bytes, WORDS * 8);
}

static void check_change(struct sim *sim, const struct event *change, const uint64_t *before,
                         const struct weft_kept *kept)
{
    struct uid *uid = &sim->uids[change->uid];
    uint64_t now[WORDS];
    memcpy(now, kept->body->bytes, sizeof(now));
    if (uid->applied++ > 0)
        sim_fail(sim, "change %u is made twice", change->uid);
    if (uid->fate == FATE_REFUSED)
        sim_fail(sim, "change %u is made after it was refused", change->uid);
    if (uid->fate == FATE_CLOSED)
        sim_fail(sim, "change %u is made after the next one was answered", change->uid);
    if (change->change == CHANGE_INCREMENT && now[0] != before[0] + 1)
        sim_fail(sim, "an update is lost: the counter goes from %u to %u", (unsigned)before[0],
                 (unsigned)now[0]);
    bool pair = change->change == CHANGE_PAIR || change->change == CHANGE_PAIR_SLOW;
    if (pair && (now[1] != change->uid || now[2] != change->uid))
        sim_fail(sim, "change %u brings bytes that are not its own", change->uid);
    sim->changes++;
    host_notes(sim, kept);
}

/* ---- values ---- */

/* NULL: the request was answered with an error. */
static struct weft_kept *find(struct sim *sim, const struct event *request)
{
    struct host *host = &sim->hosts[request->to];
    struct weft_state_place place = {user, name, request->epoch};
    struct weft_kept *kept = weft__main_kept(&host->main, user, name);
    uint64_t now_ns = sim->mutant == MUTANT_NO_LEASE ? 0 : sim->now_ns;
    if (sim->mutant == MUTANT_NO_EPOCH && kept != NULL)
        place.epoch = kept->epoch;
    int err = weft__main_find(&host->main, now_ns, &place, &kept);
    if (err == WEFT_ESTALE && sim->mutant != MUTANT_NOT_HEALED &&
        (request->kind == EV_OPEN || request->kind == EV_DELETE))
        host_heals(sim, request->to);
    if (err != WEFT_OK) {
        sim_trace(sim, "host %u refuses a client: %s", request->to, weft_fail_text(err));
        answer_err(sim, request, err);
        return NULL;
    }
    check_right(sim, request->to, kept);
    return kept;
}

/* body: the bytes, where they were got; it is taken over. */
static void push(struct sim *sim, struct weft_kept *kept, const struct event *request,
                 struct weft_body *body, struct weft_outcome *outcome)
{
    struct host *host = &sim->hosts[request->to];
    struct weft_range64 pair[] = {{16, 8}, {8, 8}}, counter = {0, 8};
    uint64_t data[2] = {request->words[2], request->words[1]};
    bool increments = request->change == CHANGE_INCREMENT;
    struct weft_state_push what = {.expected =
                                       sim->mutant == MUTANT_NO_CONDITION ? 0 : request->expected,
                                   .ranges = increments ? &counter : pair,
                                   .ranges_n = increments ? 1 : 2,
                                   .body = body,
                                   .data = increments ? request->words : data,
                                   .data_len = increments ? 8 : 16};
    uint32_t refs = kept->body->refs;
    if (sim->mutant == MUTANT_NO_COPY)
        kept->body->refs = 1;
    *outcome = weft__kept_push(&host->main, kept, &what);
    if (sim->mutant == MUTANT_NO_COPY)
        kept->body->refs = refs;
}

static void make(struct sim *sim, struct weft_kept *kept, const struct event *request,
                 struct weft_body *body, struct weft_outcome *outcome)
{
    struct host *host = &sim->hosts[request->to];
    uint64_t before[WORDS];
    memcpy(before, kept->body->bytes, sizeof(before));
    if (request->change == CHANGE_APPEND)
        *outcome = weft__kept_append(&host->main, kept, &request->uid, sizeof(request->uid));
    else
        push(sim, kept, request, body, outcome);
    if (outcome->err == WEFT_OK && outcome->result == WEFT_STATE_MADE)
        check_change(sim, request, before, kept);
}

static void answer_outcome(struct sim *sim, const struct event *request,
                           const struct weft_outcome *outcome)
{
    struct event reply = {
        .err = outcome->err, .result = outcome->result, .version = outcome->version};
    wire_answer(sim, request->from, &reply);
}

/* See weft__state_push_failed(). */
static void push_failed(struct sim *sim, const struct event *request, int err)
{
    struct weft_kept *kept = weft__main_kept(&sim->hosts[request->to].main, user, name);
    struct weft_outcome outcome = {.err = err};
    struct weft_state_writer writer = {request->session, request->op};
    if (sim->mutant == MUTANT_NO_SESSIONS)
        writer.session = 0;
    if (kept != NULL && kept->epoch == request->epoch)
        weft__change_end(kept, writer, &outcome);
    answer_outcome(sim, request, &outcome);
}

/* See weft__state_push(). */
static void push_fetched(struct sim *sim, const struct event *request, struct weft_body *body)
{
    struct host *host = &sim->hosts[request->to];
    struct weft_state_writer writer = {request->session, request->op};
    struct weft_state_place place = {user, name, request->epoch};
    struct weft_kept *kept;
    struct weft_outcome outcome = {0};
    if (sim->mutant == MUTANT_NO_SESSIONS)
        writer.session = 0;
    int err = weft__main_find(&host->main, sim->now_ns, &place, &kept);
    if (err != WEFT_OK) {
        weft__main_put(&host->main, body);
        push_failed(sim, request, err);
        return;
    }
    check_right(sim, request->to, kept);
    make(sim, kept, request, body, &outcome);
    weft__change_end(kept, writer, &outcome);
    answer_outcome(sim, request, &outcome);
}

static void fetched(struct weft_tp_op *op, int err)
{
    struct fetch *fetch = op->user;
    struct host *host = fetch->host;
    struct sim *sim = host->sim;
    uint64_t next_ns = UINT64_MAX;
    struct event request = fetch->change;
    fetch->used = false;
    if (err == WEFT_ECANCELED) { /* this host crashes */
        weft__main_put(&host->main, fetch->body);
        return;
    }
    sim->gets++;
    sim->gets_failed += err != WEFT_OK;
    (void)weft__main_expire(&host->main, sim->now_ns, &next_ns);
    if (err == WEFT_OK) {
        push_fetched(sim, &request, fetch->body);
    } else {
        weft__main_put(&host->main, fetch->body);
        push_failed(sim, &request, WEFT_EIO);
    }
    host_free_dead(host);
}

/* Its bytes are got by rma, and take a while to come. */
static void fetch(struct sim *sim, const struct event *request)
{
    struct host *host = &sim->hosts[request->to];
    struct fetch *one = sim->fetches;
    while (one < &sim->fetches[FETCHES_MAX] && one->used)
        one++;
    int err = one < &sim->fetches[FETCHES_MAX]
                  ? weft__main_body(&host->main, sizeof(host->sim->clients[0].bulk), &one->body)
                  : WEFT_ENOSPC;
    if (err != WEFT_OK) {
        push_failed(sim, request, err);
        return;
    }
    one->used = true;
    one->host = host;
    one->change = *request;
    one->get = (struct net_get){.op = {.done = fetched, .user = one},
                                .key = request->key,
                                .into = one->body->bytes,
                                .len_bytes = one->body->len};
    if (net_get(host->lane, request->lane, &one->get) == WEFT_OK)
        return;
    one->used = false;
    weft__main_put(&host->main, one->body);
    push_failed(sim, request, WEFT_EIO);
}

static void on_change(struct sim *sim, const struct event *request)
{
    struct host *host = &sim->hosts[request->to];
    struct weft_kept *kept = find(sim, request);
    struct weft_state_writer writer = {request->session, request->op};
    struct weft_outcome outcome;
    bool makes;
    if (kept == NULL)
        return;
    if (sim->mutant == MUTANT_NO_SESSIONS)
        writer.session = 0;
    int err = weft__change_begin(&host->main, kept, writer, &outcome, &makes);
    if (err != WEFT_OK) {
        answer_err(sim, request, err);
        return;
    }
    if (makes && request->change == CHANGE_PAIR_SLOW) {
        fetch(sim, request);
        return;
    }
    if (makes) {
        make(sim, kept, request, NULL, &outcome);
        weft__change_end(kept, writer, &outcome);
    }
    answer_outcome(sim, request, &outcome);
}

static void on_read(struct sim *sim, const struct event *request)
{
    struct host *host = &sim->hosts[request->to];
    struct weft_kept *kept = find(sim, request);
    struct event reply = {.err = WEFT_OK};
    struct weft_pin *pin;
    if (kept == NULL)
        return;
    reply.epoch = kept->epoch;
    reply.version = kept->version;
    if (request->kind == EV_OPEN) {
        reply.session = weft__kept_session(&host->main, kept);
        reply.err = reply.session == 0 ? WEFT_EAGAIN : WEFT_OK;
    } else if (request->kind == EV_PULL) {
        memcpy(reply.words, kept->body->bytes, sizeof(reply.words));
    } else if (request->kind == EV_PIN) {
        reply.err = weft__kept_pin(&host->main, kept, sim->now_ns + request->pin_ms * MS, &pin);
        reply.pin = reply.err == WEFT_OK ? pin->id : 0;
    } else if (request->kind == EV_PART) {
        pin = weft__kept_pinned(kept, request->pin);
        reply.held = pin != NULL;
        if (pin != NULL)
            memcpy(reply.words, pin->body->bytes, sizeof(reply.words));
        else /* by rma: whatever lies there now */
            memcpy(reply.words, kept->body->bytes, sizeof(reply.words));
    } else {
        reply.held = weft__kept_unpin(&host->main, kept, request->pin);
    }
    wire_answer(sim, request->from, &reply);
}

static void on_delete(struct sim *sim, struct event *request)
{
    struct weft_kept *kept = find(sim, request);
    if (kept == NULL)
        return;
    weft__main_delete_begin(kept);
    request->want = WEFT_CLAIM_RELEASE;
    host_resolves(sim, request, true);
}

static void dispatch(struct sim *sim, struct event *event)
{
    switch (event->kind) {
    case EV_RESOLVE:
        host_resolves(sim, event, false);
        break;
    case EV_OPEN:
    case EV_PULL:
    case EV_PIN:
    case EV_PART:
    case EV_UNPIN:
        on_read(sim, event);
        break;
    case EV_CHANGE:
        on_change(sim, event);
        break;
    case EV_DELETE:
        on_delete(sim, event);
        break;
    case EV_BEAT_TICK:
        host_beats(sim, event);
        break;
    case EV_CONFIRM:
        host_confirms(sim, event->to);
        break;
    default:
        host_asking_woken(sim, event);
        break;
    }
}

static bool is_own(const struct event *event)
{
    return event->kind == EV_REGISTRY_TIMEOUT || event->kind == EV_ASKING_WAKE ||
           event->kind == EV_CONFIRM || event->kind == EV_BEAT_TICK;
}

void host_on(struct sim *sim, struct event *event)
{
    struct host *host = &sim->hosts[event->to];
    uint64_t next_ns = UINT64_MAX;
    if (!is_here(sim, event) || (is_own(event) && event->instance != host->instance))
        return;
    (void)weft__main_expire(&host->main, sim->now_ns, &next_ns);
    dispatch(sim, event);
    host_free_dead(host);
}
