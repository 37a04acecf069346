/* The table of values, its memory, and who may touch what.
 *
 * Every byte that a client makes this host keep is counted before it is allocated: bodies, also
 * those that only a reader holds any more, items, and bytes on their way. What is let go of is put
 * on a list for the owner to free without its lock: unmapping gigabytes takes time, and ending what
 * peers read it by takes the lane. */
#include "state/main.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

void weft__main_init(struct weft_state_main *main, const struct weft_state_limits *limits)
{
    memset(main, 0, sizeof(*main));
    main->limits = *limits;
}

struct weft_body *weft__main_bury(struct weft_state_main *main)
{
    struct weft_body *dead = main->dead;
    main->dead = NULL;
    return dead;
}

struct weft_body_share *weft__main_ended(struct weft_state_main *main)
{
    struct weft_body_share *ended = main->ended;
    main->ended = NULL;
    return ended;
}

static int count(struct weft_state_main *main, uint64_t len)
{
    if (len > main->limits.memory_max || main->used_bytes > main->limits.memory_max - len) {
        main->refused_memory++;
        return weft_fail(WEFT_ENOSPC,
                         "no room for %llu bytes of state: %llu of %llu are in use (raise "
                         "WEFT_STATE_MEMORY of that host, or delete values)",
                         (unsigned long long)len, (unsigned long long)main->used_bytes,
                         (unsigned long long)main->limits.memory_max);
    }
    main->used_bytes += len;
    return WEFT_OK;
}

int weft__main_count(struct weft_state_main *main, uint64_t len)
{
    return count(main, len);
}

int weft__main_body(struct weft_state_main *main, uint64_t len, struct weft_body **body_out)
{
    int err = count(main, len);
    if (err != WEFT_OK)
        return err;
    err = weft__body_new(len, body_out);
    if (err != WEFT_OK)
        main->used_bytes -= len;
    return err;
}

void weft__main_hold(struct weft_body *body)
{
    body->refs++;
}

void weft__main_put(struct weft_state_main *main, struct weft_body *body)
{
    if (body == NULL || --body->refs > 0)
        return;
    main->used_bytes -= body->len;
    body->next = main->dead;
    main->dead = body;
}

/* ---- names ---- */

static unsigned name_of(const char *user, const char *key, char name_out[WEFT_STATE_NAME_MAX])
{
    size_t user_len = strlen(user), key_len = strlen(key);
    if (user_len == 0 || user_len > WEFT_STATE_USER_MAX || key_len == 0 ||
        key_len > WEFT_STATE_KEY_MAX)
        return 0;
    memcpy(name_out, user, user_len + 1);
    memcpy(name_out + user_len + 1, key, key_len);
    return (unsigned)(user_len + 1 + key_len);
}

struct weft_kept *weft__main_kept(struct weft_state_main *main, const char *user, const char *key)
{
    char name[WEFT_STATE_NAME_MAX];
    struct weft_kept *kept = NULL;
    unsigned len = name_of(user, key, name);
    if (len > 0)
        HASH_FIND(hh, main->values, name, len, kept);
    return kept;
}

/* ---- claims ---- */

static int claim_check(struct weft_state_main *main, const char *user, const char *key,
                       uint64_t size)
{
    const struct weft_kept *kept = weft__main_kept(main, user, key);
    if (kept != NULL && kept->state == WEFT_KEPT_ACTIVE)
        return WEFT_EEXIST;
    if (kept != NULL)
        return weft_fail(WEFT_EAGAIN, "state %s/%s is being %s just now", user, key,
                         kept->state == WEFT_KEPT_CLAIMING ? "created" : "deleted");
    if (size == 0 || size > WEFT_STATE_VALUE_MAX)
        return weft_fail(WEFT_EINVAL, "a value has 1 to %llu bytes, not %llu",
                         (unsigned long long)WEFT_STATE_VALUE_MAX, (unsigned long long)size);
    if (HASH_COUNT(main->values) >= main->limits.keys_max) {
        main->refused_memory++;
        return weft_fail(WEFT_ENOSPC, "this host keeps %u values already, its most",
                         main->limits.keys_max);
    }
    return WEFT_OK;
}

int weft__main_claim(struct weft_state_main *main, const char *user, const char *key, uint64_t size)
{
    int err = claim_check(main, user, key, size);
    if (err != WEFT_OK)
        return err;
    struct weft_kept *kept = calloc(1, sizeof(*kept));
    if (kept == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a value");
    kept->name_len = name_of(user, key, kept->name);
    err = kept->name_len == 0 ? weft_fail(WEFT_EINVAL, "a user has 1 to %d bytes, a key 1 to %d",
                                          WEFT_STATE_USER_MAX, WEFT_STATE_KEY_MAX)
                              : weft__main_body(main, size, &kept->body);
    if (err != WEFT_OK) {
        free(kept);
        return err;
    }
    HASH_ADD(hh, main->values, name, kept->name_len, kept);
    return WEFT_OK;
}

void weft__main_claimed(struct weft_state_main *main, const char *user, const char *key,
                        uint64_t epoch, uint64_t registry_epoch)
{
    struct weft_kept *kept = weft__main_kept(main, user, key);
    if (kept == NULL || kept->state != WEFT_KEPT_CLAIMING)
        return; /* all was lost meanwhile */
    if (epoch == 0) {
        weft__main_delete(main, kept);
        return;
    }
    kept->state = WEFT_KEPT_ACTIVE;
    kept->epoch = epoch;
    kept->sure_epoch = registry_epoch;
    kept->version = 1;
}

void weft__main_registry(struct weft_state_main *main, uint64_t registry_epoch)
{
    struct weft_kept *kept, *next;
    if (main->registry_epoch == registry_epoch)
        return;
    HASH_ITER(hh, main->values, kept, next)
    kept->sure_epoch = 0;
    main->registry_epoch = registry_epoch;
}

static bool is_sure(const struct weft_state_main *main, const struct weft_kept *kept)
{
    return kept->sure_epoch != 0 && kept->sure_epoch >= main->registry_epoch;
}

struct weft_kept *weft__main_unsure(struct weft_state_main *main)
{
    struct weft_kept *kept, *next;
    HASH_ITER(hh, main->values, kept, next)
    if (kept->state == WEFT_KEPT_ACTIVE && !kept->asked && !is_sure(main, kept)) {
        kept->asked = true;
        return kept;
    }
    return NULL;
}

void weft__main_confirmed(struct weft_state_main *main, struct weft_kept *kept, uint64_t standing,
                          uint64_t registry_epoch)
{
    kept->asked = false;
    if (kept->state != WEFT_KEPT_ACTIVE)
        return;
    if (standing == kept->epoch)
        kept->sure_epoch = registry_epoch;
    else
        weft__main_delete(main, kept);
}

int weft__main_find(struct weft_state_main *main, uint64_t now_ns,
                    const struct weft_state_place *place, struct weft_kept **kept_out)
{
    struct weft_kept *kept = weft__main_kept(main, place->user, place->key);
    if (now_ns >= main->lease_until_ns) {
        main->refused_lease++;
        return weft_fail(WEFT_EREGISTRY,
                         "the main of state %s/%s has not heard from the registry for "
                         "too long to answer for it",
                         place->user, place->key);
    }
    if (kept != NULL && kept->state != WEFT_KEPT_ACTIVE)
        return weft_fail(WEFT_EAGAIN, "state %s/%s is being %s just now", place->user, place->key,
                         kept->state == WEFT_KEPT_CLAIMING ? "created" : "deleted");
    if (kept != NULL && !is_sure(main, kept))
        return weft_fail(WEFT_EAGAIN, "the registry has to confirm state %s/%s", place->user,
                         place->key);
    if (kept == NULL || kept->epoch != place->epoch) {
        main->refused_stale++;
        return weft_fail(WEFT_ESTALE, "this host does not keep state %s/%s of epoch %llu",
                         place->user, place->key, (unsigned long long)place->epoch);
    }
    *kept_out = kept;
    return WEFT_OK;
}

void weft__main_delete_begin(struct weft_kept *kept)
{
    kept->state = WEFT_KEPT_DELETING;
}

void weft__main_delete(struct weft_state_main *main, struct weft_kept *kept)
{
    HASH_DEL(main->values, kept);
    while (kept->pins != NULL)
        (void)weft__kept_unpin(main, kept, kept->pins->id);
    for (uint32_t i = 0; i < kept->sessions_n; i++)
        weft__session_unstage(main, &kept->sessions[i]);
    weft__main_put(main, kept->body);
    for (size_t i = 0; i < kept->items_n; i++)
        free(kept->items[i]);
    main->used_bytes -= kept->items_bytes;
    free(kept->items);
    free(kept->sessions);
    free(kept);
}

void weft__main_clear(struct weft_state_main *main)
{
    struct weft_kept *kept, *next;
    HASH_ITER(hh, main->values, kept, next)
    weft__main_delete(main, kept);
}

/* ---- time ---- */

static void expire_stages(struct weft_state_main *main, struct weft_kept *kept, uint64_t now_ns,
                          uint64_t *next_ns)
{
    for (uint32_t i = 0; i < kept->sessions_n; i++) {
        struct weft_session *session = &kept->sessions[i];
        if (session->stage != NULL && session->stage_until_ns <= now_ns)
            weft__session_unstage(main, session);
        else if (session->stage != NULL && session->stage_until_ns < *next_ns)
            *next_ns = session->stage_until_ns;
    }
}

static void expire_pins(struct weft_state_main *main, struct weft_kept *kept, uint64_t now_ns,
                        uint64_t *next_ns)
{
    struct weft_pin *pin = kept->pins;
    while (pin != NULL) {
        struct weft_pin *next = pin->next;
        if (pin->until_ns <= now_ns)
            (void)weft__kept_unpin(main, kept, pin->id);
        else if (pin->until_ns < *next_ns)
            *next_ns = pin->until_ns;
        pin = next;
    }
}

void weft__main_expire(struct weft_state_main *main, uint64_t now_ns, uint64_t *next_ns)
{
    struct weft_kept *kept, *next;
    if (main->pins_n == 0 && main->stages_n == 0)
        return;
    HASH_ITER(hh, main->values, kept, next)
    {
        expire_pins(main, kept, now_ns, next_ns);
        expire_stages(main, kept, now_ns, next_ns);
    }
}
