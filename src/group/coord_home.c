/* The home of a group: who is in, who has come, who has the lock.
 *
 * A group starts in two steps: every host of it says that it knows the group, then all are told to
 * begin; so nothing of a group can ever overtake its creation at another host. All that the home
 * says about barriers and deaths goes to every host in one order: a barrier that was complete
 * before a death succeeds for everybody, one that was not fails for everybody. A member that is
 * gone never comes back under its number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group/coord_parts.h"
#include "weft/error.h"
#include "weft/group.h"

void weft__coord_home_free(struct coord_home *home)
{
    if (home == NULL)
        return;
    weft__coord_lock_fini(&home->lock);
    free(home->hosts);
    free(home->members);
    free(home);
}

void weft__coord_creates_answer(struct weft_coord *coord, struct coord_home *home,
                                const struct weft_coord_answer *answer)
{
    for (uint32_t i = 0; i < home->creates_n; i++)
        coord->desc.answer(coord->desc.ctx, home->creates[i], answer);
    home->creates_n = 0;
}

/* Ends the group everywhere; group->home is gone afterwards, and the group may be. */
static void end(struct weft_coord *coord, struct coord_group *group, int err, const char *text)
{
    struct coord_home *home = group->home;
    weft__coord_post_all(
        coord, group,
        (struct weft_coord_item){.kind = WEFT_COORD_END, .group = group->id, .err = err}, false);
    group->home = NULL;
    weft__coord_creates_answer(coord, home, &(struct weft_coord_answer){.err = err, .text = text});
    weft__coord_home_free(home);
    weft__coord_group_fail(coord, group, err, text);
}

/* ---- beginning ---- */

static void begin_if_ready(struct weft_coord *coord, struct coord_group *group)
{
    struct coord_home *home = group->home;
    struct weft_coord_answer answer = {.roster = group->roster};
    for (uint32_t i = 0; i < group->roster->hosts_n; i++) {
        if (!home->hosts[i].ready)
            return;
    }
    if (home->create_by_ns == WEFT_NEVER)
        return;
    home->create_by_ns = WEFT_NEVER;
    weft__coord_post_all(coord, group,
                         (struct weft_coord_item){.kind = WEFT_COORD_START, .group = group->id},
                         false);
    group->started = true;
    weft__coord_creates_answer(coord, home, &answer);
    weft__coord_opens_run(coord, group);
}

static const struct weft_coord_peer *find_host(const struct weft_coord *coord, const char *name)
{
    if (strcmp(name, coord->desc.self.name) == 0)
        return &coord->desc.self;
    for (size_t i = 0; i < coord->hosts_n; i++) {
        if (strcmp(coord->hosts[i].name, name) == 0)
            return &coord->hosts[i];
    }
    return NULL;
}

/* Index of a host in the roster; enters it where it is new. */
static uint32_t enter_host(struct weft_coord_roster *roster, const struct weft_coord_peer *host)
{
    for (uint32_t i = 0; i < roster->hosts_n; i++) {
        if (strcmp(roster->hosts[i].name, host->name) == 0)
            return i;
    }
    roster->hosts[roster->hosts_n] = *host;
    return roster->hosts_n++;
}

/* NULL: it has been refused. */
static struct weft_coord_roster *make_roster(struct weft_coord *coord,
                                             const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    struct weft_coord_roster *roster =
        weft__coord_roster_new(call->group, call->members, (uint32_t)call->hosts_n + 1);
    if (roster == NULL) {
        weft__coord_answer(coord, call->token, WEFT_ENOMEM, NULL);
        return NULL;
    }
    roster->hosts_n = 0;
    roster->home = enter_host(roster, &coord->desc.self);
    for (uint32_t i = 0; call->host_of != NULL && i < call->members; i++) {
        const char *name = call->host_of[i] < call->hosts_n ? call->hosts[call->host_of[i]] : "";
        const struct weft_coord_peer *host = find_host(coord, name);
        if (host == NULL) {
            snprintf(text, sizeof(text),
                     "host '%s' of member %u is not among the live hosts; see weft hosts", name, i);
            weft__coord_answer(coord, call->token, WEFT_EHOSTUNREACH, text);
            weft__coord_roster_put(roster);
            return NULL;
        }
        roster->host_of[i] = enter_host(roster, host);
    }
    return roster;
}

static struct coord_home *home_new(const struct weft_coord_call *call,
                                   const struct weft_coord_roster *roster)
{
    struct coord_home *home = weft__must_alloc(1, sizeof(*home));
    home->creator = call->session;
    home->creates[home->creates_n++] = call->token;
    home->create_by_ns = call->deadline_ns;
    home->idle_since_ns = WEFT_NEVER;
    home->hosts = weft__must_alloc(roster->hosts_n, sizeof(*home->hosts));
    home->members = weft__must_alloc(roster->n, sizeof(*home->members));
    weft__coord_lock_init(&home->lock);
    for (uint32_t i = 0; i < roster->n; i++) {
        home->hosts[roster->host_of[i]].members++;
        home->hosts[roster->host_of[i]].others += i > 0;
    }
    home->hosts[roster->home].ready = true;
    return home;
}

/* The group is there already. A call that comes twice gets the same answer twice, whichever of them
 * somebody listens to. */
static void create_again(struct weft_coord *coord, const struct weft_coord_call *call,
                         struct coord_group *group)
{
    struct coord_home *home = group->home;
    if (home == NULL || home->creator != call->session || group->roster->n != call->members) {
        weft__coord_answer(coord, call->token, WEFT_EEXIST,
                           "there is a group with this id; choose ids at random");
        return;
    }
    if (home->creates_n == COORD_CREATES_MAX) {
        weft__coord_answer(coord, home->creates[0], WEFT_ECANCELED, "asked again");
        memmove(home->creates, home->creates + 1, --home->creates_n * sizeof(*home->creates));
    }
    home->creates[home->creates_n++] = call->token;
    if (home->create_by_ns == WEFT_NEVER)
        weft__coord_creates_answer(coord, home,
                                   &(struct weft_coord_answer){.roster = group->roster});
}

void weft__coord_create(struct weft_coord *coord, const struct weft_coord_call *call)
{
    struct coord_group *group = weft__coord_group(coord, call->group);
    if (group != NULL) {
        create_again(coord, call, group);
        return;
    }
    if (call->group == 0 || call->members == 0 || call->members > WEFT_GROUP_MEMBERS_MAX ||
        call->hosts_n > call->members) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL,
                           "a group has an id and 1 to 4096 members, each on one host");
        return;
    }
    struct weft_coord_roster *roster = make_roster(coord, call);
    if (roster == NULL)
        return;
    group = weft__coord_group_new(coord, roster);
    if (group == NULL) {
        weft__coord_answer(coord, call->token, WEFT_EAGAIN, "too many groups on this host");
        weft__coord_roster_put(roster);
        return;
    }
    group->home = home_new(call, roster);
    weft__coord_by(coord, call->deadline_ns);
    for (uint32_t i = 0; i < roster->hosts_n; i++) {
        if (i == group->self)
            continue;
        roster->refs++;
        weft__coord_post(coord, roster, i,
                         (struct weft_coord_item){
                             .kind = WEFT_COORD_GROUP, .group = roster->id, .roster = roster});
    }
    weft__coord_roster_put(roster);
    begin_if_ready(coord, group);
}

/* ---- coming and going ---- */

static void look_idle(struct weft_coord *coord, struct coord_home *home)
{
    bool idle = home->creator_gone && home->open_n == 0;
    if (!idle)
        home->idle_since_ns = WEFT_NEVER;
    else if (home->idle_since_ns == WEFT_NEVER)
        home->idle_since_ns = coord->now_ns;
    if (idle)
        weft__coord_by(coord, home->idle_since_ns + coord->desc.idle_ns);
}

static void post_grant(struct weft_coord *coord, const struct coord_group *group,
                       const struct weft_coord_grant *grant)
{
    weft__coord_post(coord, group->roster, group->roster->host_of[grant->member],
                     (struct weft_coord_item){.kind = WEFT_COORD_GRANT,
                                              .group = group->id,
                                              .member = grant->member,
                                              .number = grant->number,
                                              .err = grant->err,
                                              .peer = grant->dead});
}

static void member_left(struct weft_coord *coord, struct coord_group *group, uint32_t member,
                        int why, uint64_t notified)
{
    struct coord_home *home = group->home;
    struct weft_coord_grant grant;
    if (home->members[member].gone != 0)
        return;
    home->members[member].gone = why;
    home->gone_n++;
    home->open_n -= home->members[member].open;
    home->members[member].open = false;
    weft__coord_post_all(coord, group,
                         (struct weft_coord_item){.kind = WEFT_COORD_GONE,
                                                  .group = group->id,
                                                  .member = member,
                                                  .err = why,
                                                  .number = notified},
                         true);
    if (weft__coord_lock_bury(&home->lock, member, &grant))
        post_grant(coord, group, &grant);
    look_idle(coord, home);
}

static void end_if_empty(struct weft_coord *coord, struct coord_group *group)
{
    if (group->home->gone_n == group->roster->n)
        end(coord, group, WEFT_ESTALE, "the group has ended: its last member has gone");
}

void weft__coord_home_host_dead(struct weft_coord *coord, struct coord_group *group, uint32_t host)
{
    struct coord_home *home = group->home;
    char text[WEFT_COORD_TEXT_MAX];
    home->hosts[host].dead = true;
    if (home->create_by_ns != WEFT_NEVER) {
        snprintf(text, sizeof(text), "host %s has died while the group was made",
                 group->roster->hosts[host].name);
        end(coord, group, WEFT_EPEERDEAD, text);
        return;
    }
    for (uint32_t i = 0; i < group->roster->n; i++) {
        if (group->roster->host_of[i] == host)
            member_left(coord, group, i, WEFT_EHOSTUNREACH, home->hosts[host].notified);
    }
    end_if_empty(coord, group);
}

void weft__coord_home_session_gone(struct weft_coord *coord, struct coord_group *group,
                                   uint64_t session)
{
    if (group->home->creator != session)
        return;
    group->home->creator_gone = true;
    look_idle(coord, group->home);
}

/* ---- barrier, notify, lock ---- */

static void arrived(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                    uint64_t number)
{
    struct coord_home *home = group->home;
    if (number > home->hosts[host].arrived)
        home->hosts[host].arrived = number;
    for (uint32_t i = 0; i < group->roster->hosts_n; i++) {
        if (home->hosts[i].members > 0 && home->hosts[i].arrived <= home->released)
            return;
    }
    if (home->gone_n > 0)
        return; /* the members have been told */
    home->released++;
    weft__coord_post_all(coord, group,
                         (struct weft_coord_item){.kind = WEFT_COORD_RELEASE,
                                                  .group = group->id,
                                                  .number = home->released},
                         true);
}

static void notifies(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                     uint64_t number)
{
    struct coord_home *home = group->home;
    uint64_t least = UINT64_MAX;
    home->hosts[host].notified = number;
    for (uint32_t i = 0; i < group->roster->hosts_n; i++) {
        if (home->hosts[i].others > 0 && home->hosts[i].notified < least)
            least = home->hosts[i].notified;
    }
    if (least == UINT64_MAX || least <= home->notified)
        return;
    home->notified = least;
    weft__coord_post(
        coord, group->roster, group->roster->host_of[0],
        (struct weft_coord_item){.kind = WEFT_COORD_NOTIFIED, .group = group->id, .number = least});
}

static void lock_item(struct weft_coord *coord, struct coord_group *group,
                      const struct weft_coord_item *item)
{
    struct weft_coord_lock *lock = &group->home->lock;
    struct weft_coord_grant grant;
    bool granted;
    struct weft_coord_wanter wanter = {.member = item->member,
                                       .number = item->number,
                                       .recursive = (item->flags & WEFT_COORD_RECURSIVE) != 0,
                                       .try_only = (item->flags & WEFT_COORD_TRY) != 0};
    if (group->home->members[item->member].gone != 0)
        return;
    if (item->kind == WEFT_COORD_ASK)
        granted = weft__coord_lock_ask(lock, wanter, &grant);
    else if (item->kind == WEFT_COORD_FORGET)
        granted = weft__coord_lock_forget(lock, item->member, item->number, &grant);
    else
        granted = weft__coord_lock_release(lock, item->member, &grant);
    if (granted)
        post_grant(coord, group, &grant);
}

static void member_item(struct weft_coord *coord, struct coord_group *group,
                        const struct weft_coord_item *item)
{
    struct coord_home *home = group->home;
    struct coord_home_member *member = &home->members[item->member];
    if (item->kind == WEFT_COORD_LEFT) {
        member_left(coord, group, item->member, item->err, item->number);
        end_if_empty(coord, group);
    } else if (item->kind != WEFT_COORD_OPENED) {
        lock_item(coord, group, item);
    } else if (!member->open && member->gone == 0) {
        member->open = true;
        home->open_n++;
        look_idle(coord, home);
    }
}

void weft__coord_home_item(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                           const struct weft_coord_item *item)
{
    struct coord_home *home = group->home;
    switch ((enum weft_coord_kind)item->kind) {
    case WEFT_COORD_READY:
        home->hosts[host].ready = true;
        begin_if_ready(coord, group);
        return;
    case WEFT_COORD_ARRIVE:
        arrived(coord, group, host, item->number);
        return;
    case WEFT_COORD_NOTIFIES:
        notifies(coord, group, host, item->number);
        return;
    case WEFT_COORD_ENDS:
        end(coord, group, WEFT_ECANCELED, "the group was deleted");
        return;
    default:
        break;
    }
    if (item->member < group->roster->n && group->roster->host_of[item->member] == host)
        member_item(coord, group, item);
    else
        coord->dropped++;
}

void weft__coord_home_tick(struct weft_coord *coord, struct coord_group *group)
{
    struct coord_home *home = group->home;
    char text[WEFT_COORD_TEXT_MAX];
    if (home->create_by_ns <= coord->now_ns) {
        uint32_t i = 0;
        while (home->hosts[i].ready)
            i++;
        snprintf(text, sizeof(text), "host %s did not answer in time when the group was made",
                 group->roster->hosts[i].name);
        end(coord, group, WEFT_ETIMEDOUT, text);
        return;
    }
    weft__coord_by(coord, home->create_by_ns);
    if (home->idle_since_ns == WEFT_NEVER)
        return;
    if (coord->now_ns >= home->idle_since_ns + coord->desc.idle_ns)
        end(coord, group, WEFT_ECANCELED,
            "the group has ended: its creator has died and nobody had it open");
    else
        weft__coord_by(coord, home->idle_since_ns + coord->desc.idle_ns);
}
