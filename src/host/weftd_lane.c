/* The token of the cluster's data lanes: a key of the registry, made by whichever host needs it
 * first. Later ones lose the compare-and-set and take what stands. It lives as long as the
 * registry's log: hosts that have outlived their head's log have another one than those that came
 * later, until they are started again; gets between them work all the same, because these have keys
 * of their own. */
#include "host/weftd_lane.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/transports.h"
#include "host/weftd.h"
#include "link/data.h"
#include "weft/error.h"

#define TOKEN_KEY "data/token"

enum { TOKEN_MS = 5000 };

static int token(void *ctx, uint64_t *token_out)
{
    struct weft_host *host = ctx;
    struct weft_registry_value value;
    uint64_t ours;
    if (getrandom(&ours, sizeof(ours), 0) != (ssize_t)sizeof(ours))
        return weft_fail(WEFT_EIO, "no random number for a token");
    struct weft_registry_cas cas = {.key = TOKEN_KEY, .value = &ours, .value_len = sizeof(ours)};
    int err = weft__registry_cas_settle(&host->registry_at, &cas,
                                        weft__now_ns() + TOKEN_MS * WEFT_NS_PER_MS, &value);
    if (err != WEFT_OK)
        return err;
    if (value.won)
        *token_out = ours;
    else if (value.len == sizeof(ours))
        memcpy(token_out, value.bytes, sizeof(ours));
    else
        return weft_fail(WEFT_EPROTO, "the registry's key " TOKEN_KEY " has %zu bytes, not %zu",
                         value.len, sizeof(ours));
    return WEFT_OK;
}

int weft__weftd_lane_init(struct weft_host *host)
{
    return weft__data_open(
        &(struct weft_data_desc){.transports = weft__transports,
                                 .transports_n = weft__transports_n,
                                 .bind = host->address,
                                 .port_first = (uint16_t)(host->port_first + WEFT_PORT_APPS),
                                 .port_last = host->port_last,
                                 .token = token,
                                 .ctx = host},
        &host->data);
}

void weft__weftd_on_lane(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_host *host = ctx;
    (void)request;
    weft__data_on_lane(host->data, call);
}
