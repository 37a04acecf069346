/* Which transport a lane uses, and on which of the machine's addresses. */
#ifndef WEFT_LINK_SELECT_H
#define WEFT_LINK_SELECT_H

#include <stddef.h>
#include <stdint.h>

#include "link/address.h"
#include "transport/spi.h"

struct weft_paths;

struct weft__select {
    const struct weft_transport *const *transports; /* the built-in ones */
    size_t transports_n;
    /* "auto", "ofi", or names in order of preference: "ofi:PROVIDER", "tcp", "zmq", "inproc",
     * "fault(SPEC)+inproc"; "ofi:net,tcp". "tcp+shim": by messages alone, as further paths are */
    const char *want;
    const char *net;          /* addresses that may be used, as WEFT_NET; NULL: open.bind */
    struct weft_tp_open open; /* for the endpoint; provider is filled in */
    uint64_t salt;            /* a secret of both ends, for keys on further paths */
    unsigned lane, lanes;     /* which of how many; lanes lie on different interfaces. lanes 0: 1 */
};

struct weft__selected {
    const struct weft_transport
        *transport; /* the endpoint's: the shim's table where rma is emulated */
    struct weft_tp_ep *ep;
    char name[64];                /* "ofi:net", "zmq+shim", "ofi:verbs;ofi_rxm, tcp+shim" */
    char *report;                 /* one line per candidate: "NAME: chosen", or the reason against
                                     it; free() */
    struct weft__address address; /* to be told to peers */
    struct weft_paths *paths;     /* ep as what it is where it has several paths; NULL: one */
};

/* Opens an endpoint of the first candidate that works. Where there are several, each one first has
 * to pass a message and a get between two endpoints on the interface, within a deadline. Further
 * paths, for the day when that one breaks, are opened where they do not share its fate: on other
 * addresses, beside RDMA a TCP of the same address, and all names that want lists. Blocks: at most
 * 5 s per candidate once it is open. Owns:   the endpoint and the report are the caller's.
 * Errors: WEFT_ENOTSUP none works (the text names each); WEFT_EINVAL want is no transport, net no
 * list; the endpoint's own error where one transport was asked for by name. */
int weft__select(const struct weft__select *select, struct weft__selected *selected_out);

/* The report alone, all candidates probed, nothing left open: for weft info. free() it. */
int weft__select_report(const struct weft__select *select, char **report_out);

#endif
