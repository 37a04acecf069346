/* Replicas: what a process has of a value.
 *
 * Two lists of ranges say what is here and what was written here; nothing is known per byte. Bytes
 * are clean (as some version had them) or dirty. A replica belongs to one epoch of its value for
 * good: what is here of a value that was deleted must never be pushed into another one of the same
 * name. */
#include "state/replica.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "state/claim.h"
#include "weft/error.h"
#include "wire/message.h"

/* ---- memory ---- */

static int map(uint64_t size, unsigned char **bytes_out)
{
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        return weft_fail(WEFT_ENOMEM, "no memory for a replica of %llu bytes",
                         (unsigned long long)size);
    *bytes_out = bytes;
    return WEFT_OK;
}

int weft__value_fit(struct weft_value *value, uint64_t size)
{
    unsigned char *bytes = NULL;
    if (size == value->size)
        return WEFT_OK;
    int err = map(size, &bytes);
    if (err == WEFT_OK && size < value->size) {
        err = weft__ranges_remove(&value->present, size, value->size - size);
        if (err == WEFT_OK)
            err = weft__ranges_remove(&value->dirty, size, value->size - size);
        if (err != WEFT_OK)
            munmap(bytes, size);
    }
    if (err != WEFT_OK)
        return err;
    memcpy(bytes, value->bytes, size < value->size ? size : value->size);
    munmap(value->bytes, value->size);
    value->bytes = bytes;
    value->size = size;
    return WEFT_OK;
}

int weft__value_check(const struct weft_value *value, uint64_t offset, uint64_t len)
{
    if (len == 0)
        return weft_fail(WEFT_EINVAL, "zero bytes of state %s/%s", value->user, value->key);
    if (len > value->size || offset > value->size - len)
        return weft_fail(WEFT_ERANGE,
                         "%llu bytes at offset %llu are outside state %s/%s of %llu bytes",
                         (unsigned long long)len, (unsigned long long)offset, value->user,
                         value->key, (unsigned long long)value->size);
    return WEFT_OK;
}

/* ---- open and close ---- */

int weft__value_session(struct weft_value *value, uint64_t deadline_ns, uint64_t *size_out,
                        uint64_t *version_out)
{
    Weft__State__OpenRequest request = WEFT__STATE__OPEN_REQUEST__INIT;
    ProtobufCMessage *message;
    request.user = weft__message_text(value->user);
    request.key = weft__message_text(value->key);
    request.epoch = value->at.epoch;
    struct weft_state_asked asked = {.user = value->user,
                                     .key = value->key,
                                     .at = &value->at,
                                     .code = WEFT_STATE_OPEN,
                                     .request = &request.base,
                                     .reply_type = &weft__state__open_reply__descriptor,
                                     .deadline_ns = deadline_ns};
    int err = weft__state_ask_main(value->state, &asked, &message);
    if (err != WEFT_OK)
        return err;
    const Weft__State__OpenReply *reply = (const Weft__State__OpenReply *)message;
    value->session = reply->session;
    value->op = 0;
    *size_out = reply->size;
    *version_out = reply->version;
    weft__message_free(message);
    return WEFT_OK;
}

static void value_free(struct weft_value *value)
{
    if (value->bytes != NULL)
        munmap(value->bytes, value->size);
    weft__ranges_fini(&value->present);
    weft__ranges_fini(&value->dirty);
    pthread_mutex_destroy(&value->lock);
    free(value);
}

static int value_new(struct weft_state *state, const struct weft_state_name *name,
                     const struct weft_whereabouts *at, struct weft_value **value_out)
{
    size_t user_len = strlen(name->user), key_len = strlen(name->key);
    struct weft_value *value = calloc(1, sizeof(*value));
    if (value == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a replica");
    value->state = state;
    value->at = *at;
    value->refs = 1;
    memcpy(value->name, name->user, user_len + 1);
    memcpy(value->name + user_len + 1, name->key, key_len + 1);
    value->name_len = (unsigned)(user_len + 1 + key_len);
    value->user = value->name;
    value->key = value->name + user_len + 1;
    pthread_mutex_init(&value->lock, NULL);
    *value_out = value;
    return WEFT_OK;
}

/* Finds the value, or creates it. */
static int settle(struct weft_state *state, const struct weft_state_name *name, uint64_t size,
                  uint64_t deadline_ns, struct weft_whereabouts *at_out)
{
    int err = weft__state_find(state, name, false, deadline_ns, at_out);
    if (err == WEFT_ENOENT && size > 0)
        err = weft__state_create(state, name, size, deadline_ns, at_out);
    return err;
}

/* The replica that this process has already, of this epoch; NULL: none. An older one is unlisted.
 */
static struct weft_value *take_listed(struct weft_state *state, const struct weft_value *like)
{
    struct weft_value *value;
    pthread_mutex_lock(&state->lock);
    HASH_FIND(hh, state->values, like->name, like->name_len, value);
    if (value != NULL && value->at.epoch != like->at.epoch) {
        HASH_DEL(state->values, value);
        value->listed = false;
        value = NULL;
    }
    if (value != NULL)
        value->refs++;
    pthread_mutex_unlock(&state->lock);
    return value;
}

/* Lists a new replica; another thread may have been faster: then that one's is the one. */
static struct weft_value *list_or_take(struct weft_state *state, struct weft_value *fresh)
{
    struct weft_value *value;
    pthread_mutex_lock(&state->lock);
    HASH_FIND(hh, state->values, fresh->name, fresh->name_len, value);
    if (value != NULL && value->at.epoch == fresh->at.epoch) {
        value->refs++;
    } else {
        if (value != NULL) {
            HASH_DEL(state->values, value);
            value->listed = false;
        }
        HASH_ADD(hh, state->values, name, fresh->name_len, fresh);
        fresh->listed = true;
        value = fresh;
    }
    pthread_mutex_unlock(&state->lock);
    if (value != fresh)
        value_free(fresh);
    return value;
}

/* A replica of what is there now.  Errors: WEFT_ESTALE, WEFT_ENOENT it was deleted meanwhile. */
static int attach(struct weft_state *state, const struct weft_state_name *name,
                  const struct weft_whereabouts *at, uint64_t deadline_ns,
                  struct weft_value **value_out)
{
    struct weft_value *fresh = NULL, *listed;
    uint64_t size, version;
    int err = value_new(state, name, at, &fresh);
    if (err != WEFT_OK)
        return err;
    listed = take_listed(state, fresh);
    if (listed != NULL) {
        struct weft_whereabouts now;
        value_free(fresh);
        err = weft__state_find(state, name, true, deadline_ns, &now); /* its main may be dead */
        if (err == WEFT_OK)
            *value_out = listed;
        else
            weft_value_close(listed);
        return err;
    }
    err = weft__value_session(fresh, deadline_ns, &size, &version);
    if (err == WEFT_OK)
        err = map(size, &fresh->bytes);
    if (err != WEFT_OK) {
        value_free(fresh);
        return err;
    }
    fresh->size = size;
    *value_out = list_or_take(state, fresh);
    return WEFT_OK;
}

int weft_value_open(struct weft_state *state, const struct weft_state_name *name,
                    uint64_t size_bytes, struct weft_value **value_out)
{
    uint64_t deadline_ns = weft__state_deadline(state);
    char key[WEFT_REGISTRY_KEY_MAX + 1];
    struct weft_whereabouts at;
    struct weft_value *value = NULL;
    int err = weft__claim_key(name->user, name->key, key);
    while (err == WEFT_OK) {
        err = settle(state, name, size_bytes, deadline_ns, &at);
        if (err == WEFT_OK)
            err = attach(state, name, &at, deadline_ns, &value);
        bool again = err == WEFT_ESTALE || (err == WEFT_ENOENT && size_bytes > 0);
        if (!again || weft__now_ns() >= deadline_ns)
            break;
        err = WEFT_OK; /* it was deleted between the two */
    }
    if (err != WEFT_OK)
        return err;
    uint64_t has = weft_value_size(value);
    if (size_bytes > 0 && has != size_bytes) {
        weft_value_close(value);
        return weft_fail(WEFT_EEXIST, "state %s/%s exists with %llu bytes, not %llu", name->user,
                         name->key, (unsigned long long)has, (unsigned long long)size_bytes);
    }
    *value_out = value;
    return WEFT_OK;
}

void weft_value_close(struct weft_value *value)
{
    if (value == NULL)
        return;
    struct weft_state *state = value->state;
    pthread_mutex_lock(&state->lock);
    bool last = --value->refs == 0;
    if (last && value->listed)
        HASH_DEL(state->values, value);
    pthread_mutex_unlock(&state->lock);
    if (last)
        value_free(value);
}

/* ---- what is here ---- */

uint64_t weft_value_size(struct weft_value *value)
{
    pthread_mutex_lock(&value->lock);
    uint64_t size = value->size;
    pthread_mutex_unlock(&value->lock);
    return size;
}

uint64_t weft_value_version(struct weft_value *value)
{
    pthread_mutex_lock(&value->lock);
    uint64_t version = value->version;
    pthread_mutex_unlock(&value->lock);
    return version;
}

bool weft_value_is_dirty(struct weft_value *value)
{
    pthread_mutex_lock(&value->lock);
    bool dirty = value->dirty.n > 0;
    pthread_mutex_unlock(&value->lock);
    return dirty;
}

/* Makes sure that the bytes are here. */
static int have(struct weft_value *value, uint64_t offset, uint64_t len)
{
    struct weft_ranges missing = {0};
    uint64_t size;
    int err = weft__value_check(value, offset, len);
    if (err != WEFT_OK || weft__ranges_hold(&value->present, offset, len))
        return err;
    err = weft__ranges_missing(&value->present, offset, len, &missing);
    if (err == WEFT_OK)
        err = weft__value_fetch(value, &missing, weft__state_deadline(value->state), &size);
    weft__ranges_fini(&missing);
    return err;
}

int weft_value_read(struct weft_value *value, uint64_t offset, void *into, size_t len_bytes)
{
    pthread_mutex_lock(&value->lock);
    int err = have(value, offset, len_bytes);
    if (err == WEFT_OK)
        memcpy(into, value->bytes + offset, len_bytes);
    pthread_mutex_unlock(&value->lock);
    return err;
}

int weft_value_map(struct weft_value *value, uint64_t offset, size_t len_bytes, void **address_out)
{
    pthread_mutex_lock(&value->lock);
    int err = have(value, offset, len_bytes);
    if (err == WEFT_OK)
        *address_out = value->bytes + offset;
    pthread_mutex_unlock(&value->lock);
    return err;
}

static int mark(struct weft_value *value, uint64_t offset, uint64_t len)
{
    int err = weft__value_check(value, offset, len);
    if (err == WEFT_OK)
        err = weft__ranges_add(&value->dirty, offset, len);
    if (err == WEFT_OK)
        err = weft__ranges_add(&value->present, offset, len);
    return err;
}

int weft_value_write(struct weft_value *value, uint64_t offset, const void *from, size_t len_bytes)
{
    pthread_mutex_lock(&value->lock);
    int err = mark(value, offset, len_bytes);
    if (err == WEFT_OK)
        memcpy(value->bytes + offset, from, len_bytes);
    pthread_mutex_unlock(&value->lock);
    return err;
}

int weft_value_dirty(struct weft_value *value, uint64_t offset, size_t len_bytes)
{
    pthread_mutex_lock(&value->lock);
    int err = mark(value, offset, len_bytes);
    pthread_mutex_unlock(&value->lock);
    return err;
}

void weft_value_discard(struct weft_value *value)
{
    pthread_mutex_lock(&value->lock);
    int err = WEFT_OK;
    for (size_t i = 0; i < value->dirty.n && err == WEFT_OK; i++)
        err =
            weft__ranges_remove(&value->present, value->dirty.at[i].offset, value->dirty.at[i].len);
    if (err != WEFT_OK)
        weft__ranges_clear(&value->present); /* no memory to be precise with */
    weft__ranges_clear(&value->dirty);
    pthread_mutex_unlock(&value->lock);
}

/* One pull of all that is not dirty; *size_out: the main's. */
static int pull_once(struct weft_value *value, uint64_t deadline_ns, uint64_t *size_out)
{
    struct weft_ranges wanted = {0};
    int err = weft__ranges_missing(&value->dirty, 0, value->size, &wanted);
    *size_out = value->size;
    if (err == WEFT_OK && wanted.n > 0) {
        weft__ranges_clear(&value->present); /* a failure must not leave two versions */
        for (size_t i = 0; i < value->dirty.n && err == WEFT_OK; i++)
            err = weft__ranges_add(&value->present, value->dirty.at[i].offset,
                                   value->dirty.at[i].len);
        if (err == WEFT_OK)
            err = weft__value_fetch(value, &wanted, deadline_ns, size_out);
    }
    weft__ranges_fini(&wanted);
    return err;
}

int weft_value_pull(struct weft_value *value)
{
    struct weft_range64 byte = {.len = 1};
    struct weft_ranges first = {.at = &byte, .n = 1, .room = 1};
    uint64_t deadline_ns = weft__state_deadline(value->state), size;
    bool again = true;
    int err = WEFT_OK;
    pthread_mutex_lock(&value->lock);
    while (err == WEFT_OK && again) { /* until its size is what it was before */
        err = pull_once(value, deadline_ns, &size);
        bool shorter = err == WEFT_ERANGE && weft__now_ns() < deadline_ns;
        if (shorter) /* its first byte is always there, and comes with the size */
            err = weft__value_fetch(value, &first, deadline_ns, &size);
        again = shorter || size != value->size;
        if (err == WEFT_OK && again)
            err = weft__value_fit(value, size);
    }
    pthread_mutex_unlock(&value->lock);
    return err;
}
