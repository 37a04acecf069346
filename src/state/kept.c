/* What is done to one value.
 *
 * A change is begun, made and ended. Begin looks whether its session has counted it already; end
 * notes how it went, errors too: a refused change that comes again later must not be made then,
 * because its writer has gone on. A session that was forgotten refuses, which its writer can tell
 * from success; numbers of sessions are never given twice in an epoch.
 *
 * Readers hold the body; a change of a body that somebody else holds is made on a copy. A push of
 * the whole value puts the pushed bytes in its place without copying them. */
#include <stdlib.h>
#include <string.h>

#include "state/main.h"
#include "weft/error.h"

/* ---- sessions ---- */

void weft__session_unstage(struct weft_state_main *main, struct weft_session *session)
{
    if (session->stage == NULL)
        return;
    main->stages_n--;
    weft__main_put(main, session->stage);
    session->stage = NULL;
}

static struct weft_session *session_find(const struct weft_kept *kept, uint64_t id)
{
    for (uint32_t i = 0; i < kept->sessions_n; i++)
        if (id != 0 && kept->sessions[i].id == id)
            return &kept->sessions[i];
    return NULL;
}

/* A place for one more; NULL: there are enough, or there is no memory. */
static struct weft_session *session_new(struct weft_state_main *main, struct weft_kept *kept)
{
    uint32_t n = kept->sessions_n;
    struct weft_session *grown = kept->sessions;
    if (n >= main->limits.sessions_max)
        return NULL;
    if (grown == NULL || (n & (n - 1)) == 0) /* room doubles */
        grown = realloc(kept->sessions, (n == 0 ? 1 : 2 * (size_t)n) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    kept->sessions = grown;
    kept->sessions_n++;
    memset(&grown[n], 0, sizeof(*grown));
    return &grown[n];
}

/* That which nobody has used for longest; NULL: all have a change under way. */
static struct weft_session *session_oldest(const struct weft_kept *kept)
{
    struct weft_session *oldest = NULL;
    for (uint32_t i = 0; kept->sessions != NULL && i < kept->sessions_n; i++)
        if (!kept->sessions[i].open && (oldest == NULL || kept->sessions[i].used < oldest->used))
            oldest = &kept->sessions[i];
    return oldest;
}

uint64_t weft__kept_session(struct weft_state_main *main, struct weft_kept *kept)
{
    struct weft_session *session = session_new(main, kept);
    if (session == NULL)
        session = session_oldest(kept);
    if (session == NULL)
        return 0;
    weft__session_unstage(main, session);
    memset(session, 0, sizeof(*session));
    session->id = ++kept->sessions_given;
    session->used = ++main->uses;
    return session->id;
}

static struct weft_outcome outcome_of(const struct weft_kept *kept, int err, uint32_t result)
{
    return (struct weft_outcome){.err = err,
                                 .result = result,
                                 .version = kept->version,
                                 .items = kept->items_n,
                                 .size = kept->body->len};
}

int weft__change_begin(struct weft_state_main *main, struct weft_kept *kept,
                       struct weft_state_writer writer, struct weft_outcome *outcome_out,
                       bool *make_out)
{
    struct weft_session *session = session_find(kept, writer.session);
    bool make = false;
    if (writer.session == 0) {
        make = true;
    } else if (session == NULL || writer.op < session->op || writer.op == 0) {
        *outcome_out = outcome_of(kept, WEFT_OK, WEFT_STATE_NO_SESSION);
    } else if (session->open) {
        return weft_fail(WEFT_EAGAIN, "the change, or the one before, is being made");
    } else if (writer.op == session->op) {
        *outcome_out = session->last;
    } else {
        make = true;
        session->op = writer.op;
        session->open = true;
    }
    if (session != NULL)
        session->used = ++main->uses;
    *make_out = make;
    return WEFT_OK;
}

void weft__change_end(struct weft_kept *kept, struct weft_state_writer writer,
                      const struct weft_outcome *outcome)
{
    struct weft_session *session = session_find(kept, writer.session);
    if (session == NULL)
        return;
    session->open = false;
    if (outcome->err == WEFT_EAGAIN || outcome->err == WEFT_EREGISTRY)
        session->op--; /* it may come again, and is to be made then */
    else
        session->last = *outcome;
}

/* ---- changes ---- */

int weft__ranges_check(const struct weft_kept *kept, const struct weft_range64 *ranges,
                       size_t ranges_n, uint64_t *bytes_out)
{
    uint64_t sum = 0, size = kept->body->len;
    if (ranges_n == 0 || ranges_n > WEFT_STATE_RANGES_MAX)
        return weft_fail(WEFT_EINVAL, "1 to %d ranges at once, not %zu", WEFT_STATE_RANGES_MAX,
                         ranges_n);
    for (size_t i = 0; i < ranges_n; i++) {
        if (ranges[i].len == 0)
            return weft_fail(WEFT_EINVAL, "a range of zero bytes at offset %llu",
                             (unsigned long long)ranges[i].offset);
        if (ranges[i].len > size || ranges[i].offset > size - ranges[i].len ||
            ranges[i].len > UINT64_MAX - sum)
            return weft_fail(WEFT_ERANGE, "%llu bytes at offset %llu are outside a value of %llu",
                             (unsigned long long)ranges[i].len,
                             (unsigned long long)ranges[i].offset, (unsigned long long)size);
        sum += ranges[i].len;
    }
    *bytes_out = sum;
    return WEFT_OK;
}

/* Puts another body in the place of the value's. */
static void replace_body(struct weft_state_main *main, struct weft_kept *kept,
                         struct weft_body *body)
{
    weft__main_put(main, kept->body);
    kept->body = body;
}

/* Makes sure that nobody but the value holds its body. */
static int own_body(struct weft_state_main *main, struct weft_kept *kept)
{
    struct weft_body *copy;
    if (kept->body->refs == 1)
        return WEFT_OK;
    int err = weft__main_body(main, kept->body->len, &copy);
    if (err != WEFT_OK)
        return err;
    memcpy(copy->bytes, kept->body->bytes, copy->len);
    main->copies++;
    replace_body(main, kept, copy);
    return WEFT_OK;
}

static bool is_whole(const struct weft_kept *kept, const struct weft_state_push *push)
{
    return push->ranges_n == 1 && push->ranges[0].offset == 0 &&
           push->ranges[0].len == kept->body->len;
}

static void copy_ranges(struct weft_kept *kept, const struct weft_state_push *push)
{
    const unsigned char *from = push->body != NULL ? push->body->bytes : push->data;
    for (size_t i = 0; i < push->ranges_n; i++) {
        memcpy(kept->body->bytes + push->ranges[i].offset, from, push->ranges[i].len);
        from += push->ranges[i].len;
    }
}

static int push_apply(struct weft_state_main *main, struct weft_kept *kept,
                      const struct weft_state_push *push)
{
    uint64_t bytes = 0;
    int err = weft__ranges_check(kept, push->ranges, push->ranges_n, &bytes);
    if (err == WEFT_OK && bytes != push->data_len)
        err = weft_fail(WEFT_EINVAL, "%llu bytes for ranges of %llu",
                        (unsigned long long)push->data_len, (unsigned long long)bytes);
    if (err != WEFT_OK)
        return err;
    if (push->body != NULL && is_whole(kept, push)) {
        weft__main_hold(push->body);
        replace_body(main, kept, push->body);
        return WEFT_OK;
    }
    err = own_body(main, kept);
    if (err == WEFT_OK)
        copy_ranges(kept, push);
    return err;
}

struct weft_outcome weft__kept_push(struct weft_state_main *main, struct weft_kept *kept,
                                    const struct weft_state_push *push)
{
    if (push->expected != 0 && push->expected != kept->version) {
        weft__main_put(main, push->body);
        return outcome_of(kept, WEFT_OK, WEFT_STATE_OTHER_VERSION);
    }
    int err = push_apply(main, kept, push);
    weft__main_put(main, push->body);
    if (err == WEFT_OK)
        kept->version++;
    return outcome_of(kept, err, WEFT_STATE_MADE);
}

struct weft_outcome weft__kept_resize(struct weft_state_main *main, struct weft_kept *kept,
                                      uint64_t size)
{
    struct weft_body *body;
    if (size == 0 || size > WEFT_STATE_VALUE_MAX)
        return outcome_of(kept,
                          weft_fail(WEFT_EINVAL, "a value has 1 to %llu bytes, not %llu",
                                    (unsigned long long)WEFT_STATE_VALUE_MAX,
                                    (unsigned long long)size),
                          WEFT_STATE_MADE);
    if (size == kept->body->len)
        return outcome_of(kept, WEFT_OK, WEFT_STATE_MADE);
    int err = weft__main_body(main, size, &body);
    if (err != WEFT_OK)
        return outcome_of(kept, err, WEFT_STATE_MADE);
    memcpy(body->bytes, kept->body->bytes, size < kept->body->len ? size : kept->body->len);
    replace_body(main, kept, body);
    kept->version++;
    return outcome_of(kept, WEFT_OK, WEFT_STATE_MADE);
}

static int items_room(struct weft_kept *kept)
{
    if (kept->items_n == WEFT_STATE_ITEMS_MAX)
        return weft_fail(WEFT_ENOSPC, "the value has %u items already, its most",
                         WEFT_STATE_ITEMS_MAX);
    if (kept->items_n < kept->items_room)
        return WEFT_OK;
    size_t room = kept->items_room == 0 ? 8 : 2 * kept->items_room;
    struct weft_item **grown = realloc(kept->items, room * sizeof(struct weft_item *));
    if (grown == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu items", room);
    kept->items = grown;
    kept->items_room = room;
    return WEFT_OK;
}

static int append(struct weft_state_main *main, struct weft_kept *kept, const void *bytes,
                  uint64_t len)
{
    struct weft_item *item = NULL;
    if (len == 0 || len > WEFT_STATE_ITEM_MAX)
        return weft_fail(WEFT_EINVAL, "an item has 1 to %u bytes, not %llu", WEFT_STATE_ITEM_MAX,
                         (unsigned long long)len);
    uint64_t takes = sizeof(*item) + sizeof(void *) + len;
    int err = items_room(kept);
    if (err == WEFT_OK)
        err = weft__main_count(main, takes);
    if (err != WEFT_OK)
        return err;
    item = malloc(sizeof(*item) + len);
    if (item == NULL) {
        main->used_bytes -= takes;
        return weft_fail(WEFT_ENOMEM, "no memory for an item of %llu bytes",
                         (unsigned long long)len);
    }
    item->len = (uint32_t)len;
    memcpy(item->bytes, bytes, len);
    kept->items_bytes += takes;
    kept->items[kept->items_n++] = item;
    return WEFT_OK;
}

struct weft_outcome weft__kept_append(struct weft_state_main *main, struct weft_kept *kept,
                                      const void *item, uint64_t len)
{
    int err = append(main, kept, item, len);
    return outcome_of(kept, err, WEFT_STATE_MADE);
}

struct weft_outcome weft__kept_clear(struct weft_state_main *main, struct weft_kept *kept)
{
    for (size_t i = 0; i < kept->items_n; i++)
        free(kept->items[i]);
    main->used_bytes -= kept->items_bytes;
    kept->items_bytes = 0;
    kept->items_n = 0;
    return outcome_of(kept, WEFT_OK, WEFT_STATE_MADE);
}

/* ---- bytes that come in pieces ---- */

int weft__kept_stage(struct weft_state_main *main, struct weft_kept *kept,
                     struct weft_state_writer writer, const struct weft_state_piece *piece)
{
    struct weft_session *session = session_find(kept, writer.session);
    if (session == NULL || writer.op <= session->op)
        return weft_fail(WEFT_ESTALE, "the session of these bytes has ended or gone on");
    if (piece->len == 0 || piece->len > piece->total || piece->offset > piece->total - piece->len ||
        piece->total > WEFT_STATE_VALUE_MAX)
        return weft_fail(WEFT_ERANGE, "%llu bytes at %llu of %llu", (unsigned long long)piece->len,
                         (unsigned long long)piece->offset, (unsigned long long)piece->total);
    if (session->stage != NULL &&
        (session->stage_op != writer.op || session->stage->len != piece->total))
        weft__session_unstage(main, session);
    if (session->stage == NULL) {
        int err = weft__main_body(main, piece->total, &session->stage);
        if (err != WEFT_OK) {
            session->stage = NULL;
            return err;
        }
        main->stages_n++;
    }
    session->stage_op = writer.op;
    session->stage_until_ns = piece->until_ns;
    session->used = ++main->uses;
    memcpy(session->stage->bytes + piece->offset, piece->data, piece->len);
    return WEFT_OK;
}

struct weft_body *weft__kept_staged(struct weft_state_main *main, struct weft_kept *kept,
                                    struct weft_state_writer writer)
{
    struct weft_session *session = session_find(kept, writer.session);
    if (session == NULL || session->stage == NULL || session->stage_op != writer.op)
        return NULL;
    struct weft_body *body = session->stage;
    session->stage = NULL;
    main->stages_n--;
    return body;
}

/* ---- readers ---- */

int weft__kept_pin(struct weft_state_main *main, struct weft_kept *kept, uint64_t until_ns,
                   struct weft_pin **pin_out)
{
    if (main->pins_n >= main->limits.pins_max)
        return weft_fail(WEFT_EAGAIN, "%u long reads are under way already, the most of this host",
                         main->pins_n);
    struct weft_pin *pin = calloc(1, sizeof(*pin));
    if (pin == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a long read");
    pin->id = ++main->pins_given;
    pin->until_ns = until_ns;
    pin->body = kept->body;
    weft__main_hold(pin->body);
    pin->body->pins++;
    pin->next = kept->pins;
    kept->pins = pin;
    main->pins_n++;
    *pin_out = pin;
    return WEFT_OK;
}

struct weft_pin *weft__kept_pinned(const struct weft_kept *kept, uint64_t id)
{
    struct weft_pin *pin = kept->pins;
    while (pin != NULL && pin->id != id)
        pin = pin->next;
    return pin;
}

bool weft__kept_unpin(struct weft_state_main *main, struct weft_kept *kept, uint64_t id)
{
    for (struct weft_pin **link = &kept->pins; *link != NULL; link = &(*link)->next) {
        struct weft_pin *pin = *link;
        if (pin->id != id)
            continue;
        *link = pin->next;
        if (--pin->body->pins == 0 && pin->body->share != NULL) {
            pin->body->share->next = main->ended;
            main->ended = pin->body->share;
            pin->body->share = NULL;
        }
        weft__main_put(main, pin->body);
        free(pin);
        main->pins_n--;
        return true;
    }
    return false;
}
