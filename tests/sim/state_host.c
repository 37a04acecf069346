/* A host: the real main and claim machines, and around them what src/state/server*.c does with a
 * lock, a thread and a registry client. What a main answers is compared with the truth on the spot.
 */
#include <string.h>

#include "state.h"
#include "weft/error.h"

static const char user[] = "u", name[] = "k";

static void free_dead(struct host *host)
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
    sim_at(sim, sim->now_ns + 1,
           &(struct event){.kind = EV_BEAT_TICK, .to = number, .instance = host->instance});
}

void host_crash(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    if (!host->up)
        return;
    weft__main_clear(&host->main);
    free_dead(host);
    host->up = false;
    host->instance++;
    for (uint32_t i = 0; i < ASKINGS_MAX; i++)
        if (sim->askings[i].host == number)
            sim->askings[i].used = false;
    for (uint32_t i = 0; i < FETCHES_MAX; i++)
        if (sim->fetches[i].host == number)
            sim->fetches[i].used = false;
    sim_trace(sim, "host %u crashes", number);
}

bool host_is_here(struct sim *sim, struct event *event)
{
    const struct host *host = &sim->hosts[event->to];
    if (!host->up)
        return false;
    if (sim->now_ns < host->stopped_ns || sim->now_ns >= host->continued_ns)
        return true;
    sim_at(sim, host->continued_ns, event); /* it reads its mail when it goes on */
    return false;
}

static void answer(struct sim *sim, const struct event *request, struct event *reply)
{
    reply->kind = EV_ANSWER;
    reply->to = request->from;
    reply->from = request->to;
    reply->call = request->call;
    sim_send(sim, request->to, HOSTS + 1 + request->from, reply);
}

static void answer_err(struct sim *sim, const struct event *request, int err)
{
    if (request->from == UINT32_MAX)
        return;
    struct event reply = {.err = err};
    answer(sim, request, &reply);
}

/* ---- the truth ---- */

/* A main is about to answer for its value. */
static void check_right(struct sim *sim, uint32_t host, const struct weft_kept *kept)
{
    if (sim->key.revision != kept->epoch)
        sim_fail(sim, "host %u answers for epoch %u while %u stands", host, (unsigned)kept->epoch,
                 (unsigned)sim->key.revision);
}

static void note_version(struct sim *sim, const struct weft_kept *kept)
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
    note_version(sim, kept);
}

/* ---- values ---- */

static void heal(struct sim *sim, uint32_t number);

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
        heal(sim, request->to);
    if (err != WEFT_OK) {
        sim_trace(sim, "host %u refuses client %u: %s", request->to, request->from,
                  weft_fail_text(err));
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
    answer(sim, request, &reply);
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
        reply.err = weft__kept_pin(&host->main, kept, sim->now_ns + 15 * MS, &pin);
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
    answer(sim, request, &reply);
}

/* ---- claims ---- */

static void go(struct sim *sim, struct asking *asking, struct weft_claim_step step);

static struct claim own_claim(const struct asking *asking)
{
    return (struct claim){
        .host = asking->host, .incarnation = asking->incarnation, .nonce = asking->nonce};
}

/* The machine's claims name hosts by text. */
static struct weft_claim to_claim(const struct claim *claim)
{
    struct weft_claim out = {.epoch = claim->revision, .incarnation = claim->incarnation};
    out.host[0] = (char)('a' + claim->host);
    return out;
}

static void ask_registry(struct sim *sim, struct asking *asking, const struct weft_claim_step *step)
{
    struct event ask = {.from = asking->host,
                        .instance = asking->instance,
                        .asking = (uint32_t)(asking - sim->askings),
                        .step = ++asking->step,
                        .expected = step->expected,
                        .erase = step->what == WEFT_CLAIM_ERASE,
                        .own = own_claim(asking)};
    struct event timeout = ask;
    ask.kind = step->what == WEFT_CLAIM_GET    ? EV_GET
               : step->what == WEFT_CLAIM_LIST ? EV_LIST
                                               : EV_CAS;
    ask.claim.host = (uint32_t)(asking->claiming.standing.host[0] - 'a') % HOSTS;
    ask.claim.incarnation = asking->claiming.standing.incarnation;
    asking->claiming_for = ask.kind;
    timeout.kind = EV_REGISTRY_TIMEOUT;
    timeout.to = asking->host;
    sim_at(sim, sim->now_ns + 15 * MS, &timeout);
    sim_send(sim, asking->host, HOSTS, &ask);
}

static void answer_asking(struct sim *sim, const struct asking *asking, int err)
{
    const struct weft_claim *standing = &asking->claiming.standing;
    struct event request = {.to = asking->host, .from = asking->client, .call = asking->call};
    struct event reply = {.err = err, .epoch = standing->epoch};
    if (asking->client == UINT32_MAX)
        return;
    reply.claim.host = standing->epoch != 0 ? (uint32_t)(standing->host[0] - 'a') : 0;
    answer(sim, &request, &reply);
}

/* See confirmed() of server_ask.c. */
static void confirmed(struct sim *sim, struct asking *asking, int err)
{
    struct host *host = &sim->hosts[asking->host];
    struct weft_kept *kept = weft__main_kept(&host->main, user, name);
    if (kept == NULL)
        return;
    kept->asked = false;
    if (err == WEFT_OK || err == WEFT_ENOENT)
        weft__main_confirmed(&host->main, kept,
                             err == WEFT_OK ? asking->claiming.standing.epoch : 0,
                             asking->registry_epoch);
    else
        sim_at(sim, sim->now_ns + 5 * MS,
               &(struct event){.kind = EV_CONFIRM, .to = asking->host, .instance = host->instance});
}

/* See heal_looked() of server_ask.c.  true: it goes on. */
static bool heal_looked(struct sim *sim, struct asking *asking, int err)
{
    struct host *host = &sim->hosts[asking->host];
    struct claim self = own_claim(asking);
    self.incarnation = host->incarnation;
    struct weft_claim own = to_claim(&self);
    if (err != WEFT_OK || !weft__claim_is_orphan(&asking->claiming.standing, &own,
                                                 weft__main_kept(&host->main, user, name)))
        return false;
    asking->heals = false;
    asking->want = asking->claiming.want = WEFT_CLAIM_RELEASE;
    go(sim, asking, weft__claim_start(&asking->claiming));
    return true;
}

/* See created() and deleted() of server_ask.c. */
static void ended(struct sim *sim, struct asking *asking, int err)
{
    struct host *host = &sim->hosts[asking->host];
    struct weft_claiming *claiming = &asking->claiming;
    struct weft_kept *kept;
    if (asking->heals && heal_looked(sim, asking, err))
        return;
    if (asking->confirms)
        confirmed(sim, asking, err);
    if (asking->want == WEFT_CLAIM_CREATE) {
        bool won = err == WEFT_OK && claiming->won, keeps = false;
        if (host->incarnation == asking->incarnation) {
            weft__main_claimed(&host->main, user, name, won ? claiming->standing.epoch : 0,
                               asking->registry_epoch);
            kept = weft__main_kept(&host->main, user, name);
            keeps = kept != NULL && kept->epoch == claiming->standing.epoch;
            if (won && keeps)
                note_version(sim, kept);
        }
        if (won && !keeps) {
            asking->want = claiming->want = WEFT_CLAIM_RELEASE;
            answer_asking(sim, asking, WEFT_EAGAIN);
            asking->client = UINT32_MAX;
            go(sim, asking, weft__claim_start(claiming));
            return;
        }
        sim->creates += won;
    } else if (asking->deletes) {
        kept = weft__main_kept(&host->main, user, name);
        if (kept != NULL && kept->state == WEFT_KEPT_DELETING && err == WEFT_OK)
            weft__main_delete(&host->main, kept);
        else if (kept != NULL && kept->state == WEFT_KEPT_DELETING)
            kept->state = WEFT_KEPT_ACTIVE;
    } else if (asking->want == WEFT_CLAIM_DROP && err == WEFT_OK) {
        sim->takeovers++;
    }
    answer_asking(sim, asking, err);
    asking->used = false;
}

static void go(struct sim *sim, struct asking *asking, struct weft_claim_step step)
{
    if (step.what == WEFT_CLAIM_END) {
        ended(sim, asking, step.err);
    } else if (step.what == WEFT_CLAIM_WAIT) {
        sim_at(sim, step.until_ns,
               &(struct event){.kind = EV_ASKING_WAKE,
                               .to = asking->host,
                               .instance = asking->instance,
                               .asking = (uint32_t)(asking - sim->askings),
                               .step = ++asking->step});
    } else {
        ask_registry(sim, asking, &step);
    }
}

static void on_claim_answer(struct sim *sim, const struct event *event)
{
    struct asking *asking = &sim->askings[event->asking];
    bool late = event->kind == EV_REGISTRY_TIMEOUT;
    if (!asking->used || asking->host != event->to || asking->step != event->step ||
        asking->instance != event->instance)
        return;
    struct weft_claiming *claiming = &asking->claiming;
    struct weft_claim claim = to_claim(&event->claim);
    int err = late ? WEFT_EREGISTRY : event->err;
    enum weft_life life = (enum weft_life)event->life;
    if (event->kind == EV_REGISTRY_ANSWER)
        asking->registry_epoch = event->registry_epoch;
    if (event->kind == EV_ASKING_WAKE) {
        go(sim, asking, weft__claim_woken(claiming));
    } else if (asking->claiming_for == EV_GET) {
        go(sim, asking, weft__claim_got(claiming, err, &claim));
    } else if (asking->claiming_for == EV_LIST) {
        if (sim->mutant == MUTANT_HASTY_TAKEOVER && life == WEFT_LIFE_ABSENT)
            life = WEFT_LIFE_DEAD;
        go(sim, asking,
           weft__claim_listed(claiming, sim->now_ns, err, life, event->registry_epoch));
    } else {
        if (sim->mutant == MUTANT_CLAIM_FORGOTTEN && late)
            err = WEFT_ENOSPC;
        go(sim, asking, weft__claim_set(claiming, sim->now_ns, err, event->settled, &claim));
    }
}

/* Where the value was created by this host: nothing is to be asked. */
static int reserve(struct sim *sim, struct asking *asking)
{
    struct host *host = &sim->hosts[asking->host];
    if (sim->now_ns >= host->main.lease_until_ns)
        return WEFT_EREGISTRY;
    int err = weft__main_claim(&host->main, user, name, WORDS * 8);
    if (err == WEFT_EEXIST) {
        struct claim own = own_claim(asking);
        own.revision = weft__main_kept(&host->main, user, name)->epoch;
        asking->claiming.standing = to_claim(&own);
    }
    return err;
}

static void on_resolve(struct sim *sim, const struct event *request, bool deletes)
{
    struct host *host = &sim->hosts[request->to];
    uint32_t i = 0;
    while (i < ASKINGS_MAX && sim->askings[i].used)
        i++;
    if (i == ASKINGS_MAX || host->main.lease_until_ns == 0) {
        answer_err(sim, request, WEFT_EAGAIN);
        return;
    }
    struct asking *asking = &sim->askings[i];
    uint32_t step = asking->step; /* old answers must not fit */
    *asking = (struct asking){.used = true,
                              .host = request->to,
                              .instance = host->instance,
                              .client = request->from,
                              .call = request->call,
                              .step = step,
                              .incarnation = host->incarnation,
                              .nonce = ++host->nonces,
                              .want = (enum weft_claim_want)request->want,
                              .deletes = deletes,
                              .heals = request->from == UINT32_MAX && !request->held,
                              .confirms = request->from == UINT32_MAX && request->held};
    asking->claiming =
        (struct weft_claiming){.want = asking->want, .user = user, .key = name, .dead_ns = DEAD_NS};
    if (deletes)
        asking->claiming.standing.epoch = request->epoch;
    int err = asking->want == WEFT_CLAIM_CREATE ? reserve(sim, asking) : WEFT_OK;
    if (err == WEFT_OK) {
        go(sim, asking, weft__claim_start(&asking->claiming));
        return;
    }
    answer_asking(sim, asking, err == WEFT_EEXIST ? WEFT_OK : err);
    asking->used = false;
}

static void heal(struct sim *sim, uint32_t number)
{
    struct event request = {.to = number, .from = UINT32_MAX, .want = WEFT_CLAIM_FIND};
    on_resolve(sim, &request, false);
}

static void confirm(struct sim *sim, uint32_t number)
{
    struct event request = {
        .to = number, .from = UINT32_MAX, .want = WEFT_CLAIM_FIND, .held = true};
    if (weft__main_unsure(&sim->hosts[number].main) != NULL)
        on_resolve(sim, &request, false);
}

static void on_delete(struct sim *sim, struct event *request)
{
    struct weft_kept *kept = find(sim, request);
    if (kept == NULL)
        return;
    weft__main_delete_begin(kept);
    request->want = WEFT_CLAIM_RELEASE;
    on_resolve(sim, request, true);
}

/* ---- beats ---- */

static void on_beat(struct sim *sim, const struct event *event)
{
    struct host *host = &sim->hosts[event->to];
    if (event->kind == EV_BEAT_TICK) {
        if (sim->now_ns < END_NS)
            sim_at(sim, sim->now_ns + BEAT_NS, event);
        struct event beat = {.kind = event->want ? EV_JOIN : EV_BEAT,
                             .from = event->to,
                             .instance = host->instance,
                             .incarnation = host->incarnation,
                             .sent_ns = sim->now_ns};
        if (host->beat_sent_ns == 0)
            beat.kind = EV_JOIN;
        sim_send(sim, event->to, HOSTS, &beat);
        return;
    }
    if (event->incarnation != host->incarnation)
        return;
    if (event->err == WEFT_OK) {
        uint64_t until_ns = event->sent_ns + DEAD_NS - DEAD_NS / 8;
        if (host->main.lease_until_ns == 0)
            weft__main_clear(&host->main);
        if (until_ns > host->main.lease_until_ns)
            host->main.lease_until_ns = until_ns;
        if (event->sent_ns > host->beat_sent_ns)
            host->beat_sent_ns = event->sent_ns;
        if (sim->mutant == MUTANT_NOT_CONFIRMED)
            host->main.registry_epoch = 1;
        else
            weft__main_registry(&host->main, event->registry_epoch);
        confirm(sim, event->to);
        return;
    }
    if (event->err == WEFT_ESTALE &&
        (host->beat_sent_ns == 0 || sim->now_ns - host->beat_sent_ns > DEAD_NS + DEAD_NS / 2)) {
        host->incarnation++; /* it was declared dead */
        weft__main_clear(&host->main);
        host->main.lease_until_ns = 0;
        host->beat_sent_ns = 0;
    } else if (event->err == WEFT_ESTALE) {
        struct event join = {.kind = EV_JOIN,
                             .from = event->to,
                             .instance = host->instance,
                             .incarnation = host->incarnation,
                             .sent_ns = sim->now_ns};
        sim_send(sim, event->to, HOSTS, &join);
    }
}

static bool is_own(const struct event *event)
{
    return event->kind == EV_REGISTRY_ANSWER || event->kind == EV_REGISTRY_TIMEOUT ||
           event->kind == EV_ASKING_WAKE || event->kind == EV_CONFIRM ||
           event->kind == EV_BEAT_ANSWER || event->kind == EV_BEAT_TICK ||
           event->kind == EV_FETCHED;
}

static void dispatch(struct sim *sim, struct event *event)
{
    switch (event->kind) {
    case EV_RESOLVE:
        on_resolve(sim, event, false);
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
    case EV_BEAT_ANSWER:
        on_beat(sim, event);
        break;
    case EV_FETCHED:
        on_fetched(sim, event);
        break;
    case EV_CONFIRM:
        confirm(sim, event->to);
        break;
    default:
        on_claim_answer(sim, event);
        break;
    }
}

void host_on(struct sim *sim, struct event *event)
{
    struct host *host = &sim->hosts[event->to];
    uint64_t next_ns = UINT64_MAX;
    if (!host_is_here(sim, event) || (is_own(event) && event->instance != host->instance))
        return;
    (void)weft__main_expire(&host->main, sim->now_ns, &next_ns);
    dispatch(sim, event);
    free_dead(host);
}
