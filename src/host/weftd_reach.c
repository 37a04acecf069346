/* Who can reach this host: what weft info shows and what is warned about at start. The settings are
 * the process's, the counters are those of all control ports together. */
#include "host/weftd_reach.h"

#include "base/log.h"
#include "control/server.h"
#include "host/weftd.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"

Weft__Host__Reach *weft__weftd_reach(const struct weft_host *host, struct weft_reach *reach)
{
    Weft__Host__Reach *message = &reach->message;
    struct weft_server_access access;
    weft__host__reach__init(message);
    weft__security_facts(&reach->facts);
    weft__server_access(host->server, &access);
    message->loopback = weft__security_is_loopback(host->address);
    message->curve = reach->facts.curve;
    message->keys = weft__message_text(reach->facts.folder);
    message->allowed = (uint32_t)reach->facts.allowed;
    if (reach->facts.curve) { /* enough to tell keys apart */
        reach->facts.key[8] = '\0';
        message->key = reach->facts.key;
    }
    message->denied = access.denied;
    message->connections = access.connections;
    message->connections_max = access.connections_max;
    message->refused = access.refused;
    message->handshakes_failed = access.handshakes_failed;
    message->frame_max = WEFT_FRAME_HEADER_BYTES + WEFT_FRAME_BODY_MAX;
    return message;
}

void weft__weftd_reach_warn(const struct weft_host *host)
{
    struct weft_security_facts facts;
    weft__security_facts(&facts);
    if (!facts.curve && !weft__security_is_loopback(host->address))
        weft__warn("everybody who reaches %s can run programs as this user (WEFT_SECURITY=none); "
                   "weft keygen and WEFT_SECURITY=curve change that",
                   host->address);
}
