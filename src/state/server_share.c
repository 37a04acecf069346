/* Bytes by rma: bodies that peers get, and bytes of pushes that are got from peers.
 *
 * A body is registered from its first bulk reader's pin to its last one's end: peers can read
 * nothing that is written, and the lane, which is taken for both, sees every byte as it is. A get's
 * end only posts a job: the lane's thread must go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <utlist.h>

#include "base/clock.h"
#include "state/parts.h"
#include "weft/error.h"

#define FETCH_RETRY_NS WEFT_NS_PER_MS

struct weft__state_fetching {
    struct weft__state_job job;
    struct weft__state_fetching *prev, *next; /* in server->fetches */
    struct weft_state_server *server;
    struct weft_call *call;
    const Weft__State__PushRequest *request;
    struct weft_body *body;
    struct weft_lane *lane;
    struct weft_lane_get get;
    int err;
    char text[200];
};

static bool lane_of(struct weft_state_server *server, struct weft_lane **lane_out)
{
    return server->desc.lane != NULL && server->desc.lane(server->desc.ctx, lane_out) == WEFT_OK;
}

static struct weft__state_shared *share_new(struct weft_lane *lane, struct weft_body *body)
{
    struct weft__state_shared *shared = calloc(1, sizeof(*shared));
    if (shared == NULL)
        return NULL;
    shared->lane = lane;
    if (weft__lane_register(lane, body->bytes, body->len, WEFT_TP_READ, &shared->region,
                            &shared->key) == WEFT_OK)
        return shared;
    free(shared);
    return NULL;
}

static struct weft__state_shared *shared_of(struct weft_body_share *share)
{
    return (struct weft__state_shared *)(void *)share;
}

bool weft__state_share(struct weft_state_server *server, struct weft_body *body,
                       struct weft__state_shared *shared_out)
{
    struct weft_lane *lane;
    if (!lane_of(server, &lane))
        return false;
    pthread_mutex_lock(&server->share_lock);
    weft__state_lock(server);
    struct weft__state_shared *shared = shared_of(body->share);
    if (shared != NULL)
        *shared_out = *shared;
    weft__state_unlock(server);
    bool good = shared != NULL;
    if (!good && (shared = share_new(lane, body)) != NULL) {
        *shared_out = *shared;
        weft__state_lock(server);
        good = body->pins > 0;
        if (good)
            body->share = &shared->share;
        weft__state_unlock(server);
        if (!good)
            weft__state_unshare(&shared->share);
    }
    pthread_mutex_unlock(&server->share_lock);
    weft__state_lock(server);
    server->bulk_pulls += good;
    weft__state_unlock(server);
    return good;
}

void weft__state_unshare(struct weft_body_share *shares)
{
    while (shares != NULL) {
        struct weft__state_shared *shared = shared_of(shares);
        shares = shares->next;
        weft__lane_unregister(shared->lane, shared->region);
        free(shared);
    }
}

/* ---- fetches ---- */

static void fetch_over(struct weft__state_fetching *fetch)
{
    struct weft_state_server *server = fetch->server;
    weft__lane_peer_put(fetch->lane, fetch->get.peer);
    weft__state_lock(server);
    DL_DELETE(server->fetches, fetch);
    pthread_cond_broadcast(&server->wake);
    weft__state_unlock(server);
    free(fetch);
}

static void fetch_end(struct weft__state_job *job, bool stopping)
{
    struct weft__state_fetching *fetch = (struct weft__state_fetching *)(void *)job;
    struct weft_state_server *server = fetch->server;
    if (stopping && fetch->err == WEFT_OK)
        fetch->err = weft_fail(WEFT_ESHUTDOWN, "the host shuts down");
    if (fetch->err == WEFT_OK) {
        weft__state_push(server, fetch->call, fetch->request, fetch->body);
    } else {
        weft__state_lock(server);
        weft__main_put(&server->main, fetch->body);
        weft__state_unlock(server);
        if (fetch->text[0] != '\0')
            weft_fail(fetch->err, "%s", fetch->text);
        weft__state_push_failed(server, fetch->call, fetch->request, fetch->err);
    }
    fetch_over(fetch);
}

static void fetch_fail(struct weft__state_fetching *fetch, int err)
{
    /* Whatever broke is broken for these bytes only: the value and its main are well. */
    fetch->err = WEFT_EIO;
    snprintf(fetch->text, sizeof(fetch->text), "cannot get the bytes of a push by rma: %.150s",
             weft_fail_text(err));
}

/* Thread: the lane's. */
static void fetched(struct weft_lane_get *get, int err)
{
    struct weft__state_fetching *fetch = get->user;
    if (err != WEFT_OK)
        fetch_fail(fetch, err);
    fetch->job.run = fetch_end;
    fetch->job.at_ns = 0;
    weft__state_post(fetch->server, &fetch->job);
}

/* Starts the get, or comes back when the lane has room. */
static void fetch_start(struct weft__state_job *job, bool stopping)
{
    struct weft__state_fetching *fetch = (struct weft__state_fetching *)(void *)job;
    int err = stopping ? WEFT_ESHUTDOWN : weft__lane_get(fetch->lane, &fetch->get);
    if (err == WEFT_OK)
        return;
    if (err == WEFT_EAGAIN) {
        fetch->job.run = fetch_start;
        fetch->job.at_ns = weft__now_ns() + FETCH_RETRY_NS;
        weft__state_post(fetch->server, &fetch->job);
        return;
    }
    fetch_fail(fetch, err);
    fetch_end(job, stopping);
}

static int fetch_new(struct weft_state_server *server, const Weft__State__PushRequest *request,
                     struct weft__state_fetching **fetch_out)
{
    struct weft__state_fetching *fetch = calloc(1, sizeof(*fetch));
    int err = fetch == NULL ? weft_fail(WEFT_ENOMEM, "no memory for a push") : WEFT_OK;
    if (err == WEFT_OK && !lane_of(server, &fetch->lane))
        err = weft_fail(WEFT_EIO, "this host has no lane for rma: send the bytes");
    if (err == WEFT_OK && weft__lane_peer(fetch->lane, request->lane, &fetch->get.peer) != WEFT_OK)
        err = weft_fail(WEFT_EIO, "no way to the lane of the bytes: send them");
    if (err != WEFT_OK) {
        free(fetch);
        return err;
    }
    fetch->server = server;
    *fetch_out = fetch;
    return WEFT_OK;
}

void weft__state_fetch(struct weft_state_server *server, struct weft_call *call,
                       const Weft__State__PushRequest *request, struct weft_body *body)
{
    struct weft__state_fetching *fetch;
    int err = fetch_new(server, request, &fetch);
    weft__state_lock(server);
    if (err == WEFT_OK)
        DL_APPEND(server->fetches, fetch);
    else
        weft__main_put(&server->main, body);
    weft__state_unlock(server);
    if (err != WEFT_OK) {
        weft__state_push_failed(server, call, request, err);
        return;
    }
    fetch->call = call;
    fetch->request = request;
    fetch->body = body;
    fetch->get.key.tp =
        (struct weft_tp_key){request->rma_key, request->rma_base, request->rma_length};
    fetch->get.into = body->bytes;
    fetch->get.len_bytes = body->len;
    fetch->get.done = fetched;
    fetch->get.user = fetch;
    fetch_start(&fetch->job, false);
}

void weft__state_fetches_end(struct weft_state_server *server)
{
    weft__state_lock(server);
    while (server->fetches != NULL) {
        struct weft_lane *lane = server->fetches->lane;
        struct weft_lane_peer peer = server->fetches->get.peer;
        struct timespec at;
        weft__state_unlock(server);
        weft__lane_drop(lane, peer); /* its gets end with an error */
        weft__state_lock(server);
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec++;
        if (server->fetches != NULL)
            pthread_cond_timedwait(&server->wake, &server->lock, &at);
    }
    weft__state_unlock(server);
}
