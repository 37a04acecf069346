/* The service: its lock, its thread, its lease.
 *
 * The thread exists for what needs time: pins and stages that end, questions to the registry that
 * are asked again, and pushes whose bytes have come by rma (copying them would keep the lane's
 * thread from its work). Handlers take the lock for memory work only; readers copy bytes without
 * it, from a body that they hold. */
#include "state/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "state/parts.h"
#include "weft/error.h"

#define DEAD_MS 3000

void weft__state_lock(struct weft_state_server *server)
{
    pthread_mutex_lock(&server->lock);
}

static void free_bodies(struct weft_body *body)
{
    while (body != NULL) {
        struct weft_body *next = body->next;
        weft__body_free(body);
        body = next;
    }
}

void weft__state_unlock(struct weft_state_server *server)
{
    struct weft_body_share *ended = weft__main_ended(&server->main);
    struct weft_body *dead = weft__main_bury(&server->main);
    pthread_mutex_unlock(&server->lock);
    weft__state_unshare(ended);
    free_bodies(dead);
}

void weft__state_fail(struct weft_call *call, int err)
{
    char text[512];
    strncpy(text, weft_fail_text(err), sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    if (err == WEFT_EAGAIN)
        weft__call_fail_again(call, 0, text);
    else
        weft__call_fail(call, err, text);
}

/* ---- the thread ---- */

void weft__state_post(struct weft_state_server *server, struct weft__state_job *job)
{
    pthread_mutex_lock(&server->lock);
    bool left = server->left;
    if (!left) {
        job->next = server->jobs;
        server->jobs = job;
        pthread_cond_signal(&server->wake);
    }
    pthread_mutex_unlock(&server->lock);
    if (left)
        job->run(job, true);
}

/* Takes a job that is due; lowers *next_ns to when the next one is. */
static struct weft__state_job *take_due(struct weft_state_server *server, uint64_t now_ns,
                                        uint64_t *next_ns)
{
    for (struct weft__state_job **link = &server->jobs; *link != NULL; link = &(*link)->next) {
        struct weft__state_job *job = *link;
        if (job->at_ns <= now_ns || server->left) {
            *link = job->next;
            return job;
        }
        if (job->at_ns < *next_ns)
            *next_ns = job->at_ns;
    }
    return NULL;
}

static void wait_until(struct weft_state_server *server, uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / WEFT_NS_PER_S),
                          .tv_nsec = (long)(at_ns % WEFT_NS_PER_S)};
    if (at_ns == WEFT_NEVER)
        pthread_cond_wait(&server->wake, &server->lock);
    else
        pthread_cond_timedwait(&server->wake, &server->lock, &at);
}

static void *thread_main(void *arg)
{
    struct weft_state_server *server = arg;
    weft__state_lock(server);
    for (;;) {
        uint64_t now_ns = weft__now_ns(), next_ns = WEFT_NEVER;
        weft__main_expire(&server->main, now_ns, &next_ns);
        struct weft__state_job *job = take_due(server, now_ns, &next_ns);
        bool left = server->left;
        if (job == NULL && left)
            break;
        if (job == NULL && server->main.dead == NULL && server->main.ended == NULL) {
            wait_until(server, next_ns);
            continue;
        }
        weft__state_unlock(server); /* and frees what has expired */
        if (job != NULL)
            job->run(job, left);
        weft__state_lock(server);
    }
    weft__state_unlock(server);
    return NULL;
}

/* ---- open and close ---- */

static uint64_t quarter_of_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 4 : UINT64_C(1) << 30;
}

static int start_thread(struct weft_state_server *server)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&server->share_lock, NULL);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&server->thread, NULL, thread_main, server);
    return err == 0 ? WEFT_OK
                    : weft_fail(-err, "cannot start the state service's thread: %s", strerror(err));
}

int weft__state_server_open(const struct weft_state_server_desc *desc,
                            struct weft_state_server **server_out)
{
    struct weft_state_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the state service");
    struct weft_state_limits limits = {.memory_max = desc->memory_max != 0 ? desc->memory_max
                                                                           : quarter_of_memory(),
                                       .keys_max = WEFT_STATE_KEYS_MAX,
                                       .sessions_max = WEFT_STATE_SESSIONS_MAX,
                                       .pins_max = WEFT_STATE_PINS_MAX};
    server->desc = *desc;
    server->dead_ms = desc->dead_ms != 0 ? desc->dead_ms : DEAD_MS;
    strncpy(server->host, desc->host, sizeof(server->host) - 1);
    server->incarnation = desc->incarnation;
    weft__main_init(&server->main, &limits);
    int err = start_thread(server);
    if (err != WEFT_OK) {
        free(server);
        return err;
    }
    *server_out = server;
    return WEFT_OK;
}

void weft__state_server_leave(struct weft_state_server *server)
{
    if (server == NULL)
        return;
    weft__state_lock(server);
    bool left = server->left;
    server->left = true;
    server->main.lease_until_ns = 0;
    weft__main_clear(&server->main);
    pthread_cond_signal(&server->wake);
    weft__state_unlock(server);
    if (!left)
        pthread_join(server->thread, NULL);
}

void weft__state_server_close(struct weft_state_server *server)
{
    if (server == NULL)
        return;
    weft__state_server_leave(server);
    weft__state_fetches_end(server);
    weft__state_lock(server);
    weft__main_clear(&server->main);
    weft__state_unlock(server);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->share_lock);
    free(server);
}

void weft__state_server_at(struct weft_state_server *server, const char *url, const char *async_url)
{
    weft__state_lock(server);
    strncpy(server->url, url, sizeof(server->url) - 1);
    strncpy(server->async_url, async_url, sizeof(server->async_url) - 1);
    weft__state_unlock(server);
}

void weft__state_server_alive(struct weft_state_server *server, uint64_t incarnation,
                              uint64_t sent_ns, const struct weft_registry_reply *reply)
{
    weft__state_lock(server);
    if (reply->dead_ms != 0)
        server->dead_ms = reply->dead_ms;
    /* An eighth is for clocks that do not run alike. */
    uint64_t until_ns = sent_ns + server->dead_ms * (WEFT_NS_PER_MS - WEFT_NS_PER_MS / 8);
    if (incarnation != server->incarnation) {
        if (server->main.values != NULL)
            weft__warn("%u values of state are lost: this host was declared dead",
                       HASH_COUNT(server->main.values));
        weft__main_clear(&server->main);
        server->incarnation = incarnation;
        server->main.lease_until_ns = 0;
    }
    weft__main_registry(&server->main, reply->epoch);
    if (!server->left && until_ns > server->main.lease_until_ns)
        server->main.lease_until_ns = until_ns;
    weft__state_unlock(server);
    weft__state_confirm(server);
}

void weft__state_server_stats(struct weft_state_server *server,
                              struct weft_state_server_stats *stats_out)
{
    weft__state_lock(server);
    *stats_out = (struct weft_state_server_stats){.values = HASH_COUNT(server->main.values),
                                                  .bytes = server->main.used_bytes,
                                                  .copies = server->main.copies,
                                                  .bulk_pulls = server->bulk_pulls,
                                                  .bulk_pushes = server->bulk_pushes,
                                                  .refused_stale = server->main.refused_stale,
                                                  .refused_lease = server->main.refused_lease,
                                                  .refused_memory = server->main.refused_memory};
    weft__state_unlock(server);
}

#define SYNC WEFT_HANDLER_SYNC
#define BOTH (WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC)

void weft__state_server_service(struct weft_state_server *server,
                                struct weft_service_desc *service_out)
{
    static const struct weft_handler_desc handlers[] = {
        {WEFT_STATE_RESOLVE, SYNC, "resolve", &weft__state__resolve_request__descriptor,
         weft__state_on_resolve},
        {WEFT_STATE_DROP, SYNC, "drop", &weft__state__drop_request__descriptor,
         weft__state_on_drop},
        {WEFT_STATE_HOSTS, SYNC, "hosts", NULL, weft__state_on_hosts},
        {WEFT_STATE_LIST, SYNC, "list", &weft__state__list_request__descriptor,
         weft__state_on_list},
        {WEFT_STATE_OPEN, SYNC, "open", &weft__state__open_request__descriptor,
         weft__state_on_open},
        {WEFT_STATE_PULL, SYNC, "pull", &weft__state__pull_request__descriptor,
         weft__state_on_pull},
        {WEFT_STATE_PART, SYNC, "part", &weft__state__part_request__descriptor,
         weft__state_on_part},
        {WEFT_STATE_UNPIN, SYNC, "unpin", &weft__state__unpin_request__descriptor,
         weft__state_on_unpin},
        {WEFT_STATE_PUSH, BOTH, "push", &weft__state__push_request__descriptor,
         weft__state_on_push},
        {WEFT_STATE_STAGE, SYNC, "stage", &weft__state__stage_request__descriptor,
         weft__state_on_stage},
        {WEFT_STATE_RESIZE, SYNC, "resize", &weft__state__resize_request__descriptor,
         weft__state_on_resize},
        {WEFT_STATE_APPEND, BOTH, "append", &weft__state__append_request__descriptor,
         weft__state_on_append},
        {WEFT_STATE_CLEAR, SYNC, "clear", &weft__state__clear_request__descriptor,
         weft__state_on_clear},
        {WEFT_STATE_ITEMS, SYNC, "items", &weft__state__items_request__descriptor,
         weft__state_on_items},
        {WEFT_STATE_DELETE, SYNC, "delete", &weft__state__delete_request__descriptor,
         weft__state_on_delete},
    };
    *service_out = (struct weft_service_desc){.name = "state",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = server,
                                              .body_max = WEFT_STATE_BODY_MAX};
}
