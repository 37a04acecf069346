/* The registry's service: its parts put together, and its thread.
 *
 * The thread brings changes to disk, looks for deaths and answers watches. A beat is taken on the
 * fan-in thread, so a slow disk kills nobody. */
#include "registry/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/parts.h"
#include "registry/registry.h"
#include "weft/error.h"

#define BEAT_MS 500
#define DEAD_MS 3000

static void wait_until(struct weft_registry *registry, uint64_t deadline_ns)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / WEFT_NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % WEFT_NS_PER_S)};
    pthread_cond_timedwait(&registry->wake, &registry->lock, &at);
}

/* One round: deaths, watches, changes.  Called, and returns, with the lock held. */
static void round_of(struct weft_registry *registry)
{
    const uint64_t dead_ns = registry->dead_ms * WEFT_NS_PER_MS;
    uint64_t now_ns = weft__now_ns(), next_ns = now_ns + dead_ns / 8;
    size_t dead = weft__hosts_expire(&registry->hosts, now_ns, dead_ns);
    if (dead) {
        pthread_mutex_unlock(&registry->lock);
        weft__warn("%zu host(s) declared dead: no beat for %u ms", dead, registry->dead_ms);
        pthread_mutex_lock(&registry->lock);
    }
    bool any = weft__registry_answer_watches(registry, now_ns, &next_ns);
    any = weft__registry_run_changes(registry) || any;
    if (!any) /* nothing was let in since the looks above: the lock was held */
        wait_until(registry, next_ns);
}

static void *thread_main(void *arg)
{
    struct weft_registry *registry = arg;
    pthread_mutex_lock(&registry->lock);
    while (!registry->stop)
        round_of(registry);
    pthread_mutex_unlock(&registry->lock);
    return NULL;
}

static int start_thread(struct weft_registry *registry)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&registry->thread, NULL, thread_main, registry);
    if (!err)
        return 0;
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    return weft_fail(-err, "cannot start the registry's thread: %s", strerror(err));
}

int weft__registry_open(const struct weft_registry_desc *desc, struct weft_registry **registry_out)
{
    struct weft_registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return weft_fail(WEFT_ENOMEM, "no memory for the registry");
    registry->beat_ms = desc->beat_ms ? desc->beat_ms : BEAT_MS;
    registry->dead_ms = desc->dead_ms ? desc->dead_ms : DEAD_MS;
    weft__waiting_init(&registry->watches);
    weft__waiting_init(&registry->changes);
    int err = registry->dead_ms <= registry->beat_ms
                  ? weft_fail(WEFT_EINVAL, "dead after %u ms, but a beat only every %u ms",
                              registry->dead_ms, registry->beat_ms)
                  : weft__journal_open(&registry->journal, desc->log_path, &registry->keys);
    if (!err) {
        registry->epoch = registry->journal.epoch;
        registry->log = registry->journal.id;
        weft__hosts_init(&registry->hosts, registry->epoch);
        if (desc->self && strlen(desc->self) < sizeof(registry->hosts.self))
            memcpy(registry->hosts.self, desc->self, strlen(desc->self) + 1);
        err = start_thread(registry);
        if (err)
            weft__journal_close(&registry->journal);
    }
    if (err) {
        weft__values_fini(&registry->keys);
        free(registry);
        return err;
    }
    *registry_out = registry;
    return 0;
}

static void fail_all(struct weft__waiting_list *list)
{
    while (list->first)
        weft__waiting_fail(weft__waiting_take(list, &list->first), WEFT_ESHUTDOWN,
                           "the registry stops");
}

void weft__registry_close(struct weft_registry *registry)
{
    if (!registry)
        return;
    pthread_mutex_lock(&registry->lock);
    registry->stop = true;
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    pthread_join(registry->thread, NULL);
    fail_all(&registry->watches);
    fail_all(&registry->changes);
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    weft__journal_close(&registry->journal);
    weft__hosts_fini(&registry->hosts);
    weft__values_fini(&registry->keys);
    free(registry);
}

size_t weft__registry_others(struct weft_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    size_t n = weft__hosts_others(&registry->hosts);
    pthread_mutex_unlock(&registry->lock);
    return n;
}

uint64_t weft__registry_epoch(const struct weft_registry *registry)
{
    return registry->epoch;
}

#define SYNC_INLINE (WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC)

void weft__registry_service(struct weft_registry *registry, struct weft_service_desc *service_out)
{
    static const struct weft_handler_desc handlers[] = {
        {WEFT_REGISTRY_JOIN, SYNC_INLINE, "join", &weft__registry__join_request__descriptor,
         weft__registry_on_join},
        {WEFT_REGISTRY_LEAVE, SYNC_INLINE, "leave", &weft__registry__leave_request__descriptor,
         weft__registry_on_leave},
        {WEFT_REGISTRY_BEAT, SYNC_INLINE, "beat", &weft__registry__beat_request__descriptor,
         weft__registry_on_beat},
        {WEFT_REGISTRY_LIST, WEFT_HANDLER_SYNC, "list", NULL, weft__registry_on_list},
        {WEFT_REGISTRY_WATCH, SYNC_INLINE, "watch", &weft__registry__watch_request__descriptor,
         weft__registry_on_watch},
        {WEFT_REGISTRY_GET, SYNC_INLINE, "get", &weft__registry__get_request__descriptor,
         weft__registry_on_get},
        {WEFT_REGISTRY_CAS, SYNC_INLINE, "compare-and-set",
         &weft__registry__cas_request__descriptor, weft__registry_on_cas},
    };
    *service_out = (struct weft_service_desc){.name = "registry",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = registry,
                                              .body_max = 16384};
}
