/* Claims.
 *
 * A main is taken for dead on the registry's word alone: it is listed as dead, or another start of
 * it is listed. One that is not listed at all may be about to join a registry that has just started
 * anew; it is gone when it is still absent dead_ns later in the same registry's epoch, because
 * until then its lease, which counts from the sending of its last beat, has run out as well. */
#include "state/claim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"
#include "wire/message.h"
#include "wire/state.pb-c.h"

/* ---- names and bytes ---- */

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* Writes name behind key_out + at, bytes that are not plain as %XX; returns where it ends, above
 * WEFT_REGISTRY_KEY_MAX: it does not fit. */
static size_t escape(const char *name, char *key_out, size_t at)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (at + 3 > WEFT_REGISTRY_KEY_MAX)
            return WEFT_REGISTRY_KEY_MAX + 1;
        if (is_plain((unsigned char)*c))
            key_out[at++] = *c;
        else
            at += (size_t)snprintf(key_out + at, 4, "%%%02X", (unsigned char)*c);
    }
    return at;
}

int weft__claim_key(const char *user, const char *key, char key_out[WEFT_REGISTRY_KEY_MAX + 1])
{
    size_t user_len = strlen(user), key_len = strlen(key), at = 6;
    if (user_len == 0 || user_len > WEFT_STATE_USER_MAX)
        return weft_fail(WEFT_EINVAL, "a user of state has 1 to %d bytes, not %zu",
                         WEFT_STATE_USER_MAX, user_len);
    if (key_len == 0 || key_len > WEFT_STATE_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "a key of state has 1 to %d bytes, not %zu",
                         WEFT_STATE_KEY_MAX, key_len);
    memcpy(key_out, "state/", 6);
    at = escape(user, key_out, at);
    if (at < WEFT_REGISTRY_KEY_MAX) {
        key_out[at++] = '/';
        at = escape(key, key_out, at);
    }
    if (at > WEFT_REGISTRY_KEY_MAX)
        return weft_fail(WEFT_EINVAL,
                         "the name %.20s.../%.20s... has too many bytes that have to be escaped",
                         user, key);
    key_out[at] = '\0';
    return WEFT_OK;
}

int weft__claim_encode(const struct weft_claim *claim, uint64_t nonce,
                       uint8_t bytes_out[WEFT_CLAIM_BYTES_MAX], size_t *len_out)
{
    Weft__State__Claim message = WEFT__STATE__CLAIM__INIT;
    message.host = weft__message_text(claim->host);
    message.incarnation = claim->incarnation;
    message.url = weft__message_text(claim->url);
    message.async_url = weft__message_text(claim->async_url);
    message.nonce = nonce;
    if (weft__state__claim__get_packed_size(&message) > WEFT_CLAIM_BYTES_MAX)
        return weft_fail(WEFT_EMSGSIZE, "the name and urls of host %s are too long for a claim",
                         claim->host);
    *len_out = weft__state__claim__pack(&message, bytes_out);
    return WEFT_OK;
}

static bool copy_text(char *into, size_t room, const char *text)
{
    size_t len = strlen(text);
    if (len >= room)
        return false;
    memcpy(into, text, len + 1);
    return true;
}

int weft__claim_decode(const void *bytes, size_t len, uint64_t epoch, struct weft_claim *claim_out)
{
    ProtobufCMessage *message;
    int err = weft__message_decode(&weft__state__claim__descriptor, bytes, len, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__Claim *claim = (const Weft__State__Claim *)message;
    struct weft_claim out = {.epoch = epoch, .incarnation = claim->incarnation};
    bool fits = copy_text(out.host, sizeof(out.host), claim->host) &&
                copy_text(out.url, sizeof(out.url), claim->url) &&
                copy_text(out.async_url, sizeof(out.async_url), claim->async_url);
    weft__message_free(message);
    if (!fits)
        return weft_fail(WEFT_EPROTO, "the registry holds a claim with texts that are too long");
    *claim_out = out;
    return WEFT_OK;
}

enum weft_life weft__claim_life(const struct weft_claim *claim,
                                const struct weft_registry_host *hosts, size_t hosts_n)
{
    for (size_t i = 0; i < hosts_n; i++)
        if (strcmp(hosts[i].name, claim->host) == 0)
            return hosts[i].alive && hosts[i].incarnation == claim->incarnation ? WEFT_LIFE_ALIVE
                                                                                : WEFT_LIFE_DEAD;
    return WEFT_LIFE_ABSENT;
}

bool weft__claim_is_orphan(const struct weft_claim *standing, const struct weft_claim *own,
                           const struct weft_kept *kept)
{
    return standing->epoch != 0 && standing->incarnation == own->incarnation &&
           strcmp(standing->host, own->host) == 0 && kept == NULL;
}

/* ---- the machine ---- */

static struct weft_claim_step step(enum weft_claim_do what)
{
    return (struct weft_claim_step){.what = what};
}

static struct weft_claim_step end(int err)
{
    return (struct weft_claim_step){.what = WEFT_CLAIM_END, .err = err};
}

static struct weft_claim_step erase(const struct weft_claiming *claiming)
{
    return (struct weft_claim_step){.what = WEFT_CLAIM_ERASE,
                                    .expected = claiming->standing.epoch,
                                    .registry_epoch = claiming->dead_epoch};
}

struct weft_claim_step weft__claim_start(struct weft_claiming *claiming)
{
    claiming->won = claiming->unknown = claiming->absent = false;
    claiming->dead_epoch = 0;
    if (claiming->want == WEFT_CLAIM_RELEASE)
        return erase(claiming);
    return step(WEFT_CLAIM_GET);
}

/* What to do about what stands now. */
static struct weft_claim_step look(struct weft_claiming *claiming, const struct weft_claim *claim)
{
    claiming->standing = *claim;
    if (claim->epoch != 0) {
        bool enough = claiming->want == WEFT_CLAIM_FIND || claiming->want == WEFT_CLAIM_CREATE;
        return enough ? end(WEFT_OK) : step(WEFT_CLAIM_LIST);
    }
    if (claiming->want == WEFT_CLAIM_CREATE)
        return step(WEFT_CLAIM_CAS);
    if (claiming->want == WEFT_CLAIM_DROP)
        return end(WEFT_OK);
    return end(weft_fail(WEFT_ENOENT, "there is no state %s/%s", claiming->user, claiming->key));
}

struct weft_claim_step weft__claim_got(struct weft_claiming *claiming, int err,
                                       const struct weft_claim *claim)
{
    return err != WEFT_OK ? end(err) : look(claiming, claim);
}

struct weft_claim_step weft__claim_set(struct weft_claiming *claiming, uint64_t now_ns, int err,
                                       bool settled, const struct weft_claim *claim)
{
    bool again = err == WEFT_EREGISTRY || err == WEFT_EAGAIN;
    /* The registry has started anew: the main may have joined it, and be no longer dead. */
    if (err == WEFT_ESTALE && claiming->dead_epoch != 0)
        return weft__claim_start(claiming);
    if (err != WEFT_OK && !again && !claiming->unknown)
        return end(err);
    if (err != WEFT_OK) {
        claiming->unknown = claiming->unknown || err == WEFT_EREGISTRY;
        return (struct weft_claim_step){.what = WEFT_CLAIM_WAIT,
                                        .until_ns = now_ns + WEFT_CLAIM_RETRY_NS};
    }
    claiming->unknown = false;
    if (claiming->want != WEFT_CLAIM_CREATE) {
        /* What we wanted gone is gone, by whomever. */
        claiming->standing.epoch = 0;
        return end(WEFT_OK);
    }
    claiming->won = settled;
    if (!settled)
        return look(claiming, claim);
    claiming->standing = *claim;
    return end(WEFT_OK);
}

static struct weft_claim_step is_dead(struct weft_claiming *claiming, uint64_t registry_epoch)
{
    claiming->absent = false;
    claiming->dead_epoch = registry_epoch;
    if (claiming->want == WEFT_CLAIM_DROP)
        return erase(claiming);
    return end(weft_fail(WEFT_EHOSTDEAD,
                         "state %s/%s was kept by host %s, which has died or started anew: the "
                         "value is lost; delete it (weft_state_delete, or weft state delete), then "
                         "create it anew",
                         claiming->user, claiming->key, claiming->standing.host));
}

struct weft_claim_step weft__claim_listed(struct weft_claiming *claiming, uint64_t now_ns, int err,
                                          enum weft_life life, uint64_t registry_epoch)
{
    if (err != WEFT_OK)
        return end(err);
    if (life == WEFT_LIFE_DEAD ||
        (life == WEFT_LIFE_ABSENT && claiming->absent && claiming->absent_epoch == registry_epoch))
        return is_dead(claiming, registry_epoch);
    if (life == WEFT_LIFE_ABSENT) {
        claiming->absent = true;
        claiming->absent_epoch = registry_epoch;
        return (struct weft_claim_step){.what = WEFT_CLAIM_WAIT,
                                        .until_ns = now_ns + claiming->dead_ns};
    }
    if (claiming->want == WEFT_CLAIM_DROP)
        return end(weft_fail(WEFT_EBUSY, "the main of state %s/%s, host %s, is alive",
                             claiming->user, claiming->key, claiming->standing.host));
    return end(WEFT_OK);
}

struct weft_claim_step weft__claim_woken(struct weft_claiming *claiming)
{
    if (claiming->absent)
        return step(WEFT_CLAIM_LIST);
    return claiming->want == WEFT_CLAIM_CREATE ? step(WEFT_CLAIM_CAS) : erase(claiming);
}
