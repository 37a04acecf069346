/* What the registry holds about ranks: one key per rank that moves, its value the owner (process
 * number, incarnation). The key is made by the first compare-and-set; until then the rank is where
 * it was started, with incarnation 1. */
#ifndef WEFT_HOST_KEYS_H
#define WEFT_HOST_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "plan/move.h"
#include "registry/client.h"

#define WEFT_KEY_MAX 64
/* In the place of a rank: the app itself. Its owner is the host that runs it, by a number, or the
 * store (plan/freeze.h), and the epoch in the place of an incarnation. */
#define WEFT_KEY_OF_APP UINT32_MAX

void weft__rank_key(uint64_t app, int32_t rank, char key_out[WEFT_KEY_MAX]);

/* On some thread, once. err 0: owner stands now; else the outcome is unknown. */
typedef void weft_owner_done(void *ctx, int err, struct weft_move_owner owner);

struct weft_owner_ask {
    struct weft_registry_at at;
    uint64_t app;
    uint64_t log; /* of the registry that the app began with; another one: WEFT_ESTALE */
    uint32_t rank;
    struct weft_move_owner initial; /* what an absent key means */
    struct weft_move_owner expect, want;
    weft_owner_done *done;
    void *ctx;
};

/* Reads who owns the rank. */
void weft__owner_read(const struct weft_owner_ask *ask);
/* expect -> want. owner tells what stands afterwards: want, if this or an earlier try has won. */
void weft__owner_cas(const struct weft_owner_ask *ask);

/* Removes the keys of these ranks of an app that has ended, one after the other; nobody is told.
 * The list is copied.  Thread: any. */
void weft__rank_keys_erase(const struct weft_registry_at *at, uint64_t app, const int32_t *ranks,
                           size_t n);

/* The same, and tells: on some thread, once. err 0: none of them is left. */
struct weft_keys_clear {
    const int32_t *ranks; /* copied */
    size_t n;
    void (*done)(void *ctx, int err);
    void *ctx;
};
void weft__rank_keys_clear(const struct weft_registry_at *at, uint64_t app,
                           const struct weft_keys_clear *what);

#endif
