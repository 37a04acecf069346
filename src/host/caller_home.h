/* Which host an app is at home on: the one that knows it. */
#ifndef WEFT_HOST_CALLER_HOME_H
#define WEFT_HOST_CALLER_HOME_H

#include <stdint.h>

#include "registry/registry.h"

struct weft_client;

/* Asks the host at url, and then every live host of the cluster.
 * Thread: any but the client's own.  Blocks: until deadline_ns at worst.
 * Errors: WEFT_ENOENT no host knows the app; those of the questions. */
int weft__caller_home(struct weft_client *client, const char *url, uint64_t app,
                      uint64_t deadline_ns, char home_out[WEFT_REGISTRY_URL_MAX]);

#endif
