/* Whether a transport really moves bytes on an interface. */
#ifndef WEFT_LINK_PROBE_H
#define WEFT_LINK_PROBE_H

#include <stdint.h>

#include "transport/spi.h"

/* Opens an endpoint with msg and rma, behind the shim where the transport has no rma of its own. */
int weft__probe_open(const struct weft_transport *transport, const struct weft_tp_open *open,
                     struct weft_tp_ep **ep_out);

/* Passes one message and one get between two endpoints of this process. open gives bind and
 * provider. Blocks: as long as opening takes, and at most within_ns after that.  Errors:
 * WEFT_ETIMEDOUT; WEFT_EIO wrong bytes; the transport's. */
int weft__probe(const struct weft_transport *transport, const struct weft_tp_open *open,
                uint64_t within_ns);

#endif
