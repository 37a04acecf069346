/* rma over msg, in one place: a decorator that opens an endpoint of a transport with msg and yields
 * one with core, msg and rma, so that callers of rma never ask which transport they have. Both ends
 * must be shims: their messages carry a header.
 *
 * One-sided operations move only while the target calls progress() (limits: needs_target_poll). */
#ifndef WEFT_TRANSPORT_SHIM_H
#define WEFT_TRANSPORT_SHIM_H

#include "transport/keys.h"
#include "transport/spi.h"

/* Opens an endpoint of inner behind the shim; desc as for inner's open. Use it by
 * (*ep_out)->transport, whose scheme is the inner one's and whose families are msg and rma. Errors:
 * those of inner's open; WEFT_ENOTSUP inner has no msg, or desc asks for ctl. */
int weft__shim_open(const struct weft_transport *inner, const struct weft_tp_open *desc,
                    struct weft_tp_ep **ep_out);

/* As the rma family's reg, of an endpoint that weft__shim_open() has opened, under a key that the
 * caller chooses: who knows it elsewhere already need not be told again.  range: addr, len_bytes,
 * access and key; copied.  Errors: those of weft__keys_add_as(). */
int weft__shim_reg_as(struct weft_tp_ep *ep, const struct weft_range *range,
                      struct weft_tp_region **region_out);

#endif
