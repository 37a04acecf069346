/* A lane: the hand-over of one endpoint between threads, and the public calls.
 *
 * The hand-over is one word: 0, or the id of the thread that drives. Taking it is one
 * compare-and-exchange, and every function that touches the endpoint checks that the word is its
 * own thread's: there is one driver, always.
 *
 * Nothing that is submitted stays behind. A submitter puts its operation into a ring, then sets
 * come_back, then tries the lane. A driver clears come_back, empties the rings, lets the lane go,
 * and looks at come_back again. Both words are sequentially consistent: either the submitter gets
 * the lane, or its come_back stands after the driver's last clearing and the driver sees it after
 * letting go (and takes the lane again, or meets another driver for whom the same holds).
 *
 * A message whose submitter gets the lane at once goes to its peer's queue without the ring, if
 * that is idle: nothing that this thread has pushed, or knows of, is in it then, so the order
 * holds.
 *
 * Submitting runs no callback of the owner: send and get may be called with the owner's locks held.
 * What must run callbacks (messages that arrived, gets that ended, lost peers) waits for a round:
 * weft__lane_drive() or the progress thread, which is woken when nobody else would come
 * (progress.c).
 *
 * Rejected: a lock around the endpoint with waiting (a rank would wait for another rank's
 * callbacks); a queue per thread (threads come and go, and the driver would have to visit each).
 */
#include "link/lane.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/config.h"
#include "base/log.h"
#include "control/security.h"
#include "link/address.h"
#include "link/impl.h"
#include "link/select.h"
#include "weft/error.h"

#define LANES_RECEIVES 64u /* posted, of all lanes of a process together */

static _Thread_local char thread_mark;

static uintptr_t self(void)
{
    return (uintptr_t)&thread_mark;
}

bool weft__lane_mine(const struct weft_lane *lane)
{
    return atomic_load_explicit(&lane->held, memory_order_relaxed) == self();
}

bool weft__lane_hold(struct weft_lane *lane)
{
    uintptr_t nobody = 0;
    return atomic_compare_exchange_strong(&lane->held, &nobody, self());
}

void weft__lane_seize(struct weft_lane *lane)
{
    weft__check(!weft__lane_mine(lane));
    while (!weft__lane_hold(lane))
        sched_yield();
}

/* Hands over what waits. The caller holds the lane. */
static void take(struct weft_lane *lane)
{
    atomic_store(&lane->come_back, false);
    struct weft__lane_item *item;
    while ((item = weft__mpsc_pop(&lane->items)))
        weft__lane_queue(lane, item);
    weft__lane_take_gets(lane);
    weft__lane_pump_messages(lane);
    weft__lane_pump_gets(lane);
}

static void release(struct weft_lane *lane, bool armed)
{
    weft__check(weft__lane_mine(lane));
    for (;;) {
        if (!armed)
            weft__lane_settle(lane);
        atomic_store(&lane->held, 0);
        if (!atomic_load(&lane->come_back) || !weft__lane_hold(lane)) {
            weft__lane_turn(lane);
            return;
        }
        take(lane);
        armed = false;
    }
}

void weft__lane_release(struct weft_lane *lane)
{
    release(lane, false);
}

void weft__lane_release_armed(struct weft_lane *lane)
{
    release(lane, true);
}

void weft__lane_submit(struct weft_lane *lane)
{
    atomic_store(&lane->come_back, true);
    if (weft__lane_mine(lane) || !weft__lane_hold(lane))
        return;
    take(lane);
    weft__lane_release(lane);
}

static void push(struct weft_lane *lane, struct weft__lane_item *item)
{
    bool pushed = weft__mpsc_push(&lane->items, item);
    weft__check(pushed); /* the ring has room for every buffer and every peer, twice */
}

void weft__lane_submit_item(struct weft_lane *lane, struct weft__lane_item *item)
{
    if (weft__lane_mine(lane) || !weft__lane_hold(lane)) {
        push(lane, item);
        weft__lane_submit(lane);
        return;
    }
    if (weft__mpsc_idle(&lane->items)) {
        weft__lane_queue(lane, item);
        weft__lane_pump_messages(lane);
    } else {
        push(lane, item); /* behind what this thread may have there */
        take(lane);
    }
    weft__lane_release(lane);
}

bool weft__lane_idle(const struct weft_lane *lane)
{
    bool gets_wait = lane->gets_first && lane->free_pieces; /* else pieces in flight come first */
    return !lane->pending_first && !lane->lost_first && !gets_wait && !lane->finished &&
           !atomic_load_explicit(&lane->come_back, memory_order_relaxed);
}

static void broke(struct weft_lane *lane, int err)
{
    if (atomic_exchange(&lane->broken, err) == 0)
        weft__error("lane %s at %s failed: %s", lane->name, lane->address, weft_fail_text(err));
    weft__lane_fail_gets(lane, NULL, err);
}

int weft__lane_round(struct weft_lane *lane)
{
    weft__check(weft__lane_mine(lane));
    take(lane);
    int events = lane->tp->core->progress(lane->ep);
    if (events < 0) {
        broke(lane, events);
        events = 0;
    }
    weft__lane_tell_lost(lane);
    events += weft__lane_finish_gets(lane);
    if (atomic_load_explicit(&lane->come_back, memory_order_relaxed) || !weft__lane_idle(lane))
        take(lane);
    return events;
}

int weft__lane_drive(struct weft_lane *lane)
{
    weft__check(!weft__lane_mine(lane));
    weft__lane_visit(lane);
    if (!weft__lane_hold(lane))
        return 0;
    int events = weft__lane_round(lane);
    weft__lane_release(lane);
    return events;
}

const char *weft__lane_address(const struct weft_lane *lane)
{
    return lane->address;
}

const char *weft__lane_report(const struct weft_lane *lane)
{
    return lane->report;
}

/* lint: see the header. */
int weft__lane_register(struct weft_lane *lane, void *addr, size_t len_bytes, uint32_t access,
                        struct weft_lane_region **region_out, struct weft_lane_key *key_out)
{
    bool mine = weft__lane_mine(lane);
    if (!mine)
        weft__lane_seize(lane);
    struct weft_tp_region *region;
    int err = lane->ep ? WEFT_OK : WEFT_ECANCELED;
    if (err == WEFT_OK)
        err = lane->tp->rma->reg(lane->ep, addr, len_bytes, access, &region);
    if (err == WEFT_OK) {
        struct weft_tp_key key;
        lane->tp->rma->key(region, &key);
        key_out->tp = key;
        *region_out = (struct weft_lane_region *)(void *)region;
        atomic_fetch_add_explicit(&lane->regions_n, 1, memory_order_relaxed);
    }
    if (!mine)
        weft__lane_release(lane);
    return err;
}

void weft__lane_unregister(struct weft_lane *lane, struct weft_lane_region *region)
{
    bool mine = weft__lane_mine(lane);
    if (!mine)
        weft__lane_seize(lane);
    atomic_fetch_sub_explicit(&lane->regions_n, 1, memory_order_relaxed);
    if (lane->ep) /* else close ended it, and runs the last callbacks */
        lane->tp->rma->unreg(lane->ep, (struct weft_tp_region *)(void *)region);
    if (!mine)
        weft__lane_release(lane);
}

static uint64_t thread_cpu_ns(const struct weft_lane *lane)
{
    clockid_t clock;
    struct timespec now;
    if (!lane->thread_runs || pthread_getcpuclockid(lane->thread, &clock) != 0 ||
        clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* With the lane's own memory: buffers that were used, once, and the peers. */
static void add_usage(struct weft_lane *lane, struct weft_tp_usage *usage_out)
{
    bool mine = weft__lane_mine(lane);
    if (!mine)
        weft__lane_seize(lane);
    if (lane->ep && lane->tp->usage)
        lane->tp->usage(lane->ep, usage_out);
    if (!mine)
        weft__lane_release(lane);
    usage_out->memory_bytes +=
        sizeof(*lane) + lane->slab_bytes +
        atomic_load_explicit(&lane->peers_n, memory_order_relaxed) * sizeof(struct weft__lane_to);
}

void weft__lane_stats(struct weft_lane *lane, struct weft_lane_stats *stats_out)
{
    struct weft_lane_stats stats = {
        .messages_sent = weft__counter_get(&lane->sent),
        .messages_received = weft__counter_get(&lane->received),
        .messages_refused = weft__counter_get(&lane->refused),
        .messages_failed = weft__counter_get(&lane->failed),
        .bytes_sent = weft__counter_get(&lane->bytes_sent),
        .bytes_received = weft__counter_get(&lane->bytes_received),
        .rma_bytes_got = weft__counter_get(&lane->bytes_got),
        .gets_failed = weft__counter_get(&lane->gets_failed),
        .peers = atomic_load_explicit(&lane->peers_n, memory_order_relaxed),
        .peers_lost = weft__counter_get(&lane->lost),
        .regions = atomic_load_explicit(&lane->regions_n, memory_order_relaxed),
        .progress_wakeups = weft__counter_get(&lane->wakeups),
        .progress_cpu_ns = thread_cpu_ns(lane),
    };
    stats.lanes = 1;
    add_usage(lane, &stats.usage);
    snprintf(stats.transport, sizeof(stats.transport), "%s", lane->name);
    snprintf(stats.address, sizeof(stats.address), "%s", lane->own.paths[0].bind);
    *stats_out = stats;
}

static int init(struct weft_lane *lane, const struct weft_lane_desc *desc)
{
    lane->token = desc->token;
    lane->msg_max_bytes = desc->msg_max_bytes ? desc->msg_max_bytes : LANE_MSG_DEFAULT;
    lane->message = desc->message;
    lane->peer_lost = desc->peer_lost;
    lane->ctx = desc->ctx;
    pthread_mutex_init(&lane->peers_lock, NULL);
    pthread_mutex_init(&lane->watch_lock, NULL);
    weft__lane_gets_init(lane);
    int err = weft__lane_progress_parse(lane, desc->progress ? desc->progress
                                                             : weft__config_text("WEFT_PROGRESS"));
    if (err == WEFT_OK)
        err = weft__lane_messages_init(lane);
    if (err == WEFT_OK)
        err = weft__mpsc_init(&lane->gets, LANE_GETS_MAX);
    return err;
}

static void fini(struct weft_lane *lane)
{
    weft__lane_peers_fini(lane);
    weft__lane_messages_fini(lane);
    weft__mpsc_fini(&lane->gets);
    pthread_mutex_destroy(&lane->peers_lock);
    pthread_mutex_destroy(&lane->watch_lock);
    free(lane->report);
    free(lane);
}

/* Chooses the transport and opens its endpoint. */
static int endpoint(struct weft_lane *lane, const struct weft_lane_desc *desc)
{
    static const struct weft_tp_handlers handlers = {.message = weft__lane_arrived,
                                                     .peer_lost = weft__lane_tp_lost};
    struct weft__select select = {
        .transports = desc->transports,
        .transports_n = desc->transports_n,
        .want = desc->scheme ? desc->scheme : weft__config_text("WEFT_DATA"),
        .net = weft__config_text("WEFT_NET"),
        .salt = desc->token,
        .lane = desc->lane,
        .lanes = desc->lanes,
        .open = {.bind = desc->bind,
                 .port_first = desc->port_first,
                 .port_last = desc->port_last,
                 .group = desc->group,
                 .families = WEFT_TP_MSG | WEFT_TP_RMA,
                 .msg_max_bytes = lane->msg_max_bytes + LANE_HEADER_BYTES,
                 .handlers = &handlers,
                 .ctx = lane},
    };
    struct weft__selected selected;
    int err = weft__security_get(&select.open.security);
    select.open.connections_max = (uint32_t)weft__config_u64("WEFT_CONNECTIONS_MAX");
    unsigned lanes = desc->lanes ? desc->lanes : 1;
    select.open.congestion = weft__config_text("WEFT_TCP_CONGESTION");
    select.open.registered_max_bytes = weft__config_u64("WEFT_REGISTERED_MAX");
    select.open.receives_max = LANES_RECEIVES / lanes;
    if (err == WEFT_OK)
        err = weft__select(&select, &selected);
    if (err != WEFT_OK)
        return err;
    lane->tp = selected.transport;
    lane->ep = selected.ep;
    lane->report = selected.report;
    lane->paths = selected.paths;
    lane->own = selected.address;
    snprintf(lane->name, sizeof(lane->name), "%s", selected.name);
    lane->tp->core->limits(lane->ep, &lane->limits);
    return weft__address_format(&lane->own, lane->address);
}

int weft__lane_open(const struct weft_lane_desc *desc, struct weft_lane **lane_out)
{
    struct weft_lane *lane = aligned_alloc(64, (sizeof(*lane) + 63u) & ~(size_t)63u);
    if (!lane)
        return weft_fail(WEFT_ENOMEM, "no memory for a lane");
    memset(lane, 0, sizeof(*lane));
    int err = init(lane, desc);
    if (err == WEFT_OK)
        err = endpoint(lane, desc);
    if (err == WEFT_OK)
        err = weft__lane_progress_start(lane);
    if (err != WEFT_OK) {
        if (lane->ep)
            lane->tp->core->close(lane->ep);
        fini(lane);
        return err;
    }
    *lane_out = lane;
    return WEFT_OK;
}

/* The endpoint goes first: after that no buffer is the transport's any more, and everything that
 * waits can end. */
void weft__lane_end(struct weft_lane *lane)
{
    weft__lane_progress_stop(lane);
    weft__lane_seize(lane);
    weft__lane_take_gets(lane);
    atomic_store(&lane->broken, WEFT_ECANCELED);
    weft__lane_fail_gets(lane, NULL, WEFT_ECANCELED);
    lane->tp->core->close(lane->ep);
    lane->ep = NULL;
    weft__lane_finish_gets(lane);
}

void weft__lane_free(struct weft_lane *lane)
{
    atomic_store(&lane->held, 0);
    fini(lane);
}

void weft__lane_close(struct weft_lane *lane)
{
    weft__lane_end(lane);
    weft__lane_free(lane);
}
