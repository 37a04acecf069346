/* A process's ranks on their way into a store and out of it. Private to src/host/app_freeze*.c. */
#ifndef WEFT_HOST_APP_FREEZE_H
#define WEFT_HOST_APP_FREEZE_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/app.h"
#include "plan/freeze.h"
#include "registry/registry.h"

enum weft_app_stop {
    WEFT_STOP_WANTED, /* it has been asked to stop */
    WEFT_STOP_ENDING, /* it has returned, and is about to be one that has ended */
    WEFT_STOP_STANDS,
    WEFT_STOP_FAILED
};

struct weft_app_frozen {
    struct weft_app_freezer *freezer;
    int32_t rank;
    uint32_t incarnation; /* to come, at a thaw */
    enum weft_app_stop stop;
    bool ended; /* and its code is told */
    uint8_t *descriptor;
    size_t len_bytes;
    uint64_t points; /* that it has come to, where it stands */
    uint64_t bytes;  /* of memory */
};

struct weft_app_freezer {
    struct weft_process_app *app;
    struct weft_freeze_member member;
    struct weft_timer ending_timer;
    struct weft_app_frozen *ranks; /* of the newest STOP or LOAD */
    size_t ranks_n;
    size_t stopping_n; /* that do not stand yet, and may */
    int stop_err;
    char stop_text[WEFT_FREEZE_TEXT_MAX];
    bool withdrawn;
    char store[WEFT_REGISTRY_URL_MAX];
    char prefix[160];
    uint64_t until_ns; /* to store or load */

    pthread_t thread; /* stores or loads */
    bool thread_runs;
    atomic_bool thread_stop;
    struct weft_task thread_over;
    bool loads;
    int thread_err;
    char thread_text[WEFT_FREEZE_TEXT_MAX];
};

/* app_freeze_store.c: begins to store, or to load, all ranks; posts thread_over when it is over.
 * Errors: no thread. */
int weft__app_store_start(struct weft_app_freezer *freezer, bool loads);
/* It has posted thread_over, or never runs.  Blocks: until it is over. */
void weft__app_store_join(struct weft_app_freezer *freezer);

#endif
