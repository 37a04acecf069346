/* Where a process finds the group service of its host: the address that it is given, or WEFT_HOST,
 * and the service's place among the host's ports. A program that has not read the settings is one
 * that nobody configured but its environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/parse.h"
#include "group/client.h"
#include "group/group.h"
#include "host/calls.h"
#include "host/state_dir.h"
#include "registry/registry.h"
#include "weft/error.h"

_Static_assert((int)WEFT_PORT_GROUP == (int)WEFT_GROUP_PORT_AT &&
                   (int)WEFT_PORT_GROUP_ASYNC == (int)WEFT_GROUP_ASYNC_PORT_AT,
               "both say where the group service is");

static const char *setting(const char *name)
{
    const char *environment = getenv(name);
    bool unread = strcmp(weft__config_source(name), "default") == 0;
    return unread && environment != NULL && environment[0] != '\0' ? environment
                                                                   : weft__config_text(name);
}

int weft_groups_open(const char *host, struct weft_groups **groups_out)
{
    char url[WEFT_REGISTRY_URL_MAX], sync[WEFT_REGISTRY_URL_MAX + 8],
        async[WEFT_REGISTRY_URL_MAX + 8];
    uint16_t first, last;
    uint64_t port = 0;
    int err = weft__parse_ports(setting("WEFT_PORTS"), &first, &last);
    if (err == WEFT_OK)
        err = weft__host_url(host != NULL ? host : setting("WEFT_HOST"), first, url, sizeof(url));
    if (err == WEFT_OK)
        err = weft__parse_u64(strrchr(url, ':') + 1, 1, UINT16_MAX - WEFT_PORT_APPS, &port);
    if (err != WEFT_OK)
        return err;
    int at = (int)(strrchr(url, ':') - url);
    snprintf(sync, sizeof(sync), "%.*s:%u", at, url, (unsigned)port + WEFT_PORT_GROUP);
    snprintf(async, sizeof(async), "%.*s:%u", at, url, (unsigned)port + WEFT_PORT_GROUP_ASYNC);
    return weft__groups_open(&(struct weft_groups_desc){.url = sync, .async_url = async},
                             groups_out);
}
