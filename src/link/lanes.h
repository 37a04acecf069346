/* The lanes of a process: one, or up to WEFT_LANES_MAX that different threads drive at a time.
 *
 * Lane i of a process talks to lane i of every other; a pair of ranks always uses the same one, so
 * its messages stay in order. Lanes lie on different interfaces of WEFT_NET where it names several,
 * the nearest first; the other process need not have as many. Connections are made on first use and
 * grow with processes x lanes, never with ranks. All processes of an app have the same number of
 * lanes.
 */
#ifndef WEFT_LINK_LANES_H
#define WEFT_LINK_LANES_H

#include <stdint.h>

#include "link/lane.h"

#define WEFT_LANES_MAX 4u
#define WEFT_LANES_ADDRESS_MAX 2048 /* of all lanes of a process, with its NUL */

struct weft_lanes {
    unsigned n;
    struct weft_lane *lane[WEFT_LANES_MAX];
    char address[WEFT_LANES_ADDRESS_MAX]; /* those of all lanes */
};

/* A process, as a peer of each lane. */
struct weft_lanes_peer {
    struct weft_lane_peer of[WEFT_LANES_MAX];
};

/* n: how many; 0: WEFT_LANES. What the lanes keep for all peers together is divided: posted
 * receives among them, kept registrations among their interfaces. lanes_out is also their group
 * (struct weft_tp_open): no other lanes are opened at the same place while these are open.
 * Callbacks run on several threads at a time where n > 1. Errors: those of weft__lane_open;
 * WEFT_EINVAL too many, or lanes that nobody would drive; nothing is open then. */
int weft__lanes_open(const struct weft_lane_desc *desc, unsigned n, struct weft_lanes *lanes_out);
/* As weft__lane_close; no callback of one lane meets another that is gone.  A zeroed one is fine.
 */
void weft__lanes_close(struct weft_lanes *lanes);
/* How many lanes the process with this address has. */
unsigned weft__lanes_count(const char *address);
/* Errors: those of weft__lane_peer; WEFT_EINVAL the other process has another number of lanes. */
int weft__lanes_peer(struct weft_lanes *lanes, const char *address,
                     struct weft_lanes_peer *peer_out);

/* For all lanes what the functions of link/lane.h do for one. */
int weft__lanes_drive(struct weft_lanes *lanes);
void weft__lanes_leave(struct weft_lanes *lanes);
void weft__lanes_kick(struct weft_lanes *lanes, const _Atomic uint32_t *word);
void weft__lanes_drop(struct weft_lanes *lanes, const struct weft_lanes_peer *peer);
/* Of each lane: room for WEFT_LANES_MAX. */
void weft__lanes_each(const struct weft_lanes *lanes, struct weft_lane_stats *each_out);
/* Sums; peers are counted once, and so are the registrations of lanes that share them. */
void weft__lanes_stats(const struct weft_lanes *lanes, struct weft_lane_stats *stats_out);
/* As weft__lane_wait on one lane, while the others go over to their progress threads. */
int weft__lanes_wait(struct weft_lanes *lanes, unsigned which, const _Atomic uint32_t *word,
                     uint32_t seen, uint64_t deadline_ns);

/* The lane of a pair of ranks, whoever of the two asks. */
static inline unsigned weft__lanes_of_pair(const struct weft_lanes *lanes, int32_t a, int32_t b)
{
    if (lanes->n <= 1)
        return 0;
    uint32_t low = (uint32_t)(a < b ? a : b), high = (uint32_t)(a < b ? b : a);
    uint32_t mixed = low * 0x9e3779b1u ^ high * 0x85ebca6bu;
    mixed = (mixed ^ mixed >> 15) * 0x2c1b3c6du;
    return (mixed >> 16) % lanes->n;
}

#endif
