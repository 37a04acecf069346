/* rma over msg, in one place: a decorator that opens an endpoint of a transport with msg and yields
 * one with core, msg and rma, so that callers of rma never ask which transport they have. Both ends
 * must be shims: their messages carry a header.
 *
 * One-sided operations move only while the target calls progress() (limits: needs_target_poll). */
#ifndef WEFT_TRANSPORT_SHIM_H
#define WEFT_TRANSPORT_SHIM_H

#include "transport/spi.h"

/* Opens an endpoint of inner behind the shim; desc as for inner's open. Use it by
 * (*ep_out)->transport, whose scheme is the inner one's and whose families are msg and rma. Errors:
 * those of inner's open; WEFT_ENOTSUP inner has no msg, or desc asks for ctl. */
int weft__shim_open(const struct weft_transport *inner, const struct weft_tp_open *desc,
                    struct weft_tp_ep **ep_out);

#endif
