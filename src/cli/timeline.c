/* The trace event format, of the kinds of events that both viewers understand:
 *
 *   M    names of processes (hosts) and rows (ranks)
 *   X    slices: the stays of a rank on a host, the phases of its moves (prepare, freeze, frozen,
 *        copy, commit, resume, forwarding), and each move as a whole on the home's row "moves",
 *        with its pre-copy in it: the home's clock tells both
 *   i    moments: plans, hosts that come and go, messages
 *   s f  an arrow from the sending of a message to its receipt; t: where it was held or forwarded
 *   C    used slots of each host
 *
 * Slices of a row never overlap half: a stay ends where the rank stands frozen and begins where it
 * is resumed, and the phases lie in, or between, stays. Times are microseconds since the first
 * event, on our clock (events.h says how the hosts' clocks are compared).
 */
#include "cli/timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/event_json.h"
#include "base/must.h"

enum { HOST_ROW = 0, MOVES_ROW = 1, RANK_ROW = 2, RANKS_MAX = 65536 };

/* Where a rank is and what is happening to it; times 0: not. */
struct row {
    uint64_t here_ns; /* it is on `host` since then */
    uint32_t host;
    uint64_t frozen_ns; /* it stands on `host` */
    uint64_t committed_ns, resumed_ns;
    uint64_t asked_ns;
    uint32_t source; /* host that it has left: it forwards */
};

struct picture {
    const struct cli_events *events;
    uint64_t app;
    uint64_t first_ns, last_ns;
    json_t *list;
    struct row *rows; /* by rank */
    size_t rows_n;
    json_t *named;           /* rows that have a name */
    json_t *sent, *received; /* when messages were, by pair and sequence */
};

static double us(const struct picture *picture, uint64_t at_ns)
{
    return at_ns > picture->first_ns ? (double)(at_ns - picture->first_ns) / 1e3 : 0.0;
}

/* An event of the trace; `more` (NULL: nothing) is taken over. */
static void put(struct picture *picture, json_t *event, json_t *more)
{
    if (more != NULL)
        json_object_update(event, more);
    json_decref(more);
    json_array_append_new(picture->list, event);
}

static void name_row(struct picture *picture, uint32_t host, size_t row)
{
    char key[40], name[40];
    snprintf(key, sizeof(key), "%" PRIu32 ".%zu", host, row);
    if (json_object_get(picture->named, key) != NULL)
        return;
    json_object_set_new(picture->named, key, json_true());
    if (row >= RANK_ROW)
        snprintf(name, sizeof(name), "rank %zu", row - RANK_ROW);
    else
        snprintf(name, sizeof(name), "%s", row == MOVES_ROW ? "moves" : "host");
    put(picture,
        json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid",
                  (int)host + 1, "tid", (int)row, "args", "name", name),
        NULL);
    put(picture,
        json_pack("{s:s, s:s, s:i, s:i, s:{s:i}}", "name", "thread_sort_index", "ph", "M", "pid",
                  (int)host + 1, "tid", (int)row, "args", "sort_index", (int)row),
        NULL);
}

struct slice {
    const char *name, *category;
    uint32_t host;
    size_t row;
    uint64_t from_ns, to_ns;
    json_t *args; /* taken over; NULL: none */
};

static void put_slice(struct picture *picture, const struct slice *slice)
{
    uint64_t to_ns = slice->to_ns > slice->from_ns ? slice->to_ns : slice->from_ns;
    name_row(picture, slice->host, slice->row);
    put(picture,
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "name", slice->name, "cat",
                  slice->category, "ph", "X", "pid", (int)slice->host + 1, "tid", (int)slice->row,
                  "ts", us(picture, slice->from_ns), "dur",
                  us(picture, to_ns) - us(picture, slice->from_ns), "args",
                  slice->args != NULL ? slice->args : json_object()),
        NULL);
}

/* The fields of an event, for who clicks on it. */
static json_t *args_of(const struct weft_event *event)
{
    struct weft_event_field fields[WEFT_EVENT_FIELDS_MAX];
    json_t *args = json_object();
    size_t n = weft__event_fields(event, fields);
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)fields[i].name_len, fields[i].name);
        json_t *value = fields[i].text != NULL ? json_string(fields[i].text)
                                               : json_integer((json_int_t)fields[i].number);
        if (value != NULL) /* a text that is no UTF-8 is left out */
            json_object_set_new(args, name, value);
    }
    return args;
}

/* The text of the n-th text field. */
static const char *text_of(const struct weft_event *event, size_t n)
{
    struct weft_event_field fields[WEFT_EVENT_FIELDS_MAX];
    size_t fields_n = weft__event_fields(event, fields);
    for (size_t i = 0; i < fields_n; i++)
        if (fields[i].text != NULL && n-- == 0)
            return fields[i].text;
    return "";
}

static uint32_t host_named(const struct picture *picture, const char *name, uint32_t otherwise)
{
    for (size_t i = 0; i < picture->events->sources_n; i++)
        if (strcmp(picture->events->sources[i].host, name) == 0)
            return (uint32_t)i;
    return otherwise;
}

static struct row *row_of(struct picture *picture, int64_t rank)
{
    if (rank < 0 || rank >= RANKS_MAX)
        return NULL;
    size_t n = picture->rows_n;
    if ((size_t)rank >= n) {
        picture->rows_n = (size_t)rank + 1;
        picture->rows = weft__must_grow(picture->rows, picture->rows_n, sizeof(*picture->rows));
        memset(picture->rows + n, 0, (picture->rows_n - n) * sizeof(*picture->rows));
    }
    return &picture->rows[rank];
}

/* ---- stays and phases ---- */

/* The rank's stay ends. */
static void put_stay(struct picture *picture, size_t rank, uint64_t to_ns)
{
    struct row *row = &picture->rows[rank];
    char name[32];
    if (row->here_ns == 0)
        return;
    snprintf(name, sizeof(name), "rank %zu", rank);
    put_slice(picture, &(struct slice){.name = name,
                                       .category = "stay",
                                       .host = row->host,
                                       .row = RANK_ROW + rank,
                                       .from_ns = row->here_ns,
                                       .to_ns = to_ns});
    row->here_ns = 0;
}

/* From the moment that the rank stood until it ran elsewhere, or to_ns if that is sooner. */
static void put_frozen(struct picture *picture, size_t rank, uint64_t to_ns)
{
    struct row *row = &picture->rows[rank];
    if (row->frozen_ns != 0)
        put_slice(picture, &(struct slice){.name = "frozen",
                                           .category = "move",
                                           .host = row->source,
                                           .row = RANK_ROW + rank,
                                           .from_ns = row->frozen_ns,
                                           .to_ns = row->resumed_ns != 0 && row->resumed_ns < to_ns
                                                        ? row->resumed_ns
                                                        : to_ns});
    row->frozen_ns = 0;
}

/* A phase that ends with its event. */
static void put_phase(struct picture *picture, const struct cli_event *event, const char *name,
                      uint64_t from_ns)
{
    put_slice(picture, &(struct slice){.name = name,
                                       .category = "move",
                                       .host = event->source,
                                       .row = RANK_ROW + (size_t)event->event.rank,
                                       .from_ns = from_ns,
                                       .to_ns = event->at_ns,
                                       .args = args_of(&event->event)});
}

/* The whole move, on the home's row of moves. */
static void put_move(struct picture *picture, const struct cli_event *event, struct row *row)
{
    char name[64];
    bool done = event->event.kind == WEFT_EVENT_MOVE_DONE;
    snprintf(name, sizeof(name), "move %" PRIu64 ": rank %" PRId32 "%s", event->event.n[0],
             event->event.rank, done ? "" : " (given up)");
    put_slice(picture,
              &(struct slice){.name = name,
                              .category = "move",
                              .host = event->source,
                              .row = MOVES_ROW,
                              .from_ns = row->asked_ns != 0 ? row->asked_ns
                                                            : event->at_ns - event->event.n[1],
                              .to_ns = event->at_ns,
                              .args = args_of(&event->event)});
    if (!done && row->frozen_ns != 0) { /* it goes on where it stood */
        put_frozen(picture, (size_t)event->event.rank, event->at_ns);
        row->here_ns = event->at_ns;
        row->host = row->source;
    }
}

/* Within the whole move. */
static void put_precopy(struct picture *picture, const struct cli_event *event)
{
    put_slice(picture, &(struct slice){.name = "pre-copy",
                                       .category = "move",
                                       .host = event->source,
                                       .row = MOVES_ROW,
                                       .from_ns = event->at_ns - event->event.n[1],
                                       .to_ns = event->at_ns,
                                       .args = args_of(&event->event)});
}

static void take_placed(struct picture *picture, const struct cli_event *event)
{
    uint32_t host = host_named(picture, text_of(&event->event, 0), event->source);
    for (uint64_t i = 0; i < event->event.n[0]; i++) {
        struct row *row = row_of(picture, event->event.rank + (int64_t)i);
        if (row == NULL)
            return;
        row->here_ns = event->at_ns;
        row->host = host;
    }
}

static void take_move(struct picture *picture, const struct cli_event *event, struct row *row)
{
    size_t rank = (size_t)event->event.rank;
    uint64_t from_ns = event->at_ns - event->event.n[1];
    switch (event->event.kind) {
    case WEFT_EVENT_MOVE_ASKED:
        row->asked_ns = event->at_ns;
        break;
    case WEFT_EVENT_MOVE_PRECOPIED:
        put_precopy(picture, event);
        break;
    case WEFT_EVENT_MOVE_PREPARED:
        put_phase(picture, event, "prepare", from_ns);
        break;
    case WEFT_EVENT_MOVE_FROZEN:
        put_phase(picture, event, "freeze", from_ns);
        put_stay(picture, rank, event->at_ns);
        row->frozen_ns = event->at_ns;
        row->resumed_ns = 0;
        row->source = event->source;
        break;
    case WEFT_EVENT_MOVE_COPIED:
        put_phase(picture, event, "copy", from_ns);
        break;
    case WEFT_EVENT_MOVE_COMMITTED:
        put_phase(picture, event, "commit", from_ns);
        row->committed_ns = event->at_ns;
        break;
    case WEFT_EVENT_MOVE_RESUMED:
        put_phase(picture, event, "resume",
                  row->committed_ns != 0 ? row->committed_ns : event->at_ns);
        row->resumed_ns = row->here_ns = event->at_ns;
        row->host = event->source;
        break;
    case WEFT_EVENT_MOVE_FLUSHED:
        put_frozen(picture, rank, from_ns);
        put_phase(picture, event, "forwarding", from_ns);
        break;
    default: /* done, or given up */
        put_move(picture, event, row);
    }
}

/* ---- messages ---- */

static void message_key(const struct weft_event *event, char key[64])
{
    bool sent = event->kind == WEFT_EVENT_MESSAGE_SENT;
    int64_t self = event->rank, peer = (int64_t)event->n[0];
    snprintf(key, 64, "%" PRIx64 ".%" PRId64 ".%" PRId64 ".%" PRIu64, event->app,
             sent ? self : peer, sent ? peer : self, event->n[1]);
}

static void note_messages(struct picture *picture)
{
    char key[64];
    for (size_t i = 0; i < picture->events->n; i++) {
        const struct cli_event *event = &picture->events->events[i];
        bool sent = event->event.kind == WEFT_EVENT_MESSAGE_SENT;
        if ((!sent && event->event.kind != WEFT_EVENT_MESSAGE_RECEIVED) ||
            event->event.app != picture->app)
            continue;
        message_key(&event->event, key);
        json_object_set_new(sent ? picture->sent : picture->received, key,
                            json_integer((json_int_t)event->at_ns));
    }
}

/* One side of an arrow, where both sides are known. A message to a rank of the same process is
 * received before its sending is over. */
static void put_arrow(struct picture *picture, const struct cli_event *event)
{
    static const char *const phases[] = {"s", "f", "t", "t"};
    const char *phase = phases[event->event.kind - WEFT_EVENT_MESSAGE_SENT];
    char key[64];
    message_key(&event->event, key);
    const json_t *received = json_object_get(picture->received, key);
    if (received == NULL || json_object_get(picture->sent, key) == NULL)
        return;
    uint64_t received_ns = (uint64_t)json_integer_value(received);
    uint64_t at_ns = event->at_ns < received_ns ? event->at_ns : received_ns;
    put(picture,
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:f}", "name", "message", "cat", "message", "ph",
                  phase, "id", key, "pid", (int)event->source + 1, "tid",
                  (int)(RANK_ROW + event->event.rank), "ts", us(picture, at_ns)),
        *phase == 'f' ? json_pack("{s:s}", "bp", "e") : NULL);
}

static void put_moment(struct picture *picture, const struct cli_event *event, size_t row)
{
    char name[64];
    static const char *const words[] = {"send to", "receive from", "hold from", "forward from"};
    size_t word = event->event.kind - WEFT_EVENT_MESSAGE_SENT;
    if (row >= RANK_ROW)
        snprintf(name, sizeof(name), "%s %" PRIu64, words[word], event->event.n[0]);
    else
        snprintf(name, sizeof(name), "%s", weft__event_name(event->event.kind));
    name_row(picture, event->source, row);
    put(picture,
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:f, s:o}", "name", name, "cat",
                  row >= RANK_ROW ? "message" : "host", "ph", "i", "s", row >= RANK_ROW ? "t" : "p",
                  "pid", (int)event->source + 1, "tid", (int)row, "ts", us(picture, event->at_ns),
                  "args", args_of(&event->event)),
        NULL);
}

/* ---- all ---- */

static void take_message(struct picture *picture, const struct cli_event *event)
{
    if (event->event.rank < 0 || event->event.rank >= RANKS_MAX)
        return;
    put_moment(picture, event, RANK_ROW + (size_t)event->event.rank);
    put_arrow(picture, event);
}

static void take_slots(struct picture *picture, const struct cli_event *event)
{
    put(picture,
        json_pack("{s:s, s:s, s:i, s:f, s:{s:I}}", "name", "slots used", "ph", "C", "pid",
                  (int)event->source + 1, "ts", us(picture, event->at_ns), "args", "used",
                  (json_int_t)event->event.n[1]),
        NULL);
}

static void take_end(struct picture *picture, uint64_t at_ns)
{
    for (size_t rank = 0; rank < picture->rows_n; rank++) {
        put_frozen(picture, rank, at_ns);
        put_stay(picture, rank, at_ns);
    }
}

static void take(struct picture *picture, const struct cli_event *event)
{
    uint32_t kind = event->event.kind;
    bool ours = event->event.app == picture->app;
    struct row *row = ours ? row_of(picture, event->event.rank) : NULL;
    if (kind >= WEFT_EVENT_LEASE_GRANTED && kind <= WEFT_EVENT_LEASE_EXPIRED) {
        take_slots(picture, event);
        return;
    }
    if (!ours && event->event.app != 0)
        return;
    if (kind >= WEFT_EVENT_MESSAGE_SENT && kind <= WEFT_EVENT_MESSAGE_FORWARDED)
        take_message(picture, event);
    else if (kind == WEFT_EVENT_RANK_PLACED)
        take_placed(picture, event);
    else if (kind >= WEFT_EVENT_MOVE_ASKED && kind <= WEFT_EVENT_MOVE_FLUSHED && row != NULL)
        take_move(picture, event, row);
    else
        put_moment(picture, event, HOST_ROW);
    if (kind == WEFT_EVENT_APP_ENDED || kind == WEFT_EVENT_APP_FROZEN)
        take_end(picture, event->at_ns);
}

/* The hosts' names, and how their clocks were brought together. */
static json_t *put_hosts(struct picture *picture)
{
    json_t *clocks = json_array();
    for (size_t i = 0; i < picture->events->sources_n; i++) {
        const struct cli_event_source *source = &picture->events->sources[i];
        char name[WEFT_REGISTRY_NAME_MAX + 8];
        snprintf(name, sizeof(name), "host %s", source->host);
        put(picture,
            json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M", "pid",
                      (int)i + 1, "args", "name", name),
            NULL);
        name_row(picture, (uint32_t)i, HOST_ROW);
        json_array_append_new(clocks, json_pack("{s:s, s:I, s:I}", "host", source->host,
                                                "offset_ns", (json_int_t)source->clock.ns,
                                                "within_ns", (json_int_t)source->clock.within_ns));
    }
    return clocks;
}

json_t *cli_timeline(const struct cli_events *events, uint64_t app)
{
    char id[24];
    struct picture picture = {.events = events,
                              .app = app,
                              .list = json_array(),
                              .named = json_object(),
                              .sent = json_object(),
                              .received = json_object()};
    snprintf(id, sizeof(id), "%" PRIx64, app);
    for (size_t i = events->n; i-- > 0;)
        if (events->events[i].event.app == app) {
            picture.first_ns = events->events[i].at_ns;
            if (picture.last_ns == 0)
                picture.last_ns = picture.first_ns;
        }
    json_t *clocks = put_hosts(&picture);
    note_messages(&picture);
    for (size_t i = 0; i < events->n; i++)
        if (events->events[i].at_ns >= picture.first_ns &&
            events->events[i].at_ns <= picture.last_ns)
            take(&picture, &events->events[i]);
    take_end(&picture, picture.last_ns);
    json_decref(picture.named);
    json_decref(picture.sent);
    json_decref(picture.received);
    free(picture.rows);
    return json_pack("{s:o, s:s, s:{s:s, s:o}}", "traceEvents", picture.list, "displayTimeUnit",
                     "ms", "otherData", "app", id, "clocks", clocks);
}

static int write_file(const char *path, json_t *trace)
{
    enum { FLAGS = JSON_COMPACT | JSON_REAL_PRECISION(15) };
    errno = 0;
    bool to_stdout = strcmp(path, "-") == 0;
    int failed = to_stdout ? json_dumpf(trace, stdout, FLAGS) : json_dump_file(trace, path, FLAGS);
    if (to_stdout)
        failed |= fputc('\n', stdout) == EOF;
    int reason = errno != 0 ? errno : EIO;
    if (failed == 0)
        return CLI_OK;
    fprintf(stderr, "weft: cannot write \"%s\": %s\n", path, strerror(reason));
    return CLI_USAGE;
}

static bool is_known(const struct cli_events *events, uint64_t app)
{
    for (size_t i = 0; i < events->n; i++)
        if (events->events[i].event.app == app)
            return true;
    return false;
}

int cli_timeline_write(struct cli *cli, uint64_t app, const char *path)
{
    struct cli_events events = {0};
    int code = cli_events_hosts(cli, &events);
    if (code == CLI_OK)
        code = cli_events_gather(cli, &events, false);
    if (code == CLI_OK)
        code = cli_events_gather(cli, &events, true);
    if (code == CLI_OK && !is_known(&events, app)) {
        fprintf(stderr, "weft: no host keeps an event of app %" PRIx64 "; weft events shows them\n",
                app);
        code = CLI_REFUSED;
    }
    if (code == CLI_OK) {
        json_t *trace = cli_timeline(&events, app);
        code = write_file(path, trace);
        json_decref(trace);
    }
    cli_events_fini(&events);
    return code;
}
