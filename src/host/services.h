/* What the services of a process have counted, for whoever asks it (WEFT_CALL_SERVICES). */
#ifndef WEFT_HOST_SERVICES_H
#define WEFT_HOST_SERVICES_H

#include <stddef.h>
#include <stdint.h>

struct weft_server;
struct weft_lane_stats;
struct weft_call;

struct weft_services_counter {
    const char *name;
    uint64_t value;
};

struct weft_services_desc {
    const char *name; /* of the process, for people */
    const struct weft_server *server;
    const char *const *services; /* names, in the server's order */
    size_t services_n;
    const struct weft_lane_stats *lane; /* of all lanes; NULL: not opened */
    const struct weft_lane_stats *each; /* of each; lane->lanes of them */
    const struct weft_services_counter *counters;
    size_t counters_n;
};

/* Answers the call with everything.  Thread: any.  Blocks: no. */
void weft__services_answer(struct weft_call *call, const struct weft_services_desc *desc);

#endif
