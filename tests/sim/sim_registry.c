/* The registry and its callers.
 *
 * Callers are the real ones, src/host/keys.c: read the key, compare the value, change it on
 * condition of the revision that was read. The calls below it, weft__registry_get and
 * weft__registry_cas, are here and travel through the simulation's network; one that is not
 * answered in time fails, its late answer reaches nobody. The service keeps its keys in the real
 * table and does as the real one: a change is checked, brought to disk, made, answered. A crash
 * loses what is in memory, and what is on its way to disk may be there or not; a restart reads the
 * log and has a higher epoch. The log itself (checksums, torn tails) is tested in
 * tests/unit/registry. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/must.h"
#include "weft/error.h"

#define ANSWER_WITHIN (30 * MS)

/* Who asks; the calls below see no more of it. */
struct weft_client {
    struct sim *sim;
    uint32_t number;
};

/* A machine that waits for an owner. */
struct asking {
    struct sim *sim;
    struct weft_client client;
    enum sim_role role;
    uint32_t number, rank;
    uint64_t move_id;
    bool change;
    struct weft_move_owner expect, want;
};

bool sim_registry_away(const struct sim *sim)
{
    const struct sim_weather *w = &sim->weather;
    return !sim->registry.up ||
           (sim->now_ns >= w->registry_down_ns && sim->now_ns < w->registry_up_ns);
}

static bool dropped(struct sim *sim)
{
    bool rough = !sim_calm(sim) && sim_chance(sim, sim->weather.registry_loss);
    sim->stats.seen[SIM_SAW_LOST] += rough;
    return rough || sim_registry_away(sim);
}

/* ---- callers ---- */

static void step(struct asking *asking, const struct weft_move_event *word)
{
    struct sim *sim = asking->sim;
    if (asking->role == SIM_ROLE_HOME) {
        uint32_t app = sim_app_of(sim, asking->number);
        struct sim_moving *moving = sim_moving_of(sim, app, asking->move_id);
        if (moving)
            sim_step_home(sim, app, moving, word);
    } else if (asking->role == SIM_ROLE_SCRIBE) {
        uint32_t app = sim_app_of(sim, asking->number);
        struct sim_moving *moving = sim_moving_of(sim, app, asking->move_id);
        if (moving)
            sim_written_down(sim, app, moving, word);
    } else if (asking->role == SIM_ROLE_SOURCE) {
        sim_step_source(sim, asking->number, asking->rank, word);
    } else {
        sim_step_dest(sim, asking->number, asking->rank, word);
    }
}

static bool same(struct weft_move_owner a, struct weft_move_owner b)
{
    return a.host == b.host && a.incarnation == b.incarnation;
}

static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct asking *asking = ctx;
    struct sim *sim = asking->sim;
    bool won = same(owner, asking->want), lost = !won && !same(owner, asking->expect);
    struct weft_move_event word = {.kind = WEFT_MOVE_ON_OWNER, .err = err, .owner = owner};
    if (err == WEFT_OK && asking->change && asking->role != SIM_ROLE_SCRIBE) {
        bool commit = asking->role == SIM_ROLE_DEST;
        sim->stats.seen[commit ? SIM_SAW_COMMIT_WON : SIM_SAW_ABORT_WON] += won;
        sim->stats.seen[commit ? SIM_SAW_COMMIT_LOST : SIM_SAW_ABORT_LOST] += lost;
        sim->stats.seen[SIM_SAW_WON_BEFORE] += won && !sim->registry.told_won;
        if (lost && !commit && sim->mutant == SIM_MUTANT_ABORT_AFTER_COMMIT)
            word.owner = asking->want;
    }
    if (!sim->failed)
        step(asking, &word);
    free(asking);
}

void sim_registry_ask(struct sim *sim, const struct weft_move_action *action, enum sim_role role,
                      uint32_t from)
{
    struct asking *asking = weft__must_alloc(1, sizeof(*asking));
    const struct weft_move_message *move = &action->message;
    *asking = (struct asking){.sim = sim,
                              .client = {sim, from},
                              .role = role,
                              .number = from,
                              .rank = move->rank,
                              .move_id = move->move_id,
                              .change = action->kind == WEFT_MOVE_DO_CAS,
                              .expect = action->expect,
                              .want = action->want};
    struct weft_owner_ask ask = {.at = {.client = &asking->client},
                                 .app = move->app,
                                 .rank = move->rank,
                                 .initial = {move->source, move->incarnation},
                                 .expect = action->expect,
                                 .want = action->want,
                                 .done = owner_known,
                                 .ctx = asking};
    if (asking->change && role != SIM_ROLE_SCRIBE && sim_registry_away(sim))
        sim_saw(sim, role == SIM_ROLE_DEST ? SIM_SAW_AWAY_AT_COMMIT : SIM_SAW_AWAY_AT_ABORT);
    if (asking->change)
        weft__owner_cas(&ask);
    else
        weft__owner_read(&ask);
}

static struct sim_pending *pending_of(struct sim *sim, uint64_t correlation)
{
    for (unsigned i = 0; i < SIM_PENDING_MAX; i++) {
        if (sim->pending[i].correlation == correlation)
            return &sim->pending[i];
    }
    return NULL;
}

static int call(const struct weft_client *client, struct sim_event *question,
                weft_registry_done *done, void *ctx)
{
    struct sim *sim = client->sim;
    struct sim_pending *pending = pending_of(sim, 0);
    weft__check(pending != NULL);
    *pending = (struct sim_pending){++sim->correlation, client->number, done, ctx};
    sim_at(sim, sim->now_ns + ANSWER_WITHIN, SIM_NO_ANSWER, client->number)->epoch =
        pending->correlation;
    question->to = SIM_REGISTRY;
    question->from = client->number;
    question->registry.correlation = pending->correlation;
    if (!dropped(sim))
        sim_send(sim, sim_host_of(sim, client->number), SIM_PLACE_REGISTRY, question);
    return WEFT_OK;
}

static void set_key(struct sim_question *question, const char *key)
{
    size_t len = strlen(key);
    weft__check(len < sizeof(question->key));
    memcpy(question->key, key, len + 1);
}

int weft__registry_get(const struct weft_registry_at *at, const char *key, weft_registry_done *done,
                       void *ctx)
{
    struct sim_event question = {.kind = SIM_GET};
    set_key(&question.registry, key);
    return call(at->client, &question, done, ctx);
}

int weft__registry_cas(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                       weft_registry_done *done, void *ctx)
{
    struct sim_event question = {.kind = SIM_CAS};
    set_key(&question.registry, cas->key);
    question.registry.revision = cas->expected;
    question.registry.value_len = (uint8_t)cas->value_len;
    memcpy(question.registry.value, cas->value, cas->value_len);
    return call(at->client, &question, done, ctx);
}

void sim_on_answer(struct sim *sim, struct sim_event *event)
{
    bool answered = event->kind == SIM_ANSWER;
    uint64_t correlation = answered ? event->registry.correlation : event->epoch;
    struct sim_pending *pending = pending_of(sim, correlation), call;
    if (!pending)
        return;
    call = *pending;
    pending->correlation = 0;
    sim->registry.told_won = answered && event->registry.won;
    if (!answered) {
        call.done(call.ctx, WEFT_EREGISTRY, "no answer", NULL);
        return;
    }
    struct weft_registry_reply reply = {.epoch = event->epoch,
                                        .revision = event->registry.revision,
                                        .won = event->registry.won,
                                        .value = event->registry.value,
                                        .value_len = event->registry.value_len};
    call.done(call.ctx, WEFT_OK, "", &reply);
}

/* ---- the service ---- */

static struct weft_values_change change_of(const struct sim_question *entry)
{
    return (struct weft_values_change){.key = {entry->key, strlen(entry->key)},
                                       .value = {entry->value, entry->value_len},
                                       .revision = entry->revision};
}

static void answer(struct sim *sim, const struct sim_question *question, uint32_t asker, bool won)
{
    const struct weft_values_entry *entry = weft__values_find(
        &sim->registry.keys, (struct weft_bytes){question->key, strlen(question->key)});
    struct sim_event answer = {.kind = SIM_ANSWER,
                               .to = asker,
                               .from = SIM_REGISTRY,
                               .epoch = sim->registry.epoch,
                               .registry = {.correlation = question->correlation, .won = won}};
    if (entry != NULL) {
        answer.registry.revision = entry->revision;
        answer.registry.value_len = (uint8_t)entry->value_len;
        memcpy(answer.registry.value, entry->value, entry->value_len);
    }
    if (!dropped(sim))
        sim_send(sim, SIM_PLACE_REGISTRY, sim_host_of(sim, asker), &answer);
}

static uint64_t number_in(const uint8_t *bytes)
{
    uint64_t number = 0;
    for (unsigned i = 8; i-- > 0;)
        number = number << 8 | bytes[i];
    return number;
}

/* Makes a change, and notes who owns the rank now. */
static void apply(struct sim *sim, const struct sim_question *entry)
{
    struct weft_values_change change = change_of(entry);
    char *end;
    uint64_t app = strtoull(entry->key + strlen("rank/"), &end, 16);
    uint64_t rank = strtoull(end + 1, NULL, 10);
    weft__check(weft__values_apply(&sim->registry.keys, &change) == WEFT_OK);
    struct weft_move_owner *owner = &sim->apps[app - 1].owner[rank];
    *owner = (struct weft_move_owner){number_in(entry->value), number_in(entry->value + 8)};
    sim_trace(sim, "registry: app %llu, rank %llu -> process %llu incarnation %llu",
              (unsigned long long)app, (unsigned long long)rank, (unsigned long long)owner->host,
              (unsigned long long)owner->incarnation);
}

static void on_cas(struct sim *sim, const struct sim_event *event)
{
    struct sim_registry *registry = &sim->registry;
    struct weft_values_change change = change_of(&event->registry);
    bool wins = false;
    if (registry->syncing) { /* it has to be checked against the change before it */
        uint64_t soon_ns = sim->now_ns + 10 * US;
        uint64_t synced_ns = registry->sync_at_ns + 1;
        *sim_at(sim, soon_ns > synced_ns ? soon_ns : synced_ns, SIM_CAS, SIM_REGISTRY) = *event;
        return;
    }
    weft__values_check(&registry->keys, &change, event->registry.revision, &wins);
    if (!wins && sim->mutant != SIM_MUTANT_BLIND_REGISTRY) {
        answer(sim, &event->registry, event->from, false);
        return;
    }
    weft__check(registry->log_n < SIM_LOG_MAX);
    struct sim_question *entry = &registry->log[registry->log_n++];
    *entry = event->registry;
    entry->revision = registry->keys.revision + 1;
    registry->asker = event->from;
    registry->syncing = true;
    registry->sync_at_ns = sim->now_ns + sim_between(sim, 30 * US, 400 * US);
    sim_at(sim, registry->sync_at_ns, SIM_SYNCED, SIM_REGISTRY)->epoch = registry->epoch;
    if (registry->doomed_ns > 0)
        sim_registry_dies(sim, sim_between(sim, sim->now_ns, registry->sync_at_ns - 1),
                          registry->doomed_ns);
    registry->doomed_ns = 0;
    if (sim->mutant == SIM_MUTANT_ANSWER_UNSYNCED) {
        apply(sim, entry);
        answer(sim, entry, event->from, true);
    }
}

static void on_synced(struct sim *sim, const struct sim_event *event)
{
    struct sim_registry *registry = &sim->registry;
    if (event->epoch != registry->epoch)
        return;
    const struct sim_question *entry = &registry->log[registry->log_n - 1];
    registry->syncing = false;
    registry->synced_n = registry->log_n;
    if (sim->mutant == SIM_MUTANT_ANSWER_UNSYNCED)
        return;
    apply(sim, entry);
    answer(sim, entry, registry->asker, true);
}

static void crash(struct sim *sim)
{
    struct sim_registry *registry = &sim->registry;
    if (!registry->up)
        return;
    sim_trace(sim, "the registry crashes");
    sim_saw(sim, SIM_SAW_REGISTRY_CRASHED);
    if (registry->log_n > registry->synced_n) {
        bool kept = sim_chance(sim, 500);
        sim_saw(sim, kept ? SIM_SAW_LOG_TAIL_KEPT : SIM_SAW_LOG_TAIL_LOST);
        registry->log_n = kept ? registry->log_n : registry->synced_n;
    }
    registry->up = registry->syncing = false;
    weft__values_fini(&registry->keys);
}

static void restart(struct sim *sim)
{
    struct sim_registry *registry = &sim->registry;
    if (registry->up)
        return;
    registry->up = true;
    registry->epoch++;
    registry->synced_n = registry->log_n;
    sim_saw(sim, SIM_SAW_REGISTRY_RESTARTED);
    sim_trace(sim, "the registry is back, epoch %llu", (unsigned long long)registry->epoch);
    for (uint32_t app = 0; app < sim->apps_n; app++) {
        for (uint32_t rank = 0; rank < sim->apps[app].ranks_n; rank++)
            sim->apps[app].owner[rank] =
                (struct weft_move_owner){sim->apps[app].first[rank].process, 1};
    }
    if (sim->mutant == SIM_MUTANT_LOG_NOT_READ)
        return;
    for (uint32_t i = 0; i < registry->log_n; i++)
        apply(sim, &registry->log[i]);
}

void sim_on_registry(struct sim *sim, struct sim_event *event)
{
    struct sim_registry *registry = &sim->registry;
    if (event->kind == SIM_REGISTRY_CRASH)
        crash(sim);
    else if (event->kind == SIM_REGISTRY_RESTART)
        restart(sim);
    else if (event->kind == SIM_SYNCED && registry->up)
        on_synced(sim, event);
    else if (sim_registry_away(sim))
        return;
    else if (event->kind == SIM_GET)
        answer(sim, &event->registry, event->from, false);
    else if (event->kind == SIM_CAS)
        on_cas(sim, event);
}

void sim_registry_reset(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_PENDING_MAX; i++) {
        struct sim_pending call = sim->pending[i];
        sim->pending[i].correlation = 0;
        if (call.correlation != 0)
            call.done(call.ctx, WEFT_ESHUTDOWN, "the run is over", NULL);
    }
    struct sim_registry *registry = &sim->registry;
    weft__values_fini(&registry->keys);
    registry->up = true;
    registry->syncing = false;
    registry->epoch = 1;
    registry->asleep_ns = registry->doomed_ns = 0;
    registry->log_n = registry->synced_n = 0;
}
