/* Two tables: homes by app, and places by (app, rank), filled by the homes and dropped entry by
 * entry when an app process says that the rank is not there. A place is only a hint, so nothing has
 * to tell us of moves; the process that is asked decides.
 *
 * The tables are bounded: one that is full is emptied, and its entries are asked for again. */
#include "weft/caller.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>

#include "base/clock.h"
#include "control/client.h"
#include "host/caller_home.h"
#include "host/calls.h"
#include "host/service_url.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { PLACES_MAX = 65536, FIND_MS = 2000, PAUSE_MIN_MS = 1, PAUSE_MAX_MS = 50 };

/* rank -1: the app's home. */
struct who {
    uint64_t app;
    int64_t rank;
};

struct where {
    char control[WEFT_REGISTRY_URL_MAX];
    uint64_t token;
};

struct place {
    UT_hash_handle hh;
    struct who who;
    struct where where;
};

struct weft_caller {
    struct weft_client *client;
    char url[WEFT_REGISTRY_URL_MAX]; /* of the host that we know */
    pthread_mutex_t lock;
    struct place *places;
};

/* One call under way: what is asked and until when, and how long to wait before the next try. */
struct calling {
    struct weft_caller *caller;
    const struct weft_caller_request *request;
    uint64_t deadline_ns;
    uint32_t pause_ms;
};

int weft_caller_open(struct weft_client *client, const char *host, struct weft_caller **caller_out)
{
    struct weft_caller *caller = calloc(1, sizeof(*caller));
    if (caller == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a table of ranks");
    int err = weft__service_url(host, WEFT_PORT_SYNC, caller->url);
    if (err != WEFT_OK) {
        free(caller);
        return err;
    }
    caller->client = client;
    pthread_mutex_init(&caller->lock, NULL);
    *caller_out = caller;
    return WEFT_OK;
}

static void forget_all(struct weft_caller *caller)
{
    struct place *place, *next;
    HASH_ITER(hh, caller->places, place, next)
    {
        HASH_DEL(caller->places, place);
        free(place);
    }
}

void weft_caller_close(struct weft_caller *caller)
{
    if (caller == NULL)
        return;
    forget_all(caller);
    pthread_mutex_destroy(&caller->lock);
    free(caller);
}

static bool recall(struct weft_caller *caller, struct who who, struct where *where_out)
{
    struct place *place;
    pthread_mutex_lock(&caller->lock);
    HASH_FIND(hh, caller->places, &who, sizeof(who), place);
    if (place != NULL)
        *where_out = place->where;
    pthread_mutex_unlock(&caller->lock);
    return place != NULL;
}

/* where NULL: it is not where we thought. Without memory nothing is remembered, which only costs
 * time. */
static void note(struct weft_caller *caller, struct who who, const struct where *where)
{
    struct place *place;
    pthread_mutex_lock(&caller->lock);
    HASH_FIND(hh, caller->places, &who, sizeof(who), place);
    if (where == NULL && place != NULL) {
        HASH_DEL(caller->places, place);
        free(place);
    } else if (where != NULL && place != NULL) {
        place->where = *where;
    } else if (where != NULL) {
        if (HASH_COUNT(caller->places) >= PLACES_MAX)
            forget_all(caller);
        place = calloc(1, sizeof(*place));
        if (place != NULL) {
            place->who = who;
            place->where = *where;
            HASH_ADD(hh, caller->places, who, sizeof(who), place);
        }
    }
    pthread_mutex_unlock(&caller->lock);
}

static struct who rank_of(const struct calling *calling)
{
    return (struct who){.app = calling->request->app, .rank = calling->request->rank};
}

static struct who home_of(const struct calling *calling)
{
    return (struct who){.app = calling->request->app, .rank = -1};
}

static int find_home(const struct calling *calling, struct where *home_out)
{
    struct weft_caller *caller = calling->caller;
    home_out->token = 0;
    if (recall(caller, home_of(calling), home_out))
        return WEFT_OK;
    int err = weft__caller_home(caller->client, caller->url, calling->request->app,
                                calling->deadline_ns, home_out->control);
    if (err == WEFT_OK)
        note(caller, home_of(calling), home_out);
    return err;
}

static int find(const struct calling *calling, struct where *where_out)
{
    const struct weft_caller_request *request = calling->request;
    struct who who = rank_of(calling);
    struct where home;
    Weft__Host__FindRankRequest wish = WEFT__HOST__FIND_RANK_REQUEST__INIT;
    ProtobufCMessage *message;
    if (recall(calling->caller, who, where_out))
        return WEFT_OK;
    int err = find_home(calling, &home);
    if (err != WEFT_OK)
        return err;
    uint32_t left = weft__left_ms(calling->deadline_ns);
    if (left == 0)
        return weft_fail(WEFT_ETIMEDOUT, "rank %d of app %llx was not found in time",
                         (int)request->rank, (unsigned long long)request->app);
    wish.app = request->app;
    wish.rank = request->rank;
    err = weft__client_wait(
        calling->caller->client,
        &(struct weft_client_call){.url = home.control,
                                   .code = WEFT_CALL_FIND_RANK,
                                   .request = &wish.base,
                                   .reply_type = &weft__host__find_rank_reply__descriptor,
                                   .timeout_ms = left < FIND_MS ? left : FIND_MS,
                                   .flags = WEFT_CLIENT_IDEMPOTENT},
        &message);
    if (err != WEFT_OK)
        return err;
    const Weft__Host__FindRankReply *reply = (const Weft__Host__FindRankReply *)message;
    if (strlen(reply->control) >= sizeof(where_out->control)) {
        err = weft_fail(WEFT_EPROTO, "the home of app %llx tells a url of %zu characters",
                        (unsigned long long)request->app, strlen(reply->control));
    } else {
        memcpy(where_out->control, reply->control, strlen(reply->control) + 1);
        where_out->token = reply->token;
        note(calling->caller, who, where_out);
    }
    weft__message_free(message);
    return err;
}

static int copy_body(const Weft__Host__ExecuteReply *reply, void **body_out, size_t *len_out)
{
    if (len_out != NULL)
        *len_out = reply->body.len;
    if (body_out == NULL)
        return WEFT_OK;
    char *body = malloc(reply->body.len + 1);
    if (body == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for an answer of %zu bytes", reply->body.len);
    if (reply->body.len > 0)
        memcpy(body, reply->body.data, reply->body.len);
    body[reply->body.len] = '\0';
    *body_out = body;
    return WEFT_OK;
}

static int execute(const struct calling *calling, const struct where *where, void **body_out,
                   size_t *len_out)
{
    const struct weft_caller_request *request = calling->request;
    Weft__Host__ExecuteRequest wish = WEFT__HOST__EXECUTE_REQUEST__INIT;
    ProtobufCMessage *message;
    uint32_t left = weft__left_ms(calling->deadline_ns);
    wish.token = where->token;
    wish.rank = request->rank;
    wish.code = request->code;
    wish.body.data = (uint8_t *)(uintptr_t)request->body;
    wish.body.len = request->body_bytes;
    /* Not marked as idempotent, which would send it again to the same place. */
    int err = weft__client_wait(
        calling->caller->client,
        &(struct weft_client_call){.url = where->control,
                                   .code = WEFT_CALL_EXECUTE,
                                   .request = &wish.base,
                                   .reply_type = &weft__host__execute_reply__descriptor,
                                   .timeout_ms = left > 0 ? left : 1},
        &message);
    if (err != WEFT_OK)
        return err;
    err = copy_body((const Weft__Host__ExecuteReply *)message, body_out, len_out);
    weft__message_free(message);
    return err;
}

/* Whether another try may help, and do no harm; then it has waited a little. */
static bool again(struct calling *calling, int err)
{
    bool idempotent = (calling->request->flags & WEFT_CLIENT_IDEMPOTENT) != 0;
    bool broke = weft_error_damage(err) == WEFT_DAMAGE_PEER || err == WEFT_ESHUTDOWN;
    if (err != WEFT_ESTALE && !broke)
        return false;
    note(calling->caller, rank_of(calling), NULL);
    if (broke && !idempotent)
        return false;
    if (weft__left_ms(calling->deadline_ns) <= calling->pause_ms)
        return false;
    (void)usleep(calling->pause_ms * 1000u);
    if (calling->pause_ms < PAUSE_MAX_MS)
        calling->pause_ms *= 2;
    return true;
}

/* The same for the question where the rank is: nothing has begun. */
static bool find_again(struct calling *calling, int err)
{
    uint32_t pause_ms = err == WEFT_EAGAIN ? weft_fail_retry_ms() : 0;
    if (pause_ms == 0)
        pause_ms = calling->pause_ms;
    if (err != WEFT_EAGAIN || weft__left_ms(calling->deadline_ns) <= pause_ms)
        return false;
    (void)usleep(pause_ms * 1000u);
    return true;
}

int weft_caller_call(struct weft_caller *caller, const struct weft_caller_request *request,
                     void **reply_out, size_t *reply_bytes_out)
{
    if (request->rank < 0)
        return weft_fail(WEFT_EINVAL, "there is no rank %d", request->rank);
    if (request->timeout_ms == 0)
        return weft_fail(WEFT_EINVAL, "a call needs a time-out");

    struct calling calling = {.caller = caller,
                              .request = request,
                              .deadline_ns = weft__now_ns() + request->timeout_ms * WEFT_NS_PER_MS,
                              .pause_ms = PAUSE_MIN_MS};
    struct where where;
    int err;
    do {
        do
            err = find(&calling, &where);
        while (err != WEFT_OK && find_again(&calling, err));
        if (err != WEFT_OK)
            return err;
        err = execute(&calling, &where, reply_out, reply_bytes_out);
    } while (err != WEFT_OK && again(&calling, err));
    return err;
}
