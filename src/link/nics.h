/* The network interfaces of this machine, and how near they are to this process. */
#ifndef WEFT_LINK_NICS_H
#define WEFT_LINK_NICS_H

#include <stdint.h>

#define WEFT_NIC_NAME_MAX 32u
#define WEFT_NIC_FAR UINT32_MAX

struct weft__nic {
    char name[WEFT_NIC_NAME_MAX]; /* of the interface that has the address, "eth1"; empty: none */
    int32_t node;      /* NUMA node of its card, as the system numbers it; -1: none is told, as of
                          every interface that is no card's */
    uint32_t distance; /* from there to the nearest of this process's CPUs, 10: the same node;
                          WEFT_NIC_FAR: not known */
};

/* What is known of the interface with a numeric address. What is not known stays empty, -1 and
 * WEFT_NIC_FAR.  Thread: any.  Blocks: the first time while hwloc looks at the machine, tens of
 * milliseconds. */
void weft__nic_find(const char *address, struct weft__nic *nic_out);

/* The numbers 0 to n - 1 in the order in which to use the interfaces: those of a lower group first
 * (the user's order), of a group the nearest, and of equally near ones as they came.  groups NULL:
 * they are all of one. */
void weft__nics_order(const struct weft__nic *nics, const unsigned *groups, unsigned n,
                      unsigned *order_out);

#endif
