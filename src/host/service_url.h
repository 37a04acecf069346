/* Where a process finds the services of a host. */
#ifndef WEFT_HOST_SERVICE_URL_H
#define WEFT_HOST_SERVICE_URL_H

#include "host/calls.h"
#include "registry/registry.h"

/* The url of a port of the host at "address", "address:port" (its first one) or a url; NULL:
 * WEFT_HOST. Reads the settings where nobody has in this process.
 * Errors: WEFT_EINVAL no address; as weft__config_load(). */
int weft__service_url(const char *host, enum weft_host_port port,
                      char url_out[WEFT_REGISTRY_URL_MAX]);

#endif
