/* A lane's address as text: "scheme;hex". */
#ifndef WEFT_LINK_ADDRESS_H
#define WEFT_LINK_ADDRESS_H

#include "link/lane.h"
#include "transport/spi.h"

void weft__address_format(const char *scheme, const struct weft_tp_addr *addr,
                          char text_out[WEFT_LANE_ADDRESS_MAX]);
/* Errors: WEFT_EINVAL malformed; WEFT_ENOTSUP a scheme other than the given one. */
int weft__address_parse(const char *text, const char *scheme, struct weft_tp_addr *addr_out);

#endif
