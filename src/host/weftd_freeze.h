/* An app that is being frozen or thawed, or lies in the store. Private to src/host/weftd*.c. */
#ifndef WEFT_HOST_WEFTD_FREEZE_H
#define WEFT_HOST_WEFTD_FREEZE_H

#include "host/weftd_app.h"
#include "plan/freeze.h"

#define WEFT_FREEZE_KEY_MAX 160

/* A rank in the store. */
struct weft_frozen_rank {
    uint8_t *descriptor;
    size_t len_bytes;
    uint64_t bytes; /* of memory */
};

struct weft_app_freeze {
    struct weft_app *app;
    struct weft_freeze machine;
    struct weft_freeze_params params;
    struct weft_timer timer, thaw_timer;
    struct weft_freeze_party *parties;
    uint32_t *numbers;       /* of the parties' processes */
    struct weft_call *asked; /* weft freeze, weft thaw: waits for the outcome */
    char cause[64];
    char note[WEFT_FREEZE_TEXT_MAX];       /* why the last freeze or thaw was given up */
    bool thaws_itself;                     /* as soon as there is room */
    bool looking;                          /* for room */
    bool resumed;                          /* routes and incarnations are those of the thaw */
    bool keep;                             /* the app's record ends, not what is in the store */
    unsigned failures;                     /* thaws, or freezes, in a row that were given up */
    uint64_t not_before_ns;                /* the next try of itself */
    char folder[WEFT_FREEZE_KEY_MAX - 32]; /* prefix of all keys of the app in the store, */
    char prefix[WEFT_FREEZE_KEY_MAX];      /* and of its ranks' */
    struct weft_frozen_rank *ranks;        /* by rank */
    uint64_t bytes, frozen_wall_ms;
    char where[512];      /* as people are told */
    size_t first_process; /* of the thaw that is being placed */
};

/* weftd_frozen.c: what is kept beside the ranks' memory. */
/* Owns: free(). */
void weft__frozen_pack(const struct weft_app *app, uint8_t **bytes_out, size_t *len_out);
/* Whether what came out of the store can be made an app of.  Errors: WEFT_EPROTO. */
int weft__frozen_check(const Weft__Host__FrozenApp *frozen);
/* The app that it is of, at home here and frozen.  NULL: no memory. */
struct weft_app *weft__frozen_unpack(struct weft_host *host, const Weft__Host__FrozenApp *frozen,
                                     struct weft_move_owner owner);
/* Lets a frozen app of ours go on; asked gets the outcome. */
void weft__frozen_thaw(struct weft_app *app, struct weft_call *asked);
void weft__frozen_where(const struct weft_app *app, char *text, size_t room);

/* weftd_adopt.c: takes over an app that is at home nowhere, and thaws it; asked gets the outcome.
 */
void weft__weftd_adopt(struct weft_host *host, uint64_t app, struct weft_call *asked);

struct weft_app_freeze *weft__freeze_new(struct weft_app *app, struct weft_move_owner owner);
/* Where a home's freezes of the app go. */
void weft__freeze_folder(struct weft_app_freeze *freeze, const char *home);
/* Begins to look for room, where that is wanted. */
void weft__freeze_await_room(struct weft_app_freeze *freeze);
void weft__freeze_feed(struct weft_app_freeze *freeze, const struct weft_freeze_event *event);

#endif
