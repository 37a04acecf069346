/* The table of built-in transports: the one place that names them all. */
#ifndef WEFT_HOST_TRANSPORTS_H
#define WEFT_HOST_TRANSPORTS_H

#include <stddef.h>

#include "transport/spi.h"

extern const struct weft_transport *const weft__transports[];
extern const size_t weft__transports_n;

#endif
