/* A lane's address as text: "MACHINE/NAME@BIND;HEX,NAME@BIND;HEX": one entry for each path that
 * leads to it, the one to be used first in front. NAME is what both ends must have alike
 * ("ofi:verbs;ofi_rxm", "tcp+shim"), BIND the address of the interface, HEX the transport's own
 * address, which only the transport reads. MACHINE (16 hex digits) and BIND may be missing. */
#ifndef WEFT_LINK_ADDRESS_H
#define WEFT_LINK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "link/lane.h"
#include "transport/spi.h"

#define WEFT_ADDRESS_PATHS 3u
#define WEFT_ADDRESS_ROUTES 6u
#define WEFT_ADDRESS_BETWEEN '|' /* the addresses of a process's lanes */

struct weft__address_path {
    char name[32];
    char bind[64]; /* empty: not told */
    struct weft_tp_addr addr;
};

struct weft__address {
    uint64_t machine; /* weft__net_machine(); 0: not told */
    unsigned n;
    struct weft__address_path paths[WEFT_ADDRESS_PATHS];
};

/* A path of ours to one of theirs, by their numbers. */
struct weft__address_route {
    unsigned ours, theirs;
    struct weft_tp_addr addr;
};

struct weft__address_routes {
    unsigned n;
    struct weft__address_route route[WEFT_ADDRESS_ROUTES];
};

/* Errors: WEFT_ENOSPC the text would be too long. */
int weft__address_format(const struct weft__address *address, char text_out[WEFT_LANE_ADDRESS_MAX]);
/* Errors: WEFT_EINVAL malformed. */
int weft__address_parse(const char *text, struct weft__address *address_out);
/* Which path of ours may lead to which of theirs, the one to be tried first in front: of each name
 * the k-th to the k-th, and after these every other pair of a name, for hosts that have not the
 * same interfaces. An address that both machines own (that of docker0, which is the same
 * everywhere) leads nowhere.  Errors: none leads anywhere: WEFT_ENOTSUP no name in common;
 * WEFT_EADDRNOTAVAIL it is for addresses that both own. The text says why. */
int weft__address_pair(const struct weft__address *ours, const struct weft__address *theirs,
                       struct weft__address_routes *out);
/* The address of a peer of several paths (link/paths.h): the routes to it, the one to be tried
 * first in front; the last ones are left out where all of them do not fit. Errors: WEFT_ENOSPC
 * there is no room for any. */
int weft__address_pack(const struct weft__address_routes *routes, struct weft_tp_addr *addr_out);
/* The names alone: "ofi:net,tcp+shim". */
void weft__address_names(const struct weft__address *address, char *text_out, size_t size);
/* Whether two processes with these addresses of lanes have a name in common. */
bool weft__address_meet(const char *a, const char *b);

#endif
