/* How many ranks this machine takes by default. */
#ifndef WEFT_HOST_CORES_H
#define WEFT_HOST_CORES_H

#include <stdint.h>

/* Cores that this process may use: by hwloc within its binding, at most what its control group's
 * quota pays for; at least 1. */
uint32_t weft__usable_cores(void);

#endif
