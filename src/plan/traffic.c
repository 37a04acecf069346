/* Sums that fade: each is multiplied by e^(-t/T) as time passes, and what is reported is added.
 * Such a sum divided by T is the average rate, newer seconds counting more.
 *
 * In the first T of an app the sums have not filled up yet, so the divisor is what they could have
 * come to, T * (1 - e^(-age/T)). A row fades when it is touched or read, never by a timer. Where a
 * row is full, a heavier newcomer takes the place of the lightest peer, whose sum goes to the rest:
 * nothing is lost, only its name. Rejected: the last report alone (a planner would chase noise), a
 * ring of reports (more memory for the same average). */
#include "plan/traffic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

#define PAIRS_MAX 262144u    /* of an app */
#define MESSAGE_BYTES 4096.0 /* what a message weighs when it is about who comes first */
#define FORGOTTEN 1e-3       /* messages, bytes: a sum below is nothing */

uint32_t weft__traffic_peers_max(uint32_t ranks)
{
    uint32_t each = ranks > 0 ? PAIRS_MAX / ranks : WEFT_TRAFFIC_PEERS_MAX;
    if (each > WEFT_TRAFFIC_PEERS_MAX)
        return WEFT_TRAFFIC_PEERS_MAX;
    return each > 8 ? each : 8;
}

static double news_weight(const struct weft_traffic_news *news)
{
    return (double)(news->sent_bytes + news->got_bytes) +
           MESSAGE_BYTES * (double)(news->sent + news->got);
}

static int heavier_news_first(const void *a, const void *b)
{
    const struct weft_traffic_news *x = a, *y = b;
    double wx = news_weight(x), wy = news_weight(y);
    if (wx < wy || wx > wy)
        return wx > wy ? -1 : 1;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

size_t weft__traffic_pick(struct weft_traffic_news *news, size_t n, size_t max,
                          struct weft_traffic_rest *rest_out)
{
    struct weft_traffic_rest rest = {0};
    if (n > max)
        qsort(news, n, sizeof(*news), heavier_news_first);
    for (size_t i = max; i < n; i++) {
        rest.bytes += news[i].sent_bytes + news[i].got_bytes;
        rest.messages += news[i].sent + news[i].got;
    }
    *rest_out = rest;
    return n < max ? n : max;
}

int weft__traffic_init(struct weft_traffic *traffic, uint32_t ranks)
{
    struct weft_traffic_row *rows = calloc((size_t)ranks + 1, sizeof(*rows));
    if (rows == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the traffic of %u ranks", ranks);
    *traffic = (struct weft_traffic){.rows = rows, .ranks = ranks};
    return WEFT_OK;
}

void weft__traffic_fini(struct weft_traffic *traffic)
{
    for (uint32_t r = 0; r < traffic->ranks; r++)
        free(traffic->rows[r].entries);
    free(traffic->rows);
    *traffic = (struct weft_traffic){0};
}

/* What is left after a time of a sum that was 1. */
static double faded(uint64_t from_ns, uint64_t to_ns)
{
    if (to_ns <= from_ns)
        return 1.0;
    return exp(-(double)(to_ns - from_ns) / (double)WEFT_TRAFFIC_FADE_NS);
}

static double entry_weight(const struct weft_traffic_entry *entry)
{
    return entry->to_bytes + entry->from_bytes +
           MESSAGE_BYTES * (entry->to_messages + entry->from_messages);
}

static void entry_fade(struct weft_traffic_entry *entry, double by)
{
    entry->to_bytes *= by;
    entry->to_messages *= by;
    entry->from_bytes *= by;
    entry->from_messages *= by;
}

static void row_fade(struct weft_traffic_row *row, uint64_t now_ns)
{
    double by = faded(row->at_ns, now_ns);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < row->n; i++) {
        entry_fade(&row->entries[i], by);
        if (entry_weight(&row->entries[i]) >= FORGOTTEN)
            row->entries[kept++] = row->entries[i];
    }
    row->n = kept;
    row->rest_bytes *= by;
    row->rest_messages *= by;
    row->at_ns = now_ns;
}

static struct weft_traffic_entry *entry_find(const struct weft_traffic_row *row, uint32_t peer)
{
    for (uint32_t i = 0; i < row->n; i++)
        if (row->entries[i].peer == peer)
            return &row->entries[i];
    return NULL;
}

static void to_rest(struct weft_traffic_row *row, const struct weft_traffic_entry *entry)
{
    row->rest_bytes += entry->to_bytes + entry->from_bytes;
    row->rest_messages += entry->to_messages + entry->from_messages;
}

static struct weft_traffic_entry *lightest(const struct weft_traffic_row *row)
{
    struct weft_traffic_entry *least = row->entries;
    for (uint32_t i = 1; i < row->n; i++)
        if (entry_weight(&row->entries[i]) < entry_weight(least))
            least = &row->entries[i];
    return least;
}

static void entry_add(struct weft_traffic_row *row, const struct weft_traffic_news *news,
                      uint32_t peers_max)
{
    struct weft_traffic_entry added = {.peer = news->peer,
                                       .to_bytes = (double)news->sent_bytes,
                                       .to_messages = (double)news->sent,
                                       .from_bytes = (double)news->got_bytes,
                                       .from_messages = (double)news->got};
    struct weft_traffic_entry *entry = entry_find(row, news->peer);
    if (entry != NULL) {
        entry->to_bytes += added.to_bytes;
        entry->to_messages += added.to_messages;
        entry->from_bytes += added.from_bytes;
        entry->from_messages += added.from_messages;
    } else if (row->n < peers_max) {
        row->entries[row->n++] = added;
    } else if (entry_weight(entry = lightest(row)) < entry_weight(&added)) {
        to_rest(row, entry);
        *entry = added;
    } else {
        to_rest(row, &added);
    }
}

static int row_room(struct weft_traffic_row *row, size_t more, uint32_t peers_max)
{
    size_t room = row->n + more < peers_max ? row->n + more : peers_max;
    if (room <= row->room)
        return WEFT_OK;
    struct weft_traffic_entry *entries = realloc(row->entries, room * sizeof(*entries));
    if (entries == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the traffic of a rank with %zu others", room);
    row->entries = entries;
    row->room = (uint32_t)room;
    return WEFT_OK;
}

int weft__traffic_add(struct weft_traffic *traffic, const struct weft_traffic_report *report,
                      uint64_t now_ns)
{
    if (report->rank >= traffic->ranks)
        return weft_fail(WEFT_EINVAL, "traffic of rank %u of %u", report->rank, traffic->ranks);
    for (size_t i = 0; i < report->n; i++)
        if (report->news[i].peer >= traffic->ranks)
            return weft_fail(WEFT_EINVAL, "traffic with rank %u of %u", report->news[i].peer,
                             traffic->ranks);
    struct weft_traffic_row *row = &traffic->rows[report->rank];
    uint32_t peers_max = weft__traffic_peers_max(traffic->ranks);
    int err = row_room(row, report->n, peers_max);
    if (err != WEFT_OK)
        return err;
    if (traffic->since_ns == 0) {
        uint64_t covered = report->covered_ns < now_ns ? report->covered_ns : now_ns - 1;
        traffic->since_ns = now_ns - covered;
    }
    row_fade(row, now_ns);
    for (size_t i = 0; i < report->n; i++)
        if (report->news[i].peer != report->rank)
            entry_add(row, &report->news[i], peers_max);
    row->rest_bytes += (double)report->rest.bytes;
    row->rest_messages += (double)report->rest.messages;
    return WEFT_OK;
}

/* What makes a sum of a row a rate per second of now. */
static double per_second(const struct weft_traffic *traffic, const struct weft_traffic_row *row,
                         uint64_t now_ns)
{
    double full = 1.0 - faded(traffic->since_ns, now_ns);
    double fade_s = (double)WEFT_TRAFFIC_FADE_NS / 1e9;
    if (traffic->since_ns == 0 || full <= 0.0)
        return 0.0;
    return faded(row->at_ns, now_ns) / (fade_s * full);
}

static int heavier_pair_first(const void *a, const void *b)
{
    const struct weft_traffic_pair *x = a, *y = b;
    double wx = x->bytes + MESSAGE_BYTES * x->messages, wy = y->bytes + MESSAGE_BYTES * y->messages;
    if (wx < wy || wx > wy)
        return wx > wy ? -1 : 1;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return (x->dest > y->dest) - (x->dest < y->dest);
}

static int by_ends(const void *a, const void *b)
{
    const struct weft_traffic_pair *x = a, *y = b;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return (x->dest > y->dest) - (x->dest < y->dest);
}

/* All pairs, each once: what the sender and what the puller have counted added up. */
static size_t list_pairs(const struct weft_traffic *traffic, uint64_t now_ns,
                         struct weft_traffic_pair *pairs)
{
    size_t n = 0, kept = 0;
    for (uint32_t r = 0; r < traffic->ranks; r++) {
        const struct weft_traffic_row *row = &traffic->rows[r];
        double rate = per_second(traffic, row, now_ns);
        for (uint32_t i = 0; i < row->n; i++) {
            const struct weft_traffic_entry *entry = &row->entries[i];
            pairs[n++] = (struct weft_traffic_pair){r, entry->peer, entry->to_bytes * rate,
                                                    entry->to_messages * rate};
            pairs[n++] = (struct weft_traffic_pair){entry->peer, r, entry->from_bytes * rate,
                                                    entry->from_messages * rate};
        }
    }
    qsort(pairs, n, sizeof(*pairs), by_ends);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && by_ends(&pairs[kept - 1], &pairs[i]) == 0) {
            pairs[kept - 1].bytes += pairs[i].bytes;
            pairs[kept - 1].messages += pairs[i].messages;
        } else {
            pairs[kept++] = pairs[i];
        }
    }
    return kept;
}

static size_t count_entries(const struct weft_traffic *traffic)
{
    size_t entries = 0;
    for (uint32_t r = 0; r < traffic->ranks; r++)
        entries += traffic->rows[r].n;
    return entries;
}

int weft__traffic_heaviest(const struct weft_traffic *traffic, uint64_t now_ns, size_t max,
                           struct weft_traffic_pair *pairs_out, size_t *n_out)
{
    struct weft_traffic_pair *pairs = malloc((2 * count_entries(traffic) + 1) * sizeof(*pairs));
    if (pairs == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to list the traffic of %u ranks", traffic->ranks);
    size_t n = list_pairs(traffic, now_ns, pairs), kept = 0;
    qsort(pairs, n, sizeof(*pairs), heavier_pair_first);
    while (kept < n && kept < max && pairs[kept].bytes + pairs[kept].messages >= FORGOTTEN)
        kept++;
    memcpy(pairs_out, pairs, kept * sizeof(*pairs));
    *n_out = kept;
    free(pairs);
    return WEFT_OK;
}

/* ---- as a graph ---- */

struct weighing {
    const struct weft_traffic *traffic;
    const struct weft_traffic_cost *cost;
    const uint32_t *ranks;
    uint32_t n;
    uint64_t now_ns;
    uint64_t *base;
    struct weft_graph_pair *pairs;
    size_t pairs_n;
    double bytes_ns, messages_ns;
};

static uint32_t index_of(const struct weighing *w, uint32_t rank)
{
    uint32_t from = 0, to = w->n;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (w->ranks[middle] == rank)
            return middle;
        if (w->ranks[middle] < rank)
            from = middle + 1;
        else
            to = middle;
    }
    return w->n;
}

/* Only ranks that are in the placement count. A rank's rest is the same to each peer that is not
 * named; the named ones have their own weight without it. */
static void weigh_row(struct weighing *w, uint32_t i)
{
    const struct weft_traffic_row *row = &w->traffic->rows[w->ranks[i]];
    double rate = per_second(w->traffic, row, w->now_ns);
    uint32_t named = 0;
    size_t first = w->pairs_n;
    for (uint32_t k = 0; k < row->n; k++) {
        const struct weft_traffic_entry *entry = &row->entries[k];
        uint32_t peer = index_of(w, entry->peer);
        if (peer == w->n)
            continue;
        double bytes = (entry->to_bytes + entry->from_bytes) * rate * w->cost->byte_ns;
        double messages = (entry->to_messages + entry->from_messages) * rate * w->cost->message_ns;
        w->pairs[w->pairs_n++] = (struct weft_graph_pair){i, peer, (uint64_t)(bytes + messages)};
        w->bytes_ns += bytes;
        w->messages_ns += messages;
        named++;
    }
    if (w->n < 2 || named >= w->n - 1)
        return;
    double bytes = row->rest_bytes * rate * w->cost->byte_ns;
    double messages = row->rest_messages * rate * w->cost->message_ns;
    uint64_t base = (uint64_t)((bytes + messages) / (double)(w->n - 1 - named));
    w->bytes_ns += bytes;
    w->messages_ns += messages;
    w->base[i] = base;
    for (size_t k = first; k < w->pairs_n; k++)
        w->pairs[k].weight -= base < w->pairs[k].weight ? base : w->pairs[k].weight;
}

int weft__traffic_graph(const struct weft_traffic *traffic,
                        const struct weft_traffic_placed *placed, uint64_t now_ns,
                        struct weft_graph *graph_out)
{
    struct weighing w = {.traffic = traffic,
                         .cost = &placed->cost,
                         .ranks = placed->ranks,
                         .n = placed->n,
                         .now_ns = now_ns};
    w.base = calloc((size_t)placed->n + 1, sizeof(*w.base));
    w.pairs = malloc((count_entries(traffic) + 1) * sizeof(*w.pairs));
    int err = w.base == NULL || w.pairs == NULL
                  ? weft_fail(WEFT_ENOMEM, "no memory for the traffic of %u ranks", placed->n)
                  : WEFT_OK;
    for (uint32_t i = 0; i < placed->n && err == WEFT_OK; i++)
        weigh_row(&w, i);
    if (err == WEFT_OK)
        err = weft__graph_init(graph_out, placed->n, w.pairs, w.pairs_n);
    if (err == WEFT_OK) {
        double all = w.bytes_ns + w.messages_ns;
        memcpy(graph_out->base, w.base, placed->n * sizeof(*w.base));
        graph_out->message_share = all > 0 ? w.messages_ns / all : 0;
    }
    free(w.base);
    free(w.pairs);
    return err;
}
