/* The network interfaces of this machine, and how near they are to this process.
 *
 * hwloc knows under which NUMA node a card's PCI device lies, the firmware's table how far that is
 * from the CPUs that the process is bound to. Machines without such a table get the two values that
 * it would have, same node and other node. Interfaces that are no card's (bridges, veth, bonds) and
 * cards that hang on all nodes alike have no node; they come last and are used all the same.
 *
 * hwloc is asked once: looking takes longer than all else that opens a lane, and cards do not move.
 */
#include "link/nics.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hwloc.h>

#include "link/net.h"

#define SAME_NODE 10u
#define OTHER_NODE 20u

static struct {
    pthread_once_t once;
    bool is_loaded;
    hwloc_topology_t topology;
} machine = {.once = PTHREAD_ONCE_INIT};

static void unload(void)
{
    hwloc_topology_destroy(machine.topology);
}

static void load(void)
{
    if (hwloc_topology_init(&machine.topology) != 0)
        return;
    machine.is_loaded = hwloc_topology_set_io_types_filter(machine.topology,
                                                           HWLOC_TYPE_FILTER_KEEP_IMPORTANT) == 0 &&
                        hwloc_topology_load(machine.topology) == 0;
    if (!machine.is_loaded)
        unload();
}

__attribute__((destructor)) static void forget(void)
{
    if (machine.is_loaded)
        unload();
    machine.is_loaded = false;
}

/* The PCI address of the interface's card, as its driver tells: names do not do, since a network
 * namespace has its own, and sysfs may show those of another one. */
static bool bus_of(const char *name, char bus_out[ETHTOOL_BUSINFO_LEN])
{
    struct ethtool_drvinfo about = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq ask = {.ifr_data = (void *)&about};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(ask.ifr_name, sizeof(ask.ifr_name), "%.*s", (int)sizeof(ask.ifr_name) - 1, name);
    bool told = fd >= 0 && ioctl(fd, SIOCETHTOOL, &ask) == 0 && about.bus_info[0] != '\0';
    if (fd >= 0)
        close(fd);
    if (told)
        memcpy(bus_out, about.bus_info, ETHTOOL_BUSINFO_LEN);
    return told;
}

/* The NUMA node under which the interface's card lies, or NULL. */
static hwloc_obj_t node_of(const char *name)
{
    char bus[ETHTOOL_BUSINFO_LEN];
    hwloc_obj_t card =
        bus_of(name, bus) ? hwloc_get_pcidev_by_busidstring(machine.topology, bus) : NULL;
    hwloc_obj_t place = card ? hwloc_get_non_io_ancestor_obj(machine.topology, card) : NULL;
    if (!place || !place->nodeset || hwloc_bitmap_weight(place->nodeset) != 1)
        return NULL;
    return hwloc_get_numanode_obj_by_os_index(machine.topology,
                                              (unsigned)hwloc_bitmap_first(place->nodeset));
}

/* From a node to another, by the firmware's table where there is one. */
static uint32_t between(hwloc_obj_t from, hwloc_obj_t to)
{
    struct hwloc_distances_s *table;
    hwloc_uint64_t there, back;
    unsigned n = 1;
    uint32_t distance = from == to ? SAME_NODE : OTHER_NODE;
    if (hwloc_distances_get_by_type(
            machine.topology, HWLOC_OBJ_NUMANODE, &n, &table,
            HWLOC_DISTANCES_KIND_FROM_OS | HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
        n == 0)
        return distance;
    if (hwloc_distances_obj_pair_values(table, from, to, &there, &back) == 0)
        distance = (uint32_t)there;
    hwloc_distances_release(machine.topology, table);
    return distance;
}

/* To the nearest node of the CPUs that this process may use. */
static uint32_t distance_of(hwloc_obj_t node)
{
    uint32_t nearest = WEFT_NIC_FAR;
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    hwloc_obj_t other = NULL;
    if (!bound)
        return WEFT_NIC_FAR;
    if (hwloc_get_cpubind(machine.topology, bound, HWLOC_CPUBIND_PROCESS) != 0)
        hwloc_bitmap_copy(bound, hwloc_topology_get_allowed_cpuset(machine.topology));
    while ((other = hwloc_get_next_obj_by_type(machine.topology, HWLOC_OBJ_NUMANODE, other))) {
        if (!hwloc_bitmap_intersects(other->cpuset, bound))
            continue;
        uint32_t distance = between(node, other);
        if (distance < nearest)
            nearest = distance;
    }
    hwloc_bitmap_free(bound);
    return nearest;
}

/* The interface with an address. */
static void name_of(const char *address, char name_out[WEFT_NIC_NAME_MAX])
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next)
        if (weft__net_is_at(at, address)) {
            snprintf(name_out, WEFT_NIC_NAME_MAX, "%s", at->ifa_name);
            break;
        }
    freeifaddrs(all);
}

void weft__nic_find(const char *address, struct weft__nic *nic_out)
{
    struct weft__nic nic = {.node = -1, .distance = WEFT_NIC_FAR};
    name_of(address, nic.name);
    if (nic.name[0])
        pthread_once(&machine.once, load);
    hwloc_obj_t node = nic.name[0] && machine.is_loaded ? node_of(nic.name) : NULL;
    if (node) {
        nic.node = (int32_t)node->os_index;
        nic.distance = distance_of(node);
    }
    *nic_out = nic;
}

static bool goes_before(const struct weft__nic *nics, const unsigned *groups, unsigned a,
                        unsigned b)
{
    if (groups && groups[a] != groups[b])
        return groups[a] < groups[b];
    return nics[a].distance < nics[b].distance;
}

void weft__nics_order(const struct weft__nic *nics, const unsigned *groups, unsigned n,
                      unsigned *order_out)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned at = i;
        for (; at > 0 && goes_before(nics, groups, i, order_out[at - 1]); at--)
            order_out[at] = order_out[at - 1];
        order_out[at] = i;
    }
}
