/* The address that somebody gives, or WEFT_HOST, and the service's place among the host's ports.
 *
 * Programs that use libweft know of no settings: the first of them that asks for a host reads the
 * environment and the file, as weft and weftd do at their start. So they find the same ports, and
 * the same keys, as the commands that are started beside them. Settings that were read are never
 * read again: other threads use them. */
#include "host/service_url.h"

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/parse.h"
#include "control/security.h"
#include "host/state_dir.h"
#include "weft/error.h"

int weft__service_url(const char *host, enum weft_host_port port,
                      char url_out[WEFT_REGISTRY_URL_MAX])
{
    char url[WEFT_REGISTRY_URL_MAX - 8]; /* room for a longer port number */
    uint16_t first = 0, last = 0;
    uint64_t at = 0;
    int err = weft__security_prepare();
    if (err == WEFT_OK)
        err = weft__parse_ports(weft__config_text("WEFT_PORTS"), &first, &last);
    if (err == WEFT_OK)
        err = weft__host_url(host != NULL ? host : weft__config_text("WEFT_HOST"), first, url,
                             sizeof(url));
    if (err == WEFT_OK &&
        weft__parse_u64(strrchr(url, ':') + 1, 1, UINT16_MAX - WEFT_PORT_APPS, &at) != WEFT_OK)
        err = weft_fail(WEFT_EINVAL,
                        "%s cannot be a host's first port: its services have the %d behind it", url,
                        WEFT_PORT_APPS - 1);
    if (err == WEFT_OK)
        snprintf(url_out, WEFT_REGISTRY_URL_MAX, "%.*s:%u", (int)(strrchr(url, ':') - url), url,
                 (unsigned)at + port);
    return err;
}
