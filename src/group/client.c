/* A process's connection to the group service of its host: groups made and ended, members opened,
 * and the thread that says that the process lives.
 *
 * Every call carries a number, so the host recognizes one that comes again: calls are sent again by
 * the control client when the connection breaks, for as long as its members live without a sign of
 * life. The host ends a wait, because it alone knows what
 * came first, the deadline or what was waited for; the call itself is given some time more.
 */
#include "group/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "control/client.h"
#include "group/client_parts.h"
#include "group/group.h"
#include "weft/error.h"
#include "wire/message.h"

enum { BEAT_MS = 500, BEAT_TIMEOUT_MS = 1000, GRACE_MS = 5000, BYE_MS = 500 };

int weft__group_ask(const struct weft_groups *groups, uint16_t code, Weft__Group__Call *request,
                    const ProtobufCMessageDescriptor *reply_type, ProtobufCMessage **reply_out)
{
    const uint32_t most = UINT32_MAX - GRACE_MS;
    if (request->wait_ms > most)
        request->wait_ms = most;
    request->session = groups->session;
    struct weft_client_call call = {.url = groups->url,
                                    .code = code,
                                    .request = &request->base,
                                    .reply_type = reply_type,
                                    .timeout_ms = request->wait_ms + GRACE_MS,
                                    .lost_ms = groups->dead_ms,
                                    .flags = code != WEFT_GROUP_SEND ? WEFT_CLIENT_IDEMPOTENT : 0};
    return weft__client_wait(groups->client, &call, reply_out);
}

/* ---- signs of life ---- */

/* Returns when to beat next, in ms. */
static uint32_t beat(const struct weft_groups *groups, bool ends)
{
    Weft__Group__Beat request = WEFT__GROUP__BEAT__INIT;
    ProtobufCMessage *reply = NULL;
    uint32_t beat_ms = BEAT_MS;
    request.session = groups->session;
    request.ends = ends;
    struct weft_client_call call = {.url = groups->url,
                                    .code = WEFT_GROUP_BEAT,
                                    .request = &request.base,
                                    .reply_type = &weft__group__beat_reply__descriptor,
                                    .timeout_ms = ends ? BYE_MS : BEAT_TIMEOUT_MS};
    if (weft__client_wait(groups->client, &call, &reply) != WEFT_OK)
        return beat_ms / 4;
    if (((const Weft__Group__BeatReply *)reply)->beat_ms > 0)
        beat_ms = ((const Weft__Group__BeatReply *)reply)->beat_ms;
    weft__message_free(reply);
    return beat_ms;
}

static void *beat_on(void *arg)
{
    struct weft_groups *groups = arg;
    pthread_mutex_lock(&groups->lock);
    while (!groups->stop) {
        pthread_mutex_unlock(&groups->lock);
        uint64_t next_ns = weft__now_ns() + beat(groups, false) * WEFT_NS_PER_MS;
        struct timespec at = {.tv_sec = (time_t)(next_ns / WEFT_NS_PER_S),
                              .tv_nsec = (long)(next_ns % WEFT_NS_PER_S)};
        pthread_mutex_lock(&groups->lock);
        while (!groups->stop &&
               pthread_cond_timedwait(&groups->wake, &groups->lock, &at) != ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&groups->lock);
    return NULL;
}

static int start_thread(struct weft_groups *groups)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&groups->lock, NULL);
    pthread_cond_init(&groups->wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&groups->thread, NULL, beat_on, groups);
    if (err == 0)
        return WEFT_OK;
    pthread_cond_destroy(&groups->wake);
    pthread_mutex_destroy(&groups->lock);
    return weft_fail(-err, "cannot start the thread that beats: %s", strerror(err));
}

int weft__groups_open(const struct weft_groups_desc *desc, struct weft_groups **groups_out)
{
    struct weft_groups *groups = calloc(1, sizeof(*groups));
    if (groups == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a connection to the group service");
    groups->dead_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS");
    snprintf(groups->url, sizeof(groups->url), "%s", desc->url);
    snprintf(groups->async_url, sizeof(groups->async_url), "%s", desc->async_url);
    int err = WEFT_OK;
    if (getrandom(&groups->session, sizeof(groups->session), 0) != sizeof(groups->session))
        err = weft_fail(WEFT_EIO, "no random number from the system");
    if (err == WEFT_OK)
        err =
            weft__client_open(&(struct weft_client_desc){.scheme = desc->scheme}, &groups->client);
    if (err == WEFT_OK)
        err = start_thread(groups);
    if (err != WEFT_OK) {
        weft__client_close(groups->client);
        free(groups);
        return err;
    }
    *groups_out = groups;
    return WEFT_OK;
}

void weft_groups_close(struct weft_groups *groups)
{
    if (groups == NULL)
        return;
    pthread_mutex_lock(&groups->lock);
    groups->stop = true;
    pthread_cond_signal(&groups->wake);
    pthread_mutex_unlock(&groups->lock);
    pthread_join(groups->thread, NULL);
    (void)beat(groups, true);
    weft__client_close(groups->client);
    pthread_cond_destroy(&groups->wake);
    pthread_mutex_destroy(&groups->lock);
    free(groups);
}

/* ---- groups ---- */

/* Index of a name in names[0..*n); appends it where it is new. */
static uint32_t name_index(const char **names, size_t *n, const char *name)
{
    for (size_t i = *n; i-- > 0;) {
        if (strcmp(names[i], name) == 0)
            return (uint32_t)i;
    }
    names[*n] = name;
    return (uint32_t)(*n)++;
}

/* Errors: as weft_group_create(). */
static int create(const struct weft_groups *groups, const struct weft_group_desc *desc, uint64_t id,
                  const char **names)
{
    Weft__Group__Create request = WEFT__GROUP__CREATE__INIT;
    uint32_t *host_of = calloc(desc->members, sizeof(*host_of));
    if (host_of == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a group of %u members", desc->members);
    request.session = groups->session;
    request.group = id;
    request.members = desc->members;
    request.wait_ms =
        desc->timeout_ms < UINT32_MAX - GRACE_MS ? desc->timeout_ms : UINT32_MAX - GRACE_MS;
    if (desc->hosts != NULL) {
        for (uint32_t i = 0; i < desc->members; i++)
            host_of[i] = name_index(names, &request.n_hosts, desc->hosts[i]);
        request.hosts = (char **)names;
        request.n_host_of = desc->members;
        request.host_of = host_of;
    }
    struct weft_client_call call = {.url = groups->url,
                                    .code = WEFT_GROUP_CREATE,
                                    .request = &request.base,
                                    .timeout_ms = request.wait_ms + GRACE_MS,
                                    .lost_ms = groups->dead_ms,
                                    .flags = WEFT_CLIENT_IDEMPOTENT};
    int err = weft__client_wait(groups->client, &call, NULL);
    free(host_of);
    return err;
}

int weft_group_create(struct weft_groups *groups, const struct weft_group_desc *desc,
                      uint64_t *id_out)
{
    uint64_t id = desc->id;
    if (desc->members == 0 || desc->members > WEFT_GROUP_MEMBERS_MAX)
        return weft_fail(WEFT_EINVAL, "a group of %u members; 1 to %u are possible", desc->members,
                         WEFT_GROUP_MEMBERS_MAX);
    while (id == 0)
        if (getrandom(&id, sizeof(id), 0) != sizeof(id))
            return weft_fail(WEFT_EIO, "no random number from the system");
    const char **names = calloc(desc->members, sizeof(const char *));
    if (names == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a group of %u members", desc->members);
    int err = create(groups, desc, id, names);
    free(names);
    if (err == WEFT_OK)
        *id_out = id;
    return err;
}

int weft_group_delete(struct weft_groups *groups, uint64_t id, uint32_t timeout_ms)
{
    Weft__Group__Call request = WEFT__GROUP__CALL__INIT;
    request.group = id;
    request.member = UINT32_MAX; /* none */
    request.wait_ms = timeout_ms;
    return weft__group_ask(groups, WEFT_GROUP_DELETE, &request, NULL, NULL);
}

/* ---- members ---- */

/* Enters the member among the open ones.  Errors: WEFT_EBUSY it is there. */
static int enter(struct weft_group *group)
{
    struct weft_groups *groups = group->groups;
    const struct weft_group *other = NULL;
    pthread_mutex_lock(&groups->lock);
    LL_FOREACH(groups->open, other)
    if (other->id == group->id && other->member == group->member)
        break;
    if (other == NULL)
        LL_PREPEND(groups->open, group);
    pthread_mutex_unlock(&groups->lock);
    return other == NULL
               ? WEFT_OK
               : weft_fail(WEFT_EBUSY, "member %u of group %016llx is open in this process",
                           group->member, (unsigned long long)group->id);
}

static void leave(struct weft_group *group)
{
    pthread_mutex_lock(&group->groups->lock);
    LL_DELETE(group->groups->open, group);
    pthread_mutex_unlock(&group->groups->lock);
}

static struct weft_group *group_new(struct weft_groups *groups, uint64_t id, uint32_t member)
{
    pthread_condattr_t attr;
    struct weft_group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->groups = groups;
    group->id = id;
    group->member = member;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->wake, &attr);
    pthread_condattr_destroy(&attr);
    return group;
}

static void group_free(struct weft_group *group)
{
    weft__message_free((ProtobufCMessage *)group->known);
    weft__group_pairs_free(group->to);
    weft__group_pairs_free(group->from);
    pthread_cond_destroy(&group->wake);
    pthread_mutex_destroy(&group->lock);
    free(group);
}

/* What the host says about the group, looked at before it is believed. */
static int known_check(const Weft__Group__Known *known, uint32_t member)
{
    const Weft__Group__Roster *roster = known->roster;
    bool good = roster != NULL && member < roster->n_host_of;
    for (size_t i = 0; good && i < roster->n_host_of; i++)
        good = roster->host_of[i] < roster->n_hosts;
    return good ? WEFT_OK : weft_fail(WEFT_EPROTO, "the host's answer names no hosts");
}

int weft_group_open(struct weft_groups *groups, uint64_t id, uint32_t member, uint32_t timeout_ms,
                    struct weft_group **group_out)
{
    ProtobufCMessage *reply = NULL;
    struct weft_group *group = group_new(groups, id, member);
    if (group == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a member of a group");
    int err = enter(group);
    if (err != WEFT_OK) {
        group_free(group);
        return err;
    }
    Weft__Group__Call request = weft__group_request(group);
    request.wait_ms = timeout_ms;
    err =
        weft__group_ask(groups, WEFT_GROUP_OPEN, &request, &weft__group__known__descriptor, &reply);
    group->known = (Weft__Group__Known *)reply;
    if (err == WEFT_OK)
        err = known_check(group->known, member);
    if (err == WEFT_OK) {
        *group_out = group;
    } else {
        leave(group);
        group_free(group);
    }
    return err;
}

void weft_group_leave(struct weft_group *group)
{
    if (group == NULL)
        return;
    Weft__Group__Call request = weft__group_request(group);
    (void)weft__group_ask(group->groups, WEFT_GROUP_LEAVE, &request, NULL, NULL);
    leave(group);
    group_free(group);
}

Weft__Group__Call weft__group_request(const struct weft_group *group)
{
    Weft__Group__Call request = WEFT__GROUP__CALL__INIT;
    request.group = group->id;
    request.member = group->member;
    return request;
}

uint64_t weft_group_id(const struct weft_group *group)
{
    return group->id;
}

uint32_t weft_group_member(const struct weft_group *group)
{
    return group->member;
}

uint32_t weft_group_size(const struct weft_group *group)
{
    return (uint32_t)group->known->roster->n_host_of;
}

const char *weft_group_host_of(const struct weft_group *group, uint32_t member)
{
    const Weft__Group__Roster *roster = group->known->roster;
    return member < roster->n_host_of ? roster->hosts[roster->host_of[member]]->name : NULL;
}
