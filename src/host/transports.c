/* A new transport is added by its folder and one line here. */
#include "host/transports.h"

#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"

const struct weft_transport *const weft__transports[] = {&weft__tp_ofi, &weft__tp_tcp,
                                                         &weft__tp_zmq, &weft__tp_inproc};
const size_t weft__transports_n = sizeof(weft__transports) / sizeof(weft__transports[0]);
