/* Who can reach this host and how. */
#ifndef WEFT_HOST_WEFTD_REACH_H
#define WEFT_HOST_WEFTD_REACH_H

#include "control/security.h"
#include "wire/host.pb-c.h"

struct weft_host;

/* What a message about it points to. */
struct weft_reach {
    Weft__Host__Reach message;
    struct weft_security_facts facts;
};

/* Fills reach and returns its message. */
Weft__Host__Reach *weft__weftd_reach(const struct weft_host *host, struct weft_reach *reach);
/* Says at start what everybody on the network may do with this host, where that is so. */
void weft__weftd_reach_warn(const struct weft_host *host);

#endif
