/* inproc: endpoints of one process, in different threads. Complete (ctl, msg, rma): the reference
 * implementation of transport/spi.h and the test double of everything above it. desc.bind is any
 * name; like an interface's address, several endpoints may share it. ctl urls are "name:port". */
#ifndef WEFT_TRANSPORT_INPROC_H
#define WEFT_TRANSPORT_INPROC_H

#include "transport/spi.h"

extern const struct weft_transport weft__tp_inproc;

#endif
