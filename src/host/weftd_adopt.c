/* Taking over apps that lie in the store and are at home nowhere.
 *
 * The registry's key of the app says whether what lies there counts, and decides between two who
 * try: it is read before the store is, and the thaw expects what was read, so a manifest that was
 * current when it was read is thawed or none. A manifest's key begins with the name of the home
 * that wrote it. Of several, which there are when a home could not remove what it had written, the
 * one with the highest number of a freeze counts; one that cannot be read might have been that, so
 * nothing is thawed then.
 *
 * A weftd that starts takes back what its predecessor has left, one app after the other, and
 * removes what the registry does not know as frozen, or another home has frozen since. What another
 * home has left is taken over when somebody asks for it: that home may be alive.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/keys.h"
#include "host/weftd_freeze.h"
#include "host/weftd_store.h"
#include "wire/message.h"

/* Keys one behind the other, each with its '\0'. */
struct keys {
    char *at;
    size_t len;
};

struct weft_adoption {
    struct weft_task task;
    struct weft_host *host;
    uint64_t app;
    struct weft_call *asked; /* weft thaw; NULL: our predecessor has left it */
    int err;
    struct weft_move_owner owner;
    struct keys manifests;
    size_t next;                   /* manifest to read, as an offset */
    Weft__Host__FrozenApp *frozen; /* the newest of those that were read */
};

/* What an earlier weftd of our name has left. */
struct weft_recovery {
    uint64_t *apps;
    struct weft_move_owner *owners; /* host UINT64_MAX: not known */
    size_t n, at;
    struct keys keys; /* of all homes */
    struct weft_task task;
    struct weft_host *host;
    int err;
    struct weft_move_owner owner;
};

static void recover_next(struct weft_host *host);

/* ---- keys ---- */

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

static void keys_add(struct keys *keys, const char *key)
{
    size_t len = strlen(key) + 1;
    keys->at = weft__must_grow(keys->at, keys->len + len, 1);
    memcpy(keys->at + keys->len, key, len);
    keys->len += len;
}

static struct keys manifests_of(const uint8_t *all, size_t len, uint64_t app)
{
    struct keys keys = {0};
    for (size_t at = 0; at < len; at += strlen((const char *)all + at) + 1) {
        bool manifest;
        if (app_of_key((const char *)all + at, &manifest) == app && manifest)
            keys_add(&keys, (const char *)all + at);
    }
    return keys;
}

/* ---- an adoption ---- */

static struct weft_adoption *adoption_find(struct weft_host *host, uint64_t app)
{
    for (size_t i = 0; i < host->adoptions.n; i++)
        if (host->adoptions.at[i]->app == app)
            return host->adoptions.at[i];
    return NULL;
}

/* One per app at a time, and there is room. */
static struct weft_adoption *adoption_new(struct weft_host *host, uint64_t app)
{
    struct weft_adoption *adoption = weft__must_alloc(1, sizeof(*adoption));
    *adoption = (struct weft_adoption){.host = host, .app = app};
    weft__check(host->adoptions.n < WEFT_ADOPTIONS_MAX);
    host->adoptions.at[host->adoptions.n++] = adoption;
    return adoption;
}

static void adoption_free(struct weft_adoption *adoption)
{
    struct weft_host *host = adoption->host;
    struct weft_adoptions *all = &host->adoptions;
    bool recovered = adoption->asked == NULL;
    size_t i = 0;
    while (all->at[i] != adoption)
        i++;
    all->at[i] = all->at[--all->n];
    weft__message_free((ProtobufCMessage *)adoption->frozen);
    free(adoption->manifests.at);
    free(adoption);
    if (recovered)
        recover_next(host);
}

static void refuse(struct weft_adoption *adoption, int err, const char *text)
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

static void adopt(struct weft_adoption *adoption)
{
    struct weft_host *host = adoption->host;
    struct weft_call *asked = adoption->asked;
    if (weft__weftd_app_find(host, adoption->app) != NULL) {
        refuse(adoption, WEFT_EBUSY, "the app is being taken over already");
        return;
    }
    if (asked == NULL && strcmp(adoption->frozen->home, host->name) != 0) {
        erase_waste(host, adoption->app);
        refuse(adoption, WEFT_ESTALE, "another host has frozen it since");
        return;
    }
    struct weft_app *app = weft__frozen_unpack(host, adoption->frozen, adoption->owner);
    if (app == NULL) {
        refuse(adoption, WEFT_ENOMEM, "no memory for so many ranks");
        return;
    }
    weft__info("app %" PRIx64 " is at home here now, frozen", app->id);
    if (asked != NULL)
        weft__frozen_thaw(app, asked);
    else
        weft__freeze_await_room(app->freeze);
    adoption_free(adoption);
}

static void manifest_read(struct weft_host *host, uint64_t id, int err, const char *text,
                          const ProtobufCBinaryData *bytes);

/* The next manifest; after the last one the newest counts. */
static void read_next(struct weft_adoption *adoption)
{
    struct weft_store_desc desc = {
        .what = WEFT_STORE_READ, .app = adoption->app, .done = manifest_read};
    if (adoption->next < adoption->manifests.len) {
        const char *key = adoption->manifests.at + adoption->next;
        adoption->next += strlen(key) + 1;
        snprintf(desc.key, sizeof(desc.key), "%s", key);
        weft__weftd_store_do(adoption->host, &desc);
    } else if (adoption->frozen != NULL) {
        adopt(adoption);
    } else {
        refuse(adoption, WEFT_ENOENT, "no such app is at home here, nor in this host's store");
    }
}

static void manifest_read(struct weft_host *host, uint64_t id, int err, const char *text,
                          const ProtobufCBinaryData *bytes)
{
    struct weft_adoption *adoption = adoption_find(host, id);
    ProtobufCMessage *message = NULL;
    if (adoption == NULL)
        return;
    if (err == WEFT_OK) {
        err = weft__message_decode(&weft__host__frozen_app__descriptor, bytes->data, bytes->len,
                                   &message);
        if (err == WEFT_OK)
            err = weft__frozen_check((const Weft__Host__FrozenApp *)message);
        text = weft_fail_text(err);
    }
    if (err == WEFT_OK && ((const Weft__Host__FrozenApp *)message)->app != id) {
        err = WEFT_EPROTO;
        text = "the manifest of the app is another app's";
    }
    if (err != WEFT_OK) {
        weft__message_free(message);
        refuse(adoption, err, text);
        return;
    }
    Weft__Host__FrozenApp *frozen = (Weft__Host__FrozenApp *)message;
    if (adoption->frozen != NULL && adoption->frozen->number > frozen->number) {
        weft__message_free(message);
    } else {
        weft__message_free((ProtobufCMessage *)adoption->frozen);
        adoption->frozen = frozen;
    }
    read_next(adoption);
}

/* ---- weft thaw of an app that is not known here ---- */

static void listed(struct weft_host *host, uint64_t id, int err, const char *text,
                   const ProtobufCBinaryData *keys)
{
    struct weft_adoption *adoption = adoption_find(host, id);
    if (adoption == NULL)
        return;
    if (err != WEFT_OK) {
        refuse(adoption, err, text);
        return;
    }
    adoption->manifests = manifests_of(keys->data, keys->len, id);
    read_next(adoption);
}

static void owner_task(struct weft_task *task)
{
    struct weft_adoption *adoption = weft__loop_owner(task, struct weft_adoption, task);
    if (adoption->host->stopping)
        refuse(adoption, WEFT_ESHUTDOWN, "the host is shutting down");
    else if (adoption->err != WEFT_OK)
        refuse(adoption, WEFT_EREGISTRY, "the registry cannot be reached");
    else if (adoption->owner.host == UINT64_MAX)
        refuse(adoption, WEFT_ENOENT,
               "no such app is at home here, and the registry does not know it as frozen");
    else if (adoption->owner.host != WEFT_FREEZE_STORE)
        refuse(adoption, WEFT_ENOENT, "the registry does not know it as frozen");
    else
        weft__weftd_store_do(adoption->host, &(struct weft_store_desc){.what = WEFT_STORE_LIST,
                                                                       .app = adoption->app,
                                                                       .key = "frozen/",
                                                                       .done = listed});
}

/* On the client's thread. */
static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct weft_adoption *adoption = ctx;
    adoption->err = err;
    adoption->owner = owner;
    weft__loop_must_post(adoption->host->asker.loop, &adoption->task);
}

static void ask_registry(struct weft_host *host, uint64_t app, weft_owner_done *done, void *ctx)
{
    weft__owner_read(&(struct weft_owner_ask){.at = host->registry_at,
                                              .app = app,
                                              .rank = WEFT_KEY_OF_APP,
                                              .initial = {.host = UINT64_MAX},
                                              .done = done,
                                              .ctx = ctx});
}

void weft__weftd_adopt(struct weft_host *host, uint64_t app, struct weft_call *asked)
{
    if (adoption_find(host, app) != NULL) {
        weft__call_fail(asked, WEFT_EBUSY, "the app is being taken over already");
        return;
    }
    if (host->adoptions.n + 1 >= WEFT_ADOPTIONS_MAX) { /* one is the recovery's */
        weft__call_fail(asked, WEFT_EAGAIN, "this host takes many apps over just now; try again");
        return;
    }
    struct weft_adoption *adoption = adoption_new(host, app);
    adoption->asked = asked;
    adoption->task.run = owner_task;
    ask_registry(host, app, owner_known, adoption);
}

/* ---- what an earlier weftd of our name has left ---- */

static void recovery_free(struct weft_host *host)
{
    struct weft_recovery *recovery = host->adoptions.recovery;
    if (recovery == NULL)
        return;
    free(recovery->apps);
    free(recovery->owners);
    free(recovery->keys.at);
    free(recovery);
    host->adoptions.recovery = NULL;
}

/* Whether an adoption of the app has begun. What a registry does not know may be another cluster's,
 * or it has lost its log: it stays. */
static bool recover_app(struct weft_host *host, uint64_t app, struct weft_move_owner owner)
{
    struct weft_recovery *recovery = host->adoptions.recovery;
    if (weft__weftd_app_find(host, app) != NULL || adoption_find(host, app) != NULL ||
        owner.host == UINT64_MAX)
        return false;
    if (owner.host != WEFT_FREEZE_STORE) {
        erase_waste(host, app);
        return false;
    }
    struct keys manifests =
        manifests_of((const uint8_t *)recovery->keys.at, recovery->keys.len, app);
    if (manifests.len == 0)
        return false;
    struct weft_adoption *adoption = adoption_new(host, app);
    adoption->owner = owner;
    adoption->manifests = manifests;
    read_next(adoption);
    return true;
}

static void recover_next(struct weft_host *host)
{
    struct weft_recovery *recovery = host->adoptions.recovery;
    while (recovery != NULL && !host->stopping && recovery->at < recovery->n) {
        size_t i = recovery->at++;
        if (recover_app(host, recovery->apps[i], recovery->owners[i]))
            return; /* its end goes on here */
    }
    recovery_free(host);
}

static void listed_all(struct weft_host *host, uint64_t none, int err, const char *text,
                       const ProtobufCBinaryData *keys)
{
    struct weft_recovery *recovery = host->adoptions.recovery;
    (void)none;
    if (err != WEFT_OK) {
        weft__warn("frozen apps in the store are not taken over: %s", text);
        recovery_free(host);
        return;
    }
    recovery->keys.at = weft__must_copy(keys->data, keys->len);
    recovery->keys.len = keys->len;
    recovery->at = 0;
    recover_next(host);
}

static void recovery_owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct weft_recovery *recovery = ctx;
    recovery->err = err;
    recovery->owner = owner;
    weft__loop_must_post(recovery->host->asker.loop, &recovery->task);
}

/* The owners of all apps first, then what the store has of them. */
static void recovery_ask(struct weft_recovery *recovery)
{
    struct weft_store_desc desc = {.what = WEFT_STORE_LIST, .key = "frozen/", .done = listed_all};
    if (recovery->at < recovery->n)
        ask_registry(recovery->host, recovery->apps[recovery->at], recovery_owner_known, recovery);
    else
        weft__weftd_store_do(recovery->host, &desc);
}

static void recovery_owner_task(struct weft_task *task)
{
    struct weft_recovery *recovery = weft__loop_owner(task, struct weft_recovery, task);
    struct weft_move_owner unknown = {.host = UINT64_MAX};
    if (recovery->host->stopping)
        return; /* freed with the host */
    if (recovery->err != WEFT_OK)
        weft__info("app %" PRIx64 " in the store is not taken over: the registry cannot be reached",
                   recovery->apps[recovery->at]);
    recovery->owners[recovery->at++] = recovery->err == WEFT_OK ? recovery->owner : unknown;
    recovery_ask(recovery);
}

/* Keys are sorted: an app's come together. */
static void listed_ours(struct weft_host *host, uint64_t none, int err, const char *text,
                        const ProtobufCBinaryData *keys)
{
    struct weft_recovery *recovery = host->adoptions.recovery;
    (void)none;
    if (err != WEFT_OK)
        weft__warn("frozen apps in the store are not looked for: %s", text);
    for (size_t at = 0; err == WEFT_OK && at < keys->len;
         at += strlen((const char *)keys->data + at) + 1) {
        bool manifest;
        uint64_t app = app_of_key((const char *)keys->data + at, &manifest);
        if (app == 0 || (recovery->n > 0 && recovery->apps[recovery->n - 1] == app))
            continue;
        recovery->apps = weft__must_grow(recovery->apps, recovery->n + 1, sizeof(*recovery->apps));
        recovery->apps[recovery->n++] = app;
    }
    if (recovery->n == 0) {
        recovery_free(host);
        return;
    }
    recovery->owners = weft__must_alloc(recovery->n, sizeof(*recovery->owners));
    recovery_ask(recovery);
}

void weft__weftd_frozen_recover(struct weft_host *host)
{
    struct weft_store_desc desc = {.what = WEFT_STORE_LIST, .done = listed_ours};
    if (!weft__weftd_freeze_is_set_up(host))
        return;
    struct weft_recovery *recovery = weft__must_alloc(1, sizeof(*recovery));
    recovery->host = host;
    recovery->task.run = recovery_owner_task;
    host->adoptions.recovery = recovery;
    snprintf(desc.key, sizeof(desc.key), "frozen/%s/", host->name);
    weft__weftd_store_do(host, &desc);
}

void weft__weftd_frozen_fini(struct weft_host *host)
{
    recovery_free(host); /* first: what ends now is followed by nothing */
    const struct weft_adoptions all = host->adoptions; /* each takes itself out */
    for (size_t i = 0; i < all.n; i++)
        refuse(all.at[i], WEFT_ESHUTDOWN, "the host is shutting down");
}
