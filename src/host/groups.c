/* Where a process finds the group service of its host. */
#include "group/client.h"
#include "group/group.h"
#include "host/service_url.h"
#include "weft/error.h"

_Static_assert((int)WEFT_PORT_GROUP == (int)WEFT_GROUP_PORT_AT &&
                   (int)WEFT_PORT_GROUP_ASYNC == (int)WEFT_GROUP_ASYNC_PORT_AT,
               "both say where the group service is");

int weft_groups_open(const char *host, struct weft_groups **groups_out)
{
    char url[WEFT_REGISTRY_URL_MAX], async_url[WEFT_REGISTRY_URL_MAX];
    int err = weft__service_url(host, WEFT_PORT_GROUP, url);
    if (err == WEFT_OK)
        err = weft__service_url(host, WEFT_PORT_GROUP_ASYNC, async_url);
    if (err != WEFT_OK)
        return err;
    return weft__groups_open(&(struct weft_groups_desc){.url = url, .async_url = async_url},
                             groups_out);
}
