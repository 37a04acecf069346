/* What the ranks of the apps at home here exchange: reports of their processes in, rates out.
 *
 * The tables are plan/traffic.h's. An app whose ranks have told of nothing has none. A report is
 * taken over row by row; one that makes no sense is refused as a whole, before anything of it is.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/must.h"
#include "control/server.h"
#include "host/weftd_view.h"

enum { PAIRS_SHOWN_MAX = 4096 };

static int check_row(const struct weft_app *app, const Weft__Host__TrafficRow *row)
{
    size_t n = row->n_peers;
    if (row->rank >= app->size || n > WEFT_TRAFFIC_PEERS_MAX || row->n_sent_bytes != n ||
        row->n_sent != n || row->n_got_bytes != n || row->n_got != n)
        return weft_fail(WEFT_EPROTO, "a report of traffic of rank %u with %zu others, of %u",
                         row->rank, n, app->size);
    for (size_t i = 0; i < n; i++)
        if (row->peers[i] >= app->size)
            return weft_fail(WEFT_EPROTO, "a report of traffic with rank %u, of %u", row->peers[i],
                             app->size);
    return WEFT_OK;
}

static int take_row(struct weft_app *app, const Weft__Host__TrafficRow *row, uint32_t covered_ms)
{
    struct weft_traffic_news news[WEFT_TRAFFIC_PEERS_MAX];
    app->ranks[row->rank].touched_bytes = row->touched_bytes;
    for (size_t i = 0; i < row->n_peers; i++)
        news[i] = (struct weft_traffic_news){.peer = row->peers[i],
                                             .sent_bytes = row->sent_bytes[i],
                                             .sent = row->sent[i],
                                             .got_bytes = row->got_bytes[i],
                                             .got = row->got[i]};
    return weft__traffic_add(
        &app->traffic,
        &(struct weft_traffic_report){.rank = row->rank,
                                      .news = news,
                                      .n = row->n_peers,
                                      .rest = {row->rest_bytes, row->rest_messages},
                                      .covered_ns = covered_ms * WEFT_NS_PER_MS},
        weft__now_ns());
}

void weft__weftd_on_traffic(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__TrafficReport *report = (const Weft__Host__TrafficReport *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, report->app, report->token, call);
    int err = WEFT_OK;
    if (app == NULL)
        return;
    for (size_t i = 0; i < report->n_rows && err == WEFT_OK; i++)
        err = check_row(app, report->rows[i]);
    if (err == WEFT_OK && app->traffic.rows == NULL)
        err = weft__traffic_init(&app->traffic, app->size);
    for (size_t i = 0; i < report->n_rows && err == WEFT_OK; i++)
        err = take_row(app, report->rows[i], report->covered_ms);
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

int weft__weftd_traffic_graph(const struct weft_app *app, const struct weft_placement *placement,
                              struct weft_graph *graph)
{
    struct weft_traffic_placed placed = {
        .ranks = placement->ranks,
        .n = (uint32_t)placement->n,
        .cost = {.byte_ns = 1e9 / (double)weft__config_u64("WEFT_LINK_RATE"),
                 .message_ns = 1e3 * (double)weft__config_u64("WEFT_MESSAGE_US")}};
    *graph = (struct weft_graph){0};
    if (app->traffic.since_ns == 0)
        return WEFT_OK;
    return weft__traffic_graph(&app->traffic, &placed, weft__now_ns(), graph);
}

static bool same_host(const struct weft_app *app, uint32_t a, uint32_t b)
{
    return app->ranks[a].process == app->ranks[b].process;
}

void weft__weftd_traffic_info(const struct weft_app *app, size_t max, Weft__Host__AppInfo *info)
{
    size_t room = max < PAIRS_SHOWN_MAX ? max : PAIRS_SHOWN_MAX, n = 0;
    struct weft_traffic_pair *pairs = weft__must_alloc(room, sizeof(*pairs));
    if (app->traffic.rows != NULL)
        (void)weft__traffic_heaviest(&app->traffic, weft__now_ns(), room, pairs, &n);
    Weft__Host__TrafficPair *infos = weft__must_alloc(n, sizeof(*infos));
    info->traffic = weft__must_alloc(n + 1, sizeof(*info->traffic));
    for (size_t i = 0; i < n; i++) {
        weft__host__traffic_pair__init(&infos[i]);
        infos[i].source = pairs[i].source;
        infos[i].dest = pairs[i].dest;
        infos[i].bytes = pairs[i].bytes;
        infos[i].messages = pairs[i].messages;
        infos[i].same_host = same_host(app, pairs[i].source, pairs[i].dest);
        info->traffic[i] = &infos[i];
    }
    info->traffic[n] = infos; /* for fini */
    info->n_traffic = n;
    free(pairs);
}

void weft__weftd_traffic_info_fini(Weft__Host__AppInfo *info)
{
    if (info->traffic != NULL)
        free(info->traffic[info->n_traffic]);
    free(info->traffic);
}
