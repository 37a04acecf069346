/* Counting, and the names under which weft info shows what was counted. */
#include "host/weftd_counts.h"

#include <stdio.h>

#include "base/clock.h"
#include "host/event_file.h"
#include "host/weftd_app.h"
#include "weft/error.h"

static void count_aborted(struct weft_counts *counts, int err)
{
    size_t i = 0;
    while (i < WEFT_COUNTED_ERRORS - 1 && counts->aborted[i].n > 0 && counts->aborted[i].err != err)
        i++;
    counts->aborted[i].err = err;
    counts->aborted[i].n++;
    counts->moves_aborted++;
}

void weft__weftd_count_move(struct weft_host *host, const struct weft_app_move *move,
                            uint64_t took_ns)
{
    struct weft_counts *counts = &host->counts;
    if (move->outcome != WEFT_MOVE_OUTCOME_MOVED) {
        count_aborted(counts, move->err);
        return;
    }
    counts->moves_done++;
    counts->move_bytes += move->bytes;
    counts->move_forwarded += move->forwarded;
    weft__times_add(&counts->took, took_ns / WEFT_NS_PER_US);
    weft__times_add(&counts->pause, (uint64_t)(move->pause_ms * 1e3));
}

void weft__weftd_count_verdict(struct weft_host *host, enum weft_verdict verdict)
{
    size_t i = (size_t)verdict < WEFT_COUNTED_VERDICTS ? (size_t)verdict : 0;
    host->counts.verdicts[i]++;
}

static void add_messages(const struct weft_app *app, struct weft_counts *to)
{
    for (size_t i = 0; i < app->processes_n; i++) {
        const Weft__Host__ExecStats *stats = &app->processes[i].stats;
        to->forwarded += stats->forwarded;
        to->nacked += stats->nacked;
        to->held += stats->held;
        to->duplicates += stats->duplicates;
        to->retransmitted += stats->retransmitted;
    }
}

void weft__weftd_count_forgotten(struct weft_host *host, const struct weft_app *app)
{
    add_messages(app, &host->counts);
}

/* ---- by name ---- */

struct list {
    struct weft_count *items;
    size_t n;
};

/* what: spaces in it become "_", so that texts for people can be part of a name. */
static void put(struct list *list, const char *group, const char *what, uint64_t value)
{
    if (list->n == WEFT_COUNTS_MAX)
        return;
    struct weft_count *count = &list->items[list->n++];
    snprintf(count->name, sizeof(count->name), "%s.%s", group, what);
    for (char *at = count->name; *at != '\0'; at++)
        *at = *at == ' ' ? '_' : *at;
    count->value = value;
}

static void put_times(struct list *list, const char *group, const struct weft_times *times)
{
    struct weft_service_times quantiles;
    weft__times_get(times, &quantiles);
    put(list, group, "n", quantiles.n);
    put(list, group, "p50", quantiles.p50_us);
    put(list, group, "p99", quantiles.p99_us);
    put(list, group, "max", quantiles.max_us);
}

static void put_moves(struct list *list, const struct weft_counts *counts)
{
    put(list, "moves", "started", counts->moves_started);
    put(list, "moves", "done", counts->moves_done);
    put(list, "moves", "aborted", counts->moves_aborted);
    for (size_t i = 0; i < WEFT_COUNTED_ERRORS && counts->aborted[i].n > 0; i++)
        put(list, "moves.aborted", weft_error_name(counts->aborted[i].err), counts->aborted[i].n);
    put(list, "moves", "bytes", counts->move_bytes);
    put(list, "moves", "forwarded", counts->move_forwarded);
    put_times(list, "moves.pause_us", &counts->pause);
    put_times(list, "moves.took_us", &counts->took);
}

static void put_plans(struct list *list, const struct weft_counts *counts)
{
    put(list, "plans", "checks", counts->checks);
    put(list, "plans", "found", counts->verdicts[WEFT_VERDICT_GO]);
    for (int i = WEFT_VERDICT_GO + 1; i < WEFT_COUNTED_VERDICTS; i++)
        if (counts->verdicts[i] > 0)
            put(list, "plans.refused", weft__verdict_name((enum weft_verdict)i),
                counts->verdicts[i]);
    put_times(list, "plans.look_us", &counts->look);
    put_times(list, "plans.delay_us", &counts->delay);
}

static void put_messages(struct list *list, const struct weft_host *host)
{
    struct weft_counts all = {.forwarded = host->counts.forwarded,
                              .nacked = host->counts.nacked,
                              .held = host->counts.held,
                              .duplicates = host->counts.duplicates,
                              .retransmitted = host->counts.retransmitted};
    for (const struct weft_app *app = host->apps; app != NULL; app = app->hh.next)
        add_messages(app, &all);
    put(list, "messages", "forwarded", all.forwarded);
    put(list, "messages", "nacked", all.nacked);
    put(list, "messages", "held", all.held);
    put(list, "messages", "duplicates", all.duplicates);
    put(list, "messages", "retransmitted", all.retransmitted);
}

static void put_events(struct list *list, const struct weft_host *host)
{
    struct weft_event_file_stats file;
    weft__event_file_stats(host->event_file, &file);
    put(list, "events", "recorded", atomic_load(&host->events.head));
    put(list, "events", "skipped", atomic_load(&host->events.skipped));
    put(list, "events", "written", file.written);
    put(list, "events", "dropped", file.dropped);
}

size_t weft__weftd_counts(const struct weft_host *host, struct weft_count out[WEFT_COUNTS_MAX])
{
    const struct weft_counts *counts = &host->counts;
    struct list list = {.items = out};
    put_moves(&list, counts);
    put_plans(&list, counts);
    put(&list, "leases", "granted", counts->slots_granted);
    put(&list, "leases", "refused", counts->slots_refused);
    put(&list, "leases", "released", counts->slots_released);
    put(&list, "leases", "expired", counts->slots_expired);
    put_messages(&list, host);
    put_events(&list, host);
    return list.n;
}
