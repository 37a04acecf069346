/* A process's access to the state service: the ways to the mains.
 *
 * Where a value is, is asked of one host, usually this machine's; everything else of the value's
 * main. The attempt machine decides about tries; here are its waits and its words. */
#include "state/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "state/attempt.h"
#include "state/replica.h"
#include "weft/error.h"
#include "wire/message.h"

#define TIMEOUT_MS 10000
#define BULK_BYTES (64u << 10)
#define NO_LANE_NS (60 * WEFT_NS_PER_S)
#define HOST_NAP_NS (20 * WEFT_NS_PER_MS)
#define HOST_TRY_NS (4 * WEFT_NS_PER_S)

uint64_t weft__state_deadline(const struct weft_state *state)
{
    return weft__now_ns() + state->desc.timeout_ms * WEFT_NS_PER_MS;
}

struct weft_lane *weft__state_lane(struct weft_state *state)
{
    struct weft_lane *lane = NULL;
    if (state->desc.lane == NULL || weft__now_ns() < atomic_load(&state->no_lane_until_ns))
        return NULL;
    if (state->desc.lane(state->desc.ctx, &lane) == WEFT_OK)
        return lane;
    /* Trying takes seconds: bytes go by message for a while. */
    atomic_store(&state->no_lane_until_ns, weft__now_ns() + NO_LANE_NS);
    return NULL;
}

static void sleep_until(uint64_t until_ns)
{
    const _Atomic uint32_t never = 0;
    while (weft__futex_wait(&never, 0, until_ns) != WEFT_ETIMEDOUT)
        ;
}

/* Milliseconds until then, at least 1. */
static uint32_t ms_until(uint64_t until_ns)
{
    uint64_t now_ns = weft__now_ns();
    uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / WEFT_NS_PER_MS : 0;
    return left_ms == 0 ? 1 : left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
}

/* Whether the answer may be large and the call does no harm twice: nobody has to keep its answer
 * for the case that it comes again. */
static bool is_reading(uint16_t code)
{
    return code == WEFT_STATE_PULL || code == WEFT_STATE_PART || code == WEFT_STATE_ITEMS;
}

/* One request. Changes that come again are known by their sessions. */
static int ask_once(struct weft_state *state, const char *url, const struct weft_state_asked *asked,
                    uint64_t until_ns, ProtobufCMessage **reply_out)
{
    struct weft_client_call call = {.url = url,
                                    .code = asked->code,
                                    .request = asked->request,
                                    .reply_type = asked->reply_type,
                                    .timeout_ms = ms_until(until_ns),
                                    .flags = is_reading(asked->code) ? WEFT_CLIENT_IDEMPOTENT : 0};
    return weft__client_wait(state->desc.client, &call, reply_out);
}

/* ---- the host that this process talks to ---- */

static bool may_pass(int err)
{
    return err == WEFT_EAGAIN || err == WEFT_EREGISTRY || err == WEFT_ETIMEDOUT ||
           err == WEFT_EPEERDEAD || err == WEFT_ECONNREFUSED || err == WEFT_ECONNRESET;
}

/* The first try ends early, as its question or answer may be lost; the next has all the rest, as
 * to find out that a host is gone whoever is asked may have to wait for dead_ms. */
int weft__state_ask_host(struct weft_state *state, struct weft_state_asked *asked,
                         ProtobufCMessage **reply_out)
{
    bool lost = false;
    for (;;) {
        uint64_t early_ns = weft__now_ns() + HOST_TRY_NS;
        uint64_t until_ns = lost || asked->deadline_ns < early_ns ? asked->deadline_ns : early_ns;
        int err = ask_once(state, state->url, asked, until_ns, reply_out);
        if (!may_pass(err))
            return err;
        lost = lost || err == WEFT_ETIMEDOUT;
        if (weft__now_ns() + HOST_NAP_NS >= asked->deadline_ns) {
            char why[256];
            snprintf(why, sizeof(why), "%s", weft_fail_text(err));
            return weft_fail(err, "the state service at %s: %s", state->url, why);
        }
        weft__counter_add(&state->tried_again, 1);
        sleep_until(weft__now_ns() + HOST_NAP_NS);
    }
}

static void whereabouts_of(const Weft__State__ResolveReply *reply, struct weft_whereabouts *at_out)
{
    at_out->epoch = reply->epoch;
    snprintf(at_out->host, sizeof(at_out->host), "%s", reply->host);
    snprintf(at_out->url, sizeof(at_out->url), "%s", reply->url);
    snprintf(at_out->async_url, sizeof(at_out->async_url), "%s", reply->async_url);
}

static int resolve(struct weft_state *state, Weft__State__ResolveRequest *request,
                   uint64_t deadline_ns, struct weft_whereabouts *at_out)
{
    ProtobufCMessage *reply;
    struct weft_state_asked asked = {.code = WEFT_STATE_RESOLVE,
                                     .request = &request->base,
                                     .reply_type = &weft__state__resolve_reply__descriptor,
                                     .deadline_ns = deadline_ns};
    weft__counter_add(&state->resolved, 1);
    int err = weft__state_ask_host(state, &asked, &reply);
    if (err != WEFT_OK)
        return err;
    whereabouts_of((const Weft__State__ResolveReply *)reply, at_out);
    weft__message_free(reply);
    return WEFT_OK;
}

int weft__state_find(struct weft_state *state, const struct weft_state_name *name, bool check,
                     uint64_t deadline_ns, struct weft_whereabouts *at_out)
{
    Weft__State__ResolveRequest request = WEFT__STATE__RESOLVE_REQUEST__INIT;
    request.user = weft__message_text(name->user);
    request.key = weft__message_text(name->key);
    request.check = check;
    return resolve(state, &request, deadline_ns, at_out);
}

int weft__state_create(struct weft_state *state, const struct weft_state_name *name, uint64_t size,
                       uint64_t deadline_ns, struct weft_whereabouts *at_out)
{
    Weft__State__ResolveRequest request = WEFT__STATE__RESOLVE_REQUEST__INIT;
    request.user = weft__message_text(name->user);
    request.key = weft__message_text(name->key);
    request.create = true;
    request.size = size;
    return resolve(state, &request, deadline_ns, at_out);
}

/* ---- mains ---- */

/* An end in the words of whoever asked. */
static int say(const struct weft_state_asked *asked, int err)
{
    char why[300];
    snprintf(why, sizeof(why), "%s", weft_fail_text(err));
    switch (err) {
    case WEFT_ESTALE:
        return weft_fail(err, "state %s/%s was deleted and created anew; open it again",
                         asked->user, asked->key);
    case WEFT_EREGISTRY:
    case WEFT_EPEERDEAD:
    case WEFT_ETIMEDOUT:
    case WEFT_ECONNREFUSED:
    case WEFT_ECONNRESET:
    case WEFT_EHOSTUNREACH:
        return weft_fail(err == WEFT_ETIMEDOUT || err == WEFT_EREGISTRY ? err : WEFT_EPEERDEAD,
                         "state %s/%s is kept by host %s, which gave no answer in time (%s); if "
                         "that host is gone the value is lost with it: delete it "
                         "(weft_state_delete), then create it anew",
                         asked->user, asked->key, asked->at->host, why);
    default:
        return err;
    }
}

/* Whether the main is alive, as an answer for the machine. */
static struct weft_attempt_step check(struct weft_state *state, struct weft_attempt *attempt,
                                      const struct weft_state_asked *asked, uint64_t for_ns)
{
    struct weft_whereabouts at = {.epoch = 0};
    struct weft_state_name name = {asked->user, asked->key};
    int err = weft__state_find(state, &name, true, weft__now_ns() + for_ns, &at);
    return weft__attempt_checked(attempt, weft__now_ns(), err, at.epoch);
}

int weft__state_ask_main(struct weft_state *state, struct weft_state_asked *asked,
                         ProtobufCMessage **reply_out)
{
    struct weft_attempt attempt = {.epoch = asked->at->epoch, .deadline_ns = asked->deadline_ns};
    struct weft_attempt_step step = weft__attempt_start(&attempt, weft__now_ns());
    for (;;) {
        int err;
        switch (step.what) {
        case WEFT_ATTEMPT_SEND:
            err = ask_once(state, asked->at->url, asked, weft__now_ns() + step.try_ns, reply_out);
            step = weft__attempt_answered(&attempt, weft__now_ns(), err,
                                          err == WEFT_EAGAIN ? weft_fail_retry_ms() : 0);
            break;
        case WEFT_ATTEMPT_CHECK:
            step = check(state, &attempt, asked, step.try_ns);
            break;
        case WEFT_ATTEMPT_SLEEP:
            weft__counter_add(&state->tried_again, 1);
            sleep_until(step.until_ns);
            step = weft__attempt_woken(&attempt, weft__now_ns());
            break;
        default:
            asked->tries = attempt.tries;
            return step.err == WEFT_OK ? WEFT_OK : say(asked, step.err);
        }
    }
}

/* ---- open and close ---- */

int weft__state_open(const struct weft_state_desc *desc, struct weft_state **state_out)
{
    struct weft_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for an access to state");
    if (strlen(desc->url) >= sizeof(state->url)) {
        free(state);
        return weft_fail(WEFT_EINVAL, "the url %.40s... is too long", desc->url);
    }
    state->desc = *desc;
    memcpy(state->url, desc->url, strlen(desc->url) + 1);
    if (state->desc.timeout_ms == 0)
        state->desc.timeout_ms = TIMEOUT_MS;
    if (state->desc.bulk_bytes == 0)
        state->desc.bulk_bytes = BULK_BYTES;
    pthread_mutex_init(&state->lock, NULL);
    *state_out = state;
    return WEFT_OK;
}

void weft_state_close(struct weft_state *state)
{
    if (state == NULL)
        return;
    pthread_mutex_destroy(&state->lock);
    if (state->desc.closed != NULL)
        state->desc.closed(state->desc.ctx);
    free(state);
}

void weft_state_stats(struct weft_state *state, struct weft_state_stats *stats_out)
{
    *stats_out = (struct weft_state_stats){.pulls = weft__counter_get(&state->pulls),
                                           .pushes = weft__counter_get(&state->pushes),
                                           .asyncs = weft__counter_get(&state->asyncs),
                                           .appends = weft__counter_get(&state->appends),
                                           .bytes_pulled = weft__counter_get(&state->bytes_pulled),
                                           .bytes_pushed = weft__counter_get(&state->bytes_pushed),
                                           .bulk_pulls = weft__counter_get(&state->bulk_pulls),
                                           .bulk_pushes = weft__counter_get(&state->bulk_pushes),
                                           .tried_again = weft__counter_get(&state->tried_again),
                                           .resolved = weft__counter_get(&state->resolved)};
}

/* ---- delete ---- */

static int drop(struct weft_state *state, const struct weft_state_name *name, uint64_t deadline_ns)
{
    Weft__State__DropRequest request = WEFT__STATE__DROP_REQUEST__INIT;
    request.user = weft__message_text(name->user);
    request.key = weft__message_text(name->key);
    struct weft_state_asked asked = {
        .code = WEFT_STATE_DROP, .request = &request.base, .deadline_ns = deadline_ns};
    return weft__state_ask_host(state, &asked, NULL);
}

static int delete_at(struct weft_state *state, const struct weft_state_name *name,
                     const struct weft_whereabouts *at, uint64_t deadline_ns)
{
    Weft__State__DeleteRequest request = WEFT__STATE__DELETE_REQUEST__INIT;
    request.user = weft__message_text(name->user);
    request.key = weft__message_text(name->key);
    request.epoch = at->epoch;
    struct weft_state_asked asked = {.user = name->user,
                                     .key = name->key,
                                     .at = at,
                                     .code = WEFT_STATE_DELETE,
                                     .request = &request.base,
                                     .deadline_ns = deadline_ns};
    return weft__state_ask_main(state, &asked, NULL);
}

int weft_state_delete(struct weft_state *state, const struct weft_state_name *name)
{
    uint64_t deadline_ns = weft__state_deadline(state);
    for (;;) {
        struct weft_whereabouts at;
        int err = weft__state_find(state, name, true, deadline_ns, &at);
        if (err == WEFT_OK)
            err = delete_at(state, name, &at, deadline_ns);
        if (err == WEFT_EHOSTDEAD)
            err = drop(state, name, deadline_ns);
        if (err == WEFT_ENOENT ||
            err == WEFT_ESTALE) /* gone, by somebody else or by an early try */
            return WEFT_OK;
        if (err != WEFT_EBUSY || weft__now_ns() >= deadline_ns)
            return err;
        sleep_until(weft__now_ns() + HOST_NAP_NS); /* its main has come back to life meanwhile */
    }
}

/* ---- list ---- */

struct listing {
    struct weft_state *state;
    const char *user, *host, *url;
    void (*each)(void *ctx, const struct weft_state_entry *entry);
    void *ctx;
};

/* Calls for the entries of one page; *request goes on behind them, pointing into *page. */
static void list_page(const struct listing *listing, const Weft__State__ListReply *page)
{
    for (size_t i = 0; i < page->n_entries; i++) {
        const Weft__State__ListEntry *from = page->entries[i];
        struct weft_state_entry entry = {.user = from->user,
                                         .key = from->key,
                                         .host = listing->host,
                                         .size_bytes = from->size,
                                         .version = from->version,
                                         .items = from->items,
                                         .epoch = from->epoch};
        listing->each(listing->ctx, &entry);
    }
}

static int list_host(const struct listing *listing, uint64_t deadline_ns)
{
    Weft__State__ListRequest request = WEFT__STATE__LIST_REQUEST__INIT;
    ProtobufCMessage *page = NULL, *before = NULL;
    struct weft_state_asked asked = {.code = WEFT_STATE_LIST,
                                     .request = &request.base,
                                     .reply_type = &weft__state__list_reply__descriptor};
    bool more = true;
    int err = WEFT_OK;
    request.user = weft__message_text(listing->user != NULL ? listing->user : "");
    while (err == WEFT_OK && more) {
        err = ask_once(listing->state, listing->url, &asked, deadline_ns, &page);
        weft__message_free(before);
        before = NULL;
        if (err != WEFT_OK)
            break;
        const Weft__State__ListReply *reply = (const Weft__State__ListReply *)page;
        list_page(listing, reply);
        more = reply->more && reply->n_entries > 0;
        if (reply->n_entries > 0) {
            request.after_user = reply->entries[reply->n_entries - 1]->user;
            request.after_key = reply->entries[reply->n_entries - 1]->key;
        }
        before = page;
    }
    weft__message_free(before);
    return err;
}

int weft_state_list(struct weft_state *state, const char *user,
                    void (*each)(void *ctx, const struct weft_state_entry *entry), void *ctx,
                    unsigned *unanswered_out)
{
    ProtobufCMessage *message;
    unsigned unanswered = 0;
    struct weft_state_asked asked = {.code = WEFT_STATE_HOSTS,
                                     .reply_type = &weft__state__hosts_reply__descriptor,
                                     .deadline_ns = weft__state_deadline(state)};
    int err = weft__state_ask_host(state, &asked, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__HostsReply *hosts = (const Weft__State__HostsReply *)message;
    for (size_t i = 0; i < hosts->n_urls && i < hosts->n_names; i++) {
        struct listing listing = {state, user, hosts->names[i], hosts->urls[i], each, ctx};
        unanswered += list_host(&listing, asked.deadline_ns) != WEFT_OK;
    }
    weft__message_free(message);
    if (unanswered_out != NULL)
        *unanswered_out = unanswered;
    return WEFT_OK;
}
