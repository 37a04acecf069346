/* Who can reach a host and how, in words and as JSON. */
#include "cli/info_reach.h"

#include <inttypes.h>
#include <stdio.h>

static const char *who(const Weft__Host__Reach *reach)
{
    if (reach->curve)
        return reach->loopback ? "clients on this machine that have a key on its list"
                               : "clients that have a key on its list, from the network";
    return reach->loopback ? "every user of this machine (loopback, no keys)"
                           : "EVERYBODY who reaches this address (no keys: they can run programs "
                             "as the host's user)";
}

static const char *lanes(const Weft__Host__Reach *reach)
{
    return reach->curve ? "a secret token per app; zmq encrypted, libfabric and tcp not"
                        : "a secret token per app, not encrypted";
}

void info_reach_show(const Weft__Host__Reach *reach)
{
    if (reach == NULL)
        return;
    printf("reach      %s\n", who(reach));
    if (reach->curve)
        printf("security   curve, key %s..., %u clients allowed, keys in %s\n", reach->key,
               reach->allowed, reach->keys);
    else
        printf("security   none\n");
    printf("lanes      %s\n", lanes(reach));
    printf("limits     %u connections per port, %u bytes per message\n", reach->connections_max,
           reach->frame_max);
    printf("clients    %" PRIu64 " connections; refused: %" PRIu64 " for their key, %" PRIu64
           " for want of room; %" PRIu64 " handshakes failed\n",
           reach->connections, reach->denied, reach->refused, reach->handshakes_failed);
}

json_t *info_reach_json(const Weft__Host__Reach *reach)
{
    if (reach == NULL)
        return json_null();
    return json_pack(
        "{s:s, s:b, s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "who", who(reach),
        "loopback", reach->loopback, "security", reach->curve ? "curve" : "none", "key", reach->key,
        "allowed", (int)reach->allowed, "keys", reach->keys, "lanes", lanes(reach), "connections",
        (json_int_t)reach->connections, "connections_max", (json_int_t)reach->connections_max,
        "frame_max", (json_int_t)reach->frame_max, "denied", (json_int_t)reach->denied, "refused",
        (json_int_t)reach->refused, "handshakes_failed", (json_int_t)reach->handshakes_failed);
}
