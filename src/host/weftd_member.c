/* This host as a member: joins, beats, and keeps a copy of the list of hosts.
 *
 * Two sources feed the copy: a watch that the registry answers when hosts come, go or die, and a
 * refresh that fetches the used slots when a decision is due. Used slots are hints all the same:
 * each host alone decides about its slots, by leases. A head that does not answer changes nothing
 * here: hosts and running apps live on, and beats go on until it is back; after a restart of the
 * head (new epoch) the host joins again, as the same incarnation, however long the head was away. A
 * host that learns that it was declared dead, or that stood still itself for as long, ends its
 * processes, because their apps have been ended, and joins as a new incarnation.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "host/weftd.h"
#include "host/weftd_app.h"
#include "host/weftd_events.h"
#include "state/server.h"
#include "host/weftd_group.h"

enum { JOIN_WAIT_MS = 5000, WATCH_MS = 10000, WATCH_RETRY_MS = 500, JOIN_RETRY_US = 50000 };

/* An answer of the registry on its way to the owner thread. */
struct news {
    struct weft_task task;
    struct weft_host *host;
    void (*run)(struct news *news);
    int err;
    char text[200];
    uint64_t epoch, revision, log;
    uint32_t dead_ms;
    struct weft_registry_host *hosts;
    size_t hosts_n;
};

/* Somebody who waits for the list that is being fetched. */
struct weft_refresh {
    struct weft_refresh *next;
    weft_refreshed *done;
    void *ctx;
};

static void watch_start(struct weft_host *host);

static void news_run(struct weft_task *task)
{
    struct news *news = weft__loop_owner(task, struct news, task);
    news->run(news);
    free(news->hosts);
    free(news);
}

/* On the client's thread. */
static void news_done(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct news *news = ctx;
    news->err = err;
    snprintf(news->text, sizeof(news->text), "%s", text != NULL ? text : "");
    if (err == WEFT_OK) {
        news->epoch = reply->epoch;
        news->revision = reply->revision;
        news->dead_ms = reply->dead_ms;
        news->log = reply->log;
        news->hosts = weft__must_copy(reply->hosts, reply->hosts_n * sizeof(*news->hosts));
        news->hosts_n = reply->hosts_n;
    }
    weft__loop_must_post(news->host->asker.loop, &news->task);
}

static struct news *news_new(struct weft_host *host, void (*run)(struct news *news))
{
    struct news *news = weft__must_alloc(1, sizeof(*news));
    news->task.run = news_run;
    news->host = host;
    news->run = run;
    return news;
}

/* What a call that could not even be started comes to. */
static void news_refused(struct news *news, int err)
{
    if (err != WEFT_OK)
        news_done(news, err, weft_fail_text(err), NULL);
}

static void self_tenancy(const struct weft_host *host, struct weft_registry_host *self)
{
    struct weft_tenancy tenancy;
    weft__leases_tenancy(&host->leases, &tenancy);
    self->occupied = tenancy.any;
    self->shared = tenancy.mixed;
    self->apart = tenancy.apart;
    memcpy(self->tenant, tenancy.tenant, sizeof(self->tenant));
}

static void self_describe(const struct weft_host *host, struct weft_registry_host *self_out)
{
    memset(self_out, 0, sizeof(*self_out));
    snprintf(self_out->name, sizeof(self_out->name), "%s", host->name);
    snprintf(self_out->address, sizeof(self_out->address), "%s", host->address);
    snprintf(self_out->control, sizeof(self_out->control), "%s", host->control);
    self_out->slots = host->leases.slots;
    self_out->used = weft__leases_used(&host->leases);
    self_tenancy(host, self_out);
    self_out->incarnation = host->incarnation;
    self_out->pid = (uint64_t)getpid();
    self_out->leaving = host->leaving;
    self_out->cpu = host->cpu;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weft_member *)a)->at.name,
                  ((const struct weft_member *)b)->at.name);
}

struct weft_member *weft__weftd_member(const struct weft_host *host, const char *name)
{
    struct weft_member wanted;
    if (host->members_n == 0 || strlen(name) >= sizeof(wanted.at.name))
        return NULL;
    memcpy(wanted.at.name, name, strlen(name) + 1);
    return bsearch(&wanted, host->members, host->members_n, sizeof(wanted), by_name);
}

/* A host that a registry with a new epoch does not list yet is given time to join it again, from
 * the first list without it on: before that there may have been no registry to join. */
static bool may_come_back(struct weft_member *member, uint64_t epoch)
{
    uint64_t grace_ns = 2 * weft__config_u64("WEFT_DEAD_MS") * WEFT_NS_PER_MS;
    if (!member->at.alive || member->epoch == epoch)
        return false;
    if (member->missing_epoch != epoch) {
        member->missing_epoch = epoch;
        member->missing_ns = weft__now_ns();
    }
    return weft__now_ns() - member->missing_ns < grace_ns;
}

static struct weft_member member_of(struct weft_host *host, const struct news *news, size_t i)
{
    const struct weft_member *old = weft__weftd_member(host, news->hosts[i].name);
    struct weft_member member = {.at = news->hosts[i], .epoch = news->epoch};
    if (strcmp(member.at.name, host->name) == 0) {
        member.at.used = weft__leases_used(&host->leases);
        self_tenancy(host, &member.at);
    }
    if (old != NULL)
        member.freed_wall_ms = member.at.used < old->at.used ? weft__wall_ms() : old->freed_wall_ms;
    return member;
}

/* Hosts that come, go, die, and are drained: told by the head, from its first list on. */
static void tell_member(struct weft_host *host, enum weft_event_kind kind,
                        const struct weft_registry_host *at)
{
    if (host->registry != NULL)
        weft__weftd_event(
            host, &(struct weft_event_note){.kind = kind,
                                            .rank = WEFT_EVENT_NO_RANK,
                                            .n = {kind == WEFT_EVENT_HOST_JOINED ? at->slots : 0},
                                            .text = {at->name, at->address}});
}

static void tell_change(struct weft_host *host, const struct weft_registry_host *was,
                        const struct weft_registry_host *is)
{
    bool lived = was != NULL && was->alive;
    bool same = was != NULL && was->incarnation == is->incarnation;
    if (lived && (!is->alive || !same))
        tell_member(host, WEFT_EVENT_HOST_DEAD, was);
    if (is->alive && (!lived || !same))
        tell_member(host, WEFT_EVENT_HOST_JOINED, is);
    bool left = same && was->leaving;
    if (is->alive && is->leaving != left)
        tell_member(host, is->leaving ? WEFT_EVENT_HOST_DRAINING : WEFT_EVENT_HOST_UNDRAINED, is);
}

/* Tells the apps what has become of a host that was in the list before; false: the list keeps it.
 */
static bool is_gone(struct weft_host *host, struct weft_member *before, uint64_t epoch)
{
    const struct weft_member *now = weft__weftd_member(host, before->at.name);
    if (now == NULL && may_come_back(before, epoch))
        return false;
    bool gone = now == NULL || !now->at.alive || now->at.incarnation != before->at.incarnation;
    if (before->at.alive && now == NULL)
        tell_member(host, WEFT_EVENT_HOST_LEFT, &before->at);
    if (before->at.alive && gone && strcmp(before->at.name, host->name) != 0)
        weft__weftd_apps_host_dead(host, before->at.name);
    return true;
}

static bool begins_to_leave(const struct weft_host *host, const struct weft_registry_host *at)
{
    const struct weft_member *old = weft__weftd_member(host, at->name);
    return at->leaving && (old == NULL || !old->at.leaving);
}

/* Whether there may be room that was not there. */
static bool has_freed(const struct weft_registry_host *old, const struct weft_registry_host *at)
{
    return at->alive && (old == NULL || !old->alive || at->used < old->used ||
                         at->slots > old->slots || (old->leaving && !at->leaving));
}

/* Takes over a fresh list; tells the apps about hosts that are dead, gone or started anew. A list
 * that was overtaken by a newer one is dropped. */
static void members_set(struct weft_host *host, const struct news *news)
{
    if (news->revision < host->members_revision)
        return;
    host->members_revision = news->revision;
    struct weft_member *before = host->members;
    size_t before_n = host->members_n, kept = 0;
    struct weft_member *fresh = weft__must_alloc(news->hosts_n + before_n, sizeof(*fresh));
    bool leaving = false, freed = false;
    for (size_t i = 0; i < news->hosts_n; i++) {
        const struct weft_member *old = weft__weftd_member(host, news->hosts[i].name);
        fresh[i] = member_of(host, news, i);
        tell_change(host, old != NULL ? &old->at : NULL, &fresh[i].at);
        leaving |= begins_to_leave(host, &fresh[i].at);
        freed |= has_freed(old != NULL ? &old->at : NULL, &fresh[i].at);
    }
    qsort(fresh, news->hosts_n, sizeof(*fresh), by_name);
    host->members = fresh;
    host->members_n = news->hosts_n;
    for (size_t i = 0; i < before_n; i++)
        if (!is_gone(host, &before[i], news->epoch))
            fresh[news->hosts_n + kept++] = before[i];
    host->members_n += kept;
    if (kept > 0)
        qsort(fresh, host->members_n, sizeof(*fresh), by_name);
    free(before);
    weft__weftd_group_hosts(host, news->revision);
    if (leaving)
        weft__weftd_check_leaving(host);
    if (freed)
        weft__weftd_freeze_room(host);
}

static void beat(struct weft_host *host);

/* The registry has answered what we sent last: it counts us as alive. */
static void answered(struct weft_host *host)
{
    host->stood_still = false;
    weft__state_server_alive(
        host->state, host->incarnation, host->beat_sent_ns,
        &(struct weft_registry_reply){.epoch = host->epoch, .dead_ms = host->registry_dead_ms});
}

static void tell_epoch(struct weft_host *host, uint64_t epoch)
{
    if (epoch != host->epoch)
        weft__weftd_event(host, &(struct weft_event_note){.kind = WEFT_EVENT_REGISTRY_EPOCH,
                                                          .rank = WEFT_EVENT_NO_RANK,
                                                          .n = {epoch, host->epoch}});
}

/* Others have ended what runs here. */
static void declared_dead(struct weft_host *host)
{
    weft__error("this host was declared dead after a silence; its processes end and it joins anew");
    weft__weftd_processes_end(host, "is dead: it was declared so after a silence");
    host->incarnation++;
    host->stood_still = false;
    weft__weftd_group_hosts(host, host->groups_revision);
}

static void join_again(struct weft_host *host);

static void joined_again(struct news *news)
{
    struct weft_host *host = news->host;
    host->joining = false;
    if (news->err == WEFT_OK) {
        tell_epoch(host, news->epoch);
        host->epoch = news->epoch;
        host->registry_log = news->log;
        host->registry_dead_ms = news->dead_ms;
        answered(host);
        weft__info("joined again, epoch %llu", (unsigned long long)news->epoch);
    } else if (news->err == WEFT_ESTALE && !host->stopping) {
        declared_dead(host);
        join_again(host);
        return;
    } else if (news->err != WEFT_EREGISTRY && news->err != WEFT_ESHUTDOWN) {
        weft__error("cannot join again: %s", news->text);
    }
    if (host->beat_again)
        beat(host);
}

static void join_again(struct weft_host *host)
{
    struct weft_registry_host self;
    struct news *news = news_new(host, joined_again);
    host->joining = true;
    host->beat_sent_ns = weft__now_ns();
    self_describe(host, &self);
    news_refused(news, weft__registry_join(&host->registry_at, &self, news_done, news));
}

/* What the answer to a beat means for us; may begin to join again. */
static void take_beaten(struct weft_host *host, const struct news *news)
{
    if (news->err == WEFT_OK) {
        if (news->epoch != host->epoch)
            join_again(host);
        else
            answered(host);
        return;
    }
    if (news->err != WEFT_ESTALE)
        return;
    if (host->stood_still)
        declared_dead(host);
    /* A registry that has started anew takes us as we are, else it says what we are. */
    join_again(host);
}

static void beaten(struct news *news)
{
    struct weft_host *host = news->host;
    host->beating = false;
    if (host->stopping)
        return;
    take_beaten(host, news);
    if (host->beat_again)
        beat(host);
}

/* One beat, or one join, at a time: a beat that overtakes its host's join would be refused as that
 * of a host which was declared dead. */
static void beat(struct weft_host *host)
{
    struct weft_registry_host self;
    host->beat_again = host->beating || host->joining;
    if (host->beat_again || host->stopping)
        return;
    host->beating = true;
    host->beat_sent_ns = weft__now_ns();
    struct news *news = news_new(host, beaten);
    self_describe(host, &self);
    news_refused(news, weft__registry_beat(&host->registry_at, &self, news_done, news));
}

static void beat_fired(struct weft_timer *timer)
{
    struct weft_host *host = weft__loop_owner(timer, struct weft_host, beat_timer);
    uint64_t now_ns = weft__now_ns();
    if (host->beat_fired_ns != 0 &&
        now_ns - host->beat_fired_ns > weft__config_u64("WEFT_DEAD_MS") * WEFT_NS_PER_MS)
        host->stood_still = true;
    host->beat_fired_ns = now_ns;
    beat(host);
    weft__loop_timer(host->asker.loop, timer,
                     weft__now_ns() + weft__config_u64("WEFT_HEARTBEAT_MS") * WEFT_NS_PER_MS);
}

void weft__weftd_slots_changed(struct weft_host *host)
{
    struct weft_member *self = weft__weftd_member(host, host->name);
    uint32_t used = weft__leases_used(&host->leases);
    if (self != NULL) {
        if (used < self->at.used)
            self->freed_wall_ms = weft__wall_ms();
        self->at.used = used;
        self_tenancy(host, &self->at);
    }
    beat(host);
}

bool weft__weftd_listed(struct weft_host *host)
{
    const struct weft_member *self = weft__weftd_member(host, host->name);
    bool listed = self != NULL && self->at.alive;
    if (!listed)
        beat(host);
    return listed;
}

static void watched(struct news *news)
{
    struct weft_host *host = news->host;
    if (host->stopping)
        return;
    if (news->err == WEFT_OK) {
        host->list_revision = news->revision;
        members_set(host, news);
        watch_start(host);
        return;
    }
    weft__loop_timer(host->asker.loop, &host->watch_timer,
                     weft__now_ns() + WATCH_RETRY_MS * WEFT_NS_PER_MS);
}

static void watch_start(struct weft_host *host)
{
    struct news *news = news_new(host, watched);
    news_refused(news, weft__registry_watch(&host->registry_at, host->list_revision, WATCH_MS,
                                            news_done, news));
}

static void watch_fired(struct weft_timer *timer)
{
    watch_start(weft__loop_owner(timer, struct weft_host, watch_timer));
}

static void refresh_start(struct weft_host *host);

static void refreshed(struct news *news)
{
    struct weft_host *host = news->host;
    struct weft_refresh *waiting = host->refreshes;
    host->refreshes = NULL;
    if (news->err == WEFT_OK)
        members_set(host, news);
    while (waiting != NULL) {
        struct weft_refresh *one = waiting;
        waiting = one->next;
        one->done(one->ctx, news->err, news->text);
        free(one);
    }
    host->refreshing = false;
    if (host->refreshes_next != NULL)
        refresh_start(host);
}

static void refresh_start(struct weft_host *host)
{
    struct news *news = news_new(host, refreshed);
    host->refreshing = true;
    host->refreshes = host->refreshes_next;
    host->refreshes_next = NULL;
    news_refused(news, weft__registry_list(&host->registry_at, news_done, news));
}

void weft__weftd_refresh(struct weft_host *host, weft_refreshed *done, void *ctx)
{
    struct weft_refresh *one = weft__must_alloc(1, sizeof(*one));
    one->done = done;
    one->ctx = ctx;
    LL_APPEND(host->refreshes_next, one);
    if (!host->refreshing)
        refresh_start(host);
}

static int join_once(struct weft_host *host, struct weft_registry_reply *reply_out)
{
    struct weft_registry_host self;
    self_describe(host, &self);
    host->beat_sent_ns = weft__now_ns();
    return weft__registry_join_wait(&host->registry_at, &self, reply_out);
}

int weft__weftd_join(struct weft_host *host)
{
    struct weft_registry_reply reply;
    uint64_t deadline = weft__now_ns() + JOIN_WAIT_MS * WEFT_NS_PER_MS;
    int err;
    while ((err = join_once(host, &reply)) != WEFT_OK &&
           (err == WEFT_EREGISTRY || err == WEFT_EEXIST) && weft__now_ns() < deadline)
        (void)usleep(
            JOIN_RETRY_US); /* the head may be starting, a predecessor of our name may be dying */
    if (err == WEFT_EREGISTRY)
        return weft_fail(err, "cannot reach the registry at %s within %d s; is the head running?",
                         host->registry_control, JOIN_WAIT_MS / 1000);
    if (err != WEFT_OK)
        return err;
    tell_epoch(host, reply.epoch);
    host->epoch = reply.epoch;
    host->registry_log = reply.log;
    host->registry_dead_ms = reply.dead_ms;
    answered(host);
    host->beat_timer.fire = beat_fired;
    host->watch_timer.fire = watch_fired;
    weft__loop_timer(host->asker.loop, &host->beat_timer, weft__now_ns());
    watch_start(host);
    return WEFT_OK;
}

void weft__weftd_leave(struct weft_host *host)
{
    struct weft_registry_at at = host->registry_at;
    at.timeout_ms = 1000;
    int err = weft__registry_leave_wait(&at, host->name, host->incarnation);
    if (err != WEFT_OK)
        weft__info("left without the registry's knowledge: %s", weft_fail_text(err));
}
