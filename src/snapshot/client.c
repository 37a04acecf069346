/* The client's side. A push shares the region and asks the host to pull it; the answer ends the
 * sharing, and so does the deadline: whatever the host still reads then fails there. A pull asks
 * for a descriptor and pulls; when gets fail because the snapshot has been replaced or deleted,
 * asking again tells.
 *
 * The lane opens with the first large snapshot, with the transport of that host and bound to the
 * interface that leads there. */
#include "snapshot/client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "link/data.h"
#include "snapshot/client_own.h"
#include "snapshot/image.h"
#include "snapshot/pull.h"
#include "snapshot/service.h"
#include "weft/error.h"
#include "wire/message.h"
#include "wire/snapshot.pb-c.h"

enum { STALL_MAX_MS = 10000, PULLED_MS = 1000, LOST_MS = 3000, URL_MAX = 256 };

struct weft_snapshots {
    struct weft_snapshots_desc desc;
    pthread_mutex_t lock; /* while data is made */
    struct weft_data *data;
    _Atomic uint32_t tellings; /* that pulls are over, under way */
};

int weft__snapshots_open(const struct weft_snapshots_desc *desc,
                         struct weft_snapshots **snapshots_out)
{
    struct weft_snapshots *snapshots = calloc(1, sizeof(*snapshots));
    if (snapshots == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a client of snapshots");
    snapshots->desc = *desc;
    pthread_mutex_init(&snapshots->lock, NULL);
    *snapshots_out = snapshots;
    return WEFT_OK;
}

void weft__snapshots_close(struct weft_snapshots *snapshots)
{
    uint32_t tellings;
    if (snapshots == NULL)
        return;
    while ((tellings = atomic_load(&snapshots->tellings)) > 0)
        (void)weft__futex_wait(&snapshots->tellings, tellings,
                               WEFT_NEVER); /* each has a deadline */
    weft__data_close(snapshots->data);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}

void weft__snapshots_lane_stats(struct weft_snapshots *snapshots, struct weft_lane_stats *stats_out)
{
    pthread_mutex_lock(&snapshots->lock);
    struct weft_lane *lane = snapshots->data != NULL ? weft__data_peek(snapshots->data) : NULL;
    pthread_mutex_unlock(&snapshots->lock);
    *stats_out = (struct weft_lane_stats){.peers = 0};
    if (lane != NULL)
        weft__lane_stats(lane, stats_out);
}

/* ---- questions ---- */

uint64_t weft__snapshot_deadline(const struct weft_snapshot_at *at)
{
    return weft__now_ns() + at->timeout_ms * WEFT_NS_PER_MS;
}

int weft__snapshot_check(const struct weft_snapshot_at *at)
{
    if (at->key[0] == '\0' || strlen(at->key) > WEFT_SNAPSHOT_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "the key of a snapshot has 1 to %u bytes, not %zu",
                         WEFT_SNAPSHOT_KEY_MAX, strlen(at->key));
    if (at->timeout_ms == 0)
        return weft_fail(WEFT_EINVAL, "a call needs a time-out");
    return WEFT_OK;
}

int weft__snapshot_ask(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                       struct weft_client_call call, uint64_t deadline_ns,
                       ProtobufCMessage **reply_out)
{
    call.url = at->url;
    call.lost_ms = LOST_MS; /* the deadline is meant for bytes on their way */
    call.timeout_ms = weft__left_ms(deadline_ns);
    if (call.timeout_ms == 0)
        return weft_fail(WEFT_ETIMEDOUT, "the time for the snapshot \"%s\" is over", at->key);
    return weft__client_wait(snapshots->desc.client, &call, reply_out);
}

int weft__snapshot_ask_delete(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                              uint16_t code, bool *existed_out)
{
    Weft__Snapshot__DeleteRequest request = WEFT__SNAPSHOT__DELETE_REQUEST__INIT;
    const struct weft_client_call call = {.code = code,
                                          .request = &request.base,
                                          .reply_type = &weft__snapshot__delete_reply__descriptor};
    ProtobufCMessage *reply;
    int err = weft__snapshot_check(at);
    request.key = weft__message_text(at->key);
    if (err == WEFT_OK)
        err = weft__snapshot_ask(snapshots, at, call, weft__snapshot_deadline(at), &reply);
    if (err != WEFT_OK)
        return err;
    if (existed_out != NULL)
        *existed_out = ((const Weft__Snapshot__DeleteReply *)reply)->existed;
    weft__message_free(reply);
    return WEFT_OK;
}

int weft__snapshot_ask_list(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                            const struct weft_snapshot_listing *listing)
{
    Weft__Snapshot__ListRequest request = WEFT__SNAPSHOT__LIST_REQUEST__INIT;
    const struct weft_client_call call = {.code = listing->code,
                                          .request = &request.base,
                                          .reply_type = listing->reply_type,
                                          .flags = WEFT_CLIENT_IDEMPOTENT};
    uint64_t deadline_ns = weft__snapshot_deadline(at);
    const char *after = "";
    int err = WEFT_OK;
    request.prefix = weft__message_text(at->key);
    while (err == WEFT_OK && after != NULL) {
        ProtobufCMessage *page;
        request.after = weft__message_text(after);
        err = weft__snapshot_ask(snapshots, at, call, deadline_ns, &page);
        if (err != WEFT_OK)
            break;
        err = listing->gather(listing->all, page, &after);
        weft__message_free(page);
    }
    return err;
}

/* ---- the lane ---- */

static int lane_to(struct weft_snapshots *snapshots, const char *url, struct weft_lane **lane_out)
{
    int err = WEFT_OK;
    pthread_mutex_lock(&snapshots->lock);
    if (snapshots->data == NULL)
        err = weft__data_open(&(struct weft_data_desc){.transports = snapshots->desc.transports,
                                                       .transports_n = snapshots->desc.transports_n,
                                                       .scheme = snapshots->desc.scheme,
                                                       .bind = snapshots->desc.bind,
                                                       .client = snapshots->desc.client,
                                                       .url = url},
                              &snapshots->data);
    struct weft_data *data = snapshots->data;
    pthread_mutex_unlock(&snapshots->lock);
    return err == WEFT_OK ? weft__data_lane(data, lane_out) : err;
}

/* ---- push ---- */

/* What is pushed: a region's first bytes, or what changed of them. */
struct pushing {
    const struct weft_region *region;
    uint64_t size_bytes;
    uint64_t base_version;
    const struct weft_extents *changed; /* NULL: what was touched */
};

static int push_ask(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                    const Weft__Snapshot__PushRequest *request, uint64_t deadline_ns,
                    uint64_t *version_out)
{
    ProtobufCMessage *reply;
    int err = weft__snapshot_ask(
        snapshots, at,
        (struct weft_client_call){.code = WEFT_SNAPSHOT_PUSH,
                                  .request = &request->base,
                                  .reply_type = &weft__snapshot__push_reply__descriptor},
        deadline_ns, &reply);
    if (err != WEFT_OK)
        return err;
    if (version_out != NULL)
        *version_out = ((const Weft__Snapshot__PushReply *)reply)->version;
    weft__message_free(reply);
    return WEFT_OK;
}

/* lint: bytes, their base and the result belong to one call. */
static int push_small(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                      const void *bytes, const struct pushing *pushing, uint64_t *version_out)
{
    Weft__Snapshot__PushRequest request = WEFT__SNAPSHOT__PUSH_REQUEST__INIT;
    request.key = weft__message_text(at->key);
    request.size_bytes = pushing->size_bytes;
    request.base_version = pushing->base_version;
    request.inline_.data = (uint8_t *)(uintptr_t)bytes;
    request.inline_.len = pushing->size_bytes;
    return push_ask(snapshots, at, &request, weft__snapshot_deadline(at), version_out);
}

static int push_image(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                      const struct pushing *pushing, struct weft_image *image,
                      uint64_t *version_out)
{
    Weft__Snapshot__PushRequest request = WEFT__SNAPSHOT__PUSH_REQUEST__INIT;
    uint64_t deadline_ns = weft__snapshot_deadline(at);
    struct weft_lane *lane;
    uint8_t *descriptor = NULL;
    int err = lane_to(snapshots, at->url, &lane);
    if (err == WEFT_OK)
        err = weft__image_share(image, lane);
    if (err == WEFT_OK)
        err = weft__image_encode(image, &descriptor, &request.image.len);
    if (err != WEFT_OK)
        return err;
    request.key = weft__message_text(at->key);
    request.size_bytes = pushing->size_bytes;
    request.base_version = pushing->base_version;
    request.image.data = descriptor;
    request.lane = weft__message_text(weft__lane_address(lane));
    err = push_ask(snapshots, at, &request, deadline_ns, version_out);
    free(descriptor);
    return err;
}

static int push_large(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                      const struct pushing *pushing, uint64_t *version_out)
{
    struct weft_image *image;
    int err = weft__image_build(
        &(struct weft_image_desc){.region = pushing->region, .extents = pushing->changed}, &image);
    if (err != WEFT_OK)
        return err;
    err = push_image(snapshots, at, pushing, image, version_out);
    char text[300];
    snprintf(text, sizeof(text), "%s", err != WEFT_OK ? weft_fail_text(err) : "");
    uint32_t retry_ms = weft_fail_retry_ms();
    weft__image_free(image); /* whoever still reads it fails */
    if (err != WEFT_OK) {
        weft_fail(err, "%s", text);
        weft_fail_set_retry_ms(retry_ms);
    }
    return err;
}

static int push_region(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                       const struct pushing *pushing, uint64_t *version_out)
{
    if (pushing->size_bytes <= WEFT_SNAPSHOT_INLINE_MAX)
        return push_small(snapshots, at, pushing->region->base, pushing, version_out);
    return push_large(snapshots, at, pushing, version_out);
}

int weft__snapshot_push(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        const struct weft_region *region)
{
    const struct pushing pushing = {.region = region, .size_bytes = region->len_bytes};
    int err = weft__snapshot_check(at);
    return err == WEFT_OK ? push_region(snapshots, at, &pushing, NULL) : err;
}

int weft__snapshot_update(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          const struct weft_snapshot_update *update, uint64_t *version_out)
{
    const struct pushing pushing = {.region = update->region,
                                    .size_bytes = update->region->len_bytes,
                                    .base_version = update->base_version,
                                    .changed = update->base_version ? update->changed : NULL};
    int err = weft__snapshot_check(at);
    return err == WEFT_OK ? push_region(snapshots, at, &pushing, version_out) : err;
}

int weft__snapshot_push_bytes(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                              const void *bytes, size_t len_bytes)
{
    struct weft_region region;
    const struct pushing pushing = {.region = &region, .size_bytes = len_bytes};
    int err = weft__snapshot_check(at);
    if (err == WEFT_OK && (len_bytes == 0 || len_bytes > WEFT_REGION_MAX_BYTES))
        err = weft_fail(WEFT_EINVAL, "a snapshot has 1 to %zu bytes, not %zu",
                        WEFT_REGION_MAX_BYTES, len_bytes);
    if (err != WEFT_OK)
        return err;
    if (len_bytes <= WEFT_SNAPSHOT_INLINE_MAX)
        return push_small(snapshots, at, bytes, &pushing, NULL);
    size_t whole = (len_bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
    err = weft__region_init(&region, "weft-push", NULL, whole);
    if (err != WEFT_OK)
        return err;
    err = weft__region_write(&region, 0, bytes, len_bytes);
    if (err == WEFT_OK)
        err = push_large(snapshots, at, &pushing, NULL);
    weft__region_fini(&region);
    return err;
}

/* ---- pull ---- */

struct pulling {
    _Atomic uint32_t over;
    int err;
    char text[256];
};

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct pulling *pulling = user;
    (void)pull;
    pulling->err = err;
    snprintf(pulling->text, sizeof(pulling->text), "%s", text != NULL ? text : "");
    atomic_store(&pulling->over, 1);
    weft__futex_wake(&pulling->over);
}

/* Pulls and waits; the image's region is as long as `into`. */
static int pull_into(const struct weft_pull_desc *like, uint64_t deadline_ns)
{
    struct weft_pull_desc desc = *like;
    struct pulling pulling = {.err = WEFT_OK};
    struct weft_pull *pull;
    uint32_t patience = weft__left_ms(deadline_ns);
    desc.stall_ms = patience < STALL_MAX_MS ? patience + 1 : STALL_MAX_MS;
    desc.done = pulled;
    desc.user = &pulling;
    int err = weft__pull_start(&desc, &pull);
    if (err != WEFT_OK)
        return err;
    bool late = false;
    while (atomic_load(&pulling.over) == 0)
        if (weft__futex_wait(&pulling.over, 0, late ? WEFT_NEVER : deadline_ns) == WEFT_ETIMEDOUT) {
            late = true;
            weft__pull_cancel(pull);
        }
    weft__pull_free(pull);
    err = pulling.err;
    if (late && err == WEFT_ECANCELED)
        return weft_fail(WEFT_ETIMEDOUT, "the snapshot did not come in time");
    return err == WEFT_OK ? err : weft_fail(err, "%s", pulling.text);
}

static int take_small(const Weft__Snapshot__PullReply *reply, struct weft_snapshot_copy *copy)
{
    if (reply->inline_.len != reply->size_bytes)
        return weft_fail(WEFT_EPROTO, "a snapshot of %llu bytes came with %zu",
                         (unsigned long long)reply->size_bytes, reply->inline_.len);
    return weft__region_write(&copy->region, 0, reply->inline_.data, reply->inline_.len);
}

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_snapshots *snapshots = ctx;
    (void)err;
    (void)text;
    (void)reply;
    atomic_fetch_sub(&snapshots->tellings, 1);
    weft__futex_wake(&snapshots->tellings); /* an address only: it may be gone */
}

/* Without waiting: where it gets lost the lease ends by itself. */
static void tell_pulled(struct weft_snapshots *snapshots, const char *url, uint64_t lease)
{
    Weft__Snapshot__PulledRequest request = WEFT__SNAPSHOT__PULLED_REQUEST__INIT;
    request.lease = lease;
    atomic_fetch_add(&snapshots->tellings, 1);
    if (weft__client_start(snapshots->desc.client,
                           &(struct weft_client_call){.url = url,
                                                      .code = WEFT_SNAPSHOT_PULLED,
                                                      .request = &request.base,
                                                      .timeout_ms = PULLED_MS,
                                                      .done = told,
                                                      .ctx = snapshots}) != WEFT_OK)
        atomic_fetch_sub(&snapshots->tellings, 1);
}

static int take_large(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                      const Weft__Snapshot__PullReply *reply, uint64_t deadline_ns,
                      struct weft_snapshot_copy *copy)
{
    struct weft_pull_desc desc = {.into = &copy->region};
    struct weft_image *image;
    int err = weft__image_decode(reply->image.data, reply->image.len, &image);
    if (err != WEFT_OK)
        return err;
    desc.image = image;
    err = lane_to(snapshots, at->url, &desc.lane);
    if (err == WEFT_OK)
        err = weft__lane_peer(desc.lane, reply->lane, &desc.peer);
    if (err == WEFT_OK) {
        err = pull_into(&desc, deadline_ns);
        weft__lane_peer_put(desc.lane, desc.peer);
    }
    weft__image_free(image);
    tell_pulled(snapshots, at->url, reply->lease);
    return err;
}

static int take(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                const Weft__Snapshot__PullReply *reply, uint64_t deadline_ns,
                struct weft_snapshot_copy *copy_out)
{
    struct weft_snapshot_copy copy = {.size_bytes = reply->size_bytes, .version = reply->version};
    if (copy.size_bytes == 0 || copy.size_bytes > WEFT_REGION_MAX_BYTES)
        return weft_fail(WEFT_EPROTO, "a snapshot of %llu bytes came",
                         (unsigned long long)copy.size_bytes);
    size_t whole = (copy.size_bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
    int err = weft__region_init(&copy.region, "weft-pull", NULL, whole);
    if (err != WEFT_OK)
        return err;
    if (reply->image.len == 0)
        err = take_small(reply, &copy);
    else
        err = take_large(snapshots, at, reply, deadline_ns, &copy);
    if (err == WEFT_OK)
        *copy_out = copy;
    else
        weft__region_fini(&copy.region);
    return err;
}

/* Whether another descriptor may help. */
static bool worth_another_try(int err)
{
    return weft_error_damage(err) == WEFT_DAMAGE_PEER || err == WEFT_ECHECKSUM ||
           err == WEFT_ECANCELED || err == WEFT_EIO || err == WEFT_EACCES;
}

static int pull_once(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                     uint64_t deadline_ns, struct weft_snapshot_copy *copy_out, bool *asked_out)
{
    Weft__Snapshot__PullRequest request = WEFT__SNAPSHOT__PULL_REQUEST__INIT;
    ProtobufCMessage *message;
    request.key = weft__message_text(at->key);
    int err = weft__snapshot_ask(
        snapshots, at,
        (struct weft_client_call){.code = WEFT_SNAPSHOT_PULL,
                                  .request = &request.base,
                                  .reply_type = &weft__snapshot__pull_reply__descriptor,
                                  .flags = WEFT_CLIENT_IDEMPOTENT},
        deadline_ns, &message);
    *asked_out = err == WEFT_OK;
    if (err != WEFT_OK)
        return err;
    err = take(snapshots, at, (const Weft__Snapshot__PullReply *)message, deadline_ns, copy_out);
    weft__message_free(message);
    return err;
}

int weft__snapshot_pull(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_copy *copy_out)
{
    uint64_t deadline_ns = weft__snapshot_deadline(at);
    bool asked = false;
    int err = weft__snapshot_check(at);
    if (err == WEFT_OK)
        err = pull_once(snapshots, at, deadline_ns, copy_out, &asked);
    if (asked && worth_another_try(err))
        err = pull_once(snapshots, at, deadline_ns, copy_out, &asked);
    return err;
}

/* ---- the rest ---- */

int weft__snapshot_delete(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          bool *existed_out)
{
    return weft__snapshot_ask_delete(snapshots, at, WEFT_SNAPSHOT_DELETE, existed_out);
}

/* The url of the async port: that of the sync port and 1. */
static int async_url(const char *url, char out[URL_MAX])
{
    const char *colon = strrchr(url, ':');
    char *end;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (port == 0 || port >= UINT16_MAX || *end != '\0' || strlen(url) >= URL_MAX - 8)
        return weft_fail(WEFT_EINVAL, "%s is no url with a port", url);
    snprintf(out, URL_MAX, "%.*s:%lu", (int)(colon - url), url, port + 1);
    return WEFT_OK;
}

int weft__snapshot_delete_async(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at)
{
    Weft__Snapshot__DeleteRequest request = WEFT__SNAPSHOT__DELETE_REQUEST__INIT;
    char url[URL_MAX];
    int err = weft__snapshot_check(at);
    if (err == WEFT_OK)
        err = async_url(at->url, url);
    request.key = weft__message_text(at->key);
    if (err == WEFT_OK)
        err = weft__client_push(snapshots->desc.client, url, WEFT_SNAPSHOT_DELETE, &request.base);
    return err;
}

static struct weft_snapshot_info info_of(const Weft__Snapshot__Info *info)
{
    return (struct weft_snapshot_info){.size_bytes = info->size_bytes,
                                       .held_bytes = info->held_bytes,
                                       .version = info->version,
                                       .pushed_wall_ms = info->pushed_wall_ms};
}

int weft__snapshot_info(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_info *info_out)
{
    Weft__Snapshot__InfoRequest request = WEFT__SNAPSHOT__INFO_REQUEST__INIT;
    ProtobufCMessage *message;
    int err = weft__snapshot_check(at);
    request.key = weft__message_text(at->key);
    if (err == WEFT_OK)
        err = weft__snapshot_ask(
            snapshots, at,
            (struct weft_client_call){.code = WEFT_SNAPSHOT_INFO,
                                      .request = &request.base,
                                      .reply_type = &weft__snapshot__info__descriptor,
                                      .flags = WEFT_CLIENT_IDEMPOTENT},
            weft__snapshot_deadline(at), &message);
    if (err != WEFT_OK)
        return err;
    *info_out = info_of((const Weft__Snapshot__Info *)message);
    weft__message_free(message);
    return WEFT_OK;
}

void weft__snapshot_list_free(struct weft_snapshot_info *infos, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(infos[i].key);
    free(infos);
}

/* What has come so far. */
struct gathered {
    struct weft_snapshot_info *infos;
    size_t n;
};

static int gather(void *ctx, const ProtobufCMessage *page, const char **after_out)
{
    const Weft__Snapshot__ListReply *reply = (const Weft__Snapshot__ListReply *)page;
    struct gathered *all = ctx;
    struct weft_snapshot_info *more =
        realloc(all->infos, (all->n + reply->n_snapshots + 1) * sizeof(*more));
    if (more == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
    all->infos = more;
    for (size_t i = 0; i < reply->n_snapshots; i++) {
        struct weft_snapshot_info *info = &all->infos[all->n];
        *info = info_of(reply->snapshots[i]);
        info->key = strdup(reply->snapshots[i]->key);
        if (info->key == NULL)
            return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
        all->n++;
    }
    *after_out = reply->more && reply->n_snapshots > 0 ? all->infos[all->n - 1].key : NULL;
    return WEFT_OK;
}

int weft__snapshot_list(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_info **infos_out, size_t *n_out)
{
    struct gathered all = {.n = 0};
    const struct weft_snapshot_listing listing = {.code = WEFT_SNAPSHOT_LIST,
                                                  .reply_type =
                                                      &weft__snapshot__list_reply__descriptor,
                                                  .gather = gather,
                                                  .all = &all};
    int err = weft__snapshot_ask_list(snapshots, at, &listing);
    if (err != WEFT_OK) {
        weft__snapshot_list_free(all.infos, all.n);
        return err;
    }
    *infos_out = all.infos;
    *n_out = all.n;
    return WEFT_OK;
}
