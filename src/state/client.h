/* What a weft_state is made from; weft_state_open() of the host layer finds it out by itself. */
#ifndef WEFT_STATE_CLIENT_H
#define WEFT_STATE_CLIENT_H

#include <stdint.h>

#include "weft/state.h"

struct weft_client;
struct weft_lane;

struct weft_state_desc {
    struct weft_client *client; /* must outlive it */
    const char *url;            /* of the state service of a host, usually this machine's */
    uint32_t timeout_ms;        /* 0: 10000 */
    uint32_t bulk_bytes;        /* 0: 64 KiB */
    /* The process's lane, opened at the first call, with a progress thread. NULL, or an error:
     * bytes go by message. */
    int (*lane)(void *ctx, struct weft_lane **lane_out);
    void *ctx;
    void (*closed)(void *ctx); /* the last thing that weft_state_close() does; may be NULL */
};

int weft__state_open(const struct weft_state_desc *desc, struct weft_state **state_out);

#endif
