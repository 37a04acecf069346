/* Frozen apps as they lie in the store, and as people see them.
 *
 * The manifest has all that a home knows of an app, so any host that reaches the store can make the
 * record anew and thaw the app (weftd_adopt.c). */
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
    frozen.cpu = app->cpu;
    frozen.cells = app->cells;
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

int weft__frozen_check(const Weft__Host__FrozenApp *frozen)
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

struct weft_app *weft__frozen_unpack(struct weft_host *host, const Weft__Host__FrozenApp *frozen,
                                     struct weft_move_owner owner)
{
    struct weft_app *app = weft__weftd_app_new(host, frozen->request, frozen->app);
    if (app == NULL)
        return NULL;
    app->token = frozen->token;
    app->call_token = frozen->call_token;
    app->stride = frozen->stride;
    app->move_count = frozen->moves;
    app->cpu = frozen->cpu;
    app->cells = frozen->cells;
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

void weft__frozen_thaw(struct weft_app *app, struct weft_call *asked)
{
    app->freeze->asked = asked;
    weft__freeze_feed(app->freeze, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
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
            weft__weftd_adopt(host, request->app, call);
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
        weft__frozen_thaw(app, call);
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
