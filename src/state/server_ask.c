/* Questions to the registry, each a claim machine with the call that waits for its end.
 *
 * An asking lives from the call to the machine's end; steps are taken on the client's thread, or on
 * the service's where it has to wait. A claim that this host wins when it can no longer keep the
 * value (it was declared dead meanwhile) is released again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/parse.h"
#include "state/parts.h"
#include "weft/error.h"

enum { HEALING_MAX = 16, CONFIRMING_MAX = 32, CONFIRM_AGAIN_MS = 100 };

struct asking {
    struct weft__state_job job;
    struct weft_state_server *server;
    struct weft_call *call; /* NULL: nobody waits */
    void (*ended)(struct asking *asking, int err);
    char user[WEFT_STATE_USER_MAX + 1], name[WEFT_STATE_KEY_MAX + 1];
    char key[WEFT_REGISTRY_KEY_MAX + 1];
    struct weft_claiming claiming;
    struct weft_claim own; /* CREATE */
    uint8_t own_bytes[WEFT_CLAIM_BYTES_MAX];
    size_t own_len;
    struct weft_registry_cas cas; /* as it was last sent */
    uint64_t registry_epoch;      /* of the newest answer */
};

static void go(struct asking *asking, struct weft_claim_step step);

/* ---- steps and answers ---- */

/* What the registry holds, as a claim; none: epoch 0. */
static int standing_of(const struct weft_registry_reply *reply, struct weft_claim *claim_out)
{
    memset(claim_out, 0, sizeof(*claim_out));
    if (reply->revision == 0)
        return WEFT_OK;
    return weft__claim_decode(reply->value, reply->value_len, reply->revision, claim_out);
}

static void got(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct asking *asking = ctx;
    struct weft_claim claim = {.epoch = 0};
    if (err != WEFT_OK)
        weft_fail(err, "%s", text != NULL ? text : weft_error_text(err));
    else
        err = standing_of(reply, &claim);
    if (reply != NULL)
        asking->registry_epoch = reply->epoch;
    go(asking, weft__claim_got(&asking->claiming, err, &claim));
}

static void set(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct asking *asking = ctx;
    struct weft_claim claim = {.epoch = 0};
    bool settled = false;
    if (err != WEFT_OK) {
        weft_fail(err, "%s", text != NULL ? text : weft_error_text(err));
    } else {
        settled = weft__registry_cas_settled(&asking->cas, reply);
        asking->registry_epoch = reply->epoch;
        err = standing_of(reply, &claim);
        if (err != WEFT_OK && asking->claiming.want != WEFT_CLAIM_CREATE)
            err = WEFT_OK; /* whatever stands, it is not what was to go */
    }
    go(asking, weft__claim_set(&asking->claiming, weft__now_ns(), err, settled, &claim));
}

static void listed(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct asking *asking = ctx;
    enum weft_life life = WEFT_LIFE_ALIVE;
    if (err != WEFT_OK)
        weft_fail(err, "%s", text != NULL ? text : weft_error_text(err));
    else
        life = weft__claim_life(&asking->claiming.standing, reply->hosts, reply->hosts_n);
    go(asking, weft__claim_listed(&asking->claiming, weft__now_ns(), err, life,
                                  err == WEFT_OK ? reply->epoch : 0));
}

static void woken(struct weft__state_job *job, bool stopping)
{
    struct asking *asking = (struct asking *)(void *)job;
    if (stopping)
        asking->ended(asking, weft_fail(WEFT_ESHUTDOWN, "the host shuts down"));
    else
        go(asking, weft__claim_woken(&asking->claiming));
}

static int change_key(struct asking *asking, const struct weft_claim_step *step)
{
    asking->cas = (struct weft_registry_cas){.key = asking->key};
    if (step->what == WEFT_CLAIM_ERASE) {
        asking->cas.erase = true;
        asking->cas.expected = step->expected;
        asking->cas.epoch = step->registry_epoch;
    } else {
        asking->cas.value = asking->own_bytes;
        asking->cas.value_len = asking->own_len;
    }
    return weft__registry_cas(asking->server->desc.registry, &asking->cas, set, asking);
}

/* Begins a step; an error: it was not begun. The asking may be gone when this returns WEFT_OK. */
static int begin_step(struct asking *asking, const struct weft_claim_step *step)
{
    const struct weft_registry_at *at = asking->server->desc.registry;
    switch (step->what) {
    case WEFT_CLAIM_GET:
        return weft__registry_get(at, asking->key, got, asking);
    case WEFT_CLAIM_CAS:
    case WEFT_CLAIM_ERASE:
        return change_key(asking, step);
    case WEFT_CLAIM_LIST:
        return weft__registry_list(at, listed, asking);
    case WEFT_CLAIM_WAIT:
        asking->job.run = woken;
        asking->job.at_ns = step->until_ns;
        weft__state_post(asking->server, &asking->job);
        return WEFT_OK;
    default:
        asking->ended(asking, step->err);
        return WEFT_OK;
    }
}

/* What a step that could not be begun comes to. */
static struct weft_claim_step not_begun(struct asking *asking, enum weft_claim_do what, int err)
{
    struct weft_claim none = {.epoch = 0};
    if (what == WEFT_CLAIM_GET)
        return weft__claim_got(&asking->claiming, err, &none);
    if (what == WEFT_CLAIM_LIST)
        return weft__claim_listed(&asking->claiming, weft__now_ns(), err, WEFT_LIFE_ALIVE, 0);
    return weft__claim_set(&asking->claiming, weft__now_ns(), err, false, &none);
}

static void go(struct asking *asking, struct weft_claim_step step)
{
    int err;
    while ((err = begin_step(asking, &step)) != WEFT_OK)
        step = not_begun(asking, step.what, err);
}

/* The registry is known from the first join on. */
static int may_ask(struct weft_state_server *server, uint64_t *dead_ns_out)
{
    weft__state_lock(server);
    bool left = server->left;
    *dead_ns_out = server->dead_ms * WEFT_NS_PER_MS;
    uint64_t lease_ns = server->main.lease_until_ns;
    weft__state_unlock(server);
    if (left)
        return weft_fail(WEFT_ESHUTDOWN, "the host shuts down");
    if (lease_ns == 0)
        return weft_fail(WEFT_EAGAIN, "this host has not joined the registry yet");
    return WEFT_OK;
}

/* NULL: the call is answered. */
static struct asking *asking_new(struct weft_state_server *server, struct weft_call *call,
                                 const char *user, const char *name, enum weft_claim_want want)
{
    char key[WEFT_REGISTRY_KEY_MAX + 1];
    uint64_t dead_ns;
    int err = weft__claim_key(user, name, key);
    struct asking *asking = err == WEFT_OK ? calloc(1, sizeof(*asking)) : NULL;
    if (err == WEFT_OK && asking == NULL)
        err = weft_fail(WEFT_ENOMEM, "no memory for a question");
    if (err == WEFT_OK)
        err = may_ask(server, &dead_ns);
    if (err != WEFT_OK) {
        free(asking);
        if (call != NULL)
            weft__state_fail(call, err);
        return NULL;
    }
    asking->server = server;
    asking->call = call;
    memcpy(asking->user, user, strlen(user) + 1);
    memcpy(asking->name, name, strlen(name) + 1);
    memcpy(asking->key, key, sizeof(key));
    asking->claiming = (struct weft_claiming){
        .want = want, .user = asking->user, .key = asking->name, .dead_ns = dead_ns};
    return asking;
}

/* ---- resolve ---- */

static void answer_claim(struct weft_call *call, const struct weft_claim *claim)
{
    Weft__State__ResolveReply reply = WEFT__STATE__RESOLVE_REPLY__INIT;
    reply.host = (char *)(uintptr_t)claim->host;
    reply.incarnation = claim->incarnation;
    reply.url = (char *)(uintptr_t)claim->url;
    reply.async_url = (char *)(uintptr_t)claim->async_url;
    reply.epoch = claim->epoch;
    weft__call_reply(call, &reply.base);
}

static void resolved(struct asking *asking, int err)
{
    if (err != WEFT_OK)
        weft__state_fail(asking->call, err);
    else
        answer_claim(asking->call, &asking->claiming.standing);
    free(asking);
}

static void released(struct asking *asking, int err)
{
    (void)err;
    if (asking->call != NULL)
        weft__call_fail_again(asking->call, 50,
                              "the host was declared dead while it created the value");
    free(asking);
}

static void created(struct asking *asking, int err)
{
    struct weft_state_server *server = asking->server;
    struct weft_claiming *claiming = &asking->claiming;
    bool won = err == WEFT_OK && claiming->won, kept = true;
    weft__state_lock(server);
    if (server->incarnation == asking->own.incarnation) {
        weft__main_claimed(&server->main, asking->user, asking->name,
                           won ? claiming->standing.epoch : 0, asking->registry_epoch);
        const struct weft_kept *value = weft__main_kept(&server->main, asking->user, asking->name);
        kept = value != NULL && value->epoch == claiming->standing.epoch;
    } else {
        kept = false;
    }
    weft__state_unlock(server);
    if (!won || kept) {
        resolved(asking, err);
        return;
    }
    claiming->want = WEFT_CLAIM_RELEASE;
    asking->ended = released;
    go(asking, weft__claim_start(claiming));
}

/* With the lock: notes the value that is to be created, and who claims it. EEXIST: it is here. */
static int reserve(struct asking *asking, uint64_t size)
{
    struct weft_state_server *server = asking->server;
    struct weft_claim *own = &asking->own;
    own->incarnation = server->incarnation;
    memcpy(own->host, server->host, sizeof(own->host));
    memcpy(own->url, server->url, sizeof(own->url));
    memcpy(own->async_url, server->async_url, sizeof(own->async_url));
    if (weft__now_ns() >= server->main.lease_until_ns)
        return weft_fail(WEFT_EREGISTRY, "host %s has not heard from the registry for too long",
                         server->host);
    int err = weft__claim_encode(own, ++server->nonces, asking->own_bytes, &asking->own_len);
    if (err == WEFT_OK)
        err = weft__main_claim(&server->main, asking->user, asking->name, size);
    if (err == WEFT_EEXIST)
        own->epoch = weft__main_kept(&server->main, asking->user, asking->name)->epoch;
    return err;
}

static void create(struct asking *asking, uint64_t size)
{
    weft__state_lock(asking->server);
    int err = reserve(asking, size);
    weft__state_unlock(asking->server);
    if (err == WEFT_OK) {
        asking->ended = created;
        go(asking, weft__claim_start(&asking->claiming));
        return;
    }
    if (err == WEFT_EEXIST)
        asking->claiming.standing = asking->own;
    resolved(asking, err == WEFT_EEXIST ? WEFT_OK : err);
}

void weft__state_on_resolve(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__ResolveRequest *request = (const Weft__State__ResolveRequest *)message;
    enum weft_claim_want want = request->create  ? WEFT_CLAIM_CREATE
                                : request->check ? WEFT_CLAIM_CHECK
                                                 : WEFT_CLAIM_FIND;
    struct asking *asking = asking_new(ctx, call, request->user, request->key, want);
    if (asking == NULL)
        return;
    asking->ended = resolved;
    if (request->create)
        create(asking, request->size);
    else
        go(asking, weft__claim_start(&asking->claiming));
}

/* ---- claims after a restart of the registry ---- */

static void confirm_again(struct weft__state_job *job, bool stopping)
{
    struct asking *asking = (struct asking *)(void *)job;
    struct weft_state_server *server = asking->server;
    free(asking);
    if (!stopping)
        weft__state_confirm(server);
}

static void confirmed(struct asking *asking, int err)
{
    struct weft_state_server *server = asking->server;
    bool known = err == WEFT_OK || err == WEFT_ENOENT;
    weft__state_lock(server);
    struct weft_kept *kept = weft__main_kept(&server->main, asking->user, asking->name);
    if (kept != NULL && known)
        weft__main_confirmed(&server->main, kept,
                             err == WEFT_OK ? asking->claiming.standing.epoch : 0,
                             asking->registry_epoch);
    else if (kept != NULL)
        kept->asked = false;
    server->confirming--;
    weft__state_unlock(server);
    asking->job.run = confirm_again;
    asking->job.at_ns = known ? 0 : weft__now_ns() + CONFIRM_AGAIN_MS * WEFT_NS_PER_MS;
    weft__state_post(server, &asking->job);
}

/* Asks for one.  false: there is none, or enough are being asked for. */
static bool confirm_one(struct weft_state_server *server)
{
    char user[WEFT_STATE_USER_MAX + 1], name[WEFT_STATE_KEY_MAX + 1];
    weft__state_lock(server);
    struct weft_kept *kept = server->left || server->confirming >= CONFIRMING_MAX
                                 ? NULL
                                 : weft__main_unsure(&server->main);
    if (kept != NULL) {
        size_t len = strlen(kept->name);
        server->confirming++;
        memcpy(user, kept->name, len + 1);
        memcpy(name, kept->name + len + 1, kept->name_len - len);
    }
    weft__state_unlock(server);
    if (kept == NULL)
        return false;
    struct asking *asking = asking_new(server, NULL, user, name, WEFT_CLAIM_FIND);
    if (asking == NULL) { /* no memory, or shutting down: the next beat tries again */
        weft__state_lock(server);
        server->confirming--;
        kept = weft__main_kept(&server->main, user, name);
        if (kept != NULL)
            kept->asked = false;
        weft__state_unlock(server);
        return false;
    }
    asking->ended = confirmed;
    go(asking, weft__claim_start(&asking->claiming));
    return true;
}

void weft__state_confirm(struct weft_state_server *server)
{
    while (confirm_one(server))
        ;
}

/* ---- claims that nobody knows of ---- */

static void healed(struct asking *asking, int err)
{
    (void)err;
    weft__state_lock(asking->server);
    asking->server->healing--;
    weft__state_unlock(asking->server);
    free(asking);
}

/* With what stands: is it ours, and do we not have it? */
static void heal_looked(struct asking *asking, int err)
{
    struct weft_state_server *server = asking->server;
    weft__state_lock(server);
    struct weft_claim own = {.incarnation = server->incarnation};
    memcpy(own.host, server->host, sizeof(own.host));
    bool orphan = err == WEFT_OK &&
                  weft__claim_is_orphan(&asking->claiming.standing, &own,
                                        weft__main_kept(&server->main, asking->user, asking->name));
    weft__state_unlock(server);
    asking->ended = healed;
    if (!orphan) {
        healed(asking, WEFT_OK);
        return;
    }
    asking->claiming.want = WEFT_CLAIM_RELEASE;
    go(asking, weft__claim_start(&asking->claiming));
}

void weft__state_heal(struct weft_state_server *server, const char *user, const char *key)
{
    weft__state_lock(server);
    bool may = !server->left && server->healing < HEALING_MAX;
    server->healing += may;
    weft__state_unlock(server);
    if (!may)
        return;
    struct asking *asking = asking_new(server, NULL, user, key, WEFT_CLAIM_FIND);
    if (asking == NULL) {
        weft__state_lock(server);
        server->healing--;
        weft__state_unlock(server);
        return;
    }
    asking->ended = heal_looked;
    go(asking, weft__claim_start(&asking->claiming));
}

/* ---- delete ---- */

static void dropped(struct asking *asking, int err)
{
    if (err != WEFT_OK)
        weft__state_fail(asking->call, err);
    else
        weft__call_reply(asking->call, NULL);
    free(asking);
}

void weft__state_on_drop(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__DropRequest *request = (const Weft__State__DropRequest *)message;
    struct asking *asking = asking_new(ctx, call, request->user, request->key, WEFT_CLAIM_DROP);
    if (asking == NULL)
        return;
    asking->ended = dropped;
    go(asking, weft__claim_start(&asking->claiming));
}

static void deleted(struct asking *asking, int err)
{
    struct weft_state_server *server = asking->server;
    weft__state_lock(server);
    struct weft_kept *kept = weft__main_kept(&server->main, asking->user, asking->name);
    if (kept != NULL && kept->state == WEFT_KEPT_DELETING) {
        if (err == WEFT_OK)
            weft__main_delete(&server->main, kept);
        else
            kept->state = WEFT_KEPT_ACTIVE; /* the claim stands: nothing was changed */
    }
    weft__state_unlock(server);
    dropped(asking, err);
}

void weft__state_on_delete(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__DeleteRequest *request = (const Weft__State__DeleteRequest *)message;
    struct weft_state_place place = {request->user, request->key, request->epoch};
    struct weft_kept *kept;
    char why[256];
    struct asking *asking =
        asking_new(server, call, request->user, request->key, WEFT_CLAIM_RELEASE);
    if (asking == NULL)
        return;
    asking->ended = deleted;
    asking->claiming.standing.epoch = request->epoch;
    weft__state_lock(server);
    int err = weft__main_find(&server->main, weft__now_ns(), &place, &kept);
    if (err == WEFT_OK)
        weft__main_delete_begin(kept);
    else
        snprintf(why, sizeof(why), "%s", weft_fail_text(err));
    weft__state_unlock(server);
    if (err == WEFT_ESTALE)
        weft__state_heal(server, request->user, request->key);
    if (err != WEFT_OK)
        dropped(asking, weft_fail(err, "%s", why));
    else
        go(asking, weft__claim_start(&asking->claiming));
}

/* ---- hosts ---- */

struct hosts_asking {
    struct weft_state_server *server;
    struct weft_call *call;
};

/* The state service's url of a host; false: its url has no port. */
static bool url_of(const struct weft_state_server *server, const struct weft_registry_host *host,
                   char url_out[WEFT_STATE_URL_MAX])
{
    const char *colon = strrchr(host->control, ':');
    uint64_t port;
    if (colon == NULL || weft__parse_u64(colon + 1, 1, 65535, &port) != WEFT_OK)
        return false;
    snprintf(url_out, WEFT_STATE_URL_MAX, "%.*s:%u", (int)(colon - host->control), host->control,
             (unsigned)port + server->desc.port_offset);
    return true;
}

static void hosts_listed(void *ctx, int err, const char *text,
                         const struct weft_registry_reply *reply)
{
    struct hosts_asking *asking = ctx;
    Weft__State__HostsReply answer = WEFT__STATE__HOSTS_REPLY__INIT;
    if (err != WEFT_OK) {
        weft__call_fail(asking->call, err, text);
        free(asking);
        return;
    }
    char(*urls)[WEFT_STATE_URL_MAX] = weft__must_alloc(reply->hosts_n, sizeof(*urls));
    answer.names = weft__must_alloc(reply->hosts_n, sizeof(char *));
    answer.urls = weft__must_alloc(reply->hosts_n, sizeof(char *));
    for (size_t i = 0; i < reply->hosts_n; i++) {
        if (!reply->hosts[i].alive ||
            !url_of(asking->server, &reply->hosts[i], urls[answer.n_urls]))
            continue;
        answer.names[answer.n_names++] = (char *)(uintptr_t)reply->hosts[i].name;
        answer.urls[answer.n_urls] = urls[answer.n_urls];
        answer.n_urls++;
    }
    weft__call_reply(asking->call, &answer.base);
    free(answer.names);
    free(answer.urls);
    free(urls);
    free(asking);
}

void weft__state_on_hosts(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    struct hosts_asking *asking = NULL;
    uint64_t dead_ns;
    (void)message;
    int err = may_ask(server, &dead_ns);
    if (err == WEFT_OK && (asking = calloc(1, sizeof(*asking))) == NULL)
        err = weft_fail(WEFT_ENOMEM, "no memory for a list of hosts");
    if (err == WEFT_OK) {
        *asking = (struct hosts_asking){.server = server, .call = call};
        err = weft__registry_list(server->desc.registry, hosts_listed, asking);
    }
    if (err == WEFT_OK)
        return;
    weft__state_fail(call, err);
    free(asking);
}
