/* The call codes of the services "function" (weftd) and "app" (weft-app); their bodies are in
 * wire/host.proto. Those of forks are in exec/fork_calls.h. */
#ifndef WEFT_HOST_CALLS_H
#define WEFT_HOST_CALLS_H

enum weft_host_call {
    /* from clients */
    WEFT_CALL_PING = 0x0100,
    WEFT_CALL_RUN,
    WEFT_CALL_WAIT,
    WEFT_CALL_KILL,
    WEFT_CALL_APPS,
    WEFT_CALL_MIGRATE,
    WEFT_CALL_INFO,
    WEFT_CALL_DRAIN,
    /* between hosts */
    WEFT_CALL_LEASE,
    WEFT_CALL_LEASE_COMMIT,
    WEFT_CALL_LEASE_END,
    WEFT_CALL_LAUNCH,
    WEFT_CALL_END,
    WEFT_CALL_BEAT,
    WEFT_CALL_OUTPUT,
    WEFT_CALL_PROCESS_EXIT,
    /* from app processes to the home */
    WEFT_CALL_RANK_EXIT,
    WEFT_CALL_ROUTE_WANTED,
    WEFT_CALL_MOVE, /* also from the home to app processes */
    WEFT_CALL_TRAFFIC = 0x0170,
    WEFT_CALL_LEASE_LEAVE, /* from the home to hosts, */
    WEFT_CALL_HAND_OVER,   /* and this */
    /* standard input: from clients; from app processes */
    WEFT_CALL_INPUT = 0x0178,
    WEFT_CALL_INPUT_TAKE,
    /* from the home to app processes */
    WEFT_CALL_ROUTES = 0x0180,
    WEFT_CALL_START,
    WEFT_CALL_STATS,
    /* from clients, about a rank and straight to it */
    WEFT_CALL_FIND_RANK = 0x01a0, /* to the home */
    WEFT_CALL_EXECUTE,            /* to the app process */
    /* from clients, to weftd and app processes: no request -> weft.stats.ServicesReply */
    WEFT_CALL_SERVICES = 0x01b0,
    /* frozen apps: from clients; from the home to app processes; from these to the home */
    WEFT_CALL_FREEZE_APP = 0x01e0,
    WEFT_CALL_THAW_APP,
    WEFT_CALL_FREEZE_ORDER,
    WEFT_CALL_FREEZE_ANSWER,
    /* wire/events.proto: from clients to weftd; from app processes to theirs */
    WEFT_CALL_EVENTS = 0x01d0,
    WEFT_CALL_EVENTS_TELL
};

#define WEFT_APP_RANKS_MAX 65536u

/* Where the ports of a weftd lie in its range: each service's sync port, then its async port. */
enum weft_host_port {
    WEFT_PORT_SYNC,
    WEFT_PORT_ASYNC,
    WEFT_PORT_REGISTRY,
    WEFT_PORT_REGISTRY_ASYNC,
    WEFT_PORT_STATE,
    WEFT_PORT_STATE_ASYNC,
    WEFT_PORT_SNAPSHOT,
    WEFT_PORT_SNAPSHOT_ASYNC,
    WEFT_PORT_GROUP,
    WEFT_PORT_GROUP_ASYNC,
    WEFT_PORT_APPS
};

#endif
