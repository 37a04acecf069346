/* The group service of a weftd: made with it, told of the hosts. Owner thread. */
#ifndef WEFT_HOST_WEFTD_GROUP_H
#define WEFT_HOST_WEFTD_GROUP_H

#include <stdint.h>

struct weft_host;
struct weft_service_desc;

int weft__weftd_group_init(struct weft_host *host);
/* The description to start the server with, its ports and workers set. */
void weft__weftd_group_service(const struct weft_host *host, struct weft_service_desc *service_out);
/* The list of hosts is that of this revision now; older ones are passed over. */
void weft__weftd_group_hosts(struct weft_host *host, uint64_t revision);

#endif
