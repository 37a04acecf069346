/* The state service of a weftd. */
#ifndef WEFT_HOST_WEFTD_STATE_H
#define WEFT_HOST_WEFTD_STATE_H

struct weft_host;
struct weft_service_desc;

int weft__weftd_state_init(struct weft_host *host);
/* The description to start the server with, its ports and workers set. */
void weft__weftd_state_service(const struct weft_host *host, struct weft_service_desc *service_out);

#endif
