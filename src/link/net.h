/* The addresses of this machine, and which of them data may use (WEFT_NET). */
#ifndef WEFT_LINK_NET_H
#define WEFT_LINK_NET_H

#include <ifaddrs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define WEFT_NET_ADDRESSES 4u
#define WEFT_NET_ADDRESS_MAX 64u

struct weft__net {
    unsigned n;
    char address[WEFT_NET_ADDRESSES][WEFT_NET_ADDRESS_MAX]; /* in order of preference */
    unsigned word[WEFT_NET_ADDRESSES]; /* of the setting, which has named the address; from 0 */
};

/* setting: names of interfaces, addresses and ranges of them ("eth1,10.0.0.0/8"), in order of
 * preference, and of one word's addresses those of the interface that is nearest to this process
 * first (link/nics.h); empty, or bind is no numeric address: bind alone. Takes those of bind's
 * family on interfaces that are up; report (NULL: none) gets a line for each address that was
 * looked at and not taken.  Errors: WEFT_EADDRNOTAVAIL none fits; WEFT_EINVAL a range that makes no
 * sense. */
int weft__net_choose(const char *setting, const char *bind, FILE *report,
                     struct weft__net *net_out);
/* Whether an interface of this machine has the address.  false: also what is no numeric address. */
bool weft__net_is_ours(const char *address);
/* Whether a numeric address is this one of an interface's. */
bool weft__net_is_at(const struct ifaddrs *at, const char *address);
/* A number for this machine, and this network namespace of it: who has the same number has the same
 * interfaces. Never 0. */
uint64_t weft__net_machine(void);

#endif
