/* Several endpoints that lead to the same peers, as one: when a path to a peer breaks, what is
 * under way there fails with damage PEER as ever, and who adds the peer again gets the next path
 * that both ends have. */
#ifndef WEFT_LINK_PATHS_H
#define WEFT_LINK_PATHS_H

#include "transport/spi.h"

struct weft_paths;

/* Nothing is open yet. desc: handlers, ctx; salt: a secret that both ends have. */
int weft__paths_new(const struct weft_tp_open *desc, uint64_t salt, struct weft_paths **paths_out);
/* What the next endpoint is to be opened with in place of the owner's handlers and ctx. */
void weft__paths_hooks(struct weft_paths *paths, struct weft_tp_open *open);
/* Takes the endpoint that was opened with the hooks, as the one to be used last. All but the one
 * in front must be those of weft__shim_open(). Errors: there is no room; it is closed. */
int weft__paths_take(struct weft_paths *paths, struct weft_tp_ep *ep);
/* Puts the one that was taken last in front of all others. */
void weft__paths_prefer_last(struct weft_paths *paths);
struct weft_tp_ep *weft__paths_ep(const struct weft_paths *paths, unsigned path);
/* All of them as one endpoint, from now on; closing it closes all. It has the families msg and rma.
 * Its addresses are made by weft__address_pack(). */
int weft__paths_start(struct weft_paths *paths, struct weft_tp_ep **ep_out);
/* Closes what was taken, before start. */
void weft__paths_free(struct weft_paths *paths);

/* The owner has lost the peer in another way than by peer_lost: it counts as one. */
void weft__paths_leave(struct weft_tp_ep *ep, struct weft_tp_peer peer);

#endif
