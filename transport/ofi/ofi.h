/* ofi: msg and rma on a libfabric provider with reliable datagram endpoints: verbs;ofi_rxm, efa,
 * net, tcp. desc.provider names one; NULL takes the first of that list that the interface
 * desc.bind has. Numeric addresses only.
 *
 * tcp;ofi_rxm can be named, but is not sound in libfabric 1.17 (fabric.c).
 *
 * Host memory only. A peer that is lost stays lost: drop it and add it again, and the next
 * operation connects anew. */
#ifndef WEFT_TRANSPORT_OFI_H
#define WEFT_TRANSPORT_OFI_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/spi.h"

extern const struct weft_transport weft__tp_ofi;

struct weft_ofi_stats {
    uint64_t gets, get_bytes; /* completed */
    uint64_t puts, put_bytes;
    uint64_t resets; /* how often the one-sided side was made anew, to take buffers back from a
                        dropped peer */
    const char *provider;
};

/* Thread: the one that drives the endpoint. ep must be one of weft__tp_ofi.
 * Owns: provider is valid while the endpoint is open. */
void weft__ofi_stats(const struct weft_tp_ep *ep, struct weft_ofi_stats *stats_out);

/* Endpoints of a group share a domain over every provider, not only where registering pins memory
 * (domain.c says why): so that a test can ask about sharing where there is no card. Not over net,
 * which corrupts its keys then. Set before the first endpoint is opened. */
extern bool weft__ofi_share_always;

/* Undoes the signal handlers that libraries below libfabric install; a constructor has done so
 * before main, and opening an endpoint does. Thread: any. */
void weft__ofi_reset_signals(void);

#endif
