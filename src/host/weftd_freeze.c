/* Drives the HOME machine of plan/freeze.h: orders to the app's processes, the manifest, the
 * registry's key of the app, slots and processes of a thaw.
 *
 * The machine decides, this file does. The store is the snapshot service of this host, whose folder
 * may be one that other hosts share: ranks of all hosts go there, so that all that is needed of an
 * app is in one place. While the app is in the store its record stays, for those who wait for it;
 * its processes are marked dead and their numbers are never used again. Every answer comes as a
 * task or a call on the owner thread, so a step never runs inside a step. */
#include "host/weftd_events.h"
#include "host/weftd_freeze.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/keys.h"
#include "host/weftd_store.h"
#include "wire/frame.h"
#include "wire/message.h"

enum { ORDER_TIMEOUT_MS = 5000, END_TIMEOUT_MS = 8000, LOOK_MS = 1000, LOOK_MAX_MS = 60000 };

static void end_asked(struct weft_app_freeze *freeze, int err, const char *text)
{
    struct weft_call *call = freeze->asked;
    char where[512];
    freeze->asked = NULL;
    if (call == NULL)
        return;
    if (err != WEFT_OK) {
        weft__call_fail(call, err, text);
        return;
    }
    Weft__Host__FreezeAppReply reply = WEFT__HOST__FREEZE_APP_REPLY__INIT;
    weft__frozen_where(freeze->app, where, sizeof(where));
    reply.bytes = freeze->bytes;
    reply.where = where;
    weft__call_reply(call, &reply.base);
}

/* ---- parties ---- */

static void parties_clear(struct weft_app_freeze *freeze)
{
    free(freeze->parties);
    free(freeze->numbers);
    freeze->parties = NULL;
    freeze->numbers = NULL;
    freeze->machine.parties = NULL;
    freeze->machine.parties_n = 0;
}

/* The processes from `first` on that are alive. One that was never launched (the only rank that
 * wanted to go there has given that up) would be waited for in vain. */
static void parties_set(struct weft_app_freeze *freeze, size_t first)
{
    const struct weft_app *app = freeze->app;
    parties_clear(freeze);
    freeze->parties = weft__must_alloc(app->processes_n, sizeof(*freeze->parties));
    freeze->numbers = weft__must_alloc(app->processes_n, sizeof(*freeze->numbers));
    size_t n = 0;
    for (size_t i = first; i < app->processes_n; i++)
        if (app->processes[i].launched && !app->processes[i].dead)
            freeze->numbers[n++] = app->processes[i].number;
    freeze->machine.parties = freeze->parties;
    freeze->machine.parties_n = n;
}

/* parties_n: it is none. */
static size_t party_of(const struct weft_app_freeze *freeze, uint32_t number)
{
    size_t i = 0;
    while (i < freeze->machine.parties_n && freeze->numbers[i] != number)
        i++;
    return i;
}

/* ---- orders ---- */

static void ended(struct weft_app *app, struct weft_app_process *process,
                  const struct weft_app_answer *answer)
{
    struct weft_app_freeze *freeze = app->freeze;
    if (freeze == NULL)
        return;
    struct weft_freeze_event event = {.kind = WEFT_FREEZE_ON_ANSWER,
                                      .party = party_of(freeze, process->number),
                                      .order = WEFT_FREEZE_END,
                                      .number = freeze->machine.number,
                                      .err = answer->err,
                                      .text = answer->text};
    if (answer->err == WEFT_EIO || answer->err == WEFT_ENOENT) /* it is gone for sure */
        event.err = WEFT_OK;
    process->output_lost |= answer->err == WEFT_EIO;
    if (event.party < freeze->machine.parties_n)
        weft__freeze_feed(freeze, &event);
}

static void order_end(struct weft_app_freeze *freeze, const struct weft_app_process *process)
{
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    end.app = freeze->app->id;
    end.token = freeze->app->token;
    end.reason = weft__message_text("its app is frozen");
    weft__weftd_app_ask(freeze->app, &(struct weft_app_question){.process = process->number,
                                                                 .to_host = true,
                                                                 .whenever = true,
                                                                 .code = WEFT_CALL_END,
                                                                 .request = &end.base,
                                                                 .timeout_ms = END_TIMEOUT_MS,
                                                                 .answered = ended});
}

/* The ranks of a process; ended ones too: what they sent last may be on its way. */
static size_t fill_ranks(const struct weft_app_freeze *freeze, uint32_t process, bool load,
                         Weft__Host__FrozenRank *ranks)
{
    const struct weft_app *app = freeze->app;
    size_t n = 0;
    for (uint32_t r = 0; r < app->size; r++) {
        if (app->ranks[r].process != process)
            continue;
        weft__host__frozen_rank__init(&ranks[n]);
        ranks[n].rank = (int32_t)r;
        if (load) {
            ranks[n].incarnation = app->ranks[r].incarnation + 1;
            ranks[n].descriptor = (ProtobufCBinaryData){.len = freeze->ranks[r].len_bytes,
                                                        .data = freeze->ranks[r].descriptor};
        }
        n++;
    }
    return n;
}

/* Where the ranks of this freeze go, or those of the last one come from. */
static void prefix_of(const struct weft_app_freeze *freeze, bool load,
                      char prefix[WEFT_FREEZE_KEY_MAX])
{
    if (load)
        memcpy(prefix, freeze->prefix, sizeof(freeze->prefix));
    else
        snprintf(prefix, WEFT_FREEZE_KEY_MAX, "%s%" PRIu64 "/", freeze->folder,
                 freeze->machine.number);
}

static void order_process(struct weft_app_freeze *freeze, const struct weft_app_process *process,
                          const struct weft_freeze_action *action)
{
    struct weft_app *app = freeze->app;
    bool load = action->order == WEFT_FREEZE_LOAD;
    bool lists = load || action->order == WEFT_FREEZE_STOP;
    size_t room = lists ? app->size : 0;
    char store[WEFT_URL_MAX], prefix[WEFT_FREEZE_KEY_MAX];
    Weft__Host__FreezeOrder order = WEFT__HOST__FREEZE_ORDER__INIT;
    Weft__Host__FrozenRank *ranks = weft__must_alloc(room, sizeof(*ranks));
    order.ranks = weft__must_alloc(room, sizeof(*order.ranks));
    order.n_ranks = lists ? fill_ranks(freeze, process->number, load, ranks) : 0;
    for (size_t i = 0; i < order.n_ranks; i++)
        order.ranks[i] = &ranks[i];
    snprintf(store, sizeof(store), "tcp://%s:%u", app->host->address,
             app->host->port_first + WEFT_PORT_SNAPSHOT);
    prefix_of(freeze, load, prefix);
    order.token = app->token;
    order.order = (uint32_t)action->order;
    order.number = action->number;
    order.round = action->round;
    order.below = action->below;
    order.store = store;
    order.prefix = prefix;
    order.within_ms = (uint32_t)(freeze->params.save_ns / WEFT_NS_PER_MS);
    weft__weftd_app_ask(app, &(struct weft_app_question){.process = process->number,
                                                         .code = WEFT_CALL_FREEZE_ORDER,
                                                         .request = &order.base,
                                                         .timeout_ms = ORDER_TIMEOUT_MS});
    free(ranks);
    free(order.ranks);
}

/* The thaw is decided: everybody hears where everybody is before the first rank runs. */
static void tell_routes(struct weft_app_freeze *freeze)
{
    struct weft_app *app = freeze->app;
    if (freeze->resumed)
        return;
    freeze->resumed = true;
    for (uint32_t r = 0; r < app->size; r++)
        app->ranks[r].incarnation++;
    for (size_t i = freeze->first_process; i < app->processes_n; i++)
        if (app->processes[i].launched && !app->processes[i].dead)
            weft__weftd_routes_all(app, &app->processes[i]);
}

static void perform_order(struct weft_app_freeze *freeze, const struct weft_freeze_action *action)
{
    weft__check(freeze->numbers != NULL && action->party < freeze->machine.parties_n);
    const struct weft_app_process *process =
        weft__weftd_app_process(freeze->app, freeze->numbers[action->party]);
    if (action->order == WEFT_FREEZE_RESUME)
        tell_routes(freeze);
    if (action->order == WEFT_FREEZE_END)
        order_end(freeze, process);
    else
        order_process(freeze, process, action);
}

/* ---- the registry ---- */

struct question {
    struct weft_task task;
    struct weft_host *host;
    uint64_t app;
    struct weft_freeze_event event;
    char text[128];
};

static void question_run(struct weft_task *task)
{
    struct question *question = weft__loop_owner(task, struct question, task);
    struct weft_app *app = weft__weftd_app_find(question->host, question->app);
    question->event.text = question->text;
    if (app != NULL && app->freeze != NULL)
        weft__freeze_feed(app->freeze, &question->event);
    free(question);
}

static struct question *question_new(const struct weft_app *app, enum weft_freeze_event_kind kind)
{
    struct question *question = weft__must_alloc(1, sizeof(*question));
    *question = (struct question){
        .task = {.run = question_run}, .host = app->host, .app = app->id, .event = {.kind = kind}};
    return question;
}

/* On the client's thread. */
static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct question *question = ctx;
    question->event.err = err;
    question->event.owner = owner;
    weft__loop_must_post(question->host->asker.loop, &question->task);
}

static void ask_owner(const struct weft_app_freeze *freeze, const struct weft_freeze_action *action)
{
    struct weft_owner_ask ask = {.at = freeze->app->host->registry_at,
                                 .app = freeze->app->id,
                                 .rank = WEFT_KEY_OF_APP,
                                 .initial = {.host = freeze->app->first_home},
                                 .expect = action->expect,
                                 .want = action->want,
                                 .done = owner_known,
                                 .ctx = question_new(freeze->app, WEFT_FREEZE_ON_OWNER)};
    if (action->kind == WEFT_FREEZE_DO_CAS)
        weft__owner_cas(&ask);
    else
        weft__owner_read(&ask);
}

/* On the client's thread. */
static void keys_cleared(void *ctx, int err)
{
    struct question *question = ctx;
    question->event.err = err;
    snprintf(question->text, sizeof(question->text), "the registry cannot be reached");
    weft__loop_must_post(question->host->asker.loop, &question->task);
}

/* What moves of the app's earlier life have left would deceive those of the next. */
static void clear_keys(const struct weft_app_freeze *freeze)
{
    const struct weft_app *app = freeze->app;
    int32_t *ranks = weft__must_alloc(app->size, sizeof(*ranks));
    size_t n = 0;
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].key)
            ranks[n++] = (int32_t)r;
    weft__rank_keys_clear(
        &app->host->registry_at, app->id,
        &(struct weft_keys_clear){.ranks = ranks,
                                  .n = n,
                                  .done = keys_cleared,
                                  .ctx = question_new(app, WEFT_FREEZE_ON_CLEARED)});
    free(ranks);
}

/* ---- the store ---- */

static void written(struct weft_host *host, uint64_t id, int err, const char *text,
                    const ProtobufCBinaryData *bytes)
{
    struct weft_app *app = weft__weftd_app_find(host, id);
    (void)bytes;
    if (app != NULL && app->freeze != NULL)
        weft__freeze_feed(
            app->freeze,
            &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_WRITTEN, .err = err, .text = text});
}

/* Nobody could read it again. */
static void manifest_too_long(const struct weft_app *app, size_t len_bytes)
{
    struct question *question = question_new(app, WEFT_FREEZE_ON_WRITTEN);
    question->event.err = WEFT_EMSGSIZE;
    snprintf(question->text, sizeof(question->text),
             "its manifest has %zu bytes for %" PRIu32 " ranks, the limit is %u", len_bytes,
             app->size, WEFT_FRAME_BODY_MAX);
    weft__loop_must_post(app->host->asker.loop, &question->task);
}

static void write_manifest(struct weft_app_freeze *freeze)
{
    struct weft_app *app = freeze->app;
    struct weft_store_desc desc = {.what = WEFT_STORE_WRITE, .app = app->id, .done = written};
    prefix_of(freeze, false, freeze->prefix);
    freeze->frozen_wall_ms = weft__wall_ms();
    freeze->bytes = 0;
    for (uint32_t r = 0; r < app->size; r++)
        freeze->bytes += freeze->ranks[r].bytes;
    snprintf(desc.key, sizeof(desc.key), "%sapp", freeze->folder);
    weft__frozen_pack(app, &desc.bytes, &desc.len_bytes);
    if (desc.len_bytes <= WEFT_FRAME_BODY_MAX) {
        weft__weftd_store_do(app->host, &desc);
    } else {
        free(desc.bytes);
        manifest_too_long(app, desc.len_bytes);
    }
}

static void erased(struct weft_host *host, uint64_t id, int err, const char *text,
                   const ProtobufCBinaryData *bytes)
{
    (void)host;
    (void)bytes;
    if (err != WEFT_OK)
        weft__warn("app %" PRIx64 ": what was stored of it is not removed: %s", id, text);
}

static void erase_keys(const struct weft_app_freeze *freeze, const char *prefix)
{
    struct weft_store_desc desc = {
        .what = WEFT_STORE_ERASE, .app = freeze->app->id, .done = erased};
    snprintf(desc.key, sizeof(desc.key), "%s", prefix);
    weft__weftd_store_do(freeze->app->host, &desc);
}

/* What the freeze that was given up, or thawed, has left: the manifest first. The next freeze may
 * begin at once: its ranks have other keys, and its manifest is written after this. */
static void erase(const struct weft_app_freeze *freeze)
{
    char key[WEFT_FREEZE_KEY_MAX];
    bool thawed = freeze->machine.state == WEFT_FREEZE_IS_RUNNING && freeze->resumed;
    snprintf(key, sizeof(key), "%sapp", freeze->folder);
    erase_keys(freeze, key);
    prefix_of(freeze, thawed, key);
    erase_keys(freeze, key);
}

/* ---- how it ends ---- */

/* Longer each time that it fails. */
static uint64_t pause_ends(const struct weft_app_freeze *freeze)
{
    uint64_t wait_ms = (uint64_t)LOOK_MS << (freeze->failures < 6 ? freeze->failures : 6);
    return weft__now_ns() + (wait_ms < LOOK_MAX_MS ? wait_ms : LOOK_MAX_MS) * WEFT_NS_PER_MS;
}

static void tell(const struct weft_app_freeze *freeze, enum weft_event_kind kind, const char *text)
{
    weft__weftd_event(freeze->app->host, &(struct weft_event_note){.kind = kind,
                                                                   .app = freeze->app->id,
                                                                   .rank = WEFT_EVENT_NO_RANK,
                                                                   .n = {freeze->bytes},
                                                                   .text = {text}});
}

static void is_frozen(struct weft_app_freeze *freeze)
{
    struct weft_app *app = freeze->app;
    for (size_t i = 0; i < app->processes_n; i++) {
        struct weft_app_process *process = &app->processes[i];
        if (!process->dead && party_of(freeze, process->number) == freeze->machine.parties_n)
            weft__weftd_app_end_stray(app, process);
        process->dead = true;
        process->ranks = 0;
    }
    parties_clear(freeze);
    freeze->failures = 0;
    freeze->note[0] = '\0';
    weft__info("app %" PRIx64 " is frozen: %s; %" PRIu64 " bytes", app->id, freeze->cause,
               freeze->bytes);
    tell(freeze, WEFT_EVENT_APP_FROZEN, freeze->cause);
    weft__weftd_output_news(app);
    weft__freeze_await_room(freeze);
    end_asked(freeze, WEFT_OK, "");
}

/* What the registry keeps of the app is another home's now. */
static void disown(struct weft_app *app)
{
    app->app_key = false;
    for (uint32_t r = 0; r < app->size; r++)
        app->ranks[r].key = false;
}

static void is_thawed(struct weft_app_freeze *freeze)
{
    struct weft_app *app = freeze->app;
    app->state = WEFT_APP_RUNNING;
    weft__freeze_folder(freeze, app->host->name); /* another home may have written the last one */
    for (uint32_t r = 0; r < app->size; r++) {
        app->ranks[r].key = false;
        free(freeze->ranks[r].descriptor);
        freeze->ranks[r] = (struct weft_frozen_rank){0};
    }
    parties_clear(freeze);
    freeze->resumed = false;
    freeze->failures = 0;
    freeze->note[0] = '\0';
    weft__info("app %" PRIx64 " runs again", app->id);
    tell(freeze, WEFT_EVENT_APP_THAWED, "");
    weft__weftd_tell_placed(app);
    weft__weftd_output_news(app);
    weft__weftd_check_start(app);
    end_asked(freeze, WEFT_OK, "");
}

/* It was not thawed. */
static void is_kept(struct weft_app_freeze *freeze, const struct weft_freeze_action *action)
{
    struct weft_app *app = freeze->app;
    app->state = WEFT_APP_FROZEN;
    for (size_t i = freeze->first_process; i < app->processes_n; i++) {
        app->processes[i].dead = true;
        app->processes[i].ranks = 0;
    }
    parties_clear(freeze);
    freeze->failures++;
    snprintf(freeze->note, sizeof(freeze->note), "%s", action->text);
    weft__info("app %" PRIx64 " stays frozen: %s", app->id, action->text);
    tell(freeze, WEFT_EVENT_THAW_ABORTED, action->text);
    weft__freeze_await_room(freeze);
    /* The app is there; what is not is a file of it. */
    end_asked(freeze, action->err == WEFT_ENOENT ? WEFT_EIO : action->err, action->text);
}

static void has_stayed(struct weft_app_freeze *freeze, const struct weft_freeze_action *action)
{
    parties_clear(freeze);
    freeze->failures++;
    freeze->not_before_ns = pause_ends(freeze);
    snprintf(freeze->note, sizeof(freeze->note), "%s", action->text);
    weft__info("app %" PRIx64 " is not frozen: %s", freeze->app->id, action->text);
    tell(freeze, WEFT_EVENT_FREEZE_ABORTED, action->text);
    end_asked(freeze, action->err, action->text);
}

/* Does one action; false: the app ends, and nothing must be looked at any more. */
static bool perform(struct weft_app_freeze *freeze, const struct weft_freeze_action *action)
{
    switch (action->kind) {
    case WEFT_FREEZE_DO_ORDER:
        perform_order(freeze, action);
        break;
    case WEFT_FREEZE_DO_WRITE:
        write_manifest(freeze);
        break;
    case WEFT_FREEZE_DO_CAS:
    case WEFT_FREEZE_DO_READ_OWNER:
        ask_owner(freeze, action);
        break;
    case WEFT_FREEZE_DO_PLACE:
        freeze->first_process = freeze->app->processes_n;
        freeze->resumed = false;
        freeze->app->state = WEFT_APP_THAWING;
        weft__weftd_app_place(freeze->app, freeze->first_process);
        break;
    case WEFT_FREEZE_DO_CLEAR:
        clear_keys(freeze);
        break;
    case WEFT_FREEZE_DO_ERASE:
        erase(freeze);
        break;
    case WEFT_FREEZE_DO_STAYED:
        has_stayed(freeze, action);
        break;
    case WEFT_FREEZE_DO_FROZEN:
        is_frozen(freeze);
        break;
    case WEFT_FREEZE_DO_KEPT:
        is_kept(freeze, action);
        break;
    case WEFT_FREEZE_DO_THAWED:
        is_thawed(freeze);
        break;
    case WEFT_FREEZE_DO_LOST:
        weft__weftd_app_end(freeze->app, action->err, 1, "it is lost in a freeze or thaw: %s",
                            action->text);
        return false;
    case WEFT_FREEZE_DO_TAKEN:
        freeze->keep = true;
        disown(freeze->app);
        weft__weftd_app_end(freeze->app, WEFT_ESTALE, 1, "another host has thawed it");
        return false;
    }
    return true;
}

static void arm(struct weft_app_freeze *freeze)
{
    struct weft_loop *loop = freeze->app->host->asker.loop;
    uint64_t at = weft__freeze_deadline(&freeze->machine);
    if (at == WEFT_NEVER)
        weft__loop_timer_off(loop, &freeze->timer);
    else
        weft__loop_timer(loop, &freeze->timer, at);
}

void weft__freeze_feed(struct weft_app_freeze *freeze, const struct weft_freeze_event *event)
{
    size_t max = weft__freeze_actions_max(&freeze->machine);
    struct weft_freeze_action *actions = weft__must_alloc(max, sizeof(*actions));
    enum weft_freeze_state before = freeze->machine.state;
    size_t n = weft__freeze_step(&freeze->machine, event, weft__now_ns(), actions, max);
    if (freeze->machine.state != before)
        weft__debug("app %" PRIx64 ": %s: %s -> %s", freeze->app->id,
                    weft__freeze_event_name(event->kind), weft__freeze_state_name(before),
                    weft__freeze_state_name(freeze->machine.state));
    if (before == WEFT_FREEZE_IS_COMMITTING && freeze->machine.state != before) {
        freeze->app->state = WEFT_APP_FROZEN; /* from now on the store has it */
        weft__weftd_check_stop(freeze->app);
    }
    arm(freeze);
    bool goes_on = true;
    for (size_t i = 0; i < n && goes_on; i++)
        goes_on = perform(freeze, &actions[i]);
    free(actions);
}

static void ticked(struct weft_timer *timer)
{
    weft__freeze_feed(weft__loop_owner(timer, struct weft_app_freeze, timer),
                      &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_TICK});
}

/* ---- room for a thaw ---- */

struct room_look {
    struct weft_host *host;
    uint64_t app;
};

static void room_known(void *ctx, int err, const char *text)
{
    struct room_look *look = ctx;
    struct weft_app *app = weft__weftd_app_find(look->host, look->app);
    (void)text;
    free(look);
    if (app == NULL || app->freeze == NULL)
        return;
    app->freeze->looking = false;
    if (app->state != WEFT_APP_FROZEN || app->freeze->machine.state != WEFT_FREEZE_IS_FROZEN)
        return;
    if (err == WEFT_OK && weft__weftd_app_has_room(app))
        weft__freeze_feed(app->freeze, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_THAW});
    else
        weft__freeze_await_room(app->freeze);
}

static void look_for_room(struct weft_timer *timer)
{
    struct weft_app_freeze *freeze = weft__loop_owner(timer, struct weft_app_freeze, thaw_timer);
    struct weft_host *host = freeze->app->host;
    if (freeze->machine.state != WEFT_FREEZE_IS_FROZEN || freeze->looking || host->stopping ||
        host->leaving)
        return;
    struct room_look *look = weft__must_alloc(1, sizeof(*look));
    *look = (struct room_look){.host = host, .app = freeze->app->id};
    freeze->looking = true;
    weft__weftd_refresh(host, room_known, look);
}

void weft__freeze_await_room(struct weft_app_freeze *freeze)
{
    if (freeze->thaws_itself)
        weft__loop_timer(freeze->app->host->asker.loop, &freeze->thaw_timer, pause_ends(freeze));
}

void weft__weftd_freeze_room(struct weft_host *host)
{
    struct weft_app *app, *next;
    HASH_ITER(hh, host->apps, app, next)
    if (app->state == WEFT_APP_FROZEN && app->freeze != NULL && app->freeze->thaws_itself &&
        app->freeze->failures == 0)
        weft__loop_timer(host->asker.loop, &app->freeze->thaw_timer, weft__now_ns());
}

/* ---- what others of this host ask for ---- */

void weft__freeze_folder(struct weft_app_freeze *freeze, const char *home)
{
    snprintf(freeze->folder, sizeof(freeze->folder), "frozen/%s/%" PRIx64 "/", home,
             freeze->app->id);
}

struct weft_app_freeze *weft__freeze_new(struct weft_app *app, struct weft_move_owner owner)
{
    struct weft_app_freeze *freeze = weft__must_alloc(1, sizeof(*freeze));
    freeze->app = app;
    freeze->params = weft__freeze_defaults;
    freeze->params.save_ns = weft__config_u64("WEFT_FREEZE_DEADLINE_MS") * WEFT_NS_PER_MS;
    freeze->params.resolve_ns = weft__config_u64("WEFT_MOVE_DEADLINE_MS") * WEFT_NS_PER_MS;
    freeze->timer.fire = ticked;
    freeze->thaw_timer.fire = look_for_room;
    freeze->ranks = weft__must_alloc(app->size, sizeof(*freeze->ranks));
    weft__freeze_folder(freeze, app->host->name);
    app->app_key = true;
    weft__freeze_init(&freeze->machine, &freeze->params, app->home_id, owner);
    app->freeze = freeze;
    return freeze;
}

bool weft__weftd_freeze_busy(const struct weft_app *app)
{
    return app->freeze != NULL && weft__freeze_busy(&app->freeze->machine);
}

bool weft__weftd_freeze_is_set_up(const struct weft_host *host)
{
    (void)host;
    return weft__config_text("WEFT_SNAPSHOT_DIR")[0] != '\0';
}

bool weft__weftd_freeze_is_due(const struct weft_app *app)
{
    return app->freeze == NULL || weft__now_ns() >= app->freeze->not_before_ns;
}

static int may_freeze(const struct weft_app *app)
{
    if (app->state == WEFT_APP_FROZEN)
        return weft_fail(WEFT_EEXIST, "the app is frozen already");
    if (app->state != WEFT_APP_RUNNING)
        return weft_fail(WEFT_EBUSY, "the app does not run (yet, or any more)");
    if (!weft__weftd_freeze_is_set_up(app->host))
        return weft_fail(WEFT_ENOTSUP,
                         "host %s, the home of the app, stores no snapshots in files; start it "
                         "with WEFT_SNAPSHOT_DIR set to a folder",
                         app->host->name);
    if (weft__weftd_freeze_busy(app))
        return weft_fail(WEFT_EBUSY, "the app is being frozen or thawed already");
    if (app->plan != NULL)
        return weft_fail(WEFT_EBUSY, "a plan of this app is being carried out; try again");
    if (app->request->processes)
        return weft_fail(WEFT_EPINNED, "its ranks cannot be frozen: each " WEFT_APP_APART);
    if (app->forks != NULL)
        return weft_fail(WEFT_EBUSY,
                         "ranks of the app have forked threads, which cannot be frozen");
    return WEFT_OK;
}

int weft__weftd_freeze_begin(struct weft_app *app, const struct weft_freeze_wish *wish)
{
    int err = may_freeze(app);
    if (err != WEFT_OK)
        return err;
    struct weft_app_freeze *freeze =
        app->freeze != NULL ? app->freeze
                            : weft__freeze_new(app, (struct weft_move_owner){.host = app->home_id});
    freeze->asked = wish->asked;
    freeze->thaws_itself = wish->thaws_itself;
    snprintf(freeze->cause, sizeof(freeze->cause), "%s", wish->cause);
    parties_set(freeze, 0);
    weft__info("app %" PRIx64 " is to be frozen: %s", app->id, freeze->cause);
    tell(freeze, WEFT_EVENT_FREEZE_ASKED, freeze->cause);
    weft__freeze_feed(freeze, &(struct weft_freeze_event){.kind = WEFT_FREEZE_ON_FREEZE});
    return WEFT_OK;
}

bool weft__weftd_freeze_process_dead(struct weft_app *app, const struct weft_app_process *process,
                                     int err, const char *why)
{
    struct weft_app_freeze *freeze = app->freeze;
    if (!weft__weftd_freeze_busy(app))
        return app->state == WEFT_APP_FROZEN;
    struct weft_freeze_event event = {.kind = WEFT_FREEZE_ON_DEAD,
                                      .party = party_of(freeze, process->number),
                                      .err = process->ranks > 0 ? err : WEFT_OK,
                                      .text = why};
    if (event.party < freeze->machine.parties_n)
        weft__freeze_feed(freeze, &event);
    return true;
}

void weft__weftd_freeze_placed(struct weft_app *app, int err, const char *text)
{
    struct weft_app_freeze *freeze = app->freeze;
    char why[WEFT_FREEZE_TEXT_MAX];
    snprintf(why, sizeof(why), "%s", text);
    for (size_t i = freeze->first_process; i < app->processes_n && err == WEFT_OK; i++)
        if (app->processes[i].dead) {
            err = WEFT_EHOSTDEAD;
            snprintf(why, sizeof(why), "%s", app->processes[i].why);
        }
    parties_set(freeze, freeze->first_process);
    weft__freeze_feed(freeze, &(struct weft_freeze_event){
                                  .kind = WEFT_FREEZE_ON_PLACED, .err = err, .text = why});
}

/* What the processes tell of their ranks, before the machine hears that all is well. */
static void take_ranks(struct weft_app *app, const Weft__Host__FreezeAnswer *answer)
{
    for (size_t i = 0; i < answer->n_ranks; i++) {
        const Weft__Host__FrozenRank *from = answer->ranks[i];
        if (from->rank < 0 || (uint32_t)from->rank >= app->size)
            continue;
        struct weft_frozen_rank *rank = &app->freeze->ranks[from->rank];
        free(rank->descriptor);
        rank->descriptor = weft__must_copy(from->descriptor.data, from->descriptor.len);
        rank->len_bytes = from->descriptor.len;
        rank->bytes = from->bytes;
    }
}

/* A rank that the processes know to have ended, and whose end is on its way to us: it is awaited,
 * because its code decides what becomes of the app. */
static bool ends_are_known(const struct weft_app *app, const Weft__Host__FreezeAnswer *answer)
{
    for (size_t i = 0; i < answer->n_ranks; i++)
        if (answer->ranks[i]->ended && answer->ranks[i]->rank >= 0 &&
            (uint32_t)answer->ranks[i]->rank < app->size &&
            !app->ranks[answer->ranks[i]->rank].ended)
            return false;
    return true;
}

void weft__weftd_on_freeze_answer(void *ctx, struct weft_call *call,
                                  const ProtobufCMessage *request)
{
    const Weft__Host__FreezeAnswer *answer = (const Weft__Host__FreezeAnswer *)request;
    struct weft_app *app = weft__weftd_app_of(ctx, answer->app, answer->token, call);
    if (app == NULL)
        return;
    struct weft_app_freeze *freeze = app->freeze;
    if (freeze != NULL && answer->number == freeze->machine.number && ends_are_known(app, answer)) {
        struct weft_freeze_event event = {.kind = WEFT_FREEZE_ON_ANSWER,
                                          .party = party_of(freeze, answer->process),
                                          .order = (enum weft_freeze_order)answer->order,
                                          .number = answer->number,
                                          .round = answer->round,
                                          .waits = answer->waits,
                                          .lowest = answer->lowest,
                                          .err = answer->err <= 0 ? answer->err : WEFT_EPROTO,
                                          .text = answer->text};
        if (freeze->machine.state == WEFT_FREEZE_IS_SAVING)
            take_ranks(app, answer);
        if (event.party < freeze->machine.parties_n)
            weft__freeze_feed(freeze, &event);
    }
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

void weft__weftd_freeze_free(struct weft_app *app, const char *reason)
{
    struct weft_app_freeze *freeze = app->freeze;
    if (freeze == NULL)
        return;
    weft__loop_timer_off(app->host->asker.loop, &freeze->timer);
    weft__loop_timer_off(app->host->asker.loop, &freeze->thaw_timer);
    end_asked(freeze, WEFT_ECANCELED, reason);
    if (freeze->keep)
        app->app_key = false;
    else
        erase_keys(freeze, freeze->folder);
    for (uint32_t r = 0; r < app->size; r++)
        free(freeze->ranks[r].descriptor);
    parties_clear(freeze);
    free(freeze->ranks);
    free(freeze);
    app->freeze = NULL;
}
