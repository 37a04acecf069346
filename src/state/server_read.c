/* Calls that change nothing: opening, pulling, listing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "state/parts.h"
#include "weft/error.h"

#define LIST_PAGE 256
#define ITEMS_PAGE 4096

/* Locks, and finds the value; on an error the call is answered and nothing is locked. */
static bool touch(struct weft_state_server *server, struct weft_call *call,
                  const struct weft_state_place *place, struct weft_kept **kept_out)
{
    weft__state_lock(server);
    int err = weft__main_find(&server->main, weft__now_ns(), place, kept_out);
    if (err == WEFT_OK)
        return true;
    char why[256];
    snprintf(why, sizeof(why), "%s", weft_fail_text(err));
    weft__state_unlock(server);
    if (err == WEFT_ESTALE)
        weft__state_heal(server, place->user, place->key);
    weft__state_fail(call, weft_fail(err, "%s", why));
    return false;
}

static void put(struct weft_state_server *server, struct weft_body *body)
{
    weft__state_lock(server);
    weft__main_put(&server->main, body);
    weft__state_unlock(server);
}

void weft__state_on_open(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__OpenRequest *request = (const Weft__State__OpenRequest *)message;
    Weft__State__OpenReply reply = WEFT__STATE__OPEN_REPLY__INIT;
    struct weft_kept *kept;
    if (!touch(server, call,
               &(struct weft_state_place){request->user, request->key, request->epoch}, &kept))
        return;
    reply.session = weft__kept_session(&server->main, kept);
    reply.size = kept->body->len;
    reply.version = kept->version;
    reply.items = kept->items_n;
    weft__state_unlock(server);
    if (reply.session == 0)
        weft__call_fail_again(call, 20, "all sessions of the value have a change under way");
    else
        weft__call_reply(call, &reply.base);
}

/* ---- pull ---- */

/* What a pull wants, and from which body. */
struct pull {
    const Weft__State__PullRequest *request;
    struct weft_range64 *ranges;
    size_t ranges_n;
    uint64_t bytes;
    struct weft_body *body; /* held */
    Weft__State__PullReply reply;
};

static int pull_parse(struct pull *pull, struct weft_range64 *ranges)
{
    size_t n = pull->request->n_offsets;
    if (ranges == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu ranges", n);
    if (n != pull->request->n_lengths)
        return weft_fail(WEFT_EINVAL, "%zu offsets, but %zu lengths", n, pull->request->n_lengths);
    for (size_t i = 0; i < n; i++)
        ranges[i] = (struct weft_range64){pull->request->offsets[i], pull->request->lengths[i]};
    pull->ranges = ranges;
    pull->ranges_n = n > 0 ? n : 1;
    return WEFT_OK;
}

static uint64_t pin_until(uint32_t pin_ms)
{
    if (pin_ms == 0 || pin_ms > WEFT_STATE_PIN_MAX_MS)
        pin_ms = WEFT_STATE_PIN_MAX_MS;
    return weft__now_ns() + pin_ms * WEFT_NS_PER_MS;
}

/* With the lock: looks at the value, and holds what the answer needs. */
static int pull_take(struct weft_state_server *server, struct pull *pull, struct weft_kept *kept)
{
    struct weft_pin *pin;
    if (pull->request->n_offsets == 0)
        pull->ranges[0].len = kept->body->len;
    int err = weft__ranges_check(kept, pull->ranges, pull->ranges_n, &pull->bytes);
    if (err == WEFT_OK && (pull->request->bulk || pull->bytes > WEFT_STATE_INLINE_MAX)) {
        err = weft__kept_pin(&server->main, kept, pin_until(pull->request->pin_ms), &pin);
        if (err == WEFT_OK) {
            pull->reply.pin = pin->id;
            pthread_cond_signal(&server->wake);
        }
    }
    if (err != WEFT_OK)
        return err;
    pull->reply.size = kept->body->len;
    pull->reply.version = kept->version;
    pull->body = kept->body;
    weft__main_hold(pull->body);
    return WEFT_OK;
}

/* The bytes in the message. One range is sent from where it lies. */
static void answer_inline(struct weft_call *call, struct pull *pull)
{
    unsigned char *gathered = NULL;
    pull->reply.data.len = pull->bytes;
    pull->reply.data.data = pull->body->bytes + pull->ranges[0].offset;
    if (pull->ranges_n > 1) {
        gathered = malloc(pull->bytes);
        if (gathered == NULL) {
            weft__state_fail(call, weft_fail(WEFT_ENOMEM, "no memory for an answer"));
            return;
        }
        pull->reply.data.data = gathered;
        for (size_t i = 0, at = 0; i < pull->ranges_n; at += pull->ranges[i++].len)
            memcpy(gathered + at, pull->body->bytes + pull->ranges[i].offset, pull->ranges[i].len);
    }
    weft__call_reply(call, &pull->reply.base);
    free(gathered);
}

static void answer_pinned(struct weft_state_server *server, struct weft_call *call,
                          struct pull *pull)
{
    struct weft__state_shared shared;
    if (pull->request->bulk && weft__state_share(server, pull->body, &shared)) {
        pull->reply.lane = (char *)(uintptr_t)weft__lane_address(shared.lane);
        pull->reply.rma_key = shared.key.tp.key;
        pull->reply.rma_base = shared.key.tp.base;
        pull->reply.rma_length = shared.key.tp.len_bytes;
    }
    weft__call_reply(call, &pull->reply.base);
}

static void pull(struct weft_state_server *server, struct weft_call *call, struct pull *pull)
{
    struct weft_state_place place = {pull->request->user, pull->request->key, pull->request->epoch};
    struct weft_kept *kept;
    if (!touch(server, call, &place, &kept))
        return;
    int err = pull_take(server, pull, kept);
    weft__state_unlock(server);
    if (err != WEFT_OK) {
        weft__state_fail(call, err);
        return;
    }
    if (pull->reply.pin != 0)
        answer_pinned(server, call, pull);
    else
        answer_inline(call, pull);
    put(server, pull->body);
}

void weft__state_on_pull(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct pull one = {.request = (const Weft__State__PullRequest *)message,
                       .reply = WEFT__STATE__PULL_REPLY__INIT};
    struct weft_range64 *ranges = calloc(one.request->n_offsets + 1, sizeof(*ranges));
    int err = pull_parse(&one, ranges);
    if (err != WEFT_OK)
        weft__state_fail(call, err);
    else
        pull(ctx, call, &one);
    free(ranges);
}

void weft__state_on_part(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__PartRequest *request = (const Weft__State__PartRequest *)message;
    Weft__State__PartReply reply = WEFT__STATE__PART_REPLY__INIT;
    struct weft_body *body = NULL;
    struct weft_kept *kept;
    if (!touch(server, call,
               &(struct weft_state_place){request->user, request->key, request->epoch}, &kept))
        return;
    const struct weft_pin *pin = weft__kept_pinned(kept, request->pin);
    if (pin != NULL) {
        body = pin->body;
        weft__main_hold(body);
    }
    weft__state_unlock(server);
    reply.ended = body == NULL;
    if (body != NULL &&
        (request->length == 0 || request->length > WEFT_STATE_INLINE_MAX ||
         request->length > body->len || request->offset > body->len - request->length)) {
        weft__call_fail(call, WEFT_ERANGE, "the part is outside the value, or over 1 MiB");
    } else {
        if (body != NULL)
            reply.data = (ProtobufCBinaryData){request->length, body->bytes + request->offset};
        weft__call_reply(call, &reply.base);
    }
    if (body != NULL)
        put(server, body);
}

void weft__state_on_unpin(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__UnpinRequest *request = (const Weft__State__UnpinRequest *)message;
    Weft__State__UnpinReply reply = WEFT__STATE__UNPIN_REPLY__INIT;
    struct weft_kept *kept;
    if (!touch(server, call,
               &(struct weft_state_place){request->user, request->key, request->epoch}, &kept))
        return;
    reply.held = weft__kept_unpin(&server->main, kept, request->pin);
    weft__state_unlock(server);
    weft__call_reply(call, &reply.base);
}

/* ---- items ---- */

/* As many copies of items as fit one answer, at least one. */
static size_t copy_items(const struct weft_kept *kept, uint64_t first, uint64_t n,
                         ProtobufCBinaryData out[ITEMS_PAGE])
{
    size_t count = 0, bytes = 0;
    while (count < ITEMS_PAGE && count < n && first + count < kept->items_n) {
        const struct weft_item *item = kept->items[first + count];
        if (count > 0 && bytes + item->len > WEFT_STATE_INLINE_MAX)
            break;
        out[count].data = malloc(item->len);
        if (out[count].data == NULL)
            break;
        memcpy(out[count].data, item->bytes, item->len);
        out[count++].len = item->len;
        bytes += item->len;
    }
    return count;
}

void weft__state_on_items(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__ItemsRequest *request = (const Weft__State__ItemsRequest *)message;
    Weft__State__ItemsReply reply = WEFT__STATE__ITEMS_REPLY__INIT;
    struct weft_kept *kept;
    ProtobufCBinaryData *items = calloc(ITEMS_PAGE, sizeof(*items));
    if (items == NULL) {
        weft__state_fail(call, weft_fail(WEFT_ENOMEM, "no memory for an answer"));
        return;
    }
    if (touch(server, call, &(struct weft_state_place){request->user, request->key, request->epoch},
              &kept)) {
        reply.total = kept->items_n;
        if (request->first < kept->items_n)
            reply.n_items = copy_items(kept, request->first, request->n, items);
        bool starved = reply.n_items == 0 && request->n > 0 && request->first < kept->items_n;
        weft__state_unlock(server);
        reply.items = items;
        if (starved)
            weft__state_fail(call, weft_fail(WEFT_ENOMEM, "no memory for an answer"));
        else
            weft__call_reply(call, &reply.base);
    }
    for (size_t i = 0; i < reply.n_items; i++)
        free(items[i].data);
    free(items);
}

/* ---- list ---- */

struct row {
    Weft__State__ListEntry entry;
    char name[WEFT_STATE_NAME_MAX + 1]; /* user NUL key NUL */
};

static int by_name(const void *a, const void *b)
{
    const struct row *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order != 0
               ? order
               : strcmp(one->name + strlen(one->name) + 1, other->name + strlen(other->name) + 1);
}

static bool is_wanted(const struct weft_kept *kept, const Weft__State__ListRequest *request)
{
    const char *user = kept->name, *key = kept->name + strlen(kept->name) + 1;
    int order = strcmp(user, request->after_user);
    if (kept->state != WEFT_KEPT_ACTIVE ||
        (request->user[0] != '\0' && strcmp(user, request->user) != 0))
        return false;
    return order > 0 || (order == 0 && strcmp(key, request->after_key) > 0);
}

/* All rows that are wanted; NULL: no memory. */
static struct row *rows_of(struct weft_state_server *server,
                           const Weft__State__ListRequest *request, size_t *n_out)
{
    struct weft_kept *kept, *next;
    size_t n = 0;
    weft__state_lock(server);
    struct row *rows = calloc(HASH_COUNT(server->main.values) + 1, sizeof(*rows));
    if (rows != NULL)
        HASH_ITER(hh, server->main.values, kept, next)
        {
            if (!is_wanted(kept, request))
                continue;
            struct row *row = &rows[n++];
            weft__state__list_entry__init(&row->entry);
            memcpy(row->name, kept->name, sizeof(row->name));
            row->entry.size = kept->body->len;
            row->entry.version = kept->version;
            row->entry.items = kept->items_n;
            row->entry.epoch = kept->epoch;
        }
    weft__state_unlock(server);
    *n_out = n;
    return rows;
}

void weft__state_on_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__ListRequest *request = (const Weft__State__ListRequest *)message;
    Weft__State__ListReply reply = WEFT__STATE__LIST_REPLY__INIT;
    Weft__State__ListEntry *page[LIST_PAGE];
    size_t n;
    struct row *rows = rows_of(ctx, request, &n);
    if (rows == NULL) {
        weft__state_fail(call, weft_fail(WEFT_ENOMEM, "no memory for a list"));
        return;
    }
    qsort(rows, n, sizeof(*rows), by_name);
    reply.more = n > LIST_PAGE;
    reply.n_entries = n > LIST_PAGE ? LIST_PAGE : n;
    reply.entries = page;
    for (size_t i = 0; i < reply.n_entries; i++) {
        rows[i].entry.user = rows[i].name;
        rows[i].entry.key = rows[i].name + strlen(rows[i].name) + 1;
        page[i] = &rows[i].entry;
    }
    weft__call_reply(call, &reply.base);
    free(rows);
}
