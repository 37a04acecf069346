/* Reports what the ranks of this process exchange to the app's home.
 *
 * The process alone knows it, and no message goes from it to its home regularly, so this is one of
 * its own: every WEFT_TRAFFIC_MS, and only if there is news. A report has the heaviest peers of
 * each rank and the sum of the others, so that its length grows with the ranks, not with the pairs;
 * a long one is cut into several calls. While the home has not answered, nothing more is asked of
 * the ranks: they go on counting, and the next report covers a longer time.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/must.h"
#include "host/app.h"
#include "host/calls.h"
#include "plan/traffic.h"

enum { TIMEOUT_MS = 2000, PAIRS_PER_CALL = 4096 };

/* A call that is being put together. The rows' lists lie in `numbers`, one kind behind the other.
 */
struct batch {
    struct weft_process_app *app;
    uint32_t covered_ms;
    size_t rows_n, pairs_n;
    Weft__Host__TrafficRow rows[PAIRS_PER_CALL], *row_list[PAIRS_PER_CALL];
    uint32_t peers[PAIRS_PER_CALL];
    uint64_t numbers[4][PAIRS_PER_CALL];
};

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_process_app *app = ctx;
    (void)err;
    (void)text;
    (void)reply;
    app->traffic_under_way--;
}

static void send_batch(struct batch *batch)
{
    struct weft_process_app *app = batch->app;
    Weft__Host__TrafficReport report = WEFT__HOST__TRAFFIC_REPORT__INIT;
    if (batch->rows_n == 0)
        return;
    report.app = app->orders->app;
    report.token = app->orders->token;
    report.covered_ms = batch->covered_ms;
    report.rows = batch->row_list;
    report.n_rows = batch->rows_n;
    app->traffic_under_way++;
    weft__ask(&app->asker, &(struct weft_question){.url = app->orders->home_control,
                                                   .code = WEFT_CALL_TRAFFIC,
                                                   .request = &report.base,
                                                   .timeout_ms = TIMEOUT_MS,
                                                   .answered = answered,
                                                   .ctx = app});
    batch->rows_n = batch->pairs_n = 0;
}

static uint64_t touched_bytes(const struct batch *batch, uint32_t rank)
{
    struct weft_exec_rank info;
    int err = weft__exec_rank(batch->app->exec, (int32_t)rank, &info);
    return err == WEFT_OK ? info.touched_bytes : 0;
}

static void add_row(struct batch *batch, uint32_t rank, const struct weft_traffic_news *news,
                    size_t n, const struct weft_traffic_rest *rest)
{
    if (batch->rows_n == PAIRS_PER_CALL || batch->pairs_n + n > PAIRS_PER_CALL)
        send_batch(batch);
    size_t at = batch->pairs_n;
    Weft__Host__TrafficRow *row = &batch->rows[batch->rows_n];
    weft__host__traffic_row__init(row);
    row->rank = rank;
    row->rest_bytes = rest->bytes;
    row->rest_messages = rest->messages;
    row->touched_bytes = touched_bytes(batch, rank);
    row->peers = &batch->peers[at];
    row->sent_bytes = &batch->numbers[0][at];
    row->sent = &batch->numbers[1][at];
    row->got_bytes = &batch->numbers[2][at];
    row->got = &batch->numbers[3][at];
    row->n_peers = row->n_sent_bytes = row->n_sent = row->n_got_bytes = row->n_got = n;
    for (size_t i = 0; i < n; i++) {
        row->peers[i] = news[i].peer;
        row->sent_bytes[i] = news[i].sent_bytes;
        row->sent[i] = news[i].sent;
        row->got_bytes[i] = news[i].got_bytes;
        row->got[i] = news[i].got;
    }
    batch->row_list[batch->rows_n++] = row;
    batch->pairs_n += n;
}

/* One rank's row, if there is news of it. */
static void ask_rank(struct batch *batch, int32_t rank, struct weft_exec_traffic *entries,
                     struct weft_traffic_news *news)
{
    struct weft_traffic_rest rest;
    size_t n = weft__exec_traffic(batch->app->exec, rank, entries);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        news[i] = (struct weft_traffic_news){.peer = (uint32_t)entries[i].peer,
                                             .sent_bytes = entries[i].sent_bytes,
                                             .sent = entries[i].sent,
                                             .got_bytes = entries[i].got_bytes,
                                             .got = entries[i].got};
    n = weft__traffic_pick(news, n, weft__traffic_peers_max(batch->app->orders->size), &rest);
    add_row(batch, (uint32_t)rank, news, n, &rest);
}

static void report(struct weft_process_app *app, uint64_t now)
{
    uint32_t size = app->orders->size;
    uint64_t covered_ms = (now - app->traffic_told_ns) / WEFT_NS_PER_MS;
    struct weft_exec_traffic *entries = weft__must_alloc(size, sizeof(*entries));
    struct weft_traffic_news *news = weft__must_alloc(size, sizeof(*news));
    struct batch *batch = weft__must_alloc(1, sizeof(*batch));
    batch->app = app;
    batch->covered_ms = covered_ms < UINT32_MAX ? (uint32_t)covered_ms : UINT32_MAX;
    for (uint32_t rank = 0; rank < size; rank++)
        ask_rank(batch, (int32_t)rank, entries, news);
    send_batch(batch);
    app->traffic_told_ns = now;
    free(entries);
    free(news);
    free(batch);
}

static void fired(struct weft_timer *timer)
{
    struct weft_process_app *app = weft__loop_owner(timer, struct weft_process_app, traffic_timer);
    uint64_t now = weft__now_ns();
    if (app->closing)
        return;
    if (app->traffic_under_way == 0)
        report(app, now);
    weft__loop_timer(app->asker.loop, timer,
                     now + weft__config_u64("WEFT_TRAFFIC_MS") * WEFT_NS_PER_MS);
}

void weft__app_traffic_start(struct weft_process_app *app)
{
    uint64_t period_ms = weft__config_u64("WEFT_TRAFFIC_MS");
    if (period_ms == 0)
        return;
    app->traffic_timer.fire = fired;
    app->traffic_told_ns = weft__now_ns();
    weft__loop_timer(app->asker.loop, &app->traffic_timer,
                     app->traffic_told_ns + period_ms * WEFT_NS_PER_MS);
}
