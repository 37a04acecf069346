/* A host and the registry: the real claim machine, and around it what src/state/server_ask.c and
 * the control client do by callbacks; and the beats by which a host keeps its lease.
 */
#include <stdio.h>
#include <string.h>

#include "registry/client.h"
#include "state.h"
#include "weft/error.h"
#include "wire/registry.pb-c.h"

/* ---- claims ---- */

static void go(struct sim *sim, struct asking *asking, struct weft_claim_step step);

static const char user[] = "u", name[] = "k";

static const char *key_of_value(void)
{
    static char key[WEFT_REGISTRY_KEY_MAX + 1];
    if (key[0] == '\0' && weft__claim_key(user, name, key) != WEFT_OK)
        key[0] = '\0';
    return key;
}

static struct weft_claim own_claim(const struct asking *asking)
{
    struct weft_claim claim = {.incarnation = asking->incarnation};
    snprintf(claim.host, sizeof(claim.host), "%s", host_name(asking->host));
    snprintf(claim.url, sizeof(claim.url), "%s", host_url(asking->host));
    snprintf(claim.async_url, sizeof(claim.async_url), "%s", host_url(asking->host));
    return claim;
}

static void ask(struct sim *sim, struct asking *asking, uint16_t code,
                const ProtobufCMessage *message)
{
    uint64_t number = (uint64_t)(asking - sim->askings);
    struct weft_frame frame = {.call = code, .correlation = number << 32 | asking->step};
    net_request(sim->hosts[asking->host].link, REGISTRY_URL, &frame, message);
}

static void ask_cas(struct sim *sim, struct asking *asking, const struct weft_claim_step *step)
{
    Weft__Registry__CasRequest message = WEFT__REGISTRY__CAS_REQUEST__INIT;
    struct weft_registry_cas *cas = &asking->cas;
    *cas = (struct weft_registry_cas){.key = key_of_value(), .expected = step->expected};
    cas->erase = step->what == WEFT_CLAIM_ERASE;
    cas->epoch = step->registry_epoch;
    if (!cas->erase) {
        cas->value = asking->own_bytes;
        cas->value_len = asking->own_len;
    }
    message.key = weft__message_text(cas->key);
    message.expected = cas->expected;
    message.erase = cas->erase;
    message.epoch = cas->epoch;
    message.value = (ProtobufCBinaryData){cas->value_len, (uint8_t *)(uintptr_t)cas->value};
    ask(sim, asking, WEFT_REGISTRY_CAS, &message.base);
}

static void ask_registry(struct sim *sim, struct asking *asking, const struct weft_claim_step *step)
{
    Weft__Registry__GetRequest get = WEFT__REGISTRY__GET_REQUEST__INIT;
    Weft__Registry__ListRequest list = WEFT__REGISTRY__LIST_REQUEST__INIT;
    struct event timeout = {.kind = EV_REGISTRY_TIMEOUT,
                            .to = asking->host,
                            .instance = asking->instance,
                            .asking = (uint32_t)(asking - sim->askings),
                            .step = ++asking->step};
    asking->doing = step->what;
    sim_at(sim, sim->now_ns + 15 * MS, &timeout);
    get.key = weft__message_text(key_of_value());
    if (step->what == WEFT_CLAIM_GET)
        ask(sim, asking, WEFT_REGISTRY_GET, &get.base);
    else if (step->what == WEFT_CLAIM_LIST)
        ask(sim, asking, WEFT_REGISTRY_LIST, &list.base);
    else
        ask_cas(sim, asking, step);
}

static void answer_asking(struct sim *sim, const struct asking *asking, int err)
{
    const struct weft_claim *standing = &asking->claiming.standing;
    struct event reply = {.err = err, .epoch = standing->epoch};
    if (asking->question == NOBODY)
        return;
    if (standing->epoch != 0)
        reply.main = (uint32_t)(standing->host[0] - 'a') % HOSTS;
    wire_answer(sim, asking->question, &reply);
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
    struct weft_claim own = own_claim(asking);
    own.incarnation = host->incarnation;
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
                host_notes(sim, kept);
        }
        if (won && !keeps) {
            asking->want = claiming->want = WEFT_CLAIM_RELEASE;
            answer_asking(sim, asking, WEFT_EAGAIN);
            asking->question = NOBODY;
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

/* The answer to a get or a compare-and-set: what stands. */
static int standing_of(const struct weft_registry_reply *reply, struct weft_claim *claim_out)
{
    memset(claim_out, 0, sizeof(*claim_out));
    if (reply->revision == 0)
        return WEFT_OK;
    return weft__claim_decode(reply->value, reply->value_len, reply->revision, claim_out);
}

static void got(struct sim *sim, struct asking *asking, int err,
                const struct weft_registry_reply *reply)
{
    struct weft_claim claim = {.epoch = 0};
    if (err == WEFT_OK)
        err = standing_of(reply, &claim);
    go(sim, asking, weft__claim_got(&asking->claiming, err, &claim));
}

/* See set() of server_ask.c. */
static void set(struct sim *sim, struct asking *asking, int err,
                const struct weft_registry_reply *reply)
{
    struct weft_claim claim = {.epoch = 0};
    bool settled = false;
    if (err == WEFT_OK) {
        settled = weft__registry_cas_settled(&asking->cas, reply);
        err = standing_of(reply, &claim);
    } else if (sim->mutant == MUTANT_CLAIM_FORGOTTEN) {
        err = WEFT_ENOSPC;
    }
    go(sim, asking, weft__claim_set(&asking->claiming, sim->now_ns, err, settled, &claim));
}

static void listed(struct sim *sim, struct asking *asking, int err,
                   const struct weft_registry_reply *reply)
{
    enum weft_life life = WEFT_LIFE_ALIVE;
    if (err == WEFT_OK)
        life = weft__claim_life(&asking->claiming.standing, reply->hosts, reply->hosts_n);
    if (sim->mutant == MUTANT_HASTY_TAKEOVER && life == WEFT_LIFE_ABSENT)
        life = WEFT_LIFE_DEAD;
    go(sim, asking,
       weft__claim_listed(&asking->claiming, sim->now_ns, err, life,
                          err == WEFT_OK ? reply->epoch : 0));
}

/* reply: NULL on error. */
static void told(struct sim *sim, struct asking *asking, int err,
                 const struct weft_registry_reply *reply)
{
    if (err == WEFT_OK)
        asking->registry_epoch = reply->epoch;
    if (asking->doing == WEFT_CLAIM_GET)
        got(sim, asking, err, reply);
    else if (asking->doing == WEFT_CLAIM_LIST)
        listed(sim, asking, err, reply);
    else
        set(sim, asking, err, reply);
}

void host_asking_woken(struct sim *sim, const struct event *event)
{
    struct asking *asking = &sim->askings[event->asking];
    if (!asking->used || asking->host != event->to || asking->step != event->step)
        return;
    if (event->kind == EV_ASKING_WAKE)
        go(sim, asking, weft__claim_woken(&asking->claiming));
    else
        told(sim, asking, WEFT_EREGISTRY, NULL);
}

/* ---- what the registry says ---- */

static void read_hosts(const Weft__Registry__ListReply *in, struct weft_registry_host *hosts,
                       struct weft_registry_reply *reply)
{
    for (size_t i = 0; i < in->n_hosts && i < HOSTS; i++) {
        memset(&hosts[i], 0, sizeof(hosts[i]));
        snprintf(hosts[i].name, sizeof(hosts[i].name), "%s", in->hosts[i]->name);
        hosts[i].incarnation = in->hosts[i]->incarnation;
        hosts[i].alive = in->hosts[i]->alive;
        reply->hosts_n++;
    }
    reply->hosts = hosts;
    reply->epoch = in->epoch;
}

static void read_reply(uint16_t code, const ProtobufCMessage *message,
                       struct weft_registry_host *hosts, struct weft_registry_reply *reply)
{
    if (code == WEFT_REGISTRY_GET) {
        const Weft__Registry__GetReply *in = (const Weft__Registry__GetReply *)message;
        *reply = (struct weft_registry_reply){.epoch = in->epoch,
                                              .revision = in->revision,
                                              .value = in->value.data,
                                              .value_len = in->value.len};
    } else if (code == WEFT_REGISTRY_CAS) {
        const Weft__Registry__CasReply *in = (const Weft__Registry__CasReply *)message;
        *reply = (struct weft_registry_reply){.epoch = in->epoch,
                                              .revision = in->revision,
                                              .won = in->won,
                                              .value = in->value.data,
                                              .value_len = in->value.len};
    } else if (code == WEFT_REGISTRY_LIST) {
        read_hosts((const Weft__Registry__ListReply *)message, hosts, reply);
    } else if (code == WEFT_REGISTRY_JOIN) {
        reply->epoch = ((const Weft__Registry__JoinReply *)message)->epoch;
    } else {
        reply->epoch = ((const Weft__Registry__BeatReply *)message)->epoch;
    }
}

static const ProtobufCMessageDescriptor *reply_type(uint16_t code)
{
    return code == WEFT_REGISTRY_GET    ? &weft__registry__get_reply__descriptor
           : code == WEFT_REGISTRY_CAS  ? &weft__registry__cas_reply__descriptor
           : code == WEFT_REGISTRY_LIST ? &weft__registry__list_reply__descriptor
           : code == WEFT_REGISTRY_JOIN ? &weft__registry__join_reply__descriptor
                                        : &weft__registry__beat_reply__descriptor;
}

static void beat_answered(struct sim *sim, struct host *host, uint64_t number, int err,
                          uint64_t registry_epoch);

/* An answer belongs to the step that an asking is at, or to a beat; others are late. */
static void hear(struct sim *sim, struct host *host, const struct weft_frame *frame,
                 const struct weft_registry_reply *reply)
{
    uint64_t number = frame->correlation >> 32;
    if (frame->call == WEFT_REGISTRY_BEAT || frame->call == WEFT_REGISTRY_JOIN) {
        beat_answered(sim, host, frame->correlation, frame->error, reply->epoch);
        return;
    }
    struct asking *asking = &sim->askings[number % ASKINGS_MAX];
    if (asking->used && asking->host == (uint32_t)(host - sim->hosts) &&
        asking->step == (uint32_t)frame->correlation)
        told(sim, asking, frame->error, frame->error == WEFT_OK ? reply : NULL);
}

void host_hears(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct host *host = ctx;
    struct sim *sim = host->sim;
    struct weft_registry_host hosts[HOSTS];
    struct weft_registry_reply reply = {.epoch = 0};
    ProtobufCMessage *message = NULL;
    uint64_t next_ns = UINT64_MAX;
    (void)question;
    if (frame->error == WEFT_OK) {
        message = net_unpack(&sim->net, frame, reply_type(frame->call));
        if (message == NULL)
            return;
        read_reply(frame->call, message, hosts, &reply);
    }
    (void)weft__main_expire(&host->main, sim->now_ns, &next_ns);
    hear(sim, host, frame, &reply);
    host_free_dead(host);
    weft__message_free(message);
}

/* ---- questions ---- */

/* Where the value was created by this host: nothing is to be asked. */
static int reserve(struct sim *sim, struct asking *asking)
{
    struct host *host = &sim->hosts[asking->host];
    if (sim->now_ns >= host->main.lease_until_ns)
        return WEFT_EREGISTRY;
    struct weft_claim own = own_claim(asking);
    int err = weft__claim_encode(&own, ++host->nonces, asking->own_bytes, &asking->own_len);
    if (err == WEFT_OK)
        err = weft__main_claim(&host->main, user, name, WORDS * 8);
    if (err == WEFT_EEXIST) {
        own.epoch = weft__main_kept(&host->main, user, name)->epoch;
        asking->claiming.standing = own;
    }
    return err;
}

void host_resolves(struct sim *sim, const struct event *request, bool deletes)
{
    struct host *host = &sim->hosts[request->to];
    uint32_t i = 0;
    while (i < ASKINGS_MAX && sim->askings[i].used)
        i++;
    if (i == ASKINGS_MAX || host->main.lease_until_ns == 0) {
        if (request->from != NOBODY)
            wire_answer(sim, request->from, &(struct event){.err = WEFT_EAGAIN});
        return;
    }
    struct asking *asking = &sim->askings[i];
    uint32_t step = asking->step; /* old answers must not fit */
    *asking = (struct asking){.used = true,
                              .host = request->to,
                              .instance = host->instance,
                              .question = request->from,
                              .step = step,
                              .incarnation = host->incarnation,
                              .want = (enum weft_claim_want)request->want,
                              .deletes = deletes,
                              .heals = request->from == NOBODY && !request->held,
                              .confirms = request->from == NOBODY && request->held};
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

void host_heals(struct sim *sim, uint32_t number)
{
    struct event request = {.to = number, .from = NOBODY, .want = WEFT_CLAIM_FIND};
    host_resolves(sim, &request, false);
}

void host_confirms(struct sim *sim, uint32_t number)
{
    struct event request = {.to = number, .from = NOBODY, .want = WEFT_CLAIM_FIND, .held = true};
    if (weft__main_unsure(&sim->hosts[number].main) != NULL)
        host_resolves(sim, &request, false);
}

/* ---- beats ---- */

static void send_beat(struct sim *sim, struct host *host, bool joins)
{
    Weft__Registry__JoinRequest join = WEFT__REGISTRY__JOIN_REQUEST__INIT;
    Weft__Registry__BeatRequest beat = WEFT__REGISTRY__BEAT_REQUEST__INIT;
    Weft__Registry__Host self = WEFT__REGISTRY__HOST__INIT;
    struct weft_frame frame = {.call = joins ? WEFT_REGISTRY_JOIN : WEFT_REGISTRY_BEAT,
                               .correlation = ++host->beats_n};
    host->beats[host->beats_n % BEATS_MAX] =
        (struct beat){host->beats_n, sim->now_ns, host->incarnation};
    self.name = beat.name = weft__message_text(host_name((uint32_t)(host - sim->hosts)));
    self.incarnation = beat.incarnation = host->incarnation;
    join.host = &self;
    net_request(host->link, REGISTRY_URL, &frame, joins ? &join.base : &beat.base);
}

void host_beats(struct sim *sim, const struct event *event)
{
    struct host *host = &sim->hosts[event->to];
    if (sim->now_ns < END_NS)
        sim_at(sim, sim->now_ns + BEAT_NS, event);
    send_beat(sim, host, host->beat_sent_ns == 0);
}

static void alive(struct sim *sim, struct host *host, uint64_t sent_ns, uint64_t registry_epoch)
{
    uint64_t until_ns = sent_ns + DEAD_NS - DEAD_NS / 8;
    if (host->main.lease_until_ns == 0)
        weft__main_clear(&host->main);
    if (until_ns > host->main.lease_until_ns)
        host->main.lease_until_ns = until_ns;
    if (sent_ns > host->beat_sent_ns)
        host->beat_sent_ns = sent_ns;
    if (sim->mutant == MUTANT_NOT_CONFIRMED)
        host->main.registry_epoch = 1;
    else
        weft__main_registry(&host->main, registry_epoch);
    host_confirms(sim, (uint32_t)(host - sim->hosts));
}

static void beat_answered(struct sim *sim, struct host *host, uint64_t number, int err,
                          uint64_t registry_epoch)
{
    struct beat beat = host->beats[number % BEATS_MAX];
    if (beat.number != number)
        return; /* the second answer */
    host->beats[number % BEATS_MAX].number = 0;
    if (beat.incarnation != host->incarnation)
        return;
    if (err == WEFT_OK) {
        alive(sim, host, beat.sent_ns, registry_epoch);
    } else if (err == WEFT_ESTALE && (host->beat_sent_ns == 0 ||
                                      sim->now_ns - host->beat_sent_ns > DEAD_NS + DEAD_NS / 2)) {
        host->incarnation++; /* it was declared dead */
        weft__main_clear(&host->main);
        host->main.lease_until_ns = 0;
        host->beat_sent_ns = 0;
    } else if (err == WEFT_ESTALE) {
        send_beat(sim, host, true);
    }
}
