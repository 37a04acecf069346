/* Hosts that serve groups, in one process: real servers and clients on ports of the system's
 * choice. No registry: the rig tells the hosts of each other. */
#ifndef TESTS_UNIT_GROUP_RIG_H
#define TESTS_UNIT_GROUP_RIG_H

#include <stdint.h>

#include "control/client.h"
#include "control/server.h"
#include "group/coord.h"
#include "group/service.h"
#include "weft/group.h"

enum { RIG_HOSTS = 3, RIG_MEMBERS = 8, RIG_SOON_MS = 60000 };

struct rig_host {
    struct weft_coord_peer self;
    struct weft_client *client;
    struct weft_group_service *service;
    struct weft_server *server;
    char url[64]; /* of the sync port */
    struct weft_groups *groups;
};

struct rig {
    struct rig_host hosts[RIG_HOSTS]; /* "a", "b", "c" */
    uint64_t id;
    uint32_t n;
    struct weft_group *members[RIG_MEMBERS];
};

/* setup and teardown of a test; *state is the rig. */
int rig_open(void **state);
int rig_close(void **state);
/* The same with other transports, between hosts and between members and hosts. */
struct rig *rig_open_over(const char *hosts, const char *members);
/* Tells all hosts that those whose bit is set live. */
void rig_hosts(struct rig *rig, unsigned alive);
/* A group of n members, one letter each: the host that it is on; all members are opened. */
void rig_group(struct rig *rig, const char *hosts);
void rig_leave(struct rig *rig);
/* Runs it for all members at once, each in a thread; fails the test where one returns an error. */
void rig_all(struct rig *rig, int (*run)(struct rig *rig, struct weft_group *group));

#endif
