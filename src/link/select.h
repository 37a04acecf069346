/* Which transport a lane uses. */
#ifndef WEFT_LINK_SELECT_H
#define WEFT_LINK_SELECT_H

#include <stddef.h>

#include "transport/spi.h"

struct weft__select {
    const struct weft_transport *const *transports; /* the built-in ones */
    size_t transports_n;
    const char
        *want; /* "auto", "ofi", "ofi:PROVIDER", "tcp", "zmq", "inproc", "fault(SPEC)+inproc" */
    struct weft_tp_open open; /* for the endpoint; provider is filled in */
};

struct weft__selected {
    const struct weft_transport
        *transport; /* the endpoint's: the shim's table where rma is emulated */
    struct weft_tp_ep *ep;
    char scheme[16];
    char name[64]; /* "ofi:net", "zmq+shim" */
    char *report;  /* one line per candidate: "NAME: chosen", or the reason against it; free() */
};

/* Opens an endpoint of the first candidate that works. Where there are several, each one first has
 * to pass a message and a get between two endpoints on the interface, within a deadline. Blocks: at
 * most 5 s per candidate once it is open. Owns:   the endpoint and the report are the caller's.
 * Errors: WEFT_ENOTSUP none works (the text names each); WEFT_EINVAL want is no transport; the
 * endpoint's own error where one transport was asked for by name. */
int weft__select(const struct weft__select *select, struct weft__selected *selected_out);

/* The report alone, all candidates probed, nothing left open: for weft info. free() it. */
int weft__select_report(const struct weft__select *select, char **report_out);

#endif
