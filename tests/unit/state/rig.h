/* A registry and two hosts with a state service each, in this process, over real sockets; and
 * clients of them. Hosts die and start anew when a test says so. */
#ifndef TESTS_UNIT_STATE_RIG_H
#define TESTS_UNIT_STATE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "control/client.h"
#include "control/server.h"
#include "link/lane.h"
#include "registry/client.h"
#include "registry/service.h"
#include "state/client.h"
#include "state/server.h"
#include "weft/error.h"

enum { RIG_HOSTS = 2, RIG_DEAD_MS = 60000 };

struct rig_host {
    const char *name;
    uint64_t incarnation;
    struct weft_client *client; /* the host's own */
    struct weft_registry_at registry_at;
    struct weft_state_server *state;
    struct weft_server *server;
    struct weft_lane *lane;
    char url[64], async_url[64];
    uint16_t port, async_port; /* stay the same over restarts */
};

struct rig {
    char folder[64], log[80], registry_url[64];
    struct weft_registry *registry;
    struct weft_server *registry_server;
    struct rig_host hosts[RIG_HOSTS];
    struct weft_client *client;
    struct weft_lane *lane;   /* the clients' */
    struct weft_state *a, *b; /* processes on the one host and on the other */
};

/* The lanes' scheme; NULL: no lanes, bytes go by message. */
extern const char *rig_scheme;
extern uint64_t rig_memory;     /* of each host; 0: the default */
extern uint32_t rig_timeout_ms; /* of the clients */

/* What the control plane goes over; NULL: zmq. */
struct rig_control {
    const char *servers; /* of the hosts' state services */
    const char *hosts;   /* of the hosts' questions to the registry, which is over plain */
    const char *plain;   /* what those have in common: "inproc" or "zmq" */
};
extern struct rig_control rig_control;

int rig_open(void **state);
int rig_close(void **state);
/* Ends a host as kill -9 would, as far as others can tell; the registry still lists it as alive. */
void rig_host_kill(struct rig_host *host);
/* It starts anew with another incarnation. */
void rig_host_start(struct rig *rig, struct rig_host *host);
/* The registry lists it as left. */
void rig_host_forget(struct rig *rig, struct rig_host *host);
/* Another process on a host; weft_state_close. */
struct weft_state *rig_process(struct rig *rig, struct rig_host *host);
/* The same with a client of its own. */
struct weft_state *rig_process_over(struct rig *rig, struct rig_host *host,
                                    struct weft_client *client);
struct weft_state_stats rig_stats(struct weft_state *state);

#endif
