/* What weft info says about who can reach a host. */
#ifndef WEFT_CLI_INFO_REACH_H
#define WEFT_CLI_INFO_REACH_H

#include <jansson.h>

#include "wire/host.pb-c.h"

/* NULL: the host did not say. */
void info_reach_show(const Weft__Host__Reach *reach);
json_t *info_reach_json(const Weft__Host__Reach *reach);

#endif
