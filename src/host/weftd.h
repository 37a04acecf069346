/* The state of one weftd: itself, its slots, the other hosts, the guests (apps of whatever home
 * that have a lease or a process here) and the apps at home here (weftd_app.h).
 *
 * Private to src/host/weftd*.c. Everything here belongs to the owner thread (host->asker.loop), and
 * every function is called there and does not block, where nothing else is said. Handlers
 * (weft__weftd_on_...) own their call and answer it exactly once, now or later; the answer comes
 * last, because the request goes with it.
 */
#ifndef WEFT_HOST_WEFTD_H
#define WEFT_HOST_WEFTD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/events.h"
#include "host/ask.h"
#include "host/loop.h"
#include "host/weftd_counts.h"
#include "host/weftd_snapshot.h"
#include "plan/lease.h"
#include "plan/move.h"
#include "plan/placements.h"
#include "registry/client.h"
#include "weft/error.h"
#include "weft/host.h"
#include "wire/host.pb-c.h"

#define WEFT_HOST_NAME_MAX WEFT_REGISTRY_NAME_MAX
#define WEFT_URL_MAX WEFT_REGISTRY_URL_MAX

struct weft_server;
struct weft_registry;
struct weft_process;
struct weft_guest;
struct weft_app;
struct weft_probe;
struct weft_refresh;
struct weft_group_service;
struct weft_data;
struct weft_state_server;
struct weft_snapshot_service;
struct weft_host_store;

/* function, registry, state, snapshot, group */
#define WEFT_HOST_SERVICES_MAX 5

/* A host of the cluster, as the registry last told it. */
struct weft_member {
    struct weft_registry_host at;
    uint64_t epoch;         /* of the list that it was last in */
    uint64_t missing_epoch; /* of the first list without it, */
    uint64_t missing_ns;    /* and when that came */
    uint64_t freed_wall_ms; /* when its use was last seen to go down */
};

#define WEFT_ADOPTIONS_MAX 64

struct weft_adoption;
struct weft_recovery;
/* Frozen apps that are being taken over; weftd_adopt.c's. */
struct weft_adoptions {
    struct weft_adoption *at[WEFT_ADOPTIONS_MAX];
    size_t n;
    struct weft_recovery *recovery; /* NULL: all that an earlier weftd left has been looked at */
};

/* The processes that ended here last: whoever asks for the end of one again is answered the same.
 */
#define WEFT_ENDED_MAX 256
struct weft_ended {
    struct {
        uint64_t app;
        bool output_lost;
    } at[WEFT_ENDED_MAX];
    size_t n; /* all there ever were */
};

struct weft_host {
    struct weft_asker asker;
    struct weft_server *server;
    struct weft_events events;   /* weftd_events.h */
    struct weft_events messages; /* traced ones; a ring of their own, made with the first one */
    struct weft_event_file *event_file; /* NULL: none */
    struct weft_counts counts;
    const char *service_names[WEFT_HOST_SERVICES_MAX]; /* in the server's order */
    size_t services_n;
    struct weft_state_server *state;
    struct weft_group_service *groups;
    uint64_t groups_revision; /* of the newest list of hosts that it was told */
    struct weft_data *data;   /* our lane, if anybody has needed it */
    struct weft_snapshot_service *snapshots;
    struct weft_snapshot_how snapshot_how; /* as it was when the host started */
    struct weft_host_store *store;         /* NULL: nothing has been frozen here yet */
    struct weft_registry *registry;        /* NULL: kept by another host */
    char name[WEFT_HOST_NAME_MAX];
    char address[WEFT_REGISTRY_ADDRESS_MAX];
    char control[WEFT_URL_MAX];          /* url of our sync port */
    char registry_control[WEFT_URL_MAX]; /* url of the registry's sync port */
    char app_program[4096];
    char state_dir[4096];
    bool temporary;
    bool state_dir_is_ours; /* remove it at the end, when it is nobody else's */
    uint16_t port_first, port_last;
    uint64_t incarnation;
    uint64_t cpu;                        /* features that it tells of */
    struct weft_registry_at registry_at; /* its client is NULL once that is closed */

    struct weft_leases leases;
    struct weft_timer lease_timer;

    struct weft_member *members; /* by name */
    size_t members_n;
    uint64_t epoch;
    uint64_t registry_log; /* which log the registry has */
    uint64_t list_revision;
    uint64_t members_revision; /* of the list that members copies */
    bool refreshing;
    struct weft_refresh *refreshes;      /* who waits for the list that is being fetched, */
    struct weft_refresh *refreshes_next; /* and for the one after it */
    struct weft_timer beat_timer, watch_timer;
    uint64_t beat_sent_ns;     /* the newest beat, or join */
    uint32_t registry_dead_ms; /* after which the head declares us dead */
    uint64_t beat_fired_ns;    /* when it was last time to beat */
    bool stood_still;          /* ourselves, for long enough to be dead, since the last answer */
    bool beating;              /* a beat is under way, */
    bool joining;              /* or a join, */
    bool beat_again;           /* and what it says is out of date */

    struct weft_guest *guests; /* hash by app */
    struct weft_timer home_beat_timer;
    struct weft_process *processes; /* of all apps, on this host */
    struct weft_probe *probe;       /* of the transports, under way; NULL: none */

    struct weft_app *apps; /* at home here; hash by id, in order of arrival */
    size_t apps_n;
    struct weft_adoptions adoptions;
    struct weft_ended ended;
    struct weft_placements placements; /* of apps and forks, as they were last; weftd_place.c */
    struct weft_move_params move_params;
    bool leaving;      /* its ranks are to leave it, and no new ones come */
    bool leaves;       /* and when it is empty it ends */
    uint64_t empty_ns; /* since when it is that, if it leaves; 0: it is not */
    struct weft_timer drain_timer;
    bool stopping;
    struct weft_timer stop_timer;
    uint64_t stop_by_ns;
    struct weft_watch signals;
};

/* weftd.c: ends apps and processes, then the daemon. Told twice: at once. */
void weft__weftd_stop(struct weft_host *host);

/* weftd_info.c: what weft info shows, and the transports tried in a process of their own. */
void weft__weftd_on_info(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_probe_fini(struct weft_host *host);
void weft__weftd_on_services(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_member.c: joining, heartbeats, the list of hosts. */
int weft__weftd_join(struct weft_host *host);   /* Blocks: at most 5 s, before the loop runs */
void weft__weftd_leave(struct weft_host *host); /* Blocks: at most 1 s, after the loop has run */
/* NULL: no host of that name is in the list, alive or dead. */
struct weft_member *weft__weftd_member(const struct weft_host *host, const char *name);
/* Fetches the list of hosts with their used slots, then calls done: WEFT_OK, or WEFT_EREGISTRY,
 * WEFT_ESHUTDOWN. The list is never older than the question: those who ask while one is being
 * fetched share the next one. */
typedef void weft_refreshed(void *ctx, int err, const char *text);
void weft__weftd_refresh(struct weft_host *host, weft_refreshed *done, void *ctx);
/* The number of used slots of this host has changed: notes it in the list and tells the head at
 * once. */
void weft__weftd_slots_changed(struct weft_host *host);
/* Whether this host is alive in the list; if not, tells the head at once that it is. */
bool weft__weftd_listed(struct weft_host *host);

/* weftd_drain.c: this host is emptied, and ends. */
void weft__weftd_on_drain(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_slots.c: leases on this host's slots. */
int weft__weftd_slots_init(struct weft_host *host, uint32_t slots);
void weft__weftd_on_lease(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_lease_leave(void *host, struct weft_call *call,
                                const ProtobufCMessage *request);
void weft__weftd_on_lease_commit(void *host, struct weft_call *call,
                                 const ProtobufCMessage *request);
void weft__weftd_on_lease_end(void *host, struct weft_call *call, const ProtobufCMessage *request);
/* Whether the app has a lease on this host. */
bool weft__weftd_lease_of(const struct weft_host *host, uint64_t app);
void weft__weftd_lease_end_app(struct weft_host *host, uint64_t app);

/* weftd_process.c: the app processes on this host. */
void weft__weftd_on_launch(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_end(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_hand_over(void *host, struct weft_call *call, const ProtobufCMessage *request);
/* Whether nothing that processes here have printed is on its way to their homes. */
bool weft__weftd_processes_idle(const struct weft_host *host);
void weft__weftd_process_kill(struct weft_process *process, const char *reason);
/* Kills all; the loop reaps them. The reason that their apps get names this host, and says what it
 * is or was. */
void weft__weftd_processes_end(struct weft_host *host, const char *what);
/* At the end: kills and reaps all.  Blocks: until the kernel has ended them, at most 2 s. */
void weft__weftd_processes_kill(struct weft_host *host);
/* Then, when no answer is under way: frees them. */
void weft__weftd_processes_fini(struct weft_host *host);
size_t weft__weftd_processes_n(const struct weft_host *host);

#endif
