/* Frozen apps as they lie in the store, and as people see them.
 *
 * The manifest has all that a home knows of an app, so any host that reaches the store can make the
 * record anew and thaw the app; the registry's key of the app says whether what lies there counts,
 * and decides between two who try. Its key begins with the name of the home that wrote it: a weftd
 * that starts takes back what its predecessor has left, and removes what the registry does not know
 * as frozen. What another home has left is taken over when somebody asks for it: that home may be
 * alive. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/keys.h"
#include "host/weftd_freeze.h"
#include "host/weftd_store.h"
#include "wire/message.h"

/* ---- the manifest ---- */

static void pack_ranks(const struct weft_app *app, Weft__Host__FrozenApp *frozen,
                       Weft__Host__FrozenRank *ranks)
{
    for (uint32_t r = 0; r < app->size; r++) {
        weft__host__frozen_rank__init(&ranks[r]);
        ranks[r].rank = (int32_t)r;
        ranks[r].descriptor = (ProtobufCBinaryData){.len = app->freeze->ranks[r].len_bytes,
                                                    .data = app->freeze->ranks[r].descriptor};
        ranks[r].bytes = app->freeze->ranks[r].bytes;
        ranks[r].ended = app->ranks[r].ended;
        ranks[r].code = app->ranks[r].code;
        ranks[r].incarnation = app->ranks[r].incarnation;
        frozen->ranks[frozen->n_ranks++] = &ranks[r];
        if (app->ranks[r].key)
            frozen->keyed[frozen->n_keyed++] = r;
    }
}

void weft__frozen_pack(const struct weft_app *app, uint8_t **bytes_out, size_t *len_out)
{
    const struct weft_app_freeze *freeze = app->freeze;
    Weft__Host__FrozenApp frozen = WEFT__HOST__FROZEN_APP__INIT;
    Weft__Host__FrozenRank *ranks = weft__must_alloc(app->size, sizeof(*ranks));
    frozen.ranks = weft__must_alloc(app->size, sizeof(*frozen.ranks));
    frozen.keyed = weft__must_alloc(app->size, sizeof(*frozen.keyed));
    frozen.app = app->id;
    frozen.token = app->token;
    frozen.call_token = app->call_token;
    frozen.stride = app->stride;
    frozen.request = app->request;
    frozen.home = app->host->name;
    frozen.prefix = weft__message_text(freeze->prefix);
    frozen.moves = app->move_count;
    frozen.number = freeze->machine.number;
    frozen.bytes = freeze->bytes;
    frozen.started_wall_ms = app->started_wall_ms;
    frozen.frozen_wall_ms = freeze->frozen_wall_ms;
    frozen.thaws_itself = freeze->thaws_itself;
    frozen.processes = (uint32_t)app->processes_n;
    pack_ranks(app, &frozen, ranks);
    *len_out = protobuf_c_message_get_packed_size(&frozen.base);
    *bytes_out = weft__must_alloc(1, *len_out);
    (void)protobuf_c_message_pack(&frozen.base, *bytes_out);
    free(ranks);
    free(frozen.ranks);
    free(frozen.keyed);
}

/* Whether what came out of the store can be made an app of. */
static int check(const Weft__Host__FrozenApp *frozen)
{
    const Weft__Host__RunRequest *request = frozen->request;
    if (request == NULL || request->ranks == 0 || request->ranks > WEFT_APP_RANKS_MAX ||
        frozen->n_ranks != request->ranks || frozen->app == 0 ||
        frozen->processes > WEFT_APP_RANKS_MAX || strlen(frozen->prefix) >= WEFT_FREEZE_KEY_MAX ||
        strlen(frozen->home) >= WEFT_HOST_NAME_MAX)
        return weft_fail(WEFT_EPROTO, "the manifest of the app makes no sense");
    for (size_t r = 0; r < frozen->n_ranks; r++)
        if (frozen->ranks[r]->rank != (int32_t)r)
            return weft_fail(WEFT_EPROTO, "the manifest of the app makes no sense");
    return WEFT_OK;
}

static void unpack_ranks(struct weft_app *app, const Weft__Host__FrozenApp *frozen)
{
    for (uint32_t r = 0; r < app->size; r++) {
        const Weft__Host__FrozenRank *from = frozen->ranks[r];
        struct weft_frozen_rank *rank = &app->freeze->ranks[r];
        rank->descriptor = weft__must_copy(from->descriptor.data, from->descriptor.len);
        rank->len_bytes = from->descriptor.len;
        rank->bytes = from->bytes;
        app->ranks[r].ended = from->ended;
        app->ranks[r].code = from->code;
        app->ranks[r].incarnation = from->incarnation;
        app->ranks_ended += from->ended ? 1 : 0;
    }
    for (size_t i = 0; i < frozen->n_keyed; i++)
        if (frozen->keyed[i] < app->size)
            app->ranks[frozen->keyed[i]].key = true;
}

/* Numbers that were used are those of dead processes. */
static void unpack_processes(struct weft_app *app, uint32_t n)
{
    app->processes = weft__must_grow(app->processes, n, sizeof(*app->processes));
    for (uint32_t i = 0; i < n; i++) {
        struct weft_app_process *process = &app->processes[i];
        memset(process, 0, sizeof(*process));
        process->number = i + 1;
        process->dead = true;
        weft__host__exec_stats__init(&process->stats);
    }
    app->processes_n = n;
}

static struct weft_app *unpack(struct weft_host *host, const Weft__Host__FrozenApp *frozen,
                               struct weft_move_owner owner)
{
    struct weft_app *app = weft__weftd_app_new(host, frozen->request, frozen->app);
    if (app == NULL)
        return NULL;
    app->token = frozen->token;
    app->call_token = frozen->call_token;
    app->stride = frozen->stride;
    app->move_count = frozen->moves;
    app->started_wall_ms = frozen->started_wall_ms;
    app->state = WEFT_APP_FROZEN;
    app->first_home = UINT64_MAX; /* an app that the registry does not know is nobody's to thaw */
    struct weft_app_freeze *freeze = weft__freeze_new(app, owner);
    freeze->machine.number = frozen->number;
    freeze->bytes = frozen->bytes;
    freeze->frozen_wall_ms = frozen->frozen_wall_ms;
    freeze->thaws_itself = frozen->thaws_itself;
    snprintf(freeze->prefix, sizeof(freeze->prefix), "%s", frozen->prefix);
    weft__freeze_folder(freeze, frozen->home);
    snprintf(freeze->cause, sizeof(freeze->cause), "it was frozen by host %s", frozen->home);
    unpack_ranks(app, frozen);
    unpack_processes(app, frozen->processes);
    (void)weft__hint_parse(app->request->hint, &app->hint);
    (void)weft__policy_parse(app->request->policy, &app->policy);
    return app;
}

/* ---- taking over what lies in the store ---- */

/* An app that is to be taken over: manifest, then the registry's word. */
struct adoption {
    struct weft_task task;
    struct weft_host *host;
    uint64_t app;
    struct weft_call *asked; /* weft thaw; NULL: our predecessor has left it */
    Weft__Host__FrozenApp *frozen;
    int err;
    struct weft_move_owner owner;
};

static void adoption_free(struct adoption *adoption)
{
    weft__message_free((ProtobufCMessage *)adoption->frozen);
    free(adoption);
}

static void refuse(struct adoption *adoption, int err, const char *text)
{
    if (adoption->asked != NULL)
        weft__call_fail(adoption->asked, err, text);
    else
        weft__info("app %" PRIx64 " in the store is not taken over: %s", adoption->app, text);
    adoption_free(adoption);
}

static void erase_waste(struct weft_host *host, uint64_t id)
{
    struct weft_store_desc desc = {.what = WEFT_STORE_ERASE, .app = id};
    snprintf(desc.key, sizeof(desc.key), "frozen/%s/%" PRIx64 "/", host->name, id);
    weft__weftd_store_do(host, &desc);
}

static void thaw(struct weft_app *app, struct weft_call *asked)
{
    app->freeze->asked = asked;
    weft__freeze_feed(app->freeze, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
}

static void adopt(struct adoption *adoption)
{
    struct weft_call *asked = adoption->asked;
    bool known = weft__weftd_app_find(adoption->host, adoption->app) != NULL;
    struct weft_app *app = known ? NULL : unpack(adoption->host, adoption->frozen, adoption->owner);
    if (app == NULL) {
        refuse(adoption, known ? WEFT_EBUSY : WEFT_ENOMEM,
               known ? "the app is being taken over already" : "no memory for so many ranks");
        return;
    }
    adoption_free(adoption);
    weft__info("app %" PRIx64 " is at home here now, frozen", app->id);
    if (asked != NULL)
        thaw(app, asked);
    else
        weft__freeze_await_room(app->freeze);
}

/* What a registry does not know may be another cluster's, or it has lost its log: it stays. */
static bool is_waste(const struct adoption *adoption)
{
    return adoption->owner.host != UINT64_MAX && adoption->owner.host != WEFT_FREEZE_STORE;
}

static void owner_task(struct weft_task *task)
{
    struct adoption *adoption = weft__loop_owner(task, struct adoption, task);
    bool frozen = adoption->err == WEFT_OK && adoption->owner.host == WEFT_FREEZE_STORE &&
                  adoption->frozen != NULL;
    if (adoption->host->stopping) {
        refuse(adoption, WEFT_ESHUTDOWN, "the host is shutting down");
    } else if (frozen) {
        adopt(adoption);
    } else {
        if (adoption->err == WEFT_OK && adoption->asked == NULL && is_waste(adoption))
            erase_waste(adoption->host, adoption->app);
        refuse(adoption, adoption->err != WEFT_OK ? WEFT_EREGISTRY : WEFT_ENOENT,
               adoption->err != WEFT_OK ? "the registry cannot be reached"
                                        : "the registry does not know it as frozen");
    }
}

/* On the client's thread. */
static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct adoption *adoption = ctx;
    adoption->err = err;
    adoption->owner = owner;
    weft__loop_must_post(adoption->host->asker.loop, &adoption->task);
}

static void ask_registry(struct adoption *adoption)
{
    adoption->task.run = owner_task;
    weft__owner_read(&(struct weft_owner_ask){.at = adoption->host->registry_at,
                                              .app = adoption->app,
                                              .rank = WEFT_KEY_OF_APP,
                                              .initial = {.host = UINT64_MAX},
                                              .done = owner_known,
                                              .ctx = adoption});
}

/* The adoption is found again by what it is about: one per app at a time. */
static struct adoption *take_adoption(struct weft_host *host, uint64_t app)
{
    struct weft_adoptions *all = &host->adoptions;
    for (size_t i = 0; i < all->n; i++) {
        struct adoption *adoption = all->at[i];
        if (adoption->app != app)
            continue;
        all->at[i] = all->at[--all->n];
        return adoption;
    }
    return NULL;
}

static void manifest_read(struct weft_host *host, uint64_t id, int err, const char *text,
                          const ProtobufCBinaryData *bytes)
{
    struct adoption *adoption = take_adoption(host, id);
    ProtobufCMessage *message = NULL;
    if (adoption == NULL)
        return;
    if (err != WEFT_OK) {
        refuse(adoption, err, text);
        return;
    }
    err = weft__message_decode(&weft__host__frozen_app__descriptor, bytes->data, bytes->len,
                               &message);
    adoption->frozen = (Weft__Host__FrozenApp *)message;
    if (err == WEFT_OK)
        err = check(adoption->frozen);
    if (err == WEFT_OK)
        ask_registry(adoption);
    else
        refuse(adoption, err, weft_fail_text(err));
}

static void read_manifest(struct weft_host *host, struct adoption *adoption, const char *key)
{
    struct weft_adoptions *all = &host->adoptions;
    struct weft_store_desc desc = {
        .what = WEFT_STORE_READ, .app = adoption->app, .done = manifest_read};
    all->at = weft__must_grow(all->at, all->n + 1, sizeof(*all->at));
    all->at[all->n++] = adoption;
    snprintf(desc.key, sizeof(desc.key), "%s", key);
    weft__weftd_store_do(host, &desc);
}

/* The app that a key in the store is of; 0: none. manifest: whether it is that. */
static uint64_t app_of_key(const char *key, bool *manifest_out)
{
    const char *id = strchr(key, '/');
    id = id != NULL ? strchr(id + 1, '/') : NULL;
    char *end = NULL;
    uint64_t app = id != NULL ? strtoull(id + 1, &end, 16) : 0;
    *manifest_out = app != 0 && strcmp(end, "/app") == 0;
    return app;
}

/* The manifest of the app among the keys; NULL: none. */
static const char *find_manifest(const ProtobufCBinaryData *keys, uint64_t app)
{
    for (size_t at = 0; at < keys->len; at += strlen((const char *)keys->data + at) + 1) {
        const char *key = (const char *)keys->data + at;
        bool manifest;
        if (app_of_key(key, &manifest) == app && manifest)
            return key;
    }
    return NULL;
}

/* weft thaw of an app that is not known here. */
static void listed_to_thaw(struct weft_host *host, uint64_t id, int err, const char *text,
                           const ProtobufCBinaryData *keys)
{
    struct adoption *adoption = take_adoption(host, id);
    const char *key = err == WEFT_OK ? find_manifest(keys, id) : NULL;
    if (adoption == NULL)
        return;
    if (err != WEFT_OK)
        refuse(adoption, err, text);
    else if (key == NULL)
        refuse(adoption, WEFT_ENOENT, "no such app is at home here, nor in this host's store");
    else
        read_manifest(host, adoption, key);
}

static void adopt_to_thaw(struct weft_host *host, uint64_t app, struct weft_call *asked)
{
    struct adoption *adoption = take_adoption(host, app);
    struct weft_adoptions *all = &host->adoptions;
    if (adoption != NULL) {
        all->at[all->n++] = adoption;
        weft__call_fail(asked, WEFT_EBUSY, "the app is being taken over already");
        return;
    }
    adoption = weft__must_alloc(1, sizeof(*adoption));
    *adoption = (struct adoption){.host = host, .app = app, .asked = asked};
    all->at = weft__must_grow(all->at, all->n + 1, sizeof(*all->at));
    all->at[all->n++] = adoption;
    weft__weftd_store_do(
        host, &(struct weft_store_desc){
                  .what = WEFT_STORE_LIST, .app = app, .key = "frozen/", .done = listed_to_thaw});
}

/* What an earlier weftd of our name has left. Keys are sorted: an app's come together. */
static void listed_to_recover(struct weft_host *host, uint64_t none, int err, const char *text,
                              const ProtobufCBinaryData *keys)
{
    uint64_t last = 0;
    (void)none;
    if (err != WEFT_OK) {
        weft__warn("frozen apps in the store are not looked for: %s", text);
        return;
    }
    for (size_t at = 0; at < keys->len; at += strlen((const char *)keys->data + at) + 1) {
        bool manifest;
        uint64_t app = app_of_key((const char *)keys->data + at, &manifest);
        if (app == 0 || app == last || weft__weftd_app_find(host, app) != NULL)
            continue;
        last = app;
        const char *key = find_manifest(keys, app);
        struct adoption *adoption = weft__must_alloc(1, sizeof(*adoption));
        *adoption = (struct adoption){.host = host, .app = app};
        if (key != NULL)
            read_manifest(host, adoption, key);
        else
            ask_registry(adoption); /* a freeze that was never committed */
    }
}

void weft__weftd_frozen_recover(struct weft_host *host)
{
    struct weft_store_desc desc = {.what = WEFT_STORE_LIST, .done = listed_to_recover};
    if (!weft__weftd_freeze_is_set_up(host))
        return;
    snprintf(desc.key, sizeof(desc.key), "frozen/%s/", host->name);
    weft__weftd_store_do(host, &desc);
}

void weft__weftd_frozen_fini(struct weft_host *host)
{
    for (size_t i = 0; i < host->adoptions.n; i++) {
        struct adoption *adoption = host->adoptions.at[i];
        if (adoption->asked != NULL)
            weft__call_fail(adoption->asked, WEFT_ESHUTDOWN, "the host is shutting down");
        adoption_free(adoption);
    }
    free(host->adoptions.at);
    host->adoptions = (struct weft_adoptions){0};
}

/* ---- calls of people ---- */

void weft__weftd_on_freeze_app(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__FreezeAppRequest *request = (const Weft__Host__FreezeAppRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    int err = app == NULL ? weft_fail(WEFT_ENOENT, "no such app is at home here")
                          : weft__weftd_freeze_begin(
                                app, &(struct weft_freeze_wish){.asked = call,
                                                                .cause = request->reason[0] != '\0'
                                                                             ? request->reason
                                                                             : "asked by hand"});
    if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
}

void weft__weftd_on_thaw_app(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ThawAppRequest *request = (const Weft__Host__ThawAppRequest *)message;
    struct weft_host *host = ctx;
    struct weft_app *app = weft__weftd_app_find(host, request->app);
    if (host->stopping || host->leaving) {
        weft__call_fail(call, WEFT_ESHUTDOWN, "the host is about to go; thaw the app --at another");
    } else if (app == NULL || app->state == WEFT_APP_ENDED) {
        if (app == NULL && weft__weftd_freeze_is_set_up(host))
            adopt_to_thaw(host, request->app, call);
        else
            weft__call_fail(call, WEFT_ENOENT,
                            app == NULL ? "no such app is at home here, and this host has no store"
                                        : "the app has ended");
    } else if (app->state != WEFT_APP_FROZEN) {
        weft__call_fail(call, WEFT_EBUSY,
                        app->state == WEFT_APP_THAWING ? "the app is being thawed already"
                                                       : "the app is not frozen");
    } else if (weft__weftd_freeze_busy(app)) {
        weft__call_fail(call, WEFT_EBUSY, "the app is being frozen or thawed; try again");
    } else {
        thaw(app, call);
    }
}

/* ---- what is seen ---- */

void weft__frozen_where(const struct weft_app *app, char *text, size_t room)
{
    snprintf(text, room, "%s of host %s", weft__config_text("WEFT_SNAPSHOT_DIR"), app->host->name);
}

const char *weft__weftd_frozen_state(const struct weft_app *app)
{
    if (app->state == WEFT_APP_THAWING || app->state == WEFT_APP_FROZEN)
        return weft__weftd_freeze_busy(app) && app->state == WEFT_APP_THAWING ? "thawing"
                                                                              : "frozen";
    return app->state == WEFT_APP_RUNNING && weft__weftd_freeze_busy(app) ? "freezing" : NULL;
}

void weft__weftd_frozen_tell(const struct weft_app *app, char *text, size_t room)
{
    char where[512];
    text[0] = '\0';
    if (app->freeze == NULL || app->state != WEFT_APP_FROZEN)
        return;
    weft__frozen_where(app, where, sizeof(where));
    snprintf(text, room, "%s; %.1f MiB in %s; %s", app->freeze->cause,
             (double)app->freeze->bytes / (1u << 20), where,
             app->freeze->thaws_itself ? "it goes on when there is room"
                                       : "weft thaw lets it go on");
}

void weft__weftd_frozen_info(const struct weft_app *app, Weft__Host__AppInfo *info)
{
    const char *state = weft__weftd_frozen_state(app);
    if (state != NULL)
        info->state = weft__message_text(state);
    if (app->freeze == NULL)
        return;
    info->freeze_note = weft__message_text(app->freeze->note);
    if (app->state != WEFT_APP_FROZEN && app->state != WEFT_APP_THAWING)
        return;
    weft__frozen_where(app, app->freeze->where, sizeof(app->freeze->where));
    info->frozen_bytes = app->freeze->bytes;
    info->frozen_where = app->freeze->where;
}

void weft__weftd_frozen_leave(struct weft_app *app)
{
    char where[512];
    if (app->freeze == NULL || (app->state != WEFT_APP_FROZEN && app->state != WEFT_APP_THAWING))
        return;
    app->freeze->keep = true;
    weft__frozen_where(app, where, sizeof(where));
    weft__weftd_app_end(app, WEFT_ESHUTDOWN, 1,
                        "its home host %s is shutting down; it lies frozen in %s: weft thaw "
                        "%" PRIx64 " --at a host that reaches that folder lets it go on",
                        app->host->name, where, app->id);
}
