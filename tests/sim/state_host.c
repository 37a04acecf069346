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
    weft__main_clear(&host->main);
    host_free_dead(host);
    host->up = false;
    host->instance++;
    host_disconnect(sim, number);
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        if (sim->questions[i].host == number)
            sim->questions[i].used = false;
    for (uint32_t i = 0; i < ASKINGS_MAX; i++)
        if (sim->askings[i].host == number)
            sim->askings[i].used = false;
    for (uint32_t i = 0; i < FETCHES_MAX; i++)
        if (sim->fetches[i].host == number)
            sim->fetches[i].used = false;
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

static void push(struct sim *sim, struct host *host, struct weft_kept *kept,
                 const struct event *request, struct weft_outcome *outcome)
{
    struct weft_range64 pair[] = {{16, 8}, {8, 8}}, counter = {0, 8};
    uint64_t data[2] = {request->words[2], request->words[1]};
    bool increments = request->change == CHANGE_INCREMENT;
    struct weft_state_push what = {.expected =
                                       sim->mutant == MUTANT_NO_CONDITION ? 0 : request->expected,
                                   .ranges = increments ? &counter : pair,
                                   .ranges_n = increments ? 1 : 2,
                                   .data = increments ? request->words : data,
                                   .data_len = increments ? 8 : 16};
    uint32_t refs = kept->body->refs;
    if (sim->mutant == MUTANT_NO_COPY)
        kept->body->refs = 1;
    if (request->change == CHANGE_PAIR_SLOW &&
        weft__main_body(&host->main, 16, &what.body) == WEFT_OK)
        memcpy(what.body->bytes, data, 16);
    *outcome = weft__kept_push(&host->main, kept, &what);
    if (sim->mutant == MUTANT_NO_COPY)
        kept->body->refs = refs;
}

static void make(struct sim *sim, struct weft_kept *kept, const struct event *request,
                 struct weft_outcome *outcome)
{
    struct host *host = &sim->hosts[request->to];
    uint64_t before[WORDS];
    memcpy(before, kept->body->bytes, sizeof(before));
    if (request->change == CHANGE_APPEND)
        *outcome = weft__kept_append(&host->main, kept, &request->uid, sizeof(request->uid));
    else
        push(sim, host, kept, request, outcome);
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

/* Its bytes take a while to come. */
static void fetch(struct sim *sim, const struct event *request, struct weft_kept *kept)
{
    for (uint32_t i = 0; i < FETCHES_MAX; i++) {
        struct fetch *one = &sim->fetches[i];
        if (one->used)
            continue;
        *one = (struct fetch){.used = true, .host = request->to, .change = *request};
        sim_at(sim, sim->now_ns + sim_random(sim) % (20 * MS),
               &(struct event){.kind = EV_FETCHED,
                               .to = request->to,
                               .instance = sim->hosts[request->to].instance,
                               .asking = i});
        return;
    }
    struct weft_outcome outcome = {.err = WEFT_ENOSPC};
    weft__change_end(kept, (struct weft_state_writer){request->session, request->op}, &outcome);
    answer_err(sim, request, outcome.err);
}

static void on_fetched(struct sim *sim, const struct event *event)
{
    struct fetch *one = &sim->fetches[event->asking];
    struct event request = one->change;
    struct host *host = &sim->hosts[event->to];
    struct weft_state_writer writer = {request.session, request.op};
    struct weft_state_place place = {user, name, request.epoch};
    struct weft_kept *kept;
    struct weft_outcome outcome = {0};
    one->used = false;
    if (sim->mutant == MUTANT_NO_SESSIONS)
        writer.session = 0;
    int err = weft__main_find(&host->main, sim->now_ns, &place, &kept);
    if (err == WEFT_OK) {
        check_right(sim, event->to, kept);
        make(sim, kept, &request, &outcome);
    } else {
        kept = weft__main_kept(&host->main, user, name);
        outcome.err = err;
        if (kept != NULL && kept->epoch != request.epoch)
            kept = NULL;
    }
    if (kept != NULL)
        weft__change_end(kept, writer, &outcome);
    answer_outcome(sim, &request, &outcome);
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
        fetch(sim, request, kept);
        return;
    }
    if (makes) {
        make(sim, kept, request, &outcome);
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
    case EV_FETCHED:
        on_fetched(sim, event);
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
           event->kind == EV_CONFIRM || event->kind == EV_BEAT_TICK || event->kind == EV_FETCHED;
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
