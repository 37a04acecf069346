/* The owner of a rank in the registry: read, and compare-and-set by value on top of compare-and-set
 * by revision.
 *
 * A change reads the key, compares the value, and sets it on condition of the revision just read.
 * Whatever comes between makes the condition fail, and the answer brings what stands then, so the
 * outcome is known whenever an answer came. Values name their writer (process and incarnation), so
 * an owner equal to what we wanted means that we have won, now or in an earlier try.
 */
#include "host/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "weft/error.h"

enum { VALUE_BYTES = 16 };

struct asking {
    struct weft_owner_ask ask;
    char key[WEFT_KEY_MAX];
    bool change;
};

void weft__rank_key(uint64_t app, int32_t rank, char key_out[WEFT_KEY_MAX])
{
    if ((uint32_t)rank == WEFT_KEY_OF_APP)
        snprintf(key_out, WEFT_KEY_MAX, "app/%" PRIx64, app);
    else
        snprintf(key_out, WEFT_KEY_MAX, "rank/%" PRIx64 "/%d", app, rank);
}

static void encode(struct weft_move_owner owner, uint8_t bytes[VALUE_BYTES])
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(owner.host >> (8 * i));
        bytes[8 + i] = (uint8_t)(owner.incarnation >> (8 * i));
    }
}

static bool decode(const uint8_t *bytes, size_t len, struct weft_move_owner *owner)
{
    if (len != VALUE_BYTES)
        return false;
    *owner = (struct weft_move_owner){0};
    for (unsigned i = 0; i < 8; i++) {
        owner->host |= (uint64_t)bytes[i] << (8 * i);
        owner->incarnation |= (uint64_t)bytes[8 + i] << (8 * i);
    }
    return true;
}

static void finish(struct asking *asking, int err, struct weft_move_owner owner)
{
    asking->ask.done(asking->ask.ctx, err, owner);
    free(asking);
}

/* What a reply says about the owner: the initial one where there is no key. */
static int owner_of(const struct asking *asking, const struct weft_registry_reply *reply,
                    struct weft_move_owner *owner)
{
    *owner = asking->ask.initial;
    if (reply->revision == 0)
        return WEFT_OK;
    return decode(reply->value, reply->value_len, owner) ? WEFT_OK : WEFT_EPROTO;
}

static void changed(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct asking *asking = ctx;
    struct weft_move_owner owner = {0};
    (void)text;
    if (err == WEFT_OK && reply->won)
        owner = asking->ask.want;
    else if (err == WEFT_OK)
        err = owner_of(asking, reply, &owner);
    finish(asking, err, owner);
}

static void found(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct asking *asking = ctx;
    struct weft_move_owner owner = {0};
    (void)text;
    if (err == WEFT_OK && asking->ask.log != 0 && reply->log != asking->ask.log)
        err = WEFT_ESTALE; /* an absent key says nothing there */
    if (err == WEFT_OK)
        err = owner_of(asking, reply, &owner);
    bool as_expected = owner.host == asking->ask.expect.host &&
                       owner.incarnation == asking->ask.expect.incarnation;
    if (err != WEFT_OK || !asking->change || !as_expected) {
        finish(asking, err, owner);
        return;
    }
    uint8_t value[VALUE_BYTES];
    encode(asking->ask.want, value);
    struct weft_registry_cas cas = {.key = asking->key,
                                    .expected = reply->revision,
                                    .value = value,
                                    .value_len = VALUE_BYTES,
                                    .log = asking->ask.log};
    err = weft__registry_cas(&asking->ask.at, &cas, changed, asking);
    if (err != WEFT_OK)
        finish(asking, err, owner);
}

static void ask_registry(const struct weft_owner_ask *ask, bool change)
{
    struct asking *asking = weft__must_alloc(1, sizeof(*asking));
    asking->ask = *ask;
    asking->change = change;
    weft__rank_key(ask->app, (int32_t)ask->rank, asking->key);
    int err = weft__registry_get(&asking->ask.at, asking->key, found, asking);
    if (err != WEFT_OK)
        finish(asking, err, (struct weft_move_owner){0});
}

void weft__owner_read(const struct weft_owner_ask *ask)
{
    ask_registry(ask, false);
}

void weft__owner_cas(const struct weft_owner_ask *ask)
{
    ask_registry(ask, true);
}

/* ---- the end of an app ---- */

struct erasing {
    struct weft_registry_at at;
    uint64_t app;
    int32_t *ranks;
    size_t n, next;
    int err; /* the first that was met */
    void (*done)(void *ctx, int err);
    void *ctx;
    char key[WEFT_KEY_MAX];
};

static void erase_next(struct erasing *erasing);

static void erased(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct erasing *erasing = ctx;
    (void)text;
    if (err == WEFT_OK && !reply->won && reply->revision != 0)
        err = WEFT_ESTALE; /* somebody has written it meanwhile */
    if (erasing->err == WEFT_OK)
        erasing->err = err;
    erase_next(erasing);
}

static void erase_found(void *ctx, int err, const char *text,
                        const struct weft_registry_reply *reply)
{
    struct erasing *erasing = ctx;
    (void)text;
    if (err != WEFT_OK) { /* the registry is away: some keys stay, which costs it a few bytes */
        erasing->next = erasing->n;
        erasing->err = err;
        erase_next(erasing);
        return;
    }
    if (reply->revision == 0) {
        erase_next(erasing);
        return;
    }
    struct weft_registry_cas cas = {
        .key = erasing->key, .expected = reply->revision, .erase = true};
    err = weft__registry_cas(&erasing->at, &cas, erased, erasing);
    if (err != WEFT_OK) {
        erasing->err = err;
        erase_next(erasing);
    }
}

static void erase_next(struct erasing *erasing)
{
    while (erasing->next < erasing->n) {
        weft__rank_key(erasing->app, erasing->ranks[erasing->next++], erasing->key);
        if (weft__registry_get(&erasing->at, erasing->key, erase_found, erasing) == WEFT_OK)
            return;
        erasing->err = WEFT_EREGISTRY;
    }
    if (erasing->done != NULL)
        erasing->done(erasing->ctx, erasing->err);
    free(erasing->ranks);
    free(erasing);
}

void weft__rank_keys_clear(const struct weft_registry_at *at, uint64_t app,
                           const struct weft_keys_clear *what)
{
    struct erasing *erasing = weft__must_alloc(1, sizeof(*erasing));
    *erasing = (struct erasing){.at = *at,
                                .app = app,
                                .ranks = weft__must_copy(what->ranks, what->n * sizeof(int32_t)),
                                .n = what->n,
                                .done = what->done,
                                .ctx = what->ctx};
    erase_next(erasing);
}

void weft__rank_keys_erase(const struct weft_registry_at *at, uint64_t app, const int32_t *ranks,
                           size_t n)
{
    weft__rank_keys_clear(at, app, &(struct weft_keys_clear){.ranks = ranks, .n = n});
}
