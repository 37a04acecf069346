/* Lanes of this process, over the transport that the command line names. */
#ifndef WEFT_TESTS_SNAPSHOT_LANES_H
#define WEFT_TESTS_SNAPSHOT_LANES_H

#include <stddef.h>
#include <string.h>

#include "link/lane.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"

static inline void lane_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

/* name: for inproc, where a lane's address is any name. */
static inline int lane_open(const char *scheme, const char *name, struct weft_lane **lane_out)
{
    static const struct weft_transport *const all[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                       &weft__tp_tcp, &weft__tp_ofi};
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = sizeof(all) / sizeof(all[0]),
                                        .scheme = scheme,
                                        .progress = "thread",
                                        .bind = strcmp(scheme, "inproc") ? "127.0.0.1" : name,
                                        .token = 4711,
                                        .msg_max_bytes = 65536,
                                        .message = lane_message};
    return weft__lane_open(&desc, lane_out);
}

#endif
